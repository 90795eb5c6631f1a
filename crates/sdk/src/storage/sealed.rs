//! Where there is no keychain: one sealed file a namespace (decision 22), of the same primitive as
//! the cache: AES-256-GCM under a key that follows from a random secret in a file of its own, 0600,
//! with the machine's id as salt.
//!
//! It keeps the secrets out of backups of single files and from other users. Who can read the folder
//! as this user, on this machine, can open it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use strongroom_model::secret::Secret;
use strongroom_seal::{
    FileError, FileSecret, Key, MachineId, MachineKeyError, MachineSecret as _, Place, SealError,
    SecureDir, envelope, machine_id,
};

use super::Backend;
use super::home::{Home, PATIENCE, file_of, turn};
use crate::error::Error;

const MAGIC: &[u8] = b"mcp-secrets sealed 1\n";
const KEY_FILE: &str = "machine.key";
const KEY_LOCK: &str = "machine.lock";

/// The largest file that is read, and written.
const LARGEST: usize = 64 << 20;

/// Bound to this machine's id; where a machine has none (a container), to none.
const BOUND: u8 = 1;
const UNBOUND: u8 = 0;

const NOT_OURS: Error = Error::Damaged("the sealed file is not one that was written here");

pub(super) struct SealedFile {
    home: Home,
    secret: OnceLock<Arc<Secret>>,
    /// The largest file, in bytes.
    most: usize,
}

type Items = BTreeMap<String, Arc<Secret>>;

impl SealedFile {
    pub(super) fn new(home: Home) -> Self {
        Self { home, secret: OnceLock::new(), most: LARGEST }
    }

    fn read(&self, service: &str) -> Result<Items, Error> {
        let dir = match SecureDir::open(self.home.path()) {
            Err(FileError::Missing { .. }) => return Ok(Items::new()),
            other => other?,
        };
        let bytes = match dir.read(&file_name(service), self.most) {
            Ok(bytes) => bytes,
            Err(FileError::Missing { .. }) => return Ok(Items::new()),
            Err(error) => return Err(error.into()),
        };
        let rest = bytes.strip_prefix(MAGIC).ok_or(NOT_OURS)?;
        let (bound, sealed) = rest.split_first().ok_or(NOT_OURS)?;
        let key = self.key(&dir, *bound, false)?;
        let plain = envelope::open(&key, &place(service, *bound), sealed).map_err(|_| NOT_OURS)?;
        decode(&plain).ok_or(NOT_OURS)
    }

    fn write(&self, service: &str, items: &Items) -> Result<(), Error> {
        let dir = self.home.dir()?;
        if items.is_empty() {
            dir.remove(&file_name(service))?;
            return Ok(());
        }
        let bound = if this_machine().is_some() { BOUND } else { UNBOUND };
        let key = self.key(&dir, bound, true)?;
        let sealed = envelope::seal(&key, &place(service, bound), &encode(items));
        let sealed = sealed.map_err(|error| match error {
            SealError::Random(_) => Error::Random,
            SealError::Format(_) => Error::Damaged("the format of the sealed file is not known"),
        })?;
        let bytes = [MAGIC, &[bound], &sealed].concat();
        // What is written is read again: a file that is too large would have lost everything.
        if bytes.len() > self.most {
            let path = dir.path().join(file_name(service));
            return Err(FileError::Large { path, max: self.most }.into());
        }
        Ok(dir.write_atomic(&file_name(service), &bytes)?)
    }

    fn key(&self, dir: &SecureDir, bound: u8, make: bool) -> Result<Key, Error> {
        let id = match bound {
            BOUND => this_machine().ok_or(NOT_OURS)?,
            UNBOUND => MachineId::parse(&"0".repeat(32)).ok_or(NOT_OURS)?,
            _ => return Err(NOT_OURS),
        };
        if self.secret.get().is_none() {
            let secret = Arc::new(load(dir, make)?);
            drop(self.secret.set(secret));
        }
        let secret = self.secret.get().expect("it has just been set");
        Ok(Key::of_cache(secret, &id, "mcp-secrets"))
    }
}

impl Backend for SealedFile {
    fn get(&self, service: &str, accounts: &[&str]) -> Result<Vec<Option<Secret>>, Error> {
        let mut items = self.read(service)?;
        let value = |account: &&str| items.remove(*account).and_then(Arc::into_inner);
        Ok(accounts.iter().map(value).collect())
    }

    fn set(&self, service: &str, account: &str, value: Arc<Secret>) -> Result<(), Error> {
        let mut items = self.read(service)?;
        items.insert(account.to_owned(), value);
        self.write(service, &items)
    }

    fn delete(&self, service: &str, account: &str) -> Result<bool, Error> {
        let mut items = self.read(service)?;
        let deleted = items.remove(account).is_some();
        if deleted {
            self.write(service, &items)?;
        }
        Ok(deleted)
    }

    fn accounts(&self, service: &str) -> Result<Option<Vec<String>>, Error> {
        Ok(Some(self.read(service)?.into_keys().collect()))
    }

    fn largest(&self) -> Option<usize> {
        None
    }
}

/// The secret that the keys follow from. It is made once, and never anew where something was sealed.
fn load(dir: &SecureDir, make: bool) -> Result<Secret, Error> {
    let file = FileSecret::new(SecureDir::open(dir.path())?, KEY_FILE);
    // Whoever makes it has the lock, so that nobody reads half of it.
    let _turn = turn(dir, KEY_LOCK, PATIENCE)?;
    match file.load() {
        Err(MachineKeyError::Missing { .. }) if make => {}
        other => return other.map_err(key_error),
    }
    if dir.names()?.iter().any(|name| name.ends_with(".sealed")) {
        return Err(Error::Damaged("the key of the sealed files is gone"));
    }
    file.create().and_then(|()| file.load()).map_err(key_error)
}

fn key_error(error: MachineKeyError) -> Error {
    match error {
        MachineKeyError::File(error) => error.into(),
        MachineKeyError::Random(error) => error.into(),
        MachineKeyError::Missing { .. } => Error::Damaged("the key of the sealed files is gone"),
        _ => Error::Damaged("the key of the sealed files is not a key"),
    }
}

fn this_machine() -> Option<MachineId> {
    // Only Linux comes here, where no program is asked.
    machine_id(&|_, _| Err(std::io::ErrorKind::Unsupported.into())).ok()
}

fn file_name(service: &str) -> String {
    format!("{}.sealed", file_of(service))
}

fn place(service: &str, bound: u8) -> Place<'_> {
    Place {
        app: "mcp-secrets",
        format: envelope::FORMAT,
        key_id: if bound == BOUND { "machine" } else { "no machine" },
        tenant: "local",
        row: service,
        service,
        kind: "secrets",
        version: 1,
    }
}

/// Pairs of name and value, each with its length before it.
fn encode(items: &Items) -> Secret {
    let size = items.iter().map(|(name, value)| 8 + name.len() + value.len()).sum();
    let mut out = Vec::with_capacity(size);
    let mut part = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).expect("names and values are bounded");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(bytes);
    };
    for (name, value) in items {
        part(name.as_bytes());
        part(value.expose());
    }
    Secret::new(out)
}

fn decode(plain: &Secret) -> Option<Items> {
    let mut rest = plain.expose();
    let mut items = Items::new();
    while !rest.is_empty() {
        let name = String::from_utf8(take(&mut rest)?.to_vec()).ok()?;
        items.insert(name, Arc::new(Secret::new(take(&mut rest)?.to_vec())));
    }
    Some(items)
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (part, after) =
        after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::for_tests::{Place as Rig, secret, text};

    #[test]
    fn a_value_that_would_make_the_file_too_large_to_be_read_is_refused_and_the_others_stay() {
        let rig = Rig::new(&[]);
        let home = Home::of(&rig.surroundings.environment).unwrap();
        let file = SealedFile { most: 1_000, ..SealedFile::new(home) };
        let set = |account: &str, size| file.set("s", account, Arc::new(secret(&"x".repeat(size))));
        set("a", 400).unwrap();
        set("b", 400).unwrap();
        assert_eq!(set("c", 400).unwrap_err().code(), "storage_file");
        let found = file.get("s", &["a", "b", "c"]).unwrap();
        let found: Vec<_> = found.iter().map(|value| value.as_ref().map(Secret::len)).collect();
        assert_eq!(found, [Some(400), Some(400), None]);
        // It is full, and not for ever.
        assert!(file.delete("s", "a").unwrap());
        set("c", 400).unwrap();
        assert_eq!(text(file.get("s", &["c"]).unwrap()[0].as_ref().unwrap()).len(), 400);
    }
}
