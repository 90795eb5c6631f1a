//! Records as OpenTelemetry logs: OTLP in JSON, as its file exporter writes them.
//!
//! Each line is the request that an OTLP endpoint takes at `/v1/logs`. 64-bit integers are strings,
//! names are in lower camel case (OTLP 1.x, JSON Protobuf Encoding). Attributes have the names of the
//! semantic conventions where there are such, and `strongroom.` before them otherwise.

use std::fmt::Write as _;

use serde_json::{Value, json};
use strongroom_store::audit::Record;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Records on one line.
const MOST: usize = 64;

/// A line that is being written.
#[derive(Debug, Default)]
pub(super) struct Batch(usize);

impl Batch {
    /// Appends `record`.
    pub(super) fn add(&mut self, record: &Record, out: &mut String) {
        if self.0 == 0 {
            let version = env!("CARGO_PKG_VERSION");
            let resource = json!({ "attributes": [
                attribute("service.name", &json!("strongroom")),
                attribute("service.version", &json!(version)),
            ]});
            let scope = json!({ "name": "strongroom.audit", "version": version });
            write!(
                out,
                "{{\"resourceLogs\":[{{\"resource\":{resource},\
                 \"scopeLogs\":[{{\"scope\":{scope},\"logRecords\":["
            )
            .expect("writing to a String cannot fail");
        } else {
            out.push(',');
        }
        write!(out, "{}", log_record(record)).expect("writing to a String cannot fail");
        self.0 += 1;
        if self.0 == MOST {
            self.end(out);
        }
    }

    /// Ends the line, where one has begun.
    pub(super) fn end(&mut self, out: &mut String) {
        if std::mem::take(&mut self.0) > 0 {
            out.push_str("]}]}]}\n");
        }
    }
}

/// Fields that have a name in the semantic conventions.
const NAMES: &[(&str, &str)] = &[
    ("method", "http.request.method"),
    ("path", "url.path"),
    ("status", "http.response.status_code"),
    ("request_bytes", "http.request.body.size"),
    ("response_bytes", "http.response.body.size"),
    ("code", "error.type"),
    ("principal", "user.name"),
];

/// Fields that the log record has a place for itself, or that mean nothing outside the file.
const ELSEWHERE: &[&str] = &["v", "time", "kind"];

fn log_record(record: &Record) -> Value {
    let kind = record.text("kind").unwrap_or("record");
    let (number, text) = severity(record, kind);
    let attributes: Vec<Value> = record
        .fields()
        .iter()
        .filter(|(field, _)| !ELSEWHERE.contains(&field.as_str()))
        .map(|(field, value)| match NAMES.iter().find(|(known, _)| known == field) {
            Some((_, name)) => attribute(name, value),
            None => attribute(&format!("strongroom.{field}"), value),
        })
        .collect();
    let time = record.text("time").and_then(nanoseconds).unwrap_or_default().to_string();
    json!({
        "timeUnixNano": time,
        "observedTimeUnixNano": time,
        "severityNumber": number,
        "severityText": text,
        "eventName": format!("strongroom.audit.{kind}"),
        "body": { "stringValue": body(record, kind) },
        "attributes": attributes,
    })
}

/// What a person reads first.
fn body(record: &Record, kind: &str) -> String {
    let fields = ["principal", "act", "subject", "service", "server", "method", "path", "code"];
    let mut body = kind.to_owned();
    for text in fields.iter().filter_map(|field| record.text(field)) {
        body.push(' ');
        body.push_str(text);
    }
    body
}

/// INFO is 9, WARN 13 and ERROR 17.
fn severity(record: &Record, kind: &str) -> (u8, &'static str) {
    match (kind, record.text("code")) {
        (_, Some("integrity_error" | "audit_unavailable")) => (17, "ERROR"),
        ("refusal" | "torn", _) | (_, Some(_)) => (13, "WARN"),
        _ => (9, "INFO"),
    }
}

fn attribute(key: &str, value: &Value) -> Value {
    json!({ "key": key, "value": of_any(value) })
}

fn of_any(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(value) => json!({ "boolValue": value }),
        Value::String(value) => json!({ "stringValue": value }),
        // An int64, which a number of ours beyond it is not.
        Value::Number(value) => match value.as_i64() {
            Some(value) => json!({ "intValue": value.to_string() }),
            None => json!({ "stringValue": value.to_string() }),
        },
        Value::Array(values) => {
            json!({ "arrayValue": { "values": values.iter().map(of_any).collect::<Vec<_>>() } })
        }
        Value::Object(fields) => {
            let values: Vec<Value> =
                fields.iter().map(|(key, value)| attribute(key, value)).collect();
            json!({ "kvlistValue": { "values": values } })
        }
    }
}

fn nanoseconds(time: &str) -> Option<i128> {
    Some(OffsetDateTime::parse(time, &Rfc3339).ok()?.unix_timestamp_nanos())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::export::tests::record;
    use super::*;

    fn lines(records: &[Value]) -> Vec<Value> {
        let (mut out, mut batch) = (String::new(), Batch::default());
        for fields in records {
            batch.add(&record(fields), &mut out);
        }
        batch.end(&mut out);
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn logs(line: &Value) -> &Vec<Value> {
        line["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap()
    }

    #[test]
    fn a_record_is_a_log_record() {
        let line = &lines(&[json!({
            "v": 1, "seq": 7, "time": "2026-03-15T10:23:45.017Z", "kind": "refusal",
            "principal": "claude", "service": "stripe", "method": "POST", "path": "/v1/charges",
            "code": "policy_denied", "references": [{ "reference": "op://a/b", "age_s": 3 }]
        })])[0];
        assert_eq!(line["resourceLogs"][0]["scopeLogs"][0]["scope"]["name"], "strongroom.audit");
        let expected = json!({
            "timeUnixNano": "1773570225017000000",
            "observedTimeUnixNano": "1773570225017000000",
            "severityNumber": 13,
            "severityText": "WARN",
            "eventName": "strongroom.audit.refusal",
            "body": { "stringValue": "refusal claude stripe POST /v1/charges policy_denied" },
            "attributes": [
                { "key": "error.type", "value": { "stringValue": "policy_denied" } },
                { "key": "http.request.method", "value": { "stringValue": "POST" } },
                { "key": "url.path", "value": { "stringValue": "/v1/charges" } },
                { "key": "user.name", "value": { "stringValue": "claude" } },
                { "key": "strongroom.references", "value": { "arrayValue": { "values": [
                    { "kvlistValue": { "values": [
                        { "key": "age_s", "value": { "intValue": "3" } },
                        { "key": "reference", "value": { "stringValue": "op://a/b" } },
                    ] } },
                ] } } },
                { "key": "strongroom.seq", "value": { "intValue": "7" } },
                { "key": "strongroom.service", "value": { "stringValue": "stripe" } },
            ],
        });
        assert_eq!(logs(line), &vec![expected]);
    }

    #[test]
    fn a_line_has_so_many_records_and_every_line_is_whole() {
        for count in [0, 1, MOST, MOST + 1, 3 * MOST] {
            let lines = lines(&vec![json!({ "kind": "intent" }); count]);
            assert_eq!(lines.len(), count.div_ceil(MOST));
            assert_eq!(lines.iter().map(|line| logs(line).len()).sum::<usize>(), count);
        }
    }

    proptest! {
        // AL-01
        #[test]
        fn whatever_an_agent_wrote_is_one_value_on_one_line(text in any::<String>(), number in any::<u64>()) {
            let lines = lines(&[json!({ "kind": "intent", "reason": text, "seq": number })]);
            prop_assert_eq!(lines.len(), 1);
            let attributes = &logs(&lines[0])[0]["attributes"];
            prop_assert_eq!(&attributes[0]["value"]["stringValue"], &json!(text));
            let number = number.to_string();
            let seq = &attributes[1]["value"];
            prop_assert!(seq["intValue"] == json!(number) || seq["stringValue"] == json!(number));
        }
    }
}
