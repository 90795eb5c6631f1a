//! The bell with real programs: a stand-in for the desktop, and a program of the user's.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use strongroom_model::ports::ResolveError;
use strongroom_secrets::supply::Done;

use super::{Bell, Notifier, raise};

struct Stand {
    dir: tempfile::TempDir,
}

impl Stand {
    fn new() -> Self {
        let stand = Self { dir: tempfile::tempdir().unwrap() };
        for (name, into) in [("notify", "shown"), ("on-failure", "told")] {
            let path = stand.dir.path().join(name);
            let into = stand.dir.path().join(into);
            let text = format!(
                "#!/bin/sh\nprintf '%s|' \"$@\" >> '{0}'\necho >> '{0}'\nenv > '{0}.env'\n",
                into.display()
            );
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        stand
    }

    fn bell(&self) -> Bell {
        let path = |name: &str| self.dir.path().join(name);
        let notifier = Notifier {
            program: path("notify"),
            arguments: vec!["--".to_owned(), "Strongroom".to_owned()],
            env: Vec::new(),
            variable: None,
        };
        Bell {
            state: path("state"),
            notifier: Some(notifier),
            on_failure: vec![path("on-failure").display().to_string(), "-x".to_owned()],
            env: vec![("HOME".into(), "/ann".into())],
        }
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }
}

fn done(reference: &str, failures: u32) -> Done {
    let scheme = reference.split(':').next().unwrap();
    let down = ResolveError::unreachable(scheme, "canary");
    Done {
        reference: reference.parse().unwrap(),
        outcome: if failures == 0 { Ok(()) } else { Err(down) },
        failures,
    }
}

const OP: &str = "op://Vault/canary-item/field";
const PASS: &str = "pass://canary/entry";

#[test]
fn a_person_is_told_once_in_ten_failures_and_again_after_a_success_and_three_more() {
    let stand = Stand::new();
    let bell = stand.bell();
    for round in 1..=10 {
        let raised = raise(&[done(OP, round)], &[], &bell);
        assert_eq!(raised.is_some(), round == 3, "{round}");
        // A start in between, whose question was held back, finds the same number.
        assert_eq!(raise(&[done(OP, round)], &[], &bell), None, "{round}");
    }
    assert_eq!(stand.lines("told"), ["-x|op|"]);
    let shown = "--|Strongroom|secrets of op could not be refreshed 3 times in a row. Run \
                 `strongroom secrets status`.|";
    assert_eq!(stand.lines("shown"), [shown]);

    assert_eq!(raise(&[done(OP, 0)], &[], &bell), None);
    let again = (1..=4).filter(|round| raise(&[done(OP, *round)], &[], &bell).is_some());
    assert_eq!(again.collect::<Vec<_>>(), [3]);
    assert_eq!((stand.lines("told").len(), stand.lines("shown").len()), (2, 2));
}

#[test]
fn a_provider_that_answers_one_project_is_not_well_while_it_fails_another() {
    let stand = Stand::new();
    let bell = stand.bell();
    assert!(raise(&[done(OP, 3)], &[("op".to_owned(), 3)], &bell).is_some());
    // Another project's refresh goes well, then the first one's fails again.
    assert_eq!(raise(&[done(OP, 0)], &[("op".to_owned(), 3)], &bell), None);
    assert_eq!(raise(&[done(OP, 4)], &[("op".to_owned(), 4)], &bell), None);
    assert_eq!(raise(&[done(OP, 0)], &[("pass".to_owned(), 9)], &bell), None);
    assert!(raise(&[done(OP, 3)], &[("op".to_owned(), 3)], &bell).is_some());
}

#[test]
fn providers_that_fail_together_are_told_of_together_and_nothing_else_is_told() {
    let stand = Stand::new();
    let bell = stand.bell();
    let raised =
        raise(&[done(OP, 3), done(PASS, 5), done("vault://m/p#f", 2)], &[], &bell).unwrap();
    assert_eq!(raised.providers, ["op", "pass"]);
    assert_eq!(raised.line, "secrets of op, pass could not be refreshed 3 times in a row");
    assert!(raised.problems.is_empty(), "{raised:?}");
    assert_eq!(stand.lines("told"), ["-x|op|pass|"]);
    // One of them works again: the other one is still known.
    assert_eq!(raise(&[done(OP, 0), done(PASS, 6)], &[], &bell), None);
    assert_eq!(raise(&[done(OP, 3), done(PASS, 7)], &[], &bell).unwrap().providers, ["op"]);
    for name in ["told", "shown", "told.env", "shown.env"] {
        let text = stand.lines(name).join("\n");
        assert!(!text.contains("canary") && !text.contains("CARGO"), "{name}: {text}");
    }
    assert!(stand.lines("told.env").contains(&"HOME=/ann".to_owned()));
}

#[test]
fn a_program_that_cannot_tell_is_said_and_holds_nothing_up() {
    let stand = Stand::new();
    let mut bell = stand.bell();
    bell.on_failure = vec!["/nowhere/program".to_owned()];
    bell.notifier = None;
    let raised = raise(&[done(OP, 3)], &[], &bell).unwrap();
    assert_eq!(raised.problems.len(), 1, "{raised:?}");
    assert!(raised.problems[0].starts_with("on_failure: "), "{raised:?}");
    // Without a place to remember in, the number counts.
    fs::write(stand.dir.path().join("file"), "").unwrap();
    bell.state = stand.dir.path().join("file/state");
    bell.on_failure = Vec::new();
    let told = (1..=10).filter(|round| raise(&[done(OP, *round)], &[], &bell).is_some());
    assert_eq!(told.collect::<Vec<_>>(), [3]);
}
