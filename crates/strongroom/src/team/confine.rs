//! How the programs of tenants are started (decision 11).
//!
//! Whoever confines them plugs in here, and nothing else of a team knows how it is done.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom_gateway::upstream::running::Child;
use strongroom_process::{
    Groups, Guard, Guarded, Limits, Missing, Room, Sandbox, Start, StartError,
};
use strongroom_seal::{SecureDir, hex, random};

/// A program of a tenant that is to be started.
pub struct Program {
    /// The program, its arguments and its whole environment.
    pub start: Start,
    /// A folder of its own, which goes when it ends: it may write there and nowhere else.
    pub folder: Folder,
    /// Bytes of memory that it may use.
    pub memory: u64,
    /// Whether it has the machine's network.
    pub network: bool,
    /// What it may read beside the system's programs and libraries.
    pub read: Vec<PathBuf>,
}

/// Starts the programs of tenants.
pub trait Confine: Send + Sync {
    /// Why there is none to be started here; `None`: they are.
    fn missing(&self) -> Option<Cow<'static, str>>;

    /// Starts one.
    ///
    /// # Errors
    ///
    /// The system does not start it, or cannot confine it.
    fn start(&self, program: Program) -> Result<Box<dyn Child>, StartError>;
}

/// Starts nothing: there is no sandbox.
pub struct Nowhere(Cow<'static, str>);

impl Nowhere {
    /// There is none because of `why`, in our own words.
    pub fn new(why: impl Into<Cow<'static, str>>) -> Self {
        Self(why.into())
    }
}

impl Confine for Nowhere {
    fn missing(&self) -> Option<Cow<'static, str>> {
        Some(format!("no program of a tenant is started here: {}", self.0).into())
    }

    fn start(&self, program: Program) -> Result<Box<dyn Child>, StartError> {
        let source = io::ErrorKind::Unsupported.into();
        Err(StartError { program: program.start.program, source })
    }
}

/// Starts them as ourselves, because the operator said so (`isolate = false`): they end with us and have
/// an environment of their own, and that is all. Memory is not bounded.
pub struct AsWeAre {
    /// This program, which guards what it starts.
    pub program: PathBuf,
}

impl Confine for AsWeAre {
    fn missing(&self) -> Option<Cow<'static, str>> {
        None
    }

    fn start(&self, program: Program) -> Result<Box<dyn Child>, StartError> {
        let Program { start, folder, .. } = program;
        let guard = Guard {
            program: self.program.clone(),
            scratch: Some(folder.path().to_owned()),
            group: None,
        };
        let guarded = Guarded::start(&start, &guard)?;
        folder.leave();
        Ok(Box::new(guarded))
    }
}

/// Starts each in a room of its own, without a network unless the operator's list gives it one.
pub struct Rooms {
    sandbox: Sandbox,
    program: PathBuf,
    /// Our own folders.
    hide: Vec<PathBuf>,
    /// Each room is bounded as a whole, where that is permitted.
    groups: Option<Groups>,
}

impl Rooms {
    /// Finds out whether there are rooms here. `program` is this program, and none sees what is to `hide`.
    ///
    /// # Errors
    ///
    /// There are none, and why.
    pub fn find(program: PathBuf, hide: Vec<PathBuf>) -> Result<Self, Missing> {
        Ok(Self { sandbox: Sandbox::find(&program)?, program, hide, groups: None })
    }

    /// The same, each in a control group of its own.
    #[must_use]
    pub fn bounded_by(self, groups: Groups) -> Self {
        Self { groups: Some(groups), ..self }
    }
}

/// The home and the place for temporary files that every room has.
const HOME: &str = "/home/server";
const TEMPORARY: &str = "/tmp";

impl Confine for Rooms {
    fn missing(&self) -> Option<Cow<'static, str>> {
        None
    }

    fn start(&self, program: Program) -> Result<Box<dyn Child>, StartError> {
        let Program { mut start, folder: _folder, memory, network, read } = program;
        start.env.retain(|(name, _)| name != "HOME" && name != "TMPDIR");
        let own = [("HOME", HOME), ("TMPDIR", TEMPORARY)];
        start.env.extend(own.map(|(name, value)| (name.into(), value.into())));
        // The folder that we were started in is not for tenants to see.
        start.dir = None;
        let limits = Limits { memory, ..Limits::default() };
        let (hide, write) = (self.hide.clone(), Vec::new());
        let group = self.groups.as_ref().map(|groups| groups.group(&limits)).transpose();
        let of_group = |error: io::Error| {
            let source = io::Error::new(error.kind(), format!("no control group: {error}"));
            StartError { program: start.program.clone(), source }
        };
        let group = group.map_err(of_group)?.map(Arc::new);
        let room = Room { read, write, hide, network, limits };
        let guard = Guard { program: self.program.clone(), scratch: None, group };
        Ok(Box::new(Guarded::start(&self.sandbox.wrap(&start, &room), &guard)?))
    }
}

/// A folder of one program: a home, and a place for temporary files. It goes when this is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one under `ground`, for this user alone.
    pub(super) fn under(ground: &Path) -> io::Result<Self> {
        let mut name = [0; 8];
        random(&mut name).map_err(io::Error::other)?;
        SecureDir::create(ground).map_err(io::Error::other)?;
        let folder = Self(ground.join(hex(&name)));
        for inner in [folder.0.clone(), folder.home(), folder.temporary()] {
            SecureDir::create(inner).map_err(io::Error::other)?;
        }
        Ok(folder)
    }

    /// All of it.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `HOME`.
    pub fn home(&self) -> PathBuf {
        self.0.join("home")
    }

    /// `TMPDIR`.
    pub fn temporary(&self) -> PathBuf {
        self.0.join("tmp")
    }

    /// Leaves it to somebody else, who removes it.
    pub fn leave(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            drop(fs::remove_dir_all(&self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(ground: &Path) -> Program {
        Program {
            start: Start::new("/bin/true"),
            folder: Folder::under(ground).unwrap(),
            memory: 1,
            network: false,
            read: Vec::new(),
        }
    }

    // TN-10
    #[test]
    fn without_a_sandbox_nothing_is_started_and_nothing_is_left() {
        let ground = tempfile::tempdir().unwrap();
        let nowhere = Nowhere::new("there is no sandbox");
        assert!(nowhere.missing().is_some());
        let folders = ground.path().join("tenants");
        assert!(nowhere.start(program(&folders)).is_err());
        assert_eq!(fs::read_dir(folders).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_is_left_to_whoever_guards_the_program() {
        let ground = tempfile::tempdir().unwrap();
        let folder = Folder::under(&ground.path().join("tenants")).unwrap();
        let path = folder.path().to_owned();
        assert!(folder.home().is_dir() && folder.temporary().is_dir());
        folder.leave();
        assert!(path.is_dir());
    }
}
