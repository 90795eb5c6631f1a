//! nginx that asks for a client certificate.

use strongroom_testkit::oracle::Oracle;

use super::nginx::Nginx;
use crate::sandbox::Sandbox;
use crate::serve::Serving;

#[test]
fn nginx_knows_a_client_by_its_certificate_and_lets_nobody_else_in() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Nginx::start_for_clients(&folder.path().join("nginx"));
    let (certificate, key) = upstream.client("agent");
    let (other_certificate, other_key) = upstream.client("other");
    let elsewhere = Nginx::start_for_clients(&folder.path().join("elsewhere"));
    let (strange_certificate, strange_key) = elsewhere.client("stranger");

    let sandbox = Sandbox::headless();
    let url = format!("https://127.0.0.1:{}", upstream.port);
    let authority = upstream.authority();
    let authority = authority.to_str().unwrap();
    let add = |name: &str, pem: &str| {
        let mut arguments = vec!["add", name, "--base-url", &url, "--ca-file", authority];
        arguments.extend(["--allow-ip", "127.0.0.1/32", "--auth", "mtls", "--key-stdin"]);
        sandbox.feed(&arguments, pem).ok();
    };
    add("agent", &format!("{certificate}{key}"));
    add("other", &format!("{other_key}{other_certificate}"));
    add("stranger", &format!("{strange_certificate}{strange_key}"));
    add("mixed", &format!("{certificate}{other_key}"));

    let mut serving = Serving::start(&sandbox, &["serve"]);
    for name in ["agent", "other", "agent"] {
        let answer = serving.execute(name, "GET", "/v1/who");
        assert_eq!(answer["body"]["who"], format!("CN={name}"), "{answer}");
    }
    // nginx says so itself: the certificate is good for TLS, and not for it.
    let refused = serving.execute("stranger", "GET", "/v1/who");
    assert_eq!(refused["status"], 400, "{refused}");
    assert!(!refused.to_string().contains("CN=stranger"), "{refused}");
    let refused = serving.execute("mixed", "GET", "/v1/who");
    assert_eq!(refused["error"]["code"], "secret_unavailable", "{refused}");
    assert!(refused.to_string().contains("do not belong together"), "{refused}");

    // A new certificate is shown from the next call on.
    sandbox
        .feed(&["edit", "agent", "--key-stdin"], &format!("{other_certificate}{other_key}"))
        .ok();
    let answer = serving.execute("agent", "GET", "/v1/who");
    assert_eq!(answer["body"]["who"], "CN=other", "{answer}");

    let oracle = Oracle::new(&[("the key", key.as_bytes()), ("the other", other_key.as_bytes())]);
    oracle.assert_clean("stderr", serving.finish());
    oracle.assert_tree_clean(&sandbox.path(""));
}
