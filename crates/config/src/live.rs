//! The catalogue of a running broker: what the file says now.
//!
//! Looking costs one `stat`. A file that was broken by an edit, or that is gone, leaves the last
//! good catalogue in force and says so once in the log. Either is an act on record (AL-06): a file may
//! be changed by any editor, which tells nobody.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_model::audit::{AuditSink, Draft, Kind};
use strongroom_model::ports::Registry;
use strongroom_model::service::Catalog;
use tracing::{error, info};

use super::stamp::Stamp;
use super::{Config, LoadError};
use crate::paths::Home;

/// The live catalogue.
pub struct Live {
    home: Home,
    path: PathBuf,
    audit: Arc<dyn AuditSink>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    seen: Stamp,
    catalog: Arc<Catalog>,
}

impl Live {
    /// Reads the file of `home`, which must be good to begin with.
    pub fn open(home: &Home, audit: Arc<dyn AuditSink>) -> Result<Self, LoadError> {
        let path = home.config_file();
        let seen = Stamp::of(&path);
        let config = Config::load(home)?;
        let catalog = Arc::new(config.into_catalog(1));
        Ok(Self { home: home.clone(), path, audit, state: Mutex::new(State { seen, catalog }) })
    }
}

impl Registry for Live {
    fn current(&self) -> Arc<Catalog> {
        let seen = Stamp::of(&self.path);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.seen != seen {
            // Looked at before it is read: a change in between is seen by the next call.
            state.seen = seen;
            match Config::load(&self.home) {
                Ok(config) => {
                    let revision = state.catalog.revision + 1;
                    state.catalog = Arc::new(config.into_catalog(revision));
                    info!(revision, "the configuration was taken over");
                    self.record("config.reload");
                }
                Err(error) => {
                    error!("the configuration stays as it was before the last edit: {error}");
                    self.record("config.refuse");
                }
            }
        }
        Arc::clone(&state.catalog)
    }
}

impl Live {
    /// The edit has been made, so that there is nothing to stop where this fails; the call that comes
    /// next is not made without its own record.
    fn record(&self, act: &str) {
        let draft = Draft {
            kind: Kind::Admin,
            act: Some(act.to_owned()),
            subject: Some("strongroom.toml".to_owned()),
            ..Draft::default()
        };
        if let Err(error) = self.audit.append(draft) {
            error!("a change of the configuration was not recorded: {error}");
        }
    }
}
