//! Questions and grants: in several processes, forged, replayed, and under a clock that moves.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use strongroom_model::approval::{
    Access, Answer, By, Channel, Class, Digest, Grant, MOST_ACCESS, MOST_OPEN, Matter, Opened,
    PATIENCE, Question, Scope, State,
};
use strongroom_model::policy::{AskMethod, Terms};
use strongroom_model::ports::ApprovalsAtOnce as _;
use strongroom_model::principal::{Caller, Name, Principal, Source};
use strongroom_store::{ApprovalStore, Settled};

use crate::home::{Home, name};

const MINUTE: Duration = Duration::from_mins(1);

fn caller(who: &str) -> Caller {
    let principal = Principal { name: name(who), source: Source::Stdio };
    Caller { principal, channel: Channel::default(), claimed_client: None }
}

fn question(body: &str) -> Question {
    question_under(body, "claude", &Terms::default())
}

fn question_under(body: &str, who: &str, terms: &Terms) -> Question {
    Question::new(matter(body), &caller(who), "POST /**", terms, Some("why"))
}

fn matter(body: &str) -> Matter {
    Matter {
        service: name("stripe"),
        revision: u64::MAX - 1,
        digest: Digest::of([body.as_bytes()]),
        class: Class::Write,
        what: "POST /v1/charges".into(),
        place: "https://api.stripe.com".into(),
        bytes: body.len() as u64,
        content_type: None,
        text: None,
        unseen: false,
    }
}

fn store(home: &Home) -> ApprovalStore {
    home.open().unwrap().approvals().unwrap()
}

fn asked(store: &ApprovalStore, question: &Question) -> String {
    match store.open(question).unwrap() {
        Opened::Asked { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

fn approved(store: &ApprovalStore, question: &Question, answer: Answer) -> String {
    let id = asked(store, question);
    assert!(matches!(store.settle(&id, answer, By::Cli).unwrap(), Settled::Done(_)));
    id
}

fn pass(home: &Home, time: Duration) {
    home.clock.set_ms(home.clock.ms() + u64::try_from(time.as_millis()).unwrap());
}

fn file(home: &Home) -> PathBuf {
    home.open().unwrap().path().to_owned()
}

fn sql(home: &Home, statement: &str) -> usize {
    Connection::open(file(home)).unwrap().execute(statement, []).unwrap()
}

#[test]
fn a_question_is_opened_once_and_seen_by_other_processes() {
    let (home, vault) = Home::with_vault();
    let (one, two) = (vault.approvals().unwrap(), store(&home));
    let id = asked(&one, &question("x"));
    assert_eq!(two.open(&question("x")).unwrap(), Opened::Asked { id: id.clone(), new: false });
    let entry = two.find(&id).unwrap().unwrap();
    assert_eq!((entry.state, &entry.question), (State::Open, &question("x")));

    let before = one.version().unwrap();
    assert_eq!(one.version().unwrap(), before);
    two.settle(&id, Answer::Once, By::Cli).unwrap();
    assert_ne!(one.version().unwrap(), before, "an answer of another process is noticed");
    assert_eq!(one.state(&id).unwrap(), State::Approved);
    assert_eq!(one.open(&question("x")).unwrap(), Opened::Approved(id.clone()));
    assert_eq!(two.settle(&id, Answer::Deny, By::Cli).unwrap(), Settled::NotOpen(State::Approved));
}

// DE-03
#[test]
fn of_all_who_use_one_yes_exactly_one_gets_it() {
    let (home, vault) = Home::with_vault();
    let id = approved(&vault.approvals().unwrap(), &question("x"), Answer::Once);
    let stores: Vec<_> = (0..8).map(|_| store(&home)).collect();
    let taken: Vec<_> = std::thread::scope(|scope| {
        let takes: Vec<_> = stores
            .iter()
            .map(|store| scope.spawn(|| store.take(&id, &question("x"), false).unwrap()))
            .collect();
        takes.into_iter().map(|take| take.join().unwrap()).collect()
    });
    assert_eq!(taken.iter().flatten().count(), 1);
    assert_eq!(stores[0].state(&id).unwrap(), State::Used);
}

// DE-03
#[test]
fn a_yes_is_taken_for_its_own_question_alone_and_while_it_is_good() {
    let (home, vault) = Home::with_vault();
    let store = vault.approvals().unwrap();
    let id = approved(&store, &question("x"), Answer::Once);
    for other in [question("y"), question_under("x", "other", &Terms::default())] {
        assert_eq!(store.take(&id, &other, false).unwrap(), None);
    }
    let open = asked(&store, &question("z"));
    assert_eq!(store.take(&open, &question("z"), false).unwrap(), None, "nobody said yes");
    pass(&home, PATIENCE);
    assert_eq!(store.take(&id, &question("x"), false).unwrap(), None, "too late");
    let id = approved(&store, &question("x"), Answer::Once);
    assert!(store.take(&id, &question("x"), false).unwrap().is_some());
    assert_eq!(store.take(&id, &question("x"), false).unwrap(), None, "used");
}

#[test]
fn what_nobody_answers_in_time_expires_and_is_told_of_once() {
    let (home, vault) = Home::with_vault();
    let store = vault.approvals().unwrap();
    let id = asked(&store, &question("x"));
    assert!(store.lapse().unwrap().is_empty());
    pass(&home, PATIENCE);
    assert_eq!(store.state(&id).unwrap(), State::Expired);
    assert_eq!(store.settle(&id, Answer::Once, By::Cli).unwrap(), Settled::NotOpen(State::Expired));
    let told: Vec<_> = store.lapse().unwrap().into_iter().map(|entry| entry.id).collect();
    assert_eq!(told, [id]);
    assert!(store.lapse().unwrap().is_empty());
}

#[test]
fn a_clock_that_goes_back_ends_questions_answers_and_grants() {
    let (home, vault) = Home::with_vault();
    let store = vault.approvals().unwrap();
    let now = home.clock.ms();
    let open = asked(&store, &question("open"));
    let once = approved(&store, &question("once"), Answer::Once);
    let timed = approved(&store, &question("timed"), Answer::For(10 * MINUTE));
    home.clock.set_ms(now - 1);
    assert_eq!(store.state(&open).unwrap(), State::Expired);
    assert_eq!(store.take(&once, &question("once"), false).unwrap(), None);
    assert_eq!(store.granted(&question("timed").scope().unwrap()).unwrap(), None);
    home.clock.set_ms(now);
    assert!(store.granted(&question("timed").scope().unwrap()).unwrap().is_some());
    assert!(store.take(&timed, &question("timed"), false).unwrap().is_some());
}

// DE-02
#[test]
fn a_timed_grant_covers_its_scope_in_every_process_until_it_lapses_or_is_taken_back() {
    let (home, vault) = Home::with_vault();
    let (one, two) = (vault.approvals().unwrap(), store(&home));
    approved(&one, &question("x"), Answer::For(10 * MINUTE));
    let scope = question("another body").scope().unwrap();
    let grant = two.granted(&scope).unwrap().unwrap();
    assert_eq!(grant.scope, scope);
    for other in [
        Scope { principal: name("other"), ..scope.clone() },
        Scope { service: name("other"), ..scope.clone() },
        Scope { rule: "POST /*".into(), ..scope.clone() },
        Scope { class: Class::Delete, ..scope.clone() },
        Scope { revision: 1, ..scope.clone() },
    ] {
        assert_eq!(two.granted(&other).unwrap(), None, "{other:?}");
    }
    assert!(two.revoke(&grant.id).unwrap());
    assert_eq!(one.granted(&scope).unwrap(), None, "taken back by another process");
    assert!(!two.revoke(&grant.id).unwrap());

    approved(&one, &question("y"), Answer::For(10 * MINUTE));
    pass(&home, 10 * MINUTE);
    assert_eq!(two.granted(&scope).unwrap(), None, "lapsed");
}

#[test]
fn a_grant_is_no_longer_than_its_rule_lets_it_be() {
    let (home, vault) = Home::with_vault();
    let store = vault.approvals().unwrap();
    let terms = Terms { ttl: Some(5 * MINUTE), ..Terms::default() };
    let capped = question_under("x", "claude", &terms);
    approved(&store, &capped, Answer::For(60 * MINUTE));
    let scope = capped.scope().unwrap();
    assert!(store.granted(&scope).unwrap().is_some());
    pass(&home, 5 * MINUTE);
    assert_eq!(store.granted(&scope).unwrap(), None);
}

#[test]
fn a_grant_for_a_session_is_for_who_holds_it_and_can_be_taken_back() {
    let (home, vault) = Home::with_vault();
    let store = vault.approvals().unwrap();
    let id = approved(&store, &question("x"), Answer::Session);
    let taken = store.take(&id, &question("x"), true).unwrap().unwrap();
    let grant: Grant = taken.grant.unwrap();
    assert!(grant.is_for_session());
    assert_eq!(store.granted(&grant.scope).unwrap(), None, "the row alone grants nothing");
    assert!(store.stands(&grant.id).unwrap());
    assert_eq!(store.grants(&name("claude"), &[]).unwrap(), []);
    assert_eq!(store.grants(&name("claude"), std::slice::from_ref(&grant.id)).unwrap().len(), 1);
    assert_eq!(store.all_grants().unwrap().len(), 1, "a person sees it");
    assert_eq!(store.revoke_all().unwrap(), 1);
    assert!(!store.stands(&grant.id).unwrap());

    let id = approved(&store, &question("y"), Answer::Session);
    assert_eq!(store.take(&id, &question("y"), false).unwrap().unwrap().grant, None);
    pass(&home, MINUTE);
    assert!(store.all_grants().unwrap().is_empty());
}

#[test]
fn what_is_to_be_asked_outside_is_never_answered_by_the_agents_client() {
    let (_home, vault) = Home::with_vault();
    let store = vault.approvals().unwrap();
    let me = name("claude");
    let answer =
        |id: &str, who: &Name| store.answer(id, who, Answer::Once, By::Elicitation).unwrap();
    let weak = asked(&store, &question("weak"));
    assert!(!answer(&weak, &name("other")), "another principal's");
    assert!(answer(&weak, &me));
    let terms = Terms { method: AskMethod::Dialog, ..Terms::default() };
    let strong = asked(&store, &question_under("strong", "claude", &terms));
    assert!(!answer(&strong, &me));
    let access = Access { service: name("x"), what: "GET /".into(), reason: None, covered: None };
    let access = asked(&store, &Question::access(&access, &caller("claude")));
    assert!(!answer(&access, &me));
    assert!(matches!(store.settle(&strong, Answer::Once, By::Cli).unwrap(), Settled::Done(_)));
}

/// Whoever can write the file, and has no key, can take access away and never give it.
#[test]
fn rows_that_others_wrote_or_changed_grant_nothing() {
    let (home, vault) = Home::with_vault();
    let store = vault.approvals().unwrap();
    let scope = question("x").scope().unwrap();

    let denied = asked(&store, &question("denied"));
    store.settle(&denied, Answer::Deny, By::Cli).unwrap();
    let open = asked(&store, &question("open"));
    let used = approved(&store, &question("used"), Answer::Once);
    assert!(store.take(&used, &question("used"), false).unwrap().is_some());
    sql(&home, "UPDATE approvals SET state = 'approved', answer = 'once', method = 'cli'");
    for (id, body) in [(&denied, "denied"), (&open, "open"), (&used, "used")] {
        assert_eq!(store.take(id, &question(body), false).unwrap(), None, "{body}");
        assert!(store.find(id).unwrap().is_none(), "{body}");
    }

    approved(&store, &question("x"), Answer::For(10 * MINUTE));
    assert!(store.granted(&scope).unwrap().is_some());
    for change in [
        "UPDATE grants SET lapses = lapses + 1000",
        "UPDATE grants SET class = 'delete'",
        "UPDATE grants SET principal = 'other'",
        "UPDATE grants SET service = 'other'",
        "UPDATE grants SET rule = 'POST /v1/**'",
        "UPDATE grants SET tag = zeroblob(32)",
        "UPDATE grants SET id = 'g-other'",
    ] {
        store.revoke_all().unwrap();
        let id = format!("fresh {change}");
        approved(&store, &question(&id), Answer::For(10 * MINUTE));
        assert!(store.granted(&scope).unwrap().is_some(), "{change}");
        assert_eq!(sql(&home, change), 1);
        for scope in [
            scope.clone(),
            Scope { class: Class::Delete, ..scope.clone() },
            Scope { principal: name("other"), ..scope.clone() },
            Scope { service: name("other"), ..scope.clone() },
            Scope { rule: "POST /v1/**".into(), ..scope.clone() },
        ] {
            assert_eq!(store.granted(&scope).unwrap(), None, "{change}");
        }
        assert!(store.all_grants().unwrap().is_empty(), "{change}");
    }
    let forged = "INSERT INTO grants SELECT 'g-forged', tenant, principal, service, 'POST /**', class, \
                  revision, method, created, lapses, tag FROM grants";
    sql(&home, forged);
    assert_eq!(store.granted(&scope).unwrap(), None);
}

/// The tags are of the tenant's key: the rows of another vault are not ours.
#[test]
fn the_grants_of_another_vault_are_not_ours() {
    let (mine, vault) = Home::with_vault();
    let (other, other_vault) = Home::with_vault();
    let theirs = other_vault.approvals().unwrap();
    approved(&theirs, &question("x"), Answer::For(10 * MINUTE));
    let path = file(&other);
    drop(theirs);
    let db = Connection::open(file(&mine)).unwrap();
    db.execute("ATTACH ?1 AS other", [path.to_str().unwrap()]).unwrap();
    db.execute("INSERT INTO grants SELECT * FROM other.grants", []).unwrap();
    let store = vault.approvals().unwrap();
    assert_eq!(store.granted(&question("x").scope().unwrap()).unwrap(), None);
    assert_eq!(store.all_grants().unwrap(), []);
}

// DE-09
#[test]
fn a_flood_of_questions_is_cut_off_for_who_floods() {
    let (home, vault) = Home::with_vault();
    let store = vault.approvals().unwrap();
    for n in 0..MOST_OPEN {
        asked(&store, &question(&n.to_string()));
    }
    assert_eq!(store.open(&question("more")).unwrap(), Opened::TooMany);
    asked(&store, &question_under("more", "other", &Terms::default()));
    let access = |n: usize| {
        let access =
            Access { service: name("x"), what: n.to_string(), reason: None, covered: None };
        Question::access(&access, &caller("claude"))
    };
    for n in 0..MOST_ACCESS {
        let id = asked(&store, &access(n));
        store.settle(&id, Answer::Deny, By::Cli).unwrap();
    }
    assert_eq!(store.open(&access(99)).unwrap(), Opened::TooMany, "a no does not make room");
    pass(&home, PATIENCE);
    asked(&store, &question("more"));
    pass(&home, Duration::from_hours(24));
    asked(&store, &access(99));
}

#[test]
fn a_question_that_is_withdrawn_cannot_be_answered() {
    let (_home, vault) = Home::with_vault();
    let store = vault.approvals().unwrap();
    let id = asked(&store, &question("x"));
    assert!(store.withdraw(&id).unwrap());
    assert!(!store.withdraw(&id).unwrap());
    let settled = store.settle(&id, Answer::Once, By::Cli).unwrap();
    assert_eq!(settled, Settled::NotOpen(State::Withdrawn));
    assert_ne!(asked(&store, &question("x")), id, "and can be asked anew");
}

#[test]
fn who_wants_to_know_is_told_of_each_question_once() {
    let (_home, vault) = Home::with_vault();
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let teller = std::sync::Arc::clone(&told);
    let store = vault.approvals().unwrap().telling(move |question| {
        teller.lock().unwrap().push(question.what.clone());
    });
    for _ in 0..2 {
        asked(&store, &question("x"));
    }
    assert_eq!(*told.lock().unwrap(), ["POST /v1/charges"]);
}

#[test]
fn a_body_is_there_while_the_question_is_open_and_gone_from_the_file_afterwards() {
    let (home, vault) = Home::with_vault();
    let store = store(&home);
    let with_text = |digest: &str| {
        let matter = Matter { text: Some(format!("canary-{digest}")), ..matter(digest) };
        Question::new(matter, &caller("claude"), "POST /**", &Terms::default(), None)
    };
    let body = |id: &str| store.find(id).unwrap().unwrap().question.body;
    let settle = |id: &str, answer| drop(store.settle(id, answer, By::Cli).unwrap());
    for end in ["approved", "denied", "withdrawn", "expired"] {
        let question = with_text(end);
        let id = asked(&store, &question);
        assert_eq!(body(&id).unwrap().lines, [format!("canary-{end}")]);
        match end {
            "approved" => settle(&id, Answer::Once),
            "denied" => settle(&id, Answer::Deny),
            "withdrawn" => assert!(store.withdraw(&id).unwrap()),
            _ => {
                pass(&home, PATIENCE);
                assert_eq!(body(&id), None, "it is over, whether or not that was noted");
                assert_eq!(store.lapse().unwrap().len(), 1);
            }
        }
        assert_eq!(body(&id), None, "{end}");
        assert_eq!(store.find(&id).unwrap().unwrap().question.digest(), question.digest());
    }
    drop(store);
    drop(vault);
    for file in std::fs::read_dir(home.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"canary-"));
    }
}
