//! Agents as their authors write them, in `examples/agents`: they have a key of ours and no other.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use strongroom_process::{Start, run};
use strongroom_testkit::canary;
use strongroom_testkit::oracle::Oracle;
use strongroom_testkit::postgres::{OWNER, Server};
use strongroom_testkit::upstream::{Reply, Upstream};

use super::Team;
use crate::sandbox::Sandbox;

/// A shop that has one order, and answers no key but this.
async fn shop(key: &str) -> Upstream {
    let expected = format!("Bearer {key}");
    Upstream::http(move |seen| {
        let known = seen.values("authorization").concat() == expected;
        Reply::ok(json!({ "order": 7, "paid": known }).to_string())
            .header("content-type", "application/json")
    })
    .await
}

/// What each of the agents saw.
fn agents(team: &Team, upstream: &Upstream, secret: &str) {
    let server = json!({
        "server_id": "test-server", "name": "Test Server", "command": "node", "args": ["test.js"],
        "tool_prefix": "test.",
    });
    let registered = team.post("/functions/v1/mcp-servers/register", &team.key, &server);
    assert_eq!(registered["ok"], true, "{registered}");
    let credential = json!({ "service": "shop", "credentials": { "api_key": secret } });
    let stored = team.post("/functions/v1/credentials/store", &team.key, &credential);
    assert_eq!(stored["ok"], true, "{stored}");
    let definition = json!({
        "base_url": format!("http://{}", upstream.address()),
        "insecure_transport": true,
        "allow_ips": ["127.0.0.1/32"],
        "auth": { "type": "bearer", "token": "local://shop/api_key" },
        "allow": ["GET /orders/**"],
    });
    let service = json!({ "name": "shop", "definition": definition });
    let put = team.send("PUT", "/v1/services", &team.key, &service);
    assert_eq!(put["ok"], true, "{put}");
    // An agent has the least that it needs.
    let key = team.sandbox.run("key create --tenant shop --scope use").ok().stdout;
    let agent = |program: &Path, arguments: &[&str]| {
        let mut start = Start::new(program);
        let (name, rest) = arguments.split_first().unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/agents").join(name);
        start.args = vec![file.into(), "shop".into(), "/orders/7".into()];
        start.args.extend(rest.iter().map(Into::into));
        for (name, value) in [
            ("PATH", "/usr/bin:/bin"),
            ("PYTHONDONTWRITEBYTECODE", "1"),
            ("STRONGROOM_URL", &*team.url),
            ("STRONGROOM_KEY", key.trim()),
        ] {
            start.env.push((name.into(), value.into()));
        }
        let output = run(&start, &[], std::time::Duration::from_mins(2), 1 << 20).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        Oracle::new(&[("the credential", secret.as_bytes())])
            .assert_clean("what the agent saw", [&output.stdout[..], said.as_bytes()].concat());
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let expected = json!({
        "servers": ["test-server"],
        "decision": "allow",
        "status": 200,
        "body": { "order": 7, "paid": true },
        "forbidden": "policy_denied",
        "unknown": "not_found",
        "plaintext": "policy_denied",
        "mistake": "invalid_request",
        "stranger": "unauthenticated",
    });
    assert_eq!(agent(Path::new("/usr/bin/python3"), &["agent.py"]), expected);
    assert_eq!(agent(Path::new("/usr/bin/node"), &["agent.mjs"]), expected);
    for (mode, version) in [("auto", "2026-07-28"), ("legacy", "2025-11-25")] {
        let seen = agent(&python_with_the_sdk(), &["mcp_agent.py", mode]);
        assert_eq!(seen["version"], version, "{seen}");
        assert!(seen["tools"].as_array().unwrap().contains(&json!("execute")), "{seen}");
        assert_eq!(seen["answer"]["body"], json!({ "order": 7, "paid": true }), "{seen}");
        let codes = (&seen["forbidden"], &seen["unknown"]);
        assert_eq!(codes, (&json!("policy_denied"), &json!("not_found")), "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_in_python_and_javascript_work_with_a_team_in_a_file() {
    let secret = canary::of("agents and a file");
    let upstream = shop(&secret).await;
    let team = Team::new(Sandbox::new().with("PATH", "/usr/bin:/bin"));
    agents(&team, &upstream, &secret);
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_in_python_and_javascript_work_with_a_team_in_postgres() {
    let secret = canary::of("agents and a database");
    let upstream = shop(&secret).await;
    let server = Server::start();
    let url = server.url(OWNER, &server.create_database());
    let sandbox = Sandbox::new().with("PATH", "/usr/bin:/bin").with("DATABASE_URL", &url);
    sandbox.run("kek create").ok();
    sandbox.run("migrate").ok();
    let team = Team::new(sandbox);
    agents(&team, &upstream, &secret);
}

/// What `cargo xtask test` installs.
fn python_with_the_sdk() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let python = target.join("clients/python/bin/python");
    assert!(python.exists(), "{} is missing: run `cargo xtask test`", python.display());
    python
}
