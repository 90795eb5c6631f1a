//! Team mode over HTTP: the registry, the credentials and the administration of tenants.
//!
//! Who asks is found out once, by [one module](access) and for every page; what may be asked is one
//! [table](route), by which requests are dispatched, checked and described (`/openapi.json`). Every
//! answer has one of two envelopes, and a request that is refused leaves one record in the audit of its
//! tenant.
//!
//! It stands on hyper and on no framework: what a framework would add here is a router, which is a page
//! of code, and extractors, which would read bodies and queries less strictly than they are judged
//! (twice the same name, unknown fields, a key in the wrong place). The same crate serves the other
//! HTTP edge of Strongroom, so both are guarded in the same way.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use strongroom_model::ports::Clock;
//! # use strongroom_server::{Backend, Options, Registered, ServeError, serve};
//! # use strongroom_store::team::Team;
//! # async fn example(team: Team, clock: Arc<dyn Clock>) -> Result<(), ServeError> {
//! let backend = Backend {
//!     judge: Arc::new(Registered::new(team.clone())),
//!     team,
//!     mcp: None,
//!     fleet: None,
//!     services: None,
//!     clock,
//! };
//! let options = Options { listen: ([127, 0, 0, 1], 8443).into(), ..Options::default() };
//! serve(backend, options, async {
//!     let _ = tokio::signal::ctrl_c().await;
//! })
//! .await
//! # }
//! ```

mod access;
mod app;
mod audit;
mod backend;
mod commands;
mod credential;
mod judge;
mod limiter;
mod listen;
mod metrics;
mod openapi;
mod options;
mod problem;
mod public;
mod repeats;
mod reply;
mod request;
mod route;
mod routes;
mod shape;
mod signature;
mod tls;
pub mod traces;
mod when;

pub use backend::{Backend, Caller, Fleet, Health, Mount, Services, State, Visit};
pub use commands::{AllowedCommand, find as allowed_command};
pub use judge::{Decision, Judge, Question, Registered, Rules, Verdict};
pub use listen::{ServeError, Server};
pub use options::{Limits, Options, Rates, TlsFiles};
pub use problem::{Problem, Reason};
pub use tls::TlsError;

/// Serves until `shutdown` completes, and then until what runs is done, within the grace.
///
/// # Errors
///
/// Those of [`Server::bind`].
pub async fn serve(
    backend: Backend,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    Server::bind(backend, options).await?.run(shutdown).await;
    Ok(())
}
