//! Futures of the core, awaited from Python.
//!
//! A future runs on our [runtime]; the `host` is the Python object that stands for whoever awaits it
//! (`mcp_secrets/_asking.py`). Its methods are called from threads of ours and only schedule something
//! on its event loop: `info(text, reply)`, `elicit(message, choices, reply)`, `done(value, error)`.
//! Nobody who holds Python's global lock ever waits for us, and so we may wait for the lock.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use strongroom_sdk::{BoxFuture, Context, Elicitation, Elicited, Error};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::{failure, runtime};

/// Runs `work`, and tells `host` what came of it. The task ends it before that.
pub(crate) fn begin<T>(
    host: Py<PyAny>,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
    value: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Task>
where
    T: Send + 'static,
{
    let unfinished = Unfinished(Some(host));
    let work = async move {
        // Before the work: what is dropped by an abort is dropped in this order.
        let mut unfinished = unfinished;
        let outcome = work.await;
        let Some(host) = unfinished.0.take() else { return };
        let told = Python::try_attach(|py| {
            let value = match outcome {
                Ok(outcome) => value(py, outcome),
                Err(error) => Err(failure::exception(py, &error)),
            };
            done(py, &host, value)
        });
        // An interpreter that ends, or a loop that is closed: nobody awaits it.
        drop(told);
    };
    Ok(Task(runtime::spawn(work)?))
}

/// A future that runs.
#[pyclass(frozen, module = "mcp_secrets._core")]
pub(crate) struct Task(AbortHandle);

#[pymethods]
impl Task {
    /// Ends it: its window closes, and it stores nothing any more.
    fn cancel(&self) {
        self.0.abort();
    }
}

/// Where the event loop says what came of a question.
#[pyclass(frozen, module = "mcp_secrets._core")]
pub(crate) struct Reply(Mutex<Option<oneshot::Sender<Elicited>>>);

#[pymethods]
impl Reply {
    /// Says it, once: `accepted` (with the answer where it is a text), `declined`, `cancelled` or
    /// `unsupported`; any other word means that the client is gone.
    #[pyo3(signature = (what, answer=None))]
    fn give(&self, what: &str, answer: Option<String>) {
        let said = match what {
            "accepted" => Elicited::Accepted(answer),
            "declined" => Elicited::Declined,
            "cancelled" => Elicited::Cancelled,
            "unsupported" => Elicited::Unsupported,
            _ => Elicited::Gone,
        };
        if let Some(sender) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Whoever asked may have given up.
            drop(sender.send(said));
        }
    }
}

/// The framework's context of a call, by its host.
pub(crate) struct Asker {
    host: Py<PyAny>,
    elicits: bool,
}

impl Asker {
    /// Asks by `host`, whose client can be asked or not (`host.elicits`).
    pub(crate) fn new(py: Python<'_>, host: &Py<PyAny>) -> PyResult<Self> {
        let elicits = host.getattr(py, "elicits")?.extract(py)?;
        Ok(Self { host: host.clone_ref(py), elicits })
    }
}

impl Context for Asker {
    fn info<'a>(&'a self, text: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let told = self.call(|py, reply| self.host.call_method1(py, "info", (text, reply)));
            drop(told.await);
        })
    }

    fn elicits(&self) -> bool {
        self.elicits
    }

    fn elicit<'a>(&'a self, question: &'a Elicitation) -> BoxFuture<'a, Elicited> {
        Box::pin(async move {
            let message = question.message.as_str();
            self.call(|py, reply| {
                let choices = question.choices.to_vec();
                self.host.call_method1(py, "elicit", (message, choices, reply))
            })
            .await
        })
    }
}

impl Asker {
    /// Has the event loop do something, and waits for its reply. A loop that is closed gives none.
    async fn call(&self, call: impl FnOnce(Python<'_>, Reply) -> PyResult<Py<PyAny>>) -> Elicited {
        let (sender, said) = oneshot::channel();
        let scheduled = Python::try_attach(|py| call(py, Reply(Mutex::new(Some(sender)))).is_ok());
        if scheduled != Some(true) {
            return Elicited::Gone;
        }
        said.await.unwrap_or(Elicited::Gone)
    }
}

/// A host that was told nothing yet: it must not wait for ever for what has panicked.
struct Unfinished(Option<Py<PyAny>>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        let Some(host) = self.0.take() else { return };
        let told = Python::try_attach(|py| {
            let error = failure::named(py, "cancelled", "the call has ended before its time");
            done(py, &host, Err(error))
        });
        drop(told);
    }
}

fn done(py: Python<'_>, host: &Py<PyAny>, value: PyResult<Py<PyAny>>) -> PyResult<()> {
    let (value, error) = match value {
        Ok(value) => (value, py.None()),
        Err(error) => (py.None(), error.into_value(py).into_any()),
    };
    host.call_method1(py, "done", (value, error))?;
    Ok(())
}
