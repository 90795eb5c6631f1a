//! Where secrets come from.
//!
//! [`resolver`] takes references of any scheme and asks the provider of each scheme once;
//! [`loaded`] keeps what was resolved, hands services their credentials, and keeps the one matcher
//! that knows every secret in this process; [`providers`] are those that need no other crate;
//! [`kek`] is where the keys of a team's keys are kept;
//! [`remote`] asks a team server in the name of one of its tenants;
//! [`supply`] hands servers their secrets, from the sealed [`cache`] where it can.

pub mod agefile;
pub mod cache;
mod http;
pub mod kek;
pub mod keychain;
pub mod loaded;
pub mod providers;
pub mod remote;
pub mod resolver;
pub mod settings;
pub mod supply;

pub use cache::{CacheProblem, Scope};
pub use http::{Poster, PosterError, Target};
pub use loaded::Loaded;
pub use providers::{EnvProvider, FileProvider};
pub use resolver::Resolver;
pub use supply::Supply;
