//! Values: kept, found, shown to nobody.

use serde_json::{Value, json};
use strongroom_testkit::secret_service::SecretService;

use crate::project::Project;

/// Where the secrets of the scripts are.
const SERVICE: &str = "com.mcp.a server";

#[test]
fn secrets_are_kept_in_the_systems_keychain() {
    let seen = Project::new().script("stored.mjs");
    let expected = json!({
        "before": null,
        "named": "a server",
        "none": null,
        "token": "canary-token",
        "other": "canary-öther €",
        "listed": ["other", "token"],
        "exists": [true, false],
        "ensured": [true, false, true],
        "another": [null, []],
        "below": ["canary-token", ["other", "token"], true],
        "deleted": [true, false],
        "cleared": [1, []],
    });
    assert_eq!(seen, expected, "{seen:#}");
}

#[test]
fn values_go_both_ways_between_us_and_another_keyring_for_node() {
    let project = Project::new();
    project.link("@napi-rs/keyring");
    let seen = project.script("keyring.mjs");
    let expected = json!({
        "theirs": "canary-theirs",
        "listed": ["theirs"],
        "ours": "canary-ours",
        "index": ["theirs", "ours"],
        "over": "canary-over",
        "back": "canary-back",
        "deleted": true,
        "gone": null,
    });
    assert_eq!(seen, expected, "{seen:#}");
    let found = project.session.lookup(&["service", SERVICE, "username", "theirs"]);
    assert_eq!(found.as_deref(), Some("canary-over"));
}

#[test]
fn what_goes_wrong_has_a_stable_code_and_says_no_value() {
    let mut seen = Project::new().script("errors.mjs");
    let said = seen["said"].take().to_string();
    assert!(said.contains("SecretsError") && !said.contains("canary"), "{said}");
    let fetched = seen["fetched_before"].take();
    assert_eq!(fetched[0], false, "{fetched}");
    let error = |code: &str| json!(["SecretsError", code]);
    let reserved = error("reserved_name");
    let expected = json!({
        "before": error("not_initialized"),
        "fetched_before": null,
        "unnamed": error("invalid_server_name"),
        "unnamed storage": error("invalid_server_name"),
        "no name": "TypeError",
        "no text": "TypeError",
        "empty": error("empty_value"),
        "large": error("value_too_large"),
        "hidden": error("invalid_name"),
        "__proto__": reserved, "__proto__ fetched": reserved,
        "constructor": reserved, "constructor fetched": reserved,
        "__secret_index__": reserved, "__secret_index__ fetched": reserved,
        "polluted": false,
        "not an object": "TypeError",
        "nothing": error("invalid_secrets_info"),
        "unknown key": error("invalid_secrets_info"),
        "unknown type": error("invalid_secrets_info"),
        "default of a password": error("invalid_secrets_info"),
        "no template": error("invalid_secrets_info"),
        "not started": "TypeError",
        "missing": null,
        "declined": error("permission_denied"),
        "said": null,
    });
    assert_eq!(seen, expected, "{seen:#}");
}

#[test]
fn a_secret_shows_itself_to_reveal_alone() {
    let project = Project::new();
    let file = project.copy("bindings/node/tests/it/scripts/secret.mjs");
    let output = project.node().arg(file).output().unwrap();
    let said = [output.stdout, output.stderr].map(|out| String::from_utf8(out).unwrap());
    assert!(output.status.success(), "{said:?}");
    assert!(said.iter().all(|said| !said.contains("canary")), "{said:?}");
    assert!(
        said[0].starts_with("***\n") && said[0].ends_with("TypeError\ntrue true\n"),
        "{said:?}"
    );
}

#[test]
fn a_locked_keychain_and_one_that_is_not_there_are_told_apart() {
    let script = "import { secrets_manager } from 'mcp-secrets';\
        secrets_manager.initialize('a server');\
        try { secrets_manager.store_secret('token', 'canary'); } catch (e) { console.log(e.code); }\
        try { console.log(secrets_manager.retrieve_secret('token')); } catch (e) { console.log(e.code); }";
    let session = SecretService::start();
    session.store(&["service", SERVICE, "username", "token"], "canary");
    session.lock();
    let locked = Project::within(session).run(script);
    assert_eq!(String::from_utf8_lossy(&locked.stdout), "keychain_locked\nkeychain_locked\n");
    // Without one there is a sealed file, which is said once.
    let project = Project::within(SecretService::bus_only());
    let absent = project.run(script);
    let said = String::from_utf8_lossy(&absent.stderr);
    assert_eq!(String::from_utf8_lossy(&absent.stdout), "canary\n", "{said}");
    assert_eq!(said.matches("[keychain_absent] SecretsWarning").count(), 1, "{said}");
    let again = project.run(script);
    assert_eq!(String::from_utf8_lossy(&again.stdout), "canary\n");
}

#[test]
fn node_goes_on_while_the_keychain_does_not_answer() {
    let session = SecretService::start();
    session.freeze();
    let seen = Project::within(session).script("frozen.mjs");
    assert_eq!(seen, json!(["ticked", "keychain_timeout"]));
}

#[test]
fn only_the_two_exact_answers_of_a_client_give_a_secret_out() {
    let mut seen = Project::new().script("answers.mjs");
    let question = json!({
        "message": "a server wants to use token\nReason: Testing",
        "requestedSchema": {
            "type": "object",
            "properties": { "value": {
                "type": "string",
                "title": "Answer",
                "enum": ["Allow", "Allow for Session", "Deny"],
            } },
            "required": ["value"],
        },
    });
    assert_eq!(seen["first"].take(), question);
    assert_eq!(
        seen["questions"].take(),
        json!(1),
        "the second use of a session is not asked about"
    );
    for (answer, given) in seen.as_object().unwrap() {
        match answer.as_str() {
            "first" | "questions" => {}
            "allow" | "session" | "session again" => assert_eq!(given, "canary-token", "{answer}"),
            "left" | "leaves" => assert!(starts(given, "client_gone: "), "{answer}: {given}"),
            _ => assert!(starts(given, "permission_denied: "), "{answer}: {given}"),
        }
        let text = given.as_str().unwrap_or_default();
        assert!(!text.contains("canary-of"), "{answer}: {text}");
    }
}

fn starts(given: &Value, with: &str) -> bool {
    given.as_str().is_some_and(|given| given.starts_with(with))
}

#[test]
fn the_environment_skips_the_question_and_clears_the_secrets_by_the_exact_word_alone() {
    let ask = "import { secrets_manager } from 'mcp-secrets';\
        secrets_manager.initialize('a server');\
        const ctx = { info() {}, elicit: async () => ({ action: 'decline' }) };\
        const use = () => secrets_manager.retrieve_secret_with_permission('token', ctx);\
        console.log(await use().catch((e) => e.code), await use().catch((e) => e.code));";
    let project = Project::new();
    let print = |project: &Project, script: &str| {
        let output = project.run(script);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (String::from_utf8_lossy(&output.stdout).trim().to_owned(), said)
    };
    project.session.store(&["service", SERVICE, "username", "token"], "canary");
    let project = project.with("MCP_BYPASS_SECRET_USE_CONFIRM", "TRUE");
    let project = project.with("SECRETS_STORAGE_CLEAR", "yes");
    assert_eq!(print(&project, ask).0, "permission_denied permission_denied");
    let project = project.with("MCP_BYPASS_SECRET_USE_CONFIRM", "true");
    let (given, said) = print(&project, ask);
    assert_eq!(given, "canary canary", "{said}");
    assert_eq!(said.matches("[confirmation_bypassed] SecretsWarning").count(), 1, "{said}");
    let project = project.with("SECRETS_STORAGE_CLEAR", "true");
    let (given, said) = print(&project, ask);
    assert_eq!(given, "null null", "{said}");
    assert!(said.contains("[secrets_cleared] SecretsWarning"), "{said}");
}
