//! A stand-in for 1Password's command line tool, which cannot be had here: a program that answers as
//! `op` version 2 does, in what it knows and in how it fails, and that notes how it was started.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// The token that the stand-in accepts.
pub const TOKEN: &str = "ops_canary-token-of-the-stand-in";

/// A directory with a program `op` in it.
#[derive(Debug)]
pub struct StandInOp {
    dir: TempDir,
}

/// One start of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its arguments.
    pub argv: Vec<String>,
    /// The names of its variables.
    pub env: Vec<String>,
}

/// What the program is to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// Nobody is signed in.
    Locked,
    /// The token was revoked.
    Revoked,
    /// The account's rate limit is used up.
    Limited,
    /// The account may not read.
    Denied,
    /// There is no network.
    Unreachable,
    /// It says something that nobody knows.
    Unknown,
    /// It prints nothing and ends well.
    Empty,
    /// It prints a line end and ends well.
    Newline,
    /// It prints something else than it was asked for.
    Garbage,
    /// It prints 10 MB.
    Flood,
    /// It ends well, and says on stderr that there was an error.
    Zero,
    /// It does not end.
    Hang,
    /// It asks at the terminal.
    Tty,
}

impl StandInOp {
    /// A stand-in that accepts [`TOKEN`] and knows nothing.
    ///
    /// # Panics
    ///
    /// There is no temporary directory.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let op = Self { dir };
        let program = op.program();
        fs::write(&program, include_str!("op.py")).expect("a program in it");
        executable(&program);
        op.write(&json!({
            "fields": {}, "twice": [], "token": TOKEN, "desktop": false, "latency_ms": 0,
            "trouble": Value::Null,
        }));
        op
    }

    /// The program.
    pub fn program(&self) -> PathBuf {
        self.dir.path().join("op")
    }

    /// Stores `value` at `reference`: `op://VAULT/ITEM/FIELD`.
    ///
    /// # Panics
    ///
    /// It is no such reference.
    pub fn put(&self, reference: &str, value: &str) {
        let path = reference.strip_prefix("op://").expect("a reference of op");
        self.change(|state| state["fields"][path] = json!(value));
    }

    /// Removes what is at `reference`.
    pub fn remove(&self, reference: &str) {
        let path = reference.trim_start_matches("op://");
        self.change(|state| {
            if let Some(fields) = state["fields"].as_object_mut() {
                fields.remove(path);
            }
        });
    }

    /// Of the item `VAULT/ITEM` there are two.
    pub fn double(&self, vault: &str, item: &str) {
        self.change(|state| {
            if let Some(twice) = state["twice"].as_array_mut() {
                twice.push(json!([vault, item]));
            }
        });
    }

    /// Whether somebody is signed in to the desktop app, so that no token is needed.
    pub fn desktop(&self, signed_in: bool) {
        self.change(|state| state["desktop"] = json!(signed_in));
    }

    /// How long each start takes beside the program's own time.
    pub fn latency(&self, latency: Duration) {
        let latency = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        self.change(|state| state["latency_ms"] = json!(latency));
    }

    /// From now on it does this wrong.
    pub fn trouble(&self, trouble: Trouble) {
        let name = match trouble {
            Trouble::None => Value::Null,
            other => json!(format!("{other:?}").to_lowercase()),
        };
        self.change(|state| state["trouble"] = name);
    }

    /// The starts since the last time, in order.
    ///
    /// # Panics
    ///
    /// The notes are not what the program writes.
    pub fn calls(&self) -> Vec<Call> {
        let path = self.dir.path().join("calls");
        let text = fs::read_to_string(&path).unwrap_or_default();
        drop(fs::remove_file(&path));
        let call = |line: &str| {
            let mut call: BTreeMap<String, Vec<String>> =
                serde_json::from_str(line).expect("a note of a call");
            let mut take = |key| call.remove(key).unwrap_or_default();
            Call { argv: take("argv"), env: take("env") }
        };
        text.lines().map(call).collect()
    }

    fn change(&self, change: impl FnOnce(&mut Value)) {
        let text = fs::read_to_string(self.state()).expect("the state of the stand-in");
        let mut state = serde_json::from_str(&text).expect("the state of the stand-in");
        change(&mut state);
        self.write(&state);
    }

    fn write(&self, state: &Value) {
        // In one step: the program may be reading.
        let new = self.dir.path().join("state.new");
        fs::write(&new, state.to_string()).expect("the state of the stand-in");
        fs::rename(new, self.state()).expect("the state of the stand-in");
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state.json")
    }
}

impl Default for StandInOp {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes `program` one that can be started, and that only its owner can change.
///
/// # Panics
///
/// It is not there.
pub fn executable(program: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).expect("its mode");
    }
    #[cfg(not(unix))]
    assert!(program.exists());
}
