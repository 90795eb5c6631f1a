//! The session that a process is in.

/// The id of the session of the process `pid`, where it has one that can be told here.
///
/// In a container the session of a process may have been begun outside, by a process that has no id
/// in it: there is `None`, which is the session of no run of ours.
#[cfg(unix)]
#[expect(
    unsafe_code,
    reason = "the safe wrapper takes a session of outside for an error of its own"
)]
pub fn session_of(pid: u32) -> Option<u32> {
    // 0 would ask about ourselves.
    let pid = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 0)?;
    // SAFETY: it takes a number and gives a number.
    let session = unsafe { libc::getsid(pid) };
    // -1 is an error, and 0 what Linux gives for a session of outside.
    u32::try_from(session).ok().filter(|session| *session > 0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use super::*;

    /// Field 6 of `proc_pid_stat(5)`, after the name in its brackets.
    fn listed(pid: u32) -> Option<u32> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        text.rsplit_once(") ")?.1.split(' ').nth(3)?.parse().ok()
    }

    #[test]
    fn every_process_is_in_the_session_that_the_system_lists() {
        let names = fs::read_dir("/proc").unwrap().flatten();
        let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        for pid in pids {
            let (before, told, after) = (listed(pid), session_of(pid), listed(pid));
            if before == after {
                // The threads of the kernel have none, nor what was started outside of a container.
                assert_eq!(told, before.filter(|session| *session > 0), "process {pid}");
            }
        }
        let own = session_of(std::process::id());
        assert_eq!(own, listed(std::process::id()).filter(|session| *session > 0));
    }

    #[test]
    fn what_is_no_process_has_none() {
        assert_eq!((session_of(0), session_of(u32::MAX), session_of(1 << 30)), (None, None, None));
    }
}
