//! Providers that ask programs: what the tests of all of them share, and `cmd://`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use strongroom_model::ports::{Clock, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_secrets::Resolver;
use strongroom_secrets::providers;
use strongroom_secrets::settings::{Context, Settings, Tokens};
use strongroom_testkit::op::executable;
use strongroom_testkit::provider::{
    Can, Holdings, Troubles, all_fail, fails_closed, holds_the_contract,
};
use tempfile::TempDir;

/// A home, an environment, and the settings of providers.
pub(crate) struct World {
    home: Arc<TempDir>,
    variables: BTreeMap<String, String>,
    settings: BTreeMap<String, Settings>,
}

struct Now;

impl Clock for Now {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A provider, and the resolver that finds its tokens.
struct Kept {
    provider: Box<dyn Provider>,
    _home: Arc<TempDir>,
    _resolver: Arc<Resolver>,
}

impl Provider for Kept {
    fn scheme(&self) -> &str {
        self.provider.scheme()
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> strongroom_model::ports::BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        self.provider.resolve(refs)
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let home = Arc::new(tempfile::tempdir().unwrap());
        Self { home, variables: BTreeMap::new(), settings: BTreeMap::new() }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn variable(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn set(&mut self, scheme: &str, key: &str, value: &str) {
        self.of(scheme).texts.insert(key.to_owned(), value.to_owned());
    }

    pub(crate) fn secret(&mut self, scheme: &str, key: &str, at: &str) {
        self.of(scheme).secrets.insert(key.to_owned(), reference(at));
    }

    pub(crate) fn words(&mut self, scheme: &str, key: &str, words: &[&str]) {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        self.of(scheme).words.insert(key.to_owned(), words);
    }

    pub(crate) fn timeout(&mut self, scheme: &str, timeout: Duration) {
        self.of(scheme).timeout = Some(timeout);
    }

    fn of(&mut self, scheme: &str) -> &mut Settings {
        self.settings.entry(scheme.to_owned()).or_default()
    }

    /// Writes a shell script into the home.
    pub(crate) fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.home().join(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        executable(&path);
        path
    }

    fn command(&mut self, name: &str, words: &[&str]) {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let settings = Settings {
            words: BTreeMap::from([("command".to_owned(), words)]),
            ..Settings::default()
        };
        self.of("cmd").tables.insert(name.to_owned(), settings);
    }

    /// The provider of `scheme`.
    pub(crate) fn provider(&self, scheme: &str) -> Box<dyn Provider> {
        let variables = self.variables.clone();
        let tokens = Tokens::default();
        let context = Context {
            variable: Arc::new(move |name| variables.get(name).map(OsString::from)),
            home: self.home().to_owned(),
            tokens: tokens.clone(),
            clock: Arc::new(Now),
        };
        let all = || providers::build(&self.settings, &context).unwrap();
        let resolver = Arc::new(Resolver::new(all()));
        tokens.use_resolver(&resolver);
        let provider = all().into_iter().find(|provider| provider.scheme() == scheme).unwrap();
        Box::new(Kept { provider, _home: Arc::clone(&self.home), _resolver: resolver })
    }
}

pub(crate) fn reference(text: &str) -> SecretRef {
    text.parse().unwrap()
}

pub(crate) fn text(answer: Result<Secret, ResolveError>) -> String {
    String::from_utf8(answer.unwrap().expose().to_vec()).unwrap()
}

#[tokio::test]
async fn commands_hold_the_contract() {
    let mut world = World::new();
    let script = world.script("print", "printf '%s' \"$1\"");
    let script = script.to_str().unwrap();
    world.command("one", &[script, "canary-one\n"]);
    world.command("two", &[script, "canary $(id) two"]);
    world.command("empty", &[script, "\n"]);
    world.command("missing", &["/nowhere/at-all"]);
    let holdings = Holdings {
        found: vec![
            (reference("cmd://one"), "canary-one"),
            (reference("cmd://two"), "canary $(id) two"),
        ],
        missing: reference("cmd://nope"),
        unusable: Some(reference("cmd://empty")),
    };
    let provider = world.provider("cmd");
    holds_the_contract(&*provider, &holdings).await;
    all_fail("no program", &*provider, &[reference("cmd://missing")], "absent").await;
}

// LM-14
#[tokio::test]
async fn commands_fail_closed() {
    let body = |body: &str, due| {
        let mut world = World::new();
        let script = world.script("program", body);
        world.command("x", &[script.to_str().unwrap()]);
        world.timeout("cmd", Duration::from_secs(5));
        Can::Have(world.provider("cmd"), due)
    };
    let slow = {
        let mut world = World::new();
        let script = world.script("program", "sleep 600 & sleep 600");
        world.command("x", &[script.to_str().unwrap()]);
        world.timeout("cmd", Duration::from_millis(200));
        Can::Have(world.provider("cmd"), "unreachable")
    };
    let flood = "dd if=/dev/zero bs=1048576 count=10 2>/dev/null";
    let troubles = Troubles {
        locked: body("echo canary-asks >/dev/tty && read x </dev/tty && echo $x", "unreachable"),
        denied: Can::Not("a command has no words for it"),
        unreachable: body("echo canary; echo canary >&2; exit 3", "unreachable"),
        slow,
        garbage: body("printf '\\n'", "unusable"),
        flood: body(flood, "unusable"),
    };
    fails_closed(troubles, &[reference("cmd://x"), reference("cmd://x")]).await;
    for (script, due) in [
        ("", "unusable"),
        ("echo canary; echo '[ERROR] canary' >&2", "unreachable"),
        ("kill -9 $$", "unreachable"),
    ] {
        let Can::Have(provider, due) = body(script, due) else { unreachable!() };
        all_fail(script, &*provider, &[reference("cmd://x")], due).await;
    }
}

#[tokio::test]
async fn exactly_one_line_end_of_what_a_command_prints_is_no_part_of_the_secret() {
    for (printed, expected) in
        [("x\\n", "x"), ("x", "x"), ("x\\n\\n", "x\n"), ("x\\r\\n", "x"), (" x \\n", " x ")]
    {
        let mut world = World::new();
        let script = world.script("program", &format!("printf '{printed}'"));
        world.command("x", &[script.to_str().unwrap()]);
        let mut answers = world.provider("cmd").resolve(&[reference("cmd://x")]).await;
        assert_eq!(text(answers.pop().unwrap()), expected, "{printed}");
    }
}

// LM-12
#[tokio::test]
async fn a_command_gets_the_environment_that_is_written_down_for_it() {
    let mut world = World::new();
    for name in ["LD_PRELOAD", "BASH_ENV", "OP_SERVICE_ACCOUNT_TOKEN", "KEPT", "PATH"] {
        world.variable(name, "/canary");
    }
    world.command("x", &["/usr/bin/env"]);
    let env = vec!["NAME=a value=b".to_owned(), "KEPT".to_owned(), "NOT_SET".to_owned()];
    let table = world.of("cmd").tables.get_mut("x").unwrap();
    table.words.insert("env".to_owned(), env);
    let mut answers = world.provider("cmd").resolve(&[reference("cmd://x")]).await;
    let printed = text(answers.pop().unwrap());
    let mut names: Vec<_> = printed.lines().map(|line| line.split('=').next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "KEPT", "LC_ALL", "NAME", "PATH"], "{printed}");
    assert!(printed.contains("NAME=a value=b") && !printed.contains("PATH=/canary"), "{printed}");
}

#[test]
fn a_command_without_an_absolute_path_is_refused() {
    for words in [&[][..], &["true"], &["./true"], &["bin/true"]] {
        let mut world = World::new();
        world.command("x", words);
        let context = Context {
            variable: Arc::new(|_| None),
            home: world.home().to_owned(),
            tokens: Tokens::default(),
            clock: Arc::new(Now),
        };
        let (scheme, error) = providers::build(&world.settings, &context).err().unwrap();
        assert_eq!((scheme.as_str(), error.key), ("cmd", "command"));
    }
}
