//! What stands behind an endpoint.

use std::sync::Arc;

use strongroom_model::ports::Calls;

use crate::mount::Mount;

/// The broker, and servers that are mounted next to its tools.
#[derive(Clone)]
pub struct Behind {
    /// What our own tools stand on.
    pub calls: Arc<dyn Calls>,
    /// The servers, where there are any.
    pub servers: Option<Arc<dyn Servers>>,
}

/// Knows which servers are mounted now.
pub trait Servers: Send + Sync {
    /// They, as configured at this moment.
    fn mount(&self) -> Arc<Mount>;
}

impl From<Arc<dyn Calls>> for Behind {
    fn from(calls: Arc<dyn Calls>) -> Self {
        Self { calls, servers: None }
    }
}

impl<C: Calls + 'static> From<Arc<C>> for Behind {
    fn from(calls: Arc<C>) -> Self {
        Self { calls, servers: None }
    }
}
