//! `pass://` against the true `pass` and gpg.

use std::path::Path;
use std::time::Duration;

use strongroom_process::{Start, run};
use strongroom_testkit::provider::{
    Can, Holdings, Troubles, all_fail, fails_closed, holds_the_contract,
};

use crate::program::{World, reference};

const LONG: Duration = Duration::from_mins(1);

/// A store with a key that has no passphrase, and one that has.
struct Store {
    world: World,
}

impl Store {
    fn new() -> Self {
        let mut world = World::new();
        let gnupg = world.home().join("gnupg");
        world.set("pass", "gnupg_home", gnupg.to_str().unwrap());
        let store = Self { world };
        store.sh("mkdir -m 700 gnupg");
        store.key("open@example.com", "%no-protection");
        store.sh("pass init open@example.com");
        store
    }

    fn key(&self, mail: &str, protection: &str) {
        let parameters = format!(
            "Key-Type: eddsa\nKey-Curve: ed25519\nSubkey-Type: ecdh\nSubkey-Curve: cv25519\n\
             Name-Email: {mail}\nExpire-Date: 0\n{protection}\n%commit\n"
        );
        std::fs::write(self.world.home().join("key"), parameters).unwrap();
        self.sh("gpg --batch --quiet --gen-key key");
    }

    fn put(&self, name: &str, text: &str) {
        self.sh(&format!("printf '{text}' | pass insert --multiline {name}"));
    }

    fn sh(&self, script: &str) {
        let home = self.world.home();
        let start = Start {
            args: vec!["-ec".into(), script.into()],
            env: vec![
                ("HOME".into(), home.into()),
                ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
                ("GNUPGHOME".into(), home.join("gnupg").into()),
            ],
            dir: Some(home.to_owned()),
            ..Start::new("/bin/sh")
        };
        let output = run(&start, b"", LONG, 1 << 16).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {said}");
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // The agent has gone out of our group, as daemons do.
        self.sh("gpgconf --kill all || true");
    }
}

#[tokio::test]
async fn pass_holds_the_contract() {
    let store = Store::new();
    store.put("Dev/api", "canary-one\\nuser: canary-bob\\nurl: https://x\\n");
    store.put("\"An Entry\"", "canary two");
    store.put("empty", "\\nuser: x\\n");
    let holdings = Holdings {
        found: vec![
            (reference("pass://Dev/api"), "canary-one"),
            (reference("pass://Dev/api#user"), "canary-bob"),
            (reference("pass://An Entry"), "canary two"),
        ],
        missing: reference("pass://Dev/nope"),
        unusable: Some(reference("pass://empty")),
    };
    let provider = store.world.provider("pass");
    holds_the_contract(&*provider, &holdings).await;
    // A directory is no secret, and a field that is not there is none either.
    let none = ["pass://Dev", "pass://Dev/api#nope", "pass://An Entry#user"].map(reference);
    all_fail("none", &*provider, &none, "not_found").await;
}

#[tokio::test]
async fn pass_fails_closed() {
    let asked = [reference("pass://x"), reference("pass://x#y")];
    let with = |script: &str, timeout: Duration| {
        let mut world = World::new();
        let path = world.script("pass", script);
        world.set("pass", "program", path.to_str().unwrap());
        world.timeout("pass", timeout);
        entry(&world.home().join(".password-store/x.gpg"));
        world
    };
    let locked = Store::new();
    locked.key("locked@example.com", "Passphrase: hunter2");
    locked.sh("pass init locked@example.com");
    locked.put("x", "canary\\ny: canary\\n");
    locked.sh("gpgconf --kill all");
    let denied = Store::new();
    denied.put("x", "canary\\ny: canary\\n");
    denied.sh("rm -r gnupg/private-keys-v1.d && gpgconf --kill all");
    let garbage = Store::new();
    garbage.sh("echo canary > .password-store/x.gpg");
    let flood = with("head -c 10485760 /dev/zero", LONG);
    let slow = with("sleep 600", Duration::from_millis(200));
    let broken = with("echo canary >&2; exit 9", LONG);
    let troubles = Troubles {
        locked: Can::Have(locked.world.provider("pass"), "locked"),
        denied: Can::Have(denied.world.provider("pass"), "denied"),
        unreachable: Can::Have(broken.provider("pass"), "unreachable"),
        slow: Can::Have(slow.provider("pass"), "unreachable"),
        garbage: Can::Have(garbage.world.provider("pass"), "unusable"),
        flood: Can::Have(flood.provider("pass"), "unusable"),
    };
    fails_closed(troubles, &asked).await;
    let nothing = World::new();
    all_fail("no store", &*nothing.provider("pass"), &asked, "absent").await;
}

fn entry(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "").unwrap();
}
