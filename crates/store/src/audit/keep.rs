//! How long segments are kept.

use time::Duration;

use super::segment;

/// Which segments stay. Segments go whole, oldest first, when a new one begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// All of them.
    #[default]
    All,
    /// Those of so many days.
    Days(u32),
    /// So many, beside the one that is written.
    Segments(u32),
}

impl Keep {
    /// Which of the segments `finished`, oldest first, are not kept.
    ///
    /// Ages are counted from the newest of them and not from the clock: a clock that is set to a
    /// distant year by mistake removes nothing.
    pub(super) fn due(self, finished: &[String]) -> &[String] {
        let count = match self {
            Self::All => 0,
            Self::Segments(kept) => {
                finished.len().saturating_sub(usize::try_from(kept).unwrap_or(usize::MAX))
            }
            Self::Days(days) => {
                let newest = finished.last().and_then(|name| segment::day_of(name));
                let oldest =
                    newest.and_then(|day| day.checked_sub(Duration::days(i64::from(days))));
                finished
                    .iter()
                    .take_while(|name| segment::day_of(name).is_some_and(|day| Some(day) < oldest))
                    .count()
            }
        };
        &finished[..count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_it_should_be_goes_and_the_rest_stays() {
        let names: Vec<String> =
            ["2026-01-01", "2026-01-31", "2026-02-01", "2026-03-01", "2026-03-02"]
                .map(|day| format!("{day}.jsonl"))
                .into();
        for (keep, gone) in [
            (Keep::All, 0),
            (Keep::Days(30), 1),
            (Keep::Days(29), 2),
            (Keep::Days(1), 3),
            (Keep::Days(0), 4),
            (Keep::Days(60), 0),
            (Keep::Days(u32::MAX), 0),
            (Keep::Segments(1), 4),
            (Keep::Segments(4), 1),
            (Keep::Segments(5), 0),
            (Keep::Segments(u32::MAX), 0),
        ] {
            assert_eq!(keep.due(&names), &names[..gone], "{keep:?}");
        }
        assert_eq!(Keep::Days(1).due(&[]), &[] as &[String]);
    }

    #[test]
    fn a_clock_in_a_distant_year_removes_nothing_at_first() {
        let names = ["2026-01-01.jsonl".to_owned(), "2026-03-01.jsonl".to_owned()];
        // The segment of 2099 has just begun, and is not among the finished ones.
        assert!(Keep::Days(90).due(&names).is_empty());
    }
}
