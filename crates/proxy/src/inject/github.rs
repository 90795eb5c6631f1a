//! A GitHub App: a JWT that its key signs is turned into the token of one installation.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{AUTHORIZATION, HeaderName, HeaderValue, USER_AGENT};
use serde::Deserialize;
use serde_json::json;
use strongroom_model::code::Refusal;
use strongroom_model::injection::Credential;
use strongroom_model::secret::Secret;
use strongroom_model::service::Auth;
use strongroom_seal::sign::jwt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use super::exchange::{Endpoint, Exchange, Minted, unusable};
use super::{AuthError, Outgoing, Slot, only};

/// Needs the secret `private_key` (PEM) and the settings `app_id` and `installation_id`. `api_url` is
/// GitHub's own, or `https://HOST/api/v3` of an Enterprise server.
pub(super) struct GithubApp;

const NAME: &str = "github-app";
const API_URL: &str = "https://api.github.com";
/// GitHub takes no more than ten minutes; the clocks may differ by one.
const JWT_LIFETIME: Duration = Duration::from_mins(9);
const CLOCKS: Duration = Duration::from_mins(1);
/// Where the answer does not say.
const LIFETIME: Duration = Duration::from_mins(30);

impl Exchange for GithubApp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, auth: &Auth) -> Result<(), AuthError> {
        only(NAME, auth, &["private_key"], &["app_id", "installation_id", "api_url"])?;
        if !auth.secrets.contains_key("private_key") {
            return Err(AuthError::Missing { scheme: NAME, field: "`private_key`" });
        }
        for (field, missing) in [("app_id", "`app_id`"), ("installation_id", "`installation_id`")] {
            let Some(id) = auth.settings.get(field) else {
                return Err(AuthError::Missing { scheme: NAME, field: missing });
            };
            // An App's client id, which may stand for its number, has letters.
            let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_');
            if id.is_empty() || id.len() > 64 || !id.bytes().all(fits) {
                let problem = "is not an id";
                return Err(AuthError::Unfit { scheme: NAME, field: field.into(), problem });
            }
        }
        self.endpoint(auth)?;
        Ok(())
    }

    fn endpoint(&self, auth: &Auth) -> Result<Endpoint, AuthError> {
        let api = auth.settings.get("api_url").map_or(API_URL, String::as_str);
        let api = Endpoint::read(NAME, "api_url", api)?;
        let installation = auth.settings.get("installation_id").map_or("", String::as_str);
        let base = api.target.trim_end_matches('/');
        let target = format!("{base}/app/installations/{installation}/access_tokens");
        Ok(Endpoint { target, ..api })
    }

    fn ask(
        &self,
        auth: &Auth,
        credential: &Credential,
        endpoint: &Endpoint,
        now: SystemTime,
    ) -> Result<Outgoing, Refusal> {
        let not_one = || unusable("what is stored is not the private key of a GitHub App");
        let pem = credential.get("private_key").ok_or_else(not_one)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = json!({ "alg": "RS256", "typ": "JWT" });
        let claims = json!({
            "iss": auth.settings.get("app_id"),
            "iat": now.saturating_sub(CLOCKS).as_secs(),
            "exp": (now + JWT_LIFETIME).as_secs(),
        });
        let token =
            jwt::rs256(pem, &header.to_string(), &claims.to_string()).map_err(|_| not_one())?;
        let mut outgoing = endpoint.post("application/json", Zeroizing::new(b"{}".to_vec()))?;
        outgoing.set_header(AUTHORIZATION, Slot::bearer(&token))?;
        // GitHub answers nobody without a name.
        outgoing.headers.insert(USER_AGENT, HeaderValue::from_static("strongroom"));
        outgoing.headers.insert(
            HeaderName::from_static("x-github-api-version"),
            HeaderValue::from_static("2022-11-28"),
        );
        Ok(outgoing)
    }

    fn read(&self, answer: &[u8], now: SystemTime) -> Option<Minted> {
        #[derive(Deserialize)]
        struct Answer {
            token: String,
            expires_at: Option<String>,
        }
        let answer: Answer = serde_json::from_slice(answer).ok()?;
        let token = Secret::new(answer.token.into_bytes());
        let until = answer.expires_at.and_then(|at| OffsetDateTime::parse(&at, &Rfc3339).ok());
        let lifetime = until.map_or(LIFETIME, |until| {
            SystemTime::from(until).duration_since(now).unwrap_or_default()
        });
        (!token.is_empty()).then_some(Minted { token, lifetime, refresh: None })
    }
}
