//! The commands that change services, where a transcript cannot show it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;

use serde_json::json;
use strongroom_testkit::canary;
use strongroom_testkit::oracle::Oracle;

use crate::sandbox::{PROGRAM, Sandbox};

const FILE: &str = ".config/strongroom/strongroom.toml";

fn add(sandbox: &Sandbox, name: &str) {
    let arguments =
        ["add", name, "--base-url", "https://a.example", "--auth", "bearer", "--key-stdin"];
    sandbox.feed(&arguments, &canary::of(name)).ok();
}

#[test]
fn six_services_added_at_once_are_all_there() {
    let sandbox = Sandbox::headless();
    let names = ["one", "two", "three", "four", "five", "six"];
    thread::scope(|scope| {
        for name in names {
            scope.spawn(|| add(&sandbox, name));
        }
    });
    let listed = sandbox.run("list --json").ok().json();
    assert_eq!(listed.as_array().unwrap().len(), 6, "{listed}");
    for name in names {
        let shown = sandbox.run(&format!("show {name} --json")).ok().json();
        assert_eq!(shown["stored"][0]["reference"], format!("local://{name}/token"));
    }
    assert_eq!(sandbox.run("audit verify --json").ok().json()["records"], 7);
}

#[test]
fn comments_survive_every_command() {
    let sandbox = Sandbox::headless();
    add(&sandbox, "acme");
    let text = sandbox.read(FILE).replace("[services.acme]", "# mine\n[services.acme] # too");
    sandbox.write(FILE, &text);
    sandbox.feed(&["edit", "acme", "--allow", "POST /x"], "").ok();
    add(&sandbox, "other");
    sandbox.run("remove other --yes").ok();
    let after = sandbox.read(FILE);
    assert!(after.contains("# mine\n[services.acme] # too"), "{after}");
    assert!(after.contains("\"POST /x\""), "{after}");
    assert_eq!(sandbox.mode(FILE), 0o600);
}

#[test]
fn no_secret_is_an_argument_but_for_key() {
    let sandbox = Sandbox::headless();
    for option in ["--value", "--secret", "--token", "--password", "--api-key", "--key-value"] {
        for command in ["add", "edit"] {
            let ran = sandbox.start(Path::new(PROGRAM), &[command, "acme", option, "sk-canary"]);
            assert_eq!(ran.code, 2, "{ran:?}");
            assert!(!ran.stderr.contains("canary"), "{ran:?}");
        }
    }
    let warned = sandbox.start(
        Path::new(PROGRAM),
        &[
            "add",
            "acme",
            "--base-url",
            "https://a.example",
            "--auth",
            "bearer",
            "--key",
            "sk-canary-1",
        ],
    );
    assert!(warned.ok().stderr.contains("--key-stdin"));
}

#[test]
fn a_key_is_stored_sealed_and_gone_when_its_service_is() {
    let sandbox = Sandbox::headless();
    add(&sandbox, "acme");
    let key = canary::of("acme");
    Oracle::new(&[("the key", key.as_bytes())]).assert_tree_clean(&sandbox.path(""));
    sandbox.run("remove acme --yes").ok();
    // A service of the same name does not find it again.
    let ran = sandbox.start(
        Path::new(PROGRAM),
        &[
            "add",
            "acme",
            "--base-url",
            "https://b.example",
            "--auth",
            "bearer",
            "--key-from",
            "local://acme/token",
        ],
    );
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("nothing is stored at `local://acme/token`"), "{ran:?}");
}

#[test]
fn files_are_closed_to_others_whatever_the_umask() {
    let sandbox = Sandbox::new();
    for line in [
        "init --headless",
        "add acme --base-url https://a.example --auth bearer --key-from env://X",
        "principal create ci",
        "logs",
    ] {
        let mut arguments = vec!["-c", "umask 000; exec \"$@\"", "sh", PROGRAM];
        arguments.extend(line.split(' '));
        sandbox.start(Path::new("/bin/sh"), &arguments).ok();
    }
    let mut found = 0;
    for below in [
        ".config/strongroom",
        ".cache/strongroom",
        ".local/state/strongroom",
        ".local/share/strongroom",
    ] {
        check_modes(&sandbox.path(below), &mut found);
    }
    assert!(found >= 8, "{found}");
}

fn check_modes(path: &Path, found: &mut usize) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let mode = metadata.permissions().mode() & 0o777;
    assert_eq!(mode, if metadata.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    *found += 1;
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            check_modes(&entry.unwrap().path(), found);
        }
    }
}

/// `setsid` takes the terminal away that whoever runs the tests may have.
#[cfg(target_os = "linux")]
#[test]
fn widening_without_a_person_is_denied_and_narrowing_is_not() {
    let sandbox = Sandbox::initialised();
    add(&sandbox, "acme");
    let run = |arguments: &[&str]| {
        let all: Vec<&str> = ["-w", PROGRAM].iter().chain(arguments).copied().collect();
        sandbox.start(Path::new("/usr/bin/setsid"), &all)
    };
    let before = sandbox.read(FILE);
    for wider in [
        &["--allow", "POST /x"][..],
        &["--allow-all"],
        &["--base-url", "https://evil.example"],
        &["--allow-ip", "127.0.0.1/32"],
        &["--ask", "POST /x"],
    ] {
        let arguments: Vec<&str> = ["edit", "acme"].iter().chain(wider).copied().collect();
        let ran = run(&arguments);
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(ran.stderr.contains("there is no terminal to ask a person at"), "{ran:?}");
    }
    assert_eq!(sandbox.read(FILE), before);
    let all = run(&["edit", "acme", "--deny", "* /admin/**"]);
    assert_eq!(all.code, 0, "{all:?}");
    // What was narrowed cannot be taken back alone.
    assert_eq!(run(&["edit", "acme", "--remove-rule", "* /admin/**"]).code, 3);
    let logged = sandbox.run("logs").ok().stdout.clone();
    assert_eq!(logged.matches("| acme | service.edit.refused\n").count(), 6, "{logged}");
    // A new key of the same service lets nobody do more.
    sandbox.feed(&["edit", "acme", "--key-stdin"], "another-key-0123").ok();
}

#[test]
fn a_configuration_that_others_can_write_is_not_read() {
    let sandbox = Sandbox::headless();
    sandbox.chmod(FILE, 0o666);
    let ran = sandbox.run("list");
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("strongroom.toml") && ran.stderr.contains("chmod"), "{ran:?}");
    sandbox.chmod(FILE, 0o600);
    sandbox.run("list").ok();
}

#[test]
fn show_has_every_key_of_the_file_that_is_not_as_usual() {
    let sandbox = Sandbox::headless();
    add(&sandbox, "acme");
    let usual = sandbox.run("show acme --json").ok().json();
    let more = r#"request_headers = ["X-Trace"]
redact_fields = ["client_secret"]
seal_fields = ["access_token"]
unseal_fields = ["session"]
encoded_slash = "segment"
path_params = "allow"
case_insensitive = true
method_override = true
range = true
principals = ["claude-code"]
limits = { response_bytes = "1MiB", connect = "1500ms", total = "60s", calls_per_minute = 7 }
"#;
    sandbox.write(FILE, &format!("{}{more}", sandbox.read(FILE)));
    let expected = json!({
        "request_headers": ["x-trace"],
        "redact_fields": ["client_secret"],
        "seal_fields": ["access_token"],
        "unseal_fields": ["session"],
        "encoded_slash": "segment",
        "path_params": "allow",
        "case_insensitive": true,
        "method_override": true,
        "range": true,
        "principals": ["claude-code"],
        "limits": {
            "response_bytes": 1 << 20, "connect_ms": 1500, "total_ms": 60_000, "calls_per_minute": 7,
        },
    });
    let shown = sandbox.run("show acme --json").ok().json();
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!((&shown[key], usual.get(key)), (value, None), "{key}");
    }
    let text = sandbox.run("show acme").ok().stdout;
    for line in [
        "  agent sets x-trace",
        "  redacts    fields client_secret",
        "  seals      fields access_token",
        "  unseals    fields session",
        "  paths      `%2F` is part of its segment (encoded_slash)",
        "  paths      `;` may stand in a segment (path_params)",
        "  rules      match without regard to case (case_insensitive)",
        "  methods    `_method` is refused in query and form (method_override)",
        "  agent sets range (range)",
        "  only for   claude-code",
        "  limit      response_bytes 1MiB",
        "  limit      connect 1500ms",
        "  limit      total 1m",
        "  limit      calls_per_minute 7",
    ] {
        assert!(text.lines().any(|there| there == line), "{line}\n{text}");
    }
}

#[test]
fn a_reference_that_gives_no_key_now_is_warned_of_and_kept() {
    let sandbox = Sandbox::headless().with("SET", "canary-canary-1");
    let open = sandbox.write("open.key", "canary-canary-2");
    sandbox.chmod("open.key", 0o644);
    let private = sandbox.write("private.key", "canary-canary-3");
    sandbox.chmod("private.key", 0o600);
    sandbox.write("empty.key", "");
    sandbox.chmod("empty.key", 0o600);
    let file = |path: &Path| format!("file://{}", path.display());
    let table = [
        ("env://NOPE".to_owned(), Some("the variable is not set or empty")),
        (file(&sandbox.path("none.key")), Some("there is no such file")),
        (file(&open), Some("chmod 600")),
        (file(&sandbox.path("empty.key")), Some("empty")),
        ("env://SET".to_owned(), None),
        (file(&private), None),
    ];
    let add = ["add", "acme", "--base-url", "https://a.example", "--auth", "bearer"];
    for (reference, expected) in table {
        let key = ["--key-from", reference.as_str()];
        let added = sandbox.feed(&[add.as_slice(), &key].concat(), "").ok();
        let edited = sandbox.feed(&[["edit", "acme"].as_slice(), &key].concat(), "").ok();
        for ran in [added, edited] {
            let warned = ran.stderr.contains("has no key to give now");
            assert_eq!(warned, expected.is_some(), "{reference}: {ran:?}");
            assert!(ran.stderr.contains(expected.unwrap_or_default()), "{reference}: {ran:?}");
            assert!(ran.stdout.contains(&reference), "{ran:?}");
            assert!(!format!("{ran:?}").contains("canary"), "{ran:?}");
        }
        sandbox.run("remove acme --yes").ok();
    }
}
