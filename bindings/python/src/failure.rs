//! Errors of the core as exceptions of `mcp_secrets`.

use pyo3::prelude::*;
use strongroom_sdk::Error;

/// The exception of `error`: its class is chosen by its code in `mcp_secrets.errors`.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    named(py, error.code(), &error.text())
}

/// The exception with this code and text.
pub(crate) fn named(py: Python<'_>, code: &str, text: &str) -> PyErr {
    let made =
        py.import("mcp_secrets.errors").and_then(|errors| errors.call_method1("_of", (code, text)));
    made.map_or_else(|error| error, PyErr::from_value)
}
