//! What conditions ask of a request, read at most once, and only where one asks.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use super::graphql::{self, Operation};
use super::jsonrpc;
use super::pairs::Pairs;
use crate::canonical::CanonicalRequest;
use crate::json::{Flaw, Json};

/// Levels of a body that are looked at.
const DEPTH: usize = 128;
/// Values of a body that are looked at.
const VALUES: usize = 1 << 17;

/// Why something cannot be judged, in our words.
pub(super) type Problem = &'static str;

/// A request, as far as it was looked at.
pub(crate) struct Facts<'a> {
    of: Of<'a>,
    /// Bytes of a body that are judged.
    limit: usize,
    query: OnceCell<Result<Pairs<'a>, Problem>>,
    body: OnceCell<Result<Body<'a>, Problem>>,
    operations: OnceCell<Result<Vec<Operation>, Problem>>,
    calls: OnceCell<Result<Vec<Box<str>>, Problem>>,
    flaw: Cell<Option<Problem>>,
}

/// What is looked at.
#[derive(Clone, Copy)]
enum Of<'a> {
    /// A request over HTTP.
    Request(&'a CanonicalRequest),
    /// The arguments of a tool: JSON, which stands where a request has its body.
    Arguments(&'a [u8]),
}

/// A body, by what it says it is.
#[derive(Debug)]
pub(super) enum Body<'a> {
    /// None.
    Empty,
    /// JSON.
    Json(Json<'a>),
    /// A form.
    Form(Pairs<'a>),
}

impl<'a> Facts<'a> {
    pub(in crate::policy) fn new(request: &'a CanonicalRequest, limit: usize) -> Self {
        Self::of(Of::Request(request), limit)
    }

    /// Those of a tool's arguments, an object, of which at most `limit` bytes are judged.
    pub(crate) fn of_arguments(arguments: &'a [u8], limit: usize) -> Self {
        Self::of(Of::Arguments(arguments), limit)
    }

    fn of(of: Of<'a>, limit: usize) -> Self {
        Self {
            of,
            limit,
            query: OnceCell::new(),
            body: OnceCell::new(),
            operations: OnceCell::new(),
            calls: OnceCell::new(),
            flaw: Cell::new(None),
        }
    }

    /// Why a part of the request that a condition asked for could not be read; the first reason.
    pub(crate) fn flaw(&self) -> Option<Problem> {
        self.flaw.get()
    }

    pub(super) fn body_bytes(&self) -> u64 {
        match self.of {
            Of::Request(request) => request.body_bytes(),
            Of::Arguments(arguments) => arguments.len() as u64,
        }
    }

    /// The parameters of the query.
    pub(super) fn query(&self) -> Option<&Pairs<'a>> {
        self.noted(self.query.get_or_init(|| self.read_query()))
    }

    /// The body.
    pub(super) fn body(&self) -> Option<&Body<'a>> {
        self.noted(self.body.get_or_init(|| self.read_body()))
    }

    /// The operations of a GraphQL request.
    pub(super) fn operations(&self) -> Option<&Vec<Operation>> {
        let read = || {
            let query = self.query().ok_or(graphql::NOT_GRAPHQL)?;
            match self.body().ok_or(graphql::NOT_GRAPHQL)? {
                Body::Empty => graphql::in_query(query),
                Body::Json(json) => graphql::in_body(json, query),
                Body::Form(_) => Err(graphql::NOT_GRAPHQL),
            }
        };
        self.noted(self.operations.get_or_init(read))
    }

    /// The methods of a JSON-RPC request.
    pub(super) fn calls(&self) -> Option<&Vec<Box<str>>> {
        let read = || match self.body().ok_or(jsonrpc::NOT_A_CALL)? {
            Body::Json(json) => jsonrpc::methods(json),
            Body::Empty | Body::Form(_) => Err(jsonrpc::NOT_A_CALL),
        };
        self.noted(self.calls.get_or_init(read))
    }

    fn noted<'s, T>(&'s self, result: &'s Result<T, Problem>) -> Option<&'s T> {
        result
            .as_ref()
            .inspect_err(|problem| {
                if self.flaw.get().is_none() {
                    self.flaw.set(Some(problem));
                }
            })
            .ok()
    }

    fn read_query(&self) -> Result<Pairs<'a>, Problem> {
        let Of::Request(request) = self.of else { return Ok(Pairs::new(Vec::new())) };
        let text = request.target().split_once('?').map_or("", |(_, query)| query);
        if text.contains(';') {
            return Err("there is a `;` in the query, which separates parameters for some");
        }
        let pairs = request.query().iter();
        Ok(Pairs::new(
            pairs.map(|(name, value)| (Cow::from(&**name), Cow::from(&**value))).collect(),
        ))
    }

    fn read_body(&self) -> Result<Body<'a>, Problem> {
        let (body, kind) = match self.of {
            Of::Request(request) if request.unseen().is_some() => {
                return Err("the body is a file, which is not looked at");
            }
            Of::Request(request) => (request.body(), request.content_type().and_then(Kind::of)),
            Of::Arguments(arguments) => (arguments, Some(Kind::Json)),
        };
        if body.is_empty() {
            return Ok(Body::Empty);
        }
        if body.len() > self.limit {
            return Err("the body is larger than what is judged of one");
        }
        match kind {
            Some(Kind::Json) => {
                Json::read(body, DEPTH, VALUES).map(Body::Json).map_err(|flaw| match flaw {
                    Flaw::Utf8 => "the JSON body is not UTF-8",
                    Flaw::Bom => "the JSON body begins with a byte-order mark",
                    Flaw::Syntax | Flaw::Truncated | Flaw::Trailing => {
                        "the body says that it is JSON and is not"
                    }
                    Flaw::Surrogate => "the JSON body has half a surrogate pair in it",
                    Flaw::Depth => "the JSON body nests too deep to be judged",
                    Flaw::Duplicate => "the JSON body names a member twice",
                    Flaw::Values => "the JSON body has too many values to be judged",
                })
            }
            Some(Kind::Form) => Pairs::read_form(body).map(Body::Form),
            None => Err("the body says neither that it is JSON nor that it is a form, in UTF-8"),
        }
    }
}

/// What a body can be for a condition to look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Json,
    Form,
}

impl Kind {
    /// By the `content-type`; in another character set the same bytes are another text.
    fn of(content_type: &str) -> Option<Self> {
        let mut parts = content_type.split(';');
        let essence = parts.next()?.trim().to_ascii_lowercase();
        for parameter in parts {
            let (name, value) = parameter.split_once('=')?;
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
                return None;
            }
        }
        match essence.as_str() {
            "application/json" | "text/json" => Some(Self::Json),
            "application/x-www-form-urlencoded" => Some(Self::Form),
            other if other.starts_with("application/") && other.ends_with("+json") => {
                Some(Self::Json)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_what_its_content_type_says() {
        for (text, kind) in [
            ("application/json", Some(Kind::Json)),
            ("Application/JSON; Charset=\"UTF-8\"", Some(Kind::Json)),
            ("application/vnd.api+json; v=1", Some(Kind::Json)),
            ("application/x-www-form-urlencoded", Some(Kind::Form)),
            ("application/json; charset=utf-16", None),
            ("application/json; charset", None),
            ("application/json5", None),
            ("image/svg+json", None),
            ("text/plain", None),
            ("multipart/form-data; boundary=x", None),
        ] {
            assert_eq!(Kind::of(text), kind, "{text}");
        }
    }
}
