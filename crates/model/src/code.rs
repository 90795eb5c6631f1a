//! The closed set of reasons why a call ends without an answer.
//!
//! Codes are stable: clients, scripts and the audit match on them. Messages are fixed text; nothing
//! that an upstream or a provider said is ever quoted in one.

use std::borrow::Cow;

use serde::Serialize;

/// Why a call was refused or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The input is malformed or ambiguous; it was not repaired and not judged.
    InvalidRequest,
    /// A deny rule matched, or no allow rule did.
    PolicyDenied,
    /// The host, address or port may not be reached.
    DestinationDenied,
    /// The upstream redirected to where the credential may not go.
    RedirectDenied,
    /// A person said no, said nothing, or could not be asked.
    ApprovalDenied,
    /// There is no valid principal.
    Unauthenticated,
    /// It does not exist, or it is not yours; the two are told apart nowhere.
    NotFound,
    /// A rate or a concurrency cap was reached.
    RateLimited,
    /// The answer is larger than the cap.
    ResponseTooLarge,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// The upstream failed in any other way.
    UpstreamError,
    /// Something stored does not verify.
    IntegrityError,
    /// The audit record could not be written, so nothing was done.
    AuditUnavailable,
    /// The secret cannot be had now.
    SecretUnavailable,
    /// The kill switch is on.
    Locked,
    /// The definition of the tool waits for a person: it has changed, or hides something.
    ToolNotApproved,
    /// The operator does not let a tenant start this program.
    CommandNotAllowed,
    /// The tool itself says that it failed. The caller has its answer; this is for the audit alone.
    ToolError,
}

/// Whether the same call may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Not without a change by a person.
    Never,
    /// After a while.
    After,
    /// Once a person has been asked.
    Ask,
}

impl Code {
    /// Every code, in the order of declaration.
    pub const ALL: [Self; 18] = [
        Self::InvalidRequest,
        Self::PolicyDenied,
        Self::DestinationDenied,
        Self::RedirectDenied,
        Self::ApprovalDenied,
        Self::Unauthenticated,
        Self::NotFound,
        Self::RateLimited,
        Self::ResponseTooLarge,
        Self::UpstreamTimeout,
        Self::UpstreamError,
        Self::IntegrityError,
        Self::AuditUnavailable,
        Self::SecretUnavailable,
        Self::Locked,
        Self::ToolNotApproved,
        Self::CommandNotAllowed,
        Self::ToolError,
    ];

    /// The name on the wire and in the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::PolicyDenied => "policy_denied",
            Self::DestinationDenied => "destination_denied",
            Self::RedirectDenied => "redirect_denied",
            Self::ApprovalDenied => "approval_denied",
            Self::Unauthenticated => "unauthenticated",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limited",
            Self::ResponseTooLarge => "response_too_large",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamError => "upstream_error",
            Self::IntegrityError => "integrity_error",
            Self::AuditUnavailable => "audit_unavailable",
            Self::SecretUnavailable => "secret_unavailable",
            Self::Locked => "locked",
            Self::ToolNotApproved => "tool_not_approved",
            Self::CommandNotAllowed => "command_not_allowed",
            Self::ToolError => "tool_error",
        }
    }

    /// Whether trying again can help.
    pub fn retry(self) -> Retry {
        match self {
            Self::ApprovalDenied => Retry::Ask,
            Self::RateLimited
            | Self::UpstreamTimeout
            | Self::UpstreamError
            | Self::AuditUnavailable
            | Self::SecretUnavailable => Retry::After,
            Self::InvalidRequest
            | Self::PolicyDenied
            | Self::DestinationDenied
            | Self::RedirectDenied
            | Self::Unauthenticated
            | Self::NotFound
            | Self::ResponseTooLarge
            | Self::IntegrityError
            | Self::Locked
            | Self::ToolNotApproved
            | Self::CommandNotAllowed
            | Self::ToolError => Retry::Never,
        }
    }
}

/// A refusal or failure: the code, and a sentence for a person.
///
/// Invariant: `message` is our own text. It may name what the caller sent by its *kind* ("a dot
/// segment in the path"), never by its value, and never what an upstream, a provider or a file said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable reason.
    pub code: Code,
    /// What a person reads.
    pub message: Cow<'static, str>,
    /// The rule that decided, where one did, in its own notation.
    pub rule: Option<String>,
    /// Seconds after which trying again may help, where that is known.
    pub retry_after_s: Option<u64>,
    /// The question that a person has not answered yet, where there is one.
    pub approval: Option<String>,
}

impl Refusal {
    /// A refusal with fixed text.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), rule: None, retry_after_s: None, approval: None }
    }

    /// The same, decided by `rule`.
    #[must_use]
    pub fn by_rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_on_the_wire_is_the_name_in_json() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
