//! `Authorization: Bearer TOKEN` (RFC 6750 §2.1).

use http::header::AUTHORIZATION;
use strongroom_model::code::Refusal;
use strongroom_model::injection::Bound;
use strongroom_model::service::{Auth, Slots};

use super::{AuthError, Moment, Outgoing, Scheme, Slot, field, only};

/// Needs the secret `token`.
pub(super) struct Bearer;

impl Scheme for Bearer {
    fn name(&self) -> &'static str {
        "bearer"
    }

    fn slots(&self, auth: &Auth) -> Result<Slots, AuthError> {
        only("bearer", auth, &["token"], &[])?;
        if !auth.secrets.contains_key("token") {
            return Err(AuthError::Missing { scheme: "bearer", field: "`token`" });
        }
        Ok(Slots { headers: vec!["authorization".into()], query: Vec::new() })
    }

    fn reads_body(&self, _: &Auth) -> bool {
        false
    }

    fn inject(
        &self,
        _: &Auth,
        bound: &Bound,
        outgoing: &mut Outgoing,
        _: &Moment<'_>,
    ) -> Result<(), Refusal> {
        let token = field(bound, "token")?;
        outgoing.set_header(AUTHORIZATION, Slot::bearer(token))
    }
}
