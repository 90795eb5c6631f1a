//! What has changed, told to whoever keeps something in memory (decision 33).
//!
//! On Postgres every write notifies, and every node notifies that it is alive each 300 ms. What it hears of
//! itself was preceded by all that was announced before it said so: a node that has heard nothing of what it
//! said within the last second keeps nothing until it does. On SQLite a look at
//! `data_version` says whether anything changed, and the table `changes` says what.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use sqlx_core::query::query;
use sqlx_postgres::{PgConnectOptions, PgListener, PgPool};
use strongroom_model::ports::Clock;
use strongroom_model::team::TenantId;
use strongroom_seal::{hex, random};
use tokio::sync::{broadcast, watch};
use tokio::time::{sleep, timeout};

use super::TeamError;
use super::database::postgres::{CHANNEL, of_sqlx, single};

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something of one tenant.
    Tenant(TenantId),
    /// Anything: what is kept in memory may be old.
    All,
}

/// Changes from a moment on.
#[derive(Debug)]
pub struct Changes {
    receiver: broadcast::Receiver<Change>,
}

impl Changes {
    /// The next change. Whoever cannot keep up is told that anything may have changed; once the store
    /// is shut down it never returns.
    pub async fn changed(&mut self) -> Change {
        match self.receiver.recv().await {
            Ok(change) => change,
            Err(broadcast::error::RecvError::Lagged(_)) => Change::All,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// What is known of changes in this process.
pub(crate) struct Feed {
    clock: Arc<dyn Clock>,
    sender: broadcast::Sender<Change>,
    known: Mutex<Known>,
    source: Source,
}

/// Every change has a number. What was read when the number was `stamp` is good until a change of its
/// tenant has a greater one.
#[derive(Default)]
struct Known {
    newest: u64,
    /// What was read before this is old, whoever's it is.
    floor: u64,
    tenants: HashMap<TenantId, u64>,
}

enum Source {
    Postgres(Echo),
    Sqlite(Mutex<Watch>),
}

/// What this node hears of itself. However late announcements come, it does not take them for new.
struct Echo {
    /// No other node says this.
    sign: String,
    /// When what was heard last was said, in milliseconds of the monotonic clock and one more; 0: nothing was.
    said: AtomicU64,
}

struct Watch {
    db: Connection,
    version: i64,
    seq: i64,
}

/// A node says that it is alive this often.
const BEAT: Duration = Duration::from_millis(300);
/// A node that has heard nothing for so long keeps nothing.
const SILENCE: Duration = Duration::from_secs(1);
/// A connection on which nothing was heard for so long is given up.
const DEAD: Duration = Duration::from_secs(3);
/// SQLite is looked at this often for those who wait for changes; whoever uses what is kept looks
/// at once.
const LOOK: Duration = Duration::from_millis(100);
/// What a sign of life begins with; who gives it and when follow.
const ALIVE: &str = "alive ";
/// So many tenants' changes are remembered one by one.
const MOST_TENANTS: usize = 10_000;

impl Feed {
    pub(super) fn of_postgres(clock: Arc<dyn Clock>) -> Result<Self, TeamError> {
        let mut node = [0; 8];
        random(&mut node)?;
        let echo = Echo { sign: format!("{ALIVE}{} ", hex(&node)), said: AtomicU64::new(0) };
        Ok(Self::new(clock, Source::Postgres(echo)))
    }

    pub(super) fn of_sqlite(clock: Arc<dyn Clock>, db: Connection) -> Result<Self, TeamError> {
        let mut watch = Watch { db, version: 0, seq: 0 };
        watch.news()?;
        Ok(Self::new(clock, Source::Sqlite(Mutex::new(watch))))
    }

    fn new(clock: Arc<dyn Clock>, source: Source) -> Self {
        Self { clock, sender: broadcast::channel(1024).0, known: Mutex::default(), source }
    }

    pub(super) fn changes(&self) -> Changes {
        Changes { receiver: self.sender.subscribe() }
    }

    /// Whether all changes of more than a second ago are known. On SQLite it looks.
    pub(super) fn is_fresh(&self) -> bool {
        match &self.source {
            Source::Postgres(echo) => {
                let said = echo.said.load(Ordering::Acquire);
                let silence = Duration::from_millis(self.millis().saturating_sub(said));
                said > 0 && silence < SILENCE
            }
            Source::Sqlite(watch) => {
                // Whoever looks next sees nothing new, and must find it noted.
                let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
                let news = watch.news();
                let known = news.is_ok();
                news.into_iter().flatten().for_each(|change| self.note(change));
                known
            }
        }
    }

    /// To be asked for before something is read that is to be kept.
    pub(super) fn stamp(&self) -> u64 {
        self.known().newest
    }

    /// Whether what was read at `stamp` is still so: of a tenant, or, where it is nobody's, of all.
    pub(super) fn holds(&self, stamp: u64, tenant: Option<TenantId>) -> bool {
        let known = self.known();
        match tenant {
            Some(tenant) => {
                stamp >= known.floor
                    && known.tenants.get(&tenant).is_none_or(|changed| stamp >= *changed)
            }
            None => stamp == known.newest,
        }
    }

    /// A number that changes with everything of the tenant. While nothing is heard of changes it is
    /// another one each time.
    pub(super) fn number(&self, tenant: TenantId) -> u64 {
        if !self.is_fresh() {
            self.note(Change::Tenant(tenant));
        }
        let known = self.known();
        known.tenants.get(&tenant).copied().unwrap_or_default().max(known.floor)
    }

    /// Something has changed.
    pub(super) fn note(&self, change: Change) {
        let mut known = self.known();
        known.newest += 1;
        let newest = known.newest;
        match change {
            Change::Tenant(tenant) if known.tenants.len() < MOST_TENANTS => {
                known.tenants.insert(tenant, newest);
            }
            _ => {
                known.tenants.clear();
                known.floor = newest;
            }
        }
        drop(known);
        // Nobody may be listening.
        let _ = self.sender.send(change);
    }

    /// What is said now; nothing where nobody hears it.
    fn sign(&self) -> Option<String> {
        let Source::Postgres(echo) = &self.source else { return None };
        Some(format!("{}{}", echo.sign, self.millis()))
    }

    fn hear(&self, payload: &str) {
        let Source::Postgres(echo) = &self.source else { return };
        if let Some(said) = payload.strip_prefix(&echo.sign) {
            // What was kept when the silence began is old.
            if echo.said.swap(said.parse().unwrap_or_default(), Ordering::AcqRel) == 0 {
                self.note(Change::All);
            }
        } else if !payload.starts_with(ALIVE) {
            self.note(payload.parse().map_or(Change::All, Change::Tenant));
        }
    }

    fn lose(&self) {
        if let Source::Postgres(echo) = &self.source {
            echo.said.store(0, Ordering::Release);
            self.note(Change::All);
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// What has changed since the last look.
    fn news(&mut self) -> Result<Vec<Change>, TeamError> {
        let broken = |error: rusqlite::Error| TeamError::unreachable(error);
        let version = |db: &Connection| {
            db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get::<_, i64>(0))
        };
        let version = version(&self.db).map_err(broken)?;
        if version == self.version {
            return Ok(Vec::new());
        }
        let read = || {
            let mut statement =
                self.db.prepare_cached("SELECT seq, tenant_id FROM changes WHERE seq > ?1")?;
            let rows = statement.query_map([self.seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(i64, Option<String>)>>>()
        };
        let rows = read().map_err(broken)?;
        let first = self.version == 0;
        // Rows that were removed before we read them are missing from the front.
        let gap = !first && rows.first().is_some_and(|(seq, _)| *seq > self.seq + 1);
        self.seq = rows.last().map_or(self.seq, |(seq, _)| *seq);
        self.version = version;
        if first || gap {
            return Ok(vec![Change::All]);
        }
        let change = |(_, tenant): (_, Option<String>)| {
            tenant.and_then(|tenant| tenant.parse().ok()).map_or(Change::All, Change::Tenant)
        };
        Ok(rows.into_iter().map(change).collect())
    }
}

/// Looks at SQLite from time to time, until `stop` is gone.
pub(super) async fn look(feed: Arc<Feed>, mut stop: watch::Receiver<()>) {
    while timeout(LOOK, stop.changed()).await.is_err() {
        feed.is_fresh();
    }
}

/// Says that this node is alive, until `stop` is gone.
pub(super) async fn beat(pool: PgPool, feed: Arc<Feed>, mut stop: watch::Receiver<()>) {
    while timeout(BEAT, stop.changed()).await.is_err() {
        say(&feed, &pool).await;
    }
}

/// Says it once. Where it cannot be said, nobody hears it: that is what it is for.
async fn say(feed: &Feed, pool: &PgPool) {
    if let Some(sign) = feed.sign() {
        let notify = query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(sign);
        let _ = timeout(SILENCE, notify.execute(pool)).await;
    }
}

/// Listens to what all nodes say, until `stop` is gone.
pub(super) async fn listen(
    options: PgConnectOptions,
    feed: Arc<Feed>,
    mut stop: watch::Receiver<()>,
) {
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            _ = listen_once(&options, &feed) => (),
        }
        feed.lose();
        if timeout(BEAT, stop.changed()).await.is_ok() {
            return;
        }
    }
}

/// Listens on one connection until it is lost.
async fn listen_once(options: &PgConnectOptions, feed: &Feed) -> Result<(), TeamError> {
    let pool = single(options);
    let mut listener = PgListener::connect_with(&pool).await.map_err(of_sqlx)?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await.map_err(of_sqlx)?;
    loop {
        match timeout(DEAD, listener.try_recv()).await {
            Ok(Ok(Some(said))) => feed.hear(said.payload()),
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(of_sqlx(error)),
            Err(_) => return Err(TeamError::unreachable("nothing was heard")),
        }
    }
}

/// Waits until the first sign of life, a short while.
pub(super) async fn first_sign(feed: &Feed, pool: &PgPool) {
    for _ in 0..20 {
        if feed.is_fresh() {
            return;
        }
        say(feed, pool).await;
        sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
mod tests {
    use strongroom_testkit::fakes::FakeClock;

    use super::*;

    #[test]
    fn a_sign_of_life_counts_from_when_this_node_gave_it() {
        let clock = Arc::new(FakeClock::default());
        let feed = Feed::of_postgres(clock.clone()).unwrap();
        let other = Feed::of_postgres(clock.clone()).unwrap();
        feed.hear(&other.sign().unwrap());
        assert!(!feed.is_fresh(), "of another node");
        let early = feed.sign().unwrap();
        clock.advance(SILENCE);
        feed.hear(&early);
        assert!(!feed.is_fresh(), "late");
        feed.hear(&feed.sign().unwrap());
        assert!(feed.is_fresh());
        clock.advance(SILENCE);
        assert!(!feed.is_fresh());
    }

    #[test]
    fn what_was_kept_is_old_after_a_silence_and_not_after_a_sign_of_life() {
        let feed = Feed::of_postgres(Arc::new(FakeClock::default())).unwrap();
        let hear = || feed.hear(&feed.sign().unwrap());
        hear();
        let stamp = feed.stamp();
        hear();
        assert!(feed.holds(stamp, None));
        feed.lose();
        hear();
        assert!(!feed.holds(stamp, None));
    }
}
