//! Without a keychain: the sealed file (decision 22).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use strongroom_sdk::Storage;
use strongroom_testkit::secret_service::SecretService;

use crate::session::{get, secret, surroundings};

#[test]
fn without_a_keychain_secrets_are_kept_sealed_and_that_is_told_once() {
    let home = tempfile::tempdir().unwrap();
    let without_service = SecretService::bus_only();
    for (number, session) in [None, Some(&without_service)].into_iter().enumerate() {
        let (around, told) = surroundings(session, home.path(), &[]);
        let storage = Storage::new(&format!("s{number}"), around).unwrap();
        assert_eq!(get(&storage, "a"), None);
        storage.store_secret("a", secret("canary-in-the-file")).unwrap();
        storage.store_secret("b", secret("second")).unwrap();
        assert_eq!(get(&storage, "a").as_deref(), Some("canary-in-the-file"));
        assert_eq!(storage.list_secrets().unwrap(), ["a", "b"]);
        let told = told.lock().unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].code, "keychain_absent");
        assert!(told[0].text.contains("mcp-secrets"), "{}", told[0].text);
        // Another process finds it.
        let (around, _) = surroundings(session, home.path(), &[]);
        let again = Storage::new(&format!("s{number}"), around).unwrap();
        assert_eq!(get(&again, "a").as_deref(), Some("canary-in-the-file"));
        assert!(again.delete_secret("a").unwrap());
        assert_eq!(get(&storage, "a"), None);
        again.store_secret("a", secret("canary-in-the-file")).unwrap();
    }
    let folder = home.path().join(".local/share/mcp-secrets");
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = fs::read(&file).unwrap();
        let has = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
        assert!(!has(b"canary") && !has(b"second"), "{}", file.display());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0);
    }
}

#[test]
fn a_sealed_file_that_was_changed_is_refused_and_not_replaced() {
    let home = tempfile::tempdir().unwrap();
    let storage = |name: &str| {
        let (around, _) = surroundings(None, home.path(), &[]);
        Storage::new(name, around).unwrap()
    };
    storage("x").store_secret("a", secret("canary")).unwrap();
    storage("y").store_secret("a", secret("canary")).unwrap();
    let folder = home.path().join(".local/share/mcp-secrets");
    let sealed: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "sealed"))
        .collect();
    // One server's file in the place of another's.
    let (one, other) = (fs::read(&sealed[0]).unwrap(), fs::read(&sealed[1]).unwrap());
    fs::write(&sealed[0], &other).unwrap();
    fs::write(&sealed[1], &one).unwrap();
    for name in ["x", "y"] {
        assert_eq!(storage(name).retrieve_secret("a").unwrap_err().code(), "storage_damaged");
        let refused = storage(name).store_secret("b", secret("x")).unwrap_err();
        assert_eq!(refused.code(), "storage_damaged");
    }
    fs::write(&sealed[0], &one).unwrap();
    fs::write(&sealed[1], &other).unwrap();
    assert_eq!(get(&storage("x"), "a").as_deref(), Some("canary"));
    // Without its key it does not open, and no new key is made.
    fs::remove_file(folder.join("machine.key")).unwrap();
    assert_eq!(storage("x").retrieve_secret("a").unwrap_err().code(), "storage_damaged");
    assert_eq!(storage("z").store_secret("a", secret("x")).unwrap_err().code(), "storage_damaged");
}

#[test]
fn without_a_keychain_and_a_home_it_is_absent() {
    let around = strongroom_sdk::Surroundings::new(strongroom_sdk::Environment::new(
        strongroom_sdk::Os::CURRENT,
        [("PATH", "/usr/bin"), ("XDG_RUNTIME_DIR", "/nonexistent")],
    ));
    let error = Storage::new("s", around).unwrap().retrieve_secret("a").unwrap_err();
    assert_eq!(error.code(), "keychain_absent");
    assert!(error.text().contains("HOME"), "{}", error.text());
}

#[test]
fn when_a_keychain_comes_later_what_lies_in_the_sealed_file_is_read_and_cleared() {
    let (session, home) = (SecretService::start(), tempfile::tempdir().unwrap());
    let storage = |session| {
        let (around, told) = surroundings(session, home.path(), &[]);
        (Storage::new("s", around).unwrap(), told)
    };
    for name in ["a", "b", "c"] {
        storage(None).0.store_secret(name, secret("canary")).unwrap();
    }
    let (now, _) = storage(Some(&session));
    assert_eq!(get(&now, "a").as_deref(), Some("canary"));
    assert_eq!(now.list_secrets().unwrap(), ["a", "b", "c"]);
    now.store_secret("a", secret("canary-2")).unwrap();
    assert!(now.delete_secret("b").unwrap());
    assert_eq!(storage(None).0.list_secrets().unwrap(), ["c"]);
    assert_eq!(now.list_secrets().unwrap(), ["a", "c"]);
    assert_eq!(now.clear_secrets().unwrap(), 2);
    assert_eq!(storage(None).0.list_secrets().unwrap(), [""; 0]);
    let folder = home.path().join(".local/share/mcp-secrets");
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    assert!(!names.into_iter().any(|path| path.extension().is_some_and(|e| e == "sealed")));
}

#[test]
fn a_sealed_file_that_does_not_open_keeps_nobody_from_the_keychain_and_clearing_says_that_it_stays()
{
    let (session, home) = (SecretService::start(), tempfile::tempdir().unwrap());
    let storage = |session| {
        let (around, told) = surroundings(session, home.path(), &[]);
        (Storage::new("unopened", around).unwrap(), told)
    };
    storage(None).0.store_secret("a", secret("canary")).unwrap();
    fs::remove_file(home.path().join(".local/share/mcp-secrets/machine.key")).unwrap();
    let (now, told) = storage(Some(&session));
    assert_eq!(get(&now, "a"), None);
    now.store_secret("b", secret("canary")).unwrap();
    assert_eq!(now.list_secrets().unwrap(), ["b"]);
    assert_eq!(told.lock().unwrap().len(), 1);
    assert_eq!(told.lock().unwrap()[0].code, "sealed_file_unusable");
    for refused in [now.delete_secret("a").map(usize::from), now.clear_secrets()] {
        assert_eq!(refused.unwrap_err().code(), "storage_damaged");
    }
    assert_eq!(get(&now, "b"), None, "what can be cleared is");
}
