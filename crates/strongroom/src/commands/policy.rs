//! `strongroom policy`: what the policy of a service says to a request, without making it.

use clap::Subcommand;
use serde::Serialize;
use strongroom_model::canonical::{RawRequest, canonicalize};
use strongroom_model::policy::{Explanation, Verdict};

use crate::config::Config;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style};

/// Say what the policy says to a request, without making it
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print allow, ask or deny; exit with 0 for allow and 3 for the others
    #[command(after_help = "Example:
  strongroom policy test stripe POST /v1/charges")]
    Test(Request),
    /// Say which rule decides, and which others match
    #[command(after_help = "Example:
  strongroom policy explain stripe POST /v1/charges")]
    Explain(Request),
}

#[derive(Debug, clap::Args)]
struct Request {
    /// The service
    service: String,
    /// The method
    method: String,
    /// The path behind the base URL, with or without a query
    path: String,
}

#[derive(Serialize)]
struct Explained {
    verdict: &'static str,
    request: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    matched: Vec<Matched>,
    #[serde(skip)]
    short: bool,
}

#[derive(Serialize)]
struct Matched {
    verdict: &'static str,
    rule: String,
}

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let (request, short) = match &args.command {
        Command::Test(request) => (request, true),
        Command::Explain(request) => (request, false),
    };
    let config = Config::load(&host.home()?)?;
    let service = config.service(&request.service)?;
    let raw = RawRequest {
        method: request.method.clone(),
        path: request.path.clone(),
        ..RawRequest::default()
    };
    let canonical = canonicalize(service, raw)
        .map_err(|refusal| Failure::new(Exit::Denied, refusal.message.into_owned()))?;
    let Explanation { verdict, rule, matched } = service.policy.explain(&canonical);
    output.report(&Explained {
        verdict: word(verdict),
        request: format!("{} {}", canonical.method().as_str(), canonical.path()),
        rule,
        matched: matched
            .into_iter()
            .map(|(verdict, rule)| Matched { verdict: word(verdict), rule })
            .collect(),
        short,
    })?;
    match verdict {
        Verdict::Ask | Verdict::Deny if short => Err(Failure::silent(Exit::Denied)),
        _ => Ok(()),
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Ask => "ask",
        Verdict::Deny => "deny",
    }
}

impl Report for Explained {
    fn text(&self, style: Style) -> String {
        let verdict = match self.verdict {
            "allow" => style.green(self.verdict),
            other => style.red(other),
        };
        if self.short {
            return format!("{verdict}\n");
        }
        let why = match &self.rule {
            Some(rule) => format!("by the rule `{rule}`"),
            None => "because no rule matches".to_owned(),
        };
        let mut lines = vec![format!("{}: {verdict}, {why}", self.request)];
        for Matched { verdict, rule } in &self.matched {
            lines.push(format!("  {verdict:<5}  {rule}"));
        }
        if self.matched.len() > 1 {
            lines.push("deny beats ask, and ask beats allow".to_owned());
        }
        lines.push(String::new());
        lines.join("\n")
    }
}
