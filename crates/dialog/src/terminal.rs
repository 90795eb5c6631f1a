//! Asking at a terminal, as pinentry does, where there is no display.
//!
//! A terminal that the agent has a part in is no place to ask: whoever shares it can write what the person
//! reads and, on some systems, what the person types. So it is used only where all of this holds, and it
//! is looked at again before anything is shown and before each line that is read:
//!
//! - our standard input is that terminal: whoever holds the other end of a pipe is whom we serve;
//! - we are in the foreground of it;
//! - its session has nobody in it but us, what we started, and the shell that we were started from.
//!
//! Consent is given by typing a code that is drawn for this question, so that neither a key that is held
//! down nor a line that was pasted is a yes. What was typed before a prompt stands does not count.

#[cfg(unix)]
mod line;
mod person;
#[cfg(unix)]
mod sharing;
#[cfg(unix)]
mod tty;
#[cfg(unix)]
mod undo;

use std::io;
use std::path::{Path, PathBuf};

use strongroom_model::form::Form;
use strongroom_model::paths::PathsError;

pub(crate) use person::put;
pub use person::{Echo, Person};
#[cfg(unix)]
pub use tty::Tty;

use crate::asking::{Ended, Failure, Wait};
use crate::{Answers, Code, Places};

/// A terminal that is the person's alone.
#[derive(Clone, Debug)]
pub struct Terminal {
    line: PathBuf,
}

/// Why nobody can be asked at a terminal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoTerminal {
    /// There is none, or there are none on this system.
    #[error("there is no terminal to ask at")]
    Nowhere,
    /// Standard input is something else: whom we serve holds it.
    #[error("standard input is no terminal")]
    Input,
    /// Somebody else has the terminal.
    #[error("this is not what the terminal is used for just now")]
    Background,
    /// Another process is in the terminal's session, and could be the agent.
    #[error("process {process} shares the terminal, and could be the agent")]
    Shared {
        /// Its id.
        process: u32,
    },
    /// Who shares the terminal cannot be told.
    #[error("who shares the terminal cannot be told")]
    Unknown,
    /// There is no place where questions could stand in line.
    #[error(transparent)]
    NoHome(#[from] PathsError),
    /// The terminal cannot be used.
    #[error("the terminal cannot be used")]
    Io(#[from] io::Error),
}

impl Terminal {
    /// Finds the terminal of this process, where a person can be asked at it.
    ///
    /// # Errors
    ///
    /// Why nobody can be.
    pub fn find(places: &Places) -> Result<Self, NoTerminal> {
        let line = places.line()?;
        check()?;
        Ok(Self { line })
    }

    /// The folder of the line.
    pub(crate) fn line(&self) -> &Path {
        &self.line
    }
}

impl NoTerminal {
    /// The stable word for programs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Nowhere | Self::Input | Self::Background => "no_terminal",
            Self::Shared { .. } | Self::Unknown => "terminal_shared",
            Self::NoHome(_) => "no_home",
            Self::Io(_) => "terminal_unusable",
        }
    }
}

/// Asks `form` at the terminal of this process.
#[cfg(unix)]
pub(crate) fn ask(form: &Form, wait: &Wait) -> Result<Answers, Ended> {
    form.check().map_err(Failure::from)?;
    check().map_err(Failure::from)?;
    let mut tty = Tty::open().ok_or(Failure::Terminal(NoTerminal::Nowhere))?;
    let code = Code::draw().map_err(Failure::from)?;
    put(&mut tty, form, code, wait, &check)
}

#[cfg(unix)]
fn check() -> Result<(), NoTerminal> {
    sharing::check()
}

/// Where there is no terminal beside the standard handles that pipes could not stand in for, there is
/// nobody at it.
#[cfg(not(unix))]
#[derive(Debug)]
pub struct Nobody;

#[cfg(not(unix))]
impl Person for Nobody {
    fn show(&mut self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn answer(
        &mut self,
        _: &str,
        _: Echo,
        _: &mut dyn FnMut() -> bool,
    ) -> io::Result<Option<strongroom_model::secret::Secret>> {
        Ok(None)
    }
}

/// Asks `form` of nobody.
#[cfg(not(unix))]
pub(crate) fn ask(form: &Form, wait: &Wait) -> Result<Answers, Ended> {
    form.check().map_err(Failure::from)?;
    check().map_err(Failure::from)?;
    put(&mut Nobody, form, Code::draw().map_err(Failure::from)?, wait, &check)
}

#[cfg(not(unix))]
fn check() -> Result<(), NoTerminal> {
    Err(NoTerminal::Nowhere)
}
