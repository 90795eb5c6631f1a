//! Questions that a client shows to its user (decision 15).
//!
//! In the era of `initialize` a question is a request of ours and the answer a response: [`RequestPrompt`].
//! In the modern era servers ask nothing: the call ends with `input_required`, and the client makes it
//! again with the answer: [`RetryPrompt`].

mod request;
mod retry;

use std::fmt::Write as _;
use std::time::Duration;

use strongroom_model::approval::{Answer, Class, LONGEST_SESSION, Question};
use strongroom_model::json::{self, Members};

use crate::wire::write::Object;

pub(crate) use request::{Outbox, Questions, RequestPrompt};
pub(crate) use retry::{RetryPrompt, Unanswered};

/// The one field of the form.
const FIELD: &str = "decision";

/// Whether a client with these capabilities, as written, shows forms.
pub(crate) fn shows_forms(capabilities: &str) -> bool {
    let elicitation = Members::read(capabilities).and_then(|all| all.get("elicitation"));
    // `{}` means forms, as long as there was nothing else.
    elicitation
        .and_then(Members::read)
        .is_some_and(|modes| modes.get("form").is_some() || modes.get("url").is_none())
}

/// Writes the parameters of `elicitation/create`.
fn form(out: &mut Vec<u8>, question: &Question, session: bool) {
    let mut params = Object::open(out);
    params.string("message", &words(question, session));
    let mut schema = Object::open(params.name("requestedSchema"));
    schema.string("type", "object");
    let mut properties = Object::open(schema.name("properties"));
    let mut field = Object::open(properties.name(FIELD));
    field.string("type", "string").string("title", "Your decision");
    let session = session.then_some(Answer::ALLOW_SESSION);
    let words = [Some(Answer::ALLOW), session, Some(Answer::DENY)];
    field.strings("enum", words.into_iter().flatten());
    field.close();
    properties.close();
    schema.strings("required", [FIELD]);
    schema.close();
    params.close();
}

/// What the user reads.
fn words(question: &Question, session: bool) -> String {
    let mut text = "Strongroom asks for the agent that uses this client:\n".to_owned();
    for line in question.lines(false) {
        text.push_str("\n- ");
        text.push_str(&line);
    }
    text.push_str("\n\n`Allow` is for exactly this, once.");
    if session {
        let most = question.ttl().unwrap_or(LONGEST_SESSION).min(LONGEST_SESSION);
        let class = question.class.map_or("", Class::as_str);
        let rule = question.rule.as_deref().unwrap_or_default();
        let _ = write!(
            text,
            " `Allow for Session` is for everything that the rule `{rule}` asks about ({class}), until \
             this connection ends, {} at the most.",
            minutes(most)
        );
    }
    text
}

fn minutes(time: Duration) -> String {
    match time.as_secs() / 60 {
        0 => format!("{} seconds", time.as_secs()),
        minutes if minutes % 60 == 0 => format!("{} hours", minutes / 60),
        minutes => format!("{minutes} minutes"),
    }
}

/// What the user said, as the client reports it. Only a form that was accepted with exactly one of our
/// words is a yes.
fn answer(result: &str, session: bool) -> Answer {
    let word = || {
        let result = Members::read(result)?;
        if json::string(result.get("action")?)? != "accept" {
            return None;
        }
        let content = Members::read(result.get("content")?)?;
        json::string(content.get(FIELD)?)
    };
    match word().map_or(Answer::Deny, |word| Answer::of_prompt(&word)) {
        Answer::Session if !session => Answer::Deny,
        answer => answer,
    }
}

#[cfg(test)]
mod tests;
