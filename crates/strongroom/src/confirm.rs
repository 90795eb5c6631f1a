//! Widening needs a person (decision 28): a code is shown on the terminal and typed back.
//!
//! The terminal is `/dev/tty` and not stdin, so that whoever runs the command with pipes cannot
//! answer. An agent that drives a pseudo-terminal can: SECURITY.md says so.

use std::io;
use std::time::Duration;

use strongroom_model::display::DisplaySafe;
use strongroom_model::ports::Clock;

use crate::failure::{Exit, Failure};

/// Without what is easily misread: no 0, O, 1, I.
const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const LENGTH: usize = 8;
const TRIES: usize = 3;
const PATIENCE: Duration = Duration::from_mins(2);

/// A person at a terminal.
pub trait Person {
    /// Shows `text`.
    fn show(&mut self, text: &str) -> io::Result<()>;

    /// The next line; what was typed before the question does not count. `None`: there is none
    /// within that time, or the person is gone.
    fn answer(&mut self, within: Duration) -> io::Result<Option<String>>;
}

/// Why there was no confirmation.
#[derive(Debug, thiserror::Error)]
pub enum NotConfirmed {
    /// Nobody can be asked.
    #[error("this lets agents do more, and there is no terminal to ask a person at")]
    Nobody,
    /// Nothing was typed, or not the code.
    #[error("the code was not typed, so nothing was changed")]
    NotTyped,
    /// The terminal failed.
    #[error("the terminal cannot be used")]
    Terminal(#[from] io::Error),
    /// No code could be drawn.
    #[error("no code can be drawn")]
    Random(#[from] strongroom_seal::RandomError),
}

impl From<NotConfirmed> for Failure {
    fn from(error: NotConfirmed) -> Self {
        let hint = "run the command at a terminal and type the code that it shows";
        Self::new(Exit::Denied, error).hint(hint)
    }
}

/// Asks the person at the terminal to confirm `changes`, which let agents do more.
pub fn at_terminal(changes: &[String], clock: &dyn Clock) -> Result<(), NotConfirmed> {
    in_person("This lets agents do more", changes, clock)
}

/// Asks the person at the terminal to confirm `changes`, with these words over them.
pub fn in_person(heading: &str, changes: &[String], clock: &dyn Clock) -> Result<(), NotConfirmed> {
    let mut terminal = terminal::open().ok_or(NotConfirmed::Nobody)?;
    confirm(&mut *terminal, heading, changes, &draw()?, clock)
}

/// Shows `changes` and `code`, and waits for the code to be typed.
pub fn confirm(
    person: &mut dyn Person,
    heading: &str,
    changes: &[String],
    code: &str,
    clock: &dyn Clock,
) -> Result<(), NotConfirmed> {
    let until = clock.monotonic() + PATIENCE;
    // Some of it is from files of others: nothing in it may hide or rewrite what is shown.
    let line = |change: &String| format!("  - {}\n", DisplaySafe(change));
    let list: Vec<String> = changes.iter().map(line).collect();
    let (left, right) = code.split_at(code.len() / 2);
    person.show(&format!("\n{heading}:\n{}\nType {left}-{right} to confirm: ", list.concat()))?;
    for tries_left in (0..TRIES).rev() {
        let within = until.saturating_sub(clock.monotonic());
        let Some(line) = person.answer(within)? else { break };
        if bare(&line) == code {
            return Ok(());
        }
        if tries_left > 0 {
            person.show("That is not it. Again: ")?;
        }
    }
    Err(NotConfirmed::NotTyped)
}

fn bare(line: &str) -> String {
    line.chars()
        .filter(|c| !matches!(c, '-' | ' ' | '\r' | '\n'))
        .collect::<String>()
        .to_uppercase()
}

fn draw() -> Result<String, strongroom_seal::RandomError> {
    let mut bytes = [0; LENGTH];
    strongroom_seal::random(&mut bytes)?;
    Ok(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect())
}

#[cfg(unix)]
mod terminal {
    use std::fs::File;
    use std::io::{self, Read as _, Write as _};
    use std::time::{Duration, Instant};

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::termios::{QueueSelector, tcflush};

    use super::Person;

    struct Terminal(File);

    /// The longest line that is an answer.
    const LONGEST: usize = 64;

    pub(super) fn open() -> Option<Box<dyn Person>> {
        let tty = File::options().read(true).write(true).open("/dev/tty").ok()?;
        Some(Box::new(Terminal(tty)))
    }

    impl Person for Terminal {
        fn show(&mut self, text: &str) -> io::Result<()> {
            self.0.write_all(text.as_bytes())?;
            Ok(tcflush(&self.0, QueueSelector::IFlush)?)
        }

        fn answer(&mut self, within: Duration) -> io::Result<Option<String>> {
            let until = Instant::now() + within;
            let mut line = Vec::new();
            while !line.ends_with(b"\n") && line.len() < LONGEST {
                let left = until.saturating_duration_since(Instant::now());
                let left = left.try_into().map_err(io::Error::other)?;
                let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
                match poll(&mut fds, Some(&left)) {
                    Ok(0) => return Ok(None),
                    Err(rustix::io::Errno::INTR) => continue,
                    other => other?,
                };
                let mut some = [0; LONGEST];
                match self.0.read(&mut some)? {
                    0 => return Ok(None),
                    read => line.extend_from_slice(&some[..read]),
                }
            }
            Ok(Some(String::from_utf8_lossy(&line).into_owned()))
        }
    }
}

#[cfg(not(unix))]
mod terminal {
    use super::Person;

    /// There is no terminal beside the standard handles that pipes could not stand in for.
    pub(super) fn open() -> Option<Box<dyn Person>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use strongroom_testkit::fakes::FakeClock;

    use super::*;

    #[derive(Default)]
    struct Scripted {
        shown: String,
        lines: VecDeque<&'static str>,
        waited: Vec<Duration>,
    }

    impl Person for Scripted {
        fn show(&mut self, text: &str) -> io::Result<()> {
            self.shown.push_str(text);
            Ok(())
        }

        fn answer(&mut self, within: Duration) -> io::Result<Option<String>> {
            self.waited.push(within);
            Ok(self.lines.pop_front().map(str::to_owned))
        }
    }

    fn ask(lines: &[&'static str]) -> (Result<(), NotConfirmed>, Scripted) {
        let mut person = Scripted { lines: lines.iter().copied().collect(), ..Scripted::default() };
        let changes = ["allows `POST /v1/**`".to_owned()];
        let done =
            confirm(&mut person, "This does more", &changes, "ABCD2345", &FakeClock::default());
        (done, person)
    }

    #[test]
    fn the_code_confirms_however_it_is_spaced() {
        for line in ["ABCD-2345\n", "abcd2345", "abcd 2345\r\n"] {
            assert!(ask(&[line]).0.is_ok(), "{line}");
        }
        let (done, person) = ask(&["no\n", "\n", "ABCD2345\n"]);
        assert!(done.is_ok());
        assert!(person.shown.contains("  - allows `POST /v1/**`\n"), "{}", person.shown);
        assert!(person.shown.contains("Type ABCD-2345 to confirm"), "{}", person.shown);
        assert_eq!(person.waited[0], PATIENCE);
    }

    // AL-01
    #[test]
    fn nothing_in_a_change_hides_another_one() {
        let mut person = Scripted::default();
        let changes = ["trusts `a\u{1b}[2K\r`".to_owned(), "starts `sh`\n  - b".to_owned()];
        let clock = FakeClock::default();
        drop(confirm(&mut person, "This does more", &changes, "ABCD2345", &clock));
        assert!(!person.shown.contains(['\u{1b}', '\r']), "{:?}", person.shown);
        assert!(person.shown.contains("  - trusts `a\\u{1b}[2K\\u{d}`\n"), "{:?}", person.shown);
        assert_eq!(person.shown.lines().filter(|line| line.starts_with("  - ")).count(), 2);
    }

    #[test]
    fn anything_else_denies() {
        for lines in [&[][..], &["yes\n"], &["no\n", "no\n", "no\n", "ABCD2345\n"], &["ABCD234\n"]]
        {
            assert!(matches!(ask(lines).0, Err(NotConfirmed::NotTyped)), "{lines:?}");
        }
    }

    #[test]
    fn a_code_is_eight_characters_that_nobody_misreads() {
        let code = draw().unwrap();
        assert_eq!(code.len(), 8);
        assert!(code.bytes().all(|b| ALPHABET.contains(&b)));
        assert!(!ALPHABET.iter().any(|b| b"0O1I".contains(b)));
        assert_ne!(code, draw().unwrap());
    }
}
