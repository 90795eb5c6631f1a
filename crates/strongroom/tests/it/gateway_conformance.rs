//! The official conformance suite, as `tests/clients/package.json` pins it: at our fixture alone, and at
//! the gateway before it.
#![expect(clippy::disallowed_methods, reason = "the suite and what it meets are started here")]

mod suite;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use strongroom_testkit::{fixture, shim::Shim};

use self::suite::Revision;
use crate::{binary::Home, gateway_rig::Serving};

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

/// Runs the suite through `serve --http` before the fixture, which `reached` says how to reach. What the
/// suite needs and the gateway does not do by itself is said for the one server: plain names, and that it
/// may ask.
fn through(reached: &str) {
    let home = Home::new();
    let file = home.path().join("config/strongroom/strongroom.toml");
    let config = fs::read_to_string(&file).unwrap();
    let server = format!(
        "[servers.fixture]\n{reached}\nnaming = \"plain\"\npin = \"off\"\n\
         asks = [\"sampling\", \"elicitation\", \"roots\"]\ncalls_per_minute = 100000\n"
    );
    fs::write(&file, format!("enable = [\"fixture\"]\n{config}\n{server}")).unwrap();
    let environment = ("STRONGROOM_HOME".to_owned(), home.path().display().to_string());
    let serving = Serving::of(&home, &[environment]);
    let shim = Shim::start(serving.address.parse().unwrap(), &serving.token);
    let url = format!("http://{}/mcp", shim.address());
    for revision in [Revision::Legacy, Revision::Modern] {
        let outcome = suite::run(&url, revision);
        let required = suite::required(revision);
        assert_eq!(outcome.failed_of(&required), [""; 0], "{revision:?}: {outcome:#?}");
    }
}

#[test]
fn the_gateway_before_the_fixture_over_stdio_passes_all_that_either_revision_requires() {
    through(&format!("command = [{:?}, \"stdio\"]", fixture::program()));
}

#[test]
fn the_gateway_before_the_fixture_over_http_passes_all_that_either_revision_requires() {
    let fixture = Fixture::start();
    through(&format!("url = {:?}", fixture.url));
}
