//! `azure-kv://VAULT/NAME[/VERSION]`: Azure Key Vault, as an application with a client secret.

use serde::Deserialize;
use strongroom_model::ports::BoxFuture;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

use crate::http::json::{Hidden, Part, form};
use crate::http::login::Login;
use crate::http::{
    Api, Base, Body, CA_FILE, Failure, Http, Logins, Pass, Remote, Request, Session, Token,
};
use crate::settings::{Context, Field, Kind, SettingError, Settings};

/// What `[providers.azure-kv]` takes.
pub(super) const FIELDS: &[Field] = &[
    Field {
        name: "client_secret",
        kind: Kind::Secret,
        about: "its secret; else AZURE_CLIENT_SECRET",
    },
    Field { name: "tenant_id", kind: Kind::Text, about: "the directory; else AZURE_TENANT_ID" },
    Field { name: "client_id", kind: Kind::Text, about: "the application; else AZURE_CLIENT_ID" },
    Field {
        name: "dns_suffix",
        kind: Kind::Text,
        about: "what follows a vault's name: `vault.azure.net`, or that of another cloud of Azure",
    },
    Field {
        name: "authority",
        kind: Kind::Url,
        about: "another address than https://login.microsoftonline.com",
    },
    Field { name: "endpoint", kind: Kind::Url, about: "an address that stands for every vault" },
    CA_FILE,
];

const SCHEME: &str = "azure-kv";
const AUTHORITY: &str = "https://login.microsoftonline.com";
const SUFFIX: &str = "vault.azure.net";
const VERSION: &str = "7.4";

/// Resolves references to Azure's secrets.
pub(super) struct Azure {
    context: Context,
    http: Http,
    tenant: Option<String>,
    client: Option<String>,
    secret: Token,
    suffix: String,
    authority: Option<Base>,
    endpoint: Option<Base>,
    logins: Logins,
}

/// A provider of what `settings` say. It asks nothing yet.
pub(super) fn new(settings: &Settings, context: &Context) -> Result<Remote<Azure>, SettingError> {
    let suffix = settings.text("dns_suffix").unwrap_or(SUFFIX);
    let labels = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if !suffix.chars().all(labels) || !suffix.contains('.') || suffix.starts_with('.') {
        return Err(SettingError {
            key: "dns_suffix",
            problem: "it is not a host name".to_owned(),
            hint: Some(
                "write `vault.azure.net`, `vault.azure.cn` or `vault.usgovcloudapi.net`".to_owned(),
            ),
        });
    }
    Ok(Remote(Azure {
        http: Http::new(settings),
        tenant: settings.text("tenant_id").map(str::to_owned),
        client: settings.text("client_id").map(str::to_owned),
        secret: Token::setting(settings, "client_secret", &["AZURE_CLIENT_SECRET"]),
        suffix: suffix.to_owned(),
        authority: Base::setting(settings, "authority")?,
        endpoint: Base::setting(settings, "endpoint")?,
        logins: Logins::new(&context.clock),
        context: context.clone(),
    }))
}

impl Api for Azure {
    const SCHEME: &'static str = SCHEME;

    /// Vault, and the segments behind it.
    type Key = Vec<String>;
    type Found = Body;
    type Batch = ();

    fn http(&self) -> &Http {
        &self.http
    }

    fn key(&self, reference: &SecretRef) -> Result<Vec<String>, Failure> {
        let parts: Vec<String> = reference.path().split('/').map(str::to_owned).collect();
        let word =
            |part: &String| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let (vault, rest) = parts.split_first().ok_or(Failure::NotFound)?;
        // The name of a vault becomes part of a host's: nothing else may be in it.
        let is_vault = word(vault)
            && (3..=24).contains(&vault.len())
            && vault.starts_with(|c: char| c.is_ascii_alphabetic())
            && !vault.ends_with('-');
        if !is_vault {
            return Err(Failure::Unusable(
                "a vault of Azure has a name of 3 to 24 letters, digits and `-`",
            ));
        }
        if !rest.iter().all(word) {
            return Err(Failure::Unusable(
                "a secret of Azure has a name of letters, digits and `-`",
            ));
        }
        Ok(parts)
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
        key: &'a Vec<String>,
    ) -> BoxFuture<'a, Result<Body, Failure>> {
        Box::pin(async move {
            let (vault, rest) = key.split_first().ok_or(Failure::NotFound)?;
            let own = || Base::known(&format!("https://{vault}.{}", self.suffix));
            let base = self.endpoint.clone().map_or_else(own, Ok)?;
            let mut url = base.join(["secrets"].into_iter().chain(rest.iter().map(String::as_str)));
            url.query_pairs_mut().append_pair("api-version", VERSION);
            session.send(Request::get(url).bearer(&pass.token)).await?.ok()
        })
    }

    fn pick(&self, body: &Body, _reference: &SecretRef) -> Result<Secret, Failure> {
        body.read::<Bundle<'_>>()?.value.secret()
    }
}

#[derive(Deserialize)]
struct Bundle<'a> {
    #[serde(borrow)]
    value: Hidden<'a>,
}

#[derive(Deserialize)]
struct Granted<'a> {
    #[serde(borrow)]
    access_token: Hidden<'a>,
    #[serde(default)]
    expires_in: u64,
}

impl Azure {
    async fn log_in(&self, session: &Session) -> Result<Login, Failure> {
        let text = |set: &Option<String>, variable, key| {
            let text = set.clone().or_else(|| self.context.text(variable));
            text.ok_or_else(|| Failure::unset(SCHEME, &format!("`{key}`"), key))
        };
        let tenant = text(&self.tenant, "AZURE_TENANT_ID", "tenant_id")?;
        let client = text(&self.client, "AZURE_CLIENT_ID", "client_id")?;
        let secret = self.secret.get(SCHEME, &self.context).await?;
        let secret =
            secret.ok_or_else(|| Failure::unset(SCHEME, "its client secret", "client_secret"))?;
        let base = self.authority.clone().map_or_else(|| Base::known(AUTHORITY), Ok)?;
        let scope = format!("https://{}/.default", self.suffix);
        let body = form(&[
            ("grant_type", Part::Text("client_credentials")),
            ("client_id", Part::Text(&client)),
            ("client_secret", Part::Secret(&secret)),
            ("scope", Part::Text(&scope)),
        ]);
        let url = base.join([tenant.as_str(), "oauth2", "v2.0", "token"]);
        let answer =
            session.send(Request::post(url, "application/x-www-form-urlencoded", body)).await?;
        match answer.status {
            200 => {
                let granted: Granted<'_> = answer.body.read()?;
                Ok(Login { token: granted.access_token.secret()?, seconds: granted.expires_in })
            }
            400 | 401 | 403 => Err(Failure::TokenRejected),
            _ => Err(answer.failure()),
        }
    }
}
