//! `vault://` against a stand-in.

use super::*;

fn with_token(url: &str) -> Kept {
    provider("vault", &[("address", url), ("token", "env://T")], &[("T", "canary-root")])
}

fn with_role(url: &str, secret_id: &str) -> Kept {
    let pairs = [("address", url), ("role_id", "role"), ("secret_id", "env://S")];
    provider("vault", &pairs, &[("S", secret_id)])
}

#[tokio::test]
async fn vault_holds_the_contract_with_a_stand_in() {
    let stand_in = StandIn::vault().await;
    let holdings = Holdings {
        found: vec![
            (reference("vault://secret/app#a"), "canary-a"),
            (reference("vault://secret/app#b"), "canary-b"),
            (reference("vault://secret/other#a"), "canary-other"),
            (reference("vault://team/old/app#a"), "canary-old"),
            (reference("vault://team/old/app#data"), "canary-data"),
        ],
        missing: reference("vault://secret/app#zzz"),
        unusable: Some(reference("vault://secret/app#none")),
    };
    holds_the_contract(&with_token(&stand_in.url()), &holdings).await;
    let asked = references(&["vault://secret/app#a", "vault://secret/other#a"]);
    every_trouble(&stand_in, with_token, &asked).await;
    stand_in.behave(Mood::Sealed);
    all_fail("sealed", &with_token(&stand_in.url()), &asked, "locked").await;
    all_fail("sealed", &with_role(&stand_in.url(), "canary-secret-id"), &asked, "locked").await;
}

#[tokio::test]
async fn each_path_is_one_request_of_the_stand_in_and_the_version_is_asked_for_once() {
    let stand_in = StandIn::vault().await;
    let vault = with_token(&stand_in.url());
    let wanted = ["vault://secret/app#a", "vault://secret/app#b", "vault://secret/other#a"];
    assert_eq!(answers(&vault, &wanted).await, ["canary-a", "canary-b", "canary-other"]);
    let mut asked = stand_in.asked();
    asked.sort();
    let expected = [
        "GET /v1/secret/data/app",
        "GET /v1/secret/data/other",
        "GET /v1/sys/internal/ui/mounts/secret/app",
    ];
    assert_eq!(asked, expected);
    answers(&vault, &wanted).await;
    assert_eq!(stand_in.asked().len(), 5, "the version is remembered");
    let seen = &stand_in.seen()[0];
    assert_eq!(seen.values("x-vault-request"), ["true"]);
    assert!(seen.values("user-agent")[0].starts_with("strongroom/"));
}

#[tokio::test]
async fn the_version_of_the_settings_is_not_asked_for_of_the_stand_in() {
    let stand_in = StandIn::vault().await;
    let pairs = [("address", &*stand_in.url()), ("kv", "2"), ("namespace", "team/a")];
    let vault = provider("vault", &pairs, &[("VAULT_TOKEN", "canary-root")]);
    assert_eq!(answers(&vault, &["vault://secret/app#a"]).await, ["canary-a"]);
    assert_eq!(stand_in.asked(), ["GET /v1/secret/data/app"]);
    assert_eq!(stand_in.seen()[0].values("x-vault-namespace"), ["team/a"]);
}

#[tokio::test]
async fn deleted_missing_and_forbidden_are_told_apart_with_a_stand_in() {
    let stand_in = StandIn::vault().await;
    let root = with_token(&stand_in.url());
    let wanted = ["vault://secret/gone#a", "vault://secret/none#a", "vault://secret/app#a"];
    assert_eq!(answers(&root, &wanted).await, ["not_found", "not_found", "canary-a"]);
    let pairs = [("address", &*stand_in.url()), ("token", "env://T")];
    let weak = provider("vault", &pairs, &[("T", "canary-weak")]);
    assert_eq!(answers(&weak, &wanted[2..]).await, ["denied"]);
    let wrong = provider("vault", &pairs, &[("T", "canary-unknown")]);
    assert_eq!(answers(&wrong, &wanted[2..]).await, ["token_rejected"]);
}

#[tokio::test]
async fn an_approle_of_the_stand_in_logs_in_once_and_again_where_its_token_is_gone() {
    let stand_in = StandIn::vault().await;
    let vault = with_role(&stand_in.url(), "canary-secret-id");
    let logins = || stand_in.asked().iter().filter(|line| line.ends_with("/login")).count();
    for _ in 0..2 {
        assert_eq!(answers(&vault, &["vault://secret/app#a"]).await, ["canary-a"]);
    }
    assert_eq!(logins(), 1);
    stand_in.revoke();
    let both = ["vault://secret/app#a", "vault://secret/other#a"];
    assert_eq!(answers(&vault, &both).await, ["canary-a", "canary-other"]);
    assert_eq!(logins(), 2);
    let wrong = with_role(&stand_in.url(), "canary-wrong");
    assert_eq!(answers(&wrong, &both).await, ["token_rejected", "token_rejected"]);
}

#[tokio::test]
async fn a_kept_token_never_goes_to_an_address_of_the_environment() {
    let stand_in = StandIn::vault().await;
    let url = stand_in.url();
    let variables = [("VAULT_ADDR", &*url), ("T", "canary-root"), ("VAULT_TOKEN", "canary-root")];
    let kept = provider("vault", &[("token", "env://T")], &variables);
    assert_eq!(answers(&kept, &["vault://secret/app#a"]).await, ["absent"]);
    assert!(stand_in.asked().is_empty());
    let own = provider("vault", &[], &variables);
    assert_eq!(answers(&own, &["vault://secret/app#a"]).await, ["canary-a"]);
}
