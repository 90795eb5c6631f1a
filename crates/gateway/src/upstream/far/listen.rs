//! What a server at an address says without being asked, and sessions that it has forgotten.

use std::sync::Arc;
use std::time::Duration;

use strongroom_model::far::Reply;
use strongroom_model::json::{self, Members};
use strongroom_model::ports::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::call::{failed, is_stream, of_status, whole};
use super::sse::{Met, Reader};
use super::talk::{Talk, Trouble};
use crate::upstream::peer::Over;

/// The shortest and the longest time between two streams.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(1));

/// How long nobody comes back where the server does not say.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a server may take to say where messages are brought to.
const OPENING: Duration = Duration::from_secs(15);

impl Talk {
    /// Hears what the server says without being asked, if it has a stream for that (2025-03-26 to
    /// 2025-11-25).
    pub(super) async fn listen(self: Arc<Self>) {
        let mut last: Option<String> = None;
        let mut pause = PAUSE;
        loop {
            let session = self.state().session.clone();
            match self.events(last.as_deref()).await {
                Ok(mut reply) if is_stream(&reply) => {
                    let mut reader = Reader::new(self.limits.message_bytes);
                    let mut heard = false;
                    while let Ok(Some(piece)) = reply.body.next().await {
                        let redactor = reply.redactor.as_deref();
                        reader.push(&piece, |met| {
                            heard = true;
                            self.met(met, None, redactor);
                        });
                    }
                    last = reader.last_id().map(str::to_owned).or(last);
                    pause = match reader.retry() {
                        Some(retry) => retry,
                        None if heard => PAUSE,
                        None => pause * 2,
                    };
                }
                Ok(reply) if reply.status == 404 && session.is_some() => {
                    // It comes back to us with the new session.
                    drop(self.renew(session.as_deref()).await);
                    return;
                }
                // It has none.
                Ok(reply) if matches!(reply.status, 200..=499) => return,
                Ok(_) | Err(_) => pause *= 2,
            }
            pause = pause.clamp(PAUSES.0, PAUSES.1);
            sleep(pause).await;
        }
    }

    /// The same, of a type that does not contain itself.
    fn listening(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(self.listen())
    }

    /// Begins a session anew in the place of `old`, which the server has forgotten. What was said in the
    /// old one is gone: whoever asked for lists has to ask again.
    pub(super) async fn renew(self: &Arc<Self>, old: Option<&str>) -> Result<(), Trouble> {
        let _turn = self.renewing.lock().await;
        let (hello, version) = {
            let mut state = self.state();
            if state.session.as_deref() != old {
                // Somebody else has done it.
                return Ok(());
            }
            state.session = None;
            (state.hello.clone(), state.version.take())
        };
        let hello = hello.ok_or_else(|| forgotten("the server has forgotten the session"))?;
        let mut reply = self.bring(&[], hello).await?;
        match reply.status {
            200..=299 => {}
            401 => return Err(self.unknown_caller()),
            _ => {
                return Err(forgotten(
                    "the server has forgotten the session, and begins no new one",
                ));
            }
        }
        self.note_session(&reply);
        let same = answered_version(self, &mut reply).await?;
        if same.as_deref() != version {
            return Err(forgotten("the server has become another one: it speaks another version"));
        }
        self.state().version = version;
        let told = br#"{"jsonrpc":"2.0","method":"notifications/initialized","params":{}}"#;
        self.bring(&[], told.as_slice().into()).await?;
        let this = Arc::clone(self);
        // One that cannot be kept is one of a conversation that is over.
        drop(self.keep(this.listening()));
        for what in ["tools", "resources", "prompts"] {
            self.events.told(&format!("notifications/{what}/list_changed"), None);
        }
        Ok(())
    }

    /// Opens the event stream of a server of 2024-11-05, and learns where messages are brought to.
    pub(super) async fn open_beside(self: &Arc<Self>) -> Result<(), Trouble> {
        let opening = async {
            let reply = self.events(None).await?;
            match reply.status {
                401 => return Err(self.unknown_caller()),
                _ if is_stream(&reply) => {}
                200..=299 => {
                    return Err(failed("the server takes no messages and has no stream of events"));
                }
                status => return Err(of_status(status)),
            }
            let (tell, told) = oneshot::channel();
            let this = Arc::clone(self);
            let hearing = async move { this.hear_beside(reply, tell).await };
            self.keep(hearing).map_err(Trouble::All)?;
            let none = || Trouble::All(Over::because("the server has closed its stream of events"));
            let said = told.await.map_err(|_| none())?;
            let target = self.target(&said).ok_or_else(|| {
                Trouble::All(Over::because("the server wants messages brought to another origin"))
            })?;
            self.state().beside = Some(target);
            Ok(())
        };
        let late = || Err(failed("the server does not say where messages are brought to"));
        timeout(OPENING, opening).await.unwrap_or_else(|_| late())
    }

    /// Hears everything that such a server says, until its stream ends.
    async fn hear_beside(&self, mut reply: Reply, tell: oneshot::Sender<String>) {
        let mut tell = Some(tell);
        let mut reader = Reader::new(self.limits.message_bytes);
        while let Ok(Some(piece)) = reply.body.next().await {
            let redactor = reply.redactor.as_deref();
            reader.push(&piece, |met| match met {
                Met::Event(event) if event.name == "endpoint" => {
                    if let Some(tell) = tell.take() {
                        // Whoever has gone does not want to know.
                        drop(tell.send(String::from_utf8_lossy(&event.data).trim().to_owned()));
                    }
                }
                met => self.met(met, None, redactor),
            });
        }
        self.finish(&Over::because("the server has closed its stream of events"));
    }

    /// The target that `said` stands for, at our origin: what a server says must not lead its key
    /// elsewhere.
    fn target(&self, said: &str) -> Option<String> {
        let origin = &self.site.service.origin;
        if let Some(target) = origin.within(said) {
            return Some(target.to_owned());
        }
        let is_relative = !said.is_empty() && !said.starts_with(['/', '?']) && !said.contains(':');
        let path = self.site.target.split('?').next().unwrap_or_default();
        let folder = &path[..=path.rfind('/')?];
        is_relative.then(|| format!("{folder}{said}"))
    }

    /// Brings `call` to such a server. The answer comes by its stream.
    pub(super) async fn bring_beside(&self, call: &super::talk::Call) -> Result<(), Trouble> {
        let reply = self.bring(&call.headers, call.body.clone()).await?;
        match reply.status {
            200..=299 => Ok(()),
            401 => Err(self.unknown_caller()),
            404 => Err(forgotten("the server has forgotten the session")),
            status => Err(of_status(status)),
        }
    }
}

/// The version that the answer to `initialize` in `reply` agrees on.
async fn answered_version(talk: &Talk, reply: &mut Reply) -> Result<Option<String>, Trouble> {
    let cap = talk.limits.message_bytes;
    let mut answer = None;
    if is_stream(reply) {
        let mut reader = Reader::new(cap);
        while let (None, Ok(Some(piece))) = (&answer, reply.body.next().await) {
            reader.push(&piece, |met| {
                if let Met::Event(event) = met {
                    answer = answer.take().or_else(|| version(&event.data, talk.limits.depth));
                }
            });
        }
    } else if let Some(body) = whole(reply, cap).await? {
        answer = version(&body, talk.limits.depth);
    }
    Ok(answer)
}

fn version(message: &[u8], depth: usize) -> Option<String> {
    let result = Members::read(json::check(message, depth).ok()?)?.get("result")?;
    let version = Members::read(result)?.get("protocolVersion")?;
    json::string(version).map(std::borrow::Cow::into_owned)
}

fn forgotten(why: &str) -> Trouble {
    Trouble::All(Over::because(why))
}
