//! `scan`, `import` and its undoing, on the files of all 25 clients.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use strongroom_testkit::secret_service::SecretService;

use crate::every_client::{SECRET, everybody, files};
use crate::sandbox::{PROGRAM, Sandbox};

const CONFIG: &str = ".config/strongroom/strongroom.toml";

/// Every file below the home that holds `needle`, other than backups.
fn holders(sandbox: &Sandbox, needle: &str) -> Vec<String> {
    fn walk(directory: &Path, needle: &str, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                walk(&entry, needle, found);
            } else if fs::read(&entry)
                .unwrap()
                .windows(needle.len())
                .any(|w| w == needle.as_bytes())
            {
                found.push(entry.to_string_lossy().into_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(&sandbox.path(""), needle, &mut found);
    found.retain(|file| !file.contains(".strongroom-backup-"));
    found
}

#[test]
fn a_scan_finds_the_secret_of_every_client_and_never_shows_it() {
    let sandbox = everybody();
    let scanned = sandbox.run("scan --json");
    assert_eq!(scanned.code, 1, "{scanned:?}");
    assert!(!format!("{scanned:?}").contains("canary"));
    let answer = scanned.json();
    assert_eq!(answer["secrets"], 25);
    for (client, file, text) in files() {
        let found = answer["files"].as_array().unwrap();
        let found = found.iter().find(|found| found["client"] == client).unwrap();
        assert_eq!(found["file"], json!(sandbox.path(file)));
        let line = text[..text.find(SECRET).unwrap()].matches('\n').count() + 1;
        assert_eq!(found["secrets"][0]["line"], line, "{client}");
        assert_eq!(found["secrets"][0]["name"], "GH_TOKEN", "{client}");
    }
    let shown = sandbox.run("scan");
    assert!(!format!("{shown:?}").contains("canary"));
    assert_eq!(Sandbox::initialised().run("scan").code, 0);
}

#[test]
fn names_in_a_file_cannot_move_the_cursor() {
    let sandbox = Sandbox::initialised();
    let text = json!({"mcpServers": {"a\u{1b}[2Jb": {"env": {"K\u{202e}": SECRET}}}});
    sandbox.write(".cursor/mcp.json", &text.to_string());
    for command in ["scan", "init", "import --dry-run"] {
        let ran = sandbox.run(command);
        assert!(!ran.stdout.contains('\u{1b}') && !ran.stdout.contains('\u{202e}'), "{ran:?}");
        assert!(!ran.stderr.contains('\u{1b}'), "{ran:?}");
    }
}

#[test]
fn every_client_is_connected_and_disconnected_with_its_file_as_it_was() {
    let sandbox = everybody();
    for (client, file, text) in files() {
        sandbox.run(&format!("connect {client}")).ok();
        let connected = sandbox.read(file);
        assert!(connected.contains(PROGRAM), "{client}: {connected}");
        sandbox.run(&format!("disconnect {client}")).ok();
        assert_eq!(sandbox.read(file), text, "{client}");
        assert_eq!(sandbox.mode(file), 0o644, "{client}");
    }
}

#[test]
fn an_import_moves_every_secret_and_its_undoing_gives_every_byte_back() {
    let sandbox = everybody();
    let config = sandbox.read(CONFIG);
    let planned = sandbox.run("import --dry-run").ok();
    assert!(!format!("{planned:?}").contains("canary"), "{planned:?}");
    assert!(files().iter().all(|(_, file, text)| sandbox.read(file) == *text));

    let done = sandbox.run("import --json").ok();
    assert!(!format!("{done:?}").contains("canary"), "{done:?}");
    let done = done.json();
    assert_eq!(done["left"], json!([]));
    let expected = json!([{"name": "github", "new": true, "secrets": ["local://github/GH_TOKEN"]}]);
    assert_eq!(done["servers"], expected, "the same server of all clients is one");
    assert_eq!(done["files"].as_array().unwrap().len(), 25);
    assert_eq!(holders(&sandbox, "canary"), Vec::<String>::new());
    for (client, file, before) in files() {
        let after = sandbox.read(file);
        assert!(after.contains(PROGRAM) && after.contains("\"run\""), "{client}: {after}");
        assert_eq!(sandbox.mode(file), 0o644, "{client}");
        for comment in
            ["// keys", "/* the time */", "# the clock", "# code", "# runs it", "# seconds"]
        {
            if comment != "// keys" && before.contains(comment) {
                assert!(after.contains(comment), "{client} lost {comment:?}: {after}");
            }
        }
    }
    let written = sandbox.read(CONFIG);
    let written: toml::Table = written.parse().unwrap();
    assert_eq!(written["enable"].as_array().unwrap()[0].as_str(), Some("github"));
    let server = &written["servers"]["github"];
    assert_eq!(server["env"]["GH_TOKEN"].as_str(), Some("local://github/GH_TOKEN"));
    let backups = sandbox.run("scan --json").json();
    assert!(backups["files"].as_array().unwrap().iter().all(|file| file["backup"] == true));

    // A second time there is nothing to do.
    let again = sandbox.run("import --json").ok().json();
    assert_eq!(again["servers"], json!([]));

    let undone = sandbox.run("import --undo --json").ok().json();
    assert_eq!(undone["restored"].as_array().unwrap().len(), 25);
    assert_eq!(undone["secrets"], json!(["local://github/GH_TOKEN"]));
    for (client, file, before) in files() {
        assert_eq!(sandbox.read(file), before, "{client}");
    }
    assert_eq!(sandbox.read(CONFIG), config);
    assert_eq!(sandbox.run("import --undo").code, 1, "there is nothing left to take back");
}

#[test]
fn a_file_that_was_changed_since_is_left_and_keeps_its_server() {
    let sandbox = everybody();
    sandbox.run("import cursor kimi").ok();
    let theirs = sandbox.read(".kimi/mcp.json").replace("uvx", "uvx2");
    sandbox.write(".kimi/mcp.json", &theirs);
    let undone = sandbox.run("import --undo --json").ok().json();
    assert_eq!(undone["restored"], json!([sandbox.path(".cursor/mcp.json")]));
    assert_eq!(undone["changed"][0][0], json!(sandbox.path(".kimi/mcp.json")));
    assert_eq!((&undone["kept"], &undone["servers"]), (&json!(["github"]), &json!([])));
    assert_eq!(sandbox.read(".kimi/mcp.json"), theirs);
    assert!(sandbox.read(CONFIG).contains("[servers.github"));

    // Once it is as the import left it, the rest goes back, too.
    sandbox.write(".kimi/mcp.json", &theirs.replace("uvx2", "uvx"));
    let undone = sandbox.run("import --undo --json").ok().json();
    assert_eq!(undone["servers"], json!(["github"]));
    assert!(!sandbox.read(CONFIG).contains("[servers.github"));
}

#[test]
fn the_same_name_for_another_server_gets_a_number() {
    let sandbox = Sandbox::headless();
    let file = |token: &str, package: &str| {
        json!({"mcpServers": {"GitHub": {"command": "npx", "args": [package], "env": {"T": token}}}})
            .to_string()
    };
    let other = SECRET.replace("A1", "Z9");
    sandbox.write(".cursor/mcp.json", &file(SECRET, "a"));
    sandbox.write(".kimi/mcp.json", &file(SECRET, "b"));
    sandbox.write(".kiro/settings/mcp.json", &file(&other, "a"));
    sandbox.write(".factory/mcp.json", &file(SECRET, "a"));
    let done = sandbox.run("import --json").ok().json();
    let names: Vec<&Value> =
        done["servers"].as_array().unwrap().iter().map(|server| &server["name"]).collect();
    assert_eq!(names, ["github", "github-2", "github-3"]);
    let droid: Value = serde_json::from_str(&sandbox.read(".factory/mcp.json")).unwrap();
    assert_eq!(droid["mcpServers"]["GitHub"]["args"], json!(["run", "github"]));

    // Imported again after a backup was put back: the server is known.
    sandbox.write(".cursor/mcp.json", &file(SECRET, "a"));
    let again = sandbox.run("import --json").ok().json();
    assert_eq!(again["servers"][0]["name"], "github");
    assert_eq!(again["servers"][0]["new"], false);
}

#[test]
fn what_cannot_move_is_left_and_said() {
    let sandbox = Sandbox::headless();
    let text = json!({"mcpServers": {
        "arg": {"command": "x", "args": ["--token", SECRET]},
        "input": {"command": "x", "env": {"K": SECRET, "L": "${input:l}"}},
        "hijack": {"command": "x", "env": {"K": SECRET, "LD_PRELOAD": SECRET}},
        "remote": {"url": "https://h/mcp", "headers": {"Authorization": format!("Bearer {SECRET}")}},
    }})
    .to_string();
    sandbox.write(".cursor/mcp.json", &text);
    let done = sandbox.run("import --json").ok().json();
    assert_eq!(done["left"].as_array().unwrap().len(), 4, "{done}");
    assert_eq!(done["servers"][0]["name"], "remote");
    assert_eq!(sandbox.read(".cursor/mcp.json"), text);
    assert!(
        sandbox
            .read(CONFIG)
            .contains("Authorization = \"Bearer {{local://remote/Authorization}}\"")
    );
    let done = sandbox.run("import --allow-visible-secrets --json").ok().json();
    let left = done["left"].as_array().unwrap();
    assert!(left.iter().all(|left| left["server"] != "arg"), "{done}");
    assert!(sandbox.read(CONFIG).contains("allow_visible_secrets = true"));
}

#[test]
fn an_import_needs_a_person() {
    let sandbox = Sandbox::initialised();
    let text = files().into_iter().find(|(client, ..)| *client == "cursor").unwrap().2;
    sandbox.write(".cursor/mcp.json", &text);
    let refused = sandbox.run("import");
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(!format!("{refused:?}").contains("canary"), "{refused:?}");
    assert_eq!(sandbox.read(".cursor/mcp.json"), text);
    sandbox.run("import --dry-run").ok();
}

#[test]
fn a_file_of_variables_gives_its_secrets_to_one_server() {
    let sandbox = Sandbox::headless();
    let text = format!(
        "# mine\nLEVEL=debug\nexport GH_TOKEN='{SECRET}' # why\nURL=$LEVEL/x\nDB_PASSWORD=hunter2hunter2\n"
    );
    sandbox.write(".env", &text);
    sandbox.chmod(".env", 0o600);
    let planned = sandbox.run("import env .env --for shop --dry-run").ok();
    assert!(!format!("{planned:?}").contains("canary"), "{planned:?}");
    assert_eq!(sandbox.read(".env"), text);
    let done = sandbox.run("import env .env --for shop --json").ok().json();
    assert_eq!(done["references"], json!(["local://shop/GH_TOKEN", "local://shop/DB_PASSWORD"]));
    assert_eq!(sandbox.read(".env"), "# mine\nLEVEL=debug\nURL=$LEVEL/x\n");
    assert_eq!(sandbox.run("import env .env --for shop").code, 1, "nothing is left to move");
    sandbox.run("import --undo").ok();
    assert_eq!(sandbox.read(".env"), text);
}

#[test]
fn secrets_go_into_the_keychain_where_that_is_chosen() {
    let service = SecretService::start();
    let mut sandbox = Sandbox::new();
    for (name, value) in service.variables() {
        sandbox = sandbox.with(name, value);
    }
    sandbox.run("init --headless").ok();
    let text = files().into_iter().find(|(client, ..)| *client == "cursor").unwrap().2;
    sandbox.write(".cursor/mcp.json", &text);
    let done = sandbox.run("import --to keychain --json").ok().json();
    let reference = "keychain://strongroom-github/GH_TOKEN";
    assert_eq!(done["servers"][0]["secrets"], json!([reference]));
    let attributes = ["service", "strongroom-github", "username", "GH_TOKEN"];
    assert_eq!(service.lookup(&attributes).as_deref(), Some(SECRET));
    assert!(sandbox.read(CONFIG).contains(reference));
    let undone = sandbox.run("import --undo --json").ok().json();
    assert_eq!(undone["newer"], json!([reference]), "nobody can say whose value it is by now");
    assert_eq!(sandbox.read(".cursor/mcp.json"), text);
}

#[test]
fn without_a_keychain_nothing_leaves_a_file() {
    let sandbox = Sandbox::headless();
    let text = files().into_iter().find(|(client, ..)| *client == "cursor").unwrap().2;
    sandbox.write(".cursor/mcp.json", &text);
    let refused = sandbox.run("import --to keychain");
    assert_eq!(refused.code, 4, "{refused:?}");
    assert_eq!(sandbox.read(".cursor/mcp.json"), text);
}
