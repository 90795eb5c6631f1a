//! Joins the records of a call: its intent and its outcome become one line.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Map, Value};
use strongroom_model::display::escape_line;
use strongroom_store::audit::Record;

use crate::output::{Report, Style};

/// Calls that are waited for at one time. More can only be those of processes that were killed.
const OPEN: usize = 10_000;
/// Characters of a field on a terminal.
const WIDEST: usize = 200;

/// Waits for the outcome of each intent.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    open: HashMap<String, Entry>,
    order: Vec<String>,
}

/// One call or act, joined: the fields of its records, the later ones winning.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Entry(Map<String, Value>);

/// Fields that belong to a record and not to a call.
const OF_A_RECORD: [&str; 4] = ["v", "seq", "prev", "hash"];

impl Joiner {
    /// Takes a record; gives the entry that it completes.
    pub(super) fn take(&mut self, record: &Record) -> Option<Entry> {
        let mut fields = record.fields().clone();
        fields.retain(|key, _| !OF_A_RECORD.contains(&key.as_str()));
        let entry = Entry(fields);
        let id = record.text("audit_id")?.to_owned();
        match record.text("kind") {
            Some("intent") => {
                if self.open.len() >= OPEN {
                    self.open.clear();
                    self.order.clear();
                }
                self.order.push(id.clone());
                self.open.insert(id, entry);
                None
            }
            Some("outcome") => Some(match self.open.remove(&id) {
                Some(intent) => intent.completed(entry),
                None => entry,
            }),
            _ => Some(entry),
        }
    }

    /// What has no outcome: it is running, or its process was killed.
    pub(super) fn rest(mut self) -> Vec<Entry> {
        self.order.iter().filter_map(|id| self.open.remove(id)).collect()
    }
}

impl Entry {
    /// An intent with its outcome. The time is when the call began.
    fn completed(mut self, outcome: Self) -> Self {
        let began = self.0.get("time").cloned();
        self.0.extend(outcome.0);
        if let Some(began) = began {
            self.0.insert("time".to_owned(), began);
        }
        self
    }

    /// The text of `field`, as it was recorded.
    pub(super) fn raw(&self, field: &str) -> Option<&str> {
        self.0.get(field)?.as_str()
    }

    /// Everything in it.
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.0.values()
    }

    /// An entry with these fields.
    #[cfg(test)]
    pub(super) fn of(fields: Value) -> Self {
        let Value::Object(fields) = fields else { panic!("an object") };
        Self(fields)
    }

    fn text_of(&self, field: &str) -> Option<String> {
        let text = self.0.get(field)?.as_str()?;
        let (text, cut) = escape_line(text, WIDEST);
        Some(if cut { format!("{text}...") } else { text })
    }

    fn number(&self, field: &str) -> Option<u64> {
        self.0.get(field)?.as_u64()
    }

    /// Whether secrets were released or fetched, or a server did not get its own.
    fn is_about_secrets(&self) -> bool {
        matches!(self.text_of("kind").as_deref(), Some("release" | "refresh"))
            || self.0.contains_key("server")
    }

    /// `3 secrets released | 1 stale`, `2 secrets fetched`, `BLOCKED | secret unavailable`.
    fn secrets(&self, style: Style) -> Vec<String> {
        let count = match self.number("count").unwrap_or_default() {
            1 => "1 secret".to_owned(),
            count => format!("{count} secrets"),
        };
        let failed = |lookup: &&Value| {
            let from = lookup.get("from").and_then(Value::as_str).unwrap_or_default();
            !matches!(from, "cache" | "provider" | "stale" | "local" | "file")
        };
        let lookups = self.0.get("references").and_then(Value::as_array);
        let failed = lookups.map_or(0, |lookups| lookups.iter().filter(failed).count());
        match self.text_of("kind").as_deref() {
            Some("release") => {
                let old = self.number("stale").filter(|old| *old > 0);
                let old = old.map(|old| style.yellow(&format!("{old} stale")));
                [Some(format!("{count} released")), old].into_iter().flatten().collect()
            }
            Some("refresh") => {
                let failed = (failed > 0).then(|| style.red(&format!("{failed} failed")));
                [Some(format!("{count} asked for")), failed].into_iter().flatten().collect()
            }
            _ => self.ending(style),
        }
    }

    /// `agent:claude | stripe | POST /v1/charges | asks a person | a-7k3f9xqm`
    fn question(&self) -> Vec<String> {
        let typed = self.text_of("approval").as_deref() == Some("cli");
        let principal = self.text_of("principal").unwrap_or_else(|| "nobody".to_owned());
        let agent = format!("agent:{principal}");
        let who = if typed { vec!["cli".to_owned(), agent] } else { vec![agent] };
        let request = [self.text_of("method"), self.text_of("path")];
        let request = request.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let act = self.text_of("act").unwrap_or_default();
        let words = match act.as_str() {
            "approval.open" => "asks a person",
            "approval.approve" => "approved",
            "approval.deny" => "denied",
            "approval.expire" => "nobody answered",
            "approval.withdraw" => "taken back",
            "approval.wrong_code" => "the code was not typed",
            "access.request" => "asks for access",
            other => other,
        };
        let words = match self.text_of("approval") {
            Some(method) => format!("{words} by {method}"),
            None => words.to_owned(),
        };
        let request = (!request.is_empty()).then_some(request);
        let parts = [self.text_of("service"), request, Some(words), self.text_of("subject")];
        who.into_iter().chain(parts.into_iter().flatten()).collect()
    }

    /// How it ended: status or BLOCKED, and what there is to add.
    fn ending(&self, style: Style) -> Vec<String> {
        let duration = self.number("duration_ms").map(|ms| format!("{ms}ms"));
        let redactions = self.number("redactions").filter(|n| *n > 0);
        let redactions = redactions.map(|n| format!("{n} redacted"));
        let count = |field, word| {
            let count = self.number(field).filter(|n| *n > 0);
            count.map(|n| format!("{n} {word}"))
        };
        let (sealed, used) = (count("sealed", "sealed"), count("handles", "by handle"));
        let approved = self.text_of("approval").map(|method| format!("approved by {method}"));
        let why = self.text_of("code").map(|code| match code.as_str() {
            "policy_denied" => "policy violation".to_owned(),
            // Nobody may have answered yet; whether somebody said no stands in a line of its own.
            "approval_denied" => "not approved".to_owned(),
            other => other.replace('_', " "),
        });
        let end = match self.text_of("kind").as_deref() {
            Some("refusal") => style.red("BLOCKED"),
            Some("redirect") => "redirected here".to_owned(),
            Some("outcome") => match (self.number("status"), &why) {
                (Some(status), None) => status.to_string(),
                // A server's tool has no status.
                (None, None) => "answered".to_owned(),
                (_, Some(_)) => style.red("FAILED"),
            },
            _ => style.yellow("UNFINISHED"),
        };
        [Some(end), why, duration, redactions, sealed, used, approved]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Who did it: a running broker found the configuration changed, whoever writes keeps the audit in
/// order, and everything else is typed by a person.
fn by_whom(act: &str) -> &'static str {
    match act {
        "checkpoint" | "audit.remove" => "audit",
        act if act.starts_with("config.") => "serve",
        _ => "cli",
    }
}

impl Report for Entry {
    /// `2026-03-15T10:23:45Z | agent:claude | stripe | GET /v1/charges | 200 | 142ms`
    fn text(&self, style: Style) -> String {
        let time = self.text_of("time").unwrap_or_default();
        // Whole seconds: the JSON has the rest.
        let time = match time.split_once('.') {
            Some((seconds, _)) => format!("{seconds}Z"),
            None => time,
        };
        let mut parts = vec![style.dim(&time)];
        if let Some("admin" | "torn" | "checkpoint") = self.text_of("kind").as_deref() {
            let act = self.text_of("act").or_else(|| self.text_of("kind"));
            parts.push(by_whom(act.as_deref().unwrap_or_default()).to_owned());
            parts.extend(self.text_of("subject"));
            parts.extend(act);
        } else if self.text_of("kind").as_deref() == Some("approval") {
            parts.extend(self.question());
        } else if self.is_about_secrets() {
            parts.push("run".to_owned());
            parts.extend(self.text_of("server"));
            parts.extend(self.secrets(style));
        } else {
            let principal = self.text_of("principal").unwrap_or_else(|| "nobody".to_owned());
            parts.push(format!("agent:{principal}"));
            parts.extend(self.text_of("service"));
            let request = [self.text_of("method"), self.text_of("path")];
            let request: Vec<_> = request.into_iter().flatten().collect();
            if !request.is_empty() {
                parts.push(request.join(" "));
            }
            parts.extend(self.ending(style));
        }
        format!("{}\n", parts.join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(value: Value) -> Entry {
        Entry::of(value)
    }

    #[test]
    fn where_a_call_was_redirected_to_is_a_line_of_its_own() {
        let hop = entry(json!({
            "time": "2026-03-15T10:23:45Z", "kind": "redirect", "principal": "claude",
            "service": "github", "method": "GET", "path": "/repositories/1", "decision": "allow"
        }));
        let expected = "2026-03-15T10:23:45Z | agent:claude | github | GET /repositories/1 | \
                        redirected here\n";
        assert_eq!(hop.text(Style::PLAIN), expected);
    }

    #[test]
    fn what_a_person_was_asked_and_said_is_a_line_each() {
        let line = |extra: Value| {
            let mut fields = json!({
                "time": "2026-03-15T10:23:45Z", "kind": "approval", "principal": "claude",
                "service": "stripe", "subject": "a-7k3f9xqm"
            });
            fields.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            entry(fields).text(Style::PLAIN)
        };
        assert_eq!(
            line(json!({ "act": "approval.open", "method": "POST", "path": "/v1/charges" })),
            "2026-03-15T10:23:45Z | agent:claude | stripe | POST /v1/charges | asks a person | \
             a-7k3f9xqm\n"
        );
        assert_eq!(
            line(json!({ "act": "approval.approve", "approval": "cli" })),
            "2026-03-15T10:23:45Z | cli | agent:claude | stripe | approved by cli | a-7k3f9xqm\n"
        );
        let call = entry(json!({
            "time": "2026-03-15T10:23:45Z", "kind": "outcome", "principal": "claude",
            "service": "stripe", "method": "POST", "path": "/x", "status": 200,
            "approval": "elicitation"
        }));
        assert!(call.text(Style::PLAIN).ends_with("| 200 | approved by elicitation\n"));
    }

    #[test]
    fn a_call_is_one_line() {
        let intent = entry(json!({
            "time": "2026-03-15T10:23:45.017Z", "kind": "intent", "principal": "claude",
            "service": "stripe", "method": "GET", "path": "/v1/charges"
        }));
        let outcome = entry(json!({
            "time": "2026-03-15T10:23:45.159Z", "kind": "outcome", "status": 200, "duration_ms": 142
        }));
        assert_eq!(
            intent.clone().completed(outcome).text(Style::PLAIN),
            "2026-03-15T10:23:45Z | agent:claude | stripe | GET /v1/charges | 200 | 142ms\n"
        );
        assert!(intent.text(Style::PLAIN).ends_with("| UNFINISHED\n"));
    }

    #[test]
    fn a_call_of_a_tool_was_answered_or_failed() {
        let told = |code: Option<&str>| {
            let outcome = entry(json!({
                "time": "2026-03-15T10:23:45Z", "kind": "outcome", "principal": "claude",
                "service": "shop", "method": "tools/call", "path": "order", "duration_ms": 8,
                "code": code
            }));
            outcome.text(Style::PLAIN)
        };
        let line = "2026-03-15T10:23:45Z | agent:claude | shop | tools/call order | ";
        assert_eq!(told(None), format!("{line}answered | 8ms\n"));
        assert_eq!(told(Some("tool_error")), format!("{line}FAILED | tool error | 8ms\n"));
        assert_eq!(told(Some("upstream_error")), format!("{line}FAILED | upstream error | 8ms\n"));
    }

    #[test]
    fn what_keeps_the_audit_in_order_is_nobodys_act() {
        let ended = entry(json!({
            "time": "2026-03-16T00:00:01Z", "kind": "checkpoint", "subject": "2026-03-15.jsonl"
        }));
        let expected = "2026-03-16T00:00:01Z | audit | 2026-03-15.jsonl | checkpoint\n";
        assert_eq!(ended.text(Style::PLAIN), expected);
    }

    #[test]
    fn a_refusal_says_why() {
        let told = |code: &str| {
            let refusal = entry(json!({
                "time": "2026-03-15T10:23:45Z", "kind": "refusal", "principal": "claude",
                "service": "stripe", "method": "POST", "path": "/v1/charges", "code": code
            }));
            refusal.text(Style::PLAIN)
        };
        let line = "2026-03-15T10:23:45Z | agent:claude | stripe | POST /v1/charges | BLOCKED | ";
        assert_eq!(told("policy_denied"), format!("{line}policy violation\n"));
        assert_eq!(told("approval_denied"), format!("{line}not approved\n"));
        assert_eq!(told("rate_limited"), format!("{line}rate limited\n"));
    }

    #[test]
    fn what_an_agent_wrote_cannot_move_the_cursor() {
        let path = "/\u{1b}[2J\n\u{202e}x";
        let refusal = entry(json!({ "kind": "refusal", "method": "GET", "path": path }));
        let text = refusal.text(Style::PLAIN);
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
}
