//! The team, where there is one: its database, its key, who can reach it, its audit.

use std::time::{Duration, SystemTime};

use strongroom_process::Sandbox;
use strongroom_store::audit::Trust;
use strongroom_store::team::TeamError;

use super::{Finding, chain, count};
use crate::config::team::Team as Configured;
use crate::environment::Host;
use crate::failure::Failure;
use crate::paths::Home;
use crate::team::{self, Operator};

const ABOUT: &str = "team";

/// More than a network and a busy database make of it.
const APART: Duration = Duration::from_mins(1);

/// What is found of the team of `host`; nothing where there is none.
pub(super) fn examine(host: &Host, home: &Home) -> Vec<Finding> {
    // What is wrong with the configuration is another finding.
    let configured = team::configured(home).unwrap_or_default();
    if !team::is_there(host, home, &configured) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    findings.extend(reach(&configured));
    findings.extend(programs(host, &configured));
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
    if let Ok(Some(theirs)) = operator.wait(operator.team.database_clock()) {
        findings.push(clock(host.clock.now(), theirs));
    }
    findings.push(audit(&operator));
    findings
}

/// Whether the clocks of this machine and of the database go alike (AU-07). A kernel that signs is let in
/// within five minutes of ours; API keys work whatever the clock says, but end by it.
fn clock(ours: SystemTime, theirs: SystemTime) -> Finding {
    let apart = ours.duration_since(theirs).unwrap_or_else(|error| error.duration());
    if apart < APART {
        return Finding::fine(ABOUT, "its clock and that of the database go alike");
    }
    let found = format!(
        "the clock of this machine is {} s {} that of the database, and kernels that sign are refused \
         beyond 300 s",
        apart.as_secs(),
        if ours > theirs { "ahead of" } else { "behind" }
    );
    Finding::problem(ABOUT, found, Some("set the clock, and keep it by NTP".to_owned()))
}

/// Whether what tenants may start is confined.
fn programs(host: &Host, configured: &Configured) -> Option<Finding> {
    if configured.allowed_commands.is_empty() {
        return None;
    }
    if !configured.isolate {
        let found = "the programs of tenants run as whoever serves: `isolate` is off";
        let fix = "take `isolate = false` out of `[team]`, unless every tenant is trusted";
        return Some(Finding::warning(ABOUT, found, fix));
    }
    Some(match Sandbox::find(&host.program) {
        Ok(_) => Finding::fine(ABOUT, "the programs of tenants run in rooms of their own"),
        Err(missing) => {
            let found = format!("no program of a tenant is started here: {missing}");
            Finding::warning(ABOUT, found, "install bubblewrap, or name no `allowed_commands`")
        }
    })
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

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_clock_that_is_off_by_ten_minutes_is_a_problem_in_either_direction() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        let off = Duration::from_mins(10);
        for (ours, said) in [(now + off, "600 s ahead of"), (now - off, "600 s behind")] {
            let finding = clock(ours, now);
            assert_eq!(finding.level, Level::Problem);
            assert!(finding.found.contains(said), "{}", finding.found);
        }
        assert_eq!(clock(now + Duration::from_secs(5), now).level, Level::Fine);
    }
}
