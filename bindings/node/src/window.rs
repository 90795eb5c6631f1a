//! `AsyncUIHandler`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use napi::bindgen_prelude::{AsyncBlock, AsyncBlockBuilder, Either5};
use napi::{Env, Result};
use napi_derive::napi;
use strongroom_sdk::{Asked, Error, Handler, Secret};
use tokio::sync::Notify;

use crate::outcome::{Answered, Outcome, Value, shown};
use crate::surroundings::{Around, Notices};

/// One window, shown once.
#[napi]
pub struct Window {
    core: Handler,
    asked: Arc<Mutex<Option<Asked>>>,
    cancelled: Arc<Notify>,
    notices: Notices,
}

#[napi]
impl Window {
    /// A window that is not shown yet.
    #[napi(constructor)]
    pub fn new(around: Around) -> Self {
        let notices = Notices::default();
        let core = Handler::new(&around.surroundings(&notices));
        Self { core, asked: Arc::default(), cancelled: Arc::default(), notices }
    }

    /// Shows the window of `template`, and does not wait.
    #[napi]
    pub fn start(&self, template: String, patience_seconds: u32) -> Outcome {
        let patience = Duration::from_secs(patience_seconds.into());
        let asked = self.core.start(template.as_bytes(), patience);
        let kept = asked.map(|asked| {
            *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
        });
        Outcome::of(&self.notices, kept, |()| None)
    }

    /// Waits for what is filled in. Whoever asks first gets it.
    #[napi]
    pub fn answers(&self, env: &Env) -> Result<AsyncBlock<Outcome>> {
        let asked = self.take();
        let (cancelled, notices) = (Arc::clone(&self.cancelled), self.notices.clone());
        let work = async move {
            let answers = match asked {
                Some(asked) => answered(asked, &cancelled).await,
                None => Err(Error::Closed),
            };
            Ok(Outcome::of(&notices, answers, |answers| Some(listed(answers))))
        };
        AsyncBlockBuilder::new(work).build(env)
    }

    /// Closes the window, whoever waits for it.
    #[napi]
    pub fn cancel(&self) {
        self.cancelled.notify_one();
        drop(self.take());
    }

    fn take(&self) -> Option<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

async fn answered(
    mut asked: Asked,
    cancelled: &Notify,
) -> std::result::Result<Vec<(String, Secret)>, Error> {
    tokio::select! {
        biased;
        () = cancelled.notified() => {
            asked.cancel().await;
            Err(Error::Closed)
        }
        answers = asked.answers() => answers,
    }
}

fn listed(answers: Vec<(String, Secret)>) -> Value {
    let answered = |(name, value): (String, Secret)| Answered { name, value: shown(&value) };
    Either5::E(answers.into_iter().map(answered).collect())
}
