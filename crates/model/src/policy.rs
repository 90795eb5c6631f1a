//! What a caller may do with a service: rules in, a decision out.
//!
//! The order of rules carries no meaning. Every rule is consulted and the strictest match wins:
//! deny over ask over allow. A request that no rule matches is denied.

use crate::canonical::CanonicalRequest;
use crate::code::Refusal;
use crate::pipeline::Permit;

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

/// `METHOD[|METHOD...] PATH` with a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    verdict: Verdict,
    // methods, pattern: to be filled in
    text: Box<str>,
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

impl Rule {
    /// Reads `METHOD[|METHOD...] PATH`; `*` stands for every method.
    ///
    /// # Errors
    ///
    /// An unanchored or empty pattern, an unknown method, anything left over.
    pub fn parse(verdict: Verdict, text: &str) -> Result<Self, RuleError> {
        let _ = (verdict, text);
        todo!("policy")
    }

    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The rule as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
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
        todo!("policy")
    }

    /// The strictest verdict among the rules that match, and how it came about.
    pub fn explain(&self, request: &CanonicalRequest) -> Explanation {
        let _ = request;
        todo!("policy")
    }

    /// Judges `request`. The permit carries it on; nothing else makes one.
    ///
    /// # Errors
    ///
    /// `policy_denied` where a deny rule or no rule matches, `approval_denied` where an ask rule
    /// decides (nobody can be asked yet).
    pub fn decide(
        &self,
        request: CanonicalRequest,
    ) -> Result<Permit<CanonicalRequest>, Box<(Refusal, CanonicalRequest)>> {
        let _ = request;
        todo!("policy")
    }
}
