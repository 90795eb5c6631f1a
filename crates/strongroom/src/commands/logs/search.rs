//! Which records are wanted.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use strongroom_model::code::Code;
use strongroom_model::ports::Clock;
use strongroom_store::audit::Filter;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::join::Entry;
use crate::near;

/// What every record of a call has, so that records can be told apart one by one.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in super::super) struct Which {
    /// Only this service
    #[arg(long, value_name = "NAME")]
    pub(super) service: Option<String>,
    /// Only this MCP server
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Only this principal
    #[arg(long, value_name = "NAME")]
    pub(super) principal: Option<String>,
    /// Only the call or the act of this id
    #[arg(long, value_name = "ID")]
    audit_id: Option<String>,
    /// Only from then on: a time, or `30m`, `2h`, `7d` ago
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Only before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
}

/// What a call has as a whole: some of it is known at its beginning and some at its end.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct What {
    /// Only what was refused
    #[arg(long)]
    pub(super) denied: bool,
    /// Only what was decided so
    #[arg(long, value_name = "DECISION", value_parser = ["allow", "deny"])]
    decision: Option<String>,
    /// Only what ended with this code
    #[arg(long, value_name = "CODE", value_parser = code)]
    code: Option<Code>,
    /// Only what a rule decided that has this text in it
    #[arg(long, value_name = "TEXT")]
    rule: Option<String>,
    /// Only this path; `*` is one segment or a part of it, `**` any number of them
    #[arg(long, value_name = "PATTERN")]
    path: Option<String>,
    /// Only what has this text in it somewhere, in capitals or not
    #[arg(value_name = "TEXT")]
    text: Option<String>,
}

/// A time, or how long ago it was.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Moment {
    At(SystemTime),
    Ago(Duration),
}

impl Which {
    /// The filter for the reader.
    pub(in super::super) fn filter(&self, clock: &dyn Clock) -> Filter {
        Filter {
            service: self.service.clone(),
            server: self.server.clone(),
            principal: self.principal.clone(),
            audit_id: self.audit_id.clone(),
            since: self.since.map(|since| since.time(clock)),
            until: self.until.map(|until| until.time(clock)),
            ..Filter::default()
        }
    }
}

impl What {
    /// Whether `entry` is wanted.
    pub(super) fn wants(&self, entry: &Entry) -> bool {
        let is = |field, wanted: Option<&str>| {
            wanted.is_none_or(|wanted| entry.raw(field) == Some(wanted))
        };
        let has = |field, test: &dyn Fn(&str) -> bool| entry.raw(field).is_some_and(test);
        (!self.denied || has("decision", &|decision| decision == "deny"))
            && is("decision", self.decision.as_deref())
            && is("code", self.code.map(Code::as_str))
            && self.rule.as_ref().is_none_or(|part| has("rule", &|rule| rule.contains(part)))
            && self.path.as_ref().is_none_or(|glob| has("path", &|path| matches(glob, path)))
            && self.text.as_ref().is_none_or(|text| {
                let text = text.to_lowercase();
                entry.values().any(|value| mentions(value, &text))
            })
    }
}

/// Whether `text`, in lower case, stands in a text of `value`.
fn mentions(value: &Value, text: &str) -> bool {
    match value {
        Value::String(value) => value.to_lowercase().contains(text),
        Value::Array(values) => values.iter().any(|value| mentions(value, text)),
        Value::Object(fields) => fields.values().any(|value| mentions(value, text)),
        Value::Number(number) => number.to_string() == text,
        Value::Null | Value::Bool(_) => false,
    }
}

/// Whether `path` is what `pattern` describes. Work is at most the product of their lengths: the
/// places in `pattern` that can be reached are walked, not the ways to them.
fn matches(pattern: &str, path: &str) -> bool {
    let pattern = pattern.as_bytes();
    let tokens = tokens(pattern);
    let mut reached = vec![false; tokens.len() + 1];
    reached[0] = true;
    skip_stars(&tokens, &mut reached);
    for byte in path.bytes() {
        let mut next = vec![false; tokens.len() + 1];
        for (at, token) in tokens.iter().enumerate().filter(|(at, _)| reached[*at]) {
            match token {
                Token::Byte(wanted) if *wanted == byte => next[at + 1] = true,
                Token::Rest => next[at] = true,
                Token::Segment if byte != b'/' => next[at] = true,
                Token::Byte(_) | Token::Segment => {}
            }
        }
        skip_stars(&tokens, &mut next);
        reached = next;
    }
    reached[tokens.len()]
}

#[derive(Clone, Copy)]
enum Token {
    Byte(u8),
    /// `*`
    Segment,
    /// `**`
    Rest,
}

fn tokens(pattern: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut rest = pattern;
    while let [first, more @ ..] = rest {
        (tokens, rest) = match (first, more) {
            (b'*', [b'*', more @ ..]) => (pushed(tokens, Token::Rest), more),
            (b'*', more) => (pushed(tokens, Token::Segment), more),
            (byte, more) => (pushed(tokens, Token::Byte(*byte)), more),
        };
    }
    tokens
}

fn pushed(mut tokens: Vec<Token>, token: Token) -> Vec<Token> {
    tokens.push(token);
    tokens
}

/// A star may stand for nothing.
fn skip_stars(tokens: &[Token], reached: &mut [bool]) {
    for (at, token) in tokens.iter().enumerate() {
        if reached[at] && !matches!(token, Token::Byte(_)) {
            reached[at + 1] = true;
        }
    }
}

impl Moment {
    pub(in super::super) fn time(self, clock: &dyn Clock) -> SystemTime {
        match self {
            Self::At(time) => time,
            Self::Ago(ago) => clock.now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }
}

#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a time is written `2026-03-15T10:00:00Z`, or as an age: `30m`, `2h`, `7d`")]
pub(in super::super) struct NotATime;

pub(in super::super) fn moment(text: &str) -> Result<Moment, NotATime> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Ok(Moment::At(time.into()));
    }
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let (number, seconds) =
        units.iter().find_map(|(unit, s)| Some((text.strip_suffix(*unit)?, s))).ok_or(NotATime)?;
    let number: u64 = number.parse().map_err(|_| NotATime)?;
    number.checked_mul(*seconds).map(|s| Moment::Ago(Duration::from_secs(s))).ok_or(NotATime)
}

fn code(text: &str) -> Result<Code, String> {
    if let Some(code) = Code::ALL.into_iter().find(|code| code.as_str() == text) {
        return Ok(code);
    }
    if let Some(near) = near::nearest(text, Code::ALL.map(Code::as_str)) {
        return Err(format!("there is no such code; did you mean `{near}`?"));
    }
    let all = Code::ALL.map(|code| format!("`{}`", code.as_str()));
    Err(format!("there is no such code; there are {}", all.join(", ")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_time_is_a_moment_or_an_age() {
        assert!(matches!(moment("2026-03-15T10:00:00Z"), Ok(Moment::At(_))));
        assert!(matches!(moment("2h"), Ok(Moment::Ago(ago)) if ago == Duration::from_hours(2)));
        for bad in ["", "h", "-1h", "yesterday", "1w", "99999999999999999999d"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_code_is_one_of_those_that_there_are() {
        assert_eq!(code("policy_denied"), Ok(Code::PolicyDenied));
        let error = code("policy_denid").unwrap_err();
        assert_eq!(error, "there is no such code; did you mean `policy_denied`?");
        assert!(code("xyzzyxyzzy").unwrap_err().contains("`locked`"));
    }

    #[test]
    fn a_path_is_what_its_pattern_describes() {
        for (pattern, path, expected) in [
            ("/v1/charges", "/v1/charges", true),
            ("/v1/charges", "/v1/charges/1", false),
            ("/v1/*", "/v1/charges", true),
            ("/v1/*", "/v1/charges/1", false),
            ("/v1/ch*", "/v1/charges", true),
            ("/v1/**", "/v1/charges/1", true),
            ("**/issues", "/repos/a/b/issues", true),
            ("**/issues", "/repos/a/b/issues/1", false),
            ("/*/*/x", "/a/b/x", true),
            ("/*/*/x", "/a/x", false),
            ("***", "/a/b", true),
            ("", "", true),
            ("", "/", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn every_condition_must_hold_of_the_call_as_a_whole() {
        let entry = Entry::of(json!({
            "decision": "allow", "rule": "allow GET /v1/**", "path": "/v1/charges",
            "code": "upstream_error", "status": 502, "references": [{ "reference": "op://Dev/Key" }]
        }));
        let all = What::default;
        let text = |text: &str| What { text: Some(text.to_owned()), ..all() };
        let wanted = [
            all(),
            What { decision: Some("allow".to_owned()), ..all() },
            What { code: Some(Code::UpstreamError), ..all() },
            What { rule: Some("/v1/".to_owned()), ..all() },
            What { path: Some("/v1/*".to_owned()), ..all() },
            text("CHARGES"),
            text("op://dev"),
            text("502"),
        ];
        let unwanted = [
            What { denied: true, ..all() },
            What { decision: Some("deny".to_owned()), ..all() },
            What { code: Some(Code::NotFound), ..all() },
            What { rule: Some("POST".to_owned()), ..all() },
            What { path: Some("/v2/*".to_owned()), ..all() },
            What { path: Some("/v1/*".to_owned()), ..text("refund") },
            text("50"),
        ];
        assert!(wanted.iter().all(|what| what.wants(&entry)));
        assert!(!unwanted.iter().any(|what| what.wants(&entry)));
    }

    proptest! {
        #[test]
        fn a_pattern_without_stars_is_its_own_path(path in "[a-z/]{0,12}", other in "[a-z/]{0,12}") {
            prop_assert!(matches(&path, &path));
            prop_assert_eq!(matches(&path, &other), path == other);
        }

        #[test]
        fn stars_stand_for_what_they_replace(a in "[a-z/]{0,6}", b in "[a-z/]{0,6}", c in "[a-z/]{0,6}") {
            let path = format!("{a}{b}{c}");
            let whole = format!("{a}**{c}");
            let segment = format!("{a}*{c}");
            prop_assert!(matches(&whole, &path));
            if !b.contains('/') {
                prop_assert!(matches(&segment, &path));
            }
        }

        #[test]
        fn no_pattern_takes_for_ever(pattern in "[*a]{0,200}", path in "a{0,200}b") {
            matches(&pattern, &path);
        }
    }
}
