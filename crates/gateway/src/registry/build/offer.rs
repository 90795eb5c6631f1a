//! How a server is offered behind the gateway: the rules about its tools, and how long it runs.
//!
//! A rule is a text, `"ask order"`, or a table that has it under `rule` and says beside it which
//! arguments it is about and what it demands:
//! `{ rule = "allow pay", arguments = ["amount <= 5000"], rate = "10/min" }`.

use std::time::Duration;

use strongroom_model::policy::{AskMethod, Condition, RuleError, Terms, Verdict};
use strongroom_model::rate::Gcra;
use strongroom_model::server::{Asks, Offer};
use strongroom_model::tool::{Policy, Rule};

use super::super::node::{Node, Value};
use super::{Problem, Reader};

/// The keys of a rule that is a table; the published schema has the same.
pub const RULE_KEYS: &[&str] =
    &["rule", "arguments", "size", "rate", "burst", "method", "code", "ttl"];

/// No yes of a person is good for longer.
const LONGEST: Duration = Duration::from_hours(24);

/// The words that a rule begins with.
const VERDICTS: [(&str, Verdict); 3] =
    [("allow", Verdict::Allow), ("ask", Verdict::Ask), ("deny", Verdict::Deny)];

impl Reader<'_> {
    /// `tools`, `idle`, `lifetime`, `calls_per_minute` and `naming`.
    pub(super) fn offer(&self) -> Result<Offer, Problem> {
        let mut offer = Offer::default();
        if self.node.get("tools").is_some() {
            let rules = self.list("tools")?.iter().map(|node| self.rule(node));
            offer.tools = Policy::new(rules.collect::<Result<_, _>>()?);
        }
        if let Some(idle) = self.time("idle")? {
            offer.idle = idle;
        }
        offer.lifetime = self.time("lifetime")?;
        offer.asks = self.asks()?;
        offer.calls_per_minute = self.number_of_calls("calls_per_minute")?;
        if let Some(node) = self.node.get("naming") {
            offer.plain_names = match self.plain("naming", node)? {
                "safe" => false,
                "plain" => true,
                _ => {
                    let problem = self.text.problem(node.at, "`naming` is no way to name tools");
                    return Err(problem.hint("write `safe`, or `plain` for a server alone"));
                }
            };
        }
        Ok(offer)
    }

    fn number_of_calls(&self, key: &str) -> Result<Option<u32>, Problem> {
        let Some(node) = self.node.get(key) else { return Ok(None) };
        let number = match &node.value {
            Value::Number(number) => number.parse::<u32>().ok(),
            _ => None,
        };
        let number = number.filter(|number| (1..=Gcra::MOST).contains(number));
        let problem = || self.text.problem(node.at, format!("`{key}` is not a number of calls"));
        number.ok_or_else(problem).map(Some)
    }

    fn asks(&self) -> Result<Asks, Problem> {
        let mut asks = Asks::default();
        for node in self.list("asks")? {
            asks = asks.with(self.string("asks", node)?).ok_or_else(|| {
                let problem = self.text.problem(node.at, "`asks` has what no server asks");
                problem.hint("write some of `sampling`, `elicitation`, `roots`, `ui`")
            })?;
        }
        Ok(asks)
    }

    fn rule(&self, node: &Node) -> Result<Rule, Problem> {
        match &node.value {
            Value::Text(_) => self.names(node),
            Value::Table(_) => {
                let table = Reader { text: self.text, node };
                table.only(RULE_KEYS)?;
                let Some(rule) = node.get("rule") else {
                    return Err(self
                        .text
                        .problem(node.at, "`tools` has a table without `rule`")
                        .hint("write `rule = \"ask NAME\"` in it"));
                };
                let rule = self.names(rule)?;
                let terms = table.terms(rule.verdict())?;
                let conditions = table.conditions()?;
                let rule = rule.with_conditions(conditions);
                Ok(rule.map_err(|error| self.of_rule(node, "tools", &error))?.with_terms(terms))
            }
            _ => Err(self
                .text
                .problem(node.at, "`tools` has an element that is not a rule")
                .hint("write `\"allow *\"`, `\"ask order\"` or `\"deny delete_*\"`")),
        }
    }

    /// `allow`, `ask` or `deny`, and the names of tools.
    fn names(&self, node: &Node) -> Result<Rule, Problem> {
        let text = self.plain("tools", node)?.trim();
        let (word, names) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let Some((_, verdict)) = VERDICTS.into_iter().find(|(known, _)| *known == word) else {
            return Err(self
                .text
                .problem(node.at, "`tools`: a rule begins with `allow`, `ask` or `deny`")
                .hint("write `\"allow *\"`, `\"ask order\"` or `\"deny delete_*\"`"));
        };
        Rule::parse(verdict, names).map_err(|error| self.of_rule(node, "tools", &error))
    }

    /// What a table says of the arguments.
    fn conditions(&self) -> Result<Vec<Condition>, Problem> {
        let mut conditions = Vec::new();
        for node in self.list("arguments")? {
            let condition = Condition::body(self.plain("arguments", node)?);
            conditions.push(condition.map_err(|error| self.of_rule(node, "arguments", &error))?);
        }
        if let Some(node) = self.node.get("size") {
            let condition = Condition::body_size(self.plain("size", node)?);
            conditions.push(condition.map_err(|error| self.of_rule(node, "size", &error))?);
        }
        Ok(conditions)
    }

    /// What a table demands beside the match.
    fn terms(&self, verdict: Verdict) -> Result<Terms, Problem> {
        let refuse = |keys: &[&str], why: &str| {
            let found = self.node.members().iter().find(|m| keys.contains(&m.key.as_str()));
            found.map_or(Ok(()), |member| {
                Err(self.text.problem(member.at, format!("`{}` {why}", member.key)))
            })
        };
        if verdict == Verdict::Deny {
            refuse(
                &["rate", "burst", "method", "code", "ttl"],
                "has no meaning in a rule that denies",
            )?;
        }
        if verdict == Verdict::Allow {
            refuse(&["method", "code", "ttl"], "is about asking, and this rule allows")?;
        }
        let ttl = self.time("ttl")?;
        if ttl.is_some_and(|ttl| ttl > LONGEST) {
            let at = self.node.get("ttl").map_or(self.node.at, |node| node.at);
            return Err(self.text.problem(at, "`ttl` of a rule is at most 24 hours"));
        }
        let (method, typed) = (self.method()?, self.typed()?);
        Ok(Terms { rate: self.rate()?, reason: false, method, typed, ttl })
    }

    fn rate(&self) -> Result<Option<Gcra>, Problem> {
        let burst = self.node.get("burst");
        let Some(node) = self.node.get("rate") else {
            return match burst {
                Some(node) => Err(self.text.problem(node.at, "`burst` stands without `rate`")),
                None => Ok(None),
            };
        };
        let Some(mut rate) = Gcra::parse(self.plain("rate", node)?) else {
            let problem = self.text.problem(node.at, "`rate` is not a rate");
            return Err(problem.hint("write `\"60/min\"` or `\"2/s\"`"));
        };
        if let Some(burst) = self.number_of_calls("burst")? {
            rate.burst = burst;
        }
        Ok(Some(rate))
    }

    fn method(&self) -> Result<AskMethod, Problem> {
        let Some(node) = self.node.get("method") else { return Ok(AskMethod::Any) };
        match self.plain("method", node)? {
            "any" => Ok(AskMethod::Any),
            "dialog" => Ok(AskMethod::Dialog),
            _ => Err(self.text.problem(node.at, "`method` is not one of `any`, `dialog`")),
        }
    }

    fn typed(&self) -> Result<bool, Problem> {
        let Some(node) = self.node.get("code") else { return Ok(false) };
        match self.plain("code", node)? {
            "shown" => Ok(false),
            "typed" => Ok(true),
            _ => Err(self.text.problem(node.at, "`code` is not one of `shown`, `typed`")),
        }
    }

    /// A rule's own words do not repeat it.
    fn of_rule(&self, node: &Node, key: &str, error: &RuleError) -> Problem {
        self.text.problem(node.at, format!("`{key}`: {}", error.problem)).maybe_hint(error.hint)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::catalogue::{Origin, Source};
    use super::super::super::{Problem, Text, file};
    use super::*;

    fn offer(lines: &str) -> Result<Offer, Problem> {
        let text = format!("{{\"x\": {{\"command\": \"true\", {lines}}}}}");
        let source = Source { origin: Origin::Named, path: "/r".into(), trusted: true };
        let (entries, _) = file::read(&Text::new("r", text), &source)?;
        Ok(entries[0].server().map_err(Clone::clone)?.offer.clone())
    }

    fn words(offer: &Offer) -> Vec<String> {
        let rules = offer.tools.rules().iter();
        rules.map(|rule| format!("{:?} {}", rule.verdict(), rule.in_words())).collect()
    }

    // MC-17
    #[test]
    fn a_server_asks_for_what_is_written_and_for_nothing_where_nothing_is() {
        assert_eq!(offer(r#""idle": "5m""#).unwrap().asks, Asks::default());
        let asks = offer(r#""asks": ["roots", "sampling"]"#).unwrap().asks;
        assert_eq!(asks, Asks { sampling: true, roots: true, ..Asks::default() });
        for bad in [r#""asks": "roots""#, r#""asks": ["password"]"#, r#""asks": [1]"#] {
            assert!(offer(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rules_are_texts_or_tables_and_everything_is_allowed_where_there_are_none() {
        let offered = offer(
            r#""tools": ["allow get_*|list", {"rule": "ask order", "arguments": ["amount > 5"],
               "size": "64KiB", "rate": "2/s", "burst": 9, "method": "dialog", "ttl": "10m"},
               "deny *"], "idle": "5m", "lifetime": "12h""#,
        );
        let offered = offered.unwrap();
        assert_eq!(
            words(&offered),
            [
                "Allow get_*|list",
                "Ask order where amount > 5 and body size <= 64KiB, at most 120 a minute and 9 at \
                 once, asked outside the agent's client, a yes good for 10m",
                "Deny *"
            ]
        );
        let times = (offered.idle, offered.lifetime);
        assert_eq!(times, (Duration::from_mins(5), Some(Duration::from_hours(12))));
        assert_eq!(words(&offer("\"ttl\": \"1h\"").unwrap()), ["Allow *"]);
        assert!(words(&offer("\"tools\": []").unwrap()).is_empty(), "which allows nothing");
    }

    #[test]
    fn every_mistake_is_named_and_never_repeated() {
        for (lines, expected) in [
            (r#""tools": "canary""#, "`tools` is not a list"),
            (r#""tools": [1]"#, "`tools` has an element that is not a rule"),
            (r#""tools": ["canary"]"#, "`tools`: a rule begins with"),
            (r#""tools": ["allow"]"#, "`tools`: a rule about tools is the names of tools"),
            (r#""tools": ["allow a canary"]"#, "`tools`: a rule about tools is the names of tools"),
            (r#""tools": [{"rule": "ask a", "rat": "1/s"}]"#, "unknown key `rat`"),
            (r#""tools": [{"rate": "1/s"}]"#, "`tools` has a table without `rule`"),
            (r#""tools": [{"rule": "ask a", "rate": "canary"}]"#, "`rate` is not a rate"),
            (r#""tools": [{"rule": "ask a", "burst": 1}]"#, "`burst` stands without `rate`"),
            (r#""tools": [{"rule": "ask a", "rate": "1/s", "burst": 0}]"#, "`burst` is not"),
            (r#""tools": [{"rule": "allow a", "ttl": "1m"}]"#, "`ttl` is about asking"),
            (r#""tools": [{"rule": "deny a", "rate": "1/s"}]"#, "`rate` has no meaning"),
            (r#""tools": [{"rule": "ask a", "ttl": "2d"}]"#, "`ttl` of a rule is at most"),
            (r#""tools": [{"rule": "ask a", "method": "canary"}]"#, "`method` is not one of"),
            (
                r#""tools": [{"rule": "ask a", "arguments": ["canary"]}]"#,
                "`arguments`: a condition",
            ),
            (r#""idle": "canary""#, "`idle` is not a duration"),
        ] {
            let problem = offer(lines).unwrap_err();
            assert!(problem.problem.starts_with(expected), "{lines}: {problem}");
            assert!(!format!("{problem:?}").contains("canary"), "{problem:?}");
        }
    }
}
