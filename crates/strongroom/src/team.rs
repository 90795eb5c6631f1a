//! A team, as the configuration and the environment tell of it: its database, and the KEKs that open it.
//!
//! Nothing has to be configured to try it: without `$DATABASE_URL` and `[team]` it is a file of the home,
//! under a KEK in a file beside it. Both are made together, where neither is there, and only then: a
//! database never comes under a second KEK by accident (CR-07).

mod binding;
pub mod confine;
mod fleet;
mod names;
mod reload;
mod slots;
mod start;
mod tenant;
mod tenants;
mod watch;

use std::future::Future;
use std::sync::Arc;

use strongroom_model::audit::{Draft, Kind};
use strongroom_model::ports::Clock;
use strongroom_model::team::TenantId;
use strongroom_seal::{KekRing, SecureDir, TeamKek};
use strongroom_secrets::Resolver;
use strongroom_secrets::kek::{self, KekSetupError};
use strongroom_secrets::settings::{Settings, Tokens};
use strongroom_store::team::{DatabaseUrl, Team, TeamError};
use tokio::runtime::{Builder, Runtime};

use crate::app;
use crate::config::team::{Kek, Team as Configured};
use crate::config::{Config, LoadError};
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::paths::Home;
use crate::providers;

pub use reload::follow;
pub use start::Ground;
pub use tenants::Tenants;
pub use watch::watch;

/// Says which database, and wins over the configuration.
const DATABASE_URL: &str = "DATABASE_URL";

/// The file of a team of one machine.
const FILE: &str = "team.db";

/// The file of its KEK.
const KEK_FILE: &str = "team.kek";

/// What the configuration says; what it says where there is none yet.
pub fn configured(home: &Home) -> Result<Configured, Failure> {
    match Config::load_without_services(home) {
        Ok(config) => Ok(config.team),
        Err(LoadError::Missing { .. }) => Ok(Configured::default()),
        Err(error) => Err(error.into()),
    }
}

/// The database of the team.
pub fn database(host: &Host, home: &Home, team: &Configured) -> Result<DatabaseUrl, Failure> {
    let variable = host.environment.get(DATABASE_URL).map(|text| text.to_str().unwrap_or_default());
    match variable.or(team.database.as_deref()) {
        Some(url) => Ok(url.parse::<DatabaseUrl>()?),
        None => Ok(DatabaseUrl::sqlite(home.share.join(FILE))),
    }
}

/// Whether there is a team: one is configured, or in a file of the home.
pub fn is_there(host: &Host, home: &Home, team: &Configured) -> bool {
    let named = host.environment.get(DATABASE_URL).is_some() || team.database.is_some();
    named || home.share.join(FILE).exists()
}

/// An open team.
pub struct Opened {
    /// The team.
    pub team: Team,
    /// Where KEKs find the references of their settings.
    _resolver: Arc<Resolver>,
}

/// Opens the team in the database at `url` with the KEKs of `home`.
pub async fn open(
    host: &Host,
    home: &Home,
    team: &Configured,
    url: &DatabaseUrl,
) -> Result<Opened, Failure> {
    if let Some(folder) = url.file().and_then(std::path::Path::parent) {
        SecureDir::create(folder)?;
    }
    let is_new = url.file().is_some_and(|file| !file.exists());
    let (keks, resolver) = keks(host, home, team, is_new)?;
    let clock: Arc<dyn Clock> = Arc::clone(&host.clock);
    let opened = Team::connect(url, keks, clock).await?.with_caps(team.limits.caps);
    Ok(Opened { team: opened, _resolver: resolver })
}

/// The KEKs. One in a file of the home is made where `is_new` says that nothing is sealed yet.
fn keks(
    host: &Host,
    home: &Home,
    team: &Configured,
    is_new: bool,
) -> Result<(KekRing, Arc<Resolver>), Failure> {
    let tokens = Tokens::default();
    let context = providers::context(host, tokens.clone());
    let resolver = app::resolver_with(host, None);
    tokens.use_resolver(&resolver);
    let open = |kek: &Kek| kek::open(kek.source, &kek.settings, &context);
    let current: Arc<dyn TeamKek> = if let Some(kek) = &team.kek {
        open(kek)?
    } else {
        let there = SecureDir::create(&home.share)?.has(KEK_FILE)?;
        let act = if is_new && !there { kek::create } else { kek::open };
        act("file", &of_home(home), &context)?
    };
    let earlier = team.earlier_keks.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    Ok((KekRing::with_earlier(current, earlier), resolver))
}

/// Makes the KEK that the configuration tells of, and says its id.
pub fn create_kek(host: &Host, home: &Home, team: &Configured) -> Result<String, Failure> {
    let tokens = Tokens::default();
    let context = providers::context(host, tokens.clone());
    let resolver = app::resolver_with(host, None);
    tokens.use_resolver(&resolver);
    let made = match &team.kek {
        Some(kek) => kek::create(kek.source, &kek.settings, &context)?,
        None => kek::create("file", &of_home(home), &context)?,
    };
    Ok(made.id().to_owned())
}

fn of_home(home: &Home) -> Settings {
    let mut settings = Settings::default();
    let path = home.share.join(KEK_FILE).display().to_string();
    settings.texts.insert("path".to_owned(), path);
    settings
}

/// The operator at the command line.
pub struct Operator {
    /// The team.
    pub team: Team,
    _opened: Opened,
    runtime: Runtime,
}

impl Operator {
    /// Opens the team of `host`.
    pub fn open(host: &Host) -> Result<Self, Failure> {
        Self::open_at(host, None)
    }

    /// Opens the team of `host` in the database `url`, where one is named.
    pub fn open_at(host: &Host, url: Option<&str>) -> Result<Self, Failure> {
        let home = host.home()?;
        let configured = configured(&home)?;
        let runtime = runtime()?;
        let url = match url {
            Some(url) => url.parse::<DatabaseUrl>()?,
            None => database(host, &home, &configured)?,
        };
        let opened = runtime.block_on(open(host, &home, &configured, &url))?;
        Ok(Self { team: opened.team.clone(), _opened: opened, runtime })
    }

    /// Records `act` upon `subject` in the audit of `tenant`, or else of the installation. It comes before
    /// the act: what cannot be recorded is not done.
    pub fn record(
        &self,
        tenant: Option<TenantId>,
        act: &str,
        subject: &str,
    ) -> Result<(), Failure> {
        let draft = Draft {
            kind: Kind::Admin,
            principal: Some("operator".to_owned()),
            act: Some(act.to_owned()),
            subject: Some(subject.to_owned()),
            ..Draft::default()
        };
        self.wait(self.team.record_act(tenant, draft)).map(drop)
    }

    /// Waits for `act`.
    pub fn wait<T>(&self, act: impl Future<Output = Result<T, TeamError>>) -> Result<T, Failure> {
        self.finish(act)
    }

    /// The same, for what fails in ways of its own.
    pub fn finish<T, E: Into<Failure>>(
        &self,
        act: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        self.runtime.block_on(act).map_err(Into::into)
    }
}

/// For what is asked once.
pub fn runtime() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(Failure::failed)
}

impl From<TeamError> for Failure {
    fn from(error: TeamError) -> Self {
        let hint = error.hint();
        let exit = match error {
            TeamError::Conflict { .. }
            | TeamError::NotFound
            | TeamError::Invalid(_)
            | TeamError::TooMany { .. } => Exit::Failed,
            TeamError::Url { .. } => Exit::Usage,
            _ => Exit::Unavailable,
        };
        Self::new(exit, error).maybe_hint(hint)
    }
}

impl From<KekSetupError> for Failure {
    fn from(error: KekSetupError) -> Self {
        let hint = error.hint();
        Self::new(Exit::Unavailable, error).maybe_hint(hint)
    }
}
