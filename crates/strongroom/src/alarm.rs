//! What is done when secrets could not be refreshed three times in a row: a person is told, once,
//! until it works again.
//!
//! There is a mark in the state directory for each provider that somebody was told of. It is made
//! exclusively, so that of several processes one tells, and removed when the provider answers again.
//! Nothing but the names of providers is in what is told.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use strongroom_process::{Start, run};
use strongroom_seal::SecureDir;
use strongroom_secrets::supply::Done;

use crate::environment::Host;
use crate::paths::{Environment, Home, Os};

/// So many failures in a row.
const FAILURES: u32 = 3;

/// Neither a desktop nor a program of the user's holds the refresh up for longer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Where programs of the system are looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/// The program on Linux that shows a notification.
const NOTIFIERS: [&str; 3] = [
    "/usr/bin/notify-send",
    "/usr/local/bin/notify-send",
    "/run/current-system/sw/bin/notify-send",
];

/// How a person is told.
#[derive(Clone, Debug, Default)]
pub struct Bell {
    /// Where it is remembered who was told of.
    pub state: PathBuf,
    /// Shows a notification on the desktop, where there is one.
    pub notifier: Option<Notifier>,
    /// The user's own program, with its arguments: `[cache] on_failure`. The names of the providers
    /// are added to them.
    pub on_failure: Vec<String>,
    /// The environment of that program.
    pub env: Vec<(OsString, OsString)>,
}

/// A program that shows a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notifier {
    /// Its absolute path.
    pub program: PathBuf,
    /// What comes before the text.
    pub arguments: Vec<String>,
    /// By which it finds the desktop, and nothing else.
    pub env: Vec<(OsString, OsString)>,
    /// The variable that takes the text, where it is not the last argument.
    pub variable: Option<&'static str>,
}

/// Who was told of what.
#[derive(Debug, PartialEq, Eq)]
pub struct Raised {
    /// The providers.
    pub providers: Vec<String>,
    /// The line for stderr, which is the journal or the system's log.
    pub line: String,
    /// What could not be done, in a line each.
    pub problems: Vec<String>,
}

impl Bell {
    /// The bell of this user.
    pub fn of(host: &Host, home: &Home, on_failure: &[String]) -> Self {
        let environment = &host.environment;
        let names = ["HOME", "LANG", "USERPROFILE", "SystemRoot", "TEMP"];
        let mut env = kept(environment, &names);
        if environment.os != Os::Windows {
            env.push(("PATH".into(), PATH.into()));
        }
        let exists = |path: &Path| path.exists();
        Self {
            state: home.state.clone(),
            notifier: notifier(environment, user(), &exists),
            on_failure: on_failure.to_vec(),
            env,
        }
    }
}

/// Tells a person of the providers that have failed for the third time in `done`, which a refresh in
/// the background came to, and of whom nobody was told since they last answered. `failing` is what keeps
/// failing in any cache, how often in a row: a provider that answers one project is not well again
/// while it fails another.
pub fn raise(done: &[Done], failing: &[(String, u32)], bell: &Bell) -> Option<Raised> {
    let mut worst: BTreeMap<&str, u32> = BTreeMap::new();
    for done in done {
        let failures = if done.outcome.is_err() { done.failures } else { 0 };
        let most = worst.entry(done.reference.scheme()).or_default();
        *most = failures.max(*most);
    }
    let dir = SecureDir::create(&bell.state).ok();
    let mut providers = Vec::new();
    for (provider, failures) in worst {
        let mark = format!("alarm.{provider}");
        if failures < FAILURES {
            if failing.iter().any(|(other, times)| other == provider && *times >= FAILURES) {
                continue;
            }
            let _ = dir.as_ref().map(|dir| dir.remove(&mark));
            continue;
        }
        let is_new = match &dir {
            Some(dir) if dir.create_new(&mark, b"told\n").is_ok() => true,
            Some(dir) if dir.has(&mark).unwrap_or(false) => false,
            // Nothing can be remembered here: the number itself comes up once in most cases.
            _ => failures == FAILURES,
        };
        if is_new {
            providers.push(provider.to_owned());
        }
    }
    if providers.is_empty() {
        return None;
    }
    let names = providers.join(", ");
    let line = format!("secrets of {names} could not be refreshed {FAILURES} times in a row");
    let mut problems = Vec::new();
    if let Some(notifier) = &bell.notifier {
        problems.extend(show(notifier, &line).err());
    }
    if let Some((program, arguments)) = bell.on_failure.split_first() {
        let mut start = Start::new(program);
        start.args = arguments.iter().chain(&providers).map(Into::into).collect();
        start.env.clone_from(&bell.env);
        problems.extend(ended_well("on_failure", &start).err());
    }
    Some(Raised { providers, line, problems })
}

fn show(notifier: &Notifier, text: &str) -> Result<(), String> {
    notify(notifier, &format!("{text}. Run `strongroom secrets status`."))
}

/// What shows a notification to this user, where there is a desktop to show it on.
pub fn desktop(host: &Host) -> Option<Notifier> {
    notifier(&host.environment, user(), &|path: &Path| path.exists())
}

/// Shows `text`, which is nobody's words but ours.
pub fn notify(notifier: &Notifier, text: &str) -> Result<(), String> {
    let mut start = Start::new(&notifier.program);
    start.args = notifier.arguments.iter().map(Into::into).collect();
    start.env.clone_from(&notifier.env);
    match notifier.variable {
        Some(variable) => start.env.push((variable.into(), text.into())),
        None => start.args.push(text.into()),
    }
    ended_well("the notification", &start)
}

fn ended_well(what: &str, start: &Start) -> Result<(), String> {
    // What it prints may be anything: it is not repeated.
    match run(start, &[], TIMEOUT, 4096) {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{what}: the program ended with {}", output.status)),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

/// What shows a notification to `user`, where there is a desktop to show it on.
fn notifier(
    environment: &Environment,
    user: u32,
    exists: &dyn Fn(&Path) -> bool,
) -> Option<Notifier> {
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    match environment.os {
        Os::Linux => {
            let program = NOTIFIERS.into_iter().map(PathBuf::from).find(|path| exists(path))?;
            let mut env = kept(environment, &["HOME", "DISPLAY", "WAYLAND_DISPLAY"]);
            // cron tells its jobs nothing of the session; its bus has a place of its own.
            let runtime = environment.get("XDG_RUNTIME_DIR").map(OsString::from);
            let runtime = runtime.unwrap_or_else(|| format!("/run/user/{user}").into());
            let usual = || {
                let place = Path::new(&runtime).join("bus");
                let mut address = OsString::from("unix:path=");
                address.push(&place);
                exists(&place).then_some(address)
            };
            let bus = environment.get("DBUS_SESSION_BUS_ADDRESS").map(OsString::from);
            let bus = bus.or_else(usual)?;
            env.push(("XDG_RUNTIME_DIR".into(), runtime));
            env.push(("DBUS_SESSION_BUS_ADDRESS".into(), bus));
            let arguments = words(&["--app-name=Strongroom", "--", "Strongroom"]);
            Some(Notifier { program, arguments, env, variable: None })
        }
        Os::Macos => {
            let program = PathBuf::from("/usr/bin/osascript");
            let script = "display notification (item 1 of argv) with title \"Strongroom\"";
            let arguments = words(&["-e", "on run argv", "-e", script, "-e", "end run"]);
            let env = kept(environment, &["HOME"]);
            exists(&program).then_some(Notifier { program, arguments, env, variable: None })
        }
        Os::Windows => {
            let below = "System32/WindowsPowerShell/v1.0/powershell.exe";
            let program = environment.os.join(environment.get("SystemRoot")?, below);
            let arguments = words(&["-NoProfile", "-NonInteractive", "-Command", TOAST]);
            let names = ["SystemRoot", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "TEMP"];
            let env = kept(environment, &names);
            let variable = Some("STRONGROOM_NOTICE");
            exists(&program).then_some(Notifier { program, arguments, env, variable })
        }
    }
}

/// `PowerShell` has no argument that it would not read as a script; the text is in a variable.
const TOAST: &str = "$m=[Windows.UI.Notifications.ToastNotificationManager,\
Windows.UI.Notifications,ContentType=WindowsRuntime];\
$x=$m::GetTemplateContent([Windows.UI.Notifications.ToastTemplateType]::ToastText02);\
$t=$x.GetElementsByTagName('text');\
[void]$t.Item(0).AppendChild($x.CreateTextNode('Strongroom'));\
[void]$t.Item(1).AppendChild($x.CreateTextNode($env:STRONGROOM_NOTICE));\
$m::CreateToastNotifier('{1AC14E77-02E7-4E5D-B744-2EB1AE5198B7}\\WindowsPowerShell\\v1.0\\\
powershell.exe').Show([Windows.UI.Notifications.ToastNotification]::new($x))";

fn kept(environment: &Environment, names: &[&str]) -> Vec<(OsString, OsString)> {
    let variable = |name: &&str| Some((OsString::from(name), environment.get(name)?.to_owned()));
    names.iter().filter_map(variable).collect()
}

#[cfg(unix)]
fn user() -> u32 {
    rustix::process::getuid().as_raw()
}

#[cfg(not(unix))]
fn user() -> u32 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_its_own_notification_and_none_without_a_desktop() {
        type Row<'a> = (Os, &'a [(&'a str, &'a str)], &'a [&'a str], Option<&'a str>);
        let send = "/usr/bin/notify-send";
        let shell = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe";
        let table: &[Row] = &[
            (Os::Linux, &[("DBUS_SESSION_BUS_ADDRESS", "unix:x")], &[send], Some(send)),
            (Os::Linux, &[("XDG_RUNTIME_DIR", "/r")], &[send, "/r/bus"], Some(send)),
            (Os::Linux, &[], &[send, "/run/user/7/bus"], Some(send)),
            (Os::Linux, &[("DISPLAY", ":0")], &[send], None),
            (Os::Linux, &[("DBUS_SESSION_BUS_ADDRESS", "unix:x")], &[], None),
            (Os::Macos, &[], &["/usr/bin/osascript"], Some("/usr/bin/osascript")),
            (Os::Windows, &[("SystemRoot", r"C:\Windows")], &[shell], Some(shell)),
            (Os::Windows, &[], &[shell], None),
        ];
        for (os, variables, files, expected) in table {
            let token = [("OP_SERVICE_ACCOUNT_TOKEN", "canary"), ("PATH", "/evil")];
            let variables = variables.iter().copied().chain(token);
            let environment = Environment::new(*os, variables);
            let exists = |path: &Path| files.iter().any(|file| path.as_os_str() == *file);
            let found = notifier(&environment, 7, &exists);
            let program = found.as_ref().map(|found| found.program.to_str().unwrap());
            assert_eq!(program, *expected, "{os:?} {files:?}");
            let told = format!("{found:?}");
            assert!(!told.contains("canary") && !told.contains("/evil"), "{told}");
        }
    }
}

#[cfg(all(test, unix))]
#[path = "alarm_tests.rs"]
mod rings;
