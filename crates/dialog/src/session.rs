//! The display of the session that this user is logged in to, where this process was started without the
//! variables that name it.
//!
//! MCP clients start their servers with a handful of variables (`HOME`, `LOGNAME`, `PATH`, `SHELL`,
//! `TERM`, `USER`), and the display is none of them. The user's service manager knows it, because
//! desktops tell it at login (`systemctl --user import-environment`). Nothing is guessed from the sockets
//! in `/tmp`, which anybody can put there.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use strongroom_model::paths::{Environment, Os};
use strongroom_process::{Start, run, runtime_directory};

/// What asks the service manager, by where systems have it.
const TELLERS: [&str; 3] =
    ["/usr/bin/systemctl", "/bin/systemctl", "/run/current-system/sw/bin/systemctl"];

/// How long it may take. Somebody waits for the window.
const PATIENCE: Duration = Duration::from_secs(1);

/// The variables of a login from another machine: its person does not sit at the display of this one.
const REMOTE: [&str; 3] = ["SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"];

/// `environment`, with those of the variables `names` that it does not have from the login session.
pub(crate) fn with_session(environment: &Environment, names: &[&str]) -> Option<Environment> {
    TELLERS.iter().find_map(|teller| told_by(Path::new(teller), environment, names))
}

fn told_by(teller: &Path, environment: &Environment, names: &[&str]) -> Option<Environment> {
    let remote = REMOTE.iter().any(|name| environment.get(name).is_some());
    if environment.os != Os::Linux || remote {
        return None;
    }
    let runtime = runtime_directory(environment.get("XDG_RUNTIME_DIR"))?;
    // Without a service manager it is not worth the start of a program.
    if !runtime.join("systemd/private").exists() || !teller.exists() {
        return None;
    }
    let mut start = Start::new(teller);
    start.args = ["--user", "show-environment"].map(OsString::from).into();
    start.env = vec![
        ("XDG_RUNTIME_DIR".into(), runtime.clone().into_os_string()),
        ("LC_ALL".into(), "C".into()),
    ];
    let output = run(&start, &[], PATIENCE, 64 << 10).ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;

    let ours = environment.to_vec().into_iter().filter(|(_, value)| !value.is_empty());
    let lacking =
        told(&text).filter(|(name, _)| names.contains(name) && environment.get(name).is_none());
    let lacking = lacking.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let mut variables: Vec<_> = ours.chain(lacking).collect();
    if !variables.iter().any(|(name, _)| name == OsStr::new("XDG_RUNTIME_DIR")) {
        variables.push(("XDG_RUNTIME_DIR".into(), runtime.into_os_string()));
    }
    Some(Environment::new(Os::Linux, variables))
}

/// The variables that are told as they are. What a shell would have to unquote is left out: no display
/// has such a name.
fn told(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let plain = |value: &str| {
        !value.is_empty() && !value.contains(|c: char| c.is_control() || "$'\"\\".contains(c))
    };
    text.lines().filter_map(|line| line.split_once('=')).filter(move |(_, value)| plain(value))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NAMES: [&str; 3] = ["DISPLAY", "XAUTHORITY", "XDG_SESSION_TYPE"];

    /// Asks a stand-in for `systemctl` that says `answer` for the runtime directory of this test.
    fn session(answer: &str, variables: &[(&str, &str)]) -> Option<Environment> {
        let folder = tempfile::tempdir().unwrap();
        let teller = folder.path().join("systemctl-stand-in");
        let runtime = folder.path().join("runtime");
        fs::create_dir_all(runtime.join("systemd/private")).unwrap();
        let runtime = runtime.to_str().unwrap();
        let script = format!(
            "#!/bin/sh\n[ \"$*\" = '--user show-environment' ] && [ \"$XDG_RUNTIME_DIR\" = '{runtime}' ] \
             || exit 1\n{answer}\n"
        );
        fs::write(&teller, script).unwrap();
        fs::set_permissions(&teller, fs::Permissions::from_mode(0o755)).unwrap();
        let ours = [("HOME", "/home/me"), ("XDG_RUNTIME_DIR", runtime)];
        let environment = Environment::new(Os::Linux, ours.iter().chain(variables).copied());
        told_by(&teller, &environment, &NAMES)
    }

    const TELLS: &str = "printf '%s\\n' 'HOME=/root' 'DISPLAY=:7' 'XAUTHORITY=/run/user/7/key' \
                         \"XDG_SESSION_TYPE=\\$'x11'\" 'LD_PRELOAD=/canary.so'";

    #[test]
    fn a_login_session_tells_where_its_display_is_and_nothing_else_counts() {
        let found = session(TELLS, &[]).unwrap();
        let get = |name| found.get(name).and_then(OsStr::to_str);
        assert_eq!((get("DISPLAY"), get("XAUTHORITY")), (Some(":7"), Some("/run/user/7/key")));
        assert_eq!(
            (get("HOME"), get("LD_PRELOAD"), get("XDG_SESSION_TYPE")),
            (Some("/home/me"), None, None)
        );
    }

    #[test]
    fn what_this_process_was_told_comes_before_what_the_session_says() {
        let found = session(TELLS, &[("XAUTHORITY", "/mine")]).unwrap();
        assert_eq!(found.get("XAUTHORITY"), Some(OsStr::new("/mine")));
        assert_eq!(found.get("DISPLAY"), Some(OsStr::new(":7")));
    }

    #[test]
    fn a_login_from_another_machine_gets_no_window_on_this_one() {
        assert!(session(TELLS, &[]).is_some());
        assert!(session(TELLS, &[("SSH_CONNECTION", "10.0.0.2 1 10.0.0.1 22")]).is_none());
    }

    #[test]
    fn a_session_that_says_nothing_or_does_not_answer_is_none() {
        let silent = session("", &[]).unwrap();
        assert_eq!(silent.get("DISPLAY"), None);
        assert!(session("exit 1", &[]).is_none());
        assert!(session("sleep 30", &[]).is_none());
    }
}
