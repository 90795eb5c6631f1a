//! Widening needs a person (decision 28): a code is shown on the terminal and typed back or, where the
//! command has no terminal, the window program asks who sits at the display.
//!
//! The terminal is `/dev/tty` and not stdin, so that whoever runs the command with pipes cannot
//! answer. An agent that drives a pseudo-terminal, or a display of its own, can: SECURITY.md says so.

use std::io;
use std::time::Duration;

use strongroom_dialog::terminal::{Echo, Person};
use strongroom_dialog::{Code, Typed, Verdict};
use strongroom_model::approval::By;
use strongroom_model::display::DisplaySafe;
use strongroom_model::ports::Clock;

use crate::desktop::{Desktop, Said};
use crate::environment::Host;
use crate::failure::{Exit, Failure};

const PATIENCE: Duration = Duration::from_mins(2);

/// Why there was no confirmation.
#[derive(Debug, thiserror::Error)]
pub enum NotConfirmed {
    /// Nobody can be asked.
    #[error("this lets agents do more, and there is no terminal to ask a person at")]
    Nobody,
    /// The person said no.
    #[error("a person said no, so nothing was changed")]
    Denied,
    /// The window was not answered.
    #[error("nobody answered, so nothing was changed")]
    NotAnswered,
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

/// Asks a person to confirm `changes`, which let agents do more.
pub fn by_a_person(changes: &[String], host: &Host) -> Result<(), NotConfirmed> {
    in_person("This lets agents do more", changes, host)
}

/// Asks a person to confirm `changes`, with these words over them.
pub fn in_person(heading: &str, changes: &[String], host: &Host) -> Result<(), NotConfirmed> {
    ask(heading, changes, host).map(drop)
}

/// The same; says how the person was asked. The terminal comes first: who typed the command is at it.
pub fn ask(heading: &str, changes: &[String], host: &Host) -> Result<By, NotConfirmed> {
    if let Ok(mut terminal) = terminal() {
        confirm(&mut terminal, heading, changes, Code::draw()?, &*host.clock)?;
        return Ok(By::Cli);
    }
    match Desktop::of(host).consent_to("Strongroom: is this what you want?", heading, changes) {
        Said::Yes => Ok(By::Dialog),
        Said::No => Err(NotConfirmed::Denied),
        Said::Nothing => Err(NotConfirmed::NotAnswered),
        Said::Nowhere => Err(NotConfirmed::Nobody),
    }
}

/// Shows `changes` and `code`, and waits for the code to be typed.
pub fn confirm(
    person: &mut dyn Person,
    heading: &str,
    changes: &[String],
    code: Code,
    clock: &dyn Clock,
) -> Result<(), NotConfirmed> {
    let until = clock.monotonic() + PATIENCE;
    // Some of it is from files of others: nothing in it may hide or rewrite what is shown.
    let line = |change: &String| format!("  - {}\n", DisplaySafe(change));
    let list: Vec<String> = changes.iter().map(line).collect();
    person.show(&format!("\n{heading}:\n{}\n", list.concat()))?;

    let mut typed = Typed::new(code);
    let mut prompt = format!("Type {} to confirm: ", typed.shown());
    let mut over = || clock.monotonic() >= until;
    while let Some(line) = person.answer(&prompt, Echo::On, &mut over)? {
        match typed.attempt(&String::from_utf8_lossy(line.expose())) {
            Verdict::Right => return Ok(()),
            Verdict::Again { .. } => "That is not it. Again: ".clone_into(&mut prompt),
            Verdict::Denied => break,
        }
    }
    Err(NotConfirmed::NotTyped)
}

#[cfg(unix)]
fn terminal() -> Result<strongroom_dialog::terminal::Tty, NotConfirmed> {
    strongroom_dialog::terminal::Tty::open().ok_or(NotConfirmed::Nobody)
}

/// There is no terminal beside the standard handles that pipes could not stand in for.
#[cfg(not(unix))]
fn terminal() -> Result<strongroom_dialog::terminal::Nobody, NotConfirmed> {
    Err(NotConfirmed::Nobody)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use strongroom_model::secret::Secret;
    use strongroom_testkit::fakes::FakeClock;

    use super::*;

    /// A person who types what was written down; `CODE` stands for the code that is shown.
    #[derive(Default)]
    struct Scripted {
        shown: String,
        lines: VecDeque<&'static str>,
        /// How long each answer takes.
        takes: Duration,
        clock: Arc<FakeClock>,
    }

    impl Person for Scripted {
        fn show(&mut self, text: &str) -> io::Result<()> {
            self.shown.push_str(text);
            Ok(())
        }

        fn answer(
            &mut self,
            prompt: &str,
            _: Echo,
            over: &mut dyn FnMut() -> bool,
        ) -> io::Result<Option<Secret>> {
            self.show(prompt)?;
            self.clock.advance(self.takes);
            let code = self.shown.split("Type ").nth(1).unwrap().split(' ').next().unwrap();
            let line = self.lines.pop_front().filter(|_| !over());
            Ok(line.map(|line| Secret::new(line.replace("CODE", code).into_bytes())))
        }
    }

    fn confirmed(mut person: Scripted, changes: &[String]) -> (Result<(), NotConfirmed>, Scripted) {
        let clock = Arc::clone(&person.clock);
        let code = Code::draw().unwrap();
        (confirm(&mut person, "This does more", changes, code, &*clock), person)
    }

    fn ask(lines: &[&'static str], takes: Duration) -> (Result<(), NotConfirmed>, Scripted) {
        let lines = lines.iter().copied().collect();
        let person = Scripted { lines, takes, ..Scripted::default() };
        confirmed(person, &["allows `POST /v1/**`".to_owned()])
    }

    #[test]
    fn the_code_confirms_at_the_first_try_and_at_the_last() {
        for lines in [&["CODE"][..], &["CODE\r"], &["no", "", "CODE"]] {
            let (done, person) = ask(lines, Duration::ZERO);
            assert!(done.is_ok(), "{lines:?}");
            assert!(person.shown.contains("  - allows `POST /v1/**`\n"), "{}", person.shown);
        }
    }

    // AL-01
    #[test]
    fn nothing_in_a_change_hides_another_one() {
        let changes = ["trusts `a\u{1b}[2K\r`".to_owned(), "starts `sh`\n  - b".to_owned()];
        let (_, person) = confirmed(Scripted::default(), &changes);
        assert!(!person.shown.contains(['\u{1b}', '\r']), "{:?}", person.shown);
        assert!(person.shown.contains("  - trusts `a\\u{1b}[2K\\u{d}`\n"), "{:?}", person.shown);
        assert_eq!(person.shown.lines().filter(|line| line.starts_with("  - ")).count(), 2);
    }

    // DE-07
    #[test]
    fn anything_else_denies() {
        for lines in [&[][..], &["y", "yes"], &["no", "no", "no", "CODE"], &["CODE2"]] {
            let (done, _) = ask(lines, Duration::ZERO);
            assert!(matches!(done, Err(NotConfirmed::NotTyped)), "{lines:?}");
        }
    }

    #[test]
    fn the_code_is_waited_for_two_minutes_in_all() {
        assert!(ask(&["no", "CODE"], PATIENCE / 3).0.is_ok());
        assert!(ask(&["no", "CODE"], PATIENCE / 2).0.is_err());
    }
}
