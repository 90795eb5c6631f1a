//! A room of its own for a server that is not trusted: what it sees of the machine, whom it can talk to
//! and how much it may use is written down, and everything else is not there.
//!
//! Two layers, one inside the other. [bubblewrap] gives it namespaces: its own view of the files, its own
//! processes, no network. Inside, before the server begins, this program bounds itself ([`confine`]) and
//! then becomes the server: resource limits, landlock, and a filter of system calls. What one layer lets
//! through by a mistake of ours or a hole of its own, the other still holds.
//!
//! Where there is no such room ([`Missing`]) nothing is started: there is no weaker one in its place.
//!
//! [bubblewrap]: https://github.com/containers/bubblewrap

mod arguments;
mod confine;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod syscalls;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Start, run};

pub use confine::{CONFINE, confine};

/// Where bubblewrap is looked for: where only the machine's owner installs. A `PATH` is not asked.
const PLACES: [&str; 4] =
    ["/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap", "/run/current-system/sw/bin/bwrap"];

/// Bytes of what bubblewrap says that are read.
const SAID: usize = 4 << 10;

/// How long an empty room may take to be built.
const PATIENCE: Duration = Duration::from_secs(20);

/// Builds rooms on this machine.
#[derive(Clone, Debug)]
pub struct Sandbox {
    bwrap: PathBuf,
    /// This program, which hands its arguments to [`confine`] before anything else.
    helper: PathBuf,
    layers: Layers,
}

/// What holds a server in its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// The kernel's landlock, beside namespaces and the filter of system calls, which are always there.
    pub landlock: bool,
    /// The limit of processes: the kernel counts none of root's.
    pub processes: bool,
}

/// One server's room.
#[derive(Clone, Debug, Default)]
pub struct Room {
    /// What it may read, beside the system's programs and libraries and its own program.
    pub read: Vec<PathBuf>,
    /// What it may write to.
    pub write: Vec<PathBuf>,
    /// What it never sees, whatever else was said: our own folders.
    pub hide: Vec<PathBuf>,
    /// Whether it has the machine's network. Without, it has not even a loopback that anybody else has.
    pub network: bool,
    /// What it may use.
    pub limits: Limits,
}

/// What a server in a room may use. Each bounds one process; there may be
/// [`processes`](Self::processes) of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory that it writes to (`RLIMIT_DATA`).
    pub memory: u64,
    /// Processes and threads (`RLIMIT_NPROC`), counted in the room alone.
    pub processes: u64,
    /// Open files (`RLIMIT_NOFILE`).
    pub files: u64,
    /// Bytes of one file that it writes (`RLIMIT_FSIZE`), and of its private folders together.
    pub file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 2 << 30, processes: 256, files: 1024, file_bytes: 256 << 20 }
    }
}

/// There is no such room here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The platform has none.
    #[error("servers can be isolated on Linux only (x86-64, AArch64)")]
    Platform,
    /// bubblewrap is not installed.
    #[error("servers are isolated by bubblewrap, which is not installed (package `bubblewrap`)")]
    Bubblewrap,
    /// It is there and cannot build a room.
    #[error("bubblewrap cannot isolate a server here: {0}")]
    Refused(String),
}

impl Sandbox {
    /// What builds rooms here, unproved. Where it turns out that it cannot, the server does not start.
    /// `helper` is this program.
    ///
    /// # Errors
    ///
    /// There is nothing that does.
    pub fn here(helper: &Path) -> Result<Self, Missing> {
        if !confine::SUPPORTED {
            return Err(Missing::Platform);
        }
        let place = PLACES.iter().map(PathBuf::from).find(|place| place.is_file());
        let bwrap = place.ok_or(Missing::Bubblewrap)?;
        let layers = confine::layers();
        Ok(Self { bwrap, helper: helper.to_owned(), layers })
    }

    /// As [`here`](Self::here), proved by building an empty room.
    ///
    /// # Errors
    ///
    /// Rooms cannot be built, and why.
    pub fn find(helper: &Path) -> Result<Self, Missing> {
        let sandbox = Self::here(helper)?;
        let probe = sandbox.wrap(&Start::new("/bin/true"), &Room::default());
        let output = run(&probe, b"", PATIENCE, SAID).map_err(|error| {
            let why = std::error::Error::source(&error).map(ToString::to_string);
            Missing::Refused(why.unwrap_or_else(|| error.to_string()))
        })?;
        if output.status.success() {
            return Ok(sandbox);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().next_back().unwrap_or("it did not say why");
        Err(Missing::Refused(line.escape_debug().to_string()))
    }

    /// What holds servers in their rooms here.
    pub fn layers(&self) -> Layers {
        self.layers
    }

    /// `start`, in `room`. Its `HOME` is an empty folder that ends with it, and so is `/tmp`.
    ///
    /// The program is found by its path there: of a file that was opened and checked
    /// ([`Start::image`]) only the path counts.
    pub fn wrap(&self, start: &Start, room: &Room) -> Start {
        let view = arguments::View::of(start, room);
        let mut args = view.arguments(&self.helper);
        args.extend(confine::arguments(start, room, &view));
        Start {
            program: self.bwrap.clone(),
            name: None,
            args,
            dir: Some("/".into()),
            image: None,
            ..start.clone()
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
