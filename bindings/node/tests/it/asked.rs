//! A person is asked: servers of the examples, a client that elicits and one that does not, and the window
//! under a window manager, filled in by key presses.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use strongroom_testkit::display::Display;

use crate::client::{Client, PATIENCE};
use crate::project::Project;

/// The title of the window, and where what is typed into it ends.
const TITLE: &str = "MCP Secrets for My Server";
const SERVICE: &str = "com.mcp.My Server";
const TOOL: &str = "secure_api_request";
const KEY: &str = "canarykey0123456789";

/// A project with a display and one server of the examples.
struct Scene {
    display: Display,
    project: Project,
    server: PathBuf,
}

impl Scene {
    fn new(server: &str) -> Self {
        let display = Display::start();
        let mut project = Project::new();
        for (name, value) in display.variables() {
            project = project.with(name, value);
        }
        for package in ["fastmcp", "@modelcontextprotocol/sdk"] {
            project.link(package);
        }
        let server = project.copy(&format!("examples/servers/node/{server}"));
        Self { display, project, server }
    }

    fn client(&self) -> Client {
        Client::start(&self.project, true, &self.server)
    }

    /// Types the key into the window, and sends it.
    fn fill_in(&self) {
        let _window = self.display.window(TITLE);
        self.display.type_text(KEY);
        self.display.submit(TITLE);
    }

    /// What the keychain has.
    fn stored(&self) -> Option<String> {
        self.project.session.lookup(&["service", SERVICE, "username", "api_key"])
    }

    fn store(&self) {
        self.project.session.store(&["service", SERVICE, "username", "api_key"], KEY);
    }

    /// No window is shown, and `server` has no child, not even one that nobody waits for.
    fn assert_nothing_is_left(&self, server: u64) {
        self.display.wait_until_gone(TITLE);
        // Where the server is gone, so are the threads that had children.
        until("no child is left", || {
            let threads = fs::read_dir(format!("/proc/{server}/task"));
            threads.map_or(true, |threads| {
                threads.flatten().all(|thread| {
                    fs::read_to_string(thread.path().join("children"))
                        .map_or(true, |children| children.trim().is_empty())
                })
            })
        });
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn accept() -> Value {
    json!({ "action": "accept", "content": {} })
}

/// The code of a question, which is all that stands between its brackets.
fn code(question: &Value) -> String {
    let message = question["message"].as_str().unwrap();
    let (before, rest) = message.split_once("[Code: ").unwrap();
    let (code, after) = rest.split_once(']').unwrap();
    assert_eq!(before, "Secrets Requested ");
    assert_eq!(after, " - Click 'Continue' when finished");
    assert_eq!((code.len(), code.as_bytes()[4]), (9, b'-'), "{code}");
    code.to_owned()
}

#[test]
fn a_secret_is_fetched_and_used_where_the_client_accepts_first() {
    let scene = Scene::new("server.ts");
    let mut client = scene.client();
    client.call(TOOL);
    let question = client.event("asked");
    code(&question);
    assert_eq!(question["requestedSchema"], json!({ "type": "object", "properties": {} }));
    client.answer(&accept());
    scene.fill_in();
    let leave = client.event("asked");
    assert_eq!(
        leave["message"],
        "My Server wants to use api_key\nReason: Authentication with external API"
    );
    assert_eq!(scene.stored().as_deref(), Some(KEY));
    client.choose("Allow");
    let shown = format!("✅ Making API request with key: {}...", &KEY[..8]);
    assert_eq!(client.result(), (shown, false));
    scene.assert_nothing_is_left(client.server);
    // It is there from now on; its use is asked about each time, or once a session.
    for (choice, allowed) in [("Deny", false), ("Allow for Session", true)] {
        client.call(TOOL);
        client.event("asked");
        client.choose(choice);
        assert_eq!(client.result().1, !allowed, "{choice}");
    }
    client.call(TOOL);
    assert!(!client.result().1, "nobody is asked again in this session");
}

#[test]
fn a_secret_is_fetched_and_used_where_the_window_is_filled_in_first() {
    let scene = Scene::new("server.ts");
    let mut client = scene.client();
    client.call(TOOL);
    client.event("asked");
    scene.fill_in();
    scene.display.wait_until_gone(TITLE);
    assert_eq!(scene.stored(), None, "the client has not accepted yet");
    client.answer(&accept());
    client.event("asked");
    assert_eq!(scene.stored().as_deref(), Some(KEY));
    client.choose("Allow");
    assert!(!client.result().1);
    scene.assert_nothing_is_left(client.server);
}

#[test]
fn who_declines_or_cancels_closes_the_window_and_nothing_is_stored() {
    let scene = Scene::new("server.ts");
    let mut client = scene.client();
    for action in ["decline", "cancel"] {
        client.call(TOOL);
        client.event("asked");
        let _window = scene.display.window(TITLE);
        scene.display.type_text(KEY);
        client.answer(&json!({ "action": action }));
        let (text, failed) = client.result();
        assert!(failed && text.contains("Nothing was stored"), "{action}: {text}");
        scene.assert_nothing_is_left(client.server);
        assert_eq!(scene.stored(), None, "{action}");
    }
}

#[test]
fn a_window_that_is_closed_ends_the_call_at_once_whatever_the_client_says_later() {
    let scene = Scene::new("server.ts");
    let mut client = scene.client();
    client.call(TOOL);
    client.event("asked");
    let _window = scene.display.window(TITLE);
    scene.display.press("Escape");
    let (text, failed) = client.result();
    assert!(failed && text.contains("the window was closed"), "{text}");
    client.answer(&accept());
    scene.assert_nothing_is_left(client.server);
    assert_eq!(scene.stored(), None);
}

#[test]
fn a_question_that_is_over_is_taken_back_in_the_client() {
    let scene = Scene::new("server.ts");
    let mut client = scene.client();
    // This client takes no question back that has the number 0.
    client.call(TOOL);
    client.event("asked");
    client.answer(&json!({ "action": "decline" }));
    client.result();
    scene.display.wait_until_gone(TITLE);
    client.call(TOOL);
    client.event("asked");
    let _window = scene.display.window(TITLE);
    scene.display.press("Escape");
    assert_eq!(client.event("withdrawn"), true);
}

#[test]
fn a_call_that_is_cancelled_closes_the_window_and_nothing_is_stored() {
    let scene = Scene::new("server.ts");
    let mut client = scene.client();
    client.call(TOOL);
    client.event("asked");
    let _window = scene.display.window(TITLE);
    client.cancel();
    client.event("failed");
    scene.assert_nothing_is_left(client.server);
    assert_eq!(scene.stored(), None);
}

#[test]
fn a_client_that_leaves_takes_the_window_along_and_nothing_is_stored() {
    let scene = Scene::new("server.ts");
    let mut client = scene.client();
    let server = client.server;
    client.call(TOOL);
    client.event("asked");
    let _window = scene.display.window(TITLE);
    scene.display.type_text(KEY);
    client.leave();
    scene.assert_nothing_is_left(server);
    until("the server is gone", || !PathBuf::from(format!("/proc/{server}")).exists());
    assert_eq!(scene.stored(), None);
}

#[test]
fn a_server_that_is_killed_leaves_no_window_and_nothing_is_stored() {
    let scene = Scene::new("server.ts");
    let mut client = scene.client();
    client.call(TOOL);
    client.event("asked");
    let _window = scene.display.window(TITLE);
    scene.display.type_text(KEY);
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-KILL", &client.server.to_string()]).status().unwrap().success());
    scene.assert_nothing_is_left(client.server);
    assert_eq!(scene.stored(), None);
}

#[test]
fn a_client_that_cannot_ask_fetches_nothing_and_a_window_asks_for_leave_instead() {
    let scene = Scene::new("server.ts");
    let mut client = Client::start(&scene.project, false, &scene.server);
    client.call(TOOL);
    let (text, failed) = client.result();
    assert!(failed && text.contains("does not support elicitation"), "{text}");
    scene.assert_nothing_is_left(client.server);
    assert_eq!(scene.stored(), None);

    scene.store();
    client.call(TOOL);
    let _window = scene.display.window(TITLE);
    scene.display.press("Escape");
    let (text, failed) = client.result();
    assert!(failed && text.contains("was not allowed: the window was closed"), "{text}");
    scene.assert_nothing_is_left(client.server);
}

#[test]
fn without_elicitation_and_without_a_display_nothing_is_given_out() {
    let project = Project::new();
    project.link("fastmcp");
    project.session.store(&["service", SERVICE, "username", "api_key"], KEY);
    let server = project.copy("examples/servers/node/server.ts");
    let mut client = Client::start(&project, false, &server);
    client.call(TOOL);
    let (text, failed) = client.result();
    assert!(failed && text.contains("neither the client nor a window"), "{text}");
    assert!(!text.contains(&KEY[..4]), "{text}");
}

#[test]
fn secrets_that_are_declared_are_fetched_permitted_and_printed_as_stars() {
    let scene = Scene::new("declared.ts");
    let mut client = scene.client();
    client.call(TOOL);
    client.event("asked");
    let _window = scene.display.window(TITLE);
    scene.display.type_text(KEY);
    // The next field has its default already.
    scene.display.press("Return");
    scene.display.submit(TITLE);
    client.answer(&accept());
    for name in ["api_key", "endpoint"] {
        let leave = client.event("asked");
        assert!(leave["message"].as_str().unwrap().contains(name), "{leave}");
        client.choose("Allow");
    }
    assert_eq!(client.event("said"), "{\"message\":\"asking with ***\"}");
    let length = KEY.len();
    let text = format!("https://api.example.com was asked with ***, of {length} characters");
    assert_eq!(client.result(), (text, false));
}

#[test]
fn a_server_of_the_official_sdk_asks_by_a_context_of_a_few_lines() {
    let scene = Scene::new("official.ts");
    let mut client = scene.client();
    client.call(TOOL);
    client.event("asked");
    scene.fill_in();
    client.answer(&accept());
    assert_eq!(client.event("said"), "\"Stored 1 secret\"");
    client.event("asked");
    client.choose("Allow");
    assert_eq!(client.result(), ("asked with ***".to_owned(), false));
    scene.assert_nothing_is_left(client.server);
}

#[test]
fn a_window_program_that_is_not_the_one_of_the_package_is_not_started() {
    let scene = Scene::new("server.ts");
    let program = scene.project.path("node_modules/mcp-secrets/native/strongroom-dialog");
    let mut bytes = fs::read(&program).unwrap();
    bytes.push(0);
    fs::write(&program, bytes).unwrap();
    let mut client = scene.client();
    client.call(TOOL);
    let (text, failed) = client.result();
    assert!(failed && text.contains("is not the window program of this build"), "{text}");
    fs::remove_file(&program).unwrap();
    client.call(TOOL);
    let (text, failed) = client.result();
    assert!(failed && text.contains("there is no window program"), "{text}");
    assert_eq!(scene.stored(), None);
}

#[test]
fn a_window_of_ones_own_is_awaited_and_cancelled_and_lets_node_end() {
    let scene = Scene::new("server.ts");
    let file = scene.project.copy("bindings/node/tests/it/scripts/handler.mjs");
    let node = scene.project.node().arg(file).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let _window = scene.display.window("A window of ours");
    scene.display.type_text(KEY);
    scene.display.submit("A window of ours");
    let output = node.wait_with_output().unwrap();
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    let length = KEY.len();
    let expected = json!({
        "answers": [["token", "***"]],
        "length": length,
        "again": true,
        "cancelled": "window_closed",
        "refused": "invalid_secrets_info",
    });
    assert_eq!(seen, expected);
    assert_eq!(scene.display.find("A window of ours"), None);
}
