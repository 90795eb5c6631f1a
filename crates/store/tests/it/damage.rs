//! What is damaged, swapped or taken back is noticed, and never "no secrets" (CR-07, CR-11, LM-07).

use rusqlite::Connection;
use strongroom_store::{SecretUse, VaultError};

use crate::home::{Home, github, name, secret, value};

/// Changes the database behind the vault's back, and says what the next opening finds.
fn after(sql: &str) -> Result<Option<String>, VaultError> {
    let home = filled();
    let db = Connection::open(home.path().join("vault.db")).unwrap();
    db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    db.execute_batch(sql).unwrap();
    drop(db);
    let vault = home.open()?;
    let mut secrets = vault.get_many(&["github/token"])?;
    match secrets.remove(0) {
        Ok(secret) => Ok(Some(String::from_utf8(secret.expose().to_vec()).unwrap())),
        Err(strongroom_store::EntryError::NotFound) => Ok(None),
        Err(strongroom_store::EntryError::Integrity) => {
            Err(VaultError::Integrity { path: home.path(), what: "an entry" })
        }
    }
}

fn filled() -> Home {
    let (home, vault) = Home::with_vault();
    vault.put("github/token", &github(), &secret("canary-github")).unwrap();
    vault.put("github/other", &github(), &secret("canary-other")).unwrap();
    vault.put("stripe/token", &SecretUse::Any, &secret("canary-stripe")).unwrap();
    vault.principals().create(&name("claude")).unwrap();
    vault.principals().create(&name("cursor")).unwrap();
    vault.principals().disable(&name("cursor")).unwrap();
    home
}

#[test]
fn a_change_behind_its_back_is_an_integrity_error() {
    assert_eq!(after("SELECT 1").unwrap().unwrap(), "canary-github");
    let swap_sealed = "
        CREATE TEMP TABLE t AS SELECT name, sealed FROM secrets;
        UPDATE secrets SET sealed = (SELECT sealed FROM t WHERE name = 'github/other')
          WHERE name = 'github/token'";
    let swap_names = "
        UPDATE secrets SET name = 'x' WHERE name = 'github/token';
        UPDATE secrets SET name = 'github/token' WHERE name = 'github/other';
        UPDATE secrets SET name = 'github/other' WHERE name = 'x'";
    for sql in [
        swap_sealed,
        swap_names,
        "DELETE FROM secrets WHERE name = 'github/token'",
        "DELETE FROM secrets WHERE name = 'stripe/token'",
        "DELETE FROM secrets",
        "DELETE FROM tenants",
        "DROP TABLE secrets",
        "UPDATE secrets SET name = 'elsewhere' WHERE name = 'github/token'",
        "UPDATE secrets SET used_by = 'any' WHERE name = 'github/token'",
        "UPDATE secrets SET used_by = 'all' WHERE name = 'github/token'",
        "UPDATE secrets SET version = 2 WHERE name = 'github/token'",
        "UPDATE secrets SET format = 0 WHERE name = 'github/token'",
        "UPDATE secrets SET format = 2 WHERE name = 'github/token'",
        "UPDATE secrets SET format = 257 WHERE name = 'github/token'",
        "UPDATE secrets SET key_id = 'default' WHERE name = 'github/token'",
        "UPDATE secrets SET tenant = 'other' WHERE name = 'github/token'",
        "UPDATE secrets SET sealed = substr(sealed, 1, 27) WHERE name = 'github/token'",
        "UPDATE secrets SET sealed = x'' WHERE name = 'github/token'",
        "UPDATE secrets SET sealed = 'canary' WHERE name = 'github/token'",
        "UPDATE secrets SET updated = 0 WHERE name = 'github/token'",
        "INSERT INTO secrets SELECT 'new', tenant, 'new', used_by, kind, version, format, key_id,
           sealed, created, updated FROM secrets WHERE name = 'github/token'",
        "UPDATE tenants SET generation = generation - 1",
        "UPDATE tenants SET head = x''",
        "UPDATE tenants SET key_id = 'other'",
        "UPDATE tenants SET wrapped_key = x'00'",
        "UPDATE tenants SET token_key = x'00'",
        "DELETE FROM principals WHERE name = 'cursor'",
        "UPDATE principals SET disabled = NULL WHERE name = 'cursor'",
        "UPDATE principals SET name = 'root' WHERE name = 'claude'",
        "UPDATE principals SET token_hash = (SELECT token_hash FROM principals WHERE name = 'cursor')
           WHERE name = 'claude'",
        "PRAGMA user_version = 0",
        "PRAGMA application_id = 0",
    ] {
        let error = after(sql).expect_err(sql);
        assert!(error.is_integrity(), "{sql}: {error}");
    }
}

/// CR-11.
#[test]
fn one_row_taken_back_to_an_older_state_is_noticed() {
    let home = filled();
    let db = Connection::open(home.path().join("vault.db")).unwrap();
    db.execute_batch("CREATE TABLE old AS SELECT * FROM secrets").unwrap();
    home.open().unwrap().put("github/token", &github(), &secret("canary-new")).unwrap();
    home.open().unwrap();
    db.execute_batch(
        "DELETE FROM secrets WHERE name = 'github/token';
         INSERT INTO secrets SELECT * FROM old WHERE name = 'github/token'",
    )
    .unwrap();
    assert!(home.open().err().unwrap().is_integrity());
}

#[test]
fn damage_that_happens_while_it_is_open_is_noticed_at_the_next_use() {
    let home = filled();
    let vault = home.open().unwrap();
    assert!(value(&vault, "github/token").is_some());
    let db = Connection::open(home.path().join("vault.db")).unwrap();
    db.execute_batch("DELETE FROM secrets WHERE name = 'github/token'").unwrap();
    assert!(vault.get_many(&["github/token"]).unwrap_err().is_integrity());
    assert!(vault.put("a", &SecretUse::Any, &secret("canary")).unwrap_err().is_integrity());
    assert!(vault.list().unwrap_err().is_integrity());
    assert!(vault.principals().find_by_token(&secret("x")).unwrap_err().is_integrity());
}

/// CR-07.
#[test]
fn a_wrong_key_opens_nothing_and_writes_nothing() {
    let home = filled();
    let share = home.share();
    let before = share.read("vault.db", 1 << 24).unwrap();
    let error = home.open_with(8).err().unwrap();
    assert!(matches!(error, VaultError::WrongKey { .. }) && error.is_integrity(), "{error}");
    assert_eq!(share.read("vault.db", 1 << 24).unwrap(), before);
    assert_eq!(value(&home.open().unwrap(), "github/token").unwrap(), "canary-github");
}

/// What a damaged file may lead to: an integrity error, or everything as it was (a byte that means
/// nothing was hit).
fn is_whole_or_refused(home: &Home) -> bool {
    let names = ["github/token", "github/other", "stripe/token"];
    let looked = home.open().and_then(|vault| vault.get_many(&names));
    match looked {
        Ok(values) => {
            let values: Vec<_> = values
                .iter()
                .map(|value| match value {
                    Ok(value) => value.expose(),
                    Err(strongroom_store::EntryError::Integrity) => b"refused",
                    Err(error) => panic!("{error}"),
                })
                .collect();
            if values.contains(&&b"refused"[..]) {
                return false;
            }
            assert_eq!(values, [&b"canary-github"[..], b"canary-other", b"canary-stripe"]);
            true
        }
        Err(error) => {
            let expected = error.is_integrity() || matches!(error, VaultError::Newer { .. });
            assert!(expected, "{error:?}");
            false
        }
    }
}

/// LM-07, cut at every page, in the middle of pages, and to nothing.
#[test]
fn a_file_that_is_cut_off_is_an_integrity_error() {
    let home = filled();
    let whole = std::fs::read(home.path().join("vault.db")).unwrap();
    assert!(is_whole_or_refused(&home));
    let lengths = (0..whole.len()).step_by(1024).chain([1, 99, 100, whole.len() - 1]);
    for length in lengths {
        // What is missing of the last page is read as zeros, and there may have been nothing else.
        if whole.len() - length < 4096 && whole[length..].iter().all(|byte| *byte == 0) {
            continue;
        }
        std::fs::write(home.path().join("vault.db"), &whole[..length]).unwrap();
        remove_companions(&home);
        assert!(!is_whole_or_refused(&home), "{length}");
    }
}

/// LM-07, one bit at a time, over the whole file in steps that share no factor with its structure.
#[test]
fn a_flipped_bit_never_makes_a_secret_disappear() {
    let home = filled();
    let path = home.path().join("vault.db");
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for bit in (0..whole.len() * 8).step_by((whole.len() * 8 / 500) | 1) {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &flipped).unwrap();
        remove_companions(&home);
        refused += usize::from(!is_whole_or_refused(&home));
    }
    assert!(refused > 10, "{refused}");
}

/// A file that grew to twice its size is SQLite's own business (it says how many pages count); one
/// of another home is not ours.
#[test]
fn the_vault_of_another_home_does_not_open() {
    let (home, other) = (filled(), Home::with_vault());
    drop(other.1);
    let foreign = std::fs::read(other.0.path().join("vault.db")).unwrap();
    std::fs::write(home.path().join("vault.db"), foreign).unwrap();
    remove_companions(&home);
    assert!(home.open_with(8).err().unwrap().is_integrity());
}

fn remove_companions(home: &Home) {
    for name in ["vault.db-wal", "vault.db-shm"] {
        home.share().remove(name).unwrap();
    }
}
