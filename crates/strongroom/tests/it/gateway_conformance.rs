//! The official conformance suite, as `tests/clients/package.json` pins it: at our fixture alone.
#![expect(clippy::disallowed_methods, reason = "the suite and what it meets are started here")]

mod suite;

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use strongroom_testkit::fixture;

use self::suite::Revision;

/// The fixture over HTTP, until this value goes.
pub(crate) struct Fixture {
    child: Child,
    pub(crate) url: String,
}

impl Fixture {
    pub(crate) fn start() -> Self {
        let mut fixture = Command::new(fixture::program());
        let mut child = fixture.arg("http").stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Self { child, url: url.trim().to_owned() }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn the_fixture_alone_passes_all_that_either_revision_requires() {
    let fixture = Fixture::start();
    for revision in [Revision::Legacy, Revision::Modern] {
        let outcome = suite::run(&fixture.url, revision);
        assert_eq!(outcome.failed_of(&suite::required(revision)), [""; 0], "{outcome:#?}");
        assert_eq!(outcome.passed(), revision.checks(), "{outcome:#?}");
    }
}
