//! A program as `list`, `show`, `add` and `edit` print it. No key is in it, only where it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use strongroom_model::command::Command;
use strongroom_model::policy::Verdict;

use crate::output::{Report, Style};

/// A program.
#[derive(Clone, Debug, Serialize)]
pub struct ProgramView {
    name: String,
    kind: &'static str,
    command: String,
    program: String,
    sha256: String,
    secrets: BTreeMap<String, String>,
    /// Names only: a value may be anything.
    env: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    askpass: Option<String>,
    allow: Vec<String>,
    ask: Vec<String>,
    deny: Vec<String>,
    allows_everything: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    workdir: Option<String>,
    stdin: bool,
    timeout_ms: u64,
    output_bytes: usize,
    calls_per_minute: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    principals: Option<Vec<String>>,
}

/// Rules of one kind that are still listed in short.
const FEW: usize = 4;

impl ProgramView {
    /// The view of `command`.
    pub fn new(command: &Command) -> Self {
        let rules = |verdict: Verdict| {
            let rules = command.policy.rules().iter().filter(|rule| rule.verdict() == verdict);
            rules.map(strongroom_model::command::Rule::in_words).collect::<Vec<_>>()
        };
        let names = |names: &Vec<strongroom_model::principal::Name>| {
            names.iter().map(ToString::to_string).collect()
        };
        Self {
            name: command.name.to_string(),
            kind: "command",
            command: command.program.path.display().to_string(),
            program: command.program.word.clone(),
            sha256: command.program.sha256.clone(),
            secrets: command.auth.secrets.iter().map(|(k, v)| (k.clone(), v.to_string())).collect(),
            env: command.env.iter().map(|(name, _)| name.clone()).collect(),
            askpass: command.askpass.as_ref().map(|a| format!("{} as {}", a.host, a.username)),
            allow: rules(Verdict::Allow),
            ask: rules(Verdict::Ask),
            deny: rules(Verdict::Deny),
            allows_everything: command.policy.allows_everything(),
            workdir: command.workdir.as_ref().map(|folder| folder.display().to_string()),
            stdin: command.stdin,
            timeout_ms: command.limits.total_ms,
            output_bytes: command.limits.response_bytes,
            calls_per_minute: command.limits.calls_per_minute,
            principals: command.principals.as_ref().map(names),
        }
    }

    /// The same with long lists only counted.
    #[must_use]
    pub fn brief(mut self) -> Self {
        for rules in [&mut self.allow, &mut self.ask, &mut self.deny] {
            if rules.len() > FEW {
                *rules = vec![format!("{} rules: `strongroom show {}`", rules.len(), self.name)];
            }
        }
        self
    }

    /// Its row in a list: name, file, how it takes its key, what is allowed in short.
    pub fn row(&self) -> Vec<String> {
        let auth = if self.secrets.is_empty() { "none" } else { "secrets" };
        vec![self.name.clone(), self.command.clone(), auth.to_owned(), self.in_short()]
    }

    fn in_short(&self) -> String {
        if self.allow.is_empty() && self.ask.is_empty() {
            return "nothing".to_owned();
        }
        let mut words = Vec::new();
        if self.allow.len() > 2 {
            words.push(format!("{} rules", self.allow.len()));
        } else if !self.allow.is_empty() {
            words.push(self.allow.join(", "));
        }
        for (rules, verb) in [(&self.ask, "asks for"), (&self.deny, "denies")] {
            if !rules.is_empty() {
                words.push(format!("{verb} {}", rules.len()));
            }
        }
        words.join("; ")
    }
}

impl Report for ProgramView {
    fn text(&self, style: Style) -> String {
        let mut text = format!("{}\n", style.bold(&self.name));
        let mut line = |key: &str, value: &str| {
            writeln!(text, "  {key:<10} {value}").expect("writing to a String cannot fail");
        };
        line("program", &format!("{} at {}", self.program, self.command));
        for (field, reference) in &self.secrets {
            line("secret", &format!("{field} at {reference}"));
        }
        for name in &self.env {
            line("variable", name);
        }
        if let Some(askpass) = &self.askpass {
            line("askpass", askpass);
        }
        for (key, rules) in [("allow", &self.allow), ("ask", &self.ask), ("deny", &self.deny)] {
            for rule in rules {
                line(key, rule);
            }
        }
        line("runs in", self.workdir.as_deref().unwrap_or("an empty folder of its own"));
        if let Some(names) = &self.principals {
            line("only for", &names.join(", "));
        }
        text
    }
}
