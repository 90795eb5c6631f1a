//! `strongroom login`: a person's consent to what agents may do, as tokens in the vault.
//!
//! The browser comes back to a port of this machine that is open for as long as the command waits
//! (RFC 8252 §7.3), with a code that only we can use (PKCE, RFC 7636).

mod browser;
mod server;
mod service;

use serde::Serialize;

use crate::config::Config;
use crate::environment::{Host, Terminals};
use crate::failure::Failure;
use crate::output::{Output, Report, Style};

/// Log in to a service of the type `oauth2`, or to an MCP server at an address, in your browser
///
/// Your consent is kept as a refresh token in the vault: agents call in your name, and never see it.
/// Of a server it is found out where one logs in; of a service that stands in its `auth`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom login calendar
  strongroom login calendar --port 8976
  strongroom login calendar --no-browser
  strongroom login tracker --client-id 1234")]
pub struct Args {
    /// The service or the server
    #[arg(value_name = "NAME")]
    name: String,
    /// The port that the browser comes back to, where the server wants to know it beforehand
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// Print the address, and open nothing
    #[arg(long)]
    no_browser: bool,
    /// How you are known to the server's authorization server, where that takes no strangers
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
}

impl Args {
    fn opens_browser(&self, terminals: Terminals) -> bool {
        !self.no_browser && terminals.stderr
    }
}

#[derive(Serialize)]
struct LoggedIn {
    service: String,
    refresh_token: String,
}

/// Logs in.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    let config = Config::load(&home)?;
    match config.service(&args.name) {
        Ok(service) => service::run(args, host, *output, &home, service),
        Err(unknown) => match server::find(host, &home, &config, &args.name)? {
            Some(server) => server::run(args, host, *output, &home, &server),
            None => Err(unknown.into()),
        },
    }
}

impl Report for LoggedIn {
    fn text(&self, _: Style) -> String {
        format!("logged in to `{}`; its refresh token is at {}\n", self.service, self.refresh_token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_opened_at_a_terminal_where_it_is_wanted() {
        let looked_at = Terminals { stderr: true, ..Terminals::default() };
        for (no_browser, terminals, opens) in [
            (false, looked_at, true),
            (true, looked_at, false),
            (false, Terminals { stderr: false, stdin: true, stdout: true }, false),
        ] {
            let args = Args { name: "calendar".into(), port: 0, no_browser, client_id: None };
            assert_eq!(args.opens_browser(terminals), opens);
        }
    }
}
