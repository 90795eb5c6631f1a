//! 32 secret bytes as one line of text: `<prefix><base64url>_<checksum>` and a line feed.
//!
//! Exactly this form is accepted: a key that went through an editor, a terminal or another encoding
//! is noticed, and one kind of key is never taken for another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use strongroom_model::secret::Secret;
use zeroize::Zeroizing;

use crate::key::{KEY_LEN, RandomError, hex, random, sha256};

/// Bytes of a line.
pub(crate) const LENGTH: usize = PREFIX + ENCODED + 1 + CHECKSUM + 1;

/// A kind of line, by its prefix.
#[derive(Clone, Copy)]
pub(crate) struct Line(&'static str);

const PREFIX: usize = 4;
/// Characters of 32 bytes in base64url.
const ENCODED: usize = 43;
const CHECKSUM: usize = 8;

impl Line {
    /// The lines that begin with `prefix`.
    pub(crate) const fn new(prefix: &'static str) -> Self {
        assert!(prefix.len() == PREFIX, "the prefixes of lines are equally long");
        Self(prefix)
    }

    /// A new random secret.
    pub(crate) fn generate(self) -> Result<Secret, RandomError> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        random(&mut *bytes)?;
        Ok(Secret::new(std::mem::take(&mut *self.encode(&bytes)).into_bytes()))
    }

    /// The secret of a line; `None` for anything else.
    pub(crate) fn decode(self, line: &[u8]) -> Option<Secret> {
        let line = line.strip_suffix(b"\n").filter(|_| line.len() == LENGTH)?;
        let (body, rest) = line.split_at(PREFIX + ENCODED);
        let rest = rest.strip_prefix(b"_")?;
        if checksum(body).as_bytes() != rest {
            return None;
        }
        let mut bytes = Zeroizing::new(vec![0; KEY_LEN]);
        let length = URL_SAFE_NO_PAD
            .decode_slice(body.strip_prefix(self.0.as_bytes())?, &mut bytes)
            .ok()
            .filter(|length| *length == KEY_LEN && bytes.iter().any(|byte| *byte != 0))?;
        debug_assert_eq!(length, KEY_LEN);
        Some(Secret::new(std::mem::take(&mut *bytes)))
    }

    fn encode(self, bytes: &[u8; KEY_LEN]) -> Zeroizing<String> {
        let mut line = Zeroizing::new(String::with_capacity(LENGTH));
        line.push_str(self.0);
        URL_SAFE_NO_PAD.encode_string(bytes, &mut line);
        let checksum = checksum(line.as_bytes());
        line.push('_');
        line.push_str(&checksum);
        line.push('\n');
        line
    }
}

/// Tells a slip from a key. It is no secret: 32 bits of a hash over 256 random ones.
fn checksum(body: &[u8]) -> String {
    hex(&sha256(body)[..CHECKSUM / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SR1: Line = Line::new("sr1_");

    /// CR-07.
    #[test]
    fn exactly_one_encoding_is_accepted() {
        let bytes: [u8; 32] = std::array::from_fn(|i| u8::try_from(i + 1).unwrap());
        let good = SR1.encode(&bytes).to_string();
        let base64 = URL_SAFE_NO_PAD.encode(bytes);
        let with_checksum = |body: String| format!("{body}_{}\n", checksum(body.as_bytes()));
        let trailing_bits = format!("{}9", &base64[..42]);
        let bad = [
            String::new(),
            "\n".into(),
            good.trim_end().into(),
            format!("{good}\n"),
            good.replace('\n', "\r\n"),
            format!(" {good}"),
            good.to_uppercase(),
            good.replace("sr1_", "sr2_"),
            good.replace("sr1_", ""),
            format!("{base64}\n"),
            format!("{base64}=\n"),
            hex(&bytes),
            String::from_utf8(bytes.to_vec()).unwrap(),
            with_checksum(format!("sr1_{trailing_bits}")),
            with_checksum(format!("sr1_{}", URL_SAFE_NO_PAD.encode([0; 32]))),
            with_checksum(format!("sr1_{}", URL_SAFE_NO_PAD.encode(&bytes[..31]))),
            with_checksum(format!("sr1_{}", URL_SAFE_NO_PAD.encode([7; 33]))),
            with_checksum(format!("sr2_{base64}")),
        ];
        for text in bad {
            assert!(SR1.decode(text.as_bytes()).is_none(), "{text:?}");
        }
        for position in 0..good.len() {
            let mut flipped = good.clone().into_bytes();
            flipped[position] ^= 1;
            assert!(SR1.decode(&flipped).is_none(), "{position}");
        }
        assert_eq!(SR1.decode(good.as_bytes()).unwrap().expose(), bytes);
    }
}
