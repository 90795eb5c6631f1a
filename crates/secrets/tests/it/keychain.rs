//! `keychain://` against a true gnome-keyring, and `keyutils://` against the kernel.

#![expect(clippy::disallowed_methods, reason = "keyctl says what the kernel has")]

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use strongroom_model::ports::{Provider, ResolveError};
use strongroom_model::secret::Secret;
use strongroom_seal::{MachineKeyError, MachineSecret as _};
use strongroom_secrets::keychain::{Item, Keychain, KeychainError, KeychainSecret};
use strongroom_secrets::providers::{keychain, keyutils};
use strongroom_secrets::settings::{Context, Settings, Tokens};
use strongroom_testkit::again;
use strongroom_testkit::fakes::FakeClock;
use strongroom_testkit::provider::{Holdings, holds_the_contract};
use strongroom_testkit::secret_service::SecretService;

#[tokio::test]
async fn the_keychain_holds_the_contract() {
    let session = SecretService::start();
    session.store(&["service", "github", "username", "me"], "canary-a");
    session.store(&["service", "a service", "username", "me@example.com"], "canary-b");
    session.store(&["service", "empty", "username", "me"], "");
    let holdings = Holdings {
        found: vec![
            (reference("keychain://github/me"), "canary-a"),
            (reference("keychain://a service/me@example.com"), "canary-b"),
        ],
        missing: reference("keychain://github/you"),
        unusable: Some(reference("keychain://empty/me")),
    };
    holds_the_contract(&provider(&session), &holdings).await;
}

/// Python's `keyring` and `@napi-rs/keyring` write more attributes than ours; items are found by the
/// two that all of them write.
#[tokio::test]
async fn items_of_other_programs_are_found_and_ours_by_them() {
    let session = SecretService::start();
    let python = ["application", "Python keyring library", "service", "s", "username", "u"];
    session.store(&python, "canary-python");
    let found = ask(&session, "keychain://s/u").await.unwrap();
    assert_eq!(found.expose(), b"canary-python");

    let keychain = chain(&session);
    let item = |account: &str| Item { service: "s".into(), account: account.into() };
    keychain.write(&item("ours"), secret("canary-ours")).unwrap();
    let ours = ["service", "s", "username", "ours"];
    assert_eq!(session.lookup(&ours).as_deref(), Some("canary-ours"));
    // Theirs is written over and stays one item, with the attributes that it had.
    keychain.write(&item("u"), secret("canary-new")).unwrap();
    assert_eq!(session.lookup(&python).as_deref(), Some("canary-new"));
    assert!(keychain.remove(&item("ours")).unwrap());
    assert!(!keychain.remove(&item("ours")).unwrap());
    assert_eq!(session.lookup(&ours), None);
}

/// A write of Python's over an item of ours makes a second one.
#[tokio::test]
async fn two_items_of_one_name_are_an_error_and_none_is_picked() {
    let session = SecretService::start();
    session.store(&["service", "s", "username", "u"], "canary-1");
    session.store(&["application", "x", "service", "s", "username", "u"], "canary-2");
    let error = ask(&session, "keychain://s/u").await.unwrap_err();
    let ResolveError::Unusable { why, .. } = &error else { panic!("{error}") };
    assert!(why.contains("remove all but one"), "{why}");
}

#[tokio::test]
async fn a_locked_keychain_is_locked_and_nobody_is_prompted() {
    let session = SecretService::start();
    session.store(&["service", "s", "username", "u"], "canary");
    assert!(ask(&session, "keychain://s/u").await.is_ok());
    session.lock();
    for text in ["keychain://s/u", "keychain://s/nothing"] {
        let error = ask(&session, text).await.unwrap_err();
        assert!(matches!(error, ResolveError::Locked { .. }), "{text}: {error}");
        assert!(error.is_transient());
    }
    let item = Item { service: "s".into(), account: "new".into() };
    assert_eq!(chain(&session).write(&item, secret("x")).unwrap_err(), KeychainError::Locked);
    assert_eq!(chain(&session).look().unwrap_err(), KeychainError::Locked);
}

/// Decision 22.
#[tokio::test]
async fn without_a_secret_service_it_is_absent_and_says_what_to_do() {
    let session = SecretService::bus_only();
    let nowhere = Keychain::new(&|_| None);
    let gone = Keychain::new(&|name| {
        (name == "DBUS_SESSION_BUS_ADDRESS").then(|| OsString::from("unix:path=/nonexistent/bus"))
    });
    for keychain in [chain(&session), nowhere, gone] {
        let error = keychain.look().unwrap_err();
        assert!(matches!(error, KeychainError::Absent { .. }), "{error}");
    }
    let error = ask(&session, "keychain://s/u").await.unwrap_err();
    let ResolveError::Absent { fix, .. } = &error else { panic!("{error}") };
    assert!(fix.contains("gnome-keyring") && fix.contains("keyutils://"), "{fix}");
}

/// The clock of the runtime is stopped: it moves on to the deadline when nothing else can happen.
#[tokio::test(start_paused = true)]
async fn a_keychain_that_does_not_answer_is_given_up() {
    let session = SecretService::start();
    session.freeze();
    let error = ask(&session, "keychain://s/u").await.unwrap_err();
    assert!(matches!(error, ResolveError::Unreachable { .. }), "{error}");
}

/// Decision 4.
#[test]
fn the_machine_secret_is_made_once_in_the_keychain_and_read_back() {
    let session = SecretService::start();
    let key = KeychainSecret::new(chain(&session), "machine-key");
    assert!(matches!(key.load(), Err(MachineKeyError::Missing { .. })));
    key.create().unwrap();
    let first = key.load().unwrap();
    assert_eq!(first.len(), 32);
    assert!(matches!(key.create(), Err(MachineKeyError::Exists { .. })));
    assert!(key.load().unwrap().ct_eq(&first));
    let other = KeychainSecret::new(chain(&session), "machine-key-2");
    assert!(matches!(other.load(), Err(MachineKeyError::Missing { .. })));
    session.lock();
    assert!(matches!(key.load(), Err(MachineKeyError::Locked { .. })));
}

/// CR-07.
#[test]
fn an_item_that_is_no_machine_key_is_named_and_not_quoted() {
    let session = SecretService::start();
    session.store(&["service", "strongroom", "username", "machine-key"], "canary");
    let error = KeychainSecret::new(chain(&session), "machine-key").load().unwrap_err();
    assert!(matches!(error, MachineKeyError::Malformed { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("keychain://strongroom/machine-key") && !error.contains("canary"));
}

#[test]
fn keyutils_hold_the_contract_in_a_session_keyring() {
    let prelude = "exec keyctl session - \"$0\" \"$@\" 2>/dev/null";
    again::passed(again::start("keychain::in_a_session_keyring", prelude, &[]));
}

#[tokio::test]
#[ignore = "started by the test above, in a session of its own"]
async fn in_a_session_keyring() {
    let put = |account: &str, value: &str| {
        let item = Item { service: "github".into(), account: account.into() };
        keyutils::write(&item, &secret(value)).unwrap();
    };
    put("a", "canary-a");
    put("b", "other");
    put("b", "canary-b");
    let holdings = Holdings {
        found: vec![
            (reference("keyutils://github/a"), "canary-a"),
            (reference("keyutils://github/b"), "canary-b"),
        ],
        missing: reference("keyutils://github/c"),
        unusable: None,
    };
    holds_the_contract(&keyutils::KeyutilsProvider, &holdings).await;
}

#[test]
fn without_a_session_keyring_nothing_is_stored_and_the_answer_says_what_to_do() {
    again::passed(again::start("keychain::in_no_session_keyring", "", &[]));
}

#[tokio::test]
#[ignore = "started by the test above: a test runner may have a session keyring"]
async fn in_no_session_keyring() {
    let keys = || std::fs::read_to_string("/proc/keys").unwrap();
    let session = std::process::Command::new("keyctl").args(["rdescribe", "@s"]).output();
    if !String::from_utf8_lossy(&session.unwrap().stdout).contains("_uid_ses.") {
        // This session has a keyring of its own, and nothing can take that away.
        return;
    }
    let item = Item { service: "strongroom-test".into(), account: "none".into() };
    let error = keyutils::write(&item, &secret("canary")).unwrap_err();
    let KeychainError::Absent { fix, .. } = error else { panic!("{error}") };
    assert!(fix.contains("keyctl session"), "{fix}");
    assert!(!keys().contains("keyring:none@strongroom-test"), "nothing is left behind");
    let refs = [reference("keyutils://strongroom-test/none")];
    let answer = keyutils::KeyutilsProvider.resolve(&refs).await.pop().unwrap();
    assert!(matches!(answer, Err(ResolveError::Absent { .. })), "{answer:?}");
}

async fn ask(session: &SecretService, text: &str) -> Result<Secret, ResolveError> {
    provider(session).resolve(&[reference(text)]).await.pop().unwrap()
}

fn provider(session: &SecretService) -> keychain::KeychainProvider {
    let variables = variables(session);
    let context = Context {
        variable: Arc::new(move |name: &str| variables.get(name).cloned()),
        home: PathBuf::from("/nonexistent"),
        tokens: Tokens::default(),
        clock: Arc::new(FakeClock::default()),
    };
    keychain::new(&Settings::default(), &context).unwrap()
}

fn chain(session: &SecretService) -> Keychain {
    let variables = variables(session);
    Keychain::new(&|name| variables.get(name).cloned())
}

fn variables(session: &SecretService) -> HashMap<String, OsString> {
    let variables = session.variables().into_iter();
    variables.map(|(name, value)| (name.to_owned(), OsString::from(value))).collect()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn reference(text: &str) -> strongroom_model::reference::SecretRef {
    text.parse().unwrap()
}
