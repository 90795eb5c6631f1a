//! What a provider is told in `[providers.SCHEME]`, and what every provider is given beside it.
//!
//! A provider says what settings it takes by a table of [`Field`]s; the reader of the configuration
//! checks names and kinds against it, so that a provider sees only what it has asked for.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use strongroom_model::ports::{Clock, Purpose, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

use crate::Resolver;

/// One setting that a provider takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The key in the file.
    pub name: &'static str,
    /// What stands behind it.
    pub kind: Kind,
    /// What it is, for people: one line.
    pub about: &'static str,
}

/// What kind of value a setting has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A text that is not secret.
    Text,
    /// An absolute path.
    Path,
    /// An `https://` address, or `http://` of this machine.
    Url,
    /// A reference, of another provider, to a secret. Plain text is refused.
    Secret,
    /// Texts.
    Words,
}

/// The settings of one provider, checked against its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Texts, paths and addresses.
    pub texts: BTreeMap<String, String>,
    /// References to secrets.
    pub secrets: BTreeMap<String, SecretRef>,
    /// Lists.
    pub words: BTreeMap<String, Vec<String>>,
    /// How long the provider may take to answer, where that is set.
    pub timeout: Option<Duration>,
    /// Tables of the same kind, where a provider has several of something: `[providers.cmd.NAME]`.
    pub tables: BTreeMap<String, Settings>,
}

/// A setting that its provider cannot use. It names the key and never the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {problem}")]
pub struct SettingError {
    /// The key.
    pub key: &'static str,
    /// What is wrong with it.
    pub problem: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// What every provider is given.
#[derive(Clone)]
pub struct Context {
    /// A variable of the environment that this process was started with.
    pub variable: Variable,
    /// The user's home directory.
    pub home: PathBuf,
    /// Resolves the references in settings.
    pub tokens: Tokens,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Looks up a variable of the environment.
pub type Variable = Arc<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// Resolves the references in the settings of providers: through the resolver that the providers
/// themselves are in, which is there only once they are.
#[derive(Clone, Default)]
pub struct Tokens(Arc<OnceLock<Weak<Resolver>>>);

impl Settings {
    /// The text at `key`.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.texts.get(key).map(String::as_str)
    }

    /// The reference at `key`.
    pub fn secret(&self, key: &str) -> Option<&SecretRef> {
        self.secrets.get(key)
    }
}

impl Context {
    /// A variable that is set, not empty, and text.
    pub fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name)?.into_string().ok().filter(|value| !value.is_empty())
    }
}

impl Tokens {
    /// From here on references are resolved by `resolver`, as long as somebody keeps it.
    pub fn use_resolver(&self, resolver: &Arc<Resolver>) {
        // A second resolver of the same providers would be one too many; the first stays.
        drop(self.0.set(Arc::downgrade(resolver)));
    }

    /// The token at `reference`, for the provider of `scheme`.
    ///
    /// Whatever goes wrong with it, the provider is not set up: nothing is known by that of the secrets
    /// that it was to be asked for, and what is kept of them stays.
    ///
    /// Invariant: the configuration has refused circles, in which this would not end.
    pub async fn get(&self, scheme: &str, reference: &SecretRef) -> Result<Secret, ResolveError> {
        self.look_up(scheme, reference).await.map_err(|error| {
            let fix = error.hint().unwrap_or_else(|| "run `strongroom doctor`".to_owned());
            ResolveError::absent(scheme, format!("its own token cannot be had: {error}"), fix)
        })
    }

    async fn look_up(&self, scheme: &str, reference: &SecretRef) -> Result<Secret, ResolveError> {
        let resolver = self.0.get().and_then(Weak::upgrade);
        let resolver = resolver
            .ok_or_else(|| ResolveError::unreachable(scheme, "its token cannot be looked up"))?;
        resolver.permits(reference, Purpose::Provider(scheme))?;
        // Boxed: a provider's answer contains a provider's answer.
        let answers: std::pin::Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(resolver.resolve(std::slice::from_ref(reference)));
        answers.await.pop().unwrap_or_else(|| {
            Err(ResolveError::unreachable(scheme, "its token was not answered for"))
        })
    }
}
