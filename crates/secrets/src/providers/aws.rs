//! `aws-sm://NAME[#KEY]` (Secrets Manager) and `aws-ssm://NAME` (Parameter Store), with keys that do
//! not change: from the settings, the environment, or a profile of the shared credentials file.
//!
//! Many references are one request: 20 secrets, or 10 parameters. A batch that is refused as a
//! whole, because one of its names is, is asked again one by one.

mod access;
mod keys;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::json;
use strongroom_model::ports::{BoxFuture, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use zeroize::Zeroizing;

use super::gcp::decoded;
use super::usable;
use crate::http::json::Hidden;
use crate::http::several::several;
use crate::http::{Answer, Body, CA_FILE, Failure};
use crate::settings::{Context, Field, Kind, SettingError, Settings};

use access::code;
pub(crate) use access::{Access, Signer, fault, why};

/// What `[providers.aws-sm]` and `[providers.aws-ssm]` take.
pub(crate) const FIELDS: &[Field] = &[
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
    access: Access,
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
    Ok(Aws { service, access: Access::new(service.scheme, service.name, settings, context)? })
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
        let signer = match self.access.signer().await {
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
        signer.send(operation, Zeroizing::new(body.to_string().into_bytes())).await
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
