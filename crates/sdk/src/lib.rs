//! Secrets for an MCP server from inside it: kept in the platform's keychain, asked for by a window,
//! given with a person's leave. The bindings for Python and JavaScript are thin layers over this.
//!
//! [`Manager`] is what a server's author holds; [`Storage`] is the keychain beneath it, one
//! namespace a server; [`Context`] is what a framework's own context is adapted to. What the process
//! was started with comes in [`Surroundings`]: nothing here reads the environment, writes to stderr
//! or finds its own files.
//!
//! Asynchronous functions are futures of tokio: a binding runs them on a runtime of its own.
//! Everything else waits for the keychain, at most some seconds, and is called where waiting is no
//! harm (without Python's global lock, on a worker thread of Node's).
//!
//! No error, notice or prompt has a value in it, or a part of one.

mod context;
mod error;
mod fetch;
#[cfg(test)]
mod for_tests;
mod handler;
mod info;
mod manager;
mod names;
mod storage;
mod surroundings;
mod window;

pub use context::{Context, Elicitation, Elicited};
pub use error::Error;
pub use handler::{Asked, Handler};
pub use info::SecretsInfo;
pub use manager::Manager;
pub use names::{SecretName, ServerName};
pub use storage::Storage;
pub use surroundings::{Notice, Surroundings};

pub use strongroom_model::paths::{Environment, Os};
pub use strongroom_model::ports::BoxFuture;
pub use strongroom_model::secret::Secret;
