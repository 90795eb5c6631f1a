//! `bw://` against a stand-in for Bitwarden's `bws`.

use std::time::Duration;

use strongroom_testkit::provider::{
    Can, Holdings, Troubles, all_fail, fails_closed, holds_the_contract,
};

use crate::program::{World, reference, text};

const LONG: Duration = Duration::from_mins(1);

const STAND_IN: &str = r#"
echo "$*" >> "$HOME/calls"
fail() { printf 'Error: \n   0: %s\n\nLocation:\n   crates/bws/src/main.rs:106\n' "$1" >&2; exit 1; }
case "$BWS_ACCESS_TOKEN" in
  0.good.x:y) ;;
  0.old.x:y) fail 'Received error message from server: [400 Bad Request] {"error":"invalid_client"}' ;;
  0.busy.x:y) fail 'Received error message from server: [429 Too Many Requests] canary' ;;
  0.away.x:y) fail 'error sending request for url (https://identity.bitwarden.com/connect/token): dns error' ;;
  *) fail 'Is the wrong version' ;;
esac
one() { printf '{"object":"secret","id":"%s","organizationId":"o","projectId":null,"key":"K","value":"%s","note":"","creationDate":"d","revisionDate":"d"}' "$1" "$2"; }
case "$*" in
  "secret get be8e0ad8-d545-4017-a55a-b02f014d4158 --output json --color no") one "$3" 'canary\none' ;;
  "secret get 382580ab-1368-4e85-bfa3-b02e01400c9f --output json --color no") one "$3" canary-two ;;
  "secret get 00000000-1368-4e85-bfa3-b02e01400c9f --output json --color no") one "$3" '' ;;
  "secret list --output json --color no")
    printf '['; one be8e0ad8-d545-4017-a55a-b02f014d4158 'canary\none'; printf ','
    one 382580ab-1368-4e85-bfa3-b02e01400c9f canary-two; printf ','
    one 00000000-1368-4e85-bfa3-b02e01400c9f ''; printf ']' ;;
  *) fail 'Received error message from server: [404 Not Found] {"message":"Resource not found."}' ;;
esac
"#;

fn stand_in(token: &str) -> World {
    let mut world = World::new();
    let path = world.script("bws", STAND_IN);
    world.set("bw", "program", path.to_str().unwrap());
    world.variable("TOKEN", token);
    world.secret("bw", "token", "env://TOKEN");
    world
}

#[tokio::test]
async fn the_stand_in_bws_holds_the_contract() {
    let world = stand_in("0.good.x:y");
    let holdings = Holdings {
        found: vec![
            (reference("bw://be8e0ad8-d545-4017-a55a-b02f014d4158"), "canary\none"),
            (reference("bw://382580ab-1368-4e85-bfa3-b02e01400c9f"), "canary-two"),
        ],
        missing: reference("bw://11111111-1368-4e85-bfa3-b02e01400c9f"),
        unusable: Some(reference("bw://00000000-1368-4e85-bfa3-b02e01400c9f")),
    };
    holds_the_contract(&*world.provider("bw"), &holdings).await;
    let calls = world.home().join("calls");
    std::fs::remove_file(&calls).unwrap();
    let refs: Vec<_> = holdings.found.iter().map(|(reference, _)| reference.clone()).collect();
    for answer in world.provider("bw").resolve(&refs).await {
        assert!(text(answer).starts_with("canary"));
    }
    let calls = std::fs::read_to_string(calls).unwrap();
    assert_eq!(calls.lines().count(), 1, "{calls}");
    assert!(!calls.contains("0.good"));
}

#[tokio::test]
async fn the_stand_in_bws_fails_closed() {
    let asked = [
        reference("bw://be8e0ad8-d545-4017-a55a-b02f014d4158"),
        reference("bw://382580ab-1368-4e85-bfa3-b02e01400c9f"),
    ];
    for (token, due) in [
        ("0.old.x:y", "token_rejected"),
        ("canary", "token_rejected"),
        ("0.busy.x:y", "limited"),
        ("0.away.x:y", "unreachable"),
    ] {
        let world = stand_in(token);
        all_fail(token, &*world.provider("bw"), &asked, due).await;
        all_fail(token, &*world.provider("bw"), &asked[..1], due).await;
    }
    let with = |script: &str, timeout: Duration| {
        let mut world = stand_in("0.good.x:y");
        world.script("bws", script);
        world.timeout("bw", timeout);
        world.provider("bw")
    };
    let troubles = Troubles {
        locked: Can::Not("a machine account is not locked"),
        denied: Can::Not("what an account may not see is not there for it"),
        unreachable: Can::Have(stand_in("0.away.x:y").provider("bw"), "unreachable"),
        slow: Can::Have(with("sleep 600", Duration::from_millis(200)), "unreachable"),
        garbage: Can::Have(with("echo canary", LONG), "unreachable"),
        flood: Can::Have(with("head -c 40000000 /dev/zero", LONG), "unusable"),
    };
    fails_closed(troubles, &asked).await;
    let mut world = World::new();
    let path = world.script("bws", STAND_IN);
    world.set("bw", "program", path.to_str().unwrap());
    all_fail("no token", &*world.provider("bw"), &asked, "absent").await;
}
