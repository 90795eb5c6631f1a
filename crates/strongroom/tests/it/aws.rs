//! Calls to AWS through the built binary, against moto's server: signatures and policies are checked
//! as AWS's own library makes and reads them, and that library reads back what the calls did.

#![expect(clippy::disallowed_methods, reason = "moto's server is started, and asked, in plain")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::{Value, json};
use strongroom_testkit::oracle::Oracle;

use crate::sandbox::Sandbox;
use crate::serve::Serving;

/// moto's server, until this value goes.
pub(crate) struct Moto {
    child: Child,
    pub(crate) url: String,
    /// What `put` printed.
    pub(crate) keys: Value,
}

impl Moto {
    pub(crate) fn start() -> Self {
        let mut server = Command::new(installed("moto_server"));
        server.args(["-H", "127.0.0.1", "-p", "0"]).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = server.stderr(Stdio::piped()).spawn().unwrap();
        // It says where it listens once it does. What it says later is read and dropped.
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let url = lines
            .find_map(|line| line.find("http://127.0.0.1:").map(|at| line[at..].trim().to_owned()));
        thread::spawn(move || lines.for_each(drop));
        let url = url.expect("moto's server does not start");
        let mut moto = Self { child, url, keys: Value::Null };
        moto.keys = Self::script(&["put", &moto.url]);
        moto
    }

    /// What AWS's own library finds there.
    pub(crate) fn found(&self) -> Value {
        Self::script(&["read", &self.url, &self.keys.to_string()])
    }

    fn script(arguments: &[&str]) -> Value {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/backends/aws_calls.py");
        let mut python = Command::new(installed("python"));
        let output = python.arg(script).args(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A service that signs for `aws` with the keys of `who`.
    fn add(&self, sandbox: &Sandbox, name: &str, aws: &str, who: &str) {
        let keys: Vec<&str> =
            self.keys[who].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        let set = format!("service={aws}");
        let mut arguments = vec!["add", name, "--base-url", &self.url, "--insecure-transport"];
        arguments.extend(["--allow-ip", "127.0.0.1/32", "--allow", "GET|PUT|POST|DELETE /**"]);
        arguments.extend(["--auth", "aws-sigv4", "--auth-set", "region=eu-central-1"]);
        arguments.extend(["--auth-set", &set, "--key-stdin"]);
        if keys.len() > 2 {
            arguments.extend(["--auth-secret", "session_token"]);
        }
        sandbox.feed(&arguments, &keys.join("\n")).ok();
    }

    fn oracle(&self) -> Oracle {
        let all = self.keys["user"].as_array().unwrap().iter();
        let all = all.chain(self.keys["role"].as_array().unwrap());
        // The names of keys are no secret; the keys are, and the token of a session is.
        let secrets: Vec<(&str, &[u8])> = all
            .map(|key| key.as_str().unwrap())
            .filter(|key| !key.starts_with("AKIA") && !key.starts_with("ASIA"))
            .map(|key| ("a key of AWS", key.as_bytes()))
            .collect();
        Oracle::new(&secrets)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A file that `cargo xtask test` installs.
fn installed(path: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let file = target.join("backends/python/bin").join(path);
    assert!(file.exists(), "{} is missing: run `cargo xtask test`", file.display());
    file
}

/// One call, which must be answered with `status`.
fn call(serving: &mut Serving, status: u16, call: &Value) -> Value {
    let answer = serving.call(call);
    assert_eq!(answer["status"], status, "{call}: {answer}");
    answer
}

#[test]
fn signed_calls_to_s3_ses_and_sqs_are_there_for_awss_own_library() {
    let moto = Moto::start();
    let sandbox = Sandbox::headless();
    for (name, who) in [("s3", "user"), ("ses", "user"), ("sqs", "user")] {
        moto.add(&sandbox, name, name, who);
    }
    moto.add(&sandbox, "lent-sqs", "sqs", "role");
    // The agent may name the operation, which is signed with the rest.
    let file = ".config/strongroom/strongroom.toml";
    let text = sandbox.read(file);
    let allowed = text.replace(
        "[services.lent-sqs]",
        "[services.lent-sqs]\nrequest_headers = [\"x-amz-target\"]",
    );
    sandbox.write(file, &allowed);
    let mut serving = Serving::start(&sandbox, &["serve"]);

    for (path, text) in [("/notes/today.txt", "milk"), ("/notes/2026/plan.txt", "caf\u{e9}")] {
        let put = json!({
            "service": "s3", "method": "PUT", "path": path,
            "headers": { "content-type": "text/x-note" }, "body": text,
        });
        call(&mut serving, 200, &put);
    }
    let listed = json!({
        "service": "s3", "method": "GET", "path": "/notes",
        "query": { "list-type": "2", "prefix": "2026" },
    });
    let listed = call(&mut serving, 200, &listed)["body"].to_string();
    assert!(listed.contains("<Key>2026/plan.txt</Key>"), "{listed}");
    assert!(!listed.contains("today.txt"), "{listed}");
    let got = json!({ "service": "s3", "method": "GET", "path": "/notes/today.txt" });
    assert_eq!(call(&mut serving, 200, &got)["body"], "milk");

    let form = json!({ "content-type": "application/x-www-form-urlencoded" });
    let mail = json!({
        "service": "ses", "method": "POST", "path": "/", "headers": form, "body": {
            "Action": "SendEmail", "Version": "2010-12-01", "Source": "me@example.com",
            "Destination.ToAddresses.member.1": "you@example.com",
            "Message.Subject.Data": "Hello & welcome", "Message.Body.Text.Data": "1 + 1 = 2",
        },
    });
    let sent = call(&mut serving, 200, &mail);
    assert!(sent["body"].to_string().contains("<MessageId>"), "{sent}");

    let queue = &moto.keys["queue"];
    let message = json!({
        "service": "sqs", "method": "POST", "path": "/", "headers": form, "body": {
            "Action": "SendMessage", "Version": "2012-11-05", "QueueUrl": queue,
            "MessageBody": "first",
        },
    });
    call(&mut serving, 200, &message);
    let message = json!({
        "service": "lent-sqs", "method": "POST", "path": "/",
        "headers": {
            "content-type": "application/x-amz-json-1.0",
            "x-amz-target": "AmazonSQS.SendMessage",
        },
        "body": { "QueueUrl": queue, "MessageBody": "second" },
    });
    call(&mut serving, 200, &message);

    let found = moto.found();
    assert_eq!(
        found,
        json!({
            "objects": {
                "2026/plan.txt": ["caf\u{e9}", "text/x-note"],
                "today.txt": ["milk", "text/x-note"],
            },
            "messages": ["first", "second"],
            "mails": 1,
        })
    );
    moto.oracle().assert_clean("stderr", serving.finish());
    moto.oracle().assert_tree_clean(&sandbox.path(""));
}

#[test]
fn a_signature_by_another_key_or_for_another_region_does_nothing() {
    let moto = Moto::start();
    let sandbox = Sandbox::headless();
    moto.add(&sandbox, "s3", "s3", "user");
    let mut serving = Serving::start(&sandbox, &["serve"]);
    let put = json!({ "service": "s3", "method": "PUT", "path": "/notes/a", "body": "x" });
    call(&mut serving, 200, &put);

    let id = moto.keys["user"][0].as_str().unwrap();
    let other = format!("{id}\ncanary-of-another-key-0123456789\n");
    sandbox.feed(&["edit", "s3", "--key-stdin"], &other).ok();
    let put = json!({ "service": "s3", "method": "PUT", "path": "/notes/b", "body": "x" });
    let refused = call(&mut serving, 403, &put);
    assert!(refused["body"].to_string().contains("SignatureDoesNotMatch"), "{refused}");
    assert!(moto.found()["objects"].get("b").is_none());
}
