//! `op://` against a stand-in for 1Password's `op`.

use std::time::Duration;

use strongroom_model::ports::Provider;
use strongroom_model::reference::SecretRef;
use strongroom_testkit::op::{Call, StandInOp, TOKEN, Trouble};
use strongroom_testkit::provider::{
    Can, Holdings, Troubles, all_fail, fails_closed, holds_the_contract,
};

use crate::program::{World, reference, text};

/// A stand-in with two items, and the provider that asks it.
fn stand_in() -> (StandInOp, World) {
    let op = StandInOp::new();
    op.put("op://Dev/Stitch/api-key", "canary-one");
    op.put("op://Dev/Stitch/Section A/api key", "canary-two\nof lines\n");
    op.put("op://My Vault/An Item/field", "canary-three");
    op.put("op://Dev/Stitch/empty", "");
    let mut world = World::new();
    world.set("op", "program", op.program().to_str().unwrap());
    world.variable("OP_SERVICE_ACCOUNT_TOKEN", TOKEN);
    (op, world)
}

fn found() -> Vec<SecretRef> {
    ["op://Dev/Stitch/api-key", "op://My Vault/An Item/field"].map(reference).to_vec()
}

fn in_trouble(trouble: Trouble, timeout: Duration, due: &'static str) -> (StandInOp, Can) {
    let (op, mut world) = stand_in();
    op.trouble(trouble);
    world.timeout("op", timeout);
    (op, Can::Have(world.provider("op"), due))
}

#[tokio::test]
async fn the_stand_in_op_holds_the_contract() {
    let (_op, world) = stand_in();
    let holdings = Holdings {
        found: vec![
            (reference("op://Dev/Stitch/api-key"), "canary-one"),
            (reference("op://Dev/Stitch/Section A/api key"), "canary-two\nof lines\n"),
            (reference("op://My Vault/An Item/field"), "canary-three"),
        ],
        missing: reference("op://Dev/Nope/api-key"),
        unusable: Some(reference("op://Dev/Stitch/empty")),
    };
    holds_the_contract(&*world.provider("op"), &holdings).await;
}

// LM-14
#[tokio::test]
async fn the_stand_in_op_fails_closed() {
    let patient = Duration::from_secs(15);
    let (_a, locked) = in_trouble(Trouble::Locked, patient, "locked");
    let (_b, denied) = in_trouble(Trouble::Denied, patient, "denied");
    let (_c, unreachable) = in_trouble(Trouble::Unreachable, patient, "unreachable");
    let (_d, slow) = in_trouble(Trouble::Hang, Duration::from_millis(300), "unreachable");
    let (_e, garbage) = in_trouble(Trouble::Garbage, patient, "unreachable");
    let (_f, flood) = in_trouble(Trouble::Flood, patient, "unusable");
    let troubles = Troubles { locked, denied, unreachable, slow, garbage, flood };
    fails_closed(troubles, &found()).await;
    for (trouble, due) in [
        (Trouble::Revoked, "token_rejected"),
        (Trouble::Limited, "limited"),
        (Trouble::Unknown, "unreachable"),
        (Trouble::Empty, "unreachable"),
        (Trouble::Newline, "unreachable"),
        (Trouble::Zero, "unreachable"),
        (Trouble::Tty, "locked"),
    ] {
        let (op, world) = stand_in();
        op.trouble(trouble);
        all_fail(&format!("{trouble:?}"), &*world.provider("op"), &found(), due).await;
        let starts = op.calls().len();
        assert!(starts == 1, "{trouble:?}: {starts} starts");
    }
}

#[tokio::test]
async fn many_references_are_one_process_of_the_stand_in() {
    let (op, world) = stand_in();
    let mut refs = Vec::new();
    for n in 0..200 {
        op.put(&format!("op://Dev/Item {n}/key"), &format!("canary-{n}"));
        refs.push(reference(&format!("op://Dev/Item {n}/key")));
    }
    let answers = world.provider("op").resolve(&refs).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(text(answer), format!("canary-{n}"));
    }
    assert_eq!(op.calls().len(), 1);
}

#[tokio::test]
async fn when_some_are_bad_the_others_resolve_with_few_processes_of_the_stand_in() {
    let (op, world) = stand_in();
    op.double("Dev", "Twice");
    op.put("op://Dev/Twice/key", "canary");
    let mut refs = Vec::new();
    for n in 0..10 {
        op.put(&format!("op://Dev/Item {n}/key"), &format!("canary-{n}"));
        refs.push(reference(&format!("op://Dev/Item {n}/key")));
    }
    for (bad, kind, most) in [
        ("op://Dev/Nope/key", "not_found", 3),
        ("op://Nope/Item 1/key", "not_found", 3),
        ("op://Dev/Item 3/nope", "not_found", 3),
        ("op://Dev/Twice/key", "unusable", 3),
        ("op://Dev/Chang's/key", "unusable", 3),
    ] {
        let mut asked = refs.clone();
        asked.insert(4, reference(bad));
        let mut answers = world.provider("op").resolve(&asked).await;
        assert_eq!(answers.remove(4).unwrap_err().kind(), kind, "{bad}");
        for (n, answer) in answers.into_iter().enumerate() {
            assert_eq!(text(answer), format!("canary-{n}"), "{bad}");
        }
        let starts = op.calls().len();
        assert!(starts <= most, "{bad}: {starts} processes");
    }
    // All fields of an item that is not there: nothing is taken apart.
    let gone = ["a", "b", "c"].map(|field| reference(&format!("op://Dev/Gone/{field}")));
    all_fail("gone", &*world.provider("op"), &gone, "not_found").await;
    assert_eq!(op.calls().len(), 1);
}

#[tokio::test]
async fn the_token_is_in_the_environment_of_op_and_nowhere_else() {
    let (op, mut world) = stand_in();
    for name in
        ["LD_PRELOAD", "BASH_ENV", "AWS_SECRET_ACCESS_KEY", "OP_CONNECT_TOKEN", "SSL_CERT_FILE"]
    {
        world.variable(name, "canary");
    }
    let ours = |calls: Vec<Call>| {
        assert!(!calls.is_empty());
        for Call { argv, env } in calls {
            assert_eq!(argv, ["inject"]);
            let allowed = |name: &String| {
                let known = [
                    "HOME",
                    "PATH",
                    "LC_ALL",
                    "OP_SERVICE_ACCOUNT_TOKEN",
                    "LC_CTYPE",
                    "HTTPS_PROXY",
                ];
                known.contains(&name.as_str())
            };
            assert!(env.iter().all(allowed), "{env:?}");
        }
    };
    all_found(&*world.provider("op")).await;
    ours(op.calls());
    world.variable("HTTPS_PROXY", "http://127.0.0.1:1");
    world.words("op", "pass_env", &["HTTPS_PROXY"]);
    all_found(&*world.provider("op")).await;
    let calls = op.calls();
    assert!(calls[0].env.contains(&"HTTPS_PROXY".to_owned()));
    ours(calls);
}

#[tokio::test]
async fn the_token_comes_from_the_setting_the_variable_the_file_or_the_desktop_app() {
    let (op, _) = stand_in();
    let program = op.program();
    let bare = || {
        let mut world = World::new();
        world.set("op", "program", program.to_str().unwrap());
        world
    };
    all_fail("none", &*bare().provider("op"), &found(), "locked").await;

    let mut world = bare();
    world.variable("MY_TOKEN", TOKEN);
    world.variable("OP_SERVICE_ACCOUNT_TOKEN", "ops_another");
    world.secret("op", "token", "env://MY_TOKEN");
    all_found(&*world.provider("op")).await;
    world.secret("op", "token", "env://NOT_SET");
    all_fail("no token", &*world.provider("op"), &found(), "absent").await;

    let world = bare();
    let file = world.home().join(".config/op/claude-dev-token");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    set_mode(&file, 0o644);
    all_fail("open file", &*world.provider("op"), &found(), "absent").await;
    set_mode(&file, 0o600);
    all_found(&*world.provider("op")).await;

    op.desktop(true);
    op.calls();
    let mut world = bare();
    world.set("op", "account", "my.1password.com");
    all_found(&*world.provider("op")).await;
    let calls = op.calls();
    let env = &calls[0].env;
    assert!(env.contains(&"OP_ACCOUNT".to_owned()));
    assert!(!env.contains(&"OP_SERVICE_ACCOUNT_TOKEN".to_owned()));
}

async fn all_found(provider: &dyn Provider) {
    for answer in provider.resolve(&found()).await {
        assert!(text(answer).starts_with("canary"));
    }
}

fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
