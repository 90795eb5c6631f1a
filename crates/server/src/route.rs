//! The routes: one table that requests are dispatched by, that the document is made of, and that the
//! tests go through row by row.

use std::collections::HashMap;
use std::str::FromStr;

use serde::Serialize;
use strongroom_model::ports::BoxFuture;
use strongroom_model::team::Scope;

use zeroize::Zeroizing;

use crate::app::App;
use crate::backend::Caller;
use crate::problem::Problem;
use crate::routes;
use crate::shape::{Input, Shape};

/// One endpoint.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// Parts in braces stand for one segment each, which is a field of `path_fields`.
    pub(crate) path: &'static str,
    /// The same by other names.
    pub(crate) aliases: &'static [&'static str],
    pub(crate) access: Access,
    /// What it is called in the audit and in the document, `server.register`.
    pub(crate) act: &'static str,
    /// The fields that say what it is done to, the first that is there counts.
    pub(crate) subject: &'static [&'static str],
    /// What it does, for the document.
    pub(crate) about: &'static str,
    /// The fields of its path.
    pub(crate) path_fields: Shape,
    /// The fields of its body, or of its query where it is a GET or a DELETE.
    pub(crate) fields: Shape,
    /// `data` in its answer.
    pub(crate) answer: Shape,
    /// Whether the answer says `"status": "success"`.
    pub(crate) says_status: bool,
    /// Whether an `Idempotency-Key` is heeded.
    pub(crate) repeatable: bool,
    /// Whether a request that is done is recorded, before it is answered: it changes something, or shows
    /// a secret. One that is refused always is.
    pub(crate) recorded: bool,
    pub(crate) handle: Handle,
}

/// Who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Every key that is valid, and kernels.
    Anyone,
    /// A key with the first scope, or with the second; a kernel where the third says so.
    Tenant(Scope, Option<Scope>, bool),
    /// A key of the scope `admin`: for its own tenant, or an operator's for all.
    Admin,
    /// An operator's key of the scope `admin`.
    Operator,
}

/// What a request came down to.
pub(crate) struct Call<'a> {
    pub(crate) caller: Caller,
    /// Whether the caller administers the installation.
    pub(crate) operator: bool,
    pub(crate) input: Input<'a>,
    /// The body as it was sent; `input` was read from it.
    pub(crate) body: &'a [u8],
}

impl Call<'_> {
    /// The id that a field is.
    pub(crate) fn id<T: FromStr>(&self, field: &'static str) -> Result<T, Problem> {
        let text = self.input.text(field).unwrap_or_default();
        text.parse().map_err(|_| Problem::field(field, format!("`{field}` is not an id")))
    }
}

/// How a route is handled.
pub(crate) struct Handle(
    pub(crate) for<'a> fn(&'a App, Call<'a>) -> BoxFuture<'a, Result<Data, Problem>>,
);

/// The `data` of an answer, as JSON. It may hold a credential, so it is wiped.
pub(crate) struct Data(pub(crate) Zeroizing<Vec<u8>>);

impl Data {
    pub(crate) fn of(data: &impl Serialize) -> Result<Self, Problem> {
        // No shape of ours fails to be written.
        let data = serde_json::to_vec(data).map_err(|_| Problem::not_found())?;
        Ok(Self(Zeroizing::new(data)))
    }
}

impl Route {
    /// Whether its fields stand in the query.
    pub(crate) fn by_query(&self) -> bool {
        matches!(self.method, "GET" | "DELETE")
    }

    /// Whether a kernel may ask, and has to name its tenant.
    pub(crate) fn for_kernels(&self) -> bool {
        matches!(self.access, Access::Anyone | Access::Tenant(_, _, true))
    }

    /// All its paths.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.path).chain(self.aliases.iter().copied())
    }
}

/// Finds the route of a request.
pub(crate) struct Router {
    exact: HashMap<&'static str, Vec<&'static Route>>,
    patterns: Vec<(Vec<&'static str>, &'static Route)>,
}

/// What was found.
pub(crate) enum Found<'a> {
    Route(&'static Route, Vec<(&'static str, &'a str)>),
    /// There is such a page, for other methods.
    Methods(Vec<&'static str>),
    Nothing,
}

impl Router {
    pub(crate) fn new() -> Self {
        let mut router = Self { exact: HashMap::new(), patterns: Vec::new() };
        for route in routes::all() {
            for path in route.paths() {
                if path.contains('{') {
                    router.patterns.push((path.split('/').collect(), route));
                } else {
                    router.exact.entry(path).or_default().push(route);
                }
            }
        }
        router
    }

    /// Compares byte for byte: a path in another spelling is another path.
    pub(crate) fn find<'a>(&self, method: &str, path: &'a str) -> Found<'a> {
        let mut methods = Vec::new();
        for route in self.exact.get(path).into_iter().flatten() {
            if route.method == method {
                return Found::Route(route, Vec::new());
            }
            methods.push(route.method);
        }
        let segments: Vec<_> = path.split('/').collect();
        for (pattern, route) in &self.patterns {
            let Some(fields) = matching(pattern, &segments) else { continue };
            if route.method == method {
                return Found::Route(route, fields);
            }
            methods.push(route.method);
        }
        if methods.is_empty() { Found::Nothing } else { Found::Methods(methods) }
    }
}

fn matching<'a>(
    pattern: &[&'static str],
    segments: &[&'a str],
) -> Option<Vec<(&'static str, &'a str)>> {
    if pattern.len() != segments.len() {
        return None;
    }
    let mut fields = Vec::new();
    for (part, segment) in pattern.iter().zip(segments) {
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) if !segment.is_empty() => fields.push((name, *segment)),
            _ if part == segment => {}
            _ => return None,
        }
    }
    Some(fields)
}
