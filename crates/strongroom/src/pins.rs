//! Pinned servers: what `strongroom mcp pin` installed, and whether it is still that (decision 9).
//!
//! A pin is one file, `share/strongroom/servers/NAME/pin.json`, beside the folder with what was
//! installed. `run` reads it, looks at the files it names without reading them, and starts the
//! program in it in the place of the package runner. Nothing is looked up and no secret is asked for
//! before that.

pub mod image;
pub mod install;
pub mod node;
pub mod python;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strongroom_gateway::pin::{self, Broken, Held, Package, Source};
use strongroom_model::principal::Name;
use strongroom_model::server::{Server, Stdio, Template, Transport};
use strongroom_seal::{FileError, SecureDir};

use crate::failure::{Exit, Failure};
use crate::paths::Home;

const FILE: &str = "pin.json";
const LARGEST: usize = 8 << 20;
const VERSION: u32 = 1;

/// What was installed for a server, and what is started instead of its package runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    version: u32,
    /// The package as the server's command line asked for it.
    pub package: Package,
    /// The one version that was installed; the digest of an image.
    pub exact: String,
    /// The program that is started; empty for an image, which the same program runs.
    program: PathBuf,
    /// Its arguments before the server's own.
    args: Vec<String>,
    /// The folder with what was installed, beside this file.
    folder: Option<String>,
    /// The digest of all that was installed.
    whole: String,
    /// What is looked at before each start.
    held: Vec<Held>,
}

/// A pinned server is not started.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// A file is not as it was.
    #[error("`{server}` is pinned, and `{}` has changed since", .path.display())]
    Changed {
        /// The server.
        server: Name,
        /// The file.
        path: PathBuf,
    },
    /// The command line asks for something else than was pinned.
    #[error("`{server}` is pinned, and its command has changed since")]
    Other {
        /// The server.
        server: Name,
    },
    /// The pin itself cannot be read.
    #[error("the pin of `{server}` cannot be used")]
    Unreadable {
        /// The server.
        server: Name,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl PinError {
    fn server(&self) -> &Name {
        match self {
            Self::Changed { server, .. }
            | Self::Other { server }
            | Self::Unreadable { server, .. } => server,
        }
    }
}

impl From<PinError> for Failure {
    fn from(error: PinError) -> Self {
        let hint =
            format!("look at what changed, then run `strongroom mcp pin {}`", error.server());
        Self::new(Exit::Denied, error).hint(hint)
    }
}

/// What to start for `server` instead of what it says, where it is pinned and all is as it was.
///
/// Comes before any secret is asked for (SC-01).
pub fn apply(home: &Home, server: &Server) -> Result<Option<Stdio>, PinError> {
    let Transport::Stdio(stdio) = &server.transport else { return Ok(None) };
    let Some(pin) = read(home, &server.name)? else { return Ok(None) };
    let instead = pin::package(stdio).and_then(|asked| pin.instead(stdio, &asked));
    let instead = instead.ok_or_else(|| PinError::Other { server: server.name.clone() })?;
    let touched = pin
        .check()
        .map_err(|Broken { path }| PinError::Changed { server: server.name.clone(), path })?;
    if let Some(now) = touched {
        // Only spares the next start the reading; the files were read and are the same.
        drop(write(home, &server.name, &now));
    }
    Ok(Some(instead))
}

impl Pin {
    /// `stdio` with what is pinned in the place of what `asked` would get; `None`: it asks for
    /// something else.
    fn instead(&self, stdio: &Stdio, asked: &Package) -> Option<Stdio> {
        let same = |package: &Package| Package { rest: 0, ..package.clone() };
        if same(&self.package) != same(asked) {
            return None;
        }
        let (program, before) = if self.package.source == Source::Image {
            // The options stay, and the image is their last word.
            let mut options = stdio.args.get(..asked.rest.checked_sub(1)?)?.to_vec();
            options.push(Template::literal(format!("{}@{}", asked.name, self.exact)));
            (stdio.program.clone(), options)
        } else {
            let args = self.args.iter().map(Template::literal).collect();
            (self.program.to_str()?.to_owned(), args)
        };
        let own = stdio.args.get(asked.rest..)?;
        let args = before.into_iter().chain(own.iter().cloned()).collect();
        Some(Stdio { program, args, ..stdio.clone() })
    }

    /// Looks at every file that a start depends on. `Some`: some were touched and hold the same, and
    /// this is what to remember.
    pub fn check(&self) -> Result<Option<Self>, Broken> {
        let mut now: Option<Self> = None;
        for (index, held) in self.held.iter().enumerate() {
            if let Some(touched) = held.check()? {
                now.get_or_insert_with(|| self.clone()).held[index] = touched;
            }
        }
        Ok(now)
    }

    /// Reads everything that was installed, what the programs load included; says whether it is as
    /// it was.
    pub fn check_all(&self, home: &Home, server: &Name) -> Result<bool, PinError> {
        let Some(folder) = &self.folder else { return Ok(true) };
        let root = folder_of(home, server).join(folder);
        let all = Held::tree(&root).map_err(|error| PinError::Unreadable {
            server: server.clone(),
            source: Box::new(error),
        })?;
        Ok(Held::digest(&all, &root) == self.whole)
    }

    /// The program that is started; `None`: the server's own, which runs an image.
    pub fn program(&self) -> Option<&Path> {
        (!self.program.as_os_str().is_empty()).then_some(self.program.as_path())
    }

    /// How many files and folders are looked at before each start.
    pub fn watched(&self) -> usize {
        self.held.len()
    }
}

/// Where the pin of a server and what was installed for it are.
pub fn folder_of(home: &Home, server: &Name) -> PathBuf {
    home.servers_dir().join(server.as_str())
}

/// The pin of a server, where there is one.
pub fn read(home: &Home, server: &Name) -> Result<Option<Pin>, PinError> {
    let unreadable = |source| PinError::Unreadable { server: server.clone(), source };
    let bytes =
        match SecureDir::open(folder_of(home, server)).and_then(|dir| dir.read(FILE, LARGEST)) {
            Ok(bytes) => bytes,
            Err(FileError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(unreadable(error.into())),
        };
    let pin: Pin = serde_json::from_slice(&bytes).map_err(|error| unreadable(error.into()))?;
    if pin.version == VERSION {
        Ok(Some(pin))
    } else {
        Err(unreadable("it was written by another version of Strongroom".into()))
    }
}

/// Puts `pin` in the place of the one that there is.
fn write(home: &Home, server: &Name, pin: &Pin) -> Result<(), FileError> {
    let text = serde_json::to_vec(pin).unwrap_or_default();
    SecureDir::open(folder_of(home, server))?.write_atomic(FILE, &text)
}

/// Forgets the pin of a server and removes what was installed for it; says whether there was one.
pub fn remove(home: &Home, server: &Name) -> Result<bool, FileError> {
    let there = match SecureDir::open(folder_of(home, server)) {
        // The pin goes first, so that a removal that stops midway leaves no pin of a torn folder.
        Ok(dir) => dir.remove(FILE)?,
        Err(FileError::Missing { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    install::clear(&folder_of(home, server));
    Ok(there)
}

/// Whether only the system's administrator can change the program at `path`. The system keeps it up
/// to date, so a pin names it and does not hold on to what is in it.
#[cfg(unix)]
fn is_of_the_system(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let closed = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|found| found.uid() == 0 && found.mode() & 0o022 == 0)
    };
    path.ancestors().all(closed)
}

#[cfg(not(unix))]
fn is_of_the_system(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests;
