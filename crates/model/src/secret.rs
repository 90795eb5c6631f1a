//! Secret bytes: one type, one exit.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Secret bytes, wiped on drop.
///
/// What is missing is the point: no `Clone`, `Deref`, `Display`, `PartialEq` or `Serialize`. Each
/// would let a secret be copied, printed or compared in variable time by a line of code that does
/// not look dangerous. The only way out is [`expose`](Self::expose); `cargo xtask tidy` counts its
/// call sites.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes ownership of `bytes`. No copy is made; the caller's buffer becomes ours to wipe.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The plaintext. Borrow it for one expression; never bind it to a name that outlives one.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Compares in time that depends on the lengths only.
    pub fn ct_eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none. An empty secret is never a credential: callers refuse it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debugging_a_secret_shows_nothing_of_it() {
        assert_eq!(format!("{:?}", Secret::new(b"canary".to_vec())), "Secret(..)");
    }

    #[test]
    fn equality_looks_at_every_byte_and_the_length() {
        let secret = Secret::new(b"canary".to_vec());
        assert!(secret.ct_eq(&Secret::new(b"canary".to_vec())));
        assert!(!secret.ct_eq(&Secret::new(b"canarz".to_vec())));
        assert!(!secret.ct_eq(&Secret::new(b"canar".to_vec())));
    }
}
