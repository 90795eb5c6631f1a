//! Asking in the era of `initialize`: a request to the client, and its response.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strongroom_model::approval::Question;
use strongroom_model::ports::{BoxFuture, Prompt, Prompted, Verification};
use tokio::sync::oneshot;

use super::{form, prompted};
use crate::wire::{Id, Response, write};

/// Takes messages to the client.
pub(crate) trait Outbox: Send + Sync {
    /// Sends one message; says whether it is on its way. It is not where the client does not read what it
    /// was sent before, or is gone.
    fn send(&self, message: Vec<u8>) -> bool;
}

/// Requests of ours that have no response yet, of one session.
#[derive(Default)]
pub(crate) struct Questions {
    waiting: Mutex<HashMap<Box<str>, Waiting>>,
    next: AtomicU64,
}

/// Takes the result, or the error object, as written.
struct Waiting(oneshot::Sender<Said>);

/// What a client says to a request.
struct Said(Result<Box<str>, Box<str>>);

impl Questions {
    /// Hands a response to whoever waits for it; says whether anybody does.
    pub(crate) fn answered(&self, response: &Response<'_>) -> bool {
        let waiting = response.id.and_then(|id| self.lock().remove(&id.key()));
        let result = match (response.result, response.error) {
            (Some(result), _) => Ok(result.into()),
            (None, error) => Err(error.unwrap_or("{}").into()),
        };
        waiting.is_some_and(|waiting| waiting.0.send(Said(result)).is_ok())
    }

    /// Sends a request by `out` and waits for its response: the result, or the error object. `None`: it
    /// cannot be sent.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the request back.
    pub(crate) async fn put(
        &self,
        out: &dyn Outbox,
        method: &str,
        params: &[u8],
    ) -> Option<Result<Box<str>, Box<str>>> {
        let (id, response) = self.enter();
        let mut message = Vec::with_capacity(params.len() + 128);
        message.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        message.extend_from_slice(id.as_bytes());
        message.extend_from_slice(b",\"method\":");
        write::string(&mut message, method);
        message.extend_from_slice(b",\"params\":");
        message.extend_from_slice(params);
        message.push(b'}');
        let shown = Shown { questions: self, out, id };
        if !out.send(message) {
            self.leave(&shown.id);
            return None;
        }
        let result = response.await;
        drop(shown);
        result.ok().map(|said| said.0)
    }

    fn enter(&self) -> (String, oneshot::Receiver<Said>) {
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
        code: Option<&'a dyn Verification>,
    ) -> BoxFuture<'a, Prompted> {
        Box::pin(async move {
            let mut params = Vec::with_capacity(1024);
            form(&mut params, question, session, code);
            match self.questions.put(&*self.out, "elicitation/create", &params).await {
                Some(Ok(result)) => prompted(&result, question, session),
                Some(Err(_)) | None => Prompted::Unable,
            }
        })
    }
}

/// A request that was sent; dropped without a response, it is taken back.
struct Shown<'a> {
    questions: &'a Questions,
    out: &'a dyn Outbox,
    id: String,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if !self.questions.leave(&self.id) {
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
        self.out.send(message);
    }
}
