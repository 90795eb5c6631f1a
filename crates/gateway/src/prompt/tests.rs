use std::time::Duration;

use strongroom_model::approval::{Channel, Class, Digest, Matter};
use strongroom_model::policy::Terms;
use strongroom_model::ports::{Prompt as _, Prompted};
use strongroom_model::principal::{Caller, Principal, Source};

use super::*;

fn question(principal: &str, body: &str) -> Question {
    let caller = Caller {
        principal: Principal { name: principal.parse().unwrap(), source: Source::Token },
        channel: Channel::default(),
        claimed_client: None,
    };
    let matter = Matter {
        service: "acme".parse().unwrap(),
        revision: 1,
        digest: Digest::of([body.as_bytes()]),
        class: Class::Write,
        what: "POST /x".into(),
        place: "https://a.example".into(),
        bytes: body.len() as u64,
        content_type: None,
        text: None,
        unseen: false,
    };
    Question::new(matter, &caller, "POST /**", &Terms::default(), None)
}

#[test]
fn forms_are_shown_by_clients_that_say_so() {
    for yes in [
        r#"{"elicitation":{}}"#,
        r#"{"roots":{},"elicitation":{"form":{}}}"#,
        r#"{"elicitation":{"form":{},"url":{}}}"#,
    ] {
        assert!(shows_forms(yes), "{yes}");
    }
    for no in ["{}", r#"{"elicitation":true}"#, r#"{"elicitation":{"url":{}}}"#, "[]", ""] {
        assert!(!shows_forms(no), "{no}");
    }
}

// DE-10
#[test]
fn only_an_accepted_form_with_the_exact_word_is_a_yes() {
    let accepted = |word: &str| format!(r#"{{"action":"accept","content":{{"decision":{word}}}}}"#);
    assert_eq!(answer(&accepted("\"Allow\""), true), Answer::Once);
    assert_eq!(answer(&accepted("\"Allow for Session\""), true), Answer::Session);
    assert_eq!(answer(&accepted("\"Allow for Session\""), false), Answer::Deny, "not offered");
    for bad in [
        accepted("\"allow\""),
        accepted("\"Deny\""),
        accepted("true"),
        accepted("[\"Allow\"]"),
        r#"{"action":"accept"}"#.into(),
        r#"{"action":"accept","content":{}}"#.into(),
        r#"{"action":"accept","content":"Allow"}"#.into(),
        r#"{"action":"decline","content":{"decision":"Allow"}}"#.into(),
        r#"{"action":"cancel"}"#.into(),
        r#"{"content":{"decision":"Allow"}}"#.into(),
        "null".into(),
        "\"Allow\"".into(),
    ] {
        assert_eq!(answer(&bad, true), Answer::Deny, "{bad}");
    }
}

#[test]
fn a_form_offers_the_words_and_says_what_they_mean() {
    let mut out = Vec::new();
    form(&mut out, &question("a", "x"), true, None);
    let params: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let field = &params["requestedSchema"]["properties"]["decision"];
    assert_eq!(field["enum"], serde_json::json!(["Allow", "Allow for Session", "Deny"]));
    assert_eq!(params["requestedSchema"]["required"], serde_json::json!(["decision"]));
    let message = params["message"].as_str().unwrap();
    assert!(
        message.contains("- POST /x\n- at https://a.example, with a body of 1 byte"),
        "{message}"
    );
    assert!(message.contains("8 hours at the most"), "{message}");
    out.clear();
    form(&mut out, &question("a", "x"), false, None);
    let params: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let field = &params["requestedSchema"]["properties"]["decision"];
    assert_eq!(field["enum"], serde_json::json!(["Allow", "Deny"]));
}

const YES: &str = r#"{"action":"accept","content":{"decision":"Allow"}}"#;

async fn state(question: &Question) -> String {
    let prompt = RetryPrompt::new(None, None);
    assert_eq!(prompt.ask("a-1", question, true, None).await, Prompted::Later);
    prompt.take().expect("a question").state
}

async fn retried(state: &str, id: &str, question: &Question) -> Prompted {
    RetryPrompt::new(Some(state.to_owned()), Some(YES.to_owned()))
        .ask(id, question, true, None)
        .await
}

#[tokio::test(start_paused = true)]
async fn a_state_answers_its_own_question_of_its_own_principal_while_it_is_open() {
    let mine = question("a", "x");
    let state = state(&mine).await;
    tokio::time::advance(Duration::from_secs(5)).await;
    let brought = Prompted::Brought(Answer::Once, Duration::from_secs(5));
    assert_eq!(retried(&state, "a-1", &mine).await, brought);
    assert_eq!(retried(&state, "a-2", &mine).await, Prompted::Later, "another question");
    assert_eq!(retried(&state, "a-1", &question("b", "x")).await, Prompted::Later);
    assert_eq!(retried(&state, "a-1", &question("a", "y")).await, Prompted::Later, "another body");
    tokio::time::advance(PATIENCE_AND_MORE).await;
    assert_eq!(retried(&state, "a-1", &mine).await, Prompted::Later, "too late");
}

const PATIENCE_AND_MORE: Duration = Duration::from_secs(121);

#[tokio::test]
async fn a_forged_state_begins_the_round_anew() {
    let mine = question("a", "x");
    let state = state(&mine).await;
    let mut flipped = state.clone().into_bytes();
    flipped[30] = if flipped[30] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let longer = "A".repeat(64);
    for forged in ["", "x", &state[1..], &state[..state.len() - 2], &flipped, &longer, "a-1"] {
        assert_eq!(retried(forged, "a-1", &mine).await, Prompted::Later, "{forged}");
    }
    // A state that is not needed for a no either.
    let none = RetryPrompt::new(None, Some(YES.to_owned()));
    assert_eq!(none.ask("a-1", &mine, true, None).await, Prompted::Later);
}
