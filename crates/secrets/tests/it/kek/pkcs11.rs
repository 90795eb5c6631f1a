//! PKCS#11: true `SoftHSM2` tokens.
//!
//! The module takes its settings from the environment of the process that loads it, so each test
//! starts itself once more with them.

#![expect(clippy::disallowed_methods, reason = "a test starts itself with another environment")]

use std::fs;
use std::process::Command;

use super::*;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const INNER: &str = "SOFTHSM2_CONF";

/// Runs `test` in a process that has two tokens: `team` with the keys `kek` and `next`, and `other`.
/// Says whether this is that process.
fn has_tokens(test: &str) -> bool {
    if std::env::var_os(INNER).is_some() {
        return true;
    }
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("softhsm2.conf");
    let tokens = home.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let settings = format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display());
    fs::write(&config, settings).unwrap();
    let run = |command: &mut Command| {
        let done = command.env(INNER, &config).output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&said));
    };
    for token in ["team", "other"] {
        run(Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", token])
            .args(["--so-pin", "so-pin", "--pin", "canary-pin"]));
    }
    for (id, label) in [("01", "kek"), ("02", "next")] {
        let file = home.path().join(label);
        let mut bytes = [0; 32];
        strongroom_seal::random(&mut bytes).unwrap();
        // The tool cuts a key off where it has a zero.
        for byte in &mut bytes {
            *byte |= 1;
        }
        fs::write(&file, bytes).unwrap();
        run(Command::new("softhsm2-util").arg("--import").arg(&file).args([
            "--aes",
            "--token",
            "team",
            "--label",
            label,
            "--id",
            id,
            "--pin",
            "canary-pin",
        ]));
    }
    run(Command::new(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]));
    false
}

fn of(token: &str, key: &str, pin: &str) -> Kept {
    at(MODULE, token, key, pin)
}

fn at(module: &str, token: &str, key: &str, pin: &str) -> Kept {
    let pairs = [("module", module), ("token", token), ("key", key), ("pin", "env://P")];
    open("pkcs11", &pairs, &[("P", pin)]).unwrap()
}

#[tokio::test]
async fn keys_of_a_softhsm_token_hold_the_contract() {
    if has_tokens("kek::pkcs11::keys_of_a_softhsm_token_hold_the_contract") {
        let key = |name| of("team", name, "canary-pin");
        holds_the_contract(&key("kek"), &key("kek"), &key("next")).await;
    }
}

#[tokio::test]
async fn a_token_that_refuses_is_told_apart_from_one_that_is_not_there() {
    if has_tokens("kek::pkcs11::a_token_that_refuses_is_told_apart_from_one_that_is_not_there") {
        let wrapped = [7; 80];
        is_refused(&of("team", "none", "canary-pin"), &wrapped, "no AES key of its label").await;
        is_unreachable(&of("none", "kek", "canary-pin"), &wrapped, "no slot has its token").await;
        let module = "/nonexistent/module.so";
        is_unreachable(&at(module, "team", "kek", "canary-pin"), &wrapped, "be loaded").await;
    }
}

#[tokio::test]
async fn a_pin_that_a_token_does_not_take_is_tried_once() {
    if has_tokens("kek::pkcs11::a_pin_that_a_token_does_not_take_is_tried_once") {
        let wrong = of("team", "kek", "canary-wrong-pin");
        // More often than a token forgives.
        for _ in 0..6 {
            is_refused(&wrong, &[7; 80], "take our PIN").await;
        }
        let right = of("team", "kek", "canary-pin");
        right.kek.wrap("t", "k", &Key::generate().unwrap()).await.unwrap();
    }
}

#[test]
fn a_pin_stands_nowhere_in_the_settings() {
    let pairs = [("module", MODULE), ("token", "team"), ("key", "kek"), ("pin", "1234")];
    let error = open("pkcs11", &pairs, &[]).err().unwrap();
    assert_eq!(error.to_string(), "`pin`: it is not set");
}
