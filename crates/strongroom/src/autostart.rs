//! What keeps `serve --http` running: a systemd user unit, a `LaunchAgent` or a scheduled task.

pub mod install;

use std::path::{Path, PathBuf};

use crate::jobs::{
    Job, RenderError, Task, agent, agent_place, can_be_said, commands, task, unit_command,
    unit_place,
};
use crate::paths::{Environment, Home, Os, PathsError};

/// The name of the unit, of the agent with an end, and of the task with a capital.
const NAME: &str = "strongroom";
const AGENT: &str = "strongroom.serve";
const TASK: &str = "Strongroom";

/// How it is known what we wrote.
const MARK: &str =
    "Written by `strongroom service install`; `strongroom service remove` removes it.";

const ABOUT: &str = "Strongroom, the broker of credentials for AI agents";

/// The file that describes `job` to `os`.
pub fn render(os: Os, job: &Job<'_>) -> Result<String, RenderError> {
    can_be_said(job)?;
    match os {
        Os::Linux => Ok(unit(job)),
        Os::Macos => Ok(agent(job, AGENT, MARK, AGAIN)),
        Os::Windows => {
            task(job, &Task { mark: MARK, about: ABOUT, trigger: AT_LOGON, settings: SETTINGS })
        }
    }
}

/// Where the file belongs.
pub fn place(environment: &Environment, home: &Home) -> Result<PathBuf, PathsError> {
    let os = environment.os;
    match os {
        Os::Linux => unit_place(environment, &format!("{NAME}.service")),
        Os::Macos => agent_place(environment, AGENT),
        Os::Windows => Ok(os.join(home.state.as_os_str(), "service.xml")),
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
            &["launchctl", "bootout", &format!("gui/{user}/{AGENT}")],
            &["launchctl", "bootstrap", &format!("gui/{user}"), &path],
        ]),
        Os::Windows => commands(&[
            &["schtasks", "/Create", "/F", "/TN", TASK, "/XML", &path],
            &["schtasks", "/Run", "/TN", TASK],
        ]),
    }
}

/// The commands that stop the job and make the system forget it, before the file is removed.
pub fn stop(os: Os, user: u32) -> Vec<Vec<String>> {
    match os {
        Os::Linux => {
            commands(&[&["systemctl", "--user", "disable", "--now", &format!("{NAME}.service")]])
        }
        Os::Macos => commands(&[&["launchctl", "bootout", &format!("gui/{user}/{AGENT}")]]),
        Os::Windows => commands(&[
            &["schtasks", "/End", "/TN", TASK],
            &["schtasks", "/Delete", "/F", "/TN", TASK],
        ]),
    }
}

fn unit(job: &Job<'_>) -> String {
    let command = unit_command(job);
    format!(
        "# {MARK}\n\
         [Unit]\n\
         Description={ABOUT}\n\
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

/// An agent is started again where it ended badly.
const AGAIN: &str = "  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
";

/// A task is started when its person comes.
const AT_LOGON: &str = "    <LogonTrigger>
      <Enabled>true</Enabled>
    </LogonTrigger>
";

/// It runs for as long as it can, and is started again where it ended badly.
const SETTINGS: &str = "    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>3</Count>
    </RestartOnFailure>
";

#[cfg(test)]
mod tests {
    use super::*;

    const HARD: &str = r#"/opt/a b/100%/$HOME/it's "so"\n <&>/strongroom"#;

    fn job(program: &str) -> Job<'_> {
        Job { program, arguments: &["serve", "--http"], variables: &[], log: "/s/serve.log" }
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
        let unit = render(
            Os::Linux,
            &Job { variables: &[("STRONGROOM_HOME", "/h 5%"), ("X", "$1")], ..job("/s") },
        )
        .unwrap();
        let lines = "\nEnvironment=\"STRONGROOM_HOME=/h 5%%\"\nEnvironment=\"X=$1\"\n";
        assert!(unit.contains(lines), "{unit}");
    }

    #[test]
    fn an_agent_and_a_task_escape_what_xml_reserves() {
        let agent = render(Os::Macos, &Job { variables: &[("H", "/h&")], ..job(HARD) }).unwrap();
        let escaped = r"/opt/a b/100%/$HOME/it&apos;s &quot;so&quot;\n &lt;&amp;&gt;/strongroom";
        assert!(agent.contains(&format!("    <string>{escaped}</string>\n")), "{agent}");
        assert!(agent.contains("<key>H</key>\n    <string>/h&amp;</string>"), "{agent}");

        let task = render(Os::Windows, &job(r"C:\a & b\strongroom.exe")).unwrap();
        assert!(task.contains(r"<Command>C:\a &amp; b\strongroom.exe</Command>"), "{task}");
        assert!(task.contains("<Arguments>serve --http</Arguments>"), "{task}");
    }

    #[test]
    fn what_a_format_cannot_say_is_refused() {
        let home = Job { variables: &[("H", r"C:\h")], ..job(r"C:\s.exe") };
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
