//! What takes a while: our own tools, and everything that a mounted server is asked.

use std::sync::Arc;

use strongroom_model::call::{ToolAnswer, ToolCalled};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::ports::{BoxFuture, Calls};
use strongroom_model::principal::Name;

use super::listen::{self, Ears, Filter, News};
use crate::behind::Behind;
use crate::mount::kind::Kind;
use crate::mount::{Listed, Mount};
use crate::origin::Origin;
use crate::session::Session;
use crate::tools::{self, Invocation, Output};
use crate::wire::RpcError;

/// What is left to do for a request.
pub(super) enum Work {
    /// One of our own tools.
    Ours(Invocation),
    /// Something of a mounted server.
    Mounted { mount: Arc<Mount>, what: What },
}

/// What is wanted of mounted servers.
pub(super) enum What {
    /// A page of a list.
    List { kind: Kind, from: usize },
    /// A call of a tool.
    Tool { name: Box<str>, arguments: Option<Box<str>> },
    /// A prompt.
    Prompt { name: Box<str>, arguments: Option<Box<str>> },
    /// A resource.
    Resource { uri: Box<str> },
    /// A completion; the parameters as written.
    Completion { params: Box<str> },
    /// How a task is getting on, or what becomes of it; the parameters as written.
    Task { method: &'static str, server: Name, id: String, params: Box<str> },
    /// To be told of changes, for as long as the request lasts.
    Listen { id: Box<str>, behind: Behind, filter: Filter },
    /// To be told within a session when a resource changes.
    Watch { uri: Box<str>, session: Arc<Session> },
}

/// What came of it.
pub(super) enum Came {
    /// Our own answer, or a refusal.
    Output(Output),
    /// A server's answer.
    Answer(ToolAnswer),
    /// A page of a list.
    List(Listed),
    /// There is none.
    Error(RpcError),
    /// There is nothing to say about it.
    Done,
}

impl Work {
    pub(super) async fn run(
        self,
        calls: &dyn Calls,
        origin: &Arc<Origin>,
        cancel: BoxFuture<'_, ()>,
    ) -> Came {
        match self {
            Self::Ours(invocation) => {
                Came::Output(invocation.run(calls, &origin.caller, cancel).await)
            }
            Self::Mounted { mount, what } => what.run(&mount, origin, cancel).await,
        }
    }
}

impl What {
    async fn run(self, mount: &Mount, origin: &Arc<Origin>, cancel: BoxFuture<'_, ()>) -> Came {
        match self {
            Self::List { kind, from } => tokio::select! {
                listed = mount.list(&origin.caller, kind, from) => Came::List(listed),
                () = cancel => Came::Error(RpcError::internal()),
            },
            Self::Tool { name, arguments } => {
                if !mount.mirrors(origin, &name, arguments.as_deref()) {
                    return Came::Error(RpcError::header_mismatch(
                        "an Mcp-Param header is not what the body says",
                    ));
                }
                let called = mount.call(origin, &name, arguments.as_deref(), cancel).await;
                match called.map(|ended| (ended.result, ended.audit_id)) {
                    None => Came::Error(tools::unknown()),
                    Some((Ok(answer), _)) => Came::Answer(answer),
                    Some((Err(refusal), audit_id)) => {
                        Came::Output(Output::refused(&refusal, audit_id.as_deref()))
                    }
                }
            }
            Self::Prompt { name, arguments } => {
                let called = mount.prompt(origin, &name, arguments.as_deref(), cancel).await;
                read(called, || RpcError::invalid_params("there is no such prompt"))
            }
            Self::Resource { uri } => {
                let called = mount.read(origin, &uri, cancel).await;
                read(called, || RpcError::no_resource(origin.is_legacy(), &uri))
            }
            Self::Completion { params } => {
                let called = mount.complete(origin, &params, cancel).await;
                read(called, || RpcError::invalid_params("there is nothing of this reference"))
            }
            Self::Task { method, server, id, params } => {
                let called = mount.task(origin, (&server, &id), method, &params, cancel).await;
                read(called, || RpcError::invalid_params("there is no such task"))
            }
            Self::Listen { id, behind, filter } => tokio::select! {
                () = hear(mount, origin, &id, &behind, &filter) => Came::Done,
                () = cancel => Came::Done,
            },
            Self::Watch { uri, session } => {
                let Some((called, watching)) = mount.watch(origin, &uri, cancel).await else {
                    return Came::Error(RpcError::no_resource(origin.is_legacy(), &uri));
                };
                if called.result.is_err() || session.watch(watching) {
                    return read(Some(called), RpcError::internal);
                }
                Came::Error(RpcError::invalid_request("too many resources are watched"))
            }
        }
    }
}

/// Tells the client what it wants to know until it goes.
async fn hear(mount: &Mount, origin: &Arc<Origin>, id: &str, behind: &Behind, filter: &Filter) {
    let Some(line) = &origin.line else { return };
    let Some(mut ears) = Ears::new(behind, origin.caller.clone()) else { return };
    let mut watching = Vec::new();
    for uri in filter.uris() {
        let watched = mount.watch(origin, uri, Box::pin(std::future::pending())).await;
        let permitted = watched.filter(|(called, _)| called.result.is_ok());
        watching.extend(permitted.map(|(_, watching)| watching));
    }
    let mut tasks = Vec::new();
    for task in filter.tasks().iter().filter(|_| origin.can.tasks) {
        let of = (&task.server, task.id.as_str());
        let watched = mount.watch_task(origin, of, Box::pin(std::future::pending())).await;
        if let Some((_, watched)) = watched.filter(|(called, _)| called.result.is_ok()) {
            watching.push(watched);
            tasks.push(task.given.as_str());
        }
    }
    line.tell(filter.acknowledged(id, &watching, &tasks));
    loop {
        for news in ears.next().await {
            match &news {
                News::Task(notice) if filter.wants(&news) && !tasks.is_empty() => {
                    if let Some(told) = mount.told_of_task(origin, notice) {
                        line.tell(listen::of_task(notice, &told, id));
                    }
                }
                News::Task(_) => {}
                _ if filter.wants(&news) => line.tell(news.message(Some(id))),
                _ => {}
            }
        }
    }
}

/// What came of a reading. Only tools have results that say that something went wrong.
fn read(called: Option<ToolCalled>, none: impl FnOnce() -> RpcError) -> Came {
    match called {
        None => Came::Error(none()),
        Some(ToolCalled { result: Ok(answer), .. }) => Came::Answer(answer),
        Some(ToolCalled { result: Err(refusal), audit_id }) => {
            Came::Error(refused(&refusal, audit_id.as_deref()))
        }
    }
}

/// A refusal as an error of the protocol.
fn refused(refusal: &Refusal, audit_id: Option<&str>) -> RpcError {
    if refusal.code == Code::InvalidRequest {
        return RpcError::invalid_params(refusal.message.clone());
    }
    RpcError::refused(refusal, audit_id)
}
