//! What servers say of themselves, to whoever listens.

use std::sync::Arc;

use strongroom_model::principal::Name;
use tokio::sync::broadcast;

use super::kind::Kind;

/// Notices that are kept for a listener who is slow. Whoever misses some has to take everything for
/// changed.
const KEPT: usize = 128;

/// Rings for everybody who listens to the servers of one mount.
#[derive(Debug)]
pub struct Bell(broadcast::Sender<Notice>);

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A list of this server is not what it was.
    Changed {
        /// The server.
        server: Name,
        /// The list.
        kind: Kind,
    },
    /// A resource of this server that somebody watches has another content.
    Updated {
        /// The server.
        server: Name,
        /// The resource.
        uri: Arc<str>,
    },
    /// A task of this server that somebody watches is getting on.
    Task(TaskNotice),
}

/// What a server says of one of its tasks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskNotice {
    /// The server.
    pub server: Name,
    /// The task, by the server's own id.
    pub id: Arc<str>,
    /// The method of the notification.
    pub method: &'static str,
    /// Its parameters, an object, without secrets.
    pub params: Arc<str>,
}

impl Default for Bell {
    fn default() -> Self {
        Self(broadcast::channel(KEPT).0)
    }
}

impl Bell {
    /// Tells everybody who listens.
    pub fn ring(&self, notice: Notice) {
        // Where nobody listens there is nobody to tell.
        drop(self.0.send(notice));
    }

    /// Listens from now on. The receiver is closed when the mount is gone.
    pub fn listen(&self) -> broadcast::Receiver<Notice> {
        self.0.subscribe()
    }
}
