//! The state of a conversation with a server at an address, and how messages enter it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use strongroom_model::far::{Ask, Failed, Reply, Site, Verb};
use strongroom_model::json::{self, Members};
use strongroom_model::ports::Far;
use strongroom_model::redact::Redactor;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as Turn, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::headers::{Mirrors, version_of};
use crate::protocol::VERSIONS;
use crate::upstream::peer::{Carrier, Events, Over, Peer};
use crate::upstream::running::Running;
use crate::wire::{self, Limits, Message};

/// How long a server may take to take in what wants no answer.
const TAKING_IN: Duration = Duration::from_secs(30);

/// How long it may take to let go of a session.
const FAREWELL: Duration = Duration::from_secs(5);

/// The longest id of a session that is taken.
const LONGEST_SESSION: usize = 1024;

/// The first revision whose requests say which one they are of.
const SAYS_VERSION: &str = "2025-06-18";

/// What we write ourselves has no bounds.
const OURS: Limits = Limits { message_bytes: usize::MAX, depth: 128 };

/// The way to a server.
pub(in crate::upstream) struct Line(pub(in crate::upstream) Arc<Talk>);

impl Carrier for Line {
    fn send(&self, message: Vec<u8>) -> Result<(), Over> {
        self.0.take(message)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

/// A conversation.
pub(in crate::upstream) struct Talk {
    far: Arc<dyn Far>,
    pub(super) site: Arc<Site>,
    pub(super) limits: Limits,
    pub(super) events: Arc<dyn Events>,
    running: Weak<Running>,
    state: Mutex<State>,
    /// Whether the server has been told that it was heard: requests wait for that.
    settled: watch::Sender<bool>,
    /// Whoever begins a session anew.
    pub(super) renewing: Turn<()>,
    pub(super) mirrors: Mirrors,
    ended: Mutex<Option<Ended>>,
}

type Ended = Box<dyn FnOnce(Over) + Send>;

#[derive(Default)]
pub(super) struct State {
    closed: Option<Over>,
    /// Whether it has answered a hello.
    pub(super) greeted: bool,
    /// Where messages are brought to, where that is not the address itself: the server has an event stream
    /// there, by which all answers come.
    pub(super) beside: Option<String>,
    /// What was agreed, in the era that agrees on one.
    pub(super) version: Option<&'static str>,
    pub(super) session: Option<String>,
    /// How we said hello, to say it again where the server has forgotten.
    pub(super) hello: Option<Bytes>,
    pub(super) calls: HashMap<u64, Under>,
    streams: Vec<AbortHandle>,
}

/// A request that is under way.
pub(super) struct Under {
    task: AbortHandle,
    modern: bool,
}

/// A request of ours.
pub(super) struct Call {
    pub(super) id: u64,
    pub(super) method: String,
    /// Whether it says its version itself.
    pub(super) modern: bool,
    /// What of it stands in headers.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// To this one.
    Call(Over),
    /// To any.
    All(Over),
}

impl Talk {
    pub(in crate::upstream) fn new(
        far: Arc<dyn Far>,
        site: Arc<Site>,
        limits: Limits,
        events: Arc<dyn Events>,
        running: Weak<Running>,
        ended: Ended,
    ) -> Arc<Self> {
        Arc::new(Self {
            far,
            site,
            limits,
            events,
            running,
            state: Mutex::default(),
            settled: watch::Sender::new(true),
            renewing: Turn::default(),
            mirrors: Mirrors::default(),
            ended: Mutex::new(Some(ended)),
        })
    }

    /// Takes a message to the server, in a task of its own.
    fn take(self: &Arc<Self>, message: Vec<u8>) -> Result<(), Over> {
        let body = Bytes::from(message);
        let none = || Over::because("the message is none");
        match wire::parse(&body, OURS).map_err(|_| none())? {
            Message::Request(request) => {
                let version = version_of(request.params);
                let mut headers = Vec::new();
                if let Some(version) = &version {
                    headers = self.mirrors.of(&request.method, request.params);
                    headers.push(("mcp-protocol-version".to_owned(), version.clone()));
                }
                self.begin(Call {
                    id: request.id.raw().parse().map_err(|_| none())?,
                    method: request.method.into_owned(),
                    modern: version.is_some(),
                    headers,
                    body: body.clone(),
                })
            }
            Message::Notification(told) => match &*told.method {
                "notifications/cancelled" => self.cancel(told.params, body.clone()),
                "notifications/initialized" => self.settle(body.clone()),
                _ => self.tell(body.clone()),
            },
            Message::Response(_) => self.tell(body.clone()),
        }
    }

    fn begin(self: &Arc<Self>, call: Call) -> Result<(), Over> {
        let runtime = runtime()?;
        let mut state = self.open()?;
        if call.method == "initialize" {
            state.hello = Some(call.body.clone());
        }
        let (id, modern) = (call.id, call.modern);
        // It finds itself among the calls only when we have let go of the state.
        let task = runtime.spawn(Arc::clone(self).run(call)).abort_handle();
        state.calls.insert(id, Under { task, modern });
        Ok(())
    }

    /// Nobody waits for a call any more. In the modern era its end is all that the server is told.
    fn cancel(self: &Arc<Self>, params: Option<&str>, body: Bytes) -> Result<(), Over> {
        let id = params.and_then(Members::read).and_then(|params| params.get("requestId"));
        let id = id.and_then(|id| id.parse().ok());
        let under = id.and_then(|id: u64| self.state().calls.remove(&id));
        let modern = under.as_ref().is_some_and(|under| under.modern);
        if let Some(under) = under {
            under.task.abort();
        }
        if modern { Ok(()) } else { self.tell(body) }
    }

    /// Tells the server that it was heard, lets the requests go that wait for that, and goes on listening.
    fn settle(self: &Arc<Self>, body: Bytes) -> Result<(), Over> {
        self.settled.send_replace(false);
        let this = Arc::clone(self);
        self.keep(async move {
            let told = timeout(TAKING_IN, this.bring(&[], body)).await;
            this.settled.send_replace(true);
            match told {
                Ok(Err(Trouble::All(over))) => this.finish(&over),
                _ if this.state().beside.is_none() => this.listen().await,
                _ => {}
            }
        })
    }

    fn tell(self: &Arc<Self>, body: Bytes) -> Result<(), Over> {
        drop(self.open()?);
        let this = Arc::clone(self);
        // Whoever does not take it in says so in the answers that do not come.
        let told = async move { drop(timeout(TAKING_IN, this.bring(&[], body)).await) };
        drop(runtime()?.spawn(told));
        Ok(())
    }

    /// Runs `stream` until the conversation ends.
    pub(super) fn keep(
        self: &Arc<Self>,
        stream: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Over> {
        let runtime = runtime()?;
        let mut state = self.open()?;
        state.streams.retain(|stream| !stream.is_finished());
        state.streams.push(runtime.spawn(stream).abort_handle());
        Ok(())
    }

    /// Waits until the server knows that it was heard.
    pub(super) async fn settled(&self) {
        let mut settled = self.settled.subscribe();
        // It cannot be gone: it is ours.
        drop(settled.wait_for(|settled| *settled).await);
    }

    /// Brings `body` to the server, in the session that there is.
    pub(super) async fn bring(
        &self,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<Reply, Trouble> {
        let (target, mut all) = {
            let state = self.state();
            (state.beside.clone(), state.of_session())
        };
        all.push(("content-type".to_owned(), "application/json".to_owned()));
        all.push(("accept".to_owned(), "application/json, text/event-stream".to_owned()));
        // What a message says of itself wins.
        all.extend_from_slice(headers);
        self.ask(Verb::Post, target, all, body).await
    }

    /// Asks for an event stream, from behind the event `last` on.
    pub(super) async fn events(&self, last: Option<&str>) -> Result<Reply, Trouble> {
        let mut headers = self.state().of_session();
        headers.push(("accept".to_owned(), "text/event-stream".to_owned()));
        headers.extend(last.map(|id| ("last-event-id".to_owned(), id.to_owned())));
        self.ask(Verb::Get, None, headers, Bytes::new()).await
    }

    async fn ask(
        &self,
        verb: Verb,
        target: Option<String>,
        headers: Vec<(String, String)>,
        body: Bytes,
    ) -> Result<Reply, Trouble> {
        let ask = Ask { site: Arc::clone(&self.site), verb, target, headers, body };
        self.far.send(ask).await.map_err(|Failed { refusal, sent }| {
            let over = Over::because(&refusal.message);
            if sent { Trouble::Call(over) } else { Trouble::All(over) }
        })
    }

    /// Takes in what a server sent: a message, or several in a list, as 2025-03-26 has it.
    pub(super) fn hear(&self, message: Vec<u8>, call: Option<&Call>, redactor: Option<&Redactor>) {
        let message = match redactor {
            Some(redactor) => redactor.clean_json(message).0.into_inner(),
            None => message,
        };
        if !message.trim_ascii_start().starts_with(b"[") {
            return self.hear_one(message, call);
        }
        match serde_json::from_slice::<Vec<&serde_json::value::RawValue>>(&message) {
            Ok(all) => {
                for one in all {
                    self.hear_one(one.get().as_bytes().to_vec(), call);
                }
            }
            // That it is none is noted as with any other.
            Err(_) => self.hear_one(message, call),
        }
    }

    fn hear_one(&self, message: Vec<u8>, call: Option<&Call>) {
        let message = match call {
            Some(call) if call.method == "initialize" => {
                self.note_version(&message);
                message
            }
            Some(call) if call.modern && call.method == "tools/list" => self.mirrors.learn(message),
            _ => message,
        };
        self.with_peer(|peer| peer.receive(message, &*self.events));
    }

    /// Which revision the requests that follow are of.
    fn note_version(&self, message: &[u8]) {
        let Ok(text) = json::check(message, self.limits.depth) else { return };
        let result = Members::read(text).and_then(|message| message.get("result"));
        let version = result.and_then(Members::read).and_then(|r| r.get("protocolVersion"));
        let Some(version) = version.and_then(json::string) else { return };
        let known = VERSIONS.iter().copied().find(|known| *known == version);
        self.state().version = known;
    }

    /// Notes the session that `reply` begins.
    pub(super) fn note_session(&self, reply: &Reply) {
        let plain = |id: &&str| {
            (1..=LONGEST_SESSION).contains(&id.len())
                && id.bytes().all(|b| (0x21..0x7f).contains(&b))
        };
        let session = reply.header("mcp-session-id").filter(plain).map(str::to_owned);
        self.state().session = session;
    }

    /// Whether somebody waits for the answer to `id`.
    pub(super) fn awaits(&self, id: u64) -> bool {
        self.running.upgrade().is_some_and(|running| running.peer.awaits(id))
    }

    pub(super) fn with_peer(&self, look: impl FnOnce(&Peer)) {
        if let Some(running) = self.running.upgrade() {
            look(&running.peer);
        }
    }

    /// Says goodbye, and ends the conversation.
    pub(in crate::upstream) fn stop(self: &Arc<Self>, why: &Over) {
        let session = {
            let mut state = self.state();
            let headers = state.of_session();
            state.session.take().map(|_| headers)
        };
        if let (Some(headers), Ok(runtime)) = (session, runtime()) {
            let this = Arc::clone(self);
            let goodbye =
                async move { this.ask(Verb::Delete, None, headers, Bytes::new()).await.map(drop) };
            runtime.spawn(async move { drop(timeout(FAREWELL, goodbye).await) });
        }
        // Whoever stops it knows.
        drop(self.ended.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.finish(why);
    }

    /// Ends the conversation: nobody is answered any more.
    pub(super) fn finish(&self, over: &Over) {
        self.state().closed.get_or_insert_with(|| over.clone());
        if let Some(running) = self.running.upgrade() {
            running.end(over);
        }
        self.let_go();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ended) = ended {
            ended(over.clone());
        }
    }

    /// Ends everything that is under way. It may be one of those that asks for that.
    fn let_go(&self) {
        let (calls, streams) = {
            let mut state = self.state();
            (std::mem::take(&mut state.calls), std::mem::take(&mut state.streams))
        };
        for under in calls.into_values() {
            under.task.abort();
        }
        for stream in streams {
            stream.abort();
        }
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, Over> {
        let state = self.state();
        match &state.closed {
            None => Ok(state),
            Some(over) => Err(over.clone()),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What says that a request belongs to the session that there is.
    fn of_session(&self) -> Vec<(String, String)> {
        let mut headers = Vec::with_capacity(8);
        if let Some(session) = &self.session {
            headers.push(("mcp-session-id".to_owned(), session.clone()));
        }
        if let Some(version) = self.version.filter(|version| *version >= SAYS_VERSION) {
            headers.push(("mcp-protocol-version".to_owned(), version.to_owned()));
        }
        headers
    }
}

fn runtime() -> Result<Handle, Over> {
    Handle::try_current().map_err(|_| Over::because("the gateway is going down"))
}
