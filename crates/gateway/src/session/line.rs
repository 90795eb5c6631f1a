//! To a client while one of its requests lasts.

use std::sync::Arc;

use strongroom_model::ports::BoxFuture;

use crate::origin::{Asking, Line};
use crate::prompt::{Outbox, Questions};

/// To a client of the `initialize` era, which can be sent requests.
pub(crate) struct SessionLine {
    questions: Arc<Questions>,
    out: Arc<dyn Outbox>,
}

impl SessionLine {
    /// Says and asks by `out`; the responses come to `questions`.
    pub(crate) fn new(questions: Arc<Questions>, out: Arc<dyn Outbox>) -> Self {
        Self { questions, out }
    }
}

impl Line for SessionLine {
    fn tell(&self, message: Vec<u8>) {
        // Whoever does not read misses it.
        self.out.send(message);
    }

    fn ask(&self, questions: Vec<Asking>) -> BoxFuture<'_, Result<Vec<Box<str>>, Box<str>>> {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(questions.len());
            for asking in questions {
                let params = asking.params.as_bytes();
                let answer = self.questions.put(&*self.out, asking.method, params).await;
                answers.push(answer.unwrap_or_else(|| Err(unable()))?);
            }
            Ok(answers)
        })
    }
}

/// The error object of a client that cannot be asked.
fn unable() -> Box<str> {
    "{\"code\":-32603,\"message\":\"the client cannot be asked\"}".into()
}
