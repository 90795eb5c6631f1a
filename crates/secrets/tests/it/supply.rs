//! What is supplied when (decision 5).

use std::time::Duration;

use strongroom_model::freshness::{Freshness, StalePolicy};
use strongroom_model::ports::ResolveError;
use strongroom_model::server::Delivery;
use strongroom_secrets::supply::{Ask, From, How, State};

use crate::stock::{A, B, C, HOUR, Stock, ask, down, refs, server, short, take};

const DAY: Duration = Duration::from_hours(24);

fn refused(kind: &str) -> ResolveError {
    let reference = A.parse().unwrap();
    let scheme = "op".to_owned();
    match kind {
        "not_found" => ResolveError::NotFound { reference },
        "denied" => ResolveError::Denied { reference, why: "no".into() },
        "unusable" => ResolveError::Unusable { reference, why: "it is empty" },
        "token_rejected" => ResolveError::TokenRejected { scheme },
        "locked" => ResolveError::Locked { scheme },
        "limited" => ResolveError::Limited { scheme },
        "absent" => ResolveError::absent("op", "it is not installed", "install it"),
        _ => down(),
    }
}

#[test]
fn what_was_fetched_once_is_supplied_without_asking_again() {
    let stock = Stock::new();
    assert_eq!(stock.one(A), ("canary-a".into(), From::Provider));
    assert_eq!(stock.asked(), 1);
    stock.clock.forth(2 * HOUR);
    let taken = stock.take(&[A]);
    assert_eq!(short(&taken.answers[0]), ("canary-a".into(), From::Cache));
    assert_eq!(taken.answers[0].age, 2 * HOUR);
    assert!(!taken.refresh_due && taken.problem.is_none() && taken.asked.is_empty());
    assert_eq!(stock.asked(), 0);
}

#[test]
fn a_miss_asks_each_provider_once_for_everything_that_is_missing() {
    let stock = Stock::new();
    let (wanted, server) = (refs(&[A, A]), server());
    let also = || refs(&[B, C, A, "env://HERE"]);
    let taken = stock.supply().take(&Ask { also: &also, ..ask(&wanted, &server) });
    assert_eq!(taken.answers.len(), 1);
    assert_eq!(stock.op.asked(), [[A, B]]);
    assert_eq!(stock.vault.asked(), [[C]]);
    assert_eq!(
        stock.take(&[B, C]).answers.iter().map(short).collect::<Vec<_>>(),
        [("canary-b".into(), From::Cache), ("canary-c".into(), From::Cache)]
    );
    assert_eq!(stock.asked(), 0);
}

#[test]
fn a_refresh_is_due_from_three_quarters_of_the_lifetime_and_keeps_ahead() {
    let stock = Stock::new();
    stock.take(&[A]);
    stock.clock.forth(Duration::from_secs(3 * 3600 - 1));
    assert!(!stock.take(&[A]).refresh_due);
    stock.clock.forth(Duration::from_secs(1));
    assert!(stock.take(&[A]).refresh_due);
    stock.asked();
    stock.op.put(A, "canary-new");
    let refreshed = stock.supply().refresh(&refs(&[A]), How::Due);
    assert!(refreshed.done[0].outcome.is_ok() && refreshed.problem.is_none());
    assert_eq!(stock.one(A), ("canary-new".into(), From::Cache));
    assert_eq!(stock.asked(), 1);
    let refreshed = stock.supply().refresh(&refs(&[A]), How::Due);
    assert_eq!((refreshed.done.len(), refreshed.fresh), (0, 1));
    assert_eq!(stock.asked(), 0);
    stock.supply().refresh(&refs(&[A]), How::All);
    assert_eq!(stock.asked(), 1);
}

#[test]
fn an_expired_secret_stands_in_only_for_a_provider_that_cannot_be_asked() {
    use StalePolicy::{Fail, Silent, Warn};
    for policy in [Fail, Warn, Silent] {
        for kind in ["unreachable", "locked", "limited", "absent"] {
            for (age, supplied) in [(5 * HOUR, policy != Fail), (8 * DAY, false)] {
                let stock = Stock::with(Freshness { policy, ..Freshness::default() });
                stock.take(&[A]);
                stock.clock.forth(age);
                stock.op.fail(Some(refused(kind)));
                let taken = stock.take(&[A]);
                let answer = &taken.answers[0];
                let expected = if supplied {
                    assert_eq!(answer.why.as_ref().unwrap().kind(), kind);
                    assert_eq!((answer.age, answer.silent), (age, policy == Silent));
                    ("canary-a".to_owned(), From::Stale)
                } else {
                    (kind.to_owned(), From::Provider)
                };
                assert_eq!(short(answer), expected, "{policy:?} {kind} {age:?}");
                assert_eq!(taken.asked[0].failed, 1);
                // Nothing was lost: it is supplied again, and replaced when the provider is back.
                stock.op.fail(None);
                stock.supply().clear_attempts("op");
                assert_eq!(stock.one(A), ("canary-a".into(), From::Provider));
            }
        }
        for kind in ["not_found", "denied", "unusable", "token_rejected"] {
            let stock = Stock::with(Freshness { policy, ..Freshness::default() });
            stock.take(&[A, B]);
            stock.clock.forth(5 * HOUR);
            stock.op.refuse(A, refused(kind));
            assert_eq!(stock.one(A), (kind.into(), From::Provider), "{policy:?}");
            // The answer holds after the provider is gone: the entry is no more.
            stock.supply().clear_attempts("op");
            stock.op.fail(Some(down()));
            assert_eq!(stock.one(A), ("unreachable".into(), From::Provider), "{policy:?} {kind}");
            let other = if policy == Fail { "unreachable" } else { "canary-b" };
            assert_eq!(stock.one(B).0, other, "{policy:?} {kind}: only what was refused is gone");
        }
    }
}

#[test]
fn a_refusal_is_not_asked_for_again_at_once_but_by_people() {
    for (kind, holds) in [("not_found", 60), ("denied", 60), ("token_rejected", 300)] {
        let stock = Stock::new();
        stock.op.refuse(A, refused(kind));
        for _ in 0..10 {
            assert_eq!(stock.one(A).0, kind);
        }
        assert_eq!(stock.asked(), 1, "{kind}");
        stock.supply().refresh(&refs(&[A]), How::Due);
        assert_eq!(stock.asked(), 0, "{kind}");
        let refreshed = stock.supply().refresh(&refs(&[A]), How::All);
        assert_eq!(refreshed.done[0].outcome.as_ref().unwrap_err().kind(), kind);
        assert_eq!(stock.asked(), 1, "{kind}");
        stock.clock.forth(Duration::from_secs(holds));
        stock.op.put(A, "canary-a");
        assert_eq!(stock.one(A).0, "canary-a", "{kind}");
    }
}

#[test]
fn a_new_token_is_tried_at_once() {
    let stock = Stock::new();
    stock.op.fail(Some(refused("token_rejected")));
    let supply =
        |token: &'static str| stock.supply().with_fingerprint(Box::new(move |_| token.to_owned()));
    assert_eq!(short(&take(&supply("old"), &[A]).answers[0]).0, "token_rejected");
    stock.op.fail(None);
    assert_eq!(short(&take(&supply("old"), &[A]).answers[0]).0, "token_rejected");
    assert_eq!(short(&take(&supply("new"), &[A]).answers[0]).0, "canary-a");
    assert_eq!(stock.asked(), 2);
}

#[test]
fn a_loop_of_starts_does_not_lock_an_account_out() {
    for delivery in [Delivery::Cached, Delivery::Runtime] {
        let stock = Stock::new();
        stock.op.fail(Some(refused("limited")));
        let (wanted, server) = (refs(&[A]), server());
        for _ in 0..20 {
            let taken = stock.supply().take(&Ask { delivery, ..ask(&wanted, &server) });
            assert_eq!(short(&taken.answers[0]).0, "limited");
        }
        assert_eq!(stock.asked(), 1, "{delivery:?}: a provider that says so is left alone at once");
        stock.op.fail(Some(down()));
        stock.supply().clear_attempts("op");
        for _ in 0..20 {
            stock.supply().take(&Ask { delivery, ..ask(&wanted, &server) });
        }
        assert_eq!(stock.asked(), 15, "{delivery:?}: five questions of three attempts each");
        assert_eq!(stock.supply().status(&[]).schemes[0].scheme, "op");
    }
}

#[test]
fn a_provider_that_stumbles_is_asked_again_but_not_one_that_answers() {
    let stock = Stock::new();
    for (kind, attempts) in
        [("unreachable", 3), ("locked", 1), ("absent", 1), ("limited", 1), ("not_found", 1)]
    {
        stock.op.fail(Some(refused(kind)));
        stock.supply().clear_attempts("op");
        assert_eq!(stock.one(A).0, kind);
        assert_eq!(stock.asked(), attempts, "{kind}");
    }
}

#[test]
fn what_is_delivered_at_runtime_is_neither_read_from_the_cache_nor_kept() {
    let stock = Stock::new();
    let (wanted, server) = (refs(&[A]), server());
    let runtime = || {
        let taken =
            stock.supply().take(&Ask { delivery: Delivery::Runtime, ..ask(&wanted, &server) });
        short(&taken.answers[0])
    };
    assert_eq!(runtime(), ("canary-a".into(), From::Provider));
    assert!(!stock.file("secrets.enc").exists());
    stock.take(&[A]);
    stock.op.put(A, "canary-new");
    assert_eq!(runtime(), ("canary-new".into(), From::Provider));
    assert_eq!(stock.one(A), ("canary-a".into(), From::Cache));
    stock.op.fail(Some(down()));
    stock.clock.forth(5 * HOUR);
    assert_eq!(runtime().0, "unreachable", "nothing stands in");
}

#[test]
fn what_is_on_this_machine_is_asked_for_each_time_and_never_kept() {
    let stock = Stock::new();
    for _ in 0..2 {
        assert_eq!(stock.one("env://HERE"), ("canary-here".into(), From::Local));
    }
    assert_eq!(stock.one("env://ELSEWHERE").0, "not_found");
    assert!(!stock.dir().exists());
    assert_eq!(stock.supply().status(&refs(&["env://HERE"])).entries[0].state, State::Here);
}

#[tokio::test(start_paused = true)]
async fn a_slow_provider_is_waited_for_a_second_if_something_stands_in_and_fifteen_if_not() {
    let (wanted, other, server) = (refs(&[A]), refs(&[B]), server());
    for (takes, supplied) in [(900, "canary-new"), (1100, "canary-a"), (60_000, "canary-a")] {
        let stock = Stock::new();
        stock.supply().supply(&ask(&wanted, &server)).await;
        stock.clock.forth(5 * HOUR);
        stock.op.put(A, "canary-new");
        stock.op.takes(Duration::from_millis(takes));
        let start = tokio::time::Instant::now();
        let taken = stock.supply().supply(&ask(&wanted, &server)).await;
        assert_eq!(short(&taken.answers[0]).0, supplied, "{takes} ms");
        assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
        assert_eq!(taken.refresh_due, takes > 1000, "the question is still open");
    }
    for (takes, kind) in [(14_000, "canary-b"), (16_000, "unreachable")] {
        let stock = Stock::new();
        stock.op.takes(Duration::from_millis(takes));
        let start = tokio::time::Instant::now();
        let taken = stock.supply().supply(&ask(&other, &server)).await;
        assert_eq!(short(&taken.answers[0]).0, kind, "{takes} ms");
        assert!(start.elapsed() <= Duration::from_millis(15_100), "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_nothing_waits_for_holds_nobody_up() {
    let stock = Stock::new();
    let (wanted, server) = (refs(&[A]), server());
    let also = || refs(&[C]);
    stock.vault.takes(Duration::from_mins(1));
    stock.op.takes(Duration::from_millis(500));
    let start = tokio::time::Instant::now();
    let taken = stock.supply().supply(&Ask { also: &also, ..ask(&wanted, &server) }).await;
    assert_eq!(short(&taken.answers[0]).0, "canary-a");
    assert!(start.elapsed() < Duration::from_millis(1100), "{:?}", start.elapsed());
    assert!(taken.refresh_due);
}

#[tokio::test(start_paused = true)]
async fn a_late_refusal_takes_the_secret_out() {
    let stock = Stock::new();
    let (wanted, server) = (refs(&[A]), server());
    stock.supply().supply(&ask(&wanted, &server)).await;
    stock.clock.forth(5 * HOUR);
    stock.op.refuse(A, refused("denied"));
    stock.op.takes(Duration::from_secs(5));
    let taken = stock.supply().supply(&ask(&wanted, &server)).await;
    assert_eq!(short(&taken.answers[0]), ("canary-a".into(), From::Stale));
    assert!(taken.refresh_due);
    let refreshed = stock.supply().refreshed(&wanted, How::Due).await;
    assert_eq!(refreshed.done[0].outcome.as_ref().unwrap_err().kind(), "denied");
    assert_eq!(stock.supply().status(&wanted).entries[0].state, State::Missing);
    let taken = stock.supply().supply(&ask(&wanted, &server)).await;
    assert_eq!(short(&taken.answers[0]).0, "denied");
}

/// Locks are of open files, so that two supplies of one process are like two processes.
#[tokio::test(start_paused = true)]
async fn what_one_is_told_while_others_wait_is_their_answer_too() {
    let (wanted, server) = (refs(&[A]), server());
    for (error, kind, attempts) in [
        (None, "canary-a", 1),
        (Some(refused("not_found")), "not_found", 1),
        (Some(refused("locked")), "locked", 1),
        (Some(down()), "unreachable", 3),
    ] {
        let stock = Stock::new();
        stock.op.takes(Duration::from_secs(1));
        stock.op.fail(error);
        let (one, two, three) = (stock.supply(), stock.supply(), stock.supply());
        let question = ask(&wanted, &server);
        let (one, two, three) =
            tokio::join!(one.supply(&question), two.supply(&question), three.supply(&question));
        for taken in [one, two, three] {
            assert_eq!(short(&taken.answers[0]).0, kind);
        }
        assert_eq!(stock.asked(), attempts, "{kind}");

        for how in [How::All, How::Due] {
            stock.supply().clear_attempts("op");
            stock.clock.forth(5 * HOUR);
            let (one, two) = (stock.supply(), stock.supply());
            let (one, two) = tokio::join!(one.refreshed(&wanted, how), two.refreshed(&wanted, how));
            for refreshed in [&one, &two] {
                let told = refreshed.done.first().map(|done| done.outcome.as_ref().err());
                let told = told.flatten().map(ResolveError::kind);
                assert_eq!(told, (kind != "canary-a").then_some(kind), "{how:?}");
            }
            assert_eq!(one.asked.len() + two.asked.len(), 1, "{how:?} {kind}");
            assert_eq!(stock.asked(), attempts, "{how:?} {kind}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn five_cold_servers_at_once_are_one_batch_and_wait_once() {
    let stock = Stock::new();
    let latency = Duration::from_millis(500);
    stock.op.takes(latency);
    let names: Vec<String> = (0..10).map(|n| format!("op://Vault/Item/{n}")).collect();
    for name in &names {
        stock.op.put(name, "canary");
    }
    let all: Vec<_> = names.iter().map(|name| name.parse().unwrap()).collect();
    let also = || all.clone();
    let supplies = [(); 5].map(|()| stock.supply());
    let server = server();
    let questions: Vec<_> =
        all.chunks(2).map(|two| Ask { also: &also, ..ask(two, &server) }).collect();
    let start = tokio::time::Instant::now();
    let taken = tokio::join!(
        supplies[0].supply(&questions[0]),
        supplies[1].supply(&questions[1]),
        supplies[2].supply(&questions[2]),
        supplies[3].supply(&questions[3]),
        supplies[4].supply(&questions[4]),
    );
    assert!(start.elapsed() <= latency * 6 / 5, "{:?}", start.elapsed());
    for taken in [taken.0, taken.1, taken.2, taken.3, taken.4] {
        assert!(taken.answers.iter().all(|answer| short(answer).0 == "canary"));
    }
    assert_eq!(stock.op.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_for_another_process_than_for_a_provider() {
    let stock = Stock::new();
    let (wanted, other, server) = (refs(&[A]), refs(&[B]), server());
    stock.supply().supply(&ask(&wanted, &server)).await;
    stock.clock.forth(5 * HOUR);
    stock.asked();
    let guard = stock.lock();
    for (wanted, supplied, longest) in
        [(&wanted, "canary-a", 1100), (&other, "unreachable", 15_100)]
    {
        let start = tokio::time::Instant::now();
        let taken = stock.supply().supply(&ask(wanted, &server)).await;
        assert_eq!(short(&taken.answers[0]).0, supplied);
        assert!(taken.refresh_due);
        assert!(start.elapsed() < Duration::from_millis(longest), "{:?}", start.elapsed());
    }
    assert_eq!(stock.asked(), 0, "only one process asks");
    drop(guard);
    assert_eq!(short(&stock.supply().supply(&ask(&other, &server)).await.answers[0]).0, "canary-b");
}

#[test]
fn without_locks_everybody_asks_for_itself_and_keeps_it() {
    let stock = Stock::new();
    stock.take(&[A]);
    std::fs::remove_file(stock.file("refresh.lock")).unwrap();
    std::fs::create_dir(stock.file("refresh.lock")).unwrap();
    assert_eq!(stock.one(B), ("canary-b".into(), From::Provider));
    let taken = stock.take(&[A, B]);
    assert!(taken.answers.iter().all(|answer| answer.from == From::Cache));
    assert!(taken.problem.is_none());
}

/// LM-09.
#[test]
fn a_clock_that_was_set_back_or_forth_makes_secrets_expire() {
    // Back: nobody knows how old it is, so it is fetched, and does not stand in.
    let stock = Stock::new();
    stock.take(&[A, B]);
    stock.clock.back(DAY);
    stock.op.put(A, "canary-new");
    assert_eq!(stock.one(A), ("canary-new".into(), From::Provider));
    assert_eq!(stock.one(A), ("canary-new".into(), From::Cache), "the new time holds");
    stock.op.fail(Some(down()));
    assert_eq!(stock.one(B).0, "unreachable", "what was from the future is gone");
    assert_eq!(stock.one(A).0, "canary-new");

    // Back to before the last write, though after this entry was fetched.
    let stock = Stock::new();
    stock.take(&[A]);
    stock.clock.forth(2 * HOUR);
    stock.take(&[B]);
    stock.clock.back(HOUR);
    stock.op.fail(Some(down()));
    assert_eq!(stock.one(A).0, "unreachable");
    stock.clock.forth(HOUR);
    stock.supply().clear_attempts("op");
    assert_eq!(stock.one(A), ("canary-a".into(), From::Cache), "the clock was put right");

    // Forth by ten years, and back again after a fetch.
    let stock = Stock::new();
    stock.take(&[A]);
    stock.clock.forth(DAY * 3650);
    stock.op.fail(Some(down()));
    assert_eq!(stock.one(A).0, "unreachable");
    stock.op.fail(None);
    assert_eq!(stock.one(A), ("canary-a".into(), From::Provider));
    stock.clock.back(DAY * 3650);
    assert_eq!(stock.one(A), ("canary-a".into(), From::Provider));
    assert_eq!(stock.one(A), ("canary-a".into(), From::Cache));
}

#[test]
fn a_lifetime_that_was_made_longer_holds_from_the_next_fetch_on_and_a_shorter_one_at_once() {
    let mut stock = Stock::new();
    stock.take(&[A]);
    stock.clock.forth(5 * HOUR);
    stock.rules.all.ttl = DAY;
    assert_eq!(stock.one(A).1, From::Provider);
    stock.clock.forth(5 * HOUR);
    assert_eq!(stock.one(A).1, From::Cache);
    stock.rules.references.insert(A.parse().unwrap(), HOUR);
    assert_eq!(stock.one(A).1, From::Provider);
}

#[test]
fn the_status_says_what_is_kept_how_long_it_is_good_and_what_went_wrong() {
    use State::{Due, Expired, Fresh, Missing, Stale};
    let stock = Stock::new();
    stock.take(&[A, B]);
    let missing = "op://Vault/Item/missing";
    stock.take(&[missing]);
    let all = refs(&[A, C]);
    let states = || {
        let status = stock.supply().status(&all);
        assert!(status.problem.is_none());
        status.entries.iter().map(|entry| entry.state).collect::<Vec<_>>()
    };
    assert_eq!(states(), [Fresh, Fresh, Missing, Missing]);
    let entry = &stock.supply().status(&all).entries[2];
    assert_eq!(entry.reference.as_str(), missing);
    assert_eq!(entry.last_error.as_ref().unwrap().kind, "not_found");
    stock.clock.forth(3 * HOUR);
    assert_eq!(states(), [Due, Due, Missing, Missing]);
    stock.clock.forth(HOUR);
    assert_eq!(states(), [Stale, Stale, Missing, Missing]);
    stock.clock.forth(8 * DAY);
    assert_eq!(states(), [Expired, Expired, Missing, Missing]);

    stock.op.fail(Some(down()));
    for failures in 1..=3 {
        stock.clock.forth(HOUR);
        let refreshed = stock.supply().refresh(&refs(&[A]), How::Due);
        assert_eq!(refreshed.done[0].failures, failures);
    }
    assert_eq!(stock.supply().status(&all).entries[0].failures, 3);
    stock.op.fail(None);
    stock.supply().refresh(&refs(&[A]), How::Due);
    let entry = &stock.supply().status(&all).entries[0];
    assert_eq!((entry.failures, entry.last_error.is_none()), (0, true));
}

#[test]
fn what_is_forgotten_is_asked_for_again() {
    let stock = Stock::new();
    stock.take(&[A, B]);
    assert_eq!(stock.supply().forget(&refs(&[A, C])).unwrap(), 1);
    assert_eq!(stock.supply().forget(&refs(&[A])).unwrap(), 0);
    stock.asked();
    assert_eq!(stock.one(A).1, From::Provider);
    assert_eq!(stock.one(B).1, From::Cache);
    stock.supply().clear().unwrap();
    assert_eq!(stock.one(B).1, From::Provider);
}

#[test]
fn nothing_is_forgotten_behind_the_back_of_who_is_fetching() {
    let mut stock = Stock::new();
    stock.waits.cold = Duration::from_millis(1);
    stock.take(&[A]);
    let guard = stock.lock();
    assert_eq!(stock.supply().forget(&refs(&[A])).unwrap_err().kind(), "busy");
    assert_eq!(stock.supply().clear().unwrap_err().kind(), "busy");
    drop(guard);
    assert_eq!(stock.supply().forget(&refs(&[A])).unwrap(), 1);
}

#[test]
fn without_the_machine_key_nothing_is_supplied_that_would_be_kept() {
    use strongroom_secrets::cache::NoKey;
    let stock = Stock::new();
    let lost = NoKey { why: "the key is gone".into(), fix: Some("restore it".into()) };
    let supply = stock.supply_without_key(lost);
    let taken = take(&supply, &[A, "env://HERE"]);
    let error = taken.answers[0].secret.as_ref().unwrap_err();
    assert_eq!((error.kind(), error.hint().as_deref()), ("absent", Some("restore it")));
    assert_eq!(short(&taken.answers[1]).0, "canary-here");
    assert_eq!(taken.problem.unwrap().kind(), "no_key");
    let refreshed = supply.refresh(&refs(&[A, "env://HERE"]), How::All);
    assert_eq!(refreshed.done[0].outcome.as_ref().unwrap_err().kind(), "absent");
    assert!(refreshed.done[1].outcome.is_ok());
    assert_eq!(stock.asked(), 0);
}

#[test]
fn the_future_of_a_supply_can_go_to_another_thread() {
    fn check(_: impl Send) {}
    let stock = Stock::new();
    let (supply, wanted, server) = (stock.supply(), refs(&[A]), server());
    let question = ask(&wanted, &server);
    check(supply.supply(&question));
    check(supply.refreshed(&wanted, How::All));
}
