//! `aws-sm://` and `aws-ssm://` against moto's server: signatures and policies are checked as AWS's
//! own library makes and reads them, and what is there was put there by that library.

#![expect(clippy::disallowed_methods, reason = "moto's server is started, and asked in plain")]

use super::*;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;

use serde_json::Value;

/// moto's server, until this value goes.
pub(crate) struct Moto {
    child: Child,
    pub(crate) url: String,
    /// What the script that filled it says: the keys of its users, ...
    pub(crate) users: Value,
    /// What it says: a line for each request.
    lines: mpsc::Receiver<String>,
}

impl Moto {
    fn start() -> Self {
        Self::with("aws.py")
    }

    /// Starts it, and fills it by this script.
    pub(crate) fn with(script: &str) -> Self {
        let mut server = Command::new(backend("python/bin/moto_server"));
        server.args(["-H", "127.0.0.1", "-p", "0"]).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = server.stderr(Stdio::piped()).spawn().unwrap();
        let lines = said(child.stderr.take().unwrap());
        // It says where it listens once it does.
        let at =
            |line: &String| line.find("http://127.0.0.1:").map(|at| line[at..].trim().to_owned());
        let url = lines.iter().find_map(|line| at(&line)).expect("moto's server does not start");
        let mut moto = Self { child, url, users: Value::Null, lines };
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/backends").join(script);
        let mut put = Command::new(backend("python/bin/python"));
        let put = put.arg(script).arg(&moto.url).stdin(Stdio::null()).output().unwrap();
        assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
        moto.users = serde_json::from_slice(&put.stdout).unwrap();
        moto.requests();
        moto
    }

    /// The provider of `scheme` with the key of `user`.
    fn provider(&self, scheme: &str, user: &str) -> Kept {
        self.with_key(scheme, &self.users[user]["id"], &self.users[user]["secret"])
    }

    fn with_key(&self, scheme: &str, id: &Value, secret: &Value) -> Kept {
        let pairs = [
            ("endpoint", &*self.url),
            ("region", "eu-central-1"),
            ("access_key_id", id.as_str().unwrap()),
            ("secret_access_key", "env://S"),
        ];
        provider(scheme, &pairs, &[("S", secret.as_str().unwrap())])
    }

    /// How many requests it answered since this was asked last.
    fn requests(&self) -> usize {
        // A line is there before its answer ends; the last request is our own.
        let address = self.url.trim_start_matches("http://");
        let mut own = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut own, b"GET /moto-api/mark HTTP/1.0\r\n\r\n").unwrap();
        let until_own = self.lines.iter().take_while(|line| !line.contains("/moto-api/mark"));
        until_own.filter(|line| line.contains("\"POST / HTTP/1.1\"")).count()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What is said, read by a thread, so that whoever says it never waits for us.
fn said(stderr: ChildStderr) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            drop(sender.send(line));
        }
    });
    lines
}

#[tokio::test]
async fn motos_server_gives_secrets_in_batches_of_twenty_and_says_which_are_not_there() {
    let moto = Moto::start();
    let reader = moto.provider("aws-sm", "reader");
    let many: Vec<String> = (0..25).map(|number| format!("aws-sm://many/{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let due: Vec<String> = (0..25).map(|number| format!("canary-many-{number}")).collect();
    assert_eq!(answers(&reader, &many).await, due);
    assert_eq!(moto.requests(), 2);
    let holdings = Holdings {
        found: vec![
            (reference("aws-sm://app/db#password"), "canary-p"),
            (reference("aws-sm://app/db#user"), "u"),
            (reference("aws-sm://many/7"), "canary-many-7"),
            (reference("aws-sm://binary"), "canary-b"),
        ],
        missing: reference("aws-sm://none"),
        unusable: Some(reference("aws-sm://many/7#field")),
    };
    holds_the_contract(&reader, &holdings).await;
    moto.requests();
    let mixed =
        ["aws-sm://none", "aws-sm://app/db#user", "aws-sm://app/db#none", "aws-sm://binary"];
    assert_eq!(answers(&reader, &mixed).await, ["not_found", "u", "not_found", "canary-b"]);
    assert_eq!(moto.requests(), 1);
    assert_eq!(answers(&reader, &["aws-sm://deleted"]).await, ["not_found"]);
    let refused = answers(&moto.provider("aws-sm", "other"), &["aws-sm://binary"]).await;
    assert_eq!(refused, ["denied"]);
}

#[tokio::test]
async fn motos_server_gives_parameters_in_batches_of_ten_and_says_which_are_not_there() {
    let moto = Moto::start();
    let reader = moto.provider("aws-ssm", "reader");
    let many: Vec<String> = (0..12).map(|number| format!("aws-ssm://many/{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let due: Vec<String> = (0..12).map(|number| format!("canary-many-{number}")).collect();
    assert_eq!(answers(&reader, &many).await, due);
    assert_eq!(moto.requests(), 2);
    let holdings = Holdings {
        found: vec![
            (reference("aws-ssm://many/7"), "canary-many-7"),
            (reference("aws-ssm://flat"), "canary-flat"),
        ],
        missing: reference("aws-ssm://none"),
        unusable: None,
    };
    holds_the_contract(&reader, &holdings).await;
    let refused = answers(&moto.provider("aws-ssm", "other"), &["aws-ssm://flat"]).await;
    assert_eq!(refused, ["denied"]);
}

#[tokio::test]
async fn motos_server_takes_no_signature_by_another_key() {
    let moto = Moto::start();
    let id = &moto.users["reader"]["id"];
    for scheme in ["aws-sm", "aws-ssm"] {
        let found = format!("{scheme}://many/7");
        let right = moto.with_key(scheme, id, &moto.users["reader"]["secret"]);
        let wrong = moto.with_key(scheme, id, &Value::from("canary-of-another-key"));
        let unknown = moto.with_key(scheme, &Value::from("AKIDNOBODY"), &Value::from("canary"));
        assert_eq!(answers(&right, &[&found]).await, ["canary-many-7"]);
        // moto says why in XML with 403, where AWS has JSON with 400: no more than that is read.
        assert_eq!(answers(&wrong, &[&found]).await, ["denied"]);
        assert_eq!(answers(&unknown, &[&found]).await, ["denied"]);
    }
}
