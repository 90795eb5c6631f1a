//! What a tool answers, as the members of a `tools/call` result.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use strongroom_model::code::{Refusal, Retry};

use crate::wire::write::{self, Object};

/// A tool's answer, ready to be written.
///
/// Everything in it has passed the redactor or is our own.
pub(crate) enum Output {
    /// The structured content; the text block says the same.
    Structured(Vec<u8>),
    /// A body too large to stand twice: the first text block holds it, and the structured content
    /// says so.
    Large {
        /// The structured content.
        structured: Vec<u8>,
        /// The body.
        body: Bytes,
        /// Whether the body is bytes and not text.
        binary: bool,
    },
    /// A refusal.
    Refused {
        /// The structured content.
        structured: Vec<u8>,
        /// The text block.
        text: String,
    },
}

impl Output {
    /// The structured content that `fill` writes.
    pub(super) fn structured(fill: impl FnOnce(&mut Object<'_>)) -> Self {
        Self::Structured(object(fill))
    }

    /// The answer to a call that was refused or failed.
    pub(crate) fn refused(refusal: &Refusal, audit_id: Option<&str>) -> Self {
        let mut structured = Vec::with_capacity(256);
        structured.extend_from_slice(b"{\"error\":");
        let mut error = Object::open(&mut structured);
        error.string("code", refusal.code.as_str()).string("message", &refusal.message);
        error.optional("audit_id", audit_id);
        error.string(
            "retry",
            match refusal.code.retry() {
                Retry::Never => "never",
                Retry::After => "after",
                Retry::Ask => "ask",
            },
        );
        if let Some(seconds) = refusal.retry_after_s {
            error.number("retry_after_s", seconds);
        }
        error.optional("approval_id", refusal.approval.as_deref());
        error.close();
        structured.push(b'}');
        let text = format!("{}: {}", refusal.code.as_str(), refusal.message);
        Self::Refused { structured, text }
    }

    /// Whether it says that nothing was done.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// How many bytes [`write`](Self::write) appends, and a few more.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Structured(json) => json.len() * 2 + json.len() / 4 + 128,
            Self::Large { structured, body, binary } => {
                let body = if *binary {
                    base64::encoded_len(body.len(), true).unwrap_or_default()
                } else {
                    write::string_len(text(body))
                };
                body + structured.len() * 3 + 128
            }
            Self::Refused { structured, text } => structured.len() + text.len() * 2 + 128,
        }
    }

    /// Appends the members of the result.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"content\":[");
        let structured = match self {
            Self::Structured(json) => {
                block(out, |out| write::string(out, text(&json)));
                json
            }
            Self::Large { structured, body, binary } => {
                block(out, |out| {
                    if binary { base64(out, &body) } else { write::string(out, text(&body)) }
                });
                drop(body);
                out.push(b',');
                block(out, |out| write::string(out, text(&structured)));
                structured
            }
            Self::Refused { structured, text } => {
                block(out, |out| write::string(out, &text));
                out.extend_from_slice(b"],\"isError\":true,\"structuredContent\":");
                out.extend_from_slice(&structured);
                return;
            }
        };
        out.extend_from_slice(b"],\"structuredContent\":");
        out.extend_from_slice(&structured);
    }
}

/// An object that `fill` writes.
pub(super) fn object(fill: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    let mut object = Object::open(&mut out);
    fill(&mut object);
    object.close();
    out
}

/// A JSON string with `bytes` in base64.
pub(super) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let from = out.len();
    out.resize(from + base64::encoded_len(bytes.len(), true).unwrap_or_default(), 0);
    let written = STANDARD.encode_slice(bytes, &mut out[from..]).expect("room was made");
    out.truncate(from + written);
    out.push(b'"');
}

fn block(out: &mut Vec<u8>, text: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
    text(out);
    out.push(b'}');
}

/// What we wrote, or have checked to be text.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
