use proptest::prelude::*;

use super::*;
use crate::command::{Command, Program};
use crate::service::Auth;

use Verdict::{Allow, Ask, Deny};

/// A service of git with `rules`.
pub(crate) fn git(rules: &[(Verdict, &str)]) -> Command {
    let rules = rules.iter().map(|(verdict, text)| Rule::parse(*verdict, "git", text).unwrap());
    Command {
        name: "git".parse().unwrap(),
        program: Program {
            path: "/usr/bin/git".into(),
            sha256: String::new(),
            word: "git".to_owned(),
        },
        auth: Auth::default(),
        env: Vec::new(),
        askpass: None,
        policy: Policy::new(rules.collect()),
        workdir: None,
        stdin: true,
        limits: crate::command::limits(),
        principals: None,
        revision: 1,
    }
}

fn verdict(command: &Command, words: &[&str]) -> Verdict {
    let words = std::iter::once("git").chain(words.iter().copied()).map(str::to_owned).collect();
    let invocation = Invocation::read(command, words, Vec::new()).unwrap();
    let explained = command.policy.explain(&invocation).verdict;
    let judged = match command.policy.judge(invocation) {
        Judgement::Allowed(_) => Allow,
        Judgement::Asks(_) => Ask,
        Judgement::Denied(_) => Deny,
    };
    assert_eq!(explained, judged);
    judged
}

#[test]
fn a_rule_that_allows_matches_word_for_word() {
    let command = git(&[
        (Allow, "git push|fetch origin main"),
        (Allow, "git log *"),
        (Allow, "git clone https://git.example.com/*"),
        (Allow, "git commit -m 'two words' **"),
        (Allow, "git status"),
        (Allow, "git tag '*'"),
    ]);
    for (words, expected) in [
        (&["push", "origin", "main"][..], Allow),
        (&["fetch", "origin", "main"], Allow),
        (&["pull", "origin", "main"], Deny),
        (&["push|fetch", "origin", "main"], Deny),
        (&["push", "origin"], Deny),
        (&["push", "origin", "main", "--force"], Deny),
        (&["--no-pager", "push", "origin", "main"], Deny),
        (&["PUSH", "origin", "main"], Deny),
        (&["log", "main"], Allow),
        (&["log"], Deny),
        (&["log", ""], Deny),
        // An argument more is no option.
        (&["log", "--output=/etc/passwd"], Deny),
        (&["log", "-p"], Deny),
        (&["log", "a", "b"], Deny),
        (&["clone", "https://git.example.com/a/b"], Allow),
        (&["clone", "https://git.example.com.evil.test/"], Deny),
        (&["clone", "ext::sh -c id"], Deny),
        (&["commit", "-m", "two words"], Allow),
        (&["commit", "-m", "two words", "-a", "--", "x"], Allow),
        (&["commit", "-m", "two", "words"], Deny),
        (&["status"], Allow),
        (&["status", ""], Deny),
        (&[], Deny),
        (&["tag", "*"], Allow),
        (&["tag", "v1"], Deny),
    ] {
        assert_eq!(verdict(&command, words), expected, "{words:?}");
    }
}

// LM-15
#[test]
fn an_option_that_is_denied_is_found_in_every_form_and_place() {
    let command = git(&[
        (Allow, "git **"),
        (Deny, "git -c"),
        (Deny, "git --config-env"),
        (Deny, "git --upload-pack|--receive-pack|--exec"),
        (Deny, "git clone -u"),
        (Deny, "git ext::*"),
    ]);
    for words in [
        &["-c", "core.sshCommand=id", "fetch"][..],
        &["-ccore.sshCommand=id", "fetch"],
        &["-pc", "core.sshCommand=id", "fetch"],
        &["clone", "-c", "core.sshCommand=id", "x"],
        &["clone", "--config", "x=y"], // what `--config-env` may be shortened to
        &["--config-env=core.sshCommand=X", "fetch"],
        &["--config-env", "core.sshCommand=X", "fetch"],
        &["fetch", "--upload-pack", "id"],
        &["fetch", "--upload-pack=id"],
        &["fetch", "--upload-p=id"],
        &["fetch", "--upl", "id"],
        &["fetch", "origin", "--", "--upload-pack=id"],
        &["push", "--exec=id"],
        &["push", "--EXEC=id"],
        &["push", "--receive-pack", "id"],
        &["clone", "-u", "id", "x"],
        &["clone", "-uid", "x"],
        &["clone", "-qu", "id", "x"],
        &["--no-pager", "clone", "x", "-u", "id"],
        &["-C", "/", "clone", "x", "-u", "id"],
        &["clone", "ext::sh -c id"],
        &["fetch", "EXT::sh -c id"],
        &["remote", "add", "x", "ext::sh"],
        &["push", "--repo=ext::sh"],
    ] {
        assert_eq!(verdict(&command, words), Deny, "{words:?}");
    }
    for words in [
        &["push", "-u", "origin", "main"][..],
        &["fetch", "-C"],
        &["clone", "https://h/clone-u"],
        &["commit", "-m", "use --upload-pack and ext::sh, -c"],
        &["fetch", "--update-head-ok"],
        &["--", "-"],
        &["log", "--"],
    ] {
        assert_eq!(verdict(&command, words), Allow, "{words:?}");
    }
}

#[test]
fn a_rule_that_denies_or_asks_holds_for_whatever_begins_so() {
    let command = git(&[
        (Allow, "git **"),
        (Deny, "git push --force"),
        (Deny, "git remote add|set-url **"),
        (Ask, "git push * main"),
    ]);
    for (words, expected) in [
        (&["push", "origin", "topic"][..], Allow),
        (&["push", "origin", "main"], Ask),
        (&["push", "-q", "origin", "--tags", "main"], Ask),
        (&["push", "origin", "main", "x"], Ask),
        (&["push", "-o", "x", "origin", "main"], Ask),
        (&["push", "--force", "origin", "topic"], Deny),
        (&["push", "origin", "main", "--force"], Deny),
        (&["push", "origin", "main", "--forc"], Deny),
        // `--force` is no matter of other commands.
        (&["checkout", "--force", "push"], Allow),
        (&["remote", "-v", "add", "x", "y"], Deny),
        (&["remote", "add"], Deny),
        (&["-C", "/x", "remote", "set-url", "x"], Deny),
        (&["REMOTE", "Add"], Deny),
        (&["remote", "-v"], Allow),
        (&["log", "remote", "add"], Allow),
    ] {
        assert_eq!(verdict(&command, words), expected, "{words:?}");
    }
}

#[test]
fn the_strictest_matching_rule_wins_in_any_order() {
    let mut rules = vec![(Allow, "git push **"), (Ask, "git push"), (Deny, "git push * secret")];
    for _ in 0..rules.len() {
        rules.rotate_left(1);
        let command = git(&rules);
        assert_eq!(verdict(&command, &["push", "origin"]), Ask);
        assert_eq!(verdict(&command, &["push", "origin", "secret"]), Deny);
        assert_eq!(verdict(&command, &["pull"]), Deny);
    }
}

#[test]
fn a_rule_that_cannot_be_read_is_an_error_that_does_not_repeat_it() {
    for text in [
        "",
        "   ",
        "gh canary",
        "/usr/bin/git canary",
        "git ** canary",
        "git ca*nary",
        "git canary|",
        "git canary|--force",
        "git 'canary",
        "git can'ary'",
        "git 'can'ary",
        "git canary\\",
        "git https://canary*",
        "'' canary",
    ] {
        let error = Rule::parse(Allow, "git", text).unwrap_err();
        assert!(!format!("{error:?}").contains("canary"), "{text}: {error:?}");
    }
    assert!(Rule::parse(Allow, "git", &format!("git {}", "x".repeat(4096))).is_err());
    let rule = Rule::parse(Deny, "git", "  git   push  **").unwrap();
    assert_eq!(rule.text(), "git push **");
}

#[test]
fn a_rule_that_allows_everything_is_known_as_one() {
    assert!(git(&[(Allow, "git **")]).policy.allows_everything());
    for rule in [(Allow, "git *"), (Allow, "git push **"), (Deny, "git **"), (Ask, "git **")] {
        assert!(!git(&[rule]).policy.allows_everything(), "{rule:?}");
    }
}

proptest! {
    // Whatever one rule allows word for word, the same rule denies as well.
    #[test]
    fn what_a_pattern_allows_the_same_pattern_denies(
        pattern in prop::collection::vec("(push|-c|--force|\\*|a\\*|a\\|b)", 0..5),
        rest in any::<bool>(),
        words in prop::collection::vec("(push|-c|--force|a|b|-|--|ab)", 0..6),
    ) {
        let end = if rest { " **" } else { "" };
        let text = format!("git {}{end}", pattern.join(" "));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if verdict(&git(&[(Allow, &text)]), &words) == Allow {
            let denied = git(&[(Allow, "git **"), (Deny, &text)]);
            prop_assert_eq!(verdict(&denied, &words), Deny);
        }
    }

    #[test]
    fn an_option_is_denied_wherever_it_stands(
        before in prop::collection::vec("[a-z-]{0,6}", 0..6),
        spelled in "(-c|-cx|-vc|--upload-pack|--upload-pack=x|--upl)",
        after in prop::collection::vec("[a-z-]{0,6}", 0..6),
    ) {
        let command = git(&[(Allow, "git **"), (Deny, "git -c"), (Deny, "git --upload-pack")]);
        let words = before.iter().chain([&spelled]).chain(&after).map(String::as_str);
        prop_assert_eq!(verdict(&command, &words.collect::<Vec<_>>()), Deny);
    }
}
