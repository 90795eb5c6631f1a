//! Where a rule asks, a window asks too: the first answer counts, and a window is open no longer than its
//! question.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use strongroom_model::approval::{Answer, Channel, MOST_OPEN, PATIENCE, Question, State};
use strongroom_model::audit::{Draft, Kind};
use strongroom_model::call::{Execute, Finished};
use strongroom_model::code::Code;
use strongroom_model::policy::{AskMethod, Policy, Rule, Terms, Verdict};
use strongroom_model::ports::{
    BoxFuture, Calls as _, Dialog, Prompt, Prompted, ResolveError, Shown, Verification,
};
use strongroom_model::principal::Caller;
use strongroom_testkit::fakes::{FakeDialog, FakeLacking, FixedPrompt, caller, policy};
use strongroom_testkit::upstream::Reply;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::consent::{call, post, with};
use crate::rig::{Rig, get};

async fn rig() -> (Rig, Arc<FakeDialog>) {
    let mut rig = Rig::new(|_| Reply::ok("fine")).await;
    rig.reconfigure(|service| service.policy = policy("allow GET /public/**\nask POST /items"));
    let person = Arc::new(FakeDialog::default());
    rig.ask_by(Some(Arc::clone(&person) as Arc<dyn Dialog>), None);
    (rig, person)
}

/// With a rule that demands this.
async fn rig_under(terms: &Terms) -> (Rig, Arc<FakeDialog>) {
    let (mut rig, person) = rig().await;
    let rule = Rule::parse(Verdict::Ask, "POST /items").unwrap().with_terms(terms.clone());
    rig.reconfigure(|service| service.policy = Policy::new(vec![rule.clone()], false));
    (rig, person)
}

/// A call beside the test.
fn under_way(rig: &Rig, caller: Caller, call: Execute) -> JoinHandle<Finished> {
    let broker = Arc::clone(&rig.broker);
    tokio::spawn(async move { broker.execute(&caller, call, Box::pin(pending())).await })
}

fn connected() -> Caller {
    let channel = Channel { session: Some(Arc::default()), prompt: None };
    Caller { channel, ..caller("default") }
}

fn acts(records: &[Draft]) -> Vec<&str> {
    records.iter().filter_map(|record| record.act.as_deref()).collect()
}

/// A prompt that is shown, with its code, and then says this; nothing where there is nothing to say.
struct Watched {
    shown: Mutex<Option<oneshot::Sender<Option<String>>>>,
    says: Option<Prompted>,
    taken_back: Arc<AtomicUsize>,
}

impl Watched {
    fn new(says: Option<Prompted>) -> (Self, oneshot::Receiver<Option<String>>, Arc<AtomicUsize>) {
        let (shown, seen) = oneshot::channel();
        let taken_back = Arc::<AtomicUsize>::default();
        let prompt = Self { shown: Some(shown).into(), says, taken_back: Arc::clone(&taken_back) };
        (prompt, seen, taken_back)
    }
}

struct Showing<'a>(&'a AtomicUsize);

impl Drop for Showing<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Prompt for Watched {
    fn ask<'a>(
        &'a self,
        _: &'a str,
        _: &'a Question,
        _: bool,
        code: Option<&'a dyn Verification>,
    ) -> BoxFuture<'a, Prompted> {
        Box::pin(async move {
            let _showing = Showing(&self.taken_back);
            let shown = self.shown.lock().unwrap().take();
            drop(shown.map(|shown| shown.send(code.map(Verification::shown))));
            match self.says {
                Some(prompted) => prompted,
                None => pending().await,
            }
        })
    }
}

// DE-02
#[tokio::test]
async fn allow_once_lets_exactly_one_call_through_and_is_on_record_with_the_time_it_took() {
    let (rig, person) = rig().await;
    let waiting = under_way(&rig, connected(), post("{\"price\":5}"));
    person.until_shown(1).await;
    assert_eq!(rig.upstream.requests(), 0);
    let window = person.windows().remove(0);
    let lines = window.question.lines(true).join("\n");
    for words in ["`default`", "`acme`", "POST /v1/items", "| {\"price\":5}", "\"to sell it\""] {
        assert!(lines.contains(words), "{words}: {lines}");
    }
    assert!(window.session);
    assert_eq!(window.code, None, "there is no client to compare it with");

    rig.clock.advance(Duration::from_millis(2_345));
    person.says(Shown::Answered(Answer::Once));
    assert!(waiting.await.unwrap().result.is_ok());
    let records = rig.audit.take();
    assert_eq!(acts(&records), ["approval.open", "approval.approve"]);
    assert_eq!((records[1].approval, records[1].elapsed_ms), (Some("dialog"), Some(2_345)));
    assert_eq!((records[2].kind, records[2].approval), (Kind::Intent, Some("dialog")));

    let again = under_way(&rig, connected(), post("{\"price\":5}"));
    person.until_shown(2).await;
    person.says(Shown::Answered(Answer::Deny));
    assert_eq!(again.await.unwrap().result.unwrap_err().code, Code::ApprovalDenied);
    assert_eq!(rig.upstream.requests(), 1);
}

// DE-09
#[tokio::test]
async fn a_no_at_the_window_stands_and_no_other_window_opens_for_the_same() {
    let (rig, person) = rig().await;
    person.says(Shown::Answered(Answer::Deny));
    let denied = call(&rig, &connected(), post("x")).await.result.unwrap_err();
    assert_eq!((denied.code, denied.approval), (Code::ApprovalDenied, None));
    let records = rig.audit.take();
    assert_eq!(acts(&records), ["approval.open", "approval.deny"]);
    assert_eq!(records[1].approval, Some("dialog"));

    let denied = call(&rig, &connected(), post("x")).await.result.unwrap_err();
    assert!(denied.message.contains("said no"), "{denied:?}");
    assert_eq!(person.windows().len(), 1, "nobody is asked the same again");
    rig.clock.advance(PATIENCE);
    person.says(Shown::Answered(Answer::Once));
    assert!(call(&rig, &connected(), post("x")).await.result.is_ok());
    assert_eq!(rig.upstream.requests(), 1);
}

// DE-02
#[tokio::test]
async fn allow_for_session_lasts_for_the_session_and_not_longer() {
    let (rig, person) = rig().await;
    let mine = connected();
    person.says(Shown::Answered(Answer::Session));
    assert!(call(&rig, &mine, post("x")).await.result.is_ok());
    assert!(call(&rig, &mine, post("another body")).await.result.is_ok());
    assert_eq!(person.windows().len(), 1);

    person.says(Shown::Answered(Answer::Deny));
    let other = call(&rig, &connected(), post("x")).await.result.unwrap_err();
    assert_eq!(other.code, Code::ApprovalDenied, "another connection");
    rig.clock.advance(Duration::from_hours(8));
    person.says(Shown::Answered(Answer::Deny));
    let late = call(&rig, &mine, post("y")).await.result.unwrap_err();
    assert_eq!(late.code, Code::ApprovalDenied, "8 hours");
    assert_eq!(person.windows().len(), 3);
}

#[tokio::test]
async fn a_yes_for_the_session_without_a_session_is_good_once() {
    let (rig, person) = rig().await;
    person.says(Shown::Answered(Answer::Session));
    assert!(call(&rig, &caller("default"), post("x")).await.result.is_ok());
    assert!(!person.windows()[0].session, "it is not offered");
    person.says(Shown::Answered(Answer::Deny));
    let again = call(&rig, &caller("default"), post("x")).await.result.unwrap_err();
    assert_eq!(again.code, Code::ApprovalDenied);
}

// DE-12
#[tokio::test]
async fn without_a_display_the_question_waits_for_the_terminal() {
    let (rig, person) = rig().await;
    person.set_there(false);
    let refusal = call(&rig, &connected(), post("x")).await.result.unwrap_err();
    let id = refusal.approval.expect("it says which question");
    assert_eq!(rig.approvals.entries()[0].state, State::Open);
    assert_eq!((rig.upstream.requests(), person.windows().len()), (0, 0));
    assert!(rig.approvals.answer_at_terminal(&id, Answer::Once));
    assert!(call(&rig, &connected(), post("x")).await.result.is_ok());
}

#[tokio::test]
async fn a_window_that_cannot_be_shown_leaves_the_question_to_the_terminal() {
    let (rig, person) = rig().await;
    person.says(Shown::Not);
    let refusal = call(&rig, &connected(), post("x")).await.result.unwrap_err();
    assert!(refusal.approval.is_some(), "{refusal:?}");
    assert_eq!(rig.approvals.entries()[0].state, State::Open);
    person.says(Shown::Answered(Answer::Once));
    assert!(call(&rig, &connected(), post("x")).await.result.is_ok(), "it is tried again");
}

// DE-03
#[tokio::test]
async fn a_yes_at_the_window_is_void_when_the_configuration_changed_meanwhile() {
    let (mut rig, person) = rig().await;
    let waiting = under_way(&rig, connected(), post("x"));
    person.until_shown(1).await;
    rig.reconfigure(|service| service.policy = policy("deny * /**"));
    person.says(Shown::Answered(Answer::Once));
    assert_eq!(waiting.await.unwrap().result.unwrap_err().code, Code::ApprovalDenied);
    assert_eq!(rig.upstream.requests(), 0);
}

// DE-03
#[tokio::test]
async fn a_yes_at_the_window_to_one_body_is_none_to_another() {
    let (rig, person) = rig().await;
    let five = under_way(&rig, connected(), post("{\"price\":5}"));
    person.until_shown(1).await;
    let six = under_way(&rig, connected(), post("{\"price\":6}"));
    person.says(Shown::Answered(Answer::Once));
    assert!(five.await.unwrap().result.is_ok());
    person.until_shown(2).await;
    person.says(Shown::Answered(Answer::Deny));
    assert_eq!(six.await.unwrap().result.unwrap_err().code, Code::ApprovalDenied);
    assert_eq!(&*rig.last().body, b"{\"price\":5}");
}

#[tokio::test]
async fn the_first_answer_counts_and_the_others_are_taken_back() {
    let (rig, person) = rig().await;
    let (prompt, shown, taken_back) = Watched::new(None);
    let waiting = under_way(&rig, with(prompt), post("by the window"));
    let code = shown.await.unwrap().expect("a code to compare");
    person.until_shown(1).await;
    assert_eq!(person.windows()[0].code.as_ref(), Some(&code));
    person.says(Shown::Answered(Answer::Once));
    assert!(waiting.await.unwrap().result.is_ok());
    assert_eq!(taken_back.load(Ordering::SeqCst), 1, "the client's prompt");

    let by_client = with(FixedPrompt(Prompted::Answered(Answer::Once)));
    assert!(call(&rig, &by_client, post("by the client")).await.result.is_ok());
    person.until_closed().await;

    let (prompt, shown, taken_back) = Watched::new(None);
    let waiting = under_way(&rig, with(prompt), post("at the terminal"));
    shown.await.unwrap();
    let id = rig.approvals.entries().pop().unwrap().id;
    assert!(rig.approvals.answer_at_terminal(&id, Answer::Once));
    assert!(waiting.await.unwrap().result.is_ok());
    person.until_closed().await;
    assert_eq!(taken_back.load(Ordering::SeqCst), 1);
    let records = rig.audit.take();
    let codes = format!("{records:?}");
    assert!(!codes.contains(&code), "the code is in no record");
    assert_eq!(rig.upstream.requests(), 3);
}

// DE-10
#[tokio::test]
async fn a_rule_that_demands_the_window_is_answered_there_and_not_by_the_client() {
    let terms = Terms { method: AskMethod::Dialog, ..Terms::default() };
    let (rig, person) = rig_under(&terms).await;
    let eager = with(FixedPrompt(Prompted::Answered(Answer::Once)));
    let waiting = under_way(&rig, eager, post("x"));
    person.until_shown(1).await;
    assert_eq!(rig.upstream.requests(), 0);
    assert_eq!(person.windows()[0].code, None, "the client shows nothing");
    person.says(Shown::Answered(Answer::Once));
    assert!(waiting.await.unwrap().result.is_ok());
}

// DE-10
#[tokio::test]
async fn what_the_client_says_is_on_record_with_the_time_it_took() {
    let (rig, _person) = rig().await;
    let brought = Prompted::Brought(Answer::Once, Duration::from_millis(3));
    assert!(call(&rig, &with(FixedPrompt(brought)), post("x")).await.result.is_ok());
    let records = rig.audit.take();
    assert_eq!(acts(&records)[1], "approval.approve");
    assert_eq!((records[1].approval, records[1].elapsed_ms), (Some("elicitation"), Some(3)));
}

// DE-07
#[tokio::test]
async fn a_code_that_must_be_typed_is_shown_by_the_client_which_can_only_deny() {
    let terms = Terms { typed: true, ..Terms::default() };
    let (rig, person) = rig_under(&terms).await;
    let (prompt, shown, _) = Watched::new(Some(Prompted::Seen));
    let waiting = under_way(&rig, with(prompt), post("x"));
    let code = shown.await.unwrap().expect("a code to type");
    person.until_shown(1).await;
    let window = person.windows().remove(0);
    assert!(window.question.typed);
    assert_eq!(window.code, Some(code));
    person.says(Shown::Answered(Answer::Once));
    assert!(waiting.await.unwrap().result.is_ok());

    let waiting = under_way(&rig, with(Watched::new(Some(Prompted::Seen)).0), post("y"));
    person.until_shown(2).await;
    person.says(Shown::WrongCode);
    rig.audit.take();
    assert_eq!(waiting.await.unwrap().result.unwrap_err().code, Code::ApprovalDenied);
    assert_eq!(acts(&rig.audit.take()), ["approval.wrong_code", "approval.deny"]);

    let no = with(FixedPrompt(Prompted::Answered(Answer::Deny)));
    assert_eq!(call(&rig, &no, post("z")).await.result.unwrap_err().approval, None, "a no is a no");
    person.until_closed().await;
    let silent = connected();
    let refusal = call(&rig, &silent, post("w")).await.result.unwrap_err();
    assert!(refusal.approval.is_some(), "nobody would see the code: {refusal:?}");
    assert_eq!(rig.upstream.requests(), 1);
}

// DE-07
#[tokio::test]
async fn a_client_that_cannot_show_the_code_closes_the_window_that_wants_it() {
    let terms = Terms { typed: true, ..Terms::default() };
    let (rig, person) = rig_under(&terms).await;
    let unable = with(FixedPrompt(Prompted::Unable));
    let refusal = call(&rig, &unable, post("x")).await.result.unwrap_err();
    assert!(refusal.approval.is_some());
    person.until_closed().await;
}

// RX-08
#[tokio::test]
async fn a_caller_that_leaves_closes_its_window_and_takes_its_question_back() {
    let (rig, person) = rig().await;
    let (leave, left) = oneshot::channel::<()>();
    let broker = Arc::clone(&rig.broker);
    let cancel = Box::pin(async move { drop(left.await) });
    let waiting =
        tokio::spawn(async move { broker.execute(&connected(), post("x"), cancel).await });
    person.until_shown(1).await;
    drop(leave);
    assert_eq!(waiting.await.unwrap().result.unwrap_err().code, Code::ApprovalDenied);
    person.until_closed().await;
    assert_eq!(rig.approvals.entries()[0].state, State::Withdrawn);
    assert_eq!(acts(&rig.audit.take()), ["approval.open", "approval.withdraw"]);
    assert_eq!(rig.upstream.requests(), 0);
}

// DE-09
#[tokio::test]
async fn the_same_question_has_one_window_and_who_leaves_leaves_it_to_the_others() {
    let (rig, person) = rig().await;
    let (leave, left) = oneshot::channel::<()>();
    let broker = Arc::clone(&rig.broker);
    let cancel = Box::pin(async move { drop(left.await) });
    let first = tokio::spawn(async move { broker.execute(&connected(), post("x"), cancel).await });
    person.until_shown(1).await;
    let (prompt, joined, _) = Watched::new(None);
    let second = under_way(&rig, with(prompt), post("x"));
    joined.await.unwrap();
    drop(leave);
    assert_eq!(first.await.unwrap().result.unwrap_err().code, Code::ApprovalDenied);
    person.says(Shown::Answered(Answer::Once));
    assert!(second.await.unwrap().result.is_ok());
    assert_eq!(person.windows().len(), 1);
}

// DE-09
#[tokio::test]
async fn a_flood_shows_one_window_at_a_time_and_is_cut_off() {
    let (rig, person) = rig().await;
    let mut waiting = Vec::new();
    for n in 0..MOST_OPEN {
        waiting.push(under_way(&rig, connected(), post(&n.to_string())));
    }
    while rig.approvals.entries().len() < MOST_OPEN {
        tokio::task::yield_now().await;
    }
    let refusal = call(&rig, &connected(), post("one more")).await.result.unwrap_err();
    assert_eq!(refusal.code, Code::RateLimited);
    person.until_shown(1).await;
    assert_eq!(person.windows().len(), 1);
    for _ in 0..MOST_OPEN {
        person.says(Shown::Answered(Answer::Once));
    }
    for finished in waiting {
        assert!(finished.await.unwrap().result.is_ok());
    }
    assert_eq!(rig.upstream.requests(), MOST_OPEN);
}

#[tokio::test]
async fn an_answer_that_cannot_be_recorded_does_not_count() {
    let (rig, person) = rig().await;
    let waiting = under_way(&rig, connected(), post("x"));
    person.until_shown(1).await;
    rig.audit.fail(true);
    person.says(Shown::Answered(Answer::Once));
    assert_eq!(waiting.await.unwrap().result.unwrap_err().code, Code::AuditUnavailable);
    rig.audit.fail(false);
    assert_eq!(rig.approvals.entries()[0].state, State::Open);
    assert_eq!(rig.upstream.requests(), 0);
}

#[tokio::test]
async fn where_others_answer_no_window_opens() {
    let (rig, person) = rig().await;
    rig.approvals.ask_others();
    let refusal = call(&rig, &connected(), post("x")).await.result.unwrap_err();
    assert!(refusal.approval.is_some());
    assert_eq!(person.windows().len(), 0);
}

#[tokio::test]
async fn a_client_that_comes_back_later_leaves_the_window_open_for_the_same_question() {
    let (rig, person) = rig().await;
    let later = with(FixedPrompt(Prompted::Later));
    let refusal = call(&rig, &later, post("x")).await.result.unwrap_err();
    assert!(refusal.approval.is_some());
    person.until_shown(1).await;
    person.says(Shown::Answered(Answer::Once));
    person.until_closed().await;
    assert!(call(&rig, &later, post("x")).await.result.is_ok(), "it was answered meanwhile");
    assert_eq!(person.windows().len(), 1);
}

fn missing() -> ResolveError {
    ResolveError::NotFound { reference: "local://acme/token".parse().unwrap() }
}

#[tokio::test]
async fn a_credential_that_is_not_stored_is_asked_for_and_the_call_goes_on() {
    let (mut rig, _) = rig().await;
    rig.credentials.fail(Some(missing()));
    let (asked, credentials) = (Arc::<Mutex<Vec<String>>>::default(), rig.credentials.clone());
    let stores = FakeLacking({
        let asked = Arc::clone(&asked);
        move |lack: strongroom_model::ports::Lack<'_>| -> BoxFuture<'static, bool> {
            asked.lock().unwrap().push(format!("{lack:?}"));
            credentials.fail(None);
            Box::pin(std::future::ready(true))
        }
    });
    rig.ask_by(None, Some(Arc::new(stores)));
    rig.allowed(get("acme", "/public/fine")).await;
    rig.allowed(get("acme", "/public/fine")).await;
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1, "what is stored is not asked for");
    for words in ["Service", "acme", "default", "\"token\"", "local://acme/token"] {
        assert!(asked[0].contains(words), "{words}: {}", asked[0]);
    }
}

#[tokio::test]
async fn a_credential_that_nobody_gives_is_refused_as_before() {
    let (mut rig, _) = rig().await;
    rig.credentials.fail(Some(missing()));
    rig.ask_by(
        None,
        Some(Arc::new(FakeLacking(|_: strongroom_model::ports::Lack<'_>| {
            Box::pin(std::future::ready(false)) as BoxFuture<'static, bool>
        }))),
    );
    rig.failed(get("acme", "/public/fine"), Code::SecretUnavailable).await;
    assert_eq!(rig.upstream.requests(), 0);
}

#[tokio::test]
async fn what_is_locked_or_cannot_be_reached_is_asked_of_nobody() {
    let (mut rig, _) = rig().await;
    rig.ask_by(
        None,
        Some(Arc::new(FakeLacking(
            |_: strongroom_model::ports::Lack<'_>| -> BoxFuture<'static, bool> {
                panic!("nobody may be asked")
            },
        ))),
    );
    rig.credentials.fail(Some(ResolveError::unreachable("op", "it does not answer")));
    rig.failed(get("acme", "/public/fine"), Code::SecretUnavailable).await;
    rig.credentials.fail(Some(missing()));
    rig.switch.change(|locks| *locks = strongroom_model::lock::Locks::unreadable());
    let refusal = call(&rig, &caller("default"), get("acme", "/public/fine")).await.result;
    assert_eq!(refusal.unwrap_err().code, Code::Locked);
}

#[tokio::test]
async fn who_leaves_while_a_credential_is_asked_for_ends_the_asking() {
    struct Asked(Option<oneshot::Sender<()>>);
    impl Drop for Asked {
        fn drop(&mut self) {
            let _ = self.0.take().map(|sender| sender.send(()));
        }
    }
    let (mut rig, _) = rig().await;
    rig.credentials.fail(Some(missing()));
    let ((begins, started), (ended, end)) = (oneshot::channel(), oneshot::channel());
    let once = Mutex::new(Some((begins, Asked(Some(ended)))));
    rig.ask_by(
        None,
        Some(Arc::new(FakeLacking(
            move |_: strongroom_model::ports::Lack<'_>| -> BoxFuture<'static, bool> {
                let (begins, asked) = once.lock().unwrap().take().unwrap();
                Box::pin(async move {
                    let _asked = asked;
                    let _ = begins.send(());
                    pending().await
                })
            },
        ))),
    );
    let cancel = Box::pin(async move { drop(started.await) });
    let finished =
        rig.broker.execute(&caller("default"), get("acme", "/public/fine"), cancel).await;
    assert_eq!(finished.result.unwrap_err().code, Code::SecretUnavailable);
    end.await.unwrap();
    rig.credentials.fail(None);
    rig.works().await;
}

#[tokio::test]
async fn a_credential_is_not_used_where_the_configuration_changed_while_it_was_asked_for() {
    let (mut rig, _) = rig().await;
    rig.credentials.fail(Some(missing()));
    let (credentials, registry) = (rig.credentials.clone(), rig.registry.clone());
    let mut others = rig.services.clone();
    for service in &mut others {
        service.revision += 1;
    }
    rig.ask_by(
        None,
        Some(Arc::new(FakeLacking(
            move |_: strongroom_model::ports::Lack<'_>| -> BoxFuture<'static, bool> {
                credentials.fail(None);
                registry.set(others.clone());
                Box::pin(std::future::ready(true))
            },
        ))),
    );
    let refusal = call(&rig, &caller("default"), get("acme", "/public/fine")).await.result;
    assert_eq!(refusal.unwrap_err().code, Code::SecretUnavailable);
    assert_eq!(rig.upstream.requests(), 0);
    rig.works().await;
}
