//! Where a rule asks, a person is asked, and a yes is good for what was asked and for nothing else.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use strongroom_model::approval::{Answer, Channel, MOST_OPEN, PATIENCE, Question, State};
use strongroom_model::audit::Kind;
use strongroom_model::call::{Body, Execute, Finished, RequestAccess};
use strongroom_model::code::Code;
use strongroom_model::policy::{AskMethod, Policy, Rule, Terms, Verdict};
use strongroom_model::ports::{
    ApprovalsAtOnce as _, BoxFuture, Calls as _, Prompt, Prompted, Verification,
};
use strongroom_model::principal::Caller;
use strongroom_testkit::fakes::{FixedPrompt, caller, policy};
use strongroom_testkit::upstream::Reply;
use tokio::sync::oneshot;

use crate::rig::{Rig, get};

const ASKS: &str = "allow GET /public/**\nask POST|DELETE /items/**\nask GET /items";

async fn rig() -> Rig {
    let mut rig = Rig::new(|_| Reply::ok("fine")).await;
    rig.reconfigure(|service| service.policy = policy(ASKS));
    rig
}

/// A call that a rule asks about.
pub(crate) fn post(body: &str) -> Execute {
    Execute {
        service: "acme".into(),
        method: "POST".into(),
        path: "/items".into(),
        body: Body::Text(body.into()),
        reason: Some("to sell it".into()),
        ..Execute::default()
    }
}

fn delete() -> Execute {
    Execute { method: "DELETE".into(), body: Body::Empty, ..post("") }
}

/// A call by this caller.
pub(crate) async fn call(rig: &Rig, caller: &Caller, call: Execute) -> Finished {
    rig.broker.execute(caller, call, Box::pin(pending())).await
}

/// The id of the question that a call is refused with.
async fn asked(rig: &Rig, call: Execute) -> String {
    let refusal = rig.denied(call, Code::ApprovalDenied).await;
    refusal.approval.expect("it says which question")
}

/// A caller whose client asks like this.
pub(crate) fn with(prompt: impl Prompt + 'static) -> Caller {
    let channel = Channel { session: Some(Arc::default()), prompt: Some(Arc::new(prompt)) };
    Caller { channel, ..caller("default") }
}

/// A prompt that is shown and that nobody answers.
struct Silent(std::sync::Mutex<Option<oneshot::Sender<String>>>);

impl Silent {
    fn new() -> (Self, oneshot::Receiver<String>) {
        let (shown, seen) = oneshot::channel();
        (Self(Some(shown).into()), seen)
    }
}

impl Prompt for Silent {
    fn ask<'a>(
        &'a self,
        id: &'a str,
        _: &'a Question,
        _: bool,
        _: Option<&'a dyn Verification>,
    ) -> BoxFuture<'a, Prompted> {
        let shown = self.0.lock().unwrap().take();
        drop(shown.map(|shown| shown.send(id.to_owned())));
        Box::pin(pending())
    }
}

#[tokio::test]
async fn nothing_leaves_before_a_yes_and_the_very_same_call_passes_once_after_it() {
    let rig = rig().await;
    let id = asked(&rig, post("{\"price\":5}")).await;
    assert_eq!(asked(&rig, post("{\"price\":5}")).await, id, "it is asked once");
    assert!(rig.approvals.answer_at_terminal(&id, Answer::Once));
    rig.audit.take();
    rig.allowed(post("{\"price\":5}")).await;
    let records = rig.audit.take();
    assert_eq!(records[0].kind, Kind::Intent);
    assert_eq!(records[0].approval, Some("cli"));
    assert_eq!(records[0].grant.as_ref(), Some(&id));
    assert_ne!(asked(&rig, post("{\"price\":5}")).await, id, "a second time is asked anew");
}

// DE-03
#[tokio::test]
async fn a_yes_to_one_body_is_none_to_another() {
    let rig = rig().await;
    let id = asked(&rig, post("{\"price\":5}")).await;
    assert!(rig.approvals.answer_at_terminal(&id, Answer::Once));
    assert_ne!(asked(&rig, post("{\"price\":6}")).await, id);
    assert_ne!(
        asked(&rig, Execute { path: "/items?all=1".into(), ..post("{\"price\":5}") }).await,
        id
    );
    rig.allowed(post("{\"price\":5}")).await;
}

#[tokio::test]
async fn a_yes_to_one_principal_is_none_to_another() {
    let rig = rig().await;
    let id = asked(&rig, post("x")).await;
    assert!(rig.approvals.answer_at_terminal(&id, Answer::Once));
    let other = call(&rig, &caller("other"), post("x")).await.result.unwrap_err();
    assert_eq!(other.code, Code::ApprovalDenied);
    assert_ne!(other.approval, Some(id));
    rig.allowed(post("x")).await;
}

#[tokio::test]
async fn a_no_stands_for_a_while_and_nobody_is_asked_again() {
    let rig = rig().await;
    let id = asked(&rig, post("x")).await;
    assert!(rig.approvals.answer_at_terminal(&id, Answer::Deny));
    let refusal = rig.denied(post("x"), Code::ApprovalDenied).await;
    assert_eq!(refusal.approval, None);
    assert!(refusal.message.contains("said no"), "{refusal:?}");
    assert_eq!(rig.approvals.entries().len(), 1);
    rig.clock.advance(PATIENCE);
    assert_ne!(asked(&rig, post("x")).await, id);
}

#[tokio::test]
async fn a_yes_that_is_not_used_in_time_is_good_no_longer() {
    let rig = rig().await;
    let id = asked(&rig, post("x")).await;
    assert!(rig.approvals.answer_at_terminal(&id, Answer::Once));
    rig.clock.advance(PATIENCE);
    assert_ne!(asked(&rig, post("x")).await, id);
}

#[tokio::test]
async fn a_question_that_nobody_answers_expires_and_that_is_recorded() {
    let rig = rig().await;
    let id = asked(&rig, post("x")).await;
    rig.clock.advance(PATIENCE);
    assert!(!rig.approvals.answer_at_terminal(&id, Answer::Once), "too late");
    rig.audit.take();
    drop(call(&rig, &caller("default"), post("y")).await);
    let records = rig.audit.take();
    assert_eq!(records[0].act.as_deref(), Some("approval.expire"));
    assert_eq!(records[0].subject.as_ref(), Some(&id));
    assert_eq!(records[1].act.as_deref(), Some("approval.open"));
    assert_eq!(records[2].kind, Kind::Refusal);
}

// DE-10
#[tokio::test]
async fn the_clients_own_prompt_answers_where_the_rule_lets_it_and_is_on_record_as_that() {
    let rig = rig().await;
    let yes = with(FixedPrompt(Prompted::Answered(Answer::Once)));
    assert!(call(&rig, &yes, post("x")).await.result.is_ok());
    let records = rig.audit.take();
    let acts: Vec<_> = records.iter().map(|record| record.act.as_deref()).collect();
    assert_eq!(acts[..2], [Some("approval.open"), Some("approval.approve")]);
    assert_eq!(records[1].approval, Some("elicitation"));
    assert_eq!(records[2].kind, Kind::Intent);
    assert_eq!(records[2].approval, Some("elicitation"));

    let no = with(FixedPrompt(Prompted::Answered(Answer::Deny)));
    let sent = rig.upstream.requests();
    let refusal = call(&rig, &no, post("y")).await.result.unwrap_err();
    assert_eq!((refusal.code, refusal.approval), (Code::ApprovalDenied, None));
    assert_eq!(rig.upstream.requests(), sent);
    assert!(rig.audit.take().iter().any(|record| record.act.as_deref() == Some("approval.deny")));
}

#[tokio::test]
async fn a_rule_that_wants_a_person_outside_is_never_answered_by_the_client() {
    let mut rig = rig().await;
    let terms = Terms { method: AskMethod::Dialog, ..Terms::default() };
    let rule = Rule::parse(Verdict::Ask, "POST /items").unwrap().with_terms(terms);
    rig.reconfigure(|service| service.policy = Policy::new(vec![rule.clone()], false));
    let eager = with(FixedPrompt(Prompted::Answered(Answer::Once)));
    let refusal = call(&rig, &eager, post("x")).await.result.unwrap_err();
    let id = refusal.approval.expect("it waits for a person");
    assert_eq!(rig.upstream.requests(), 0);
    assert!(rig.approvals.answer_at_terminal(&id, Answer::Once));
    assert!(call(&rig, &eager, post("x")).await.result.is_ok());
}

#[tokio::test]
async fn where_others_answer_the_client_of_who_asks_never_does() {
    let rig = rig().await;
    rig.approvals.ask_others();
    let eager = with(FixedPrompt(Prompted::Answered(Answer::Once)));
    let refusal = call(&rig, &eager, post("x")).await.result.unwrap_err();
    assert!(refusal.message.contains("whose key has the scope `approve`"), "{refusal:?}");
    let id = refusal.approval.expect("it waits for a person");
    assert_eq!(rig.upstream.requests(), 0);
    assert!(rig.approvals.answer_at_terminal(&id, Answer::Once));
    assert!(call(&rig, &eager, post("x")).await.result.is_ok());
}

#[tokio::test]
async fn a_prompt_that_cannot_be_shown_leaves_the_question_to_the_terminal() {
    let rig = rig().await;
    for prompted in [Prompted::Unable, Prompted::Later] {
        let refusal = call(&rig, &with(FixedPrompt(prompted)), post("x")).await.result.unwrap_err();
        assert!(refusal.approval.is_some());
    }
    assert_eq!(rig.approvals.entries().len(), 1);
    assert_eq!(rig.approvals.entries()[0].state, State::Open);
}

// DE-02
#[tokio::test]
async fn a_yes_for_the_session_ends_with_its_connection_and_covers_one_class() {
    let mut rig = rig().await;
    let yes = with(FixedPrompt(Prompted::Answered(Answer::Session)));
    assert!(call(&rig, &yes, post("x")).await.result.is_ok());
    let same = |prompted| Caller {
        channel: Channel {
            prompt: Some(Arc::new(FixedPrompt(prompted))),
            session: yes.channel.session.clone(),
        },
        ..caller("default")
    };
    let mine = same(Prompted::Later);
    rig.audit.take();
    assert!(call(&rig, &mine, post("another body")).await.result.is_ok());
    let grant = rig.audit.take()[0].grant.clone().unwrap();
    assert!(grant.starts_with("s-"), "{grant}");
    let granted = rig.broker.whoami(&mine).await.grants;
    assert_eq!((granted.len(), granted[0].session, granted[0].class), (1, true, "write"));

    let code = |finished: Finished| finished.result.unwrap_err().code;
    assert_eq!(code(call(&rig, &mine, delete()).await), Code::ApprovalDenied, "another class");
    let another = with(FixedPrompt(Prompted::Later));
    assert_eq!(code(call(&rig, &another, post("x")).await), Code::ApprovalDenied);
    assert!(rig.broker.whoami(&another).await.grants.is_empty());
    let stateless = caller("default");
    assert_eq!(code(call(&rig, &stateless, post("x")).await), Code::ApprovalDenied);

    assert!(call(&rig, &mine, post("z")).await.result.is_ok());
    rig.approvals.revoke_all();
    assert_eq!(code(call(&rig, &mine, post("z")).await), Code::ApprovalDenied, "taken back");

    let again = same(Prompted::Answered(Answer::Session));
    assert!(call(&rig, &again, post("w")).await.result.is_ok());
    rig.clock.advance(Duration::from_hours(8));
    assert_eq!(code(call(&rig, &mine, post("w")).await), Code::ApprovalDenied, "8 hours");
    assert!(call(&rig, &again, post("v")).await.result.is_ok());
    rig.reconfigure(|service| service.test_path = Some("/me".into()));
    assert_eq!(code(call(&rig, &mine, post("v")).await), Code::ApprovalDenied, "reconfigured");
}

#[tokio::test]
async fn a_timed_yes_covers_the_rule_until_it_lapses_or_anything_changes() {
    let mut rig = rig().await;
    let id = asked(&rig, post("x")).await;
    assert!(rig.approvals.answer_at_terminal(&id, Answer::For(Duration::from_mins(10))));
    rig.audit.take();
    rig.allowed(post("x")).await;
    assert_eq!(rig.audit.take()[0].grant.as_deref(), Some(&*id.replace("a-", "g-")));
    rig.allowed(post("anything else")).await;
    let granted = rig.broker.whoami(&caller("default")).await.grants;
    assert_eq!((granted[0].lapses_in_s, granted[0].session), (600, false));
    assert!(rig.broker.whoami(&caller("other")).await.grants.is_empty());
    asked(&rig, delete()).await;
    rig.clock.advance(Duration::from_mins(10));
    let id = asked(&rig, post("x")).await;
    assert!(rig.approvals.answer_at_terminal(&id, Answer::For(Duration::from_mins(10))));
    rig.allowed(post("x")).await;
    rig.reconfigure(|_| {});
    asked(&rig, post("x")).await;
}

#[tokio::test]
async fn a_call_that_waits_hears_of_an_answer_given_elsewhere() {
    let rig = rig().await;
    let (prompt, shown) = Silent::new();
    let me = with(prompt);
    let answer = async {
        let id = shown.await.unwrap();
        assert!(rig.approvals.answer_at_terminal(&id, Answer::Once));
    };
    let (finished, ()) = tokio::join!(call(&rig, &me, post("x")), answer);
    assert!(finished.result.is_ok());
    assert!(rig.audit.take().iter().any(|record| record.approval == Some("cli")));
}

// RX-08
#[tokio::test]
async fn a_caller_that_leaves_takes_its_question_back() {
    let rig = rig().await;
    let (prompt, shown) = Silent::new();
    let me = with(prompt);
    let cancel = Box::pin(async move { drop(shown.await) });
    let finished = rig.broker.execute(&me, post("x"), cancel).await;
    assert_eq!(finished.result.unwrap_err().code, Code::ApprovalDenied);
    let entry = rig.approvals.entries().remove(0);
    assert_eq!(entry.state, State::Withdrawn);
    assert!(!rig.approvals.answer_at_terminal(&entry.id, Answer::Once));
    assert_eq!(rig.upstream.requests(), 0);
    let acts: Vec<_> = rig.audit.take().into_iter().filter_map(|record| record.act).collect();
    assert_eq!(acts, ["approval.open", "approval.withdraw"]);
}

// DE-03
#[tokio::test]
async fn a_yes_is_void_when_the_configuration_changed_while_a_person_thought() {
    let mut rig = rig().await;
    let (prompt, shown) = Silent::new();
    let me = with(prompt);
    let broker = Arc::clone(&rig.broker);
    let waiting =
        tokio::spawn(async move { broker.execute(&me, post("x"), Box::pin(pending())).await });
    let id = shown.await.unwrap();
    rig.reconfigure(|service| service.policy = policy("deny * /**"));
    assert!(rig.approvals.answer_at_terminal(&id, Answer::For(Duration::from_mins(10))));
    let refusal = waiting.await.unwrap().result.unwrap_err();
    assert_eq!(refusal.code, Code::ApprovalDenied);
    assert_eq!(rig.upstream.requests(), 0);
    rig.reconfigure(|service| service.policy = policy(ASKS));
    asked(&rig, post("x")).await;
}

#[tokio::test]
async fn one_yes_lets_one_of_two_through() {
    let rig = rig().await;
    let (prompt, shown) = Silent::new();
    let (other_prompt, other_shown) = Silent::new();
    let (first, second) = (with(prompt), with(other_prompt));
    let answer = async {
        let id = shown.await.unwrap();
        assert_eq!(other_shown.await.unwrap(), id, "one question for both");
        assert!(rig.approvals.answer_at_terminal(&id, Answer::Once));
    };
    let (one, two, ()) =
        tokio::join!(call(&rig, &first, post("x")), call(&rig, &second, post("x")), answer);
    assert_eq!([one, two].iter().filter(|finished| finished.result.is_ok()).count(), 1);
    assert_eq!(rig.upstream.requests(), 1);
}

#[tokio::test]
async fn what_cannot_be_kept_or_recorded_is_not_asked_and_not_done() {
    let rig = rig().await;
    rig.approvals.fail(true);
    let refusal = call(&rig, &caller("default"), post("x")).await.result.unwrap_err();
    assert_eq!((refusal.code, refusal.approval), (Code::ApprovalDenied, None));
    rig.works().await;
    rig.approvals.fail(false);
    rig.audit.fail(true);
    let refusal = call(&rig, &caller("default"), post("x")).await.result.unwrap_err();
    assert_eq!(refusal.code, Code::AuditUnavailable);
    rig.audit.fail(false);
    assert_eq!(rig.approvals.entries()[0].state, State::Withdrawn);
    asked(&rig, post("x")).await;
}

// DE-09
#[tokio::test]
async fn a_flood_of_questions_is_cut_off() {
    let rig = rig().await;
    for n in 0..MOST_OPEN {
        asked(&rig, post(&n.to_string())).await;
    }
    let refusal = rig.denied(post("one more"), Code::RateLimited).await;
    assert!(refusal.retry_after_s.is_some());
    let other = call(&rig, &caller("other"), post("x")).await.result.unwrap_err();
    assert_eq!(other.code, Code::ApprovalDenied, "others still can ask");
}

#[tokio::test]
async fn a_question_shows_no_secret_and_no_more_of_a_service_than_its_name() {
    let rig = rig().await;
    rig.works().await;
    let secret = strongroom_testkit::canary::K1;
    let mut leaking = post("x");
    leaking.path = format!("/items?note={secret}");
    leaking.reason = Some(format!("the key is {secret}"));
    asked(&rig, leaking).await;
    let question = format!("{:?}", rig.approvals.entries());
    strongroom_testkit::oracle::Oracle::of_canaries().assert_clean("the question", question);
}

#[tokio::test]
async fn a_request_for_access_says_the_same_of_what_there_is_and_of_what_there_is_not() {
    let rig = rig().await;
    let ask = async |service: &str, what: &str| {
        let request = RequestAccess { service: service.into(), what: what.into(), reason: None };
        rig.broker.request_access(&caller("default"), request).await
    };
    for (service, what) in
        [("acme", "PUT /items/1"), ("nothing", "PUT /items/1"), ("acme", "please")]
    {
        let requested = ask(service, what).await.unwrap();
        assert!(requested.id.starts_with("a-"));
        assert_eq!(ask(service, what).await.unwrap().id, requested.id, "asked once");
    }
    let entries = rig.approvals.entries();
    assert!(entries.iter().all(|entry| entry.question.access && entry.question.outside));
    assert!(entries.iter().all(|entry| entry.question.scope().is_none()), "no rule asks");
    ask("acme", "POST /items/7").await.unwrap();
    let covered = rig.approvals.entries().pop().unwrap();
    assert_eq!(covered.question.rule.as_deref(), Some("POST|DELETE /items/**"));
    rig.denied(get("acme", "/items/1"), Code::PolicyDenied).await;

    // Granting it lets pass what the rule asks about, and nothing else.
    assert!(rig.approvals.answer_at_terminal(&covered.id, Answer::For(Duration::from_mins(5))));
    rig.allowed(post("x")).await;
    asked(&rig, delete()).await;
    let bad = ask("not a name", "x").await.unwrap_err().0;
    assert_eq!(bad.code, Code::InvalidRequest);
}

#[tokio::test]
async fn an_approval_cannot_be_answered_by_another_principal() {
    let rig = rig().await;
    let id = asked(&rig, post("x")).await;
    let other = caller("other");
    let by = strongroom_model::approval::By::Elicitation;
    assert!(!rig.approvals.answer(&id, &other.principal.name, Answer::Once, by).unwrap());
    assert_eq!(rig.approvals.entries()[0].state, State::Open);
}
