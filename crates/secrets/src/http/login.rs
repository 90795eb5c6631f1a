//! Tokens: those that are given to us, and those that we log in for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_model::ports::Clock;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

use super::{Failure, Pass};
use crate::settings::{Context, Settings};

/// Where something secret that a provider needs comes from.
///
/// Invariant: what the settings refer to goes only to an address that the settings name (or that
/// is the API's own). A variable of the environment that names another address takes the token
/// from the environment along with it; it never gets the one that a keychain keeps for us.
#[derive(Clone, Debug)]
pub(crate) enum Token {
    /// Another provider keeps it.
    Reference(SecretRef),
    /// The environment does, in one of these variables.
    Variable(&'static [&'static str]),
}

impl Token {
    /// What `key` of the settings refers to, or else one of `variables`.
    pub(crate) fn setting(
        settings: &Settings,
        key: &str,
        variables: &'static [&'static str],
    ) -> Self {
        let reference = settings.secret(key).cloned();
        reference.map_or(Self::Variable(variables), Self::Reference)
    }

    /// The secret, if there is one.
    pub(crate) async fn get(
        &self,
        scheme: &str,
        context: &Context,
    ) -> Result<Option<Secret>, Failure> {
        match self {
            Self::Reference(reference) => {
                let token = context.tokens.get(scheme, reference).await;
                token.map(Some).map_err(Failure::of_token)
            }
            Self::Variable(names) => {
                let value = names.iter().find_map(|name| context.text(name));
                Ok(value.map(|value| Secret::new(value.into_bytes())))
            }
        }
    }
}

/// The token of the last login, as long as it is good.
pub(crate) struct Logins {
    clock: Arc<dyn Clock>,
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    token: Arc<Secret>,
    until: Duration,
}

/// What a login brings.
pub(crate) struct Login {
    /// The token.
    pub token: Secret,
    /// For how long it is good, in seconds; 0: until it is refused.
    pub seconds: u64,
}

/// A token is not used to its last second: a request takes time.
const MARGIN: u64 = 30;

const FOR_EVER: u64 = u32::MAX as u64;

impl Logins {
    pub(crate) fn new(clock: &Arc<dyn Clock>) -> Self {
        Self { clock: Arc::clone(clock), kept: Mutex::new(None) }
    }

    /// The token of the last login, or of `login`, which is made where there is none, or `anew`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future keeps what was there.
    pub(crate) async fn pass(
        &self,
        anew: bool,
        login: impl Future<Output = Result<Login, Failure>> + Send,
    ) -> Result<Pass, Failure> {
        if !anew && let Some(token) = self.still_good() {
            return Ok(Pass::remembered(token));
        }
        let Login { token, seconds } = login.await?;
        let seconds = if seconds == 0 { FOR_EVER } else { seconds.saturating_sub(MARGIN) };
        let token = Arc::new(token);
        let until = self.clock.monotonic().saturating_add(Duration::from_secs(seconds));
        *self.lock() = Some(Kept { token: Arc::clone(&token), until });
        Ok(Pass::new(token))
    }

    fn still_good(&self) -> Option<Arc<Secret>> {
        let now = self.clock.monotonic();
        let kept = self.lock();
        kept.as_ref().filter(|kept| now < kept.until).map(|kept| Arc::clone(&kept.token))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
