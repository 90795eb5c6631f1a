//! The same for a tenant of a team, on the machine of its operator.

use strongroom_model::approval::{By, State};
use strongroom_model::team::{Actor, TenantCtx};
use strongroom_store::team::{ApprovalQuery, TeamApproval, TeamSettled, TenantStore};

use super::view::{Answered, List, View, good_for};
use super::{Answer, Command, Long, near, not_open, open, uncovered};
use crate::config::{Config, LoadError};
use crate::confirm;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::Output;
use crate::team::Operator;

/// Runs the command for the tenant of this name or id.
pub(super) fn run(
    command: Option<&Command>,
    tenant: &str,
    host: &Host,
    output: Output,
) -> Result<(), Failure> {
    let operator = Operator::open(host)?;
    let tenant = operator.tenant(tenant)?;
    let store = operator.team.tenant(&TenantCtx { tenant: tenant.id, actor: Actor::Operator });
    let at = At { operator: &operator, store, name: &tenant.name };
    let now = host.clock.now();
    match command {
        None => at.list(false, host, output),
        Some(Command::List { all }) => at.list(*all, host, output),
        Some(Command::Show { id }) => output.report(&View::of(&at.find(id)?.entry, now, None)),
        Some(Command::Approve { id, long }) => at.approve(id, long, host, output),
        Some(Command::Deny { id }) => at.deny(id, output),
    }
}

/// A tenant, as its operator has it.
struct At<'a> {
    operator: &'a Operator,
    store: TenantStore<'a>,
    name: &'a str,
}

impl At<'_> {
    fn list(&self, all: bool, host: &Host, output: Output) -> Result<(), Failure> {
        let state = (!all).then_some(State::Open);
        let mut query = ApprovalQuery { state, ..ApprovalQuery::default() };
        let mut found = Vec::new();
        loop {
            let page = self.operator.wait(self.store.approvals(&query))?;
            found.extend(page.approvals);
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        let now = host.clock.now();
        let some_wait = found.iter().any(|one| one.entry.state == State::Open);
        output.report(&List(found.iter().map(|one| View::of(&one.entry, now, None)).collect()))?;
        if some_wait {
            output.hint(&format!(
                "run `strongroom approvals show ID --tenant {0}`, then `approve ID --tenant {0}` or \
                 `deny ID --tenant {0}`",
                self.name
            ));
        }
        Ok(())
    }

    fn approve(&self, id: &str, long: &Long, host: &Host, output: Output) -> Result<(), Failure> {
        let entry = self.find(id)?.entry;
        open(&entry)?;
        if entry.question.scope().is_none() {
            return Err(uncovered().hint("to allow it, change the service's rules"));
        }
        let answer = long.answer(&entry)?.within(entry.question.ttl());
        if !headless(host)? {
            let mut changes = entry.question.lines(true);
            changes.push(good_for(&entry, answer));
            let heading =
                format!("This lets an agent of the tenant `{}` do the following", self.name);
            confirm::in_person(&heading, &changes, host)?;
        }
        self.settle(id, answer, output)
    }

    fn deny(&self, id: &str, output: Output) -> Result<(), Failure> {
        open(&self.find(id)?.entry)?;
        self.settle(id, Answer::Deny, output)
    }

    /// Answers; the record is written first.
    fn settle(&self, id: &str, answer: Answer, output: Output) -> Result<(), Failure> {
        let settled = self.store.answer_approval(id, answer, By::Cli, None);
        match self.operator.wait(settled)? {
            TeamSettled::Done(done, _) if answer == Answer::Deny => {
                output.report(&Answered::no(&done.entry))
            }
            TeamSettled::Done(done, grant) => {
                let at = format!(" --tenant {}", self.name);
                output.report(&Answered::yes(&done.entry, answer, grant.as_ref(), &at))
            }
            TeamSettled::NotOpen(state) => Err(not_open(state)),
            // Nobody asks as the operator, and the rest was looked at before.
            TeamSettled::Unknown | TeamSettled::Own | TeamSettled::NeedsTime => {
                Err(not_open(State::Expired))
            }
            TeamSettled::Uncovered => Err(uncovered()),
            TeamSettled::TooManyGrants => Err(Failure::failed("too many grants stand").hint(
                format!("take one back: `strongroom grants revoke ID --tenant {}`", self.name),
            )),
        }
    }

    /// The question `id`, or the failure that names the nearest one.
    fn find(&self, id: &str) -> Result<TeamApproval, Failure> {
        if let Some(found) = self.operator.wait(self.store.approval(id))? {
            return Ok(found);
        }
        let open = ApprovalQuery { state: Some(State::Open), ..ApprovalQuery::default() };
        let open = self.operator.wait(self.store.approvals(&open))?.approvals;
        let failure = Failure::failed("there is no such question");
        Err(match near::nearest(id, open.iter().map(|one| one.entry.id.as_str())) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint(format!("run `strongroom approvals --tenant {}`", self.name)),
        })
    }
}

/// Whether nobody has to be at a terminal. Where there is no configuration, somebody has to.
fn headless(host: &Host) -> Result<bool, Failure> {
    match Config::load_without_services(&host.home()?) {
        Ok(config) => Ok(config.headless),
        Err(LoadError::Missing { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
