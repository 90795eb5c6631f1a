//! Times, and what is said of them.

use std::time::Duration;

use serde_json::{Value, json};

/// Times of single calls.
#[derive(Default)]
pub(crate) struct Times {
    counted: Vec<Duration>,
    skipped: usize,
}

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.counted.push(time);
    }

    /// A call that was made and does not count.
    pub(crate) fn skip(&mut self) {
        self.skipped += 1;
    }

    /// How many calls count.
    pub(crate) fn counted(&self) -> f64 {
        number(self.counted.len())
    }

    /// How many calls were made.
    pub(crate) fn all(&self) -> f64 {
        number(self.counted.len() + self.skipped)
    }

    pub(crate) fn join(&mut self, other: Self) {
        self.counted.extend(other.counted);
        self.skipped += other.skipped;
    }

    /// Count, median and 99th percentile in microseconds.
    pub(crate) fn summary(&mut self) -> Value {
        self.counted.sort_unstable();
        let at = |percent: usize| {
            let index = self.counted.len() * percent / 100;
            self.counted
                .get(index.min(self.counted.len().saturating_sub(1)))
                .map_or(0.0, |time| micros(*time))
        };
        json!({ "calls": self.counted.len(), "p50_us": at(50), "p99_us": at(99) })
    }
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_the_median_and_the_slowest_hundredth() {
        let mut times = Times::default();
        (0..100).rev().for_each(|time| times.add(Duration::from_micros(time)));
        let summary = times.summary();
        assert_eq!(summary["calls"], 100);
        assert_eq!(format!("{:.1} {:.1}", summary["p50_us"], summary["p99_us"]), "50.0 99.0");
    }
}
