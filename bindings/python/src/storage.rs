//! `MCPSecretsStorage`, its native half.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyString;
use strongroom_sdk::Error;

use crate::secret::{revealed, taken};
use crate::{environment, failure};

/// The platform's keychain, as one server sees it. Every method waits without Python's global lock.
#[pyclass(frozen, module = "mcp_secrets._core")]
pub(crate) struct Storage(strongroom_sdk::Storage);

#[pymethods]
impl Storage {
    #[new]
    fn new(
        py: Python<'_>,
        server_name: &str,
        program: Option<PathBuf>,
        window: PathBuf,
    ) -> PyResult<Self> {
        let surroundings = environment::surroundings(program, window, false);
        let storage = py.detach(|| strongroom_sdk::Storage::new(server_name, surroundings));
        storage.map(Self).map_err(|error| failure::exception(py, &error))
    }

    fn store_secret(&self, py: Python<'_>, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = taken(name, value)?;
        self.wait(py, |storage| storage.store_secret(name, value))
    }

    fn retrieve_secret<'py>(
        &self,
        py: Python<'py>,
        name: &str,
    ) -> PyResult<Option<Bound<'py, PyString>>> {
        let value = self.wait(py, |storage| storage.retrieve_secret(name))?;
        value.map(|value| revealed(py, &value)).transpose()
    }

    fn list_secrets(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.wait(py, strongroom_sdk::Storage::list_secrets)
    }

    fn clear_secrets(&self, py: Python<'_>) -> PyResult<usize> {
        self.wait(py, strongroom_sdk::Storage::clear_secrets)
    }

    fn delete_secret(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        self.wait(py, |storage| storage.delete_secret(name))
    }

    fn secret_exists(&self, py: Python<'_>, name: &str) -> PyResult<bool> {
        self.wait(py, |storage| storage.secret_exists(name))
    }
}

impl Storage {
    fn wait<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce(&strongroom_sdk::Storage) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        py.detach(|| call(&self.0)).map_err(|error| failure::exception(py, &error))
    }
}
