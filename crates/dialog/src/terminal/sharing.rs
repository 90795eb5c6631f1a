//! Who else has a part in our terminal.

use std::fs::File;
use std::io::{self, IsTerminal as _};

use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use strongroom_process::session_of;

use super::NoTerminal;

/// A process of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    id: u32,
    parent: u32,
}

/// Whether a person can be asked at the terminal of this process.
pub(super) fn check() -> Result<(), NoTerminal> {
    let tty = File::options().read(true).write(true).open("/dev/tty");
    let tty = tty.map_err(|_| NoTerminal::Nowhere)?;
    if !io::stdin().is_terminal() {
        return Err(NoTerminal::Input);
    }
    if tcgetpgrp(&tty).map_err(io::Error::from)? != getpgrp() {
        return Err(NoTerminal::Background);
    }
    let us = std::process::id();
    let session = session_of(us).ok_or(NoTerminal::Unknown)?;
    match stranger(us, session, &members(session)?) {
        None => Ok(()),
        Some(process) => Err(NoTerminal::Shared { process }),
    }
}

/// Somebody in the session beside us, what we started, and the shell that leads the session where it
/// started us itself. Everybody else could be the agent, or speak for it.
fn stranger(us: u32, session: u32, members: &[Member]) -> Option<u32> {
    let parent_of = |id: u32| members.iter().find(|member| member.id == id).map(|one| one.parent);
    let is_ours = |member: &Member| {
        let line = std::iter::successors(Some(member.id), |id| parent_of(*id));
        // As many steps as there are members: ids that were used again could make a circle.
        line.take(members.len() + 1).any(|id| id == us)
    };
    let shell = parent_of(us).filter(|parent| *parent == session);
    let strange = |member: &&Member| !is_ours(member) && Some(member.id) != shell;
    members.iter().find(strange).map(|member| member.id)
}

/// Everybody in `session`.
#[cfg(target_os = "linux")]
fn members(session: u32) -> Result<Vec<Member>, NoTerminal> {
    let mut members = Vec::new();
    for entry in std::fs::read_dir("/proc").map_err(|_| NoTerminal::Unknown)? {
        let name = entry.map_err(|_| NoTerminal::Unknown)?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended meanwhile has no part in anything.
        let Ok(stat) = std::fs::read(format!("/proc/{id}/stat")) else { continue };
        members.extend(parse(id, session, &String::from_utf8_lossy(&stat), &|| has_threads(id)));
    }
    // Where we do not see ourselves, we see nobody.
    if members.is_empty() { Err(NoTerminal::Unknown) } else { Ok(members) }
}

/// Elsewhere the system has no list of them that we could read.
#[cfg(not(target_os = "linux"))]
fn members(_: u32) -> Result<Vec<Member>, NoTerminal> {
    Err(NoTerminal::Unknown)
}

/// The process `id`, if it is in `session` and has not ended: fields 3, 4 and 6 of `proc_pid_stat(5)`,
/// after the name in its brackets. A process whose first thread has ended looks as if it had ended itself.
#[cfg(target_os = "linux")]
fn parse(id: u32, session: u32, stat: &str, has_threads: &dyn Fn() -> bool) -> Option<Member> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let of: u32 = fields.nth(1)?.parse().ok()?;
    (of == session && (!is_over(state) || has_threads())).then_some(Member { id, parent })
}

#[cfg(target_os = "linux")]
fn is_over(state: &str) -> bool {
    matches!(state, "Z" | "X")
}

/// Whether a thread of the process `id` goes on. Where that cannot be seen, one may.
#[cfg(target_os = "linux")]
fn has_threads(id: u32) -> bool {
    let threads = match std::fs::read_dir(format!("/proc/{id}/task")) {
        Ok(threads) => threads,
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
    };
    threads.flatten().any(|thread| {
        // One that is gone is over.
        let stat = std::fs::read(thread.path().join("stat")).unwrap_or_default();
        let stat = String::from_utf8_lossy(&stat);
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').next());
        state.is_some_and(|state| !is_over(state))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Member = Member { id: 10, parent: 1 };
    const US: Member = Member { id: 20, parent: 10 };

    fn with(others: &[(u32, u32)]) -> Option<u32> {
        let others = others.iter().map(|(id, parent)| Member { id: *id, parent: *parent });
        let members: Vec<_> = [SHELL, US].into_iter().chain(others).collect();
        stranger(US.id, SHELL.id, &members)
    }

    // DE-08
    #[test]
    fn a_terminal_with_a_shell_us_and_what_we_started_is_the_persons() {
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[(30, 20), (31, 30)]), None);
        assert_eq!(stranger(10, 10, &[SHELL]), None, "we may lead the session ourselves");
    }

    // DE-08
    #[test]
    fn whoever_else_is_in_the_session_could_be_the_agent() {
        assert_eq!(with(&[(30, 10)]), Some(30), "another job of the shell");
        assert_eq!(with(&[(30, 1)]), Some(30), "one whose parent has ended");
        assert_eq!(with(&[(30, 31), (31, 30)]), Some(30), "one that makes no sense");
        // The shell started the agent, and the agent us.
        let agent = Member { id: 15, parent: 10 };
        let us = Member { id: 20, parent: 15 };
        assert_eq!(stranger(20, 10, &[SHELL, agent, us]), Some(10));
        assert_eq!(stranger(20, 10, &[us, agent]), Some(15));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let stat = "30 (a) S 1 (b) ) S 10 30 10 34816 30 4194304";
        let parse = |session, stat, threads| parse(30, session, stat, &|| threads);
        let found = Some(Member { id: 30, parent: 10 });
        assert_eq!(parse(10, stat, false), found);
        assert_eq!(parse(11, stat, true), None);
        assert_eq!(parse(10, "30 (a) Z 10 30 10 0 0 0", false), None);
        assert_eq!(parse(10, "30 (a) Z 10 30 10 0 0 0", true), found, "its first thread has ended");
        assert_eq!(parse(10, "30 (a)", true), None);
        assert!(has_threads(std::process::id()) && !has_threads(u32::MAX));
        if let Some(session) = session_of(std::process::id()) {
            let members = members(session).unwrap();
            assert!(members.iter().any(|member| member.id == std::process::id()));
        }
    }
}
