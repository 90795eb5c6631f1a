//! Where secrets come from.
//!
//! [`resolver`] takes references of any scheme and asks the provider of each scheme once;
//! [`loaded`] keeps what was resolved, hands services their credentials, and keeps the one matcher
//! that knows every secret in this process; [`providers`] are those that need no other crate.

pub mod loaded;
pub mod providers;
pub mod resolver;
pub mod settings;

pub use loaded::Loaded;
pub use providers::{EnvProvider, FileProvider};
pub use resolver::Resolver;
