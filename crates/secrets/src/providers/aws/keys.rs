//! Where AWS's keys come from.

use std::path::PathBuf;

use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_seal::file::{open_private, read};
use zeroize::Zeroizing;

use crate::http::{Failure, Token};
use crate::settings::{Context, SettingError, Settings};

/// Where keys and region are to be found.
pub(super) struct Keys {
    id: Option<String>,
    secret: Option<SecretRef>,
    session: Option<SecretRef>,
    profile: Option<String>,
    region: Option<String>,
}

/// An access key.
pub(super) struct Pair {
    /// Its name.
    pub id: String,
    /// Its secret.
    pub secret: Secret,
    /// The token that a temporary one is good with.
    pub session: Option<Secret>,
}

impl Keys {
    /// What the settings say.
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingError> {
        let text = |key| settings.text(key).map(str::to_owned);
        let (id, secret) = (text("access_key_id"), settings.secret("secret_access_key").cloned());
        if id.is_some() != secret.is_some() {
            return Err(SettingError {
                key: if id.is_some() { "access_key_id" } else { "secret_access_key" },
                problem: "an access key has two halves".to_owned(),
                hint: Some("set `access_key_id` and `secret_access_key`".to_owned()),
            });
        }
        let session = settings.secret("session_token").cloned();
        Ok(Self { id, secret, session, profile: text("profile"), region: text("region") })
    }

    /// The keys: of the settings, of the profile that they name, of the environment, of the usual
    /// profile, in this order.
    pub(super) async fn pair(&self, scheme: &str, context: &Context) -> Result<Pair, Failure> {
        if let (Some(id), Some(secret)) = (&self.id, &self.secret) {
            let get = async |reference: &SecretRef| {
                let token = Token::Reference(reference.clone()).get(scheme, context).await?;
                token.ok_or(Failure::TokenRejected)
            };
            let session = match &self.session {
                Some(reference) => Some(get(reference).await?),
                None => None,
            };
            return Ok(Pair { id: id.clone(), secret: get(secret).await?, session });
        }
        let variable = |name| context.text(name);
        if self.profile.is_none()
            && let Some(id) = variable("AWS_ACCESS_KEY_ID")
            && let Some(secret) = variable("AWS_SECRET_ACCESS_KEY")
        {
            let session = variable("AWS_SESSION_TOKEN").map(secret_of);
            return Ok(Pair { id, secret: secret_of(secret), session });
        }
        let unset = || Failure::unset(scheme, "its access key", "secret_access_key");
        let text = file(context, "AWS_SHARED_CREDENTIALS_FILE", "credentials").ok_or_else(unset)?;
        let profile = self.profile(context);
        let value = |key| lookup(&text, &[&profile], key).map(str::to_owned);
        let (id, secret) = (value("aws_access_key_id"), value("aws_secret_access_key"));
        let (id, secret) = id.zip(secret).ok_or_else(unset)?;
        let session = value("aws_session_token").map(secret_of);
        Ok(Pair { id, secret: secret_of(secret), session })
    }

    /// The region.
    pub(super) fn region(&self, context: &Context) -> Option<String> {
        if let Some(region) = &self.region {
            return Some(region.clone());
        }
        let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"];
        variables.iter().find_map(|name| context.text(name)).or_else(|| {
            let text = file(context, "AWS_CONFIG_FILE", "config")?;
            let profile = self.profile(context);
            let section = format!("profile {profile}");
            lookup(&text, &[&section, &profile], "region").map(str::to_owned)
        })
    }

    fn profile(&self, context: &Context) -> String {
        let profile = self.profile.clone().or_else(|| context.text("AWS_PROFILE"));
        profile.unwrap_or_else(|| "default".to_owned())
    }
}

fn secret_of(text: String) -> Secret {
    Secret::new(text.into_bytes())
}

/// A file of AWS's own tools, if it is there and closed to others.
fn file(context: &Context, variable: &str, name: &str) -> Option<Zeroizing<String>> {
    const LONGEST: usize = 1 << 20;
    let usual = || context.home.join(".aws").join(name);
    let path = context.text(variable).map_or_else(usual, PathBuf::from);
    let file = open_private(&path).ok()?;
    String::from_utf8(read(&file, &path, LONGEST).ok()?).ok().map(Zeroizing::new)
}

/// The value of `key` in the first of these sections that has it.
fn lookup<'a>(text: &'a str, sections: &[&str], key: &str) -> Option<&'a str> {
    sections.iter().find_map(|section| {
        let mut inside = false;
        text.lines().map(str::trim).find_map(|line| {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                inside = name.trim() == *section;
                return None;
            }
            let (name, value) =
                line.split_once('=').filter(|_| inside && !line.starts_with(['#', ';']))?;
            (name.trim() == key && !value.trim().is_empty()).then(|| value.trim())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_as_aws_writes_it() {
        let text = "\n[default]\naws_access_key_id = A\n# aws_secret_access_key = no\n\
            aws_secret_access_key=s=1\n[ work ]\n  aws_access_key_id=B\naws_secret_access_key =\n";
        for (section, key, value) in [
            ("default", "aws_access_key_id", Some("A")),
            ("default", "aws_secret_access_key", Some("s=1")),
            ("work", "aws_access_key_id", Some("B")),
            ("work", "aws_secret_access_key", None),
            ("none", "aws_access_key_id", None),
        ] {
            assert_eq!(lookup(text, &[section], key), value, "{section} {key}");
        }
    }
}
