//! One rule: `METHOD[|METHOD...] PATH`.

use super::conditions::{Condition, Facts, Truth};
use super::pattern::{Pattern, Reading, Subject};
use super::{RuleError, Terms, Verdict};
use crate::canonical::Method;

/// `METHOD[|METHOD...] PATH` with a verdict.
///
/// A path pattern is anchored at both ends. A segment is literal, in canonical form; `*` is exactly
/// one segment; `**`, at the end, is the rest: `/a/**` matches `/a`, `/a/` and everything below.
///
/// A rule that allows matches the same bytes and nothing else: `/a` does not allow `/a/`. A rule
/// that asks or denies matches whatever an upstream may take for the same path: `/a` denies `/a/`
/// and the reverse, `/a:b` denies `/a%3Ab`, `/a` denies `/a;x=1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    verdict: Verdict,
    methods: Methods,
    pattern: Pattern,
    conditions: Vec<Condition>,
    terms: Terms,
    text: Box<str>,
}

/// A set of methods, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Methods(u8);

impl Rule {
    /// Reads `METHOD[|METHOD...] PATH`; `*` stands for every method.
    ///
    /// # Errors
    ///
    /// An unanchored or empty pattern, an unknown method, anything left over.
    pub fn parse(verdict: Verdict, text: &str) -> Result<Self, RuleError> {
        let mut words = text.split_ascii_whitespace();
        let (Some(methods), Some(path), None) = (words.next(), words.next(), words.next()) else {
            return Err(RuleError {
                problem: "a rule is a method and a path, and nothing else".to_owned(),
                hint: Some("write `GET /v1/items`, `GET|HEAD /**` or `* /v1/**`"),
            });
        };
        let rule = Self {
            verdict,
            methods: Methods::parse(methods.split('|'))?,
            pattern: Pattern::parse(path)?,
            conditions: Vec::new(),
            terms: Terms::default(),
            text: format!("{methods} {path}").into(),
        };
        Ok(rule)
    }

    /// The rule of the block form `{ path, methods }`, which allows.
    ///
    /// # Errors
    ///
    /// No method, and what [`parse`](Self::parse) refuses.
    pub fn from_block<M: AsRef<str>>(path: &str, methods: &[M]) -> Result<Self, RuleError> {
        let methods: Vec<&str> = methods.iter().map(AsRef::as_ref).collect();
        Self::parse(Verdict::Allow, &format!("{} {path}", methods.join("|")))
    }

    /// The same for requests that meet `conditions`, all of them. They become part of its text.
    #[must_use]
    pub fn with_conditions(mut self, conditions: Vec<Condition>) -> Self {
        let mut text = String::from(self.text);
        for (at, condition) in conditions.iter().enumerate() {
            text.push_str(if at == 0 { " where " } else { " and " });
            text.push_str(&condition.to_string());
        }
        self.text = text.into();
        self.conditions = conditions;
        self
    }

    /// What it asks of a request beside method and path.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Whether every request that `other` speaks of is one that this rule speaks of, as far as that
    /// can be seen: the same methods and path, and no condition that `other` has not.
    pub fn covers(&self, other: &Self) -> bool {
        self.methods == other.methods
            && self.pattern == other.pattern
            && self.conditions.iter().all(|condition| other.conditions.contains(condition))
    }

    /// The same with `terms`.
    #[must_use]
    pub fn with_terms(mut self, terms: Terms) -> Self {
        self.terms = terms;
        self
    }

    /// What it demands beside the match.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The rule as it was written, with its conditions.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The rule as it was written, and what it demands beside: for people and agents.
    pub fn in_words(&self) -> String {
        format!("{}{}", self.text, self.terms)
    }

    pub(super) fn is_everything(&self) -> bool {
        self.methods == Methods::ALL
            && self.pattern.matches_everything()
            && self.conditions.is_empty()
    }

    pub(super) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Whether it applies to a request of its methods and path, and the first condition that says no.
    pub(super) fn applies(&self, facts: &Facts<'_>) -> (Truth, Option<&Condition>) {
        let judged = self.conditions.iter().map(|condition| (condition.judge(facts), condition));
        let least = judged.min_by_key(|(truth, _)| *truth);
        match least {
            None | Some((Truth::Yes, _)) => (Truth::Yes, None),
            Some((truth, condition)) => (truth, Some(condition)),
        }
    }

    /// Whether method and path are the rule's.
    pub(super) fn matches(&self, method: Method, subject: &Subject<'_>) -> bool {
        let reading = match self.verdict {
            Verdict::Allow => Reading::Exact,
            Verdict::Ask | Verdict::Deny => Reading::Broad,
        };
        self.methods.contains(method) && self.pattern.matches(subject, reading)
    }
}

impl Methods {
    const ALL: Self = Self((1 << Method::ALL.len()) - 1);

    fn parse<'a>(tokens: impl Iterator<Item = &'a str>) -> Result<Self, RuleError> {
        let mut methods = Self(0);
        for token in tokens {
            if token == "*" {
                methods = Self::ALL;
                continue;
            }
            let method = Method::from_token(token).ok_or_else(|| RuleError {
                problem: "an unknown method".to_owned(),
                hint: Some(
                    "the methods are GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS and `*`, in \
                     upper case, with `|` between several",
                ),
            })?;
            methods.0 |= Self::bit(method);
        }
        Ok(methods)
    }

    fn contains(self, method: Method) -> bool {
        self.0 & Self::bit(method) != 0
    }

    fn bit(method: Method) -> u8 {
        1 << method as u8
    }
}
