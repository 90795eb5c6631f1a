//! A value that prints as `***`.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyString;
use strongroom_sdk::{Error, Secret};

use crate::failure;

/// What stands for a value wherever it is shown.
const SHOWN: &str = "***";

/// A secret value: printed, formatted or logged it is `***`; `reveal()` gives the text.
#[pyclass(frozen, name = "Secret", module = "mcp_secrets")]
pub(crate) struct PySecret(pub(crate) Arc<Secret>);

#[pymethods]
impl PySecret {
    #[new]
    fn new(value: &Bound<'_, PyAny>) -> PyResult<Self> {
        taken("value", value).map(|value| Self(value.into()))
    }

    /// The text. It is an ordinary `str` from here on.
    fn reveal<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        revealed(py, &self.0)
    }

    #[expect(clippy::unused_self, reason = "a method of Python's")]
    fn __str__(&self) -> &'static str {
        SHOWN
    }

    #[expect(clippy::unused_self, reason = "a method of Python's")]
    fn __repr__(&self) -> &'static str {
        SHOWN
    }

    /// No way of formatting shows more.
    #[expect(clippy::unused_self, reason = "a method of Python's")]
    fn __format__(&self, _spec: &Bound<'_, PyAny>) -> &'static str {
        SHOWN
    }

    /// Nothing can be changed in it, so that it is its own copy.
    fn __copy__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __deepcopy__(this: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        this
    }

    /// What is pickled is written somewhere.
    #[expect(clippy::unused_self, reason = "a method of Python's")]
    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err("a secret cannot be pickled"))
    }
}

/// The value as Python's text: the one place where it leaves.
pub(crate) fn revealed<'py>(py: Python<'py>, secret: &Secret) -> PyResult<Bound<'py, PyString>> {
    let text = std::str::from_utf8(secret.expose());
    // Python's own error would hold the bytes.
    let text = text.map_err(|_| failure::exception(py, &Error::NotText("value".to_owned())))?;
    Ok(PyString::new(py, text))
}

/// The value of `name`, from a `str` or a `Secret`. What is wrong is said without it.
pub(crate) fn taken(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Secret> {
    let py = value.py();
    let text = match value.cast::<PySecret>() {
        Ok(secret) => revealed(py, &secret.get().0)?,
        Err(_) => value
            .cast::<PyString>()
            .map_err(|_| PyTypeError::new_err("the value of a secret is a str or a Secret"))?
            .clone(),
    };
    // A lone surrogate: Python's own error would hold the text.
    let text = PyBackedStr::try_from(text)
        .map_err(|_| failure::exception(py, &Error::NotText(name.to_owned())))?;
    Ok(Secret::new(text.as_bytes().to_vec()))
}
