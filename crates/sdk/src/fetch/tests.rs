use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::for_tests::{Client, Ending, Items, Place, Scripted};

const SERVICE: &str = "com.mcp.My Server";
const BOTH: Ending = Ending::Filled(&[("user", "me"), ("key", "canary")]);

/// A flow, and what came of it.
struct Flow {
    result: Result<String, Error>,
    items: Arc<Items>,
    windows: Arc<Scripted>,
    took: Duration,
}

impl Flow {
    async fn of(client: &Client, window: (u64, Ending)) -> Self {
        Self::over(Arc::default(), client, window).await
    }

    async fn over(items: Arc<Items>, client: &Client, (after, ending): (u64, Ending)) -> Self {
        let place = Place::new(&[]);
        let storage = Arc::new(place.storage("My Server", &items));
        let windows = Scripted::end(Duration::from_secs(after), ending);
        let start = Instant::now();
        let result = fetch(&storage, &*windows, client, &info()).await;
        let flow = Self { result, items, windows, took: start.elapsed() };
        assert_eq!(*flow.windows.open.lock().unwrap(), 0, "no window is left");
        flow
    }

    /// Nothing was stored, and why.
    fn nothing(&self) -> &'static str {
        assert!(self.items.all.lock().unwrap().is_empty(), "nothing is stored");
        self.result.as_ref().unwrap_err().code()
    }
}

fn info() -> SecretsInfo {
    let info = br#"{"user": {"required": true}, "key": {"field_type": "password"}}"#;
    SecretsInfo::read(info).unwrap()
}

fn client(after: u64, answer: Elicited) -> Client {
    Client::says(Duration::from_secs(after), &[answer])
}

const ACCEPTED: Elicited = Elicited::Accepted(None);

#[tokio::test(start_paused = true)]
async fn what_is_filled_in_is_stored_whichever_comes_first() {
    for (client_after, window_after) in [(5, 60), (60, 5), (30, 30), (119, 200)] {
        let client = client(client_after, ACCEPTED);
        let flow = Flow::of(&client, (window_after, BOTH)).await;
        assert_eq!(flow.result.unwrap(), "Stored 2 secrets");
        assert_eq!(flow.items.find(SERVICE, "key").as_deref(), Some("canary"));
        assert_eq!(flow.items.find(SERVICE, "user").as_deref(), Some("me"));
        assert_eq!(
            flow.items.find(SERVICE, "__secret_index__").as_deref(),
            Some(r#"["user","key"]"#)
        );
        assert_eq!(*client.told.lock().unwrap(), ["Stored 2 secrets"]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_window_and_the_client_show_one_code_and_nobody_else_does() {
    let client = client(1, ACCEPTED);
    let flow = Flow::of(&client, (1, BOTH)).await;
    let forms = flow.windows.forms.lock().unwrap();
    let code = forms[0].verification_code().unwrap();
    let asked = client.asked.lock().unwrap();
    let expected = format!("Secrets Requested [Code: {code}] - Click 'Continue' when finished");
    assert_eq!(asked[0], Elicitation { message: expected, choices: &[] });
    assert_eq!(forms[0].title, "MCP Secrets for My Server");
    let beginning = format!("Verification Code: {code}\n\nConfirm this code matches ");
    assert!(forms[0].description.starts_with(&beginning));
    assert!(!client.told.lock().unwrap().concat().contains(code));
    assert!(!flow.result.unwrap().contains(code));
}

#[tokio::test(start_paused = true)]
async fn whatever_the_client_says_but_yes_stores_nothing() {
    for (answer, code) in [
        (Elicited::Declined, "request_declined"),
        (Elicited::Cancelled, "request_cancelled"),
        (Elicited::Gone, "client_gone"),
        (Elicited::Unsupported, "elicitation_unsupported"),
    ] {
        for (client_after, window) in [(5, (60, BOTH)), (60, (5, BOTH)), (5, (0, Ending::Never))] {
            let flow = Flow::of(&client(client_after, answer.clone()), window).await;
            assert_eq!(flow.nothing(), code);
            assert_eq!(flow.took.as_secs(), client_after);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_there_for_two_minutes_stores_nothing() {
    let silent = Client::says(Duration::ZERO, &[]);
    for window in [(0, Ending::Never), (5, BOTH)] {
        let flow = Flow::of(&silent, window).await;
        assert_eq!(flow.nothing(), "unanswered");
        assert_eq!(flow.took.as_secs(), 120);
    }
    // The client has answered, and the window has its own two minutes.
    let flow = Flow::of(&client(100, ACCEPTED), (0, Ending::Never)).await;
    assert_eq!(flow.nothing(), "unanswered");
    assert_eq!(flow.took.as_secs(), 220);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_is_closed_ends_the_flow_whatever_the_client_says_later() {
    for answer in [ACCEPTED, Elicited::Declined] {
        for client_after in [3, 60] {
            let flow = Flow::of(&client(client_after, answer.clone()), (3, Ending::Closed)).await;
            assert_eq!(flow.nothing(), "window_closed");
            assert_eq!(flow.took.as_secs(), 3);
        }
    }
    // As does one that is closed after the client's yes.
    let flow = Flow::of(&client(3, ACCEPTED), (30, Ending::Closed)).await;
    assert_eq!((flow.nothing(), flow.took.as_secs()), ("window_closed", 30));
}

#[tokio::test(start_paused = true)]
async fn a_window_that_dies_or_is_not_there_stores_nothing() {
    let flow = Flow::of(&client(60, ACCEPTED), (3, Ending::Died)).await;
    assert_eq!((flow.nothing(), flow.took.as_secs()), ("window_unavailable", 3));
    let client = client(60, ACCEPTED);
    let flow = Flow::of(&client, (0, Ending::Missing)).await;
    assert_eq!(flow.nothing(), "window_unavailable");
    assert!(client.asked.lock().unwrap().is_empty(), "the client is not asked in vain");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_cannot_be_asked_is_shown_no_window() {
    let flow = Flow::of(&Client::mute(), (0, BOTH)).await;
    assert_eq!(flow.nothing(), "elicitation_unsupported");
    assert!(flow.windows.forms.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_is_dropped_closes_its_window_and_stores_nothing() {
    let place = Place::new(&[]);
    let items: Arc<Items> = Arc::default();
    let storage = Arc::new(place.storage("My Server", &items));
    let windows = Scripted::end(Duration::from_mins(1), BOTH);
    let client = client(60, ACCEPTED);
    let info = info();
    let flow = fetch(&storage, &*windows, &client, &info);
    assert!(timeout(Duration::from_secs(30), flow).await.is_err());
    assert_eq!(*windows.open.lock().unwrap(), 0);
    assert!(items.all.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_what_is_missing_is_asked_for() {
    let items: Arc<Items> = Arc::default();
    items.put(SERVICE, "user", "me");
    let ending = Ending::Filled(&[("key", "canary")]);
    let client = client(1, ACCEPTED);
    let flow = Flow::over(Arc::clone(&items), &client, (1, ending)).await;
    assert_eq!(flow.result.unwrap(), "Stored 1 secret");
    assert_eq!(flow.windows.forms.lock().unwrap()[0].fields.len(), 1);
    // And then nothing is.
    let flow = Flow::over(items, &Client::mute(), (1, ending)).await;
    assert_eq!(flow.result.unwrap(), "All secrets are stored already");
}

#[tokio::test(start_paused = true)]
async fn what_is_left_empty_is_no_secret() {
    let ending = Ending::Filled(&[("user", "me"), ("key", "")]);
    let flow = Flow::of(&client(1, ACCEPTED), (1, ending)).await;
    assert_eq!(flow.result.unwrap(), "Stored 1 secret");
    assert_eq!(flow.items.find(SERVICE, "key"), None);
}

#[tokio::test(start_paused = true)]
async fn a_keychain_that_fails_midway_keeps_none_of_the_answers() {
    let items: Arc<Items> = Arc::default();
    *items.broken.lock().unwrap() = Some("key".to_owned());
    let flow = Flow::over(items, &client(1, ACCEPTED), (1, BOTH)).await;
    assert_eq!(flow.nothing(), "keychain_refused");
    let said = flow.result.unwrap_err().text();
    assert!(!said.contains("canary") && !said.contains("me\""), "{said}");
}
