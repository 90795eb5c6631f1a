use std::time::Duration;

use strongroom_model::form::{Choice, Kind};

use super::*;
use crate::context::Elicited;
use crate::for_tests::{Client, Ending, Items, Place, Scripted, secret, text};

const SERVICE: &str = "com.mcp.My Server";

/// A manager of `My Server`, which has the secret `api_key`.
struct Set {
    manager: Manager,
    windows: Arc<Scripted>,
    items: Arc<Items>,
    place: Place,
}

impl Set {
    fn new(variables: &[(&str, &str)], ending: Ending) -> Self {
        Self::on(variables, ending, false)
    }

    fn on(variables: &[(&str, &str)], ending: Ending, cache: bool) -> Self {
        let mut place = Place::new(variables);
        place.surroundings.cache = cache;
        let items: Arc<Items> = Arc::default();
        items.put(SERVICE, "api_key", "canary");
        let windows = Scripted::end(Duration::from_secs(1), ending);
        let set = Self { manager: Manager::new(), windows, items, place };
        set.again();
        set
    }

    /// Names the server, as a start of the process does.
    fn again(&self) {
        let storage = Arc::new(self.place.storage("My Server", &self.items));
        let windows: Arc<dyn Windows> = Arc::<Scripted>::clone(&self.windows);
        self.manager.begin(storage, self.place.surroundings.clone(), windows).unwrap();
    }

    async fn retrieve(&self, client: &Client) -> Result<Option<String>, Error> {
        let reason = Some("Authentication with external API");
        let value = self.manager.retrieve_with_permission("api_key", client, reason).await?;
        Ok(value.map(|value| text(&value)))
    }
}

fn says(answers: &[Elicited]) -> Client {
    Client::says(Duration::from_millis(5), answers)
}

fn accepted(answer: &str) -> Elicited {
    Elicited::Accepted(Some(answer.to_owned()))
}

#[test]
fn before_it_has_a_name_nothing_can_be_done() {
    let manager = Manager::new();
    for error in [
        manager.retrieve_secret("a").unwrap_err(),
        manager.store_secret("a", secret("x")).unwrap_err(),
        manager.list_secrets().unwrap_err(),
        manager.ensure_secrets(&["a"]).unwrap_err(),
    ] {
        assert_eq!(error.code(), "not_initialized");
    }
    assert_eq!(manager.server_name(), None);
    let surroundings = Place::new(&[]).surroundings;
    let error = manager.initialize("a\n", surroundings).unwrap_err();
    assert_eq!(error.code(), "invalid_server_name");
}

#[tokio::test(start_paused = true)]
async fn only_the_exact_answers_of_the_client_release_a_secret() {
    let set = Set::new(&[], Ending::Missing);
    let client = says(&[accepted("Allow")]);
    assert_eq!(set.retrieve(&client).await.unwrap().as_deref(), Some("canary"));
    let asked = client.asked.lock().unwrap()[0].clone();
    let text = "My Server wants to use api_key\nReason: Authentication with external API";
    assert_eq!(asked.message, text);
    assert_eq!(asked.choices, ["Allow", "Allow for Session", "Deny"]);
    for answer in [
        accepted("Deny"),
        accepted("deny"),
        accepted("DENY "),
        accepted("allow"),
        accepted(""),
        Elicited::Accepted(None),
        Elicited::Declined,
        Elicited::Cancelled,
        Elicited::Gone,
    ] {
        let error = set.retrieve(&says(std::slice::from_ref(&answer))).await.unwrap_err();
        assert_eq!(error.code(), "permission_denied", "{answer:?}");
        assert!(!error.text().contains("canary"));
    }
    assert!(set.windows.forms.lock().unwrap().is_empty(), "what was denied is not asked again");
}

#[tokio::test(start_paused = true)]
async fn no_answer_within_two_minutes_is_a_no() {
    let set = Set::new(&[], Ending::Missing);
    let start = tokio::time::Instant::now();
    let error = set.retrieve(&says(&[])).await.unwrap_err();
    assert_eq!(error.code(), "permission_denied");
    assert_eq!(start.elapsed().as_secs(), 120);
}

#[tokio::test(start_paused = true)]
async fn what_is_allowed_once_is_asked_again_and_for_the_session_it_is_not() {
    let set = Set::new(&[], Ending::Missing);
    let client = says(&[accepted("Allow"), accepted("Allow for Session")]);
    for _ in 0..4 {
        assert!(set.retrieve(&client).await.unwrap().is_some());
    }
    assert_eq!(client.asked.lock().unwrap().len(), 2);
    // For this secret alone.
    set.manager.store_secret("other", secret("x")).unwrap();
    let denies = says(&[accepted("Deny")]);
    let other = set.manager.retrieve_with_permission("other", &denies, None);
    assert_eq!(other.await.unwrap_err().code(), "permission_denied");
    // And not after the secret was deleted, or the process began again.
    set.manager.delete_secret("api_key").unwrap();
    set.manager.store_secret("api_key", secret("new")).unwrap();
    assert!(set.retrieve(&says(&[accepted("Deny")])).await.is_err());
    assert!(set.retrieve(&says(&[accepted("Allow for Session")])).await.is_ok());
    set.again();
    assert!(set.retrieve(&says(&[accepted("Deny")])).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn where_the_client_cannot_ask_a_window_does_and_without_one_it_is_a_no() {
    for client in [Client::mute(), says(&[Elicited::Unsupported])] {
        for (ending, allowed) in [
            (Ending::Chosen(Choice::Allow), true),
            (Ending::Chosen(Choice::AllowSession), true),
            (Ending::Chosen(Choice::Deny), false),
            (Ending::Closed, false),
            (Ending::Died, false),
            (Ending::Missing, false),
        ] {
            let set = Set::new(&[], ending);
            let client =
                if client.elicits() { says(&[Elicited::Unsupported]) } else { Client::mute() };
            assert_eq!(set.retrieve(&client).await.is_ok(), allowed);
            if let Some(form) = set.windows.forms.lock().unwrap().first() {
                assert_eq!(form.kind, Kind::Consent);
                assert!(form.description.contains("wants to use api_key\nReason: "));
                assert!(form.check().is_ok());
            }
        }
    }
    let set = Set::new(&[], Ending::Chosen(Choice::AllowSession));
    assert!(set.retrieve(&Client::mute()).await.is_ok());
    assert!(set.retrieve(&Client::mute()).await.is_ok());
    assert_eq!(set.windows.forms.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_bypass_is_the_exact_word_and_is_told() {
    let bypass = "MCP_BYPASS_SECRET_USE_CONFIRM";
    let set = Set::new(&[(bypass, "true")], Ending::Missing);
    let client = says(&[accepted("Deny")]);
    assert!(set.retrieve(&client).await.is_ok());
    assert!(client.asked.lock().unwrap().is_empty());
    assert_eq!(set.place.codes(), ["confirmation_bypassed"]);
    for value in ["TRUE", "1", "yes", "true ", "false", ""] {
        let set = Set::new(&[(bypass, value)], Ending::Missing);
        assert!(set.retrieve(&says(&[accepted("Deny")])).await.is_err(), "{value:?}");
        assert!(set.place.codes().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_not_there_is_not_asked_about() {
    let set = Set::new(&[], Ending::Missing);
    let client = says(&[accepted("Allow")]);
    let value = set.manager.retrieve_with_permission("missing", &client, None).await;
    assert!(value.unwrap().is_none());
    assert!(client.asked.lock().unwrap().is_empty());
}

#[test]
fn clearing_at_the_start_is_the_exact_word() {
    let clear = "SECRETS_STORAGE_CLEAR";
    for (value, left) in [("true", 0), ("TRUE", 1), ("1", 1), ("", 1)] {
        let set = Set::new(&[(clear, value)], Ending::Missing);
        assert_eq!(set.manager.list_secrets().unwrap().len(), left, "{value:?}");
        assert_eq!(set.place.codes().len(), 1 - left);
    }
}

#[test]
fn values_are_kept_on_request_alone_and_what_is_written_here_is_seen() {
    let set = Set::on(&[], Ending::Missing, true);
    let get = |set: &Set| set.manager.retrieve_secret("api_key").unwrap().map(|v| text(&v));
    assert_eq!(get(&set).as_deref(), Some("canary"));
    set.items.put(SERVICE, "api_key", "of another process");
    assert_eq!(get(&set).as_deref(), Some("canary"));
    set.manager.store_secret("api_key", secret("ours")).unwrap();
    assert_eq!(get(&set).as_deref(), Some("ours"));
    set.manager.clear_secrets().unwrap();
    assert_eq!(get(&set), None);

    let set = Set::new(&[], Ending::Missing);
    assert_eq!(get(&set).as_deref(), Some("canary"));
    set.items.put(SERVICE, "api_key", "of another process");
    assert_eq!(get(&set).as_deref(), Some("of another process"));
}

#[tokio::test(start_paused = true)]
async fn fetching_says_in_words_what_happened() {
    let set = Set::new(&[], Ending::Filled(&[("token", "canary")]));
    let info = SecretsInfo::read(br#"{"token": {"field_type": "password"}}"#).unwrap();
    assert_eq!(
        set.manager.fetch(&says(&[Elicited::Declined]), &info).await,
        (false, "Nothing was stored: the request was declined".to_owned())
    );
    let (ok, message) = set.manager.fetch(&Client::mute(), &info).await;
    assert!(!ok && message.contains("does not support elicitation"), "{message}");
    let accepted = says(&[Elicited::Accepted(None)]);
    assert_eq!(set.manager.fetch(&accepted, &info).await, (true, "Stored 1 secret".to_owned()));
    assert!(set.manager.ensure_secrets(&["token", "api_key"]).unwrap());
    assert!(!set.manager.ensure_secrets(&["token", "none"]).unwrap());
    let (ok, message) = Manager::new().fetch(&accepted, &info).await;
    assert!(!ok && message.contains("initialize"), "{message}");
}
