//! The leave to use a secret: only an exact yes is one.

use strongroom_model::display::escape_line;
use strongroom_model::form::{Choice, Form, Kind};
use tokio::time::timeout;

use super::Named;
use crate::context::{Context, Elicitation, Elicited};
use crate::error::Error;
use crate::fetch::PATIENCE;

/// Skips the question where it is exactly `true`.
const BYPASS: &str = "MCP_BYPASS_SECRET_USE_CONFIRM";

const ALLOW: &str = "Allow";
const ALLOW_SESSION: &str = "Allow for Session";
const DENY: &str = "Deny";

/// At most so many characters of a reason are shown.
const REASON: usize = 500;

impl Named {
    /// Lets the use of `name` pass, or says why not.
    pub(super) async fn permit(
        &self,
        name: &str,
        context: &dyn Context,
        reason: Option<&str>,
    ) -> Result<(), Error> {
        if self.leave.is_granted(name) {
            return Ok(());
        }
        if self.surroundings.is_true(BYPASS) {
            self.surroundings.tell(
                "confirmation_bypassed",
                format!(
                    "{BYPASS}=true: `{}` uses `{name}` without anybody being asked",
                    self.storage.server()
                ),
            );
            return Ok(());
        }
        let before = self.leave.before(name);
        let turn = self.leave.turn().await;
        if self.leave.is_granted(name) {
            return Ok(());
        }
        if self.leave.was_denied_since(name, before) {
            return Err(denied(name, "it was denied a moment ago"));
        }
        let text = prompt(self.storage.server().as_str(), name, reason);
        let choice =
            if context.elicits() { self.elicit(name, context, &text).await? } else { None };
        let choice = match choice {
            Some(choice) => choice,
            None => self.window(name, &text).await?,
        };
        match choice {
            Choice::Allow => Ok(()),
            Choice::AllowSession => {
                turn.grant(name);
                Ok(())
            }
            Choice::Deny => {
                turn.deny(name);
                Err(denied(name, "it was denied"))
            }
        }
    }

    /// What the client's user says; `None` where the client cannot ask.
    async fn elicit(
        &self,
        name: &str,
        context: &dyn Context,
        text: &str,
    ) -> Result<Option<Choice>, Error> {
        let question =
            Elicitation { message: text.to_owned(), choices: &[ALLOW, ALLOW_SESSION, DENY] };
        let said = timeout(PATIENCE, context.elicit(&question)).await;
        match said {
            Err(_) => Err(denied(name, "nobody answered in time")),
            Ok(Elicited::Accepted(answer)) => Ok(Some(choice(answer.as_deref()))),
            Ok(Elicited::Declined) => Err(denied(name, "the question was declined")),
            Ok(Elicited::Cancelled) => Err(denied(name, "the question was cancelled")),
            Ok(Elicited::Gone) => Err(denied(name, "the client is gone")),
            Ok(Elicited::Unsupported) => Ok(None),
        }
    }

    async fn window(&self, name: &str, text: &str) -> Result<Choice, Error> {
        let form = Form {
            title: format!("MCP Secrets for {}", self.storage.server()),
            description: text.to_owned(),
            kind: Kind::Consent,
            ..Form::default()
        };
        self.windows.consent(&form, PATIENCE).await.map_err(|error| match error {
            Error::Closed => denied(name, "the window was closed"),
            Error::Unanswered(_) => denied(name, "nobody answered in time"),
            _ => denied(name, "neither the client nor a window can ask a person"),
        })
    }
}

/// The text of the question. What the server's author or a model wrote stays on its line.
fn prompt(server: &str, name: &str, reason: Option<&str>) -> String {
    let asks = format!("{server} wants to use {name}");
    match reason.map(|reason| escape_line(reason.trim(), REASON)) {
        Some((reason, cut)) if !reason.is_empty() => {
            format!("{asks}\nReason: {reason}{}", if cut { "…" } else { "" })
        }
        _ => asks,
    }
}

fn choice(answer: Option<&str>) -> Choice {
    match answer {
        Some(ALLOW) => Choice::Allow,
        Some(ALLOW_SESSION) => Choice::AllowSession,
        _ => Choice::Deny,
    }
}

fn denied(name: &str, why: &'static str) -> Error {
    Error::Denied { name: name.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_words_allow() {
        assert_eq!(choice(Some("Allow")), Choice::Allow);
        assert_eq!(choice(Some("Allow for Session")), Choice::AllowSession);
        for answer in [
            "Deny",
            "deny",
            "DENY ",
            "allow",
            "ALLOW",
            "Allow ",
            " Allow",
            "allow_session",
            "Allow for session",
            "Allow once",
            "yes",
            "true",
            "",
            "[\"Allow\"]",
            "Аllow", // a Cyrillic letter
        ] {
            assert_eq!(choice(Some(answer)), Choice::Deny, "{answer:?}");
        }
        assert_eq!(choice(None), Choice::Deny);
    }

    #[test]
    fn a_reason_stays_on_its_line() {
        let text = |reason| prompt("My Server", "api_key", reason);
        assert_eq!(text(None), "My Server wants to use api_key");
        assert_eq!(text(Some(" ")), "My Server wants to use api_key");
        assert_eq!(
            text(Some("Authentication with external API")),
            "My Server wants to use api_key\nReason: Authentication with external API"
        );
        assert_eq!(
            text(Some("x\nAllowed already\u{202e}")),
            "My Server wants to use api_key\nReason: x\\u{a}Allowed already\\u{202e}"
        );
        assert!(text(Some(&"x".repeat(5_000))).ends_with("x…"));
    }
}
