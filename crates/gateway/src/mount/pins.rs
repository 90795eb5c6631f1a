//! How the tools of one server stand: looked up when they or what is approved have changed, and kept in
//! memory in between.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_model::pin::{News, Offered, Pins, Standing};
use strongroom_model::ports::Tools;
use strongroom_model::principal::Name;
use tokio::time::Instant;
use tracing::{error, warn};

use super::definition::Definition;

/// Definitions of one server that are recorded as waiting, in an hour. A server may change them as often
/// as it likes; the audit is not there for that.
const MOST_NEWS: usize = 64;
const HOUR: Duration = Duration::from_hours(1);

/// What is known of how the tools of a server stand.
#[derive(Default)]
pub(super) struct Stand {
    pins: Option<Arc<dyn Pins>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    found: Option<Found>,
    told: Option<(Instant, usize)>,
}

#[derive(Clone)]
struct Found {
    /// The definitions that were looked at.
    of: Arc<[Definition]>,
    offered: Arc<[Offered]>,
    /// What was approved, at this state of it. `None`: it is to be looked up each time.
    version: Option<u64>,
    each: Arc<[Standing]>,
}

impl Stand {
    /// By what `pins` keeps.
    pub(super) fn new(pins: Arc<dyn Pins>) -> Self {
        Self { pins: Some(pins), ..Self::default() }
    }

    /// How `tools` stand, in their order, where that is known without asking.
    pub(super) fn known(&self, tools: &Arc<[Definition]>) -> Option<Arc<[Standing]>> {
        let version = self.pins.as_ref().map(|pins| pins.version());
        let state = self.state();
        let found = state.found.as_ref().filter(|found| Arc::ptr_eq(&found.of, tools))?;
        let current = version.is_none_or(|now| now.is_some() && now == found.version);
        current.then(|| Arc::clone(&found.each))
    }

    /// How `tools` of `server` stand, in their order. What is new is kept and recorded; where that cannot
    /// be looked up, nothing is known of any. Says as well whether it is otherwise than it was.
    pub(super) async fn look(
        &self,
        server: &Name,
        tools: &Arc<[Definition]>,
        to: &dyn Tools,
    ) -> (Arc<[Standing]>, bool) {
        if let Some(known) = self.known(tools) {
            return (known, false);
        }
        let before = self.state().found.clone().filter(|found| Arc::ptr_eq(&found.of, tools));
        let offered = match &before {
            Some(found) => Arc::clone(&found.offered),
            None => tools.iter().map(Definition::offered).collect(),
        };
        // Looked at before it is read: a change in between is seen by the next request.
        let version = self.pins.as_ref().and_then(|pins| pins.version());
        let (each, version) = match self.check(&offered).await {
            Ok((each, news)) => {
                self.tell(server, &news, to);
                (each, version)
            }
            Err(()) => (offered.iter().map(|_| Standing::Unknown).collect(), None),
        };
        let changed = before.is_some_and(|found| found.each != each);
        let of = Arc::clone(tools);
        self.state().found = Some(Found { of, offered, version, each: Arc::clone(&each) });
        (each, changed)
    }

    async fn check(&self, offered: &[Offered]) -> Result<(Arc<[Standing]>, Vec<News>), ()> {
        let Some(pins) = &self.pins else {
            // What hides something waits, also where nobody keeps what is approved.
            let standing =
                |one: &Offered| one.suspicion.map_or(Standing::Approved, Standing::Waits);
            return Ok((offered.iter().map(standing).collect(), Vec::new()));
        };
        match pins.check(offered).await {
            Ok(checked) if checked.standings.len() == offered.len() => {
                Ok((checked.standings.into(), checked.news))
            }
            Ok(_) => Err(()),
            Err(problem) => {
                error!("{problem}: {}", problem.0);
                Err(())
            }
        }
    }

    fn tell(&self, server: &Name, news: &[News], to: &dyn Tools) {
        if news.is_empty() {
            return;
        }
        let count = news.len();
        warn!(%server, count, "definitions of tools wait for a person: `strongroom tools list`");
        let now = Instant::now();
        let room = {
            let mut state = self.state();
            let (since, told) = state.told.unwrap_or((now, 0));
            let (since, told) = if now - since < HOUR { (since, told) } else { (now, 0) };
            let room = MOST_NEWS.saturating_sub(told).min(count);
            state.told = Some((since, told + room));
            room
        };
        if room > 0 {
            to.noticed(server, &news[..room]);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the tool at `item` stands.
pub(super) fn at(standings: &[Standing], item: usize) -> Standing {
    standings.get(item).copied().unwrap_or(Standing::Unknown)
}
