//! `age://` with files of the `age` command, and ours with the `age` command.

#![expect(clippy::disallowed_methods, reason = "the age command is the other side of the test")]

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use strongroom_model::ports::{Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_secrets::agefile::{self, AgeError, Keys, Opener, Readers};
use strongroom_secrets::settings::{Context, Settings, Tokens};
use strongroom_secrets::{Resolver, providers};
use strongroom_testkit::fakes::FakeClock;
use strongroom_testkit::provider::{Holdings, holds_the_contract};

#[tokio::test]
async fn files_of_the_age_command_hold_the_contract() {
    let folder = Folder::new();
    folder.encrypt("whole.age", "canary-whole\n", &["-a"]);
    folder.encrypt("many.age", "A=canary-a\nB=\"canary-b\"\nEMPTY=\n", &[]);
    let holdings = Holdings {
        found: vec![
            (folder.reference("whole.age"), "canary-whole"),
            (folder.reference("many.age#A"), "canary-a"),
            (folder.reference("many.age#B"), "canary-b"),
        ],
        missing: folder.reference("many.age#C"),
        unusable: Some(folder.reference("many.age#EMPTY")),
    };
    let resolver = folder.resolver();
    holds_the_contract(&Age(Arc::clone(&resolver)), &holdings).await;

    let missing = resolver.resolve(&[folder.reference("none.age")]).await.pop().unwrap();
    assert!(matches!(missing, Err(ResolveError::NotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn files_for_others_garbage_and_pipes_are_told_apart() {
    let folder = Folder::new();
    let other = Folder::new();
    other.encrypt("x.age", "canary", &[]);
    fs::copy(other.path("x.age"), folder.path("other.age")).unwrap();
    fs::write(folder.path("plain.age"), "canary").unwrap();
    folder.encrypt("cut.age", "canary", &[]);
    let whole = fs::read(folder.path("cut.age")).unwrap();
    fs::write(folder.path("cut.age"), &whole[..whole.len() - 1]).unwrap();
    assert!(Command::new("mkfifo").arg(folder.path("pipe.age")).status().unwrap().success());
    let resolver = folder.resolver();
    for (name, kind) in [
        ("other.age", "denied"),
        ("plain.age", "unusable"),
        ("cut.age", "integrity"),
        ("pipe.age", "denied"),
    ] {
        let answer = resolver.resolve(&[folder.reference(name)]).await.pop().unwrap();
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), kind, "{name}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn without_a_key_it_says_what_to_write() {
    let folder = Folder::new();
    folder.encrypt("x.age", "canary", &[]);
    fs::set_permissions(folder.path("key.txt"), Permissions::from_mode(0o644)).unwrap();
    for settings in [Settings::default(), folder.settings()] {
        let resolver = resolver(settings);
        let answer = resolver.resolve(&[folder.reference("x.age")]).await.pop().unwrap();
        assert!(matches!(answer, Err(ResolveError::Absent { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn a_key_and_a_passphrase_of_other_places_open_what_they_are_for() {
    let folder = Folder::new();
    folder.encrypt("key.age", "canary-of-the-key", &[]);
    // Ours would take seconds to open: as much work as a good passphrase is worth.
    let file = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/age-testkit/scrypt"));
    let file = file.unwrap();
    let start = file.windows(2).position(|end| end == b"\n\n").unwrap() + 2;
    fs::write(folder.path("words.age"), &file[start..]).unwrap();
    let key = fs::read_to_string(folder.path("key.txt")).unwrap();
    let other = fs::read_to_string(Folder::new().path("key.txt")).unwrap();
    for (name, text) in [
        ("good-key", key.as_str()),
        ("other-key", &other),
        ("no-key", "canary-of-nothing"),
        ("good-words", "password\n"),
        ("other-words", "canary-of-nothing"),
    ] {
        fs::write(folder.path(name), text).unwrap();
        fs::set_permissions(folder.path(name), Permissions::from_mode(0o600)).unwrap();
    }
    let (of_key, of_words) = (Ok("canary-of-the-key"), Ok("age"));
    let table: &[(&[(&str, &str)], _, _)] = &[
        (&[("identity", "good-key")], of_key, Err("denied")),
        (&[("passphrase", "good-words")], Err("denied"), of_words),
        (&[("identity", "good-key"), ("passphrase", "good-words")], of_key, of_words),
        (&[("identity", "other-key"), ("passphrase", "other-words")], Err("denied"), Err("denied")),
        (&[("identity", "no-key")], Err("absent"), Err("absent")),
        // It says nothing of the secrets, so that what is kept of them stays.
        (&[("identity", "missing")], Err("absent"), Err("absent")),
        (&[("passphrase", "missing")], Err("absent"), Err("absent")),
    ];
    for (pairs, key, words) in table {
        let mut settings = Settings::default();
        for (setting, name) in *pairs {
            let reference = format!("file://{}", folder.path(name).display()).parse().unwrap();
            settings.secrets.insert((*setting).to_owned(), reference);
        }
        let wanted = [folder.reference("key.age"), folder.reference("words.age")];
        let answers = resolver(settings).resolve(&wanted).await;
        for (answer, expected) in answers.into_iter().zip([key, words]) {
            match (&answer, expected) {
                (Ok(found), Ok(text)) => assert_eq!(found.expose(), text.as_bytes()),
                (Err(error), Err(kind)) => {
                    assert_eq!(error.kind(), *kind, "{pairs:?}");
                    assert!(!error.to_string().contains("canary"), "{error}");
                }
                _ => panic!("{pairs:?}: {answer:?} is not {expected:?}"),
            }
        }
    }
}

#[test]
fn the_age_command_opens_ours() {
    let folder = Folder::new();
    let recipients = Readers::Recipients(agefile::recipients(&folder.recipient).unwrap());
    let file = agefile::seal(&secret("canary"), &recipients).unwrap();
    fs::write(folder.path("ours.age"), file).unwrap();
    let mut age = Command::new("age");
    age.args(["-d", "-i"]).arg(folder.path("key.txt")).arg(folder.path("ours.age"));
    assert_eq!(age.output().unwrap().stdout, b"canary");
}

#[test]
fn a_passphrase_opens_what_it_closed_and_no_other_does() {
    let words = |text: &str| agefile::passphrase(&secret(text)).unwrap();
    let file = agefile::seal(&secret("canary"), &Readers::Passphrase(words("a b c\n"))).unwrap();
    let open = |opener: &Opener| agefile::open(&file, opener, 100);
    assert_eq!(open(&Opener::Passphrase(words("a b c"))).unwrap().expose(), b"canary");
    let wrong = open(&Opener::Passphrase(words("a b d"))).unwrap_err();
    assert_eq!(wrong, AgeError::WrongPassphrase);
    let keys = Keys::parse(&secret(
        "AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0",
    ));
    assert_eq!(open(&Opener::Keys(keys.unwrap())).unwrap_err(), AgeError::NeedsPassphrase);
}

/// A folder with a key of `age-keygen`.
struct Folder {
    dir: tempfile::TempDir,
    recipient: String,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = Command::new("age-keygen").output().expect("`cargo xtask install` installs it");
        let text = String::from_utf8(key.stdout).unwrap();
        let recipient = text.lines().find_map(|l| l.strip_prefix("# public key: ")).unwrap();
        let recipient = recipient.to_owned();
        fs::write(dir.path().join("key.txt"), text).unwrap();
        fs::set_permissions(dir.path().join("key.txt"), Permissions::from_mode(0o600)).unwrap();
        Self { dir, recipient }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn reference(&self, name: &str) -> SecretRef {
        format!("age://{}", self.path(name).display()).parse().unwrap()
    }

    fn encrypt(&self, name: &str, text: &str, options: &[&str]) {
        let mut age = Command::new("age");
        age.args(options).args(["-r", &self.recipient, "-o"]).arg(self.path(name));
        let mut age = age.stdin(Stdio::piped()).spawn().unwrap();
        age.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(age.wait().unwrap().success());
    }

    fn settings(&self) -> Settings {
        let path = self.path("key.txt").display().to_string();
        Settings { texts: [("identity_file".to_owned(), path)].into(), ..Settings::default() }
    }

    fn resolver(&self) -> Arc<Resolver> {
        resolver(self.settings())
    }
}

fn resolver(settings: Settings) -> Arc<Resolver> {
    let context = Context {
        variable: Arc::new(|_: &str| None),
        home: Path::new("/nonexistent").to_owned(),
        tokens: Tokens::default(),
        clock: Arc::new(FakeClock::default()),
    };
    let tables = [("age".to_owned(), settings)].into();
    let resolver = Arc::new(Resolver::new(providers::build(&tables, &context).ok().unwrap()));
    context.tokens.use_resolver(&resolver);
    resolver
}

/// One scheme of a resolver.
struct Age(Arc<Resolver>);

impl Provider for Age {
    fn scheme(&self) -> &'static str {
        "age"
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> strongroom_model::ports::BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        Box::pin(self.0.resolve(refs))
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}
