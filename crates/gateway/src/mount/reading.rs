//! Resources, prompts and completions of many servers.

use std::collections::HashSet;
use std::sync::Arc;

use strongroom_model::call::{ToolAnswer, ToolCalled};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::json::{self, Members};
use strongroom_model::ports::{BoxFuture, ReadAct, ReadRequest};
use strongroom_model::principal::{Caller, Name};
use strongroom_model::redact::Redactor;
use strongroom_model::tool::Served;

use super::bell::TaskNotice;
use super::definition::Definition;
use super::forward::{self, Forward, Read};
use super::kind::Kind;
use super::served::{Topic, flag, has};
use super::uris::{self, Has};
use super::{Listed, Mount, Page, Server, Watching, policy};
use crate::origin::Origin;
use crate::protocol::tasks::TASKS;
use crate::wire::write::{self, Object};

/// What servers offer beside tools.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a capability of its own")]
pub(crate) struct Offers {
    pub(crate) prompts: bool,
    pub(crate) resources: bool,
    /// Whether changes of resources are told.
    pub(crate) watched: bool,
    pub(crate) completions: bool,
    pub(crate) logging: bool,
    /// Whether what takes long may be a task.
    pub(crate) tasks: bool,
}

impl Mount {
    /// Reads the resource `uri`. `None`: no server that the caller may know of has it.
    pub async fn read(
        &self,
        origin: &Arc<Origin>,
        uri: &str,
        cancel: BoxFuture<'_, ()>,
    ) -> Option<ToolCalled> {
        let server = self.of_uri(&origin.caller, uri).await?;
        let params = |params: &mut Object<'_>| {
            params.string("uri", uri);
        };
        let read = Read { method: "resources/read", params: &params };
        self.reads(&server, origin, read, (uri, 0), cancel).await
    }

    /// Gets the prompt that `name` stands for, with `arguments` as they were written.
    pub async fn prompt(
        &self,
        origin: &Arc<Origin>,
        name: &str,
        arguments: Option<&str>,
        cancel: BoxFuture<'_, ()>,
    ) -> Option<ToolCalled> {
        let found = self.looked_up(Kind::Prompts, &origin.caller, name).await?;
        let (server, prompt) = (found.server, found.definition);
        let params = |params: &mut Object<'_>| {
            params.string("name", prompt.name());
            if let Some(arguments) = arguments {
                write::on_one_line(params.name("arguments"), arguments);
            }
        };
        let read = Read { method: "prompts/get", params: &params };
        let bytes = arguments.map_or(0, str::len);
        self.reads(&server, origin, read, (prompt.name(), bytes), cancel).await
    }

    /// Completes an argument of a prompt or of a template, as `params` say it: `ref`, `argument` and
    /// `context`, as written.
    pub async fn complete(
        &self,
        origin: &Arc<Origin>,
        params: &str,
        cancel: BoxFuture<'_, ()>,
    ) -> Option<ToolCalled> {
        let members = Members::read(params)?;
        let reference = Members::read(members.get("ref")?)?;
        let kind = json::string(reference.get("type")?)?;
        let (server, member, own) = match &*kind {
            "ref/prompt" => {
                let name = json::string(reference.get("name")?)?;
                let found = self.looked_up(Kind::Prompts, &origin.caller, &name).await?;
                let (server, prompt) = (found.server, found.definition);
                (server, "name", prompt.name().to_owned())
            }
            "ref/resource" => {
                let uri = json::string(reference.get("uri")?)?.into_owned();
                (self.of_template(&origin.caller, &uri).await?, "uri", uri)
            }
            _ => return None,
        };
        let write = |out: &mut Object<'_>| {
            let mut object = Object::open(out.name("ref"));
            for (name, raw) in reference.iter() {
                if name == member {
                    object.string(name, &own);
                } else {
                    write::on_one_line(object.name(name), raw);
                }
            }
            object.close();
            for name in ["argument", "context"] {
                if let Some(raw) = members.get(name) {
                    write::on_one_line(out.name(name), raw);
                }
            }
        };
        let read = Read { method: "completion/complete", params: &write };
        self.reads(&server, origin, read, (&own, params.len()), cancel).await
    }

    /// Asks the server `name` about its task `id`: `params` are the client's, as written. `None`: the caller
    /// may not know of that server.
    pub(crate) async fn task(
        &self,
        origin: &Arc<Origin>,
        (name, id): (&Name, &str),
        method: &'static str,
        params: &str,
        cancel: BoxFuture<'_, ()>,
    ) -> Option<ToolCalled> {
        let server = Arc::clone(self.servers.iter().find(|server| server.name == *name)?);
        let members = Members::read(params)?;
        let write = |out: &mut Object<'_>| {
            for (name, raw) in members.iter().filter(|(name, _)| *name != "_meta") {
                if name == "taskId" {
                    out.string(name, id);
                } else {
                    write::on_one_line(out.name(name), raw);
                }
            }
        };
        let read = Read { method, params: &write };
        self.reads(&server, origin, read, (id, params.len()), cancel).await
    }

    /// Watches the resource `uri` until what is returned is dropped; what it says is said by the bell.
    /// `None`: no server that the caller may know of has it.
    pub(crate) async fn watch(
        &self,
        origin: &Arc<Origin>,
        uri: &str,
        cancel: BoxFuture<'_, ()>,
    ) -> Option<(ToolCalled, Watching)> {
        let server = self.of_uri(&origin.caller, uri).await?;
        let (name, method) = (server.name.as_str(), "resources/subscribe");
        let request = ReadRequest { server: name, method, what: uri, bytes: 0 };
        let act = Box::new(Watch(&server));
        let ended = self.tools.read(&origin.caller, request, act, cancel).await;
        let hidden = matches!(&ended.result, Err(refusal) if refusal.code == Code::NotFound);
        (!hidden).then(|| (ended, server.watch(Topic::Resource(uri.to_owned()))))
    }

    /// The same of the task `id` of the server `name`.
    pub(crate) async fn watch_task(
        &self,
        origin: &Arc<Origin>,
        (name, id): (&Name, &str),
        cancel: BoxFuture<'_, ()>,
    ) -> Option<(ToolCalled, Watching)> {
        let server = self.servers.iter().find(|server| server.name == *name)?;
        let method = "subscriptions/listen";
        let request = ReadRequest { server: name.as_str(), method, what: id, bytes: 0 };
        let act = Box::new(Watch(server));
        let ended = self.tools.read(&origin.caller, request, act, cancel).await;
        let hidden = matches!(&ended.result, Err(refusal) if refusal.code == Code::NotFound);
        (!hidden).then(|| (ended, server.watch(Topic::Task(id.to_owned()))))
    }

    /// What `notice` says of a task, as the client of `origin` may have it: under the id that it was given,
    /// questions in our frame. `None`: it is not to be told.
    pub(crate) fn told_of_task(&self, origin: &Origin, notice: &TaskNotice) -> Option<String> {
        let server = self.servers.iter().find(|server| server.name == notice.server)?;
        let told = forward::retold(server, origin, &Redactor::default(), &notice.params).ok()?;
        String::from_utf8(told.text.into_inner()).ok()
    }

    /// What the servers offer that `caller` may use. One that has not been started yet may offer anything.
    pub(crate) fn offers(&self, caller: &Caller) -> Offers {
        let allowed = self.tools.servers(caller);
        let mine = |server: &&Arc<Server>| policy(&allowed, &server.name).is_some();
        let mut offers = Offers::default();
        for server in self.servers.iter().filter(mine) {
            let known = server.capabilities();
            let any = |name: &str| known.as_ref().is_none_or(|known| has(known, name));
            offers.prompts |= any("prompts");
            offers.resources |= any("resources");
            let watched = |known: &str| flag(known, "resources", "subscribe");
            offers.watched |= known.as_deref().is_none_or(watched);
            offers.completions |= any("completions");
            offers.logging |= any("logging");
            // An extension is not claimed for a server that has not said that it has it.
            offers.tasks |= known.as_ref().is_some_and(|known| has_tasks(known));
        }
        offers
    }

    async fn reads(
        &self,
        server: &Arc<Server>,
        origin: &Arc<Origin>,
        read: Read<'_>,
        (what, bytes): (&str, usize),
        cancel: BoxFuture<'_, ()>,
    ) -> Option<ToolCalled> {
        let method = read.method;
        let request = ReadRequest { server: server.name.as_str(), method, what, bytes };
        let act = Box::new(Forward { server, origin, params: read });
        let ended = self.tools.read(&origin.caller, request, act, cancel).await;
        let hidden = matches!(&ended.result, Err(refusal) if refusal.code == Code::NotFound);
        (!hidden).then_some(ended)
    }

    /// The server of a resource. With plain names there is one server, which knows best what it has.
    pub(crate) async fn of_uri(&self, caller: &Caller, uri: &str) -> Option<Arc<Server>> {
        let allowed = self.tools.servers(caller);
        let page = uris::is_page(uri);
        let mine = |server: &&Arc<Server>| {
            policy(&allowed, &server.name).is_some() && (!page || server.allows.ui)
        };
        let servers: Vec<_> = self.servers.iter().filter(mine).collect();
        if let [server] = servers[..]
            && self.naming == super::Naming::Plain
        {
            return (uri.len() <= uris::LONGEST).then(|| Arc::clone(server));
        }
        for asks in [false, true] {
            if asks {
                for kind in [Kind::Resources, Kind::Templates] {
                    let unknown = |server: &Server| {
                        server.latest_of(kind).is_none() && policy(&allowed, &server.name).is_some()
                    };
                    self.ask(kind, unknown).await;
                }
            }
            let known: Vec<_> = servers.iter().map(|server| Latest::of(server)).collect();
            if let Some(at) = uris::find(uri, known.iter().map(Latest::has)) {
                return servers.get(at).map(|server| Arc::clone(server));
            }
        }
        None
    }

    /// The server of a template, or of a resource.
    async fn of_template(&self, caller: &Caller, uri: &str) -> Option<Arc<Server>> {
        let allowed = self.tools.servers(caller);
        let mine = |server: &Server| policy(&allowed, &server.name).is_some();
        self.ask(Kind::Templates, |server| {
            server.latest_of(Kind::Templates).is_none() && mine(server)
        })
        .await;
        let has = |server: &&Arc<Server>| {
            let templates = server.latest_of(Kind::Templates).unwrap_or_default();
            mine(server) && templates.iter().any(|template| template.name() == uri)
        };
        match self.servers.iter().find(has) {
            Some(server) => Some(Arc::clone(server)),
            None => self.of_uri(caller, uri).await,
        }
    }

    /// What has an address of its own. One that an earlier server has too is the earlier one's.
    pub(super) fn addressed(
        &self,
        kind: Kind,
        allowed: &[Arc<Served>],
        from: usize,
        listed: &mut Listed,
    ) {
        let mut page = Page::new(from, self.page);
        let mine = |server: &&Arc<Server>| policy(allowed, &server.name).is_some();
        let lists: Vec<_> =
            self.servers.iter().filter(mine).filter_map(|server| server.latest_of(kind)).collect();
        let mut taken = HashSet::new();
        for definition in lists.iter().flat_map(|list| list.iter()) {
            if definition.name().len() > uris::LONGEST || !taken.insert(definition.name()) {
                continue;
            }
            if page.takes() {
                if !listed.elements.is_empty() {
                    listed.elements.push(b',');
                }
                listed.elements.extend_from_slice(definition.text().as_bytes());
            }
        }
        listed.next = page.next();
    }
}

/// Whether a server with these capabilities has tasks.
pub(super) fn has_tasks(capabilities: &str) -> bool {
    let all = Members::read(capabilities).unwrap_or_default();
    let extensions = all.get("extensions").and_then(Members::read);
    extensions.is_some_and(|extensions| extensions.get(TASKS).is_some())
}

/// Begins to watch a resource: its server has to be there for that.
struct Watch<'a>(&'a Arc<Server>);

impl ReadAct for Watch<'_> {
    fn act<'a>(self: Box<Self>, _: BoxFuture<'a, ()>) -> BoxFuture<'a, Result<ToolAnswer, Refusal>>
    where
        Self: 'a,
    {
        Box::pin(async move {
            self.0.ready().await?;
            let (text, redactions) = Redactor::default().clean(b"{}".to_vec());
            Ok(ToolAnswer { text, is_error: false, failed: false, redactions })
        })
    }
}

/// What a server is known to have.
struct Latest {
    resources: Arc<[Definition]>,
    templates: Arc<[Definition]>,
}

impl Latest {
    fn of(server: &Server) -> Self {
        let latest = |kind| server.latest_of(kind).unwrap_or_default();
        Self { resources: latest(Kind::Resources), templates: latest(Kind::Templates) }
    }

    fn has(&self) -> Has<'_> {
        Has { resources: &self.resources, templates: &self.templates }
    }
}
