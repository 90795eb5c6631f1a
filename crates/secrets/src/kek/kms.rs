//! AWS KMS: `Encrypt` and `Decrypt` with a symmetric key that never leaves it.
//!
//! The encryption context holds the tenant and the key's id, so that they stand in its log of calls and a
//! key policy may demand them.

use serde::Deserialize;
use serde_json::json;
use strongroom_model::ports::BoxFuture;
use strongroom_model::secret::Secret;
use strongroom_seal::kek::{bind, unbind};
use strongroom_seal::{KekError, Key, TeamKek};
use zeroize::Zeroizing;

use super::{base64, failed, needed};
use crate::http::json::Hidden;
use crate::http::{Answer, Failure};
use crate::providers::aws::{Access, fault, why};
use crate::providers::gcp::decoded;
use crate::settings::{Context, Field, Kind, SettingError, Settings};

pub(super) const FIELDS: &[Field] =
    &[Field { name: "key", kind: Kind::Text, about: "the ARN or the id of the key, not an alias" }];

/// A symmetric key of AWS KMS.
pub(super) struct Kms {
    id: String,
    key: String,
    access: Access,
}

impl Kms {
    /// The key that `settings` name. It asks nothing yet.
    pub(super) fn new(settings: &Settings, context: &Context) -> Result<Self, SettingError> {
        let hint = "write the ARN of a symmetric key: `arn:aws:kms:REGION:ACCOUNT:key/ID`";
        let key = needed(settings, "key", hint)?.to_owned();
        if key.starts_with("alias/") || key.contains(":alias/") {
            return Err(SettingError {
                key: "key",
                problem: "an alias can be made to lead to another key".to_owned(),
                hint: Some(hint.to_owned()),
            });
        }
        let access = Access::new("aws-kms", "kms", settings, context)?;
        Ok(Self { id: format!("aws-kms:{key}"), key, access })
    }

    async fn ask(&self, operation: &str, body: Zeroizing<Vec<u8>>) -> Result<Answer, KekError> {
        let signer = self.access.signer().await.map_err(|failure| failed(&self.id, failure))?;
        let answer = signer.send(operation, body).await;
        let answer = answer.map_err(|failure| failed(&self.id, failure))?;
        if answer.status == 200 { Ok(answer) } else { Err(self.refused(&answer)) }
    }

    fn refused(&self, answer: &Answer) -> KekError {
        let refused = |why: &str| KekError::Refused { kek: self.id.clone(), why: why.to_owned() };
        match fault(answer).unwrap_or_default().as_str() {
            "InvalidCiphertextException" | "IncorrectKeyException" => KekError::Mismatch,
            "NotFoundException" => refused("it does not exist"),
            "DisabledException" => refused("it is disabled"),
            "KMSInvalidStateException" => refused("it is being deleted, or has no material yet"),
            "InvalidKeyUsageException" => refused("it is not a key that encrypts"),
            "InvalidArnException" | "ValidationException" => refused("KMS does not take its name"),
            "KeyUnavailableException"
            | "DependencyTimeoutException"
            | "KMSInternalException"
            | "LimitExceededException" => KekError::Unreachable {
                kek: self.id.clone(),
                why: "KMS cannot use it for the moment".to_owned(),
            },
            _ => failed(&self.id, why(answer)),
        }
    }

    /// The body of either operation: everything in the clear, and one text of base64.
    fn body(&self, tenant: &str, key_id: &str, (name, text): (&str, &str)) -> Zeroizing<Vec<u8>> {
        let mut open = json!({
            "KeyId": self.key,
            "EncryptionContext": { "app": "strongroom", "tenant": tenant, "key": key_id },
            "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        })
        .to_string();
        // The closing brace comes after the text.
        open.pop();
        let mut body = Zeroizing::new(Vec::with_capacity(open.len() + name.len() + text.len() + 8));
        for part in [&open, ",\"", name, "\":\"", text, "\"}"] {
            body.extend_from_slice(part.as_bytes());
        }
        body
    }

    fn bytes(&self, text: Result<Secret, Failure>) -> Result<Zeroizing<Vec<u8>>, KekError> {
        text.and_then(|text| decoded(&text)).map_err(|failure| failed(&self.id, failure))
    }
}

impl TeamKek for Kms {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap<'a>(
        &'a self,
        tenant: &'a str,
        key_id: &'a str,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Vec<u8>, KekError>> {
        Box::pin(async move {
            let plaintext = base64(&bind(&self.id, tenant, key_id, key));
            let body = self.body(tenant, key_id, ("Plaintext", &plaintext));
            let answer = self.ask("TrentService.Encrypt", body).await?;
            let read = answer.body.read::<Encrypted<'_>>();
            let text = read.and_then(|encrypted| encrypted.ciphertext_blob.secret());
            Ok(std::mem::take(&mut *self.bytes(text)?))
        })
    }

    fn unwrap<'a>(
        &'a self,
        tenant: &'a str,
        key_id: &'a str,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Key, KekError>> {
        Box::pin(async move {
            let blob = base64(&Secret::new(wrapped.to_vec()));
            let body = self.body(tenant, key_id, ("CiphertextBlob", &blob));
            let answer = self.ask("TrentService.Decrypt", body).await?;
            let read = answer.body.read::<Decrypted<'_>>();
            let text = read.and_then(|decrypted| decrypted.plaintext.secret());
            let opened = Secret::new(std::mem::take(&mut *self.bytes(text)?));
            unbind(&self.id, tenant, key_id, &opened)
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Encrypted<'a> {
    #[serde(borrow)]
    ciphertext_blob: Hidden<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Decrypted<'a> {
    #[serde(borrow)]
    plaintext: Hidden<'a>,
}
