//! Ids: each has one spelling.

use std::fmt;
use std::str::FromStr;

/// A text that is not an id. It is not repeated: it may be a pasted secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: {0}")]
pub struct IdError(&'static str);

/// Ids that are random UUIDs (RFC 9562, version 4), in lower case with hyphens and in no other
/// spelling.
macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 36]);

        impl $name {
            /// The id of 16 random bytes.
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(uuid_text(bytes))
            }

            /// The 16 bytes.
            pub fn bytes(&self) -> [u8; 16] {
                uuid_bytes(&self.0)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(&self.0).expect("an id is ASCII")
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_uuid(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )*};
}

uuid_id! {
    /// Names an organization.
    OrganizationId;
    /// Names a tenant.
    TenantId;
    /// Names the row of a server; the tenant's own name for it is its `server_id`.
    ServerId;
    /// Names a stored credential.
    CredentialId;
    /// Names the row of a service.
    ServiceId;
}

impl TenantId {
    /// Stands for the installation where a record of the audit is no tenant's. No text is read as it,
    /// so nobody can ask for it by its id.
    pub const INSTALLATION: Self = Self(*b"00000000-0000-0000-0000-000000000000");
}

/// The public part of a key: 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// The id of 8 random bytes.
    pub fn from_random(bytes: [u8; 8]) -> Self {
        let mut text = [0; 16];
        for (at, byte) in bytes.into_iter().enumerate() {
            text[2 * at] = DIGITS[usize::from(byte >> 4)];
            text[2 * at + 1] = DIGITS[usize::from(byte & 15)];
        }
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an id is ASCII")
    }
}

impl FromStr for KeyId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let wrong = IdError("a key's id has 16 lower-case hexadecimal digits");
        let bytes: [u8; 16] = text.as_bytes().try_into().map_err(|_| wrong)?;
        if bytes.iter().all(|byte| is_digit(*byte)) { Ok(Self(bytes)) } else { Err(wrong) }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn is_hyphen(at: usize) -> bool {
    matches!(at, 8 | 13 | 18 | 23)
}

fn parse_uuid(text: &str) -> Result<[u8; 36], IdError> {
    let wrong = IdError("it is no random UUID in lower case with hyphens");
    let bytes: [u8; 36] = text.as_bytes().try_into().map_err(|_| wrong)?;
    let shaped = bytes.iter().enumerate().all(|(at, byte)| match at {
        _ if is_hyphen(at) => *byte == b'-',
        14 => *byte == b'4',
        19 => matches!(byte, b'8' | b'9' | b'a' | b'b'),
        _ => is_digit(*byte),
    });
    if shaped { Ok(bytes) } else { Err(wrong) }
}

fn uuid_text(mut bytes: [u8; 16]) -> [u8; 36] {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut digits =
        bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|n| DIGITS[usize::from(n)]);
    let mut text = [b'-'; 36];
    for (_, place) in text.iter_mut().enumerate().filter(|(at, _)| !is_hyphen(*at)) {
        *place = digits.next().expect("32 digits in 32 places");
    }
    text
}

fn uuid_bytes(text: &[u8; 36]) -> [u8; 16] {
    let value = |digit: u8| if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 };
    let mut digits =
        text.iter().enumerate().filter(|(at, _)| !is_hyphen(*at)).map(|(_, digit)| value(*digit));
    std::array::from_fn(|_| {
        let high = digits.next().expect("32 digits");
        high << 4 | digits.next().expect("32 digits")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let good = "2f1c3a4e-0b5d-4c6e-8f70-112233445566";
        assert_eq!(good.parse::<TenantId>().unwrap().to_string(), good);
        for bad in [
            "",
            "2F1C3A4E-0B5D-4C6E-8F70-112233445566",
            "2f1c3a4e0b5d4c6e8f70112233445566",
            "{2f1c3a4e-0b5d-4c6e-8f70-112233445566}",
            "urn:uuid:2f1c3a4e-0b5d-4c6e-8f70-112233445566",
            " 2f1c3a4e-0b5d-4c6e-8f70-112233445566",
            "2f1c3a4e-0b5d-4c6e-8f70-11223344556",
            "2f1c3a4e-0b5d-1c6e-8f70-112233445566",
            "2f1c3a4e-0b5d-4c6e-cf70-112233445566",
            "00000000-0000-0000-0000-000000000000",
            "2f1c3a4e-0b5d-4c6e-8f70-11223344556' OR '1'='1",
        ] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_id_of_a_key_has_one_spelling() {
        assert_eq!("0123456789abcdef".parse::<KeyId>().unwrap().as_str(), "0123456789abcdef");
        for bad in
            ["", "0123456789ABCDEF", "0123456789abcde", "0123456789abcdefa", "g123456789abcdef"]
        {
            assert!(bad.parse::<KeyId>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn random_bytes_make_an_id_that_is_read_back(bytes: [u8; 16], short: [u8; 8]) {
            let id = ServerId::from_random(bytes);
            prop_assert_eq!(id.as_str().parse::<ServerId>().unwrap(), id);
            prop_assert_eq!(ServerId::from_random(id.bytes()), id);
            let key = KeyId::from_random(short);
            prop_assert_eq!(key.as_str().parse::<KeyId>().unwrap(), key);
        }
    }
}
