//! Programs run by `serve`, under its guard: git with a password that it never holds, and nothing that
//! stays behind, not even when `serve` is killed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_process::{Child, Start, Stream, run};
use strongroom_testkit::ca::TestCa;
use strongroom_testkit::canary::K1;
use strongroom_testkit::oracle::Oracle;

use crate::sandbox::{PROGRAM, Sandbox};
use crate::serve::Serving;

/// A server of git repositories over HTTPS, by git's own `http-backend`, for one user.
const GIT_SERVER: &str = r#"
import base64, http.server, os, ssl, subprocess, sys
root, cert, key = sys.argv[1:4]
wanted = 'Basic ' + base64.b64encode(os.environ['LOGIN'].encode()).decode()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def body(self):
        if self.headers.get('Transfer-Encoding') == 'chunked':
            parts = []
            while True:
                size = int(self.rfile.readline().split(b';')[0], 16)
                parts.append(self.rfile.read(size))
                self.rfile.readline()
                if size == 0:
                    return b''.join(parts)
        return self.rfile.read(int(self.headers.get('Content-Length') or 0))

    def do_GET(self):
        body = self.body()
        given = self.headers.get('Authorization')
        with open(root + '/seen', 'a') as seen:
            shown = base64.b64decode(given.split()[1]).decode() if given else 'nothing'
            seen.write(shown + '\n')
        if given != wanted:
            self.send_response(401)
            self.send_header('WWW-Authenticate', 'Basic realm="git"')
            self.send_header('Content-Length', '0')
            self.end_headers()
            return
        path, _, query = self.path.partition('?')
        env = {
            'PATH': os.environ['PATH'], 'GIT_PROJECT_ROOT': root, 'GIT_HTTP_EXPORT_ALL': '1',
            'PATH_INFO': path, 'QUERY_STRING': query, 'REQUEST_METHOD': self.command,
            'CONTENT_TYPE': self.headers.get('Content-Type', ''), 'REMOTE_USER': 'me',
            'HTTP_CONTENT_ENCODING': self.headers.get('Content-Encoding', ''),
            'HTTP_GIT_PROTOCOL': self.headers.get('Git-Protocol', ''),
            'CONTENT_LENGTH': str(len(body)),
        }
        out = subprocess.run(['git', 'http-backend'], input=body, env=env, stdout=subprocess.PIPE).stdout
        head, _, rest = out.partition(b'\r\n\r\n')
        lines = [line.split(': ', 1) for line in head.decode().split('\r\n')]
        status = [value for name, value in lines if name == 'Status']
        self.send_response(int(status[0].split()[0]) if status else 200)
        for name, value in lines:
            if name != 'Status':
                self.send_header(name, value)
        self.send_header('Content-Length', str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)

    do_POST = do_GET
    log_message = lambda *_: None

server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

/// A running server of repositories.
pub(crate) struct GitServer {
    child: Child,
    pub(crate) root: PathBuf,
    pub(crate) port: String,
}

impl GitServer {
    /// One with an empty repository `site.git` in `root`, for the user `me` with this password.
    pub(crate) fn start(root: PathBuf, cert: &Path, key: &Path, password: &str) -> Self {
        fs::create_dir_all(&root).unwrap();
        git(&root, &["init", "-q", "--bare", "-b", "main", "site.git"]);
        git(&root.join("site.git"), &["config", "http.receivepack", "true"]);
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let words = ["-c", GIT_SERVER, &text(&root), &text(cert), &text(key)];
        let start = Start {
            args: words.iter().map(Into::into).collect(),
            env: vec![
                ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
                ("LOGIN".into(), format!("me:{password}").into()),
            ],
            stdout: Stream::Pipe,
            stderr: Stream::Inherit,
            ..Start::new("/usr/bin/python3")
        };
        let mut child = start.start().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout().unwrap()).read_line(&mut port).unwrap();
        Self { child, root, port: port.trim().to_owned() }
    }

    pub(crate) fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/site.git", self.port)
    }

    /// What callers have shown, each once.
    fn seen(&self) -> Vec<String> {
        let text = fs::read_to_string(self.root.join("seen")).unwrap_or_default();
        let mut seen: Vec<String> = text.lines().map(str::to_owned).collect();
        seen.sort();
        seen.dedup();
        seen
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        drop(self.child.end(Duration::ZERO));
    }
}

/// Runs git as the person would, and gives what it prints.
pub(crate) fn git(folder: &Path, words: &[&str]) -> String {
    let start = Start {
        args: words.iter().map(Into::into).collect(),
        env: [
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("HOME", "/nonexistent"),
            ("GIT_AUTHOR_NAME", "me"),
            ("GIT_AUTHOR_EMAIL", "me@test"),
            ("GIT_COMMITTER_NAME", "me"),
            ("GIT_COMMITTER_EMAIL", "me@test"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into(),
        dir: Some(folder.to_owned()),
        ..Start::new("git")
    };
    let output = run(&start, b"", Duration::from_mins(1), 1 << 20).unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn exec(serving: &mut Serving, service: &str, words: &[&str]) -> Value {
    let answer = serving.client.call("exec", &json!({"service": service, "command": words}));
    let answer = answer.unwrap();
    Oracle::of_canaries().assert_clean("the answer", answer.to_string());
    answer
}

fn runs(id: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", id.trim()));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if done() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{what} did not happen");
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new().with("PATH", "/usr/local/bin:/usr/bin:/bin");
    sandbox.run("init --headless").ok();
    sandbox
}

#[test]
fn git_pushes_and_clones_with_a_password_that_only_its_host_is_given() {
    let sandbox = sandbox();
    let ca = TestCa::new();
    let identity = ca.issue(&["localhost", "127.0.0.1"]);
    let authority = sandbox.write("ca.pem", ca.pem());
    let cert = sandbox.write("cert.pem", &identity.pem.0);
    let key = sandbox.write("key.pem", &identity.pem.1);
    let server = GitServer::start(sandbox.path("ours"), &cert, &key, K1);
    let evil = GitServer::start(sandbox.path("evil"), &cert, &key, K1);

    let work = sandbox.path("work");
    fs::create_dir(&work).unwrap();
    git(&work, &["init", "-q", "-b", "main"]);
    fs::write(work.join("file"), "x".repeat(100_000)).unwrap();
    git(&work, &["add", "."]);
    git(&work, &["commit", "-q", "-m", "first"]);
    git(&work, &["remote", "add", "origin", &server.url("localhost")]);
    // What would run a program of the repository's choice, or use another helper.
    fs::write(work.join(".git/hooks/pre-push"), "#!/bin/sh\ntouch ../hooked\n").unwrap();
    sandbox.chmod("work/.git/hooks/pre-push", 0o755);
    git(&work, &["config", "credential.helper", "!touch ../helped; echo password=x"]);

    let host = format!("localhost:{}", server.port);
    let (work_text, ca_env) =
        (work.to_str().unwrap(), format!("GIT_SSL_CAINFO={}", authority.display()));
    let add = [
        "add",
        "git",
        "--askpass",
        &host,
        "--user",
        "me",
        "--workdir",
        work_text,
        "--env",
        &ca_env,
        "--allow",
        "git push origin main",
        "--key-stdin",
    ];
    let added = sandbox.feed(&add, K1).ok();
    assert!(added.stdout.contains(&host), "{added:?}");

    let mut serving = Serving::start(&sandbox, &["serve"]);
    let pushed = exec(&mut serving, "git", &["git", "push", "origin", "main"]);
    assert_eq!(pushed["exit_code"], 0, "{pushed}");
    let head = git(&work, &["rev-parse", "main"]);
    assert_eq!(git(&server.root.join("site.git"), &["rev-parse", "main"]), head);
    let cloned = exec(&mut serving, "git", &["git", "clone", &server.url("localhost"), "copy"]);
    assert_eq!(cloned["exit_code"], 0, "{cloned}");
    assert_eq!(git(&work.join("copy"), &["rev-parse", "HEAD"]), head);
    assert_eq!(server.seen(), [format!("me:{K1}"), "nothing".into()]);
    assert!(!sandbox.path("hooked").exists() && !sandbox.path("helped").exists());

    // Another host, also under the name of ours as a user, gets nothing at all.
    for url in [
        evil.url("localhost"),
        evil.url("127.0.0.1"),
        evil.url("me@localhost"),
        format!("https://{}@127.0.0.1:{}/site.git", host.replace(':', "%3A"), evil.port),
        format!("https://localhost%3A{}%2F@127.0.0.1:{}/site.git", server.port, evil.port),
        server.url("127.0.0.1"),
    ] {
        let refused = exec(&mut serving, "git", &["git", "ls-remote", &url]);
        assert_eq!(refused["exit_code"], 128, "{url}: {refused}");
    }
    // git's own library shows the user of a URL, with no password, by itself.
    let seen = evil.seen();
    assert!(seen.contains(&"nothing".to_owned()), "{seen:?}");
    Oracle::of_canaries().assert_clean("what another host was shown", seen.join("\n"));
    for words in [
        &["git", "-c", "http.sslVerify=false", "push"][..],
        &["git", "push", "--force", "origin", "main"],
        &["git", "clone", "--config", "core.sshCommand=id", "x"],
        &["git", "fetch", "--upload-pack=id", "."],
        &["git", "clone", "ext::id"],
    ] {
        let denied = exec(&mut serving, "git", words);
        assert_eq!(denied["error"]["code"], "policy_denied", "{words:?}");
    }
    assert_eq!(serving.finish(), "");
    let logs = sandbox.run("logs --json").ok();
    assert!(logs.stdout.contains("git push origin main"), "{logs:?}");
    Oracle::of_canaries().assert_clean("the logs", logs.stdout);
}

/// A service of `/bin/sh` whose password is for `localhost:1`.
fn shell(sandbox: &Sandbox) {
    let add = [
        "add",
        "shell",
        "--command",
        "/bin/sh",
        "--askpass",
        "localhost:1",
        "--user",
        "me",
        "--allow",
        "sh -c *",
        "--key-stdin",
    ];
    sandbox.feed(&add, K1).ok();
}

#[test]
fn only_the_run_itself_is_answered_and_only_about_its_host() {
    let sandbox = sandbox();
    shell(&sandbox);
    let mut serving = Serving::start(&sandbox, &["serve"]);
    let ours = "Password for 'https://me@localhost:1': ";
    let ask = |question: &str| format!("\"$GIT_ASKPASS\" \"{question}\"; echo $?");
    let answer = exec(&mut serving, "shell", &["sh", "-c", &ask(ours)]);
    assert_eq!(answer["stdout"], "[REDACTED:shell]\n0\n", "{answer}");
    // Everything that the run started is the run, in whatever group it is.
    let nested = format!("(setsid -w true; {}) | cat", ask(ours));
    assert_eq!(exec(&mut serving, "shell", &["sh", "-c", &nested])["redactions"], 1);
    let other = ask("Password for 'https://me@evil.test': ");
    assert_eq!(exec(&mut serving, "shell", &["sh", "-c", &other])["stdout"], "1\n");
    let environment =
        exec(&mut serving, "shell", &["sh", "-c", "tr '\\0' '\\n' < /proc/$$/environ"]);
    assert_eq!(environment["redactions"], 0, "{environment}");

    // Somebody else of the same user, who knows where the door is.
    let (door, go_on) = (sandbox.path("door"), sandbox.path("go-on"));
    let script = format!(
        "echo $STRONGROOM_ASKPASS > {0}.new; mv {0}.new {0}; until [ -e {1} ]; do sleep 0.01; done",
        door.display(),
        go_on.display()
    );
    let held = thread::spawn(move || {
        let ended = exec(&mut serving, "shell", &["sh", "-c", &script]);
        (serving, ended)
    });
    until("the run", || door.exists());
    let start = Start {
        args: vec![ours.into()],
        env: vec![("STRONGROOM_ASKPASS".into(), fs::read_to_string(&door).unwrap().trim().into())],
        ..Start::new(PROGRAM)
    };
    let output = run(&start, b"", Duration::from_secs(30), 1 << 10).unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]));
    fs::write(&go_on, "").unwrap();
    let (serving, ended) = held.join().unwrap();
    assert_eq!(ended["exit_code"], 0, "{ended}");
    assert_eq!(serving.finish(), "");
}

// LM-18
#[test]
fn what_leaves_its_group_or_outlives_serve_is_ended_with_its_folder() {
    let sandbox = sandbox();
    shell(&sandbox);
    let mut serving = Serving::start(&sandbox, &["serve"]);
    let pids = sandbox.path("pids");
    let folders = || sandbox.names(".cache/strongroom/exec").len();

    let script = format!("setsid sh -c 'echo $$ > {}; sleep 600' & sleep 0.3", pids.display());
    let ended = exec(&mut serving, "shell", &["sh", "-c", &script]);
    assert_eq!(ended["exit_code"], 0, "{ended}");
    let id = fs::read_to_string(&pids).unwrap();
    until("the end of what left the group", || !runs(&id));
    assert_eq!(folders(), 0);
    let killed = exec(&mut serving, "shell", &["sh", "-c", "kill -TERM $$"]);
    assert_eq!((&killed["exit_code"], &killed["signal"]), (&json!(143), &json!(15)));

    fs::remove_file(&pids).unwrap();
    let script = format!(
        "trap '' TERM; setsid sleep 600 & echo $! > {0}; echo $$ >> {0}; sleep 600",
        pids.display()
    );
    let Serving { mut child, mut client } = serving;
    let call = json!({"service": "shell", "command": ["sh", "-c", script]});
    let waiting = thread::spawn(move || client.call("exec", &call).is_err());
    until("the start", || fs::read_to_string(&pids).is_ok_and(|ids| ids.lines().count() == 2));
    child.end(Duration::ZERO).unwrap();
    assert!(waiting.join().unwrap());
    for id in fs::read_to_string(&pids).unwrap().lines() {
        until("the end of all of it", || !runs(id));
    }
    until("the end of the folder", || folders() == 0);
}

// LM-15
#[test]
fn a_program_that_was_changed_is_refused_until_a_person_approves_it_again() {
    let sandbox = sandbox();
    let tool = sandbox.write("tool", "#!/bin/sh\necho one $1");
    sandbox.chmod("tool", 0o755);
    sandbox.run("add tool --command ./tool").ok();
    let denied = sandbox.run("policy test tool -- tool x");
    assert_eq!((denied.code, &*denied.stdout), (3, "deny\n"), "nothing is allowed to begin with");
    sandbox.feed(&["edit", "tool", "--allow", "tool *"], "").ok();
    assert_eq!(sandbox.run("policy test tool -- tool x").ok().stdout, "allow\n");
    assert_eq!(sandbox.run("policy test tool -- ./tool x").code, 3);

    let mut serving = Serving::start(&sandbox, &["serve"]);
    assert_eq!(exec(&mut serving, "tool", &["tool", "x"])["stdout"], "one x\n");
    fs::write(&tool, "#!/bin/sh\necho two $1").unwrap();
    let refused = exec(&mut serving, "tool", &["tool", "x"]);
    assert_eq!(refused["error"]["code"], "integrity_error", "{refused}");
    assert!(sandbox.run("doctor").stdout.contains("is not what was approved"));
    sandbox.run("edit tool --command ./tool").ok();
    assert_eq!(exec(&mut serving, "tool", &["tool", "x"])["stdout"], "two x\n");
    assert_eq!(serving.finish(), "");

    let shown = sandbox.run("show tool --json").ok().json();
    assert_eq!((&shown["kind"], &shown["allow"]), (&json!("command"), &json!(["tool *"])));
    assert!(sandbox.run("list").ok().stdout.contains("tool *"));
    sandbox.run("remove tool --yes").ok();
    assert_eq!(sandbox.run("list --json").ok().json(), json!([]));
}

#[test]
fn a_changed_policy_is_tried_on_the_programs_that_were_run() {
    let sandbox = Sandbox::headless();
    sandbox.feed(&["add", "say", "--command", "/bin/echo", "--allow", "echo *"], "").ok();
    let mut serving = Serving::start(&sandbox, &["serve"]);
    for word in ["hello", "it's"] {
        let call = json!({ "service": "say", "command": ["echo", word] });
        assert_eq!(serving.client.call("exec", &call).unwrap()["exit_code"], 0);
    }
    serving.finish();
    let text = sandbox.read(".config/strongroom/strongroom.toml");
    sandbox.write("changed.toml", &text.replace("echo *", "echo hello"));
    let ran = sandbox.run("policy simulate --config changed.toml --json");
    assert_eq!(ran.code, 3, "{ran:?}");
    let json = ran.json();
    assert_eq!((json["calls"].as_u64(), json["same"].as_u64()), (Some(2), Some(1)), "{json}");
    assert_eq!(json["differences"][0]["request"], "exec echo 'it'\\''s'");
    assert_eq!(json["differences"][0]["would_be"], "deny");
    let same = sandbox.run("policy simulate --json").ok().json();
    assert_eq!(same["same"], 2, "{same}");
}
