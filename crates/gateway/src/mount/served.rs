//! One mounted server: what it offers, asked for when it is wanted and again when it says that it has
//! changed.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use strongroom_model::code::{Code, Refusal};
use strongroom_model::principal::Name;
use tokio::sync::Mutex as Turn;
use tokio::time::timeout;

use super::definition::{Definition, page};
use crate::protocol::{Era, MODERN};
use crate::upstream::peer::{Events, Noise, Peer};
use crate::upstream::server::{Launch, Options, Ready, Upstream};
use crate::wire::write::{self, Object};
use crate::wire::{Id, RpcError};

/// Tools of one server at the most (MC-06).
pub const MOST_TOOLS: usize = 1_000;

/// Bytes of all its definitions at the most.
const MOST_BYTES: usize = 16 << 20;

/// What clients can do that a server may use: nothing that is not bridged.
const CAPABILITIES: &str = "{}";

/// A server among others.
pub struct Server {
    /// Its name.
    pub name: Name,
    /// The prefix of its names, which ends in `.`.
    pub prefix: String,
    /// How it is reached.
    pub upstream: Arc<Upstream>,
    heard: Arc<Heard>,
    known: Mutex<Option<Known>>,
    /// Whoever asks it for its list; the others wait for what comes of that.
    asking: Turn<()>,
}

/// What a server offers, and as of when.
#[derive(Clone)]
struct Known {
    tools: Arc<[Definition]>,
    /// What [`Heard::changes`] was when it was asked.
    as_of: u64,
    /// The start of the server that was asked.
    attempt: u64,
}

/// What a server says without being asked.
#[derive(Default)]
struct Heard {
    /// How often it has said that its tools have changed.
    changes: AtomicU64,
    noise: AtomicU64,
}

impl Server {
    /// A server that `launch` starts.
    pub fn new(name: Name, prefix: String, launch: Box<dyn Launch>, options: Options) -> Self {
        let heard = Arc::new(Heard::default());
        let events = Arc::clone(&heard);
        let upstream = Upstream::new(launch, events, CAPABILITIES, options);
        Self { name, prefix, upstream, heard, known: Mutex::default(), asking: Turn::default() }
    }

    /// What is known of its tools without asking it; `None`: it has to be asked. What a server said
    /// before it ended is good until it has been started again.
    pub fn known(&self) -> Option<Arc<[Definition]>> {
        let attempt = self.upstream.attempt();
        let known = self.lock();
        let known = known.as_ref().filter(|known| {
            known.as_of == self.heard.changes() && attempt.is_none_or(|now| now == known.attempt)
        });
        known.map(|known| Arc::clone(&known.tools))
    }

    /// Its tools. It is started, if it does not run and they are not known.
    ///
    /// # Errors
    ///
    /// It cannot be started, does not answer in time, or answers what is no list.
    pub async fn tools(&self, patience: Duration) -> Result<Arc<[Definition]>, Refusal> {
        if let Some(known) = self.known() {
            return Ok(known);
        }
        let asked = async {
            let _turn = self.asking.lock().await;
            if let Some(known) = self.known() {
                return Ok(known);
            }
            let as_of = self.heard.changes();
            let (attempt, tools) = self.list().await?;
            let tools: Arc<[Definition]> = tools.into();
            *self.lock() = Some(Known { tools: Arc::clone(&tools), as_of, attempt });
            Ok(tools)
        };
        let late = || Err(Refusal::new(Code::UpstreamTimeout, "the server is not ready yet"));
        timeout(patience, asked).await.unwrap_or_else(|_| late())
    }

    /// How often it has sent what means nothing.
    pub fn noise(&self) -> u64 {
        self.heard.noise.load(Ordering::Relaxed)
    }

    /// Asks for its whole list, page by page.
    async fn list(&self) -> Result<(u64, Vec<Definition>), Refusal> {
        let ready = self.upstream.ready().await?;
        let (mut all, mut bytes) = (Vec::new(), 0);
        let mut cursors = HashSet::new();
        let mut cursor: Option<String> = None;
        loop {
            let (tools, next) = one_page(&ready, cursor.as_deref()).await?;
            bytes += tools.iter().map(|tool| tool.text().len()).sum::<usize>();
            all.extend(tools);
            if all.len() > MOST_TOOLS || bytes > MOST_BYTES {
                return Err(strange("the server has more tools than one may have"));
            }
            match next {
                None => return Ok((ready.attempt, all)),
                Some(next) if cursors.insert(next.clone()) => cursor = Some(next),
                Some(_) => return Err(strange("the pages of the server's list have no end")),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn one_page(
    ready: &Ready,
    cursor: Option<&str>,
) -> Result<(Vec<Definition>, Option<String>), Refusal> {
    let params = |_: u64, out: &mut Vec<u8>| {
        let mut params = Object::open(out);
        params.optional("cursor", cursor);
        meta(&mut params, ready.agreed.era);
        params.close();
    };
    let answer = ready.running.peer.call("tools/list", params, None).await;
    let answer = answer.map_err(|over| strange(&over.0))?;
    let result = answer.text().map_err(|_| strange("the server does not tell its tools"))?;
    page(result, "tools", "name").map_err(|_| strange("the server's list of tools is none"))
}

/// What a request to a server of the modern era must carry.
pub(super) fn meta(params: &mut Object<'_>, era: Era) {
    if era == Era::Modern {
        let mut meta = Object::open(params.name("_meta"));
        meta.string("io.modelcontextprotocol/protocolVersion", MODERN);
        let out = meta.name("io.modelcontextprotocol/clientCapabilities");
        write::on_one_line(out, CAPABILITIES);
        meta.close();
    }
}

pub(super) fn strange(why: &str) -> Refusal {
    Refusal::new(Code::UpstreamError, why.to_owned())
}

impl Heard {
    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }
}

impl Events for Heard {
    fn told(&self, method: &str, _: Option<&str>) {
        if method == "notifications/tools/list_changed" {
            self.changes.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// A server may see whether we are there. Nothing else of ours is its business (MC-17).
    fn asked(&self, peer: &Peer, id: Id<'_>, method: &str, _: Option<&str>) {
        let none = RpcError::method_not_found();
        let answer = if method == "ping" { Ok("{}") } else { Err(&none) };
        // One that is gone needs no answer.
        let _ = peer.reply(id.raw(), answer);
    }

    fn noise(&self, _: Noise) {
        self.noise.fetch_add(1, Ordering::Relaxed);
    }
}
