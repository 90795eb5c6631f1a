//! Signed requests to one service of AWS.

use serde::Deserialize;
use strongroom_seal::sign::sigv4;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::keys::{Keys, Pair};
use crate::http::{Answer, Base, Failure, Http, Request, Session};
use crate::settings::{Context, SettingError, Settings};

/// How one service of AWS is spoken to.
pub(crate) struct Access {
    /// What our settings call it.
    scheme: &'static str,
    /// Its name in host names and signatures.
    service: &'static str,
    http: Http,
    endpoint: Option<Base>,
    keys: Keys,
    context: Context,
}

/// One that signs, for one batch.
pub(crate) struct Signer {
    session: Session,
    base: Base,
    region: String,
    service: &'static str,
    keys: Pair,
    now: OffsetDateTime,
}

impl Access {
    /// What [`FIELDS`](super::FIELDS) say of it.
    pub(crate) fn new(
        scheme: &'static str,
        service: &'static str,
        settings: &Settings,
        context: &Context,
    ) -> Result<Self, SettingError> {
        Ok(Self {
            scheme,
            service,
            http: Http::new(settings),
            endpoint: Base::setting(settings, "endpoint")?,
            keys: Keys::new(settings)?,
            context: context.clone(),
        })
    }

    /// One that signs with the keys as they are now.
    pub(crate) async fn signer(&self) -> Result<Signer, Failure> {
        let region = self.keys.region(&self.context);
        let region = region.ok_or_else(|| Failure::unset(self.scheme, "the region", "region"))?;
        let base = self.endpoint.clone().map_or_else(|| self.regional(&region), Ok)?;
        let keys = self.keys.pair(self.scheme, &self.context).await?;
        let now = OffsetDateTime::from(self.context.clock.now());
        let session = self.http.session()?;
        Ok(Signer { session, base, region, service: self.service, keys, now })
    }

    /// The address of the service in `region`, which becomes part of a host's name: nothing else
    /// may be in it.
    fn regional(&self, region: &str) -> Result<Base, Failure> {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !region.bytes().all(word) {
            return Err(Failure::unset(self.scheme, "a region that there is", "region"));
        }
        let end = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        Base::known(&format!("https://{}.{region}.{end}", self.service))
    }
}

impl Signer {
    /// Sends one operation.
    pub(crate) async fn send(
        &self,
        operation: &str,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Answer, Failure> {
        const KIND: &str = "application/x-amz-json-1.1";
        let (url, now) = (self.base.url(), self.now);
        let time = format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            now.year(),
            u8::from(now.month()),
            now.day(),
            now.hour(),
            now.minute(),
            now.second()
        );
        let mut headers = vec![
            ("content-type", KIND),
            ("host", self.base.authority()),
            ("x-amz-date", &time),
            ("x-amz-target", operation),
        ];
        if let Some(token) = &self.keys.session {
            let token = std::str::from_utf8(token.expose()).map_err(|_| Failure::TokenRejected)?;
            headers.push(("x-amz-security-token", token));
        }
        let request = sigv4::Request {
            method: "POST",
            path: url.path(),
            query: "",
            headers: &headers,
            payload: &sigv4::hash(&body),
        };
        let scope = sigv4::Scope { region: &self.region, service: self.service, time: &time };
        let signature = sigv4::authorization(&self.keys.id, &self.keys.secret, &scope, &request);
        let mut sent = Request::post(url.clone(), KIND, body)
            .header("x-amz-date", &time)
            .header("x-amz-target", operation)
            .header("authorization", &signature);
        if let Some(token) = &self.keys.session {
            sent = sent.token("x-amz-security-token", token);
        }
        self.session.send(sent).await
    }
}

#[derive(Deserialize)]
struct Fault {
    #[serde(rename = "__type", default)]
    kind: String,
}

/// The name of the error that an answer tells of, without the namespace that may stand before it.
pub(crate) fn fault(answer: &Answer) -> Option<String> {
    let fault: Fault = answer.body.read().ok()?;
    let name = fault.kind.rsplit(['#', '.']).next().unwrap_or_default();
    Some(name.to_owned())
}

/// What an answer that is not the one that was asked for says.
pub(crate) fn why(answer: &Answer) -> Failure {
    match fault(answer) {
        Some(name) if answer.status == 400 || !name.is_empty() => code(&name),
        _ => answer.failure(),
    }
}

/// What AWS means by an error's name, which may have a namespace before it.
pub(super) fn code(kind: &str) -> Failure {
    match kind.rsplit(['#', '.']).next().unwrap_or_default() {
        // The second one: it was deleted, and can be restored for a while.
        "ResourceNotFoundException" | "InvalidRequestException" | "ParameterNotFound" => {
            Failure::NotFound
        }
        "AccessDeniedException" | "AccessDenied" => {
            Failure::Denied("the policy of our access key does not allow it")
        }
        "DecryptionFailure" | "InvalidKeyId" => {
            Failure::Denied("our access key may not use the key that it is encrypted with")
        }
        "ValidationException" | "InvalidParameterException" => {
            Failure::Unusable("AWS does not take its name")
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "RequestExpired"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException" => Failure::TokenRejected,
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "RequestLimitExceeded" => Failure::Limited,
        _ => Failure::unreachable("it answers with an error that we do not know"),
    }
}
