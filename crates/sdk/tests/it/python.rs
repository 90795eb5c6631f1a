//! The same items by Python's `keyring`, in both directions.

use std::path::PathBuf;

use crate::session::Rig;

#[test]
fn python_reads_what_we_write_and_we_read_what_python_writes() {
    let rig = Rig::new();
    rig.set("ours", "canary caña");
    assert_eq!(
        python(&rig, "print(keyring.get_password('com.mcp.s', 'ours'), end='')"),
        "canary caña"
    );
    python(&rig, "keyring.set_password('com.mcp.s', 'theirs', 'from python ñ')");
    assert_eq!(rig.get("theirs").as_deref(), Some("from python ñ"));
    assert_eq!(rig.storage.list_secrets().unwrap(), ["ours", "theirs"]);
    let index = "print(keyring.get_password('com.mcp.s', '__secret_index__'), end='')";
    assert_eq!(python(&rig, index), r#"["ours","theirs"]"#);
    python(&rig, "keyring.delete_password('com.mcp.s', 'theirs')");
    assert_eq!(rig.get("theirs"), None);
    assert_eq!(rig.storage.list_secrets().unwrap(), ["ours"]);
}

/// What makes two items of one name where others store them.
#[test]
fn writing_in_turns_leaves_one_item_whoever_begins() {
    let rig = Rig::new();
    for name in ["ours first", "theirs first"] {
        let attributes = ["service", "com.mcp.s", "username", name];
        let set = |value: &str| {
            python(&rig, &format!("keyring.set_password('com.mcp.s', '{name}', '{value}')"))
        };
        if name == "theirs first" {
            set("0");
        }
        for round in 1..3 {
            rig.set(name, &format!("ours {round}"));
            let get = format!("print(keyring.get_password('com.mcp.s', '{name}'), end='')");
            assert_eq!(python(&rig, &get), format!("ours {round}"));
            set(&format!("theirs {round}"));
            assert_eq!(rig.get(name), Some(format!("theirs {round}")));
            let mut search = rig.session.command("secret-tool");
            let found = search.args(["search", "--all"]).args(attributes).output().unwrap();
            let found = String::from_utf8(found.stdout).unwrap();
            assert_eq!(found.matches("secret = ").count(), 1, "{found}");
        }
    }
}

/// What this line prints in a Python that has `keyring`.
fn python(rig: &Rig, line: &str) -> String {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned();
    let program = target.join("keychains/python/bin/python");
    assert!(program.exists(), "{} is missing: run `cargo xtask test`", program.display());
    let mut python = rig.session.command(program.to_str().unwrap());
    python.env("PYTHON_KEYRING_BACKEND", "keyring.backends.SecretService.Keyring");
    python.env("PYTHONUTF8", "1").stderr(std::process::Stdio::piped());
    let output = python.args(["-c", &format!("import keyring; {line}")]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
