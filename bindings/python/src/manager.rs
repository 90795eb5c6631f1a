//! `MCPSecretsManager`, its native half.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyString;
use strongroom_sdk::{Error, Secret, SecretsInfo};

use crate::flow::{Asker, Task, begin};
use crate::secret::{PySecret, revealed, taken};
use crate::{environment, failure};

/// The secrets of one server. Every method waits without Python's global lock.
#[pyclass(frozen, module = "mcp_secrets._core")]
pub(crate) struct Manager(Arc<strongroom_sdk::Manager>);

#[pymethods]
impl Manager {
    #[new]
    fn new() -> Self {
        Self(Arc::new(strongroom_sdk::Manager::new()))
    }

    fn initialize(
        &self,
        py: Python<'_>,
        server_name: &str,
        program: Option<PathBuf>,
        window: PathBuf,
        cache: bool,
    ) -> PyResult<()> {
        let surroundings = environment::surroundings(program, window, cache);
        self.wait(py, |manager| manager.initialize(server_name, surroundings))
    }

    #[getter]
    fn server_name(&self) -> Option<String> {
        self.0.server_name()
    }

    fn store_secret(&self, py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = taken(name, value)?;
        self.wait(py, |manager| manager.store_secret(name, value))
    }

    fn retrieve_secret<'py>(
        &self,
        py: Python<'py>,
        name: &str,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        let value = self.wait(py, |manager| manager.retrieve_secret(name))?;
        value.map(|value| revealed(py, &value)).transpose()
    }

    fn list_secrets(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.wait(py, strongroom_sdk::Manager::list_secrets)
    }

    fn clear_secrets(&self, py: Python<'_>) -> PyResult<usize> {
        self.wait(py, strongroom_sdk::Manager::clear_secrets)
    }

    fn delete_secret(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        self.wait(py, |manager| manager.delete_secret(name))
    }

    fn secret_exists(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        self.wait(py, |manager| manager.secret_exists(name))
    }

    #[expect(clippy::needless_pass_by_value, reason = "a list of Python's becomes one of ours")]
    fn ensure_secrets(&self, py: Python<'_>, names: Vec<String>) -> PyResult<bool> {
        self.wait(py, |manager| manager.ensure_secrets(&names))
    }

    /// Tells `host` the value as a `Secret`, or None, once a person has allowed its use.
    fn retrieve_with_permission(
        &self,
        py: Python<'_>,
        host: Py<PyAny>,
        name: String,
        reason: Option<String>,
    ) -> PyResult<Task> {
        let (manager, asker) = (Arc::clone(&self.0), Asker::new(py, &host)?);
        let work =
            async move { manager.retrieve_with_permission(&name, &asker, reason.as_deref()).await };
        begin(host, work, |py, value: Option<Arc<Secret>>| {
            let value = value.map(|value| Py::new(py, PySecret(value))).transpose()?;
            Ok(value.map_or_else(|| py.None(), Py::into_any))
        })
    }

    /// Tells `host` whether the secrets of `info` (JSON) are there now, and what happened.
    fn fetch(&self, py: Python<'_>, host: Py<PyAny>, info: &str) -> PyResult<Task> {
        let info = SecretsInfo::read(info.as_bytes());
        let info = info.map_err(|error| failure::exception(py, &error))?;
        let (manager, asker) = (Arc::clone(&self.0), Asker::new(py, &host)?);
        let work = async move { Ok(manager.fetch(&asker, &info).await) };
        begin(host, work, |py, (ok, message): (bool, String)| {
            Ok((ok, message).into_pyobject(py)?.into_any().unbind())
        })
    }
}

impl Manager {
    /// Calls the core without Python's global lock: the keychain may take its time.
    fn wait<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&strongroom_sdk::Manager) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        py.detach(|| call(&self.0)).map_err(|error| failure::exception(py, &error))
    }
}
