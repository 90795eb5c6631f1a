//! A supply with a provider that counts and a clock that a test sets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use strongroom_model::freshness::Freshness;
use strongroom_model::ports::{Clock, Provider, Purpose, ResolveError};
use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::server::Delivery;
use strongroom_seal::{Guard, Key, MachineId, SecureDir};
use strongroom_secrets::cache::{KeySource, NoKey};
use strongroom_secrets::supply::{Answer, Ask, From, Parts, Rules, Taken, Waits};
use strongroom_secrets::{EnvProvider, Resolver, Scope, Supply};
use strongroom_testkit::fakes::CountingProvider;

pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const A: &str = "op://Vault/Item/a";
pub(crate) const B: &str = "op://Vault/Item/b";
pub(crate) const C: &str = "vault://kv/app#c";

/// A wall clock that goes where a test sets it.
pub(crate) struct Wall(Mutex<SystemTime>);

impl Wall {
    pub(crate) fn forth(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }

    pub(crate) fn back(&self, time: Duration) {
        *self.0.lock().unwrap() -= time;
    }
}

impl Clock for Wall {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A home with a cache, two providers, and a clock.
pub(crate) struct Stock {
    home: tempfile::TempDir,
    pub(crate) clock: Arc<Wall>,
    pub(crate) op: CountingProvider,
    pub(crate) vault: CountingProvider,
    pub(crate) rules: Rules,
    pub(crate) waits: Waits,
}

impl Stock {
    pub(crate) fn new() -> Self {
        let (op, vault) = (CountingProvider::new("op"), CountingProvider::new("vault"));
        op.put(A, "canary-a");
        op.put(B, "canary-b");
        vault.put(C, "canary-c");
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_773_570_225);
        Self {
            home: tempfile::tempdir().unwrap(),
            clock: Arc::new(Wall(Mutex::new(start))),
            op,
            vault,
            rules: Rules::default(),
            waits: Waits { retry: |_| Duration::ZERO, ..Waits::default() },
        }
    }

    pub(crate) fn with(freshness: Freshness) -> Self {
        let rules = Rules { all: freshness, ..Rules::default() };
        Self { rules, ..Self::new() }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.home.path().join("cache/strongroom")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub(crate) fn supply(&self) -> Supply {
        self.supply_as(7, "0123456789abcdef0123456789abcdef", Scope::user(), &self.dir())
    }

    /// The supply of another user, machine or project.
    pub(crate) fn supply_as(
        &self,
        secret: u8,
        machine: &'static str,
        scope: Scope,
        dir: &Path,
    ) -> Supply {
        let of = scope.clone();
        self.supply_of(dir, scope, Box::new(move || Ok(key(secret, machine, &of))))
    }

    /// The supply of somebody whose machine key is gone.
    pub(crate) fn supply_without_key(&self, error: NoKey) -> Supply {
        self.supply_of(&self.dir(), Scope::user(), Box::new(move || Err(error.clone())))
    }

    fn supply_of(&self, dir: &Path, scope: Scope, key: KeySource) -> Supply {
        let (op, vault) = (self.op.clone(), self.vault.clone());
        Supply::new(Parts {
            dir: dir.to_owned(),
            scope,
            key,
            rules: self.rules.clone(),
            clock: self.clock.clone(),
            resolver: Box::new(move || {
                let variables = BTreeMap::from([("HERE".to_owned(), "canary-here".into())]);
                let here = EnvProvider::new(move |name| variables.get(name).cloned());
                let all: Vec<Box<dyn Provider>> =
                    vec![Box::new(op.clone()), Box::new(vault.clone()), Box::new(here)];
                Ok(Arc::new(Resolver::new(all)))
            }),
            waits: self.waits,
        })
    }

    /// The lock of who asks, which must be there already.
    pub(crate) fn lock(&self) -> Guard {
        SecureDir::open(self.dir()).unwrap().try_lock("refresh.lock").unwrap().unwrap()
    }

    /// Takes `wanted` in a new process, as it were.
    pub(crate) fn take(&self, wanted: &[&str]) -> Taken {
        take(&self.supply(), wanted)
    }

    /// The one answer for `wanted`, in short.
    pub(crate) fn one(&self, wanted: &str) -> (String, From) {
        short(&self.take(&[wanted]).answers[0])
    }

    /// What both providers were asked since the last time.
    pub(crate) fn asked(&self) -> usize {
        self.op.asked().len() + self.vault.asked().len()
    }
}

pub(crate) fn key(secret: u8, machine: &str, scope: &Scope) -> Key {
    let machine = MachineId::parse(machine).unwrap();
    Key::of_cache(&Secret::new(vec![secret; 32]), &machine, scope.id())
}

pub(crate) fn take(supply: &Supply, wanted: &[&str]) -> Taken {
    let wanted = refs(wanted);
    supply.take(&ask(&wanted, &server()))
}

pub(crate) fn ask<'a>(wanted: &'a [SecretRef], server: &'a Name) -> Ask<'a> {
    let purpose = Purpose::Launch(server);
    Ask { wanted, purpose, delivery: Delivery::Cached, ttl: None, also: &Vec::new }
}

pub(crate) fn server() -> Name {
    "server".parse().unwrap()
}

/// The value, or the kind of the error; and where it is from.
pub(crate) fn short(answer: &Answer) -> (String, From) {
    let text = match &answer.secret {
        Ok(secret) => String::from_utf8(secret.expose().to_vec()).unwrap(),
        Err(error) => error.kind().to_owned(),
    };
    (text, answer.from)
}

pub(crate) fn refs(texts: &[&str]) -> Vec<SecretRef> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub(crate) fn down() -> ResolveError {
    ResolveError::unreachable("op", "it is down")
}
