//! `keepass://` against the true `keepassxc-cli`.

use std::path::PathBuf;
use std::time::Duration;

use strongroom_process::{Start, run};
use strongroom_testkit::provider::{
    Can, Holdings, Troubles, all_fail, fails_closed, holds_the_contract,
};

use crate::program::{World, reference};

const LONG: Duration = Duration::from_mins(1);

/// A database with a password, and the settings for it.
fn database() -> (World, PathBuf) {
    let mut world = World::new();
    let path = world.home().join("db.kdbx");
    cli(&world, "db-create --quiet --set-password --decryption-time 100 db.kdbx", "pw\npw\n");
    cli(&world, "mkdir --quiet db.kdbx Group", "pw\n");
    for (entry, value) in [("Group/One", "canary-one"), ("Two", "canary two")] {
        let words = format!("add --quiet --password-prompt --username bob db.kdbx {entry}");
        cli(&world, &words, &format!("pw\n{value}\n"));
    }
    world.set("keepass", "database", path.to_str().unwrap());
    world.variable("DB_PASSWORD", "pw");
    world.secret("keepass", "password", "env://DB_PASSWORD");
    (world, path)
}

fn cli(world: &World, words: &str, input: &str) {
    let start = Start {
        args: words.split(' ').map(Into::into).collect(),
        env: vec![
            ("HOME".into(), world.home().into()),
            ("QT_QPA_PLATFORM".into(), "offscreen".into()),
            ("LC_ALL".into(), "C.UTF-8".into()),
        ],
        dir: Some(world.home().to_owned()),
        ..Start::new("/usr/bin/keepassxc-cli")
    };
    let output = run(&start, input.as_bytes(), LONG, 1 << 16).unwrap();
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn keepassxc_holds_the_contract() {
    let (world, _) = database();
    let holdings = Holdings {
        found: vec![
            (reference("keepass://Group/One"), "canary-one"),
            (reference("keepass://Two#Password"), "canary two"),
            (reference("keepass://Two#UserName"), "bob"),
        ],
        missing: reference("keepass://Group/Nope"),
        unusable: Some(reference("keepass://Two#Notes")),
    };
    let provider = world.provider("keepass");
    holds_the_contract(&*provider, &holdings).await;
    all_fail("field", &*provider, &[reference("keepass://Two#nope")], "not_found").await;
}

#[tokio::test]
async fn keepassxc_fails_closed() {
    let asked = [reference("keepass://Two"), reference("keepass://Two#UserName")];
    let with = |script: &str, timeout: Duration| {
        let (mut world, _) = database();
        let path = world.script("keepassxc-cli", script);
        world.set("keepass", "program", path.to_str().unwrap());
        world.timeout("keepass", timeout);
        world
    };
    let (mut rejected, _) = database();
    rejected.variable("DB_PASSWORD", "canary");
    all_fail("password", &*rejected.provider("keepass"), &asked, "token_rejected").await;
    let (garbage, path) = database();
    std::fs::write(path, "canary").unwrap();
    let troubles = Troubles {
        locked: Can::Not("it is opened anew each time, by its password"),
        denied: Can::Not("who opens it may read all of it"),
        unreachable: Can::Have(with("exit 9", LONG).provider("keepass"), "unreachable"),
        slow: Can::Have(
            with("sleep 600", Duration::from_millis(200)).provider("keepass"),
            "unreachable",
        ),
        garbage: Can::Have(garbage.provider("keepass"), "integrity"),
        flood: Can::Have(with("head -c 10485760 /dev/zero", LONG).provider("keepass"), "unusable"),
    };
    fails_closed(troubles, &asked).await;
    let (mut world, path) = database();
    std::fs::remove_file(path).unwrap();
    all_fail("no database", &*world.provider("keepass"), &asked, "absent").await;
    world.set("keepass", "database", "/dev/null");
    all_fail("no file", &*world.provider("keepass"), &asked, "absent").await;
    all_fail("nothing", &*World::new().provider("keepass"), &asked, "absent").await;
}

#[tokio::test]
async fn a_key_file_opens_a_database_without_a_password() {
    let mut world = World::new();
    cli(&world, "db-create --quiet --set-key-file key --decryption-time 100 db.kdbx", "");
    let words = "add --quiet --no-password --key-file key --password-prompt db.kdbx Two";
    cli(&world, words, "canary\n");
    for (key, file) in [("database", "db.kdbx"), ("key_file", "key")] {
        let path = world.home().join(file);
        world.set("keepass", key, path.to_str().unwrap());
    }
    let mut answers = world.provider("keepass").resolve(&[reference("keepass://Two")]).await;
    assert_eq!(crate::program::text(answers.pop().unwrap()), "canary");
}
