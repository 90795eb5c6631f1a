//! `strongroom approvals` on a team server: what a tenant's agents wait for.

use serde::Serialize;
use serde_json::{Value, json};
use strongroom_model::display::escape_line;
use strongroom_secrets::remote::answers::{Answered, Approval, Approvals, Done};

use super::view::WIDEST;
use super::{Args, Command, Long};
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style, table};
use crate::remote::Remote;

const PATH: &str = "/v1/approvals";

/// Runs the command there.
pub fn at(args: &Args, remote: &Remote, host: &Host, output: Output) -> Result<(), Failure> {
    remote.refuse_tenant(args.tenant.as_deref())?;
    match &args.command {
        None => list(false, remote, output),
        Some(Command::List { all }) => list(*all, remote, output),
        Some(Command::Show { id }) => output.report(&View(find(id, remote)?)),
        Some(Command::Approve { id, long }) => approve(id, long, remote, host, output),
        Some(Command::Deny { id }) => {
            open(&find(id, remote)?)?;
            remote.post_once::<Done>(&format!("{PATH}/{id}/deny"), &json!({}))?;
            output.report(&Said { id: id.clone(), answer: "deny", grant: None, lapses: None })
        }
    }
}

fn list(all: bool, remote: &Remote, output: Output) -> Result<(), Failure> {
    let query = if all { &[][..] } else { &[("state", "open")] };
    let found: Approvals = remote.get(PATH, query)?;
    let some_wait = found.approvals.iter().any(|it| it.state == "open");
    output.report(&List(found.approvals))?;
    if some_wait {
        output.hint("run `strongroom approvals show ID`, then `approve ID` or `deny ID`");
    }
    Ok(())
}

/// The question `id`.
fn find(id: &str, remote: &Remote) -> Result<Approval, Failure> {
    let is_id = id.len() == 10
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !is_id {
        return Err(Failure::failed("there is no such question")
            .hint(format!("run `strongroom approvals --remote {}`", remote.name)));
    }
    remote.get(&format!("{PATH}/{id}"), &[])
}

fn open(question: &Approval) -> Result<(), Failure> {
    let problem = match question.state.as_str() {
        "open" => return Ok(()),
        "approved" | "used" => "somebody said yes to this already",
        "denied" => "somebody said no to this already",
        "withdrawn" => "the agent does not wait for this any more",
        _ => "the question has expired",
    };
    Err(Failure::failed(problem).hint("the agent asks again when it repeats its call"))
}

fn approve(
    id: &str,
    long: &Long,
    remote: &Remote,
    host: &Host,
    output: Output,
) -> Result<(), Failure> {
    let question = find(id, remote)?;
    open(&question)?;
    let (body, answer, good): (Value, _, _) = match (long.time, long.session) {
        (Some(time), _) => {
            let words = format!("good for all that the rule asks about, {} s", time.as_secs());
            (json!({ "for_s": time.as_secs() }), "for", words)
        }
        (None, true) => {
            let words = "good for all that the rule asks about, until its connection ends";
            (json!({ "session": true }), "session", words.to_owned())
        }
        (None, false) => (json!({}), "once", "good for exactly this, once".to_owned()),
    };
    let mut changes = question.lines();
    changes.push(good);
    remote.confirm(&changes, host)?;
    let path = format!("{PATH}/{id}/approve");
    let done: Answered = remote.post_once(&path, &body)?;
    let (grant, lapses) = done.grant.map(|grant| (grant.id, grant.lapses_at)).unzip();
    output.report(&Said { id: id.to_owned(), answer, grant, lapses })
}

/// What a person said.
#[derive(Serialize)]
struct Said {
    id: String,
    answer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lapses: Option<String>,
}

impl Report for Said {
    fn text(&self, _: Style) -> String {
        match (self.answer, &self.grant) {
            ("deny", _) => format!("denied `{}`\n", self.id),
            (_, None) => format!("approved `{}`\n", self.id),
            (_, Some(grant)) => format!(
                "approved `{}`\ntake it back by `strongroom grants revoke {grant}`\n",
                self.id
            ),
        }
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct View(Approval);

impl Report for View {
    fn text(&self, style: Style) -> String {
        let lines: Vec<String> = self.0.lines().iter().map(|line| format!("  {line}\n")).collect();
        format!("{}  {}\n{}", style.bold(&self.0.id), self.0.state, lines.concat())
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Approval>);

impl Report for List {
    fn text(&self, style: Style) -> String {
        if self.0.is_empty() {
            return "nothing waits for an answer\n".to_owned();
        }
        let head = ["ID", "WHO", "SERVICE", "WHAT", "STATE"].map(|word| style.dim(word)).to_vec();
        let rows = self.0.iter().map(|it| {
            let (what, cut) = escape_line(&it.what, WIDEST);
            let what = if cut { format!("{what}...") } else { what };
            let what = if it.access { format!("access: {what}") } else { what };
            vec![
                style.bold(&it.id),
                it.principal.clone(),
                it.service.clone(),
                what,
                it.state.clone(),
            ]
        });
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}
