//! The whole environment of a program: written down here, and nothing of ours beside it.
//!
//! What the configuration says comes last and wins, but for the names that are [`reserved`]. The
//! variables of git are there for every program, because many call git.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use strongroom_model::code::{Code, Refusal};
use strongroom_model::command::Command;
use strongroom_model::command::value::{Piece, Value};
use strongroom_model::injection::Credential;
use zeroize::Zeroizing;

use super::Ground;
use super::scratch::Scratch;

/// Leads our own program, called by git, to the door of its run.
pub const ASKPASS: &str = "STRONGROOM_ASKPASS";

/// Where programs look for others. What belongs to the system comes first.
const PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin:/usr/local/sbin:/opt/homebrew/bin";

/// What programs get of our own variables.
const KEPT: &[&str] = &["TZ", "USER", "LOGNAME"];

/// The same on Windows, where little works without.
const KEPT_ON_WINDOWS: &[&str] = &[
    "SystemRoot",
    "SystemDrive",
    "windir",
    "ComSpec",
    "PATHEXT",
    "ProgramData",
    "ProgramFiles",
    "ProgramFiles(x86)",
    "NUMBER_OF_PROCESSORS",
    "PROCESSOR_ARCHITECTURE",
];

/// Nobody is there to be asked, and nothing is shown in colours or pages.
const QUIET: &[(&str, &str)] = &[
    ("LC_ALL", if cfg!(target_os = "macos") { "en_US.UTF-8" } else { "C.UTF-8" }),
    ("TERM", "dumb"),
    ("NO_COLOR", "1"),
    ("PAGER", "cat"),
    ("EDITOR", "false"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GH_PROMPT_DISABLED", "1"),
    ("GH_NO_UPDATE_NOTIFIER", "1"),
];

/// What git reads beside the repository's own configuration: these and nothing of the machine or the
/// user. They stand above what the repository says.
const GIT: &[(&str, &str)] = &[
    ("credential.helper", ""),
    ("core.hooksPath", NOWHERE),
    ("core.fsmonitor", "false"),
    ("core.askPass", ""),
    ("http.followRedirects", "false"),
    ("http.sslVerify", "true"),
];

const NOWHERE: &str = if cfg!(windows) { "NUL" } else { "/dev/null" };

/// Whether the configuration may not set a variable of this name: it is ours, or makes the system's
/// loader take another program's code.
pub fn reserved(name: &str) -> bool {
    const OURS: &[&str] = &[
        "HOME",
        "USERPROFILE",
        "APPDATA",
        "LOCALAPPDATA",
        "TMPDIR",
        "TEMP",
        "TMP",
        "GIT_ASKPASS",
        "SSH_ASKPASS",
    ];
    let name = name.to_ascii_uppercase();
    OURS.contains(&&*name)
        || ["LD_", "DYLD_", "STRONGROOM_"].iter().any(|prefix| name.starts_with(prefix))
}

/// What a program of `command` gets.
pub(super) fn of(
    command: &Command,
    credential: &Credential,
    ground: &Ground,
    scratch: &Scratch,
) -> Result<Vec<(OsString, OsString)>, Refusal> {
    let mut env = Variables::default();
    let kept = if cfg!(windows) { KEPT_ON_WINDOWS } else { KEPT };
    for (name, value) in &ground.env {
        if kept.iter().any(|kept| name.eq_ignore_ascii_case(kept)) {
            env.set(name, value);
        }
    }
    env.set("PATH", search_path(&command.program.path, &env));
    for (name, value) in QUIET {
        env.set(name, value);
    }
    git(&mut env, command.askpass.as_ref().is_some_and(|askpass| askpass.insecure));
    for (name, value) in &command.env {
        env.set(name, text(&fill(value, credential)?)?);
    }
    let homes =
        if cfg!(windows) { &["USERPROFILE", "APPDATA", "LOCALAPPDATA"][..] } else { &["HOME"] };
    for name in homes {
        env.set(name, scratch.home());
    }
    for name in if cfg!(windows) { &["TEMP", "TMP"][..] } else { &["TMPDIR"] } {
        env.set(name, scratch.temporary());
    }
    // An empty one ends git's search for another.
    let helper = ground.helper.as_ref().filter(|_| command.askpass.is_some());
    for name in ["GIT_ASKPASS", "SSH_ASKPASS"] {
        env.set(name, helper.map_or(OsStr::new(""), |helper| helper.as_os_str()));
    }
    if command.askpass.is_some() {
        env.set(ASKPASS, scratch.door());
    }
    Ok(env.0)
}

/// The bytes of `value` with its secrets in it. This and what it is called for is the whole of where
/// secrets become a program's.
pub(super) fn fill(value: &Value, credential: &Credential) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let missing = || Refusal::new(Code::SecretUnavailable, "a secret of this service is missing");
    let mut bytes = Zeroizing::new(Vec::with_capacity(256));
    for piece in value.pieces(credential).ok_or_else(missing)? {
        bytes.extend_from_slice(match piece {
            Piece::Text(text) => text.as_bytes(),
            Piece::Secret(secret) => secret.expose(),
        });
    }
    Ok(bytes)
}

fn git(env: &mut Variables, insecure: bool) {
    env.set("GIT_CONFIG_NOSYSTEM", "1");
    env.set("GIT_CONFIG_GLOBAL", NOWHERE);
    env.set("GIT_ALLOW_PROTOCOL", if insecure { "https:http" } else { "https" });
    env.set("GIT_CONFIG_COUNT", GIT.len().to_string());
    for (at, (key, value)) in GIT.iter().enumerate() {
        env.set(format!("GIT_CONFIG_KEY_{at}"), key);
        env.set(format!("GIT_CONFIG_VALUE_{at}"), value);
    }
}

#[cfg(unix)]
fn search_path(_: &Path, _: &Variables) -> OsString {
    PATH.into()
}

/// The system's folders, and the program's own, where its libraries are.
#[cfg(not(unix))]
fn search_path(program: &Path, env: &Variables) -> OsString {
    let root = env.0.iter().find(|(name, _)| name.eq_ignore_ascii_case("SystemRoot"));
    let root = root.map_or(OsString::from(r"C:\Windows"), |(_, root)| root.clone());
    let mut path = Path::new(&root).join("System32").into_os_string();
    for folder in [Path::new(&root), program.parent().unwrap_or(program)] {
        path.push(";");
        path.push(folder);
    }
    let _ = PATH;
    path
}

/// What can be a variable's value.
#[cfg(unix)]
fn text(bytes: &[u8]) -> Result<OsString, Refusal> {
    use std::os::unix::ffi::OsStringExt as _;
    if bytes.contains(&0) { Err(unfit()) } else { Ok(OsString::from_vec(bytes.to_vec())) }
}

#[cfg(not(unix))]
fn text(bytes: &[u8]) -> Result<OsString, Refusal> {
    let text = String::from_utf8(bytes.to_vec()).ok().filter(|text| !text.contains('\0'));
    text.map(OsString::from).ok_or_else(unfit)
}

fn unfit() -> Refusal {
    let text = "a secret of this service has a byte in it that no variable can hold";
    Refusal::new(Code::SecretUnavailable, text)
}

#[derive(Default)]
struct Variables(Vec<(OsString, OsString)>);

impl Variables {
    fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(there, _)| *there == name) {
            Some((_, there)) => *there = value,
            None => self.0.push((name, value)),
        }
    }
}
