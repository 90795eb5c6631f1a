//! Questions that a client shows to its user (decision 15).
//!
//! In the era of `initialize` a question is a request of ours and the answer a response: [`RequestPrompt`].
//! In the modern era servers ask nothing: the call ends with `input_required`, and the client makes it
//! again with the answer: [`RetryPrompt`].

mod request;
mod retry;

use std::borrow::Cow;
use std::fmt::Write as _;

use strongroom_model::approval::{Answer, Question};
use strongroom_model::json::{self, Members};
use strongroom_model::ports::{Prompted, Verification};

use crate::wire::write::Object;

pub(crate) use request::{Outbox, Questions, RequestPrompt};
pub(crate) use retry::{RetryPrompt, Unanswered};

/// The one field of the form.
const FIELD: &str = "decision";

/// What a client says where the code it shows is to be typed in the window.
const SEEN: &str = "Continue in the window";

/// Whether a client with these capabilities, as written, shows forms.
pub(crate) fn shows_forms(capabilities: &str) -> bool {
    let elicitation = Members::read(capabilities).and_then(|all| all.get("elicitation"));
    // `{}` means forms, as long as there was nothing else.
    elicitation
        .and_then(Members::read)
        .is_some_and(|modes| modes.get("form").is_some() || modes.get("url").is_none())
}

/// Writes the parameters of `elicitation/create`. With a `code` that is to be typed in the window, the
/// answer is given there, and here no more than a no.
fn form(out: &mut Vec<u8>, question: &Question, session: bool, code: Option<&dyn Verification>) {
    let typed = question.typed;
    let mut params = Object::open(out);
    params.string("message", &words(question, session, code));
    let mut schema = Object::open(params.name("requestedSchema"));
    schema.string("type", "object");
    let mut properties = Object::open(schema.name("properties"));
    let mut field = Object::open(properties.name(FIELD));
    field.string("type", "string").string("title", "Your decision");
    let yes = if typed { SEEN } else { Answer::ALLOW };
    let session = (session && !typed).then_some(Answer::ALLOW_SESSION);
    let words = [Some(yes), session, Some(Answer::DENY)];
    field.strings("enum", words.into_iter().flatten());
    field.close();
    properties.close();
    schema.strings("required", [FIELD]);
    schema.close();
    params.close();
}

/// What the user reads.
fn words(question: &Question, session: bool, code: Option<&dyn Verification>) -> String {
    let mut text = "Strongroom asks for the agent that uses this client:\n".to_owned();
    for line in question.lines(false) {
        text.push_str("\n- ");
        text.push_str(&line);
    }
    text.push_str("\n\n");
    let code = code.map(Verification::shown);
    match &code {
        Some(code) if question.typed => {
            let _ = write!(
                text,
                "To allow it, type the code {code} in Strongroom's own window. What is said here can \
                 only deny it."
            );
        }
        _ => text
            .push_str(&question.good_for(Answer::ALLOW, session.then_some(Answer::ALLOW_SESSION))),
    }
    if let (Some(code), false) = (&code, question.typed) {
        let _ = write!(
            text,
            " Strongroom's own window asks the same and shows the code {code}: the first answer counts."
        );
    }
    text
}

/// What the user said, as the client reports it. Only a form that was accepted with exactly one of our
/// words is a yes.
fn answer(result: &str, session: bool) -> Answer {
    match word(result).map_or(Answer::Deny, |word| Answer::of_prompt(&word)) {
        Answer::Session if !session => Answer::Deny,
        answer => answer,
    }
}

/// What came of the prompt, as the client reports it.
fn prompted(result: &str, question: &Question, session: bool) -> Prompted {
    match word(result) {
        Some(word) if question.typed && word == SEEN => Prompted::Seen,
        _ if question.typed => Prompted::Answered(Answer::Deny),
        _ => Prompted::Answered(answer(result, session)),
    }
}

/// The word that was chosen in a form that was accepted.
fn word(result: &str) -> Option<String> {
    let result = Members::read(result)?;
    if json::string(result.get("action")?)? != "accept" {
        return None;
    }
    let content = Members::read(result.get("content")?)?;
    json::string(content.get(FIELD)?).map(Cow::into_owned)
}

#[cfg(test)]
mod tests;
