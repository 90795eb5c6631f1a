//! `strongroom logs` on a team server: the audit of a tenant.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, SystemTime};

use strongroom_secrets::remote::answers::Records;
use strongroom_store::audit::{Filter, Record};

use super::Args;
use super::join::Joiner;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, rfc3339};
use crate::remote::Remote;

/// Records that are shown where `--since` does not say how far back.
const USUAL: usize = 1000;
/// Records that are ever shown at once.
const MOST: usize = 20_000;
/// How often `-f` asks for more.
const PAUSE: Duration = Duration::from_secs(1);
/// A record of another node may come later than its time says.
const LATE: Duration = Duration::from_secs(10);

/// Shows the records of a team's tenant.
pub fn at(args: &Args, remote: &Remote, host: &Host, output: &Output) -> Result<(), Failure> {
    let filter = args.which.filter(&*host.clock);
    let most = if filter.since.is_some() || filter.audit_id.is_some() { MOST } else { USUAL };
    let (mut lines, whole) = fetch(remote, &filter, filter.since, most)?;
    if !whole {
        output.warn(&format!(
            "these are the newest {most} records: say how far back by `--since`, and until when"
        ));
    }
    let mut joiner = Joiner::default();
    let mut shown = HashSet::new();
    loop {
        for line in &lines {
            let Some(record) = Record::parse(line.as_bytes()).filter(|it| filter.wants(it)) else {
                continue;
            };
            let entry = if shown.contains(line) { None } else { joiner.take(&record) };
            if let Some(entry) = entry.filter(|entry| args.what.wants(entry)) {
                output.report(&entry)?;
            }
        }
        if !args.follow {
            break;
        }
        shown.extend(lines);
        let asked = host.clock.now();
        thread::sleep(PAUSE);
        if !output.is_read() {
            return Ok(());
        }
        let since = asked.checked_sub(LATE).max(filter.since);
        let (now, _) = fetch(remote, &filter, since, MOST)?;
        // What is older than that is not answered any more.
        shown.retain(|line| now.contains(line));
        lines = now;
    }
    for entry in joiner.rest().into_iter().filter(|entry| args.what.wants(entry)) {
        output.report(&entry)?;
    }
    Ok(())
}

/// The newest records, at most `most` of them, the oldest first; and whether those are all.
fn fetch(
    remote: &Remote,
    filter: &Filter,
    since: Option<SystemTime>,
    most: usize,
) -> Result<(Vec<String>, bool), Failure> {
    let since = since.map(rfc3339);
    let mut lines = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![("limit", "1000")];
        query.extend(since.as_deref().map(|since| ("since", since)));
        query.extend(filter.audit_id.as_deref().map(|id| ("audit_id", id)));
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page: Records = remote.get_exact("/v1/audit", &query)?;
        let empty = page.records.is_empty();
        lines.extend(page.records.iter().filter_map(|it| serde_json::to_string(it).ok()));
        cursor = page.next_cursor;
        if cursor.is_none() || empty || lines.len() >= most {
            break;
        }
    }
    let whole = cursor.is_none() && lines.len() <= most;
    lines.truncate(most);
    lines.reverse();
    Ok((lines, whole))
}
