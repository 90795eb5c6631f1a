//! The only place that prints.
//!
//! stdout is data: the answer that was asked for, for a person or, with `--json`, for a program.
//! stderr is talk: errors, hints, warnings, progress. There is colour only on a terminal, and none
//! where `NO_COLOR` is set.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Write as _};
use std::time::SystemTime;

use serde::Serialize;
use serde_json::json;
use strongroom_model::display::DisplaySafe;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::environment::Host;
use crate::failure::{Exit, Failure};

/// A time as answers have it (RFC 3339), in whole seconds.
pub fn rfc3339(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}

/// What a command answers: the shape of its JSON is its serialisation.
pub trait Report: Serialize {
    /// The text for a person, with a line end after the last line.
    fn text(&self, style: Style) -> String;
}

/// Where a command's words go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    quiet: bool,
    stdout: Style,
    stderr: Style,
}

impl Output {
    /// The output of a command that `host` was started with.
    pub fn new(host: &Host, json: bool) -> Self {
        let colour = host.environment.get("NO_COLOR").is_none()
            && host.environment.get("TERM").is_none_or(|term| term != "dumb");
        Self {
            json,
            quiet: false,
            stdout: Style { colour: colour && host.terminals.stdout },
            stderr: Style { colour: colour && host.terminals.stderr },
        }
    }

    /// The same, without warnings where `quiet` is set: only failures are said.
    #[must_use]
    pub fn quieted(self, quiet: bool) -> Self {
        Self { quiet, ..self }
    }

    /// Whether `--json` was given.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// How stdout is styled.
    pub fn style(&self) -> Style {
        self.stdout
    }

    /// Prints the answer.
    pub fn report(&self, report: &impl Report) -> Result<(), Failure> {
        if self.json {
            let mut text = serde_json::to_string(report).map_err(Failure::failed)?;
            text.push('\n');
            self.print(&text)
        } else {
            self.print(&report.text(self.stdout))
        }
    }

    /// Prints `text` on stdout as it is.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            // `strongroom logs | head`: whoever read us has had enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::silent(Exit::Done)),
            Err(error) => Err(Failure::failed(error)),
        }
    }

    /// Whether somebody may still read stdout. Known without writing, for who waits for something to
    /// say.
    #[cfg(unix)]
    pub fn is_read(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};

        let stdout = io::stdout();
        let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // What cannot be asked is found out by the next write.
        poll(&mut watched, Some(&at_once)).is_err()
            || !watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
    }

    /// Whether somebody may still read stdout: the next write finds out.
    #[cfg(not(unix))]
    pub fn is_read(&self) -> bool {
        true
    }

    /// Says something to the person, on stderr; nothing with `--json`.
    pub fn say(&self, text: &str) {
        if !self.json && !self.quiet {
            talk(&format!("{text}\n"));
        }
    }

    /// Says what the person has to know to go on, on stderr, with `--json` too.
    pub fn tell(&self, text: &str) {
        talk(&format!("{text}\n"));
    }

    /// Warns, on stderr.
    pub fn warn(&self, text: &str) {
        if self.quiet {
            return;
        }
        if self.json {
            talk(&format!("{}\n", json!({ "warning": text })));
        } else {
            talk(&format!("{} {}\n", self.stderr.yellow("warning:"), safe(text)));
        }
    }

    /// Says what to do next, on stderr; nothing with `--json`.
    pub fn hint(&self, text: &str) {
        self.say(&format!("\n{} {}", self.stderr.bold("hint:"), safe(text)));
    }

    /// Prints a failure on stderr and gives its exit code.
    pub fn fail(&self, failure: &Failure) -> Exit {
        if let Some(text) = if self.json { as_json(failure) } else { as_text(failure, self.stderr) }
        {
            talk(&text);
        }
        failure.exit
    }
}

/// An error, its causes and what to do next.
fn as_text(failure: &Failure, style: Style) -> Option<String> {
    let error = failure.error.as_ref()?;
    let mut text = format!("{} {}\n", style.red("error:"), safe(&error.to_string()));
    for cause in causes(failure) {
        writeln!(text, "  caused by: {}", safe(&cause)).expect("writing to a String cannot fail");
    }
    if let Some(hint) = &failure.hint {
        write!(text, "\n{} {}\n", style.bold("hint:"), safe(hint))
            .expect("writing to a String cannot fail");
    }
    Some(text)
}

/// A message of one line or several. A path, a program or a name in it may be anybody's (AL-01).
fn safe(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| DisplaySafe(line).to_string()).collect();
    lines.join("\n")
}

fn as_json(failure: &Failure) -> Option<String> {
    let error = failure.error.as_ref()?;
    let mut object = json!({ "error": error.to_string(), "causes": causes(failure) });
    if let Some(hint) = &failure.hint {
        object["hint"] = json!(hint);
    }
    Some(format!("{object}\n"))
}

fn causes(failure: &Failure) -> Vec<String> {
    let first = failure.error.as_ref().and_then(|error| error.source());
    std::iter::successors(first, |error| error.source()).map(ToString::to_string).collect()
}

/// Nothing can be done about a stderr that is gone.
fn talk(text: &str) {
    drop(io::stderr().lock().write_all(text.as_bytes()));
}

/// Colour, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// No colour.
    pub const PLAIN: Self = Self { colour: false };

    /// What matters.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// What does not.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// What went wrong.
    pub fn red(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// What went well.
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// What to look at.
    pub fn yellow(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Rows as columns, two blanks between them, the last one ragged.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| seen(cell)).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| padded(cell, *width)).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn padded(cell: &str, width: usize) -> String {
    format!("{cell}{}", " ".repeat(width.saturating_sub(seen(cell))))
}

/// How many characters of `cell` are seen: colour has no width.
fn seen(cell: &str) -> usize {
    let mut parts = cell.split("\x1b[");
    let first = parts.next().map_or(0, |part| part.chars().count());
    first + parts.map(|part| part.chars().skip_while(|c| *c != 'm').skip(1).count()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the outer one")]
    struct Outer(#[source] io::Error);

    #[test]
    fn an_error_stands_with_its_causes_and_the_next_step() {
        let failure = Failure::failed(Outer(io::Error::other("the inner one"))).hint("do this");
        let expected = "error: the outer one\n  caused by: the inner one\n\nhint: do this\n";
        assert_eq!(as_text(&failure, Style::PLAIN).unwrap(), expected);
        let json: serde_json::Value = serde_json::from_str(&as_json(&failure).unwrap()).unwrap();
        let expected = json!({
            "error": "the outer one", "causes": ["the inner one"], "hint": "do this"
        });
        assert_eq!(json, expected);
    }

    // AL-01
    #[test]
    fn a_failure_does_nothing_to_the_terminal() {
        let failure = Failure::failed("`a\u{1b}[2Kb` is\nno").hint("run `x\r`");
        let expected = "error: `a\\u{1b}[2Kb` is\nno\n\nhint: run `x\\u{d}`\n";
        assert_eq!(as_text(&failure, Style::PLAIN).unwrap(), expected);
    }

    #[test]
    fn a_silent_failure_prints_nothing() {
        assert_eq!(as_text(&Failure::silent(Exit::Denied), Style::PLAIN), None);
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".into(), "bc".into()], vec!["long".into(), "d".into()]];
        assert_eq!(table(&rows), "a     bc\nlong  d\n");
        let dim = Style { colour: true }.dim("a");
        let rows = [vec![dim.clone(), "bc".into()], vec!["long".into(), "d".into()]];
        assert_eq!(table(&rows), format!("{dim}     bc\nlong  d\n"));
    }
}
