//! The machine secret in the keychain (decision 4).

use strongroom_model::secret::Secret;
use strongroom_seal::machine::{decode, new_line};
use strongroom_seal::{MachineKeyError, MachineSecret};

use super::{Item, Keychain, KeychainError};

/// The service of every item that is Strongroom's own.
const SERVICE: &str = "strongroom";

const WITHOUT: &str = "run it in the session that has the keychain: a desktop, or one with `gnome-keyring-daemon --unlock`; for a home that is not made yet there is `strongroom init --machine-key file`";

/// The machine secret in an item of the keychain, in the same form as in a file.
#[derive(Clone, Debug)]
pub struct KeychainSecret {
    keychain: Keychain,
    item: Item,
}

impl KeychainSecret {
    /// The item of this account.
    pub fn new(keychain: Keychain, account: &str) -> Self {
        Self { keychain, item: Item { service: SERVICE.to_owned(), account: account.to_owned() } }
    }

    /// How a person finds the item.
    pub fn place(&self) -> String {
        format!("keychain://{}/{}", self.item.service, self.item.account)
    }

    /// Whether it is there. A keychain that cannot be asked is an error.
    pub fn exists(&self) -> Result<bool, MachineKeyError> {
        match self.line() {
            Ok(_) => Ok(true),
            Err(MachineKeyError::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes it; says whether it was there. What it sealed is gone then.
    pub fn remove(&self) -> Result<bool, MachineKeyError> {
        self.keychain.remove(&self.item).map_err(|error| self.error(error))
    }

    fn line(&self) -> Result<Secret, MachineKeyError> {
        let answer = self.keychain.read(std::slice::from_ref(&self.item));
        answer
            .and_then(|mut answers| answers.pop().unwrap_or(Err(KeychainError::NotFound)))
            .map_err(|error| self.error(error))
    }

    fn error(&self, error: KeychainError) -> MachineKeyError {
        let place = self.place();
        match error {
            KeychainError::NotFound => MachineKeyError::Missing { place },
            KeychainError::Locked => MachineKeyError::Locked { place },
            other => {
                let fix = match other {
                    KeychainError::Absent { .. } => WITHOUT,
                    _ => other.hint().unwrap_or("run the command again"),
                };
                let fix = fix.to_owned();
                MachineKeyError::Unavailable { place, why: other.to_string(), fix }
            }
        }
    }
}

impl MachineSecret for KeychainSecret {
    fn source(&self) -> &'static str {
        "keychain"
    }

    fn load(&self) -> Result<Secret, MachineKeyError> {
        let line = self.line()?;
        decode(line.expose()).ok_or_else(|| MachineKeyError::Malformed { place: self.place() })
    }

    fn create(&self) -> Result<(), MachineKeyError> {
        if self.exists()? {
            return Err(MachineKeyError::Exists { place: self.place() });
        }
        self.keychain.write(&self.item, new_line()?).map_err(|error| self.error(error))
    }
}
