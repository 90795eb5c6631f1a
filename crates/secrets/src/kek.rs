//! Where the key-encryption keys of a team are kept: a file, a variable, the keychain, AWS KMS, the
//! transit engine of Vault or `OpenBao`, a PKCS#11 module.
//!
//! The first three hand the key out, and it wraps here; the others are asked to wrap, and what they
//! are given carries its own proof of where it belongs ([`strongroom_seal::kek::bind`]).

mod keychain;
mod kms;
mod pkcs11;
mod transit;

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom_model::secret::Secret;
use strongroom_seal::kek::VARIABLE;
use strongroom_seal::{KekError, KekSourceError, LocalKek, SecureDir, TeamKek};
use zeroize::Zeroizing;

use crate::http::Failure;
use crate::settings::{Context, Field, Kind, SettingError, Settings};

/// A kind of place for a KEK.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Its name in the configuration.
    pub name: &'static str,
    /// What it is, for people: one line.
    pub about: &'static str,
    /// The settings that it takes; some are needed.
    pub fields: &'static [&'static [Field]],
    open: Open,
    /// Makes a new key, where keys of this kind are ours to make.
    create: Option<Open>,
}

type Open = fn(&Settings, &Context) -> Result<Arc<dyn TeamKek>, KekSetupError>;

/// Every kind there is.
pub const SOURCES: &[Source] = &[
    Source {
        name: "file",
        about: "a key file that only this user can read",
        fields: &[FILE_FIELDS],
        open: |settings, _| in_file(settings, LocalKek::of_file),
        create: Some(|settings, _| in_file(settings, LocalKek::create_file)),
    },
    Source {
        name: "env",
        about: "the variable CREDENTIAL_ENCRYPTION_KEY",
        fields: &[],
        open: |_, context| in_variable(context),
        create: None,
    },
    Source {
        name: "keychain",
        about: "an item of the system's keychain",
        fields: &[keychain::FIELDS],
        open: keychain::open,
        create: Some(keychain::create),
    },
    Source {
        name: "aws-kms",
        about: "a symmetric key of AWS KMS",
        fields: &[kms::FIELDS, crate::providers::aws::FIELDS],
        open: |settings, context| Ok(Arc::new(kms::Kms::new(settings, context)?)),
        create: None,
    },
    Source {
        name: "transit",
        about: "a key of the transit engine of Vault or OpenBao",
        fields: &[transit::FIELDS, crate::providers::vault::FIELDS],
        open: |settings, context| Ok(Arc::new(transit::Transit::new(settings, context)?)),
        create: None,
    },
    Source {
        name: "pkcs11",
        about: "an AES key of a PKCS#11 module",
        fields: &[pkcs11::FIELDS],
        open: |settings, context| Ok(Arc::new(pkcs11::Token::new(settings, context)?)),
        create: None,
    },
];

const FILE_FIELDS: &[Field] =
    &[Field { name: "path", kind: Kind::Path, about: "the key file, in a directory of its user" }];

/// A KEK cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum KekSetupError {
    /// There is no such kind of place.
    #[error("`{name}` is no place for a key-encryption key")]
    NoSource {
        /// What was asked for.
        name: String,
    },
    /// Keys of this kind are made by whoever keeps them.
    #[error("a key of `{name}` is made where it is kept")]
    MadeElsewhere {
        /// The kind.
        name: &'static str,
    },
    /// A setting does not do.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// There is no key in it.
    #[error(transparent)]
    Source(#[from] KekSourceError),
}

impl KekSetupError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSource { .. } => {
                let names: Vec<String> =
                    SOURCES.iter().map(|source| format!("`{}`", source.name)).collect();
                Some(format!("write one of {}", names.join(", ")))
            }
            Self::MadeElsewhere { .. } => {
                Some("make it there, and name it in the configuration".to_owned())
            }
            Self::Setting(error) => error.hint.clone(),
            Self::Source(error) => error.hint(),
        }
    }
}

/// The KEK that `settings` of the kind `name` tell of. Nobody on a network is asked yet.
pub fn open(
    name: &str,
    settings: &Settings,
    context: &Context,
) -> Result<Arc<dyn TeamKek>, KekSetupError> {
    (source(name)?.open)(settings, context)
}

/// Makes a KEK where `settings` of the kind `name` say. One that is there is never overwritten.
pub fn create(
    name: &str,
    settings: &Settings,
    context: &Context,
) -> Result<Arc<dyn TeamKek>, KekSetupError> {
    let source = source(name)?;
    let create = source.create.ok_or(KekSetupError::MadeElsewhere { name: source.name })?;
    create(settings, context)
}

fn source(name: &str) -> Result<&'static Source, KekSetupError> {
    let found = SOURCES.iter().find(|source| source.name == name);
    found.ok_or_else(|| KekSetupError::NoSource { name: name.to_owned() })
}

fn in_file(
    settings: &Settings,
    act: fn(&SecureDir, &str) -> Result<LocalKek, KekSourceError>,
) -> Result<Arc<dyn TeamKek>, KekSetupError> {
    let path = Path::new(needed(settings, "path", "write the path of the key file")?);
    let unusable = || SettingError {
        key: "path",
        problem: "it is not the path of a file".to_owned(),
        hint: Some("write the absolute path of the key file".to_owned()),
    };
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(unusable)?;
    let folder = path.parent().filter(|folder| folder.is_absolute()).ok_or_else(unusable)?;
    let dir = SecureDir::create(folder).map_err(KekSourceError::from)?;
    Ok(Arc::new(act(&dir, name)?))
}

fn in_variable(context: &Context) -> Result<Arc<dyn TeamKek>, KekSetupError> {
    let text = context.text(VARIABLE);
    let missing = || KekSourceError::Missing { place: VARIABLE.to_owned() };
    let text = Secret::new(text.ok_or_else(missing)?.into_bytes());
    Ok(Arc::new(LocalKek::of_variable(&text)?))
}

/// The text at `key`, without which there is no key to be found.
fn needed<'a>(
    settings: &'a Settings,
    key: &'static str,
    hint: &'static str,
) -> Result<&'a str, SettingError> {
    settings.text(key).filter(|text| !text.is_empty()).ok_or_else(|| SettingError {
        key,
        problem: "it is not set".to_owned(),
        hint: Some(hint.to_owned()),
    })
}

/// What a question that brought nothing says about the KEK `id`.
fn failed(id: &str, failure: Failure) -> KekError {
    let kek = id.to_owned();
    let refused = |why: &str| KekError::Refused { kek: id.to_owned(), why: why.to_owned() };
    match failure {
        Failure::NotFound => refused("it does not exist"),
        Failure::Denied(why) | Failure::Unusable(why) => refused(why),
        Failure::TokenRejected => {
            refused("our token is not accepted: it has expired, was revoked or is wrong")
        }
        Failure::Absent { why, .. } => KekError::Refused { kek, why },
        Failure::Locked => KekError::Unreachable { kek, why: "it is sealed or locked".to_owned() },
        Failure::Limited => {
            KekError::Unreachable { kek, why: "it has been asked too often".to_owned() }
        }
        Failure::Unreachable(why) => KekError::Unreachable { kek, why },
    }
}

/// The base64 of a secret, in a buffer that never moves.
fn base64(secret: &Secret) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(secret.len() * 4 / 3 + 4));
    STANDARD.encode_string(secret.expose(), &mut text);
    text
}
