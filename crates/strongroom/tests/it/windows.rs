//! People at a display, asked by the real window: Xvfb, a window manager, and somebody who types.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use strongroom_testkit::canary;
use strongroom_testkit::display::Display;
use strongroom_testkit::secret_service::SecretService;
use strongroom_testkit::upstream::Upstream;

use crate::sandbox::{PROGRAM, Ran, Sandbox};
use crate::serve::{Serving, echo, home};

const FILE: &str = ".config/strongroom/strongroom.toml";
const MANIFEST: &str = "strongroom-dialog.manifest.json";

/// Longer than nothing allows after a window has come to the front, on a busy machine too.
const DEAD_TIME: Duration = Duration::from_secs(4);

/// A user at a display of their own, with a program that has its window beside it.
struct Desk {
    display: Display,
    sandbox: Sandbox,
    upstream: Upstream,
    folder: tempfile::TempDir,
}

impl Desk {
    /// With a service `echo` whose rule asks for `POST /things`.
    async fn new(name: &str) -> Self {
        let upstream = echo().await;
        let sandbox = home(&upstream, &canary::of(name));
        sandbox.feed(&["edit", "echo", "--ask", "POST /things"], "").ok();
        let text = sandbox.read(FILE).replace("headless = true", "headless = false");
        sandbox.write(FILE, &text);
        let display = Display::start();
        let variables = display.variables();
        let sandbox =
            variables.into_iter().fold(sandbox, |sandbox, (name, value)| sandbox.with(name, value));
        Self { display, sandbox, upstream, folder: installed() }
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("strongroom")
    }

    fn serve(&self) -> Serving {
        Serving::of(self.sandbox.child_of(&self.program(), &["serve"]))
    }

    /// A command of an agent's shell, which has no terminal.
    fn shell(&self, arguments: &[&str]) -> Ran {
        let program = self.program();
        let all: Vec<&str> =
            ["-w", program.to_str().unwrap()].iter().chain(arguments).copied().collect();
        self.sandbox.start(Path::new("/usr/bin/setsid"), &all)
    }

    /// What the person does with the window of this title: some keys, once it takes them.
    fn answers(&self, title: &str, keys: &[&str]) {
        let _window = self.display.window(title);
        thread::sleep(DEAD_TIME);
        for key in keys {
            self.display.press(key);
        }
        self.display.wait_until_gone(title);
    }
}

/// A folder with our program, the window program and its manifest, as they are installed.
fn installed() -> tempfile::TempDir {
    let ours = Path::new(PROGRAM);
    let dist = ours.parent().and_then(Path::parent).unwrap().join("dist");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let files = [
        (ours.to_owned(), "strongroom"),
        (dist.join("strongroom-dialog"), "strongroom-dialog"),
        (dist.join(MANIFEST), MANIFEST),
    ];
    for (from, name) in files {
        assert!(
            from.exists(),
            "`{}` is missing: run `cargo xtask dist --profile dev`",
            from.display()
        );
        let to = folder.path().join(name);
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).unwrap();
        }
    }
    folder
}

fn post(serving: &mut Serving, body: &str) -> Value {
    let call = json!({
        "service": "echo", "method": "POST", "path": "/things", "body": body,
        "reason": "to test it",
    });
    serving.client.call("execute", &call).unwrap()
}

/// A call, and what the person does meanwhile.
fn while_asked(serving: &mut Serving, body: &str, meanwhile: impl FnOnce()) -> Value {
    thread::scope(|scope| {
        let waiting = scope.spawn(|| post(serving, body));
        meanwhile();
        waiting.join().unwrap()
    })
}

const ASKS: &str = "to use `echo`";

// DE-02 DE-09
#[tokio::test(flavor = "multi_thread")]
async fn allow_once_at_the_window_lets_exactly_one_call_through() {
    let desk = Desk::new("allow once").await;
    let mut serving = desk.serve();
    let once = while_asked(&mut serving, "x", || desk.answers(ASKS, &["Tab", "Return"]));
    assert_eq!(once["status"], 200, "{once}");
    let again = while_asked(&mut serving, "x", || desk.answers(ASKS, &["Return"]));
    assert_eq!(again["error"]["code"], "approval_denied", "Deny has the focus: {again}");
    assert!(again["error"]["approval_id"].is_null(), "{again}");
    assert_eq!(desk.upstream.requests(), 1);
    let log = desk.sandbox.run("logs --json").ok().stdout;
    assert!(log.contains("\"approval\":\"dialog\"") && log.contains("\"elapsed_ms\""), "{log}");
    desk.sandbox.run("audit verify").ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_the_window_denies() {
    let desk = Desk::new("closed").await;
    let mut serving = desk.serve();
    let denied = while_asked(&mut serving, "x", || desk.answers(ASKS, &["alt+F4"]));
    assert_eq!(denied["error"]["code"], "approval_denied", "{denied}");
    assert!(denied["error"]["approval_id"].is_null(), "it is a no: {denied}");
    assert_eq!(desk.upstream.requests(), 0);
    let log = desk.sandbox.run("logs").ok().stdout;
    assert!(log.contains("denied by dialog"), "{log}");
}

// DE-02
#[tokio::test(flavor = "multi_thread")]
async fn allow_for_session_at_the_window_lasts_for_that_connection() {
    let desk = Desk::new("session").await;
    let mut serving = desk.serve();
    let first = while_asked(&mut serving, "x", || desk.answers(ASKS, &["Tab", "Tab", "Return"]));
    assert_eq!(first["status"], 200, "{first}");
    assert_eq!(post(&mut serving, "another")["status"], 200);
    assert_eq!(desk.display.find(ASKS), None);
    drop(serving);
    let mut other = desk.serve();
    let denied = while_asked(&mut other, "x", || desk.answers(ASKS, &["Return"]));
    assert_eq!(denied["error"]["code"], "approval_denied", "{denied}");
    assert_eq!(desk.upstream.requests(), 2);
}

// RX-08
#[tokio::test(flavor = "multi_thread")]
async fn a_window_goes_with_the_broker_that_asked() {
    let desk = Desk::new("gone").await;
    let mut serving = desk.serve();
    let id = serving.child.id().to_string();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let call = json!({ "service": "echo", "method": "POST", "path": "/things" });
            serving.client.call("execute", &call).is_err()
        });
        let _window = desk.display.window(ASKS);
        desk.sandbox.start(Path::new("/bin/kill"), &["-9", &id]).ok();
        desk.display.wait_until_gone(ASKS);
        assert!(waiting.join().unwrap());
    });
    assert_eq!(desk.upstream.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_at_another_place_closes_the_window() {
    let desk = Desk::new("elsewhere").await;
    let mut serving = desk.serve();
    let denied = while_asked(&mut serving, "x", || {
        let _window = desk.display.window(ASKS);
        let listed = desk.sandbox.run("approvals --json").ok().json();
        let id = listed[0]["id"].as_str().unwrap().to_owned();
        desk.sandbox.run(&format!("approvals deny {id}")).ok();
        desk.display.wait_until_gone(ASKS);
    });
    assert_eq!(denied["error"]["code"], "approval_denied", "{denied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_not_stored_is_typed_in_the_window_and_the_call_goes_on() {
    let name = "typed at the window";
    let desk = Desk::new(name).await;
    desk.shell(&["secrets", "remove", "echo/token", "--yes"]).ok();
    let mut serving = desk.serve();
    let key = canary::of("another key");
    let get = |serving: &mut Serving| serving.execute("echo", "GET", "/x");
    let answer = thread::scope(|scope| {
        let waiting = scope.spawn(|| get(&mut serving));
        let _window = desk.display.window("needs a secret");
        desk.display.type_text(&key);
        desk.display.submit("needs a secret");
        waiting.join().unwrap()
    });
    assert_eq!(answer["status"], 200, "{answer}");
    assert!(!answer.to_string().contains(&key), "the agent does not see it");
    assert_eq!(get(&mut serving)["status"], 200, "it is stored");
    let sent = desk.upstream.seen().pop().unwrap().values("authorization").concat();
    assert_eq!(sent, format!("Bearer {key}"));
    let stored = desk.sandbox.run("secrets list --json").ok().json();
    assert_eq!(stored[0]["reference"], "local://echo/token");
    assert_eq!(stored[0]["for"], "service:echo");
    let log = desk.sandbox.run("logs --json").ok().stdout;
    assert!(log.contains("secrets.set") && !log.contains(&key), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_secret_is_not_stored_starts_with_what_is_typed_and_not_without() {
    let desk = Desk::new("a start").await;
    let text = desk.sandbox.read(FILE);
    let server = "\n[servers.files]\ncommand = \"/usr/bin/printenv\"\nargs = [\"KEY\"]\n\
        env = { KEY = \"local://files/token\" }\n";
    desk.sandbox.write(FILE, &format!("{text}{server}"));
    let run = || desk.shell(&["run", "files", "--once"]);
    let title = "needs a secret";
    let ran = thread::scope(|scope| {
        let running = scope.spawn(run);
        desk.answers(title, &["alt+F4"]);
        running.join().unwrap()
    });
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("strongroom secrets set files/token"), "{ran:?}");
    assert_eq!(run().code, 4, "nobody is asked the same again at once");

    desk.sandbox.write(FILE, &format!("ask_for_secrets = false\n{text}{server}"));
    assert_eq!(run().code, 4, "nobody is asked at all");
    for mark in desk.sandbox.names(".local/state/strongroom") {
        if mark.starts_with("declined-") {
            fs::remove_file(desk.sandbox.path(".local/state/strongroom").join(mark)).unwrap();
        }
    }
    desk.sandbox.write(FILE, &format!("{text}{server}"));
    let key = canary::of("a start, typed");
    let ran = thread::scope(|scope| {
        let running = scope.spawn(run);
        let _window = desk.display.window(title);
        desk.display.type_text(&key);
        desk.display.submit(title);
        running.join().unwrap()
    });
    assert_eq!(ran.ok().stdout, format!("{key}\n"));
    assert_eq!(run().ok().stdout, format!("{key}\n"), "it is stored");
    let stored = desk.sandbox.run("secrets list --json").ok().json();
    assert!(stored.to_string().contains("launch:files"), "{stored}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_keychain_does_not_have_is_typed_and_kept_there_and_a_locked_one_is_left_alone() {
    let (session, mut desk) = (SecretService::start(), Desk::new("into the keychain").await);
    desk.sandbox = desk.sandbox.with("DBUS_SESSION_BUS_ADDRESS", session.address());
    let server = |name: &str| {
        format!(
            "\n[servers.{name}]\ncommand = \"/usr/bin/printenv\"\nargs = [\"KEY\"]\n\
             env = {{ KEY = \"keychain://{name}/token\" }}\n"
        )
    };
    let text = desk.sandbox.read(FILE);
    assert!(text.contains("local://echo/token"), "{text}");
    let text = text.replace("local://echo/token", "keychain://echo/token");
    desk.sandbox.write(FILE, &format!("{text}{}{}", server("files"), server("other")));
    let of = |account| session.lookup(&["service", account, "username", "token"]);
    let key = canary::of("into the keychain, typed");
    let typed = || {
        let _window = desk.display.window("needs a secret");
        desk.display.type_text(&key);
        desk.display.submit("needs a secret");
    };

    let run = |name: &str| desk.shell(&["run", name, "--once"]);
    let ran = thread::scope(|scope| {
        let running = scope.spawn(|| run("files"));
        typed();
        running.join().unwrap()
    });
    assert_eq!(ran.ok().stdout, format!("{key}\n"));
    assert_eq!(of("files"), Some(key.clone()));
    assert_eq!(run("files").ok().stdout, format!("{key}\n"), "it is stored");

    let mut serving = desk.serve();
    let answer = thread::scope(|scope| {
        let waiting = scope.spawn(|| serving.execute("echo", "GET", "/x"));
        typed();
        waiting.join().unwrap()
    });
    assert_eq!(answer["status"], 200, "{answer}");
    assert_eq!(of("echo"), Some(key.clone()));
    let log = desk.sandbox.run("logs --json").ok().stdout;
    assert!(log.contains("keychain://files/token") && !log.contains(&key), "{log}");

    session.lock();
    let ran = run("other");
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("locked"), "{ran:?}");
    assert_eq!(desk.display.find("needs a secret"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_shell_opens_the_window_and_the_person_at_the_display_answers_it() {
    let desk = Desk::new("widening").await;
    let widen = || desk.shell(&["edit", "echo", "--allow", "DELETE /things"]);
    let title = "is this what you want";
    let refused = thread::scope(|scope| {
        let running = scope.spawn(widen);
        desk.answers(title, &["Return"]);
        running.join().unwrap()
    });
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(!desk.sandbox.read(FILE).contains("DELETE"));
    let done = thread::scope(|scope| {
        let running = scope.spawn(widen);
        desk.answers(title, &["Tab", "Return"]);
        running.join().unwrap()
    });
    done.ok();
    assert!(desk.sandbox.read(FILE).contains("DELETE /things"));
}
