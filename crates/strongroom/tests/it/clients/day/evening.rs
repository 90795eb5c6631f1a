//! What is left of the day: the log, the audit and its copies, and everything that anybody saw.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::Path,
};

use serde_json::Value;
use strongroom_testkit::oracle::Oracle;

use super::places::Keys;
use crate::{clients::rig::script, sandbox::Sandbox};

/// The end of a day.
pub(super) struct Evening<'a> {
    home: &'a Sandbox,
    oracle: Oracle,
    seen: BTreeMap<String, String>,
}

impl<'a> Evening<'a> {
    pub(super) fn new(home: &'a Sandbox, keys: &Keys) -> Self {
        Self { home, oracle: Oracle::new(&keys.all()), seen: BTreeMap::new() }
    }

    /// Keeps what somebody saw for [`Self::finds_no_key`].
    pub(super) fn saw(&mut self, who: &str, what: String) {
        assert!(!what.is_empty() || who.starts_with("serve"), "{who} saw nothing");
        self.seen.insert(who.to_owned(), what);
    }

    fn asks(&mut self, words: &str) -> String {
        let ran = self.home.run(words).ok();
        self.saw(words, format!("{}{}", ran.stdout, ran.stderr));
        ran.stdout
    }

    /// The log is that of the day: `tests/clients/day/day.log`, where ports and ids stand by name, and
    /// once what an agent asked `insisted` times.
    pub(super) fn reads_the_log(&mut self, ports: &[(String, &str)], insisted: &[u64]) {
        let log = self.asks("logs --json");
        let mut lines: Vec<String> = log.lines().map(|line| shown(line, ports)).collect();
        assert_eq!(once(&mut lines), insisted, "{lines:#?}");
        let found = named(&(lines.join("\n") + "\n"));
        if found != fs::read_to_string(script("day/day.log")).unwrap() {
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("day.log");
            fs::write(&file, &found).unwrap();
            panic!("{} is not tests/clients/day/day.log", file.display());
        }
        self.asks("logs");
    }

    /// The audit is whole, and every copy of it has every record.
    pub(super) fn checks_the_audit(&mut self) {
        let verified: Value = serde_json::from_str(&self.asks("audit verify --json")).unwrap();
        assert_eq!(verified["intact"], true, "{verified}");
        let count = usize::try_from(verified["records"].as_u64().unwrap()).unwrap();
        let jsonl = self.asks("audit export --format jsonl");
        let mut before = String::new();
        for line in jsonl.lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["seq"] == 1, before.is_empty(), "{record}");
            record["hash"].as_str().unwrap().clone_into(&mut before);
        }
        assert_eq!(jsonl.lines().count(), count);
        let cef = self.asks("audit export --format cef");
        for line in cef.lines() {
            read_cef(line);
        }
        assert_eq!(cef.lines().count(), count);
        let otlp = self.asks("audit export --format otlp");
        assert_eq!(otlp.lines().map(read_otlp).sum::<usize>(), count);
    }

    /// No key stands in anything that anybody saw, in the home, or in a command line.
    pub(super) fn finds_no_key(mut self) {
        for words in ["list", "list --json", "approvals list --all --json", "grants", "doctor"] {
            let ran = self.home.run(words);
            self.saw(words, ran.stdout + &ran.stderr);
        }
        for (who, what) in &self.seen {
            self.oracle.assert_clean(who, what);
        }
        self.oracle.assert_tree_clean(&self.home.path(""));
        assert_eq!(self.oracle.scan_command_lines(), []);
    }
}

/// What stands in the log of one call or act, without times, sizes and numbers.
fn shown(line: &str, ports: &[(String, &str)]) -> String {
    let entry: Value = serde_json::from_str(line).unwrap();
    let text = |name: &str| match &entry[name] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let mut words: Vec<String> =
        ["principal", "service", "act", "subject"].iter().filter_map(|name| text(name)).collect();
    words.extend(text("method").map(|method| format!("{method} {}", text("path").unwrap())));
    words.extend(text("decision"));
    words.extend(text("rule").map(|rule| format!("`{rule}`")));
    words.extend(text("approval").map(|by| format!("yes by {by}")));
    words.extend(text("grant"));
    words.extend(text("code").or_else(|| text("status")));
    let line = words.join(" | ");
    ports.iter().fold(line, |line, (port, name)| line.replace(port, name))
}

/// Leaves one line of those in which an agent asked until it was told yes; how often each called.
fn once(lines: &mut Vec<String>) -> Vec<u64> {
    let mut times = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at].clone();
        at += 1;
        let Some((call, _)) = line.split_once(" | deny |") else { continue };
        let passed =
            lines[at..].iter().position(|other| other.starts_with(&format!("{call} | allow")));
        if let Some(passed) = passed.filter(|_| line.ends_with("approval_denied")) {
            let asked = lines[at..at + passed].iter().filter(|other| **other == line).count();
            times.push(u64::try_from(asked).unwrap() + 2);
            let rest = lines.split_off(at);
            let keeps = |(index, other): &(usize, String)| *index >= passed || *other != line;
            lines.extend(rest.into_iter().enumerate().filter(keeps).map(|(_, other)| other));
        }
    }
    times
}

/// Numbers for the ids of questions and grants, which are drawn.
fn named(log: &str) -> String {
    let ids = log.split([' ', '\n']).filter_map(|word| word.strip_prefix("a-"));
    let mut ids: Vec<&str> = ids.filter(|id| id.len() == 8).collect();
    let mut known = HashSet::new();
    ids.retain(|id| known.insert(*id));
    let numbered = ids.iter().enumerate();
    numbered.fold(log.to_owned(), |log, (at, id)| log.replace(id, &(at + 1).to_string()))
}

/// Reads a line of the Common Event Format: seven fields, then `name=value` pairs.
fn read_cef(line: &str) {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if fields.len() < 8 => fields.last_mut().unwrap().extend(characters.next()),
            '|' if fields.len() < 8 => fields.push(String::new()),
            other => fields.last_mut().unwrap().push(other),
        }
    }
    assert_eq!(fields.len(), 8, "{line}");
    assert_eq!(fields[0], "CEF:0", "{line}");
    assert!(fields[6].parse::<u8>().is_ok_and(|severity| severity <= 10), "{line}");
    // An `=` in a value is escaped, so that each that is not stands behind a name.
    let plain = fields[7].replace("\\\\", "").replace("\\=", "");
    for pair in plain.split('=').rev().skip(1) {
        let name = pair.rsplit(' ').next().unwrap();
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric()), "{line}");
    }
}

/// Reads a request for `/v1/logs`; how many records it has.
fn read_otlp(line: &str) -> usize {
    let request: Value = serde_json::from_str(line).unwrap();
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let scopes = list(&request, "resourceLogs").into_iter().flat_map(|one| list(&one, "scopeLogs"));
    let records: Vec<Value> = scopes.flat_map(|scope| list(&scope, "logRecords")).collect();
    for record in &records {
        assert!(record["timeUnixNano"].as_str().unwrap().parse::<u64>().is_ok(), "{record}");
        assert!(record["body"]["stringValue"].is_string(), "{record}");
    }
    records.len()
}
