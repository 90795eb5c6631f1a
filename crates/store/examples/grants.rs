//! How long it takes to find the grant that covers a call, by the number of grants that stand: one
//! JSON line.
//!
//! `cargo run --release -p strongroom-store --example grants`

#![expect(clippy::print_stdout, reason = "the line is what it is run for")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on ends")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom_model::approval::{Answer, By, Class, Digest, Matter, Opened, Question, Scope};
use strongroom_model::policy::Terms;
use strongroom_model::ports::ApprovalsAtOnce as _;
use strongroom_model::secret::Secret;
use strongroom_seal::{MachineId, MachineKek, SecureDir};
use strongroom_store::{ApprovalStore, Settled, Vault};
use strongroom_testkit::fakes::{FakeClock, caller};

const RUNS: usize = 15;
const CHECKS: usize = 1_000;
const SERVICES: usize = 50;
const RULES: usize = 40;

fn main() {
    // Each grant is committed on its own, as people give them: on a disk that takes minutes.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    let share = SecureDir::create(folder.path().join("share")).unwrap();
    let kek =
        MachineKek::derive(&Secret::new(vec![7; 32]), &MachineId::parse(&"a".repeat(32)).unwrap());
    let vault = Vault::create(&share, &kek, Arc::new(FakeClock::default())).unwrap();
    let store = vault.approvals().unwrap();
    let mut there = 0;
    let rows = [1, 100_000].map(|count| {
        (there..count).for_each(|number| grant(&store, number));
        there = count;
        let us = best(|check| {
            let found = store.granted(&scope(check * 7_919 % count)).unwrap();
            assert!(found.is_some(), "there is one for each");
        });
        let none = best(|check| {
            let scope = Scope { rule: "POST /nothing".into(), ..scope(check % count) };
            assert!(store.granted(&scope).unwrap().is_none());
        });
        format!("{{\"grants\":{count},\"us\":{us:.3},\"us_none\":{none:.3}}}")
    });
    println!("{{\"grants\":[{}]}}", rows.join(","));
}

/// Microseconds of one in the fastest of several runs: what else the machine does only adds.
fn best(mut one: impl FnMut(usize)) -> f64 {
    let times = (0..RUNS).map(|run| {
        let start = Instant::now();
        (0..CHECKS).for_each(|check| one(run * CHECKS + check));
        start.elapsed().as_secs_f64() * 1e6 / CHECKS as f64
    });
    times.fold(f64::INFINITY, f64::min)
}

/// What the grant of this number covers: another principal, service or rule for each.
fn scope(number: usize) -> Scope {
    Scope {
        principal: format!("p{}", number / SERVICES / RULES).parse().unwrap(),
        service: format!("s{}", number / RULES % SERVICES).parse().unwrap(),
        rule: format!("POST /repos/team-{}/**", number % RULES),
        class: Class::Write,
        revision: 1,
    }
}

/// Asks for what the scope of this number covers, and says yes for an hour.
fn grant(store: &ApprovalStore, number: usize) {
    let scope = scope(number);
    let matter = Matter {
        service: scope.service.clone(),
        revision: scope.revision,
        digest: Digest::of([b"request".as_slice(), &number.to_be_bytes()]),
        class: scope.class,
        what: "POST /x".into(),
        place: "https://api.test".into(),
        bytes: 0,
        unseen: false,
        content_type: None,
        text: None,
    };
    let caller = caller(scope.principal.as_str());
    let question = Question::new(matter, &caller, &scope.rule, &Terms::default(), None);
    let Opened::Asked { id, .. } = store.open(&question).unwrap() else {
        panic!("it was asked before")
    };
    let settled = store.settle(&id, Answer::For(Duration::from_hours(1)), By::Cli).unwrap();
    assert!(matches!(settled, Settled::Done(Some(_))), "{settled:?}");
}
