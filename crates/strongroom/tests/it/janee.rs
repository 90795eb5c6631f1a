//! A home of Janee comes over: true files, sealed by the same library with which Janee seals.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_process::{Start, run};
use strongroom_testkit::canary;
use strongroom_testkit::oracle::Oracle;

use crate::sandbox::Sandbox;

const CONFIG: &str = "\
version: 0.3.0
server:
  port: 9119
  host: localhost
  strictDecryption: true
services:
  stripe:
    baseUrl: https://api.stripe.com
    auth:
      type: bearer
    testPath: /v1/balance
    ownership:
      accessPolicy: all-agents
      createdAt: '2025-02-01T10:00:00.000Z'
  weather:
    baseUrl: https://weather.example/v2
    auth:
      type: headers
  spare:
    baseUrl: https://spare.example
    auth:
      type: bearer
  pigeon:
    baseUrl: https://pigeon.example
    auth:
      type: carrier-pigeon
capabilities:
  stripe:
    service: stripe
    ttl: 1h
    autoApprove: true
    rules:
      allow:
        - GET *
        - POST /v1/refunds/*
      deny:
        - POST /v1/charges/*
        - GET /v1/*/secret
  stripe_sensitive:
    service: stripe
    ttl: 5m
    requiresReason: true
    allowedAgents: [claude-code, Agent B]
  weather:
    service: weather
    ttl: 1h
  lost:
    service: nowhere
    ttl: 1h
  pigeon:
    service: pigeon
    ttl: 1h
";

fn sealed(input: &Value) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/janee/home.cjs");
    let mut start = Start::new("/usr/bin/env");
    start.args = vec!["node".into(), script.into()];
    start.env = vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())];
    let input = serde_json::to_vec(input).unwrap();
    let output = run(&start, &input, Duration::from_mins(1), 1 << 20).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

struct Keys {
    stripe: String,
    weather: String,
    spare: String,
}

impl Keys {
    fn new(test: &str) -> Self {
        let of = |name: &str| canary::of(&format!("{test}-{name}"));
        Self { stripe: of("stripe"), weather: of("weather"), spare: of("spare") }
    }

    fn oracle(&self) -> Oracle {
        Oracle::new(&[
            ("stripe", self.stripe.as_bytes()),
            ("weather", self.weather.as_bytes()),
            ("spare", self.spare.as_bytes()),
        ])
    }
}

fn home(sandbox: &Sandbox, keys: &Keys) {
    sandbox.write(".janee/config.yaml", CONFIG);
    let secrets = json!({ "secrets": {
        "stripe": { "key": keys.stripe },
        "weather": { "headers": { "X-Api-Key": keys.weather } },
        "spare": { "key": keys.spare },
        "pigeon": { "key": "coo-coo-0123456789" },
    }});
    sandbox.write(".janee/credentials.json", &sealed(&secrets));
}

#[test]
fn a_janee_home_comes_over_with_its_secrets_and_its_rules() {
    let (sandbox, keys) = (Sandbox::headless(), Keys::new("janee"));
    home(&sandbox, &keys);
    let before = sandbox.read(".config/strongroom/strongroom.toml");

    let dry = sandbox.run("import janee .janee --dry-run --json").ok();
    assert_eq!(sandbox.read(".config/strongroom/strongroom.toml"), before);
    assert_eq!(sandbox.run("list --json").ok().json(), json!([]));
    let ran = sandbox.run("import janee .janee --json").ok();
    keys.oracle().assert_clean("answer", format!("{}{}", ran.stdout, ran.stderr).as_bytes());
    let (mut dry, mut done) = (dry.json(), ran.json());
    assert_eq!(dry["dry_run"].take(), true);
    assert_eq!(done["dry_run"].take(), false);
    let backup = done["backup"].take();
    assert_eq!(dry, done, "a dry run says what is done");
    let backup = backup.as_str().unwrap().replace('~', sandbox.path("").to_str().unwrap());
    assert_eq!(fs::read_to_string(backup).unwrap(), before);

    let names: Vec<&str> =
        done["services"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["stripe", "stripe-sensitive", "weather", "spare"]);
    let left = done["left"].as_array().unwrap();
    for what in ["the capability `lost`", "the capability `pigeon`", "`server.port`"] {
        assert!(left.iter().any(|left| left["what"] == what), "{what}: {left:?}");
    }
    for (command, code) in [
        ("policy test stripe GET /v1/charges", 0),
        ("policy test stripe POST /v1/refunds/re_1", 0),
        ("policy test stripe POST /v1/refunds", 3),
        ("policy test stripe POST /v1/charges/ch_1", 3),
        ("policy test stripe GET /v1/a/b/secret", 3),
        ("policy test stripe DELETE /v1/customers/c", 3),
        ("policy test weather GET /today", 0),
        ("policy test weather POST /today", 3),
        ("policy test spare GET /", 3),
    ] {
        assert_eq!(sandbox.run(command).code, code, "{command}");
    }
    let shown = sandbox.run("show stripe-sensitive --json").ok().json();
    assert_eq!(shown["principals"], json!(["agent-b", "claude-code"]));
    // What Stripe's template knows comes with it: Janee had no rules here.
    assert_eq!((&shown["ask"], shown["allow"].as_array().unwrap().len()), (&json!([]), 1));
    assert!(sandbox.read(".config/strongroom/strongroom.toml").contains("reason = \"required\""));

    // Each secret is in the vault for its service, and nowhere else in the clear.
    for (name, secrets) in [("stripe", 1), ("stripe-sensitive", 1), ("weather", 1), ("spare", 1)] {
        let removed = sandbox.run(&format!("remove {name} --yes --json")).ok().json();
        assert_eq!(removed["secrets"], secrets, "{name}");
    }
    fs::remove_dir_all(sandbox.path(".janee")).unwrap();
    keys.oracle().assert_tree_clean(&sandbox.path(""));
    sandbox.run("audit verify").ok();
}

#[test]
fn an_imported_secret_is_the_one_that_was_sealed() {
    let (sandbox, keys) = (Sandbox::headless(), Keys::new("janee-sent"));
    home(&sandbox, &keys);
    sandbox.run("import janee .janee --only weather").ok();
    let upstream = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let edit = format!(
        "edit weather --base-url {url} --insecure-transport --allow-ip 127.0.0.1/32 --test-path /x"
    );
    sandbox.run(&edit).ok();
    let listener = std::thread::spawn(move || {
        use std::io::{BufRead as _, Write as _};

        let (mut stream, _) = upstream.accept().unwrap();
        let lines = std::io::BufReader::new(stream.try_clone().unwrap()).lines();
        let head: Vec<String> = lines.map(Result::unwrap).take_while(|l| !l.is_empty()).collect();
        stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
        head.join("\n")
    });
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "t", "version": "1" } } });
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "execute",
        // Agents go on calling it by the name that it had.
        "arguments": { "capability": "weather", "method": "GET", "path": "/today" } } });
    let served = sandbox.feed(&["serve"], &format!("{hello}\n{ready}\n{call}\n")).ok();
    let head = listener.join().unwrap().to_lowercase();
    let expected = format!("x-api-key: {}", keys.weather).to_lowercase();
    assert!(head.contains(&expected), "{head}\n{}", served.stdout);
}

#[test]
fn a_wrong_key_or_a_damaged_file_imports_nothing() {
    let (sandbox, keys) = (Sandbox::headless(), Keys::new("janee-damaged"));
    home(&sandbox, &keys);
    let good = sandbox.read(".janee/credentials.json");
    let before = sandbox.read(".config/strongroom/strongroom.toml");
    let mut wrong: Value = serde_json::from_str(&good).unwrap();
    wrong["masterKey"] = json!("AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=");
    let mut short: Value = serde_json::from_str(&good).unwrap();
    short["masterKey"] = json!("AQIDBAUG");
    let mut damaged: Value = serde_json::from_str(&good).unwrap();
    damaged["secrets"]["spare"]["key"] = json!("AQIDBAUGBwgJCgsM5uL5o/lWASg6B5WlEMzTC91F8+lVGFey");
    for (text, words) in [
        (wrong.to_string(), "does not open"),
        (damaged.to_string(), "the field `key` of the service `spare` does not open"),
        (short.to_string(), "is not the base64 of 32 bytes"),
        (good[..good.len() / 2].to_owned(), "credentials.json:"),
        ("{}".to_owned(), "has no `masterKey`"),
    ] {
        sandbox.write(".janee/credentials.json", &text);
        let ran = sandbox.run("import janee .janee");
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.contains(words), "{words}: {ran:?}");
        keys.oracle().assert_clean("stderr", ran.stderr.as_bytes());
        assert_eq!(sandbox.read(".config/strongroom/strongroom.toml"), before);
        assert_eq!(
            sandbox.names(".config/strongroom").iter().filter(|n| n.contains("backup")).count(),
            0
        );
    }
    // And the twin: the file as it was comes over.
    sandbox.write(".janee/credentials.json", &good);
    sandbox.run("import janee .janee").ok();
    assert_eq!(sandbox.run("import janee nothing-here").code, 1);
}

#[test]
fn importing_again_leaves_what_is_there() {
    let (sandbox, keys) = (Sandbox::headless(), Keys::new("janee-again"));
    home(&sandbox, &keys);
    sandbox.run("import janee .janee --only stripe").ok();
    let before = sandbox.run("show stripe --json").ok().stdout;
    let again = sandbox.run("import janee .janee --json").ok().json();
    let names: Vec<&str> =
        again["services"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["stripe-sensitive", "weather", "spare"]);
    assert_eq!(sandbox.run("show stripe --json").ok().stdout, before);
    assert_eq!(sandbox.run("import janee .janee --only strpe").code, 2);
}

// AL-08
#[test]
fn importing_needs_a_person() {
    let (sandbox, keys) = (Sandbox::initialised(), Keys::new("janee-person"));
    home(&sandbox, &keys);
    let ran = sandbox.run("import janee .janee");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(sandbox.run("list --json").ok().json(), json!([]));
    // Looking needs nobody.
    sandbox.run("import janee .janee --dry-run").ok();
}

#[test]
fn a_home_of_0_2_has_everything_in_one_file() {
    let sandbox = Sandbox::headless();
    let master = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
    let file =
        sealed(&json!({ "masterKey": master, "secrets": { "s": { "key": "old-0123456789" } } }));
    let file: Value = serde_json::from_str(&file).unwrap();
    let value = file["secrets"]["s"]["key"].as_str().unwrap();
    let config = format!(
        "version: 0.2.0\nmasterKey: {master}\nservices:\n  old:\n    baseUrl: https://old.example\n    \
         auth: {{ type: bearer, key: {value} }}\n    policies:\n      - path: /v1/charges\n        \
         methods: [GET]\n      - path: /v1/customers\n        methods: [GET, POST]\ncapabilities:\n  \
         old: {{ service: old, ttl: 1h, autoApprove: false }}\n"
    );
    sandbox.write("old/config.yaml", &config);
    let answer = sandbox.run("import janee old --json").ok().json();
    assert_eq!(answer["left"], json!([]));
    let shown = sandbox.run("show old --json").ok().json();
    // The blocks, which Janee ignored; and a person is asked, as `autoApprove: false` says.
    assert_eq!(shown["ask"], json!(["GET /v1/charges", "GET|POST /v1/customers"]));
    assert_eq!(shown["allow"], json!([]));
    assert_eq!(sandbox.run("policy test old POST /v1/charges").code, 3);
}

#[test]
fn a_capability_that_ran_programs_runs_them_here_when_a_person_says_so() {
    let (sandbox, keys) = (Sandbox::headless(), Keys::new("janee-exec"));
    home(&sandbox, &keys);
    let capabilities = "  tools:
    service: stripe
    mode: exec
    ttl: 1h
    allowCommands: [tool, no-such-program]
    env: { STRIPE_KEY: '{{credential}}', MODE: test }
    timeout: 1500
";
    sandbox.write(".janee/config.yaml", &format!("{CONFIG}{capabilities}"));
    sandbox.write("bin/tool", "#!/bin/sh\nprintf %s \"$STRIPE_KEY\" | wc -c\n");
    sandbox.chmod("bin/tool", 0o700);
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    let sandbox = sandbox.with("PATH", path);
    let import =
        |more: &str| sandbox.run(&format!("import janee .janee --only tools --json{more}")).ok();
    let answer = import("").json();
    let planned = &answer["services"][0];
    assert_eq!(planned["name"], "tools-tool");
    let left = answer["left"].as_array().unwrap();
    let why = left.iter().find(|left| left["what"] == "the capability `tools`").unwrap();
    assert!(why["why"].as_str().unwrap().contains("no-such-program"), "{why}");
    let block = planned["block"].as_str().unwrap();
    for line in ["ask = [\"tool **\"]", "timeout = \"2s\"", "STRIPE_KEY = \"{{key}}\"", "sha256 = "]
    {
        assert!(block.contains(line), "{line}: {block}");
    }
    let file = sandbox.read(".config/strongroom/strongroom.toml");
    assert!(file.contains("[services.tools-tool]"), "{file}");
    sandbox.run("list --json").ok();
    // The twin: what was allowed there is allowed here where somebody says so.
    sandbox.run("remove tools-tool --yes").ok();
    let answer = import(" --allow-all").json();
    let block = answer["services"][0]["block"].as_str().unwrap();
    assert!(block.contains("allow = [\"tool **\"]") && block.contains("i_understand"), "{block}");
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "t", "version": "1" } } });
    let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "exec", "arguments": { "service": "tools-tool", "command": ["tool"] } } });
    let served = sandbox.feed(&["serve"], &format!("{hello}\n{ready}\n{call}\n")).ok();
    let answer: Value = serde_json::from_str(served.stdout.lines().last().unwrap()).unwrap();
    let content = &answer["result"]["structuredContent"];
    assert_eq!(
        content["stdout"].as_str().unwrap().trim(),
        keys.stripe.len().to_string(),
        "{answer}"
    );
}
