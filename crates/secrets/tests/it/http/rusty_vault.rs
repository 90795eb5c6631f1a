//! `vault://` against the server of `RustyVault`, which speaks Vault's API: its KV engine has version 1.

#![expect(clippy::disallowed_methods, reason = "the server is started, and asked in plain")]

use super::*;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// A server with a KV engine at `kv`, until this value goes.
struct RustyVault {
    child: Child,
    address: String,
    root: String,
    _folder: tempfile::TempDir,
}

impl RustyVault {
    /// A server that was never opened: it has its first keys, and is sealed.
    fn sealed() -> (Self, Value) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "log_level = \"info\"\nstorage \"file\" {{ path = \"{}\" }}\nlistener \"tcp\" {{\n  \
             address = \"127.0.0.1:0\"\n  tls_disable = \"true\"\n}}\n",
            at("data")
        );
        std::fs::write(at("server.hcl"), config).unwrap();
        let mut server = Command::new(backend("bin/rvault"));
        server.args(["server", "--config", &at("server.hcl")]);
        server.current_dir(&folder).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = server.stderr(Stdio::piped()).spawn().unwrap();
        // It says where it listens once it does.
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let at = |line: String| Some(line.rsplit_once("listening on: ")?.1.trim().to_owned());
        let address = lines.find_map(at).expect("RustyVault's server does not start");
        std::thread::spawn(|| lines.for_each(drop));
        let mut vault = Self { child, address, root: String::new(), _folder: folder };
        let init = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let keys = vault.write("PUT", "sys/init", &init);
        keys["root_token"].as_str().unwrap().clone_into(&mut vault.root);
        (vault, keys)
    }

    fn start() -> Self {
        let (vault, keys) = Self::sealed();
        let open = vault.write("PUT", "sys/unseal", &json!({ "key": keys["keys"][0] }));
        assert_eq!(open["sealed"], false);
        vault.write("POST", "sys/mounts/kv", &json!({ "type": "kv" }));
        vault.write("PUT", "kv/app", &json!({ "a": "canary-a", "b": "canary-b", "none": "" }));
        vault.write("PUT", "kv/deep/er/app", &json!({ "a": "canary-deep" }));
        vault.write("PUT", "secret/app", &json!({ "a": "canary-of-another-mount" }));
        vault
    }

    /// The provider with this token.
    fn provider(&self, token: &str) -> Kept {
        let url = format!("http://{}", self.address);
        provider("vault", &[("address", &url), ("token", "env://T")], &[("T", token)])
    }

    /// Writes as Vault's own command does.
    fn write(&self, method: &str, path: &str, body: &Value) -> Value {
        let (address, root, body) = (&self.address, &self.root, body.to_string());
        let request = format!(
            "{method} /v1/{path} HTTP/1.1\r\nhost: {address}\r\nx-vault-token: {root}\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 20"), "{path}: {answer}");
        serde_json::from_str(body).unwrap_or_default()
    }
}

impl Drop for RustyVault {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn rusty_vaults_server_gives_what_was_written_and_says_what_is_not_there() {
    let vault = RustyVault::start();
    let holdings = Holdings {
        found: vec![
            (reference("vault://kv/app#a"), "canary-a"),
            (reference("vault://kv/app#b"), "canary-b"),
            (reference("vault://kv/deep/er/app#a"), "canary-deep"),
            (reference("vault://secret/app#a"), "canary-of-another-mount"),
        ],
        missing: reference("vault://kv/app#c"),
        unusable: Some(reference("vault://kv/app#none")),
    };
    let root = vault.provider(&vault.root);
    holds_the_contract(&root, &holdings).await;
    let wanted = ["vault://kv/none#a", "vault://kv/app#a", "vault://kv/app#c", "vault://no/x#a"];
    assert_eq!(answers(&root, &wanted).await, ["not_found", "canary-a", "not_found", "not_found"]);
}

#[tokio::test]
async fn rusty_vaults_server_refuses_a_token_that_is_none() {
    let vault = RustyVault::start();
    let wanted = ["vault://kv/app#a", "vault://secret/app#a"];
    for wrong in ["canary-of-nobody", "00000000-0000-0000-0000-000000000000"] {
        let refused = answers(&vault.provider(wrong), &wanted).await;
        assert_eq!(refused, ["token_rejected", "token_rejected"], "{wrong}");
    }
    let right = answers(&vault.provider(&vault.root), &wanted).await;
    assert_eq!(right, ["canary-a", "canary-of-another-mount"]);
}

#[tokio::test]
async fn rusty_vaults_server_is_locked_while_it_is_sealed() {
    let (vault, keys) = RustyVault::sealed();
    let root = vault.provider(&vault.root);
    assert_eq!(answers(&root, &["vault://kv/app#a"]).await, ["locked"]);
    vault.write("PUT", "sys/unseal", &json!({ "key": keys["keys"][0] }));
    assert_eq!(answers(&root, &["vault://kv/app#a"]).await, ["not_found"]);
}
