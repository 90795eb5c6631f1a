//! Imports that are killed at each step.

use std::sync::Arc;

use serde_json::{Value, json};
use strongroom_clients::edit::{self, Format};
use strongroom_clients::find;
use strongroom_clients::import::journal::Journal;
use strongroom_clients::import::plan::{Known, Plan, Through};

use super::apply::apply;
use super::batch;
use super::store::Store;
use super::undo::undo;
use crate::clock::SystemClock;
use crate::environment::{Host, Terminals};
use crate::failure::Failure;
use crate::home;
use crate::output::Output;
use crate::paths::{Environment, Os};

const SECRET: &str = "ghp_canaryA1b2C3d4E5f6G7h8";
const THROUGH: Through<'_> = Through { program: "/bin/strongroom", home: None };

fn host(directory: &std::path::Path) -> Host {
    Host {
        arguments: Vec::new(),
        environment: Environment::new(Os::CURRENT, [("HOME", directory)]),
        program: "/bin/strongroom".into(),
        directory: directory.to_owned(),
        terminals: Terminals::default(),
        clock: Arc::new(SystemClock::new()),
    }
}

#[test]
fn an_import_that_is_killed_anywhere_loses_nothing_and_can_be_ended_or_taken_back() {
    for takes_back in [false, true] {
        // The steps: vault, configuration, two files, the end.
        for killed_at in 0..6 {
            check(killed_at, takes_back);
        }
    }
}

fn check(killed_at: usize, takes_back: bool) {
    let directory = tempfile::tempdir().unwrap();
    let host = host(directory.path());
    let home = host.home().unwrap();
    let (vault, _) =
        home::create(&home, &home::first_config(true), Arc::clone(&host.clock)).unwrap();
    let config_before = std::fs::read_to_string(home.config_file()).unwrap();
    let files = [("cursor", ".cursor/mcp.json"), ("kimi", ".kimi/mcp.json")];
    let text = json!({"mcpServers": {"gh": {"command": "x", "env": {"T": SECRET}}}}).to_string();
    for (_, file) in files {
        let path = directory.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &text).unwrap();
    }
    let read = |file: &str| std::fs::read_to_string(directory.path().join(file)).unwrap();
    let store = Store::Local(&vault);
    let import = |killed_at: usize| {
        let config = std::fs::read_to_string(home.config_file()).unwrap();
        let config = edit::read(Format::Toml, &config).unwrap_or(Value::Null);
        let known = Known { config: &config, taken: &|_| false, store: &store, visible: false };
        let mut plan = Plan::default();
        for (client, file) in files {
            plan.add(find(client).unwrap(), &directory.path().join(file), &known).unwrap();
        }
        let mut steps = 0;
        apply(&batch::of(&plan, THROUGH, &store), &host, &home, &mut |_| {
            steps += 1;
            if steps > killed_at { Err(Failure::failed("killed")) } else { Ok(()) }
        })
    };
    let is_whole = |file: &str| {
        let now = read(file);
        let has_secret = now == text;
        let is_stored = vault.used_by("gh/T").unwrap().is_some()
            && std::fs::read_to_string(home.config_file()).unwrap().contains("local://gh/T");
        has_secret || (now.contains("\"run\"") && is_stored)
    };

    assert_eq!(import(killed_at).is_err(), killed_at < 5, "{killed_at}");
    assert!(files.iter().all(|(_, file)| is_whole(file)), "killed at {killed_at}");
    if !takes_back {
        import(usize::MAX).unwrap();
        assert!(files.iter().all(|(_, file)| read(file).contains("\"run\"")));
        let config = std::fs::read_to_string(home.config_file()).unwrap();
        assert_eq!(config.matches("[servers.gh").count(), 2, "one server, and its variables");
    }
    let output = Output::new(&host, true);
    while undo(&host, &home, &vault, &output, false).unwrap().is_some() {}
    assert!(files.iter().all(|(_, file)| read(file) == text), "killed at {killed_at}");
    assert_eq!(vault.list().unwrap(), []);
    assert_eq!(std::fs::read_to_string(home.config_file()).unwrap(), config_before);
    let state = strongroom_seal::SecureDir::open(&home.state).unwrap();
    assert!(Journal::read(&state).unwrap().imports.is_empty());
}
