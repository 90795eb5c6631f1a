//! `strongroom mcp import`: files of others become servers, and their secrets slots.

use crate::sandbox::Sandbox;

const SERVER: &str = r#"{"name": "io.github.x/tickets", "packages": [{"registryType": "npm",
    "identifier": "tickets-mcp", "version": "1.2.3",
    "environmentVariables": [{"name": "TICKETS_TOKEN", "isSecret": true, "isRequired": true}]}]}"#;

#[test]
fn a_server_from_stdin_is_added_off_and_named_with_what_stores_its_secret() {
    let sandbox = Sandbox::headless();
    let answer = sandbox.feed(&["--json", "mcp", "import", "-"], SERVER).ok().json();
    let server = &answer["servers"][0];
    assert_eq!(server["name"], "tickets");
    assert_eq!(server["from"], "io.github.x/tickets");
    assert_eq!(server["on"], false);
    assert_eq!(server["secrets"][0]["reference"], "local://tickets/tickets-token");
    assert_eq!(
        server["secrets"][0]["command"],
        "strongroom secrets set tickets/tickets-token --for launch:tickets"
    );
    let config = sandbox.read(".config/strongroom/strongroom.toml");
    assert!(config.contains(r#"command = ["npx", "-y", "tickets-mcp@1.2.3"]"#), "{config}");
    assert!(config.contains(r#"secrets = { TICKETS_TOKEN = "local://tickets/tickets-token" }"#));
    let listed = sandbox.run("--json mcp list --all").ok().json();
    assert_eq!(listed["servers"][0]["on"], false, "{listed}");
}

// SC-03
#[test]
fn importing_and_replacing_need_a_person() {
    let sandbox = Sandbox::initialised();
    let before = sandbox.read(".config/strongroom/strongroom.toml");
    for more in [&[][..], &["--replace"]] {
        let ran = sandbox.feed(&[&["mcp", "import", "-"], more].concat(), SERVER);
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(ran.stderr.contains("no terminal to ask a person at"), "{ran:?}");
    }
    assert_eq!(sandbox.read(".config/strongroom/strongroom.toml"), before);
    assert_eq!(sandbox.feed(&["mcp", "import", "-", "--dry-run"], SERVER).code, 0);
}

#[test]
fn a_server_that_is_there_is_replaced_only_when_that_is_said() {
    let sandbox = Sandbox::headless();
    sandbox.feed(&["mcp", "import", "-"], SERVER).ok();
    let newer = SERVER.replace("1.2.3", "2.0.0");
    let ran = sandbox.feed(&["mcp", "import", "-"], &newer);
    assert!(ran.code == 1 && ran.stderr.contains("there is a server `tickets` already"), "{ran:?}");
    sandbox.feed(&["mcp", "import", "-", "--replace", "--enable"], &newer).ok();
    let config = sandbox.read(".config/strongroom/strongroom.toml");
    assert!(config.contains("@2.0.0") && !config.contains("@1.2.3"), "{config}");
    assert!(config.contains("enable = [\"tickets\"]"), "{config}");
}

#[test]
fn a_secret_in_the_file_itself_is_refused_and_never_repeated() {
    let sandbox = Sandbox::headless();
    let before = sandbox.read(".config/strongroom/strongroom.toml");
    let token = format!("ghp_{}", "canaryA1b2C3d4E5f6G7h8");
    for server in [
        format!(r#"{{"command": "x", "env": {{"TOKEN": "{token}"}}}}"#),
        format!(r#"{{"command": "x", "args": ["--token", "{token}"]}}"#),
        format!(r#"{{"url": "https://h.example/mcp?key={token}"}}"#),
        format!(
            r#"{{"url": "https://h.example/mcp", "headers": {{"Authorization": "Bearer {token}"}}}}"#
        ),
    ] {
        let file = format!(r#"{{"mcpServers": {{"s": {server}}}}}"#);
        for more in [&[][..], &["--dry-run"], &["--json"]] {
            let ran = sandbox.feed(&[&["mcp", "import", "-"], more].concat(), &file);
            assert_eq!(ran.code, 1, "{ran:?}");
            assert!(ran.stderr.contains("looks like a secret"), "{ran:?}");
            assert!(ran.stderr.contains("strongroom import"), "{ran:?}");
            assert!(!format!("{ran:?}").contains("canary"), "{ran:?}");
        }
    }
    assert_eq!(sandbox.read(".config/strongroom/strongroom.toml"), before);
    let plain = r#"{"mcpServers": {"s": {"command": "x", "env": {"LEVEL": "debug"}}}}"#;
    sandbox.feed(&["mcp", "import", "-"], plain).ok();
}

#[test]
fn what_may_change_or_is_far_away_is_warned_of() {
    let sandbox = Sandbox::headless();
    let file = r#"{"mcpServers": {"a": {"command": "npx -y pkg"}, "b": {"url": "https://h.example/mcp"}}}"#;
    let ran = sandbox.feed(&["mcp", "import", "-", "--dry-run"], file).ok();
    assert!(ran.stderr.contains("`npx` may start another version"), "{ran:?}");
    assert!(ran.stderr.contains("nobody has checked whose address"), "{ran:?}");
    let ran = sandbox.feed(&["mcp", "import", "-", "--dry-run"], SERVER).ok();
    assert_eq!(ran.stderr, "");
}

// SC-06
#[test]
fn a_hostile_file_is_an_error_with_its_place_and_adds_nothing() {
    let sandbox = Sandbox::headless();
    let before = sandbox.read(".config/strongroom/strongroom.toml");
    for file in [
        "registry: &canary\n  a: *canary\n",
        "registry:\n  a: !!python/object:canary {}\n",
        "{\"mcpServers\": {\"a\": {\"command\": \"canary\"}, \"a\": {\"command\": \"x\"}}}",
        "{\"mcpServers\": {\"a\": {\"command\": \"x; canary\"}}}",
        "canary",
        "",
    ] {
        let ran = sandbox.feed(&["mcp", "import", "-"], file);
        assert!(ran.code == 1 && ran.stderr.contains("stdin:"), "{file}: {ran:?}");
        assert!(!ran.stderr.contains("canary"), "{ran:?}");
    }
    assert_eq!(sandbox.read(".config/strongroom/strongroom.toml"), before);
}
