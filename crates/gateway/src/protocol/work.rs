//! What takes a while: our own tools, and everything that a mounted server is asked.

use std::sync::Arc;

use strongroom_model::call::{ToolAnswer, ToolCalled};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::ports::{BoxFuture, Calls};

use crate::mount::kind::Kind;
use crate::mount::{Listed, Mount};
use crate::origin::Origin;
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
