//! What may be asked of a program: rules in, a decision out.
//!
//! As for requests, the order of rules carries no meaning, and the strictest match wins: deny over
//! ask over allow. A command line that no rule matches is denied.

use super::invocation::Invocation;
use super::pattern::{Pattern, Reading};
use crate::code::{Code, Refusal};
use crate::pipeline::Permit;
use crate::policy::{Awaiting, Explanation, Judgement, RuleError, Terms, Verdict};

/// `PROGRAM WORD...` with a verdict.
///
/// A word is literal; `a|b` is one of several, `text*` what begins so, `*` one argument, `**` at the
/// end the rest. Quotes around a word keep it as it is.
///
/// A rule that allows matches word for word, and its `*` is neither empty nor an option. A rule that
/// asks or denies matches whatever the program may take for the same: it holds for every command line
/// that begins so, with other options anywhere; an option that it names is found wherever it stands,
/// shortened (`--upl`), with a value (`--x=y`), joined (`-cx`) or among others (`-vc`), and so is
/// `text*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    verdict: Verdict,
    pattern: Pattern,
    terms: Terms,
    text: Box<str>,
}

impl Rule {
    /// Reads a rule about the program that is called `program`.
    ///
    /// # Errors
    ///
    /// Another program, `**` before the end, a quote that is open, an empty pattern.
    pub fn parse(verdict: Verdict, program: &str, text: &str) -> Result<Self, RuleError> {
        let (word, pattern) = Pattern::parse(text)?;
        if word != program {
            return Err(RuleError {
                problem: format!("the first word is not the program's name, `{program}`"),
                hint: Some("write the program and its arguments: `git push|pull **`"),
            });
        }
        let text = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Self { verdict, pattern, terms: Terms::default(), text: text.into() })
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

    /// The rule as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The rule as it was written, and what it demands beside: for people and agents.
    pub fn in_words(&self) -> String {
        format!("{}{}", self.text, self.terms)
    }

    /// Whether it is a rule that allows, and `args` stand behind the program's name as it says.
    pub fn allows(&self, args: &[String]) -> bool {
        self.verdict == Verdict::Allow && self.pattern.matches(args, Reading::Exact)
    }

    fn matches(&self, invocation: &Invocation) -> bool {
        let reading = match self.verdict {
            Verdict::Allow => Reading::Exact,
            Verdict::Ask | Verdict::Deny => Reading::Broad,
        };
        self.pattern.matches(invocation.args(), reading)
    }
}

/// The rules of one program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

impl Policy {
    /// A policy of `rules`, in any order.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// The rules, in the order of the configuration.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether every command line is allowed by one rule (`git **`).
    pub fn allows_everything(&self) -> bool {
        let allowed = self.rules.iter().filter(|rule| rule.verdict == Verdict::Allow);
        allowed.into_iter().any(|rule| rule.pattern.matches_everything())
    }

    /// The strictest verdict among the rules that match, and how it came about.
    pub fn explain(&self, invocation: &Invocation) -> Explanation {
        let matching = self.matching(invocation);
        let (verdict, rule) = match strictest(&matching) {
            Some(rule) => (rule.verdict, Some(rule.text().to_owned())),
            None => (Verdict::Deny, None),
        };
        let matched = matching.iter().map(|rule| (rule.verdict, rule.text().to_owned()));
        Explanation::new(verdict, rule, matched.collect())
    }

    /// Judges `invocation`. A permit carries it on; nothing else makes one.
    pub fn judge(&self, invocation: Invocation) -> Judgement<Invocation> {
        let matching = self.matching(&invocation);
        let Some(rule) = strictest(&matching) else {
            let refusal = Refusal::new(Code::PolicyDenied, "no rule allows this command");
            return Judgement::Denied(Box::new((refusal, invocation)));
        };
        // A broad rule takes nothing away from what a narrow one demands, wherever it stands.
        let same = matching.iter().filter(|other| other.verdict == rule.verdict);
        let terms = same.fold(rule.terms.clone(), |terms, other| terms.and(&other.terms));
        let text = rule.text().to_owned();
        match rule.verdict {
            Verdict::Allow => Judgement::Allowed(Permit::new(invocation, text, terms, None)),
            Verdict::Ask => Judgement::Asks(Awaiting::new(invocation, text, terms)),
            Verdict::Deny => {
                let refusal = Refusal::new(Code::PolicyDenied, "a rule denies this command");
                Judgement::Denied(Box::new((refusal.by_rule(text), invocation)))
            }
        }
    }

    /// Judges `invocation` where nobody can be asked.
    ///
    /// # Errors
    ///
    /// `policy_denied` where a deny rule or no rule matches, `approval_denied` where an ask rule
    /// decides.
    pub fn decide(
        &self,
        invocation: Invocation,
    ) -> Result<Permit<Invocation>, Box<(Refusal, Invocation)>> {
        match self.judge(invocation) {
            Judgement::Allowed(permit) => Ok(permit),
            Judgement::Asks(awaiting) => {
                let text = "a person must approve this, and nobody can be asked here";
                Err(Box::new(awaiting.refuse(Refusal::new(Code::ApprovalDenied, text))))
            }
            Judgement::Denied(denied) => Err(denied),
        }
    }

    fn matching(&self, invocation: &Invocation) -> Vec<&Rule> {
        self.rules.iter().filter(|rule| rule.matches(invocation)).collect()
    }
}

/// The first of the strictest, so that the same rule is named each time.
fn strictest<'a>(rules: &[&'a Rule]) -> Option<&'a Rule> {
    let rank = |rule: &Rule| (rule.verdict, rule.terms.method);
    rules.iter().copied().reduce(|best, rule| if rank(rule) > rank(best) { rule } else { best })
}

#[cfg(test)]
pub(super) mod tests;
