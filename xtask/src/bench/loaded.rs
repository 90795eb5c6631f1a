//! What a call costs with everything loaded, what single steps of it cost, and how soon a lock holds.

use std::{fmt::Write as _, fs, process::Command};

use serde_json::Value;

use super::{
    KEY, Rig, WORKERS,
    page::{ms, number},
};
use crate::shell::{Shell, step};

/// What is loaded: with the two services that are called, 50; 2,000 rules; 200 secrets.
const OTHERS: usize = 48;
const RULES: usize = 40;
const SECRETS: usize = 4;
/// The first of them have one more.
const WITH_MORE: usize = 6;

/// Calls of `execute` over stdio.
const CALLS: &str = "20000";
/// How often it is locked.
const LOCKS: &str = "50";

/// What was measured.
pub(crate) struct Loaded {
    one: Value,
    many: Value,
    bare: Value,
    written: Value,
    synced: Value,
    lock: Value,
    decisions: Value,
    signatures: Value,
    grants: Value,
}

/// The examples that measure single steps, and whose they are.
const EXAMPLES: [(&str, &str); 3] =
    [("decide", "strongroom-proxy"), ("sign", "strongroom-seal"), ("grants", "strongroom-store")];

/// Builds what is measured.
pub(super) fn build(shell: &Shell) -> Result<(), String> {
    for (example, package) in EXAMPLES {
        step(&format!("release build of `{example}`"), || {
            shell.cargo(&["build", "--release", "-p", package, "--example", example])
        })?;
    }
    Ok(())
}

/// Measures with the home of `rig`, which is full afterwards.
pub(super) fn measure(shell: &Shell, rig: &Rig) -> Result<Loaded, String> {
    let serve = [rig.broker.to_str().ok_or("an odd path")?, "serve"];
    let calls = |service: &str| rig.load(&[&["stdio", CALLS, service, "--"][..], &serve].concat());
    let one = calls("bench")?;
    let bare = rig.http("one", "bench")?;
    let lock = lock(rig, &serve)?;
    fill(rig)?;
    let many = calls("full")?;
    let written = rig.http("many", "full")?;
    rig.configure(|config| format!("{config}\n[audit]\ndurability = \"synced\"\n"))?;
    let synced = rig.http("synced", "full")?;
    let [decisions, signatures, grants] = EXAMPLES.map(|(example, _)| example_says(shell, example));
    Ok(Loaded {
        one,
        many,
        bare,
        written,
        synced,
        lock,
        decisions: decisions?,
        signatures: signatures?,
        grants: grants?,
    })
}

/// A server is locked by another process between two of its calls, again and again.
fn lock(rig: &Rig, serve: &[&str]) -> Result<Value, String> {
    let broker = serve[0];
    let words =
        [&["lock", LOCKS, "bench", "--"], serve, &["+", broker, "lock", "+", broker, "unlock"]];
    rig.load(&words.concat())
}

/// One more service that is called, and many that are not.
fn fill(rig: &Rig) -> Result<(), String> {
    let url = format!("http://127.0.0.1:{}", rig.port);
    let rules: Vec<String> = (1..RULES).map(|n| format!("POST|DELETE /teams/{n}/*/**")).collect();
    let mut add = vec!["add", "full", "--base-url", &url, "--auth", "bearer", "--key-stdin"];
    add.extend(["--insecure-transport", "--allow-ip", "127.0.0.1/32", "--allow", "GET /**"]);
    add.extend(rules.iter().flat_map(|rule| ["--deny", rule.as_str()]));
    rig.ask(&add, KEY)?;
    let mut text = String::new();
    for service in 0..OTHERS {
        let mut fields = Vec::new();
        for field in 0..SECRETS + usize::from(service < WITH_MORE) {
            let name = format!("s{service}/k{field}");
            let owner = format!("service:s{service}");
            let key = format!("bench-{service:04}-{field:04}-0123456789abcdefghijkl");
            rig.ask(&["secrets", "set", &name, "--for", &owner, "--key-stdin"], &key)?;
            fields.push(format!("X-Key-{field} = \"local://{name}\""));
        }
        writeln!(
            text,
            "\n[services.s{service}]\nbase_url = \"https://s{service}.example\"\n\
             auth = {{ type = \"headers\", headers = {{ {} }} }}\nallow = [\"GET /**\"]\ndeny = {rules:?}",
            fields.join(", "),
        )
        .map_err(|error| error.to_string())?;
    }
    rig.configure(|config| {
        let limit = "[services.full]\nlimits = { calls_per_minute = 10000000 }";
        config.replace("[services.full]", limit) + &text
    })
}

fn example_says(shell: &Shell, example: &str) -> Result<Value, String> {
    let program = shell.target.join("release/examples").join(example);
    let output = Command::new(&program).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{example}: {}", output.status));
    }
    let line = String::from_utf8_lossy(&output.stdout);
    println!("{example}: {}", line.trim());
    serde_json::from_str(&line).map_err(|error| error.to_string())
}

impl Rig {
    /// Changes the configuration.
    fn configure(&self, change: impl FnOnce(String) -> String) -> Result<(), String> {
        let file = self.home.join("config/strongroom/strongroom.toml");
        let config = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        fs::write(&file, change(config)).map_err(|error| error.to_string())
    }
}

/// The section of the page.
pub(super) fn section(loaded: &Loaded) -> Result<String, String> {
    let mut page = format!(
        "\n## With everything loaded\n\n50 services, 2,000 rules and 200 secrets, of which one \
         service with {RULES} rules is called; beside the same home with one service and one rule. \
         The single steps are the fastest of 15 runs of 1,000.\n\n\
         | what | goal | with one | measured | ratio |\n| --- | --- | --- | --- | --- |\n",
    );
    for row in rows(loaded) {
        writeln!(page, "| {} |", row.join(" | ")).map_err(|error| error.to_string())?;
    }
    Ok(page)
}

fn rows(loaded: &Loaded) -> Vec<[String; 5]> {
    let Loaded { one, many, bare, written, synced, lock, decisions, signatures, grants } = loaded;
    let ratio = |many: f64, one: f64| format!("{:.2}", many / one);
    let us = |value: &Value, name: &str| format!("{:.2} us", number(value, name));
    let rate = |value: &Value| format!("{:.0}", number(value, "per_second"));
    let text = str::to_owned;
    let (few, each, all) =
        (&decisions["decisions"][0], &decisions["decisions"][1], &decisions["decisions"][2]);
    let (empty, body) = (&signatures["signatures"][0], &signatures["signatures"][1]);
    let (first, crowd) = (&grants["grants"][0], &grants["grants"][1]);
    let pair = |what: &str, goal: &str, one: &Value, many: &Value, name: &str| {
        let ratio = ratio(number(many, name), number(one, name));
        [text(what), text(goal), us(one, name), us(many, name), ratio]
    };
    vec![
        [
            format!("`execute` over stdio, {CALLS} calls, one at a time, p50"),
            text("at most 1.10 times"),
            ms(one, "p50_us"),
            ms(many, "p50_us"),
            ratio(number(many, "p50_us"), number(one, "p50_us")),
        ],
        pair(&format!("policy decision, {RULES} rules"), "5 us", few, each, "us"),
        pair("policy decision, all 2,000 rules in one service", "stated", few, all, "us"),
        pair("SigV4 signature (with one: no body; measured: 16 KiB)", "100 us", empty, body, "us"),
        pair("grant check, 100,000 grants, found", "20 us", first, crowd, "us"),
        pair("grant check, 100,000 grants, none", "20 us", first, crowd, "us_none"),
        [
            format!("`execute` over HTTP, {WORKERS} in flight, audit on, calls a second"),
            text("8,000"),
            rate(bare),
            rate(written),
            ratio(number(written, "per_second"), number(bare, "per_second")),
        ],
        [
            format!("`execute` over HTTP, {WORKERS} in flight, audit `synced`, calls a second"),
            text("2,000"),
            rate(bare),
            rate(synced),
            ratio(number(synced, "per_second"), number(bare, "per_second")),
        ],
        [
            format!("`lock` by another process, {LOCKS} times, to the refused call, p50"),
            text("the next call"),
            String::new(),
            ms(lock, "p50_us"),
            text("each next call refused"),
        ],
    ]
}
