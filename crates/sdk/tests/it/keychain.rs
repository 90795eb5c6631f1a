//! The layout in a true gnome-keyring, read and written by `secret-tool` as well.

use strongroom_sdk::{Manager, Storage};
use strongroom_testkit::secret_service::SecretService;

use crate::session::{Rig, get, secret, surroundings};

#[test]
fn secrets_are_items_that_other_programs_find() {
    let rig = Rig::new();
    assert_eq!(rig.get("api_key"), None);
    rig.set("api_key", "canary-1");
    rig.set("second", "canary caña \u{1f511}\n2");
    assert_eq!(rig.get("api_key").as_deref(), Some("canary-1"));
    assert_eq!(rig.lookup("api_key").as_deref(), Some("canary-1"));
    assert_eq!(rig.lookup("second").as_deref(), Some("canary caña \u{1f511}\n2"));
    assert_eq!(rig.index(), ["api_key", "second"]);
    assert!(rig.storage.delete_secret("api_key").unwrap());
    assert!(!rig.storage.delete_secret("api_key").unwrap());
    assert_eq!((rig.lookup("api_key"), rig.index()), (None, vec!["second".to_owned()]));
    assert_eq!(rig.storage.clear_secrets().unwrap(), 1);
    let search =
        rig.session.command("secret-tool").args(["search", "service", "com.mcp.s"]).output();
    assert!(search.unwrap().stdout.is_empty(), "nothing is left");
}

#[test]
fn items_of_other_programs_are_found_and_put_into_the_index() {
    let rig = Rig::new();
    rig.session.store(&["service", "com.mcp.s", "username", "theirs"], "canary");
    rig.session.store(&["service", "com.mcp.other", "username", "elsewhere"], "x");
    assert_eq!(rig.get("theirs").as_deref(), Some("canary"));
    assert_eq!(rig.storage.list_secrets().unwrap(), ["theirs"]);
    assert_eq!(rig.index(), ["theirs"]);
    rig.set("theirs", "new");
    assert_eq!(rig.lookup("theirs").as_deref(), Some("new"));
    assert_eq!(rig.get("elsewhere"), None);
}

/// A write of Python's over an item of Rust's makes a second one: the newer one is the value, and the
/// next write leaves one.
#[test]
fn of_two_items_of_one_name_the_newer_is_the_value_and_a_write_leaves_one() {
    let rig = Rig::new();
    let plain = ["service", "com.mcp.s", "username", "u"];
    let python = ["application", "Python keyring library", "service", "com.mcp.s", "username", "u"];
    rig.session.store(&plain, "of rust");
    rig.session.store(&python, "of python, later");
    assert_eq!(rig.get("u").as_deref(), Some("of python, later"));
    assert_eq!(rig.storage.list_secrets().unwrap(), ["u"]);
    rig.set("u", "ours");
    let search = rig.session.command("secret-tool").args(["search", "--all"]).args(plain).output();
    let found = String::from_utf8(search.unwrap().stdout).unwrap();
    assert_eq!(found.matches("secret = ").count(), 1, "{found}");
    assert!(found.contains("secret = ours"), "{found}");
    rig.session.store(&["application", "x", "service", "com.mcp.s", "username", "u"], "again");
    assert!(rig.storage.delete_secret("u").unwrap());
    assert_eq!(rig.lookup("u"), None, "both are gone");
}

#[test]
fn locked_and_silent_are_two_errors_and_unlocked_it_works() {
    let rig = Rig::new();
    rig.set("a", "canary");
    rig.session.lock();
    for error in [
        rig.storage.retrieve_secret("a").unwrap_err(),
        rig.storage.retrieve_secret("none").unwrap_err(),
        rig.storage.store_secret("b", secret("x")).unwrap_err(),
        rig.storage.list_secrets().unwrap_err(),
        rig.storage.delete_secret("a").unwrap_err(),
    ] {
        assert_eq!(error.code(), "keychain_locked");
        assert!(error.text().contains("unlock"), "{}", error.text());
    }
    // A server that starts while it is locked says the same, and keeps nothing elsewhere.
    let (surroundings, told) = surroundings(Some(&rig.session), rig.home.path(), &[]);
    let late = Storage::new("s", surroundings).unwrap();
    assert_eq!(late.store_secret("b", secret("x")).unwrap_err().code(), "keychain_locked");
    assert!(told.lock().unwrap().is_empty());
}

#[test]
fn a_keyring_that_begins_anew_is_connected_to_again() {
    let (mut session, home) = (SecretService::start(), tempfile::tempdir().unwrap());
    let (surroundings, _) = surroundings(Some(&session), home.path(), &[]);
    let storage = Storage::new("s", surroundings).unwrap();
    storage.store_secret("a", secret("canary")).unwrap();
    session.restart();
    assert_eq!(get(&storage, "a").as_deref(), Some("canary"));
}

#[test]
fn a_manager_stores_reads_and_clears_at_the_start() {
    let (session, home) = (SecretService::start(), tempfile::tempdir().unwrap());
    let named = |more: &[(&str, &str)]| {
        let (surroundings, told) = surroundings(Some(&session), home.path(), more);
        let manager = Manager::new();
        manager.initialize("My Server", surroundings).unwrap();
        (manager, told)
    };
    let (manager, _) = named(&[]);
    manager.store_secret("api_key", secret("canary")).unwrap();
    let found = session.lookup(&["service", "com.mcp.My Server", "username", "api_key"]);
    assert_eq!(found.as_deref(), Some("canary"));
    assert!(named(&[("SECRETS_STORAGE_CLEAR", "1")]).0.secret_exists("api_key").unwrap());
    let (cleared, told) = named(&[("SECRETS_STORAGE_CLEAR", "true")]);
    assert!(!cleared.secret_exists("api_key").unwrap());
    assert_eq!(told.lock().unwrap()[0].code, "secrets_cleared");
}
