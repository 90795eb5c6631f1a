//! Pages that need no key: they tell nothing of any tenant.

use crate::app::App;
use crate::openapi;
use crate::reply::Outcome;
use crate::shape::{Field, Kind, Shape};

/// One page.
pub(crate) struct Page {
    pub(crate) path: &'static str,
    pub(crate) about: &'static str,
    which: Which,
}

enum Which {
    Alive,
    Ready,
    Metrics,
    Document,
}

/// All of them.
pub(crate) static PAGES: [Page; 4] = [
    Page { path: "/healthz", about: "Whether the process runs.", which: Which::Alive },
    Page {
        path: "/readyz",
        about: "Whether requests can be answered: the store is reachable, its key usable.",
        which: Which::Ready,
    },
    Page { path: "/metrics", about: "Counters, for Prometheus.", which: Which::Metrics },
    Page { path: "/openapi.json", about: "This document.", which: Which::Document },
];

/// Where MCP is spoken.
pub(crate) const MCP: &str = "/mcp";
pub(crate) const MCP_METHODS: [&str; 3] = ["POST", "GET", "DELETE"];
/// A kernel's tenant: the body is not ours, so it stands in the query.
pub(crate) const MCP_QUERY: Shape =
    Shape::of(&[Field::optional("tenant_id", Kind::UUID, "The tenant that a kernel acts for.")]);
/// Bytes of a message.
pub(crate) const MESSAGE: usize = 4 << 20;

/// The page at `path`.
pub(crate) fn find(path: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.path == path)
}

/// What it says now.
pub(crate) async fn answer(app: &App, page: &Page) -> Outcome {
    let text = |status, text: &str| Outcome::Page {
        status,
        kind: "text/plain; charset=utf-8",
        text: text.to_owned(),
    };
    match page.which {
        Which::Alive => text(200, "ok\n"),
        Which::Ready => match app.backend.team.ready().await {
            Ok(()) => text(200, "ready\n"),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "not ready");
                text(503, "not ready\n")
            }
        },
        Which::Metrics => Outcome::Page {
            status: 200,
            kind: "text/plain; version=0.0.4; charset=utf-8",
            text: app.metrics().text(app.options.spans.as_deref()),
        },
        Which::Document => {
            Outcome::Page { status: 200, kind: "application/json", text: openapi::text() }
        }
    }
}
