//! A credential that a call needs and that is not stored: a person is asked for it, and the call goes on.
//!
//! The agent learns of none of it but the time that it takes.

use strongroom_model::code::{Code, Refusal};
use strongroom_model::ports::{BoxFuture, Lack, Purpose, ResolveError};
use strongroom_model::principal::Caller;
use strongroom_model::service::{Catalog, Keys};

use crate::broker::Broker;

impl Broker {
    /// Has a person asked for the credential of `keys`, where it is not stored and somebody can be asked;
    /// says whether anybody was. What cannot be had all the same is the pipeline's to say.
    ///
    /// # Errors
    ///
    /// The caller is gone, or the configuration is another one than before.
    ///
    /// # Cancel safety
    ///
    /// Ended by `cancel`, the window is closed and nothing is stored; `cancel` must not be polled again.
    pub(crate) async fn supplied(
        &self,
        caller: &Caller,
        catalog: &Catalog,
        keys: Keys<'_>,
        cancel: &mut BoxFuture<'_, ()>,
    ) -> Result<bool, Refusal> {
        let Some(lacking) = &self.lacking else { return Ok(false) };
        let principal = &caller.principal.name;
        // Nobody is asked for what is stopped anyway.
        if self.switch.check(principal, keys.name).is_err() {
            return Ok(false);
        }
        let found = self.credentials.resolve(catalog, keys).await;
        if !matches!(found, Err(ResolveError::NotFound { .. })) {
            return Ok(false);
        }
        let places: Vec<_> = keys.auth.secrets.iter().map(|(field, at)| (&**field, at)).collect();
        let lack = Lack {
            purpose: Purpose::Service(keys.name),
            principal: Some(principal),
            places: &places,
        };
        tokio::select! {
            biased;
            () = cancel => {
                let text = "whoever asked for this is gone";
                return Err(Refusal::new(Code::SecretUnavailable, text));
            }
            stored = lacking.supply(lack) => if !stored {
                return Ok(false);
            },
        }
        let now = self.registry.current();
        if now.keys().any(|now| now.name == keys.name && now.revision == keys.revision) {
            return Ok(true);
        }
        let text = "the configuration was changed while a person was asked for the credential";
        Err(Refusal::new(Code::SecretUnavailable, text))
    }
}
