//! `Authorization: Basic base64(USER:PASSWORD)` (RFC 7617).

use http::header::AUTHORIZATION;
use strongroom_model::code::Refusal;
use strongroom_model::injection::Bound;
use strongroom_model::secret::Secret;
use strongroom_model::service::{Auth, Slots};

use super::{AuthError, Moment, Outgoing, Scheme, Slot, field, only, unfit};

/// Needs the user, as the setting `user` or the secret `user_ref`, and the secret `password`, which
/// may be missing where the user is secret (a key as the user and an empty password).
pub(super) struct Basic;

impl Scheme for Basic {
    fn name(&self) -> &'static str {
        "basic"
    }

    fn slots(&self, auth: &Auth) -> Result<Slots, AuthError> {
        only("basic", auth, &["user_ref", "password"], &["user"])?;
        match (auth.settings.get("user"), auth.secrets.contains_key("user_ref")) {
            (None, false) => {
                return Err(AuthError::Missing { scheme: "basic", field: "`user` or `user_ref`" });
            }
            (Some(_), true) => {
                return Err(user("stands beside `user_ref`: one of them is the user"));
            }
            (Some(name), false) if name.contains(|c: char| c == ':' || c.is_control()) => {
                return Err(user("has a colon or a control character"));
            }
            (Some(_), false) if !auth.secrets.contains_key("password") => {
                return Err(AuthError::Missing { scheme: "basic", field: "`password`" });
            }
            _ => {}
        }
        Ok(Slots { headers: vec!["authorization".into()], query: Vec::new() })
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
        let pair = match auth.settings.get("user") {
            Some(user) => {
                let password = field(bound, "password")?;
                Slot::with_room(user.len() + 1 + password.len())
                    .text(user)
                    .text(":")
                    .secret(password)
            }
            None => secret_pair(auth, bound)?,
        };
        outgoing.set_header(AUTHORIZATION, pair.basic()?)
    }
}

fn secret_pair(auth: &Auth, bound: &Bound) -> Result<Slot, Refusal> {
    let user = field(bound, "user_ref")?;
    let password =
        if auth.secrets.contains_key("password") { Some(field(bound, "password")?) } else { None };
    let room = user.len() + 1 + password.map_or(0, Secret::len);
    let slot = Slot::with_room(room).secret(user);
    if slot.0.contains(&b':') {
        return Err(unfit("the user of a Basic credential"));
    }
    let slot = slot.text(":");
    Ok(match password {
        Some(password) => slot.secret(password),
        None => slot,
    })
}

fn user(problem: &'static str) -> AuthError {
    AuthError::Unfit { scheme: "basic", field: "user".into(), problem }
}
