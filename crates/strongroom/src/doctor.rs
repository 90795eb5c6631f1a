//! What `strongroom doctor` looks at: findings, each with its exact remedy.
//!
//! Every part is looked at, also where an earlier one is broken: a person wants the whole list.

mod background;
mod clients;
mod programs;
mod providers;
mod remotes;
mod services;
mod team;
mod window;

use std::sync::Arc;

use serde::Serialize;
use strongroom_model::audit::checkpoint::Octets;
use strongroom_seal::{FileError, SecureDir};
use strongroom_store::Vault;
use strongroom_store::audit::{Trust, verify};

use crate::autostart;
use crate::commands::shown;
use crate::config::{Config, KeySource, LoadError};
use crate::environment::Host;
use crate::home::{self, HomeError};
use crate::paths::Home;

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Fine,
    /// It works, and there is something to know about it.
    Warning,
    /// It does not work, or is not safe.
    Problem,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it is.
    pub level: Level,
    /// What was looked at.
    pub about: String,
    /// What was found.
    pub found: String,
    /// What to do about it: a command where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    /// Nothing to do.
    pub fn fine(about: &str, found: impl Into<String>) -> Self {
        Self { level: Level::Fine, about: about.into(), found: found.into(), fix: None }
    }

    /// Something to know.
    pub fn warning(about: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        let fix = Some(fix.into());
        Self { level: Level::Warning, about: about.into(), found: found.into(), fix }
    }

    /// Something to put right.
    pub fn problem(about: &str, found: impl Into<String>, fix: Option<String>) -> Self {
        // A hint in prose becomes the command that it names.
        let command = |fix: &str| Some(fix.strip_prefix("run `")?.strip_suffix('`')?.to_owned());
        let fix = fix.map(|fix| command(&fix).unwrap_or(fix));
        Self { level: Level::Problem, about: about.into(), found: found.into(), fix }
    }
}

/// Looks at everything.
pub fn examine(host: &Host) -> Vec<Finding> {
    let home = match Home::locate(&host.environment) {
        Ok(home) => home,
        Err(error) => {
            let fix = Some("set STRONGROOM_HOME to an absolute path".to_owned());
            return vec![Finding::problem("home", error.to_string(), fix)];
        }
    };
    if !home.config_file().exists() && !home.vault_file().exists() {
        let fix = Some("strongroom init".to_owned());
        let mut findings = vec![Finding::problem("home", HomeError::NotMade.to_string(), fix)];
        let team = team::examine(host, &home);
        if !team.is_empty() {
            // A machine that serves a team needs no vault of its own.
            findings = team;
        }
        findings.extend(clients::examine(host));
        return findings;
    }
    let mut findings = directories(&home, host);
    let vault = vault(&home, host, &mut findings);
    findings.push(audit(&home));
    findings.extend(config(&home, host, vault));
    findings.extend(remotes::examine(&home, host));
    findings.extend(team::examine(host, &home));
    findings.extend(clients::examine(host));
    findings.extend(service_file(&home, host));
    findings.push(window::examine(host));
    findings.extend(core_limit().map(core));
    findings.extend(std::fs::read_to_string("/proc/swaps").ok().map(|swaps| swap(&swaps)));
    findings
}

fn directories(home: &Home, host: &Host) -> Vec<Finding> {
    let mut findings = Vec::new();
    for directory in home.directories() {
        let about = shown(directory, &host.environment);
        match SecureDir::open(directory) {
            Ok(_) => {}
            Err(FileError::Missing { .. }) => {
                let fix = Some("strongroom init".to_owned());
                findings.push(Finding::problem("home", format!("there is no {about}"), fix));
            }
            Err(error) => findings.push(unsafe_file("home", &error)),
        }
    }
    if findings.is_empty() {
        let root = shown(&home.config, &host.environment);
        findings.push(Finding::fine("home", format!("{root} and the rest are yours alone")));
    }
    findings
}

fn unsafe_file(about: &str, error: &FileError) -> Finding {
    let found = match error {
        FileError::Unsafe { path, problem, .. } => format!("{}: {problem}", path.display()),
        error => chain(error),
    };
    Finding::problem(about, found, error.hint())
}

fn vault(home: &Home, host: &Host, findings: &mut Vec<Finding>) -> Option<Arc<Vault>> {
    let vault = match home::open(home, host.clock.clone()) {
        Ok(vault) => vault,
        Err(error) => {
            let fix = error.hint();
            findings.push(Finding::problem("vault", chain(&error), fix));
            return None;
        }
    };
    findings.push(machine_key(home));
    match (vault.list(), vault.principals().list()) {
        (Ok(secrets), Ok(principals)) => {
            let secrets = count(secrets.len(), "secret");
            let principals = count(principals.len(), "principal");
            let found = format!("opens and verifies: {secrets}, {principals}");
            findings.push(Finding::fine("vault", found));
        }
        (Err(error), _) | (_, Err(error)) => {
            let fix = error.hint();
            findings.push(Finding::problem("vault", chain(&error), fix));
        }
    }
    Some(Arc::new(vault))
}

/// A copy of the vault and of a key in a file opens it; SECURITY.md says what that means.
fn machine_key(home: &Home) -> Finding {
    if let Ok(source @ KeySource::Keychain { .. }) = KeySource::of(home) {
        let place = home::key_place(home, &source);
        return Finding::fine("machine key", format!("in the keychain: {}", place.display()));
    }
    let better = match home.keychain().look() {
        Ok(()) => "; this session has a keychain, which `init --machine-key keychain` uses",
        Err(_) => "",
    };
    let found = format!("a file that opens the vault: keep it out of backups{better}");
    Finding::fine("machine key", found)
}

fn audit(home: &Home) -> Finding {
    let key = home::audit_key(home).ok().map(|key| Octets(key.public()));
    let verified =
        SecureDir::open(home.audit_dir()).and_then(|dir| verify(&dir, &Trust { key, head: None }));
    match verified {
        Err(error) => {
            let fix = error.hint().or_else(|| Some("strongroom init".to_owned()));
            Finding::problem("audit", chain(&error), fix)
        }
        Ok(verified) => match verified.report.problems.first() {
            None => {
                let records =
                    count(usize::try_from(verified.report.records).unwrap_or(0), "record");
                Finding::fine("audit", format!("the chain of {records} is whole"))
            }
            Some(first) => Finding::problem(
                "audit",
                match first.line {
                    0 => format!("{}: {}", first.segment, first.finding),
                    line => format!("{} line {line}: {}", first.segment, first.finding),
                },
                Some("strongroom audit verify".to_owned()),
            ),
        },
    }
}

fn config(home: &Home, host: &Host, vault: Option<Arc<Vault>>) -> Vec<Finding> {
    let config = match Config::load(home) {
        Ok(config) => config,
        Err(error) => {
            let hint = match &error {
                LoadError::Config(error) => error.hint.clone(),
                LoadError::File(error) => return vec![unsafe_file("configuration", error)],
                LoadError::Missing { .. } => Some("strongroom init".to_owned()),
            };
            return vec![Finding::problem("configuration", chain(&error), hint)];
        }
    };
    let services = count(config.services.len(), "service");
    let mut findings = vec![if config.services.is_empty() {
        Finding::warning("configuration", "loads; no services yet", "strongroom add github")
    } else {
        Finding::fine("configuration", format!("loads: {services}"))
    }];
    if config.headless {
        findings.push(Finding::warning(
            "configuration",
            "`headless`: changes that widen what agents may do need no confirmation",
            "remove the line `headless = true` where a person uses this machine",
        ));
    }
    findings.extend(providers::examine(&config, host, home));
    findings.extend(background::examine(&config, host, home));
    findings.extend(programs::examine(&config));
    findings.extend(services::examine(&config, host, vault));
    findings
}

/// Whether the service file that is there is the one that would be written today.
fn service_file(home: &Home, host: &Host) -> Option<Finding> {
    let path = autostart::place(&host.environment, home).ok()?;
    let text = std::fs::read_to_string(&path).ok()?;
    let program = host.program.to_str()?;
    let about = "background service";
    if text.contains(program) {
        return Some(Finding::fine(about, format!("{} starts it", path.display())));
    }
    let found = format!("{} starts another program than this one", path.display());
    Some(Finding::warning(about, found, "strongroom service install"))
}

/// Bytes of a core file that this user's processes may leave. `None`: the system has no such limit.
#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "Windows has no such limit")]
fn core_limit() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};

    Some(getrlimit(Resource::Core).current.unwrap_or(u64::MAX))
}

#[cfg(not(unix))]
fn core_limit() -> Option<u64> {
    None
}

/// `serve` switches core files off for itself; the commands that read keys go by the user's limit.
fn core(limit: u64) -> Finding {
    if limit == 0 {
        Finding::fine("core dumps", "switched off")
    } else {
        Finding::warning(
            "core dumps",
            "switched on: the memory of a command that crashes could land on disk",
            "ulimit -c 0",
        )
    }
}

/// `swaps` is Linux's `/proc/swaps`: a heading, and a line for each place. Memory is not locked
/// (LM-17), so what stands in it can be swapped out.
fn swap(swaps: &str) -> Finding {
    let mut places = swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    // Compressed memory is no disk.
    if places.all(|place| place.starts_with("/dev/zram")) {
        Finding::fine("swap", "none on a disk")
    } else {
        Finding::warning(
            "swap",
            "switched on: secrets in memory could be swapped to disk",
            "encrypt the swap, unless it is encrypted already",
        )
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_put_secrets_on_disk_is_warned_of_with_a_remedy() {
        const HEADING: &str = "Filename\tType\tSize\tUsed\tPriority\n";
        let swap = |lines: &str| swap(&format!("{HEADING}{lines}"));
        for (finding, level) in [
            (core(0), Level::Fine),
            (core(1), Level::Warning),
            (core(u64::MAX), Level::Warning),
            (swap(""), Level::Fine),
            (swap("/dev/zram0 partition 8388604 0 100\n"), Level::Fine),
            (swap("/dev/dm-1 partition 8388604 0 -2\n"), Level::Warning),
            (swap("/dev/zram0 partition 1 0 100\n/swapfile file 1 0 -2\n"), Level::Warning),
        ] {
            assert_eq!(finding.level, level, "{finding:?}");
            assert_eq!(finding.fix.is_some(), level == Level::Warning, "{finding:?}");
        }
    }
}
