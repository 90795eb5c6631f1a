//! The grammar of the command line.
//!
//! Each command's arguments stand in its own file. What clap says of a mistake is put in our form;
//! an argument that was not understood may be a pasted secret, so only option names are repeated.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser, Subcommand};
use strongroom_model::principal::Name;

use crate::commands;
use crate::environment::Host;
use crate::failure::Failure;
use crate::near;
use crate::output::Output;
use crate::remote::{self, Reach, Remote};

/// Lets AI agents use credentials without holding them.
#[derive(Debug, Parser)]
#[command(
    name = "strongroom",
    version,
    max_term_width = 100,
    after_help = "Start with: strongroom init",
    infer_long_args = false
)]
pub struct Args {
    /// Answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Act on the team server of this name (`strongroom remote`)
    #[arg(long, global = true, value_name = "NAME")]
    remote: Option<Name>,
    /// Act on this machine, also while a team server is in use
    #[arg(long, global = true)]
    local: bool,

    #[command(subcommand)]
    command: Option<Command>,
}

/// Every command.
#[derive(Debug, Subcommand)]
enum Command {
    Init(commands::init::Args),
    Add(commands::add::Args),
    Templates(commands::templates::Args),
    List(commands::list::Args),
    Show(commands::show::Args),
    Edit(commands::edit::Args),
    Remove(commands::remove::Args),
    Scan(commands::scan::Args),
    Import(commands::import::Args),
    Connect(commands::connect::Args),
    Disconnect(commands::connect::DisconnectArgs),
    Serve(commands::serve::Args),
    Mcp(commands::mcp::Args),
    Servers(commands::servers::Args),
    Trust(commands::trust::Args),
    Run(commands::run::Args),
    Tools(commands::tools::Args),
    Env(commands::env::Args),
    Secrets(commands::secrets::Args),
    Login(commands::login::Args),
    Logs(commands::logs::Args),
    Audit(commands::audit::Args),
    Policy(commands::policy::Args),
    Approvals(commands::approvals::Args),
    Grants(commands::grants::Args),
    Principal(commands::principal::Args),
    Lock(commands::lock::Args),
    Unlock(commands::lock::UnlockArgs),
    Org(commands::org::Args),
    Tenant(commands::tenant::Args),
    Key(commands::key::Args),
    Kernel(commands::kernel::Args),
    Kek(commands::kek::Args),
    Migrate(commands::migrate::Args),
    Remote(commands::remote::Args),
    Files(commands::files::Args),
    Provider(commands::provider::Args),
    Backup(commands::backup::Args),
    Restore(commands::restore::Args),
    Demo(commands::demo::Args),
    Doctor(commands::doctor::Args),
    Service(commands::service::Args),
    Schedule(commands::schedule::Args),
    Uninstall(commands::uninstall::Args),
    Completions(commands::completions::Args),
}

impl Args {
    /// Runs the command, here or on the team server that was chosen.
    pub fn run(self, host: &Host, output: &Output) -> Result<ExitCode, Failure> {
        let reach = self.command.as_ref().map_or(Reach::Here, Command::reach);
        let words = command_of(&host.arguments);
        match (remote::choose(self.remote.as_ref(), self.local, reach, &words, host)?, self.command)
        {
            (Some(chosen), Some(command)) => {
                command.run_at(&Remote::open(chosen, host, output)?, host, *output)?;
                Ok(ExitCode::SUCCESS)
            }
            (_, command) => Self { command, ..self }.run_here(host, *output),
        }
    }

    fn run_here(self, host: &Host, output: Output) -> Result<ExitCode, Failure> {
        let output = &output;
        match self.command {
            Some(Command::Run(args)) => return commands::run::run(&args, host, output),
            None => commands::overview::run(host, output),
            Some(Command::Init(args)) => commands::init::run(&args, host, output),
            Some(Command::Connect(args)) => commands::connect::run(&args, host, output),
            Some(Command::Disconnect(args)) => commands::connect::disconnect(&args, host, output),
            Some(Command::Scan(args)) => commands::scan::run(&args, host, output),
            Some(Command::Import(args)) => commands::import::run(&args, host, output),
            Some(Command::Backup(args)) => commands::backup::run(&args, host, output),
            Some(Command::Restore(args)) => commands::restore::run(&args, host, output),
            Some(Command::Demo(args)) => commands::demo::run(&args, host, output),
            Some(Command::Doctor(args)) => commands::doctor::run(&args, host, output),
            Some(Command::Service(args)) => commands::service::run(&args, host, output),
            Some(Command::Schedule(args)) => commands::schedule::run(&args, host, output),
            Some(Command::Uninstall(args)) => commands::uninstall::run(&args, host, output),
            Some(Command::Completions(args)) => commands::completions::run(&args, output),
            Some(Command::Add(args)) => commands::add::run(&args, host, output),
            Some(Command::Templates(args)) => commands::templates::run(&args, host, output),
            Some(Command::List(args)) => commands::list::run(&args, host, output),
            Some(Command::Show(args)) => commands::show::run(&args, host, output),
            Some(Command::Edit(args)) => commands::edit::run(&args, host, output),
            Some(Command::Remove(args)) => commands::remove::run(&args, host, output),
            Some(Command::Mcp(args)) => commands::mcp::run(&args, host, output),
            Some(Command::Tools(args)) => commands::tools::run(&args, host, output),
            Some(Command::Servers(args)) => commands::servers::run(&args, host, output),
            Some(Command::Trust(args)) => commands::trust::run(&args, host, output),
            Some(Command::Serve(args)) => commands::serve::run(&args, host, output),
            Some(Command::Login(args)) => commands::login::run(&args, host, output),
            Some(Command::Logs(args)) => commands::logs::run(&args, host, output),
            Some(Command::Audit(args)) => commands::audit::run(&args, host, output),
            Some(Command::Policy(args)) => commands::policy::run(&args, host, output),
            Some(Command::Approvals(args)) => commands::approvals::run(&args, host, output),
            Some(Command::Grants(args)) => commands::grants::run(&args, host, output),
            Some(Command::Principal(args)) => commands::principal::run(&args, host, output),
            Some(Command::Lock(args)) => commands::lock::run(&args, host, output),
            Some(Command::Unlock(args)) => commands::lock::unlock(&args, host, output),
            Some(Command::Env(args)) => commands::env::run(&args, host, output),
            Some(Command::Secrets(args)) => commands::secrets::run(&args, host, output),
            Some(Command::Org(args)) => commands::org::run(&args, host, output),
            Some(Command::Tenant(args)) => commands::tenant::run(&args, host, output),
            Some(Command::Key(args)) => commands::key::run(&args, host, output),
            Some(Command::Kernel(args)) => commands::kernel::run(&args, host, output),
            Some(Command::Kek(args)) => commands::kek::run(&args, host, output),
            Some(Command::Remote(args)) => commands::remote::run(&args, host, output),
            Some(Command::Migrate(args)) => commands::migrate::run(&args, host, output),
            Some(Command::Files(args)) => commands::files::run(&args, host, output),
            Some(Command::Provider(args)) => commands::provider::run(&args, host, output),
        }
        .map(|()| ExitCode::SUCCESS)
    }
}

impl Command {
    /// Where it can act.
    fn reach(&self) -> Reach {
        match self {
            Self::Add(_)
            | Self::List(_)
            | Self::Show(_)
            | Self::Edit(_)
            | Self::Remove(_)
            | Self::Mcp(_)
            | Self::Tools(_)
            | Self::Secrets(_)
            | Self::Logs(_)
            | Self::Approvals(_)
            | Self::Grants(_)
            | Self::Lock(_)
            | Self::Unlock(_) => Reach::Both,
            Self::Import(_)
            | Self::Login(_)
            | Self::Audit(_)
            | Self::Policy(_)
            | Self::Principal(_)
            | Self::Org(_)
            | Self::Tenant(_)
            | Self::Key(_)
            | Self::Kernel(_)
            | Self::Kek(_)
            | Self::Migrate(_)
            | Self::Files(_) => Reach::Unclear,
            Self::Init(_)
            | Self::Templates(_)
            | Self::Scan(_)
            | Self::Connect(_)
            | Self::Disconnect(_)
            | Self::Serve(_)
            | Self::Servers(_)
            | Self::Trust(_)
            | Self::Run(_)
            | Self::Env(_)
            | Self::Remote(_)
            | Self::Provider(_)
            | Self::Backup(_)
            | Self::Restore(_)
            | Self::Demo(_)
            | Self::Doctor(_)
            | Self::Service(_)
            | Self::Schedule(_)
            | Self::Uninstall(_)
            | Self::Completions(_) => Reach::Here,
        }
    }

    /// Runs it on a team server.
    fn run_at(&self, remote: &Remote, host: &Host, output: Output) -> Result<(), Failure> {
        let output = &output;
        match self {
            Self::Add(args) => commands::add::at(args, remote, host, output),
            Self::List(_) => commands::list::at(remote, output),
            Self::Show(args) => commands::show::at(args, remote, output),
            Self::Edit(args) => commands::edit::at(args, remote, host, output),
            Self::Remove(args) => commands::remove::at(args, remote, host, output),
            Self::Mcp(args) => commands::mcp::at(args, remote, host, *output),
            Self::Tools(args) => commands::tools::at(args, remote, host, *output),
            Self::Secrets(args) => commands::secrets::at(args, remote, host, *output),
            Self::Logs(args) => commands::logs::at(args, remote, host, output),
            Self::Approvals(args) => commands::approvals::at(args, remote, host, *output),
            Self::Grants(args) => commands::grants::at(args, remote, *output),
            Self::Lock(args) => commands::lock::at(args, remote, output),
            Self::Unlock(args) => commands::lock::unlock_at(args, remote, host, output),
            _ => Err(remote.not_there(&command_of(&host.arguments))),
        }
    }
}

/// Reads the command line.
///
/// # Errors
///
/// Help and the version, too, stop the reading.
pub fn parse(arguments: &[OsString]) -> Result<Args, Stopped> {
    Args::try_parse_from(arguments)
        .map_err(|error| Stopped { error, command: command_of(arguments) })
}

/// `strongroom principal create`: the command that the line begins with.
fn command_of(arguments: &[OsString]) -> String {
    let mut command = &Args::command();
    let mut words = vec![command.get_name()];
    let mut arguments = arguments.iter().skip(1).filter_map(|argument| argument.to_str());
    while let Some(argument) = arguments.next() {
        if argument == "--remote" {
            arguments.next();
        } else if let Some(inner) = command.find_subcommand(argument) {
            words.push(inner.get_name());
            command = inner;
        } else if !argument.starts_with('-') {
            break;
        }
    }
    words.join(" ")
}

/// Whether a command line that was not understood asks for JSON.
pub fn wants_json(arguments: &[OsString]) -> bool {
    arguments.iter().any(|argument| argument == "--json")
}

/// The reading stopped: there is help to print, or a mistake.
#[derive(Debug)]
pub struct Stopped {
    error: clap::Error,
    command: String,
}

impl Stopped {
    /// Prints the help that was asked for, or says what the mistake is.
    pub fn finish(&self, output: &Output) -> Result<(), Failure> {
        match self.error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                let text = self.error.render();
                output.print(&if output.style() == crate::output::Style::PLAIN {
                    text.to_string()
                } else {
                    text.ansi().to_string()
                })
            }
            _ => Err(self.mistake()),
        }
    }

    fn mistake(&self) -> Failure {
        let get = |kind| match self.error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.clone()),
            Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
            _ => None,
        };
        // "--key <VALUE>" -> "--key"
        let argument = get(ContextKind::InvalidArg)
            .filter(|text| text.starts_with(['-', '<', '[']))
            .map(|text| text.split(['=', ' ']).next().unwrap_or_default().to_owned())
            .map(|name| name.replace('[', "<").replace(']', ">"));
        let problem = match (self.error.kind(), argument) {
            (ErrorKind::UnknownArgument, Some(name)) => format!("there is no option `{name}` here"),
            (ErrorKind::UnknownArgument, None) => "there is an argument too many".to_owned(),
            (ErrorKind::InvalidSubcommand, _) => "there is no such command".to_owned(),
            (
                ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                _,
            ) => "a command is missing".to_owned(),
            (ErrorKind::MissingRequiredArgument, _) => {
                let missing = get(ContextKind::InvalidArg).unwrap_or_default();
                format!("`{missing}` is missing")
            }
            (ErrorKind::ArgumentConflict, Some(name)) => match get(ContextKind::PriorArg) {
                Some(prior) if prior != name => {
                    let prior = prior.split(['=', ' ']).next().unwrap_or_default().to_owned();
                    format!("`{name}` and `{prior}` exclude each other")
                }
                _ => format!("`{name}` can be given only once"),
            },
            (ErrorKind::InvalidValue | ErrorKind::NoEquals, Some(name)) => {
                match get(ContextKind::ValidValue) {
                    Some(valid) if !valid.is_empty() => format!("`{name}` is one of {valid}"),
                    _ => format!("`{name}` needs a value"),
                }
            }
            (ErrorKind::ValueValidation, Some(name)) => {
                match std::error::Error::source(&self.error) {
                    Some(source) => format!("`{name}`: {source}"),
                    None => format!("the value of `{name}` does not fit"),
                }
            }
            (_, Some(name)) => format!("`{name}` is not used as it should be"),
            (_, None) => "the command line is not understood".to_owned(),
        };
        Failure::usage(problem).hint(self.remedy(get))
    }

    fn remedy(&self, get: impl Fn(ContextKind) -> Option<String>) -> String {
        let typed = get(ContextKind::InvalidSubcommand);
        let root = Args::command();
        let command = self
            .command
            .split(' ')
            .skip(1)
            .fold(&root, |command, word| command.find_subcommand(word).unwrap_or(command));
        let names = command.get_subcommands().map(clap::Command::get_name);
        let near = typed.and_then(|typed| near::nearest(&typed, names).map(str::to_owned));
        let near = near
            .or_else(|| get(ContextKind::SuggestedArg))
            .or_else(|| get(ContextKind::SuggestedValue));
        match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.command == "strongroom" => "run `strongroom help`".to_owned(),
            None => format!("run `{} --help`", self.command),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command) {
            for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
                let help = inner.get_after_help().map(ToString::to_string).unwrap_or_default();
                let grouped = inner.has_subcommands();
                assert!(grouped || help.contains("strongroom "), "{}", inner.get_name());
                check(inner);
            }
        }
        check(&Args::command());
    }

    #[test]
    fn a_pasted_secret_is_never_repeated() {
        for line in [
            &["strongroom", "sk-canary"][..],
            &["strongroom", "--sk=canary"],
            &["strongroom", "--json=canary"],
            &["strongroom", "help", "canary", "canary"],
        ] {
            let line: Vec<OsString> = line.iter().map(OsString::from).collect();
            let failure = parse(&line).unwrap_err().mistake();
            assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
        }
    }
}
