//! The Secret Service of the session's D-Bus: gnome-keyring, `KWallet`, `KeePassXC`.
//!
//! The store of `keyring-core` for it is passed by: it unlocks what it finds, which opens a prompt
//! and waits, and it takes the bus from this process's environment. Below both is the same library.

use std::collections::HashMap;
use std::ffi::OsString;

use secret_service::blocking::{Collection, Item as Found, SecretService};
use secret_service::{EncryptionType, Error};
use strongroom_model::secret::Secret;
use strongroom_process::runtime_directory;
use zbus::blocking::connection::Builder;

use super::{Answers, DEADLINE, Item, KeychainError, Waited};

/// The address of the session's bus, where there is one.
#[derive(Clone, Debug)]
pub(super) struct Place(Option<String>);

impl Place {
    pub(super) fn new(variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let address = set("DBUS_SESSION_BUS_ADDRESS").and_then(|text| text.into_string().ok());
        // Its usual place, where the variable is not told.
        let usual = || {
            let bus = runtime_directory(set("XDG_RUNTIME_DIR").as_deref())?.join("bus");
            Some(format!("unix:path={}", bus.to_str()?))
        };
        Self(address.or_else(usual))
    }
}

pub(super) fn read(place: &Place, items: &[Item]) -> Result<Answers, KeychainError> {
    let service = connect(place)?;
    let value = |item: &Item| match find(&service, item)? {
        Some(found) => found.get_secret().map(Secret::new).map_err(|error| of_library(&error)),
        None => Err(KeychainError::NotFound),
    };
    Ok(items.iter().map(value).collect())
}

pub(super) fn write(
    place: &Place,
    item: &Item,
    secret: &Secret,
    waited: &Waited,
) -> Result<(), KeychainError> {
    let service = connect(place)?;
    let stored = if let Some(found) = find(&service, item)? {
        waited.still()?;
        found.set_secret(secret.expose(), CONTENT_TYPE)
    } else {
        let collection = default_collection(&service)?.ok_or(NO_COLLECTION)?;
        let label = format!("keyring:{}@{}", item.account, item.service);
        waited.still()?;
        let new =
            collection.create_item(&label, attributes(item), secret.expose(), false, CONTENT_TYPE);
        new.map(drop)
    };
    stored.map_err(|error| of_library(&error))
}

pub(super) fn remove(place: &Place, item: &Item, waited: &Waited) -> Result<(), KeychainError> {
    let service = connect(place)?;
    let found = find(&service, item)?.ok_or(KeychainError::NotFound)?;
    waited.still()?;
    found.delete().map_err(|error| of_library(&error))
}

pub(super) fn look(place: &Place) -> Result<(), KeychainError> {
    default_collection(&connect(place)?)?.map(drop).ok_or(NO_COLLECTION)
}

/// A connection and its session.
pub(super) struct Connection(SecretService<'static>);

impl Connection {
    pub(super) fn open(place: &Place) -> Result<Self, KeychainError> {
        connect(place).map(Self)
    }

    pub(super) fn look(&self) -> Result<(), KeychainError> {
        default_collection(&self.0)?.map(drop).ok_or(NO_COLLECTION)
    }

    pub(super) fn get(&self, item: &Item) -> Result<Option<Secret>, KeychainError> {
        let Some((found, _)) = self.all(item)?.split_first_by_age()? else { return Ok(None) };
        match found.get_secret().map_err(|error| of_library(&error)) {
            Ok(bytes) => Ok(Some(Secret::new(bytes))),
            // Somebody was faster.
            Err(KeychainError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// New items have the attributes of Python's `keyring`, so that its next write replaces them
    /// and makes no second one.
    pub(super) fn set(
        &self,
        item: &Item,
        secret: &Secret,
        waited: &Waited,
    ) -> Result<(), KeychainError> {
        let Some((newest, others)) = self.all(item)?.split_first_by_age()? else {
            let collection = default_collection(&self.0)?.ok_or(NO_COLLECTION)?;
            let label = format!("keyring:{}@{}", item.account, item.service);
            let mut attributes = attributes(item);
            attributes.extend(PYTHON);
            waited.still()?;
            let new =
                collection.create_item(&label, attributes, secret.expose(), true, CONTENT_TYPE);
            return new.map(drop).map_err(|error| of_library(&error));
        };
        waited.still()?;
        newest.set_secret(secret.expose(), CONTENT_TYPE).map_err(|error| of_library(&error))?;
        others.iter().try_for_each(|other| gone(other).map(drop))
    }

    pub(super) fn delete(&self, item: &Item, waited: &Waited) -> Result<bool, KeychainError> {
        let found = self.all(item)?.0;
        waited.still()?;
        found.iter().try_fold(false, |deleted, found| Ok(gone(found)? || deleted))
    }

    pub(super) fn accounts(&self, service: &str) -> Result<Option<Vec<String>>, KeychainError> {
        let mut accounts = Vec::new();
        for found in self.search(HashMap::from([("service", service)]))?.0 {
            match found.get_attributes().map_err(|error| of_library(&error)) {
                Ok(mut attributes) => accounts.extend(attributes.remove("username")),
                Err(KeychainError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        accounts.sort_unstable();
        accounts.dedup();
        Ok(Some(accounts))
    }

    fn all(&self, item: &Item) -> Result<Several<'_>, KeychainError> {
        self.search(attributes(item))
    }

    /// What is unlocked. Where something is there that is locked and nothing that is not, and where
    /// nobody can say, it is locked.
    fn search(&self, attributes: HashMap<&str, &str>) -> Result<Several<'_>, KeychainError> {
        let found = self.0.search_items(attributes).map_err(|error| of_library(&error))?;
        if found.unlocked.is_empty() {
            if !found.locked.is_empty() {
                return Err(KeychainError::Locked);
            }
            default_collection(&self.0)?;
        }
        Ok(Several(found.unlocked))
    }
}

/// Items of one name.
struct Several<'a>(Vec<Found<'a>>);

impl<'a> Several<'a> {
    /// The newest, and the others. Of two of one second it is Python's, which was written over ours.
    fn split_first_by_age(mut self) -> Result<Option<(Found<'a>, Vec<Found<'a>>)>, KeychainError> {
        if self.0.len() < 2 {
            return Ok(self.0.pop().map(|only| (only, Vec::new())));
        }
        let mut aged = Vec::with_capacity(self.0.len());
        for found in self.0 {
            let facts = found.get_modified().and_then(|modified| {
                Ok((modified, found.get_attributes()?.contains_key(PYTHON[0].0)))
            });
            match facts.map_err(|error| of_library(&error)) {
                Ok(facts) => aged.push((facts, found)),
                Err(KeychainError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        aged.sort_by_key(|(facts, _)| *facts);
        let newest = aged.pop().map(|(_, found)| found);
        Ok(newest.map(|newest| (newest, aged.into_iter().map(|(_, found)| found).collect())))
    }
}

/// Removes the item; says whether it was there.
fn gone(found: &Found<'_>) -> Result<bool, KeychainError> {
    match found.delete().map_err(|error| of_library(&error)) {
        Ok(()) => Ok(true),
        Err(KeychainError::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

fn connect(place: &Place) -> Result<SecretService<'static>, KeychainError> {
    let address = place.0.as_deref().ok_or(NO_BUS)?;
    let bus = Builder::address(address)
        .and_then(|builder| builder.method_timeout(DEADLINE).build())
        .map_err(|error| of_connecting(&error))?;
    SecretService::connect_with_existing(EncryptionType::Dh, bus)
        .map_err(|error| of_library(&error))
}

/// Only where nobody listens there is no bus. What else fails may be over at the next start, and who took it for
/// an absence would keep secrets elsewhere from then on.
fn of_connecting(error: &zbus::Error) -> KeychainError {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};

    match error {
        zbus::Error::Connection(error, _)
            if matches!(error.kind(), NotFound | ConnectionRefused) =>
        {
            NO_BUS
        }
        zbus::Error::InputOutput(error) if matches!(error.kind(), NotFound | ConnectionRefused) => {
            NO_BUS
        }
        zbus::Error::InputOutput(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            KeychainError::Slow
        }
        _ => KeychainError::Failed("the session bus cannot be reached"),
    }
}

/// The one item of this service and account, unlocked. `None`: nothing is known of one.
fn find<'a>(
    service: &'a SecretService<'_>,
    item: &Item,
) -> Result<Option<Found<'a>>, KeychainError> {
    let found = service.search_items(attributes(item)).map_err(|error| of_library(&error))?;
    let mut unlocked = found.unlocked;
    match (unlocked.len(), found.locked.len()) {
        (1, 0) => Ok(unlocked.pop()),
        (0, 1) => Err(KeychainError::Locked),
        // A collection that is locked may not even say what it has.
        (0, 0) => default_collection(service).map(|_| None),
        _ => Err(KeychainError::Ambiguous),
    }
}

/// Where new items go, unlocked.
fn default_collection<'a>(
    service: &'a SecretService<'_>,
) -> Result<Option<Collection<'a>>, KeychainError> {
    let collection = match service.get_default_collection() {
        Err(Error::NoResult) => return Ok(None),
        other => other.map_err(|error| of_library(&error))?,
    };
    if collection.is_locked().map_err(|error| of_library(&error))? {
        return Err(KeychainError::Locked);
    }
    Ok(Some(collection))
}

fn attributes(item: &Item) -> HashMap<&str, &str> {
    HashMap::from([("service", item.service.as_str()), ("username", item.account.as_str())])
}

fn of_library(error: &Error) -> KeychainError {
    match error {
        Error::Locked => KeychainError::Locked,
        Error::NoResult => KeychainError::NotFound,
        Error::Prompt | Error::PromptDisconnected => KeychainError::Denied,
        Error::Unavailable => NO_SERVICE,
        Error::Zbus(error) => of_bus(error),
        Error::ZbusFdo(error) => of_standard(error),
        Error::Crypto(_) | Error::Zvariant(_) => KeychainError::Failed("its answer does not fit"),
        _ => KeychainError::Failed("its answer is not understood"),
    }
}

fn of_bus(error: &zbus::Error) -> KeychainError {
    match error {
        zbus::Error::MethodError(name, ..) => of_name(name.as_str()),
        zbus::Error::FDO(error) => of_standard(error),
        zbus::Error::InterfaceNotFound => NO_SERVICE,
        zbus::Error::InputOutput(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            KeychainError::Slow
        }
        _ => KeychainError::Failed("the connection to it broke"),
    }
}

fn of_standard(error: &zbus::fdo::Error) -> KeychainError {
    match error {
        zbus::fdo::Error::ZBus(error) => of_bus(error),
        other => of_name(zbus::DBusError::name(other).as_str()),
    }
}

/// What an error of D-Bus or of the Secret Service means, by its name; its text is not looked at.
fn of_name(name: &str) -> KeychainError {
    match name {
        "org.freedesktop.Secret.Error.IsLocked" => KeychainError::Locked,
        "org.freedesktop.Secret.Error.NoSuchObject" => KeychainError::NotFound,
        "org.freedesktop.DBus.Error.ServiceUnknown"
        | "org.freedesktop.DBus.Error.NameHasNoOwner" => NO_SERVICE,
        "org.freedesktop.DBus.Error.AccessDenied" => KeychainError::Denied,
        "org.freedesktop.DBus.Error.NoReply" | "org.freedesktop.DBus.Error.Timeout" => {
            KeychainError::Slow
        }
        // It is to be started on demand, and does not start.
        name if name.starts_with("org.freedesktop.DBus.Error.Spawn.") => NO_SERVICE,
        _ => KeychainError::Failed("it reported an error"),
    }
}

const CONTENT_TYPE: &str = "text/plain";

/// What Python's `keyring` writes beside service and account.
const PYTHON: [(&str, &str); 2] =
    [("application", "Python keyring library"), ("xdg:schema", "org.freedesktop.Secret.Generic")];

const NO_BUS: KeychainError = KeychainError::Absent {
    why: "this session has no D-Bus (`DBUS_SESSION_BUS_ADDRESS`)",
    fix: "start it in a desktop session, or use `keyutils://`, `file://` or `local://` instead",
};
const NO_SERVICE: KeychainError = KeychainError::Absent {
    why: "no Secret Service answers on the session's D-Bus",
    fix: "install and start gnome-keyring, KWallet or KeePassXC, or use `keyutils://`, `file://` or `local://` instead",
};
const NO_COLLECTION: KeychainError = KeychainError::Absent {
    why: "the Secret Service has no default collection",
    fix: "log in to the desktop once, or run `gnome-keyring-daemon --unlock` with a new password on its stdin",
};

#[cfg(test)]
mod tests {
    use super::*;

    fn place(variables: &[(&str, &str)]) -> Option<String> {
        let find = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        Place::new(&find).0
    }

    #[test]
    fn the_bus_is_the_one_of_the_environment_that_was_passed_in() {
        let address = "unix:path=/tmp/bus";
        let runtime = ("XDG_RUNTIME_DIR", "/run/user/7");
        let usual = Some("unix:path=/run/user/7/bus".to_owned());
        assert_eq!(
            place(&[("DBUS_SESSION_BUS_ADDRESS", address), runtime]),
            Some(address.to_owned())
        );
        assert_eq!(place(&[runtime]), usual);
        assert_eq!(place(&[("DBUS_SESSION_BUS_ADDRESS", ""), runtime]), usual);
        let nowhere = ("XDG_RUNTIME_DIR", "relative");
        assert_eq!(place(&[nowhere]), None);
    }

    #[test]
    fn errors_are_told_by_their_names() {
        for (name, expected) in [
            ("org.freedesktop.Secret.Error.IsLocked", KeychainError::Locked),
            ("org.freedesktop.DBus.Error.ServiceUnknown", NO_SERVICE),
            ("org.freedesktop.DBus.Error.Spawn.ChildExited", NO_SERVICE),
            ("org.freedesktop.DBus.Error.NoReply", KeychainError::Slow),
            ("org.example.canary", KeychainError::Failed("it reported an error")),
        ] {
            assert_eq!(of_name(name), expected, "{name}");
        }
    }
}
