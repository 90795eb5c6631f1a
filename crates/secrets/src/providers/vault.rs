//! `vault://MOUNT/PATH#FIELD`: the KV engines of `HashiCorp` Vault and of `OpenBao`, versions 1 and 2.
//!
//! One request for each path, whatever number of its fields is wanted. Which version a mount has is
//! asked once (`sys/internal/ui/mounts`, as Vault's own command does) and remembered, because with
//! version 2 the path in the API is another one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use strongroom_model::ports::BoxFuture;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_seal::file::{open_private, read};
use tokio::sync::{Mutex, OnceCell};

use crate::http::json::{Hidden, Part, object};
use crate::http::login::Login;
use crate::http::{
    Answer, Api, Base, Body, CA_FILE, Failure, Fields, Http, Logins, Pass, Remote, Request,
    Session, Token,
};
use crate::settings::{Context, Field, Kind, SettingError, Settings};

/// What `[providers.vault]` takes.
pub(crate) const FIELDS: &[Field] = &[
    Field {
        name: "address",
        kind: Kind::Url,
        about: "where Vault or OpenBao listens; else VAULT_ADDR",
    },
    Field {
        name: "token",
        kind: Kind::Secret,
        about: "its token; else VAULT_TOKEN or ~/.vault-token",
    },
    Field { name: "role_id", kind: Kind::Text, about: "the role of an AppRole login" },
    Field { name: "secret_id", kind: Kind::Secret, about: "the secret id of an AppRole login" },
    Field { name: "approle_mount", kind: Kind::Text, about: "where AppRole is mounted; `approle`" },
    Field { name: "namespace", kind: Kind::Text, about: "the namespace; else VAULT_NAMESPACE" },
    Field { name: "kv", kind: Kind::Text, about: "`1` or `2`; asked for where it is not set" },
    CA_FILE,
];

/// The longest token in a file.
const LONGEST: usize = 16 << 10;

const SCHEME: &str = "vault";

/// Resolves references to KV secrets.
pub(crate) struct Vault {
    context: Context,
    http: Http,
    address: Option<Base>,
    namespace: Option<String>,
    way_in: WayIn,
    version: Option<Version>,
    /// The versions of the mounts that were asked for, by mount. It is locked while one is asked
    /// for, so that several paths of one mount ask once.
    mounts: Mutex<BTreeMap<String, Version>>,
    logins: Logins,
}

/// How we are let in.
enum WayIn {
    Token(SecretRef),
    AppRole {
        mount: String,
        role_id: String,
        secret_id: SecretRef,
    },
    /// The variable of Vault's command, or the file in which `vault login` leaves its token.
    AsTheCommand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

/// A provider of what `settings` say. It asks nothing yet.
pub(crate) fn new(settings: &Settings, context: &Context) -> Result<Remote<Vault>, SettingError> {
    let error = |key, problem: &str, hint: &str| SettingError {
        key,
        problem: problem.to_owned(),
        hint: Some(hint.to_owned()),
    };
    let version = match settings.text("kv") {
        None => None,
        Some("1") => Some(Version::One),
        Some("2") => Some(Version::Two),
        Some(_) => return Err(error("kv", "there are versions 1 and 2", "write `1` or `2`")),
    };
    let way_in =
        match (settings.secret("token"), settings.text("role_id"), settings.secret("secret_id")) {
            (Some(token), None, None) => WayIn::Token(token.clone()),
            (None, Some(role_id), Some(secret_id)) => WayIn::AppRole {
                mount: settings.text("approle_mount").unwrap_or("approle").to_owned(),
                role_id: role_id.to_owned(),
                secret_id: secret_id.clone(),
            },
            (None, None, None) => WayIn::AsTheCommand,
            (Some(_), ..) => {
                return Err(error(
                    "token",
                    "there are two ways in",
                    "set `token`, or `role_id` and `secret_id`",
                ));
            }
            (None, ..) => {
                return Err(error(
                    "role_id",
                    "AppRole takes two settings",
                    "set `role_id` and `secret_id`",
                ));
            }
        };
    Ok(Remote(Vault {
        http: Http::new(settings),
        address: Base::setting(settings, "address")?,
        namespace: settings.text("namespace").map(str::to_owned),
        way_in,
        version,
        mounts: Mutex::default(),
        logins: Logins::new(&context.clock),
        context: context.clone(),
    }))
}

impl Api for Vault {
    const SCHEME: &'static str = SCHEME;

    /// The path, with its mount.
    type Key = String;
    type Found = (Version, Body);
    /// Whether the other side knows our token, where somebody asked.
    type Batch = OnceCell<bool>;

    fn http(&self) -> &Http {
        &self.http
    }

    fn key(&self, reference: &SecretRef) -> Result<String, Failure> {
        Ok(reference.path().to_owned())
    }

    fn pass<'a>(
        &'a self,
        session: &'a Session,
        anew: bool,
    ) -> BoxFuture<'a, Result<Pass, Failure>> {
        Box::pin(async move {
            let token = match &self.way_in {
                WayIn::Token(reference) => {
                    Token::Reference(reference.clone()).get(SCHEME, &self.context).await?
                }
                WayIn::AsTheCommand => self.command_token().await?,
                WayIn::AppRole { mount, role_id, secret_id } => {
                    let login = self.log_in(session, mount, role_id, secret_id);
                    return self.logins.pass(anew, login).await;
                }
            };
            let token = token.ok_or_else(|| Failure::unset(SCHEME, "its token", "token"))?;
            Ok(Pass::new(Arc::new(token)))
        })
    }

    fn ask<'a>(
        &'a self,
        session: &'a Session,
        (pass, known): (&'a Pass, &'a OnceCell<bool>),
        path: &'a String,
    ) -> BoxFuture<'a, Result<(Version, Body), Failure>> {
        Box::pin(async move {
            let (mount, version) = self.mount(session, (pass, known), path).await?;
            let rest = path.strip_prefix(&mount).ok_or(Failure::NotFound)?;
            let data = (version == Version::Two).then_some("data");
            let segments =
                mount.split('/').chain(data).chain(rest.split('/')).filter(|part| !part.is_empty());
            let answer = session.send(self.get(pass, segments)?).await?;
            match answer.status {
                200 => Ok((version, answer.body)),
                _ => Err(self.why(session, (pass, known), answer).await),
            }
        })
    }

    fn pick(
        &self,
        (version, body): &(Version, Body),
        reference: &SecretRef,
    ) -> Result<Secret, Failure> {
        let field = reference.fragment().ok_or(Failure::NotFound)?;
        match version {
            Version::One => body.read::<Data<Fields<'_>>>()?.data.secret(field),
            Version::Two => body.read::<Data<Data<Fields<'_>>>>()?.data.data.secret(field),
        }
    }
}

/// The envelope of every answer.
#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Mount {
    path: String,
    options: Option<Options>,
}

#[derive(Deserialize)]
struct Options {
    version: Option<String>,
}

#[derive(Deserialize)]
struct LoggedIn<'a> {
    #[serde(borrow)]
    auth: Auth<'a>,
}

#[derive(Deserialize)]
struct Auth<'a> {
    #[serde(borrow)]
    client_token: Hidden<'a>,
    #[serde(default)]
    lease_duration: u64,
}

impl Vault {
    /// The mount of `path` and its version.
    async fn mount(
        &self,
        session: &Session,
        (pass, known): (&Pass, &OnceCell<bool>),
        path: &str,
    ) -> Result<(String, Version), Failure> {
        let first = || path.split('/').next().unwrap_or_default().to_owned();
        if let Some(version) = self.version {
            return Ok((first(), version));
        }
        let mut mounts = self.mounts.lock().await;
        let below =
            |mount: &str| path.strip_prefix(mount).is_some_and(|rest| rest.starts_with('/'));
        if let Some((mount, version)) = mounts.iter().find(|(mount, _)| below(mount)) {
            return Ok((mount.clone(), *version));
        }
        let segments = ["sys", "internal", "ui", "mounts"].into_iter().chain(path.split('/'));
        let answer = session.send(self.get(pass, segments)?).await?;
        let found = match answer.status {
            200 => {
                let Data { data: Mount { path: mount, options } } = answer.body.read()?;
                let two =
                    options.and_then(|options| options.version).is_some_and(|text| text == "2");
                let mount = mount.trim_matches('/').to_owned();
                if !below(&mount) {
                    return Err(Failure::NotFound);
                }
                (mount, if two { Version::Two } else { Version::One })
            }
            // An older Vault that cannot tell has version 1 only.
            404 => (first(), Version::One),
            _ => return Err(self.why(session, (pass, known), answer).await),
        };
        mounts.insert(found.0.clone(), found.1);
        Ok(found)
    }

    /// What an answer without a secret says.
    pub(crate) async fn why(
        &self,
        session: &Session,
        (pass, known): (&Pass, &OnceCell<bool>),
        answer: Answer,
    ) -> Failure {
        match answer.status {
            503 if answer.body.says("sealed") => Failure::Locked,
            // Vault refuses a token that it does not know as it refuses one that is not enough.
            403 if answer.body.says("invalid token") => Failure::TokenRejected,
            403 if *known.get_or_init(|| self.knows(session, pass)).await => {
                Failure::Denied("the policy of our token does not allow it")
            }
            403 => Failure::TokenRejected,
            _ => answer.failure(),
        }
    }

    /// Whether our token is one. Where this question finds no answer either, nothing speaks
    /// against it.
    async fn knows(&self, session: &Session, pass: &Pass) -> bool {
        let Ok(request) = self.get(pass, ["auth", "token", "lookup-self"]) else { return true };
        session.send(request).await.map_or(true, |answer| answer.status != 403)
    }

    async fn log_in(
        &self,
        session: &Session,
        mount: &str,
        role_id: &str,
        secret_id: &SecretRef,
    ) -> Result<Login, Failure> {
        let secret_id = Token::Reference(secret_id.clone()).get(SCHEME, &self.context).await?;
        let secret_id = secret_id.ok_or(Failure::TokenRejected)?;
        let body =
            object(&[("role_id", Part::Text(role_id)), ("secret_id", Part::Secret(&secret_id))]);
        let segments = ["v1", "auth"].into_iter().chain(mount.split('/')).chain(["login"]);
        let url = self.base()?.join(segments);
        let answer =
            session.send(self.addressed(Request::post(url, "application/json", body))).await?;
        match answer.status {
            200 => {
                let LoggedIn { auth } = answer.body.read()?;
                Ok(Login { token: auth.client_token.secret()?, seconds: auth.lease_duration })
            }
            400 | 403 => Err(Failure::TokenRejected),
            503 if answer.body.says("sealed") => Err(Failure::Locked),
            _ => Err(answer.failure()),
        }
    }

    fn get<'a>(
        &self,
        pass: &Pass,
        segments: impl IntoIterator<Item = &'a str>,
    ) -> Result<Request, Failure> {
        let url = self.base()?.join(["v1"].into_iter().chain(segments));
        Ok(self.addressed(Request::get(url)).token("x-vault-token", &pass.token))
    }

    /// With what every request to it carries.
    pub(crate) fn addressed(&self, request: Request) -> Request {
        let namespace = self.namespace.clone();
        let request = request.header("x-vault-request", "true");
        match namespace.or_else(|| self.variable(&["VAULT_NAMESPACE", "BAO_NAMESPACE"])) {
            Some(namespace) => request.header("x-vault-namespace", &namespace),
            None => request,
        }
    }

    /// Where it is. Only what comes from the environment goes to an address from the environment.
    pub(crate) fn base(&self) -> Result<Base, Failure> {
        let unset = || Failure::unset(SCHEME, "where it listens", "address");
        match (&self.address, &self.way_in) {
            (Some(address), _) => Ok(address.clone()),
            (None, WayIn::AsTheCommand) => {
                Base::variable(&self.context, &["VAULT_ADDR", "BAO_ADDR"])?.ok_or_else(unset)
            }
            (None, _) => Err(unset()),
        }
    }

    /// The token that Vault's own command would use.
    async fn command_token(&self) -> Result<Option<Secret>, Failure> {
        let variable = Token::Variable(&["VAULT_TOKEN", "BAO_TOKEN"]);
        if let Some(token) = variable.get(SCHEME, &self.context).await? {
            return Ok(Some(token));
        }
        let path: PathBuf = self.context.home.join(".vault-token");
        let Ok(file) = open_private(&path) else { return Ok(None) };
        let Ok(mut bytes) = read(&file, &path, LONGEST) else { return Ok(None) };
        bytes.truncate(bytes.trim_ascii_end().len());
        Ok((!bytes.is_empty()).then(|| Secret::new(bytes)))
    }

    fn variable(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.context.text(name))
    }
}
