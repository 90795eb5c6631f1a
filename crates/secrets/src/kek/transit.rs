//! The transit engine of `HashiCorp` Vault and of `OpenBao`: `encrypt` and `decrypt` with a key that
//! never leaves it.
//!
//! The key is looked at before it is used: `encrypt` with a name that does not exist would make a
//! key of that name, and everything would be wrapped under a second generation (CR-07).

use serde::Deserialize;
use strongroom_model::ports::BoxFuture;
use strongroom_model::secret::Secret;
use strongroom_seal::kek::{bind, unbind};
use strongroom_seal::{KekError, Key, TeamKek};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::{base64, failed};
use crate::http::json::{Hidden, Part, object};
use crate::http::{Answer, Api as _, Failure, Pass, Request, Session};
use crate::providers::gcp::decoded;
use crate::providers::vault::{self, Vault};
use crate::settings::{Context, Field, Kind, SettingError, Settings};

pub(super) const FIELDS: &[Field] = &[
    Field { name: "key", kind: Kind::Text, about: "the name of the key" },
    Field { name: "mount", kind: Kind::Text, about: "where transit is mounted; `transit`" },
];

/// The kinds of keys that bind what they encrypt to associated data.
const KINDS: &[&str] = &["aes256-gcm96", "aes128-gcm96", "chacha20-poly1305"];

/// A key of a transit engine.
pub(super) struct Transit {
    id: String,
    mount: String,
    key: String,
    vault: Vault,
    /// What is known of the key, once it has been looked at.
    known: OnceCell<Known>,
}

struct Known {
    /// Whether each context has a key of its own.
    derived: bool,
}

impl Transit {
    /// The key that `settings` name. It asks nothing yet.
    pub(super) fn new(settings: &Settings, context: &Context) -> Result<Self, SettingError> {
        let name = super::needed(settings, "key", "write the name of a key of the engine")?;
        let mount = settings.text("mount").unwrap_or("transit").trim_matches('/');
        Ok(Self {
            id: format!("transit:{mount}/{name}"),
            mount: mount.to_owned(),
            key: name.to_owned(),
            vault: vault::new(settings, context)?.0,
            known: OnceCell::new(),
        })
    }

    /// Encrypts or decrypts: one text goes in, one comes out.
    async fn crypt(
        &self,
        (operation, name): (&str, &str),
        place: &str,
        text: &Secret,
    ) -> Result<Answer, Why> {
        let session = self.vault.http().session()?;
        let mut pass = self.vault.pass(&session, false).await?;
        loop {
            let asked = self.crypt_with(&session, &pass, (operation, name), place, text).await;
            match asked {
                Err(Why::Failed(Failure::TokenRejected)) if pass.is_remembered() => {
                    pass = self.vault.pass(&session, true).await?;
                }
                asked => return asked,
            }
        }
    }

    async fn crypt_with(
        &self,
        session: &Session,
        pass: &Pass,
        (operation, name): (&str, &str),
        place: &str,
        text: &Secret,
    ) -> Result<Answer, Why> {
        let known = self.known.get_or_try_init(|| self.look(session, pass)).await?;
        let context = known.derived.then_some(("context", Part::Text(place)));
        let fields: Vec<(&str, Part<'_>)> =
            [(name, Part::Secret(text)), ("associated_data", Part::Text(place))]
                .into_iter()
                .chain(context)
                .collect();
        let url = self.url(&[operation, &self.key])?;
        let request = Request::post(url, "application/json", object(&fields));
        self.send(session, pass, request).await
    }

    /// Whether the key is there, and one that we can use.
    async fn look(&self, session: &Session, pass: &Pass) -> Result<Known, Why> {
        let request = Request::get(self.url(&["keys", &self.key])?);
        let answer = self.send(session, pass, request).await?;
        let Data { data: About { kind, derived } } = answer.body.read()?;
        if KINDS.contains(&kind.as_str()) {
            Ok(Known { derived })
        } else {
            Err(Why::Refused("it is not of a kind that authenticates (`aes256-gcm96`)"))
        }
    }

    async fn send(&self, session: &Session, pass: &Pass, request: Request) -> Result<Answer, Why> {
        let request = self.vault.addressed(request).token("x-vault-token", &pass.token);
        let answer = session.send(request).await?;
        match answer.status {
            200 => Ok(answer),
            400 => Err(bad_request(&answer)),
            _ => Err(self.vault.why(session, (pass, &OnceCell::new()), answer).await.into()),
        }
    }

    fn url(&self, segments: &[&str]) -> Result<reqwest::Url, Failure> {
        let mount = self.mount.split('/');
        let all = ["v1"].into_iter().chain(mount).chain(segments.iter().copied());
        Ok(self.vault.base()?.join(all))
    }

    fn error(&self, why: Why) -> KekError {
        match why {
            Why::Mismatch => KekError::Mismatch,
            Why::Refused(why) => KekError::Refused { kek: self.id.clone(), why: why.to_owned() },
            Why::Failed(failure) => failed(&self.id, failure),
        }
    }
}

impl TeamKek for Transit {
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
            let text = text_of(&bind(&self.id, tenant, key_id, key));
            let place = place(tenant, key_id);
            let asked = self.crypt(("encrypt", "plaintext"), &place, &text).await;
            let answer = asked.map_err(|why| self.error(why))?;
            let ciphertext = answer
                .body
                .read::<Data<Encrypted>>()
                .map_err(|failure| failed(&self.id, failure))?
                .data
                .ciphertext;
            Ok(ciphertext.into_bytes())
        })
    }

    fn unwrap<'a>(
        &'a self,
        tenant: &'a str,
        key_id: &'a str,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Key, KekError>> {
        Box::pin(async move {
            if std::str::from_utf8(wrapped).is_err() {
                return Err(KekError::Mismatch);
            }
            let text = Secret::new(wrapped.to_vec());
            let place = place(tenant, key_id);
            let asked = self.crypt(("decrypt", "ciphertext"), &place, &text).await;
            let answer = asked.map_err(|why| self.error(why))?;
            let opened = answer
                .body
                .read::<Data<Decrypted<'_>>>()
                .and_then(|answer| answer.data.plaintext.secret())
                .and_then(|text| decoded(&text))
                .map_err(|failure| failed(&self.id, failure))?;
            unbind(&self.id, tenant, key_id, &secret_of(opened))
        })
    }
}

/// Why nothing came of it.
enum Why {
    /// What was to be decrypted was not encrypted by this key for this place.
    Mismatch,
    /// We may not.
    Refused(&'static str),
    /// The question failed.
    Failed(Failure),
}

impl From<Failure> for Why {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// What the engine means by its words for a request that it does not take. The order matters: a
/// version that it does not have is said to be an invalid ciphertext too.
fn bad_request(answer: &Answer) -> Why {
    const NO_VERSION: &str = "it does not have the version that the key was wrapped under";
    for (words, why) in [
        ("disallowed by policy (too old)", Why::Refused(NO_VERSION)),
        ("version is too new", Why::Refused(NO_VERSION)),
        ("encryption key not found", Why::Failed(Failure::NotFound)),
        ("message authentication failed", Why::Mismatch),
        ("invalid ciphertext", Why::Mismatch),
    ] {
        if answer.body.says(words) {
            return why;
        }
    }
    Why::Refused("it does not take the request")
}

/// Where a key belongs, as the engine takes it: base64.
fn place(tenant: &str, key_id: &str) -> String {
    let parts = format!("strongroom\n{tenant}\n{key_id}");
    base64(&Secret::new(parts.into_bytes())).to_string()
}

fn text_of(secret: &Secret) -> Secret {
    Secret::new(std::mem::take(&mut *base64(secret)).into_bytes())
}

fn secret_of(mut bytes: Zeroizing<Vec<u8>>) -> Secret {
    Secret::new(std::mem::take(&mut *bytes))
}

/// The envelope of every answer.
#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct About {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    derived: bool,
}

#[derive(Deserialize)]
struct Encrypted {
    ciphertext: String,
}

#[derive(Deserialize)]
struct Decrypted<'a> {
    #[serde(borrow)]
    plaintext: Hidden<'a>,
}
