//! `aws-sm://NAME[#KEY]` (Secrets Manager) and `aws-ssm://NAME` (Parameter Store), with keys that do
//! not change: from the settings, the environment, or a profile of the shared credentials file.
//!
//! Many references are one request: 20 secrets, or 10 parameters. A batch that is refused as a
//! whole, because one of its names is, is asked again one by one.

mod keys;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::json;
use strongroom_model::ports::{BoxFuture, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_seal::sign::sigv4;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::gcp::decoded;
use super::usable;
use crate::http::json::Hidden;
use crate::http::several::several;
use crate::http::{Answer, Base, Body, CA_FILE, Failure, Http, Request, Session};
use crate::settings::{Context, Field, Kind, SettingError, Settings};

use keys::Keys;

/// What `[providers.aws-sm]` and `[providers.aws-ssm]` take.
pub(super) const FIELDS: &[Field] = &[
    Field {
        name: "secret_access_key",
        kind: Kind::Secret,
        about: "the secret access key; else AWS_SECRET_ACCESS_KEY or the profile's",
    },
    Field { name: "access_key_id", kind: Kind::Text, about: "the access key that it belongs to" },
    Field {
        name: "session_token",
        kind: Kind::Secret,
        about: "the session token of temporary keys",
    },
    Field { name: "profile", kind: Kind::Text, about: "the profile in ~/.aws; else AWS_PROFILE" },
    Field {
        name: "region",
        kind: Kind::Text,
        about: "the region; else AWS_REGION or the profile's",
    },
    Field { name: "endpoint", kind: Kind::Url, about: "another address than the region's own" },
    CA_FILE,
];

/// A service of AWS.
struct Service {
    scheme: &'static str,
    /// Its name in host names and signatures.
    name: &'static str,
    /// The operation that answers for several names.
    operation: &'static str,
    /// How many.
    at_once: usize,
}

const SECRETS: Service = Service {
    scheme: "aws-sm",
    name: "secretsmanager",
    operation: "secretsmanager.BatchGetSecretValue",
    at_once: 20,
};

const PARAMETERS: Service =
    Service { scheme: "aws-ssm", name: "ssm", operation: "AmazonSSM.GetParameters", at_once: 10 };

/// The operation for one secret. It needs no permission beside the one that everybody has.
const ONE_SECRET: &str = "secretsmanager.GetSecretValue";

/// Resolves references to one service of AWS.
pub(super) struct Aws {
    service: &'static Service,
    http: Http,
    endpoint: Option<Base>,
    keys: Keys,
    context: Context,
}

/// A provider of `aws-sm`. It asks nothing yet.
pub(super) fn secrets(settings: &Settings, context: &Context) -> Result<Aws, SettingError> {
    new(&SECRETS, settings, context)
}

/// A provider of `aws-ssm`. It asks nothing yet.
pub(super) fn parameters(settings: &Settings, context: &Context) -> Result<Aws, SettingError> {
    new(&PARAMETERS, settings, context)
}

fn new(
    service: &'static Service,
    settings: &Settings,
    context: &Context,
) -> Result<Aws, SettingError> {
    Ok(Aws {
        service,
        http: Http::new(settings),
        endpoint: Base::setting(settings, "endpoint")?,
        keys: Keys::new(settings)?,
        context: context.clone(),
    })
}

impl Provider for Aws {
    fn scheme(&self) -> &'static str {
        self.service.scheme
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        Box::pin(async move {
            let names: BTreeSet<String> = refs.iter().map(|reference| self.id(reference)).collect();
            let found = self.all(names).await;
            let secret = |reference: &SecretRef| match found.get(&self.id(reference)) {
                None => Err(Failure::NotFound),
                Some(Err(failure)) => Err(failure.clone()),
                Some(Ok(body)) => body.part(reference.fragment()),
            };
            let answer = |reference: &SecretRef| match secret(reference) {
                Ok(secret) => usable(secret, reference),
                Err(failure) => Err(failure.of(reference)),
            };
            refs.iter().map(answer).collect()
        })
    }
}

/// What was found, by name.
#[derive(Default)]
struct Found(BTreeMap<String, Result<Body, Failure>>);

/// One that signs, for one batch.
struct Signer {
    session: Session,
    base: Base,
    region: String,
    keys: keys::Pair,
}

impl Aws {
    /// What AWS calls it: a parameter with several segments begins with `/`.
    fn id(&self, reference: &SecretRef) -> String {
        let path = reference.path();
        let is_path = self.service.scheme == PARAMETERS.scheme && path.contains('/');
        if is_path && !path.starts_with("arn:") { format!("/{path}") } else { path.to_owned() }
    }

    async fn all(&self, names: BTreeSet<String>) -> BTreeMap<String, Result<Body, Failure>> {
        if names.is_empty() {
            return BTreeMap::new();
        }
        let names: Vec<String> = names.into_iter().collect();
        let signer = match self.signer().await {
            Ok(signer) => signer,
            Err(failure) => {
                return names.into_iter().map(|name| (name, Err(failure.clone()))).collect();
            }
        };
        let signer = &signer;
        let batches = names.chunks(self.service.at_once).map(|names| self.batch(signer, names));
        several(batches.collect()).await.into_iter().flat_map(|found| found.0).collect()
    }

    /// Asks for some names in one request, or, where that is refused, one by one.
    fn batch<'a>(&'a self, signer: &'a Signer, names: &'a [String]) -> BoxFuture<'a, Found> {
        Box::pin(async move {
            let answer = match self.ask(signer, names).await {
                Ok(answer) => answer,
                Err(failure) => return Found::failed(names, &failure),
            };
            if answer.status == 200 {
                return Found::read(&answer.body, names, self.service.scheme)
                    .unwrap_or_else(|failure| Found::failed(names, &failure));
            }
            let failure = why(&answer);
            let of_one =
                matches!(failure, Failure::Denied(_) | Failure::Unusable(_) | Failure::NotFound);
            if names.len() == 1 || !of_one {
                return Found::failed(names, &failure);
            }
            let singles = names.chunks(1).map(|name| self.batch(signer, name));
            Found(several(singles.collect()).await.into_iter().flat_map(|found| found.0).collect())
        })
    }

    async fn ask(&self, signer: &Signer, names: &[String]) -> Result<Answer, Failure> {
        let (operation, body) = match names {
            [one] if self.service.scheme == SECRETS.scheme => {
                (ONE_SECRET, json!({ "SecretId": one }))
            }
            _ if self.service.scheme == SECRETS.scheme => {
                (self.service.operation, json!({ "SecretIdList": names }))
            }
            _ => (self.service.operation, json!({ "Names": names, "WithDecryption": true })),
        };
        signer.send(self.service, operation, &body.to_string(), self.now()).await
    }

    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from(self.context.clock.now())
    }

    /// The address of the service in `region`, which becomes part of a host's name: nothing else
    /// may be in it.
    fn regional(&self, region: &str) -> Result<Base, Failure> {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !region.bytes().all(word) {
            return Err(Failure::unset(self.service.scheme, "a region that there is", "region"));
        }
        let end = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        Base::known(&format!("https://{}.{region}.{end}", self.service.name))
    }

    async fn signer(&self) -> Result<Signer, Failure> {
        let scheme = self.service.scheme;
        let region = self.keys.region(&self.context);
        let region = region.ok_or_else(|| Failure::unset(scheme, "the region", "region"))?;
        let base = self.endpoint.clone().map_or_else(|| self.regional(&region), Ok)?;
        let keys = self.keys.pair(scheme, &self.context).await?;
        Ok(Signer { session: self.http.session()?, base, region, keys })
    }
}

impl Signer {
    async fn send(
        &self,
        service: &Service,
        operation: &str,
        body: &str,
        now: OffsetDateTime,
    ) -> Result<Answer, Failure> {
        const KIND: &str = "application/x-amz-json-1.1";
        let url = self.base.url();
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
            payload: &sigv4::hash(body.as_bytes()),
        };
        let scope = sigv4::Scope { region: &self.region, service: service.name, time: &time };
        let signature = sigv4::authorization(&self.keys.id, &self.keys.secret, &scope, &request);
        let body = Zeroizing::new(body.as_bytes().to_vec());
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

/// The answers of all three operations.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Values<'a> {
    #[serde(borrow, default)]
    #[serde(rename = "SecretValues")]
    secrets: Vec<Value<'a>>,
    #[serde(default)]
    errors: Vec<Refused>,
    #[serde(borrow, default)]
    parameters: Vec<Value<'a>>,
    #[serde(default)]
    invalid_parameters: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Value<'a> {
    name: String,
    #[serde(default, rename = "ARN")]
    arn: Option<String>,
    #[serde(borrow, default)]
    secret_string: Option<Hidden<'a>>,
    #[serde(borrow, default)]
    secret_binary: Option<Hidden<'a>>,
    #[serde(borrow, default, rename = "Value")]
    text: Option<Hidden<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refused {
    secret_id: String,
    error_code: String,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(rename = "__type", default)]
    kind: String,
}

impl Found {
    fn failed(names: &[String], failure: &Failure) -> Self {
        Self(names.iter().map(|name| (name.clone(), Err(failure.clone()))).collect())
    }

    fn read(body: &Body, names: &[String], scheme: &str) -> Result<Self, Failure> {
        let mut found = BTreeMap::new();
        if let [name] = names
            && scheme == SECRETS.scheme
        {
            found.insert(name.clone(), body.read::<Value<'_>>()?.content());
            return Ok(Self(found));
        }
        let values: Values<'_> = body.read()?;
        for value in values.secrets.iter().chain(&values.parameters) {
            let is_it = |name: &&String| **name == value.name || Some(*name) == value.arn.as_ref();
            for name in names.iter().filter(is_it) {
                found.insert(name.clone(), value.content());
            }
        }
        let refused =
            values.errors.into_iter().map(|error| (error.secret_id, code(&error.error_code)));
        let missing = values.invalid_parameters.into_iter().map(|name| (name, Failure::NotFound));
        for (name, failure) in refused.chain(missing) {
            found.entry(name).or_insert(Err(failure));
        }
        let unanswered = || Err(Failure::unreachable("it left a question unanswered"));
        for name in names {
            found.entry(name.clone()).or_insert_with(unanswered);
        }
        Ok(Self(found))
    }
}

impl Value<'_> {
    fn content(&self) -> Result<Body, Failure> {
        if let Some(text) = self.secret_string.or(self.text) {
            return Ok(Body::of(&text.secret()?));
        }
        let binary = self.secret_binary.ok_or(Failure::Unusable("it is empty"))?;
        Ok(Body::new(decoded(&binary.secret()?)?))
    }
}

fn why(answer: &Answer) -> Failure {
    match answer.body.read::<Fault>() {
        Ok(fault) if answer.status == 400 || !fault.kind.is_empty() => code(&fault.kind),
        _ => answer.failure(),
    }
}

/// What AWS means by an error's name, which may have a namespace before it.
fn code(kind: &str) -> Failure {
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
