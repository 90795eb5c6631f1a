//! What a server is started with: a pure plan.
//!
//! A server gets the few variables of ours that every program needs, those that it lists, its own
//! variables, and its own secrets; nothing else of ours, and never what opens a store of secrets.
//! Its program is found in the caller's `PATH` and its arguments are handed over one by one: there
//! is no shell, so that nothing in a name or an argument means anything (LM-12, LM-13).

mod batch;
pub mod dotenv;
mod environment;
mod find;
mod unpinned;

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::server::{Piece, Stdio, Template};

pub use environment::{is_dangerous, is_passed, is_unlock_material};
pub use unpinned::{Unpinned, unpinned};

/// A kind of system, as far as starting programs is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Linux, macOS and their like.
    Unix,
    /// Windows.
    Windows,
}

impl System {
    /// The one that this program was built for.
    pub const CURRENT: Self = if cfg!(windows) { Self::Windows } else { Self::Unix };
}

/// Where a server is started.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The system.
    pub system: System,
    /// Where relative paths start: the caller's directory.
    pub directory: &'a Path,
    /// Whether a path is a file that may be executed.
    pub is_program: &'a dyn Fn(&Path) -> bool,
}

/// What to start, and with what.
#[derive(Clone, PartialEq, Eq)]
pub struct Plan {
    /// The program, an absolute path.
    pub program: PathBuf,
    /// What the program is told its name is: what the server's definition says.
    pub name: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment, each name once.
    pub env: Vec<(OsString, OsString)>,
    /// Where it starts; the caller's directory where it is `None`.
    pub cwd: Option<PathBuf>,
}

/// Values are secret: only names and counts are shown.
impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Plan")
            .field("program", &self.program)
            .field("args", &self.args.len())
            .field("env", &names)
            .finish_non_exhaustive()
    }
}

/// A server that cannot be started as it is described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nothing of that name is in `PATH`.
    #[error("there is no program `{program}` in `PATH`")]
    NotFound {
        /// The name.
        program: String,
    },
    /// There is no program at that path.
    #[error("`{}` is not a program that can be started", .path.display())]
    NotAProgram {
        /// The path.
        path: PathBuf,
    },
    /// A text that the system cannot take.
    #[error("{place} holds {what}, which no program can be given")]
    Text {
        /// `the argument 2`, `the variable A`.
        place: String,
        /// `a NUL`.
        what: &'static str,
    },
    /// A variable that no program can be given.
    #[error("a variable has no name, or one with `=` or a control character in it")]
    Name,
    /// A variable of ours that a server never gets.
    #[error("`{name}` opens a store of secrets and is never passed on")]
    UnlockMaterial {
        /// The variable.
        name: String,
    },
    /// A secret that was not looked up.
    #[error("`{reference}` was not looked up")]
    NoSecret {
        /// The reference.
        reference: SecretRef,
    },
}

impl PlanError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { program } => format!(
                "install `{program}`, or write its absolute path into the server's `command`"
            ),
            Self::NotAProgram { .. } => "correct the server's `command`".to_owned(),
            Self::UnlockMaterial { name } => format!(
                "take it out of `pass_env`; where the server needs it as its own, write `{name} = \"env://{name}\"` into its `env`"
            ),
            Self::Text { .. } | Self::Name | Self::NoSecret { .. } => return None,
        })
    }
}

/// Plans the start of `server` with `extra` arguments behind its own.
///
/// `secrets` has the value of every reference; `environment` is the caller's.
pub fn plan<'a>(
    server: &Stdio,
    secrets: &dyn Fn(&SecretRef) -> Option<&'a Secret>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    extra: &[OsString],
    place: &Place<'_>,
) -> Result<Plan, PlanError> {
    let caller: Vec<_> = environment.into_iter().collect();
    let cwd = server.cwd.as_ref().map(|cwd| place.directory.join(cwd));
    let program = find::program(
        &server.program,
        environment::value(&caller, "PATH", place.system),
        cwd.as_deref().unwrap_or(place.directory),
        place,
    )?;
    let mut args = Vec::with_capacity(server.args.len() + extra.len());
    for (number, template) in server.args.iter().enumerate() {
        let what = || format!("the argument {}", number + 1);
        args.push(text(template, secrets, &what, place.system)?);
    }
    for (number, argument) in extra.iter().enumerate() {
        let what = || format!("the argument {}", server.args.len() + number + 1);
        refuse_nul(argument.as_encoded_bytes(), &what)?;
        args.push(argument.clone());
    }
    batch::check(&program, &args, place.system)?;
    let mut own = Vec::with_capacity(server.env.len());
    for (name, template) in &server.env {
        environment::check_name(name)?;
        let value = text(template, secrets, &|| format!("the variable `{name}`"), place.system)?;
        own.push((OsString::from(name), value));
    }
    let env = environment::build(caller, &server.pass_env, own, place.system)?;
    Ok(Plan { program, name: server.program.clone().into(), args, env, cwd })
}

/// The value of the variable `name`, for a file of variables.
pub fn value<'a>(
    template: &Template,
    secrets: &dyn Fn(&SecretRef) -> Option<&'a Secret>,
    name: &str,
    system: System,
) -> Result<Secret, PlanError> {
    let value = text(template, secrets, &|| format!("the variable `{name}`"), system)?;
    Ok(Secret::new(value.into_encoded_bytes()))
}

/// The text of `template`, with every reference in it replaced by its secret.
///
/// Invariant: this is where plaintext enters a child's environment, and the only place.
fn text<'a>(
    template: &Template,
    secrets: &dyn Fn(&SecretRef) -> Option<&'a Secret>,
    place: &dyn Fn() -> String,
    system: System,
) -> Result<OsString, PlanError> {
    let mut bytes = Vec::new();
    for piece in template.pieces() {
        match piece {
            Piece::Text(text) => bytes.extend_from_slice(text.as_bytes()),
            Piece::Reference(reference) => {
                let secret = secrets(reference)
                    .ok_or_else(|| PlanError::NoSecret { reference: reference.clone() })?;
                bytes.reserve_exact(secret.len());
                bytes.extend_from_slice(secret.expose());
            }
        }
    }
    refuse_nul(&bytes, place)?;
    into_os(bytes, system)
        .ok_or_else(|| PlanError::Text { place: place(), what: "bytes that are not UTF-8" })
}

fn refuse_nul(bytes: &[u8], place: &dyn Fn() -> String) -> Result<(), PlanError> {
    if bytes.contains(&0) {
        return Err(PlanError::Text { place: place(), what: "a NUL" });
    }
    Ok(())
}

/// A text for the system. On Unix any bytes are one; on Windows only Unicode is.
fn into_os(bytes: Vec<u8>, system: System) -> Option<OsString> {
    #[cfg(unix)]
    if system == System::Unix {
        return Some(std::os::unix::ffi::OsStringExt::from_vec(bytes));
    }
    let _ = system;
    String::from_utf8(bytes).ok().map(OsString::from)
}

#[cfg(test)]
mod tests;
