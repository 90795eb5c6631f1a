//! Where calls go on that day: nginx with the recorded shapes of three APIs, Radicale, and an API that
//! wants a token first.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use strongroom_testkit::{
    ca::TestCa,
    canary,
    upstream::{Reply, Upstream},
};

use crate::clients::{nginx::Nginx, rig::script};

/// Every key of that day, with its name.
pub(super) struct Keys(Vec<(&'static str, String)>);

impl Keys {
    pub(super) fn new() -> Self {
        let key = |name: &'static str, prefix: &str| {
            (name, format!("{prefix}{}", canary::of(&format!("a day, {name}"))))
        };
        Self(vec![
            key("github", "github_pat_"),
            key("gh", "github_pat_"),
            key("slack", "xoxb-"),
            key("stripe", "rk_test_"),
            key("calendar", ""),
            key("git", ""),
            key("reports", ""),
            key("first token", ""),
            key("second token", ""),
        ])
    }

    pub(super) fn of(&self, name: &str) -> &str {
        &self.0.iter().find(|(of, _)| *of == name).unwrap().1
    }

    /// Another one that must not be seen.
    pub(super) fn learn(&mut self, name: &'static str, key: &str) {
        self.0.push((name, key.to_owned()));
    }

    pub(super) fn all(&self) -> Vec<(&str, &[u8])> {
        self.0.iter().map(|(name, key)| (*name, key.as_bytes())).collect()
    }
}

/// The shapes of GitHub, Slack, Stripe and a page for everybody, each at an origin of its own.
pub(super) struct Sites(Nginx);

impl Sites {
    pub(super) fn start(folder: &Path, keys: &Keys) -> Self {
        let template = fs::read_to_string(script("day/nginx.conf")).unwrap();
        fs::create_dir_all(folder.join("files")).unwrap();
        fs::write(folder.join("files/ledger.csv"), ledger(keys.of("stripe"))).unwrap();
        Self(Nginx::with_sites(folder, NAMES.len(), |ports| {
            let mut text = template
                .replace("@folder@", folder.to_str().unwrap())
                .replace("@shapes@", script("day/shapes").to_str().unwrap());
            for (name, port) in NAMES.iter().zip(ports) {
                text = text.replace(&format!("@{name}@"), &port.to_string());
            }
            for name in ["github", "gh", "slack", "stripe"] {
                text = text.replace(&format!("@{name}_key@"), keys.of(name));
            }
            text
        }))
    }

    /// HOST:PORT of a site.
    pub(super) fn host(&self, name: &str) -> String {
        let at = NAMES.iter().position(|one| *one == name).unwrap();
        format!("127.0.0.1:{}", self.0.ports[at])
    }

    /// The authority that its certificates, and [`Self::identity`], are from.
    pub(super) fn authority(&self) -> String {
        self.0.authority().to_str().unwrap().to_owned()
    }

    /// A certificate and its key for 127.0.0.1 and localhost, as files.
    pub(super) fn identity(&self) -> (PathBuf, PathBuf) {
        let folder = self.0.authority().parent().unwrap().to_owned();
        (folder.join("server.pem"), folder.join("server.key"))
    }

    /// What was asked, as `METHOD TARGET STATUS` with the name of the site in front.
    pub(super) fn asked(&self) -> Vec<String> {
        let folder = self.0.authority().parent().unwrap().to_owned();
        let log = fs::read_to_string(folder.join("access.log")).unwrap();
        let named = |line: &str| {
            let (port, rest) = line.split_once(' ').unwrap();
            let at = self.0.ports.iter().position(|one| one.to_string() == port).unwrap();
            format!("{} {rest}", NAMES[at])
        };
        log.lines().map(named).collect()
    }
}

const NAMES: [&str; 4] = ["github", "slack", "stripe", "status"];

/// Six thousand lines, one of which has the key in it.
fn ledger(key: &str) -> String {
    let line = |number: usize| {
        let note = if number == 4321 { key } else { "" };
        format!("{number},ch_{number:08},{},eur,{note}\n", number % 100 * 50)
    };
    "number,charge,amount,currency,note\n".to_owned() + &(1..=6000).map(line).collect::<String>()
}

/// Radicale, a server of calendars, until this value goes.
pub(super) struct Radicale {
    child: Child,
    folder: PathBuf,
    /// Where it listens.
    pub(super) url: String,
}

impl Radicale {
    /// One with the user `ana`.
    pub(super) fn start(folder: PathBuf, identity: &(PathBuf, PathBuf), password: &str) -> Self {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("users"), format!("ana:{password}\n")).unwrap();
        let mut radicale = Command::new("/usr/bin/python3");
        radicale.args(["-m", "radicale", "--config", "", "--hosts", "127.0.0.1:0", "--ssl"]);
        radicale.arg("--certificate").arg(&identity.0).arg("--key").arg(&identity.1);
        radicale.args(["--auth-type", "htpasswd", "--auth-htpasswd-encryption", "plain"]);
        radicale.arg("--auth-htpasswd-filename").arg(folder.join("users"));
        radicale.arg("--storage-filesystem-folder").arg(folder.join("storage"));
        radicale.args(["--logging-level", "info"]).stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = radicale.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            let (_, rest) = line.split_once("Listening on '[127.0.0.1]:")?;
            Some(rest.split_once('\'')?.0.to_owned())
        });
        let port = port.expect("radicale is not installed: run `cargo xtask test`");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, folder, url: format!("https://127.0.0.1:{port}") }
    }

    /// A file of ana's, as it lies on the disk.
    pub(super) fn stored(&self, below: &str) -> String {
        let root = self.folder.join("storage/collection-root/ana");
        fs::read_to_string(root.join(below)).unwrap()
    }
}

impl Drop for Radicale {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// An API that is called with tokens, of which the first is taken back once it was used twice; it
/// shows its caller's token in events.
pub(super) async fn reports(ca: &TestCa, keys: &Keys) -> Upstream {
    let login = STANDARD.encode(format!("agent:{}", keys.of("reports")));
    let tokens = [keys.of("first token").to_owned(), keys.of("second token").to_owned()];
    let (given, used) = (AtomicUsize::new(0), AtomicUsize::new(0));
    Upstream::https(ca.issue(&["127.0.0.1"]), move |seen| {
        let shown = seen.values("authorization").concat();
        if seen.target == "/oauth/token" {
            let body = String::from_utf8_lossy(&seen.body);
            if shown != format!("Basic {login}") || !body.contains("grant_type=client_credentials")
            {
                return json_of(401, &json!({ "error": "invalid_client" }));
            }
            let token = &tokens[given.fetch_add(1, Ordering::SeqCst)];
            let answer =
                json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 });
            return json_of(200, &answer);
        }
        let token = shown.strip_prefix("Bearer ").unwrap_or_default();
        let is_good = match tokens.iter().position(|one| one == token) {
            Some(0) => used.fetch_add(1, Ordering::SeqCst) < 2,
            other => other.is_some(),
        };
        match seen.target.as_str() {
            _ if !is_good => json_of(401, &json!({ "error": "invalid_token" })),
            "/v1/events" => {
                let (start, end) = token.split_at(20);
                Reply::status(200)
                    .header("content-type", "text/event-stream")
                    .pieces([
                        format!("event: sold\ndata: 1\n\ndata: {start}"),
                        format!("{end}\n\n"),
                        "event: sold\ndata: 2\n\n".to_owned(),
                    ])
                    .and_no_end()
            }
            _ => json_of(200, &json!({ "sold": 2, "target": seen.target })),
        }
    })
    .await
}

fn json_of(status: u16, body: &serde_json::Value) -> Reply {
    Reply::status(status).header("content-type", "application/json").body(body.to_string())
}
