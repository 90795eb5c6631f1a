//! `op://VAULT/ITEM/[SECTION/]FIELD` through a 1Password Connect server, by its REST API.
//!
//! Names are looked up once in a batch: one request for each vault, one for each item's id and one
//! for each item, at most. A name may be an id, as with the `op` command.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use strongroom_model::ports::BoxFuture;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use tokio::sync::OnceCell;

use crate::http::json::Hidden;
use crate::http::{Api, Base, Body, Failure, Http, Pass, Remote, Request, Session, Token};
use crate::settings::{Context, Field, Kind, SettingError, Settings};

/// Where the Connect server is.
pub(super) const HOST: Field = Field {
    name: "connect_host",
    kind: Kind::Url,
    about: "a 1Password Connect server, instead of the `op` command; else OP_CONNECT_HOST",
};

/// What it is asked with.
pub(super) const TOKEN: Field = Field {
    name: "connect_token",
    kind: Kind::Secret,
    about: "the token of the Connect server; else OP_CONNECT_TOKEN",
};

const SCHEME: &str = "op";

/// A Connect server.
pub(super) struct Connect {
    context: Context,
    http: Http,
    /// Where it is; `None`: where the environment says, with the token of the environment.
    host: Option<Base>,
    token: Token,
}

/// Whether references to 1Password go to a Connect server: where the settings name one, or the
/// environment names a server and its token.
pub(super) fn is_configured(settings: &Settings, context: &Context) -> bool {
    let variables = || ["OP_CONNECT_HOST", "OP_CONNECT_TOKEN"].map(|name| context.text(name));
    settings.text("connect_host").is_some() || variables().iter().all(Option::is_some)
}

/// A Connect server as `settings` say. It asks nothing yet.
pub(super) fn new(settings: &Settings, context: &Context) -> Result<Remote<Connect>, SettingError> {
    Ok(Remote(Connect {
        http: Http::new(settings),
        host: Base::setting(settings, "connect_host")?,
        token: Token::setting(settings, "connect_token", &["OP_CONNECT_TOKEN"]),
        context: context.clone(),
    }))
}

impl Api for Connect {
    const SCHEME: &'static str = SCHEME;

    /// The vault and the item.
    type Key = (String, String);
    type Found = Body;
    type Batch = Vaults;

    fn http(&self) -> &Http {
        &self.http
    }

    fn key(&self, reference: &SecretRef) -> Result<(String, String), Failure> {
        let mut parts = reference.path().split('/').map(str::to_owned);
        Ok((parts.next().ok_or(Failure::NotFound)?, parts.next().ok_or(Failure::NotFound)?))
    }

    fn pass<'a>(&'a self, _: &'a Session, _anew: bool) -> BoxFuture<'a, Result<Pass, Failure>> {
        Box::pin(async move {
            let token = self.token.get(SCHEME, &self.context).await?;
            let unset =
                || Failure::unset(SCHEME, "the token of the Connect server", "connect_token");
            Ok(Pass::new(Arc::new(token.ok_or_else(unset)?)))
        })
    }

    fn ask<'a>(
        &'a self,
        session: &'a Session,
        (pass, vaults): (&'a Pass, &'a Vaults),
        (vault, item): &'a (String, String),
    ) -> BoxFuture<'a, Result<Body, Failure>> {
        Box::pin(async move {
            let cell = vaults.cell(vault);
            let name = format!("name eq \"{vault}\"");
            let find = || self.find(session, pass, &["vaults"], name, vault);
            let vault = cell.get_or_init(find).await.clone()?;
            let title = format!("title eq \"{item}\"");
            let item = self.find(session, pass, &["vaults", &vault, "items"], title, item).await?;
            let url = self.base()?.join(["v1", "vaults", &vault, "items", &item]);
            session.send(Request::get(url).bearer(&pass.token)).await?.ok()
        })
    }

    fn pick(&self, body: &Body, reference: &SecretRef) -> Result<Secret, Failure> {
        let parts: Vec<&str> = reference.path().split('/').skip(2).collect();
        let (section, field) = match parts[..] {
            [field] => (None, field),
            [section, field] => (Some(section), field),
            _ => return Err(Failure::NotFound),
        };
        let item: Item<'_> = body.read()?;
        let field = item.field(section, field)?;
        field.value.ok_or(Failure::Unusable("it is empty"))?.secret()
    }
}

/// The ids of the vaults of this batch, by name.
#[derive(Default)]
pub(super) struct Vaults(Mutex<BTreeMap<String, Cell>>);

/// One id, which somebody may be asking for.
#[derive(Clone, Default)]
struct Cell(Arc<OnceCell<Result<String, Failure>>>);

impl Vaults {
    fn cell(&self, name: &str) -> Arc<OnceCell<Result<String, Failure>>> {
        let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cells.entry(name.to_owned()).or_default().0.clone()
    }
}

/// A vault or an item in a list.
#[derive(Deserialize)]
struct Summary {
    id: String,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(default)]
    sections: Vec<Section>,
    #[serde(borrow, default)]
    fields: Vec<ItemField<'a>>,
}

#[derive(Deserialize)]
struct Section {
    id: String,
    #[serde(default)]
    label: Option<String>,
}

#[derive(Deserialize)]
struct ItemField<'a> {
    id: String,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    section: Option<Summary>,
    #[serde(borrow, default)]
    value: Option<Hidden<'a>>,
}

impl Connect {
    /// The id of what has this name in the list at `path`, or of what has this id.
    async fn find(
        &self,
        session: &Session,
        pass: &Pass,
        path: &[&str],
        filter: String,
        name: &str,
    ) -> Result<String, Failure> {
        let mut url = self.base()?.join(["v1"].iter().chain(path).copied());
        url.query_pairs_mut().append_pair("filter", &filter);
        let body = session.send(Request::get(url).bearer(&pass.token)).await?.ok()?;
        let found: Vec<Summary> = body.read()?;
        match &found[..] {
            [one] => Ok(one.id.clone()),
            [] if is_id(name) => Ok(name.to_owned()),
            [] => Err(Failure::NotFound),
            _ => Err(Failure::Unusable("several have this name: write the id of the one instead")),
        }
    }

    /// Where it is. Only a token of the environment goes to an address of the environment.
    fn base(&self) -> Result<Base, Failure> {
        let unset = || Failure::unset(SCHEME, "the Connect server", "connect_host");
        match (&self.host, &self.token) {
            (Some(host), _) => Ok(host.clone()),
            (None, Token::Variable(_)) => {
                Base::variable(&self.context, &["OP_CONNECT_HOST"])?.ok_or_else(unset)
            }
            (None, Token::Reference(_)) => Err(unset()),
        }
    }
}

impl Item<'_> {
    /// The field of this label or id. Without a section, one outside of sections comes first; a
    /// name in the very same letters comes before one in others.
    fn field(&self, section: Option<&str>, name: &str) -> Result<&ItemField<'_>, Failure> {
        let in_section = |field: &ItemField<'_>| {
            let id = field.section.as_ref().map(|section| section.id.as_str());
            match (section, id) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(wanted), Some(id)) => {
                    let label = self.sections.iter().find(|section| section.id == id);
                    let label = label.and_then(|section| section.label.as_deref());
                    id == wanted || label.is_some_and(|label| label.eq_ignore_ascii_case(wanted))
                }
            }
        };
        let exact =
            |field: &ItemField<'_>| field.id == name || field.label.as_deref() == Some(name);
        let near = |field: &ItemField<'_>| {
            field.label.as_deref().is_some_and(|label| label.eq_ignore_ascii_case(name))
        };
        let outside = |field: &ItemField<'_>| field.section.is_none();
        let ranks: [&dyn Fn(&ItemField<'_>) -> bool; 4] = [
            &|field| exact(field) && outside(field),
            &exact,
            &|field| near(field) && outside(field),
            &near,
        ];
        for rank in ranks {
            let mut found = self.fields.iter().filter(|field| in_section(field) && rank(field));
            match (found.next(), found.next()) {
                (Some(field), None) => return Ok(field),
                (Some(_), Some(_)) => {
                    return Err(Failure::Unusable(
                        "several fields have this name: write the section too, or the field's id",
                    ));
                }
                (None, _) => {}
            }
        }
        Err(Failure::NotFound)
    }
}

/// Ids have 26 letters and digits.
fn is_id(name: &str) -> bool {
    name.len() == 26 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}
