//! Why a request was not done, in the one envelope that every such answer has.

use std::borrow::Cow;

use serde::Serialize;
use strongroom_model::code::Code;
use strongroom_model::team::FieldError;

/// Why a request was not done.
///
/// Invariant: `message` and `details` are our own text. They may name a field, never a value, and
/// nothing that a database, a key store or another server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The status of the answer.
    pub status: u16,
    /// The stable reason.
    pub reason: Reason,
    /// What a person reads.
    pub message: Cow<'static, str>,
    /// The field that it is about.
    pub field: Option<String>,
    /// Seconds after which trying again may help.
    pub retry_after_s: Option<u64>,
}

/// The stable reasons: those of every call, and one that only the registry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A reason that calls have too.
    Code(Code),
    /// Something else has the name, or the same `Idempotency-Key` came with another body.
    Conflict,
}

impl Reason {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code(code) => code.as_str(),
            Self::Conflict => "conflict",
        }
    }

    /// Every reason, in the order of the documentation.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        // What a tool says of itself is for the audit alone.
        let codes = Code::ALL.into_iter().filter(|code| *code != Code::ToolError).map(Self::Code);
        codes.chain([Self::Conflict])
    }

    fn status(self) -> u16 {
        match self {
            Self::Conflict => 409,
            Self::Code(code) => match code {
                Code::InvalidRequest => 400,
                Code::Unauthenticated => 401,
                Code::PolicyDenied
                | Code::DestinationDenied
                | Code::RedirectDenied
                | Code::ApprovalDenied
                | Code::ToolNotApproved
                | Code::CommandNotAllowed => 403,
                Code::NotFound => 404,
                Code::RateLimited => 429,
                Code::IntegrityError => 500,
                Code::ResponseTooLarge | Code::UpstreamError | Code::ToolError => 502,
                Code::AuditUnavailable | Code::SecretUnavailable | Code::Locked => 503,
                Code::UpstreamTimeout => 504,
            },
        }
    }
}

impl Problem {
    /// A problem with the status that its reason has.
    pub fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        Self { status: reason.status(), reason, message, field: None, retry_after_s: None }
    }

    /// The input is malformed or ambiguous.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Reason::Code(Code::InvalidRequest), message)
    }

    /// `field` of the input is not what it should be.
    pub fn field(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(field.into()), ..Self::invalid(message) }
    }

    /// There is no valid key. The same bytes in every case.
    pub fn unauthenticated() -> Self {
        let message = "send a valid key: `X-API-Key: mcp_...` or `Authorization: Bearer krn_...`";
        Self::new(Reason::Code(Code::Unauthenticated), message)
    }

    /// It does not exist, or it is not yours. The same bytes in every case.
    pub fn not_found() -> Self {
        Self::new(Reason::Code(Code::NotFound), "there is no such thing here")
    }

    /// The key may not do this.
    pub fn denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Reason::Code(Code::PolicyDenied), message)
    }

    /// Something that is needed cannot be reached now.
    pub fn unavailable(code: Code, message: &'static str) -> Self {
        Self { retry_after_s: Some(1), ..Self::new(Reason::Code(code), message) }
    }

    /// The same with another status.
    #[must_use]
    pub(crate) fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The same for another reason.
    #[must_use]
    pub(crate) fn with_reason(self, reason: Reason) -> Self {
        Self { status: reason.status(), reason, ..self }
    }

    /// The envelope.
    pub fn body(&self) -> Vec<u8> {
        let details = (self.field.is_some() || self.retry_after_s.is_some())
            .then_some(Details { field: self.field.as_deref(), retry_after_s: self.retry_after_s });
        let error = Error { code: self.reason.as_str(), message: &self.message, details };
        serde_json::to_vec(&Envelope { ok: false, error }).unwrap_or_default()
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        Self::field(error.field, format!("`{}` {}", error.field, error.problem))
    }
}

#[derive(Serialize)]
struct Envelope<'a> {
    ok: bool,
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

#[derive(Serialize)]
struct Details<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_has_details_only_where_there_are_some() {
        let plain = String::from_utf8(Problem::not_found().body()).unwrap();
        assert_eq!(
            plain,
            r#"{"ok":false,"error":{"code":"not_found","message":"there is no such thing here"}}"#
        );
        let about = Problem::field("args", "`args` has one text or more").body();
        let about = String::from_utf8(about).unwrap();
        assert_eq!(
            about,
            r#"{"ok":false,"error":{"code":"invalid_request","message":"`args` has one text or more","details":{"field":"args"}}}"#
        );
    }

    #[test]
    fn every_reason_has_a_status_and_a_name_of_its_own() {
        let mut names: Vec<_> = Reason::all().map(Reason::as_str).collect();
        assert!(Reason::all().all(|reason| (400..600).contains(&reason.status())));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
