//! The call of a tool of an MCP server, and which calls may be made.
//!
//! Rules say the names of tools, and may have conditions on the arguments. As everywhere the order of
//! rules carries no meaning, the strictest match wins, and what no rule matches is denied.

use std::fmt;

use crate::code::{Code, Refusal};
use crate::injection::Target;
use crate::json::{self, Members};
use crate::pin::Pinning;
use crate::pipeline::Permit;
use crate::policy::{
    Awaiting, Condition, Explanation, Facts, Glob, JUDGE_BYTES, Judgement, RuleError, Terms, Truth,
    Unmet, Verdict,
};
use crate::principal::Name;
use crate::service::{Auth, Keys, Limits};

/// A server whose tools may be called.
///
/// Its secrets are in it since it was started: a call takes none.
#[derive(Clone, Debug)]
pub struct Served {
    /// Its name.
    pub name: Name,
    /// Which tools may be called, and how.
    pub policy: Policy,
    /// Caps and deadlines of a call.
    pub limits: Limits,
    /// The principals that may use it; `None`: every one.
    pub principals: Option<Vec<Name>>,
    /// What happens to a tool whose definition is not the approved one.
    pub pin: Pinning,
    /// Changes whenever its configuration does.
    pub revision: u64,
    /// None.
    pub auth: Auth,
}

impl Served {
    /// One that every principal may use, as far as `policy` says.
    pub fn new(name: Name, policy: Policy) -> Self {
        let (limits, auth) = (Limits::default(), Auth::default());
        let pin = Pinning::default();
        Self { name, policy, limits, principals: None, pin, revision: 0, auth }
    }
}

impl Target for Served {
    type To = Name;

    fn keys(&self) -> Keys<'_> {
        Keys { name: &self.name, auth: &self.auth, revision: self.revision }
    }

    fn to(&self) -> Name {
        self.name.clone()
    }
}

/// Bytes of a tool's name at the most.
pub const LONGEST_NAME: usize = 256;

/// Levels of arguments.
const DEPTH: usize = 64;

/// A tool and its arguments, as they go to its server.
///
/// Invariant: only [`read`](Self::read) makes one, so that what is judged is what is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolCall {
    server: Name,
    tool: Box<str>,
    arguments: Box<str>,
}

impl ToolCall {
    /// The call of `tool`, by the name that its server gives it. Arguments are an object; none are an
    /// empty one.
    ///
    /// # Errors
    ///
    /// `invalid_request`: the name is empty or too long, the arguments are no object, or one that two
    /// readers understand in two ways.
    pub fn read(server: Name, tool: &str, arguments: Option<&str>) -> Result<Self, Refusal> {
        let refuse = |text: &'static str| Err(Refusal::new(Code::InvalidRequest, text));
        if tool.is_empty() || tool.len() > LONGEST_NAME {
            return refuse("the name of the tool is empty, or longer than 256 bytes");
        }
        let arguments = arguments.unwrap_or("{}");
        if let Err(flaw) = json::check(arguments.as_bytes(), DEPTH) {
            return Err(Refusal::new(Code::InvalidRequest, format!("the arguments: {flaw}")));
        }
        if Members::read(arguments).is_none() {
            return refuse("the arguments of a tool are an object");
        }
        Ok(Self { server, tool: tool.into(), arguments: arguments.into() })
    }

    /// The server.
    pub fn server(&self) -> &Name {
        &self.server
    }

    /// The tool, by the name that its server gives it.
    pub fn tool(&self) -> &str {
        &self.tool
    }

    /// The arguments, an object, as they were written.
    pub fn arguments(&self) -> &str {
        &self.arguments
    }
}

/// Arguments may be anybody's data: they are not shown.
impl fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolCall")
            .field("server", &self.server)
            .field("tool", &self.tool)
            .field("arguments", &self.arguments.len())
            .finish()
    }
}

/// What is read of a server and is no call of a tool: a resource, a prompt, a completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The method of MCP.
    pub method: &'static str,
    /// Which one, by the name or address that the server gives it.
    pub what: Box<str>,
}

impl Served {
    /// Permits a reading: whoever may use the server may read what it shows. Rules are about tools.
    pub fn permit(&self, reading: Reading) -> Permit<Reading> {
        let rule = format!("whoever may use {} may read of it", self.name);
        Permit::new(reading, rule, Terms::default(), None)
    }
}

/// `NAME[|NAME...]` with a verdict; `*` within a name is any run of characters.
///
/// A rule that allows matches the same bytes; one that asks or denies does not mind the case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    verdict: Verdict,
    names: Vec<Glob>,
    conditions: Vec<Condition>,
    terms: Terms,
    text: Box<str>,
}

impl Rule {
    /// Reads the names of a rule.
    ///
    /// # Errors
    ///
    /// It is empty, or has white space or control characters in it.
    pub fn parse(verdict: Verdict, text: &str) -> Result<Self, RuleError> {
        let text = text.trim();
        let fits = |name: &str| {
            !name.is_empty()
                && name.len() <= LONGEST_NAME
                && !name.chars().any(|c| c.is_control() || c.is_whitespace())
        };
        if !text.split('|').all(fits) {
            return Err(RuleError {
                problem: "a rule about tools is the names of tools, and nothing else".to_owned(),
                hint: Some("write `get_order`, `get_*` or `get_order|list_*`"),
            });
        }
        let folded = |name: &str| match verdict {
            Verdict::Allow => Glob::new(name),
            Verdict::Ask | Verdict::Deny => Glob::new(&name.to_lowercase()),
        };
        let names = text.split('|').map(folded).collect();
        let (conditions, terms) = (Vec::new(), Terms::default());
        Ok(Self { verdict, names, conditions, terms, text: text.into() })
    }

    /// Reads a rule that stands on one line: `VERDICT NAMES`, and `where CONDITION and CONDITION ...` behind
    /// it.
    ///
    /// # Errors
    ///
    /// It begins with none of `allow`, `ask` and `deny`, or what follows is no rule.
    pub fn read(text: &str) -> Result<Self, RuleError> {
        let (verdict, rest) = text.trim().split_once(' ').unwrap_or_default();
        let verdict = match verdict {
            "allow" => Verdict::Allow,
            "ask" => Verdict::Ask,
            "deny" => Verdict::Deny,
            _ => {
                return Err(RuleError {
                    problem: "a rule about tools begins with `allow`, `ask` or `deny`".to_owned(),
                    hint: Some("write `allow *`, `ask delete_*` or `deny drop_table|drop_index`"),
                });
            }
        };
        let (names, conditions) = rest.split_once(" where ").unwrap_or((rest, ""));
        let conditions = conditions.split(" and ").filter(|text| !text.is_empty());
        let conditions = conditions.map(Condition::body).collect::<Result<_, _>>()?;
        Self::parse(verdict, names)?.with_conditions(conditions)
    }

    /// The same for calls whose arguments meet `conditions`, all of them. They become part of its text.
    ///
    /// # Errors
    ///
    /// One is not about arguments.
    pub fn with_conditions(mut self, conditions: Vec<Condition>) -> Result<Self, RuleError> {
        if !conditions.iter().all(Condition::is_of_arguments) {
            return Err(RuleError {
                problem: "a condition is about something that arguments do not have".to_owned(),
                hint: Some("write conditions on fields: `amount <= 5000`"),
            });
        }
        let mut text = String::from(self.text);
        for (at, condition) in conditions.iter().enumerate() {
            text.push_str(if at == 0 { " where " } else { " and " });
            text.push_str(&condition.to_string());
        }
        self.text = text.into();
        self.conditions = conditions;
        Ok(self)
    }

    /// The same with `terms`.
    #[must_use]
    pub fn with_terms(mut self, terms: Terms) -> Self {
        self.terms = terms;
        self
    }

    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// What it demands beside the match.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The rule as it was written, with its conditions.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The rule as it was written, and what it demands beside: for people and agents.
    pub fn in_words(&self) -> String {
        format!("{}{}", self.text, self.terms)
    }

    fn names(&self, tool: &str) -> bool {
        match self.verdict {
            Verdict::Allow => self.names.iter().any(|name| name.matches(tool)),
            Verdict::Ask | Verdict::Deny => {
                let tool = tool.to_lowercase();
                self.names.iter().any(|name| name.matches(&tool))
            }
        }
    }

    /// Whether it applies, and the first condition that says no.
    fn applies(&self, facts: &Facts<'_>) -> (Truth, Option<&Condition>) {
        let judged = self.conditions.iter().map(|condition| (condition.judge(facts), condition));
        match judged.min_by_key(|(truth, _)| *truth) {
            None | Some((Truth::Yes, _)) => (Truth::Yes, None),
            Some((truth, condition)) => (truth, Some(condition)),
        }
    }

    /// A rule that allows needs certainty.
    fn is_met(&self, truth: Truth) -> bool {
        truth == Truth::Yes || (self.verdict != Verdict::Allow && truth == Truth::Maybe)
    }
}

/// The rules of one server's tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
}

impl Policy {
    /// A policy of `rules`, in any order.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// The policy of these lines, as [`Rule::read`] takes them.
    ///
    /// # Errors
    ///
    /// One of them is no rule.
    pub fn read(lines: &[impl AsRef<str>]) -> Result<Self, RuleError> {
        lines.iter().map(|line| Rule::read(line.as_ref())).collect::<Result<_, _>>().map(Self::new)
    }

    /// The rules, in the order of the configuration.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether some call of `tool` may be allowed, or asked for: what is listed.
    pub fn may_allow(&self, tool: &str) -> bool {
        let speaking = || self.rules.iter().filter(|rule| rule.names(tool));
        let denied = |rule: &Rule| rule.verdict == Verdict::Deny && rule.conditions.is_empty();
        !speaking().any(denied) && speaking().any(|rule| rule.verdict != Verdict::Deny)
    }

    /// The strictest verdict among the rules that match, and how it came about.
    pub fn explain(&self, call: &ToolCall) -> Explanation {
        let facts = Facts::of_arguments(call.arguments.as_bytes(), JUDGE_BYTES);
        let (mut matching, mut unmet) = (Vec::new(), Vec::new());
        for rule in self.rules.iter().filter(|rule| rule.names(&call.tool)) {
            match rule.applies(&facts) {
                (truth, _) if rule.is_met(truth) => matching.push((rule, truth)),
                (_, condition) => unmet.push(Unmet {
                    verdict: rule.verdict,
                    rule: rule.in_words(),
                    condition: condition.map(ToString::to_string).unwrap_or_default(),
                }),
            }
        }
        let deciding = strictest(&matching).map(|(rule, _)| rule);
        Explanation {
            verdict: deciding.map_or(Verdict::Deny, Rule::verdict),
            rule: deciding.map(|rule| rule.text().to_owned()),
            matched: matching.iter().map(|(rule, _)| (rule.verdict, rule.in_words())).collect(),
            unmet,
            flaw: facts.flaw(),
            terms: demands(deciding, &matching),
        }
    }

    /// Judges `call`. A permit carries it on; nothing else makes one.
    pub fn judge(&self, call: ToolCall) -> Judgement<ToolCall> {
        let facts = Facts::of_arguments(call.arguments.as_bytes(), JUDGE_BYTES);
        let speaking = self.rules.iter().filter(|rule| rule.names(&call.tool));
        let matching: Vec<_> = speaking
            .map(|rule| (rule, rule.applies(&facts).0))
            .filter(|(rule, truth)| rule.is_met(*truth))
            .collect();
        let flaw = facts.flaw();
        let Some((rule, truth)) = strictest(&matching) else {
            let refusal = refused(flaw, "no rule allows this call of the tool");
            return Judgement::Denied(Box::new((refusal, call)));
        };
        let (text, terms) = (rule.text().to_owned(), demands(Some(rule), &matching));
        match rule.verdict {
            Verdict::Allow => Judgement::Allowed(Permit::new(call, text, terms, None)),
            Verdict::Ask => Judgement::Asks(Awaiting::new(call, text, terms)),
            Verdict::Deny => {
                let flaw = flaw.filter(|_| truth == Truth::Maybe);
                let refusal = refused(flaw, "a rule denies this call of the tool");
                Judgement::Denied(Box::new((refusal.by_rule(text), call)))
            }
        }
    }
}

/// What could not be judged is the call's fault and not the policy's.
fn refused(flaw: Option<&'static str>, otherwise: &'static str) -> Refusal {
    match flaw {
        Some(flaw) => Refusal::new(Code::InvalidRequest, flaw),
        None => Refusal::new(Code::PolicyDenied, otherwise),
    }
}

/// What the deciding rule demands, and what every other that says the same does.
fn demands(deciding: Option<&Rule>, matching: &[(&Rule, Truth)]) -> Terms {
    let Some(rule) = deciding else { return Terms::default() };
    let same = matching.iter().filter(|(other, _)| other.verdict == rule.verdict);
    same.fold(rule.terms.clone(), |terms, (other, _)| terms.and(&other.terms))
}

/// The first of the strictest, so that the same rule is named each time.
fn strictest<'a>(rules: &[(&'a Rule, Truth)]) -> Option<(&'a Rule, Truth)> {
    rules.iter().copied().reduce(|best, next| {
        let rank = |(rule, truth): (&Rule, Truth)| (rule.verdict, rule.terms.method, truth);
        if rank(next) > rank(best) { next } else { best }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[&str]) -> Policy {
        Policy::read(rules).unwrap()
    }

    fn call(tool: &str, arguments: &str) -> ToolCall {
        ToolCall::read("shop".parse().unwrap(), tool, Some(arguments)).unwrap()
    }

    fn verdict(policy: &Policy, tool: &str, arguments: &str) -> &'static str {
        let explained = policy.explain(&call(tool, arguments)).verdict;
        let judged = match policy.judge(call(tool, arguments)) {
            Judgement::Allowed(permit) => {
                assert_eq!(permit.request().arguments(), arguments);
                (Verdict::Allow, "allow")
            }
            Judgement::Asks(_) => (Verdict::Ask, "ask"),
            Judgement::Denied(denied) => (
                Verdict::Deny,
                if denied.0.code == Code::InvalidRequest { "invalid" } else { "deny" },
            ),
        };
        assert_eq!(explained, judged.0, "one answer, however it is asked for");
        judged.1
    }

    #[test]
    fn the_strictest_rule_wins_wherever_it_stands_and_no_rule_denies() {
        let rules = ["allow get_*|order", "ask order", "deny get_secret"];
        let mut turned = rules;
        turned.reverse();
        for policy in [policy(&rules), policy(&turned)] {
            assert_eq!(verdict(&policy, "get_order", "{}"), "allow");
            assert_eq!(verdict(&policy, "order", "{}"), "ask");
            assert_eq!(verdict(&policy, "get_secret", "{}"), "deny");
            assert_eq!(verdict(&policy, "delete", "{}"), "deny");
        }
        assert_eq!(verdict(&Policy::default(), "order", "{}"), "deny");
    }

    #[test]
    fn what_allows_matches_the_same_bytes_and_what_denies_does_not_mind_the_case() {
        let policy = policy(&["allow *", "allow Get", "deny delete_*"]);
        assert_eq!(verdict(&policy, "DELETE_all", "{}"), "deny");
        assert_eq!(verdict(&policy, "undelete_all", "{}"), "allow");
        let narrow = self::policy(&["allow Get"]);
        assert_eq!(verdict(&narrow, "Get", "{}"), "allow");
        assert_eq!(verdict(&narrow, "get", "{}"), "deny");
    }

    #[test]
    fn conditions_look_into_the_arguments_and_need_certainty_to_allow() {
        let policy = policy(&["allow pay where amount <= 100", "ask pay where amount > 50"]);
        assert_eq!(verdict(&policy, "pay", r#"{"amount": 10}"#), "allow");
        assert_eq!(verdict(&policy, "pay", r#"{"amount": 60}"#), "ask");
        assert_eq!(verdict(&policy, "pay", r#"{"amount": 1000}"#), "ask");
        assert_eq!(
            verdict(&policy, "pay", r#"{"amount": "10"}"#),
            "ask",
            "it may be taken for more"
        );
        assert_eq!(verdict(&policy, "pay", r#"{"Amount": 10}"#), "ask");
        let strict = self::policy(&["allow pay where amount <= 100"]);
        for unsure in ["{}", r#"{"amount":"10"}"#, r#"{"amount":10,"Amount":1000}"#] {
            assert_ne!(verdict(&strict, "pay", unsure), "allow", "{unsure}");
        }
        let other = Condition::query("limit <= 1").unwrap();
        assert!(Rule::read("allow pay").unwrap().with_conditions(vec![other]).is_err());
    }

    #[test]
    fn arguments_that_have_two_readings_are_no_call() {
        let read = |arguments| ToolCall::read("shop".parse().unwrap(), "pay", arguments);
        for bad in ["[]", "1", "{", r#"{"a":1,"a":2}"#, "{\"a\":\"\\ud800\"}", "\u{feff}{}"] {
            assert_eq!(read(Some(bad)).unwrap_err().code, Code::InvalidRequest, "{bad}");
        }
        assert_eq!(read(None).unwrap().arguments(), "{}");
        let long = "x".repeat(257);
        for bad in ["", &long] {
            assert!(ToolCall::read("shop".parse().unwrap(), bad, None).is_err());
        }
    }

    #[test]
    fn only_what_may_be_called_is_listed() {
        let policy =
            policy(&["allow get_*", "ask pay", "deny get_secret", "deny pay where amount > 9"]);
        let listed =
            ["get_order", "pay", "get_secret", "delete"].map(|tool| policy.may_allow(tool));
        assert_eq!(listed, [true, true, false, false]);
    }

    #[test]
    fn a_rule_is_names_and_nothing_else() {
        for bad in ["", " ", "a b", "a|", "|", "a\nb", "a||b"] {
            assert!(Rule::parse(Verdict::Allow, bad).is_err(), "{bad:?}");
        }
        assert_eq!(Rule::read("allow a|b*").unwrap().text(), "a|b*");
        let text = Rule::read("ask pay where amount > 5").unwrap().in_words();
        assert_eq!(text, "pay where amount > 5");
        assert!(!format!("{:?}", call("pay", r#"{"card":"4242"}"#)).contains("4242"));
    }

    #[test]
    fn a_line_that_is_no_rule_is_refused() {
        let twice = "deny pay where amount > 5 and to == \"x\"";
        assert_eq!(Rule::read(twice).unwrap().text(), "pay where amount > 5 and to == x");
        for line in
            ["", "allow", "allow ", "permit *", "*", "Allow *", "allow a b", "allow x where"]
        {
            assert!(Rule::read(line).is_err(), "{line}");
        }
        assert!(Policy::read(&["allow *", "deny"]).is_err());
    }
}
