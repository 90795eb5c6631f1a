//! `AsyncUIHandler`, its native half.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use strongroom_sdk::{Error, Secret};
use tokio::sync::oneshot;

use crate::flow::begin;
use crate::secret::PySecret;
use crate::{environment, failure};

/// Starts the window program.
#[pyclass(frozen, module = "mcp_secrets._core")]
pub(crate) struct Handler(strongroom_sdk::Handler);

/// A window that was asked for. Without it, or told to, the window closes.
#[pyclass(frozen, module = "mcp_secrets._core")]
pub(crate) struct Showing(Mutex<Option<oneshot::Sender<()>>>);

#[pymethods]
impl Handler {
    #[new]
    fn new(window: PathBuf) -> Self {
        Self(strongroom_sdk::Handler::new(&environment::surroundings(None, window, false)))
    }

    /// Shows the window of this template (JSON), and tells `host` what was filled in: a dictionary of
    /// names and values. `patience` is in seconds.
    fn start(
        &self,
        py: Python<'_>,
        host: Py<PyAny>,
        template: &str,
        patience: f64,
    ) -> PyResult<Showing> {
        let patience = Duration::try_from_secs_f64(patience)
            .map_err(|_| PyValueError::new_err("the timeout is not a time"))?;
        let asked = py.detach(|| self.0.start(template.as_bytes(), patience));
        let mut asked = asked.map_err(|error| failure::exception(py, &error))?;
        let (stop, stopped) = oneshot::channel();
        let work = async move {
            tokio::select! {
                answers = asked.answers() => return answers,
                _ = stopped => {}
            }
            asked.cancel().await;
            Err(Error::Closed)
        };
        begin(host, work, filled_in)?;
        Ok(Showing(Mutex::new(Some(stop))))
    }
}

#[pymethods]
impl Showing {
    /// Closes the window. The host is told once nothing is left of it.
    fn cancel(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

fn filled_in(py: Python<'_>, answers: Vec<(String, Secret)>) -> PyResult<Py<PyAny>> {
    let values = PyDict::new(py);
    for (name, value) in answers {
        values.set_item(name, Py::new(py, PySecret(value.into()))?)?;
    }
    Ok(values.into_any().unbind())
}
