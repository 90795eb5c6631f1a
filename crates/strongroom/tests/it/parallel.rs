//! Several commands at once: each change is kept, and none undoes another.

use std::thread;

use serde_json::Value;

use crate::sandbox::{Ran, Sandbox};

const SIX: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

/// Runs `command` for each of the six at the same time; all have to end well.
fn at_once(sandbox: &Sandbox, command: impl Fn(&str) -> (Vec<String>, String) + Sync) {
    let run = |name: &str| -> Ran {
        let (arguments, stdin) = command(name);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        sandbox.feed(&arguments, &stdin)
    };
    thread::scope(|scope| {
        let started = SIX.map(|name| scope.spawn(move || run(name)));
        for ran in started {
            ran.join().unwrap().ok();
        }
    });
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn add(name: &str) -> (Vec<String>, String) {
    let url = format!("https://{name}.example");
    (words(&format!("add {name} --base-url {url} --auth bearer --key-stdin")), key(name))
}

fn key(name: &str) -> String {
    format!("the-key-of-{name}-0123456789")
}

fn services(sandbox: &Sandbox) -> Vec<Value> {
    sandbox.run("list --json").ok().json().as_array().unwrap().clone()
}

#[test]
fn six_services_that_are_added_at_once_are_all_there() {
    let sandbox = Sandbox::headless();
    at_once(&sandbox, add);
    let mut names: Vec<String> =
        services(&sandbox).iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    let mut six = SIX.map(str::to_owned).to_vec();
    six.sort();
    assert_eq!(names, six);
    // Each with its own secret, in a vault and an audit that verify.
    sandbox.run("audit verify").ok();
    let acts = sandbox.run("logs --json").ok().stdout;
    for name in SIX {
        let added = acts.lines().filter(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["act"] == "service.add" && line["subject"] == name
        });
        assert_eq!(added.count(), 1, "{name}: {acts}");
        let removed = sandbox.run(&format!("remove {name} --yes --json")).ok().json();
        assert_eq!(removed["secrets"], 1, "{name}");
    }
}

#[test]
fn six_changes_at_once_are_all_kept() {
    let sandbox = Sandbox::headless();
    for name in SIX {
        let (arguments, key) = add(name);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        sandbox.feed(&arguments, &key).ok();
    }
    at_once(&sandbox, |name| {
        let mut arguments = words(&format!("edit {name} --key-stdin --deny"));
        arguments.push(format!("* /{name}"));
        (arguments, format!("{}-new", key(name)))
    });
    for service in services(&sandbox) {
        let rule = format!("* /{}", service["name"].as_str().unwrap());
        assert_eq!(service["deny"], serde_json::json!([rule]));
    }
    at_once(&sandbox, |name| (words(&format!("remove {name} --yes")), String::new()));
    assert_eq!(services(&sandbox), Vec::<Value>::new());
    sandbox.run("audit verify").ok();
}

#[test]
fn of_six_that_add_the_same_service_one_does() {
    let sandbox = Sandbox::headless();
    let (arguments, _) = add("shop");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let codes = thread::scope(|scope| {
        let started = SIX.map(|name| {
            let (sandbox, arguments) = (&sandbox, &arguments);
            scope.spawn(move || sandbox.feed(arguments, &key(name)).code)
        });
        started.map(|ran| ran.join().unwrap())
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| **code == 1).count(), 5, "{codes:?}");
    assert_eq!(services(&sandbox).len(), 1);
}
