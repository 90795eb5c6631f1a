//! The `env-file` delivery: secrets in a file of variables in the project.
//!
//! `strongroom env SERVER --write` makes the file, a start reads it. It is plain text on a disk, so
//! a start says what is wrong with it, with the command that mends it: it is missing, others can read
//! it, a secret is not in it, or the cache has a newer one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use strongroom_gateway::launcher::dotenv::{EnvFile, EnvFileError, LARGEST};
use strongroom_model::audit::Lookup;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::server::{Server, Stdio, Template};
use strongroom_process::{Start, run};
use strongroom_seal::FileError;
use strongroom_seal::file::{open_private, open_regular, read as read_bytes};
use strongroom_secrets::Supply;
use strongroom_secrets::supply::{Answer, From};

use crate::commands::shown;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::release::Released;

/// The file that is written and read where no other is named.
pub const FILE: &str = ".env.local";

/// What a start is given by the file.
pub struct FromFile {
    /// The secrets, each at a reference of its own.
    pub released: Released,
    /// The program, with those references in the places of its own.
    pub stdio: Stdio,
    /// What is to be said about the file.
    pub warning: Option<String>,
}

/// Reads the secrets of `server` from the file of the `project`.
///
/// # Errors
///
/// The file is missing, others can read it, or a secret is not in it.
pub fn read(
    host: &Host,
    project: &Path,
    server: &Server,
    stdio: &Stdio,
    supply: &Supply,
) -> Result<FromFile, Failure> {
    if stdio.args.iter().any(Template::is_secret) {
        return Err(in_arguments(server));
    }
    let path = project.join(FILE);
    let name = shown(&path, &host.environment);
    let mend = format!("run `strongroom env {} --write`", server.name);
    let fail = |text: String| Failure::new(Exit::Unavailable, text).hint(mend.clone());
    let file = open_private(&path).map_err(|error| match error {
        FileError::Missing { .. } => {
            fail(format!("`{}` gets its secrets from `{name}`, which is missing", server.name))
        }
        FileError::Unsafe { .. } => fail(error.to_string()),
        error => error.into(),
    })?;
    let written = file.metadata().and_then(|metadata| metadata.modified()).ok();
    let bytes = read_bytes(&file, &path, LARGEST + 1)?;
    let variables = parse(bytes, &name)?;

    let now = host.clock.now();
    let age = written.and_then(|time| now.duration_since(time).ok()).unwrap_or_default();
    let mut answers = Vec::new();
    let mut lookups = Vec::new();
    let mut stdio = stdio.clone();
    for (variable, template) in stdio.env.iter_mut().filter(|(_, value)| value.is_secret()) {
        let value = variables.get(variable).map_err(|error| in_file(&name, &error))?;
        let value = value.ok_or_else(|| fail(format!("`{variable}` is not in `{name}`")))?;
        let place: SecretRef = format!("env://{variable}")
            .parse()
            .map_err(|_| Failure::failed(format!("`{variable}` cannot stand in such a file")))?;
        let from_file = |reference: &SecretRef| Lookup {
            reference: reference.to_string(),
            from: "file",
            age_s: Some(age.as_secs()),
        };
        lookups.extend(template.references().map(from_file));
        *template = Template::secret(place.clone());
        answers.push(of_file(place, value, age));
    }
    let warning = is_older(server, supply, written)
        .then(|| format!("the cache has newer secrets of `{}` than `{name}`: {mend}", server.name));
    Ok(FromFile { released: Released::from_file(answers, lookups), stdio, warning })
}

fn of_file(reference: SecretRef, secret: Secret, age: Duration) -> Answer {
    Answer { reference, secret: Ok(secret), from: From::Local, age, why: None, silent: false }
}

/// Whether the cache has something that was fetched after the file was `written`.
fn is_older(server: &Server, supply: &Supply, written: Option<SystemTime>) -> bool {
    let wanted: Vec<SecretRef> = server.references().into_iter().cloned().collect();
    let status = supply.status(&wanted);
    let of_this = status.entries.iter().filter(|entry| wanted.contains(&entry.reference));
    let newest = of_this.filter_map(|entry| entry.fetched_at).max();
    matches!((newest, written), (Some(newest), Some(written)) if newest > written)
}

/// The file that is written where `path` leads to: a link in a project may be anybody's, so the
/// person sees the file behind it, and that one is ignored.
pub fn real(path: PathBuf) -> PathBuf {
    fs::canonicalize(&path).unwrap_or(path)
}

/// A file holds variables and nothing else.
pub fn in_arguments(server: &Server) -> Failure {
    Failure::failed(format!(
        "`{}` has a secret in its arguments, which a file of variables cannot give it",
        server.name
    ))
    .hint("move it to `env`, or take `delivery = \"env-file\"` out of the server")
}

/// Puts `values` into the file at `path`, which is made where it is missing. What else stands there
/// stays; nobody else can read it afterwards.
pub fn write(host: &Host, path: &Path, values: &[(&str, &Secret)]) -> Result<(), Failure> {
    let name = shown(path, &host.environment);
    let old = existing(path, &name)?.unwrap_or_else(EnvFile::empty);
    let new = old.with(values).map_err(|error| in_file(&name, &error))?;
    replace(path, new.text()).map_err(|source| of_io(path, source))
}

/// Takes the variables `names` out of the file of the `project`; says how many that were.
pub fn remove(host: &Host, project: &Path, names: &[&str]) -> Result<usize, Failure> {
    let path = project.join(FILE);
    let name = shown(&path, &host.environment);
    let Some(old) = existing(&path, &name)? else { return Ok(0) };
    let (new, removed) = old.without(names).map_err(|error| in_file(&name, &error))?;
    if removed > 0 {
        replace(&path, new.text()).map_err(|source| of_io(&path, source))?;
    }
    Ok(removed)
}

/// Whether git tracks the file: it would keep what is written there, whatever `.gitignore` says. Where
/// git does not know, or is not there, it tracks nothing.
pub fn is_tracked(host: &Host, path: &Path) -> bool {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return false };
    let mut git = Start::new("git");
    // No program of the project's own is started, and nothing of the repository is changed.
    let words = ["--literal-pathspecs", "-c", "core.fsmonitor=false", "ls-files"];
    git.args = words.into_iter().chain(["--error-unmatch", "--"]).map(Into::into).collect();
    git.args.push(name.to_owned());
    git.env.push(("GIT_OPTIONAL_LOCKS".into(), "0".into()));
    for name in ["PATH", "HOME", "XDG_CONFIG_HOME", "USERPROFILE", "SystemRoot"] {
        git.env.extend(host.environment.get(name).map(|value| (name.into(), value.to_owned())));
    }
    git.dir = Some(dir.to_owned());
    let answer = run(&git, &[], Duration::from_secs(10), LARGEST);
    answer.is_ok_and(|answer| answer.status.success())
}

/// Names the file in the `.gitignore` beside it, where that does not have it yet; says whether it did
/// not.
pub fn ignore(path: &Path) -> Result<bool, Failure> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(false);
    };
    let ignore = dir.join(".gitignore");
    if fs::symlink_metadata(&ignore).is_ok_and(|found| found.is_symlink()) {
        return Err(Failure::failed(format!(
            "`{}` is a link, which git does not read: it would not ignore `{name}`",
            ignore.display()
        ))
        .hint("put a file in its place"));
    }
    let text = match fs::read_to_string(&ignore) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(of_io(&ignore, source)),
    };
    let has = |line: &str| line == name || line.strip_prefix('/') == Some(name);
    // A later `!` takes an earlier line back.
    let is_taken_back = |line: &str| line.starts_with('!');
    let last = text.lines().map(str::trim).rfind(|line| has(line) || is_taken_back(line));
    if last.is_some_and(has) {
        return Ok(false);
    }
    let before = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let append = || {
        let mut file = File::options().append(true).create(true).open(&ignore)?;
        file.write_all(format!("{before}/{name}\n").as_bytes())
    };
    append().map_err(|source| of_io(&ignore, source))?;
    Ok(true)
}

fn existing(path: &Path, name: &str) -> Result<Option<EnvFile>, Failure> {
    match open_regular(path) {
        Err(FileError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
        Ok(file) => parse(read_bytes(&file, path, LARGEST + 1)?, name).map(Some),
    }
}

fn parse(bytes: Vec<u8>, name: &str) -> Result<EnvFile, Failure> {
    EnvFile::parse(Secret::new(bytes)).map_err(|error| in_file(name, &error))
}

fn in_file(name: &str, error: &EnvFileError) -> Failure {
    Failure::failed(format!("`{name}`: {error}"))
}

fn of_io(path: &Path, source: io::Error) -> Failure {
    FileError::Io { path: path.to_owned(), source }.into()
}

/// Puts a new file in the place of the one at `path`, behind links, so that a reader has the one or
/// the other. It is closed to others from its first moment.
fn replace(path: &Path, text: &Secret) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let new = beside(&path);
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&new).and_then(|mut file| {
        file.write_all(text.expose())?;
        file.sync_all()?;
        fs::rename(&new, &path)
    });
    if written.is_err() {
        // Half a file of secrets is worse than none.
        drop(fs::remove_file(&new));
    }
    written
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}
