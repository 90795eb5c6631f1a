//! `strongroom provider`: tokens and programs of providers.

use strongroom_testkit::op::{StandInOp, TOKEN, Trouble};

use crate::sandbox::{Ran, Sandbox};

const CONFIG: &str = ".config/strongroom/strongroom.toml";

const SERVICE: &str = "\n[services.x]\nbase_url = \"https://x.example\"\n\
    auth = { type = \"bearer\", token = \"op://Dev/X/key\" }\n";

fn strongroom(sandbox: &Sandbox, words: &[&str]) -> Ran {
    sandbox.start(std::path::Path::new(crate::sandbox::PROGRAM), words)
}

/// A home with a stand-in for `op` set up, and a service whose key it has.
fn set_up() -> (Sandbox, StandInOp) {
    let op = StandInOp::new();
    op.put("op://Dev/X/key", "canary-of-the-service");
    let sandbox = Sandbox::new();
    strongroom(&sandbox, &["init"]).ok();
    let program = op.program();
    let words = ["provider", "set", "op", "--token-stdin", "--program", program.to_str().unwrap()];
    let set = sandbox.feed(&words, &format!("{TOKEN}\n")).ok();
    assert!(set.stdout.contains("token = local://provider/op/token"), "{set:?}");
    let config = sandbox.read(CONFIG);
    sandbox.write(CONFIG, &format!("{config}{SERVICE}"));
    (sandbox, op)
}

#[test]
fn a_token_from_stdin_is_stored_for_its_provider_alone_without_a_terminal() {
    let (sandbox, op) = set_up();
    let config = sandbox.read(CONFIG);
    assert!(config.contains("token = \"local://provider/op/token\""), "{config}");
    assert!(!config.contains(TOKEN));
    // The stand-in answers only with the token, which `doctor` asks for by way of the service.
    let doctor = strongroom(&sandbox, &["doctor"]);
    assert!(!doctor.stdout.contains("op://Dev/X/key"), "{doctor:?}");
    let calls = op.calls();
    assert_eq!(calls.len(), 1);
    assert!(calls[0].env.contains(&"OP_SERVICE_ACCOUNT_TOKEN".to_owned()));
    // Nobody else may have it.
    let taken = strongroom(
        &sandbox,
        &["provider", "set", "bw", "--token-from", "local://provider/op/token"],
    );
    assert_eq!(taken.code, 3, "{taken:?}");
    let listed = strongroom(&sandbox, &["provider", "list", "--json"]).ok().json();
    let row = listed.as_array().unwrap().iter().find(|row| row["name"] == "op").unwrap();
    assert_eq!(row["ready"], true);
    assert_eq!(row["token"], "local://provider/op/token");
    assert_eq!(row["program"], op.program().to_str().unwrap());
}

#[test]
fn a_stored_token_is_not_led_to_another_program_without_a_person() {
    let (sandbox, _op) = set_up();
    let other = StandInOp::new();
    let program = other.program();
    let words = ["provider", "set", "op", "--program", program.to_str().unwrap()];
    let refused = strongroom(&sandbox, &words);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(!sandbox.read(CONFIG).contains(program.to_str().unwrap()));
    assert!(other.calls().is_empty());
    // A new token goes where the person who has it says.
    let words = [&words[..], &["--token-stdin"]].concat();
    sandbox.feed(&words, "ops_another").ok();
    assert!(sandbox.read(CONFIG).contains(program.to_str().unwrap()));
}

// SC-04: a provider that an agent sets up is otherwise a way out for every secret of the others.
#[test]
fn a_secret_of_another_provider_is_given_away_by_a_person_alone() {
    let (sandbox, op) = set_up();
    let gives: [&[&str]; 2] = [
        &["provider", "set", "vault", "--token-from", "op://Dev/X/key"],
        &["provider", "set", "vault", "--set", "token=op://Dev/X/key"],
    ];
    for words in gives {
        let words = [words, &["--set", "address=http://127.0.0.1:1"]].concat();
        let refused = strongroom(&sandbox, &words);
        assert_eq!(refused.code, 3, "{words:?}: {refused:?}");
    }
    assert!(!sandbox.read(CONFIG).contains("providers.vault"));
    assert!(op.calls().is_empty());
    // What the caller has anyhow is the caller's to give.
    strongroom(&sandbox, &["provider", "set", "vault", "--token-from", "env://MINE"]).ok();
    assert!(sandbox.read(CONFIG).contains("token = \"env://MINE\""));
}

// However the reference came into the file: the vault is asked again when the token is used.
#[test]
fn a_stored_token_is_used_by_its_own_provider_alone() {
    let (sandbox, _op) = set_up();
    let config = sandbox.read(CONFIG);
    let vault = "[providers.vault]\naddress = \"http://127.0.0.1:1\"\ntoken = ";
    let with = |token: &str| sandbox.write(CONFIG, &format!("{config}{vault}\"{token}\"\n"));
    with("local://provider/op/token");
    let denied = strongroom(&sandbox, &["secrets", "test", "vault://secret/x#y"]);
    assert_eq!(denied.code, 4, "{denied:?}");
    assert!(denied.stderr.contains("was stored for `provider:op`"), "{denied:?}");
    // Its own one is used: nobody listens there.
    let words =
        ["secrets", "set", "provider/vault/token", "--for", "provider:vault", "--key-stdin"];
    sandbox.feed(&words, "hvs.another").ok();
    with("local://provider/vault/token");
    let asked = strongroom(&sandbox, &["secrets", "test", "vault://secret/x#y"]);
    assert!(asked.stderr.contains("no connection to it can be made"), "{asked:?}");
}

#[test]
fn a_stored_token_is_not_led_to_another_program_by_naming_it_again_or_later() {
    let (sandbox, op) = set_up();
    let other = StandInOp::new();
    let program = other.program();
    let lead = ["provider", "set", "op", "--program", program.to_str().unwrap()];
    let name = ["--token-from", "local://provider/op/token"];
    let again = strongroom(&sandbox, &[&lead[..], &name].concat());
    assert_eq!(again.code, 3, "{again:?}");
    assert!(sandbox.read(CONFIG).contains(op.program().to_str().unwrap()));
    // The same without another program changes nothing, and needs nobody.
    strongroom(&sandbox, &[&lead[..3], &name].concat()).ok();
    // Forgotten, led, and named again.
    strongroom(&sandbox, &["provider", "set", "op", "--unset", "token"]).ok();
    strongroom(&sandbox, &lead).ok();
    let later = strongroom(&sandbox, &[&lead[..3], &name].concat());
    assert_eq!(later.code, 3, "{later:?}");
    assert!(!sandbox.read(CONFIG).contains("local://provider/op/token"));
}

#[test]
fn a_revoked_token_is_said_with_its_fix_by_doctor() {
    let (sandbox, op) = set_up();
    op.trouble(Trouble::Revoked);
    let doctor = strongroom(&sandbox, &["doctor"]);
    assert!(doctor.stdout.contains("`op` does not accept its token"), "{doctor:?}");
    assert!(doctor.stdout.contains("strongroom provider set op --token-stdin"), "{doctor:?}");
    assert!(!doctor.stdout.contains(TOKEN) && !doctor.stderr.contains(TOKEN));
}

#[test]
fn init_pins_the_programs_that_are_only_in_path_and_prints_them() {
    let op = StandInOp::new();
    let directory = op.program().parent().unwrap().to_owned();
    let sandbox = Sandbox::new().with("PATH", directory.clone());
    let init = strongroom(&sandbox, &["init"]).ok();
    let program = op.program();
    assert!(init.stdout.contains(program.to_str().unwrap()), "{init:?}");
    let config = sandbox.read(CONFIG);
    assert!(config.contains(&format!("program = \"{}\"", program.display())), "{config}");
    // What is there already is not changed by another `PATH`.
    let sandbox = Sandbox::new();
    strongroom(&sandbox, &["init"]).ok();
    let sandbox = sandbox.with("PATH", directory);
    strongroom(&sandbox, &["init"]).ok();
    assert!(!sandbox.read(CONFIG).contains("program"));
}
