//! Places that keep secrets: gnome-keyring, `pass` with gpg, and stand-ins for a server that speaks
//! Vault's KV and for 1Password's `op`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::json;
use strongroom_testkit::{
    op::{self, StandInOp, Trouble},
    secret_service::SecretService,
    upstream::{Reply, Seen, Upstream},
};
use tokio::runtime::{Builder, Runtime};

/// The token of the stand-in for Vault.
pub(super) const VAULT_TOKEN: &str = "hvs.canary-token-of-the-stand-in";

/// Where a secret is, in the order of [`Stores::start`]'s values.
pub(super) const REFERENCES: [&str; 4] = [
    "keychain://launched/me",
    "pass://launched/key",
    "vault://kv/launched#key",
    "op://Dev/Launched/key",
];

/// All of them, one secret in each.
pub(super) struct Stores {
    /// What 1Password's tool is stood in for by.
    pub(super) op: StandInOp,
    keyring: Option<SecretService>,
    vault: Option<(Upstream, Runtime)>,
    folder: PathBuf,
}

impl Stores {
    /// Starts them with these values, their files in `folder`.
    pub(super) fn start(folder: &Path, values: &[String; 4]) -> Self {
        let [keyring_value, pass_value, vault_value, op_value] = values;
        let keyring = SecretService::start();
        keyring.store(&["service", "launched", "username", "me"], keyring_value);
        let op = StandInOp::new();
        op.put(REFERENCES[3], op_value);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let value = vault_value.clone();
        let vault = runtime.block_on(Upstream::http(move |seen| vault_answers(seen, &value)));
        let stores = Self {
            op,
            keyring: Some(keyring),
            vault: Some((vault, runtime)),
            folder: folder.to_owned(),
        };
        stores.make_store(pass_value);
        stores
    }

    /// What `strongroom provider set` is told of each, and its token.
    pub(super) fn settings(&self) -> Vec<(Vec<String>, &'static str)> {
        let (vault, _) = self.vault.as_ref().unwrap();
        let words = |text: String| text.split(' ').map(str::to_owned).collect();
        let [program, store, keys] = [self.op.program(), self.store(), self.folder.join("gnupg")]
            .map(|path| path.display().to_string());
        vec![
            (words(format!("op --token-stdin --program {program}")), op::TOKEN),
            (
                words(format!("vault --token-stdin --set address=http://{}", vault.address())),
                VAULT_TOKEN,
            ),
            (words(format!("pass --set store={store} --set gnupg_home={keys}")), ""),
        ]
    }

    /// The session bus on which the keyring answers.
    pub(super) fn bus(&self) -> String {
        self.keyring.as_ref().unwrap().address().to_owned()
    }

    /// None of them answers from now on.
    pub(super) fn stop(&mut self) {
        self.keyring = None;
        self.vault = None;
        self.op.trouble(Trouble::Unreachable);
        self.end_agent();
        fs::rename(self.store(), self.folder.join("unmounted")).unwrap();
    }

    fn store(&self) -> PathBuf {
        self.folder.join("password-store")
    }

    fn make_store(&self, value: &str) {
        let key = "Key-Type: eddsa\nKey-Curve: ed25519\nSubkey-Type: ecdh\n\
                   Subkey-Curve: cv25519\nName-Email: a@example.com\nExpire-Date: 0\n\
                   %no-protection\n%commit\n";
        fs::write(self.folder.join("gpg-key"), key).unwrap();
        self.sh(
            "mkdir -m 700 gnupg && gpg --batch --quiet --gen-key gpg-key && \
             pass init a@example.com && echo \"$VALUE\" | pass insert --multiline launched/key",
            value,
        );
    }

    /// The agent has gone out of our group, as daemons do.
    fn end_agent(&self) {
        self.sh("gpgconf --kill all", "");
    }

    fn sh(&self, script: &str, value: &str) {
        let output = Command::new("/bin/sh")
            .args(["-ec", script])
            .current_dir(&self.folder)
            .env("HOME", &self.folder)
            .env("GNUPGHOME", self.folder.join("gnupg"))
            .env("PASSWORD_STORE_DIR", self.store())
            .env("VALUE", value)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {said}");
    }
}

impl Drop for Stores {
    fn drop(&mut self) {
        self.end_agent();
    }
}

/// As Vault answers of its KV engine, version 2.
fn vault_answers(seen: &Seen, value: &str) -> Reply {
    let answer = match seen.target.as_str() {
        _ if seen.values("x-vault-token") != [VAULT_TOKEN] => {
            let errors = ["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"];
            return Reply::status(403).body(json!({ "errors": errors }).to_string());
        }
        "/v1/sys/internal/ui/mounts/kv/launched" => {
            json!({ "path": "kv/", "type": "kv", "options": { "version": "2" } })
        }
        "/v1/kv/data/launched" => {
            json!({ "data": { "key": value }, "metadata": { "version": 1, "destroyed": false } })
        }
        _ => return Reply::status(404).body(json!({ "errors": [] }).to_string()),
    };
    Reply::ok(json!({ "data": answer }).to_string()).header("content-type", "application/json")
}
