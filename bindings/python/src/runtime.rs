//! The runtime that every future of ours runs on, with threads of its own.

use std::future::Future;
use std::process;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::AbortHandle;

/// The runtime, and the process that it was started in.
static RUNTIME: Mutex<Option<(u32, Runtime)>> = Mutex::new(None);

/// One thread may wait for Python's global lock without holding up the other.
const THREADS: usize = 2;

/// How long the end of the interpreter waits for windows to close.
const GRACE: Duration = Duration::from_secs(3);

/// Runs `work`, until it ends or is aborted.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> PyResult<AbortHandle> {
    Ok(handle()?.spawn(work).abort_handle())
}

/// The runtime of this process.
pub(crate) fn handle() -> PyResult<Handle> {
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((process, runtime)) = &*runtime
        && *process == process::id()
    {
        return Ok(runtime.handle().clone());
    }
    // A child after `fork` has none of its parent's threads: to end that runtime would wait for them.
    if let Some((_, inherited)) = runtime.take() {
        std::mem::forget(inherited);
    }
    let mut builder = Builder::new_multi_thread();
    let started = builder.worker_threads(THREADS).thread_name("mcp-secrets").enable_all().build();
    let started = started.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    let handle = started.handle().clone();
    *runtime = Some((process::id(), started));
    Ok(handle)
}

/// Ends everything that still runs, while there is an interpreter that it can tell: called at its exit.
#[pyfunction]
pub(crate) fn shutdown(py: Python<'_>) {
    py.detach(|| {
        let ended = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner).take();
        match ended {
            Some((process, runtime)) if process == process::id() => runtime.shutdown_timeout(GRACE),
            Some((_, inherited)) => std::mem::forget(inherited),
            None => {}
        }
    });
}
