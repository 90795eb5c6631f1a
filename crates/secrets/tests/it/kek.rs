//! Key-encryption keys: one contract for every place that they are kept at.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use strongroom_model::reference::SecretRef;
use strongroom_seal::{KekError, KekRing, KekSourceError, Key, TeamKek};
use strongroom_secrets::kek::{self, KekSetupError};
use strongroom_secrets::settings::{Context, Settings, Tokens};
use strongroom_secrets::{EnvProvider, Resolver};
use strongroom_testkit::fakes::FakeClock;

#[cfg(target_os = "linux")]
mod keychain;
#[cfg(unix)]
mod kms;
#[cfg(target_os = "linux")]
mod pkcs11;
mod transit;

/// A KEK, and what keeps its tokens.
struct Kept {
    kek: Arc<dyn TeamKek>,
    _tokens: Arc<Resolver>,
}

/// Opens the KEK of these settings, of which those that begin with `env://` are references.
fn open(
    source: &str,
    pairs: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> Result<Kept, KekSetupError> {
    made_by(kek::open, source, pairs, variables)
}

fn made_by(
    make: impl FnOnce(&str, &Settings, &Context) -> Result<Arc<dyn TeamKek>, KekSetupError>,
    source: &str,
    pairs: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> Result<Kept, KekSetupError> {
    let mut settings = Settings::default();
    for (key, value) in pairs {
        match value.parse::<SecretRef>() {
            Ok(reference) if value.starts_with("env://") => {
                settings.secrets.insert((*key).to_owned(), reference);
            }
            _ => drop(settings.texts.insert((*key).to_owned(), (*value).to_owned())),
        }
    }
    let variables: BTreeMap<String, OsString> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), value.into())).collect();
    let variable = Arc::new(move |name: &str| variables.get(name).cloned());
    let own = Arc::clone(&variable);
    let tokens = Tokens::default();
    let keeper = Arc::new(Resolver::new(vec![Box::new(EnvProvider::new(move |name| own(name)))]));
    tokens.use_resolver(&keeper);
    let context = Context {
        variable,
        home: Path::new("/nonexistent").to_owned(),
        tokens,
        clock: Arc::new(FakeClock::default()),
    };
    let kek = make(source, &settings, &context)?;
    Ok(Kept { kek, _tokens: keeper })
}

/// What every KEK holds. `same` is `kek` opened again; `other` is another one of its kind.
async fn holds_the_contract(kek: &Kept, same: &Kept, other: &Kept) {
    let (kek, same, other) = (&kek.kek, &same.kek, &other.kek);
    let key = Key::generate().unwrap();
    let wrapped = kek.wrap("tenant-1", "key-1", &key).await.unwrap();

    // It wraps and unwraps, also after a start, and never the same way twice.
    assert!(is_same(&key, &kek.unwrap("tenant-1", "key-1", &wrapped).await.unwrap()));
    assert_eq!(same.id(), kek.id());
    assert!(is_same(&key, &same.unwrap("tenant-1", "key-1", &wrapped).await.unwrap()));
    assert_ne!(kek.wrap("tenant-1", "key-1", &key).await.unwrap(), wrapped);

    // It is bound to its tenant and its id.
    for (tenant, key_id) in [("tenant-2", "key-1"), ("tenant-1", "key-2"), ("tenant-1key", "-1")] {
        let error = kek.unwrap(tenant, key_id, &wrapped).await.unwrap_err();
        assert_eq!(error, KekError::Mismatch, "{tenant} {key_id}");
    }

    // A wrong key is told by name, and opens nothing where somebody changes the name.
    assert_ne!(other.id(), kek.id());
    let error = other.unwrap("tenant-1", "key-1", &wrapped).await.unwrap_err();
    // moto refuses what AWS calls the incorrect key.
    assert!(matches!(error, KekError::Mismatch | KekError::Refused { .. }), "{error:?}");
    let ring = KekRing::new(Arc::clone(kek));
    let named = ring.wrap("tenant-1", "key-1", &key).await.unwrap();
    let error = KekRing::new(Arc::clone(other)).unwrap("tenant-1", "key-1", &named).await;
    let (needed, offered) = (kek.id().to_owned(), other.id().to_owned());
    assert_eq!(error.unwrap_err(), KekError::Unknown { needed, offered });

    // What is damaged is refused.
    let flipped = |at: usize| {
        let mut bytes = wrapped.clone();
        bytes[at] ^= 1;
        bytes
    };
    let length = wrapped.len();
    let longer = [&wrapped[..], b"A"].concat();
    let shorter = &wrapped[..length - 1];
    for (name, damaged) in [
        ("last byte", &flipped(length - 1)[..]),
        ("inside", &flipped(length / 2)),
        ("shorter", shorter),
        ("longer", &longer),
        ("twelve bytes", &wrapped[..12]),
        ("nothing", &[]),
    ] {
        let error = kek.unwrap("tenant-1", "key-1", damaged).await.unwrap_err();
        assert!(!error.is_transient(), "{name}: {error}");
        assert!(!error.to_string().contains("canary"), "{name}: {error}");
    }
    assert!(kek.unwrap("tenant-1", "key-1", &wrapped).await.is_ok());
}

/// Wrapping and unwrapping are refused: whoever keeps the key has said no.
async fn is_refused(kek: &Kept, wrapped: &[u8], words: &str) {
    for error in both(kek, wrapped).await {
        assert!(matches!(error, KekError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains(words) && !error.is_transient(), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

/// Wrapping and unwrapping find nobody: nothing is known about the key.
async fn is_unreachable(kek: &Kept, wrapped: &[u8], words: &str) {
    for error in both(kek, wrapped).await {
        assert!(matches!(error, KekError::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains(words) && error.is_transient(), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

async fn both(kek: &Kept, wrapped: &[u8]) -> [KekError; 2] {
    let key = Key::generate().unwrap();
    [
        kek.kek.wrap("tenant-1", "key-1", &key).await.unwrap_err(),
        kek.kek.unwrap("tenant-1", "key-1", wrapped).await.unwrap_err(),
    ]
}

fn is_same(one: &Key, other: &Key) -> bool {
    one.mac("same").tag(&[]) == other.mac("same").tag(&[])
}

fn closed() -> String {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{address}")
}

#[tokio::test]
async fn a_key_file_holds_the_contract() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join("keys").join(name).to_str().unwrap().to_owned();
    let create = |name: &str| made_by(kek::create, "file", &[("path", &path(name))], &[]);
    let [one, other] = ["kek", "other"].map(|name| create(name).unwrap());
    let same = open("file", &[("path", &path("kek"))], &[]).unwrap();
    holds_the_contract(&one, &same, &other).await;
    let error = create("kek").err().unwrap();
    assert!(matches!(error, KekSetupError::Source(KekSourceError::Exists { .. })), "{error}");
    for path in ["kek", "/", ""] {
        let error = open("file", &[("path", path)], &[]).err().unwrap();
        assert!(matches!(error, KekSetupError::Setting(_)), "{path:?}: {error}");
        assert!(error.hint().is_some());
    }
}

#[tokio::test]
async fn a_key_in_the_variable_holds_the_contract() {
    let with = |text: &str| open("env", &[], &[("CREDENTIAL_ENCRYPTION_KEY", text)]);
    let digits = "5a".repeat(32);
    let same = with("WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=").unwrap();
    holds_the_contract(&with(&digits).unwrap(), &same, &with(&"5b".repeat(32)).unwrap()).await;
    let error = with(&format!("{digits}\n")).err().unwrap();
    assert!(matches!(error, KekSetupError::Source(KekSourceError::Variable)), "{error}");
    let error = open("env", &[], &[]).err().unwrap();
    assert!(matches!(error, KekSetupError::Source(KekSourceError::Missing { .. })), "{error}");
    let error = made_by(kek::create, "env", &[], &[]).err().unwrap();
    assert!(matches!(error, KekSetupError::MadeElsewhere { name: "env" }), "{error}");
}

#[test]
fn a_place_that_is_none_is_named_and_those_that_there_are() {
    let error = open("vault", &[], &[]).err().unwrap();
    assert_eq!(error.to_string(), "`vault` is no place for a key-encryption key");
    assert!(error.hint().unwrap().contains("`transit`"));
    for (source, missing) in [("file", "path"), ("aws-kms", "key"), ("transit", "key")] {
        let error = open(source, &[], &[]).err().unwrap();
        assert_eq!(error.to_string(), format!("`{missing}`: it is not set"));
    }
}
