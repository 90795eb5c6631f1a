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
