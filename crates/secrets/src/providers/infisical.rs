//! `infisical://PROJECT/ENVIRONMENT/[PATH/]NAME`: one request for each folder, as a machine identity
//! with universal auth. PROJECT is a project's slug or its id.

use serde::Deserialize;
use strongroom_model::ports::BoxFuture;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

use crate::http::json::{Hidden, Part, object};
use crate::http::login::Login;
use crate::http::{
    Api, Base, Body, CA_FILE, Failure, Http, Logins, Pass, Remote, Request, Session, Token,
};
use crate::settings::{Context, Field, Kind, SettingError, Settings};

/// What `[providers.infisical]` takes.
pub(super) const FIELDS: &[Field] = &[
    Field {
        name: "client_secret",
        kind: Kind::Secret,
        about: "the secret of the machine identity; else INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET",
    },
    Field {
        name: "client_id",
        kind: Kind::Text,
        about: "the machine identity; else INFISICAL_UNIVERSAL_AUTH_CLIENT_ID",
    },
    Field {
        name: "address",
        kind: Kind::Url,
        about: "another address than https://app.infisical.com",
    },
    CA_FILE,
];

const SCHEME: &str = "infisical";
const API: &str = "https://app.infisical.com";

/// Resolves references to Infisical's secrets.
pub(super) struct Infisical {
    context: Context,
    http: Http,
    client: Option<String>,
    secret: Token,
    address: Option<Base>,
    logins: Logins,
}

/// A provider of what `settings` say. It asks nothing yet.
pub(super) fn new(
    settings: &Settings,
    context: &Context,
) -> Result<Remote<Infisical>, SettingError> {
    let variables = &["INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET"];
    Ok(Remote(Infisical {
        http: Http::new(settings),
        client: settings.text("client_id").map(str::to_owned),
        secret: Token::setting(settings, "client_secret", variables),
        address: Base::setting(settings, "address")?,
        logins: Logins::new(&context.clock),
        context: context.clone(),
    }))
}

impl Api for Infisical {
    const SCHEME: &'static str = SCHEME;

    /// Project, environment, folder.
    type Key = [String; 3];
    type Found = Body;
    type Batch = ();

    fn http(&self) -> &Http {
        &self.http
    }

    fn key(&self, reference: &SecretRef) -> Result<[String; 3], Failure> {
        let parts: Vec<&str> = reference.path().split('/').collect();
        let [project, environment, folder @ .., _name] = &parts[..] else {
            return Err(Failure::NotFound);
        };
        let folder = format!("/{}", folder.join("/"));
        Ok([(*project).to_owned(), (*environment).to_owned(), folder])
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
        [project, environment, folder]: &'a [String; 3],
    ) -> BoxFuture<'a, Result<Body, Failure>> {
        Box::pin(async move {
            let by = if is_id(project) { "workspaceId" } else { "workspaceSlug" };
            let mut url = self.base()?.join(["api", "v3", "secrets", "raw"]);
            url.query_pairs_mut()
                .append_pair(by, project)
                .append_pair("environment", environment)
                .append_pair("secretPath", folder)
                .append_pair("viewSecretValue", "true")
                .append_pair("expandSecretReferences", "true")
                .append_pair("include_imports", "true");
            session.send(Request::get(url).bearer(&pass.token)).await?.ok()
        })
    }

    fn pick(&self, body: &Body, reference: &SecretRef) -> Result<Secret, Failure> {
        let name = reference.path().rsplit('/').next().ok_or(Failure::NotFound)?;
        let list: List<'_> = body.read()?;
        // What a folder imports counts where it has none of its own; the last import wins.
        let imported = list.imports.iter().rev().flat_map(|import| &import.secrets);
        let found = list.secrets.iter().chain(imported).find(|entry| entry.key == name);
        let entry = found.ok_or(Failure::NotFound)?;
        if entry.is_hidden {
            return Err(Failure::Denied("our identity may see its name and not its value"));
        }
        entry.value.secret()
    }
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    secrets: Vec<Entry<'a>>,
    #[serde(borrow, default)]
    imports: Vec<Import<'a>>,
}

#[derive(Deserialize)]
struct Import<'a> {
    #[serde(borrow)]
    secrets: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(rename = "secretKey")]
    key: String,
    #[serde(rename = "secretValue", borrow)]
    value: Hidden<'a>,
    #[serde(rename = "secretValueHidden", default)]
    is_hidden: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Granted<'a> {
    #[serde(borrow)]
    access_token: Hidden<'a>,
    #[serde(default)]
    expires_in: u64,
}

impl Infisical {
    async fn log_in(&self, session: &Session) -> Result<Login, Failure> {
        let client = self.client.clone();
        let client = client.or_else(|| self.context.text("INFISICAL_UNIVERSAL_AUTH_CLIENT_ID"));
        let client = client.ok_or_else(|| Failure::unset(SCHEME, "`client_id`", "client_id"))?;
        let secret = self.secret.get(SCHEME, &self.context).await?;
        let secret =
            secret.ok_or_else(|| Failure::unset(SCHEME, "its client secret", "client_secret"))?;
        let body =
            object(&[("clientId", Part::Text(&client)), ("clientSecret", Part::Secret(&secret))]);
        let url = self.base()?.join(["api", "v1", "auth", "universal-auth", "login"]);
        let answer = session.send(Request::post(url, "application/json", body)).await?;
        match answer.status {
            200 => {
                let granted: Granted<'_> = answer.body.read()?;
                Ok(Login { token: granted.access_token.secret()?, seconds: granted.expires_in })
            }
            400 | 401 | 403 | 404 => Err(Failure::TokenRejected),
            _ => Err(answer.failure()),
        }
    }

    fn base(&self) -> Result<Base, Failure> {
        self.address.clone().map_or_else(|| Base::known(API), Ok)
    }
}

/// Ids of projects are UUIDs; slugs are words.
fn is_id(project: &str) -> bool {
    let hyphens = [8, 13, 18, 23];
    project.len() == 36
        && project.bytes().enumerate().all(|(index, byte)| {
            if hyphens.contains(&index) { byte == b'-' } else { byte.is_ascii_hexdigit() }
        })
}
