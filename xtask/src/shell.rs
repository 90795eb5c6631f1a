//! Where the workspace is, and how other programs are started from it.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// The workspace and the folders that tools are kept in.
pub(crate) struct Shell {
    /// The root of the workspace.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// Where tools stay that are built once for a machine.
    pub(crate) cache: PathBuf,
}

impl Shell {
    /// Asks cargo where things are.
    pub(crate) fn new() -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the root");
        let home = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = home.or_else(|| env::home_dir().map(|home| home.join(".cache")));
        let cache = home.ok_or("there is no home directory")?.join("strongroom-build");
        let mut shell = Self { root: root.to_owned(), target: PathBuf::new(), cache };
        let metadata = shell.metadata()?;
        shell.target = metadata["target_directory"].as_str().ok_or("no target directory")?.into();
        Ok(shell)
    }

    /// What cargo knows about the members of the workspace.
    pub(crate) fn metadata(&self) -> Result<Value, String> {
        let arguments = ["metadata", "--format-version", "1", "--no-deps"];
        let text = self.output("cargo", &arguments)?;
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))
    }

    /// A command in the root of the workspace, with the cached tools on its path.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut path = vec![self.cache.join("tools/bin")];
        path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let mut command = Command::new(program);
        command.current_dir(&self.root).stdin(Stdio::null());
        if let Ok(path) = env::join_paths(path) {
            command.env("PATH", path);
        }
        command
    }

    /// Runs a program and shows its output.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        run(self.command(program).args(arguments))
    }

    /// Runs cargo and shows its output.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Result<(), String> {
        self.run("cargo", arguments)
    }

    /// Runs a program and returns what it prints.
    pub(crate) fn output(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(program).args(arguments).stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("{program}: {error}"))?;
        if !output.status.success() {
            return Err(format!("{program} {}: {}", arguments.join(" "), output.status));
        }
        String::from_utf8(output.stdout).map_err(|_| format!("{program}: not UTF-8"))
    }

    /// Whether a program starts and ends well, quietly.
    pub(crate) fn succeeds(&self, program: &str, arguments: &[&str]) -> bool {
        let mut command = self.command(program);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Whether a program prints this, and nothing else.
    pub(crate) fn prints(&self, program: &Path, arguments: &[&str], text: &str) -> bool {
        let output = self.command(program).args(arguments).output();
        output.is_ok_and(|output| output.stdout.trim_ascii() == text.as_bytes())
    }

    /// Every file that is tracked or would be, by its path from the root.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, String> {
        let arguments = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
        let listed = self.output("git", &arguments)?;
        let files = listed.split('\0').filter(|file| !file.is_empty()).map(PathBuf::from);
        Ok(files.filter(|file| self.root.join(file).is_file()).collect())
    }

    /// The text of a file, by its path from the root.
    pub(crate) fn read(&self, file: impl AsRef<Path>) -> Result<String, String> {
        let file = file.as_ref();
        fs::read_to_string(self.root.join(file))
            .map_err(|error| format!("{}: {error}", file.display()))
    }
}

/// Runs a command and shows its output.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let shown = shown(command);
    println!("$ {shown}");
    let status = command.status().map_err(|error| format!("{shown}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown}: {status}")) }
}

/// Says what comes, does it, and returns how long it took.
pub(crate) fn step(
    title: &str,
    work: impl FnOnce() -> Result<(), String>,
) -> Result<Duration, String> {
    println!("\n== {title}");
    let start = Instant::now();
    work().map_err(|message| format!("{title} failed: {message}"))?;
    Ok(start.elapsed())
}

fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
