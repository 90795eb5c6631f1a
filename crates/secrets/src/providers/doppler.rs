//! `doppler://PROJECT/CONFIG/NAME`: one request for each config, whatever number of its secrets is
//! wanted.

use std::sync::Arc;

use strongroom_model::ports::BoxFuture;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

use crate::http::{
    Api, Base, Body, CA_FILE, Failure, Fields, Http, Pass, Remote, Request, Session, Token,
};
use crate::settings::{Context, Field, Kind, SettingError, Settings};

/// What `[providers.doppler]` takes.
pub(super) const FIELDS: &[Field] = &[
    Field { name: "token", kind: Kind::Secret, about: "a service token; else DOPPLER_TOKEN" },
    Field {
        name: "endpoint",
        kind: Kind::Url,
        about: "another address than https://api.doppler.com",
    },
    CA_FILE,
];

const SCHEME: &str = "doppler";
const API: &str = "https://api.doppler.com";

/// Resolves references to Doppler's secrets.
pub(super) struct Doppler {
    context: Context,
    http: Http,
    token: Token,
    endpoint: Option<Base>,
}

/// A provider of what `settings` say. It asks nothing yet.
pub(super) fn new(settings: &Settings, context: &Context) -> Result<Remote<Doppler>, SettingError> {
    Ok(Remote(Doppler {
        http: Http::new(settings),
        token: Token::setting(settings, "token", &["DOPPLER_TOKEN"]),
        endpoint: Base::setting(settings, "endpoint")?,
        context: context.clone(),
    }))
}

impl Api for Doppler {
    const SCHEME: &'static str = SCHEME;

    /// Project and config.
    type Key = (String, String);
    type Found = Body;
    type Batch = ();

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
            let token = token.ok_or_else(|| Failure::unset(SCHEME, "its token", "token"))?;
            Ok(Pass::new(Arc::new(token)))
        })
    }

    fn ask<'a>(
        &'a self,
        session: &'a Session,
        (pass, ()): (&'a Pass, &'a ()),
        (project, config): &'a (String, String),
    ) -> BoxFuture<'a, Result<Body, Failure>> {
        Box::pin(async move {
            let base = self.endpoint.clone().map_or_else(|| Base::known(API), Ok)?;
            let mut url = base.join(["v3", "configs", "config", "secrets", "download"]);
            url.query_pairs_mut()
                .append_pair("project", project)
                .append_pair("config", config)
                .append_pair("format", "json");
            session.send(Request::get(url).bearer(&pass.token)).await?.ok()
        })
    }

    fn pick(&self, body: &Body, reference: &SecretRef) -> Result<Secret, Failure> {
        let name = reference.path().rsplit('/').next().ok_or(Failure::NotFound)?;
        body.read::<Fields<'_>>()?.secret(name)
    }
}
