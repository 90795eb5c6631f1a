//! What a server's room is bounded by from the inside, before the server begins.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::arguments::View;
use super::{Layers, Limits, Room};
use crate::Start;

/// The first argument of what bounds itself and becomes the server.
pub const CONFINE: &str = "__confine";

/// Whether rooms can be built on this platform at all.
pub(super) const SUPPORTED: bool =
    cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")));

/// How this program could not bound itself: nothing was started.
const UNBOUNDED: u8 = 125;

/// What [`confine`] is told, in this order.
const WORDS: usize = 7;

/// The arguments of [`confine`] for `start` in `room`.
pub(super) fn arguments(start: &Start, room: &Room, view: &View) -> Vec<OsString> {
    let Limits { memory, processes, files, file_bytes } = room.limits;
    let numbers = [memory, processes, files, file_bytes].map(|limit| limit.to_string().into());
    let network = if room.network { "network" } else { "none" };
    let name = start.name.clone().unwrap_or_else(|| start.program.clone().into_os_string());
    let mut all = vec![CONFINE.into()];
    all.extend(numbers);
    all.extend([network.into(), name, OsString::from(view.write.len().to_string())]);
    all.extend(view.write.iter().map(|path| path.clone().into_os_string()));
    all.push(view.home.clone().into());
    all.push(start.program.clone().into());
    all.extend(start.args.iter().cloned());
    all
}

/// Bounds this process and becomes the server with the variables `env`, where `arguments` say that this
/// is what was started in a room. Comes back only where it is not, or where that fails.
pub fn confine(arguments: &[OsString], env: Vec<(OsString, OsString)>) -> Option<ExitCode> {
    let [_, first, rest @ ..] = arguments else { return None };
    if first != CONFINE {
        return None;
    }
    let Some(told) = Told::read(rest, env) else { return Some(ExitCode::from(UNBOUNDED)) };
    Some(match bound(&told) {
        Ok(()) => ended(&told.start),
        Err(why) => {
            say(&format!("the server was not started, because it could not be isolated: {why}"));
            ExitCode::from(UNBOUNDED)
        }
    })
}

/// Tells whoever reads the server's descriptor 2.
fn say(text: &str) {
    // Where nobody does, the exit code says it.
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// What is to be bounded, and by what.
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "no other platform has what could bound it")
)]
struct Told {
    limits: Limits,
    network: bool,
    /// Where it may write: what it was given, and its home.
    write: Vec<PathBuf>,
    start: Start,
}

impl Told {
    fn read(words: &[OsString], env: Vec<(OsString, OsString)>) -> Option<Self> {
        let (fixed, rest) = words.split_at_checked(WORDS)?;
        let number = |at: usize| fixed[at].to_str()?.parse::<u64>().ok();
        let limits = Limits {
            memory: number(0)?,
            processes: number(1)?,
            files: number(2)?,
            file_bytes: number(3)?,
        };
        let network = fixed[4] == OsStr::new("network");
        let count = usize::try_from(number(6)?).ok()?.checked_add(1)?;
        let (write, rest) = rest.split_at_checked(count)?;
        let [program, args @ ..] = rest else { return None };
        let start =
            Start { name: Some(fixed[5].clone()), args: args.to_vec(), env, ..Start::new(program) };
        Some(Self { limits, network, write: write.iter().map(PathBuf::from).collect(), start })
    }
}

#[cfg(unix)]
fn ended(start: &Start) -> ExitCode {
    let error = start.replace();
    say(&format!("{error}: {}", error.source));
    ExitCode::from(if error.source.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 })
}

#[cfg(not(unix))]
fn ended(_: &Start) -> ExitCode {
    ExitCode::from(UNBOUNDED)
}

/// What this kernel holds servers by, beyond what it must.
#[cfg(target_os = "linux")]
pub(super) fn layers() -> Layers {
    let processes = !rustix::process::geteuid().is_root();
    Layers { landlock: super::files::supported(), processes }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn layers() -> Layers {
    Layers { landlock: false, processes: false }
}

/// Files first, and system calls last: the filter forbids what the others need.
#[cfg(target_os = "linux")]
fn bound(told: &Told) -> Result<(), String> {
    resources(told.limits).map_err(|error| format!("limits: {error}"))?;
    super::files::bound(&told.write, told.network).map_err(|error| format!("files: {error}"))?;
    super::syscalls::bound().map_err(|error| format!("system calls: {error}"))
}

#[cfg(not(target_os = "linux"))]
fn bound(_: &Told) -> Result<(), String> {
    Err(super::Missing::Platform.to_string())
}

/// Lowers the limits, hard ones too. One that is lower already stays.
#[cfg(target_os = "linux")]
fn resources(limits: Limits) -> rustix::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let wanted = [
        (Resource::Core, 0),
        (Resource::Data, limits.memory),
        (Resource::Nproc, limits.processes),
        (Resource::Nofile, limits.files),
        (Resource::Fsize, limits.file_bytes),
    ];
    for (resource, limit) in wanted {
        let there = getrlimit(resource).maximum;
        let limit = there.map_or(limit, |there| there.min(limit));
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}
