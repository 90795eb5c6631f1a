//! A Google service account: a JWT that its key signs is turned into an access token (RFC 7523).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::json;
use strongroom_model::code::Refusal;
use strongroom_model::injection::Credential;
use strongroom_model::secret::Secret;
use strongroom_model::service::Auth;
use strongroom_seal::sign::jwt;

use super::exchange::{Endpoint, Exchange, Minted, unusable};
use super::{AuthError, Outgoing, Slot, oauth2, only};

/// Needs the secret `key`, the JSON that Google gives for a service account, and the setting `scope`.
/// `subject` is the user in whose name it acts; `token_url` is Google's but in tests: what the key file
/// says of it is not looked at.
pub(super) struct Google;

const NAME: &str = "google-service-account";
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
const LIFETIME: Duration = Duration::from_hours(1);

/// What is needed of the file.
#[derive(Deserialize)]
struct Account {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
}

impl Exchange for Google {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, auth: &Auth) -> Result<(), AuthError> {
        only(NAME, auth, &["key"], &["scope", "subject", "token_url"])?;
        self.endpoint(auth)?;
        if !auth.secrets.contains_key("key") {
            return Err(AuthError::Missing { scheme: NAME, field: "`key`" });
        }
        if !auth.settings.contains_key("scope") {
            return Err(AuthError::Missing { scheme: NAME, field: "`scope`" });
        }
        Ok(())
    }

    fn endpoint(&self, auth: &Auth) -> Result<Endpoint, AuthError> {
        let url = auth.settings.get("token_url").map_or(TOKEN_URL, String::as_str);
        Endpoint::read(NAME, "token_url", url)
    }

    fn ask(
        &self,
        auth: &Auth,
        credential: &Credential,
        endpoint: &Endpoint,
        now: SystemTime,
    ) -> Result<Outgoing, Refusal> {
        let not_one = || unusable("what is stored is not the key of a Google service account");
        let key = credential.get("key").ok_or_else(not_one)?;
        let account: Account = serde_json::from_slice(key.expose()).map_err(|_| not_one())?;
        let pem = Secret::new(account.private_key.into_bytes());
        let issued = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut header = json!({ "alg": "RS256", "typ": "JWT" });
        if let Some(id) = account.private_key_id {
            header["kid"] = id.into();
        }
        let audience = format!("{}{}", endpoint.origin, endpoint.target);
        let mut claims = json!({
            "iss": account.client_email, "aud": audience, "scope": auth.settings.get("scope"),
            "iat": issued, "exp": issued + LIFETIME.as_secs(),
        });
        if let Some(subject) = auth.settings.get("subject") {
            claims["sub"] = subject.as_str().into();
        }
        let assertion =
            jwt::rs256(&pem, &header.to_string(), &claims.to_string()).map_err(|_| not_one())?;
        let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let form =
            Slot::with_room(0).pair("grant_type", grant).secret_pair("assertion", &assertion);
        endpoint.post("application/x-www-form-urlencoded", form.0)
    }

    fn read(&self, answer: &[u8], _: SystemTime) -> Option<Minted> {
        oauth2::read(answer)
    }
}
