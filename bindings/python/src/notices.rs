//! What a person should know goes to the log of Python.

use pyo3::prelude::*;
use strongroom_sdk::Notice;

/// Warns by the logger `mcp_secrets`, from any thread.
pub(crate) fn tell(notice: &Notice) {
    let warned = Python::try_attach(|py| -> PyResult<()> {
        let logger = py.import("logging")?.call_method1("getLogger", ("mcp_secrets",))?;
        logger.call_method1("warning", ("%s", notice.text.as_str()))?;
        Ok(())
    });
    // A log that fails must not take the call along; an interpreter that ends has none.
    drop(warned);
}
