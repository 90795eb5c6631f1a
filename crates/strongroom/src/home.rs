//! A home on disk: made once by `init`, opened by everything else.
//!
//! Making is idempotent and never replaces anything: a machine key that is missing while there is a
//! vault is an error and not an occasion to make a new one (decision 4).

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use strongroom_model::ports::Clock;
use strongroom_model::principal::{Name, NameError};
use strongroom_process::Start;
use strongroom_seal::{
    FileError, FileSecret, Key, MachineIdError, MachineKek, MachineKeyError, MachineSecret,
    SecureDir, SigningKey, machine_id,
};
use strongroom_secrets::keychain::KeychainSecret;
use strongroom_store::{Vault, VaultError};

use crate::config::{ConfigError, KeySource, LoadError};
use crate::paths::Home;

/// The principal of a stdio session without `--as`.
pub const DEFAULT_PRINCIPAL: &str = "default";

const KEY_FILE: &str = "machine.key";
const CONFIG_FILE: &str = "strongroom.toml";

/// A home cannot be made or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// Nothing has been made yet.
    #[error("there is no Strongroom home yet")]
    NotMade,
    /// There is a vault, and its key is gone.
    #[error("there is a vault, but the machine key that opens it is missing")]
    KeyLost {
        /// What the key's source says.
        source: MachineKeyError,
    },
    /// A directory or file is missing, or not safe to use.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no machine key to work with.
    #[error(transparent)]
    Key(#[from] MachineKeyError),
    /// This machine has no id.
    #[error(transparent)]
    MachineId(#[from] MachineIdError),
    /// Where the machine key is cannot be read.
    #[error("the configuration, which says where the machine key is, cannot be read")]
    Source(#[source] Box<LoadError>),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A name of ours is not one.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl HomeError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotMade => Some("run `strongroom init`".to_owned()),
            Self::KeyLost { source } => source.hint(),
            Self::File(error) => error.hint(),
            Self::Key(error) => error.hint(),
            Self::MachineId(error) => error.hint().map(ToOwned::to_owned),
            Self::Source(_) => Some("run `strongroom doctor`".to_owned()),
            Self::Vault(error) => error.hint(),
            Self::Name(_) => None,
        }
    }
}

impl From<LoadError> for HomeError {
    fn from(error: LoadError) -> Self {
        Self::Source(Box::new(error))
    }
}

impl From<ConfigError> for HomeError {
    fn from(error: ConfigError) -> Self {
        LoadError::from(error).into()
    }
}

/// What `create` found or made: `true` where it is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// The configuration.
    pub config: bool,
    /// The machine key.
    pub key: bool,
    /// The vault.
    pub vault: bool,
}

impl Made {
    /// Whether anything is new.
    pub fn anything(self) -> bool {
        self.config || self.key || self.vault
    }
}

/// Makes what is missing of `home` and opens its vault. `config` is the text of a new
/// `strongroom.toml`.
pub fn create(
    home: &Home,
    config: &str,
    clock: Arc<dyn Clock>,
) -> Result<(Vault, Made), HomeError> {
    let config_dir = SecureDir::create(&home.config)?;
    SecureDir::create(&home.cache)?;
    SecureDir::create(home.audit_dir())?;
    let share = SecureDir::create(&home.share)?;
    let _turn = share.lock("init.lock")?;

    let config_there = config_dir.has(CONFIG_FILE)?;
    let vault_there = share.has(strongroom_store::vault::FILE)?;
    let source = if config_there { KeySource::of(home)? } else { KeySource::parse("", config)? };
    let key = machine_secret(home, &source)?;
    let (secret, key_there) = match key.load() {
        Err(source @ MachineKeyError::Missing { .. }) if vault_there => {
            return Err(HomeError::KeyLost { source });
        }
        Err(MachineKeyError::Missing { .. }) => {
            key.create()?;
            if source == KeySource::File {
                exclude_from_backups(&share);
            }
            (key.load()?, false)
        }
        other => (other?, true),
    };
    // Where the key is stands in the file before anything is sealed under it.
    if !config_there {
        config_dir.create_new(CONFIG_FILE, config.as_bytes())?;
    }
    let kek = MachineKek::derive(&secret, &machine_id(&run)?);
    let vault = if vault_there {
        Vault::open(&share, &kek, clock)?
    } else {
        Vault::create(&share, &kek, clock)?
    };
    vault.principals().ensure(&DEFAULT_PRINCIPAL.parse::<Name>()?)?;
    Ok((vault, Made { config: !config_there, key: !key_there, vault: !vault_there }))
}

/// Opens the vault of `home`.
pub fn open(home: &Home, clock: Arc<dyn Clock>) -> Result<Vault, HomeError> {
    let share = match SecureDir::open(&home.share) {
        Err(FileError::Missing { .. }) => return Err(HomeError::NotMade),
        other => other?,
    };
    let secret = match machine_secret(home, &KeySource::of(home)?)?.load() {
        Err(MachineKeyError::Missing { .. }) if !share.has(strongroom_store::vault::FILE)? => {
            return Err(HomeError::NotMade);
        }
        Err(source @ MachineKeyError::Missing { .. }) => return Err(HomeError::KeyLost { source }),
        other => other?,
    };
    let kek = MachineKek::derive(&secret, &machine_id(&run)?);
    Ok(Vault::open(&share, &kek, clock)?)
}

/// The machine secret, where `source` says. No other place is looked at (decision 4).
pub fn machine_secret(
    home: &Home,
    source: &KeySource,
) -> Result<Box<dyn MachineSecret>, FileError> {
    Ok(match source {
        KeySource::File => Box::new(FileSecret::new(SecureDir::open(&home.share)?, KEY_FILE)),
        KeySource::Keychain { account } => Box::new(KeychainSecret::new(home.keychain(), account)),
    })
}

/// Removes a machine key that is in the keychain; one in a file goes with its directory.
pub fn forget_key(home: &Home) -> Result<(), HomeError> {
    if let KeySource::Keychain { account } = KeySource::of(home)? {
        KeychainSecret::new(home.keychain(), &account).remove()?;
    }
    Ok(())
}

/// Where the machine key is, for people.
pub fn key_place(home: &Home, source: &KeySource) -> PathBuf {
    match source {
        KeySource::File => home.machine_key_file(),
        KeySource::Keychain { account } => {
            KeychainSecret::new(home.keychain(), account).place().into()
        }
    }
}

/// The key of the cache `scope`, from the machine secret where `source` says.
pub fn cache_key(home: &Home, source: &KeySource, scope: &str) -> Result<Key, HomeError> {
    let secret = match machine_secret(home, source) {
        Ok(secret) => secret.load(),
        Err(FileError::Missing { .. }) => return Err(HomeError::NotMade),
        Err(error) => return Err(error.into()),
    };
    Ok(Key::of_cache(&secret?, &machine_id(&run)?, scope))
}

/// The key that vouches for the audit.
pub fn audit_key(home: &Home) -> Result<SigningKey, HomeError> {
    let secret = match machine_secret(home, &KeySource::of(home)?) {
        Ok(secret) => secret.load(),
        Err(FileError::Missing { .. }) => return Err(HomeError::NotMade),
        Err(error) => return Err(error.into()),
    };
    Ok(SigningKey::of_audit(&secret?, &machine_id(&run)?))
}

/// The text of a new `strongroom.toml`, with the machine key in a file.
pub fn first_config(headless: bool) -> String {
    first_config_with(headless, &KeySource::File)
}

/// The text of a new `strongroom.toml`.
pub fn first_config_with(headless: bool, key: &KeySource) -> String {
    let headless = if headless {
        "\n# Nobody is at a terminal here: changes that widen what agents may do need no confirmation.\n\
         headless = true\n"
    } else {
        ""
    };
    format!(
        "# What agents may use. `strongroom add`, `edit` and `remove` change this file and keep your\n\
         # comments; you may edit it yourself. Running brokers take up a change at the next call, and\n\
         # `strongroom doctor` checks it. No key ever stands here: only where it lives.\n\
         {headless}\
         \n\
         {}\
         \n\
         # A service, as `strongroom add github` writes one:\n\
         #\n\
         # [services.github]\n\
         # base_url = \"https://api.github.com\"\n\
         # auth = {{ type = \"bearer\", token = \"local://github/token\" }}\n\
         # allow = [\"GET /**\", \"HEAD /**\"]\n\
         # deny = [\"* /user/keys/**\"]\n",
        key.table()
    )
}

/// Asks a program of the system who this machine is (macOS, Windows).
fn run(program: &str, arguments: &[&str]) -> io::Result<String> {
    let mut start = Start::new(program);
    start.args = arguments.iter().map(Into::into).collect();
    if cfg!(windows) {
        // Programs of the system do not load without it.
        start.env = vec![("SystemRoot".into(), r"C:\Windows".into())];
    }
    let output = strongroom_process::run(&start, &[], Duration::from_secs(5), 64 << 10)
        .map_err(io::Error::other)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Marks the machine key, where the file system knows such a mark: a backup of the home then does
/// not hold the vault together with its key. Where it does not, nothing is lost.
#[cfg(target_os = "linux")]
fn exclude_from_backups(share: &SecureDir) {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

    let mark = || -> io::Result<()> {
        let file = share.open_file(KEY_FILE).map_err(io::Error::other)?;
        Ok(ioctl_setflags(&file, ioctl_getflags(&file)? | IFlags::NODUMP)?)
    };
    // Not every file system has the flag.
    drop(mark());
}

#[cfg(not(target_os = "linux"))]
fn exclude_from_backups(_: &SecureDir) {}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::clock::SystemClock;
    use crate::paths::Os;

    fn fresh() -> (tempfile::TempDir, Home) {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::under(Os::CURRENT, directory.path().as_os_str());
        (directory, home)
    }

    fn make(home: &Home) -> Result<Made, HomeError> {
        create(home, &first_config(false), Arc::new(SystemClock::new())).map(|(_, made)| made)
    }

    #[test]
    fn a_home_is_made_once_and_opened_after_that() {
        let (_directory, home) = fresh();
        let all = Made { config: true, key: true, vault: true };
        assert_eq!(make(&home).unwrap(), all);
        let key = fs::read(home.machine_key_file()).unwrap();
        assert!(!make(&home).unwrap().anything());
        assert_eq!(fs::read(home.machine_key_file()).unwrap(), key);
        let vault = open(&home, Arc::new(SystemClock::new())).unwrap();
        assert!(vault.principals().exists(&"default".parse().unwrap()).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_any_of_it() {
        use std::os::unix::fs::PermissionsExt as _;

        let (_directory, home) = fresh();
        make(&home).unwrap();
        let mode =
            |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for directory in home.directories() {
            assert_eq!(mode(directory), 0o700, "{directory:?}");
        }
        for file in [home.config_file(), home.vault_file(), home.machine_key_file()] {
            assert_eq!(mode(&file), 0o600, "{file:?}");
        }
    }

    #[test]
    fn a_lost_machine_key_is_said_and_not_replaced() {
        let (_directory, home) = fresh();
        make(&home).unwrap();
        fs::remove_file(home.machine_key_file()).unwrap();
        assert!(matches!(make(&home), Err(HomeError::KeyLost { .. })));
        let opened = open(&home, Arc::new(SystemClock::new()));
        assert!(matches!(opened, Err(HomeError::KeyLost { .. })));
        assert!(!home.machine_key_file().exists());
    }

    #[test]
    fn a_home_that_was_never_made_names_the_command_that_makes_it() {
        let (_directory, home) = fresh();
        let error = open(&home, Arc::new(SystemClock::new())).err().unwrap();
        assert_eq!(error.hint().unwrap(), "run `strongroom init`");
    }
}
