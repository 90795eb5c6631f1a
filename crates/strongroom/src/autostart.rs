//! What keeps `serve --http` running: a systemd user unit, a `LaunchAgent` or a scheduled task.
//!
//! Rendering is pure, for every system on every system. What goes into a unit is escaped by the
//! rules of its format; what a format cannot say is refused and never approximated.

pub mod install;

use std::path::{Path, PathBuf};

use crate::paths::{Environment, Home, Os, PathsError};

/// The name of the unit, the agent and the task.
const NAME: &str = "strongroom";

/// What is to be kept running.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// The absolute path of the program.
    pub program: &'a str,
    /// Its arguments.
    pub arguments: &'a [&'a str],
    /// `STRONGROOM_HOME`, where one is set.
    pub home: Option<&'a str>,
    /// Where macOS puts what it writes to stderr; the others have a journal or none.
    pub log: &'a str,
}

/// What cannot be said in the format of the system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// No format has a way to write these.
    #[error("a path with a control character cannot stand in a service file")]
    Control,
    /// A task expands `%NAME%` and has no way to quote it.
    #[error("a path with `%` cannot stand in a scheduled task")]
    Percent,
    /// A task has no environment of its own.
    #[error("a scheduled task cannot set `STRONGROOM_HOME`")]
    Home,
}

impl RenderError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Control | Self::Percent => "install the program under a simpler path",
            Self::Home => "unset STRONGROOM_HOME, or set it for the whole account with `setx`",
        }
    }
}

/// The file that describes `job` to `os`.
pub fn render(os: Os, job: &Job<'_>) -> Result<String, RenderError> {
    can_be_said(job)?;
    match os {
        Os::Linux => Ok(systemd(job)),
        Os::Macos => Ok(launchd(job)),
        Os::Windows => task(job),
    }
}

/// Whether there is nothing in `job` that no format can write.
pub(crate) fn can_be_said(job: &Job<'_>) -> Result<(), RenderError> {
    let texts = [job.program, job.log, job.home.unwrap_or_default()];
    let mut texts = texts.into_iter().chain(job.arguments.iter().copied());
    if texts.any(|text| text.chars().any(char::is_control)) {
        return Err(RenderError::Control);
    }
    Ok(())
}

/// Where the file belongs.
pub fn place(environment: &Environment, home: &Home) -> Result<PathBuf, PathsError> {
    let os = environment.os;
    match os {
        Os::Linux => unit_place(environment, &format!("{NAME}.service")),
        Os::Macos => {
            let below = format!("Library/LaunchAgents/{NAME}.serve.plist");
            Ok(os.join(environment.user_home()?, &below))
        }
        Os::Windows => Ok(os.join(home.state.as_os_str(), "service.xml")),
    }
}

/// Where the user's own unit of this name belongs.
pub(crate) fn unit_place(environment: &Environment, name: &str) -> Result<PathBuf, PathsError> {
    let os = environment.os;
    let set = environment.get("XDG_CONFIG_HOME").filter(|path| os.is_absolute(path));
    let below = format!("systemd/user/{name}");
    match set {
        Some(config) => Ok(os.join(config, &below)),
        None => Ok(os.join(environment.user_home()?, &format!(".config/{below}"))),
    }
}

/// The commands that make the system read the file at `path` and start the job.
pub fn start(os: Os, user: u32, path: &Path) -> Vec<Vec<String>> {
    let path = path.to_string_lossy();
    let unit = format!("{NAME}.service");
    match os {
        Os::Linux => commands(&[
            &["systemctl", "--user", "daemon-reload"],
            &["systemctl", "--user", "enable", "--now", &unit],
        ]),
        Os::Macos => commands(&[
            &["launchctl", "bootout", &format!("gui/{user}/{NAME}.serve")],
            &["launchctl", "bootstrap", &format!("gui/{user}"), &path],
        ]),
        Os::Windows => commands(&[
            &["schtasks", "/Create", "/F", "/TN", "Strongroom", "/XML", &path],
            &["schtasks", "/Run", "/TN", "Strongroom"],
        ]),
    }
}

/// The commands that stop the job and make the system forget it, before the file is removed.
pub fn stop(os: Os, user: u32) -> Vec<Vec<String>> {
    match os {
        Os::Linux => {
            commands(&[&["systemctl", "--user", "disable", "--now", &format!("{NAME}.service")]])
        }
        Os::Macos => commands(&[&["launchctl", "bootout", &format!("gui/{user}/{NAME}.serve")]]),
        Os::Windows => commands(&[
            &["schtasks", "/End", "/TN", "Strongroom"],
            &["schtasks", "/Delete", "/F", "/TN", "Strongroom"],
        ]),
    }
}

pub(crate) fn commands(commands: &[&[&str]]) -> Vec<Vec<String>> {
    commands.iter().map(|words| words.iter().map(ToString::to_string).collect()).collect()
}

fn systemd(job: &Job<'_>) -> String {
    let command = systemd_command(job);
    format!(
        "# Written by `strongroom service install`; `strongroom service remove` removes it.\n\
         [Unit]\n\
         Description=Strongroom, the broker of credentials for AI agents\n\
         \n\
         [Service]\n\
         {command}\
         Restart=on-failure\n\
         RestartSec=2\n\
         UMask=0077\n\
         LimitCORE=0\n\
         NoNewPrivileges=yes\n\
         \n\
         [Install]\n\
         WantedBy=default.target\n"
    )
}

/// What is started, and in which home.
pub(crate) fn systemd_command(job: &Job<'_>) -> String {
    let arguments = job.arguments.iter().map(|argument| systemd_argument(argument));
    let arguments = arguments.collect::<Vec<_>>().join(" ");
    // systemd refuses a program whose path has quotes or backslashes, even escaped ones, and
    // replaces no variables in it; an argument of the shell may have them all.
    let program = if job.program.contains(['"', '\'', '\\']) {
        format!(r#"/bin/sh -c "exec \"$$0\" \"$$@\"" {}"#, systemd_argument(job.program))
    } else {
        systemd_quote(job.program)
    };
    let home = job.home.map_or(String::new(), |home| {
        format!("Environment={}\n", systemd_quote(&format!("STRONGROOM_HOME={home}")))
    });
    format!("ExecStart={program} {arguments}\n{home}")
}

/// systemd.syntax(7): quoted, with `%` doubled because it starts a specifier.
fn systemd_quote(text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%");
    format!("\"{text}\"")
}

/// systemd.service(5), command lines: `$` is doubled as well, because it starts a variable.
fn systemd_argument(text: &str) -> String {
    systemd_quote(&text.replace('$', "$$"))
}

fn launchd(job: &Job<'_>) -> String {
    let command = launchd_command(job);
    let log = xml(job.log);
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Written by `strongroom service install`; `strongroom service remove` removes it. -->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{NAME}.serve</string>
{command}  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>ProcessType</key>
  <string>Background</string>
  <key>Umask</key>
  <integer>63</integer>
  <key>StandardErrorPath</key>
  <string>{log}</string>
</dict>
</plist>
"#
    )
}

/// What is started, and in which home.
pub(crate) fn launchd_command(job: &Job<'_>) -> String {
    let words = std::iter::once(job.program).chain(job.arguments.iter().copied());
    let words = words.map(|word| format!("    <string>{}</string>\n", xml(word)));
    let words = words.collect::<String>();
    let home = job.home.map_or(String::new(), |home| {
        format!(
            "  <key>EnvironmentVariables</key>\n  <dict>\n    <key>STRONGROOM_HOME</key>\n    \
             <string>{}</string>\n  </dict>\n",
            xml(home)
        )
    });
    format!("  <key>ProgramArguments</key>\n  <array>\n{words}  </array>\n{home}")
}

fn task(job: &Job<'_>) -> Result<String, RenderError> {
    let command = task_command(job)?;
    Ok(format!(
        r#"<?xml version="1.0"?>
<!-- Written by `strongroom service install`; `strongroom service remove` removes it. -->
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>Strongroom, the broker of credentials for AI agents</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <Enabled>true</Enabled>
    </LogonTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>3</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
{command}  </Actions>
</Task>
"#
    ))
}

/// What is started.
pub(crate) fn task_command(job: &Job<'_>) -> Result<String, RenderError> {
    if job.program.contains('%') {
        return Err(RenderError::Percent);
    }
    if job.home.is_some() {
        return Err(RenderError::Home);
    }
    Ok(format!(
        "    <Exec>\n      <Command>{}</Command>\n      <Arguments>{}</Arguments>\n    </Exec>\n",
        xml(job.program),
        xml(&job.arguments.join(" "))
    ))
}

pub(crate) fn xml(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARD: &str = r#"/opt/a b/100%/$HOME/it's "so"\n <&>/strongroom"#;

    fn job(program: &str) -> Job<'_> {
        Job { program, arguments: &["serve", "--http"], home: None, log: "/s/serve.log" }
    }

    #[test]
    fn a_unit_says_what_to_run_and_quotes_it() {
        let table = [
            ("/usr/bin/strongroom", r#"ExecStart="/usr/bin/strongroom" "serve" "--http""#),
            ("/a b/100%/$X/s", r#"ExecStart="/a b/100%%/$X/s" "serve" "--http""#),
            (
                r#"/it's "so"\/$X%"#,
                r#"ExecStart=/bin/sh -c "exec \"$$0\" \"$$@\"" "/it's \"so\"\\/$$X%%" "serve" "--http""#,
            ),
        ];
        for (program, expected) in table {
            let unit = render(Os::Linux, &job(program)).unwrap();
            assert!(unit.lines().any(|line| line == expected), "{unit}");
        }
        let unit = render(Os::Linux, &Job { home: Some("/h 5%"), ..job("/s") }).unwrap();
        assert!(unit.contains("\nEnvironment=\"STRONGROOM_HOME=/h 5%%\"\n"), "{unit}");
    }

    #[test]
    fn an_agent_and_a_task_escape_what_xml_reserves() {
        let agent = render(Os::Macos, &Job { home: Some("/h&"), ..job(HARD) }).unwrap();
        let escaped = r"/opt/a b/100%/$HOME/it&apos;s &quot;so&quot;\n &lt;&amp;&gt;/strongroom";
        assert!(agent.contains(&format!("    <string>{escaped}</string>\n")), "{agent}");
        assert!(agent.contains("<string>/h&amp;</string>"), "{agent}");

        let task = render(Os::Windows, &job(r"C:\a & b\strongroom.exe")).unwrap();
        assert!(task.contains(r"<Command>C:\a &amp; b\strongroom.exe</Command>"), "{task}");
        assert!(task.contains("<Arguments>serve --http</Arguments>"), "{task}");
    }

    #[test]
    fn what_a_format_cannot_say_is_refused() {
        let home = Job { home: Some(r"C:\h"), ..job(r"C:\s.exe") };
        for os in [Os::Linux, Os::Macos, Os::Windows] {
            assert_eq!(render(os, &job("/a\n[Service]")), Err(RenderError::Control));
        }
        assert_eq!(render(Os::Windows, &job(r"C:\%TEMP%\s.exe")), Err(RenderError::Percent));
        assert_eq!(render(Os::Windows, &home), Err(RenderError::Home));
        assert!(render(Os::Windows, &job(r"C:\s.exe")).is_ok());
    }

    #[test]
    fn each_system_looks_for_its_file_in_its_place() {
        type Row<'a> = (Os, &'a [(&'a str, &'a str)], &'a str);
        let table: &[Row] = &[
            (Os::Linux, &[("HOME", "/ann")], "/ann/.config/systemd/user/strongroom.service"),
            (
                Os::Linux,
                &[("HOME", "/ann"), ("XDG_CONFIG_HOME", "/c")],
                "/c/systemd/user/strongroom.service",
            ),
            (Os::Macos, &[("HOME", "/ann")], "/ann/Library/LaunchAgents/strongroom.serve.plist"),
            (
                Os::Windows,
                &[("APPDATA", r"C:\R"), ("LOCALAPPDATA", r"C:\L")],
                r"C:\L\strongroom\service.xml",
            ),
        ];
        for (os, variables, expected) in table {
            let environment = Environment::new(*os, variables.iter().copied());
            let home = Home::locate(&environment).unwrap();
            assert_eq!(place(&environment, &home).unwrap().as_os_str(), *expected);
        }
    }

    #[test]
    fn every_system_is_told_to_start_and_to_stop_the_same_thing() {
        for (os, name) in [
            (Os::Linux, "strongroom.service"),
            (Os::Macos, "gui/7/strongroom.serve"),
            (Os::Windows, "Strongroom"),
        ] {
            let started = start(os, 7, Path::new("/file")).concat();
            let stopped = stop(os, 7).concat();
            assert!(started.iter().chain(&stopped).any(|word| word == name), "{started:?}");
            assert!(stopped.iter().any(|word| word == name), "{stopped:?}");
        }
    }
}
