//! Storing and getting back.

use strongroom_seal::SecureDir;
use strongroom_store::{EntryError, SecretUse, VaultError};

use crate::home::{Home, github, name, secret, value};

#[test]
fn what_was_stored_comes_back_also_in_another_process_of_the_same_home() {
    let (home, vault) = Home::with_vault();
    vault.put("github/token", &github(), &secret("canary-1")).unwrap();
    assert_eq!(value(&vault, "github/token").unwrap(), "canary-1");

    let other = home.open().unwrap();
    assert_eq!(value(&other, "github/token").unwrap(), "canary-1");
    other.put("github/token", &github(), &secret("canary-2")).unwrap();
    assert_eq!(value(&vault, "github/token").unwrap(), "canary-2");
}

#[test]
fn a_batch_keeps_its_order_and_one_failure_fails_only_its_own_entry() {
    let (_home, vault) = Home::with_vault();
    vault.put("a", &SecretUse::Any, &secret("canary-a")).unwrap();
    vault.put("b", &SecretUse::Any, &secret("canary-b")).unwrap();
    let got = vault.get_many(&["b", "nothing", "a"]).unwrap();
    assert_eq!(got[0].as_ref().unwrap().expose(), b"canary-b");
    assert_eq!(*got[1].as_ref().unwrap_err(), EntryError::NotFound);
    assert_eq!(got[2].as_ref().unwrap().expose(), b"canary-a");
}

#[test]
fn the_list_has_everything_but_the_values() {
    let (home, vault) = Home::with_vault();
    vault.put("github/token", &github(), &secret("canary-1")).unwrap();
    home.clock.set_ms(home.clock.ms() + 60_000);
    vault.put("github/token", &SecretUse::Any, &secret("canary-2")).unwrap();
    let list = vault.list().unwrap();
    assert!(!format!("{list:?}").contains("canary"));
    let [stored] = &list[..] else { panic!("{list:?}") };
    assert_eq!((stored.name.as_str(), stored.version), ("github/token", 2));
    assert_eq!(stored.used_by, SecretUse::Any);
    assert_eq!(stored.updated.duration_since(stored.created).unwrap().as_secs(), 60);
}

#[test]
fn what_was_removed_is_not_found_and_may_be_stored_again() {
    let (_home, vault) = Home::with_vault();
    vault.put("a", &SecretUse::Any, &secret("canary-1")).unwrap();
    assert!(vault.remove("a").unwrap());
    assert!(!vault.remove("a").unwrap());
    assert_eq!(value(&vault, "a"), None);
    vault.put("a", &SecretUse::Any, &secret("canary-2")).unwrap();
    assert_eq!(value(&vault, "a").unwrap(), "canary-2");
}

#[test]
fn a_secret_is_between_one_byte_and_one_mebibyte() {
    let (_home, vault) = Home::with_vault();
    let put = |length: usize| {
        vault.put("a", &SecretUse::Any, &strongroom_model::secret::Secret::new(vec![7; length]))
    };
    assert!(matches!(put(0), Err(VaultError::Value)));
    assert!(matches!(put((1 << 20) + 1), Err(VaultError::Value)));
    put(1 << 20).unwrap();
    put(1).unwrap();
}

#[test]
fn a_name_is_what_a_reference_can_say() {
    let (_home, vault) = Home::with_vault();
    for bad in ["", "a b", "../a", "a//b", "a#b", "é", "a\0", "*"] {
        let error = vault.put(bad, &SecretUse::Any, &secret("canary")).unwrap_err();
        assert!(matches!(error, VaultError::Name), "{bad}");
    }
    for good in ["a", "github/token", "A.b_c-9/x/y"] {
        vault.put(good, &SecretUse::Any, &secret("canary")).unwrap();
    }
}

#[test]
fn the_data_version_changes_with_every_change_of_any_process_and_only_then() {
    let (home, vault) = Home::with_vault();
    let other = home.open().unwrap();
    let first = vault.data_version().unwrap();
    assert_eq!(vault.data_version().unwrap(), first);
    vault.list().unwrap();
    assert_eq!(vault.data_version().unwrap(), first);

    vault.put("a", &SecretUse::Any, &secret("canary")).unwrap();
    let second = vault.data_version().unwrap();
    assert_ne!(second, first);
    other.put("b", &SecretUse::Any, &secret("canary")).unwrap();
    let third = vault.data_version().unwrap();
    assert_ne!(third, second);
    other.principals().ensure(&name("claude")).unwrap();
    assert_ne!(vault.data_version().unwrap(), third);
}

#[test]
fn a_vault_is_made_once_and_opened_only_where_there_is_one() {
    let (home, vault) = Home::with_vault();
    drop(vault);
    let again =
        strongroom_store::Vault::create(&home.share(), &crate::home::kek(7), home.clock.clone());
    assert!(matches!(again.err().unwrap(), VaultError::Exists { .. }));
    let empty = Home::new();
    let error = empty.open().err().unwrap();
    assert!(matches!(error, VaultError::Missing { .. }));
    assert!(error.to_string().contains("vault.db"), "{error}");
}

#[test]
fn two_writers_with_connections_of_their_own_lose_nothing() {
    let (home, vault) = Home::with_vault();
    std::thread::scope(|scope| {
        for writer in 0..6 {
            let home = &home;
            scope.spawn(move || {
                let vault = home.open().unwrap();
                for n in 0..20 {
                    let name = format!("w{writer}/{n}");
                    vault.put(&name, &SecretUse::Any, &secret(&name)).unwrap();
                    vault.put("shared", &SecretUse::Any, &secret(&name)).unwrap();
                }
            });
        }
    });
    let list = vault.list().unwrap();
    assert_eq!(list.len(), 121);
    assert_eq!(list.iter().find(|stored| stored.name == "shared").unwrap().version, 120);
    for stored in list.iter().filter(|stored| stored.name != "shared") {
        assert_eq!(value(&vault, &stored.name).unwrap(), stored.name);
    }
}

/// LM-04: the modes are right from creation, whatever the umask is; the launcher of the tests has
/// one of its own, so the check is on what the files have while they are in use.
#[cfg(unix)]
#[test]
fn every_file_of_a_vault_in_use_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let (home, vault) = Home::with_vault();
    vault.put("a", &SecretUse::Any, &secret("canary")).unwrap();
    let names = home.share().names().unwrap();
    for expected in ["vault.db", "vault.db-shm", "vault.db-wal", "vault.lock"] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
    }
    for name in names {
        let mode = std::fs::metadata(home.path().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{name}");
    }
    drop(vault);
}

#[cfg(unix)]
#[test]
fn a_vault_that_others_can_read_is_not_opened() {
    use std::os::unix::fs::PermissionsExt as _;
    let (home, vault) = Home::with_vault();
    drop(vault);
    let file = home.path().join("vault.db");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = home.open().err().unwrap().to_string();
    assert!(error.contains("vault.db") && error.contains("chmod 600"), "{error}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    home.open().unwrap();
}

#[test]
fn no_file_of_the_vault_holds_a_secret_or_a_token_in_the_clear() {
    let (home, vault) = Home::with_vault();
    vault.put("a", &SecretUse::Any, &secret("canary-in-the-vault")).unwrap();
    vault.put("a", &SecretUse::Any, &secret("canary-in-the-vault-2")).unwrap();
    let token = vault.principals().create(&name("claude")).unwrap();
    let share: SecureDir = home.share();
    for file in share.names().unwrap() {
        let bytes = share.read(&file, 1 << 24).unwrap();
        let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!has(b"canary"), "{file}");
        assert!(!has(&token.expose()[3..]), "{file}");
    }
}
