//! `Cookie: NAME=VALUE; ...` (RFC 6265 §4.2).

use http::header::COOKIE;
use strongroom_model::code::Refusal;
use strongroom_model::injection::Bound;
use strongroom_model::service::{Auth, Slots};

use super::{AuthError, Moment, Outgoing, Scheme, Slot, field, only, unfit};

/// Each secret's field is the name of its cookie.
pub(super) struct Cookie;

impl Scheme for Cookie {
    fn name(&self) -> &'static str {
        "cookie"
    }

    fn slots(&self, auth: &Auth) -> Result<Slots, AuthError> {
        let known: Vec<&str> = auth.secrets.keys().map(String::as_str).collect();
        only("cookie", auth, &known, &[])?;
        if auth.secrets.is_empty() {
            return Err(AuthError::Missing { scheme: "cookie", field: "at least one cookie" });
        }
        if let Some(field) = auth.secrets.keys().find(|name| !is_token(name)) {
            let problem = "is not a cookie name";
            return Err(AuthError::Unfit { scheme: "cookie", field: field.clone(), problem });
        }
        Ok(Slots { headers: vec!["cookie".into()], query: Vec::new() })
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
        let secrets = auth
            .secrets
            .keys()
            .map(|name| Ok((name, field(bound, name)?)))
            .collect::<Result<Vec<_>, Refusal>>()?;
        let room = secrets.iter().map(|(name, secret)| name.len() + secret.len() + 3).sum();
        let mut slot = Slot::with_room(room);
        for (name, secret) in secrets {
            slot = if slot.0.is_empty() { slot } else { slot.text("; ") };
            slot = slot.text(name).text("=");
            let start = slot.0.len();
            slot = slot.secret(secret);
            // A semicolon would begin another cookie.
            if slot.0[start..].contains(&b';') {
                return Err(unfit("a cookie"));
            }
        }
        outgoing.set_header(COOKIE, slot)
    }
}

/// RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    let is_tchar = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(is_tchar)
}
