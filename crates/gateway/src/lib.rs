//! The MCP edge: sessions, tools and transports.
//!
//! Both eras of the protocol are spoken on both transports, and which one is decided message by
//! message: a request that names its version in `_meta` is served statelessly (2026-07-28), any
//! other belongs to the session that `initialize` opened (2024-11-05 to 2025-11-25).
//!
//! - [`wire`]: bytes to one message and back; pure.
//! - `protocol`: what the two eras say; pure but for the tools it starts.
//! - `prompt`: questions that the client shows to its user.
//! - `session`: the sessions of the `initialize` era, and the calls that are in flight.
//! - `tools`: the built-in server, one file a tool, over [`Calls`](strongroom_model::ports::Calls).
//! - [`transport`]: [`stdio`] and [`http`].
//! - [`mount`]: many servers behind one endpoint.
//! - [`upstream`]: the servers behind it: when they are started, and what is said to them.
//! - `awake`: not sleeping while something is about to come.
//! - [`launcher`]: what a server is started with; pure.
//! - [`registry`]: MCP servers from every source.
//! - [`pin`]: the package that a server's command line asks for, and whether what was installed for it is
//!   as it was.
//!
//! Who calls is told by the transport and by nothing in a message: what a client says of itself is
//! a label in the audit.

mod awake;
mod behind;
pub mod launcher;
pub mod mount;
mod origin;
pub mod pin;
mod prompt;
mod protocol;
pub mod registry;
mod session;
mod tools;
pub mod transport;
pub mod upstream;
pub mod wire;

pub use behind::{Behind, Changes, Servers};
pub use origin::Origin;
pub use transport::{http, stdio};
