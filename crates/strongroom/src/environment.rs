//! What the process was started with, captured once and passed in from there on.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;

use strongroom_model::ports::Clock;

use crate::clock::SystemClock;
use crate::failure::Failure;
use crate::paths::{Environment, Home, Os};

/// What the process was started with.
#[derive(Clone)]
pub struct Host {
    /// The arguments, the program's name first.
    pub arguments: Vec<OsString>,
    /// The variables.
    pub environment: Environment,
    /// The absolute path of this program.
    pub program: PathBuf,
    /// Where relative paths start.
    pub directory: PathBuf,
    /// Which of the three descriptors are terminals.
    pub terminals: Terminals,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Which of the three descriptors are terminals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terminals {
    /// Descriptor 0.
    pub stdin: bool,
    /// Descriptor 1.
    pub stdout: bool,
    /// Descriptor 2.
    pub stderr: bool,
}

impl Host {
    /// Captures this process. Called once, in `main`.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn capture() -> Self {
        Self {
            arguments: std::env::args_os().collect(),
            environment: Environment::new(Os::CURRENT, std::env::vars_os()),
            program: std::env::current_exe().unwrap_or_default(),
            directory: std::env::current_dir().unwrap_or_default(),
            terminals: Terminals {
                stdin: io::stdin().is_terminal(),
                stdout: io::stdout().is_terminal(),
                stderr: io::stderr().is_terminal(),
            },
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Where this user's files are.
    pub fn home(&self) -> Result<Home, Failure> {
        Ok(Home::locate(&self.environment)?)
    }
}
