//! Any headers, `X-Api-Key: KEY`.

use http::header::HeaderName;
use strongroom_model::code::Refusal;
use strongroom_model::injection::Bound;
use strongroom_model::service::{Auth, Slots};

use super::{AuthError, Moment, Outgoing, Scheme, Slot, field, only, unfit};

/// Each secret's field is the name of its header.
pub(super) struct Headers;

/// Headers that frame or route a request: a credential in one of them breaks it.
const RESERVED: [&str; 14] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "proxy-connection",
    "keep-alive",
    "accept-encoding",
    "range",
    "content-type",
    "user-agent",
];

impl Scheme for Headers {
    fn name(&self) -> &'static str {
        "headers"
    }

    fn slots(&self, auth: &Auth) -> Result<Slots, AuthError> {
        let known: Vec<&str> = auth.secrets.keys().map(String::as_str).collect();
        only("headers", auth, &known, &[])?;
        if auth.secrets.is_empty() {
            return Err(AuthError::Missing { scheme: "headers", field: "at least one header" });
        }
        let mut headers: Vec<String> = Vec::new();
        for field in auth.secrets.keys() {
            let unfit =
                |problem| AuthError::Unfit { scheme: "headers", field: field.clone(), problem };
            let name = slot(field).map_err(unfit)?.as_str().to_owned();
            if headers.contains(&name) {
                return Err(unfit("stands twice"));
            }
            headers.push(name);
        }
        Ok(Slots { headers, query: Vec::new() })
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
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unfit("a header"))?;
            outgoing.set_header(name, Slot::with_room(secret.len()).secret(secret))?;
        }
        Ok(())
    }
}

/// The header `name`, if a credential can stand in it; else what is wrong.
pub(crate) fn slot(name: &str) -> Result<HeaderName, &'static str> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "is not a header name")?;
    if RESERVED.contains(&name.as_str()) {
        return Err("frames or routes the request and cannot carry a credential");
    }
    Ok(name)
}
