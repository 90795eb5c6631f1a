//! The errors of JSON-RPC and MCP.

use std::borrow::Cow;

use strongroom_model::code::Refusal;
use strongroom_model::json::Flaw;

use super::write::Object;

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
    const NO_RESOURCE: i32 = -32002;
    const REFUSED: i32 = -32000;
    const MISSING_CAPABILITY: i32 = -32021;
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

    /// There is no such resource. Only clients that have said hello know a number of its own for that.
    pub(crate) fn no_resource(legacy: bool, uri: &str) -> Self {
        let code = if legacy { Self::NO_RESOURCE } else { Self::INVALID_PARAMS };
        let mut data = Vec::new();
        let mut object = Object::open(&mut data);
        object.string("uri", uri);
        object.close();
        Self { data: String::from_utf8(data).ok(), ..Self::new(code, "there is no such resource") }
    }

    /// A person, a rule or a limit stands in the way.
    pub(crate) fn refused(refusal: &Refusal, audit_id: Option<&str>) -> Self {
        let mut data = Vec::new();
        let mut object = Object::open(&mut data);
        object.string("code", refusal.code.as_str()).optional("audit_id", audit_id);
        if let Some(seconds) = refusal.retry_after_s {
            object.number("retry_after_s", seconds);
        }
        object.close();
        Self {
            data: String::from_utf8(data).ok(),
            ..Self::new(Self::REFUSED, refusal.message.clone())
        }
    }

    /// The client has not said that it can do `what`, an object of capabilities.
    pub(crate) fn missing_capability(what: &str) -> Self {
        Self {
            data: Some(format!("{{\"requiredCapabilities\":{what}}}")),
            ..Self::new(Self::MISSING_CAPABILITY, "the client lacks a capability")
        }
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

    /// The same where the method's own code has found it.
    pub(crate) fn late_status(&self) -> u16 {
        Self::status_of(self.code)
    }

    /// The status of an HTTP response of the modern era with an error of this number in it.
    pub(crate) fn status_of(code: i32) -> u16 {
        match code {
            Self::HEADER_MISMATCH | Self::MISSING_CAPABILITY | Self::UNSUPPORTED_VERSION => 400,
            _ => 200,
        }
    }

    fn new(code: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }
}
