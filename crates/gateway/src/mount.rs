//! Many servers behind one endpoint.
//!
//! [`Server`] knows what one server offers; [`Catalogue`] is everything that is offered, written down once;
//! [`Mount`] lists and calls, for callers who may.

pub mod catalogue;
pub mod definition;
pub mod names;
mod served;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_model::call::{ToolAnswer, ToolCalled};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::ports::{BoxFuture, ToolAct, ToolRequest, Tools};
use strongroom_model::principal::{Caller, Name};
use strongroom_model::tool::ToolCall;
use tokio::task::JoinSet;

use crate::wire::write::{self, Object};
use catalogue::{Catalogue, Offered};
use definition::Definition;
use names::{Naming, Route};
pub use served::{MOST_TOOLS, Server};

/// How long a list waits for servers that have to be started.
const PATIENCE: Duration = Duration::from_secs(10);

/// The servers behind one endpoint, and our own tools before them.
pub struct Mount {
    tools: Arc<dyn Tools>,
    servers: Vec<Arc<Server>>,
    naming: Naming,
    /// The elements of the list of our own tools, and their names.
    ours: (&'static str, &'static [&'static str]),
    /// What everything was put together from, and what came of it.
    built: Mutex<Option<Built>>,
}

#[derive(Clone)]
struct Built {
    from: Vec<Option<Arc<[Definition]>>>,
    catalogue: Arc<Catalogue>,
}

/// A list for one caller.
pub struct Listed {
    /// The elements, with commas between them.
    pub elements: Vec<u8>,
    /// The servers whose tools are not in it, and why.
    pub missing: Vec<(Name, Refusal)>,
}

impl Mount {
    /// Puts `servers` behind our own tools. Nothing is started before it is wanted.
    pub fn new(tools: Arc<dyn Tools>, servers: Vec<Arc<Server>>, naming: Naming) -> Self {
        Self { tools, servers, naming, ours: crate::tools::ours(), built: Mutex::default() }
    }

    /// The servers.
    pub fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    /// What `caller` may call. Servers that are not ready in time are left out and named: those of
    /// others are there all the same.
    pub async fn list(&self, caller: &Caller) -> Listed {
        let allowed = self.tools.servers(caller);
        let policy = |name: &Name| allowed.iter().find(|served| served.name == *name);
        let missing = self.ask(|server| policy(&server.name).is_some()).await;
        let catalogue = self.catalogue();
        let mut elements = Vec::with_capacity(64 << 10);
        let mut of: Option<(usize, _)> = None;
        catalogue.list(&mut elements, |route: Route, definition: &Definition| {
            // Those of one server stand together.
            let rules = match of {
                Some((last, rules)) if last == route.server => rules,
                _ => policy(&self.servers[route.server].name),
            };
            of = Some((route.server, rules));
            rules.is_some_and(|served| served.policy.may_allow(definition.name()))
        });
        Listed { elements, missing }
    }

    /// Calls what `name` stands for, with `arguments` as they were written. `None`: no server that the
    /// caller may know of has it.
    pub async fn call(
        &self,
        caller: &Caller,
        name: &str,
        arguments: Option<&str>,
        cancel: BoxFuture<'_, ()>,
    ) -> Option<ToolCalled> {
        let (server, tool) = if let Some(found) = self.find(name) {
            found
        } else {
            // It may be one of a server that has not been asked yet.
            let allowed = self.tools.servers(caller);
            self.ask(|server| allowed.iter().any(|served| served.name == server.name)).await;
            self.find(name)?
        };
        let request = ToolRequest { server: server.name.as_str(), tool: &tool, arguments };
        let act = Box::new(Forward { server: &server });
        let ended = self.tools.call_tool(caller, request, act, cancel).await;
        // A server that is not the caller's is not there, whatever its tools are called.
        let hidden = matches!(&ended.result, Err(refusal) if refusal.code == Code::NotFound);
        (!hidden).then_some(ended)
    }

    fn find(&self, name: &str) -> Option<(Arc<Server>, String)> {
        let catalogue = self.catalogue();
        let (route, definition) = catalogue.find(name)?;
        Some((Arc::clone(self.servers.get(route.server)?), definition.name().to_owned()))
    }

    /// Asks the `wanted` servers that are not known, all at once; those that did not answer.
    async fn ask(&self, wanted: impl Fn(&Server) -> bool) -> Vec<(Name, Refusal)> {
        let mut asked = JoinSet::new();
        for server in self.servers.iter().filter(|server| wanted(server)) {
            if server.known().is_none() {
                let server = Arc::clone(server);
                asked.spawn(async move {
                    let failed = server.tools(PATIENCE).await.err();
                    failed.map(|refusal| (server.name.clone(), refusal))
                });
            }
        }
        let mut missing: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
        missing.sort_by(|a, b| a.0.cmp(&b.0));
        missing
    }

    /// Everything that is known now. It is put together anew only where something has changed.
    fn catalogue(&self) -> Arc<Catalogue> {
        let from: Vec<_> = self.servers.iter().map(|server| server.known()).collect();
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(built) = &*built
            && same(&built.from, &from)
        {
            return Arc::clone(&built.catalogue);
        }
        let offers = self.servers.iter().zip(&from).map(|(server, tools)| Offered {
            prefix: server.prefix.clone(),
            definitions: tools.as_ref().map_or_else(Vec::new, |tools| tools.to_vec()),
        });
        let (ours, reserved) = self.ours;
        let catalogue = Catalogue::new(self.naming, ours, reserved, offers.collect());
        let catalogue = Arc::new(catalogue);
        *built = Some(Built { from, catalogue: Arc::clone(&catalogue) });
        catalogue
    }
}

fn same(a: &[Option<Arc<[Definition]>>], b: &[Option<Arc<[Definition]>>]) -> bool {
    a.iter().zip(b).all(|pair| match pair {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    })
}

/// Takes a permitted call to its server.
struct Forward<'a> {
    server: &'a Server,
}

impl ToolAct for Forward<'_> {
    fn act<'a>(
        self: Box<Self>,
        call: ToolCall,
        cancel: BoxFuture<'a, ()>,
    ) -> BoxFuture<'a, Result<ToolAnswer, Refusal>>
    where
        Self: 'a,
    {
        Box::pin(async move {
            tokio::select! {
                biased;
                () = cancel => {
                    let text = "the caller went away before the answer";
                    Err(Refusal::new(Code::UpstreamError, text))
                }
                answer = forward(self.server, &call) => answer,
            }
        })
    }
}

async fn forward(server: &Server, call: &ToolCall) -> Result<ToolAnswer, Refusal> {
    let ready = server.upstream.ready().await?;
    let params = |_: u64, out: &mut Vec<u8>| {
        let mut params = Object::open(out);
        params.string("name", call.tool());
        write::on_one_line(params.name("arguments"), call.arguments());
        served::meta(&mut params, ready.agreed.era);
        params.close();
    };
    let answer = ready.running.peer.call("tools/call", params, None).await;
    let answer = answer.map_err(|over| served::strange(&over.0))?;
    let (text, is_error) = match answer.text() {
        Ok(text) => (text, false),
        Err(text) => (text, true),
    };
    let (text, redactions) = ready.redactor.clean(text.as_bytes().to_vec());
    Ok(ToolAnswer { text, is_error, redactions })
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
