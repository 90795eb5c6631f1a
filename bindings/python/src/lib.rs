//! The Python package `mcp_secrets`: a thin layer over `strongroom-sdk`.
//!
//! The native half knows the keychain, the window and the flow; the Python half (`python/mcp_secrets`)
//! knows asyncio and the frameworks. Between them stands [`flow`]: futures run on a [runtime] of their
//! own threads, and what they want of the framework's context is scheduled on the event loop of the
//! caller. Nothing waits with Python's global lock in its hand.

mod environment;
mod failure;
mod flow;
mod handler;
mod manager;
mod notices;
mod runtime;
mod secret;
mod storage;

use pyo3::prelude::*;

/// The native half of `mcp_secrets`.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::flow::{Reply, Task};
    #[pymodule_export]
    use crate::handler::{Handler, Showing};
    #[pymodule_export]
    use crate::manager::Manager;
    #[pymodule_export]
    use crate::runtime::shutdown;
    #[pymodule_export]
    use crate::secret::PySecret;
    #[pymodule_export]
    use crate::storage::Storage;
}
