//! A server in a session of its own.

use std::path::Path;
use std::sync::{Arc, Mutex};

use strongroom_sdk::{Environment, Notice, Os, Secret, Storage, Surroundings};
use strongroom_testkit::secret_service::SecretService;
use tempfile::TempDir;

/// What was told, by its code.
pub(crate) type Told = Arc<Mutex<Vec<Notice>>>;

/// The home of a user whose session this is.
pub(crate) fn surroundings(
    session: Option<&SecretService>,
    home: &Path,
    more: &[(&str, &str)],
) -> (Surroundings, Told) {
    let address = session.map(SecretService::address);
    let bus = address.map(|address| ("DBUS_SESSION_BUS_ADDRESS", address));
    let home = home.to_str().unwrap();
    let variables = [("HOME", home), ("XDG_RUNTIME_DIR", home)].into_iter().chain(bus);
    let all = variables.chain(more.iter().copied());
    let mut surroundings = Surroundings::new(Environment::new(Os::CURRENT, all));
    let told = Told::default();
    let sink = Arc::clone(&told);
    surroundings.notices = Some(Arc::new(move |notice: &Notice| {
        sink.lock().unwrap().push(notice.clone());
    }));
    (surroundings, told)
}

/// A keyring, and the secrets of the server `s` in it.
pub(crate) struct Rig {
    pub(crate) session: SecretService,
    pub(crate) home: TempDir,
    pub(crate) storage: Storage,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let (session, home) = (SecretService::start(), tempfile::tempdir().unwrap());
        let (surroundings, _) = surroundings(Some(&session), home.path(), &[]);
        let storage = Storage::new("s", surroundings).unwrap();
        Self { session, home, storage }
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        get(&self.storage, name)
    }

    pub(crate) fn set(&self, name: &str, value: &str) {
        self.storage.store_secret(name, secret(value)).unwrap();
    }

    /// The index, as another program finds it.
    pub(crate) fn index(&self) -> Vec<String> {
        let text = self.lookup("__secret_index__").unwrap();
        let mut names: Vec<String> = serde_json::from_str(&text).unwrap();
        names.sort();
        names
    }

    pub(crate) fn lookup(&self, account: &str) -> Option<String> {
        self.session.lookup(&["service", "com.mcp.s", "username", account])
    }
}

pub(crate) fn get(storage: &Storage, name: &str) -> Option<String> {
    storage.retrieve_secret(name).unwrap().map(|value| text(&value))
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

pub(crate) fn text(secret: &Secret) -> String {
    String::from_utf8(secret.expose().to_vec()).unwrap()
}
