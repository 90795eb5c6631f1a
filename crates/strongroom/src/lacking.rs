//! Secrets that something needs and that are not stored: a person is asked for them, at the display or, for
//! a command that was typed, at its terminal; they are stored as `secrets set` stores them, or in the item of
//! the keychain that their reference names, and the work goes on.
//!
//! Of all processes that lack the same, one asks and the others wait for what comes of it: a lock and, where
//! the person said no, a mark in the state directory. No agent sees any of it.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use strongroom_model::approval::PATIENCE;
use strongroom_model::audit::{Draft, Kind as Record};
use strongroom_model::form::{Field, FieldType, Form, Kind};
use strongroom_model::ports::{BoxFuture, Lack, Lacking, Purpose};
use strongroom_model::redact;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_seal::{Guard, SecureDir, hex, sha256};
use strongroom_secrets::keychain::{Item, KeychainError};
use strongroom_store::{SecretUse, Vault};
use tracing::warn;

use crate::config::Config;
use crate::desktop::{Desktop, Unfilled};
use crate::environment::Host;
use crate::failure::Failure;
use crate::paths::Home;
use crate::release::NotReleased;
use crate::servers::start::Ground;
use crate::{admin, hidden, home, providers};

/// How often whoever waits for another's asking looks.
const GLANCE: Duration = Duration::from_millis(150);

/// The schemes of places in which something can be stored.
const LOCAL: &str = "local";
const KEYCHAIN: &str = "keychain";

/// How often an answer that cannot be a secret is asked for again.
const TRIES: usize = 3;

/// Asks for secrets, and stores them in the vault.
#[derive(Clone)]
pub struct Cabinet {
    host: Host,
    home: Home,
    desktop: Desktop,
}

/// One secret that is not stored.
#[derive(Clone, Debug)]
struct Missing {
    /// What it is to what needs it.
    name: String,
    reference: SecretRef,
}

impl Cabinet {
    /// The one of this user, unless the configuration says that nobody is to be asked.
    pub fn of(host: &Host, home: &Home, config: &Config) -> Option<Self> {
        let asks = config.ask_for_secrets && !config.headless;
        asks.then(|| Self { host: host.clone(), home: home.clone(), desktop: Desktop::of(host) })
    }

    async fn ask(&self, lack: &Lack<'_>) -> Result<bool, Failure> {
        if !self.desktop.is_there() || self.missing(lack).await?.is_empty() {
            return Ok(false);
        }
        let subject = subject(lack);
        let dir = SecureDir::create(&self.home.state)?;
        let _turn = turn(&dir, &subject).await?;
        // Another may have had its turn while we waited for ours.
        let missing = self.missing(lack).await?;
        if missing.is_empty() {
            return Ok(true);
        }
        if self.declined(&dir, &subject) {
            return Ok(false);
        }
        let secrets = match self.fill_in(lack, &missing).await {
            Ok(secrets) => secrets,
            Err(Unfilled::Nowhere) => return Ok(false),
            Err(Unfilled::Closed | Unfilled::TooLong) => {
                self.decline(&dir, &subject);
                return Ok(false);
            }
        };
        // As long as somebody still waits for it: nothing is awaited from here on.
        self.store(lack.purpose, &missing, secrets, "dialog")?;
        Ok(true)
    }

    /// What of it is not stored, where all that is not can be.
    async fn missing(&self, lack: &Lack<'_>) -> Result<Vec<Missing>, Failure> {
        let items = items(lack);
        let kept =
            if items.is_empty() { Ok(Vec::new()) } else { self.home.keychain().ask(items).await };
        self.not_stored(lack, kept)
    }

    /// The same, of a keychain that has answered.
    fn not_stored(
        &self,
        lack: &Lack<'_>,
        kept: Result<Vec<Result<Secret, KeychainError>>, KeychainError>,
    ) -> Result<Vec<Missing>, Failure> {
        // What a keychain that is locked or not there has, nobody knows.
        let Ok(kept) = kept else { return Ok(Vec::new()) };
        let mut kept = kept.into_iter();
        let vault = self.vault()?;
        let mut missing = Vec::new();
        for (name, reference) in lack.places {
            let is_missing = match reference.scheme() {
                LOCAL => vault.used_by(reference.path())?.is_none(),
                KEYCHAIN => match kept.next() {
                    Some(Err(KeychainError::NotFound)) => true,
                    Some(Ok(_)) => false,
                    Some(Err(_)) | None => return Ok(Vec::new()),
                },
                _ => false,
            };
            if is_missing {
                let (name, reference) = ((*name).to_owned(), (*reference).clone());
                missing.push(Missing { name, reference });
            }
        }
        // A certificate or a key of several lines cannot be typed.
        let has_lines = |missing: &&Missing| {
            ["certificate", "private_key"].contains(&missing.name.as_str())
                && matches!(lack.purpose, Purpose::Service(_))
        };
        if let Some(one) = missing.iter().find(has_lines) {
            warn!(
                "`{}` of {} has several lines, and a window takes one: {}",
                one.name,
                needs(lack),
                from_file(one, lack.purpose)
            );
            missing.clear();
        }
        Ok(missing)
    }

    /// What the person types, in the order of `missing`.
    async fn fill_in(&self, lack: &Lack<'_>, missing: &[Missing]) -> Result<Vec<Secret>, Unfilled> {
        let mut wrong = "";
        for _ in 0..TRIES {
            let answers = self.desktop.fill_in(form(lack, missing, wrong), PATIENCE).await?;
            let mut named: Vec<(String, Secret)> = answers.into_iter().collect();
            let mut secrets = Vec::with_capacity(missing.len());
            for number in 0..missing.len() {
                let place = named.iter().position(|(name, _)| *name == field_name(number));
                secrets.push(named.swap_remove(place.ok_or(Unfilled::Nowhere)?).1);
            }
            match secrets.iter().find_map(|secret| flaw(secret, lack.purpose)) {
                None => return Ok(secrets),
                Some(flaw) => wrong = flaw,
            }
        }
        Err(Unfilled::Closed)
    }

    /// Stores the secrets for `purpose` alone; in the keychain for whoever may use that. Each is on record before
    /// it is stored. What somebody has stored meanwhile stays.
    fn store(
        &self,
        purpose: Purpose<'_>,
        missing: &[Missing],
        secrets: Vec<Secret>,
        by: &'static str,
    ) -> Result<(), Failure> {
        let used_by = use_in_vault(purpose)
            .ok_or_else(|| Failure::failed("a provider is asked for nothing"))?;
        let (vault, keychain) = (self.vault()?, self.home.keychain());
        let mut in_keychain = false;
        for (missing, secret) in missing.iter().zip(secrets) {
            let reference = &missing.reference;
            if reference.scheme() == KEYCHAIN {
                let item = item(reference);
                match keychain.read(std::slice::from_ref(&item)).map_err(Failure::failed)?.pop() {
                    Some(Err(KeychainError::NotFound)) => {}
                    Some(Err(error)) => return Err(Failure::failed(error)),
                    Some(Ok(_)) | None => continue,
                }
                self.record(reference.as_str(), by)?;
                keychain.write(&item, secret).map_err(Failure::failed)?;
                in_keychain = true;
            } else if vault.used_by(reference.path())?.is_none() {
                self.record(reference.path(), by)?;
                vault.put(reference.path(), &used_by, &secret)?;
            }
        }
        if in_keychain {
            // That it was not there holds no longer.
            for cache in providers::failures(&self.host, &self.home) {
                cache.clear_attempts(KEYCHAIN);
            }
        }
        Ok(())
    }

    fn record(&self, subject: &str, by: &'static str) -> Result<(), Failure> {
        let draft = Draft {
            kind: Record::Admin,
            act: Some("secrets.set".to_owned()),
            subject: Some(subject.to_owned()),
            approval: Some(by),
            ..Draft::default()
        };
        admin::record_draft(&self.host, &self.home, draft)
    }

    fn vault(&self) -> Result<Vault, Failure> {
        Ok(home::open(&self.home, Arc::clone(&self.host.clock))?)
    }

    /// Whether the person has said no to this in the last two minutes.
    fn declined(&self, dir: &SecureDir, subject: &str) -> bool {
        let Ok(text) = dir.read(&mark(subject), 32) else { return false };
        let at = str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        let now = self.host.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        at.is_some_and(|at: u64| at <= now && now - at < PATIENCE.as_secs())
    }

    fn decline(&self, dir: &SecureDir, subject: &str) {
        let now = self.host.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Err(error) = dir.write_atomic(&mark(subject), now.as_secs().to_string().as_bytes()) {
            warn!("it cannot be remembered that a secret was not given: {error}");
        }
    }
}

impl Lacking for Cabinet {
    fn supply<'a>(&'a self, lack: Lack<'a>) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            self.ask(&lack).await.unwrap_or_else(|failure| {
                let text = failure.error.map(|error| error.to_string()).unwrap_or_default();
                warn!("a secret that is missing cannot be asked for: {text}");
                false
            })
        })
    }
}

/// What a start lacks by `failure`, and whether that could be given: the person who typed the command is
/// asked at the terminal, otherwise who sits at the display.
///
/// # Errors
///
/// The same failure, where nothing was given.
pub fn for_start(ground: &Ground<'_>, failure: Failure) -> Result<(), Failure> {
    let Some(cabinet) = Cabinet::of(ground.host, ground.home, ground.config) else {
        return Err(failure);
    };
    let Some(lacks) = NotReleased::of(&failure) else { return Err(failure) };
    let places = lacks.not_found();
    let lack = Lack { purpose: Purpose::Launch(lacks.server()), principal: None, places: &places };
    let terminals = ground.host.terminals;
    let given = if terminals.stdin && terminals.stderr {
        cabinet.at_terminal(&lack)
    } else if cabinet.desktop.is_there() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(Failure::failed).and_then(|runtime| runtime.block_on(cabinet.ask(&lack)))
    } else {
        Ok(false)
    };
    match given {
        Ok(true) => Ok(()),
        Ok(false) => Err(failure),
        Err(other) => Err(other),
    }
}

impl Cabinet {
    /// Asks at the terminal that the command was typed at.
    fn at_terminal(&self, lack: &Lack<'_>) -> Result<bool, Failure> {
        let items = items(lack);
        let kept =
            if items.is_empty() { Ok(Vec::new()) } else { self.home.keychain().read(&items) };
        let missing = self.not_stored(lack, kept)?;
        let mut secrets = Vec::with_capacity(missing.len());
        for one in &missing {
            let prompt = format!(
                "{} needs `{}` as `{}`, and it is not stored yet (one line, not shown; nothing: stop): ",
                needs(lack),
                one.reference,
                one.name
            );
            let typed = hidden::ask(&prompt).unwrap_or_default();
            let secret = Secret::new(typed.into_bytes());
            if secret.is_empty() {
                return Ok(false);
            }
            secrets.push(secret);
        }
        self.store(lack.purpose, &missing, secrets, "cli")?;
        Ok(!missing.is_empty())
    }
}

/// What the window asks.
fn form(lack: &Lack<'_>, missing: &[Missing], wrong: &str) -> Form {
    let is_kept = |scheme| missing.iter().any(|one| one.reference.scheme() == scheme);
    let kept = match (is_kept(LOCAL), is_kept(KEYCHAIN)) {
        (true, true) => "kept where its field says",
        (false, true) => "kept in this machine's keychain",
        _ => "sealed in Strongroom's vault",
    };
    let several = missing.first().map(|one| from_file(one, lack.purpose)).unwrap_or_default();
    let what = if missing.len() == 1 { "a secret" } else { "secrets" };
    let for_whom = match lack.principal {
        Some(principal) => format!(" The agent `{principal}` waits for it and will not see it."),
        None => String::new(),
    };
    let wrong = if wrong.is_empty() { String::new() } else { format!("{wrong}\n\n") };
    let field = |(number, one): (usize, &Missing)| Field {
        name: field_name(number),
        label: one.name.clone(),
        field_type: FieldType::Password,
        required: true,
        help_text: match one.reference.scheme() {
            KEYCHAIN => format!(
                "It is stored as `{}`: programs of yours that may use the keychain can read it.",
                one.reference
            ),
            _ => format!("It is stored as `{}`, for {} alone.", one.reference, use_of(lack)),
        },
        ..Field::default()
    };
    Form {
        title: format!("{} needs {what}", needs(lack)),
        description: format!(
            "{wrong}{} needs {what} that this machine has not stored.{for_whom} It is {kept}; close \
             this window to give none.\n\nA field takes one line. Is it a key of several lines (PEM)? \
             Close this window, and {}.",
            needs(lack),
            several
        ),
        kind: Kind::Fields,
        fields: missing.iter().enumerate().map(field).collect(),
    }
}

fn field_name(number: usize) -> String {
    format!("secret-{number}")
}

/// ``The server `files` ``
fn needs(lack: &Lack<'_>) -> String {
    match lack.purpose {
        Purpose::Service(name) => format!("The service `{name}`"),
        Purpose::Launch(name) => format!("The server `{name}`"),
        Purpose::Provider(scheme) => format!("The provider `{scheme}`"),
    }
}

/// ``the start of `files` ``
fn use_of(lack: &Lack<'_>) -> String {
    match lack.purpose {
        Purpose::Service(name) => format!("calls of `{name}`"),
        Purpose::Launch(name) => format!("the start of `{name}`"),
        Purpose::Provider(scheme) => format!("`{scheme}`"),
    }
}

/// What the secret is stored for in the vault; `None`: it is not.
fn use_in_vault(purpose: Purpose<'_>) -> Option<SecretUse> {
    match purpose {
        Purpose::Service(name) => Some(SecretUse::Service(name.clone())),
        Purpose::Launch(name) => Some(SecretUse::Launch(name.clone())),
        Purpose::Provider(_) => None,
    }
}

/// How a secret of several lines is stored from a file.
fn from_file(missing: &Missing, purpose: Purpose<'_>) -> String {
    let reference = &missing.reference;
    if reference.scheme() == KEYCHAIN {
        let Item { service, account } = item(reference);
        // Nothing that a shell would read as anything else.
        let plain =
            |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._@/-".contains(c));
        return if cfg!(target_os = "linux") && plain(reference.path()) {
            format!(
                "run `secret-tool store --label={service} service {service} username {account} < FILE`"
            )
        } else {
            format!("store `{reference}` with the keychain's own program")
        };
    }
    let used_by = use_in_vault(purpose).map(|used_by| format!(" --for {used_by}"));
    let used_by = used_by.unwrap_or_default();
    format!("run `strongroom secrets set {}{used_by} --key-stdin < FILE`", reference.path())
}

/// The items of the keychain that it needs, in their order.
fn items(lack: &Lack<'_>) -> Vec<Item> {
    let places = lack.places.iter().map(|(_, reference)| *reference);
    places.filter(|reference| reference.scheme() == KEYCHAIN).map(item).collect()
}

/// `SERVICE/ACCOUNT`, as the grammar of references has made sure.
fn item(reference: &SecretRef) -> Item {
    let (service, account) = reference.path().split_once('/').unwrap_or((reference.path(), ""));
    Item { service: service.to_owned(), account: account.to_owned() }
}

/// Why this cannot be the secret. A service's stands in one line of a request, and is looked for in answers.
fn flaw(secret: &Secret, purpose: Purpose<'_>) -> Option<&'static str> {
    if secret.is_empty() {
        return Some("It is empty.");
    }
    if !matches!(purpose, Purpose::Service(_)) {
        return None;
    }
    let value = secret.expose();
    let has_control = value.iter().any(|byte| *byte < 0x20 || *byte == 0x7f);
    let has_edge = [value.first(), value.last()].contains(&Some(&b' '));
    if has_control || has_edge {
        return Some(
            "It has a blank at an end, or a control character. Was it pasted whole, and alone?",
        );
    }
    (value.len() < redact::SHORTEST).then_some("It is too short to be told from other text.")
}

/// What tells one lack from another: what needs which references.
fn subject(lack: &Lack<'_>) -> String {
    let mut text = use_of(lack);
    for (_, reference) in lack.places {
        text.push('\n');
        text.push_str(reference.as_str());
    }
    hex(&sha256(text.as_bytes())[..8])
}

fn mark(subject: &str) -> String {
    format!("declined-{subject}")
}

/// The turn of whoever asks for this, of all processes.
async fn turn(dir: &SecureDir, subject: &str) -> Result<Guard, Failure> {
    let name = format!("lacking-{subject}.lock");
    loop {
        if let Some(guard) = dir.try_lock(&name)? {
            return Ok(guard);
        }
        tokio::time::sleep(GLANCE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(references: &[&str]) -> Form {
        let name = "files".parse().unwrap();
        let lack = Lack { purpose: Purpose::Launch(&name), principal: None, places: &[] };
        let missing = |reference: &&str| Missing {
            name: "KEY".to_owned(),
            reference: reference.parse().unwrap(),
        };
        let missing: Vec<_> = references.iter().map(missing).collect();
        let form = form(&lack, &missing, "");
        form.check().unwrap();
        form
    }

    #[test]
    fn the_question_says_where_each_is_kept_and_how_one_of_several_lines_is_stored() {
        let vault = asked(&["local://files/key"]);
        assert!(vault.description.contains("sealed in Strongroom's vault"));
        let command =
            "run `strongroom secrets set files/key --for launch:files --key-stdin < FILE`";
        assert!(vault.description.ends_with(&format!("and {command}.")), "{}", vault.description);
        assert!(vault.fields[0].help_text.ends_with("for the start of `files` alone."));

        let keychain = asked(&["keychain://files/key"]);
        assert!(keychain.description.contains("kept in this machine's keychain"));
        assert!(!keychain.description.contains("secrets set"));
        let help = &keychain.fields[0].help_text;
        assert!(
            help.starts_with("It is stored as `keychain://files/key`: programs of yours"),
            "{help}"
        );

        let both = asked(&["local://files/key", "keychain://files/key"]);
        assert!(both.description.contains("kept where its field says"));
    }
}
