//! The user's crontab: a block of ours between two marks, and every other line as it was.

use super::{DAY, Every, HOUR, mark};
use crate::jobs::{Job, RenderError, can_be_said};

const BEGIN: &str = "# >>> strongroom schedule >>>";
const END: &str = "# <<< strongroom schedule <<<";

/// The block. What the refresh says goes to the system's log by `logger`, where there is one; cron
/// itself would mail it.
pub fn block(job: &Job<'_>, every: Every, logger: Option<&str>) -> Result<String, RenderError> {
    can_be_said(job)?;
    let words = std::iter::once(job.program).chain(job.arguments.iter().copied());
    let words: Vec<String> = words.map(shell).collect();
    let variable = |(name, value): &(&str, &str)| format!("{name}={} ", shell(value));
    let variables: String = job.variables.iter().map(variable).collect();
    let log = logger.map(|logger| format!(" 2>&1 | {} -t strongroom", shell(logger)));
    let line = format!(
        "{} {variables}{}{}",
        when(every, job.program),
        words.join(" "),
        log.unwrap_or_default(),
    );
    Ok(format!("{BEGIN}\n# {}\n{line}\n{END}\n", mark(every)))
}

/// The five fields. Not everybody's refresh is at the full hour: the minute depends on who it is for.
fn when(every: Every, program: &str) -> String {
    let minutes = every.0;
    let sum = program.bytes().fold(0_u64, |sum, byte| (sum * 31 + u64::from(byte)) % HOUR);
    match minutes {
        1 => "* * * * *".to_owned(),
        2..HOUR => format!("*/{minutes} * * * *"),
        HOUR => format!("{sum} * * * *"),
        DAY => format!("{sum} 0 * * *"),
        _ => format!("{sum} */{} * * *", minutes / HOUR),
    }
}

/// A word for cron's shell. cron itself makes a new line of a `%` without a backslash.
fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''").replace('%', r"\%"))
}

/// Our block in `table`, if there is one. A block without an end is none: what is behind it is not
/// ours.
pub fn find(table: &str) -> Option<&str> {
    let (from, to) = span(table)?;
    table.get(from..to)
}

/// `table` with `block` in the place of ours, or at its end; without one where there is no `block`.
pub fn with(table: &str, block: Option<&str>) -> String {
    let block = block.unwrap_or_default();
    if let Some((from, to)) = span(table) {
        let (before, after) = (&table[..from], &table[to..]);
        return format!("{before}{block}{after}");
    }
    let gap = if table.is_empty() || table.ends_with('\n') { "" } else { "\n" };
    if block.is_empty() { table.to_owned() } else { format!("{table}{gap}{block}") }
}

fn span(table: &str) -> Option<(usize, usize)> {
    let mut at = 0;
    let mut from = None;
    for line in table.split_inclusive('\n') {
        let text = line.trim_end();
        if text == BEGIN {
            from = Some(at);
        }
        at += line.len();
        if text == END
            && let Some(from) = from
        {
            return Some((from, at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::ARGUMENTS;
    use super::*;

    fn job(program: &str) -> Job<'_> {
        Job { program, arguments: &ARGUMENTS, variables: &[], log: "" }
    }

    fn line(job: &Job<'_>, minutes: u64) -> String {
        let every = Every::within(Duration::from_mins(minutes));
        let block = block(job, every, None).unwrap();
        block.lines().nth(2).unwrap().to_owned()
    }

    #[test]
    fn a_line_says_when_and_quotes_what() {
        let rest = "secrets refresh --due --quiet";
        for (minutes, when) in [
            (1, "* * * * *"),
            (15, "*/15 * * * *"),
            (60, "12 * * * *"),
            (180, "12 */3 * * *"),
            (1440, "12 0 * * *"),
        ] {
            assert_eq!(line(&job("/s"), minutes), format!("{when} /s {rest}"));
        }
        let hard = Job { variables: &[("STRONGROOM_HOME", "/h 5%")], ..job("/it's %/s") };
        let expected = format!(r"*/15 * * * * STRONGROOM_HOME='/h 5\%' '/it'\''s \%/s' {rest}");
        assert_eq!(line(&hard, 15), expected);
        let every = Every::within(Duration::from_mins(15));
        assert!(block(&job("/a\nb"), every, None).is_err());
        let logged = block(&job("/s"), every, Some("/usr/bin/logger")).unwrap();
        assert!(logged.contains("--quiet 2>&1 | /usr/bin/logger -t strongroom\n"), "{logged}");
    }

    #[test]
    fn every_other_line_is_kept() {
        let every = Every::within(Duration::from_mins(15));
        let old = block(&job("/old"), every, None).unwrap();
        let new = block(&job("/new"), every, None).unwrap();
        for table in ["", "MAILTO=x\n0 1 * * * backup\n"] {
            let installed = with(table, Some(&old));
            assert_eq!(installed, format!("{table}{old}"));
            assert_eq!(find(&installed), Some(old.as_str()));
            let more = format!("{installed}# mine\n5 5 * * * x");
            assert_eq!(with(&more, Some(&new)), format!("{table}{new}# mine\n5 5 * * * x"));
            assert_eq!(with(&more, None), format!("{table}# mine\n5 5 * * * x"));
            assert_eq!(with(table, None), table);
        }
        assert_eq!(with("0 1 * * * x", Some(&old)), format!("0 1 * * * x\n{old}"));
        let torn = format!("{BEGIN}\n0 1 * * * not-ours\n");
        assert_eq!((find(&torn), with(&torn, None)), (None, torn.clone()));
    }
}
