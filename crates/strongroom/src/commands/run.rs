//! `strongroom run`: starts an MCP server with exactly its own secrets.
//!
//! This is what a client starts, each time that it starts: the way to a server whose secrets are in
//! the cache builds no provider, no runtime and no grammar of the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use strongroom_process::Start;

use crate::config::Config;
use crate::environment::Host;
use crate::failure::Failure;
use crate::lacking;
use crate::output::Output;
use crate::servers::start::{Ground, Wishes};
use crate::servers::{self, Places};

/// Start an MCP server with exactly its own secrets
///
/// The server gets the few variables that every program needs, its own, and its own secrets; nothing
/// of what opens the places that secrets are in. It takes the place of this process. Where a secret
/// cannot be had it is not started; one that is only not stored yet is asked for, at the terminal that
/// the command was typed at or in a window.
#[derive(Debug, Default, PartialEq, Eq, clap::Args)]
#[command(after_help = "Examples:
  strongroom run files
  strongroom run files -- --root /srv
  strongroom run files --once")]
pub struct Args {
    /// The server
    server: String,
    /// Start it though it is not enabled here
    #[arg(long)]
    once: bool,
    /// Look for the server in this registry file, too
    #[arg(long, value_name = "FILE")]
    registry: Option<PathBuf>,
    /// Let secrets stand in its arguments, where every process of this machine sees them
    #[arg(long)]
    allow_visible_secrets: bool,
    /// Say only why it is not started
    #[arg(long)]
    quiet: bool,
    /// What is added to its own arguments
    #[arg(last = true, value_name = "ARGS")]
    more: Vec<OsString>,
}

/// Starts the server, in our place where the system can do that. Otherwise says how it ended.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<ExitCode, Failure> {
    let output = output.quieted(args.quiet);
    let home = host.home()?;
    let config = Config::load_without_services(&home)?;
    let registry = args.registry.as_deref();
    let places = Places { directory: &host.directory, registry };
    let servers = servers::load(host, &home, &config, places)?;
    let entry = servers.entry(&args.server)?;
    let ground = Ground { host, home: &home, config: &config, servers: &servers, output: &output };
    let wishes =
        Wishes { once: args.once, visible: args.allow_visible_secrets, more: &args.more, registry };
    let prepared = match ground.prepare(entry, &wishes) {
        Ok(prepared) => prepared,
        Err(failure) => {
            lacking::for_start(&ground, failure)?;
            ground.prepare(entry, &wishes)?
        }
    };
    start(&prepared.start)
}

impl Args {
    /// The arguments of a command line that says `run` in the plainest way, as clients do. It is read
    /// without building the whole grammar; every other line goes through that.
    pub fn plain(arguments: &[OsString]) -> Option<Self> {
        let [_, run, words @ ..] = arguments else { return None };
        if run != "run" {
            return None;
        }
        let mut args = Self::default();
        let mut words = words.iter();
        let mut named = false;
        while let Some(word) = words.next() {
            match word.to_str()? {
                "--" => {
                    args.more = words.by_ref().cloned().collect();
                    break;
                }
                "--once" if !args.once => args.once = true,
                "--quiet" if !args.quiet => args.quiet = true,
                "--allow-visible-secrets" if !args.allow_visible_secrets => {
                    args.allow_visible_secrets = true;
                }
                name if !name.starts_with('-') && !name.is_empty() && !named => {
                    name.clone_into(&mut args.server);
                    named = true;
                }
                _ => return None,
            }
        }
        named.then_some(args)
    }
}

#[cfg(unix)]
fn start(start: &Start) -> Result<ExitCode, Failure> {
    Err(Failure::failed(start.replace()))
}

#[cfg(not(unix))]
fn start(start: &Start) -> Result<ExitCode, Failure> {
    let code = start.supervise().map_err(Failure::failed)?;
    // A code that does not fit must not look like success.
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[derive(clap::Parser)]
    struct Whole {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_plain_line_is_read_as_the_grammar_reads_it() {
        use clap::Parser as _;

        for words in [
            &["strongroom", "run", "files"][..],
            &["strongroom", "run", "files", "--once", "--quiet", "--", "--root", "/x", "--"],
            &["strongroom", "run", "--allow-visible-secrets", "files", "--"],
        ] {
            let words = line(words);
            let whole = Whole::parse_from(words.iter().skip(1)).args;
            assert_eq!(Args::plain(&words), Some(whole), "{words:?}");
        }
    }

    #[test]
    fn every_other_line_is_left_to_the_grammar() {
        for words in [
            &["strongroom"][..],
            &["strongroom", "run"],
            &["strongroom", "list"],
            &["strongroom", "--json", "run", "files"],
            &["strongroom", "run", "--help"],
            &["strongroom", "run", "files", "more"],
            &["strongroom", "run", "files", "--once", "--once"],
            &["strongroom", "run", "-rf"],
            &["strongroom", "run", ""],
            &["strongroom", "run", "files", "--registry", "f"],
        ] {
            assert_eq!(Args::plain(&line(words)), None, "{words:?}");
        }
    }
}
