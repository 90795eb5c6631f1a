//! What stands behind an endpoint.

use std::sync::Arc;

use strongroom_model::ports::Calls;
use tokio::sync::watch;

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
    /// They, as configured at this moment. Called for every request: where nothing has changed it costs a
    /// look at a few files.
    fn mount(&self) -> Arc<Mount>;

    /// Tells when a client has to be told that its lists are not what they were: a server was mounted, taken
    /// off or changed. What a mounted server says of itself is not among it.
    ///
    /// A receiver whose sender is gone waits for what never comes.
    fn changes(&self) -> watch::Receiver<Changes> {
        watch::channel(Changes::default()).1
    }
}

/// How often each list of what is mounted has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// `tools/list`.
    pub tools: u64,
    /// `prompts/list`.
    pub prompts: u64,
    /// `resources/list` and `resources/templates/list`.
    pub resources: u64,
}

impl Changes {
    /// After a change of which servers there are: every list is another one.
    #[must_use]
    pub fn of_all(self) -> Self {
        let Self { tools, prompts, resources } = self;
        Self { tools: tools + 1, prompts: prompts + 1, resources: resources + 1 }
    }
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
