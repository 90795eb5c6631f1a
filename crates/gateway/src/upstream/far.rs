//! A server at an address, over what it speaks of HTTP: streamable HTTP of both eras, or the event stream
//! and the messages of 2024-11-05.
//!
//! [`Peer`](super::peer::Peer) writes messages as it does for a child, and [`Line`] takes them to the
//! server, each in a request of its own. What that means is told by the message: one of the modern era says
//! its version in its `_meta` and needs nothing more; one of the `initialize` era belongs to a session. A
//! server that takes no messages at its address is asked for an event stream there.
//!
//! `talk` keeps what there is to a conversation, `call` is one request and its answer, `listen` what a
//! server says without being asked. [`sse`] reads event streams, `headers` writes what of a message stands
//! in its headers, and [`plan`] makes of a configured server what can be reached.

pub mod plan;
pub mod sse;

mod call;
mod headers;
mod listen;
mod talk;

pub use plan::{Address, PlanError, Reach, site};
pub(super) use talk::{Line, Talk};
