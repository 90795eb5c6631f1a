//! A job that the system runs for the user, and how systemd, launchd and the task scheduler of
//! Windows are told of it. What runs `serve --http` and what refreshes secrets are such jobs.
//!
//! Rendering is pure, for every system on every system. What goes into a file is escaped by the
//! rules of its format; what a format cannot say is refused and never approximated.

pub mod install;

use std::path::PathBuf;

use crate::paths::{Environment, PathsError};

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// The absolute path of the program.
    pub program: &'a str,
    /// Its arguments.
    pub arguments: &'a [&'a str],
    /// The variables that lead it to its home, where any are set: the system has none of ours.
    pub variables: &'a [(&'a str, &'a str)],
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

/// Whether there is nothing in `job` that no format can write.
pub(crate) fn can_be_said(job: &Job<'_>) -> Result<(), RenderError> {
    let variables = job.variables.iter().map(|(_, value)| *value);
    let mut texts =
        [job.program, job.log].into_iter().chain(variables).chain(job.arguments.iter().copied());
    if texts.any(|text| text.chars().any(char::is_control)) {
        return Err(RenderError::Control);
    }
    Ok(())
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

/// Where the user's own agent of this label belongs.
pub(crate) fn agent_place(environment: &Environment, label: &str) -> Result<PathBuf, PathsError> {
    let below = format!("Library/LaunchAgents/{label}.plist");
    Ok(environment.os.join(environment.user_home()?, &below))
}

/// Command lines, as they are run and shown.
pub(crate) fn commands(commands: &[&[&str]]) -> Vec<Vec<String>> {
    commands.iter().map(|words| words.iter().map(ToString::to_string).collect()).collect()
}

/// What a unit starts, and in which home.
pub(crate) fn unit_command(job: &Job<'_>) -> String {
    let arguments = job.arguments.iter().map(|argument| unit_argument(argument));
    let arguments = arguments.collect::<Vec<_>>().join(" ");
    // systemd refuses a program whose path has quotes or backslashes, even escaped ones, and
    // replaces no variables in it; an argument of the shell may have them all.
    let program = if job.program.contains(['"', '\'', '\\']) {
        format!(r#"/bin/sh -c "exec \"$$0\" \"$$@\"" {}"#, unit_argument(job.program))
    } else {
        unit_quote(job.program)
    };
    let variable = |(name, value): &(&str, &str)| {
        format!("Environment={}\n", unit_quote(&format!("{name}={value}")))
    };
    let variables: String = job.variables.iter().map(variable).collect();
    format!("ExecStart={program} {arguments}\n{variables}")
}

/// systemd.syntax(7): quoted, with `%` doubled because it starts a specifier.
fn unit_quote(text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%");
    format!("\"{text}\"")
}

/// systemd.service(5), command lines: `$` is doubled as well, because it starts a variable.
fn unit_argument(text: &str) -> String {
    unit_quote(&text.replace('$', "$$"))
}

/// The agent `label` that runs `job` at once, and again as `when` says.
pub(crate) fn agent(job: &Job<'_>, label: &str, mark: &str, when: &str) -> String {
    let words = std::iter::once(job.program).chain(job.arguments.iter().copied());
    let words: Vec<String> =
        words.map(|word| format!("    <string>{}</string>\n", xml(word))).collect();
    let words = words.concat();
    let variable = |(name, value): &(&str, &str)| {
        format!("    <key>{name}</key>\n    <string>{}</string>\n", xml(value))
    };
    let mut variables: String = job.variables.iter().map(variable).collect();
    if !variables.is_empty() {
        variables = format!("  <key>EnvironmentVariables</key>\n  <dict>\n{variables}  </dict>\n");
    }
    let log = xml(job.log);
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- {mark} -->
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{label}</string>
  <key>ProgramArguments</key>
  <array>
{words}  </array>
{variables}  <key>RunAtLoad</key>
  <true/>
{when}  <key>ProcessType</key>
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

/// What a scheduled task says beside its command.
pub(crate) struct Task<'a> {
    /// How it is known what we wrote.
    pub(crate) mark: &'a str,
    /// What it is for.
    pub(crate) about: &'a str,
    /// When it runs.
    pub(crate) trigger: &'a str,
    /// How.
    pub(crate) settings: &'a str,
}

/// The task that runs `job`.
pub(crate) fn task(job: &Job<'_>, task: &Task<'_>) -> Result<String, RenderError> {
    if job.program.contains('%') {
        return Err(RenderError::Percent);
    }
    if !job.variables.is_empty() {
        return Err(RenderError::Home);
    }
    let Task { mark, about, trigger, settings } = task;
    let (program, arguments) = (xml(job.program), xml(&job.arguments.join(" ")));
    Ok(format!(
        r#"<?xml version="1.0"?>
<!-- {mark} -->
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>{about}</Description>
  </RegistrationInfo>
  <Triggers>
{trigger}  </Triggers>
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
{settings}  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{program}</Command>
      <Arguments>{arguments}</Arguments>
    </Exec>
  </Actions>
</Task>
"#
    ))
}

/// `text` with what XML reserves escaped.
pub(crate) fn xml(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&apos;")
}
