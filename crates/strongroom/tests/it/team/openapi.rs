//! The document of the interface, as schemathesis reads it: every request that it makes up is answered
//! as the document says, by the program that is served, for a key that may do everything and for a
//! kernel's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use strongroom_process::{Start, run};

use super::Team;
use crate::sandbox::Sandbox;

/// Requests that are made up for each operation in each phase that makes them up.
const EXAMPLES: &str = "8";

/// Beyond the rates every request would be answered alike.
const TEAM: &str = r#"
[team]
isolate = false
allowed_commands = [{ command = "node", args = "test.js" }]

[team.limits]
requests_per_minute = 100000000
requests_per_minute_per_address = 100000000
refusals_per_minute_per_address = 100000000
"#;

/// Who asks, as the document calls it.
enum Who {
    Everything,
    Kernel,
}

#[test]
fn whatever_a_key_asks_is_answered_as_the_document_says() {
    whatever_is_asked_is_answered_as_the_document_says(&Who::Everything);
}

#[test]
fn whatever_a_kernel_asks_is_answered_as_the_document_says() {
    whatever_is_asked_is_answered_as_the_document_says(&Who::Kernel);
}

fn whatever_is_asked_is_answered_as_the_document_says(who: &Who) {
    let sandbox = Sandbox::new().with("PATH", "/usr/bin:/bin");
    // An operator's key reaches the administration too.
    let tenant = Team::tenant(&sandbox);
    let config = TEAM.replacen("[team]", &format!("[team]\noperators = [\"{tenant}\"]"), 1);
    let mut team = Team::with(sandbox, &config);
    let every = "use,register,credentials:write,executor,approve,admin";
    let key = team.sandbox.run(&format!("key create --tenant shop --scope {every}")).ok();
    let kernel = team.sandbox.run("kernel create --org acme").ok();
    let (key, kernel) = (key.stdout.trim(), kernel.stdout.trim());
    let auth = match who {
        Who::Everything => format!("[auth.openapi.api_key]\napi_key = \"{key}\"\n"),
        // Where no kernel may ask, nothing is sent in its place.
        Who::Kernel => format!(
            "generation.with-security-parameters = false\n[auth.openapi.kernel]\nbearer = \"{kernel}\"\n"
        ),
    };
    let config = team.sandbox.write("schemathesis.toml", &auth);
    let there = there(&team, key, matches!(who, Who::Kernel).then_some(&*tenant));

    let mut start = Start::new(installed("openapi/python/bin/schemathesis"));
    let document = format!("{}/openapi.json", team.url);
    let words = ["--config-file", config.to_str().unwrap(), "run", "--checks", "all", "--no-color"];
    let how =
        ["--seed", "1", "--workers", "1", "--max-examples", EXAMPLES, "--continue-on-failure"];
    start.args = words.iter().chain(&how).chain(&[&*document]).map(Into::into).collect();
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/openapi");
    for (name, value) in [
        ("PATH", "/usr/bin:/bin"),
        ("HOME", team.sandbox.path("").to_str().unwrap()),
        ("PYTHONPATH", hooks.to_str().unwrap()),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("SCHEMATHESIS_HOOKS", "there"),
        ("THERE", &there),
    ] {
        start.env.push((name.into(), value.into()));
    }
    start.dir = Some(team.sandbox.path(""));
    let output = run(&start, &[], Duration::from_mins(10), 4 << 20).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("no issues found") || said.contains("generated"), "{said}");
    team.end();
}

/// What is there to be asked for.
fn there(team: &Team, key: &str, tenant: Option<&str>) -> String {
    let server = json!({
        "server_id": "amazon", "name": "Amazon", "command": "node", "args": ["test.js"],
        "tool_prefix": "amazon.",
    });
    team.post("/functions/v1/mcp-servers/register", key, &server);
    let credential = json!({ "service": "amazon", "credentials": { "api_key": "value" } });
    let stored = team.post("/functions/v1/credentials/store", key, &credential);
    let definition = json!({
        "base_url": "https://api.example.com",
        "auth": { "type": "bearer", "token": "local://amazon/api_key" },
        "allow": ["GET /**"],
    });
    let service = json!({ "name": "amazon", "definition": definition });
    team.send("PUT", "/v1/services", key, &service);
    let run = |words: &str| team.sandbox.run(&format!("{words} --json")).ok().json();
    let organization = run("org create spare");
    let spare = run("tenant create spare --org spare");
    let spare_key = run("key create --tenant shop --scope use");
    let spare_kernel = run("kernel create --org spare");
    let fields = json!({
        "server_id": "amazon",
        "service": "amazon",
        "credential_id": stored["data"]["credential_id"],
        "credential_type": "api_key",
        "organization_id": organization["id"],
        "action": "tools/call",
        "resource": "amazon.order",
    });
    let ids = json!({
        "/v1/organizations": organization["id"],
        "/v1/tenants": spare["id"],
        "/v1/api-keys": spare_key["id"],
        "/v1/kernels": spare_kernel["id"],
    });
    for id in ids.as_object().unwrap().values() {
        assert!(id.is_string(), "{ids}");
    }
    let command = json!({ "command": "node", "args": ["test.js"] });
    json!({
        "fields": fields, "ids": ids, "definition": definition, "command": command,
        "tenant_id": tenant,
    })
    .to_string()
}

/// A file that `cargo xtask test` installs.
fn installed(path: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join(path);
    assert!(file.exists(), "{} is missing: run `cargo xtask test`", file.display());
    file
}
