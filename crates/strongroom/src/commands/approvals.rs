//! `strongroom approvals`: what agents wait for, and a person's answers.
//!
//! A yes lets an agent do more, so it needs a person (decision 28); a no may be typed by anybody.

mod at;
mod team;
mod view;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use strongroom_model::approval::{Answer, By, Entry, State};
use strongroom_model::audit::{Draft, Kind};
use strongroom_store::{ApprovalStore, Settled};

use crate::config::Config;
use crate::environment::Host;
use crate::failure::Failure;
use crate::near;
use crate::output::Output;
use crate::paths::Home;
use crate::{admin, confirm, home};
use view::{Answered, List, View};

pub use at::at;

/// Answer what agents ask a person for
///
/// A call that a rule asks about waits here for two minutes, a request for access for a day. A yes is
/// for exactly the request that is shown, once, unless you say more.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom approvals
  strongroom approvals approve a-7k3f9xqm
  strongroom approvals deny a-7k3f9xqm
  strongroom approvals --tenant shop")]
pub struct Args {
    /// Those of a tenant of the team of this machine
    #[arg(long, global = true, value_name = "TENANT")]
    tenant: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what waits for an answer (the default)
    #[command(after_help = "Example:
  strongroom approvals list --all")]
    List {
        /// What was answered or expired in the last week, too
        #[arg(long)]
        all: bool,
    },
    /// Show a question in full
    #[command(after_help = "Example:
  strongroom approvals show a-7k3f9xqm")]
    Show {
        /// Its id
        id: String,
    },
    /// Say yes: to this one request, or for longer
    #[command(after_help = "Examples:
  strongroom approvals approve a-7k3f9xqm
  strongroom approvals approve a-7k3f9xqm --for 10m
  strongroom approvals approve a-7k3f9xqm --session")]
    Approve {
        /// Its id
        id: String,
        #[command(flatten)]
        long: Long,
    },
    /// Say no
    #[command(after_help = "Example:
  strongroom approvals deny a-7k3f9xqm")]
    Deny {
        /// Its id
        id: String,
    },
}

#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Long {
    /// To this one request, once (the default)
    #[arg(long)]
    once: bool,
    /// To everything that the same rule asks about, for this long: `10m`, `2h`, `1d`
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// To everything that the same rule asks about, until the agent's connection ends
    #[arg(long)]
    session: bool,
}

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    if let Some(tenant) = &args.tenant {
        return team::run(args.command.as_ref(), tenant, host, *output);
    }
    let home = host.home()?;
    let store = home::open(&home, Arc::clone(&host.clock))?.approvals()?;
    match &args.command {
        None => list(&store, false, host, *output),
        Some(Command::List { all }) => list(&store, *all, host, *output),
        Some(Command::Show { id }) => {
            let entry = find(&store, id)?;
            output.report(&View::of(&entry, host.clock.now(), command_for(&entry, &home)))
        }
        Some(Command::Approve { id, long }) => approve(&store, id, long, host, &home, *output),
        Some(Command::Deny { id }) => deny(&store, id, host, &home, *output),
    }
}

fn list(store: &ApprovalStore, all: bool, host: &Host, output: Output) -> Result<(), Failure> {
    let mut entries = store.list()?;
    if !all {
        entries.retain(|entry| entry.state == State::Open);
    }
    let now = host.clock.now();
    let some_wait = entries.iter().any(|entry| entry.state == State::Open);
    output.report(&List(entries.iter().map(|entry| View::of(entry, now, None)).collect()))?;
    if some_wait {
        output.hint("run `strongroom approvals show ID`, then `approve ID` or `deny ID`");
    }
    Ok(())
}

fn approve(
    store: &ApprovalStore,
    id: &str,
    long: &Long,
    host: &Host,
    home: &Home,
    output: Output,
) -> Result<(), Failure> {
    let entry = find(store, id)?;
    open(&entry)?;
    let answer = long.answer(&entry)?.within(entry.question.ttl());
    let config = Config::load(home)?;
    in_force(&entry, &config, home)?;
    let mut by = By::Cli;
    if !config.headless {
        let mut changes = entry.question.lines(true);
        changes.push(view::good_for(&entry, answer));
        let heading = "This lets an agent do the following";
        by = confirm::ask(heading, &changes, host).inspect_err(|_| {
            admin::record_if_possible(host, &output, "approval.approve.refused", &entry.id);
        })?;
    }
    let grant = matches!(answer, Answer::For(_)).then(|| entry.id.replacen("a-", "g-", 1));
    admin::record_draft(host, home, draft(&entry, "approval.approve", grant, by))?;
    match store.settle(&entry.id, answer, by)? {
        Settled::Done(grant) => output.report(&Answered::yes(&entry, answer, grant.as_ref(), "")),
        Settled::NotOpen(state) => Err(not_open(state)),
        Settled::Unknown => Err(not_open(State::Expired)),
    }
}

fn deny(
    store: &ApprovalStore,
    id: &str,
    host: &Host,
    home: &Home,
    output: Output,
) -> Result<(), Failure> {
    let entry = find(store, id)?;
    open(&entry)?;
    if admin::record_draft(host, home, draft(&entry, "approval.deny", None, By::Cli)).is_err() {
        output.warn("the audit has no record of this: `strongroom doctor` says why");
    }
    match store.settle(&entry.id, Answer::Deny, By::Cli)? {
        Settled::Done(_) => output.report(&Answered::no(&entry)),
        Settled::NotOpen(state) => Err(not_open(state)),
        Settled::Unknown => Err(not_open(State::Expired)),
    }
}

fn draft(entry: &Entry, act: &str, grant: Option<String>, by: By) -> Draft {
    let question = &entry.question;
    Draft {
        kind: Kind::Approval,
        act: Some(act.to_owned()),
        subject: Some(entry.id.clone()),
        principal: Some(question.principal.to_string()),
        service: Some(question.service.to_string()),
        rule: question.rule.clone(),
        approval: Some(by.as_str()),
        grant,
        ..Draft::default()
    }
}

/// The question `id`, or the failure that names the nearest one.
fn find(store: &ApprovalStore, id: &str) -> Result<Entry, Failure> {
    if let Some(entry) = store.find(id)? {
        return Ok(entry);
    }
    let entries = store.list()?;
    let failure = Failure::failed("there is no such question");
    let near = near::nearest(id, entries.iter().map(|entry| entry.id.as_str()));
    Err(match near {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint("run `strongroom approvals`"),
    })
}

fn open(entry: &Entry) -> Result<(), Failure> {
    if entry.state == State::Open { Ok(()) } else { Err(not_open(entry.state)) }
}

fn not_open(state: State) -> Failure {
    let problem = match state {
        State::Open | State::Expired => "the question has expired",
        State::Approved | State::Used => "somebody said yes to this already",
        State::Denied => "somebody said no to this already",
        State::Withdrawn => "the agent does not wait for this any more",
    };
    Failure::failed(problem).hint("the agent asks again when it repeats its call")
}

/// What would be approved must be what is in force, and something that a rule asks about.
fn in_force(entry: &Entry, config: &Config, home: &Home) -> Result<(), Failure> {
    let question = &entry.question;
    if question.scope().is_none() {
        return Err(match command_for(entry, home) {
            Some(command) => uncovered().hint(format!("to allow it, run `{command}`")),
            None => uncovered().hint("to allow it, change the service's rules"),
        });
    }
    let http = config.services.get(&question.service).map(|service| service.revision);
    let command = config.commands.get(&question.service).map(|command| command.revision);
    if http.or(command) == Some(question.revision) {
        return Ok(());
    }
    let problem = format!("the configuration of `{}` was changed since", question.service);
    Err(Failure::failed(problem).hint("the agent asks again when it repeats its call"))
}

fn uncovered() -> Failure {
    Failure::failed("no rule asks about this, so that a yes would change nothing")
}

/// The command that would let the agent do what it asks for, for a person to type.
fn command_for(entry: &Entry, home: &Home) -> Option<String> {
    use strongroom_model::policy::{Rule, Verdict};

    let question = &entry.question;
    if !question.access || question.scope().is_some() {
        return None;
    }
    let config = Config::load(home).ok()?;
    let service = &question.service;
    if !config.services.contains_key(service) {
        return (!config.commands.contains_key(service))
            .then(|| format!("strongroom add {service}"));
    }
    // What the agent wrote stands in a command line only where it is a rule, and in quotes.
    let rule = Rule::parse(Verdict::Allow, &question.what).ok()?;
    let plain = |c: char| c.is_ascii_graphic() && c != '\'' || c == ' ';
    let text = rule.text();
    text.chars().all(plain).then(|| format!("strongroom edit {service} --allow '{text}'"))
}

impl Long {
    fn answer(&self, entry: &Entry) -> Result<Answer, Failure> {
        match (self.time, self.session) {
            (Some(time), _) => Ok(Answer::For(time)),
            _ if entry.question.access && entry.question.scope().is_some() => {
                Err(Failure::usage("no call waits for this, so that a yes needs a time")
                    .hint(format!("write `strongroom approvals approve {} --for 10m`", entry.id)))
            }
            (None, true) => Ok(Answer::Session),
            (None, false) => Ok(Answer::Once),
        }
    }
}

/// `90s`, `10m`, `2h`, `1d`.
fn duration(text: &str) -> Result<Duration, &'static str> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let scaled = units.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(*unit)?.parse().ok()?;
        number.checked_mul(*seconds).filter(|seconds| *seconds > 0)
    });
    scaled.map(Duration::from_secs).ok_or("a number and a unit, as in `90s`, `10m`, `2h`, `1d`")
}

/// What is left until then, in words.
fn left(until: SystemTime, now: SystemTime) -> String {
    in_words(until.duration_since(now).unwrap_or_default())
}

/// `90 s`, `10 min`, `8 h`, `30 days`.
pub(super) fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("2h", 7_200), ("1d", 86_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "10", "m", "0m", "-1m", "1.5h", "10 m", "99999999999999999999d", "10w"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_said_in_the_unit_that_a_person_would_use() {
        let words = [5, 119, 120, 600, 7_199, 7_200, 172_800];
        let words = words.map(|seconds| in_words(Duration::from_secs(seconds)));
        assert_eq!(words, ["5 s", "119 s", "2 min", "10 min", "119 min", "2 h", "2 days"]);
    }
}
