//! GraphQL: what kind of operation a request is, and which fields it asks for at the top.
//!
//! Only what every server must read in the same way is judged: one document, one operation that is to
//! be executed, all its top-level fields by their own names, whatever their aliases, through fragments.
//! Stored documents, uploads, and a request that says it twice (in the URL and in the body) are not.

mod document;
mod lexer;

use std::fmt;

use super::facts::Problem;
use super::glob::Glob;
use super::pairs::Pairs;
use super::truth::Truth;
use crate::json::{Json, Object};
use crate::policy::RuleError;

pub(super) use document::Operation;

pub(super) const NOT_GRAPHQL: Problem = "the request is not one of GraphQL that can be judged";
const UNCLEAR: Problem = "which GraphQL document this request means is not clear";

/// `mutation createIssue|updateIssue`: a kind of operation, and its fields; all where none is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    kind: Kind,
    fields: Vec<Glob>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Query,
    Mutation,
    Subscription,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Query, Self::Mutation, Self::Subscription];

    fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }

    fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, RuleError> {
        let refuse = |problem: &str| RuleError {
            problem: problem.to_owned(),
            hint: Some("write `query`, `query viewer|issue*` or `mutation createIssue`"),
        };
        let mut words = text.split_ascii_whitespace();
        let kind = words.next().and_then(Kind::of);
        let kind = kind.ok_or_else(|| refuse("an operation is not of a known kind"))?;
        let of_field = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '*';
        let fields = match (words.next(), words.next()) {
            (None, _) => Vec::new(),
            (Some(fields), None) => fields
                .split('|')
                .map(|field| {
                    let is_name = !field.is_empty() && field.chars().all(of_field);
                    is_name
                        .then(|| Glob::new(field))
                        .ok_or_else(|| refuse("the name of a field is not one"))
                })
                .collect::<Result<_, _>>()?,
            _ => return Err(refuse("an operation has more than a kind and fields")),
        };
        Ok(Self { kind, fields })
    }

    fn matches(&self, kind: Kind, field: &str) -> bool {
        self.kind == kind
            && (self.fields.is_empty() || self.fields.iter().any(|glob| glob.matches(field)))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        for (at, field) in self.fields.iter().enumerate() {
            write!(f, "{}{field}", if at == 0 { " " } else { "|" })?;
        }
        Ok(())
    }
}

/// Whether every field of every operation is of `patterns`; where only some are, it depends.
pub(super) fn judge(patterns: &[Pattern], operations: &[Operation]) -> Truth {
    let each = operations.iter().flat_map(|operation| {
        operation.fields.iter().map(|field| {
            Truth::of(patterns.iter().any(|pattern| pattern.matches(operation.kind, field)))
        })
    });
    Truth::of_all(each).unwrap_or(Truth::Maybe)
}

/// The operations of a JSON body: one, or a list of them.
pub(super) fn in_body(json: &Json<'_>, query: &Pairs<'_>) -> Result<Vec<Operation>, Problem> {
    // There are servers that look for them in the URL first.
    for name in ["query", "operationName", "variables", "extensions", "id", "documentId"] {
        if query.only(name) != Ok(None) {
            return Err(UNCLEAR);
        }
    }
    match json {
        Json::List(requests) if !requests.is_empty() => requests.iter().map(in_object).collect(),
        single => Ok(vec![in_object(single)?]),
    }
}

fn in_object(json: &Json<'_>) -> Result<Operation, Problem> {
    let Json::Object(request) = json else { return Err(NOT_GRAPHQL) };
    let (mut document, mut name) = (None, None);
    for (member, value) in request.iter() {
        match (member, value) {
            ("query", Json::Text(text)) => document = Some(text),
            ("operationName", Json::Text(text)) if !text.is_empty() => name = Some(&**text),
            ("operationName" | "variables" | "extensions", Json::Null)
            | ("variables", Json::Object(_)) => {}
            ("extensions", Json::Object(extensions)) if !is_stored(extensions) => {}
            _ => return Err(UNCLEAR),
        }
    }
    document::operation(document.ok_or(NOT_GRAPHQL)?, name)
}

/// Whether the document is one that the server has.
fn is_stored(extensions: &Object<'_>) -> bool {
    extensions.like("persistedQuery").next().is_some()
}

/// The operation in the query of a GET.
pub(super) fn in_query(query: &Pairs<'_>) -> Result<Vec<Operation>, Problem> {
    let only = |name| query.only(name).map_err(|()| UNCLEAR);
    for name in ["id", "documentId"] {
        if only(name)?.is_some() {
            return Err(UNCLEAR);
        }
    }
    only("variables")?;
    if only("extensions")?.is_some_and(|text| !matches!(text, "" | "{}" | "null")) {
        return Err(UNCLEAR);
    }
    let name = only("operationName")?.filter(|name| !name.is_empty());
    Ok(vec![document::operation(only("query")?.ok_or(NOT_GRAPHQL)?, name)?])
}

#[cfg(test)]
mod tests;
