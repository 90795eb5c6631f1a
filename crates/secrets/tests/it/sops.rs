//! `sops://` against a stand-in for `sops`, which "opens" files of plain JSON.

use std::path::PathBuf;
use std::time::Duration;

use strongroom_testkit::provider::{
    Can, Holdings, Troubles, all_fail, fails_closed, holds_the_contract,
};

use crate::program::{World, reference};

const LONG: Duration = Duration::from_mins(1);

const STAND_IN: &str = r#"
[ "$1 $2 $3" = "decrypt --output-type json" ] || exit 100
echo x >> "$HOME/calls"
env | sed 's/=.*//' | sort > "$HOME/env"
case "$(head -c 3 "$4")" in
  '{"'*) cat "$4" ;;
  KMS) echo 'Failed to get the data key required to decrypt the SOPS file.
Group 0: FAILED
  arn:aws:kms:us-west-2:1:key/x: FAILED
    - | failed to decrypt sops data key with AWS KMS: dial tcp: lookup kms: no such host' >&2; exit 128 ;;
  AGE) echo 'Failed to get the data key required to decrypt the SOPS file.
Group 0: FAILED
  age1wv2tmu3szxlrn5gxr7yxx3c39spn9q30acdys5t2wpxsqzmd0yjs67canary: FAILED
    - | no age identity found in "/x/keys.txt" that could decrypt the file' >&2; exit 128 ;;
  MAC) echo 'MAC mismatch. File has canary, computed canary' >&2; exit 51 ;;
  *) echo 'sops metadata not found' >&2; exit 1 ;;
esac
"#;

fn stand_in() -> World {
    let mut world = World::new();
    let path = world.script("sops", STAND_IN);
    world.set("sops", "program", path.to_str().unwrap());
    world
}

fn file(world: &World, text: &str) -> PathBuf {
    let path = world.home().join("secrets.yaml");
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn the_stand_in_sops_holds_the_contract_with_one_process_for_a_file() {
    let mut world = stand_in();
    let path = file(&world, r#"{"a": "canary\none", "b": {"c": 17}, "empty": "", "list": ["x"]}"#);
    let at = |key: &str| reference(&format!("sops://{}#{key}", path.display()));
    let holdings = Holdings {
        found: vec![(at("a"), "canary\none"), (at("b.c"), "17"), (at("list.0"), "x")],
        missing: at("nope"),
        unusable: Some(at("empty")),
    };
    holds_the_contract(&*world.provider("sops"), &holdings).await;
    let calls = world.home().join("calls");
    std::fs::remove_file(&calls).unwrap();
    world.variable("KEY", "AGE-SECRET-KEY-canary");
    world.secret("sops", "age_key", "env://KEY");
    world.set("sops", "age_key_file", "/x/keys.txt");
    let refs = [at("a"), at("b.c"), at("nope")];
    world.provider("sops").resolve(&refs).await;
    assert_eq!(std::fs::read_to_string(calls).unwrap().lines().count(), 1);
    let env = std::fs::read_to_string(world.home().join("env")).unwrap();
    assert!(env.contains("SOPS_AGE_KEY\n") && env.contains("SOPS_AGE_KEY_FILE\n"), "{env}");
    all_fail("no file", &*world.provider("sops"), &[reference("sops:///nowhere#a")], "not_found")
        .await;
}

#[tokio::test]
async fn the_stand_in_sops_fails_closed() {
    let mut worlds = Vec::new();
    // Each file in a home of its own, all of them at one place for the reference.
    let shared = tempfile::tempdir().unwrap();
    let path = shared.path().join("f");
    let asked = [reference(&format!("sops://{}#a", path.display()))];
    for (text, due) in [
        ("KMS", "unreachable"),
        ("AGE", "denied"),
        ("MAC", "integrity"),
        ("plain: canary", "unusable"),
    ] {
        std::fs::write(&path, text).unwrap();
        all_fail(text, &*stand_in().provider("sops"), &asked, due).await;
    }
    std::fs::write(&path, "AGE").unwrap();
    let mut with = |script: &str, timeout: Duration| {
        let mut world = World::new();
        let program = world.script("sops", script);
        world.set("sops", "program", program.to_str().unwrap());
        world.timeout("sops", timeout);
        let provider = world.provider("sops");
        worlds.push(world);
        provider
    };
    let troubles = Troubles {
        locked: Can::Not("it has the key or it has not"),
        denied: Can::Have(stand_in().provider("sops"), "denied"),
        unreachable: Can::Have(with("exit 1", LONG), "unreachable"),
        slow: Can::Have(with("sleep 600", Duration::from_millis(200)), "unreachable"),
        garbage: Can::Have(with("echo '{\"a\": \"canary\"'", LONG), "unreachable"),
        flood: Can::Have(with("head -c 20971520 /dev/zero", LONG), "unusable"),
    };
    fails_closed(troubles, &asked).await;
}
