//! Path patterns: literal segments, `*` for one, `**` for the rest.

use std::borrow::Cow;

use super::RuleError;
use crate::canonical::{Grammar, path};

/// A path pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    segments: Vec<Segment>,
    end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// Canonical as in the path, and decoded.
    Literal { canonical: Box<str>, decoded: Box<[u8]> },
    /// `*`: one segment that is not empty.
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Exact,
    Slash,
    /// `**`: nothing, a slash, or anything below.
    Rest,
}

/// How literally a pattern is held against a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// For rules that allow: the same bytes.
    Exact,
    /// For rules that ask or deny: every spelling that an upstream may take for the same: with and
    /// without a slash at the end, with reserved characters encoded or not, and with path
    /// parameters cut off.
    Broad,
}

/// A path split once, to be held against many patterns.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    segments: Vec<(&'a str, Cow<'a, [u8]>)>,
    slash: bool,
    fold: bool,
}

const LONGEST: usize = 2048;

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, RuleError> {
        let refuse = |problem: &str, hint| Err(RuleError { problem: problem.to_owned(), hint });
        if text.len() > LONGEST {
            return refuse("the path is longer than 2 KiB", None);
        }
        let Some(rest) = text.strip_prefix('/') else {
            let hint = "a path starts with `/`: `GET /v1/items`, `GET /**`";
            return refuse("the path is not anchored", Some(hint));
        };
        if text.contains('?') {
            let hint = "rules are about paths; leave out `?` and what follows";
            return refuse("the path has a query", Some(hint));
        }
        let (rest, end) = if rest == "**" {
            ("", End::Rest)
        } else if let Some(rest) = rest.strip_suffix("/**") {
            (rest, End::Rest)
        } else if let Some(rest) = rest.strip_suffix('/') {
            (rest, End::Slash)
        } else if rest.is_empty() {
            ("", End::Slash)
        } else {
            (rest, End::Exact)
        };
        let mut segments = Vec::new();
        // Behind `/` and `/**` stands no segment at all; an empty one anywhere else is a mistake.
        if !matches!(text, "/" | "/**") {
            for segment in rest.split('/') {
                segments.push(Segment::parse(segment)?);
            }
        }
        Ok(Self { segments, end })
    }

    pub(super) fn matches_everything(&self) -> bool {
        self.segments.is_empty() && self.end == End::Rest
    }

    /// The octets of each segment; `None` for `*`.
    pub(super) fn segments(&self) -> impl Iterator<Item = Option<&[u8]>> {
        self.segments.iter().map(|segment| match segment {
            Segment::Literal { decoded, .. } => Some(&**decoded),
            Segment::Any => None,
        })
    }

    /// Whether it ends in `**`.
    pub(super) fn has_rest(&self) -> bool {
        self.end == End::Rest
    }

    /// Takes time in proportion to the shorter of the two.
    pub(super) fn matches(&self, subject: &Subject<'_>, reading: Reading) -> bool {
        let length = match self.end {
            End::Rest => self.segments.len() <= subject.segments.len(),
            End::Exact | End::Slash => self.segments.len() == subject.segments.len(),
        };
        let end = self.end == End::Rest
            || reading == Reading::Broad
            || (self.end == End::Slash) == subject.slash;
        length
            && end
            && self.segments.iter().zip(&subject.segments).all(|(pattern, (text, decoded))| {
                pattern.matches(text, decoded, reading, subject.fold)
            })
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, RuleError> {
        let refuse = |problem: &str, hint| Err(RuleError { problem: problem.to_owned(), hint });
        match text {
            "*" => return Ok(Self::Any),
            "**" => {
                let hint = "`**` stands at the end: `/v1/**`; `*` stands for one segment";
                return refuse("`**` is not the last segment", Some(hint));
            }
            "" => return refuse("the path has an empty segment", None),
            _ if text.contains('*') => {
                let hint = "`*` stands for a whole segment, `**` for the rest of the path";
                return refuse("a wildcard is mixed with other characters", Some(hint));
            }
            _ => {}
        }
        let lenient = Grammar { encoded_slash: true, path_params: true, ..Grammar::default() };
        match path::read(&format!("/{text}"), lenient) {
            Ok(canonical) if canonical.get(1..) == Some(text) => Ok(Self::Literal {
                canonical: text.into(),
                decoded: path::decode(text).into_boxed_slice(),
            }),
            Ok(_) => {
                let hint = "write letters, digits and `-._~` as they are, and `%2F` in upper case";
                refuse("the path is not in canonical form", Some(hint))
            }
            Err(problem) => refuse(problem, None),
        }
    }

    fn matches(&self, text: &str, decoded: &[u8], reading: Reading, fold: bool) -> bool {
        let (canonical, literal) = match self {
            Self::Any => return true,
            Self::Literal { canonical, decoded } => (canonical, decoded),
        };
        let same = |a: &[u8], b: &[u8]| if fold { a.eq_ignore_ascii_case(b) } else { a == b };
        match reading {
            Reading::Exact => same(canonical.as_bytes(), text.as_bytes()),
            Reading::Broad => same(literal, decoded) || same(literal, without_parameters(decoded)),
        }
    }
}

fn without_parameters(segment: &[u8]) -> &[u8] {
    segment.split(|&byte| byte == b';').next().unwrap_or_default()
}

/// A segment in lower case, and without its parameters where it has some.
type Readings<'s> = (Cow<'s, [u8]>, Option<Cow<'s, [u8]>>);

impl<'a> Subject<'a> {
    /// Each segment as a rule may have it.
    pub(super) fn readings(&self) -> impl Iterator<Item = Readings<'_>> {
        self.segments.iter().map(|(_, decoded)| {
            let lower = |octets: &'_ [u8]| octets.to_ascii_lowercase();
            let name = without_parameters(decoded);
            let name = (name.len() < decoded.len()).then(|| Cow::Owned(lower(name)));
            let whole = if decoded.iter().any(u8::is_ascii_uppercase) {
                Cow::Owned(lower(decoded))
            } else {
                Cow::Borrowed(&**decoded)
            };
            (whole, name)
        })
    }

    /// Splits a canonical `path`. `fold`: without regard to ASCII case.
    pub(super) fn new(path: &'a str, fold: bool) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (path, slash) = match path.strip_suffix('/') {
            Some(path) => (path, true),
            None => (path, path.is_empty()),
        };
        let decode = |segment: &'a str| {
            let decoded = if segment.contains('%') {
                Cow::Owned(path::decode(segment))
            } else {
                Cow::Borrowed(segment.as_bytes())
            };
            (segment, decoded)
        };
        let segments =
            if path.is_empty() { Vec::new() } else { path.split('/').map(decode).collect() };
        Self { segments, slash, fold }
    }
}
