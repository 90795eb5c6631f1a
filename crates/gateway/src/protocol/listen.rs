//! What clients are told of changes: by `subscriptions/listen` in the modern era, unasked in the older one.

use std::collections::BTreeSet;
use std::sync::Arc;

use strongroom_model::json::Members;
use strongroom_model::principal::{Caller, Name};
use tokio::sync::{broadcast, watch};

use super::tasks;
use crate::behind::{Behind, Changes, Servers};
use crate::mount::bell::{Bell, Notice, TaskNotice};
use crate::mount::kind::Kind;
use crate::mount::{Mount, Watching};
use crate::wire::write::{self, Object};

/// Something that a client may want to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum News {
    /// `notifications/tasks`.
    Task(TaskNotice),
    /// `notifications/tools/list_changed`.
    Tools,
    /// `notifications/prompts/list_changed`.
    Prompts,
    /// `notifications/resources/list_changed`.
    Resources,
    /// `notifications/resources/updated`.
    Updated(Arc<str>),
}

impl News {
    const LISTS: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Tools => Self::Tools,
            Kind::Prompts => Self::Prompts,
            Kind::Resources | Kind::Templates => Self::Resources,
        }
    }

    fn method(&self) -> &'static str {
        match self {
            Self::Task(notice) => notice.method,
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resources => "notifications/resources/list_changed",
            Self::Updated(_) => "notifications/resources/updated",
        }
    }

    /// As a notification; `subscription` is the id of the request that asked for it.
    pub(crate) fn message(&self, subscription: Option<&str>) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        let mut message = Object::open(&mut out);
        message.string("jsonrpc", "2.0").string("method", self.method());
        let uri = if let Self::Updated(uri) = self { Some(&**uri) } else { None };
        if uri.is_some() || subscription.is_some() {
            let mut params = Object::open(message.name("params"));
            params.optional("uri", uri);
            subscribed(&mut params, subscription);
            params.close();
        }
        message.close();
        out
    }
}

/// What `notice` says, whose parameters are `told`.
pub(super) fn of_task(notice: &TaskNotice, told: &str, subscription: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(told.len() + 160);
    let mut message = Object::open(&mut out);
    message.string("jsonrpc", "2.0").string("method", notice.method);
    let mut params = Object::open(message.name("params"));
    let members = Members::read(told).unwrap_or_default();
    for (name, raw) in members.iter().filter(|(name, _)| *name != "_meta") {
        write::on_one_line(params.name(name), raw);
    }
    subscribed(&mut params, Some(subscription));
    params.close();
    message.close();
    out
}

fn subscribed(params: &mut Object<'_>, subscription: Option<&str>) {
    if let Some(id) = subscription {
        let mut meta = Object::open(params.name("_meta"));
        let out = meta.name("io.modelcontextprotocol/subscriptionId");
        out.extend_from_slice(id.as_bytes());
        meta.close();
    }
}

/// Listens for one caller to whatever is mounted.
pub(crate) struct Ears {
    servers: Arc<dyn Servers>,
    caller: Caller,
    /// `None`: nobody will tell of changes of what is mounted any more.
    changes: Option<watch::Receiver<Changes>>,
    seen: Changes,
    mount: Arc<Mount>,
    /// Kept, so that its servers ring it.
    bell: Arc<Bell>,
    notices: broadcast::Receiver<Notice>,
}

impl Ears {
    /// Listens from now on; `None`: nothing is mounted here.
    pub(crate) fn new(behind: &Behind, caller: Caller) -> Option<Self> {
        let servers = Arc::clone(behind.servers.as_ref()?);
        let mut changes = servers.changes();
        let seen = *changes.borrow_and_update();
        let mount = servers.mount();
        let bell = Arc::clone(mount.bell());
        let notices = bell.listen();
        let changes = Some(changes);
        Some(Self { servers, caller, changes, seen, mount, bell, notices })
    }

    /// What has happened since the last time, each once.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped before it is ready.
    pub(crate) async fn next(&mut self) -> BTreeSet<News> {
        loop {
            let mut news = BTreeSet::new();
            tokio::select! {
                now = changed(&mut self.changes) => match now {
                    Some(now) => self.remounted(now, &mut news),
                    None => self.changes = None,
                },
                notice = self.notices.recv() => {
                    self.heard(notice, &mut news);
                    // What has come meanwhile is told at once.
                    while let Ok(notice) = self.notices.try_recv() {
                        self.heard(Ok(notice), &mut news);
                    }
                }
            }
            if !news.is_empty() {
                return news;
            }
        }
    }

    fn remounted(&mut self, now: Changes, news: &mut BTreeSet<News>) {
        let before = std::mem::replace(&mut self.seen, now);
        let differs = [
            (News::Tools, now.tools != before.tools),
            (News::Prompts, now.prompts != before.prompts),
            (News::Resources, now.resources != before.resources),
        ];
        news.extend(differs.into_iter().filter(|(_, differs)| *differs).map(|(news, _)| news));
        self.mount = self.servers.mount();
        self.bell = Arc::clone(self.mount.bell());
        self.notices = self.bell.listen();
    }

    fn heard(
        &mut self,
        notice: Result<Notice, broadcast::error::RecvError>,
        news: &mut BTreeSet<News>,
    ) {
        match notice {
            Ok(Notice::Changed { server, kind }) if self.mount.may_use(&self.caller, &server) => {
                news.insert(News::of(kind));
            }
            Ok(Notice::Updated { server, uri }) if self.mount.may_use(&self.caller, &server) => {
                news.insert(News::Updated(uri));
            }
            Ok(Notice::Task(notice)) if self.mount.may_use(&self.caller, &notice.server) => {
                news.insert(News::Task(notice));
            }
            Ok(_) | Err(broadcast::error::RecvError::Closed) => {}
            // What was missed may have been anything.
            Err(broadcast::error::RecvError::Lagged(_)) => news.extend(News::LISTS),
        }
    }
}

/// The next change of what is mounted; `None`: there will be none.
async fn changed(changes: &mut Option<watch::Receiver<Changes>>) -> Option<Changes> {
    let Some(changes) = changes else { return std::future::pending().await };
    changes.changed().await.ok()?;
    Some(*changes.borrow_and_update())
}

/// What a client of the modern era has asked to be told.
#[derive(Debug, Default)]
pub(super) struct Filter {
    lists: BTreeSet<News>,
    uris: Vec<String>,
    tasks: Vec<Task>,
}

/// A task, and whose it is.
#[derive(Debug)]
pub(super) struct Task {
    /// What its owner was given for it.
    pub(super) given: String,
    /// Its server.
    pub(super) server: Name,
    /// Its id there.
    pub(super) id: String,
}

/// Resources and tasks that one request may watch.
const MOST_WATCHED: usize = 256;

impl Filter {
    /// Reads the member `notifications` of a request of `principal`, as written. A task that is not its own
    /// is none.
    pub(super) fn read(raw: &str, principal: &Name) -> Option<Self> {
        let members = Members::read(raw)?;
        let names = ["toolsListChanged", "promptsListChanged", "resourcesListChanged"];
        let wanted = |(name, _): &(&str, News)| members.get(name) == Some("true");
        let lists = names.into_iter().zip(News::LISTS).filter(wanted).map(|(_, news)| news);
        let uris = members.get("resourceSubscriptions").unwrap_or("[]");
        let uris: Vec<String> = serde_json::from_str(uris).ok()?;
        let tasks: Vec<String> =
            serde_json::from_str(members.get("taskIds").unwrap_or("[]")).ok()?;
        if uris.len() + tasks.len() > MOST_WATCHED {
            return None;
        }
        let own = |given: String| {
            let (server, id) = tasks::open(principal, &given)?;
            Some(Task { given, server, id })
        };
        let tasks = tasks.into_iter().filter_map(own).collect();
        Some(Self { lists: lists.collect(), uris, tasks })
    }

    /// The resources.
    pub(super) fn uris(&self) -> &[String] {
        &self.uris
    }

    /// The tasks.
    pub(super) fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Whether the client has asked for it.
    pub(super) fn wants(&self, news: &News) -> bool {
        match news {
            News::Updated(uri) => self.uris.iter().any(|wanted| **wanted == **uri),
            News::Task(notice) => {
                self.tasks.iter().any(|task| task.server == notice.server && *task.id == *notice.id)
            }
            list => self.lists.contains(list),
        }
    }

    /// What is agreed to: the lists, the resources of `watching`, and these tasks.
    pub(super) fn acknowledged(&self, id: &str, watching: &[Watching], tasks: &[&str]) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let mut message = Object::open(&mut out);
        message.string("jsonrpc", "2.0");
        message.string("method", "notifications/subscriptions/acknowledged");
        let mut params = Object::open(message.name("params"));
        let mut agreed = Object::open(params.name("notifications"));
        let names = ["toolsListChanged", "promptsListChanged", "resourcesListChanged"];
        for (name, _) in
            names.into_iter().zip(News::LISTS).filter(|(_, news)| self.lists.contains(news))
        {
            agreed.flag(name, true);
        }
        let mut uris = watching.iter().filter_map(Watching::uri).peekable();
        if uris.peek().is_some() {
            write::list(agreed.name("resourceSubscriptions"), uris, write::string);
        }
        if !tasks.is_empty() {
            write::list(agreed.name("taskIds"), tasks.iter().copied(), write::string);
        }
        agreed.close();
        subscribed(&mut params, Some(id));
        params.close();
        message.close();
        out
    }
}
