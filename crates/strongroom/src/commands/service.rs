//! `strongroom service install|remove`: keeps `serve --http` running.

use std::net::SocketAddr;

use clap::Subcommand;
use serde::Serialize;

use crate::autostart::install::{Installed, install, remove, text};
use crate::commands::shown;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::jobs::install::InstallError;
use crate::output::{Output, Report, Style};
use crate::{admin, autostart};

/// Keep `strongroom serve --http` running
///
/// By a systemd user unit on Linux, a launch agent on macOS, a scheduled task on Windows. It starts
/// with your session and again when it fails.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write the service file and start the service
    #[command(after_help = "Examples:
  strongroom service install
  strongroom service install --print")]
    Install {
        /// The address to listen on, if not the usual one
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
        /// Print the file and do nothing
        #[arg(long)]
        print: bool,
    },
    /// Stop the service and remove its file
    #[command(after_help = "Example:
  strongroom service remove")]
    Remove,
}

/// Installs, removes or prints.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    match &args.action {
        Action::Install { listen, print } => {
            let listen = listen.map(|address| address.to_string());
            let mut arguments = vec!["serve", "--http"];
            if let Some(listen) = &listen {
                arguments.extend(["--listen", listen]);
            }
            if *print {
                return output.report(&File { text: text(host, &arguments)? });
            }
            if !host.home()?.config_file().exists() {
                return Err(crate::home::HomeError::NotMade.into());
            }
            admin::record(host, &host.home()?, "autostart.install", "serve --http")?;
            let installed = install(host, &arguments)?;
            output.report(&Done::new("install", installed, host))
        }
        Action::Remove => {
            let home = host.home()?;
            if autostart::place(&host.environment, &home)?.exists() {
                admin::record_if_possible(host, output, "autostart.remove", "serve --http");
            }
            output.report(&Done::new("remove", remove(host)?, host))
        }
    }
}

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Self {
        let hint = match &error {
            InstallError::Render(error) => Some(error.hint().to_owned()),
            InstallError::NotOurs { .. } => Some("move it away, and try again".to_owned()),
            InstallError::Command { command, .. } => Some(format!("type `{command}` and look")),
            _ => None,
        };
        Self::new(Exit::Failed, error).maybe_hint(hint)
    }
}

#[derive(Serialize)]
struct File {
    text: String,
}

impl Report for File {
    fn text(&self, _: Style) -> String {
        self.text.clone()
    }
}

#[derive(Serialize)]
struct Done {
    action: &'static str,
    file: std::path::PathBuf,
    changed: bool,
    /// Whether the system's service manager was told.
    told: bool,
    commands: Vec<String>,
    #[serde(skip)]
    shown: String,
}

impl Done {
    fn new(action: &'static str, installed: Installed, host: &Host) -> Self {
        Self {
            action,
            changed: installed.changed,
            told: installed.told,
            commands: installed.commands.iter().map(|words| words.join(" ")).collect(),
            shown: shown(&installed.path, &host.environment),
            file: installed.path,
        }
    }
}

impl Report for Done {
    fn text(&self, style: Style) -> String {
        let (action, shown) = (self.action, &self.shown);
        let mut text = match (action, self.changed) {
            ("install", true) => format!("{shown} is written.\n"),
            ("install", false) => format!("{shown} is there already, and as it should be.\n"),
            (_, true) => format!("{shown} is removed.\n"),
            (_, false) => return format!("There is no {shown}; nothing was changed.\n"),
        };
        match (action, self.told) {
            ("install", true) => {
                text.push_str("`strongroom serve --http` runs, and starts with your session.\n");
            }
            (_, true) => text.push_str("`strongroom serve --http` is stopped.\n"),
            (_, false) => {
                text.push_str("There is no service manager of yours here. Where there is one:\n\n");
                for command in &self.commands {
                    text = format!("{text}  {}\n", style.bold(command));
                }
            }
        }
        if action == "install" {
            let next = style.bold("Next:");
            text = format!("{text}\n{next} strongroom connect claude-code --http\n");
        }
        text
    }
}
