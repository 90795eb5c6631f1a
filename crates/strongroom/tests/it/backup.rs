//! `backup` and `restore`, and the `age` command with the same files.

#![expect(clippy::disallowed_methods, reason = "the age command is the other side of the test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::sandbox::{PROGRAM, Ran, Sandbox};

const SERVICE: &str = "add tickets --base-url https://t.example/v1 --auth bearer --key-stdin";

const TRUST: &str = ".local/share/strongroom/trust.json";

/// A home with a service and its key, and an age key of its own.
struct Kept {
    home: Sandbox,
    recipient: String,
}

impl Kept {
    fn new() -> Self {
        let home = Sandbox::headless();
        home.feed(&SERVICE.split(' ').collect::<Vec<_>>(), "canary-tickets-key\n").ok();
        home.write(TRUST, "{\"files\": {\"/p/servers.json\": \"00\"}}");
        home.chmod(TRUST, 0o600);
        let made = Command::new("age-keygen").arg("-o").arg(home.path("key.txt")).output();
        let said = String::from_utf8(made.unwrap().stderr).unwrap();
        let recipient = said.trim().strip_prefix("Public key: ").unwrap().to_owned();
        Self { home, recipient }
    }

    fn backup(&self, file: &str) -> Ran {
        self.home.run(&format!("backup {file} --recipient {} --json", self.recipient))
    }

    /// A new home into which this one's backup and key were brought.
    fn other(&self, file: &str) -> Sandbox {
        let other = Sandbox::headless();
        for name in [file, "key.txt"] {
            fs::copy(self.home.path(name), other.path(name)).unwrap();
        }
        other.chmod("key.txt", 0o600);
        other
    }
}

/// What the `age` command finds in the file.
fn opened(home: &Sandbox, file: &str) -> Value {
    let mut age = Command::new("age");
    age.args(["-d", "-i"]).arg(home.path("key.txt")).arg(home.path(file));
    serde_json::from_slice(&age.output().unwrap().stdout).unwrap()
}

/// Closes `text` for `recipient` with the `age` command.
fn closed(home: &Sandbox, recipient: &str, text: &str, file: &str) {
    let plain = home.write("plain.json", text);
    let mut age = Command::new("age");
    age.args(["-a", "-r", recipient, "-o"]).arg(home.path(file)).arg(plain);
    assert!(age.status().unwrap().success());
}

#[test]
fn a_backup_is_an_age_file_and_brings_everything_back() {
    let kept = Kept::new();
    let answer = kept.backup("b.age").ok().json();
    assert_eq!(answer["secrets"], serde_json::json!(["tickets/token"]));
    assert_eq!(kept.home.mode("b.age"), 0o600);
    let bytes = fs::read(kept.home.path("b.age")).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1\n"));

    let document = opened(&kept.home, "b.age");
    assert_eq!(document["secrets"][0]["text"], "canary-tickets-key");
    assert_eq!(document["secrets"][0]["used_by"], "service:tickets");
    assert!(document["config"].as_str().unwrap().contains("[services.tickets]"));

    assert_eq!(document["trust"]["/p/servers.json"], "00");

    // A file that the age command has made is restored like ours.
    closed(&kept.home, &kept.recipient, &document.to_string(), "c.age");
    for file in ["b.age", "c.age"] {
        let other = kept.other(file);
        let ran = other.run(&format!("restore {file} --identity key.txt"));
        assert!(!format!("{ran:?}").contains("canary"), "{ran:?}");
        ran.ok();
        other.run("show tickets").ok();
        assert!(other.read(TRUST).contains("/p/servers.json"));
        other.run(&format!("backup again.age --recipient {}", kept.recipient)).ok();
        let again = opened(&other, "again.age");
        assert_eq!(again["secrets"][0]["text"], "canary-tickets-key");
        // A second time there is nothing left to do.
        let ran = other.run(&format!("restore {file} --identity key.txt")).ok();
        assert!(ran.stdout.contains("nothing was changed"), "{ran:?}");
    }
}

#[test]
fn what_is_here_stays_unless_it_is_to_be_replaced_and_a_dry_run_changes_nothing() {
    let kept = Kept::new();
    kept.backup("b.age").ok();
    let other = kept.other("b.age");
    let line = SERVICE.replace("t.example", "own.example");
    other.feed(&line.split(' ').collect::<Vec<_>>(), "canary-own-key\n").ok();
    let key = |home: &Sandbox| {
        home.run(&format!("backup now.age --overwrite --recipient {}", kept.recipient)).ok();
        opened(home, "now.age")["secrets"][0]["text"].as_str().unwrap().to_owned()
    };
    let config = ".config/strongroom/strongroom.toml";

    other.run("restore b.age --identity key.txt").ok();
    assert_eq!(key(&other), "canary-own-key");
    let dry = other.run("restore b.age --identity key.txt --replace --dry-run --json").ok();
    assert_eq!(dry.json()["secrets"]["tickets/token"], "replaced");
    assert_eq!(dry.json()["settings"]["services.tickets"], "replaced");
    assert_eq!(key(&other), "canary-own-key");
    assert!(other.read(config).contains("own.example"));

    other.run("restore b.age --identity key.txt --replace").ok();
    assert_eq!(key(&other), "canary-tickets-key");
    assert!(other.read(config).contains("https://t.example"));
}

/// Decision 28. Whoever could make a backup for a key of their own would have every secret.
#[test]
fn both_need_a_person() {
    let kept = Kept::new();
    kept.backup("b.age").ok();
    let other = Sandbox::initialised();
    for name in ["b.age", "key.txt"] {
        fs::copy(kept.home.path(name), other.path(name)).unwrap();
    }
    let ran = other.run(&format!("backup out.age --recipient {}", kept.recipient));
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(!other.path("out.age").exists());
    let ran = other.run("restore b.age --identity key.txt");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(other.run("show tickets").code, 1);
    // To look is free.
    let ran = other.run("restore b.age --identity key.txt --dry-run").ok();
    assert!(ran.stdout.contains("`tickets/token` for `service:tickets`"), "{ran:?}");
}

#[test]
fn a_passphrase_of_stdin_closes_and_opens_it() {
    let kept = Kept::new();
    let short = kept.home.feed(&["backup", "p.age", "--passphrase-stdin"], "short\n");
    assert_eq!(short.code, 1, "{short:?}");
    kept.home.feed(&["backup", "p.age", "--passphrase-stdin"], "correct horse battery\n").ok();
    let other = kept.other("p.age");
    let restore = ["restore", "p.age", "--passphrase-stdin"];
    let ran = other.feed(&restore, "wrong horse battery\n");
    assert_eq!(ran.code, 1, "{ran:?}");
    other.feed(&restore, "correct horse battery\n").ok();
    other.run("show tickets").ok();
    let ran = other.run("restore p.age --identity key.txt");
    assert!(ran.stderr.contains("type the passphrase"), "{ran:?}");
}

#[test]
fn a_key_that_is_kept_elsewhere_opens_it_and_another_one_does_not() {
    let kept = Kept::new();
    kept.backup("b.age").ok();
    // In a file, and in the vault of the machine itself.
    let other = kept.other("b.age");
    let key = other.read("key.txt");
    let secret = key.lines().last().unwrap().to_owned();
    other.write("secret.txt", &secret);
    other.chmod("secret.txt", 0o600);
    let file = format!("file://{}", other.path("secret.txt").display());
    let set = ["secrets", "set", "age-key", "--for", "provider:age", "--key-stdin"];
    other.feed(&set, &secret).ok();
    let another = Kept::new().home.read("key.txt").lines().last().unwrap().to_owned();
    let set = ["secrets", "set", "other-key", "--for", "provider:age", "--key-stdin"];
    other.feed(&set, &another).ok();
    let set = ["secrets", "set", "github-key", "--for", "service:github", "--key-stdin"];
    other.feed(&set, &secret).ok();
    for (reference, code) in [
        (file.as_str(), 0),
        ("local://age-key", 0),
        ("local://other-key", 1),
        ("local://github-key", 1),
        ("local://none", 1),
    ] {
        let ran = other.run(&format!("restore b.age --identity-from {reference} --dry-run"));
        assert_eq!(ran.code, code, "{reference}: {ran:?}");
        assert_eq!(ran.stdout.contains("`tickets/token`"), code == 0, "{reference}: {ran:?}");
        for key in [&secret, &another] {
            assert!(!format!("{ran:?}").contains(key.as_str()), "{reference}");
        }
    }
    other.run("restore b.age --identity-from local://age-key").ok();
    other.run("show tickets").ok();
}

// AL-01: anybody who knows the public key can have made it.
#[test]
fn a_person_sees_what_a_backup_would_start_and_nothing_in_it_hides() {
    let kept = Kept::new();
    kept.backup("b.age").ok();
    let mut document = opened(&kept.home, "b.age");
    let config = document["config"].as_str().unwrap();
    document["config"] = format!("{config}\n[providers.op]\nprogram = \"/tmp/evil\"\n").into();
    document["trust"] = serde_json::json!({ "/p\u{1b}[2K\r": "00" });
    closed(&kept.home, &kept.recipient, &document.to_string(), "planted.age");
    let other = kept.other("planted.age");
    let shown = other.run("restore planted.age --identity key.txt --dry-run").ok().stdout;
    assert!(shown.contains("`providers.op` in strongroom.toml"), "{shown:?}");
    assert!(shown.contains("program = \"/tmp/evil\""), "{shown:?}");
    assert!(shown.contains("`/p\\u{1b}[2K\\u{d}`") && !shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn what_was_planted_is_refused_and_nothing_is_half_restored() {
    let kept = Kept::new();
    kept.backup("b.age").ok();
    let document = opened(&kept.home, "b.age").to_string();
    let plant = |name: &str, text: &str| closed(&kept.home, &kept.recipient, text, name);
    plant("other.age", "{\"canary\": 1}");
    plant("newer.age", &document.replace("\"version\":1", "\"version\":9"));
    // The second secret is bad: the first is not stored either.
    let secrets = "\"secrets\":[";
    let bad = "\"secrets\":[{\"name\":\"new\",\"used_by\":\"any\",\"created\":\"\",\
               \"updated\":\"\",\"text\":\"x\"},{\"name\":\"../x\",\"used_by\":\"any\",\
               \"created\":\"\",\"updated\":\"\",\"text\":\"x\"},";
    plant("bad.age", &document.replace(secrets, bad));
    plant("config.age", &document.replace("[services.tickets]", "[services.tickets]\\ncanary=1"));
    kept.home.write("garbage.age", "canary");
    fs::File::create(kept.home.path("huge.age")).unwrap().set_len((64 << 20) + 1).unwrap();
    assert!(Command::new("mkfifo").arg(kept.home.path("pipe.age")).status().unwrap().success());
    fs::copy(kept.home.path("b.age"), kept.home.path("cut.age")).unwrap();
    let length = fs::metadata(kept.home.path("cut.age")).unwrap().len();
    let cut = fs::File::options().write(true).open(kept.home.path("cut.age")).unwrap();
    cut.set_len(length - 1).unwrap();

    let other = kept.other("b.age");
    for name in ["other", "newer", "bad", "config", "garbage", "huge", "pipe", "cut", "absent"] {
        let file = kept.home.path(&format!("{name}.age"));
        let file = file.to_str().unwrap();
        let ran = other.start(Path::new(PROGRAM), &["restore", file, "--identity", "key.txt"]);
        assert!([1, 4].contains(&ran.code), "{name}: {ran:?}");
        assert!(!ran.stderr.contains("canary"), "{name}: {ran:?}");
        let list = other.run("list --json").ok();
        assert!(!list.stdout.contains("tickets"), "{name}: {list:?}");
    }
}

#[test]
fn a_backup_goes_to_stdout_only_where_it_was_sent_there() {
    let kept = Kept::new();
    let line = format!("{PROGRAM} backup - --recipient {} > piped.age", kept.recipient);
    kept.home.start(Path::new("/bin/sh"), &["-c", &line]).ok();
    assert_eq!(opened(&kept.home, "piped.age")["version"], 1);
    let ran = kept.backup("piped.age");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("--overwrite"), "{ran:?}");
    let nobody = kept.home.run("backup x.age");
    assert_eq!(nobody.code, 2, "{nobody:?}");
    let private = kept.home.read("key.txt").lines().last().unwrap().to_owned();
    let ran = kept.home.run(&format!("backup x.age --recipient {private}"));
    assert!(ran.code == 2 && !ran.stderr.contains(&private[..20]), "{ran:?}");
}

#[test]
fn both_are_in_the_audit() {
    let kept = Kept::new();
    kept.backup("b.age").ok();
    let other = kept.other("b.age");
    other.run("restore b.age --identity key.txt").ok();
    for (home, act) in [(&kept.home, "backup.create"), (&other, "backup.restore")] {
        assert!(home.run("logs --json").ok().stdout.contains(act), "{act}");
    }
}
