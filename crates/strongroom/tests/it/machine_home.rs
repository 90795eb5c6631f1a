//! `init`, `doctor`, `uninstall`.

use serde_json::json;

use crate::sandbox::Sandbox;

const CONFIG: &str = ".config/strongroom/strongroom.toml";
const KEY: &str = ".local/share/strongroom/machine.key";

#[test]
fn init_makes_a_home_that_only_its_user_can_read() {
    let sandbox = Sandbox::initialised();
    let directories = [
        ".config/strongroom",
        ".cache/strongroom",
        ".local/state/strongroom",
        ".local/share/strongroom",
    ];
    for directory in directories {
        assert_eq!(sandbox.mode(directory), 0o700, "{directory}");
    }
    for file in [CONFIG, KEY, ".local/share/strongroom/vault.db"] {
        assert_eq!(sandbox.mode(file), 0o600, "{file}");
    }
}

#[test]
fn a_second_init_says_what_is_there_and_changes_nothing() {
    let sandbox = Sandbox::new();
    let first = sandbox.run("init --json").ok().json();
    let config = format!("{}\n# mine\n", sandbox.read(CONFIG));
    sandbox.write(CONFIG, &config);
    let key = sandbox.read(KEY);
    let second = sandbox.run("init --json").ok().json();
    assert_eq!((&first["new"], &second["new"]), (&json!(true), &json!(false)));
    assert_eq!(second["parts"][1]["new"], false);
    assert_eq!((sandbox.read(CONFIG), sandbox.read(KEY)), (config, key));
}

#[test]
fn a_home_of_its_own_is_made_where_the_variable_says() {
    let sandbox = Sandbox::new();
    let own = sandbox.path("own home");
    let sandbox = sandbox.with("STRONGROOM_HOME", own);
    sandbox.run("init").ok();
    assert_eq!(sandbox.names("own home"), ["cache", "config", "share", "state"]);
    assert!(!sandbox.path(".config").exists());

    let relative = Sandbox::new().with("STRONGROOM_HOME", "here").run("init");
    assert_eq!(relative.code, 4, "{relative:?}");
}

#[test]
fn without_a_keychain_the_choice_of_one_makes_nothing() {
    let sandbox = Sandbox::new();
    let refused = sandbox.run("init --machine-key keychain");
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.stderr.contains("`strongroom init --machine-key file`"), "{refused:?}");
    assert!(!sandbox.path(CONFIG).exists() && !sandbox.path(KEY).exists());
    sandbox.run("init --machine-key file").ok();
}

#[test]
fn init_names_the_places_of_plaintext_secrets_and_never_the_values() {
    let sandbox = Sandbox::new();
    let key = "ghp_canaryA1b2C3d4E5f6G7h8";
    let claude = json!({
        "mcpServers": {"gh": {"env": {"GITHUB_TOKEN": key, "LEVEL": "debug"}}},
        "projects": {"/p": {"mcpServers": {"db": {"args": ["--password", "canary-canary"]}}}},
    });
    sandbox.write(".claude.json", &claude.to_string());
    for command in ["init", "init --json", "connect --json", "doctor", "doctor --json"] {
        let ran = sandbox.run(command);
        assert!(!format!("{ran:?}").contains("canary"), "{command}: {ran:?}");
    }
    let clients = sandbox.run("init --json").json();
    let clients = clients["clients"].as_array().unwrap();
    let secrets =
        &clients.iter().find(|client| client["client"] == "claude-code").unwrap()["secrets"];
    let expected = json!([
        {"server": "gh", "place": "env", "name": "GITHUB_TOKEN", "kind": "GitHub token", "line": 1},
        {"server": "db", "place": "args", "name": "--password", "kind": "named like a secret", "line": 1},
    ]);
    assert_eq!(*secrets, expected);
}

#[test]
fn a_fresh_home_is_fine_and_doctor_says_so() {
    let sandbox = Sandbox::initialised();
    let examined = sandbox.run("doctor --json").ok().json();
    assert_eq!(examined["fine"], true, "{examined}");
}

#[test]
fn doctor_finds_what_is_broken_and_says_what_to_type() {
    type Row<'a> = (&'a str, &'a dyn Fn(&Sandbox), &'a str);
    let table: &[Row] = &[
        ("an open directory", &|s| s.chmod(".config/strongroom", 0o755), "chmod 700 "),
        ("an open key", &|s| s.chmod(KEY, 0o644), "chmod 600 "),
        ("a lost key", &|s| std::fs::remove_file(s.path(KEY)).unwrap(), "restore it"),
        (
            "a mistake in the configuration",
            &|s| drop(s.write(CONFIG, "[servces.x]\n")),
            "did you mean `services`?",
        ),
        (
            "a secret that is not there",
            &|s| drop(s.write(CONFIG, SERVICE)),
            "strongroom edit shop --key-stdin",
        ),
        (
            "a service on this machine that is not let through",
            &|s| drop(s.write(CONFIG, &SERVICE.replace("shop.example.org", "127.0.0.1:8443"))),
            "strongroom edit shop --allow-ip 127.0.0.1/32",
        ),
        (
            "a client that starts another program",
            &|s| {
                let entry = json!({"mcpServers": {"strongroom": {"command": "/nowhere"}}});
                s.write(".cursor/mcp.json", &entry.to_string());
            },
            "strongroom connect cursor",
        ),
        (
            "a client's file that is broken",
            &|s| drop(s.write(".cursor/mcp.json", "{")),
            "put the file right",
        ),
    ];
    for (what, damage, fix) in table {
        let sandbox = Sandbox::initialised();
        damage(&sandbox);
        let examined = sandbox.run("doctor --json");
        assert_eq!(examined.code, 1, "{what}: {examined:?}");
        let json = examined.json();
        let findings = json["findings"].as_array().unwrap().iter();
        let problems: Vec<_> = findings.filter(|finding| finding["level"] == "problem").collect();
        let fixes = |f: &&serde_json::Value| f["fix"].as_str().is_some_and(|f| f.contains(fix));
        assert!(problems.iter().any(fixes), "{what}: {problems:#?}");
    }
}

#[test]
fn a_lost_key_is_one_problem_however_many_secrets_it_opened() {
    let sandbox = Sandbox::initialised();
    sandbox.write(CONFIG, SERVICE);
    std::fs::remove_file(sandbox.path(KEY)).unwrap();
    let json = sandbox.run("doctor --json").json();
    let findings = json["findings"].as_array().unwrap().iter();
    let problems: Vec<_> = findings.filter(|finding| finding["level"] == "problem").collect();
    assert!(matches!(&problems[..], [one] if one["about"] == "vault"), "{problems:#?}");
}

const SERVICE: &str = r#"
[services.shop]
base_url = "https://shop.example.org"
auth = { type = "bearer", token = "local://shop/token" }
allow = ["GET /**"]
"#;

#[test]
fn uninstall_leaves_the_keys_unless_it_is_told_to_purge_them() {
    let sandbox = Sandbox::initialised();
    let before = "{\n  // mine\n  \"mcpServers\": {\n    \"a\": {\"command\": \"x\"}\n  }\n}\n";
    sandbox.write(".cursor/mcp.json", before);
    sandbox.run("connect cursor").ok();
    sandbox.run("service install").ok();

    let planned = sandbox.run("uninstall --purge --dry-run --json").ok().json();
    assert_eq!(planned["disconnected"], json!(["cursor"]));
    assert!(sandbox.read(".cursor/mcp.json").contains("strongroom"), "nothing is done yet");

    let done = sandbox.run("uninstall --json").ok().json();
    assert_eq!(done["purged"], json!([]));
    assert_eq!(sandbox.read(".cursor/mcp.json"), before);
    assert!(sandbox.path(KEY).exists());
    assert!(!sandbox.path(".config/systemd/user/strongroom.service").exists());
    assert_eq!(done["backups"].as_array().unwrap().len(), 2);

    let refused = sandbox.run("uninstall --purge");
    assert_eq!(refused.code, 3, "nobody is at a terminal: {refused:?}");
    assert!(sandbox.path(KEY).exists());

    sandbox.run("uninstall --purge --yes").ok();
    for directory in [".config", ".cache", ".local/state", ".local/share"] {
        assert!(!sandbox.path(directory).join("strongroom").exists(), "{directory}");
    }
}

#[test]
fn completions_know_the_commands_in_every_shell() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = sandbox.run(&format!("completions {shell}")).ok().stdout;
        assert!(script.contains("disconnect"), "{shell}");
    }
    let unknown = sandbox.run("completions bsh");
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("did you mean `bash`?"), "{unknown:?}");
}
