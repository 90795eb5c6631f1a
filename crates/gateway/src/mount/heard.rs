//! What a server says without being asked: which of its lists have changed, what it logs, and what it wants
//! of the client whose call it is working on.
//!
//! A server that speaks over one pipe does not say which call a message is about. It is about the newest
//! call that is under way, and that only where all of them are of one principal: nobody is shown or asked
//! what may be meant for another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use strongroom_model::json::{self, Members};
use strongroom_model::principal::Name;
use strongroom_model::redact::Redactor;
use tokio::task::AbortHandle;

use strongroom_model::server::Asks;

use super::asks;
use super::bell::{Bell, Notice, TaskNotice};
use super::kind::Kind;
use super::uris;
use crate::origin::{Level, Origin};
use crate::upstream::peer::{Events, Noise, Peer};
use crate::upstream::server::Ready;
use crate::wire::write::{self, Object};
use crate::wire::{Id, RpcError};

/// Questions of one server that have no answer yet.
const MOST_ASKED: usize = 64;

/// Bytes of what is told of a task at the most. Whoever is not told asks.
const LONGEST_OF_TASK: usize = 256 << 10;

/// The ears of one server.
pub(super) struct Heard {
    name: Name,
    allows: Asks,
    /// How often each list has changed.
    changes: [AtomicU64; 4],
    noise: AtomicU64,
    bells: Mutex<Vec<Weak<Bell>>>,
    /// The calls that are under way, the oldest first.
    flights: Mutex<Vec<Flight>>,
    next: AtomicU64,
    /// What the server has asked, by its own ids.
    asked: Arc<Mutex<HashMap<Box<str>, Question>>>,
    /// Of the last start.
    redactor: Mutex<Arc<Redactor>>,
}

#[derive(Clone)]
struct Flight {
    serial: u64,
    origin: Arc<Origin>,
    ready: Arc<Ready>,
}

/// What waits for an answer of a client.
struct Question {
    serial: u64,
    task: AbortHandle,
}

/// The place of one call among those under way.
pub(super) struct Aloft<'a> {
    heard: &'a Heard,
    serial: u64,
}

impl Heard {
    pub(super) fn new(name: Name, allows: Asks) -> Self {
        Self {
            name,
            allows,
            changes: Default::default(),
            noise: AtomicU64::new(0),
            bells: Mutex::default(),
            flights: Mutex::default(),
            next: AtomicU64::new(0),
            asked: Arc::default(),
            redactor: Mutex::default(),
        }
    }

    pub(super) fn changes(&self, kind: Kind) -> u64 {
        self.changes[kind.place()].load(Ordering::Acquire)
    }

    pub(super) fn noise(&self) -> u64 {
        self.noise.load(Ordering::Relaxed)
    }

    /// Rings `bell` as long as it is there.
    pub(super) fn ring(&self, bell: &Arc<Bell>) {
        let mut bells = lock(&self.bells);
        bells.retain(|bell| bell.strong_count() > 0);
        bells.push(Arc::downgrade(bell));
    }

    /// What the server says from now on may have the secrets in it that it was started with.
    pub(super) fn met(&self, ready: &Ready) {
        *lock(&self.redactor) = Arc::clone(&ready.redactor);
    }

    /// A call is under way until what is returned is dropped.
    pub(super) fn takes_off(&self, origin: &Arc<Origin>, ready: &Arc<Ready>) -> Aloft<'_> {
        let serial = self.next.fetch_add(1, Ordering::Relaxed);
        let (origin, ready) = (Arc::clone(origin), Arc::clone(ready));
        lock(&self.flights).push(Flight { serial, origin, ready });
        Aloft { heard: self, serial }
    }

    /// The call that something is about.
    fn about(&self) -> Option<Flight> {
        let flights = lock(&self.flights);
        let newest = flights.last()?;
        let of = |flight: &Flight| flight.origin.caller.principal.name.clone();
        let owner = of(newest);
        flights.iter().all(|flight| of(flight) == owner).then(|| newest.clone())
    }

    fn changed(&self, kind: Kind) {
        self.changes[kind.place()].fetch_add(1, Ordering::AcqRel);
        self.tell(&Notice::Changed { server: self.name.clone(), kind });
    }

    /// A person has approved tools, or there are some to be approved: the list is another one, although
    /// the server says the same.
    pub(super) fn repinned(&self) {
        self.tell(&Notice::Changed { server: self.name.clone(), kind: Kind::Tools });
    }

    fn tell(&self, notice: &Notice) {
        let bells: Vec<_> = lock(&self.bells).iter().filter_map(Weak::upgrade).collect();
        for bell in bells {
            bell.ring(notice.clone());
        }
    }

    fn updated(&self, params: &str) {
        let uri = Members::read(params).and_then(|params| params.get("uri").and_then(json::string));
        if let Some(uri) = uri.filter(|uri| uri.len() <= uris::LONGEST) {
            let redactor = Arc::clone(&lock(&self.redactor));
            let uri = redactor.clean_text(&uri).0.into_inner();
            self.tell(&Notice::Updated { server: self.name.clone(), uri: uri.into() });
        }
    }

    /// How a task is getting on, for whoever it is of and wants it.
    fn task(&self, method: &'static str, params: &str) {
        if params.len() > LONGEST_OF_TASK {
            return;
        }
        let redactor = Arc::clone(&lock(&self.redactor));
        let params = redactor.clean_text(params).0.into_inner();
        let id = Members::read(&params).and_then(|all| all.get("taskId").and_then(json::string));
        if let Some(id) = id.map(|id| Arc::from(&*id)) {
            let (server, params) = (self.name.clone(), params.into());
            self.tell(&Notice::Task(TaskNotice { server, id, method, params }));
        }
    }

    /// A message of its log, for whoever wants it.
    fn logged(&self, params: &str) {
        let Some(Flight { origin, ready, .. }) = self.about() else { return };
        let Some(line) = &origin.line else { return };
        let level =
            Members::read(params).and_then(|params| params.get("level").and_then(json::string));
        let Some(level) = level.and_then(|level| Level::of(&level)) else { return };
        if origin.hears(level) {
            line.tell(notification("notifications/message", &ready.redactor, params));
        }
    }

    /// That what an address was opened for is done, for whoever was asked to open it.
    fn completed(&self, params: &str) {
        let Some(Flight { origin, ready, .. }) = self.about() else { return };
        if let Some(line) = origin.line.as_ref().filter(|_| origin.is_legacy()) {
            line.tell(notification("notifications/elicitation/complete", &ready.redactor, params));
        }
    }

    /// Puts a question to the client whose call it is about, and takes the answer back.
    fn ask(&self, flight: Flight, id: &str, asking: asks::Wanted) {
        let serial = self.next.fetch_add(1, Ordering::Relaxed);
        let (key, asked): (Box<str>, _) = (id.into(), Arc::clone(&self.asked));
        // Entered before it can be left.
        let mut table = lock(&self.asked);
        if table.len() >= MOST_ASKED || table.contains_key(&key) {
            let error = RpcError::invalid_request("too much is asked at once, or the id is in use");
            let _ = flight.ready.running.peer.reply(id, Err(&error));
            return;
        }
        let (name, allows) = (self.name.clone(), self.allows);
        let id = key.clone();
        let task = tokio::spawn(async move {
            let Flight { origin, ready, .. } = flight;
            let answer = asks::put(&name, allows, &origin, &ready.redactor, asking).await;
            let mut asked = lock(&asked);
            if asked.get(&id).is_some_and(|question| question.serial == serial) {
                asked.remove(&id);
            }
            drop(asked);
            // One that is gone needs no answer.
            let _ = match &answer {
                Ok(result) => ready.running.peer.reply(&id, Ok(result)),
                Err(error) => ready.running.peer.refuse(&id, error),
            };
        });
        table.insert(key, Question { serial, task: task.abort_handle() });
    }

    /// The server does not want an answer any more.
    fn taken_back(&self, params: &str) {
        let id = Members::read(params).and_then(|params| params.get("requestId"));
        if let Some(id) = id.and_then(Id::read)
            && let Some(question) = lock(&self.asked).remove(id.raw())
        {
            question.task.abort();
        }
    }
}

impl Events for Heard {
    fn told(&self, method: &str, params: Option<&str>) {
        let params = params.unwrap_or("{}");
        match method {
            "notifications/tools/list_changed" => self.changed(Kind::Tools),
            "notifications/prompts/list_changed" => self.changed(Kind::Prompts),
            "notifications/resources/list_changed" => {
                self.changed(Kind::Templates);
                self.changed(Kind::Resources);
            }
            "notifications/resources/updated" => self.updated(params),
            "notifications/tasks" => self.task("notifications/tasks", params),
            "notifications/tasks/status" => self.task("notifications/tasks/status", params),
            "notifications/message" => self.logged(params),
            "notifications/elicitation/complete" => self.completed(params),
            "notifications/cancelled" => self.taken_back(params),
            _ => {}
        }
    }

    /// A server may see whether we are there, and ask the client whose call it is working on what it was
    /// allowed to ask. Nothing else of ours is its business (MC-17).
    fn asked(&self, peer: &Peer, id: Id<'_>, method: &str, params: Option<&str>) {
        if method == "ping" {
            let _ = peer.reply(id.raw(), Ok("{}"));
            return;
        }
        let none = RpcError::method_not_found();
        let wanted = asks::Wanted::read("", method, params.unwrap_or("{}"));
        let Some(wanted) = wanted.filter(|wanted| asks::may_ask(self.allows, wanted.method)) else {
            let _ = peer.reply(id.raw(), Err(&none));
            return;
        };
        if let Some(flight) = self.about() {
            self.ask(flight, id.raw(), wanted);
        } else {
            let error = RpcError::invalid_request("there is nobody to ask now");
            let _ = peer.reply(id.raw(), Err(&error));
        }
    }

    fn noise(&self, _: Noise) {
        self.noise.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Aloft<'_> {
    fn drop(&mut self) {
        lock(&self.heard.flights).retain(|flight| flight.serial != self.serial);
    }
}

/// A notification for a client, without secrets.
pub(super) fn notification(method: &str, redactor: &Redactor, params: &str) -> Vec<u8> {
    let (params, _) = redactor.clean_text(params);
    let mut out = Vec::with_capacity(params.get().len() + 96);
    let mut message = Object::open(&mut out);
    message.string("jsonrpc", "2.0").string("method", method);
    write::on_one_line(message.name("params"), params.get());
    message.close();
    out
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
