//! `gcp-sm://PROJECT/NAME[/VERSION][#KEY]`: Google Cloud's Secret Manager.
//!
//! We sign in as a service account. There is no question for several secrets at once, so each
//! distinct version is asked for by itself, a few at a time.

use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use strongroom_model::ports::BoxFuture;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_seal::file::{open_private, read};
use strongroom_seal::sign::jwt;
use zeroize::Zeroizing;

use crate::http::json::{Hidden, Part, form};
use crate::http::login::Login;
use crate::http::{
    Api, Base, Body, CA_FILE, Failure, Http, Logins, Pass, Remote, Request, Session, Token,
};
use crate::settings::{Context, Field, Kind, SettingError, Settings};

/// What `[providers.gcp-sm]` takes.
pub(super) const FIELDS: &[Field] = &[
    Field {
        name: "credentials",
        kind: Kind::Secret,
        about: "the JSON key of a service account; else the file in GOOGLE_APPLICATION_CREDENTIALS",
    },
    Field {
        name: "endpoint",
        kind: Kind::Url,
        about: "another address than https://secretmanager.googleapis.com",
    },
    CA_FILE,
];

const SCHEME: &str = "gcp-sm";
const API: &str = "https://secretmanager.googleapis.com";
const TOKENS: &str = "https://oauth2.googleapis.com/token";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Resolves references to Google Cloud's secrets.
pub(super) struct Google {
    context: Context,
    http: Http,
    credentials: Option<SecretRef>,
    endpoint: Option<Base>,
    logins: Logins,
}

/// A provider of what `settings` say. It asks nothing yet.
pub(super) fn new(settings: &Settings, context: &Context) -> Result<Remote<Google>, SettingError> {
    Ok(Remote(Google {
        http: Http::new(settings),
        credentials: settings.secret("credentials").cloned(),
        endpoint: Base::setting(settings, "endpoint")?,
        logins: Logins::new(&context.clock),
        context: context.clone(),
    }))
}

impl Api for Google {
    const SCHEME: &'static str = SCHEME;

    /// Project, name, version.
    type Key = [String; 3];
    type Found = Body;
    type Batch = ();

    fn http(&self) -> &Http {
        &self.http
    }

    fn key(&self, reference: &SecretRef) -> Result<[String; 3], Failure> {
        let mut parts = reference.path().split('/').map(str::to_owned);
        let (Some(project), Some(name)) = (parts.next(), parts.next()) else {
            return Err(Failure::NotFound);
        };
        let version = parts.next().unwrap_or_else(|| "latest".to_owned());
        Ok([project, name, version])
    }

    fn pass<'a>(
        &'a self,
        session: &'a Session,
        anew: bool,
    ) -> BoxFuture<'a, Result<Pass, Failure>> {
        Box::pin(self.logins.pass(anew, self.log_in(session)))
    }

    fn ask<'a>(
        &'a self,
        session: &'a Session,
        (pass, ()): (&'a Pass, &'a ()),
        [project, name, version]: &'a [String; 3],
    ) -> BoxFuture<'a, Result<Body, Failure>> {
        Box::pin(async move {
            let base = self.endpoint.clone().map_or_else(|| Base::known(API), Ok)?;
            let last = format!("{version}:access");
            let url = base.join(["v1", "projects", project, "secrets", name, "versions", &last]);
            let answer = session.send(Request::get(url).bearer(&pass.token)).await?;
            match answer.status {
                200 => payload(&answer.body),
                // A version that was disabled or destroyed.
                400 if answer.body.says("FAILED_PRECONDITION") => Err(Failure::NotFound),
                400 => Err(Failure::Unusable("Google does not take its name")),
                _ => Err(answer.failure()),
            }
        })
    }

    fn pick(&self, body: &Body, reference: &SecretRef) -> Result<Secret, Failure> {
        body.part(reference.fragment())
    }
}

/// The key of a service account, as Google hands it out.
#[derive(Deserialize)]
struct Account<'a> {
    #[serde(rename = "type")]
    kind: String,
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(borrow)]
    private_key: Hidden<'a>,
    #[serde(default)]
    token_uri: Option<String>,
}

#[derive(Deserialize)]
struct Granted<'a> {
    #[serde(borrow)]
    access_token: Hidden<'a>,
    #[serde(default)]
    expires_in: u64,
}

#[derive(Deserialize)]
struct Accessed<'a> {
    #[serde(borrow)]
    payload: Payload<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    #[serde(borrow, default)]
    data: Option<Hidden<'a>>,
    #[serde(default)]
    data_crc32c: Option<String>,
}

/// The secret itself, if it arrived as it was sent.
fn payload(body: &Body) -> Result<Body, Failure> {
    let Accessed { payload } = body.read()?;
    let Some(data) = payload.data else { return Ok(Body::new(Zeroizing::default())) };
    let bytes = decoded(&data.secret()?)?;
    let sum = payload.data_crc32c.map(|sum| sum.parse::<u32>());
    if sum.is_some_and(|sum| sum != Ok(crc32c(&bytes))) {
        return Err(Failure::unreachable("what it sent was damaged on the way"));
    }
    Ok(Body::new(bytes))
}

/// The bytes of such base64.
pub(crate) fn decoded(text: &Secret) -> Result<Zeroizing<Vec<u8>>, Failure> {
    STANDARD
        .decode(text.expose())
        .map(Zeroizing::new)
        .map_err(|_| Failure::unreachable("its answer is not one that its documentation knows"))
}

/// CRC-32C (Castagnoli), bit by bit: a secret is short.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 }
        })
    })
}

impl Google {
    async fn log_in(&self, session: &Session) -> Result<Login, Failure> {
        let wrong = |why: &str| {
            Failure::Absent {
            why: why.to_owned(),
            fix: "let `credentials` in `[providers.gcp-sm]` refer to the JSON key of a service account"
                .to_owned(),
        }
        };
        let key = self.account().await?;
        let key = Body::of(&key);
        let account: Account<'_> = key
            .read()
            .map_err(|_| wrong("its credentials are not the key of a service account"))?;
        if account.kind != "service_account" {
            return Err(wrong("its credentials are not the key of a service account"));
        }
        let address = self.token_address(account.token_uri.as_deref())?;
        let now = self.context.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = serde_json::json!({
            "iss": account.client_email,
            "scope": SCOPE,
            "aud": address.url().as_str(),
            "iat": now,
            "exp": now + 3600,
        });
        let header =
            serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": account.private_key_id });
        let pem = account.private_key.secret()?;
        let assertion = jwt::rs256(&pem, &header.to_string(), &claims.to_string())
            .map_err(|error| wrong(&error.to_string()))?;
        let body = form(&[
            ("grant_type", Part::Text("urn:ietf:params:oauth:grant-type:jwt-bearer")),
            ("assertion", Part::Secret(&assertion)),
        ]);
        let request = Request::post(address.url(), "application/x-www-form-urlencoded", body);
        let answer = session.send(request).await?;
        match answer.status {
            200 => {
                let granted: Granted<'_> = answer.body.read()?;
                Ok(Login { token: granted.access_token.secret()?, seconds: granted.expires_in })
            }
            400 | 401 | 403 => Err(Failure::TokenRejected),
            _ => Err(answer.failure()),
        }
    }

    /// Where tokens are granted. A key may name no other place than Google's, unless the settings
    /// name another API too: then it may name that host.
    fn token_address(&self, named: Option<&str>) -> Result<Base, Failure> {
        let named = Base::known(named.unwrap_or(TOKENS))?;
        let usual = ["oauth2.googleapis.com", "accounts.google.com", "www.googleapis.com"];
        let own = self.endpoint.as_ref().is_some_and(|own| own.authority() == named.authority());
        if own || (usual.contains(&named.authority()) && self.endpoint.is_none()) {
            return Ok(named);
        }
        Err(Failure::Absent {
            why: "the key of its service account names a place for tokens that is not Google's"
                .to_owned(),
            fix: "make a new key in Google's console, or set `endpoint` in `[providers.gcp-sm]`"
                .to_owned(),
        })
    }

    async fn account(&self) -> Result<Secret, Failure> {
        const LONGEST: usize = 64 << 10;
        if let Some(reference) = &self.credentials {
            let key = Token::Reference(reference.clone()).get(SCHEME, &self.context).await?;
            return key.ok_or(Failure::TokenRejected);
        }
        let path = self.context.text("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from);
        let path = path.ok_or_else(|| {
            Failure::unset(SCHEME, "the key of its service account", "credentials")
        })?;
        let file = open_private(&path).and_then(|file| read(&file, &path, LONGEST));
        file.map(Secret::new).map_err(|_| Failure::Absent {
            why: "the file in GOOGLE_APPLICATION_CREDENTIALS cannot be read, or others can read it"
                .to_owned(),
            fix: "close it to others: `chmod 600 \"$GOOGLE_APPLICATION_CREDENTIALS\"`".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_that_google_sends() {
        for (text, sum) in [("", 0), ("123456789", 0xe306_9283), ("a", 0xc1d0_4330)] {
            assert_eq!(crc32c(text.as_bytes()), sum, "{text}");
        }
    }
}
