//! Many servers behind one endpoint.
//!
//! [`Server`] knows what one server offers; [`Catalogue`] is everything that is offered, written down once;
//! [`Mount`] lists, calls and reads, for callers who may.

mod asks;
pub mod bell;
pub mod catalogue;
pub mod definition;
mod forward;
mod heard;
pub mod kind;
mod listening;
pub(crate) mod mirrored;
pub mod names;
mod pins;
mod reading;
mod served;
pub mod uris;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_model::call::ToolCalled;
use strongroom_model::code::{Code, Refusal};
use strongroom_model::pin::Standing;
use strongroom_model::ports::{BoxFuture, ToolRequest, Tools};
use strongroom_model::principal::{Caller, Name};
use strongroom_model::tool::Served;
use tokio::task::JoinSet;

use crate::origin::Origin;
use bell::Bell;
use catalogue::{Catalogue, Offered};
use definition::Definition;
use forward::Forward;
use kind::Kind;
use names::{Naming, Route};
pub(crate) use reading::Offers;
pub(crate) use served::code;
pub use served::{MOST_TOOLS, Server, Watching};

/// How long a list waits for servers that have to be started.
const PATIENCE: Duration = Duration::from_secs(10);

/// Elements of one page.
pub const PAGE: usize = 1_000;

/// The servers behind one endpoint, and our own tools before them.
pub struct Mount {
    tools: Arc<dyn Tools>,
    servers: Vec<Arc<Server>>,
    naming: Naming,
    /// The elements of the list of our own tools, and their names.
    ours: (&'static str, &'static [&'static str]),
    /// What the lists of tools and of prompts were put together from, and what came of it.
    built: [Mutex<Option<Arc<Built>>>; 2],
    bell: Arc<Bell>,
    page: usize,
}

struct Built {
    from: Vec<Option<Arc<[Definition]>>>,
    catalogue: Catalogue,
}

/// What a name stands for.
struct Found {
    server: Arc<Server>,
    definition: Definition,
    /// Everything of this kind that the server has, and which of them it is.
    of: Arc<[Definition]>,
    item: usize,
}

/// A page of a list for one caller.
pub struct Listed {
    /// Which list.
    pub kind: Kind,
    /// The elements, with commas between them.
    pub elements: Vec<u8>,
    /// The servers whose elements are not in it, and why.
    pub missing: Vec<(Name, Refusal)>,
    /// Where the next page begins, where there is one.
    pub next: Option<usize>,
}

impl Mount {
    /// Puts `servers` behind our own tools. Nothing is started before it is wanted.
    pub fn new(tools: Arc<dyn Tools>, servers: Vec<Arc<Server>>, naming: Naming) -> Self {
        let bell = Arc::new(Bell::default());
        for server in &servers {
            server.ring(&bell);
        }
        let (ours, built) = (crate::tools::ours(), Default::default());
        Self { tools, servers, naming, ours, built, bell, page: PAGE }
    }

    /// The same with pages of `page` elements.
    #[must_use]
    pub fn paged(mut self, page: usize) -> Self {
        self.page = page.max(1);
        self
    }

    /// The servers.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// Rings for what they say of themselves.
    pub fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// What `caller` may call, get or read, from the element `from` on. Servers that are not ready in time
    /// are left out and named: those of others are there all the same.
    pub async fn list(&self, caller: &Caller, kind: Kind, from: usize) -> Listed {
        let allowed = self.tools.servers(caller);
        let missing = self.ask(kind, |server| policy(&allowed, &server.name).is_some()).await;
        let mut listed = Listed { kind, elements: Vec::new(), missing, next: None };
        match kind {
            Kind::Tools | Kind::Prompts => {
                let built = self.catalogue(kind);
                let standings = self.standings(kind, &allowed, &built.from).await;
                self.named(kind, &allowed, (&built.catalogue, &standings), from, &mut listed);
            }
            Kind::Resources | Kind::Templates => self.addressed(kind, &allowed, from, &mut listed),
        }
        listed
    }

    /// The names under which the tools of the server at this place are shown, as far as they are known.
    pub fn shown(&self, server: usize) -> Vec<String> {
        self.catalogue(Kind::Tools).catalogue.shown(server).map(str::to_owned).collect()
    }

    /// The server, and its own name for the tool, that a client means by `name`, as far as that is known
    /// without asking a server.
    pub fn route(&self, name: &str) -> Option<(Name, String)> {
        let Found { server, definition, .. } = self.find(Kind::Tools, name)?;
        Some((server.name.clone(), definition.name().to_owned()))
    }

    /// Calls what `name` stands for, with `arguments` as they were written. `None`: no server that the
    /// caller may know of has it.
    pub async fn call(
        &self,
        origin: &Arc<Origin>,
        name: &str,
        arguments: Option<&str>,
        cancel: BoxFuture<'_, ()>,
    ) -> Option<ToolCalled> {
        let Found { server, definition, of, item } =
            self.looked_up(Kind::Tools, &origin.caller, name).await?;
        let standing = pins::at(&server.standings(&of, &*self.tools).await, item);
        let (tool, server) = (definition.name(), &*server);
        let request = ToolRequest { server: server.name.as_str(), tool, arguments, standing };
        let act = Box::new(Forward { server, origin, params: () });
        let ended = self.tools.call_tool(&origin.caller, request, act, cancel).await;
        // A server that is not the caller's is not there, whatever its tools are called.
        let hidden = matches!(&ended.result, Err(refusal) if refusal.code == Code::NotFound);
        (!hidden).then_some(ended)
    }

    /// Whether the headers of a call of `name` say what its arguments say. A tool that is not known yet has
    /// told nobody what it wants in headers.
    pub(crate) fn mirrors(&self, origin: &Origin, name: &str, arguments: Option<&str>) -> bool {
        let Some(headers) = &origin.headers else { return true };
        let found = self.find(Kind::Tools, name);
        found.is_none_or(|found| {
            mirrored::agree(found.definition.text(), arguments.unwrap_or("{}"), headers)
        })
    }

    /// Whether `caller` may use the server `name`.
    pub(crate) fn may_use(&self, caller: &Caller, name: &Name) -> bool {
        policy(&self.tools.servers(caller), name).is_some()
    }

    /// Looks whether what is approved of tools has changed, so that whoever listens is told. No server is
    /// asked anything.
    pub async fn look(&self) {
        for server in &self.servers {
            if let Some(tools) = server.known() {
                server.standings(&tools, &*self.tools).await;
            }
        }
    }

    /// What `name` stands for, asking the servers that have not been asked yet.
    async fn looked_up(&self, kind: Kind, caller: &Caller, name: &str) -> Option<Found> {
        if let Some(found) = self.find(kind, name) {
            return Some(found);
        }
        let allowed = self.tools.servers(caller);
        self.ask(kind, |server| policy(&allowed, &server.name).is_some()).await;
        self.find(kind, name)
    }

    fn find(&self, kind: Kind, name: &str) -> Option<Found> {
        let built = self.catalogue(kind);
        let (route, definition) = built.catalogue.find(name)?;
        Some(Found {
            server: Arc::clone(self.servers.get(route.server)?),
            definition: definition.clone(),
            of: Arc::clone(built.from.get(route.server)?.as_ref()?),
            item: route.item,
        })
    }

    /// Asks the `wanted` servers that are not known, all at once; those that did not answer.
    async fn ask(&self, kind: Kind, wanted: impl Fn(&Server) -> bool) -> Vec<(Name, Refusal)> {
        let mut asked = JoinSet::new();
        for server in self.servers.iter().filter(|server| wanted(server)) {
            if server.known_of(kind).is_none() {
                let server = Arc::clone(server);
                asked.spawn(async move {
                    let failed = server.items(kind, PATIENCE).await.err();
                    failed.map(|refusal| (server.name.clone(), refusal))
                });
            }
        }
        let mut missing: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
        missing.sort_by(|a, b| a.0.cmp(&b.0));
        missing
    }

    /// What has a name among others, for callers who may see it.
    fn named(
        &self,
        kind: Kind,
        allowed: &[Arc<Served>],
        (catalogue, standings): (&Catalogue, &[Option<Arc<[Standing]>>]),
        from: usize,
        listed: &mut Listed,
    ) {
        let mut of: Option<(usize, _)> = None;
        let mut page = Page::new(from, self.page);
        listed.elements.reserve(16 << 10);
        catalogue.list(&mut listed.elements, from == 0, |route: Route, definition: &Definition| {
            // Those of one server stand together.
            let rules = match of {
                Some((last, rules)) if last == route.server => rules,
                _ => policy(allowed, &self.servers[route.server].name),
            };
            of = Some((route.server, rules));
            let standing = || {
                let each = standings.get(route.server).and_then(Option::as_deref);
                each.map_or(Standing::Unknown, |each| pins::at(each, route.item))
            };
            let seen = rules.is_some_and(|served| {
                kind != Kind::Tools
                    || (served.pin.lets(standing()) && served.policy.may_allow(definition.name()))
            });
            seen && page.takes()
        });
        listed.next = page.next();
    }

    /// How the tools of the servers that are `allowed` stand, by the places of the servers.
    async fn standings(
        &self,
        kind: Kind,
        allowed: &[Arc<Served>],
        from: &[Option<Arc<[Definition]>>],
    ) -> Vec<Option<Arc<[Standing]>>> {
        let mut standings = Vec::with_capacity(from.len());
        for (server, tools) in self.servers.iter().zip(from) {
            standings.push(match tools {
                Some(tools) if kind == Kind::Tools && policy(allowed, &server.name).is_some() => {
                    Some(server.standings(tools, &*self.tools).await)
                }
                _ => None,
            });
        }
        standings
    }

    /// Everything of this kind that is known now. It is put together anew only where something has
    /// changed.
    fn catalogue(&self, kind: Kind) -> Arc<Built> {
        let from: Vec<_> = self.servers.iter().map(|server| server.current(kind)).collect();
        let built = &self.built[usize::from(kind == Kind::Prompts)];
        let mut built = built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = &*built
            && same(&built.from, &from)
        {
            return Arc::clone(built);
        }
        let offers = self.servers.iter().zip(&from).map(|(server, items)| Offered {
            prefix: server.prefix.clone(),
            definitions: items.as_ref().map_or_else(Vec::new, |items| items.to_vec()),
        });
        let (ours, reserved) = if kind == Kind::Tools { self.ours } else { ("", &[][..]) };
        let catalogue = Catalogue::new(self.naming, ours, reserved, offers.collect());
        let now = Arc::new(Built { from, catalogue });
        *built = Some(Arc::clone(&now));
        now
    }
}

fn policy<'a>(allowed: &'a [Arc<Served>], name: &Name) -> Option<&'a Arc<Served>> {
    allowed.iter().find(|served| served.name == *name)
}

/// Counts what is seen, and takes what is on one page.
struct Page {
    from: usize,
    most: usize,
    seen: usize,
}

impl Page {
    fn new(from: usize, most: usize) -> Self {
        Self { from, most, seen: 0 }
    }

    /// Whether one more that is seen is on the page.
    fn takes(&mut self) -> bool {
        let at = self.seen;
        self.seen += 1;
        (self.from..self.from.saturating_add(self.most)).contains(&at)
    }

    fn next(&self) -> Option<usize> {
        let end = self.from.saturating_add(self.most);
        (self.seen > end).then_some(end)
    }
}

fn same(a: &[Option<Arc<[Definition]>>], b: &[Option<Arc<[Definition]>>]) -> bool {
    a.iter().zip(b).all(|pair| match pair {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    })
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
