//! Questions and grants of tenants: on several nodes, forged, replayed, rotated away from, flooded.

use std::time::Duration;

use strongroom_model::approval::{
    Answer, By, Channel, Class, Digest, MOST_OPEN, Matter, Opened, PATIENCE, Question, State,
};
use strongroom_model::policy::Terms;
use strongroom_model::ports::{Approvals as _, Asking};
use strongroom_model::principal::{Caller, Name, Principal, Source};
use strongroom_model::team::{Actor, KeyId, Tenant, TenantCtx};
use strongroom_store::team::{
    ApprovalQuery, MOST_OPEN_OF_TENANT, Team, TeamSettled, TenantApprovals,
};

use super::base::{Base, ctx};
use super::on_both;

const CANARY: &str = "canary-of-a-body";

on_both! {
    a_question_is_opened_once_whichever_node_is_asked,
    of_all_who_use_one_yes_on_two_nodes_exactly_one_gets_it,
    of_all_who_answer_on_two_nodes_exactly_one_wins,
    a_yes_outlives_the_process_that_it_was_given_to,
    an_answer_is_noticed_by_who_waits_on_another_node,
    a_timed_grant_covers_its_scope_on_every_node_until_it_lapses_or_is_taken_back,
    a_yes_for_the_session_is_for_who_has_one,
    whoever_asks_never_answers,
    the_agents_own_client_answers_nothing,
    a_flood_of_questions_is_cut_off_for_who_floods_and_then_for_the_tenant,
    what_others_wrote_into_the_rows_grants_nothing,
    nothing_of_a_question_is_stored_in_the_clear,
    what_nobody_answers_ends_once_and_is_forgotten_after_a_week,
    a_question_that_is_taken_back_cannot_be_answered,
    a_tenants_new_key_ends_its_questions_and_leaves_its_grants,
    another_tenant_sees_none_of_it,
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn question(who: &Name, body: &str) -> Question {
    let matter = Matter {
        service: name("stripe"),
        revision: u64::MAX - 1,
        digest: Digest::of([body.as_bytes()]),
        class: Class::Write,
        what: format!("POST /v1/charges?note={body}"),
        place: "https://api.stripe.com".into(),
        bytes: body.len() as u64,
        content_type: None,
        text: Some(body.to_owned()),
        unseen: false,
    };
    let principal = Principal { name: who.clone(), source: Source::Token };
    let caller = Caller { principal, channel: Channel::default(), claimed_client: None };
    Question::new(matter, &caller, "POST /**", &Terms::default(), Some("why"))
}

fn agent() -> Name {
    name("key-0123456789abcdef")
}

async fn asked(approvals: &TenantApprovals, question: &Question) -> String {
    match approvals.open(question).await.unwrap() {
        Opened::Asked { id, new: true } => id,
        other => panic!("{other:?}"),
    }
}

async fn answer(team: &Team, tenant: &Tenant, id: &str, answer: Answer) -> TeamSettled {
    team.tenant(&ctx(tenant)).answer_approval(id, answer, By::Cli, None).await.unwrap()
}

async fn approved(team: &Team, tenant: &Tenant, question: &Question, yes: Answer) -> String {
    let id = asked(&team.approvals(&ctx(tenant)), question).await;
    assert!(matches!(answer(team, tenant, &id, yes).await, TeamSettled::Done(..)));
    id
}

async fn a_question_is_opened_once_whichever_node_is_asked(base: &Base) {
    let (tenant, other) = (base.tenant("a").await, base.another().await);
    let (one, two) = (base.team.approvals(&ctx(&tenant)), other.approvals(&ctx(&tenant)));
    let question = question(&agent(), "x");
    let opened = tokio::join!(
        one.open(&question),
        two.open(&question),
        one.open(&question),
        two.open(&question),
    );
    let opened = [opened.0, opened.1, opened.2, opened.3].map(Result::unwrap);
    let ids: Vec<_> = opened
        .iter()
        .map(|opened| match opened {
            Opened::Asked { id, .. } => id.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{opened:?}");
    let new = opened.iter().filter(|opened| matches!(opened, Opened::Asked { new: true, .. }));
    assert_eq!(new.count(), 1, "{opened:?}");
    let different = super::approvals::question(&agent(), "y");
    assert_ne!(asked(&two, &different).await, ids[0]);
    other.shutdown().await;
}

async fn of_all_who_use_one_yes_on_two_nodes_exactly_one_gets_it(base: &Base) {
    let (tenant, other) = (base.tenant("a").await, base.another().await);
    let question = question(&agent(), "x");
    let id = approved(&base.team, &tenant, &question, Answer::Once).await;
    let (one, two) = (base.team.approvals(&ctx(&tenant)), other.approvals(&ctx(&tenant)));
    let different = super::approvals::question(&agent(), "y");
    assert_eq!(one.take(&id, &different, false).await.unwrap(), None, "a yes to other bytes");
    let taken = tokio::join!(
        one.take(&id, &question, false),
        two.take(&id, &question, false),
        one.take(&id, &question, false),
        two.take(&id, &question, false),
    );
    let taken = [taken.0, taken.1, taken.2, taken.3].map(Result::unwrap);
    assert_eq!(taken.iter().flatten().count(), 1, "{taken:?}");
    assert_eq!(two.state(&id).await.unwrap(), State::Used);
    other.shutdown().await;
}

async fn of_all_who_answer_on_two_nodes_exactly_one_wins(base: &Base) {
    let (tenant, other) = (base.tenant("a").await, base.another().await);
    let id = asked(&base.team.approvals(&ctx(&tenant)), &question(&agent(), "x")).await;
    let settled = tokio::join!(
        answer(&base.team, &tenant, &id, Answer::Once),
        answer(&other, &tenant, &id, Answer::Deny),
        answer(&other, &tenant, &id, Answer::Once),
        answer(&base.team, &tenant, &id, Answer::Deny),
    );
    let settled = [settled.0, settled.1, settled.2, settled.3];
    let done = settled.iter().filter(|settled| matches!(settled, TeamSettled::Done(..)));
    assert_eq!(done.count(), 1, "{settled:?}");
    let late = settled.iter().filter(|settled| matches!(settled, TeamSettled::NotOpen(_)));
    assert_eq!(late.count(), 3, "{settled:?}");
    other.shutdown().await;
}

async fn a_yes_outlives_the_process_that_it_was_given_to(base: &Base) {
    let tenant = base.tenant("a").await;
    let question = question(&agent(), "x");
    let node = base.another().await;
    let id = approved(&node, &tenant, &question, Answer::Once).await;
    // Nothing is shut down: it is as if it had been killed.
    drop(node);
    let next = base.another().await;
    let approvals = next.approvals(&ctx(&tenant));
    assert_eq!(approvals.open(&question).await.unwrap(), Opened::Approved(id.clone()));
    assert!(approvals.take(&id, &question, false).await.unwrap().is_some());
    assert!(approvals.take(&id, &question, false).await.unwrap().is_none());
    next.shutdown().await;
}

async fn an_answer_is_noticed_by_who_waits_on_another_node(base: &Base) {
    let (tenant, other) = (base.tenant("a").await, base.another().await);
    let waiting = base.team.approvals(&ctx(&tenant));
    let id = asked(&waiting, &question(&agent(), "x")).await;
    let seen = waiting.version().unwrap();
    answer(&other, &tenant, &id, Answer::Deny).await;
    let noticed = async {
        while waiting.version().unwrap() == seen {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), noticed).await.unwrap();
    assert_eq!(waiting.state(&id).await.unwrap(), State::Denied);
    other.shutdown().await;
}

async fn a_timed_grant_covers_its_scope_on_every_node_until_it_lapses_or_is_taken_back(
    base: &Base,
) {
    let (tenant, other) = (base.tenant("a").await, base.another().await);
    let hour = Duration::from_hours(1);
    let question = question(&agent(), "x");
    let scope = question.scope().unwrap();
    let id = approved(&base.team, &tenant, &question, Answer::For(hour)).await;
    let approvals = other.approvals(&ctx(&tenant));
    let grant = approvals.granted(&scope).await.unwrap().unwrap();
    assert_eq!((&grant.scope, grant.by), (&scope, By::Cli));
    assert_eq!(grant.id, id.replace("a-", "g-"));
    let taken = approvals.take(&id, &question, false).await.unwrap().unwrap();
    assert_eq!(taken.grant.as_ref(), Some(&grant));
    let own = approvals.grants(&agent(), &[]).await.unwrap();
    assert_eq!(own, std::slice::from_ref(&grant));
    assert!(approvals.grants(&name("key-2"), &[]).await.unwrap().is_empty());
    for another in [
        strongroom_model::approval::Scope { principal: name("key-2"), ..scope.clone() },
        strongroom_model::approval::Scope { class: Class::Delete, ..scope.clone() },
        strongroom_model::approval::Scope { revision: 7, ..scope.clone() },
        strongroom_model::approval::Scope { rule: "GET /**".into(), ..scope.clone() },
        strongroom_model::approval::Scope { service: name("other"), ..scope.clone() },
    ] {
        assert_eq!(approvals.granted(&another).await.unwrap(), None, "{another:?}");
    }
    assert!(other.tenant(&ctx(&tenant)).revoke_grant(&grant.id).await.unwrap());
    let first = base.team.approvals(&ctx(&tenant));
    assert_eq!(first.granted(&scope).await.unwrap(), None, "at once, on every node");
    assert!(!base.team.tenant(&ctx(&tenant)).revoke_grant(&grant.id).await.unwrap());

    let next = super::approvals::question(&agent(), "y");
    approved(&base.team, &tenant, &next, Answer::For(hour)).await;
    assert!(first.granted(&scope).await.unwrap().is_some());
    base.clock.advance(hour);
    assert_eq!(first.granted(&scope).await.unwrap(), None, "it has lapsed");
    other.shutdown().await;
}

async fn a_yes_for_the_session_is_for_who_has_one(base: &Base) {
    let tenant = base.tenant("a").await;
    let approvals = base.team.approvals(&ctx(&tenant));
    let (one, two) = (question(&agent(), "x"), question(&agent(), "y"));
    let id = approved(&base.team, &tenant, &one, Answer::Session).await;
    let taken = approvals.take(&id, &one, true).await.unwrap().unwrap();
    let grant = taken.grant.unwrap();
    assert!(grant.is_for_session());
    assert!(approvals.stands(&grant.id).await.unwrap());
    assert_eq!(approvals.granted(&grant.scope).await.unwrap(), None, "not for other connections");
    assert!(approvals.grants(&agent(), &[]).await.unwrap().is_empty());
    let own = approvals.grants(&agent(), std::slice::from_ref(&grant.id)).await.unwrap();
    assert_eq!(own, std::slice::from_ref(&grant));
    let all = base.team.tenant(&ctx(&tenant)).grants().await.unwrap();
    assert_eq!(all, std::slice::from_ref(&grant));
    assert_eq!(base.team.tenant(&ctx(&tenant)).revoke_grants().await.unwrap(), 1);
    assert!(!approvals.stands(&grant.id).await.unwrap());
    let id = approved(&base.team, &tenant, &two, Answer::Session).await;
    let taken = approvals.take(&id, &two, false).await.unwrap().unwrap();
    assert_eq!(taken.grant, None, "who has no connection uses it once");
}

async fn whoever_asks_never_answers(base: &Base) {
    let tenant = base.tenant("a").await;
    for actor in [
        Actor::ApiKey("0123456789abcdef".parse::<KeyId>().unwrap()),
        Actor::Kernel("0123456789abcdef".parse::<KeyId>().unwrap()),
    ] {
        let own = TenantCtx { tenant: tenant.id, actor };
        let question = question(&own.principal().unwrap(), "x");
        let id = asked(&base.team.approvals(&own), &question).await;
        for yes in [Answer::Once, Answer::Session, Answer::For(PATIENCE), Answer::Deny] {
            let store = base.team.tenant(&own);
            let settled = store.answer_approval(&id, yes, By::Api, None).await.unwrap();
            assert_eq!(settled, TeamSettled::Own);
        }
        let other = Actor::ApiKey("fedcba9876543210".parse().unwrap());
        let other = TenantCtx { tenant: tenant.id, actor: other };
        let store = base.team.tenant(&other);
        let settled = store.answer_approval(&id, Answer::Once, By::Api, None).await.unwrap();
        assert!(matches!(settled, TeamSettled::Done(..)), "{settled:?}");
    }
}

async fn the_agents_own_client_answers_nothing(base: &Base) {
    let tenant = base.tenant("a").await;
    let approvals = base.team.approvals(&ctx(&tenant));
    assert_eq!(approvals.asking(), Asking::Others);
    let id = asked(&approvals, &question(&agent(), "x")).await;
    let done = approvals.answer(&id, &agent(), Answer::Once, By::Elicitation).await.unwrap();
    assert!(!done);
    assert_eq!(approvals.state(&id).await.unwrap(), State::Open);
}

async fn a_flood_of_questions_is_cut_off_for_who_floods_and_then_for_the_tenant(base: &Base) {
    let (tenant, quiet) = (base.tenant("a").await, base.tenant("b").await);
    let approvals = base.team.approvals(&ctx(&tenant));
    let floods = usize::try_from(MOST_OPEN_OF_TENANT).unwrap() / MOST_OPEN;
    for who in 0..floods {
        let who = name(&format!("key-{who}"));
        for number in 0..MOST_OPEN {
            asked(&approvals, &question(&who, &number.to_string())).await;
        }
        let more = approvals.open(&question(&who, "more")).await.unwrap();
        assert_eq!(more, Opened::TooMany);
        let same = approvals.open(&question(&who, "0")).await.unwrap();
        assert!(matches!(same, Opened::Asked { new: false, .. }), "{same:?}");
    }
    let one_more = question(&name("key-more"), "x");
    assert_eq!(approvals.open(&one_more).await.unwrap(), Opened::TooMany);
    asked(&base.team.approvals(&ctx(&quiet)), &one_more).await;
    base.clock.advance(PATIENCE);
    asked(&approvals, &one_more).await;
}

async fn what_others_wrote_into_the_rows_grants_nothing(base: &Base) {
    let tenant = base.tenant("a").await;
    let approvals = base.team.approvals(&ctx(&tenant));
    let (one, two) = (question(&agent(), "x"), question(&agent(), "y"));
    let open = asked(&approvals, &one).await;
    base.sql(&format!("UPDATE tenant_approvals SET state = 'approved' WHERE id = '{open}'"));
    assert_eq!(approvals.take(&open, &one, false).await.unwrap(), None);
    let again = approvals.open(&one).await.unwrap();
    assert!(matches!(again, Opened::Asked { new: true, .. }), "{again:?}");

    // Of a yes, the sealed part in the row of another question.
    let yes = approved(&base.team, &tenant, &two, Answer::For(Duration::from_hours(1))).await;
    let Opened::Asked { id: other, .. } = again else { unreachable!() };
    base.sql(&format!(
        "UPDATE tenant_approvals SET state = 'approved', version = 2, sealed = \
         (SELECT sealed FROM tenant_approvals WHERE id = '{yes}') WHERE id = '{other}'"
    ));
    assert_eq!(approvals.take(&other, &two, false).await.unwrap(), None);
    assert!(approvals.take(&yes, &two, false).await.unwrap().is_some(), "the genuine one");

    let scope = two.scope().unwrap();
    assert!(approvals.granted(&scope).await.unwrap().is_some());
    base.sql("UPDATE tenant_grants SET principal = 'key-2'");
    let theirs = strongroom_model::approval::Scope { principal: name("key-2"), ..scope.clone() };
    assert_eq!(approvals.granted(&theirs).await.unwrap(), None);
    assert_eq!(approvals.granted(&scope).await.unwrap(), None);
    base.sql("UPDATE tenant_grants SET principal = 'key-0123456789abcdef'");
    assert!(approvals.granted(&scope).await.unwrap().is_some(), "as it was written");
}

async fn nothing_of_a_question_is_stored_in_the_clear(base: &Base) {
    let tenant = base.tenant("a").await;
    let approvals = base.team.approvals(&ctx(&tenant));
    let question = question(&agent(), CANARY);
    let id = asked(&approvals, &question).await;
    let shown = base.team.tenant(&ctx(&tenant)).approval(&id).await.unwrap().unwrap();
    assert_eq!(shown.entry.question.body.unwrap().lines, [CANARY]);
    answer(&base.team, &tenant, &id, Answer::Once).await;
    let shown = base.team.tenant(&ctx(&tenant)).approval(&id).await.unwrap().unwrap();
    assert_eq!(shown.entry.question.body, None, "nobody needs it any more");
    let dump = base.dump();
    let found = |text: &str| dump.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(!found(CANARY) && !found("v1/charges"));
    assert!(found(&id), "it is the right dump");
}

async fn what_nobody_answers_ends_once_and_is_forgotten_after_a_week(base: &Base) {
    let (tenant, other) = (base.tenant("a").await, base.another().await);
    let (one, two) = (base.team.approvals(&ctx(&tenant)), other.approvals(&ctx(&tenant)));
    let first = question(&agent(), "x");
    let id = asked(&one, &first).await;
    let used = approved(&base.team, &tenant, &question(&agent(), "y"), Answer::Once).await;
    assert!(one.lapse().await.unwrap().is_empty());
    base.clock.advance(PATIENCE);
    assert_eq!(two.state(&id).await.unwrap(), State::Expired);
    assert!(matches!(
        answer(&base.team, &tenant, &id, Answer::Once).await,
        TeamSettled::NotOpen(State::Expired)
    ));
    let lapsed = tokio::join!(one.lapse(), two.lapse());
    let lapsed: Vec<_> = [lapsed.0, lapsed.1].into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(lapsed.len(), 1, "by one node, once");
    assert_eq!((&lapsed[0].id, lapsed[0].state), (&id, State::Expired));
    assert_eq!(two.state(&used).await.unwrap(), State::Expired, "a yes that was not used");

    let store = base.team.tenant(&ctx(&tenant));
    let expired = ApprovalQuery { state: Some(State::Expired), ..ApprovalQuery::default() };
    assert_eq!(store.approvals(&expired).await.unwrap().approvals.len(), 2);
    base.clock.advance(Duration::from_hours(7 * 24 + 1));
    asked(&one, &first).await;
    assert_eq!(store.approvals(&ApprovalQuery::default()).await.unwrap().approvals.len(), 1);
    assert_eq!(store.approval(&id).await.unwrap(), None);
    other.shutdown().await;
}

async fn a_question_that_is_taken_back_cannot_be_answered(base: &Base) {
    let tenant = base.tenant("a").await;
    let approvals = base.team.approvals(&ctx(&tenant));
    let id = asked(&approvals, &question(&agent(), "x")).await;
    assert!(approvals.withdraw(&id).await.unwrap());
    assert!(!approvals.withdraw(&id).await.unwrap(), "once");
    let settled = answer(&base.team, &tenant, &id, Answer::Once).await;
    assert_eq!(settled, TeamSettled::NotOpen(State::Withdrawn));
    let unknown = answer(&base.team, &tenant, "a-22222222", Answer::Once).await;
    assert_eq!(unknown, TeamSettled::Unknown);
}

async fn a_tenants_new_key_ends_its_questions_and_leaves_its_grants(base: &Base) {
    let tenant = base.tenant("a").await;
    let approvals = base.team.approvals(&ctx(&tenant));
    let (one, two) = (question(&agent(), "x"), question(&agent(), "y"));
    let yes = Answer::For(Duration::from_hours(1));
    let id = approved(&base.team, &tenant, &one, yes).await;
    base.team.rotate_tenant_key(&tenant.id, |_| ()).await.unwrap();
    assert_eq!(approvals.take(&id, &one, false).await.unwrap(), None);
    assert!(approvals.granted(&one.scope().unwrap()).await.unwrap().is_some());
    let id = approved(&base.team, &tenant, &two, Answer::Once).await;
    assert!(approvals.take(&id, &two, false).await.unwrap().is_some(), "under the new key");
}

async fn another_tenant_sees_none_of_it(base: &Base) {
    let (ours, theirs) = (base.tenant("a").await, base.tenant("b").await);
    let question = question(&agent(), "x");
    let yes = Answer::For(Duration::from_hours(1));
    let id = approved(&base.team, &ours, &question, yes).await;
    let approvals = base.team.approvals(&ctx(&theirs));
    assert_eq!(approvals.take(&id, &question, false).await.unwrap(), None);
    assert_eq!(approvals.granted(&question.scope().unwrap()).await.unwrap(), None);
    let store = base.team.tenant(&ctx(&theirs));
    assert_eq!(store.approval(&id).await.unwrap(), None);
    assert!(store.approvals(&ApprovalQuery::default()).await.unwrap().approvals.is_empty());
    assert!(store.grants().await.unwrap().is_empty());
    assert_eq!(store.revoke_grants().await.unwrap(), 0);
    // The same row id in another tenant is another row.
    let copied = format!(
        "UPDATE tenant_approvals SET tenant_id = '{}', key_id = \
         (SELECT id FROM tenant_keys WHERE tenant_id = '{}')",
        theirs.id, theirs.id
    );
    asked(&approvals, &super::approvals::question(&name("key-2"), "z")).await;
    base.sql(&copied);
    assert_eq!(approvals.take(&id, &question, false).await.unwrap(), None, "moved, it is no row");
    assert!(
        base.team
            .approvals(&ctx(&ours))
            .granted(&question.scope().unwrap())
            .await
            .unwrap()
            .is_some()
    );
}
