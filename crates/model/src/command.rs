//! A command service: a program on this machine that the broker may run with secrets.
//!
//! [`Invocation::read`] is the one reading of what an agent asked for; [`policy`] judges it;
//! [`value`] says how a variable of the program's environment is made of secrets.

mod invocation;
mod pattern;
pub mod policy;
pub mod value;

use std::path::PathBuf;

use crate::injection::Target;
use crate::principal::Name;
use crate::service::{Auth, Keys, Limits};

pub use invocation::{Invocation, MOST_BYTES, MOST_WORDS, line, words};
pub use policy::{Policy, Rule};
pub use value::{Value, ValueError};

/// The one file that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its absolute path without links, resolved when it was configured.
    pub path: PathBuf,
    /// What is in it: SHA-256 in hexadecimal, recorded when it was configured.
    pub sha256: String,
    /// What a command line begins with, and what the program is told its own name is: `git`.
    pub word: String,
}

/// A program that the broker may run.
#[derive(Clone, Debug)]
pub struct Command {
    /// Its name in the configuration.
    pub name: Name,
    /// What is run.
    pub program: Program,
    /// The secrets that it is given, by field.
    pub auth: Auth,
    /// Variables of its environment beside the usual ones.
    pub env: Vec<(String, Value)>,
    /// What git is answered when it asks for a user and a password.
    pub askpass: Option<Askpass>,
    /// What may be asked of it.
    pub policy: Policy,
    /// Where it runs; a new empty folder where it is `None`.
    pub workdir: Option<PathBuf>,
    /// Whether an agent may send it standard input.
    pub stdin: bool,
    /// Caps and deadlines, as far as they are about programs.
    pub limits: Limits,
    /// The principals that may use it; `None`: every one.
    pub principals: Option<Vec<Name>>,
    /// Changes whenever the configuration of this service does.
    pub revision: u64,
}

/// What git is answered when it asks for a user and a password, and for which host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Askpass {
    /// The host, with its port where that is not the usual one, as git shows it.
    pub host: String,
    /// The user.
    pub username: String,
    /// The password.
    pub password: Value,
    /// Whether git may speak plain http to the host.
    pub insecure: bool,
}

/// What one run may use at the most, where the configuration does not say: 30 s, 10 MiB of standard
/// input, 1 MiB of output on both descriptors together.
pub fn limits() -> Limits {
    Limits { total_ms: 30_000, response_bytes: 1 << 20, ..Limits::default() }
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
