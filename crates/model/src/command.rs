//! A command service: a program on this machine that the broker may run with secrets.

use std::path::PathBuf;

use crate::injection::Target;
use crate::principal::Name;
use crate::service::{Auth, Keys};

/// The one file that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its absolute path, resolved when it was configured.
    pub path: PathBuf,
}

/// A program that the broker may run.
#[derive(Clone, Debug)]
pub struct Command {
    /// Its name in the configuration.
    pub name: Name,
    /// What is run.
    pub program: Program,
    /// The secrets that it is given.
    pub auth: Auth,
    /// The principals that may use it; `None`: every one.
    pub principals: Option<Vec<Name>>,
    /// Changes whenever the configuration of this service does.
    pub revision: u64,
}

impl Target for Command {
    type To = Program;

    fn keys(&self) -> Keys<'_> {
        Keys { name: &self.name, auth: &self.auth, revision: self.revision }
    }

    fn to(&self) -> Program {
        self.program.clone()
    }
}
