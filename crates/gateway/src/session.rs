//! The sessions of the `initialize` era, and the calls that are in flight.

pub(crate) mod line;
pub(crate) mod tape;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_model::approval::Channel;
use strongroom_model::principal::{Caller, Name, Principal};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::mount::Watching;
use crate::origin::{Abilities, Level, Origin};
use crate::prompt::{Outbox, Questions, RequestPrompt};
use crate::protocol::listen::News;
use crate::protocol::{Era, Hello, Params};
use crate::wire::{Id, RpcError};
use line::SessionLine;
use tape::Tapes;

/// A session: who opened it, and what was agreed.
pub(crate) struct Session {
    /// Who calls within it.
    pub(crate) caller: Caller,
    /// The revision of the protocol.
    pub(crate) version: &'static str,
    /// The calls that have no answer yet.
    pub(crate) calls: Arc<InFlight>,
    /// Whether the client shows questions to its user.
    pub(crate) prompts: bool,
    /// The questions that have no answer yet.
    pub(crate) questions: Arc<Questions>,
    /// What the client can do for servers.
    can: Abilities,
    /// The least severe message of a log that it wants to hear of, where it has said so.
    level: Mutex<Option<Level>>,
    /// The resources that it watches.
    watched: Mutex<Vec<Watching>>,
    /// What it is sent, kept for a while.
    pub(crate) tapes: Tapes,
}

/// Resources that one session may watch.
const MOST_WATCHED: usize = 256;

impl Session {
    /// The session that `hello` opens for `principal`.
    pub(crate) fn new(hello: Hello, principal: Principal) -> Self {
        let channel = Channel { session: Some(Arc::default()), prompt: None };
        let caller = Caller { principal, channel, claimed_client: hello.client };
        let (calls, questions, level) = (Arc::default(), Arc::default(), Mutex::default());
        let Hello { version, prompts, can, .. } = hello;
        let (watched, tapes) = (Mutex::default(), Tapes::default());
        Self { caller, version, calls, prompts, questions, can, level, watched, tapes }
    }

    /// A request within the session. What is said before its answer, and what the client is asked
    /// meanwhile, goes by `out`, where there is one.
    pub(crate) fn origin(
        &self,
        out: Option<Arc<dyn Outbox>>,
        params: &Params<'_>,
    ) -> Result<Origin, RpcError> {
        let mut caller = self.caller.clone();
        if let Some(out) = out.as_ref().filter(|_| self.prompts) {
            let prompt = RequestPrompt::new(Arc::clone(&self.questions), Arc::clone(out));
            caller.channel.prompt = Some(Arc::new(prompt));
        }
        let mut origin = Origin::read(caller, Era::Legacy, params)?;
        origin.can = self.can;
        origin.level = *lock(&self.level);
        if let Some(out) = out {
            origin.line = Some(Arc::new(SessionLine::new(Arc::clone(&self.questions), out)));
        }
        Ok(origin)
    }

    /// Watches one more resource; says whether there was room for it.
    pub(crate) fn watch(&self, watching: Watching) -> bool {
        let mut watched = lock(&self.watched);
        if watched.iter().any(|known| known.uri() == watching.uri()) {
            return true;
        }
        let room = watched.len() < MOST_WATCHED;
        if room {
            watched.push(watching);
        }
        room
    }

    /// Watches one resource no more.
    pub(crate) fn unwatch(&self, uri: &str) {
        let mut watched = lock(&self.watched);
        let left = watched.iter().position(|known| known.uri() == Some(uri));
        let left = left.map(|at| watched.swap_remove(at));
        drop(watched);
        drop(left);
    }

    /// Whether the client is told of this: every change of a list, and of the resources that it watches.
    pub(crate) fn wants(&self, news: &News) -> bool {
        match news {
            News::Updated(uri) => {
                lock(&self.watched).iter().any(|known| known.uri() == Some(&**uri))
            }
            News::Tools | News::Prompts | News::Resources => true,
            // Only clients of the modern era have tasks.
            News::Task(_) => false,
        }
    }

    /// From now on the client wants to hear of messages from this level on.
    pub(crate) fn hear_from(&self, level: Level) {
        *lock(&self.level) = Some(level);
    }
}

/// The calls of one connection or session that have no answer yet, by id.
///
/// Dropping what is kept for a call tells it that nobody waits any more.
#[derive(Default)]
pub(crate) struct InFlight {
    calls: Mutex<HashMap<Box<str>, Waiting>>,
}

struct Waiting {
    serial: u64,
    /// Never sent: dropping it is the signal.
    _cancel: oneshot::Sender<()>,
}

/// The place of one call among those in flight; dropped, it ends the call.
pub(crate) struct Place {
    among: Arc<InFlight>,
    key: Box<str>,
    serial: u64,
}

impl InFlight {
    /// Makes a place for the call `id`; `None` while an earlier call of that id has no answer.
    pub(crate) fn enter(self: &Arc<Self>, id: Id<'_>) -> Option<(Place, oneshot::Receiver<()>)> {
        let key = id.key();
        let mut calls = lock(&self.calls);
        if calls.contains_key(&key) {
            return None;
        }
        let (cancel, cancelled) = oneshot::channel();
        let serial = next_serial();
        calls.insert(key.clone(), Waiting { serial, _cancel: cancel });
        Some((Place { among: Arc::clone(self), key, serial }, cancelled))
    }

    /// Ends the call `id`, if it is in flight.
    pub(crate) fn cancel(&self, id: Id<'_>) {
        lock(&self.calls).remove(&id.key());
    }

    /// Whether no call is in flight.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.calls).is_empty()
    }

    /// Ends every call.
    pub(crate) fn cancel_all(&self) {
        lock(&self.calls).clear();
    }
}

impl Place {
    /// Gives the place up; whether the call was still wanted.
    pub(crate) fn leave(self) -> bool {
        self.remove()
    }

    fn remove(&self) -> bool {
        let mut calls = lock(&self.among.calls);
        // After a cancel the id may be in use again, by another call.
        let ours = calls.get(&self.key).is_some_and(|waiting| waiting.serial == self.serial);
        if ours {
            calls.remove(&self.key);
        }
        ours
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.remove();
    }
}

/// The sessions of the HTTP transport.
///
/// An id is 128 random bits, means something only together with its principal, and selects nothing
/// but the entry in this table (MC-08).
pub(crate) struct Sessions {
    table: Mutex<HashMap<Box<str>, Entry>>,
    idle: Duration,
    per_principal: usize,
}

struct Entry {
    session: Arc<Session>,
    used: Instant,
}

impl Sessions {
    /// An empty table. A session ends after `idle` without a request.
    pub(crate) fn new(idle: Duration, per_principal: usize) -> Self {
        Self { table: Mutex::default(), idle, per_principal }
    }

    /// Keeps `session` and returns its id. A principal that has too many loses the one that was
    /// used the longest ago; nobody else loses any.
    pub(crate) fn open(&self, session: Session) -> Option<String> {
        let id = random_id()?;
        let now = Instant::now();
        let owner = session.caller.principal.name.clone();
        let mut table = lock(&self.table);
        table.retain(|_, entry| now.duration_since(entry.used) < self.idle);
        let of_owner = |entry: &Entry| entry.session.caller.principal.name == owner;
        if table.values().filter(|entry| of_owner(entry)).count() >= self.per_principal {
            let oldest = table
                .iter()
                .filter(|(_, entry)| of_owner(entry))
                .min_by_key(|(_, entry)| entry.used)
                .map(|(id, _)| id.clone());
            oldest.map(|id| table.remove(&id));
        }
        table.insert(id.as_str().into(), Entry { session: Arc::new(session), used: now });
        Some(id)
    }

    /// The session `id` of `owner`. One of another principal is as unknown as one that never was.
    pub(crate) fn find(&self, id: &str, owner: &Name) -> Option<Arc<Session>> {
        let now = Instant::now();
        let mut table = lock(&self.table);
        let entry = table.get_mut(id)?;
        if now.duration_since(entry.used) >= self.idle {
            table.remove(id);
            return None;
        }
        if entry.session.caller.principal.name != *owner {
            return None;
        }
        entry.used = now;
        Some(Arc::clone(&entry.session))
    }

    /// Ends the session `id` of `owner` and its calls; whether there was one.
    pub(crate) fn close(&self, id: &str, owner: &Name) -> bool {
        let Some(session) = self.find(id, owner) else { return false };
        lock(&self.table).remove(id);
        session.calls.cancel_all();
        session.tapes.end();
        true
    }
}

/// 128 bits from the operating system, in hex; `None` if it has none to give.
fn random_id() -> Option<String> {
    let mut bits = [0; 16];
    aws_lc_rs::rand::fill(&mut bits).ok()?;
    Some(format!("{:032x}", u128::from_be_bytes(bits)))
}

fn next_serial() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use strongroom_model::principal::Source;

    use super::*;

    fn session(name: &str) -> Session {
        let principal = Principal { name: name.parse().unwrap(), source: Source::Token };
        Session::new(Hello::unsaid(), principal)
    }

    fn name(name: &str) -> Name {
        name.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_found_by_its_owner_until_it_has_been_idle_for_too_long() {
        let sessions = Sessions::new(Duration::from_hours(1), 10);
        let id = sessions.open(session("a")).unwrap();
        tokio::time::advance(Duration::from_mins(59)).await;
        assert!(sessions.find(&id, &name("a")).is_some());
        assert!(sessions.find(&id, &name("b")).is_none(), "not yours");
        assert!(sessions.find(&id[1..], &name("a")).is_none(), "truncated");
        tokio::time::advance(Duration::from_mins(59)).await;
        assert!(sessions.find(&id, &name("a")).is_some(), "the last use counts");
        tokio::time::advance(Duration::from_hours(1)).await;
        assert!(sessions.find(&id, &name("a")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_principal_with_too_many_sessions_loses_its_own_oldest() {
        let sessions = Sessions::new(Duration::from_hours(1), 2);
        let other = sessions.open(session("b")).unwrap();
        let mut mine = Vec::new();
        for _ in 0..3 {
            mine.push(sessions.open(session("a")).unwrap());
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let found: Vec<_> = mine.iter().map(|id| sessions.find(id, &name("a")).is_some()).collect();
        assert_eq!(found, [false, true, true]);
        assert!(sessions.find(&other, &name("b")).is_some());
    }

    #[test]
    fn session_ids_have_128_bits_and_do_not_repeat() {
        let ids: std::collections::HashSet<_> = (0..100).map(|_| random_id().unwrap()).collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| id.len() == 32));
    }

    #[test]
    fn an_id_can_be_used_again_once_its_call_has_ended_and_not_before() {
        let calls = Arc::new(InFlight::default());
        let one = Id::read("1").unwrap();
        let (place, mut cancelled) = calls.enter(one).unwrap();
        assert!(calls.enter(one).is_none());
        assert!(calls.enter(Id::read("\"1\"").unwrap()).is_some(), "another id");
        assert!(place.leave(), "still wanted");
        assert!(cancelled.try_recv().is_err());
        assert!(calls.enter(one).is_some());
    }

    #[test]
    fn a_cancelled_call_does_not_take_its_successor_with_it() {
        let calls = Arc::new(InFlight::default());
        let one = Id::read("1").unwrap();
        let (first, mut cancelled) = calls.enter(one).unwrap();
        calls.cancel(one);
        assert!(matches!(cancelled.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
        let (second, _still) = calls.enter(one).unwrap();
        assert!(!first.leave(), "nobody waits for the first");
        assert!(second.leave(), "and the second is still wanted");
    }
}
