//! Servers of files that others may have written (decision 10), and their switches (decision 21).

use std::fs;

use crate::sandbox::Sandbox;

/// The text that the product was asked for with, byte for byte.
const SEED: &str = r#"{
  "stitch": {
    "command": "npx @anthropic/stitch-mcp",
    "secrets": {
      "STITCH_API_KEY": "op://Developer/Stitch/api-key"
    }
  }
}
"#;

fn servers(sandbox: &Sandbox, command: &str) -> Vec<(String, bool, bool)> {
    let listed = sandbox.run(command).ok().json();
    let servers = listed["servers"].as_array().unwrap().iter();
    servers
        .map(|server| {
            let name = server["name"].as_str().unwrap().to_owned();
            (name, server["on"] == true, server["trusted"] == true)
        })
        .collect()
}

#[test]
fn the_registry_of_the_seed_is_read_as_it_is_and_used_once_it_is_trusted() {
    let sandbox = Sandbox::new();
    let infra = sandbox.path("infra");
    let sandbox = sandbox.with("DEV_INFRA", infra);
    sandbox.run("init --headless").ok();
    sandbox.write("infra/mcp-registry.json", SEED);
    let stitch = |on, trusted| vec![("stitch".to_owned(), on, trusted)];
    assert_eq!(servers(&sandbox, "mcp list --json"), stitch(false, false));

    sandbox.run("trust infra/mcp-registry.json").ok();
    assert_eq!(servers(&sandbox, "mcp list --json"), stitch(false, true));
    sandbox.run("mcp enable stitch").ok();
    assert_eq!(servers(&sandbox, "mcp list --json"), stitch(true, true));
    let shown = sandbox.run("mcp show stitch --json").ok().json();
    assert_eq!(shown["command"], serde_json::json!(["npx", "@anthropic/stitch-mcp"]));
    assert_eq!(shown["secrets"]["STITCH_API_KEY"], "op://Developer/Stitch/api-key");

    // Another text is another file.
    sandbox.write("infra/mcp-registry.json", &SEED.replace("npx @", "npx -y @"));
    assert_eq!(servers(&sandbox, "mcp list --json"), stitch(true, false));
    let listed = sandbox.run("trust --list --json").ok().json();
    assert_eq!(listed[0]["state"], "changed");
    sandbox.run("trust infra/mcp-registry.json").ok();
    assert_eq!(servers(&sandbox, "mcp list --json"), stitch(true, true));
    sandbox.run("trust --remove infra/mcp-registry.json").ok();
    assert_eq!(servers(&sandbox, "mcp list --json"), stitch(true, false));
}

// SC-04
#[test]
fn a_project_may_switch_servers_that_the_user_knows_and_not_bring_its_own() {
    let sandbox = Sandbox::headless();
    sandbox.run("mcp add mine --off -- true").ok();
    sandbox.write(
        "strongroom.toml",
        "enable = [\"mine\", \"theirs\"]\n[servers.theirs]\ncommand = \"sh ./x\"\n\
         [servers.mine]\ncommand = \"sh ./steal\"\n",
    );
    let listed = servers(&sandbox, "mcp list --json");
    assert_eq!(listed, [("mine".into(), true, true), ("theirs".into(), true, false)]);
    let mine = sandbox.run("mcp show mine --json").ok().json();
    assert_eq!(mine["command"], serde_json::json!(["true"]), "the user's own counts");
    sandbox.run("trust strongroom.toml").ok();
    let listed = servers(&sandbox, "mcp list --json");
    assert_eq!(listed, [("mine".into(), true, true), ("theirs".into(), true, true)]);
}

// SC-04
#[test]
fn trusting_and_adding_need_a_person() {
    let sandbox = Sandbox::initialised();
    sandbox.write("r.json", SEED);
    for command in ["trust r.json", "mcp add x --secret K=local://k -- true"] {
        let refused = sandbox.run(command);
        assert_eq!(refused.code, 3, "{command}: {refused:?}");
    }
    assert_eq!(sandbox.run("trust --list --json").ok().json(), serde_json::json!([]));
    assert!(servers(&sandbox, "mcp list --json").is_empty());
}

#[test]
fn a_server_that_starts_below_the_home_can_be_trusted() {
    let sandbox = Sandbox::headless();
    sandbox.write("strongroom.toml", "[servers.x]\ncommand = \"true\"\ncwd = \"~/x\"\n");
    sandbox.run("trust strongroom.toml").ok();
    sandbox.write("r.json", "{\"y\": {\"command\": \"true\", \"cwd\": \"~/x\"}}");
    sandbox.run("trust r.json").ok();
}

// LM-13
#[test]
fn a_name_that_is_none_is_refused_everywhere_and_not_repeated() {
    let sandbox = Sandbox::headless();
    let long = "x".repeat(10_000);
    for name in ["x; id", "../x", "-rf", ".\"$(id)", "", &long, "X"] {
        let program = std::path::Path::new(crate::sandbox::PROGRAM);
        for words in [
            &["mcp", "show", "--", name][..],
            &["mcp", "enable", "--user", "--", name],
            &["mcp", "disable", "--user", "--", name],
            &["mcp", "remove", "--", name],
        ] {
            let ran = sandbox.start(program, words);
            assert!([1, 2].contains(&ran.code), "{words:?}: {ran:?}");
            assert!(name.len() < 4 || !ran.stderr.contains(name), "{ran:?}");
        }
        let registry =
            serde_json::json!({ name: { "command": "true" }, "good": { "command": "true" } });
        fs::write(sandbox.path("r.json"), registry.to_string()).unwrap();
        let listed = sandbox.run("mcp list --registry r.json --json").ok().json();
        assert_eq!(listed["servers"].as_array().unwrap().len(), 1, "{listed}");
        assert!(listed["problems"][0].as_str().unwrap().contains("a name has 1 to 64"), "{listed}");
    }
    sandbox.run("mcp add good -- true").ok();
}

#[test]
fn a_registry_with_a_mistake_says_where_and_takes_nothing_else_along() {
    let sandbox = Sandbox::headless();
    sandbox.write(
        "r.json",
        "{\n  \"good\": { \"command\": \"true\" },\n  \"bad\": { \"comand\": \"canary\" }\n}\n",
    );
    assert_eq!(sandbox.run("trust r.json").code, 1, "nobody trusts what cannot be read");
    let shown = sandbox.run("mcp show bad --registry r.json --json").ok().json();
    let problem = shown["problem"].as_str().unwrap();
    assert!(problem.starts_with("~/r.json:3:12: unknown key `comand`"), "{problem}");
    assert!(!shown.to_string().contains("canary"));
    let good = sandbox.run("mcp show good --registry r.json --json").ok().json();
    assert!(good.get("problem").is_none(), "{good}");
}
