//! Signed statements about the chain: what it was when somebody with the machine's key saw it.
//!
//! The chain alone cannot show that its end was cut off or that all of it was written anew. A
//! statement can: it names a record and its hash, and whoever has the files but not the key cannot
//! make another. As each hash covers all before it, one statement vouches for every record up to its
//! `last`.
//!
//! Statements stand in the chain, where a segment ends ([`Says::Ended`]) and where segments were
//! removed ([`Says::Removed`]), and one stands beside it, in [`Says::SoFar`], for the segment that is
//! being written.

use std::fmt;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::chain::Hash;

/// What a statement says of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// The segment ended with record `last`, whose hash is `head`: it is not written on.
    Ended,
    /// The segment went as far as record `last`.
    SoFar,
    /// Every record up to `last` was removed, as the configuration says.
    Removed,
}

/// A statement, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// What it says.
    pub says: Says,
    /// The segment; where several were removed, the last of them.
    pub segment: String,
    /// The first record that it is about.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// The hash of the last one.
    pub head: Hash,
}

/// A statement with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// What is stated.
    #[serde(flatten)]
    pub statement: Statement,
    /// Who signed: an Ed25519 public key (RFC 8032).
    pub key: Octets<32>,
    /// The Ed25519 signature of [`Statement::message`].
    pub signature: Octets<64>,
}

/// Bytes that are written as lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Octets<const N: usize>(pub [u8; N]);

impl Says {
    /// The word for it in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::SoFar => "so_far",
            Self::Removed => "removed",
        }
    }
}

impl Statement {
    /// The bytes that are signed: a text of ours first, so that the signature means nothing
    /// anywhere else, and each part with its length.
    pub fn message(&self) -> Vec<u8> {
        let (first, last) = (self.first.to_be_bytes(), self.last.to_be_bytes());
        let parts: [&[u8]; 6] = [
            b"strongroom audit checkpoint 1",
            self.says.as_str().as_bytes(),
            self.segment.as_bytes(),
            &first,
            &last,
            self.head.as_bytes(),
        ];
        let mut message = Vec::with_capacity(192);
        for part in parts {
            message.extend_from_slice(&(part.len() as u64).to_be_bytes());
            message.extend_from_slice(part);
        }
        message
    }
}

impl Checkpoint {
    /// Whether the key that it names made the signature. Whose key that is, is another question.
    pub fn verifies(&self) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, self.key.0);
        key.verify(&self.statement.message(), &self.signature.0).is_ok()
    }
}

impl<const N: usize> Octets<N> {
    /// Reads twice `N` lower-case hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        let mut octets = [0; N];
        if pairs.len() != N {
            return None;
        }
        for (octet, [high, low]) in octets.iter_mut().zip(pairs) {
            *octet = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(octets))
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl<const N: usize> fmt::Display for Octets<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl<const N: usize> fmt::Debug for Octets<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Octets({self})")
    }
}

impl<const N: usize> Serialize for Octets<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Octets<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| D::Error::custom("not the hex digits that are due"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use proptest::prelude::*;

    use super::*;

    /// A key of a test.
    pub(in super::super) fn key(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    pub(in super::super) fn public(key: &Ed25519KeyPair) -> Octets<32> {
        Octets(key.public_key().as_ref().try_into().unwrap())
    }

    pub(in super::super) fn signed(statement: Statement, key: &Ed25519KeyPair) -> Checkpoint {
        let signature = key.sign(&statement.message());
        let signature = Octets(signature.as_ref().try_into().unwrap());
        Checkpoint { statement, key: public(key), signature }
    }

    fn statement() -> Statement {
        Statement {
            says: Says::Ended,
            segment: "2026-03-15.jsonl".to_owned(),
            first: 1,
            last: 812,
            head: Hash::of(b"x"),
        }
    }

    #[test]
    fn a_signature_holds_for_every_part_of_its_statement() {
        let good = signed(statement(), &key(7));
        assert!(good.verifies());
        let changes: [fn(&mut Checkpoint); 7] = [
            |it| it.statement.says = Says::Removed,
            |it| it.statement.segment = "2026-03-16.jsonl".to_owned(),
            |it| it.statement.first = 2,
            |it| it.statement.last = 811,
            |it| it.statement.head = Hash::of(b"y"),
            |it| it.key = public(&key(8)),
            |it| it.signature.0[0] ^= 1,
        ];
        for change in changes {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(!bad.verifies(), "{bad:?}");
        }
    }

    #[test]
    fn it_reads_back_as_it_was_written() {
        let good = signed(statement(), &key(7));
        let text = serde_json::to_string(&good).unwrap();
        assert_eq!(serde_json::from_str::<Checkpoint>(&text).unwrap(), good);
        for bad in ["", "0", "00", &"G".repeat(64), &"A0".repeat(32), &"00".repeat(33)] {
            assert_eq!(Octets::<32>::from_hex(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn octets_come_back_from_their_digits(bytes in any::<[u8; 32]>()) {
            let octets = Octets(bytes);
            prop_assert_eq!(Octets::<32>::from_hex(&octets.to_string()), Some(octets));
        }

        #[test]
        fn two_statements_never_have_one_message(
            a in ("[a-z]{0,6}", 0..3_u64, 0..3_u64), b in ("[a-z]{0,6}", 0..3_u64, 0..3_u64)
        ) {
            let of = |(segment, first, last): &(String, u64, u64)| Statement {
                segment: segment.clone(), first: *first, last: *last, ..statement()
            };
            prop_assert_eq!(of(&a).message() == of(&b).message(), a == b);
        }
    }
}
