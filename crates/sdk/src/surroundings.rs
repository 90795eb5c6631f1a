//! What a binding hands in: everything that a process knows about itself.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use strongroom_model::paths::Environment;

/// What the process knows about itself. [`Surroundings::new`] has everything but the environment at its
/// default.
#[derive(Clone)]
pub struct Surroundings {
    /// The environment: the keychain and the display are found by it, and its two variables
    /// `MCP_BYPASS_SECRET_USE_CONFIRM` and `SECRETS_STORAGE_CLEAR` are obeyed.
    pub environment: Environment,
    /// Which program this server is, as an absolute path: its script where an interpreter runs it
    /// (`__main__.__file__`, `process.argv[1]`), else the executable. By it two servers of one name
    /// are told apart; `None` (an interactive interpreter) is never told from the first.
    pub program: Option<PathBuf>,
    /// The folder that has the window program and its manifest, inside the wheel or the package.
    pub window: Option<PathBuf>,
    /// Where notices go: to the log of the binding's language, or to stderr.
    #[expect(clippy::type_complexity, reason = "one function, and we name no types anew")]
    pub notices: Option<Arc<dyn Fn(&Notice) + Send + Sync>>,
    /// Whether values that were read are kept in memory: a change that another process makes is not
    /// seen then.
    pub cache: bool,
}

/// Something that a person should know and that stops nothing. Each is told once a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The stable name of what it is about.
    pub code: &'static str,
    /// The text, one line.
    pub text: String,
}

/// Without the environment: a value of that may be a secret.
impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("program", &self.program)
            .field("window", &self.window)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

impl Surroundings {
    /// A process with this environment, of which nothing else is known.
    pub fn new(environment: Environment) -> Self {
        Self { environment, program: None, window: None, notices: None, cache: false }
    }

    /// Whether the variable `name` is exactly `true`.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.environment.get(name).is_some_and(|value| value == "true")
    }

    /// Tells it, unless it has been told in this process.
    pub(crate) fn tell(&self, code: &'static str, text: String) {
        static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
        if let Some(notices) = &self.notices
            && TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone())
        {
            notices(&Notice { code, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strongroom_model::paths::Os;

    #[test]
    fn only_the_exact_word_turns_something_on() {
        for (value, on) in [
            ("true", true),
            ("TRUE", false),
            ("True", false),
            ("1", false),
            ("yes", false),
            ("true ", false),
            ("", false),
        ] {
            let surroundings = Surroundings::new(Environment::new(Os::CURRENT, [("X", value)]));
            assert_eq!(surroundings.is_true("X"), on, "{value:?}");
            assert!(!surroundings.is_true("Y"));
        }
    }

    #[test]
    fn debugging_the_surroundings_shows_no_variable() {
        let surroundings = Surroundings::new(Environment::new(Os::CURRENT, [("K", "canary")]));
        assert!(!format!("{surroundings:?}").contains("canary"));
    }
}
