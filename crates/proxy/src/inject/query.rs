//! Query parameters, `?api_key=KEY`.

use strongroom_model::code::Refusal;
use strongroom_model::injection::Bound;
use strongroom_model::service::{Auth, Slots};

use super::{AuthError, Moment, Outgoing, Scheme, Slot, field, only};

/// Each secret's field is the name of its parameter.
pub(super) struct Query;

impl Scheme for Query {
    fn name(&self) -> &'static str {
        "query"
    }

    fn slots(&self, auth: &Auth) -> Result<Slots, AuthError> {
        let known: Vec<&str> = auth.secrets.keys().map(String::as_str).collect();
        only("query", auth, &known, &[])?;
        if auth.secrets.is_empty() {
            return Err(AuthError::Missing { scheme: "query", field: "at least one parameter" });
        }
        if let Some(field) = auth.secrets.keys().find(|name| name.is_empty()) {
            let problem = "has no name";
            return Err(AuthError::Unfit { scheme: "query", field: field.clone(), problem });
        }
        Ok(Slots { headers: Vec::new(), query: auth.secrets.keys().cloned().collect() })
    }

    fn reads_body(&self, _: &Auth) -> bool {
        false
    }

    fn inject(
        &self,
        auth: &Auth,
        bound: &Bound,
        outgoing: &mut Outgoing,
        _: &Moment<'_>,
    ) -> Result<(), Refusal> {
        for name in auth.secrets.keys() {
            let secret = field(bound, name)?;
            outgoing.add_query(name, &Slot::with_room(secret.len()).secret(secret));
        }
        Ok(())
    }
}
