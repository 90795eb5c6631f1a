//! What a caller may do with a service: rules in, a decision out.
//!
//! The order of rules carries no meaning. Every rule is consulted and the strictest match wins:
//! deny over ask over allow. A request that no rule matches is denied.

mod pattern;
mod rule;
mod terms;

use crate::approval::Approved;
use crate::canonical::CanonicalRequest;
use crate::code::{Code, Refusal};
use crate::pipeline::Permit;

use pattern::Subject;

pub use rule::Rule;
pub use terms::{Method as AskMethod, Terms};

/// What a rule says. Ordered by strictness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Do it.
    Allow,
    /// Ask a person first.
    Ask,
    /// Never.
    Deny,
}

/// The rules of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    case_insensitive: bool,
}

/// Why a rule could not be read. It names what is wrong by its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct RuleError {
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub hint: Option<&'static str>,
}

/// What the policy says to a request.
#[derive(Debug)]
pub enum Judgement<T> {
    /// It may be made.
    Allowed(Permit<T>),
    /// A person decides.
    Asks(Awaiting<T>),
    /// It may not be made.
    Denied(Box<(Refusal, T)>),
}

/// A request that a person must approve.
#[derive(Debug)]
pub struct Awaiting<T> {
    request: T,
    rule: String,
    terms: Terms,
}

impl<T> Awaiting<T> {
    pub(crate) fn new(request: T, rule: String, terms: Terms) -> Self {
        Self { request, rule, terms }
    }

    /// What is to be approved.
    pub fn request(&self) -> &T {
        &self.request
    }

    /// The rule that says so.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// How a person is asked, and what the rule demands beside.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// It was approved.
    pub fn approve(self, by: Approved) -> Permit<T> {
        Permit::new(self.request, self.rule, self.terms, Some(by))
    }

    /// It was not.
    pub fn refuse(self, refusal: Refusal) -> (Refusal, T) {
        (refusal.by_rule(self.rule), self.request)
    }
}

/// How a decision came about, for `policy explain` and `explain_access`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// The rule that decided; `None` where no rule matched.
    pub rule: Option<String>,
    /// Every rule that matched, in the order of the configuration.
    pub matched: Vec<(Verdict, String)>,
}

impl Policy {
    /// A policy of `rules`, in any order. `case_insensitive`: paths match without regard to case.
    pub fn new(rules: Vec<Rule>, case_insensitive: bool) -> Self {
        Self { rules, case_insensitive }
    }

    /// The rules, in the order of the configuration.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether every method of every path is allowed by one rule (`--allow-all`).
    pub fn allows_everything(&self) -> bool {
        self.rules.iter().any(|rule| rule.verdict() == Verdict::Allow && rule.is_everything())
    }

    /// The strictest verdict among the rules that match, and how it came about.
    pub fn explain(&self, request: &CanonicalRequest) -> Explanation {
        let matching = self.matching(request);
        let (verdict, rule) = match strictest(&matching) {
            Some(rule) => (rule.verdict(), Some(rule.text().to_owned())),
            None => (Verdict::Deny, None),
        };
        let matched =
            matching.iter().map(|rule| (rule.verdict(), rule.text().to_owned())).collect();
        Explanation { verdict, rule, matched }
    }

    /// Judges `request`. A permit carries it on; nothing else makes one.
    pub fn judge(&self, request: CanonicalRequest) -> Judgement<CanonicalRequest> {
        let Some(rule) = strictest(&self.matching(&request)) else {
            let refusal = Refusal::new(Code::PolicyDenied, "no rule allows this request");
            return Judgement::Denied(Box::new((refusal, request)));
        };
        let (text, terms) = (rule.text().to_owned(), rule.terms().clone());
        match rule.verdict() {
            Verdict::Allow => Judgement::Allowed(Permit::new(request, text, terms, None)),
            Verdict::Ask => Judgement::Asks(Awaiting { request, rule: text, terms }),
            Verdict::Deny => {
                let refusal = Refusal::new(Code::PolicyDenied, "a rule denies this request");
                Judgement::Denied(Box::new((refusal.by_rule(text), request)))
            }
        }
    }

    /// Judges `request` where nobody can be asked.
    ///
    /// # Errors
    ///
    /// `policy_denied` where a deny rule or no rule matches, `approval_denied` where an ask rule
    /// decides.
    pub fn decide(
        &self,
        request: CanonicalRequest,
    ) -> Result<Permit<CanonicalRequest>, Box<(Refusal, CanonicalRequest)>> {
        match self.judge(request) {
            Judgement::Allowed(permit) => Ok(permit),
            Judgement::Asks(awaiting) => {
                let text = "a person must approve this, and nobody can be asked here";
                Err(Box::new(awaiting.refuse(Refusal::new(Code::ApprovalDenied, text))))
            }
            Judgement::Denied(denied) => Err(denied),
        }
    }

    fn matching(&self, request: &CanonicalRequest) -> Vec<&Rule> {
        let subject = Subject::new(request.path(), self.case_insensitive);
        self.rules.iter().filter(|rule| rule.matches(request.method(), &subject)).collect()
    }
}

/// The first of the strictest, so that the same rule is named each time.
fn strictest<'a>(rules: &[&'a Rule]) -> Option<&'a Rule> {
    rules.iter().copied().reduce(
        |best, rule| {
            if rule.verdict() > best.verdict() { rule } else { best }
        },
    )
}

#[cfg(test)]
mod tests;
