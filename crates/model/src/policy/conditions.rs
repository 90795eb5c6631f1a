//! What a rule asks of a request beside its method and path.
//!
//! A condition is met, not met, or cannot be told: where a name stands twice, where a value is of
//! another type, where two readers see two things ([`Truth`]). A rule that allows needs certainty; a
//! rule that asks or denies applies to whatever may be meant. The body is read only where a rule that
//! speaks of the request's method and path asks for it, whole, and once ([`Facts`]).

mod decimal;
mod expression;
mod facts;
mod field;
mod glob;
mod graphql;
mod jsonrpc;
mod pairs;
mod size;
mod test;
mod truth;

use std::fmt;

use super::RuleError;
use facts::Body;
use field::{Field, Step};
use size::Size;
use test::Test;

pub(crate) use facts::Facts;
pub(crate) use glob::Glob;
pub(crate) use truth::Truth;

/// One condition of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition(Asks);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Asks {
    Query(Field, Test),
    Body(Field, Test),
    Size(Size),
    GraphQl(Vec<graphql::Pattern>),
    JsonRpc(Vec<Glob>),
}

impl Condition {
    /// Of a parameter of the query: `limit <= 100`.
    ///
    /// # Errors
    ///
    /// It is not a condition.
    pub fn query(text: &str) -> Result<Self, RuleError> {
        let (name, asked) = expression::of_query(text)?;
        Ok(Self(Asks::Query(Field { steps: vec![Step::Name(name)] }, asked)))
    }

    /// Of a field of a JSON body or a form: `amount <= 5000`.
    ///
    /// # Errors
    ///
    /// It is not a condition.
    pub fn body(text: &str) -> Result<Self, RuleError> {
        let (field, asked) = expression::of_body(text)?;
        Ok(Self(Asks::Body(field, asked)))
    }

    /// Whether it is about a part that a tool's arguments have: a field, or their size.
    pub(crate) fn is_of_arguments(&self) -> bool {
        matches!(self.0, Asks::Body(..) | Asks::Size(_))
    }

    /// Of the size of the body: `64KiB`, `> 1MiB`.
    ///
    /// # Errors
    ///
    /// It is not a size.
    pub fn body_size(text: &str) -> Result<Self, RuleError> {
        Ok(Self(Asks::Size(Size::parse(text)?)))
    }

    /// Of the operations of a GraphQL request: `query`, `mutation createIssue|update*`.
    ///
    /// # Errors
    ///
    /// One is not an operation, or there are none.
    pub fn graphql(texts: &[&str]) -> Result<Self, RuleError> {
        let patterns = texts.iter().map(|text| graphql::Pattern::parse(text));
        Ok(Self(Asks::GraphQl(some(patterns.collect::<Result<_, _>>()?)?)))
    }

    /// Of the methods of a JSON-RPC request: `eth_get*`.
    ///
    /// # Errors
    ///
    /// One is not the name of a method, or there are none.
    pub fn jsonrpc(texts: &[&str]) -> Result<Self, RuleError> {
        let glob = |text: &&str| {
            if text.is_empty() || !text.chars().all(|c| c.is_ascii_graphic()) {
                return Err(RuleError {
                    problem: "the name of a method is not one".to_owned(),
                    hint: Some("write `eth_call` or `eth_get*`"),
                });
            }
            Ok(Glob::new(text))
        };
        Ok(Self(Asks::JsonRpc(some(texts.iter().map(glob).collect::<Result<_, _>>()?)?)))
    }

    pub(crate) fn judge(&self, facts: &Facts<'_>) -> Truth {
        match &self.0 {
            Asks::Query(field, test) => facts.query().map_or(Truth::Maybe, |query| {
                of_all(|each| query.visit(field, &mut |found| each(test.judge(found))))
            }),
            Asks::Body(field, test) => match facts.body() {
                None => Truth::Maybe,
                Some(Body::Empty) => test.judge(test::Found::Absent),
                Some(Body::Json(json)) => {
                    of_all(|each| field.visit(json, &mut |found| each(test.judge(found))))
                }
                Some(Body::Form(form)) => {
                    of_all(|each| form.visit(field, &mut |found| each(test.judge(found))))
                }
            },
            Asks::Size(size) => Truth::of(size.holds(facts.body_bytes())),
            Asks::GraphQl(patterns) => facts
                .operations()
                .map_or(Truth::Maybe, |operations| graphql::judge(patterns, operations)),
            Asks::JsonRpc(globs) => facts.calls().map_or(Truth::Maybe, |calls| {
                let known = |call: &str| globs.iter().any(|glob| glob.matches(call));
                let each = calls.iter().map(|call| Truth::of(known(call)));
                Truth::of_all(each).unwrap_or(Truth::Maybe)
            }),
        }
    }
}

/// What holds for all that `visit` tells of.
fn of_all(visit: impl FnOnce(&mut dyn FnMut(Truth))) -> Truth {
    let mut all = None;
    visit(&mut |one| all = Truth::of_all(all.into_iter().chain([one])));
    all.unwrap_or(Truth::Maybe)
}

fn some<T>(list: Vec<T>) -> Result<Vec<T>, RuleError> {
    if list.is_empty() {
        let hint = Some("leave it out where any will do");
        return Err(RuleError { problem: "the list of a condition is empty".to_owned(), hint });
    }
    Ok(list)
}

/// In the notation of the configuration; a parameter of the query begins with `?`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Asks::Query(field, test) => match &*field.steps {
                [Step::Name(name)] if expression::is_bare_query_name(name) => {
                    write!(f, "?{name} {test}")
                }
                _ => write!(f, "?{field} {test}"),
            },
            Asks::Body(field, test) => write!(f, "{field} {test}"),
            Asks::Size(size) => write!(f, "body size {size}"),
            Asks::GraphQl(patterns) => list(f, "graphql", patterns),
            Asks::JsonRpc(globs) => list(f, "jsonrpc", globs),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, items: &[impl fmt::Display]) -> fmt::Result {
    write!(f, "{what} [")?;
    for (at, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
    }
    f.write_str("]")
}

#[cfg(test)]
mod tests;
