//! `aws-sm://` and `aws-ssm://` against a stand-in. That signatures are right is held by AWS's own
//! known answers, where they are made.

use super::*;

use serde_json::{Value, json};
use strongroom_testkit::upstream::Seen;

async fn amazon() -> Upstream {
    Upstream::http(|seen| {
        let (status, body) = answer(seen);
        Reply::status(status).body(body.to_string())
    })
    .await
}

fn answer(seen: &Seen) -> (u16, Value) {
    let fault = |kind: &str| (400, json!({ "__type": kind, "message": "canary" }));
    let authorization = seen.values("authorization").concat();
    if !authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKID/20260315/eu-central-1/") {
        return fault("UnrecognizedClientException");
    }
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    let names = |key: &str| -> Vec<String> {
        body[key]
            .as_array()
            .into_iter()
            .flatten()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    let secret = |name: &str| match name {
        "app/db" => Some(
            json!({ "Name": name, "ARN": "arn:1", "SecretString": r#"{"user":"u","password":"canary-p"}"# }),
        ),
        "plain" => Some(json!({ "Name": name, "ARN": "arn:2", "SecretString": "canary-plain" })),
        "binary" => Some(json!({ "Name": name, "SecretBinary": "Y2FuYXJ5LWI=" })),
        _ => None,
    };
    match seen.values("x-amz-target").concat().as_str() {
        "secretsmanager.GetSecretValue" => match body["SecretId"].as_str().unwrap() {
            "denied" => fault("AccessDeniedException"),
            "deleted" => fault("InvalidRequestException"),
            "busy" => fault("ThrottlingException"),
            name => secret(name)
                .map_or_else(|| fault("ResourceNotFoundException"), |value| (200, value)),
        },
        "secretsmanager.BatchGetSecretValue" => {
            let names = names("SecretIdList");
            if names.len() > 20 || names.iter().any(|name| name == "forbid-batch") {
                return fault("AccessDeniedException");
            }
            let values: Vec<Value> = names.iter().filter_map(|name| secret(name)).collect();
            let errors: Vec<Value> = names
                .iter()
                .filter(|name| secret(name).is_none())
                .map(|name| json!({ "SecretId": name, "ErrorCode": "ResourceNotFoundException", "Message": "canary" }))
                .collect();
            (200, json!({ "SecretValues": values, "Errors": errors }))
        }
        "AmazonSSM.GetParameters" => {
            let names = names("Names");
            if names.len() > 10 || body["WithDecryption"] != json!(true) {
                return fault("ValidationException");
            }
            let known = |name: &&String| {
                matches!(name.as_str(), "/prod/db" | "flat") || name.starts_with("/many/")
            };
            let parameters: Vec<Value> = names
                .iter()
                .filter(known)
                .map(|name| json!({ "Name": name, "Type": "SecureString", "Value": format!("canary{name}") }))
                .collect();
            let invalid: Vec<&String> = names.iter().filter(|name| !known(name)).collect();
            (200, json!({ "Parameters": parameters, "InvalidParameters": invalid }))
        }
        _ => fault("UnknownOperationException"),
    }
}

fn at(scheme: &str, url: &str) -> Kept {
    let pairs = [
        ("endpoint", url),
        ("region", "eu-central-1"),
        ("access_key_id", "AKID"),
        ("secret_access_key", "env://S"),
    ];
    provider(scheme, &pairs, &[("S", "canary-secret-key")])
}

async fn troubles(scheme: &'static str, asked: &str) {
    let asked = references(&[asked]);
    let moody = StandIn::doppler().await;
    every_trouble(&moody, |url| at(scheme, url), &asked).await;
}

#[tokio::test]
async fn secrets_manager_holds_the_contract_with_a_stand_in() {
    let amazon = amazon().await;
    let url = format!("http://{}", amazon.address());
    let holdings = Holdings {
        found: vec![
            (reference("aws-sm://app/db#password"), "canary-p"),
            (reference("aws-sm://app/db#user"), "u"),
            (reference("aws-sm://plain"), "canary-plain"),
            (reference("aws-sm://binary"), "canary-b"),
        ],
        missing: reference("aws-sm://none"),
        unusable: Some(reference("aws-sm://plain#field")),
    };
    holds_the_contract(&at("aws-sm", &url), &holdings).await;
    troubles("aws-sm", "aws-sm://plain").await;
}

#[tokio::test]
async fn parameters_hold_the_contract_with_a_stand_in() {
    let amazon = amazon().await;
    let url = format!("http://{}", amazon.address());
    let holdings = Holdings {
        found: vec![
            (reference("aws-ssm://prod/db"), "canary/prod/db"),
            (reference("aws-ssm://flat"), "canaryflat"),
        ],
        missing: reference("aws-ssm://none"),
        unusable: None,
    };
    holds_the_contract(&at("aws-ssm", &url), &holdings).await;
    troubles("aws-ssm", "aws-ssm://flat").await;
}

#[tokio::test]
async fn batches_are_as_large_as_the_stand_in_takes_them() {
    let amazon = amazon().await;
    let url = format!("http://{}", amazon.address());
    let many: Vec<String> = (0..25).map(|n| format!("aws-ssm://many/{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let found = answers(&at("aws-ssm", &url), &many).await;
    assert!(found.iter().all(|value| value.starts_with("canary/many/")), "{found:?}");
    assert_eq!(amazon.requests(), 3);
    let many: Vec<String> = (0..25).map(|n| format!("aws-sm://none{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    answers(&at("aws-sm", &url), &many).await;
    assert_eq!(amazon.requests(), 3 + 2);
}

#[tokio::test]
async fn a_batch_that_the_stand_in_refuses_is_asked_again_one_by_one() {
    let amazon = amazon().await;
    let sm = at("aws-sm", &format!("http://{}", amazon.address()));
    let wanted = [
        "aws-sm://plain",
        "aws-sm://forbid-batch",
        "aws-sm://denied",
        "aws-sm://deleted",
        "aws-sm://busy",
    ];
    let expected = ["canary-plain", "not_found", "denied", "not_found", "limited"];
    assert_eq!(answers(&sm, &wanted).await, expected);
}

#[tokio::test]
async fn keys_come_from_the_environment_or_a_profile_and_else_nothing_is_asked() {
    let amazon = amazon().await;
    let url = format!("http://{}", amazon.address());
    let own = settings(&[("endpoint", &url)]);
    let wanted = ["aws-sm://plain"];
    let variables = [
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "canary-s"),
        ("AWS_SESSION_TOKEN", "canary-session"),
        ("AWS_REGION", "eu-central-1"),
    ];
    let nowhere = std::path::Path::new("/nonexistent");
    let found = answers(&at_home("aws-sm", own.clone(), &variables, nowhere), &wanted).await;
    assert_eq!(found, ["canary-plain"]);
    let seen = amazon.seen().pop().unwrap();
    assert_eq!(seen.values("x-amz-security-token"), ["canary-session"]);
    assert!(seen.values("authorization")[0].contains("x-amz-security-token"));
    assert_eq!(answers(&at_home("aws-sm", own.clone(), &[], nowhere), &wanted).await, ["absent"]);
    assert_eq!(amazon.requests(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join(".aws");
        std::fs::create_dir(&dir).unwrap();
        for (name, text) in [
            ("credentials", "[work]\naws_access_key_id = AKID\naws_secret_access_key = canary-s\n"),
            ("config", "[profile work]\nregion = eu-central-1\n"),
        ] {
            std::fs::write(dir.join(name), text).unwrap();
            std::fs::set_permissions(dir.join(name), std::fs::Permissions::from_mode(0o600))
                .unwrap();
        }
        let work = [("AWS_PROFILE", "work")];
        let found = answers(&at_home("aws-sm", own, &work, home.path()), &wanted).await;
        assert_eq!(found, ["canary-plain"]);
    }
}

#[tokio::test]
async fn a_wrong_key_is_said_and_a_region_makes_no_other_host() {
    let amazon = amazon().await;
    let url = format!("http://{}", amazon.address());
    let pairs = |region| {
        [
            ("endpoint", &*url),
            ("region", region),
            ("access_key_id", "OTHER"),
            ("secret_access_key", "env://S"),
        ]
    };
    let wrong = provider("aws-sm", &pairs("eu-central-1"), &[("S", "canary")]);
    assert_eq!(answers(&wrong, &["aws-sm://plain"]).await, ["token_rejected"]);
    let evil = provider("aws-sm", &pairs("evil.example/x?")[1..], &[("S", "canary")]);
    assert_eq!(answers(&evil, &["aws-sm://plain"]).await, ["absent"]);
}
