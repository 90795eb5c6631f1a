//! Values that are larger than an item may be, in parts.
//!
//! Windows' items take 2560 bytes of UTF-16. Where a value has more, its item says how many parts
//! there are and what they add up to, and the parts are items of their own. A new value is written
//! beside the old one, in the other of two generations, and is the value from the moment at which
//! the item says so.

use strongroom_model::secret::Secret;
use strongroom_seal::{hex, sha256};

use crate::error::Error;

/// How the item of a value in parts begins. A value that itself begins so is kept in parts, however
/// short.
const HEAD: &str = "mcp-secrets value in parts: ";

/// What the item of a value in parts says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// 0 or 1: which of the two sets of parts it is.
    pub(super) generation: u8,
    /// How many parts there are.
    pub(super) count: usize,
    /// The SHA-256 of the value, in hexadecimal.
    digest: String,
}

impl Head {
    /// What this item says; `None` where it is a value.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let rest = std::str::from_utf8(text).ok()?.strip_prefix(HEAD)?;
        let mut words = rest.split(' ');
        let generation = words.next()?.parse().ok().filter(|generation| *generation < 2)?;
        let count = words.next()?.parse().ok().filter(|count| (1..=MOST).contains(count))?;
        let digest = words.next().filter(|digest| digest.len() == 64)?.to_owned();
        words.next().is_none().then_some(Self { generation, count, digest })
    }

    /// The text of the item.
    pub(super) fn text(&self) -> Secret {
        let Self { generation, count, digest } = self;
        Secret::new(format!("{HEAD}{generation} {count} {digest}").into_bytes())
    }

    /// The value of these parts; `None` where they are not what was written.
    pub(super) fn join(&self, parts: &[Secret]) -> Option<Secret> {
        let mut value = Vec::with_capacity(parts.iter().map(Secret::len).sum());
        for part in parts {
            value.extend_from_slice(part.expose());
        }
        let value = Secret::new(value);
        (hex(&sha256(value.expose())) == self.digest).then_some(value)
    }
}

/// More parts than any value has.
const MOST: usize = 1024;

/// The account of a part of the secret `name`.
pub(super) fn account(name: &str, generation: u8, part: usize) -> String {
    format!("__part__{generation}.{part}.{name}")
}

/// `value` in parts of at most `largest` bytes of UTF-16, for the generation that is not that of
/// `old`; `None` where it is kept as it is.
pub(super) fn split(
    value: &Secret,
    largest: usize,
    old: Option<&Head>,
) -> Result<Option<(Head, Vec<Secret>)>, Error> {
    let text = std::str::from_utf8(value.expose())
        .map_err(|_| Error::Damaged("a value in parts is not text"))?;
    if text.encode_utf16().count() * 2 <= largest && !text.starts_with(HEAD) {
        return Ok(None);
    }
    let mut parts = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, c) in text.char_indices() {
        let more = c.len_utf16() * 2;
        if size + more > largest {
            parts.push(Secret::new(text.as_bytes()[start..at].to_vec()));
            (start, size) = (at, 0);
        }
        size += more;
    }
    parts.push(Secret::new(text.as_bytes()[start..].to_vec()));
    let head = Head {
        generation: old.map_or(0, |old| 1 - old.generation),
        count: parts.len(),
        digest: hex(&sha256(text.as_bytes())),
    };
    Ok(Some((head, parts)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    fn parts_of(text: &str, largest: usize) -> Option<(Head, Vec<Secret>)> {
        split(&secret(text), largest, None).unwrap()
    }

    #[test]
    fn what_fits_is_kept_as_it_is() {
        assert!(parts_of(&"x".repeat(1280), 2560).is_none());
        assert!(parts_of(&"𝄞".repeat(640), 2560).is_none());
        assert_eq!(parts_of(&"x".repeat(1281), 2560).unwrap().0.count, 2);
        assert_eq!(parts_of(&"𝄞".repeat(641), 2560).unwrap().0.count, 2);
    }

    #[test]
    fn a_value_that_looks_like_the_item_of_one_in_parts_comes_back() {
        let value = Head { generation: 0, count: 1, digest: "0".repeat(64) }.text();
        let (head, parts) = split(&value, 2560, None).unwrap().unwrap();
        assert!(head.join(&parts).unwrap().ct_eq(&value));
    }

    #[test]
    fn only_what_we_write_is_taken_for_the_item_of_a_value_in_parts() {
        let digest = "0".repeat(64);
        assert!(Head::parse(format!("{HEAD}1 2 {digest}").as_bytes()).is_some());
        for text in [
            format!("{HEAD}2 2 {digest}"),
            format!("{HEAD}0 0 {digest}"),
            format!("{HEAD}0 1025 {digest}"),
            format!("{HEAD}0 99999999999999999999 {digest}"),
            format!("{HEAD}0 2 {digest} "),
            format!("{HEAD}0 2"),
            "a value".to_owned(),
        ] {
            assert_eq!(Head::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn parts_that_are_not_those_that_were_written_are_no_value() {
        let (head, mut parts) = parts_of(&"x".repeat(20), 8).unwrap();
        parts.pop();
        assert!(head.join(&parts).is_none());
    }

    proptest! {
        #[test]
        fn a_value_comes_back_from_parts_that_all_fit(
            text in "\\PC{0,80}", largest in 4_usize..64, old in proptest::option::of(0_u8..2),
        ) {
            let old = old.map(|generation| Head { generation, count: 1, digest: "0".repeat(64) });
            let value = secret(&text);
            match split(&value, largest, old.as_ref()).unwrap() {
                None => prop_assert!(text.encode_utf16().count() * 2 <= largest),
                Some((head, parts)) => {
                    prop_assert_ne!(Some(head.generation), old.map(|old| old.generation));
                    for part in &parts {
                        let part = std::str::from_utf8(part.expose()).unwrap();
                        prop_assert!(part.encode_utf16().count() * 2 <= largest);
                    }
                    prop_assert_eq!(Head::parse(head.text().expose()), Some(head.clone()));
                    prop_assert!(head.join(&parts).unwrap().ct_eq(&value));
                }
            }
        }
    }
}
