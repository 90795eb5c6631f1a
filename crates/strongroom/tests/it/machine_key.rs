//! Decision 4: the machine key in the keychain, with a true one.

#![expect(clippy::disallowed_methods, reason = "a thief copies with cp")]

use std::fs;

use strongroom_testkit::secret_service::SecretService;

use crate::sandbox::Sandbox;

const VARIABLE: &str = "DBUS_SESSION_BUS_ADDRESS";
const KEY: &str = ".local/share/strongroom/machine.key";
const SERVICE: &str = "add tickets --base-url https://t.example/v1 --auth bearer --key-stdin";

fn made(session: &SecretService) -> Sandbox {
    let home = Sandbox::new().with(VARIABLE, session.address());
    home.run("init --headless --machine-key keychain").ok();
    home
}

/// The same files for somebody in another session, or in none.
fn stolen(home: &Sandbox, session: Option<&SecretService>) -> Sandbox {
    let thief = Sandbox::new();
    let thief = match session {
        Some(session) => thief.with(VARIABLE, session.address()),
        None => thief,
    };
    let copy =
        std::process::Command::new("cp").arg("-a").arg(home.path(".")).arg(thief.path("")).status();
    assert!(copy.unwrap().success());
    thief
}

#[test]
fn a_home_whose_key_is_in_the_keychain_has_no_key_file_and_works() {
    let session = SecretService::start();
    let home = made(&session);
    assert!(!home.path(KEY).exists());
    let config = home.read(".config/strongroom/strongroom.toml");
    assert!(config.contains("[machine_key]\nsource = \"keychain\"\n"), "{config}");
    home.feed(&SERVICE.split(' ').collect::<Vec<_>>(), "canary-tickets-key\n").ok();
    home.run("show tickets").ok();
    home.run("init").ok();
    let line = session.lookup(&["service", "strongroom", "username", "machine-key"]).unwrap();
    assert!(line.starts_with("sr1_"));
    let doctor = home.run("doctor --json").stdout;
    assert!(doctor.contains("keychain://strongroom/machine-key"), "{doctor}");
    // It is chosen once.
    let ran = home.run("init --machine-key file");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(!home.path(KEY).exists());
    home.run("uninstall --purge --yes").ok();
    assert_eq!(session.lookup(&["service", "strongroom", "username", "machine-key"]), None);
}

/// LM-19.
#[test]
fn a_stolen_home_does_not_open_without_the_keychain_on_the_same_machine() {
    let session = SecretService::start();
    let home = made(&session);
    home.feed(&SERVICE.split(' ').collect::<Vec<_>>(), "canary-tickets-key\n").ok();
    let another = SecretService::start();
    for session in [None, Some(&another)] {
        let thief = stolen(&home, session);
        for command in ["init", "show tickets", "principal list"] {
            let ran = thief.run(command);
            assert_eq!(ran.code, 4, "{command}: {ran:?}");
            assert!(ran.stderr.contains("hint: "), "{command}: {ran:?}");
        }
        assert!(!thief.path(KEY).exists(), "no start makes another key");
    }
    // A key in a file opens wherever the machine id is the same: SECURITY.md says so.
    let plain = Sandbox::headless();
    stolen(&plain, None).run("principal list").ok();
}

#[test]
fn a_locked_keychain_ends_a_command_with_what_to_do() {
    let session = SecretService::start();
    let home = made(&session);
    session.lock();
    let ran = home.run("principal list");
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("locked") && ran.stderr.contains("unlock"), "{ran:?}");
    let fresh = Sandbox::new().with(VARIABLE, session.address());
    let ran = fresh.run("init --machine-key keychain");
    assert_eq!(ran.code, 4, "{ran:?}");
    // Nothing was chosen yet: a file is still possible.
    fresh.run("init").ok();
}

#[test]
fn homes_of_their_own_do_not_share_an_item() {
    let session = SecretService::start();
    let accounts: Vec<String> = (0..2)
        .map(|_| {
            let home = Sandbox::new().with(VARIABLE, session.address());
            let own = home.path("own");
            let home = home.with("STRONGROOM_HOME", own);
            home.run("init --headless --machine-key keychain").ok();
            home.run("principal list").ok();
            let config =
                fs::read_to_string(home.path("own/config/strongroom/strongroom.toml")).unwrap();
            config.lines().find(|line| line.starts_with("account = ")).unwrap().to_owned()
        })
        .collect();
    assert_ne!(accounts[0], accounts[1]);
}
