//! Ties a credential to the one origin that it may go to.

use std::sync::Arc;

use crate::audit::Recorded;
use crate::secret::Secret;
use crate::service::{Origin, Service};

/// The secrets of one service by field, resolved.
#[derive(Debug, Default)]
pub struct Credential {
    fields: Vec<(String, Arc<Secret>)>,
}

impl Credential {
    /// A credential of these fields.
    pub fn new(fields: Vec<(String, Arc<Secret>)>) -> Self {
        Self { fields }
    }

    /// The secret of `field`.
    pub fn get(&self, field: &str) -> Option<&Secret> {
        self.fields.iter().find(|(name, _)| name == field).map(|(_, secret)| &**secret)
    }

    /// The names and secrets, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.fields.iter().map(|(name, secret)| (name.as_str(), &**secret))
    }
}

/// A credential that may be written into a request to `origin`, and into no other.
///
/// Invariant: only [`bind`] makes one, and it takes the origin from the service's configuration:
/// never from an agent's words, never from a response (I2).
#[derive(Debug)]
pub struct Bound {
    credential: Arc<Credential>,
    origin: Origin,
}

impl Bound {
    /// The credential.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Where it may go.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

/// Binds `credential` to the origin of `service`. That a call was recorded is the price.
pub fn bind(_recorded: &Recorded, service: &Service, credential: Arc<Credential>) -> Bound {
    Bound { credential, origin: service.origin.clone() }
}
