//! `connect` and `disconnect`.

use std::fs;
use std::os::unix::fs::symlink;
use std::thread;

use serde_json::{Value, json};

use crate::sandbox::{PROGRAM, Sandbox};

const CURSOR: &str = ".cursor/mcp.json";
const FILES: [(&str, &str, &str); 4] = [
    ("claude-code", ".claude.json", "mcpServers"),
    ("claude-desktop", ".config/Claude/claude_desktop_config.json", "mcpServers"),
    ("cursor", CURSOR, "mcpServers"),
    ("vscode", ".config/Code/User/mcp.json", "servers"),
];

fn value(sandbox: &Sandbox, file: &str) -> Value {
    serde_json::from_str(&sandbox.read(file)).unwrap()
}

#[test]
fn every_client_gets_one_entry_that_starts_this_program_as_itself() {
    let sandbox = Sandbox::initialised();
    for (client, file, key) in FILES {
        sandbox.write(file, "{}");
        sandbox.run(&format!("connect {client}")).ok();
        let entry = &value(&sandbox, file)[key]["strongroom"];
        assert_eq!(entry["command"], PROGRAM);
        assert_eq!(entry["args"], json!(["serve", "--as", client]));
        assert_eq!(entry.get("env"), None);
    }
    let list = sandbox.run("connect --json").ok().json();
    let connected = |found: &&Value| FILES.iter().any(|(client, ..)| found["client"] == *client);
    for found in list.as_array().unwrap().iter().filter(connected) {
        assert_eq!(found["connection"]["stdio"]["command"], PROGRAM, "{found}");
    }
    for (client, file, key) in FILES {
        sandbox.run(&format!("disconnect {client}")).ok();
        assert_eq!(value(&sandbox, file), json!({key: {}}));
    }
}

#[test]
fn connecting_twice_changes_nothing_and_makes_no_second_backup() {
    let sandbox = Sandbox::initialised();
    sandbox.write(CURSOR, "{}");
    assert_eq!(sandbox.run("connect cursor --json").ok().json()["changed"], true);
    let after = sandbox.read(CURSOR);
    assert_eq!(sandbox.run("connect cursor --json").ok().json()["changed"], false);
    assert_eq!((sandbox.read(CURSOR), sandbox.names(".cursor").len()), (after, 2));
    sandbox.run("disconnect cursor").ok();
    assert_eq!(sandbox.run("disconnect cursor --json").ok().json()["changed"], false);
}

#[test]
fn a_dry_run_shows_the_change_without_the_secrets_around_it_and_writes_nothing() {
    let sandbox = Sandbox::new();
    let text = r#"{
  "mcpServers": {
    // the old way
    "gh": { "env": { "GITHUB_TOKEN": "ghp_canaryA1b2C3d4E5f6G7h8" } }
  }
}
"#;
    sandbox.write(CURSOR, text);
    let diff = sandbox.run("connect cursor --dry-run").ok().stdout;
    assert!(diff.starts_with("--- ~/.cursor/mcp.json\n+++ ~/.cursor/mcp.json\n@@"), "{diff}");
    assert!(diff.contains("+    \"strongroom\": {\n") && !diff.contains("canary"), "{diff}");
    assert_eq!(sandbox.read(CURSOR), text);
    assert_eq!(sandbox.names(""), [".cursor"], "not even a home was made");
}

#[test]
fn a_file_behind_a_link_is_edited_where_it_is() {
    let sandbox = Sandbox::initialised();
    let real = sandbox.write("dotfiles/cursor.json", "{}");
    fs::create_dir(sandbox.path(".cursor")).unwrap();
    symlink(&real, sandbox.path(CURSOR)).unwrap();
    sandbox.chmod("dotfiles/cursor.json", 0o640);
    sandbox.run("connect cursor").ok();
    assert!(fs::symlink_metadata(sandbox.path(CURSOR)).unwrap().is_symlink());
    assert!(sandbox.read("dotfiles/cursor.json").contains("strongroom"));
    assert_eq!(sandbox.mode("dotfiles/cursor.json"), 0o640);
}

#[test]
fn a_broken_file_is_refused_with_its_place_and_left_as_it_is() {
    let sandbox = Sandbox::initialised();
    for text in ["{\n  \"mcpServers\": {\n", "{\"mcpServers\": [\"canary\"]}", "canary"] {
        sandbox.write(CURSOR, text);
        for command in ["connect cursor", "connect cursor --http", "disconnect cursor"] {
            let refused = sandbox.run(command);
            assert_eq!(refused.code, 1, "{refused:?}");
            assert!(refused.stderr.contains(".cursor/mcp.json: "), "{refused:?}");
            assert!(!refused.stderr.contains("canary"), "{refused:?}");
            assert_eq!((sandbox.read(CURSOR).as_str(), sandbox.names(".cursor").len()), (text, 1));
        }
    }
}

#[test]
fn a_client_that_is_not_here_is_connected_only_by_force() {
    let sandbox = Sandbox::initialised();
    let refused = sandbox.run("connect vscode");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("--force"), "{refused:?}");
    sandbox.run("connect vscode --force").ok();
    assert_eq!(sandbox.mode(".config/Code/User/mcp.json"), 0o600);

    // Its directory is enough: the file is made.
    fs::create_dir(sandbox.path(".cursor")).unwrap();
    sandbox.run("connect cursor").ok();
}

#[test]
fn a_misspelt_client_is_not_guessed_but_named() {
    let refused = Sandbox::new().run("connect curser");
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("did you mean `cursor`?"), "{refused:?}");
}

#[test]
fn without_a_home_nothing_is_connected() {
    let sandbox = Sandbox::new();
    sandbox.write(CURSOR, "{}");
    let refused = sandbox.run("connect cursor");
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.stderr.contains("strongroom init"), "{refused:?}");
    assert_eq!(sandbox.read(CURSOR), "{}");
}

#[test]
fn a_home_of_its_own_goes_along_into_the_clients_entry() {
    let sandbox = Sandbox::new();
    let own = sandbox.path("own");
    let sandbox = sandbox.with("STRONGROOM_HOME", &own);
    sandbox.run("init").ok();
    sandbox.write(CURSOR, "{}");
    sandbox.run("connect cursor").ok();
    let environment = &value(&sandbox, CURSOR)["mcpServers"]["strongroom"]["env"];
    assert_eq!(*environment, json!({"STRONGROOM_HOME": own}));
}

#[test]
fn an_http_entry_has_a_token_that_nobody_else_sees_and_that_ends_with_it() {
    let sandbox = Sandbox::initialised();
    sandbox.write(CURSOR, "{}");
    sandbox.chmod(CURSOR, 0o644);
    let connected = sandbox.run("connect cursor --http --url http://127.0.0.1:9/mcp").ok();
    let entry = value(&sandbox, CURSOR)["mcpServers"]["strongroom"].clone();
    assert_eq!(entry["url"], "http://127.0.0.1:9/mcp");
    let header = entry["headers"]["Authorization"].as_str().unwrap();
    let token = header.strip_prefix("Bearer ").unwrap();
    assert!(token.starts_with("sr_"), "{token}");
    assert_eq!(sandbox.mode(CURSOR), 0o600);
    assert!(!format!("{connected:?}").contains(token), "{connected:?}");
    assert!(connected.stderr.contains("warning:"), "{connected:?}");

    let again = sandbox.run("connect cursor --http --url http://127.0.0.1:9/mcp --json").ok();
    assert_eq!(again.json()["changed"], false, "a token that is good stays");
    let shown = sandbox.run("disconnect cursor --dry-run").ok().stdout;
    assert!(shown.contains("(hidden)") && !shown.contains(token), "{shown}");

    sandbox.run("disconnect cursor").ok();
    let put_back = json!({"mcpServers": {"strongroom": entry}}).to_string();
    sandbox.write(CURSOR, &put_back);
    let renewed = sandbox.run("connect cursor --http --url http://127.0.0.1:9/mcp --json").ok();
    assert_eq!(renewed.json()["changed"], true, "the old token was revoked");
}

#[test]
fn a_client_without_remote_entries_is_told_so_before_anything_is_made() {
    let sandbox = Sandbox::initialised();
    sandbox.write(".config/Claude/claude_desktop_config.json", "{}");
    let refused = sandbox.run("connect claude-desktop --http");
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("leave out `--http`"), "{refused:?}");
    let refused = sandbox.run("connect claude-desktop --project");
    assert_eq!(refused.code, 2, "{refused:?}");
}

#[test]
fn a_projects_file_is_made_in_the_project() {
    let sandbox = Sandbox::initialised();
    for (client, file) in
        [("claude-code", ".mcp.json"), ("cursor", CURSOR), ("vscode", ".vscode/mcp.json")]
    {
        sandbox.run(&format!("connect {client} --project")).ok();
        assert!(sandbox.read(file).contains(PROGRAM), "{client}");
        sandbox.run(&format!("disconnect {client} --project")).ok();
        assert!(!sandbox.read(file).contains(PROGRAM), "{client}");
    }
}

#[test]
fn many_at_once_lose_nothing() {
    let sandbox = Sandbox::initialised();
    sandbox.write(CURSOR, "{\"mcpServers\": {\"a\": {}}}");
    thread::scope(|scope| {
        let commands = ["connect cursor", "disconnect cursor"].repeat(4);
        let runs = commands.into_iter().map(|command| {
            let sandbox = &sandbox;
            scope.spawn(move || sandbox.run(command))
        });
        for run in runs.collect::<Vec<_>>() {
            run.join().unwrap().ok();
        }
    });
    sandbox.run("connect cursor").ok();
    let servers = &value(&sandbox, CURSOR)["mcpServers"];
    assert_eq!(servers.as_object().unwrap().len(), 2, "{servers}");
}

#[test]
fn what_a_person_does_to_the_home_and_the_clients_is_on_record() {
    let sandbox = Sandbox::initialised();
    sandbox.write(CURSOR, "{}");
    for command in
        ["connect cursor", "connect cursor", "disconnect cursor", "disconnect cursor", "init"]
    {
        sandbox.run(command).ok();
    }
    let log = sandbox.run("logs --json").ok().stdout;
    let acts: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|record| json!([record["act"], record["subject"]]))
        .collect();
    let expected = json!([
        ["home.create", "home"],
        ["client.connect", "cursor"],
        ["client.disconnect", "cursor"],
    ]);
    assert_eq!(json!(acts), expected, "{log}");
}

#[test]
fn a_client_is_disconnected_without_a_home_and_none_is_made() {
    let sandbox = Sandbox::new();
    sandbox.write(CURSOR, r#"{"mcpServers": {"strongroom": {"command": "/gone"}}}"#);
    sandbox.run("disconnect cursor").ok();
    assert_eq!(value(&sandbox, CURSOR), json!({"mcpServers": {}}));
    assert_eq!(sandbox.names(""), [".cursor"]);
}

#[test]
fn a_projects_entry_is_found_from_within_the_project() {
    let sandbox = Sandbox::initialised();
    let connect = || {
        sandbox.run("connect claude-code --project").ok();
        sandbox.run("connect vscode --project").ok();
    };
    let files = [".mcp.json", ".vscode/mcp.json"];
    let is_connected = |file: &str| sandbox.read(file).contains(PROGRAM);

    connect();
    let done = sandbox.run("disconnect claude-code --json").ok().json();
    assert_eq!((&done["changed"], is_connected(files[0])), (&json!(true), false), "{done}");
    assert!(is_connected(files[1]), "only the one that was named");

    // The user's and the project's.
    connect();
    sandbox.run("connect claude-code --force").ok();
    sandbox.run("disconnect claude-code --project").ok();
    assert!(is_connected(".claude.json") && !is_connected(files[0]));
    connect();
    sandbox.run("disconnect claude-code").ok();
    assert!(!is_connected(".claude.json") && !is_connected(files[0]));

    connect();
    let planned = sandbox.run("uninstall --dry-run --json").ok().json();
    assert!(files.iter().all(|file| is_connected(file)), "nothing is done yet");
    let done = sandbox.run("uninstall --json").ok().json();
    assert_eq!(done["projects"], planned["projects"]);
    assert_eq!(done["projects"], json!(files.map(|file| sandbox.path(file))));
    assert!(!files.iter().any(|file| is_connected(file)));
}

#[test]
fn a_projects_file_that_is_broken_does_not_keep_the_user_connected() {
    let sandbox = Sandbox::initialised();
    sandbox.run("connect claude-code --force").ok();
    sandbox.write(".mcp.json", "{");
    for command in ["disconnect claude-code", "uninstall"] {
        let ran = sandbox.run(command).ok();
        assert!(ran.stderr.contains(".mcp.json: "), "{ran:?}");
        assert!(!sandbox.read(".claude.json").contains(PROGRAM), "{command}");
    }
}

#[test]
fn each_enabled_server_is_started_through_us_until_it_is_off() {
    const CONFIG: &str = ".config/strongroom/strongroom.toml";
    let sandbox = Sandbox::initialised();
    let config = sandbox.read(CONFIG);
    let with = |enable: &str| {
        let servers = "[servers.time]\ncommand = \"uvx x\"\n[servers.mail]\ncommand = \"y\"\n\
                       [servers.far]\nurl = \"https://h/mcp\"\n";
        sandbox.write(CONFIG, &format!("enable = {enable}\n{config}\n{servers}"));
        sandbox.chmod(CONFIG, 0o600);
    };
    let theirs = json!({"command": "z"});
    sandbox.write(CURSOR, &json!({"mcpServers": {"mail": theirs}}).to_string());

    with("[\"time\", \"mail\", \"far\"]");
    let connected = sandbox.run("connect cursor --each --json").ok();
    assert!(connected.stderr.contains("--replace"), "{connected:?}");
    assert_eq!(connected.json()["servers"], json!(["time"]));
    let servers = value(&sandbox, CURSOR)["mcpServers"].clone();
    assert_eq!(servers["time"], json!({"command": PROGRAM, "args": ["run", "time"]}));
    assert_eq!((&servers["mail"], servers.get("far")), (&theirs, None));
    assert_eq!(servers["strongroom"]["args"], json!(["serve", "--as", "cursor", "--broker-only"]));
    sandbox.run("connect cursor --each --replace").ok();
    let servers = value(&sandbox, CURSOR)["mcpServers"].clone();
    assert_eq!(servers["mail"]["args"], json!(["run", "mail"]));

    with("[\"mail\"]");
    let connected = sandbox.run("connect cursor --each --json").ok().json();
    assert_eq!(connected["removed"], json!(["time"]));
    sandbox.run("connect kimi --broker-only --force").ok();
    assert!(!sandbox.read(".kimi/mcp.json").contains("\"run\""));

    // What is left of us is found also where the broker's own entry is gone.
    let text = sandbox.read(CURSOR).replace("\"strongroom\"", "\"other\"");
    sandbox.write(CURSOR, &text);
    sandbox.run("uninstall").ok();
    assert_eq!(value(&sandbox, CURSOR)["mcpServers"].get("mail"), None);

    with("[\"mail\"]");
    sandbox.run("connect vscode --project --each").ok();
    assert!(sandbox.read(".vscode/mcp.json").contains("\"mail\""));
    sandbox.run("disconnect vscode").ok();
    assert_eq!(value(&sandbox, ".vscode/mcp.json"), json!({"servers": {}}));
}

#[test]
fn one_entry_stands_for_every_server_and_takes_the_place_of_theirs() {
    const CONFIG: &str = ".config/strongroom/strongroom.toml";
    let sandbox = Sandbox::initialised();
    let config = sandbox.read(CONFIG);
    let server = "[servers.time]\ncommand = \"uvx x\"\n";
    sandbox.write(CONFIG, &format!("enable = [\"time\"]\n{config}\n{server}"));
    sandbox.chmod(CONFIG, 0o600);
    let theirs = json!({"command": "z"});
    sandbox.write(CURSOR, &json!({"mcpServers": {"mail": theirs}}).to_string());
    let entries = || value(&sandbox, CURSOR)["mcpServers"].clone();

    sandbox.run("connect cursor --each").ok();
    assert_eq!(entries().as_object().unwrap().len(), 3);
    let connected = sandbox.run("connect cursor --json").ok().json();
    assert_eq!(connected["removed"], json!(["time"]));
    let all = entries();
    assert_eq!(all["strongroom"]["args"], json!(["serve", "--as", "cursor"]));
    assert_eq!((&all["mail"], all.get("time")), (&theirs, None));
    assert_eq!(sandbox.run("connect cursor --json").ok().json()["changed"], false);
    sandbox.run("disconnect cursor").ok();
    assert_eq!(entries(), json!({"mail": theirs}));

    // One that leaves entries of servers alone says so.
    sandbox.run("connect cursor --each").ok();
    sandbox.run("connect cursor --broker-only").ok();
    let all = entries();
    assert_eq!(all["strongroom"]["args"], json!(["serve", "--as", "cursor", "--broker-only"]));
    assert_eq!(all["time"]["args"], json!(["run", "time"]));
}
