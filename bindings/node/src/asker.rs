//! A framework's context, as the native half sees it: two functions, and a way to be stopped.

use std::sync::Arc;

use napi::{
    Status,
    bindgen_prelude::Promise,
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode},
};
use napi_derive::napi;
use strongroom_sdk::{BoxFuture, Context, Elicitation, Elicited};
use tokio::sync::Notify;

/// Says something to the client. It does not keep the process alive, as [`Elicit`] does not: what waits
/// is the promise of the call.
pub(crate) type Info = ThreadsafeFunction<String, (), String, Status, false, true>;
/// Asks the client.
pub(crate) type Elicit =
    ThreadsafeFunction<Question, Promise<Answer>, Question, Status, false, true>;

/// A question to the client.
#[napi(object, object_from_js = false)]
#[derive(Clone, Debug)]
pub struct Question {
    /// The text.
    pub message: String,
    /// The answers to choose from; none where accepting is the answer.
    pub choices: Vec<String>,
}

/// What the client did with a [`Question`].
#[napi(object, object_to_js = false)]
#[derive(Clone, Debug)]
pub struct Answer {
    /// `accept`, `decline`, `cancel`, `unsupported` or `gone`.
    pub action: String,
    /// The choice as it came, where it is a text.
    pub value: Option<String>,
}

/// A context of a call.
pub(crate) struct Asker {
    info: Info,
    elicit: Elicit,
    elicits: bool,
}

impl Asker {
    /// The context that says things by `info` and asks by `elicit`, where it can.
    pub(crate) fn new(info: Info, elicit: Elicit, elicits: bool) -> Self {
        Self { info, elicit, elicits }
    }
}

impl Context for Asker {
    fn info<'a>(&'a self, text: &'a str) -> BoxFuture<'a, ()> {
        // Whether the client listens is of no matter.
        let _status = self.info.call(text.to_owned(), ThreadsafeFunctionCallMode::NonBlocking);
        Box::pin(std::future::ready(()))
    }

    fn elicits(&self) -> bool {
        self.elicits
    }

    fn elicit<'a>(&'a self, question: &'a Elicitation) -> BoxFuture<'a, Elicited> {
        let choices = question.choices.iter().map(|&choice| choice.to_owned()).collect();
        let question = Question { message: question.message.clone(), choices };
        Box::pin(async move {
            let answer = async { self.elicit.call_async_catch(question).await?.await };
            answer.await.map_or(Elicited::Gone, read)
        })
    }
}

/// What an answer means. One that is not understood allows nothing.
fn read(answer: Answer) -> Elicited {
    match answer.action.as_str() {
        "accept" => Elicited::Accepted(answer.value),
        "decline" => Elicited::Declined,
        "cancel" => Elicited::Cancelled,
        "unsupported" => Elicited::Unsupported,
        _ => Elicited::Gone,
    }
}

/// Ends one flow from outside: its window is closed, nothing is stored.
#[napi]
#[derive(Debug, Default)]
pub struct Stop(Arc<Notify>);

#[napi]
impl Stop {
    /// One that has not been used.
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the flow that has this value, now or as soon as it starts.
    #[napi]
    pub fn stop(&self) {
        self.0.notify_one();
    }
}

impl Stop {
    /// What `work` comes to, unless it is stopped before.
    pub(crate) fn or<T, W: Future<Output = T> + Send>(
        &self,
        work: W,
    ) -> impl Future<Output = Option<T>> + Send + use<T, W> {
        let stopped = Arc::clone(&self.0);
        async move {
            tokio::select! {
                biased;
                () = stopped.notified() => None,
                done = work => Some(done),
            }
        }
    }
}
