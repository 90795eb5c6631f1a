//! A home of its own for each test.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use strongroom_model::ports::Clock;
use strongroom_model::principal::Name;
use strongroom_model::secret::Secret;
use strongroom_seal::{MachineId, MachineKek, SecureDir, SigningKey};
use strongroom_store::audit::{FileSink, Settings, Signer};
use strongroom_store::{SecretUse, Vault, VaultError};

pub(crate) struct Home {
    dir: Place,
    pub(crate) clock: Arc<TestClock>,
}

enum Place {
    Own(tempfile::TempDir),
    Shared(PathBuf),
}

/// Stands still until it is told to move.
pub(crate) struct TestClock(AtomicU64);

impl Home {
    pub(crate) fn new() -> Self {
        let clock = TestClock(AtomicU64::new(1_773_570_225_000));
        Self { dir: Place::Own(tempfile::tempdir().unwrap()), clock: Arc::new(clock) }
    }

    /// The home of another process, which stays.
    pub(crate) fn at(path: &str) -> Self {
        Self { dir: Place::Shared(path.into()), ..Self::new() }
    }

    pub(crate) fn root(&self) -> &Path {
        match &self.dir {
            Place::Own(dir) => dir.path(),
            Place::Shared(path) => path,
        }
    }

    /// A home with an empty vault.
    pub(crate) fn with_vault() -> (Self, Vault) {
        let home = Self::new();
        let vault = Vault::create(&home.share(), &kek(7), home.clock.clone()).unwrap();
        (home, vault)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.root().join("share")
    }

    /// The directory of the audit.
    pub(crate) fn audit(&self) -> SecureDir {
        SecureDir::create(self.root().join("audit")).unwrap()
    }

    pub(crate) fn sink(&self) -> FileSink {
        FileSink::open(self.audit(), self.clock.clone()).unwrap()
    }

    /// A sink that vouches for what it writes.
    pub(crate) fn vouching(&self, mut settings: Settings) -> FileSink {
        settings.signer = Some(Arc::new(TestSigner));
        FileSink::with(self.audit(), self.clock.clone(), settings).unwrap()
    }

    pub(crate) fn share(&self) -> SecureDir {
        SecureDir::create(self.path()).unwrap()
    }

    pub(crate) fn open(&self) -> Result<Vault, VaultError> {
        self.open_with(7)
    }

    pub(crate) fn open_with(&self, key: u8) -> Result<Vault, VaultError> {
        Vault::open(&self.share(), &kek(key), self.clock.clone())
    }
}

/// The machine's key of every test.
pub(crate) struct TestSigner;

impl Signer for TestSigner {
    fn key(&self) -> Option<SigningKey> {
        let id = MachineId::parse(&"a".repeat(32)).unwrap();
        Some(SigningKey::of_audit(&Secret::new(vec![7; 32]), &id))
    }
}

impl TestClock {
    pub(crate) fn set_ms(&self, ms: u64) {
        self.0.store(ms, Ordering::SeqCst);
    }

    pub(crate) fn ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.ms())
    }
}

pub(crate) fn kek(byte: u8) -> MachineKek {
    let id = MachineId::parse(&"a".repeat(32)).unwrap();
    MachineKek::derive(&Secret::new(vec![byte; 32]), &id)
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn github() -> SecretUse {
    SecretUse::Service(name("github"))
}

/// What is stored under `name`, or nothing; panics where it does not verify.
pub(crate) fn value(vault: &Vault, name: &str) -> Option<String> {
    let secret = vault.get_many(&[name]).unwrap().remove(0).ok()?;
    Some(String::from_utf8(secret.expose().to_vec()).unwrap())
}
