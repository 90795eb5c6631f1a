//! References: URIs that say where a secret lives.
//!
//! `scheme://path[#fragment]`. The grammar is strict and the same for every scheme: a reference that
//! parses prints back as the same text, has no empty and no dot segments, no control, bidirectional
//! or wildcard characters, and nothing in it is ever expanded (SC-05).

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Where a secret lives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    text: Box<str>,
    /// Length of the scheme.
    scheme: usize,
    /// Start of the fragment behind `#`, or the text's length.
    fragment: usize,
}

/// Not a reference. The input is never repeated: it may be a pasted secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefError {
    /// There is no `://`.
    #[error("a reference has the form `scheme://path`")]
    Form,
    /// The scheme is not one that Strongroom knows; perhaps the one named here was meant.
    #[error("the reference has an unknown scheme")]
    Scheme(Option<&'static str>),
    /// There is nothing behind `://`, or an empty segment.
    #[error("the reference has an empty part")]
    Empty,
    /// `.` or `..` as a segment.
    #[error("the reference has a dot segment")]
    Dots,
    /// A control, bidirectional, wildcard or template character, or white space at an end.
    #[error("the reference has a character that may not stand in one")]
    Character,
    /// Longer than 1,024 bytes.
    #[error("the reference is too long")]
    Long,
    /// The parts do not fit the scheme.
    #[error("{0}")]
    Shape(&'static str),
}

/// The schemes that exist, with the shape that a message shows.
pub const SCHEMES: [(&str, &str); 19] = [
    ("local", "local://NAME"),
    ("env", "env://NAME"),
    ("file", "file:///PATH"),
    ("op", "op://VAULT/ITEM/FIELD"),
    ("keychain", "keychain://SERVICE/ACCOUNT"),
    ("keyutils", "keyutils://SERVICE/ACCOUNT"),
    ("vault", "vault://MOUNT/PATH#FIELD"),
    ("aws-sm", "aws-sm://NAME#KEY"),
    ("aws-ssm", "aws-ssm://NAME"),
    ("gcp-sm", "gcp-sm://PROJECT/NAME"),
    ("azure-kv", "azure-kv://VAULT/NAME"),
    ("bw", "bw://SECRET-ID"),
    ("pass", "pass://NAME#FIELD"),
    ("keepass", "keepass://ENTRY#FIELD"),
    ("sops", "sops:///PATH#KEY"),
    ("age", "age:///PATH#KEY"),
    ("doppler", "doppler://PROJECT/CONFIG/NAME"),
    ("infisical", "infisical://PROJECT/ENVIRONMENT/NAME"),
    ("cmd", "cmd://NAME"),
];

/// Whether there are references of this scheme.
pub fn is_scheme(text: &str) -> bool {
    SCHEMES.iter().any(|(scheme, _)| *scheme == text)
}

/// The schemes whose path is one of the file system, and absolute.
const FILES: [&str; 3] = ["file", "sops", "age"];

const LONGEST: usize = 1024;

impl RefError {
    /// What to write instead.
    pub fn hint(self) -> Option<String> {
        match self {
            Self::Scheme(Some(near)) => {
                let shape = SCHEMES.iter().find(|(scheme, _)| *scheme == near)?.1;
                Some(format!("did you mean `{shape}`?"))
            }
            Self::Form | Self::Scheme(None) => {
                let common = ["local", "op", "keychain", "vault", "file"];
                let shapes = SCHEMES.iter().filter(|(scheme, _)| common.contains(scheme));
                let shapes: Vec<_> = shapes.map(|(_, shape)| format!("`{shape}`")).collect();
                Some(format!(
                    "write where the secret lives: {}, or one of the other {} schemes",
                    shapes.join(", "),
                    SCHEMES.len() - common.len()
                ))
            }
            Self::Empty | Self::Dots | Self::Character | Self::Long | Self::Shape(_) => None,
        }
    }
}

impl SecretRef {
    /// The scheme, without `://`.
    pub fn scheme(&self) -> &str {
        &self.text[..self.scheme]
    }

    /// What stands between `://` and the fragment.
    pub fn path(&self) -> &str {
        let end = if self.fragment == self.text.len() { self.fragment } else { self.fragment - 1 };
        &self.text[self.scheme + 3..end]
    }

    /// What stands behind `#`.
    pub fn fragment(&self) -> Option<&str> {
        (self.fragment < self.text.len()).then(|| &self.text[self.fragment..])
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for SecretRef {
    type Err = RefError;

    fn from_str(text: &str) -> Result<Self, RefError> {
        if text.len() > LONGEST {
            return Err(RefError::Long);
        }
        let (scheme, rest) = text.split_once("://").ok_or(RefError::Form)?;
        if !is_scheme(scheme) {
            return Err(RefError::Scheme(near(scheme)));
        }
        if rest.chars().any(is_refused) || rest.trim() != rest {
            return Err(RefError::Character);
        }
        let (path, fragment) = match rest.split_once('#') {
            Some((_, "")) => return Err(RefError::Empty),
            Some((_, fragment)) if fragment.contains('#') => return Err(RefError::Character),
            Some((path, fragment)) => (path, Some(fragment)),
            None => (rest, None),
        };
        check_segments(scheme, path)?;
        check_shape(scheme, path, fragment)?;
        let fragment = fragment.map_or(text.len(), |fragment| text.len() - fragment.len());
        Ok(Self { text: text.into(), scheme: scheme.len(), fragment })
    }
}

fn check_segments(scheme: &str, path: &str) -> Result<(), RefError> {
    let path = if FILES.contains(&scheme) {
        path.strip_prefix('/')
            .ok_or(RefError::Shape("a file is named by its absolute path: `SCHEME:///PATH`"))?
    } else {
        path
    };
    for segment in path.split('/') {
        match segment {
            "" => return Err(RefError::Empty),
            "." | ".." => return Err(RefError::Dots),
            // `pass://-x` must not become an option of the program that is asked.
            _ if segment.starts_with('-') && !FILES.contains(&scheme) && scheme != "local" => {
                return Err(RefError::Shape("no part of it starts with `-`"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a scheme asks of its parts beyond the grammar that all share: how many segments there are,
/// whether there is a fragment, and what characters may stand in it.
fn check_shape(scheme: &str, path: &str, fragment: Option<&str>) -> Result<(), RefError> {
    let shape = |fits: bool, text| if fits { Ok(()) } else { Err(RefError::Shape(text)) };
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let parts = path.split('/').count();
    let bare = fragment.is_none();
    match scheme {
        "env" => shape(
            bare && path.chars().all(word) && !path.starts_with(|c: char| c.is_ascii_digit()),
            "an environment variable is named `env://NAME`, with letters, digits and `_`",
        ),
        "local" => shape(
            bare && path.chars().all(|c| word(c) || matches!(c, '-' | '.' | '/')),
            "a stored secret is named `local://NAME`, with letters, digits, `-`, `_`, `.` and `/`",
        ),
        "op" => shape(
            bare && (3..=4).contains(&parts),
            "a field of 1Password is named `op://VAULT/ITEM/FIELD` or `op://VAULT/ITEM/SECTION/FIELD`",
        ),
        "keychain" | "keyutils" => shape(
            bare && parts == 2,
            "an entry of a keychain is named by its service and its account: `SCHEME://SERVICE/ACCOUNT`",
        ),
        "vault" => {
            shape(!bare && parts >= 2, "a field in Vault is named `vault://MOUNT/PATH#FIELD`")
        }
        "gcp-sm" => shape(
            (2..=3).contains(&parts),
            "a secret of Google Cloud is named `gcp-sm://PROJECT/NAME` or `gcp-sm://PROJECT/NAME/VERSION`",
        ),
        "azure-kv" => shape(
            bare && (2..=3).contains(&parts),
            "a secret of Azure is named `azure-kv://VAULT/NAME` or `azure-kv://VAULT/NAME/VERSION`",
        ),
        "bw" => shape(bare && parts == 1, "a secret of Bitwarden is named by its id: `bw://ID`"),
        "sops" => shape(!bare, "a value in a sops file is named `sops:///PATH#KEY`"),
        "doppler" => shape(
            bare && parts == 3,
            "a secret of Doppler is named `doppler://PROJECT/CONFIG/NAME`",
        ),
        "infisical" => shape(
            bare && parts >= 3,
            "a secret of Infisical is named `infisical://PROJECT/ENVIRONMENT/NAME`",
        ),
        "cmd" => shape(
            bare && parts == 1 && path.chars().all(|c| word(c) || c == '-'),
            "a command is named `cmd://NAME`, as in `[providers.cmd.NAME]`",
        ),
        "aws-ssm" => shape(bare, "a parameter of AWS has no fragment"),
        "aws-sm" | "pass" | "keepass" | "age" => Ok(()),
        _ => shape(bare, "a file has no fragment"),
    }
}

/// Control characters, what reorders or hides text, and what other tools expand.
fn is_refused(c: char) -> bool {
    c.is_control()
        || matches!(c, '*' | '?' | '\\' | '`' | '$' | '{' | '}' | '<' | '>' | '|' | '"')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// The scheme that `text` is one or two edits away from. It says which known name is near and
/// nothing else of `text`, which may be a pasted secret.
fn near(text: &str) -> Option<&'static str> {
    const LONGEST_SCHEME: usize = 16;
    if text.len() > LONGEST_SCHEME {
        return None;
    }
    let text = text.to_ascii_lowercase();
    SCHEMES
        .iter()
        .map(|(scheme, _)| (edits(scheme.as_bytes(), text.as_bytes()), *scheme))
        .filter(|(edits, scheme)| *edits <= scheme.len() / 2 && *edits <= 2)
        .min()
        .map(|(_, scheme)| scheme)
}

/// The least number of insertions, deletions and substitutions (Levenshtein).
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        row[0] = left;
        for (b, above) in to.iter().zip(row.iter_mut().skip(1)) {
            let kept = corner + usize::from(a != b);
            corner = *above;
            left = kept.min(corner + 1).min(left + 1);
            *above = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn printing_a_parsed_reference_gives_the_text_back() {
        for (text, path) in [
            ("local://github/token", "github/token"),
            ("local://a", "a"),
            ("env://GITHUB_TOKEN", "GITHUB_TOKEN"),
            ("file:///run/secrets/my key", "/run/secrets/my key"),
            ("file:///home/é/x", "/home/é/x"),
            ("op://Developer/Stitch/api-key", "Developer/Stitch/api-key"),
            ("op://My Vault/An Item/A Section/a field", "My Vault/An Item/A Section/a field"),
            ("keychain://github/me@example.com", "github/me@example.com"),
            ("aws-ssm://prod/db/password", "prod/db/password"),
        ] {
            let reference: SecretRef = text.parse().unwrap();
            assert_eq!(reference.to_string(), text);
            assert_eq!(format!("{}://{}", reference.scheme(), reference.path()), text);
            assert_eq!((reference.path(), reference.fragment()), (path, None));
        }
    }

    // SC-05
    #[test]
    fn a_reference_never_climbs_expands_or_hides() {
        use RefError::{Character, Dots, Empty, Form, Long, Scheme, Shape};
        let long = format!("local://{}", "a".repeat(1024));
        for (text, error) in [
            ("", Form),
            ("local:/a", Form),
            ("://a", Scheme(None)),
            ("opp://Vault/x", Scheme(Some("op"))),
            ("xyzzy://Vault/x", Scheme(None)),
            ("LOCAL://a", Scheme(Some("local"))),
            ("locl://a", Scheme(Some("local"))),
            ("fiel:///a", Scheme(Some("file"))),
            ("envv://A", Scheme(Some("env"))),
            (" local://a", Scheme(Some("local"))),
            ("local://", Empty),
            ("local:///a", Empty),
            ("local://a/", Empty),
            ("local://a//b", Empty),
            ("local://a#", Empty),
            ("file:///", Empty),
            ("local://a/../b", Dots),
            ("local://.", Dots),
            ("file:///a/../b", Dots),
            ("local://*", Character),
            ("local://${HOME}", Character),
            ("local://{{x}}", Character),
            ("env://A\n", Character),
            ("file:///a ", Character),
            ("file:///a\u{202e}b", Character),
            ("file:///a\u{ad}b", Character),
            ("file:///a\u{200b}", Character),
            ("file:///$HOME", Character),
            ("file:///`id`", Character),
            ("local://a#b#c", Character),
            (&long, Long),
        ] {
            assert_eq!(text.parse::<SecretRef>(), Err(error), "{text:?}");
        }
        for text in
            ["env://1A", "env://A-B", "env://A/B", "local://a b", "local://é", "local://a#b"]
        {
            assert!(matches!(text.parse::<SecretRef>(), Err(Shape(_))), "{text:?}");
        }
        for text in [
            "file://relative",
            "file:///a#b",
            "op://Vault/Item",
            "op://a/b/c/d/e",
            "op://Vault/Item/x#y",
            "op://Vault/-rf/x",
            "keychain://only",
            "vault://secret/app",
            "vault://secret#x",
            "pass://-x",
            "cmd://a b",
            "sops:///x.yaml",
            "sops://x.yaml#y",
            "bw://a/b",
        ] {
            assert!(matches!(text.parse::<SecretRef>(), Err(Shape(_))), "{text:?}");
        }
    }

    #[test]
    fn errors_never_repeat_the_input() {
        for pasted in ["sk-live-canary", "canary://x", "local://canary\x1b[2J", "canar://y"] {
            let error = pasted.parse::<SecretRef>().unwrap_err();
            let shown = format!("{error} {error:?} {:?}", error.hint());
            assert!(!shown.contains("canar"), "{shown}");
        }
    }

    #[test]
    fn edits_are_counted_both_ways() {
        for (a, b, count) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("file", "fiel", 2), ("local", "locl", 1)]
        {
            assert_eq!(edits(a.as_bytes(), b.as_bytes()), count, "{a} {b}");
            assert_eq!(edits(b.as_bytes(), a.as_bytes()), count, "{b} {a}");
        }
    }

    proptest! {
        #[test]
        fn what_parses_prints_back_and_has_no_odd_parts(
            text in "(local|env|file|op|vault|pass)://[A-Za-z0-9_./# *$%\u{80}-\u{2fff}-]{0,24}",
        ) {
            if let Ok(reference) = text.parse::<SecretRef>() {
                prop_assert_eq!(reference.as_str(), &text);
                prop_assert_eq!(&reference.to_string().parse::<SecretRef>().unwrap(), &reference);
                let fragment = reference.fragment().map_or(String::new(), |part| format!("#{part}"));
                let parts = format!("{}://{}{fragment}", reference.scheme(), reference.path());
                prop_assert_eq!(&parts, &text);
                let segments = reference.path().strip_prefix('/').unwrap_or(reference.path());
                prop_assert!(!segments.split('/').any(|part| matches!(part, "" | "." | "..")));
            }
        }

        #[test]
        fn parsing_never_panics(text: String) {
            let _ = text.parse::<SecretRef>();
        }
    }
}
