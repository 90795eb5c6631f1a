//! `simulate`: the calls of the audit, judged by another configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use strongroom_model::canonical::{RawRequest, canonicalize};
use strongroom_model::command::{self, Command, Invocation};
use strongroom_model::policy::{Foresight, Judgement, Rule, Verdict};
use strongroom_model::principal::Name;
use strongroom_model::service::Catalog;
use strongroom_seal::SecureDir;
use strongroom_store::audit::{self, Filter, Record};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::commands::logs::search::{Moment, moment};
use crate::config::Config;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::near;
use crate::output::{Output, Report, Style, table};

/// What stands for the method where a program was run.
const EXEC: &str = "exec";

#[derive(Debug, clap::Args)]
pub(super) struct Simulate {
    /// The changed configuration; without it the one that is in force
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only calls from then on: a time, or `12h`, `30d` ago
    #[arg(long, value_name = "TIME", value_parser = moment, default_value = "7d")]
    since: Moment,
    /// Only calls of this service
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Simulation {
    since: String,
    calls: u64,
    same: u64,
    differs: u64,
    depends: u64,
    /// Ended for another reason than a rule: a limit, a lock, a request that is none.
    not_judged: u64,
    differences: Vec<Difference>,
    /// Calls that are decided by what the audit does not keep: a query, a body, a word with a secret in it.
    dependent: Vec<Dependent>,
}

/// Calls that would be decided in another way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Difference {
    service: String,
    request: String,
    was: &'static str,
    would_be: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    calls: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Dependent {
    service: String,
    request: String,
    calls: u64,
}

/// What the audit has of a call that a rule decided.
#[derive(Debug)]
struct Call<'a> {
    service: &'a str,
    method: &'a str,
    path: &'a str,
    principal: &'a str,
    rule: Option<&'a str>,
    has_reason: bool,
    was: Verdict,
}

/// What a configuration says to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Would {
    Be(Verdict, Option<String>),
    Depend,
}

pub(super) fn run(args: &Simulate, host: &Host, output: Output) -> Result<(), Failure> {
    let home = host.home()?;
    let config = match &args.config {
        None => Config::load(&home)?,
        Some(file) => {
            let path = host.directory.join(file);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| Failure::failed(format!("the file: {}", error.kind())))?;
            Config::parse(&path.display().to_string(), &text)?
        }
    };
    let catalog = config.into_catalog(0);
    // What is in force says nothing of itself.
    let before = match &args.config {
        Some(_) => Config::load(&home)?.into_catalog(0),
        None => Catalog::default(),
    };
    let dir = SecureDir::open(home.audit_dir())
        .map_err(|error| Failure::from(error).maybe_hint(Some("run `strongroom init`")))?;
    let since = args.since.time(&*host.clock);
    let filter = Filter { service: args.service.clone(), since: Some(since), ..Filter::default() };
    let mut tally = Tally::default();
    for record in audit::read(dir, filter) {
        tally.take(&record.map_err(Failure::from)?, &before, &catalog);
    }
    if let Some(name) = args.service.as_deref().filter(|_| tally.calls == 0) {
        let known = catalog.services.keys().chain(catalog.commands.keys()).map(Name::as_str);
        if !known.clone().any(|there| there == name) {
            return Err(near::no_service(name, known));
        }
    }
    let since = OffsetDateTime::from(since).format(&Rfc3339).unwrap_or_default();
    let simulation = tally.finish(since);
    let differs = simulation.differs > 0;
    output.report(&simulation)?;
    if differs { Err(Failure::silent(Exit::Denied)) } else { Ok(()) }
}

#[derive(Debug, Default)]
struct Tally {
    calls: u64,
    same: u64,
    not_judged: u64,
    /// By service, request, what was, and what would be by which rule.
    differences: BTreeMap<(String, String, &'static str, &'static str, Option<String>), u64>,
    dependent: BTreeMap<(String, String), u64>,
}

impl Tally {
    fn take(&mut self, record: &Record, before: &Catalog, catalog: &Catalog) {
        if !matches!(record.text("kind"), Some("intent" | "refusal" | "redirect")) {
            return;
        }
        self.calls += 1;
        let Some(call) = Call::of(record) else {
            self.not_judged += 1;
            return;
        };
        let request = format!("{} {}", call.method, call.path);
        let of = (call.service.to_owned(), request);
        match call.judged_by(before, catalog) {
            Would::Depend => *self.dependent.entry(of).or_default() += 1,
            Would::Be(verdict, _) if verdict == call.was => self.same += 1,
            Would::Be(verdict, rule) => {
                let key = (of.0, of.1, call.was.as_str(), verdict.as_str(), rule);
                *self.differences.entry(key).or_default() += 1;
            }
        }
    }

    fn finish(self, since: String) -> Simulation {
        let differences = self.differences.into_iter().map(|(key, calls)| {
            let (service, request, was, would_be, rule) = key;
            Difference { service, request, was, would_be, rule, calls }
        });
        let dependent = self.dependent.into_iter();
        let mut simulation = Simulation {
            since,
            calls: self.calls,
            same: self.same,
            not_judged: self.not_judged,
            differences: differences.collect(),
            dependent: dependent
                .map(|((service, request), calls)| Dependent { service, request, calls })
                .collect(),
            ..Simulation::default()
        };
        simulation.differs = simulation.differences.iter().map(|one| one.calls).sum();
        simulation.depends = simulation.dependent.iter().map(|one| one.calls).sum();
        simulation.differences.sort_by_key(|one| std::cmp::Reverse(one.calls));
        simulation.dependent.sort_by_key(|one| std::cmp::Reverse(one.calls));
        simulation
    }
}

impl<'a> Call<'a> {
    /// The call of `record`, where a rule decided it, and it is there as it was.
    fn of(record: &'a Record) -> Option<Self> {
        let was = match (record.text("kind")?, record.text("code")) {
            ("refusal", Some("policy_denied")) => Verdict::Deny,
            ("refusal", Some("approval_denied")) => Verdict::Ask,
            ("refusal", _) => return None,
            _ if record.text("approval").is_some() || record.text("grant").is_some() => {
                Verdict::Ask
            }
            _ => Verdict::Allow,
        };
        if record.fields().contains_key("truncated") {
            return None;
        }
        Some(Self {
            service: record.text("service")?,
            method: record.text("method")?,
            path: record.text("path")?,
            principal: record.text("principal")?,
            rule: record.text("rule"),
            has_reason: record.text("reason").is_some_and(|reason| !reason.trim().is_empty()),
            was,
        })
    }

    /// What `catalog` says to it. Rules that are in force, too, are known to have applied or not, as
    /// far as what was decided tells; a change in between is not looked for.
    fn judged_by(&self, before: &Catalog, catalog: &Catalog) -> Would {
        let denied = Would::Be(Verdict::Deny, None);
        if let Some((_, command)) =
            catalog.commands.iter().find(|(name, _)| name.as_str() == self.service)
        {
            return self.run_by(command, catalog);
        }
        let found = catalog.services.iter().find(|(name, _)| name.as_str() == self.service);
        let Some((name, service)) = found else { return denied };
        let is_served = self
            .principal
            .parse()
            .is_ok_and(|principal| catalog.serves(&principal, name, service.principals.as_deref()));
        let raw = RawRequest {
            method: self.method.to_owned(),
            path: self.path.to_owned(),
            ..RawRequest::default()
        };
        let Some(request) = canonicalize(service, raw).ok().filter(|_| is_served) else {
            return denied;
        };
        let before = before.services.get(name).map_or(&[][..], |there| there.policy.rules());
        let known = |rule: &Rule| {
            let was_there = || {
                before
                    .iter()
                    .any(|there| there.verdict() == rule.verdict() && there.text() == rule.text())
            };
            // A stricter rule would have decided, and where none did, any would have.
            let would_have = rule.verdict() > self.was || self.rule.is_none();
            if self.rule == Some(rule.text()) {
                Some(true)
            } else {
                (would_have && was_there()).then_some(false)
            }
        };
        match service.policy.foresee(&request, known) {
            Foresight::Depends => Would::Depend,
            Foresight::Certain(_, Some(rule)) if rule.terms().reason && !self.has_reason => {
                Would::Be(Verdict::Deny, Some(rule.in_words()))
            }
            Foresight::Certain(verdict, rule) => {
                Would::Be(verdict, rule.map(|rule| rule.text().to_owned()))
            }
        }
    }
}

impl Call<'_> {
    /// What `command` says to it. Its words are in the audit, and no rule looks at more.
    fn run_by(&self, command: &Command, catalog: &Catalog) -> Would {
        let denied = Would::Be(Verdict::Deny, None);
        let served = command.principals.as_deref();
        let is_served = self
            .principal
            .parse()
            .is_ok_and(|principal| catalog.serves(&principal, &command.name, served));
        if self.method != EXEC || !is_served {
            return denied;
        }
        // A word that a marker stands for is not known.
        let Some(words) = command::words(self.path).filter(|_| !self.path.contains("[REDACTED:"))
        else {
            return Would::Depend;
        };
        let Ok(invocation) = Invocation::read(command, words, Vec::new()) else { return denied };
        let rule = command.policy.explain(&invocation).rule;
        let (verdict, reason) = match command.policy.judge(invocation) {
            Judgement::Allowed(permit) => (Verdict::Allow, permit.terms().reason),
            Judgement::Asks(awaiting) => (Verdict::Ask, awaiting.terms().reason),
            Judgement::Denied(_) => (Verdict::Deny, false),
        };
        if reason && !self.has_reason {
            return Would::Be(Verdict::Deny, rule.map(|rule| format!("{rule} with a reason")));
        }
        Would::Be(verdict, rule)
    }
}

impl Report for Simulation {
    fn text(&self, style: Style) -> String {
        let mut text = format!(
            "{} since {}: {} decided as they were, {} in another way\n",
            calls(self.calls),
            self.since,
            self.same,
            self.differs
        );
        if !self.differences.is_empty() {
            let head = ["WAS", "WOULD BE", "CALLS", "REQUEST", "BY"];
            let mut rows = vec![head.map(|word| style.dim(word)).to_vec()];
            for one in &self.differences {
                let verdict = |word: &str| match word {
                    "allow" => style.green(word),
                    word => style.red(word),
                };
                rows.push(vec![
                    verdict(one.was),
                    verdict(one.would_be),
                    one.calls.to_string(),
                    format!("{} {}", one.service, one.request),
                    one.rule.as_ref().map_or("no rule".to_owned(), |rule| format!("`{rule}`")),
                ]);
            }
            text.push_str(&table(&rows));
        }
        if self.depends > 0 {
            let depends = calls(self.depends);
            text.push_str(&depends);
            text.push_str(
                " cannot be judged: they depend on a query, a body or a secret, \
                 which the audit does not keep\n",
            );
            let rows = self.dependent.iter().map(|one| {
                vec![
                    String::new(),
                    one.calls.to_string(),
                    format!("{} {}", one.service, one.request),
                ]
            });
            text.push_str(&table(&rows.collect::<Vec<_>>()));
        }
        if self.not_judged > 0 {
            let not_judged = calls(self.not_judged);
            text.push_str(&not_judged);
            text.push_str(" ended for another reason than a rule\n");
        }
        text
    }
}

fn calls(count: u64) -> String {
    if count == 1 { "1 call".to_owned() } else { format!("{count} calls") }
}
