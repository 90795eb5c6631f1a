//! What a server's refusal is here: an exit code, and what to do next.

use strongroom_model::principal::Name;
use strongroom_secrets::remote::RemoteError;

use crate::failure::{Exit, Failure};

/// How a command ends that the server `name` did not serve.
pub fn of_error(error: RemoteError, name: &Name) -> Failure {
    let (exit, hint) = match &error {
        RemoteError::Refused { code, retry_after_s, .. } => refused(code, *retry_after_s, name),
        RemoteError::Unreachable { untrusted: true, .. } => (
            Exit::Unavailable,
            Some("if it has a certificate of your own authority, log in with `--ca FILE`".into()),
        ),
        RemoteError::Unreachable { .. } | RemoteError::Random(_) => (Exit::Unavailable, None),
        RemoteError::Authority(_) => {
            (Exit::Failed, Some("give its certificate as PEM: `--ca FILE`".to_owned()))
        }
        _ => (Exit::Unavailable, Some("check the address: `strongroom remote list`".to_owned())),
    };
    Failure::new(exit, error).maybe_hint(hint)
}

/// The exit code of decision 26 that a stable reason has, and the next step.
fn refused(code: &str, retry_after_s: Option<u64>, name: &Name) -> (Exit, Option<String>) {
    let again = || {
        let seconds = retry_after_s.unwrap_or(1);
        Some(format!("try again in {seconds} s"))
    };
    match code {
        "unauthenticated" => (
            Exit::Unavailable,
            Some(format!(
                "the key is wrong, switched off or over: run `strongroom remote login URL --name {name}`"
            )),
        ),
        "policy_denied" => (
            Exit::Denied,
            Some(format!(
                "`strongroom remote show {name}` says what your key may do; an admin of the tenant makes another"
            )),
        ),
        "locked" => (Exit::Denied, Some(format!("run `strongroom lock --show --remote {name}`"))),
        "command_not_allowed" => (
            Exit::Denied,
            Some("the server's operator writes it into `team.allowed_commands`".to_owned()),
        ),
        "destination_denied" | "redirect_denied" | "approval_denied" | "tool_not_approved" => {
            (Exit::Denied, None)
        }
        "rate_limited" | "secret_unavailable" | "audit_unavailable" | "upstream_timeout" => {
            (Exit::Unavailable, again())
        }
        "integrity_error" => (Exit::Unavailable, None),
        _ => (Exit::Failed, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_ends_like_one_of_this_machine() {
        for (code, exit) in [
            ("unauthenticated", Exit::Unavailable),
            ("policy_denied", Exit::Denied),
            ("locked", Exit::Denied),
            ("command_not_allowed", Exit::Denied),
            ("destination_denied", Exit::Denied),
            ("approval_denied", Exit::Denied),
            ("not_found", Exit::Failed),
            ("conflict", Exit::Failed),
            ("invalid_request", Exit::Failed),
            ("rate_limited", Exit::Unavailable),
            ("secret_unavailable", Exit::Unavailable),
            ("audit_unavailable", Exit::Unavailable),
            ("integrity_error", Exit::Unavailable),
            ("of_a_later_version", Exit::Failed),
        ] {
            let refused = RemoteError::Refused {
                code: code.to_owned(),
                message: "no".to_owned(),
                retry_after_s: Some(7),
            };
            let failure = of_error(refused, &"work".parse().unwrap());
            assert_eq!(failure.exit, exit, "{code}");
        }
    }
}
