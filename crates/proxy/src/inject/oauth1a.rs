//! `Authorization: OAuth ...`, signed with HMAC-SHA1 (RFC 5849).

use http::header::AUTHORIZATION;
use strongroom_model::code::{Code, Refusal};
use strongroom_model::injection::Bound;
use strongroom_model::secret::Secret;
use strongroom_model::service::{Auth, Slots};
use strongroom_seal::hex;
use strongroom_seal::sign::escape::{encode_into, pairs};
use strongroom_seal::sign::oauth1::{Request, signature};

use super::{AuthError, Moment, Outgoing, Scheme, Slot, field, only};

/// Needs the secrets `consumer_key` and `consumer_secret`, and for requests in a user's name
/// `token` and `token_secret`. The setting `realm` is sent where it is given.
pub(super) struct OAuth1a;

const SECRETS: [&str; 4] = ["consumer_key", "consumer_secret", "token", "token_secret"];

/// The parameters of the protocol (RFC 5849 §3.1, §2), which stand in the header and nowhere else.
const PARAMETERS: [&str; 10] = [
    "oauth_callback",
    "oauth_consumer_key",
    "oauth_nonce",
    "oauth_signature",
    "oauth_signature_method",
    "oauth_timestamp",
    "oauth_token",
    "oauth_verifier",
    "oauth_version",
    "oauth_body_hash",
];

impl Scheme for OAuth1a {
    fn name(&self) -> &'static str {
        "oauth1a"
    }

    fn slots(&self, auth: &Auth) -> Result<Slots, AuthError> {
        only("oauth1a", auth, &SECRETS, &["realm"])?;
        let has = |field: &str| auth.secrets.contains_key(field);
        let missing = |field| Err(AuthError::Missing { scheme: "oauth1a", field });
        match SECRETS.map(has) {
            [false, ..] => return missing("`consumer_key`"),
            [_, false, ..] => return missing("`consumer_secret`"),
            [.., true, false] => return missing("`token_secret` beside `token`"),
            [.., false, true] => return missing("`token` beside `token_secret`"),
            _ => {}
        }
        let is_quotable =
            |c: char| c.is_ascii() && !c.is_ascii_control() && !matches!(c, '"' | '\\');
        if auth.settings.get("realm").is_some_and(|realm| !realm.chars().all(is_quotable)) {
            let problem = "has a quote, a backslash or a character beyond printable ASCII";
            return Err(AuthError::Unfit { scheme: "oauth1a", field: "realm".into(), problem });
        }
        Ok(Slots {
            headers: vec!["authorization".into()],
            query: PARAMETERS.map(String::from).to_vec(),
        })
    }

    fn inject(
        &self,
        auth: &Auth,
        bound: &Bound,
        outgoing: &mut Outgoing,
        moment: &Moment<'_>,
    ) -> Result<(), Refusal> {
        let key = whole(field(bound, "consumer_key")?);
        let secret = field(bound, "consumer_secret")?;
        let (token, token_secret) = if auth.secrets.contains_key("token") {
            (Some(whole(field(bound, "token")?)), Some(field(bound, "token_secret")?))
        } else {
            (None, None)
        };
        let nonce = hex(&moment.nonce);
        let seconds = moment.unix().as_secs().to_string();
        let mut own: Vec<(&str, &[u8])> = vec![
            ("oauth_consumer_key", &key.0),
            ("oauth_nonce", nonce.as_bytes()),
            ("oauth_signature_method", b"HMAC-SHA1"),
            ("oauth_timestamp", seconds.as_bytes()),
            ("oauth_version", b"1.0"),
        ];
        own.extend(token.iter().map(|token| ("oauth_token", token.0.as_slice())));

        let (path, query) = outgoing.path_and_query();
        let mut others = pairs(query);
        if let Some(form) = outgoing.form() {
            let form = pairs(form);
            if form.iter().any(|(name, _)| is_of_protocol(name)) {
                let text =
                    "a parameter of the form has the name of one that carries the credential";
                return Err(Refusal::new(Code::InvalidRequest, text));
            }
            others.extend(form);
        }
        let mut parameters: Vec<(&[u8], &[u8])> =
            own.iter().map(|(name, value)| (name.as_bytes(), *value)).collect();
        parameters.extend(others.iter().map(|(name, value)| (name.as_slice(), value.as_slice())));
        let uri = format!("{}{}", bound.origin(), String::from_utf8_lossy(path));
        let request =
            Request { method: outgoing.method.as_str(), uri: &uri, parameters: &parameters };
        let signature = signature(&request, secret, token_secret);
        own.push(("oauth_signature", signature.as_bytes()));
        outgoing.set_header(AUTHORIZATION, header(auth.settings.get("realm"), &own))
    }
}

/// RFC 5849 §3.5.1
fn header(realm: Option<&String>, parameters: &[(&str, &[u8])]) -> Slot {
    let room: usize = parameters.iter().map(|(name, value)| name.len() + 3 * value.len() + 5).sum();
    let realm = realm.map(|realm| format!("realm=\"{realm}\", ")).unwrap_or_default();
    let mut slot = Slot::with_room("OAuth ".len() + realm.len() + room).text("OAuth ").text(&realm);
    for (at, (name, value)) in parameters.iter().enumerate() {
        slot = slot.text(if at == 0 { "" } else { ", " }).text(name).text("=\"");
        encode_into(value, &mut slot.0);
        slot = slot.text("\"");
    }
    slot
}

fn whole(secret: &Secret) -> Slot {
    Slot::with_room(secret.len()).secret(secret)
}

/// Whether a parameter of a form would be one of the protocol to a lenient server.
fn is_of_protocol(name: &[u8]) -> bool {
    let name = name.trim_ascii().to_ascii_lowercase();
    PARAMETERS.iter().any(|parameter| name.starts_with(parameter.as_bytes()))
}
