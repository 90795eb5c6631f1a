//! The built binary, with a home of its own for each test.
#![expect(clippy::disallowed_methods, reason = "the binary and its clients are started here")]

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The program that is tested.
pub(crate) const BROKER: &str = env!("CARGO_BIN_EXE_strongroom");

/// A folder with a home in it, and room for whatever else a test needs.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    /// A home that `init --headless` has made.
    pub(crate) fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.ask(&["init", "--headless"], "");
        home
    }

    /// The folder around the home.
    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    /// What `STRONGROOM_HOME` says.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder().join("home")
    }

    /// The broker's command line in this home.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BROKER);
        command.args(arguments).env("STRONGROOM_HOME", self.path()).stdin(Stdio::null());
        command
    }

    /// Runs the command line, which must succeed, and returns what it printed.
    pub(crate) fn ask(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "strongroom {}: {said}", arguments.join(" "));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Puts the limit of calls of a service out of the way.
    pub(crate) fn raise_limit(&self, service: &str) {
        let file = self.path().join("config/strongroom/strongroom.toml");
        let config = std::fs::read_to_string(&file).unwrap();
        let head = format!("[services.{service}]\n");
        let raised = format!("{head}limits = {{ calls_per_minute = 1000000 }}\n");
        std::fs::write(&file, config.replace(&head, &raised)).unwrap();
    }
}
