//! `strongroom lock` and `unlock` on a team server: the kill switch of a tenant.

use serde::Serialize;
use serde_json::{Map, Value, json};
use strongroom_model::lock::Part;
use strongroom_model::principal::Name;
use strongroom_secrets::remote::answers::{Done, Lock, Locks, Servers, Services};

use super::{Args, UnlockArgs, What, name_of};
use crate::environment::Host;
use crate::failure::Failure;
use crate::near;
use crate::output::{Output, Report, Style, table};
use crate::remote::credentials::SERVERS;
use crate::remote::{Remote, definition};

const LOCKS: &str = "/v1/locks";
const UNLOCK: &str = "/v1/locks/unlock";

/// Locks, for the whole tenant.
pub fn at(args: &Args, remote: &Remote, output: &Output) -> Result<(), Failure> {
    if args.show {
        return output.report(&State { changed: false, locked: locks(remote)? });
    }
    let part = part(&args.what, remote)?;
    let before = locks(remote)?;
    remote.post::<Done>(LOCKS, &body(&part))?;
    let changed = !before.iter().any(|lock| is_ours(lock, &part));
    output.report(&State { changed, locked: locks(remote)? })?;
    output.hint(&format!("run `strongroom unlock --remote {}` to undo it", remote.name));
    Ok(())
}

/// Unlocks. What the operator locked stays.
pub fn unlock_at(
    args: &UnlockArgs,
    remote: &Remote,
    host: &Host,
    output: &Output,
) -> Result<(), Failure> {
    let wanted = match (&args.what.name, args.what.given()) {
        (None, None) => None,
        (Some(name), _) => Some(locked(name, &locks(remote)?)?),
        (None, Some(part)) => Some(known_part(part)?),
    };
    let before = locks(remote)?;
    let open: Vec<Part> = before
        .iter()
        .filter(|lock| !lock.by_operator)
        .filter_map(part_of)
        .filter(|part| wanted.as_ref().is_none_or(|wanted| wanted == part))
        .collect();
    if open.is_empty() {
        return output.report(&State { changed: false, locked: before });
    }
    let changes: Vec<String> = open.iter().map(|part| format!("unlocks {part}")).collect();
    remote.confirm(&changes, host)?;
    for part in &open {
        remote.post::<Done>(UNLOCK, &body(part))?;
    }
    output.report(&State { changed: true, locked: locks(remote)? })
}

fn locks(remote: &Remote) -> Result<Vec<Lock>, Failure> {
    Ok(remote.get::<Locks>(LOCKS, &[])?.locks)
}

/// What is to be locked.
fn part(what: &What, remote: &Remote) -> Result<Part, Failure> {
    if let Some(part) = what.given() {
        return known_part(part);
    }
    let Some(name) = &what.name else { return Ok(Part::Everything) };
    let services: Services = remote.get_exact(definition::PATH, &[])?;
    let servers: Servers = remote.get_exact(SERVERS, &[])?;
    let services: Vec<String> = services.services.into_iter().map(|it| it.name).collect();
    let servers: Vec<String> = servers.servers.into_iter().map(|it| it.server_id).collect();
    let has = |names: &[String]| names.iter().any(|there| there == name.as_str());
    match (has(&services), has(&servers)) {
        (true, false) => Ok(Part::Service(name.clone())),
        (false, true) => Ok(Part::Server(name.clone())),
        (true, true) => Err(Failure::usage(format!("`{name}` is the name of several things"))
            .hint("give `--service` or `--server`")),
        (false, false) => {
            let all = services.iter().chain(&servers).map(String::as_str);
            let near =
                near::nearest(name.as_str(), all).filter(|near| near.parse::<Name>().is_ok());
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "`strongroom lock` without a name locks everything".to_owned(),
            };
            Err(Failure::failed(format!("nothing is called `{name}`")).hint(hint))
        }
    }
}

fn known_part(part: Part) -> Result<Part, Failure> {
    match part {
        Part::Principal(_) => Err(Failure::usage("a team server locks services and servers")
            .hint("switch a caller off by its key: `strongroom key disable ID`")),
        part => Ok(part),
    }
}

/// The locked part of this name.
fn locked(name: &Name, locks: &[Lock]) -> Result<Part, Failure> {
    let mut parts = locks.iter().filter_map(part_of).filter(|part| name_of(part) == Some(name));
    match (parts.next(), parts.next()) {
        (Some(part), None) => Ok(part),
        (Some(one), Some(other)) if one == other => Ok(one),
        (Some(_), Some(_)) => {
            Err(Failure::usage(format!("several things called `{name}` are locked"))
                .hint("give `--service` or `--server`"))
        }
        (None, _) => Err(Failure::failed(format!("nothing called `{name}` is locked"))
            .hint("run `strongroom lock --show`")),
    }
}

fn part_of(lock: &Lock) -> Option<Part> {
    let name = || lock.name.as_ref()?.parse::<Name>().ok();
    match lock.part.as_str() {
        "everything" => Some(Part::Everything),
        "service" => name().map(Part::Service),
        "server" => name().map(Part::Server),
        _ => None,
    }
}

fn is_ours(lock: &Lock, part: &Part) -> bool {
    !lock.by_operator && part_of(lock).as_ref() == Some(part)
}

fn body(part: &Part) -> Map<String, Value> {
    let field = match part {
        Part::Everything | Part::Principal(_) => None,
        Part::Service(name) => Some(("service", name)),
        Part::Server(name) => Some(("server", name)),
    };
    field.into_iter().map(|(key, name)| (key.to_owned(), json!(name))).collect()
}

#[derive(Serialize)]
struct State {
    changed: bool,
    locked: Vec<Lock>,
}

impl Report for State {
    fn text(&self, style: Style) -> String {
        if self.locked.is_empty() {
            return "nothing is locked\n".to_owned();
        }
        let head = ["LOCKED", "NAME", "SINCE", "BY"].map(|word| style.dim(word)).to_vec();
        let rows = self.locked.iter().map(|lock| {
            let by = if lock.by_operator { "the operator" } else { "the tenant" };
            let name = lock.name.clone().unwrap_or_default();
            vec![lock.part.clone(), name, lock.since.clone(), by.to_owned()]
        });
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}
