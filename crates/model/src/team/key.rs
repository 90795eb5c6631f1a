//! Keys of callers, and the one form of their texts.
//!
//! `mcp_<id>_<secret>` for an API key, `krn_<id>_<secret>` for a kernel's: the id is public and finds
//! the key, the secret has 256 random bits in base64url without padding (decision 34).

use std::fmt;
use std::time::SystemTime;

use super::id::KeyId;
use super::scope::Scopes;
use super::{OrganizationId, TenantId};

/// A key whose holder acts for one tenant, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public id.
    pub id: KeyId,
    /// The tenant.
    pub tenant: TenantId,
    /// What people call it.
    pub name: String,
    /// What its holder may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created: SystemTime,
    /// From when on it is refused.
    pub expires: Option<SystemTime>,
    /// Whether it is let in.
    pub enabled: bool,
    /// When it was last let in; a minute or so behind.
    pub last_used: Option<SystemTime>,
}

/// A key whose holder acts for any tenant of one organization, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelKey {
    /// Its public id.
    pub id: KeyId,
    /// The organization.
    pub organization: OrganizationId,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub created: SystemTime,
    /// Whether it is let in.
    pub enabled: bool,
    /// Whether every request has to be signed, and the secret is never sent.
    pub require_signature: bool,
    /// When it was last let in; a minute or so behind.
    pub last_used: Option<SystemTime>,
}

/// Which kind of key a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// `mcp_`
    Api,
    /// `krn_`
    Kernel,
}

/// The text of a key, taken apart. The secret part is borrowed and never shown.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    /// The public part.
    pub id: KeyId,
    /// The secret part: 43 characters of base64url.
    pub secret: &'a [u8],
}

/// Characters of the secret part.
const SECRET: usize = 43;

impl KeyKind {
    /// What the text of such a key starts with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Api => "mcp_",
            Self::Kernel => "krn_",
        }
    }

    /// Takes the text of a key apart; `None` for anything that is not exactly one of this kind.
    pub fn parse(self, text: &[u8]) -> Option<Token<'_>> {
        let rest = text.strip_prefix(self.prefix().as_bytes())?;
        let (id, rest) = rest.split_at_checked(16)?;
        let secret = rest.strip_prefix(b"_")?;
        let id = std::str::from_utf8(id).ok()?.parse().ok()?;
        let (last, all) = (secret.last()?, secret.iter().all(|byte| is_base64url(*byte)));
        // 43 characters hold 258 bits: the last two are zero in the one spelling.
        let exact = secret.len() == SECRET && b"AEIMQUYcgkosw048".contains(last);
        (all && exact).then_some(Token { id, secret })
    }

    /// The id in `krn_<id>`, which a kernel that signs its requests sends without the secret.
    pub fn parse_public(self, text: &str) -> Option<KeyId> {
        text.strip_prefix(self.prefix())?.parse().ok()
    }
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "mcp_0123456789abcdef_AAAAAAAAAAbbbbbbbbbbCCCCCCCCCCdddddddddd-_E";

    #[test]
    fn the_text_of_a_key_has_one_form() {
        let token = KeyKind::Api.parse(GOOD.as_bytes()).unwrap();
        assert_eq!((token.id.as_str(), token.secret.len()), ("0123456789abcdef", 43));
        assert!(KeyKind::Kernel.parse(GOOD.as_bytes()).is_none());
        assert!(KeyKind::Kernel.parse(GOOD.replace("mcp_", "krn_").as_bytes()).is_some());
        for bad in [
            "",
            "mcp_",
            "mcp_0123456789abcdef",
            "mcp_0123456789abcdef_",
            &GOOD.to_uppercase(),
            &GOOD.replace("_E", "_F"),
            &GOOD.replace("_E", "E"),
            &GOOD.replace("-_E", "-_EA"),
            &GOOD.replace("-_E", "+/E"),
            &GOOD.replace("-_E", "-_="),
            &format!(" {GOOD}"),
            &format!("{GOOD}\n"),
            &GOOD.replace("0123456789abcdef", "0123456789ABCDEF"),
            &GOOD.replace("mcp_", "mcp-"),
        ] {
            assert!(KeyKind::Api.parse(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(KeyKind::Api.parse(&[0xff; 64]).is_none());
    }

    #[test]
    fn a_kernel_that_signs_sends_its_id_alone() {
        let id = KeyKind::Kernel.parse_public("krn_0123456789abcdef").unwrap();
        assert_eq!(id.as_str(), "0123456789abcdef");
        for bad in ["0123456789abcdef", "mcp_0123456789abcdef", "krn_0123456789abcdef_", "krn_"] {
            assert!(KeyKind::Kernel.parse_public(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_token_shows_its_id_and_no_more() {
        let shown = format!("{:?}", KeyKind::Api.parse(GOOD.as_bytes()).unwrap());
        assert!(shown.contains("0123456789abcdef") && !shown.contains("AAAA"), "{shown}");
    }
}
