//! Several processes on one home, and processes that are killed.

use std::io::{BufRead as _, BufReader, Write as _};

use strongroom_model::audit::AuditSink as _;
use strongroom_store::SecretUse;
use strongroom_testkit::again;

use crate::audit::{call, records};
use crate::home::{Home, name, secret, value};

const WRITERS: usize = 6;
const EACH: usize = 20;

#[test]
fn six_processes_that_write_at_once_lose_nothing() {
    let (home, vault) = Home::with_vault();
    let root = home.root().to_str().unwrap();
    let children: Vec<_> = (0..WRITERS)
        .map(|n| again::start("processes::writes_its_share", "", &[root, &n.to_string()]))
        .collect();
    for child in children {
        again::passed(child);
    }
    let list = vault.list().unwrap();
    assert_eq!(list.len(), WRITERS * EACH + 1);
    let shared = list.iter().find(|stored| stored.name == "shared").unwrap();
    assert_eq!(shared.version, (WRITERS * EACH) as u64);
    for stored in list.iter().filter(|stored| stored.name != "shared") {
        assert_eq!(value(&vault, &stored.name).unwrap(), stored.name);
    }
    assert_eq!(vault.principals().list().unwrap().len(), WRITERS);
    assert_eq!(records(&home), (WRITERS * EACH) as u64);
}

#[test]
#[ignore = "started by another test"]
fn writes_its_share() {
    let [root, writer] = &again::parameters()[..] else { panic!("two parameters") };
    let home = Home::at(root);
    let (vault, sink) = (home.open().unwrap(), home.sink());
    vault.principals().ensure(&name(&format!("p{writer}"))).unwrap();
    for n in 0..EACH {
        let name = format!("{writer}/{n}");
        vault.put(&name, &SecretUse::Any, &secret(&name)).unwrap();
        vault.put("shared", &SecretUse::Any, &secret(&name)).unwrap();
        sink.append(call(n)).unwrap();
    }
}

/// A tenth of what the soak does.
#[test]
fn a_writer_that_is_killed_at_any_point_leaves_vault_and_audit_whole() {
    let (home, vault) = Home::with_vault();
    drop(vault);
    let root = home.root().to_str().unwrap();
    let mut said = 0;
    for round in 0..20_usize {
        let mut child = again::start("processes::writes_until_it_is_killed", "", &[root]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // It says what it has done, so that it is killed in the middle of what comes next.
        let most = 1 + round * 7 % 11;
        let done: Vec<_> = lines
            .by_ref()
            .map(Result::unwrap)
            .filter(|line| line.starts_with("did "))
            .take(most)
            .collect();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(done.len(), most);

        let vault = home.open().unwrap();
        let last = done.last().unwrap().strip_prefix("did ").unwrap();
        let stored: u64 = value(&vault, "counter").unwrap().parse().unwrap();
        let claimed: u64 = last.parse().unwrap();
        assert!(stored >= claimed, "what was reported as stored is stored");
        for stored in vault.list().unwrap() {
            value(&vault, &stored.name).unwrap();
        }
        said += most as u64;
        assert!(records(&home) >= said, "what was reported as recorded is recorded");
    }
    home.sink().append(call(0)).unwrap();
    records(&home);
}

#[test]
#[ignore = "started by another test, which kills it"]
fn writes_until_it_is_killed() {
    let home = Home::at(&again::parameters()[0]);
    let (vault, sink) = (home.open().unwrap(), home.sink());
    let mut counter: u64 = value(&vault, "counter").map_or(0, |text| text.parse().unwrap());
    let mut out = std::io::stdout().lock();
    writeln!(out).unwrap();
    loop {
        counter += 1;
        sink.append(call(0)).unwrap();
        vault.put("counter", &SecretUse::Any, &secret(&counter.to_string())).unwrap();
        vault.put(&format!("n/{}", counter % 5), &SecretUse::Any, &secret("canary")).unwrap();
        vault.remove(&format!("n/{}", (counter + 2) % 5)).unwrap();
        writeln!(out, "did {counter}").unwrap();
        out.flush().unwrap();
    }
}
