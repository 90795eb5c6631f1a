//! `test` and `explain`: one request.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Serialize;
use strongroom_model::canonical::{RawRequest, canonicalize};
use strongroom_model::code::Refusal;
use strongroom_model::command::{Command, Invocation};
use strongroom_model::policy::{Explanation, Verdict};
use strongroom_model::service::Service;

use crate::config::Config;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::{Output, Report, Style};

/// A request that is not made.
#[derive(Debug, clap::Args)]
pub(super) struct Request {
    /// The service
    service: String,
    /// The method
    #[arg(required_unless_present = "command")]
    method: Option<String>,
    /// The path behind the base URL, with or without a query
    #[arg(required_unless_present = "command")]
    path: Option<String>,
    /// A further parameter of the query (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    query: Vec<(String, String)>,
    /// A header of the request (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    header: Vec<(String, String)>,
    /// The body, or `@FILE`; JSON unless a content-type is given
    #[arg(long, value_name = "BODY")]
    body: Option<String>,
    /// The command line, where the service is a program
    #[arg(last = true, conflicts_with_all = ["method", "path"])]
    command: Vec<String>,
}

#[derive(Serialize)]
struct Explained {
    verdict: &'static str,
    request: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    matched: Vec<Matched>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unmet: Vec<Unmet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flaw: Option<&'static str>,
    #[serde(skip)]
    short: bool,
}

#[derive(Serialize)]
struct Matched {
    verdict: &'static str,
    rule: String,
}

#[derive(Serialize)]
struct Unmet {
    verdict: &'static str,
    rule: String,
    condition: String,
}

pub(super) fn run(args: &Request, short: bool, host: &Host, output: Output) -> Result<(), Failure> {
    let config = Config::load(&host.home()?)?;
    let (request, explanation) = match config.command(&args.service) {
        Some(command) => args.of_program(command)?,
        None => args.of_api(config.service(&args.service)?, &host.directory)?,
    };
    let Explanation { verdict, rule, matched, unmet, flaw, .. } = explanation;
    let matched = matched.into_iter();
    let unmet = unmet.into_iter();
    output.report(&Explained {
        verdict: verdict.as_str(),
        request,
        rule,
        matched: matched
            .map(|(verdict, rule)| Matched { verdict: verdict.as_str(), rule })
            .collect(),
        unmet: unmet
            .map(|unmet| Unmet {
                verdict: unmet.verdict.as_str(),
                rule: unmet.rule,
                condition: unmet.condition,
            })
            .collect(),
        flaw,
        short,
    })?;
    match verdict {
        Verdict::Ask | Verdict::Deny if short => Err(Failure::silent(Exit::Denied)),
        _ => Ok(()),
    }
}

impl Request {
    /// What the policy says to a request, and how it was understood.
    fn of_api(
        &self,
        service: &Service,
        directory: &Path,
    ) -> Result<(String, Explanation), Failure> {
        if !self.command.is_empty() {
            let name = &service.name;
            return Err(Failure::usage(format!("`{name}` is an API, and no program"))
                .hint(format!("write `strongroom policy test {name} GET /PATH`")));
        }
        let raw = self.raw(service.limits.request_bytes, directory)?;
        let request = canonicalize(service, raw).map_err(refused)?;
        let understood = format!("{} {}", request.method().as_str(), request.path());
        Ok((understood, service.policy.explain(&request)))
    }

    /// The same of a command line.
    fn of_program(&self, command: &Command) -> Result<(String, Explanation), Failure> {
        if self.command.is_empty() {
            let (name, word) = (&command.name, &command.program.word);
            return Err(Failure::usage(format!("`{name}` is a program"))
                .hint(format!("write `strongroom policy test {name} -- {word} ...`")));
        }
        let words = self.command.clone();
        let invocation = Invocation::read(command, words, Vec::new()).map_err(refused)?;
        Ok((invocation.line(), command.policy.explain(&invocation)))
    }

    fn raw(&self, cap: usize, directory: &Path) -> Result<RawRequest, Failure> {
        let mut headers = self.header.clone();
        let body = match self.body.as_deref() {
            None => Vec::new(),
            Some(body) => {
                let has_type =
                    headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
                if !has_type {
                    headers.push(("content-type".to_owned(), "application/json".to_owned()));
                }
                match body.strip_prefix('@') {
                    Some(file) => read(&directory.join(file), cap)?,
                    None => body.as_bytes().to_vec(),
                }
            }
        };
        Ok(RawRequest {
            method: self.method.clone().unwrap_or_default(),
            path: self.path.clone().unwrap_or_default(),
            query: self.query.clone(),
            headers,
            body,
            ..RawRequest::default()
        })
    }
}

fn refused(refusal: Refusal) -> Failure {
    Failure::new(Exit::Denied, refusal.message.into_owned())
}

/// Reads one byte more than may be sent, which is refused as it would be in a call.
fn read(path: &Path, cap: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let most = u64::try_from(cap).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut body))
        .map_err(|error| Failure::failed(format!("the file of the body: {}", error.kind())))?;
    Ok(body)
}

/// What a flag's value should have been; the value is not repeated.
#[derive(Clone, Debug, thiserror::Error)]
#[error("it is given as `NAME=VALUE`")]
struct NotAPair;

fn pair(text: &str) -> Result<(String, String), NotAPair> {
    let (name, value) = text.split_once('=').ok_or(NotAPair)?;
    Ok((name.to_owned(), value.to_owned()))
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
            None if self.unmet.is_empty() => "because no rule matches".to_owned(),
            None => "because no rule has its conditions met".to_owned(),
        };
        let mut lines = vec![format!("{}: {verdict}, {why}", self.request)];
        for Matched { verdict, rule } in &self.matched {
            lines.push(format!("  {verdict:<5}  {rule}"));
        }
        if self.matched.len() > 1 {
            lines.push("deny beats ask, and ask beats allow".to_owned());
        }
        if !self.unmet.is_empty() {
            lines.push("not met:".to_owned());
        }
        for Unmet { verdict, rule, condition } in &self.unmet {
            lines.push(format!("  {verdict:<5}  {rule}"));
            if self.flaw.is_none() {
                lines.push(format!("         {}", style.dim(&format!("`{condition}`"))));
            }
        }
        if let Some(flaw) = self.flaw {
            lines.push(format!("conditions could not be judged: {flaw}"));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}
