//! What takes a while, and what is answered of mounted servers.

use std::sync::Arc;

use strongroom_model::call::ToolAnswer;
use strongroom_model::json::Members;
use strongroom_model::ports::{BoxFuture, Calls};
use strongroom_model::principal::Caller;

use super::{Era, cacheable, server_info};
use crate::mount::{Listed, Mount};
use crate::tools::{Invocation, Output};
use crate::wire::Id;
use crate::wire::write::{self, Object};

/// What is left to do for a request.
pub(super) enum Work {
    /// One of our own tools.
    Ours(Invocation),
    /// A tool of a mounted server.
    Mounted { mount: Arc<Mount>, name: Box<str>, arguments: Option<Box<str>> },
    /// The list of all tools.
    List(Arc<Mount>),
}

/// What came of it.
pub(super) enum Came {
    /// Our own answer, or a refusal.
    Output(Output),
    /// A server's answer.
    Answer(ToolAnswer),
    /// The list.
    List(Listed),
    /// There is no such tool.
    Nothing,
}

impl Work {
    pub(super) async fn run(
        self,
        calls: &dyn Calls,
        caller: &Caller,
        cancel: BoxFuture<'_, ()>,
    ) -> Came {
        match self {
            Self::Ours(invocation) => Came::Output(invocation.run(calls, caller, cancel).await),
            Self::List(mount) => tokio::select! {
                listed = mount.list(caller) => Came::List(listed),
                () = cancel => Came::Nothing,
            },
            Self::Mounted { mount, name, arguments } => {
                let ended = mount.call(caller, &name, arguments.as_deref(), cancel).await;
                let Some(ended) = ended else { return Came::Nothing };
                match ended.result {
                    Ok(answer) => Came::Answer(answer),
                    Err(refusal) => {
                        Came::Output(Output::refused(&refusal, ended.audit_id.as_deref()))
                    }
                }
            }
        }
    }
}

/// What a server answered, as it wrote it.
pub(super) fn answer(id: Id<'_>, era: Era, answer: &ToolAnswer) -> Vec<u8> {
    let text = answer.text.get();
    let mut out = Vec::with_capacity(text.len() + 96 + id.raw().len());
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.raw().as_bytes());
    out.extend_from_slice(if answer.is_error { b",\"error\":" } else { b",\"result\":" });
    match era {
        Era::Modern if !answer.is_error => complete(&mut out, text),
        Era::Modern | Era::Legacy => out.extend_from_slice(text),
    }
    out.push(b'}');
    out
}

/// A modern result says what it is; one of an older server does not.
fn complete(out: &mut Vec<u8>, text: &[u8]) {
    let members = str::from_utf8(text).ok().and_then(Members::read);
    match members {
        Some(members) if members.get("resultType").is_none() => {
            out.extend_from_slice(b"{\"resultType\":\"complete\"");
            if members.iter().next().is_some() {
                out.push(b',');
            }
            out.extend_from_slice(&text[1..]);
        }
        _ => out.extend_from_slice(text),
    }
}

/// The list, and which servers are not in it. It may change with every request: nobody keeps it.
pub(super) fn list(id: Id<'_>, era: Era, listed: &Listed) -> Vec<u8> {
    write::result(id, listed.elements.len() + 512, |out| {
        if era == Era::Modern {
            out.extend_from_slice(b"\"resultType\":\"complete\",");
        }
        out.extend_from_slice(b"\"tools\":[");
        out.extend_from_slice(&listed.elements);
        out.push(b']');
        if era == Era::Modern {
            cacheable(out, 0);
        }
        if era == Era::Legacy && listed.missing.is_empty() {
            return;
        }
        out.extend_from_slice(b",\"_meta\":");
        let mut meta = Object::open(out);
        if era == Era::Modern {
            server_info(meta.name("io.modelcontextprotocol/serverInfo"));
        }
        if !listed.missing.is_empty() {
            let out = meta.name("io.strongroom/missing");
            write::list(out, &listed.missing, |out, (name, refusal)| {
                let mut missing = Object::open(out);
                missing.string("server", name.as_str()).string("why", &refusal.message);
                missing.close();
            });
        }
        meta.close();
    })
}
