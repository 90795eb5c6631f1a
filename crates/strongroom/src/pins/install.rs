//! Installs the one version that a pin stands for, into a folder of its own.
//!
//! The package manager is the user's own, found in `PATH` as in any shell of theirs, with their
//! registry settings; it runs no script of any package, and takes nothing whose digest it cannot
//! check. The new folder stands beside the old one until the pin names it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use strongroom_gateway::pin::{Held, HeldError, Package, Source};
use strongroom_model::principal::Name;
use strongroom_process::{RunError, Start};
use strongroom_seal::{FileError, RandomError, SecureDir, hex, random};

use super::{Pin, VERSION, folder_of, image, is_of_the_system, node, python, write};
use crate::environment::Host;
use crate::failure::Failure;
use crate::paths::{Environment, Home, Os};

/// How long a package manager may take.
const PATIENCE: Duration = Duration::from_mins(10);
/// What it may print.
const MOST: usize = 8 << 20;

/// Nothing was pinned.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The package manager is not in `PATH`.
    #[error("`{program}` is not there, and it takes that to install `{package}`")]
    NoProgram {
        /// The program.
        program: &'static str,
        /// The package.
        package: String,
    },
    /// The package manager failed.
    #[error("`{command}` failed{}", said(.output))]
    Command {
        /// What was run, without its options.
        command: String,
        /// What it said.
        output: String,
    },
    /// The package manager could not be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// What was asked for is no exact version.
    #[error("`{version}` is not a version")]
    Version {
        /// What was asked for.
        version: String,
    },
    /// The package is not as it should be.
    #[error("`{package}` cannot be pinned: {why}")]
    Package {
        /// The package.
        package: String,
        /// What is wrong with it.
        why: String,
    },
    /// A file of ours.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of the package.
    #[error(transparent)]
    Held(#[from] HeldError),
    /// A file of the package.
    #[error("`{}`", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No name for the folder could be drawn.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// The lines of a package manager that say what is wrong: two at most, without its name.
fn said(output: &str) -> String {
    let lines = output.lines().map(|line| {
        let line = line.trim_start_matches("npm").trim_start();
        let line = ["error", "ERROR:", "ERR!"].iter().find_map(|word| line.strip_prefix(word));
        line.map(|line| line.chars().filter(|c| !c.is_control()).take(200).collect::<String>())
    });
    let lines: Vec<String> = lines.flatten().map(|line| line.trim().to_owned()).collect();
    let lines: Vec<&str> =
        lines.iter().map(String::as_str).filter(|line| !line.is_empty()).take(2).collect();
    if lines.is_empty() { String::new() } else { format!(": {}", lines.join("; ")) }
}

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Self {
        let hint = match &error {
            InstallError::NoProgram { program, .. } => Some(format!("install `{program}`")),
            InstallError::Version { .. } => {
                Some("write one version, such as `--version 1.2.3`".to_owned())
            }
            InstallError::File(error) => error.hint(),
            _ => None,
        };
        Self::failed(error).maybe_hint(hint)
    }
}

/// What an ecosystem has installed.
pub(super) struct Installed {
    /// The one version.
    pub(super) exact: String,
    /// The program that is started.
    pub(super) program: PathBuf,
    /// Its arguments before the server's own.
    pub(super) args: Vec<String>,
    /// What is looked at before each start.
    pub(super) watched: Vec<PathBuf>,
}

/// Where to install, what, and with what.
pub(super) struct Job<'a> {
    pub(super) host: &'a Host,
    /// As the server's command line asks for it.
    pub(super) package: &'a Package,
    /// The version to install instead of what the command line says.
    pub(super) version: Option<&'a str>,
    /// The folder, which is there and empty.
    pub(super) folder: &'a Path,
}

/// Something that was installed and that no pin names yet.
#[derive(Debug)]
pub struct Ready {
    /// The pin to be.
    pub pin: Pin,
    server: Name,
}

/// Installs `package` for `server` beside what is there.
pub fn install(
    host: &Host,
    home: &Home,
    server: &Name,
    package: &Package,
    version: Option<&str>,
) -> Result<Ready, InstallError> {
    let asked = Package { version: version.map(ToOwned::to_owned), ..package.clone() };
    if let Some(version) = version
        && !asked.is_exact()
    {
        return Err(InstallError::Version { version: version.to_owned() });
    }
    let parent = folder_of(home, server);
    SecureDir::create(&parent)?;
    let mut salt = [0; 8];
    random(&mut salt)?;
    let name = hex(&salt);
    let folder = parent.join(&name);
    SecureDir::create(&folder)?;
    let made = fill(&Job { host, package, version, folder: &folder }, name);
    if made.is_err() {
        // What is left behind is removed by the next pin.
        drop(fs::remove_dir_all(&folder));
    }
    Ok(Ready { pin: made?, server: server.clone() })
}

fn fill(job: &Job<'_>, name: String) -> Result<Pin, InstallError> {
    let installed = match job.package.source {
        Source::Npm => node::install(job)?,
        Source::Pypi => python::install(job)?,
        Source::Image => image::install(job)?,
    };
    let mut held = Vec::new();
    for path in &installed.watched {
        held.push(Held::of(path)?);
    }
    if job.package.source != Source::Image {
        let real = real(&installed.program)?;
        if !is_of_the_system(&real) {
            held.push(Held::of(&real)?);
        }
    }
    let all = Held::tree(job.folder)?;
    Ok(Pin {
        version: VERSION,
        package: job.package.clone(),
        exact: installed.exact,
        program: installed.program,
        args: installed.args,
        whole: Held::digest(&all, job.folder),
        folder: (job.package.source != Source::Image).then_some(name),
        held,
    })
}

impl Ready {
    /// Makes it the pin of its server. What an older pin stood for is removed, except what the last
    /// one did: a server that still runs may yet load from it.
    pub fn use_it(&self, home: &Home, old: Option<&Pin>) -> Result<(), FileError> {
        write(home, &self.server, &self.pin)?;
        let keep = [self.pin.folder.as_deref(), old.and_then(|old| old.folder.as_deref())];
        remove_except(&folder_of(home, &self.server), &keep);
        Ok(())
    }

    /// Removes it again.
    pub fn discard(&self, home: &Home) {
        if let Some(folder) = &self.pin.folder {
            drop(fs::remove_dir_all(folder_of(home, &self.server).join(folder)));
        }
    }
}

/// Removes all that was installed, and the folder itself.
pub(super) fn clear(folder: &Path) {
    remove_except(folder, &[]);
    drop(fs::remove_dir(folder));
}

/// Folders that cannot be removed are left: they are named by nothing.
fn remove_except(folder: &Path, keep: &[Option<&str>]) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let kept = keep.iter().any(|keep| keep.is_some_and(|keep| name.to_str() == Some(keep)));
        if !kept && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

impl Job<'_> {
    /// The program `name` of the user's `PATH`.
    pub(super) fn program(&self, name: &'static str) -> Result<PathBuf, InstallError> {
        find(&self.host.environment, name).ok_or_else(|| InstallError::NoProgram {
            program: name,
            package: self.package.name.clone(),
        })
    }

    /// Runs a package manager in the folder; what it printed.
    pub(super) fn run(
        &self,
        what: &str,
        program: &Path,
        args: &[&str],
    ) -> Result<Vec<u8>, InstallError> {
        let mut start = Start::new(program);
        start.args = args.iter().map(Into::into).collect();
        start.env = environment(&self.host.environment);
        start.dir = Some(self.folder.to_owned());
        let output = strongroom_process::run(&start, &[], PATIENCE, MOST)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let output = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(InstallError::Command { command: what.to_owned(), output })
    }

    /// The package is not as it should be.
    pub(super) fn refuse(&self, why: impl Into<String>) -> InstallError {
        InstallError::Package { package: self.package.name.clone(), why: why.into() }
    }

    /// The version that is asked for, the command line's own included.
    pub(super) fn wanted(&self) -> Option<&str> {
        self.version.or(self.package.version.as_deref())
    }

    pub(super) fn read(&self, below: &str) -> Result<Vec<u8>, InstallError> {
        let path = self.folder.join(below);
        fs::read(&path).map_err(|source| InstallError::Io { path, source })
    }

    pub(super) fn write(&self, below: &str, text: &str) -> Result<(), InstallError> {
        let path = self.folder.join(below);
        fs::write(&path, text).map_err(|source| InstallError::Io { path, source })
    }
}

/// Where `path` leads.
pub(super) fn real(path: &Path) -> Result<PathBuf, InstallError> {
    fs::canonicalize(path).map_err(|source| InstallError::Io { path: path.to_owned(), source })
}

/// The program `name` in `PATH`. Relative folders of it do not count.
fn find(environment: &Environment, name: &str) -> Option<PathBuf> {
    let ends: &[&str] = if environment.os == Os::Windows { &[".exe", ".cmd"] } else { &[""] };
    let folders = std::env::split_paths(environment.get("PATH")?).filter(|path| path.is_absolute());
    folders
        .flat_map(|folder| ends.iter().map(move |end| folder.join(format!("{name}{end}"))))
        .find(|path| is_program(path))
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}

/// What a package manager needs of the user's environment: where it finds its programs and its
/// settings, and how it reaches its registry.
fn environment(environment: &Environment) -> Vec<(OsString, OsString)> {
    const NAMES: [&str; 22] = [
        "PATH",
        "HOME",
        "USERPROFILE",
        "APPDATA",
        "LOCALAPPDATA",
        "SystemRoot",
        "ComSpec",
        "PATHEXT",
        "TEMP",
        "TMP",
        "TMPDIR",
        "LANG",
        "LC_ALL",
        "XDG_CONFIG_HOME",
        "XDG_CACHE_HOME",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "NODE_EXTRA_CA_CERTS",
        "PYENV_ROOT",
        "DOCKER_HOST",
    ];
    const STARTS: [&str; 2] = ["NPM_CONFIG_", "PIP_"];
    let wanted = |name: &str| {
        let name = name.to_ascii_uppercase();
        NAMES.iter().any(|wanted| wanted.eq_ignore_ascii_case(&name))
            || STARTS.iter().any(|start| name.starts_with(start))
    };
    let variables = environment.variables().filter(|(name, _)| name.to_str().is_some_and(wanted));
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_manager_gets_its_own_settings_and_nothing_that_unlocks() {
        let variables = [
            ("PATH", "/bin"),
            ("https_proxy", "http://p"),
            ("npm_config_registry", "https://r"),
            ("PIP_INDEX_URL", "https://i"),
            ("OP_SERVICE_ACCOUNT_TOKEN", "canary"),
            ("STRONGROOM_HOME", "/h"),
            ("NODE_OPTIONS", "--require=x"),
            ("PYTHONPATH", "/x"),
        ];
        let found = environment(&Environment::new(Os::Linux, variables));
        let names: Vec<_> = found.iter().map(|(name, _)| name.to_str().unwrap()).collect();
        assert_eq!(names, ["PATH", "PIP_INDEX_URL", "https_proxy", "npm_config_registry"]);
    }

    #[test]
    fn a_failure_says_what_the_package_manager_said_and_no_more() {
        let npm = "npm error code E404\nnpm error 404 Not Found\x1b[2J\nnpm error 404  more\n";
        assert_eq!(said(npm), ": code E404; 404 Not Found[2J");
        assert_eq!(
            said("WARNING: x\nERROR: No matching distribution\n"),
            ": No matching distribution"
        );
        assert_eq!(said("Traceback\n"), "");
    }
}
