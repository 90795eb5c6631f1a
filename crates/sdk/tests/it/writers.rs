//! Several processes that write the secrets of one server, and processes that are killed at it.

use std::io::{BufRead as _, BufReader, stdin};

use strongroom_sdk::{Environment, Os, Storage, Surroundings};
use strongroom_testkit::again;

use crate::session::{Rig, get, secret};

const WRITERS: usize = 4;
const EACH: usize = 6;

#[test]
fn the_index_has_what_all_of_several_writers_wrote() {
    let rig = Rig::new();
    let home = rig.home.path().to_str().unwrap();
    let start = |writer: usize| {
        let lines = [rig.session.address(), home, &format!("w{writer}"), &EACH.to_string()];
        again::start("writers::a_writer", "", &lines)
    };
    let writers: Vec<_> = (0..WRITERS).map(start).collect();
    for writer in writers {
        again::passed(writer);
    }
    let mut expected: Vec<String> =
        (0..WRITERS).flat_map(|w| (0..EACH).map(move |n| format!("w{w}-{n}"))).collect();
    expected.sort();
    // The index itself, before any list could put it right.
    assert_eq!(rig.index(), expected);
    assert_eq!(rig.storage.list_secrets().unwrap(), expected);
    assert_eq!(rig.get("w3-5").as_deref(), Some("canary"));
}

#[test]
fn a_writer_that_is_killed_leaves_nothing_that_a_list_does_not_put_right() {
    let rig = Rig::new();
    let home = rig.home.path().to_str().unwrap();
    for round in 0..4 {
        let name = format!("k{round}");
        let lines = [rig.session.address(), home, name.as_str(), "100000"];
        let mut writer = again::start("writers::a_writer", "", &lines);
        // It has stored some, and is about to store another.
        let said = BufReader::new(writer.stdout.take().unwrap()).lines().map_while(Result::ok);
        let stored = said.filter(|line| line.contains("stored")).nth(round + 1);
        assert!(stored.is_some(), "it has stored something");
        writer.kill().unwrap();
        writer.wait().unwrap();
        let listed = rig.storage.list_secrets().unwrap();
        assert_eq!(rig.index(), listed);
        for name in &listed {
            assert_eq!(rig.get(name).as_deref(), Some("canary"), "{name}");
        }
        assert!(listed.contains(&format!("{name}-{round}")), "what was stored is there");
    }
}

#[test]
#[ignore = "started by the tests above, as a process of its own"]
fn a_writer() {
    let mut lines = stdin().lines().map(Result::unwrap);
    let mut line = || lines.next().unwrap();
    let (address, home, name, count) = (line(), line(), line(), line());
    let variables = [("DBUS_SESSION_BUS_ADDRESS", address.as_str()), ("HOME", home.as_str())];
    let around = Surroundings::new(Environment::new(Os::CURRENT, variables));
    let storage = Storage::new("s", around).unwrap();
    for number in 0..count.parse().unwrap() {
        let name = format!("{name}-{number}");
        storage.store_secret(&name, secret("canary")).unwrap();
        assert_eq!(get(&storage, &name).as_deref(), Some("canary"));
        println!("\nstored {number}");
    }
}
