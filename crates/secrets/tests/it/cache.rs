//! The sealed file: damaged, foreign, unsafe, unwritable (LM-04, LM-05, LM-07, LM-11, LM-19, CR-05,
//! CR-06, CR-11).

#![cfg(unix)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use strongroom_model::ports::ResolveError;
use strongroom_secrets::cache::Damage;
use strongroom_secrets::supply::{From, How, State};
use strongroom_secrets::{CacheProblem, Scope};
use strongroom_testkit::again;
use strongroom_testkit::oracle::Oracle;

use crate::stock::{A, B, C, HOUR, Stock, down, refs, short, take};

const MACHINE: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "ffffffffffffffffffffffffffffffff";

/// A stock whose cache holds `A` and `B`, and the bytes of the file.
fn filled() -> (Stock, Vec<u8>) {
    let stock = Stock::new();
    stock.take(&[A, B]);
    stock.asked();
    let bytes = fs::read(stock.file("secrets.enc")).unwrap();
    (stock, bytes)
}

fn damage(stock: &Stock) -> Option<Damage> {
    match stock.supply().status(&[]).problem {
        Some(CacheProblem::Damaged { damage, .. }) => Some(damage),
        None => None,
        Some(other) => panic!("{other:?}"),
    }
}

/// Puts `bytes` in the place of the cache and checks that nothing of it is used, that it is kept for
/// people to look at, and that it is healed.
fn is_healed(stock: &Stock, bytes: &[u8]) {
    fs::write(stock.file("secrets.enc"), bytes).unwrap();
    let taken = stock.take(&[A]);
    assert_eq!(short(&taken.answers[0]), ("canary-a".into(), From::Provider));
    let problem = taken.problem.unwrap();
    assert_eq!(problem.kind(), "integrity");
    let bad = stock.file("secrets.enc.bad");
    assert!(
        matches!(&problem, CacheProblem::Damaged { kept: Some(kept), healed: true, .. } if *kept == bad),
        "{problem:?}"
    );
    assert!(problem.hint().unwrap().contains("secrets.enc.bad"));
    assert_eq!(fs::read(bad).unwrap(), bytes);
    let again = stock.take(&[A]);
    assert_eq!(short(&again.answers[0]), ("canary-a".into(), From::Cache));
    assert!(again.problem.is_none());
}

/// LM-07, CR-05.
#[test]
fn a_cache_that_is_cut_off_anywhere_is_kept_aside_and_fetched_anew() {
    let (stock, bytes) = filled();
    assert_eq!(damage(&stock), None);
    for length in 0..bytes.len() {
        fs::write(stock.file("secrets.enc"), &bytes[..length]).unwrap();
        assert!(damage(&stock).is_some(), "{length} bytes");
    }
    for length in (0..bytes.len()).step_by(16).chain([bytes.len() - 1]) {
        is_healed(&stock, &bytes[..length]);
    }
}

/// LM-07.
#[test]
fn a_cache_with_any_bit_flipped_is_not_used() {
    let (stock, bytes) = filled();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            fs::write(stock.file("secrets.enc"), &flipped).unwrap();
            assert!(damage(&stock).is_some(), "bit {bit} of byte {at}");
        }
        if at % 16 == 0 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            is_healed(&stock, &flipped);
        }
    }
    fs::write(stock.file("secrets.enc"), &bytes).unwrap();
    assert_eq!(damage(&stock), None, "and the whole one is");
}

/// LM-07, CR-06.
#[test]
fn what_is_no_cache_of_this_version_is_told_apart_and_fetched_anew() {
    let (stock, bytes) = filled();
    let version = b"strongroom cache\n".len();
    let of_version = |number: u8| {
        let mut bytes = bytes.clone();
        bytes[version] = number;
        bytes
    };
    let doubled = [&bytes[..], &bytes].concat();
    for (bytes, expected) in [
        (Vec::new(), Damage::Short),
        (b"{}".to_vec(), Damage::Foreign),
        (vec![0; 4096], Damage::Foreign),
        (doubled, Damage::Seal),
        (of_version(0), Damage::Version(0)),
        (of_version(2), Damage::Version(2)),
        (of_version(255), Damage::Version(255)),
    ] {
        fs::write(stock.file("secrets.enc"), &bytes).unwrap();
        assert_eq!(damage(&stock), Some(expected));
        is_healed(&stock, &bytes);
    }
}

#[test]
fn a_damaged_cache_without_a_provider_is_an_error_and_never_no_secrets() {
    let (stock, bytes) = filled();
    fs::write(stock.file("secrets.enc"), &bytes[..bytes.len() - 1]).unwrap();
    stock.op.fail(Some(down()));
    let taken = stock.take(&[A, B]);
    let errors: Vec<_> = taken.answers.iter().map(|answer| short(answer).0).collect();
    assert_eq!(errors, ["unreachable", "unreachable"]);
    let problem = taken.problem.unwrap();
    assert!(matches!(problem, CacheProblem::Damaged { kept: Some(_), healed: false, .. }));
    assert!(problem.hint().unwrap().contains("strongroom secrets refresh"));
}

/// LM-19.
#[test]
fn a_copy_opens_neither_on_another_machine_nor_for_another_user_nor_in_another_scope() {
    let (stock, bytes) = filled();
    let project = Scope::project(Path::new("/home/me/project"));
    let below = project.directory(&stock.dir());
    let home = stock.dir();
    for (name, supply, dir) in [
        ("machine", stock.supply_as(7, OTHER, Scope::user(), &home), &home),
        ("user", stock.supply_as(8, MACHINE, Scope::user(), &home), &home),
        ("scope", stock.supply_as(7, MACHINE, project, &below), &below),
    ] {
        make(dir);
        fs::write(dir.join("secrets.enc"), &bytes).unwrap();
        fs::set_permissions(dir.join("secrets.enc"), Permissions::from_mode(0o600)).unwrap();
        stock.op.fail(Some(down()));
        let taken = take(&supply, &[A]);
        assert_eq!(short(&taken.answers[0]).0, "unreachable", "{name}");
        assert!(
            matches!(taken.problem, Some(CacheProblem::Damaged { damage: Damage::Key, .. })),
            "{name}: {:?}",
            taken.problem
        );
        supply.clear_attempts("op");
    }
    fs::write(stock.file("secrets.enc"), &bytes).unwrap();
    fs::set_permissions(stock.file("secrets.enc"), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(stock.one(A), ("canary-a".into(), From::Cache), "and here it does");
}

#[test]
fn a_project_has_a_cache_of_its_own() {
    let stock = Stock::new();
    let scopes = ["/a", "/b"].map(|root| Scope::project(Path::new(root)));
    let supplies = scopes.map(|scope| {
        let dir = scope.directory(&stock.dir());
        stock.supply_as(7, MACHINE, scope, &dir)
    });
    for supply in supplies.iter().chain([&stock.supply()]) {
        assert_eq!(short(&take(supply, &[A]).answers[0]), ("canary-a".into(), From::Provider));
        assert_eq!(short(&take(supply, &[A]).answers[0]), ("canary-a".into(), From::Cache));
    }
}

/// LM-05.
#[test]
fn a_cache_that_others_could_have_used_is_refused_with_the_fix_and_left_alone() {
    let (stock, bytes) = filled();
    let file = stock.file("secrets.enc");
    let elsewhere = stock.file("elsewhere");
    let restore = || {
        drop(fs::remove_file(&file));
        drop(fs::remove_file(&elsewhere));
        fs::write(&file, &bytes).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(stock.dir(), Permissions::from_mode(0o700)).unwrap();
    };
    let spoil: [(&str, &dyn Fn()); 6] = [
        ("chmod 600", &|| fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap()),
        ("chmod 600", &|| fs::set_permissions(&file, Permissions::from_mode(0o620)).unwrap()),
        ("chmod 700", &|| fs::set_permissions(stock.dir(), Permissions::from_mode(0o777)).unwrap()),
        ("move", &|| {
            fs::rename(&file, &elsewhere).unwrap();
            symlink(&elsewhere, &file).unwrap();
        }),
        ("put a copy", &|| fs::hard_link(&file, &elsewhere).unwrap()),
        ("move", &|| {
            fs::remove_file(&file).unwrap();
            let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
            rustix::fs::mknodat(rustix::fs::CWD, &file, fifo, mode, 0).unwrap();
        }),
    ];
    for (fix, spoil) in spoil {
        restore();
        assert_eq!(stock.one(A).1, From::Cache);
        spoil();
        stock.asked();
        let taken = stock.take(&[A]);
        assert_eq!(short(&taken.answers[0]), ("canary-a".into(), From::Provider), "{fix}");
        let problem = taken.problem.unwrap();
        assert_eq!(problem.kind(), "integrity", "{fix}");
        assert!(problem.hint().unwrap().contains(fix), "{problem}");
        let path = problem.path().unwrap();
        assert!(problem.to_string().contains(&path.display().to_string()), "{problem}");
        assert_eq!(stock.take(&[A]).problem.unwrap().kind(), "integrity", "it stays refused");
        assert_eq!(stock.asked(), 2, "{fix}");
    }
}

/// LM-04.
#[test]
fn every_file_of_a_cache_is_closed_to_others_from_creation_whatever_the_umask_is() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("cache/strongroom");
    let child = again::start("cache::fills_a_cache", "umask 000", &[dir.to_str().unwrap()]);
    again::passed(child);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&home.path().join("cache")), mode(&dir)), (0o700, 0o700));
    let names = ["attempts.json", "refresh.lock", "secrets.enc", "secrets.enc.bad", "secrets.meta"];
    assert_eq!(names_in(&dir), names, "and nothing else is left");
    for name in names {
        assert_eq!(mode(&dir.join(name)), 0o600, "{name}");
    }
}

#[test]
#[ignore = "started by another test, with a umask of its own"]
fn fills_a_cache() {
    let dir = PathBuf::from(&again::parameters()[0]);
    let stock = Stock::new();
    let supply = stock.supply_as(7, MACHINE, Scope::user(), &dir);
    take(&supply, &[A, "op://Vault/Item/missing"]);
    fs::write(dir.join("secrets.enc"), b"junk").unwrap();
    take(&supply, &[A]);
}

/// LM-11.
#[test]
fn secrets_are_supplied_though_they_cannot_be_kept() {
    let stock = Stock::new();
    for nowhere in ["/proc/strongroom/cache", "/dev/null/cache"] {
        let supply = stock.supply_as(7, MACHINE, Scope::user(), Path::new(nowhere));
        for _ in 0..2 {
            let taken = take(&supply, &[A]);
            assert_eq!(short(&taken.answers[0]), ("canary-a".into(), From::Provider));
            let problem = taken.problem.unwrap();
            assert!(["unwritable", "unreadable", "integrity"].contains(&problem.kind()));
            assert!(problem.hint().is_some());
        }
    }
}

/// LM-11. A limit on the size of files stands in for a full disk.
#[test]
fn a_disk_that_is_full_leaves_the_old_cache_whole() {
    let (stock, bytes) = filled();
    let dir = stock.dir();
    let limit = "trap '' XFSZ; ulimit -f 8";
    again::passed(again::start("cache::has_no_room", limit, &[dir.to_str().unwrap()]));
    assert_eq!(fs::read(stock.file("secrets.enc")).unwrap(), bytes);
    assert_eq!(names_in(&dir), ["refresh.lock", "secrets.enc", "secrets.meta"]);
    assert_eq!(stock.one(A), ("canary-a".into(), From::Cache));
}

#[test]
#[ignore = "started by another test, with a limit of its own"]
fn has_no_room() {
    let dir = PathBuf::from(&again::parameters()[0]);
    let stock = Stock::new();
    stock.vault.put(C, &"x".repeat(100_000));
    let supply = stock.supply_as(7, MACHINE, Scope::user(), &dir);
    let taken = take(&supply, &[C]);
    assert_eq!(short(&taken.answers[0]).0.len(), 100_000);
    assert_eq!(taken.problem.unwrap().kind(), "unwritable");
    let refreshed = supply.refresh(&refs(&[C]), How::All);
    assert!(refreshed.done[0].outcome.is_ok());
    assert_eq!(refreshed.problem.unwrap().kind(), "unwritable");
}

#[test]
fn what_was_refused_is_not_kept_for_want_of_room() {
    let stock = Stock::new();
    stock.vault.put(C, &"x".repeat(100_000));
    stock.take(&[A, C]);
    let limit = "trap '' XFSZ; ulimit -f 8";
    let dir = stock.dir();
    again::passed(again::start("cache::is_refused_without_room", limit, &[dir.to_str().unwrap()]));
    assert!(!stock.file("secrets.enc").exists());
}

#[test]
#[ignore = "started by another test, with a limit of its own"]
fn is_refused_without_room() {
    let dir = PathBuf::from(&again::parameters()[0]);
    let stock = Stock::new();
    let supply = || stock.supply_as(7, MACHINE, Scope::user(), &dir);
    assert_eq!(short(&take(&supply(), &[A]).answers[0]).1, From::Cache);
    stock.clock.forth(5 * HOUR);
    let denied = ResolveError::Denied { reference: A.parse().unwrap(), why: "no".into() };
    stock.op.refuse(A, denied);
    assert_eq!(short(&take(&supply(), &[A]).answers[0]).0, "denied");
    stock.op.fail(Some(down()));
    supply().clear_attempts("op");
    assert_eq!(short(&take(&supply(), &[A]).answers[0]).0, "unreachable");
}

/// CR-11: an older file as a whole opens, since nothing outside of it can say that it is old. It is
/// good for no longer than when it was new.
#[test]
fn an_old_cache_that_is_put_back_lives_no_longer_than_it_would_have() {
    let (stock, old) = filled();
    stock.clock.forth(2 * HOUR);
    stock.op.put(A, "canary-new");
    stock.supply().refresh(&refs(&[A]), How::All);
    assert_eq!(stock.one(A).0, "canary-new");
    fs::write(stock.file("secrets.enc"), &old).unwrap();
    assert_eq!(stock.one(A), ("canary-a".into(), From::Cache));
    stock.clock.forth(2 * HOUR);
    assert_eq!(stock.one(A), ("canary-new".into(), From::Provider));
}

#[test]
fn what_people_read_about_the_cache_is_no_secret_and_nothing_trusts_it() {
    let (stock, bytes) = filled();
    let text = fs::read_to_string(stock.file("secrets.meta")).unwrap();
    let meta: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&meta["entries"], &meta["schemes"]["op"]), (&2.into(), &2.into()));
    assert!(!text.contains("Vault"), "{text}");
    fs::write(stock.file("secrets.meta"), text.replace('2', "9")).unwrap();
    assert_eq!(stock.one(A).1, From::Cache);
    fs::remove_file(stock.file("secrets.meta")).unwrap();
    assert_eq!(stock.one(A).1, From::Cache);
    assert_eq!(fs::read(stock.file("secrets.enc")).unwrap(), bytes);
}

#[test]
fn what_failed_lately_is_only_held_back_and_junk_holds_nothing() {
    let (stock, bytes) = filled();
    let missing = "op://Vault/Item/missing";
    let attempts = stock.file("attempts.json");
    for (text, mode, asked) in [(None, 0o600, 0), (None, 0o644, 1), (Some("{"), 0o600, 1)] {
        drop(fs::remove_file(&attempts));
        stock.take(&[missing]);
        stock.asked();
        if let Some(text) = text {
            fs::write(&attempts, text).unwrap();
        }
        fs::set_permissions(&attempts, Permissions::from_mode(mode)).unwrap();
        assert_eq!(stock.one(missing).0, "not_found");
        assert_eq!(stock.asked(), asked, "{text:?} {mode:o}");
        drop(fs::remove_file(&attempts));
    }
    // Whoever writes there that a secret is gone takes nothing out.
    let forged = format!(
        r#"{{"references": {{"{A}": {{"at": {}, "kind": "not_found"}}}}}}"#,
        1_773_570_225_000_u64
    );
    fs::write(&attempts, forged).unwrap();
    fs::set_permissions(&attempts, Permissions::from_mode(0o600)).unwrap();
    assert_eq!(stock.one(A), ("canary-a".into(), From::Cache));
    assert_eq!(fs::read(stock.file("secrets.enc")).unwrap(), bytes);
}

#[test]
fn no_secret_is_in_any_file_of_the_cache() {
    let (stock, _) = filled();
    stock.take(&["op://Vault/Item/missing"]);
    stock.op.fail(Some(down()));
    stock.supply().refresh(&refs(&[A]), How::All);
    let secrets = [("a", &b"canary-a"[..]), ("b", b"canary-b")];
    Oracle::new(&secrets).assert_tree_clean(&stock.dir());
}

#[test]
fn what_can_never_be_used_again_is_left_out_of_the_next_file() {
    let (stock, _) = filled();
    stock.clock.forth(24 * HOUR * 8);
    stock.take(&[C]);
    let states = stock.supply().status(&refs(&[A])).entries;
    let states: Vec<_> =
        states.iter().map(|entry| (entry.reference.as_str(), entry.state)).collect();
    assert_eq!(states, [(A, State::Missing), (C, State::Fresh)]);
}

fn make(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    fs::set_permissions(dir, Permissions::from_mode(0o700)).unwrap();
}

fn names_in(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort_unstable();
    names
}
