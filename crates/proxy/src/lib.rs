//! What is done with a credential: one HTTP call, made for an agent that never sees it.
//!
//! Read in this order: [`broker`] (who, what, may it), `executor` (one call, its redirects and its
//! deadlines), [`inject`] (where the credential goes), `connect` (which address is dialled), `link`
//! (HTTP in both versions), `decode` and `receive` (what comes back, in pieces, redacted).
//!
//! [`exec`] runs programs with secrets: the same pipeline with another act. [`far`] carries the messages of
//! MCP servers at an address.
//!
//! The crate knows neither where a credential came from nor who speaks MCP: it meets them through
//! the ports of the model.

pub mod broker;
pub mod exec;
pub mod far;
pub mod inject;
pub mod login;

mod access;
mod admission;
mod body;
mod connect;
mod consent;
mod decode;
mod desk;
mod events;
mod exchange;
mod executor;
mod fields;
mod handles;
mod lacking;
mod link;
mod outgoing;
mod payload;
mod pool;
mod receive;
mod response;
mod save;
mod tokens;
mod tools;
mod upload;
mod watch;

pub use broker::{Broker, Parts};
pub use connect::SystemDns;
pub use exchange::{Entry, Exchange, Keeping};
pub use exec::Ground;
pub use far::Sites;
