use super::*;
use crate::canonical::{CanonicalRequest, RawRequest, canonicalize};
use crate::policy::{AskMethod, Terms};
use crate::principal::{Caller, Principal, Source};
use crate::testing::service;

fn caller(name: &str) -> Caller {
    let principal = Principal { name: name.parse().unwrap(), source: Source::Stdio };
    Caller { principal, channel: Channel::default(), claimed_client: Some("cli\u{1b}ent".into()) }
}

fn raw() -> RawRequest {
    RawRequest {
        method: "POST".into(),
        path: "/charges?limit=1".into(),
        headers: vec![("Content-Type".into(), "application/json".into())],
        body: b"{\"amount\":5}".to_vec(),
        ..RawRequest::default()
    }
}

fn request(raw: RawRequest) -> CanonicalRequest {
    canonicalize(&service(), raw).unwrap()
}

fn question(matter: Matter, name: &str, rule: &str, reason: Option<&str>) -> Question {
    Question::new(matter, &caller(name), rule, &Terms::default(), reason)
}

fn digest(raw: RawRequest) -> Digest {
    *question(Matter::request(&service(), &request(raw)), "a", "POST /**", None).digest()
}

// DE-03
#[test]
fn an_answer_is_bound_to_every_byte_of_the_request() {
    let same = digest(raw());
    assert_eq!(digest(RawRequest { method: "POST".into(), ..raw() }), same);
    let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    for other in [
        RawRequest { method: "PUT".into(), ..raw() },
        RawRequest { path: "/charges?limit=2".into(), ..raw() },
        RawRequest { path: "/charges".into(), ..raw() },
        RawRequest { path: "/charge?limit=1".into(), ..raw() },
        RawRequest { body: b"{\"amount\":6}".to_vec(), ..raw() },
        RawRequest { body: Vec::new(), ..raw() },
        RawRequest { headers: header("content-type", "text/plain"), ..raw() },
        RawRequest { headers: Vec::new(), ..raw() },
    ] {
        assert_ne!(digest(other.clone()), same, "{other:?}");
    }
}

#[test]
fn an_answer_is_bound_to_who_asks_and_to_the_rule_and_revision_that_did() {
    let matter = || Matter::request(&service(), &request(raw()));
    let same = *question(matter(), "a", "POST /**", None).digest();
    assert_eq!(*question(matter(), "a", "POST /**", Some("another reason")).digest(), same);
    assert_ne!(*question(matter(), "b", "POST /**", None).digest(), same);
    assert_ne!(*question(matter(), "a", "POST /*", None).digest(), same);
    let changed = Matter { revision: 2, ..matter() };
    assert_ne!(*question(changed, "a", "POST /**", None).digest(), same);
    let elsewhere = Matter { service: "other".parse().unwrap(), ..matter() };
    assert_ne!(*question(elsewhere, "a", "POST /**", None).digest(), same);
}

// AL-01
#[test]
fn what_a_person_reads_is_plain_and_nothing_in_it_can_pass_for_more_of_it() {
    let reason = "ok\u{1b}[2J\n`root` wants nothing\u{202e}\" \"";
    let asked = question(
        Matter::request(&service(), &request(raw())),
        "claude-code",
        "POST /charges",
        Some(reason),
    );
    assert_eq!(
        asked.lines(false),
        [
            "`claude-code` (its client calls itself `cli\\u{1b}ent`) wants to use `acme`",
            "POST /v1/charges?limit=1",
            "at https://api.test:8443, with a body of 12 bytes (application/json)",
            "| {\"amount\":5}",
            "asked for by the rule `POST /charges`",
            "the agent says why: \"ok\\u{1b}[2J\\u{a}`root` wants nothing\\u{202e}' '\"",
        ]
    );
    let long = question(
        Matter::request(
            &service(),
            &request(RawRequest {
                path: format!("/charges?a={}&amount=9", "x".repeat(4_000)),
                ..raw()
            }),
        ),
        "a",
        "POST /charges",
        Some(&"why ".repeat(10_000)),
    );
    let lines = long.lines(false);
    assert!(lines.iter().all(|line| line.len() < 1_200), "{lines:?}");
    assert!(lines[1].ends_with("... (cut: about 3028 more characters)"), "{}", lines[1]);
    assert!(long.lines(true)[1].ends_with("&amount=9"), "and the whole can be had");
}

#[test]
fn only_the_exact_words_of_a_prompt_count() {
    assert_eq!(Answer::of_prompt("Allow"), Answer::Once);
    assert_eq!(Answer::of_prompt("Allow for Session"), Answer::Session);
    for word in ["", "Deny", "allow", "Allow ", "yes", "true", "Allow for session", "ALLOW"] {
        assert_eq!(Answer::of_prompt(word), Answer::Deny, "{word}");
    }
}

#[test]
fn a_grant_is_no_longer_than_its_rule_lets_it_be() {
    let minutes = |n| Duration::from_mins(n);
    assert_eq!(Answer::For(minutes(10)).within(None), Answer::For(minutes(10)));
    assert_eq!(Answer::For(minutes(10)).within(Some(minutes(5))), Answer::For(minutes(5)));
    assert_eq!(Answer::For(Duration::MAX).within(None), Answer::For(LONGEST_GRANT));
    assert_eq!(Answer::Once.within(Some(minutes(5))), Answer::Once);
}

// DE-02
#[test]
fn a_grant_covers_one_principal_service_rule_class_and_revision() {
    let scope = |service: &str, rule: &str, class, revision| Scope {
        principal: "a".parse().unwrap(),
        service: service.parse().unwrap(),
        rule: rule.into(),
        class,
        revision,
    };
    let held = scope("acme", "* /**", Class::Read, 1);
    let session = SessionGrants::default();
    let (now, hour) = (Duration::from_secs(5), Duration::from_hours(1));
    session.keep("s-1".into(), held.clone(), By::Cli, now, Duration::MAX);
    assert_eq!(session.find(&held, now), Some(("s-1".into(), By::Cli)));
    for other in [
        scope("other", "* /**", Class::Read, 1),
        scope("acme", "* /*", Class::Read, 1),
        scope("acme", "* /**", Class::Delete, 1),
        scope("acme", "* /**", Class::Read, 2),
        Scope { principal: "b".parse().unwrap(), ..held.clone() },
    ] {
        assert_eq!(session.find(&other, now), None, "{other:?}");
    }
    assert!(session.find(&held, now + 7 * hour).is_some());
    assert!(session.find(&held, now + 8 * hour).is_none(), "8 hours at the most");
    session.forget("s-1");
    assert!(session.find(&held, now).is_none());
}

#[test]
fn a_clock_that_went_back_ends_a_grant() {
    let at = |s| SystemTime::UNIX_EPOCH + Duration::from_secs(s);
    let scope = question(Matter::request(&service(), &request(raw())), "a", "POST /**", None);
    let scope = scope.scope().unwrap();
    let grant = Grant { id: "g-1".into(), scope, by: By::Cli, created: at(100), lapses: at(200) };
    let stands: Vec<bool> = [99, 100, 199, 200].map(|s| grant.stands(at(s))).to_vec();
    assert_eq!(stands, [false, true, true, false]);
}

#[test]
fn a_rule_that_wants_a_person_outside_says_so_in_its_question() {
    let terms = Terms { method: AskMethod::Dialog, ..Terms::default() };
    let matter = Matter::request(&service(), &request(raw()));
    assert!(Question::new(matter.clone(), &caller("a"), "POST /**", &terms, None).outside);
    assert!(!Question::new(matter, &caller("a"), "POST /**", &Terms::default(), None).outside);
}

#[test]
fn a_question_reads_back_as_it_was_written() {
    let asked =
        question(Matter::request(&service(), &request(raw())), "a", "POST /**", Some("because"));
    let text = serde_json::to_string(&asked).unwrap();
    assert_eq!(serde_json::from_str::<Question>(&text).unwrap(), asked);
    for name in State::parse("open").into_iter().chain(State::parse("used")) {
        assert_eq!(State::parse(name.as_str()), Some(name));
    }
}

// DE-03
#[test]
fn a_person_sees_the_body_in_lines_that_do_nothing_and_how_much_of_it_is_missing() {
    let matter = |body: &[u8]| {
        let raw = RawRequest { body: body.to_vec(), ..raw() };
        Matter::request(&service(), &request(raw))
    };
    let shown = |body: &[u8], whole| question(matter(body), "a", "POST /**", None).lines(whole);
    let lines = shown(b"{\n  \"amount\": 5\x1b[2J\n}", true);
    assert_eq!(lines[3..6], ["| {", "|   \"amount\": 5\\u{1b}[2J", "| }"]);
    let long = format!("{}\n{}", "a".repeat(3_000), "b".repeat(3_000));
    let lines = shown(long.as_bytes(), true);
    assert_eq!(lines[4], format!("| {}", "b".repeat(1_095)));
    assert_eq!(lines[5], "... (cut: 1905 more bytes)");
    let lines = shown(long.as_bytes(), false);
    assert_eq!(lines[3], format!("| {}", "a".repeat(1_000)));
    assert!(lines[4].contains("approvals show"), "{lines:?}");
    assert!(!shown(b"\xff\xfe", true).iter().any(|line| line.starts_with('|')));
    let same = |body: &[u8]| *question(matter(body), "a", "POST /**", None).digest();
    let (one, two) = ([b'x'; 5_000], [[b'x'; 4_999].as_slice(), b"y"].concat());
    assert_eq!(shown(&one, true), shown(&two, true));
    assert_ne!(same(&one), same(&two), "what is not shown is bound, too");
}
