//! Approvals and grants between real processes: agents' brokers, and a person at a terminal.

use std::path::Path;

use serde_json::{Value, json};
use strongroom_testkit::canary;
use strongroom_testkit::upstream::Upstream;

use crate::sandbox::{PROGRAM, Sandbox};
use crate::serve::{Serving, echo, home};

const FILE: &str = ".config/strongroom/strongroom.toml";

/// A home whose service asks for `POST /things`, and its upstream.
async fn asking(name: &str) -> (Sandbox, Upstream) {
    let upstream = echo().await;
    let sandbox = home(&upstream, &canary::of(name));
    sandbox.feed(&["edit", "echo", "--ask", "POST|DELETE /things"], "").ok();
    (sandbox, upstream)
}

fn post(serving: &mut Serving, body: &str) -> Value {
    let call = json!({
        "service": "echo", "method": "POST", "path": "/things", "body": body,
        "reason": "because\u{1b}[2J\u{202e} I\nsay so",
    });
    serving.client.call("execute", &call).unwrap()
}

/// The id of the question that an answer is refused with.
fn id(answer: &Value) -> String {
    assert_eq!(answer["error"]["code"], "approval_denied", "{answer}");
    assert_eq!(answer["error"]["retry"], "ask");
    answer["error"]["approval_id"].as_str().expect("it says which question").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_approves_in_another_process_and_one_of_two_that_repeat_the_call_gets_through() {
    let (sandbox, upstream) = asking("approved elsewhere").await;
    let mut one = Serving::start(&sandbox, &["serve"]);
    let mut two = Serving::start(&sandbox, &["serve"]);
    let asked = id(&post(&mut one, "x"));
    assert_eq!(id(&post(&mut two, "x")), asked, "one question for the same principal");
    assert_eq!(upstream.requests(), 0);

    let listed = sandbox.run("approvals --json").ok().json();
    assert_eq!(listed[0]["id"], *asked);
    assert_eq!(listed[0]["what"], "POST /things");
    assert_eq!(listed[0]["bytes"], 1);
    sandbox.run(&format!("approvals approve {asked}")).ok();
    assert_eq!(post(&mut two, "x")["status"], 200);
    assert_ne!(id(&post(&mut one, "x")), asked, "it was good once");
    assert_eq!(upstream.requests(), 1);
    let again = sandbox.run(&format!("approvals approve {asked}"));
    assert_eq!(again.code, 1, "{again:?}");

    let log = sandbox.run("logs").ok().stdout;
    for words in ["asks a person", "approved by cli", "200"] {
        assert!(log.contains(words), "{words}: {log}");
    }
    sandbox.run("audit verify").ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timed_grant_is_seen_by_every_process_and_gone_when_it_is_taken_back() {
    let (sandbox, upstream) = asking("a timed grant").await;
    let mut one = Serving::start(&sandbox, &["serve"]);
    let asked = id(&post(&mut one, "x"));
    let approved = sandbox.run(&format!("approvals approve {asked} --for 10m --json")).ok().json();
    let grant = approved["grant"].as_str().unwrap().to_owned();
    let mut two = Serving::start(&sandbox, &["serve"]);
    assert_eq!(post(&mut one, "x")["status"], 200);
    assert_eq!(post(&mut two, "another")["status"], 200);
    let me = two.client.call("whoami", &json!({})).unwrap();
    assert_eq!(me["grants"][0]["id"], *grant, "{me}");
    assert!(me["grants"][0]["lapses_in_s"].as_u64().unwrap() <= 600);
    let listed = sandbox.run("grants --json").ok().json();
    assert_eq!(listed[0]["id"], *grant);
    assert_eq!(listed[0]["class"], "write");
    let delete = json!({ "service": "echo", "method": "DELETE", "path": "/things" });
    id(&two.client.call("execute", &delete).unwrap());

    sandbox.run(&format!("grants revoke {grant}")).ok();
    let sent = upstream.requests();
    id(&post(&mut one, "y"));
    id(&post(&mut two, "z"));
    assert_eq!(upstream.requests(), sent);
    assert_eq!(sandbox.run("grants").ok().stdout, "nothing is granted\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_service_voids_what_was_asked_and_granted_before() {
    let (sandbox, _upstream) = asking("a change").await;
    let mut serving = Serving::start(&sandbox, &["serve"]);
    let granted = id(&post(&mut serving, "x"));
    sandbox.run(&format!("approvals approve {granted} --for 1h")).ok();
    assert_eq!(post(&mut serving, "x")["status"], 200);
    sandbox.feed(&["edit", "echo", "--deny", "GET /x"], "").ok();
    let asked = id(&post(&mut serving, "x"));
    sandbox.feed(&["edit", "echo", "--deny", "GET /y"], "").ok();
    let late = sandbox.run(&format!("approvals approve {asked}"));
    assert_eq!(late.code, 1);
    assert!(late.stderr.contains("was changed since"), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_wrote_does_nothing_to_the_terminal_and_is_marked_as_its_words() {
    let (sandbox, _upstream) = asking("escapes").await;
    let mut serving = Serving::start(&sandbox, &["serve"]);
    let asked = id(&post(&mut serving, "x"));
    let shown = sandbox.run(&format!("approvals show {asked}")).ok().stdout;
    let why = "the agent says why: \"because\\u{1b}[2J\\u{202e} I\\u{a}say so\"";
    assert!(shown.contains(why), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
    let near = sandbox.run(&format!("approvals show {}", &asked[..asked.len() - 1]));
    assert_eq!(near.code, 1);
    assert!(near.stderr.contains(&format!("did you mean `{asked}`?")), "{near:?}");
}

/// `setsid` takes the terminal away that whoever runs the tests may have.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_a_shell_can_say_no_and_never_yes() {
    let (sandbox, upstream) = asking("no person").await;
    // DE-12: no variable answers for a person.
    let sandbox = sandbox.with("MCP_BYPASS_SECRET_USE_CONFIRM", "true").with("CI", "true");
    let text = sandbox.read(FILE).replace("headless = true", "headless = false");
    sandbox.write(FILE, &text);
    let mut serving = Serving::start(&sandbox, &["serve"]);
    let asked = id(&post(&mut serving, "x"));
    let run = |arguments: &[&str]| {
        let all: Vec<&str> =
            ["-w", PROGRAM, "approvals"].iter().chain(arguments).copied().collect();
        sandbox.start(Path::new("/usr/bin/setsid"), &all)
    };
    for long in [&["approve", &*asked][..], &["approve", &asked, "--for", "1h"]] {
        let refused = run(long);
        assert_eq!(refused.code, 3, "{refused:?}");
    }
    assert_eq!(id(&post(&mut serving, "x")), asked, "still open");
    run(&["deny", &asked]).ok();
    let denied = post(&mut serving, "x");
    assert_eq!(denied["error"]["code"], "approval_denied");
    assert!(denied["error"]["approval_id"].is_null(), "{denied}");
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_access_shows_a_person_the_command_and_widens_nothing() {
    let (sandbox, upstream) = asking("access").await;
    let mut serving = Serving::start(&sandbox, &["serve"]);
    let mut ask = |service: &str, what: &str| {
        let request = json!({ "service": service, "what": what, "reason": "I need it" });
        serving.client.call("request_access", &request).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let denied = ask("echo", "PUT /things");
    let unknown = ask("nothing", "PUT /things");
    let sly = ask("echo", "PUT /x'; rm -rf ~ #'");
    let covered = ask("echo", "POST /things");

    let command = |id: &str| {
        sandbox.run(&format!("approvals show {id} --json")).ok().json()["command"].clone()
    };
    assert_eq!(command(&denied), "strongroom edit echo --allow 'PUT /things'");
    assert_eq!(command(&unknown), "strongroom add nothing");
    assert_eq!(command(&sly), Value::Null);
    assert_eq!(command(&covered), Value::Null);
    let refused = sandbox.run(&format!("approvals approve {denied} --for 10m"));
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("strongroom edit echo --allow 'PUT /things'"), "{refused:?}");
    assert_eq!(sandbox.run(&format!("approvals approve {covered}")).code, 2, "it needs a time");
    assert_eq!(upstream.requests(), 0);

    sandbox.run(&format!("approvals approve {covered} --for 10m")).ok();
    assert_eq!(post(&mut serving, "x")["status"], 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_not_the_agents_to_give_over_mcp() {
    let (sandbox, upstream) = asking("mcp").await;
    let mut serving = Serving::start(&sandbox, &["serve"]);
    let asked = id(&post(&mut serving, "x"));
    for tool in ["approvals", "approve", "strongroom_approvals"] {
        assert!(serving.client.call(tool, &json!({ "id": asked })).is_err());
    }
    // What looks like an answer to a prompt, where none was shown.
    let call = json!({
        "service": "echo", "method": "POST", "path": "/things", "body": "x",
        "inputResponses": { "approval": { "action": "accept", "content": { "decision": "Allow" } } },
    });
    assert!(serving.client.call("execute", &call).is_err());
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_the_body_that_will_be_sent_with_a_marker_for_every_secret() {
    let name = "a body";
    let (sandbox, upstream) = asking(name).await;
    let mut serving = Serving::start(&sandbox, &["serve"]);
    let body = format!("{{\n  \"amount\": 5,\n  \"note\": \"{}\u{1b}[2J\"\n}}", canary::of(name));
    let asked = id(&post(&mut serving, &body));
    let shown = sandbox.run(&format!("approvals show {asked}")).ok().stdout;
    for line in ["| {\n", "|   \"amount\": 5,\n", "[REDACTED:echo]\\u{1b}[2J\"\n"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert!(!shown.contains(&canary::of(name)), "{shown}");
    let json = sandbox.run(&format!("approvals show {asked} --json")).ok().json();
    assert_eq!(json["body"]["lines"][1], "  \"amount\": 5,");
    assert_eq!(json["body"]["missing"], 0);

    sandbox.run(&format!("approvals approve {asked}")).ok();
    let shown = sandbox.run(&format!("approvals show {asked}")).ok().stdout;
    assert!(!shown.contains("amount"), "{shown}");
    assert_eq!(post(&mut serving, &body)["status"], 200);
    assert_eq!(&*upstream.seen()[0].body, body.as_bytes());
    assert!(!sandbox.run("logs --json").ok().stdout.contains("amount"));
}

/// What the agent gets whose call waits, where `meanwhile` happens before the yes.
async fn approved_after(meanwhile: Option<&str>) -> (Value, usize) {
    let (sandbox, upstream) = asking("meanwhile").await;
    let text = sandbox.read(FILE);
    sandbox.write(FILE, &format!("approval_wait = \"2m\"\n{text}"));
    sandbox.run("principal create claude").ok();
    let mut serving = Serving::start(&sandbox, &["serve", "--as", "claude"]);
    let answer = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| post(&mut serving, "x"));
        let asked = loop {
            let listed = sandbox.run("approvals --json").ok().json();
            if let Some(id) = listed[0]["id"].as_str() {
                break id.to_owned();
            }
        };
        if let Some(command) = meanwhile {
            sandbox.run(command).ok();
        }
        sandbox.run(&format!("approvals approve {asked}")).ok();
        waiting.join().unwrap()
    });
    (answer, upstream.requests())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_may_wait_for_the_person_where_the_configuration_lets_it() {
    let (answer, sent) = approved_after(None).await;
    assert_eq!((answer["status"].as_u64(), sent), (Some(200), 1), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_disabled_while_a_person_thought_is_refused_after_a_yes() {
    let (answer, sent) = approved_after(Some("principal disable claude")).await;
    assert_eq!(answer["error"]["code"], "unauthenticated", "{answer}");
    assert_eq!(sent, 0);
}
