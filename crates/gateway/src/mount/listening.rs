//! Listening to a server of the modern era, which says what has changed only on a stream that it was asked
//! for (`subscriptions/listen`), and how tasks get on likewise. An older one says it unasked, and is asked only
//! about resources.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::kind::Kind;
use super::reading::has_tasks;
use super::served::{Topic, flag, meta, modern_meta, tells_changes};
use crate::origin::Abilities;
use crate::protocol::Era;
use crate::upstream::server::Ready;
use crate::wire::write::Object;

/// What listens to one start of a server. Dropped, it ends.
pub(super) struct Listening {
    topics: watch::Sender<BTreeSet<Topic>>,
    task: AbortHandle,
}

impl Listening {
    /// These are watched from now on, and no others.
    pub(super) fn watch(&self, topics: BTreeSet<Topic>) {
        self.topics.send_if_modified(|watched| {
            let other = *watched != topics;
            *watched = topics;
            other
        });
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Begins to listen; `None`: the server has nothing to say.
pub(super) fn begin(ready: &Arc<Ready>) -> Option<Listening> {
    let subscribes = flag(&ready.agreed.capabilities, "resources", "subscribe");
    let lists =
        [Kind::Tools, Kind::Prompts, Kind::Resources].map(|kind| tells_changes(ready, kind));
    let tasks = has_tasks(&ready.agreed.capabilities);
    let (topics, watched) = watch::channel(BTreeSet::new());
    // A task that keeps the server from being dropped would never end.
    let weak = Arc::downgrade(ready);
    let task = match ready.agreed.era {
        Era::Modern if subscribes || tasks || lists.contains(&true) => tokio::spawn(async move {
            let mut watched = watched;
            loop {
                let topics = watched.borrow_and_update().clone();
                let Some(ready) = weak.upgrade() else { return };
                tokio::select! {
                    () = listen(&ready, lists, &topics) => {
                        // It has ended the stream, or knows none: that is asked again when there is
                        // something else to ask for.
                        if watched.changed().await.is_err() {
                            return;
                        }
                    }
                    changed = watched.changed() => if changed.is_err() {
                        return;
                    },
                }
            }
        }),
        Era::Legacy if subscribes => tokio::spawn(async move {
            let mut watched = watched;
            let mut before = BTreeSet::new();
            loop {
                let uris: BTreeSet<String> =
                    resources(&watched.borrow_and_update()).map(str::to_owned).collect();
                let Some(ready) = weak.upgrade() else { return };
                for uri in uris.difference(&before) {
                    ask(&ready, "resources/subscribe", uri).await;
                }
                for uri in before.difference(&uris) {
                    ask(&ready, "resources/unsubscribe", uri).await;
                }
                drop(ready);
                before = uris;
                if watched.changed().await.is_err() {
                    return;
                }
            }
        }),
        Era::Modern | Era::Legacy => return None,
    };
    Some(Listening { topics, task: task.abort_handle() })
}

/// Ends when the server ends the stream. What it says on it comes as what it says of itself does.
async fn listen(ready: &Ready, changes: [bool; 3], topics: &BTreeSet<Topic>) {
    let params = |_: u64, out: &mut Vec<u8>| {
        let mut params = Object::open(out);
        let mut wanted = Object::open(params.name("notifications"));
        let names = ["toolsListChanged", "promptsListChanged", "resourcesListChanged"];
        for (name, _) in names.into_iter().zip(changes).filter(|(_, says)| *says) {
            wanted.flag(name, true);
        }
        if resources(topics).next().is_some() {
            wanted.strings("resourceSubscriptions", resources(topics));
        }
        if tasks(topics).next().is_some() {
            wanted.strings("taskIds", tasks(topics));
        }
        wanted.close();
        let mut meta = Object::open(params.name("_meta"));
        let tasks = tasks(topics).next().is_some();
        modern_meta(&mut meta, Abilities { tasks, ..Abilities::default() });
        meta.close();
        params.close();
    };
    if changes.contains(&true) || !topics.is_empty() {
        // How it ends says nothing that its next call does not say.
        drop(ready.running.peer.listen("subscriptions/listen", params).await);
    }
}

fn resources(topics: &BTreeSet<Topic>) -> impl Iterator<Item = &str> {
    topics.iter().filter_map(|topic| match topic {
        Topic::Resource(uri) => Some(uri.as_str()),
        Topic::Task(_) => None,
    })
}

fn tasks(topics: &BTreeSet<Topic>) -> impl Iterator<Item = &str> {
    topics.iter().filter_map(|topic| match topic {
        Topic::Task(id) => Some(id.as_str()),
        Topic::Resource(_) => None,
    })
}

async fn ask(ready: &Ready, method: &str, uri: &str) {
    let params = |_: u64, out: &mut Vec<u8>| {
        let mut params = Object::open(out);
        params.string("uri", uri);
        meta(&mut params, ready.agreed.era);
        params.close();
    };
    // A server that refuses does not tell: nobody hears of the resource, as without us.
    drop(ready.running.peer.call(method, params, None).await);
}
