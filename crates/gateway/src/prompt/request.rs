//! Asking in the era of `initialize`: a request to the client, and its response.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_model::approval::Question;
use strongroom_model::ports::{BoxFuture, Prompt, Prompted};
use tokio::sync::oneshot;

use super::{answer, form};
use crate::wire::{Id, Response, write};

/// Takes messages to the client.
pub(crate) trait Outbox: Send + Sync {
    /// Sends one message.
    fn send(&self, message: Vec<u8>);
}

/// Requests of ours that have no response yet, of one session.
#[derive(Default)]
pub(crate) struct Questions {
    waiting: Mutex<HashMap<Box<str>, Waiting>>,
    next: AtomicU64,
}

/// Takes the result; `None` where the client answers by an error.
struct Waiting(oneshot::Sender<Option<Box<str>>>);

impl Questions {
    /// Hands a response to whoever waits for it; says whether anybody does.
    pub(crate) fn answered(&self, response: &Response<'_>) -> bool {
        let waiting = response.id.and_then(|id| self.lock().remove(&id.key()));
        let result = response.result.map(Into::into);
        waiting.is_some_and(|waiting| waiting.0.send(result).is_ok())
    }

    fn enter(&self) -> (String, oneshot::Receiver<Option<Box<str>>>) {
        let id = format!("\"strongroom-{}\"", self.next.fetch_add(1, Ordering::Relaxed));
        let (send, receive) = oneshot::channel();
        if let Some(read) = Id::read(&id) {
            self.lock().insert(read.key(), Waiting(send));
        }
        (id, receive)
    }

    /// Whether the request still had no response.
    fn leave(&self, id: &str) -> bool {
        Id::read(id).is_some_and(|id| self.lock().remove(&id.key()).is_some())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks by a request on the stream of the call that waits.
pub(crate) struct RequestPrompt {
    questions: Arc<Questions>,
    out: Arc<dyn Outbox>,
}

impl RequestPrompt {
    /// Asks on `out`; the responses come to `questions`.
    pub(crate) fn new(questions: Arc<Questions>, out: Arc<dyn Outbox>) -> Self {
        Self { questions, out }
    }
}

impl Prompt for RequestPrompt {
    fn ask<'a>(
        &'a self,
        _id: &'a str,
        question: &'a Question,
        session: bool,
    ) -> BoxFuture<'a, Prompted> {
        Box::pin(async move {
            let (id, response) = self.questions.enter();
            let mut message = Vec::with_capacity(1024);
            message.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
            message.extend_from_slice(id.as_bytes());
            message.extend_from_slice(b",\"method\":\"elicitation/create\",\"params\":");
            form(&mut message, question, session);
            message.push(b'}');
            let shown = Shown { prompt: self, id };
            self.out.send(message);
            let result = response.await;
            drop(shown);
            match result {
                Ok(Some(result)) => Prompted::Answered(answer(&result, session)),
                Ok(None) | Err(_) => Prompted::Unable,
            }
        })
    }
}

/// A prompt that is shown; dropped without an answer, it is taken back.
struct Shown<'a> {
    prompt: &'a RequestPrompt,
    id: String,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if !self.prompt.questions.leave(&self.id) {
            return;
        }
        let mut message = Vec::with_capacity(128);
        let mut notification = write::Object::open(&mut message);
        notification.string("jsonrpc", "2.0").string("method", "notifications/cancelled");
        let mut params = write::Object::open(notification.name("params"));
        params.name("requestId").extend_from_slice(self.id.as_bytes());
        params.string("reason", "the question was answered elsewhere, or nobody waits any more");
        params.close();
        notification.close();
        self.prompt.out.send(message);
    }
}
