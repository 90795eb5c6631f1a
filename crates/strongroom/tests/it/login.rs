//! `login` against a stand-in for an authorization server, which checks what RFC 7636 has it check.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use strongroom::clock::SystemClock;
use strongroom::environment::{Host, Terminals};
use strongroom::paths::{Environment, Os};
use strongroom_process::Child;
use strongroom_seal::sha256;
use strongroom_seal::sign::escape::pairs;
use strongroom_testkit::upstream::{Reply, Upstream};

use crate::sandbox::{PROGRAM, Sandbox};
use crate::serve::Serving;

pub(crate) type Fields = HashMap<String, String>;

const REFRESH: &str = "stand-in-refresh-token-0123456789";
const ACCESS: &str = "stand-in-access-token-0123456789";

pub(crate) fn fields(query: &[u8]) -> Fields {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    pairs(query).into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// A server that knows one code, whose challenge the test tells it.
async fn server(challenge: Arc<Mutex<String>>) -> Upstream {
    Upstream::http(move |seen| {
        if seen.target != "/token" {
            let token = seen.values("authorization").concat();
            return Reply::ok(if token == format!("Bearer {ACCESS}") { "yours" } else { "whose?" });
        }
        let form = fields(&seen.body);
        let tokens = json!({ "access_token": ACCESS, "token_type": "Bearer", "expires_in": 3600,
            "refresh_token": REFRESH });
        let fits = match form["grant_type"].as_str() {
            "authorization_code" => {
                let proof = URL_SAFE_NO_PAD.encode(sha256(form["code_verifier"].as_bytes()));
                form["code"] == "the-code"
                    && form["client_id"] == "app"
                    && proof == *challenge.lock().unwrap()
            }
            "refresh_token" => form["refresh_token"] == REFRESH,
            _ => false,
        };
        if fits {
            Reply::ok(tokens.to_string()).header("content-type", "application/json")
        } else {
            Reply::status(400)
        }
    })
    .await
}

pub(crate) fn configured(upstream: &Upstream) -> Sandbox {
    let sandbox = Sandbox::headless();
    let url = format!("http://{}", upstream.address());
    let host = upstream.address().to_string().replace(':', "-");
    let file = "home/config/strongroom/strongroom.toml";
    let file =
        if sandbox.path(file).exists() { file } else { ".config/strongroom/strongroom.toml" };
    let config = format!(
        "{}\n[services.calendar]\nbase_url = \"{url}\"\ninsecure_transport = true\n\
         allow_ips = [\"127.0.0.1/32\"]\nallow = [\"GET /**\"]\n[services.calendar.auth]\n\
         type = \"oauth2\"\nclient_id = \"app\"\nscope = \"a b\"\ntoken_url = \"{url}/token\"\n\
         authorize_url = \"{url}/authorize\"\n\
         refresh_token = \"local://calendar/oauth/{host}\"\n",
        sandbox.read(file)
    );
    sandbox.write(file, &config);
    sandbox
}

/// Starts `login`, and returns what the person would open.
pub(crate) fn start(sandbox: &Sandbox) -> (Child, Fields, String) {
    let mut child = sandbox.child(&["login", "calendar"]);
    let mut lines = BufReader::new(child.stderr().unwrap()).lines();
    let address = lines.find_map(|line| {
        let line = line.unwrap();
        line.contains("/authorize?").then(|| line.trim().to_owned())
    });
    let address = address.unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    let query = fields(address.split_once('?').unwrap().1.as_bytes());
    let back = query["redirect_uri"].strip_prefix("http://").unwrap().to_owned();
    (child, query, back)
}

/// What a browser does that is sent back.
pub(crate) fn browse(back: &str, query: &str) -> String {
    let (host, path) = back.split_once('/').unwrap();
    #[expect(clippy::disallowed_methods, reason = "the browser, which is sent to this machine")]
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path}?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) fn ended(mut child: Child) -> i32 {
    child.wait_timeout(Duration::from_secs(30)).unwrap().unwrap().code().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_once_and_agents_call_in_their_name() {
    let challenge = Arc::new(Mutex::new(String::new()));
    let upstream = server(Arc::clone(&challenge)).await;
    let sandbox = configured(&upstream);
    let mut serving = Serving::start(&sandbox, &["serve"]);
    let before = serving.execute("calendar", "GET", "/today");
    assert_eq!(before["error"]["code"], "secret_unavailable", "{before}");

    let (child, query, back) = start(&sandbox);
    assert_eq!(query["response_type"], "code");
    assert_eq!((query["code_challenge_method"].as_str(), query["scope"].as_str()), ("S256", "a b"));
    challenge.lock().unwrap().clone_from(&query["code_challenge"]);
    // Somebody else's page knows the port, and not the state.
    assert!(browse(&back, "code=stolen&state=wrong").starts_with("HTTP/1.1 404"));
    let answer = browse(&back, &format!("code=the-code&state={}", query["state"]));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(ended(child), 0);

    let after = serving.execute("calendar", "GET", "/today");
    assert_eq!(after["body"], "yours", "{after}");
    assert!(!after.to_string().contains(ACCESS));
    serving.finish();
    let audit = sandbox.run("logs --json").ok().stdout;
    assert!(audit.contains("service.login"), "{audit}");
    assert!(!audit.contains(REFRESH) && !audit.contains(ACCESS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_that_is_not_given_or_not_ours_changes_nothing() {
    let upstream = server(Arc::default()).await;
    let sandbox = configured(&upstream);
    let (child, query, back) = start(&sandbox);
    browse(&back, &format!("error=access_denied&state={}", query["state"]));
    assert_eq!(ended(child), 3);
    let (child, query, back) = start(&sandbox);
    browse(&back, &format!("code=another&state={}", query["state"]));
    assert_eq!(ended(child), 1, "the server does not know the code");
    assert!(!sandbox.run("secrets list --json").stdout.contains("oauth/"));
}

// AU-11
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_our_state_of_another_server_or_by_another_port_is_none() {
    let upstream = server(Arc::default()).await;
    let sandbox = configured(&upstream);
    let (child, query, back) = start(&sandbox);
    for stolen in ["code=stolen", "code=stolen&state=", "state=x&code=stolen&state=y"] {
        assert!(browse(&back, stolen).starts_with("HTTP/1.1 404"), "{stolen}");
    }
    let state = &query["state"];
    let mixed_up = format!("code=theirs&state={state}&iss=https%3A%2F%2Fevil.test");
    browse(&back, &mixed_up);
    assert_eq!(ended(child), 3);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ran = sandbox.run(&format!("login calendar --port {port}"));
    assert_eq!(ran.code, 1, "{ran:?}");

    let (child, again, back) = start(&sandbox);
    assert_ne!(again["state"], *state);
    assert!(browse(&back, &format!("code=the-code&state={state}")).starts_with("HTTP/1.1 404"));
    browse(&back, &format!("error=access_denied&state={}", again["state"]));
    assert_eq!(ended(child), 3);
    assert!(!upstream.seen().iter().any(|seen| seen.target == "/token"), "no code went there");
    let audit = sandbox.run("logs --json").ok().stdout;
    assert_eq!(audit.matches("service.login.refused").count(), 3, "{audit}");
    assert!(!sandbox.run("secrets list --json").stdout.contains("oauth/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_say_that_it_is_of_the_server_that_was_asked() {
    let challenge = Arc::new(Mutex::new(String::new()));
    let upstream = server(Arc::clone(&challenge)).await;
    let sandbox = configured(&upstream);
    let (child, query, back) = start(&sandbox);
    challenge.lock().unwrap().clone_from(&query["code_challenge"]);
    let issuer = format!("http%3A%2F%2F{}%2Frealm", upstream.address());
    browse(&back, &format!("code=the-code&state={}&iss={issuer}", query["state"]));
    assert_eq!(ended(child), 0);
}

/// A browser that notes where it is sent.
fn stand_in_browser(sandbox: &Sandbox) {
    sandbox.write(
        "bin/xdg-open",
        "#!/bin/sh\nprintf '%s' \"$*\" > \"$HOME/sent.tmp\"\nenv > \"$HOME/sent.env\"\n\
         mv \"$HOME/sent.tmp\" \"$HOME/sent\"\n",
    );
    sandbox.chmod("bin/xdg-open", 0o700);
}

/// `login` as a person starts it, at a terminal and on a desktop.
fn at_a_terminal(sandbox: &Sandbox, arguments: &[&str]) -> std::thread::JoinHandle<ExitCode> {
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    let variables = [
        ("HOME", sandbox.path("").display().to_string()),
        ("PATH", path),
        ("DISPLAY", ":99".to_owned()),
        ("GITHUB_TOKEN", "canary".to_owned()),
    ];
    let host = Host {
        arguments: ["strongroom"].iter().chain(arguments).map(Into::into).collect(),
        environment: Environment::new(Os::CURRENT, variables),
        program: PROGRAM.into(),
        directory: sandbox.path(""),
        terminals: Terminals { stdin: true, stdout: true, stderr: true },
        clock: Arc::new(SystemClock::new()),
    };
    std::thread::spawn(move || strongroom::run(&host))
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_terminal_the_stand_in_browser_is_sent_there_with_nothing_of_ours() {
    let challenge = Arc::new(Mutex::new(String::new()));
    let upstream = server(Arc::clone(&challenge)).await;
    let sandbox = configured(&upstream);
    stand_in_browser(&sandbox);
    let login = at_a_terminal(&sandbox, &["login", "calendar"]);
    let sent = sandbox.path("sent");
    let began = std::time::Instant::now();
    while !sent.exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "no browser was opened");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let address = sandbox.read("sent");
    let query = fields(address.split_once('?').unwrap().1.as_bytes());
    challenge.lock().unwrap().clone_from(&query["code_challenge"]);
    let back = query["redirect_uri"].strip_prefix("http://").unwrap();
    browse(back, &format!("code=the-code&state={}", query["state"]));
    assert_eq!(login.join().unwrap(), ExitCode::SUCCESS);
    let env = sandbox.read("sent.env");
    assert!(env.contains("DISPLAY=:99") && !env.contains("canary"), "{env}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_browser_is_opened_where_nobody_looks() {
    let upstream = server(Arc::default()).await;
    let sandbox = configured(&upstream);
    stand_in_browser(&sandbox);
    let path = format!("{}:/usr/bin:/bin", sandbox.path("bin").display());
    let sandbox = sandbox.with("PATH", path).with("DISPLAY", ":99");
    let (child, query, back) = start(&sandbox);
    browse(&back, &format!("error=access_denied&state={}", query["state"]));
    assert_eq!(ended(child), 3);
    assert!(!sandbox.path("sent.env").exists());
}
