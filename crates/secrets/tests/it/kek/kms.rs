//! AWS KMS: moto's server, where signatures and policies are checked, and stand-ins for what it does
//! not do.

use serde_json::{Value, json};
use strongroom_testkit::upstream::{Reply, Upstream};

use super::*;
use crate::http::moto::Moto;

fn kms(url: &str, key: &str, (id, secret): (&str, &str)) -> Kept {
    let pairs = [
        ("endpoint", url),
        ("region", "eu-central-1"),
        ("key", key),
        ("access_key_id", id),
        ("secret_access_key", "env://S"),
    ];
    open("aws-kms", &pairs, &[("S", secret)]).unwrap()
}

fn of_moto(moto: &Moto, key: &str, user: &str) -> Kept {
    let text = |value: &'_ Value| value.as_str().unwrap().to_owned();
    let (id, secret) = (text(&moto.users[user]["id"]), text(&moto.users[user]["secret"]));
    let key = moto.users[key].as_str().unwrap_or(key).to_owned();
    kms(&moto.url, &key, (&id, &secret))
}

#[tokio::test]
async fn keys_of_motos_kms_hold_the_contract() {
    let moto = Moto::with("aws_kms.py");
    let kek = of_moto(&moto, "kek", "server");
    let (same, other) = (of_moto(&moto, "kek", "server"), of_moto(&moto, "next", "server"));
    holds_the_contract(&kek, &same, &other).await;

    let key = Key::generate().unwrap();
    let wrapped = kek.kek.wrap("tenant-1", "key-1", &key).await.unwrap();
    is_refused(&of_moto(&moto, "kek", "other"), &wrapped, "may not be used").await;
    let nowhere = of_moto(&moto, "00000000-0000-0000-0000-000000000000", "server");
    let error = nowhere.kek.wrap("tenant-1", "key-1", &key).await.unwrap_err();
    assert!(error.to_string().contains("it does not exist"), "{error}");
    let id = moto.users["server"]["id"].as_str().unwrap();
    is_refused(&kms(&moto.url, "key", (id, "canary-of-another-key")), &wrapped, "").await;
}

#[tokio::test]
async fn what_a_stand_in_of_kms_says_is_told_apart() {
    let fault = |status: u16, name: &'static str| {
        Upstream::http(move |_| {
            let body =
                json!({ "__type": format!("com.amazonaws.kms#{name}"), "message": "canary" });
            Reply::status(status).body(body.to_string())
        })
    };
    let of = |upstream: &Upstream| {
        kms(&format!("http://{}", upstream.address()), "key-id", ("AKID", "canary-secret"))
    };
    for (name, words) in [
        ("AccessDeniedException", "does not allow it"),
        ("DisabledException", "it is disabled"),
        ("KMSInvalidStateException", "it is being deleted"),
        ("NotFoundException", "it does not exist"),
        ("UnrecognizedClientException", "our token is not accepted"),
        ("ExpiredTokenException", "our token is not accepted"),
    ] {
        is_refused(&of(&fault(400, name).await), b"wrapped", words).await;
    }
    for (status, name, words) in [
        (400, "ThrottlingException", "asked too often"),
        (500, "KMSInternalException", "for the moment"),
        (500, "DependencyTimeoutException", "for the moment"),
        (400, "SomethingNewException", "do not know"),
    ] {
        is_unreachable(&of(&fault(status, name).await), b"wrapped", words).await;
    }
    for name in ["InvalidCiphertextException", "IncorrectKeyException"] {
        let upstream = fault(400, name).await;
        let kek = of(&upstream);
        let error = kek.kek.unwrap("tenant-1", "key-1", b"wrapped").await.unwrap_err();
        assert_eq!(error, KekError::Mismatch, "{name}");
    }
    let garbage = Upstream::http(|_| Reply::ok("canary {")).await;
    is_unreachable(&of(&garbage), b"wrapped", "documentation").await;
    is_unreachable(&kms(&closed(), "key-id", ("AKID", "canary")), b"wrapped", "no connection")
        .await;
}

#[tokio::test]
async fn a_stand_in_of_kms_is_told_the_tenant_and_the_key_that_is_meant() {
    let upstream = Upstream::http(|_| Reply::status(500)).await;
    let kek = kms(&format!("http://{}", upstream.address()), "key-id", ("AKID", "canary"));
    both(&kek, b"wrapped").await;
    let operations: Vec<String> =
        upstream.seen().iter().map(|seen| seen.values("x-amz-target").concat()).collect();
    assert_eq!(operations, ["TrentService.Encrypt", "TrentService.Decrypt"]);
    for seen in upstream.seen() {
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        assert_eq!(body["KeyId"], "key-id");
        let context = json!({ "app": "strongroom", "tenant": "tenant-1", "key": "key-1" });
        assert_eq!(body["EncryptionContext"], context);
        assert!(seen.values("authorization").concat().contains("/eu-central-1/kms/aws4_request"));
    }
}

#[test]
fn an_alias_is_no_key() {
    for key in ["alias/team", "arn:aws:kms:eu-central-1:1:alias/team"] {
        let error = open("aws-kms", &[("key", key)], &[]).err().unwrap();
        assert!(error.to_string().contains("an alias can be made to lead"), "{error}");
    }
}
