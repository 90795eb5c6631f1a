//! The errors of JSON-RPC and MCP.

use std::borrow::Cow;

use strongroom_model::json::Flaw;

/// An error object.
///
/// Invariant: `message` is our own text. It names what was sent by its kind, never by its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// The number on the wire.
    pub code: i32,
    /// What a person reads.
    pub message: Cow<'static, str>,
    /// Further facts, as JSON.
    pub data: Option<String>,
}

impl RpcError {
    const PARSE: i32 = -32700;
    const INVALID_REQUEST: i32 = -32600;
    const METHOD_NOT_FOUND: i32 = -32601;
    const INVALID_PARAMS: i32 = -32602;
    const INTERNAL: i32 = -32603;
    const HEADER_MISMATCH: i32 = -32020;
    const UNSUPPORTED_VERSION: i32 = -32022;

    /// The text is not what [`strongroom_model::json::check`] lets through.
    pub(crate) fn unreadable(flaw: Flaw) -> Self {
        // Nesting is a limit of ours, not a mistake in the text.
        let code = if flaw == Flaw::Depth { Self::INVALID_REQUEST } else { Self::PARSE };
        Self::new(code, flaw.to_string())
    }

    /// The message is JSON, but not one that may be sent now.
    pub(crate) fn invalid_request(why: &'static str) -> Self {
        Self::new(Self::INVALID_REQUEST, why)
    }

    /// There is no such method.
    pub(crate) fn method_not_found() -> Self {
        Self::new(Self::METHOD_NOT_FOUND, "there is no such method")
    }

    /// The parameters are not what the method takes.
    pub(crate) fn invalid_params(why: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Self::INVALID_PARAMS, why)
    }

    /// Our own fault.
    pub(crate) fn internal() -> Self {
        Self::new(Self::INTERNAL, "the call ended without an answer")
    }

    /// A header and the body say two things.
    pub(crate) fn header_mismatch(why: &'static str) -> Self {
        Self::new(Self::HEADER_MISMATCH, why)
    }

    /// The protocol version is not one of ours. `requested` is echoed where it is short and plain,
    /// as the specification wants.
    pub(crate) fn unsupported_version(supported: &[&str], requested: &str) -> Self {
        let plain = requested.len() <= 32
            && requested.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
        let requested = if plain { requested } else { "" };
        let data =
            format!(r#"{{"supported":["{}"],"requested":"{requested}"}}"#, supported.join("\",\""));
        Self {
            data: Some(data),
            ..Self::new(Self::UNSUPPORTED_VERSION, "unsupported protocol version")
        }
    }

    /// The status of an HTTP response in the modern era, where the error was found before a
    /// method's own code ran.
    pub(crate) fn modern_status(&self) -> u16 {
        if self.code == Self::METHOD_NOT_FOUND { 404 } else { 400 }
    }

    fn new(code: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }
}
