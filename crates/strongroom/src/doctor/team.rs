//! The team, where there is one: its database, its key, who can reach it, its audit.

use strongroom_store::audit::Trust;
use strongroom_store::team::TeamError;

use super::{Finding, chain, count};
use crate::config::team::Team as Configured;
use crate::environment::Host;
use crate::failure::Failure;
use crate::paths::Home;
use crate::team::{self, Operator};

const ABOUT: &str = "team";

/// What is found of the team of `host`; nothing where there is none.
pub(super) fn examine(host: &Host, home: &Home) -> Vec<Finding> {
    let configured = match team::configured(home) {
        Ok(configured) => configured,
        // The configuration is another finding.
        Err(_) => Configured::default(),
    };
    if !team::is_there(host, home, &configured) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    findings.extend(reach(&configured));
    let operator = match Operator::open(host) {
        Ok(operator) => operator,
        Err(failure) => {
            findings.push(broken("the database", failure));
            return findings;
        }
    };
    let kek = operator.team.keks().current();
    let found = format!("the database answers, its schema is current, and `{kek}` opens it");
    findings.push(Finding::fine(ABOUT, found));
    findings.push(match operator.wait(operator.team.unguarded()) {
        Ok(faults) if faults.is_empty() => {
            Finding::fine(ABOUT, "nobody sees the rows of another tenant")
        }
        Ok(faults) => Finding::problem(
            ABOUT,
            faults.join("; "),
            Some("run `strongroom migrate` as the owner of the database".to_owned()),
        ),
        Err(failure) => broken("the guards of the database", failure),
    });
    findings.push(audit(&operator));
    findings
}

/// Whether keys would cross a network in the clear.
fn reach(configured: &Configured) -> Option<Finding> {
    let listen = configured.listen?;
    let safe = listen.ip().is_loopback() || configured.tls.is_some() || configured.behind_tls_proxy;
    Some(if safe {
        Finding::fine(ABOUT, format!("{listen} is this machine alone, or behind TLS"))
    } else {
        let fix = "write `tls = { certificate = ..., key = ... }` into `[team]`";
        Finding::problem(
            ABOUT,
            format!("{listen} is a network, and there is no TLS"),
            Some(fix.to_owned()),
        )
    })
}

fn audit(operator: &Operator) -> Finding {
    match operator.finish::<_, TeamError>(operator.team.verify_audit(None, &Trust::default())) {
        Ok(done) => match done.problems.first() {
            None => {
                let records = count(usize::try_from(done.records).unwrap_or(0), "record");
                let chains = count(usize::try_from(done.chains).unwrap_or(0), "chain");
                Finding::fine(ABOUT, format!("its audit is whole: {records} in {chains}"))
            }
            Some(first) => {
                let found = format!("its audit: {}: {}", first.segment, first.finding);
                Finding::problem(ABOUT, found, Some("strongroom audit verify --team".to_owned()))
            }
        },
        Err(failure) => {
            let hint = failure.hint.clone().unwrap_or_default();
            Finding::warning(ABOUT, format!("its audit was not checked: {}", said(&failure)), hint)
        }
    }
}

fn broken(what: &str, failure: Failure) -> Finding {
    let found = format!("{what}: {}", said(&failure));
    Finding::problem(ABOUT, found, failure.hint)
}

fn said(failure: &Failure) -> String {
    failure.error.as_deref().map(|error| chain(error)).unwrap_or_default()
}
