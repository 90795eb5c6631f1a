//! A record as a line: ASCII, one JSON object, bound to the line before it.
//!
//! ```text
//! {"v":1,"seq":N,"time":"2026-03-15T10:23:45.123Z","kind":"intent",...,"prev":"<64 hex>","hash":"<64 hex>"}
//! ```
//!
//! `hash` is the SHA-256 of every byte of the line before `,"hash":"`, so `prev`, the hash of the
//! line before, is in it. The first record has `seq` 1 and [`Hash::GENESIS`] as `prev`. The chain
//! goes on across segments. It shows what was changed, removed, added or moved within it; that its
//! end was cut off, or that all of it was written anew, only an anchor elsewhere can show.

use std::fmt;

use aws_lc_rs::digest;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;

use super::checkpoint::Checkpoint;
use super::{Draft, Kind, Lookup, MOST_REFERENCES};

/// The SHA-256 that stands at the end of a line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

/// Characters of one text; what is longer is cut off, and the record says `"truncated":true`
/// (AL-01).
const LONGEST: usize = 2048;

/// What stands between the hashed bytes and the hash.
pub(super) const TAIL: &[u8] = br#","hash":""#;

/// The line of `draft`, with its `\n`, and its hash, which the next line needs.
///
/// Whatever its texts hold, the line is ASCII without control characters: no line break, escape
/// sequence or bidirectional mark of an agent's reaches a terminal or another parser (AL-01).
pub fn write_line(draft: &Draft, seq: u64, time_ms: u64, prev: &Hash) -> (Vec<u8>, Hash) {
    let mut line = Line { out: Vec::with_capacity(640), truncated: false };
    line.out.extend_from_slice(br#"{"v":1"#);
    line.number("seq", Some(seq));
    line.out.extend_from_slice(br#","time":""#);
    write_time(&mut line.out, time_ms);
    line.out.push(b'"');
    line.draft(draft);
    if line.truncated {
        line.out.extend_from_slice(br#","truncated":true"#);
    }
    line.key("prev");
    line.out.push(b'"');
    prev.write_hex(&mut line.out);
    line.out.push(b'"');

    let mut out = line.out;
    let hash = Hash::of(&out);
    out.extend_from_slice(TAIL);
    hash.write_hex(&mut out);
    out.extend_from_slice(b"\"}\n");
    (out, hash)
}

/// The record that closes `unfinished`, the bytes that a killed writer left behind the last line
/// break. The writer after it writes `\n`, then this record, with the `seq` and the `prev` that
/// the unfinished line was to have.
pub fn torn(unfinished: &[u8]) -> Draft {
    Draft {
        kind: Kind::Torn,
        act: Some("a line was left unfinished".to_owned()),
        subject: Some(Hash::of(unfinished).to_string()),
        ..Draft::default()
    }
}

impl Hash {
    /// What the first record has as `prev`.
    pub const GENESIS: Self = Self([0; 32]);

    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
        Self(hash)
    }

    /// Reads 64 lower-case hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        if pairs.len() != hash.len() {
            return None;
        }
        for (octet, [high, low]) in hash.iter_mut().zip(pairs) {
            let digit = |byte| HEX.iter().position(|&digit| digit == byte);
            *octet = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
        }
        Some(Self(hash))
    }

    /// The 32 bytes of it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn write_hex(self, out: &mut Vec<u8>) {
        for octet in self.0 {
            out.push(HEX[usize::from(octet >> 4)]);
            out.push(HEX[usize::from(octet & 15)]);
        }
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| D::Error::custom("not the hex digits of a hash"))
    }
}

impl Kind {
    /// The name in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Redirect => "redirect",
            Self::Outcome => "outcome",
            Self::Refusal => "refusal",
            Self::Release => "release",
            Self::Refresh => "refresh",
            Self::Admin => "admin",
            Self::Approval => "approval",
            Self::Checkpoint => "checkpoint",
            Self::Torn => "torn",
        }
    }
}

/// A line that is being written. JSON by hand: twice on the way of every call.
struct Line {
    out: Vec<u8>,
    truncated: bool,
}

impl Line {
    /// The names and the order are those of [`Draft`], and a test holds them to it.
    fn draft(&mut self, draft: &Draft) {
        let Draft {
            kind,
            audit_id,
            tenant,
            principal,
            claimed_client,
            service,
            method,
            path,
            decision,
            rule,
            approval,
            elapsed_ms,
            grant,
            code,
            reason,
            status,
            duration_ms,
            request_bytes,
            response_bytes,
            redactions,
            handles,
            sealed,
            act,
            subject,
            server,
            count,
            stale,
            references,
            checkpoint,
        } = draft;
        self.text("kind", Some(kind.as_str()));
        self.text("audit_id", audit_id.as_ref().map(|id| id.0.as_str()));
        self.text("tenant", tenant.as_deref());
        self.text("principal", principal.as_deref());
        self.text("claimed_client", claimed_client.as_deref());
        self.text("service", service.as_deref());
        self.text("method", method.as_deref());
        self.text("path", path.as_deref());
        self.text("decision", *decision);
        self.text("rule", rule.as_deref());
        self.text("approval", *approval);
        self.number("elapsed_ms", *elapsed_ms);
        self.text("grant", grant.as_deref());
        self.text("code", code.map(super::Code::as_str));
        self.text("reason", reason.as_deref());
        self.number("status", status.map(u64::from));
        self.number("duration_ms", *duration_ms);
        self.number("request_bytes", *request_bytes);
        self.number("response_bytes", *response_bytes);
        self.number("redactions", *redactions);
        self.number("handles", *handles);
        self.number("sealed", *sealed);
        self.text("act", act.as_deref());
        self.text("subject", subject.as_deref());
        self.text("server", server.as_deref());
        self.number("count", *count);
        self.number("stale", *stale);
        self.lookups(references);
        self.checkpoint(checkpoint.as_deref());
    }

    fn checkpoint(&mut self, checkpoint: Option<&Checkpoint>) {
        let Some(Checkpoint { statement, key, signature }) = checkpoint else { return };
        self.key("checkpoint");
        let start = self.out.len();
        self.text("says", Some(statement.says.as_str()));
        self.text("segment", Some(&statement.segment));
        self.number("first", Some(statement.first));
        self.number("last", Some(statement.last));
        self.text("head", Some(&statement.head.to_string()));
        self.text("key", Some(&key.to_string()));
        self.text("signature", Some(&signature.to_string()));
        self.out[start] = b'{';
        self.out.push(b'}');
    }

    fn lookups(&mut self, lookups: &[Lookup]) {
        if lookups.is_empty() {
            return;
        }
        self.truncated |= lookups.len() > MOST_REFERENCES;
        self.key("references");
        self.out.push(b'[');
        for lookup in lookups.iter().take(MOST_REFERENCES) {
            // Every member writes its comma before it; the first one of an object has none.
            let start = self.out.len();
            self.text("reference", Some(&lookup.reference));
            self.text("from", Some(lookup.from));
            self.number("age_s", lookup.age_s);
            self.out[start] = b'{';
            self.out.extend_from_slice(b"},");
        }
        self.out.pop();
        self.out.push(b']');
    }

    fn key(&mut self, key: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn number(&mut self, key: &str, number: Option<u64>) {
        let Some(mut number) = number else { return };
        self.key(key);
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = HEX[(number % 10) as usize];
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at..]);
    }

    fn text(&mut self, key: &str, text: Option<&str>) {
        let Some(text) = text else { return };
        self.key(key);
        self.out.push(b'"');
        if text.len() <= LONGEST && text.bytes().all(is_plain) {
            self.out.extend_from_slice(text.as_bytes());
        } else {
            self.escaped(text);
        }
        self.out.push(b'"');
    }

    #[cold]
    fn escaped(&mut self, text: &str) {
        let mut units = [0; 2];
        for (count, c) in text.chars().enumerate() {
            if count == LONGEST {
                self.truncated = true;
                return;
            }
            match c {
                '"' | '\\' => self.out.extend_from_slice(&[b'\\', c as u8]),
                '\n' => self.out.extend_from_slice(b"\\n"),
                '\r' => self.out.extend_from_slice(b"\\r"),
                '\t' => self.out.extend_from_slice(b"\\t"),
                ' '..='~' => self.out.push(c as u8),
                _ => {
                    for unit in c.encode_utf16(&mut units) {
                        self.out.extend_from_slice(b"\\u");
                        for shift in [12, 8, 4, 0] {
                            self.out.push(HEX[usize::from(*unit >> shift & 15)]);
                        }
                    }
                }
            }
        }
    }
}

fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\'
}

/// RFC 3339 in UTC with milliseconds. A clock beyond the year 9999 is shown as the epoch.
fn write_time(out: &mut Vec<u8>, time_ms: u64) {
    let time = i64::try_from(time_ms / 1000)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let mut digits = |mut number: u32, places: u32, after: u8| {
        for place in (0..places).rev() {
            let unit = 10_u32.pow(place);
            out.push(HEX[(number / unit % 10) as usize]);
            number %= unit;
        }
        out.push(after);
    };
    digits(time.year().unsigned_abs(), 4, b'-');
    digits(u32::from(u8::from(time.month())), 2, b'-');
    digits(u32::from(time.day()), 2, b'T');
    digits(u32::from(time.hour()), 2, b':');
    digits(u32::from(time.minute()), 2, b':');
    digits(u32::from(time.second()), 2, b'.');
    digits((time_ms % 1000) as u32, 3, b'Z');
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::audit::AuditId;
    use crate::audit::checkpoint::{Octets, Says, Statement};
    use crate::code::Code;

    fn full() -> Draft {
        Draft {
            kind: Kind::Refusal,
            audit_id: Some(AuditId("0123".into())),
            tenant: Some("7b0e".into()),
            principal: Some("claude".into()),
            claimed_client: Some("Claude \"Code\"".into()),
            service: Some("acme".into()),
            method: Some("GET".into()),
            path: Some("/a\\b".into()),
            decision: Some("deny"),
            rule: Some("* /**".into()),
            approval: Some("cli"),
            elapsed_ms: Some(3),
            grant: Some("g1".into()),
            code: Some(Code::PolicyDenied),
            reason: Some("é\u{1f600}\u{2028}".into()),
            status: Some(200),
            duration_ms: Some(0),
            request_bytes: Some(u64::MAX),
            response_bytes: Some(10),
            redactions: Some(3),
            handles: Some(1),
            sealed: Some(2),
            act: Some("service.add".into()),
            subject: Some("acme".into()),
            server: Some("files".into()),
            count: Some(2),
            stale: Some(1),
            references: vec![
                Lookup { reference: "op://V/I/f".into(), from: "stale", age_s: Some(9) },
                Lookup { reference: "local://\"x".into(), from: "not_found", age_s: None },
            ],
            checkpoint: Some(Box::new(Checkpoint {
                statement: Statement {
                    says: Says::SoFar,
                    segment: "2026-03-15.jsonl".into(),
                    first: 1,
                    last: 812,
                    head: Hash::of(b"x"),
                },
                key: Octets([7; 32]),
                signature: Octets([9; 64]),
            })),
        }
    }

    #[test]
    fn a_line_holds_the_draft_as_serde_would_write_it() {
        let (line, hash) = write_line(&full(), 7, 1_773_570_225_123, &Hash::GENESIS);
        let Value::Object(mut read) = serde_json::from_slice(&line).unwrap() else { panic!() };
        for (key, expected) in [
            ("v", Value::from(1)),
            ("seq", 7.into()),
            ("time", "2026-03-15T10:23:45.123Z".into()),
            ("prev", "0".repeat(64).into()),
            ("hash", hash.to_string().into()),
        ] {
            assert_eq!(read.remove(key), Some(expected), "{key}");
        }
        assert_eq!(Value::Object(read), serde_json::to_value(full()).unwrap());
    }

    #[test]
    fn a_record_names_at_most_so_many_references_and_says_where_it_left_some_out() {
        let lookup = Lookup { reference: "op://V/I/f".into(), from: "cache", age_s: Some(1) };
        for (count, kept) in [(MOST_REFERENCES, false), (MOST_REFERENCES + 1, true)] {
            let draft = Draft { references: vec![lookup.clone(); count], ..Draft::default() };
            let (line, _) = write_line(&draft, 1, 0, &Hash::GENESIS);
            let read: Value = serde_json::from_slice(&line).unwrap();
            assert_eq!(read["references"].as_array().unwrap().len(), MOST_REFERENCES);
            assert_eq!(read.get("truncated").is_some(), kept);
        }
    }

    #[test]
    fn a_hash_covers_every_byte_before_it_and_reads_back() {
        let (line, hash) = write_line(&full(), 7, 0, &Hash::GENESIS);
        let end = memchr::memmem::find(&line, TAIL).unwrap();
        assert_eq!(Hash::of(&line[..end]), hash);
        assert_eq!(Hash::from_hex(&hash.to_string()), Some(hash));
        assert_eq!(Hash::from_hex(&hash.to_string().to_uppercase()), None);
        assert_eq!(Hash::from_hex("00"), None);
    }

    // AL-01, AL-09
    #[test]
    fn whatever_an_agent_writes_a_record_is_one_line_of_ascii() {
        for text in [
            "\n{\"decision\":\"allow\"}",
            "\r\n",
            "\u{2028}\u{2029}\u{85}",
            "\u{1b}[2J\u{7f}\u{9b}",
            "\0",
            "\u{202e}\u{2066}\u{200b}\u{feff}\u{e0041}",
            &"x".repeat(10 << 20),
            &"é".repeat(3000),
        ] {
            let draft = Draft {
                path: Some(text.to_owned()),
                reason: Some(text.to_owned()),
                claimed_client: Some(text.to_owned()),
                ..Draft::default()
            };
            let (line, _) = write_line(&draft, 1, 0, &Hash::GENESIS);
            let (end, line) = line.split_last().unwrap();
            assert_eq!(*end, b'\n');
            assert!(line.iter().all(|byte| (b' '..=b'~').contains(byte)));
            let read: Value = serde_json::from_slice(line).unwrap();
            let kept: String = text.chars().take(LONGEST).collect();
            assert_eq!(read["reason"], kept);
            let cut = text.chars().count() > LONGEST;
            assert_eq!(read.get("truncated").is_some(), cut);
        }
    }

    #[test]
    fn the_time_is_right_at_its_edges() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            let mut out = Vec::new();
            write_time(&mut out, ms);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
