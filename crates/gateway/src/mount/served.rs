//! One mounted server: what it offers, asked for when it is wanted and again when it says that it has
//! changed.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_model::code::{Code, Refusal};
use strongroom_model::json::Members;
use strongroom_model::pin::{Pins, Standing};
use strongroom_model::ports::Tools;
use strongroom_model::principal::Name;
use tokio::sync::Mutex as Turn;
use tokio::time::{Instant, timeout};

use super::asks;
use super::bell::Bell;
use super::definition::{Definition, page};
use super::heard::Heard;
use super::kind::Kind;
use super::pins::Stand;
use super::uris;
use crate::origin::{Abilities, Level};
use crate::protocol::{Era, MODERN};
use crate::upstream::peer::Over;
use crate::upstream::server::{Launch, Options, Ready, Upstream};
use crate::wire::write::Object;
use strongroom_model::server::Asks;

/// Elements of one list of one server at the most (MC-06).
pub const MOST_TOOLS: usize = 1_000;

/// Bytes of all its definitions at the most.
const MOST_BYTES: usize = 16 << 20;

/// The longest time that a modern server's list is kept without being asked for again.
const LONGEST_KEPT: Duration = Duration::from_hours(1);

/// How often a list is asked for again that has changed meanwhile.
const AGAIN: usize = 3;

/// A server among others.
pub struct Server {
    /// Its name.
    pub name: Name,
    /// The prefix of its names, which ends in `.`.
    pub prefix: String,
    /// How it is reached.
    pub upstream: Arc<Upstream>,
    /// What it may ask of clients.
    pub allows: Asks,
    pub(super) heard: Arc<Heard>,
    shelves: [Shelf; 4],
    stand: Stand,
    met: Mutex<Met>,
    /// What somebody watches, and how many do.
    watched: Mutex<BTreeMap<Topic, usize>>,
}

/// Something that a server tells of while somebody watches it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// A resource, by its address.
    Resource(String),
    /// A task, by the server's own id.
    Task(String),
}

/// One list.
#[derive(Default)]
struct Shelf {
    known: Mutex<Option<Known>>,
    /// Whoever asks for the list; the others wait for what comes of that.
    asking: Turn<()>,
}

/// What a server offers, and as of when.
#[derive(Clone)]
struct Known {
    items: Arc<[Definition]>,
    /// How often it had changed when it was asked for.
    as_of: u64,
    /// The start of the server that was asked.
    attempt: u64,
    /// When it has to be asked for again, where the server does not say that it changes.
    until: Option<Instant>,
}

/// The last start of a server that was used.
#[derive(Default)]
struct Met {
    attempt: u64,
    /// Its capabilities, as written; `None`: it has not been asked yet.
    capabilities: Option<Box<str>>,
    /// The level of its log, where somebody has set one.
    level: Option<Level>,
    /// Ends with what listens to it.
    listening: Option<super::listening::Listening>,
}

impl Server {
    /// A server that `launch` starts, and that may ask nothing of clients.
    pub fn new(name: Name, prefix: String, launch: Box<dyn Launch>, options: Options) -> Self {
        Self::allowed(name, prefix, launch, options, Asks::default())
    }

    /// A server that `launch` starts, and that may ask of clients what `allows` says.
    pub fn allowed(
        name: Name,
        prefix: String,
        launch: Box<dyn Launch>,
        options: Options,
        allows: Asks,
    ) -> Self {
        let heard = Arc::new(Heard::new(name.clone(), allows));
        let mut capabilities = Vec::new();
        asks::abilities(allows).write(&mut capabilities);
        let capabilities = String::from_utf8(capabilities).unwrap_or_default();
        let upstream = Upstream::new(launch, heard.clone(), &capabilities, options);
        let (shelves, stand, met) = (Default::default(), Stand::default(), Mutex::default());
        let watched = Mutex::default();
        Self { name, prefix, upstream, allows, heard, shelves, stand, met, watched }
    }

    /// The same, whose tools are those that are approved by what `pins` keeps of it.
    #[must_use]
    pub fn with_pins(self, pins: Arc<dyn Pins>) -> Self {
        Self { stand: Stand::new(pins), ..self }
    }

    /// What is known of its tools without asking it; `None`: it has to be asked. What a server said
    /// before it ended is good until it has been started again.
    pub fn known(&self) -> Option<Arc<[Definition]>> {
        self.known_of(Kind::Tools)
    }

    /// The same of any list.
    pub fn known_of(&self, kind: Kind) -> Option<Arc<[Definition]>> {
        let attempt = self.upstream.attempt();
        let known = lock(&self.shelves[kind.place()].known);
        let known = known.as_ref().filter(|known| {
            known.as_of == self.heard.changes(kind)
                && attempt.is_none_or(|now| now == known.attempt)
                && known.until.is_none_or(|until| Instant::now() < until)
        });
        known.map(|known| Arc::clone(&known.items))
    }

    /// The same, however long it was to be good for: that says when to ask again, and many say at once.
    fn unchanged(&self, kind: Kind) -> Option<Arc<[Definition]>> {
        let attempt = self.upstream.attempt();
        let known = lock(&self.shelves[kind.place()].known);
        let known = known.as_ref().filter(|known| {
            known.as_of == self.heard.changes(kind)
                && attempt.is_none_or(|now| now == known.attempt)
        });
        known.map(|known| Arc::clone(&known.items))
    }

    /// What is known of a list, or was, until it is asked for again: where names lead.
    pub(super) fn current(&self, kind: Kind) -> Option<Arc<[Definition]>> {
        match kind {
            // A tool that may not be there any more is not called.
            Kind::Tools => self.unchanged(kind),
            Kind::Prompts | Kind::Resources | Kind::Templates => self.latest_of(kind),
        }
    }

    /// What it said the last time that it was asked, if it was.
    pub fn latest_of(&self, kind: Kind) -> Option<Arc<[Definition]>> {
        let known = lock(&self.shelves[kind.place()].known);
        known.as_ref().map(|known| Arc::clone(&known.items))
    }

    /// Its tools. It is started, if it does not run and they are not known.
    ///
    /// # Errors
    ///
    /// It cannot be started, does not answer in time, or answers what is no list.
    pub async fn tools(&self, patience: Duration) -> Result<Arc<[Definition]>, Refusal> {
        self.items(Kind::Tools, patience).await
    }

    /// One of its lists, likewise.
    ///
    /// # Errors
    ///
    /// As [`tools`](Self::tools).
    pub async fn items(
        &self,
        kind: Kind,
        patience: Duration,
    ) -> Result<Arc<[Definition]>, Refusal> {
        if let Some(known) = self.known_of(kind) {
            return Ok(known);
        }
        let place = &self.shelves[kind.place()];
        let asked = async {
            let _turn = place.asking.lock().await;
            if let Some(known) = self.known_of(kind) {
                return Ok(known);
            }
            let ready = self.ready().await?;
            let mut as_of = self.heard.changes(kind);
            let (mut items, mut ttl) = all_pages(&ready, kind).await?;
            for _ in 0..AGAIN {
                // Many say that their lists have changed when they have only just begun.
                let now = self.heard.changes(kind);
                if now == as_of {
                    break;
                }
                as_of = now;
                (items, ttl) = all_pages(&ready, kind).await?;
            }
            if matches!(kind, Kind::Resources | Kind::Templates) && !self.allows.ui {
                items.retain(|item| !uris::is_page(item.name()));
            }
            let items: Arc<[Definition]> = items.into();
            let says_so = tells_changes(&ready, kind);
            let until = (!says_so).then(|| Instant::now() + ttl);
            let known = Known { items: Arc::clone(&items), as_of, attempt: ready.attempt, until };
            *lock(&place.known) = Some(known);
            Ok(items)
        };
        let late = || Err(Refusal::new(Code::UpstreamTimeout, "the server is not ready yet"));
        timeout(patience, asked).await.unwrap_or_else(|_| late())
    }

    /// How `tools`, which are its own, stand, in their order. Nothing is asked or read where neither they
    /// nor what is approved has changed.
    pub(super) async fn standings(
        &self,
        tools: &Arc<[Definition]>,
        to: &dyn Tools,
    ) -> Arc<[Standing]> {
        let (standings, changed) = self.stand.look(&self.name, tools, to).await;
        if changed {
            self.heard.repinned();
        }
        standings
    }

    /// How many of its tools wait for a person, as far as that is known without asking anybody.
    pub fn waiting(&self) -> Option<usize> {
        let standings = self.stand.known(&self.known()?)?;
        let waits = |standing: &&Standing| matches!(standing, Standing::Waits(_));
        Some(standings.iter().filter(waits).count())
    }

    /// How often it has sent what means nothing.
    pub fn noise(&self) -> u64 {
        self.heard.noise()
    }

    /// Its capabilities, an object as written; `None`: it has never been asked.
    pub fn capabilities(&self) -> Option<Box<str>> {
        lock(&self.met).capabilities.clone()
    }

    /// The server, started if it does not run, and listened to.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub(super) async fn ready(&self) -> Result<Arc<Ready>, Refusal> {
        let ready = self.upstream.ready().await?;
        let mut met = lock(&self.met);
        if met.capabilities.is_none() || met.attempt != ready.attempt {
            self.heard.met(&ready);
            let listening = super::listening::begin(&ready);
            let capabilities = Some(ready.agreed.capabilities.clone());
            *met = Met { attempt: ready.attempt, capabilities, level: None, listening };
            drop(met);
            self.rewatch();
        }
        Ok(ready)
    }

    /// The level that is to be set before a call of somebody who wants to hear of `wanted`, if there is one.
    pub(super) fn raises(&self, ready: &Ready, wanted: Level) -> bool {
        if ready.agreed.era == Era::Modern || !has(&ready.agreed.capabilities, "logging") {
            return false;
        }
        let mut met = lock(&self.met);
        let set = met.attempt == ready.attempt && met.level.is_none_or(|level| wanted < level);
        if set {
            met.level = Some(wanted);
        }
        set
    }

    /// Its tools are asked for again when they are wanted.
    #[cfg(all(test, unix))]
    pub(super) fn forget(&self) {
        *lock(&self.shelves[Kind::Tools.place()].known) = None;
    }

    /// Rings `bell` for what it says of itself.
    pub(super) fn ring(&self, bell: &Arc<Bell>) {
        self.heard.ring(bell);
    }

    /// Watches something of it until what is returned is dropped.
    pub(super) fn watch(self: &Arc<Self>, topic: Topic) -> Watching {
        *lock(&self.watched).entry(topic.clone()).or_insert(0) += 1;
        self.rewatch();
        Watching { server: Arc::clone(self), topic }
    }

    fn unwatch(&self, topic: &Topic) {
        let mut watched = lock(&self.watched);
        if let Some(count) = watched.get_mut(topic) {
            *count -= 1;
            if *count == 0 {
                watched.remove(topic);
            }
        }
        drop(watched);
        self.rewatch();
    }

    /// Tells whoever listens to it what is watched.
    fn rewatch(&self) {
        let topics = lock(&self.watched).keys().cloned().collect();
        if let Some(listening) = &lock(&self.met).listening {
            listening.watch(topics);
        }
    }
}

/// A resource or a task is watched while this is there.
pub struct Watching {
    server: Arc<Server>,
    topic: Topic,
}

impl Watching {
    /// The resource, where it is one.
    pub fn uri(&self) -> Option<&str> {
        match &self.topic {
            Topic::Resource(uri) => Some(uri),
            Topic::Task(_) => None,
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.server.unwatch(&self.topic);
    }
}

/// Whether a server with these capabilities has that one.
pub(super) fn has(capabilities: &str, name: &str) -> bool {
    Members::read(capabilities).is_some_and(|all| all.get(name).is_some_and(|raw| raw != "null"))
}

/// Whether the server says it when this list changes.
pub(super) fn tells_changes(ready: &Ready, kind: Kind) -> bool {
    flag(&ready.agreed.capabilities, kind.capability(), "listChanged")
}

/// A member of a capability that is true or false.
pub(super) fn flag(capabilities: &str, of: &str, name: &str) -> bool {
    let all = Members::read(capabilities).unwrap_or_default();
    let one = all.get(of).and_then(Members::read).unwrap_or_default();
    one.get(name) == Some("true")
}

/// Asks for a whole list, page by page, and how long it is good.
async fn all_pages(ready: &Ready, kind: Kind) -> Result<(Vec<Definition>, Duration), Refusal> {
    // Tools are asked for in any case: servers have forgotten to say that they have some.
    let says = has(&ready.agreed.capabilities, kind.capability());
    if kind != Kind::Tools && !says {
        return Ok((Vec::new(), LONGEST_KEPT));
    }
    let (mut all, mut bytes) = (Vec::new(), 0);
    let mut cursors = HashSet::new();
    let mut cursor: Option<String> = None;
    loop {
        let answer = one_page(ready, kind, cursor.as_deref()).await?;
        let result = match answer.text() {
            Ok(result) => result,
            Err(error) if !says && code(error) == Some(-32601) => {
                return Ok((Vec::new(), LONGEST_KEPT));
            }
            // One that has resources need not have templates.
            Err(error) if kind == Kind::Templates && code(error) == Some(-32601) => {
                return Ok((Vec::new(), LONGEST_KEPT));
            }
            Err(_) => {
                return Err(strange(&format!("the server does not tell its {}", kind.words())));
            }
        };
        let none = |_| strange(&format!("the server's list of {} is none", kind.words()));
        // A definition may have a secret in it that its server was started with.
        let (clean, _) = ready.redactor.clean_json(result.as_bytes().to_vec());
        let result = clean.text().unwrap_or_default();
        let (items, next) = page(result, kind.member(), kind.name()).map_err(none)?;
        bytes += items.iter().map(|item| item.text().len()).sum::<usize>();
        all.extend(items);
        if all.len() > MOST_TOOLS || bytes > MOST_BYTES {
            let words = kind.words();
            return Err(strange(&format!("the server has more {words} than one may have")));
        }
        match next {
            None => return Ok((all, kept(ready.agreed.era, kind, result))),
            Some(next) if cursors.insert(next.clone()) => cursor = Some(next),
            Some(_) => return Err(strange("the pages of the server's list have no end")),
        }
    }
}

/// How long a list is good of a server that does not say when it changes. Tools of an older server are
/// what they were when it was started.
fn kept(era: Era, kind: Kind, result: &str) -> Duration {
    match era {
        Era::Legacy if kind == Kind::Tools => Duration::from_hours(24 * 365),
        Era::Legacy => Duration::ZERO,
        Era::Modern => {
            let ttl = Members::read(result).and_then(|result| result.get("ttlMs")?.parse().ok());
            Duration::from_millis(ttl.unwrap_or(0)).min(LONGEST_KEPT)
        }
    }
}

async fn one_page(
    ready: &Ready,
    kind: Kind,
    cursor: Option<&str>,
) -> Result<crate::upstream::peer::Answer, Refusal> {
    let params = |_: u64, out: &mut Vec<u8>| {
        let mut params = Object::open(out);
        params.optional("cursor", cursor);
        meta(&mut params, ready.agreed.era);
        params.close();
    };
    let answer = ready.running.peer.call(kind.method(), params, None).await;
    answer.map_err(|Over(why)| strange(&why))
}

/// What a request of our own to a server of the modern era must carry.
pub(super) fn meta(params: &mut Object<'_>, era: Era) {
    if era == Era::Modern {
        let mut meta = Object::open(params.name("_meta"));
        modern_meta(&mut meta, Abilities::default());
        meta.close();
    }
}

/// The members of `_meta` that the modern era demands.
pub(super) fn modern_meta(meta: &mut Object<'_>, abilities: Abilities) {
    meta.string("io.modelcontextprotocol/protocolVersion", MODERN);
    abilities.write(meta.name("io.modelcontextprotocol/clientCapabilities"));
    crate::upstream::hello::client_info(meta.name("io.modelcontextprotocol/clientInfo"));
}

/// The code of an error object.
pub(crate) fn code(error: &str) -> Option<i64> {
    Members::read(error)?.get("code")?.parse().ok()
}

pub(super) fn strange(why: &str) -> Refusal {
    Refusal::new(Code::UpstreamError, why.to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
