//! One conversation with a server behind the gateway, whatever carries it.
//!
//! Requests go out with ids of ours and answers are told apart by them alone, so that no server can
//! answer another's request, and no client's id means anything to a server (MC-09). The texts of answers
//! are handed on as they came.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_model::json::Members;
use tokio::sync::oneshot;

use crate::awake::Pace;
use crate::wire::{self, Id, Limits, Message, RpcError, write};

/// Takes messages to the server.
pub trait Carrier: Send + Sync {
    /// Sends one message, without the end of its line.
    ///
    /// # Errors
    ///
    /// The server takes no messages any more.
    fn send(&self, message: Vec<u8>) -> Result<(), Over>;
}

/// What is not an answer.
pub trait Events: Send + Sync {
    /// The server tells something. `params` are as it wrote them.
    fn told(&self, method: &str, params: Option<&str>);

    /// The server asks something, and is to be answered by [`Peer::reply`] of `peer`.
    fn asked(&self, peer: &Peer, id: Id<'_>, method: &str, params: Option<&str>);

    /// The server has sent what is no message, or an answer that nobody waits for.
    fn noise(&self, what: Noise);
}

/// What a server sent that means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noise {
    /// It is no message.
    Garbage,
    /// It is longer than a message may be.
    TooLong,
    /// An answer to what was not asked, or not any more.
    Unasked,
}

/// The conversation is over, and why, in our words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Over(pub Arc<str>);

impl Over {
    /// Over for this reason.
    pub fn because(why: &str) -> Self {
        Self(why.into())
    }
}

/// An answer, in the message that it came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    message: Vec<u8>,
    part: Range<usize>,
    is_error: bool,
}

impl Answer {
    /// The result, as the server wrote it, or the error object.
    ///
    /// # Errors
    ///
    /// The error object.
    pub fn text(&self) -> Result<&str, &str> {
        let text = std::str::from_utf8(&self.message[self.part.clone()]).unwrap_or("null");
        if self.is_error { Err(text) } else { Ok(text) }
    }

    /// The same text in the memory that it came in: a large one is not copied.
    pub fn into_text(self) -> Vec<u8> {
        let Self { mut message, part, .. } = self;
        message.truncate(part.end);
        message.drain(..part.start);
        message
    }
}

/// Hears how a call is getting on; `params` are those of `notifications/progress`.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// Our side of the conversation.
pub struct Peer {
    carrier: Box<dyn Carrier>,
    limits: Limits,
    next: AtomicU64,
    calls: Mutex<Calls>,
    /// How soon the server answers when it has one request.
    pace: Pace,
}

#[derive(Default)]
struct Calls {
    waiting: HashMap<u64, Waiting>,
    over: Option<Over>,
}

struct Waiting {
    answer: oneshot::Sender<Result<Answer, Over>>,
    progress: Option<Progress>,
    /// Nobody is kept waiting by it.
    listens: bool,
}

impl Peer {
    /// A conversation over `carrier`.
    pub fn new(carrier: Box<dyn Carrier>, limits: Limits) -> Self {
        Self {
            carrier,
            limits,
            next: AtomicU64::new(1),
            calls: Mutex::default(),
            pace: Pace::default(),
        }
    }

    /// Sends a request and waits for its answer. `params` appends the parameters, an object; it is told
    /// the number that stands for the request, which is its progress token too.
    ///
    /// # Errors
    ///
    /// The conversation is over, or ends before there is an answer.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the server is told that nobody waits, and an answer that still comes is dropped.
    pub async fn call(
        &self,
        method: &str,
        params: impl FnOnce(u64, &mut Vec<u8>),
        progress: Option<Progress>,
    ) -> Result<Answer, Over> {
        self.send(method, params, progress, false).await
    }

    /// The same for a request that is answered when it is over, after however long: a server that has no
    /// others is idle.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    ///
    /// # Cancel safety
    ///
    /// As [`call`](Self::call).
    pub async fn listen(
        &self,
        method: &str,
        params: impl FnOnce(u64, &mut Vec<u8>),
    ) -> Result<Answer, Over> {
        self.send(method, params, None, true).await
    }

    async fn send(
        &self,
        method: &str,
        params: impl FnOnce(u64, &mut Vec<u8>),
        progress: Option<Progress>,
        listens: bool,
    ) -> Result<Answer, Over> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut message = Vec::with_capacity(512);
        message.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        message.extend_from_slice(id.to_string().as_bytes());
        method_and_params(&mut message, method, |out| params(id, out));
        let (answer, answered) = oneshot::channel();
        let turn = {
            let mut calls = self.lock();
            if let Some(over) = &calls.over {
                return Err(over.clone());
            }
            calls.waiting.insert(id, Waiting { answer, progress, listens });
            (!listens && calls.is_one()).then(|| self.pace.turn())
        };
        let place = Place { peer: self, id, says_so: method != "initialize" };
        let answer = match self.carrier.send(message) {
            Ok(()) => {
                if let Some(turn) = turn {
                    self.pace.awake(turn).await;
                }
                answered.await.unwrap_or_else(|_| Err(Over::because("the server is gone")))
            }
            Err(over) => Err(over),
        };
        place.leave();
        answer
    }

    /// Tells the server something. `params` appends an object.
    ///
    /// # Errors
    ///
    /// The conversation is over.
    pub fn tell(&self, method: &str, params: impl FnOnce(&mut Vec<u8>)) -> Result<(), Over> {
        let mut message = b"{\"jsonrpc\":\"2.0\"".to_vec();
        method_and_params(&mut message, method, params);
        self.carrier.send(message)
    }

    /// Answers what the server asked under `id`: a result as text, or an error.
    ///
    /// # Errors
    ///
    /// The conversation is over.
    pub fn reply(&self, id: &str, answer: Result<&str, &RpcError>) -> Result<(), Over> {
        let Some(id) = Id::read(id) else { return Ok(()) };
        self.carrier.send(match answer {
            Ok(result) => {
                let mut message = b"{\"jsonrpc\":\"2.0\",\"id\":".to_vec();
                message.extend_from_slice(id.raw().as_bytes());
                message.extend_from_slice(b",\"result\":");
                write::on_one_line(&mut message, result);
                message.push(b'}');
                message
            }
            Err(error) => write::error(Some(id), error),
        })
    }

    /// Answers what the server asked under `id` by an error object, as written.
    ///
    /// # Errors
    ///
    /// The conversation is over.
    pub fn refuse(&self, id: &str, error: &str) -> Result<(), Over> {
        let Some(id) = Id::read(id) else { return Ok(()) };
        let mut message = b"{\"jsonrpc\":\"2.0\",\"id\":".to_vec();
        message.extend_from_slice(id.raw().as_bytes());
        message.extend_from_slice(b",\"error\":");
        write::on_one_line(&mut message, error);
        message.push(b'}');
        self.carrier.send(message)
    }

    /// Takes in one message of the server.
    pub fn receive(&self, message: Vec<u8>, events: &dyn Events) {
        match wire::parse(&message, self.limits) {
            Err(_) => events.noise(Noise::Garbage),
            Ok(Message::Request(request)) => {
                events.asked(self, request.id, &request.method, request.params);
            }
            Ok(Message::Notification(told)) => {
                if told.method == "notifications/progress" {
                    self.progressed(told.params.unwrap_or("{}"));
                } else {
                    events.told(&told.method, told.params);
                }
            }
            Ok(Message::Response(response)) => {
                let waiting = number(response.id).and_then(|id| self.lock().waiting.remove(&id));
                let Some(waiting) = waiting else { return events.noise(Noise::Unasked) };
                let is_error = response.result.is_none();
                let text = response.result.or(response.error).unwrap_or("null");
                let from = text.as_ptr().addr() - message.as_ptr().addr();
                let part = from..from + text.len();
                self.pace.came();
                // Whoever does not wait any longer has just gone.
                let _ = waiting.answer.send(Ok(Answer { message, part, is_error }));
            }
        }
    }

    /// Whether somebody waits for the answer to `id`.
    pub fn awaits(&self, id: u64) -> bool {
        self.lock().waiting.contains_key(&id)
    }

    /// There will be no answer to `id`.
    pub fn fail(&self, id: u64, why: &Over) {
        let waiting = self.lock().waiting.remove(&id);
        if let Some(waiting) = waiting {
            let _ = waiting.answer.send(Err(why.clone()));
        }
    }

    /// Ends the conversation: every call that waits fails, and so does every later one.
    pub fn end(&self, why: &Over) {
        let mut calls = self.lock();
        calls.over.get_or_insert_with(|| why.clone());
        for (_, waiting) in calls.waiting.drain() {
            let _ = waiting.answer.send(Err(why.clone()));
        }
    }

    /// How many calls have no answer yet.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.values().filter(|waiting| !waiting.listens).count()
    }

    /// Only whoever waits for the call that is meant hears of it (MC-19).
    fn progressed(&self, params: &str) {
        let token = Members::read(params).and_then(|params| params.get("progressToken"));
        let id = number(token.and_then(Id::read));
        let progress = id.and_then(|id| self.lock().waiting.get(&id)?.progress.clone());
        if let Some(progress) = progress {
            progress(params);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    /// Whether one call waits for its answer, and no other.
    fn is_one(&self) -> bool {
        let waits = |waiting: &&Waiting| !waiting.listens;
        self.waiting.len() < 4 && self.waiting.values().filter(waits).count() == 1
    }
}

/// A call among those that wait.
struct Place<'a> {
    peer: &'a Peer,
    id: u64,
    /// Whether the server is told when nobody waits any more. It must not be of `initialize`.
    says_so: bool,
}

impl Place<'_> {
    fn leave(mut self) {
        self.says_so = false;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waited = self.peer.lock().waiting.remove(&self.id).is_some();
        if waited && self.says_so {
            let id = self.id;
            let params = |out: &mut Vec<u8>| {
                out.extend_from_slice(format!("{{\"requestId\":{id}}}").as_bytes());
            };
            let _ = self.peer.tell("notifications/cancelled", params);
        }
    }
}

fn method_and_params(out: &mut Vec<u8>, method: &str, params: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b",\"method\":");
    write::string(out, method);
    out.extend_from_slice(b",\"params\":");
    params(out);
    out.push(b'}');
}

/// One of our ids, in the one way in which we write them.
fn number(id: Option<Id<'_>>) -> Option<u64> {
    let raw = id?.raw();
    let number = raw.parse().ok()?;
    (!raw.starts_with('+')).then_some(number)
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    struct Pipe(mpsc::UnboundedSender<String>);

    impl Carrier for Pipe {
        fn send(&self, message: Vec<u8>) -> Result<(), Over> {
            self.0.send(String::from_utf8(message).unwrap()).map_err(|_| Over::because("closed"))
        }
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Events for Heard {
        fn told(&self, method: &str, params: Option<&str>) {
            self.0.lock().unwrap().push(format!("{method} {}", params.unwrap_or("-")));
        }
        fn asked(&self, _: &Peer, id: Id<'_>, method: &str, params: Option<&str>) {
            let text = format!("{} {method} {}", id.raw(), params.unwrap_or("-"));
            self.0.lock().unwrap().push(text);
        }
        fn noise(&self, what: Noise) {
            self.0.lock().unwrap().push(format!("{what:?}"));
        }
    }

    fn peer() -> (Arc<Peer>, mpsc::UnboundedReceiver<String>, Heard) {
        let (pipe, sent) = mpsc::unbounded_channel();
        let peer = Peer::new(Box::new(Pipe(pipe)), Limits::default());
        (Arc::new(peer), sent, Heard::default())
    }

    fn ask(
        peer: &Arc<Peer>,
        method: &'static str,
    ) -> tokio::task::JoinHandle<Result<Answer, Over>> {
        let peer = Arc::clone(peer);
        let params = |id: u64, out: &mut Vec<u8>| out.extend(format!("{{\"n\":{id}}}").bytes());
        tokio::spawn(async move { peer.call(method, params, None).await })
    }

    #[tokio::test]
    async fn answers_find_their_calls_by_our_ids_in_whatever_order_they_come() {
        let (peer, mut sent, heard) = peer();
        let (first, second) = (ask(&peer, "a"), ask(&peer, "b"));
        let expected = r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"n":1}}"#;
        assert_eq!(sent.recv().await.unwrap(), expected);
        sent.recv().await.unwrap();
        peer.receive(br#"{"result": {"z":1, "a":2},"id":2,"jsonrpc":"2.0"}"#.to_vec(), &heard);
        peer.receive(
            br#"{"jsonrpc":"2.0","id":1,"error":{"code":7,"message":""}}"#.to_vec(),
            &heard,
        );
        assert_eq!(second.await.unwrap().unwrap().text(), Ok(r#"{"z":1, "a":2}"#));
        let first = first.await.unwrap().unwrap();
        assert_eq!(first.text(), Err(r#"{"code":7,"message":""}"#));
        assert_eq!(first.into_text(), br#"{"code":7,"message":""}"#);
        assert_eq!((peer.waiting(), heard.0.lock().unwrap().len()), (0, 0));
    }

    // MC-09, MC-22
    #[tokio::test]
    async fn what_answers_nothing_is_noise_and_the_call_goes_on() {
        let (peer, mut sent, heard) = peer();
        let call = ask(&peer, "a");
        sent.recv().await.unwrap();
        for text in [
            r#"{"jsonrpc":"2.0","id":"1","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":2,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":-1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":9007199254740993,"result":{}}"#,
            "Server listening on port 3000",
            "Content-Length: 12",
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        ] {
            peer.receive(text.into(), &heard);
        }
        assert_eq!(peer.waiting(), 1);
        peer.receive(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_vec(), &heard);
        peer.receive(br#"{"jsonrpc":"2.0","id":1,"result":{"twice":1}}"#.to_vec(), &heard);
        assert_eq!(call.await.unwrap().unwrap().text(), Ok("{}"));
        let noise = heard.0.into_inner().unwrap();
        assert_eq!(noise[..4], ["Unasked"; 4]);
        assert_eq!(noise[4..], ["Garbage", "Garbage", "Garbage", "Unasked"]);
    }

    #[tokio::test]
    async fn a_call_that_nobody_waits_for_is_taken_back_and_its_late_answer_dropped() {
        let (peer, mut sent, heard) = peer();
        let call = ask(&peer, "a");
        sent.recv().await.unwrap();
        call.abort();
        let expected =
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#;
        assert_eq!(sent.recv().await.unwrap(), expected);
        peer.receive(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_vec(), &heard);
        assert_eq!(*heard.0.lock().unwrap(), ["Unasked"]);

        let hello = ask(&peer, "initialize");
        sent.recv().await.unwrap();
        hello.abort();
        assert!(hello.await.is_err());
        assert!(sent.try_recv().is_err(), "`initialize` is never taken back");
    }

    #[tokio::test]
    async fn the_end_fails_what_waits_and_what_comes_later_with_its_reason() {
        let (peer, mut sent, _) = peer();
        let call = ask(&peer, "a");
        sent.recv().await.unwrap();
        peer.end(&Over::because("it was killed"));
        assert_eq!(call.await.unwrap(), Err(Over::because("it was killed")));
        assert_eq!(ask(&peer, "b").await.unwrap(), Err(Over::because("it was killed")));
        assert!(sent.try_recv().is_err());
    }

    // MC-19
    #[tokio::test]
    async fn progress_is_heard_by_whoever_waits_for_that_call_and_by_nobody_else() {
        let (peer, mut sent, heard) = peer();
        let (tell, mut progress) = mpsc::unbounded_channel();
        let listener: Progress = Arc::new(move |params: &str| drop(tell.send(params.to_owned())));
        let theirs = Arc::clone(&peer);
        let params = |_: u64, out: &mut Vec<u8>| out.extend_from_slice(b"{}");
        let call = tokio::spawn(async move { theirs.call("a", params, Some(listener)).await });
        sent.recv().await.unwrap();
        for token in ["2", "\"1\"", "1.0", "null", "1"] {
            let text = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}}"#
            );
            peer.receive(text.into(), &heard);
        }
        assert_eq!(progress.recv().await.unwrap(), r#"{"progressToken":1,"progress":1}"#);
        assert!(progress.try_recv().is_err());
        call.abort();
    }

    #[tokio::test]
    async fn what_the_server_asks_is_answered_under_its_own_id() {
        let (peer, mut sent, heard) = peer();
        peer.receive(br#"{"jsonrpc":"2.0","id":"x\u0031","method":"ping"}"#.to_vec(), &heard);
        assert_eq!(*heard.0.lock().unwrap(), [r#""x\u0031" ping -"#]);
        peer.reply(r#""x\u0031""#, Ok("{ }")).unwrap();
        let expected = r#"{"jsonrpc":"2.0","id":"x\u0031","result":{}}"#;
        assert_eq!(sent.recv().await.unwrap(), expected);
        peer.reply("7", Err(&RpcError::method_not_found())).unwrap();
        assert!(sent.recv().await.unwrap().contains("-32601"));
    }
}
