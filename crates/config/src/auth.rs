//! The `auth` of a service in the file: `{ type = "bearer", token = "local://github/token" }`.
//!
//! Which keys stand for secrets and which for settings is the table [`SHAPES`]; what they mean and
//! whether they are complete is the scheme's own matter.

use std::collections::BTreeMap;

use strongroom_model::near::nearest;
use strongroom_model::reference::SecretRef;
use strongroom_model::service::{Auth, Origin, Scheme, Slots};
use strongroom_proxy::inject::{self, AuthError};

use super::ConfigError;
use super::reader::{Section, Text};

/// How an auth type is written in the file.
#[derive(Clone, Copy, Debug)]
pub struct AuthShape {
    /// The type.
    pub name: &'static str,
    /// Its secrets.
    pub secrets: Secrets,
    /// What it has that is not secret.
    pub settings: &'static [&'static str],
}

/// The secrets of an auth type.
#[derive(Clone, Copy, Debug)]
pub enum Secrets {
    /// Keys beside `type`: those that `add` asks for, and those that may stand beside them.
    Keys {
        /// What is asked for, in this order.
        asked: &'static [&'static str],
        /// What else there may be.
        others: &'static [&'static str],
    },
    /// A table of this name, whose keys the user chooses: names of headers, parameters, cookies.
    Table(&'static str),
}

/// Every auth type, one row each.
pub const SHAPES: &[AuthShape] = &[
    AuthShape {
        name: "bearer",
        secrets: Secrets::Keys { asked: &["token"], others: &[] },
        settings: &[],
    },
    AuthShape {
        name: "basic",
        secrets: Secrets::Keys { asked: &["password"], others: &["user_ref"] },
        settings: &["user"],
    },
    AuthShape { name: "headers", secrets: Secrets::Table("headers"), settings: &[] },
    AuthShape { name: "query", secrets: Secrets::Table("params"), settings: &[] },
    AuthShape { name: "cookie", secrets: Secrets::Table("cookies"), settings: &[] },
    AuthShape {
        name: "hmac",
        secrets: Secrets::Keys { asked: &["key", "secret"], others: &["passphrase"] },
        settings: inject::HMAC_SETTINGS,
    },
    AuthShape {
        name: "oauth1a",
        secrets: Secrets::Keys {
            asked: &["consumer_key", "consumer_secret", "token", "token_secret"],
            others: &[],
        },
        settings: &["realm"],
    },
    AuthShape {
        name: "aws-sigv4",
        secrets: Secrets::Keys {
            asked: &["access_key_id", "secret_access_key"],
            others: &["session_token"],
        },
        settings: &["region", "service", "large_files"],
    },
    AuthShape {
        name: "mtls",
        secrets: Secrets::Keys { asked: &["certificate", "key"], others: &[] },
        settings: &[],
    },
    AuthShape {
        name: "oauth2",
        secrets: Secrets::Keys { asked: &["client_secret"], others: &["refresh_token"] },
        settings: &[
            "token_url",
            "authorize_url",
            "client_id",
            "client_auth",
            "scope",
            "audience",
            "resource",
        ],
    },
    AuthShape {
        name: "google-service-account",
        secrets: Secrets::Keys { asked: &["key"], others: &[] },
        settings: &["scope", "subject", "token_url"],
    },
    AuthShape {
        name: "github-app",
        secrets: Secrets::Keys { asked: &["private_key"], others: &[] },
        settings: &["app_id", "installation_id", "api_url"],
    },
];

impl AuthShape {
    /// The shape of the auth type `name`.
    pub fn of(name: &str) -> Option<&'static Self> {
        SHAPES.iter().find(|shape| shape.name == name)
    }

    /// The names of all types.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SHAPES.iter().map(|shape| shape.name)
    }
}

impl Secrets {
    /// The keys beside `type`.
    pub fn keys(self) -> impl Iterator<Item = &'static str> {
        let (one, other): (&[_], &[_]) = match self {
            Self::Keys { asked, others } => (asked, others),
            Self::Table(ref table) => (std::slice::from_ref(table), &[]),
        };
        one.iter().chain(other).copied().collect::<Vec<_>>().into_iter()
    }
}

/// Reads and checks an `auth` table of a service at `origin`.
pub(super) fn read(section: &Section<'_>, origin: &Origin) -> Result<(Auth, Slots), ConfigError> {
    let Some(kind) = section.text("type")? else {
        return Err(section
            .problem("`auth` has no `type`")
            .hint(format!("it is one of {}", types())));
    };
    let Some(shape) = AuthShape::of(kind.text()) else {
        let near = nearest(kind.text(), AuthShape::names());
        let hint = near.map_or_else(
            || format!("it is one of {}", types()),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(kind.problem("`type` is not an auth type").hint(hint));
    };
    let mut known = vec!["type"];
    known.extend(shape.settings);
    known.extend(shape.secrets.keys());
    section.only(&known)?;

    let mut auth = Auth { scheme: shape.name.to_owned(), ..Auth::default() };
    match shape.secrets {
        Secrets::Keys { .. } => {
            for key in shape.secrets.keys() {
                if let Some(text) = section.text(key)? {
                    auth.secrets.insert(key.to_owned(), reference(key, &text)?);
                }
            }
        }
        Secrets::Table(table) => {
            for (name, text) in section.table(table)?.map_or(Ok(Vec::new()), |s| s.pairs())? {
                auth.secrets.insert(name.text().to_owned(), reference(table, &text)?);
            }
        }
    }
    auth.settings = settings(section, shape)?;
    if shape.name == "mtls" && origin.scheme == Scheme::Http {
        return Err(section
            .problem("auth type `mtls` shows a certificate, which plain http has no place for")
            .hint("write `base_url = \"https://HOST\"`"));
    }
    let slots = inject::slots(&auth).map_err(|error| match shape.secrets {
        Secrets::Keys { .. } => section.problem(error),
        // The names of headers, parameters and cookies are the user's own words.
        Secrets::Table(_) => section.problem(without_field(&error)),
    })?;
    Ok((auth, slots))
}

fn settings(
    section: &Section<'_>,
    shape: &AuthShape,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut settings = BTreeMap::new();
    for key in shape.settings {
        if let Some(text) = section.text(key)? {
            settings.insert((*key).to_owned(), text.text().to_owned());
        }
    }
    Ok(settings)
}

fn reference(key: &str, text: &Text<'_>) -> Result<SecretRef, ConfigError> {
    text.text().parse().map_err(|error| {
        text.problem(format!("`{key}`: {error}"))
            .hint("write where the secret is kept, not the secret: `local://NAME`")
    })
}

/// The scheme's message, without a name that the user chose.
fn without_field(error: &AuthError) -> String {
    match error {
        AuthError::Unfit { scheme, problem, .. } => {
            format!("a field of auth type `{scheme}` {problem}")
        }
        AuthError::Unknown { scheme, .. } => format!("auth type `{scheme}` has no such field"),
        other => other.to_string(),
    }
}

fn types() -> String {
    AuthShape::names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_that_exists_can_be_written() {
        let written: Vec<_> = AuthShape::names().collect();
        let exist: Vec<_> = inject::SCHEMES.iter().map(|scheme| scheme.name()).collect();
        assert_eq!(written, exist);
    }
}
