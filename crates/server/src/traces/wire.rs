//! A request for `/v1/traces` in both encodings of OTLP over HTTP.
//!
//! Field numbers are those of opentelemetry/proto/trace/v1/trace.proto and its fellows, which are stable;
//! in JSON ids are hexadecimal digits and 64-bit integers are texts.

use serde_json::{Value as Json, json};

use super::{Span, Value};

/// The scope of all spans.
const SCOPE: &str = "strongroom";

/// The status of a span that failed.
const ERROR: u64 = 2;

/// As JSON.
pub(super) fn json(resource: &[(String, String)], spans: &[Span]) -> Vec<u8> {
    let resource: Vec<Json> = resource
        .iter()
        .map(|(name, value)| json!({"key": name, "value": {"stringValue": value}}))
        .collect();
    let spans: Vec<Json> = spans.iter().map(span_json).collect();
    let scope = json!({"name": SCOPE, "version": env!("CARGO_PKG_VERSION")});
    let request = json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": scope, "spans": spans}],
    }]});
    request.to_string().into_bytes()
}

fn span_json(span: &Span) -> Json {
    let attributes: Vec<Json> = span
        .attributes
        .iter()
        .map(|(name, value)| {
            let value = match value {
                Value::Text(text) => json!({"stringValue": text}),
                Value::Number(number) => json!({"intValue": number.to_string()}),
            };
            json!({"key": name, "value": value})
        })
        .collect();
    let mut written = json!({
        "traceId": strongroom_seal::hex(&span.trace),
        "spanId": strongroom_seal::hex(&span.id),
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": span.began.to_string(),
        "endTimeUnixNano": span.ended.to_string(),
        "attributes": attributes,
        "status": if span.failed { json!({"code": ERROR}) } else { json!({}) },
    });
    if let Some(parent) = span.parent {
        written["parentSpanId"] = strongroom_seal::hex(&parent).into();
    }
    written
}

/// As Protocol Buffers.
pub(super) fn protobuf(resource: &[(String, String)], spans: &[Span]) -> Vec<u8> {
    let mut scope_spans = Message::default();
    let mut scope = Message::default();
    scope.bytes(1, SCOPE.as_bytes());
    scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
    scope_spans.message(1, &scope);
    for span in spans {
        scope_spans.message(2, &span_message(span));
    }
    let mut about = Message::default();
    for (name, value) in resource {
        about.message(1, &pair(name, |any| any.bytes(1, value.as_bytes())));
    }
    let mut resource_spans = Message::default();
    resource_spans.message(1, &about);
    resource_spans.message(2, &scope_spans);
    let mut request = Message::default();
    request.message(1, &resource_spans);
    request.0
}

fn span_message(span: &Span) -> Message {
    let mut message = Message::default();
    message.bytes(1, &span.trace);
    message.bytes(2, &span.id);
    if let Some(parent) = span.parent {
        message.bytes(4, &parent);
    }
    message.bytes(5, span.name.as_bytes());
    message.number(6, span.kind as u64);
    message.fixed(7, span.began);
    message.fixed(8, span.ended);
    for (name, value) in &span.attributes {
        let value = |any: &mut Message| match value {
            Value::Text(text) => any.bytes(1, text.as_bytes()),
            // A negative number is written as the 64 bits that it has.
            Value::Number(number) => any.number(3, number.cast_unsigned()),
        };
        message.message(9, &pair(name, value));
    }
    if span.failed {
        let mut status = Message::default();
        status.number(3, ERROR);
        message.message(15, &status);
    }
    message
}

/// A `KeyValue`.
fn pair(name: &str, value: impl FnOnce(&mut Message)) -> Message {
    let (mut pair, mut any) = (Message::default(), Message::default());
    value(&mut any);
    pair.bytes(1, name.as_bytes());
    pair.message(2, &any);
    pair
}

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn fixed(&mut self, field: u64, value: u64) {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kind;
    use super::*;

    fn span() -> Span {
        Span {
            trace: [0x4b; 16],
            id: [0x0f; 8],
            parent: Some([1; 8]),
            name: "GET /x".to_owned(),
            kind: Kind::Server,
            began: 1_773_570_225_000_000_000,
            ended: 1_773_570_225_000_000_300,
            attributes: vec![
                ("http.route", Value::Text("/x".to_owned())),
                ("http.response.status_code", Value::Number(503)),
            ],
            failed: true,
        }
    }

    #[test]
    fn json_is_written_as_the_specification_maps_it() {
        let resource = [("service.name".to_owned(), "strongroom".to_owned())];
        let read: Json = serde_json::from_slice(&json(&resource, &[span()])).unwrap();
        let of = &read["resourceSpans"][0];
        assert_eq!(of["resource"]["attributes"][0]["value"]["stringValue"], "strongroom");
        let span = &of["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "4b".repeat(16));
        assert_eq!((&span["parentSpanId"], &span["kind"]), (&json!("01".repeat(8)), &json!(2)));
        assert_eq!(span["startTimeUnixNano"], "1773570225000000000");
        assert_eq!(span["attributes"][1]["value"]["intValue"], "503");
        assert_eq!(span["status"]["code"], 2);
    }

    /// Byte for byte, as the field numbers and wire types of the published files demand.
    #[test]
    fn a_message_is_written_byte_for_byte_as_its_definition_says() {
        let mut expected = vec![0x0a, 16];
        expected.extend([0x4b; 16]);
        expected.extend([0x12, 8]);
        expected.extend([0x0f; 8]);
        expected.extend([0x22, 8]);
        expected.extend([1; 8]);
        expected.extend([0x2a, 6]);
        expected.extend(b"GET /x");
        expected.extend([0x30, 2, 0x39]);
        expected.extend(1_773_570_225_000_000_000_u64.to_le_bytes());
        expected.push(0x41);
        expected.extend(1_773_570_225_000_000_300_u64.to_le_bytes());
        expected.extend([0x4a, 18, 0x0a, 10]);
        expected.extend(b"http.route");
        expected.extend([0x12, 4, 0x0a, 2]);
        expected.extend(b"/x");
        expected.extend([0x4a, 32, 0x0a, 25]);
        expected.extend(b"http.response.status_code");
        // 503 in two bytes of seven bits.
        expected.extend([0x12, 3, 0x18, 0xf7, 0x03]);
        expected.extend([0x7a, 2, 0x18, 2]);
        assert_eq!(span_message(&span()).0, expected);
    }

    #[test]
    fn a_request_wraps_its_spans_in_scope_and_resource() {
        let resource = [("a".to_owned(), "b".to_owned())];
        let bytes = protobuf(&resource, &[]);
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        let mut scope = vec![0x0a, 10];
        scope.extend(b"strongroom");
        scope.extend([0x12, u8::try_from(version.len()).unwrap()]);
        scope.extend(version);
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
        let mut scope_spans = vec![0x0a, length(&scope)];
        scope_spans.extend(&scope);
        let mut inner = vec![0x0a, 10, 0x0a, 8, 0x0a, 1, b'a', 0x12, 3, 0x0a, 1, b'b'];
        inner.extend([0x12, length(&scope_spans)]);
        inner.extend(&scope_spans);
        let mut expected = vec![0x0a, length(&inner)];
        expected.extend(&inner);
        assert_eq!(bytes, expected);
    }
}
