//! A record in the Common Event Format, version 0.
//!
//! `CEF:0|vendor|product|version|event|name|severity|extension`. In the header `\` and `|` are
//! escaped; in the values of the extension `\` and `=` are, and line ends are `\n` and `\r`
//! (its implementation standard, "Character Encoding"). What a terminal would act on is
//! made visible first, so that a record is one line for every reader.

use std::fmt::Write as _;

use strongroom_model::display::DisplaySafe;
use strongroom_store::audit::Record;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Appends the line of `record`.
pub(super) fn write(record: &Record, out: &mut String) {
    let kind = record.text("kind").unwrap_or("record");
    let event = match record.text("act").filter(|_| kind == "admin") {
        Some(act) => act,
        None => kind,
    };
    out.push_str("CEF:0|Strongroom|Strongroom|");
    header(out, env!("CARGO_PKG_VERSION"));
    out.push('|');
    header(out, event);
    out.push('|');
    header(out, name(kind));
    out.push('|');
    out.push_str(severity(record, kind));
    out.push('|');
    let mut extension = Extension { out, empty: true };
    extension.record(record);
    out.push('\n');
}

/// What a kind of record is called.
fn name(kind: &str) -> &'static str {
    match kind {
        "intent" => "Call allowed",
        "redirect" => "Call redirected",
        "outcome" => "Call ended",
        "refusal" => "Call refused",
        "release" => "Secrets released to a server",
        "refresh" => "Secrets refreshed",
        "admin" => "Administrative act",
        "checkpoint" => "Segment signed",
        "torn" => "Unfinished record closed",
        _ => "Record",
    }
}

/// 0 to 10: what went as it should is low, what was refused is medium, what touches the audit itself
/// or says that something does not verify is high.
fn severity(record: &Record, kind: &str) -> &'static str {
    match (kind, record.text("code")) {
        (_, Some("integrity_error" | "audit_unavailable")) => "8",
        ("torn", _) => "7",
        ("refusal", _) => "6",
        ("outcome", Some(_)) => "5",
        ("admin", _) => "4",
        _ => "2",
    }
}

/// The part behind the header.
struct Extension<'a> {
    out: &'a mut String,
    empty: bool,
}

/// Fields that have a key of their own in the dictionary of CEF.
const KEYS: &[(&str, &str)] = &[
    ("audit_id", "externalId"),
    ("decision", "act"),
    ("principal", "suser"),
    ("claimed_client", "requestClientApplication"),
    ("service", "destinationServiceName"),
    ("method", "requestMethod"),
    ("path", "request"),
    ("code", "outcome"),
    ("reason", "reason"),
];

/// Texts without one, by their place among the custom ones.
const TEXTS: &[(&str, &str)] = &[
    ("rule", "cs1"),
    ("grant", "cs2"),
    ("approval", "cs3"),
    ("server", "cs4"),
    ("subject", "cs5"),
    ("hash", "cs6"),
];

/// Numbers that have a key of their own.
const SIZES: &[(&str, &str)] = &[("request_bytes", "in"), ("response_bytes", "out")];

/// Numbers without one.
const NUMBERS: &[(&str, &str)] = &[
    ("status", "cn1"),
    ("duration_ms", "cn2"),
    ("redactions", "cn3"),
    ("count", "flexNumber1"),
    ("seq", "flexNumber2"),
];

impl Extension<'_> {
    fn record(&mut self, record: &Record) {
        if let Some(time) = record.text("time").and_then(milliseconds) {
            self.pair("rt", &time.to_string());
        }
        for (field, key) in KEYS {
            if let Some(text) = record.text(field) {
                self.pair(key, text);
            }
        }
        for (field, key) in SIZES {
            if let Some(number) = record.number(field) {
                self.pair(key, &number.to_string());
            }
        }
        for (field, key) in TEXTS {
            if let Some(text) = record.text(field) {
                self.labelled(key, field, text);
            }
        }
        for (field, key) in NUMBERS {
            if let Some(number) = record.number(field) {
                self.labelled(key, field, &number.to_string());
            }
        }
    }

    fn labelled(&mut self, key: &str, label: &str, text: &str) {
        self.pair(key, text);
        self.pair(&format!("{key}Label"), label);
    }

    fn pair(&mut self, key: &str, text: &str) {
        if !std::mem::take(&mut self.empty) {
            self.out.push(' ');
        }
        self.out.push_str(key);
        self.out.push('=');
        value(self.out, text);
    }
}

/// Milliseconds since the epoch, as `rt` has them.
fn milliseconds(time: &str) -> Option<i128> {
    let time = OffsetDateTime::parse(time, &Rfc3339).ok()?;
    Some(time.unix_timestamp_nanos() / 1_000_000)
}

fn header(out: &mut String, text: &str) {
    for c in visible(text, false).chars() {
        if matches!(c, '\\' | '|') {
            out.push('\\');
        }
        out.push(c);
    }
}

fn value(out: &mut String, text: &str) {
    for c in visible(text, true).chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\\' | '=' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
}

/// `text` with everything visible but, where `lines` says so, line ends, which CEF has a way to write.
fn visible(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive(['\n', '\r']) {
        let end = piece.chars().last().filter(|c| lines && matches!(c, '\n' | '\r'));
        let body = end.map_or(piece, |_| &piece[..piece.len() - 1]);
        write!(out, "{}", DisplaySafe(body)).expect("writing to a String cannot fail");
        out.extend(end);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::export::tests::record;
    use super::*;

    fn line(fields: &serde_json::Value) -> String {
        let mut out = String::new();
        write(&record(fields), &mut out);
        out
    }

    /// Splits at `separator`, but not where a backslash stands before it.
    fn split(text: &str, separator: char, most: usize) -> Vec<String> {
        let (mut parts, mut escaped) = (vec![String::new()], false);
        for c in text.chars() {
            if c == separator && !escaped && parts.len() < most {
                parts.push(String::new());
            } else {
                parts.last_mut().unwrap().push(c);
            }
            escaped = c == '\\' && !escaped;
        }
        parts
    }

    fn unescaped(text: &str) -> String {
        let (mut out, mut chars) = (String::new(), text.chars());
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next().unwrap() {
                    'n' => out.push('\n'),
                    'r' => out.push('\r'),
                    other => out.push(other),
                },
                c => out.push(c),
            }
        }
        out
    }

    #[test]
    fn a_refused_call_is_one_event() {
        let fields = json!({
            "v": 1, "seq": 7, "time": "2026-03-15T10:23:45.017Z", "kind": "refusal",
            "audit_id": "0af7651916cd43dd8448eb211c80319c", "principal": "claude",
            "service": "stripe", "method": "POST", "path": "/v1/a=b", "decision": "deny",
            "rule": "deny POST /**", "code": "policy_denied", "reason": "a|b\\c\nd",
            "request_bytes": 2, "hash": "ff"
        });
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "CEF:0|Strongroom|Strongroom|{version}|refusal|Call refused|6|rt=1773570225017 \
             externalId=0af7651916cd43dd8448eb211c80319c act=deny suser=claude \
             destinationServiceName=stripe requestMethod=POST request=/v1/a\\=b \
             outcome=policy_denied reason=a|b\\\\c\\nd in=2 cs1=deny POST /** cs1Label=rule cs6=ff \
             cs6Label=hash flexNumber2=7 flexNumber2Label=seq\n"
        );
        assert_eq!(line(&fields), expected);
    }

    #[test]
    fn an_act_is_an_event_of_its_own_and_cannot_end_its_header() {
        let text = line(&json!({ "kind": "admin", "act": "a|b\\\n", "subject": "x" }));
        assert!(text.contains("|a\\|b\\\\\\\\u{a}|Administrative act|4|"), "{text}");
    }

    proptest! {
        // AL-01
        #[test]
        fn whatever_an_agent_wrote_stays_in_its_field(act in any::<String>(), reason in any::<String>()) {
            let text = line(&json!({ "kind": "admin", "act": act, "reason": reason, "principal": "p" }));
            prop_assert_eq!(text.matches('\n').count(), 1);
            prop_assert!(!text.trim_end_matches('\n').chars().any(char::is_control));
            let parts = split(&text, '|', 8);
            prop_assert_eq!(parts.len(), 8);
            prop_assert_eq!(unescaped(&parts[4]), DisplaySafe(&act).to_string());
            let pairs = split(parts[7].trim_end_matches('\n'), '=', usize::MAX);
            // suser, reason: one `=` each that is not escaped, whatever stands in the values.
            prop_assert_eq!(pairs.len(), 3);
            prop_assert_eq!(unescaped(&pairs[2]), visible(&reason, true));
        }
    }
}
