//! The providers of this crate: what settings each takes, and all of them built.
//!
//! `local://` is the vault's, which stands on this crate and not the other way round.

mod age;
pub(crate) mod aws;
mod azure;
mod bw;
mod cmd;
mod connect;
mod doppler;
mod env;
mod file;
pub(crate) mod gcp;
mod infisical;
mod keepass;
pub mod keychain;
pub mod keyutils;
mod onepassword;
mod pass;
mod program;
mod sops;
pub(crate) mod vault;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use strongroom_model::ports::{Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

use crate::settings::{Context, Field, Kind, SettingError, Settings};

pub use env::EnvProvider;
pub use file::FileProvider;
pub use program::Tool;

type Build = fn(&Settings, &Context) -> Result<Box<dyn Provider>, SettingError>;

/// A kind of provider.
struct Row {
    scheme: &'static str,
    fields: &'static [Field],
    build: Build,
    /// The program that it asks, where it asks one.
    tool: Option<&'static Tool>,
    /// The variable that its token is taken from where no setting names one.
    token_variable: Option<&'static str>,
}

/// Every provider that takes settings.
const TABLE: &[Row] = &[
    Row {
        scheme: "op",
        fields: onepassword::FIELDS,
        build: onepassword::new,
        tool: Some(&onepassword::TOOL),
        token_variable: Some(onepassword::TOKEN_VARIABLE),
    },
    Row {
        scheme: "bw",
        fields: bw::FIELDS,
        build: |settings, context| Ok(Box::new(bw::new(settings, context)?)),
        tool: Some(&bw::TOOL),
        token_variable: Some(bw::TOKEN_VARIABLE),
    },
    Row {
        scheme: "pass",
        fields: pass::FIELDS,
        build: |settings, context| Ok(Box::new(pass::new(settings, context)?)),
        tool: Some(&pass::TOOL),
        token_variable: None,
    },
    Row {
        scheme: "keepass",
        fields: keepass::FIELDS,
        build: |settings, context| Ok(Box::new(keepass::new(settings, context)?)),
        tool: Some(&keepass::TOOL),
        token_variable: None,
    },
    Row {
        scheme: "sops",
        fields: sops::FIELDS,
        build: |settings, context| Ok(Box::new(sops::new(settings, context)?)),
        tool: Some(&sops::TOOL),
        token_variable: None,
    },
    Row {
        scheme: "keychain",
        fields: keychain::FIELDS,
        build: |settings, context| Ok(Box::new(keychain::new(settings, context)?)),
        tool: None,
        token_variable: None,
    },
    Row {
        scheme: "keyutils",
        fields: keyutils::FIELDS,
        build: |settings, context| Ok(Box::new(keyutils::new(settings, context)?)),
        tool: None,
        token_variable: None,
    },
    Row {
        scheme: "age",
        fields: age::FIELDS,
        build: |settings, context| Ok(Box::new(age::new(settings, context)?)),
        tool: None,
        token_variable: None,
    },
    Row {
        scheme: "vault",
        fields: vault::FIELDS,
        build: |settings, context| Ok(Box::new(vault::new(settings, context)?)),
        tool: None,
        token_variable: Some("VAULT_TOKEN"),
    },
    Row {
        scheme: "aws-sm",
        fields: aws::FIELDS,
        build: |settings, context| Ok(Box::new(aws::secrets(settings, context)?)),
        tool: None,
        token_variable: Some("AWS_SECRET_ACCESS_KEY"),
    },
    Row {
        scheme: "aws-ssm",
        fields: aws::FIELDS,
        build: |settings, context| Ok(Box::new(aws::parameters(settings, context)?)),
        tool: None,
        token_variable: Some("AWS_SECRET_ACCESS_KEY"),
    },
    Row {
        scheme: "gcp-sm",
        fields: gcp::FIELDS,
        build: |settings, context| Ok(Box::new(gcp::new(settings, context)?)),
        tool: None,
        token_variable: None,
    },
    Row {
        scheme: "azure-kv",
        fields: azure::FIELDS,
        build: |settings, context| Ok(Box::new(azure::new(settings, context)?)),
        tool: None,
        token_variable: Some("AZURE_CLIENT_SECRET"),
    },
    Row {
        scheme: "doppler",
        fields: doppler::FIELDS,
        build: |settings, context| Ok(Box::new(doppler::new(settings, context)?)),
        tool: None,
        token_variable: Some("DOPPLER_TOKEN"),
    },
    Row {
        scheme: "infisical",
        fields: infisical::FIELDS,
        build: |settings, context| Ok(Box::new(infisical::new(settings, context)?)),
        tool: None,
        token_variable: Some("INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET"),
    },
    Row {
        scheme: "cmd",
        fields: cmd::FIELDS,
        build: |settings, context| Ok(Box::new(cmd::new(settings, context)?)),
        tool: None,
        token_variable: None,
    },
];

/// What is known of a provider without asking it.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its scheme.
    pub scheme: &'static str,
    /// The settings that it takes.
    pub fields: &'static [Field],
    /// Whether it takes them by name: `[providers.cmd.NAME]`.
    pub is_named: bool,
    /// The setting that is its token: what it is asked with.
    pub token: Option<&'static str>,
    /// The variable that its token is taken from where no setting names one.
    pub token_variable: Option<&'static str>,
    /// The program that it asks, where it asks one.
    pub tool: Option<&'static Tool>,
}

/// Every provider that takes settings.
pub fn every() -> impl Iterator<Item = About> {
    TABLE.iter().map(|row| About {
        scheme: row.scheme,
        fields: row.fields,
        is_named: row.scheme == "cmd",
        token: row.fields.iter().find(|field| field.kind == Kind::Secret).map(|field| field.name),
        token_variable: row.token_variable,
        tool: row.tool,
    })
}

/// What `[providers.SCHEME]` takes, beside the keys that all of them take; `None`: nothing.
pub fn fields(scheme: &str) -> Option<&'static [Field]> {
    TABLE.iter().find(|row| row.scheme == scheme).map(|row| row.fields)
}

/// All providers of this crate, each with its settings, or with none. Nothing is asked yet.
///
/// # Errors
///
/// The scheme whose settings cannot be used, and which one.
pub fn build(
    settings: &BTreeMap<String, Settings>,
    context: &Context,
) -> Result<Vec<Box<dyn Provider>>, (String, SettingError)> {
    let variable = Arc::clone(&context.variable);
    let mut providers: Vec<Box<dyn Provider>> =
        vec![Box::new(EnvProvider::new(move |name| variable(name))), Box::new(FileProvider)];
    let none = Settings::default();
    for row in TABLE {
        let settings = settings.get(row.scheme).unwrap_or(&none);
        let of = |error| (row.scheme.to_owned(), error);
        providers.push((row.build)(settings, context).map_err(of)?);
    }
    Ok(providers)
}

/// Where the program of the provider `about` is, as these settings have it.
///
/// # Errors
///
/// It is not there, or not safe to run. `None`: it asks no program.
pub fn program(
    about: &About,
    settings: &Settings,
    context: &Context,
) -> Option<Result<PathBuf, ResolveError>> {
    if about.scheme == "op" && connect::is_configured(settings, context) {
        return None;
    }
    let configured = settings.text(program::PROGRAM.name).map(PathBuf::from);
    let found =
        program::locate(about.tool?, configured.as_deref(), &context.home, &*context.variable);
    Some(found)
}

/// Where the program of the provider `about` is in `PATH`, for a person to be shown.
pub fn program_in_path(about: &About, context: &Context) -> Option<PathBuf> {
    program::in_path(about.tool?, &*context.variable)
}

/// The file in the user's home that `op://` takes its token from where nothing else names one.
pub const ONEPASSWORD_TOKEN_FILE: &str = onepassword::TOKEN_FILE;

/// The largest secret, as in the vault.
pub(crate) const LARGEST: usize = 1 << 20;

/// A value that a credential can be made of.
pub(crate) fn usable(secret: Secret, reference: &SecretRef) -> Result<Secret, ResolveError> {
    let unusable = |why| Err(ResolveError::Unusable { reference: reference.clone(), why });
    if secret.is_empty() {
        unusable("it is empty")
    } else if secret.len() > LARGEST {
        unusable(TOO_LARGE)
    } else {
        Ok(secret)
    }
}

pub(crate) const TOO_LARGE: &str = "it is larger than 1 MiB";
