//! Seals values and keeps files: what is sealed, and why, is the caller's matter.
//!
//! [`envelope`] seals a value under a [`Key`](key::Key) and binds it to its [`Place`]; [`kek`]
//! wraps such keys, here or by somebody who is asked to; [`machine`] keeps the secret that the machine's own wrapping key is derived
//! from; [`file`] opens directories and files that nobody else can read, write or swap.
//!
//! All cryptography is AES-256-GCM, HKDF-SHA256, HMAC-SHA256 and Ed25519 of aws-lc-rs.

pub mod envelope;
pub mod file;
pub mod kek;
pub mod key;
mod line;
pub mod machine;
pub mod sign;
pub mod signing;

pub use envelope::{IntegrityError, Place, SealError, open, open_tag_first, open_unbound, seal};
pub use file::{FileError, Guard, SecureDir};
pub use kek::{Kek, KekError, KekRing, KekSourceError, LocalKek, MachineKek, TeamKek, Wrapped};
pub use key::{Key, KeyError, MacKey, RandomError, hex, random, sha256, sha256_of};
pub use machine::{
    FileSecret, MachineId, MachineIdError, MachineKeyError, MachineSecret, machine_id,
};
pub use signing::SigningKey;
