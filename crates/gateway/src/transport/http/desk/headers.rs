//! The headers of a request that the protocol gives a meaning.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderName};

use super::super::guard::single;
use crate::mount::mirrored::plain;
use crate::protocol::Params;
use crate::wire::{self, RpcError};

pub(super) const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");

/// Whether the client reads events, as every client of this transport should.
pub(super) fn takes_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| {
        kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream")
    })
}

/// Whether the client would rather read events: it names them first.
pub(super) fn prefers_events(headers: &HeaderMap) -> bool {
    let first = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let first = first.and_then(|value| value.split([',', ';']).next());
    first.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Names in lower case, without `mcp-param-`, and values.
pub(super) struct Custom(pub(super) Vec<(Box<str>, Box<str>)>);

/// `Mcp-Param-*`, each of which stands once.
pub(super) fn custom(headers: &HeaderMap) -> Result<Custom, RpcError> {
    let mut found = Vec::new();
    for name in headers.keys() {
        let Some(param) = name.as_str().strip_prefix("mcp-param-") else { continue };
        let value = single(headers, name).ok().flatten();
        let value = value.ok_or_else(|| {
            RpcError::header_mismatch("an Mcp-Param header stands twice, or is none")
        })?;
        found.push((param.into(), value.into()));
    }
    Ok(Custom(found))
}

/// Checks that the headers of a modern request say what its body says (streamable-http, "Server
/// Validation"): what stands before us may have decided by them.
pub(super) fn mirrored(
    headers: &HeaderMap,
    version: Option<&str>,
    request: &wire::Request<'_>,
    params: &Params<'_>,
    claimed: &str,
) -> Result<(), RpcError> {
    let mismatch = |why| Err(RpcError::header_mismatch(why));
    if version != Some(claimed) {
        return mismatch("MCP-Protocol-Version is not what the body says");
    }
    params.modern(claimed)?;
    if single(headers, &MCP_METHOD) != Ok(Some(&*request.method)) {
        return mismatch("Mcp-Method is not what the body says");
    }
    let source = match &*request.method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        // An extension (SEP-2663): its clients need not say it.
        "tasks/get" | "tasks/update" | "tasks/cancel" if headers.contains_key(&MCP_NAME) => {
            "taskId"
        }
        _ => return Ok(()),
    };
    let header = single(headers, &MCP_NAME).ok().flatten().and_then(plain);
    match params.string(source) {
        Some(name) if header.as_deref() != Some(name.as_bytes()) => {
            mismatch("Mcp-Name is not what the body says")
        }
        _ => Ok(()),
    }
}
