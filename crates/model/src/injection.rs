//! Ties a credential to the one place that it may go to.

use std::sync::Arc;

use crate::audit::Recorded;
use crate::secret::Secret;
use crate::service::{Keys, Origin};

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

    /// The same credential with `secret` in `field`.
    #[must_use]
    pub fn with(&self, field: &str, secret: &Arc<Secret>) -> Self {
        let fields = self.fields.iter().map(|(name, own)| {
            (name.clone(), Arc::clone(if name == field { secret } else { own }))
        });
        Self { fields: fields.collect() }
    }

    /// The names and secrets, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.fields.iter().map(|(name, secret)| (name.as_str(), &**secret))
    }
}

/// What a credential can be for: an HTTP API, or a program.
pub trait Target: Sync {
    /// Where its credential may go.
    type To: Send;

    /// Its secrets.
    fn keys(&self) -> Keys<'_>;

    /// Where its credential may go, by the configuration and by nothing else.
    fn to(&self) -> Self::To;
}

/// A credential that may be written into what goes to `To`, and into nothing else.
///
/// Invariant: only [`bind`] makes one, and it takes the place from the configuration: never from an
/// agent's words, never from a response (I2).
#[derive(Debug)]
pub struct Bound<To = Origin> {
    credential: Arc<Credential>,
    to: To,
}

impl<To> Bound<To> {
    /// The credential.
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The credential, to be told from the next one.
    pub fn shared(&self) -> &Arc<Credential> {
        &self.credential
    }

    /// Where it may go.
    pub fn to(&self) -> &To {
        &self.to
    }
}

impl Bound {
    /// Where it may go.
    pub fn origin(&self) -> &Origin {
        &self.to
    }
}

/// Binds `credential` to the place of `target`. That a call was recorded is the price.
pub fn bind<T: Target>(
    _recorded: &Recorded,
    target: &T,
    credential: Arc<Credential>,
) -> Bound<T::To> {
    Bound { credential, to: target.to() }
}
