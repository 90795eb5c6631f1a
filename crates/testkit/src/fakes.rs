//! The ports of the model, played by values.

mod approvals;
mod counting;
mod dialog;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use strongroom_model::approval::Channel;
use strongroom_model::audit::{AuditError, AuditId, AuditSink, Draft};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::injection::Credential;
use strongroom_model::lock::Locks;
use strongroom_model::policy::{Policy, Rule, Verdict};
use strongroom_model::ports::{
    BoxFuture, Clock, Credentials, Dns, KillSwitch, Registry, ResolveError, Turn,
};
use strongroom_model::principal::{Caller, Name, Principal, Source};
use strongroom_model::redact::{Labelled, Redactor};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::service::{Auth, Catalog, Keys, Origin, Scheme, Service, Slots};

pub use approvals::{FixedPrompt, MemoryApprovals};
pub use counting::CountingProvider;
pub use dialog::{FakeDialog, FakeLacking, Window};

/// A clock that stands still until it is told to go on.
#[derive(Debug, Default)]
pub struct FakeClock {
    passed: Mutex<Duration>,
}

impl FakeClock {
    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        *lock(&self.passed) += time;
    }
}

impl Clock for FakeClock {
    fn now(&self) -> SystemTime {
        // 2026-03-15T10:23:45Z
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_773_570_225) + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        *lock(&self.passed)
    }
}

/// A kill switch.
#[derive(Debug, Default)]
pub struct FakeSwitch(Mutex<Locks>);

impl FakeSwitch {
    /// Locks or unlocks.
    pub fn change(&self, change: impl FnOnce(&mut Locks)) {
        change(&mut lock(&self.0));
    }
}

impl KillSwitch for FakeSwitch {
    fn check(&self, principal: &Name, service: &Name) -> Result<(), Refusal> {
        match lock(&self.0).stops_call(principal, service) {
            None => Ok(()),
            Some(part) => Err(Refusal::new(Code::Locked, format!("{part} is locked"))),
        }
    }
}

/// Keeps records in memory, and can be told to fail.
#[derive(Debug, Default)]
pub struct MemoryAudit {
    records: Mutex<Vec<Draft>>,
    fails: AtomicBool,
}

impl MemoryAudit {
    /// Every record so far.
    pub fn records(&self) -> Vec<Draft> {
        lock(&self.records).clone()
    }

    /// Takes the records out.
    pub fn take(&self) -> Vec<Draft> {
        std::mem::take(&mut lock(&self.records))
    }

    /// Whether records cannot be written from now on.
    pub fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }
}

impl AuditSink for MemoryAudit {
    fn append(&self, draft: Draft) -> Result<AuditId, AuditError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(AuditError { source: io::Error::from(io::ErrorKind::StorageFull) });
        }
        let mut records = lock(&self.records);
        let id = draft.audit_id.clone().unwrap_or(AuditId(format!("{:032x}", records.len() + 1)));
        records.push(Draft { audit_id: Some(id.clone()), ..draft });
        Ok(id)
    }
}

/// A catalogue that changes when a test says so.
#[derive(Debug, Default)]
pub struct StaticRegistry {
    catalog: Mutex<Arc<Catalog>>,
}

impl StaticRegistry {
    /// These services.
    pub fn new(services: impl IntoIterator<Item = Service>) -> Self {
        let registry = Self::default();
        registry.set(services);
        registry
    }

    /// These services from now on.
    pub fn set(&self, services: impl IntoIterator<Item = Service>) {
        let services =
            services.into_iter().map(|service| (service.name.clone(), Arc::new(service)));
        let mut catalog = lock(&self.catalog);
        let revision = catalog.revision + 1;
        *catalog =
            Arc::new(Catalog { services: services.collect(), revision, ..Catalog::default() });
    }
}

impl Registry for StaticRegistry {
    fn current(&self) -> Arc<Catalog> {
        Arc::clone(&lock(&self.catalog))
    }
}

/// Secrets by reference, all of them loaded.
#[derive(Debug)]
pub struct StaticCredentials {
    secrets: BTreeMap<SecretRef, Arc<Secret>>,
    known: Mutex<Vec<Labelled>>,
    redactor: Mutex<Arc<Redactor>>,
    fails: Mutex<Option<ResolveError>>,
    learned: Mutex<Vec<Labelled>>,
    replaced: Mutex<Vec<(SecretRef, Secret)>>,
}

impl StaticCredentials {
    /// The secret at each reference, `local://SERVICE/...`. The marker names the first segment.
    pub fn new(secrets: &[(&str, &str)]) -> Self {
        let secrets: BTreeMap<SecretRef, Arc<Secret>> = secrets
            .iter()
            .map(|(reference, value)| {
                let reference = reference.parse().expect("a test's references are references");
                (reference, Arc::new(Secret::new(value.as_bytes().to_vec())))
            })
            .collect();
        let labelled: Vec<Labelled> = secrets
            .iter()
            .map(|(reference, secret)| Labelled {
                label: reference.path().split('/').next().unwrap_or_default().to_owned(),
                secret: Arc::clone(secret),
            })
            .collect();
        let redactor = Mutex::new(Arc::new(Redactor::new(&labelled)));
        Self {
            secrets,
            known: Mutex::new(labelled),
            redactor,
            fails: Mutex::default(),
            learned: Mutex::default(),
            replaced: Mutex::default(),
        }
    }

    /// What was minted and made known, and takes it out.
    pub fn learned(&self) -> Vec<Labelled> {
        std::mem::take(&mut *lock(&self.learned))
    }

    /// What was put in the place of a secret, and takes it out.
    pub fn replaced(&self) -> Vec<(SecretRef, Secret)> {
        std::mem::take(&mut *lock(&self.replaced))
    }

    /// Answers every question with `error` from now on.
    pub fn fail(&self, error: Option<ResolveError>) {
        *lock(&self.fails) = error;
    }
}

impl Credentials for StaticCredentials {
    fn resolve<'a>(
        &'a self,
        _: &'a Catalog,
        keys: Keys<'a>,
    ) -> BoxFuture<'a, Result<Arc<Credential>, ResolveError>> {
        Box::pin(async move {
            if let Some(error) = lock(&self.fails).clone() {
                return Err(error);
            }
            let fields = keys.auth.secrets.iter().map(|(field, reference)| {
                let secret = self.secrets.get(reference);
                let secret = secret
                    .ok_or_else(|| ResolveError::NotFound { reference: reference.clone() })?;
                Ok((field.clone(), Arc::clone(secret)))
            });
            Ok(Arc::new(Credential::new(fields.collect::<Result<_, _>>()?)))
        })
    }

    fn redactor(&self) -> Arc<Redactor> {
        Arc::clone(&lock(&self.redactor))
    }

    fn learn(&self, service: &Name, secret: Arc<Secret>) {
        let minted = Labelled { label: service.to_string(), secret };
        lock(&self.learned).push(minted.clone());
        let mut known = lock(&self.known);
        known.push(minted);
        *lock(&self.redactor) = Arc::new(Redactor::new(&known));
    }

    fn replace(&self, keys: Keys<'_>, field: &str, secret: Secret) -> Result<(), ResolveError> {
        let reference = keys.auth.secrets[field].clone();
        lock(&self.replaced).push((reference, secret));
        Ok(())
    }

    fn turn(&self, _: Keys<'_>, _: &str) -> Turn {
        Turn::Nobodys
    }

    fn newest<'a>(
        &'a self,
        keys: Keys<'a>,
        field: &'a str,
    ) -> BoxFuture<'a, Result<Arc<Secret>, ResolveError>> {
        let reference = &keys.auth.secrets[field];
        let secret = self.secrets.get(reference).map(Arc::clone);
        let secret = secret.ok_or_else(|| ResolveError::NotFound { reference: reference.clone() });
        Box::pin(std::future::ready(secret))
    }
}

/// Names and their addresses: a list of answers each, of which the last one stays.
#[derive(Debug, Default)]
pub struct FakeDns {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    asked: Mutex<Vec<String>>,
}

impl FakeDns {
    /// These names.
    pub fn new(names: &[(&str, &[&[&str]])]) -> Self {
        let dns = Self::default();
        for (name, answers) in names {
            dns.set(name, answers);
        }
        dns
    }

    /// These answers for `name` from now on.
    pub fn set(&self, name: &str, answers: &[&[&str]]) {
        let address = |text: &&str| text.parse().expect("a test's addresses are addresses");
        let answers = answers.iter().map(|answer| answer.iter().map(address).collect());
        lock(&self.answers).insert(name.to_owned(), answers.collect());
    }

    /// What has been asked.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.asked).clone()
    }
}

impl Dns for FakeDns {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            lock(&self.asked).push(host.to_owned());
            match lock(&self.answers).get_mut(host) {
                Some(answers) if answers.len() > 1 => Ok(answers.remove(0)),
                Some(answers) => Ok(answers.first().cloned().unwrap_or_default()),
                None => Err(io::Error::from(io::ErrorKind::NotFound)),
            }
        })
    }
}

/// A caller from a stdio session.
pub fn caller(principal: &str) -> Caller {
    let name = principal.parse().expect("a test's principals have names");
    Caller {
        principal: Principal { name, source: Source::Stdio },
        channel: Channel::default(),
        claimed_client: None,
    }
}

/// `scheme` with a secret at `local://SERVICE/FIELD` for each of `fields`.
pub fn auth(service: &str, scheme: &str, fields: &[&str]) -> Auth {
    let reference = |field: &&str| {
        let text = format!("local://{service}/{}", field.to_ascii_lowercase());
        ((*field).to_owned(), text.parse().expect("a field makes a reference"))
    };
    Auth {
        scheme: scheme.to_owned(),
        secrets: fields.iter().map(reference).collect(),
        settings: BTreeMap::new(),
    }
}

/// A service over plain HTTP at `address`, which it may reach.
pub fn service(name: &str, address: SocketAddr, auth: Auth, slots: Slots, rules: &str) -> Service {
    Service {
        auth,
        slots,
        policy: policy(rules),
        allow_ips: vec!["127.0.0.1/32".parse().expect("a range")],
        ..Service::at(
            name.parse().expect("a test's services have names"),
            Origin {
                scheme: Scheme::Http,
                host: address.ip().to_string().into(),
                port: address.port(),
            },
        )
    }
}

/// A policy of lines `allow|ask|deny METHOD PATH`.
pub fn policy(lines: &str) -> Policy {
    let rules = lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let (verdict, rule) = line.split_once(' ').expect("a verdict and a rule");
        let verdict = match verdict {
            "allow" => Verdict::Allow,
            "ask" => Verdict::Ask,
            "deny" => Verdict::Deny,
            other => panic!("`{other}` is not a verdict"),
        };
        Rule::parse(verdict, rule).expect("a test's rules are rules")
    });
    Policy::new(rules.collect(), false)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
