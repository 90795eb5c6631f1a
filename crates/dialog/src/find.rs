//! Where the window program is, and whether it is the right one.
//!
//! It is looked for in one folder: beside our own program, or in the folder that an SDK names, which is
//! inside of its package. No variable of the environment has a say, `PATH` least of all. What is found is
//! opened once, judged and hashed through that descriptor, and started from it, so that what is started
//! is what was checked; where the system cannot start what is open (macOS, Windows), its path is started.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use strongroom_model::paths::{Environment, Os, PathsError};
use strongroom_process::{Start, Stream};
use strongroom_seal::{hex, sha256_of};

use crate::{display, manifest};

/// Where the window program is looked for, and where a user's questions stand in line.
#[derive(Clone, Debug)]
pub struct Places {
    folder: PathBuf,
    environment: Environment,
    /// The environment that leads to a display, once there was one.
    display: Arc<OnceLock<Environment>>,
}

/// The window program of this build: opened, and checked.
#[derive(Clone, Debug)]
pub struct Window {
    path: PathBuf,
    image: Arc<File>,
    variables: Vec<(OsString, OsString)>,
    line: PathBuf,
}

/// Why no window can be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoWindow {
    /// The program is not there.
    #[error("there is no window program in `{}`", .folder.display())]
    Missing {
        /// Where it would have to be.
        folder: PathBuf,
    },
    /// The program is there, and nothing says which one it should be.
    #[error("`{}` does not exist, or names no window program for this platform", .path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
    },
    /// It is another program than the one that belongs to this build.
    #[error("`{}` is not the window program of this build", .path.display())]
    Changed {
        /// The program.
        path: PathBuf,
    },
    /// Somebody else could have put it there.
    #[error("`{}` is not safe to start: {problem}", .path.display())]
    Unsafe {
        /// The program, its manifest or their folder.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// All is well with the program, and there is no display to show it on.
    #[error("there is no display")]
    NoDisplay,
    /// There is no place where questions could stand in line.
    #[error(transparent)]
    NoHome(#[from] PathsError),
    /// The operating system refused.
    #[error("`{}` cannot be read", .path.display())]
    Io {
        /// What was read.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl Places {
    /// Beside `program`, which is our own.
    pub fn beside(program: &Path, environment: &Environment) -> Self {
        // A link to us leads to where we were installed.
        let program = program.canonicalize().unwrap_or_else(|_| program.to_owned());
        let folder = program.parent().map_or_else(PathBuf::new, Path::to_owned);
        Self::within(folder, environment)
    }

    /// In `folder`, which is inside of the package that we are part of.
    pub fn within(folder: impl Into<PathBuf>, environment: &Environment) -> Self {
        let (folder, environment) = (folder.into(), environment.clone());
        Self { folder, environment, display: Arc::default() }
    }

    /// Whether there is a display that a window can be on: one of this process, or of the session that the
    /// user is logged in to. Whether it answers is known when it is asked.
    ///
    /// Where neither is known the login session is asked every time: some milliseconds.
    pub fn has_display(&self) -> bool {
        self.display().is_some()
    }

    fn display(&self) -> Option<&Environment> {
        if self.display.get().is_none() {
            let found = display::with_display(&self.environment)?;
            return Some(self.display.get_or_init(|| found));
        }
        self.display.get()
    }

    /// Where the program would be.
    pub fn program(&self) -> PathBuf {
        self.folder.join(manifest::PROGRAM)
    }

    /// The folder in which the questions of this user stand in line: one for each user of a machine,
    /// whatever else the user has told Strongroom about places.
    pub fn line(&self) -> Result<PathBuf, PathsError> {
        let (env, below) = (&self.environment, "strongroom/asking");
        match env.os {
            Os::Linux => match env.directory("XDG_CACHE_HOME") {
                Some(cache) => Ok(env.os.join(cache, below)),
                None => Ok(env.os.join(env.user_home()?, &format!(".cache/{below}"))),
            },
            Os::Macos => Ok(env.os.join(env.user_home()?, &format!("Library/Caches/{below}"))),
            Os::Windows => Ok(env.os.join(env.absolute("LOCALAPPDATA")?, below)),
        }
    }
}

impl Window {
    /// Finds the window program. Reads all of it: some milliseconds of work.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the program comes before [`NoWindow::NoDisplay`].
    pub fn find(places: &Places) -> Result<Self, NoWindow> {
        let (path, folder) = (places.program(), &places.folder);
        if !folder.is_absolute() {
            return Err(NoWindow::Missing { folder: folder.clone() });
        }
        let image = open(&path).map_err(|error| match error {
            NoWindow::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                NoWindow::Missing { folder: folder.clone() }
            }
            other => other,
        })?;
        check_folder(folder)?;
        let expected = expected(&folder.join(manifest::FILE))?;
        let io = |source| NoWindow::Io { path: path.clone(), source };
        let found = sha256_of(&image).map_err(io)?;
        if hex(&found) != expected {
            return Err(NoWindow::Changed { path });
        }
        let line = places.line()?;
        let environment = places.display().ok_or(NoWindow::NoDisplay)?;
        let variables = display::variables(environment);
        Ok(Self { path, image: Arc::new(image), variables, line })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the line.
    pub(crate) fn line(&self) -> &Path {
        &self.line
    }

    /// How it is started: its own session, three pipes, and nothing else of ours.
    pub(crate) fn start(&self) -> Start {
        Start {
            name: Some(self.path.clone().into_os_string()),
            env: self.variables.clone(),
            stdin: Stream::Pipe,
            stdout: Stream::Pipe,
            stderr: Stream::Pipe,
            session: true,
            image: Some(Arc::clone(&self.image)),
            ..Start::new(&self.path)
        }
    }
}

impl NoWindow {
    /// The stable word for programs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "dialog_missing",
            Self::Manifest { .. } => "dialog_manifest",
            Self::Changed { .. } => "dialog_changed",
            Self::Unsafe { .. } => "dialog_unsafe",
            Self::NoDisplay => "no_display",
            Self::NoHome(_) => "no_home",
            Self::Io { .. } => "dialog_unreadable",
        }
    }

    /// What to do next, in the imperative.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing { .. } | Self::Manifest { .. } => {
                "run `cargo xtask dist`, which builds the window program and its manifest"
                    .to_owned()
            }
            Self::Changed { .. } => {
                "install Strongroom anew, or run `cargo xtask dist` where you build it".to_owned()
            }
            Self::Unsafe { path, .. } => {
                format!("run `chmod go-w '{}'`, or install Strongroom anew", path.display())
            }
            Self::NoDisplay => {
                "run this where there is a desktop, or give it `DISPLAY` or `WAYLAND_DISPLAY`"
                    .to_owned()
            }
            Self::NoHome(_) | Self::Io { .. } => return None,
        })
    }
}

/// The hash that the manifest at `path` gives for this platform's program.
fn expected(path: &Path) -> Result<String, NoWindow> {
    let missing = || NoWindow::Manifest { path: path.to_owned() };
    let file = open(path).map_err(|error| match error {
        NoWindow::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => missing(),
        other => other,
    })?;
    let mut text = Vec::new();
    let most = manifest::MOST as u64;
    file.take(most)
        .read_to_end(&mut text)
        .map_err(|source| NoWindow::Io { path: path.to_owned(), source })?;
    manifest::hash(&text).ok_or_else(missing)
}

/// Opens a regular file that no other user can have written. A link is not followed.
#[cfg(unix)]
fn open(path: &Path) -> Result<File, NoWindow> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    use rustix::io::{Errno, retry_on_intr};

    // Without O_NONBLOCK a FIFO in its place would hang us.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = retry_on_intr(|| openat(CWD, path, flags, Mode::empty()));
    let file = File::from(opened.map_err(|errno| match errno {
        Errno::LOOP | Errno::MLINK => unsafe_because(path, "it is a symbolic link"),
        other => NoWindow::Io { path: path.to_owned(), source: other.into() },
    })?);
    let metadata = file.metadata();
    let metadata = metadata.map_err(|source| NoWindow::Io { path: path.to_owned(), source })?;
    if !metadata.is_file() {
        return Err(unsafe_because(path, "it is not a regular file"));
    }
    check_owner(path, &metadata)?;
    Ok(file)
}

/// Who can write to the folder can put another program and its manifest there.
#[cfg(unix)]
fn check_folder(folder: &Path) -> Result<(), NoWindow> {
    let metadata = folder.metadata();
    let io = |source| NoWindow::Io { path: folder.to_owned(), source };
    check_owner(folder, &metadata.map_err(io)?)
}

#[cfg(unix)]
fn check_owner(path: &Path, metadata: &std::fs::Metadata) -> Result<(), NoWindow> {
    use std::os::unix::fs::MetadataExt as _;

    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(unsafe_because(path, &format!("it belongs to user {owner}")));
    }
    // A group with the number of its user is that user's own.
    let own_group = metadata.gid() == owner;
    if metadata.mode() & 0o002 != 0 || (metadata.mode() & 0o020 != 0 && !own_group) {
        let problem = format!("others can write to it (mode {:04o})", metadata.mode() & 0o7777);
        return Err(unsafe_because(path, &problem));
    }
    Ok(())
}

/// Opens a regular file. Who may write to it is what the folder's access list says, which keeps other
/// users out of a profile and of `Program Files`.
#[cfg(not(unix))]
fn open(path: &Path) -> Result<File, NoWindow> {
    let io = |source| NoWindow::Io { path: path.to_owned(), source };
    let metadata = path.symlink_metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(unsafe_because(path, "it is a link, or not a regular file"));
    }
    File::open(path).map_err(io)
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "Unix has modes to check")]
fn check_folder(_: &Path) -> Result<(), NoWindow> {
    Ok(())
}

fn unsafe_because(path: &Path, problem: &str) -> NoWindow {
    NoWindow::Unsafe { path: path.to_owned(), problem: problem.to_owned() }
}
