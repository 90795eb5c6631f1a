//! What a caller may do with a service: rules in, a decision out.
//!
//! The order of rules carries no meaning. Every rule is consulted and the strictest match wins:
//! deny over ask over allow. A request that no rule matches is denied.
//!
//! A rule speaks of methods and paths, and may have [conditions](Condition) on query and body. A rule
//! that allows applies where they are certainly met, a rule that asks or denies where they may be.

mod conditions;
mod index;
mod pattern;
mod rule;
mod terms;

use crate::approval::Approved;
use crate::canonical::CanonicalRequest;
use crate::code::{Code, Refusal};
use crate::pipeline::Permit;

pub(crate) use conditions::{Facts, Glob, Truth};
use index::Index;
use pattern::Subject;

pub use conditions::Condition;
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

impl Verdict {
    /// The word in the configuration, in answers and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

/// The rules of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    index: Index,
    case_insensitive: bool,
    judge_bytes: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self::new(Vec::new(), false)
    }
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
    /// Every rule that matched, in words, in the order of the configuration.
    pub matched: Vec<(Verdict, String)>,
    /// Rules of this method and path whose conditions are not met.
    pub unmet: Vec<Unmet>,
    /// Why a part of the request that a condition asks for could not be judged.
    pub flaw: Option<&'static str>,
    /// What the deciding rule demands beside.
    pub terms: Terms,
}

impl Explanation {
    /// One of rules that have neither conditions nor terms.
    pub fn new(verdict: Verdict, rule: Option<String>, matched: Vec<(Verdict, String)>) -> Self {
        Self { verdict, rule, matched, unmet: Vec::new(), flaw: None, terms: Terms::default() }
    }
}

/// A rule that does not apply although it speaks of the method and the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// What it would say.
    pub verdict: Verdict,
    /// The rule, in words.
    pub rule: String,
    /// A condition of it that is not met, or not certainly.
    pub condition: String,
}

/// What the policy says to a request of which only method and path are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foresight<'p> {
    /// This, whatever else is in it; with the rule, where one decides.
    Certain(Verdict, Option<&'p Rule>),
    /// It depends on the rest.
    Depends,
}

/// Bytes of a body that conditions look at, unless a service says otherwise.
pub const JUDGE_BYTES: usize = 1 << 20;

impl Policy {
    /// A policy of `rules`, in any order. `case_insensitive`: paths match without regard to case.
    pub fn new(rules: Vec<Rule>, case_insensitive: bool) -> Self {
        let index = Index::new(&rules);
        Self { rules, index, case_insensitive, judge_bytes: JUDGE_BYTES }
    }

    /// The same, with bodies of at most `bytes` judged. A larger one is never certain to meet a
    /// condition.
    #[must_use]
    pub fn with_judge_bytes(self, bytes: usize) -> Self {
        Self { judge_bytes: bytes, ..self }
    }

    /// Bytes of a body that are judged at the most.
    pub fn judge_bytes(&self) -> usize {
        self.judge_bytes
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
        let facts = Facts::new(request, self.judge_bytes);
        let (mut matching, mut unmet) = (Vec::new(), Vec::new());
        for rule in self.speaking(request) {
            match rule.applies(&facts) {
                (truth, _) if is_enough(rule, truth) => matching.push((rule, truth)),
                (_, condition) => unmet.push(Unmet {
                    verdict: rule.verdict(),
                    rule: rule.in_words(),
                    condition: condition.map(ToString::to_string).unwrap_or_default(),
                }),
            }
        }
        let deciding = strictest(&matching).map(|(rule, _)| rule);
        Explanation {
            verdict: deciding.map_or(Verdict::Deny, Rule::verdict),
            rule: deciding.map(|rule| rule.text().to_owned()),
            matched: matching.iter().map(|(rule, _)| (rule.verdict(), rule.in_words())).collect(),
            unmet,
            flaw: facts.flaw(),
            terms: demands(strictest(&matching), &matching),
        }
    }

    /// Judges `request`. A permit carries it on; nothing else makes one.
    pub fn judge(&self, request: CanonicalRequest) -> Judgement<CanonicalRequest> {
        let (deciding, terms, flaw) = self.deciding(&request);
        let Some((rule, truth)) = deciding else {
            let refusal = refused(flaw, "no rule allows this request");
            return Judgement::Denied(Box::new((refusal, request)));
        };
        let text = rule.text().to_owned();
        match rule.verdict() {
            Verdict::Allow => Judgement::Allowed(Permit::new(request, text, terms, None)),
            Verdict::Ask => Judgement::Asks(Awaiting { request, rule: text, terms }),
            Verdict::Deny => {
                let flaw = flaw.filter(|_| truth == Truth::Maybe);
                let refusal = refused(flaw, "a rule denies this request");
                Judgement::Denied(Box::new((refusal.by_rule(text), request)))
            }
        }
    }

    /// Judges `request` where nobody can be asked.
    ///
    /// # Errors
    ///
    /// `policy_denied` where a deny rule or no rule matches, `approval_denied` where an ask rule
    /// decides, `invalid_request` where it would depend on a body that cannot be judged.
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

    /// What it says to a request of which only method and path are known. `known`: whether a rule's
    /// conditions are met, where that is known otherwise.
    pub fn foresee(
        &self,
        request: &CanonicalRequest,
        known: impl Fn(&Rule) -> Option<bool>,
    ) -> Foresight<'_> {
        let (mut certain, mut open) = (Vec::new(), Vec::new());
        for rule in self.speaking(request) {
            match if rule.conditions().is_empty() { Some(true) } else { known(rule) } {
                Some(true) => certain.push((rule, Truth::Yes)),
                Some(false) => {}
                None => open.push(rule.verdict()),
            }
        }
        let deciding = strictest(&certain).map(|(rule, _)| rule);
        let depends = open.into_iter().any(|open| match deciding {
            Some(rule) => open > rule.verdict(),
            None => open != Verdict::Deny,
        });
        if depends {
            return Foresight::Depends;
        }
        Foresight::Certain(deciding.map_or(Verdict::Deny, Rule::verdict), deciding)
    }

    /// The rule that decides, what it demands together with the others that say the same, and the flaw of
    /// what could not be judged.
    fn deciding(
        &self,
        request: &CanonicalRequest,
    ) -> (Option<(&Rule, Truth)>, Terms, Option<&'static str>) {
        let facts = Facts::new(request, self.judge_bytes);
        let matching: Vec<_> = self
            .speaking(request)
            .map(|rule| (rule, rule.applies(&facts).0))
            .filter(|(rule, truth)| is_enough(rule, *truth))
            .collect();
        let deciding = strictest(&matching);
        (deciding, demands(deciding, &matching), facts.flaw())
    }

    /// The rules of this method and path.
    fn speaking(&self, request: &CanonicalRequest) -> impl Iterator<Item = &Rule> {
        let subject = Subject::new(request.path(), self.case_insensitive);
        let method = request.method();
        let candidates = self.index.candidates(&subject).into_iter().map(|at| &self.rules[at]);
        candidates.filter(move |rule| rule.matches(method, &subject))
    }
}

/// A rule that allows needs certainty.
fn is_enough(rule: &Rule, truth: Truth) -> bool {
    match rule.verdict() {
        Verdict::Allow => truth == Truth::Yes,
        Verdict::Ask | Verdict::Deny => truth >= Truth::Maybe,
    }
}

/// What the deciding rule demands, and what every other that says the same does: a broad rule takes
/// nothing away from a narrow one, wherever it stands.
fn demands(deciding: Option<(&Rule, Truth)>, matching: &[(&Rule, Truth)]) -> Terms {
    let Some((rule, _)) = deciding else { return Terms::default() };
    let same = matching.iter().filter(|(other, _)| other.verdict() == rule.verdict());
    same.fold(rule.terms().clone(), |terms, (other, _)| terms.and(other.terms()))
}

/// The first of the strictest, so that the same rule is named each time; one that wants a person outside
/// the agent's client before others, and one that applies for certain before one that may.
fn strictest<'a>(rules: &[(&'a Rule, Truth)]) -> Option<(&'a Rule, Truth)> {
    rules.iter().copied().reduce(|best, next| {
        let rank = |(rule, truth): (&Rule, Truth)| (rule.verdict(), rule.terms().method, truth);
        if rank(next) > rank(best) { next } else { best }
    })
}

/// What could not be judged is the request's fault and not the policy's.
fn refused(flaw: Option<&'static str>, otherwise: &'static str) -> Refusal {
    match flaw {
        Some(flaw) => Refusal::new(Code::InvalidRequest, flaw),
        None => Refusal::new(Code::PolicyDenied, otherwise),
    }
}

#[cfg(test)]
mod tests;
