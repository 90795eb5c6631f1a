//! Several processes on one cache, and processes that are killed (LM-10).

#![cfg(unix)]

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use strongroom_model::ports::{BoxFuture, Clock, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_secrets::supply::{From, How, Parts, Rules, State, Waits};
use strongroom_secrets::{Resolver, Scope, Supply};
use strongroom_testkit::again;

use crate::stock::{A, B, key, refs, short, take};

/// How often a refresh is killed. `STRONGROOM_SOAK_KILLS` asks for more.
const KILLS: u32 = 50;
const PATIENCE: Duration = Duration::from_mins(1);
const MACHINE: &str = "0123456789abcdef0123456789abcdef";

/// The clock of the machine, or one that is some hours behind it.
struct Behind(Duration);

impl Clock for Behind {
    #[expect(clippy::disallowed_methods, reason = "several processes share the machine's clock")]
    fn now(&self) -> SystemTime {
        SystemTime::now() - self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// Writes down that it was asked, and answers with a number that all references of a batch share.
struct Slow {
    log: PathBuf,
    takes: Duration,
    number: Arc<AtomicU64>,
}

impl Provider for Slow {
    fn scheme(&self) -> &'static str {
        "op"
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        Box::pin(async move {
            let mut log = OpenOptions::new().append(true).create(true).open(&self.log).unwrap();
            log.write_all(b"asked\n").unwrap();
            tokio::time::sleep(self.takes).await;
            let number = format!("{:08}", self.number.fetch_add(1, Ordering::SeqCst));
            refs.iter().map(|_| Ok(Secret::new(number.clone().into_bytes()))).collect()
        })
    }
}

/// A supply on the cache below `root`; a provider takes `takes` to answer.
fn supply(root: &Path, behind: Duration, takes: Duration, number: u64) -> Supply {
    let (scope, log) = (Scope::user(), root.join("log"));
    let number = Arc::new(AtomicU64::new(number));
    let of = scope.clone();
    Supply::new(Parts {
        dir: root.join("cache"),
        scope,
        key: Box::new(move || Ok(key(7, MACHINE, &of))),
        rules: Rules::default(),
        clock: Arc::new(Behind(behind)),
        resolver: Box::new(move || {
            let provider = Slow { log: log.clone(), takes, number: number.clone() };
            Ok(Arc::new(Resolver::new(vec![Box::new(provider)])))
        }),
        // How busy the machine is must not decide a test.
        waits: Waits { cold: PATIENCE, stale: PATIENCE, ..Waits::default() },
    })
}

/// A root with a cache whose entries expired an hour ago.
fn expired() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    take(&supply(root.path(), Duration::from_hours(5), Duration::ZERO, 0), &[A, B]);
    fs::remove_file(root.path().join("log")).unwrap();
    root
}

fn asked(root: &Path) -> usize {
    fs::read_to_string(root.join("log")).unwrap_or_default().lines().count()
}

fn start(root: &Path, test: &str, takes: &str) -> Child {
    again::start(test, "", &[root.to_str().unwrap(), takes])
}

#[test]
fn fifty_starts_at_once_on_an_expired_cache_are_one_refresh() {
    let root = expired();
    let children: Vec<_> =
        (0..50).map(|_| start(root.path(), "flight::takes_one", "200")).collect();
    for child in children {
        let output = again::passed(child);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("took 00000001"), "{said}");
    }
    assert_eq!(asked(root.path()), 1);
}

#[test]
#[ignore = "started by another test"]
fn takes_one() {
    let [root, takes] = &again::parameters()[..] else { panic!("two parameters") };
    let takes = Duration::from_millis(takes.parse().unwrap());
    let got = take(&supply(Path::new(root), Duration::ZERO, takes, 1), &[A]);
    let (value, from) = short(&got.answers[0]);
    assert!(got.problem.is_none(), "{:?}", got.problem);
    assert!(matches!(from, From::Provider | From::Cache), "{from:?}");
    println!("took {value}");
}

/// LM-10.
#[test]
fn twenty_processes_go_on_when_the_one_that_asks_is_killed() {
    let root = tempfile::tempdir().unwrap();
    let mut first = start(root.path(), "flight::takes_one", "3600000");
    while asked(root.path()) == 0 {
        std::thread::yield_now();
    }
    let others: Vec<_> = (1..20).map(|_| start(root.path(), "flight::takes_one", "50")).collect();
    // The others wait for the lock, or will; it ends with its process.
    assert_eq!(asked(root.path()), 1);
    first.kill().unwrap();
    first.wait().unwrap();
    for child in others {
        again::passed(child);
    }
    assert_eq!(asked(root.path()), 2, "the one that died, and one for all others");
}

#[test]
fn ten_background_refreshes_at_once_are_one() {
    let root = expired();
    let children: Vec<_> =
        (0..10).map(|_| start(root.path(), "flight::refreshes_what_is_due", "100")).collect();
    for child in children {
        again::passed(child);
    }
    assert_eq!(asked(root.path()), 1);
}

#[test]
#[ignore = "started by another test"]
fn refreshes_what_is_due() {
    let [root, takes] = &again::parameters()[..] else { panic!("two parameters") };
    let takes = Duration::from_millis(takes.parse().unwrap());
    let supply = supply(Path::new(root), Duration::ZERO, takes, 1);
    let refreshed = supply.refresh(&refs(&[A, B]), How::Due);
    assert!(refreshed.problem.is_none());
    assert_eq!(refreshed.done.len() + refreshed.fresh, 2);
    assert!(refreshed.done.iter().all(|done| done.outcome.is_ok()), "{refreshed:?}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the soak says how often")]
fn a_refresh_that_is_killed_at_any_point_leaves_a_whole_cache() {
    let kills = std::env::var("STRONGROOM_SOAK_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let root = tempfile::tempdir().unwrap();
    let reader = || supply(root.path(), Duration::ZERO, Duration::ZERO, 0);
    let mut last = 0;
    for round in 0..kills {
        let from = last.to_string();
        let mut child = start(root.path(), "flight::refreshes_until_it_is_killed", &from);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // It says what it has kept, so that it is killed in the middle of what comes next.
        let most = 1 + round as usize * 7 % 5;
        let done: Vec<_> = lines
            .map(Result::unwrap)
            .filter_map(|line| line.strip_prefix("kept ").map(str::to_owned))
            .take(most)
            .collect();
        // A different moment of the next write each time.
        for _ in 0..u64::from(round) * 7919 % 20_000 {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let claimed: u64 = done.last().unwrap().parse().unwrap();

        let status = reader().status(&refs(&[A, B]));
        assert!(status.problem.is_none(), "round {round}: {:?}", status.problem);
        assert!(status.entries.iter().all(|entry| entry.state == State::Fresh), "round {round}");
        let taken = take(&reader(), &[A, B]);
        let values: Vec<_> = taken.answers.iter().map(|answer| short(answer).0).collect();
        assert_eq!(values[0], values[1], "round {round}: what was fetched together is together");
        last = values[0].parse::<u64>().unwrap();
        assert!(last >= claimed, "round {round}: what was reported as kept is kept");
        last += 1;
    }
    take(&reader(), &["op://Vault/Item/new"]);
    let left: Vec<_> = fs::read_dir(root.path().join("cache"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert_eq!(left, [""; 0], "what the killed ones left behind is swept away");
}

#[test]
#[ignore = "started by another test, which kills it"]
fn refreshes_until_it_is_killed() {
    let [root, from] = &again::parameters()[..] else { panic!("two parameters") };
    let from: u64 = from.parse().unwrap();
    let supply = supply(Path::new(root), Duration::ZERO, Duration::ZERO, from);
    let mut out = std::io::stdout().lock();
    writeln!(out).unwrap();
    for number in from.. {
        let refreshed = supply.refresh(&refs(&[A, B]), How::All);
        assert!(refreshed.problem.is_none(), "{:?}", refreshed.problem);
        assert!(refreshed.done.iter().all(|done| done.outcome.is_ok()));
        writeln!(out, "kept {number}").unwrap();
        out.flush().unwrap();
    }
}
