//! The audit of a home, as its configuration says.

use std::sync::Arc;

use strongroom_seal::{FileError, SecureDir, SigningKey};
use strongroom_store::audit::{FileSink, Settings, Signer};

use crate::config::audit::Audit;
use crate::environment::Host;
use crate::home;
use crate::paths::Home;

/// How long the process that records goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// For a record or two.
    Brief,
    /// Until it is told to end.
    Long,
}

/// The sink of `home`.
pub fn sink(host: &Host, home: &Home, audit: Audit, stay: Stay) -> Result<FileSink, FileError> {
    let settings = Settings {
        durability: audit.durability,
        keep: audit.keep,
        signer: Some(Arc::new(OfHome(home.clone()))),
        lasting: stay == Stay::Long,
    };
    FileSink::with(SecureDir::create(home.audit_dir())?, Arc::clone(&host.clock), settings)
}

/// Signs with the key that follows from the machine key.
struct OfHome(Home);

impl Signer for OfHome {
    fn key(&self) -> Option<SigningKey> {
        home::audit_key(&self.0).ok()
    }
}
