//! A user of their own for each test: a home directory and an environment with nothing of ours.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use strongroom::paths::{Environment, Os};
use strongroom_process::{Child, Output, Start, Stream, run};

/// The program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_strongroom");

/// A user's home directory.
pub(crate) struct Sandbox {
    directory: tempfile::TempDir,
    env: Vec<(OsString, OsString)>,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The answer as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The same, if the command ended well.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

impl Sandbox {
    /// A home directory with nothing in it.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The session of whoever runs the tests, its display and its keyring, are none of theirs.
        let session = directory.path().join("no-session").into_os_string();
        let home = directory.path().into();
        let env = vec![("HOME".into(), home), ("XDG_RUNTIME_DIR".into(), session)];
        Self { directory, env }
    }

    /// The same, with a variable.
    pub(crate) fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.into(), value.into()));
        self
    }

    /// A home directory in which `init` has run.
    pub(crate) fn initialised() -> Self {
        let sandbox = Self::new();
        sandbox.run("init").ok();
        sandbox
    }

    /// The same, where widening needs no person.
    pub(crate) fn headless() -> Self {
        let sandbox = Self::new();
        sandbox.run("init --headless").ok();
        sandbox
    }

    /// Runs the program with `stdin`.
    pub(crate) fn feed(&self, arguments: &[&str], stdin: &str) -> Ran {
        let output = run(
            &self.prepared(Path::new(PROGRAM), arguments),
            stdin.as_bytes(),
            Duration::from_mins(1),
            1 << 20,
        );
        Ran::of(output.unwrap())
    }

    /// Starts the program with pipes.
    pub(crate) fn child(&self, arguments: &[&str]) -> Child {
        self.child_of(Path::new(PROGRAM), arguments)
    }

    /// Starts `program` with pipes.
    pub(crate) fn child_of(&self, program: &Path, arguments: &[&str]) -> Child {
        let mut start = self.prepared(program, arguments);
        (start.stdin, start.stdout, start.stderr) = (Stream::Pipe, Stream::Pipe, Stream::Pipe);
        start.start().unwrap()
    }

    /// Runs the program with these arguments, which are separated by blanks.
    pub(crate) fn run(&self, arguments: &str) -> Ran {
        let program = Path::new(PROGRAM);
        self.start(program, &arguments.split(' ').collect::<Vec<_>>())
    }

    /// Runs `program`.
    pub(crate) fn start(&self, program: &Path, arguments: &[&str]) -> Ran {
        let start = self.prepared(program, arguments);
        Ran::of(run(&start, &[], Duration::from_mins(1), 1 << 20).unwrap())
    }

    fn prepared(&self, program: &Path, arguments: &[&str]) -> Start {
        let mut start = Start::new(program);
        start.args = arguments.iter().map(Into::into).collect();
        start.env.clone_from(&self.env);
        start.dir = Some(self.path(""));
        start
    }

    /// The environment, as the program captures it.
    pub(crate) fn environment(&self) -> Environment {
        Environment::new(Os::CURRENT, self.env.iter().cloned())
    }

    /// A place in the home directory.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        if below.is_empty() {
            self.directory.path().to_owned()
        } else {
            self.directory.path().join(below)
        }
    }

    /// Writes a file, and the directories above it.
    pub(crate) fn write(&self, below: &str, text: &str) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Reads a file.
    pub(crate) fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    /// The mode of a file or directory.
    pub(crate) fn mode(&self, below: &str) -> u32 {
        fs::metadata(self.path(below)).unwrap().permissions().mode() & 0o777
    }

    /// Sets the mode of a file or directory.
    pub(crate) fn chmod(&self, below: &str, mode: u32) {
        fs::set_permissions(self.path(below), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The names in a directory, sorted.
    pub(crate) fn names(&self, below: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(below)).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}
