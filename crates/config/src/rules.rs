//! The rules of a service: `allow`, `ask`, `deny` and the block form `policies`.
//!
//! A rule is a string, `"GET /v1/**"`, or a table that has it under `rule` and says beside it which
//! requests it is about and what it demands of them:
//! `{ rule = "POST /v1/charges", body = ["amount <= 5000"], rate = "10/min", reason = "required" }`.

use std::time::Duration;

use strongroom_model::policy::{AskMethod, Condition, Policy, Rule, RuleError, Terms, Verdict};
use strongroom_model::rate::Gcra;

use super::ConfigError;
use super::reader::{Section, Text, Value};
use super::{cache, limits};

/// What `i_understand` says where a rule allows everything.
pub const ALLOW_ALL: &str = "allow-all";
/// The rule that allows everything.
pub const ALLOW_ALL_RULE: &str = "* /**";

/// The keys of a rule that is a table.
pub(super) const KEYS: &[&str] = &[
    "rule",
    "query",
    "body",
    "body_size",
    "graphql",
    "jsonrpc",
    "rate",
    "burst",
    "reason",
    "method",
    "code",
    "ttl",
];
/// The keys of a program's rule that is a table: there is neither query nor body.
pub(super) const PROGRAM_KEYS: &[&str] =
    &["rule", "rate", "burst", "reason", "method", "code", "ttl"];
/// The keys of the block form.
pub(super) const BLOCK_KEYS: &[&str] = &[
    "path",
    "methods",
    "query",
    "body",
    "body_size",
    "graphql",
    "jsonrpc",
    "rate",
    "burst",
    "reason",
];

/// No yes of a person is good for longer.
const LONGEST: Duration = Duration::from_hours(24);

/// Reads the policy of a service.
pub(super) fn read(section: &Section<'_>) -> Result<Policy, ConfigError> {
    let mut rules = Vec::new();
    for (key, verdict) in
        [("allow", Verdict::Allow), ("ask", Verdict::Ask), ("deny", Verdict::Deny)]
    {
        for value in section.list(key)? {
            rules.push(rule(key, verdict, value)?);
        }
    }
    for value in section.list("policies")? {
        rules.push(block(&value.section()?)?);
    }
    let policy = Policy::new(rules, section.flag("case_insensitive")?.unwrap_or(false))
        .with_judge_bytes(limits::judge_bytes(section)?);
    check_understood(section, &policy)?;
    Ok(policy)
}

/// One element of `allow`, `ask` or `deny`.
fn rule(key: &str, verdict: Verdict, value: Value<'_>) -> Result<Rule, ConfigError> {
    if value.is_text() {
        return parse(key, verdict, &value.text()?);
    }
    let Ok(table) = value.section() else {
        return Err(value
            .problem(format!("`{key}` has an element that is not a rule"))
            .hint("write `\"GET /v1/**\"`, or `{ rule = \"GET /v1/**\", rate = \"10/min\" }`"));
    };
    table.only(KEYS)?;
    let Some(text) = table.text("rule")? else {
        return Err(table
            .problem(format!("`{key}` has a table without `rule`"))
            .hint("write `rule = \"METHOD /PATH\"` in it"));
    };
    with_terms(parse(key, verdict, &text)?, &table)
}

/// One block of `policies`, which allows.
fn block(block: &Section<'_>) -> Result<Rule, ConfigError> {
    block.only(BLOCK_KEYS)?;
    let Some(path) = block.text("path")? else {
        return Err(block.problem("the block has no `path`"));
    };
    let methods = block.texts("methods")?;
    if methods.is_empty() {
        return Err(block.problem("the block has no `methods`"));
    }
    let methods: Vec<&str> = methods.iter().map(Text::text).collect();
    let rule = Rule::from_block(path.text(), &methods);
    with_terms(rule.map_err(|error| rule_error(&path, "policies", &error))?, block)
}

fn parse(key: &str, verdict: Verdict, text: &Text<'_>) -> Result<Rule, ConfigError> {
    Rule::parse(verdict, text.text()).map_err(|error| rule_error(text, key, &error))
}

/// The rule's own words do not repeat it.
fn rule_error(text: &Text<'_>, key: &str, error: &RuleError) -> ConfigError {
    text.problem(format!("`{key}`: {}", error.problem)).maybe_hint(error.hint)
}

/// What a table says beside the rule itself.
fn with_terms(rule: Rule, table: &Section<'_>) -> Result<Rule, ConfigError> {
    let terms = terms(rule.verdict(), table)?;
    Ok(rule.with_conditions(conditions(table)?).with_terms(terms))
}

/// What the table of a rule with this verdict demands.
pub(super) fn terms(verdict: Verdict, table: &Section<'_>) -> Result<Terms, ConfigError> {
    let refuse = |keys: &[&'static str], why: &str| {
        let value = keys.iter().find_map(|key| Some((key, table.value(key)?)));
        value.map_or(Ok(()), |(key, value)| Err(value.problem(format!("`{key}` {why}"))))
    };
    if verdict == Verdict::Deny {
        let demands = ["rate", "burst", "reason", "method", "code", "ttl"];
        refuse(&demands, "has no meaning in a rule that denies")?;
    }
    if verdict == Verdict::Allow {
        refuse(&["method", "code", "ttl"], "is about asking, and this rule allows")?;
    }
    Ok(Terms {
        rate: rate(table)?,
        reason: reason(table)?,
        method: method(table)?,
        typed: typed(table)?,
        ttl: cache::duration(table, "ttl", LONGEST)?,
    })
}

type Parse = fn(&str) -> Result<Condition, RuleError>;
type ParseAll = fn(&[&str]) -> Result<Condition, RuleError>;

/// What a table says of query and body.
fn conditions(table: &Section<'_>) -> Result<Vec<Condition>, ConfigError> {
    let mut conditions = Vec::new();
    for (key, parse) in [("query", Condition::query as Parse), ("body", Condition::body)] {
        for text in table.texts(key)? {
            let condition = parse(text.text());
            conditions.push(condition.map_err(|error| rule_error(&text, key, &error))?);
        }
    }
    if let Some(text) = table.text("body_size")? {
        let condition = Condition::body_size(text.text());
        conditions.push(condition.map_err(|error| rule_error(&text, "body_size", &error))?);
    }
    for (key, parse) in
        [("graphql", Condition::graphql as ParseAll), ("jsonrpc", Condition::jsonrpc)]
    {
        let Some(value) = table.value(key) else { continue };
        let texts = table.texts(key)?;
        let words: Vec<&str> = texts.iter().map(Text::text).collect();
        conditions.push(parse(&words).map_err(|error| {
            value.problem(format!("`{key}`: {}", error.problem)).maybe_hint(error.hint)
        })?);
    }
    Ok(conditions)
}

fn rate(table: &Section<'_>) -> Result<Option<Gcra>, ConfigError> {
    let burst = table.value("burst");
    let Some(text) = table.text("rate")? else {
        return match burst {
            Some(burst) => Err(burst.problem("`burst` stands without `rate`")),
            None => Ok(None),
        };
    };
    let Some(mut rate) = Gcra::parse(text.text()) else {
        return Err(text.problem("`rate` is not a rate").hint("write `\"60/min\"` or `\"2/s\"`"));
    };
    if let Some(value) = burst {
        let number = value.number_or_text()?.ok().and_then(|number| u32::try_from(number).ok());
        rate.burst = number
            .filter(|number| (1..=Gcra::MOST).contains(number))
            .ok_or_else(|| value.problem("`burst` is not a number of calls"))?;
    }
    Ok(Some(rate))
}

fn reason(table: &Section<'_>) -> Result<bool, ConfigError> {
    match table.text("reason")? {
        None => Ok(false),
        Some(text) if text.text() == "required" => Ok(true),
        Some(text) if text.text() == "optional" => Ok(false),
        Some(text) => Err(text.problem("`reason` is not one of `required`, `optional`")),
    }
}

fn method(table: &Section<'_>) -> Result<AskMethod, ConfigError> {
    match table.text("method")? {
        None => Ok(AskMethod::Any),
        Some(text) if text.text() == "any" => Ok(AskMethod::Any),
        Some(text) if text.text() == "dialog" => Ok(AskMethod::Dialog),
        Some(text) => Err(text.problem("`method` is not one of `any`, `dialog`")),
    }
}

/// Whether the code has to be typed, which an agent's client shows and the window does not.
fn typed(table: &Section<'_>) -> Result<bool, ConfigError> {
    match table.text("code")? {
        None => Ok(false),
        Some(text) if text.text() == "shown" => Ok(false),
        Some(text) if text.text() == "typed" => Ok(true),
        Some(text) => Err(text.problem("`code` is not one of `shown`, `typed`")),
    }
}

fn check_understood(section: &Section<'_>, policy: &Policy) -> Result<(), ConfigError> {
    let understood = section.text("i_understand")?;
    if let Some(text) = &understood
        && text.text() != ALLOW_ALL
    {
        return Err(text
            .problem("`i_understand` says something else")
            .hint("write `i_understand = \"allow-all\"`, or remove it"));
    }
    if policy.allows_everything() && understood.is_none() {
        return Err(section
            .problem("a rule allows everything")
            .hint("write narrower rules, or say `i_understand = \"allow-all\"` (`--allow-all`)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn policy(lines: &str) -> Result<Policy, ConfigError> {
        let text = format!(
            "[services.x]\nbase_url = \"https://a.example\"\n\
             auth = {{ type = \"bearer\", token = \"local://x/token\" }}\n{lines}\n"
        );
        let config = Config::parse("t", &text)?;
        Ok(config.service("x").unwrap().policy.clone())
    }

    #[test]
    fn a_rule_is_a_string_or_a_table_and_says_what_it_demands() {
        let policy = policy(
            "allow = [\"GET /a\", { rule = \"POST /b\", rate = \"60/min\", burst = 10, reason = \"required\" }]\n\
             ask = [{ rule = \"PUT /c\", method = \"dialog\", ttl = \"10m\", rate = \"2/s\" }]\n\
             policies = [{ path = \"/d\", methods = [\"GET\"], rate = \"5/min\", query = [\"a == b\"] }]\n\
             deny = [{ rule = \"POST /b\", body = [\"amount > 5000\", \"x.y in [a,b]\"], body_size = \"1KiB\" },\n\
             { rule = \"POST /g\", graphql = [\"mutation delete*\"] }, { rule = \"POST /r\", jsonrpc = [\"a\", \"b*\"] }]",
        )
        .unwrap();
        let words: Vec<_> = policy.rules().iter().map(Rule::in_words).collect();
        assert_eq!(
            words,
            [
                "GET /a",
                "POST /b, at most 60 a minute and 10 at once, with a reason",
                "PUT /c, at most 120 a minute and 2 at once, asked outside the agent's client, a yes good for 10m",
                "POST /b where amount > 5000 and x.y in [a, b] and body size <= 1KiB",
                "POST /g where graphql [mutation delete*]",
                "POST /r where jsonrpc [a, b*]",
                "GET /d where ?a == b, at most 5 a minute",
            ]
        );
        let terms = policy.rules()[2].terms();
        assert_eq!((terms.method, terms.ttl), (AskMethod::Dialog, Some(Duration::from_mins(10))));
        assert_eq!(terms.rate, Some(Gcra { per_minute: 120, burst: 2 }));
    }

    #[test]
    fn every_mistake_in_a_rule_is_named_and_never_repeated() {
        for (lines, expected) in [
            ("allow = [1]", "`allow` has an element that is not a rule"),
            ("allow = [{ rate = \"1/min\" }]", "`allow` has a table without `rule`"),
            ("allow = [{ rule = \"canary\" }]", "`allow`: a rule is a method and a path"),
            ("allow = [{ rule = \"GET /a\", rat = \"1/min\" }]", "unknown key `rat`"),
            ("allow = [{ rule = \"GET /a\", rate = \"canary\" }]", "`rate` is not a rate"),
            ("allow = [{ rule = \"GET /a\", rate = \"0/min\" }]", "`rate` is not a rate"),
            ("allow = [{ rule = \"GET /a\", rate = \"+1/min\" }]", "`rate` is not a rate"),
            ("allow = [{ rule = \"GET /a\", rate = 1 }]", "`rate` is not a string"),
            ("allow = [{ rule = \"GET /a\", burst = 1 }]", "`burst` stands without `rate`"),
            (
                "allow = [{ rule = \"GET /a\", rate = \"1/s\", burst = 0 }]",
                "`burst` is not a number of calls",
            ),
            (
                "allow = [{ rule = \"GET /a\", reason = \"canary\" }]",
                "`reason` is not one of `required`, `optional`",
            ),
            ("allow = [{ rule = \"GET /a\", ttl = \"1m\" }]", "`ttl` is about asking"),
            ("ask = [{ rule = \"GET /a\", method = \"canary\" }]", "`method` is not one of"),
            ("ask = [{ rule = \"GET /a\", ttl = \"2d\" }]", "`ttl` is not a duration of at most"),
            ("deny = [{ rule = \"GET /a\", rate = \"1/min\" }]", "`rate` has no meaning"),
            (
                "deny = [{ rule = \"GET /a\", body = [\"canary\"] }]",
                "`body`: a condition has an operator",
            ),
            ("deny = [{ rule = \"GET /a\", body = \"canary == 1\" }]", "`body` is not a list"),
            (
                "deny = [{ rule = \"GET /a\", query = [\"canary <= canary\"] }]",
                "`query`: `<`, `<=`",
            ),
            (
                "deny = [{ rule = \"GET /a\", graphql = [\"canary\"] }]",
                "`graphql`: an operation is not",
            ),
            ("deny = [{ rule = \"GET /a\", graphql = [] }]", "`graphql`: the list of a condition"),
            (
                "deny = [{ rule = \"GET /a\", jsonrpc = [\"canary canary\"] }]",
                "`jsonrpc`: the name",
            ),
            ("deny = [{ rule = \"GET /a\", body_size = \"canary\" }]", "`body_size`: the size"),
            ("policies = [{ path = \"/canary*\", methods = [\"GET\"] }]", "`policies`: a wildcard"),
        ] {
            let error = policy(lines).unwrap_err();
            assert!(error.problem.starts_with(expected), "{lines}: {error}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }
}
