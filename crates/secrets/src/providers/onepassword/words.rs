//! What `op` says on stderr, and what it means.
//!
//! The words are those of version 2, from 2.20 to 2.39. A wording that is not known costs
//! precision and never safety: it counts as unreachable.

use strongroom_model::ports::ResolveError;
use strongroom_model::reference::SecretRef;

use super::super::program::token_rejected;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Something about one reference. The others may well resolve.
    One(One),
    /// Something that would be the same for every reference.
    All(All),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum One {
    NotFound,
    Ambiguous,
    Denied,
    Malformed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum All {
    TokenRejected,
    Locked,
    Limited,
    Network,
    Unknown,
}

/// What `stderr` means, which is in lower case.
///
/// What is wrong with the whole session stands behind `error initializing client` and wins; then
/// come the words about one reference, in which names of the user's stand that may be any words.
pub(super) fn read(stderr: &str) -> Trouble {
    if let Some((_, client)) = stderr.split_once("error initializing client") {
        return Trouble::All(session(client));
    }
    let says = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
    let one =
        [(AMBIGUOUS, One::Ambiguous), (NOT_FOUND, One::NotFound), (MALFORMED, One::Malformed)];
    if let Some((_, one)) = one.iter().find(|(words, _)| says(words)) {
        return Trouble::One(*one);
    }
    match session(stderr) {
        // Before another reason: without one it is about what was asked for.
        All::Unknown if says(FORBIDDEN) => Trouble::One(One::Denied),
        all => Trouble::All(all),
    }
}

fn session(words: &str) -> All {
    let says = |known: &[&str]| known.iter().any(|word| words.contains(word));
    if says(LIMITED) {
        All::Limited
    } else if says(REJECTED) {
        All::TokenRejected
    } else if says(LOCKED) || words.trim_matches([':', ' ', '\n', '\r']).is_empty() {
        All::Locked
    } else if says(NETWORK) {
        All::Network
    } else {
        All::Unknown
    }
}

/// Whether `stderr` speaks of an item or a vault, and not of a field.
pub(super) fn is_about_item(stderr: &str) -> bool {
    let words = ["isn't an item", "isn't a vault", "could not find item", "could not find vault"];
    words.iter().chain(AMBIGUOUS).any(|word| stderr.contains(word))
}

/// Whether `stderr`, which is in lower case, names `reference`, or what it is a part of.
pub(super) fn name(stderr: &str, reference: &SecretRef) -> bool {
    let text = reference.as_str().to_lowercase();
    let mut parts = text["op://".len()..].split('/');
    let (Some(vault), Some(item), Some(field)) = (parts.next(), parts.next(), parts.next_back())
    else {
        return false;
    };
    let has = |words: String| stderr.contains(&words);
    if has(format!("'{text}'")) || has(format!("field or file {field} on item {item} in")) {
        return true;
    }
    if stderr.contains("does not have a") {
        return has(format!("'{vault}/{item}'")) && has(format!("'{field}'"));
    }
    has(format!("item {item}:"))
        || has(format!("item {item} in"))
        || has(format!("\"{item}\""))
        || has(format!("\"{vault}\" isn't a vault"))
}

const AMBIGUOUS: &[&str] = &["more than one item matches", "more than one vault matches"];

const NOT_FOUND: &[&str] = &[
    "isn't an item",
    "isn't a vault",
    "isn't a field",
    "could not find item",
    "could not find vault",
    "could not find field or file",
    "could not find section",
    "does not have a field",
    "does not have a section",
    "no item found",
];

const MALFORMED: &[&str] =
    &["invalid secret reference", "invalid character in secret reference", "too many '/'"];

const FORBIDDEN: &[&str] = &["(403)", "forbidden", "aren't authorized", "have permission"];

const LIMITED: &[&str] = &["(429)", "too many requests", "rate limit", "rate-limit"];

const REJECTED: &[&str] = &[
    "(401)",
    "401: ",
    "decodesacredentials",
    "deserializeserviceaccountauthtoken",
    "invalid bearer token",
    "signin credentials are not compatible",
    "service account was deleted",
    "service account has been deleted",
    "service account token is invalid",
    "service account token has expired",
    "token has expired",
    "token was revoked",
];

const LOCKED: &[&str] = &[
    "not currently signed in",
    "is not signed in",
    "no accounts configured",
    "no account found",
    "could not find account",
    "session expired",
    "session token",
    "authorization prompt dismissed",
    "authorization timeout",
    "authorization denied",
    "connecting to desktop app",
    "requestdelegatedsession",
];

const NETWORK: &[&str] = &[
    "dial tcp",
    "no such host",
    "i/o timeout",
    "connection refused",
    "connection reset",
    "network is unreachable",
    "context deadline exceeded",
    "tls: ",
    "x509: ",
    "unexpected eof",
    "(500)",
    "(502)",
    "(503)",
    "(504)",
];

impl One {
    pub(super) fn of(self, reference: &SecretRef) -> ResolveError {
        let reference = reference.clone();
        let unusable = |why| ResolveError::Unusable { reference: reference.clone(), why };
        match self {
            Self::NotFound => ResolveError::NotFound { reference },
            Self::Ambiguous => unusable("more than one item has this name: refer to it by its id"),
            Self::Malformed => unusable(
                "1Password does not take such a name in a reference: refer to it by its id",
            ),
            Self::Denied => ResolveError::Denied {
                reference,
                why: "the account has no right to read it in 1Password".to_owned(),
            },
        }
    }
}

impl All {
    pub(super) fn error(self, has_token: bool) -> ResolveError {
        let scheme = "op".to_owned();
        match self {
            // A desktop app's session that is not valid any longer is not a token of ours.
            Self::TokenRejected if has_token => token_rejected("op"),
            Self::TokenRejected | Self::Locked => ResolveError::Locked { scheme },
            Self::Limited => ResolveError::Limited { scheme },
            Self::Network => ResolveError::unreachable("op", "1Password does not answer"),
            Self::Unknown => {
                ResolveError::unreachable("op", "its program failed in a way that is not known")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::All::{Limited, Locked, Network, TokenRejected, Unknown};
    use super::One::{Ambiguous, Denied, Malformed, NotFound};
    use super::*;

    /// What version 2 prints, word for word, but for names and times.
    #[test]
    fn what_op_says_is_understood() {
        for (said, one) in [
            (
                "[ERROR] 2026/08/24 14:05:06 could not resolve item UUID for item nope: could not find item nope in vault 3krbvotxjulf6nvqm2k4xfb2p4",
                NotFound,
            ),
            (
                "[ERROR] 2026/08/24 14:05:30 item 'Dev/Stitch' does not have a field 'nope'",
                NotFound,
            ),
            (
                "[ERROR] 2026/07/21 10:00:00 could not read secret 'op://v/nope/password': could not get item v/nope: \"nope\" isn't an item in the \"v\" vault. Specify the item with its UUID, name, or domain.",
                NotFound,
            ),
            (
                "[ERROR] 2025/03/20 20:03:08 \"nope\" isn't a vault in this account. Specify the vault with its ID or name.",
                NotFound,
            ),
            (
                "[ERROR] 2022/08/24 12:31:40 could not read secret op://Systems/.env/KEY: could not find field or file KEY on item .env in vault Systems",
                NotFound,
            ),
            (
                "[ERROR] 2026/01/02 03:04:05 More than one item matches \"Rate limit (429)\". Try again and specify the item by its ID:",
                Ambiguous,
            ),
            (
                "[ERROR] 2026/08/24 14:05:16 invalid secret reference 'op://Dev/Chang's/x': invalid character in secret reference: '''",
                Malformed,
            ),
            (
                "[ERROR] 2026/08/24 14:05:16 (403) Forbidden: You aren't authorized to access this resource.",
                Denied,
            ),
        ] {
            assert_eq!(read(&said.to_lowercase()), Trouble::One(one), "{said}");
        }
        for (said, all) in [
            (
                "[ERROR] 2026/09/28 23:02:09 could not read secret 'op://v/i/token': error initializing client: Validation: (failed to session.DecodeSACredentials), Server: (failed to DecodeSACredentials), illegal base64 data at input byte 12",
                TokenRejected,
            ),
            ("[ERROR] 2026/09/28 12:00:00 (401) Unauthorized: invalid bearer token", TokenRejected),
            (
                "[ERROR] 2024/05/01 09:00:00 error initializing client: Signin credentials are not compatible with the provided user auth from server",
                TokenRejected,
            ),
            (
                "[ERROR] 2026/05/06 21:21:22 You are not currently signed in. Please run `op signin --help` for instructions",
                Locked,
            ),
            (
                "No accounts configured for use with 1Password CLI.\n[ERROR] 2026/07/20 20:55:23 could not read secret 'op://x/y/z': error initializing client: \n",
                Locked,
            ),
            (
                "[ERROR] 2026/09/14 22:58:40 could not read secret 'op://v/i/f': error initializing client: authorization timeout\n",
                Locked,
            ),
            (
                "[ERROR] 2026/09/14 18:52:01 error initializing client: connecting to desktop app: connecting to desktop app timed out",
                Locked,
            ),
            (
                "[ERROR] 2026/02/03 19:17:20 error initializing client: RequestDelegatedSession: cannot setup session. Please check the logs of the 1Password app.",
                Locked,
            ),
            (
                "[ERROR] 2026/09/17 12:00:00 session expired, sign in to create a new session",
                Locked,
            ),
            (
                "[ERROR] 2023/06/26 11:55:32 (429) Too Many Requests: You've reached the maximum number of this type of requests this service account is allowed to make. Please retry in 58 minutes or try other requests.",
                Limited,
            ),
            ("[ERROR] dial tcp: lookup my.1password.com: no such host", Network),
            (
                "[ERROR] 2026/09/14 18:52:01 error initializing client: read: context deadline exceeded",
                Network,
            ),
            ("[ERROR] something new in op 3", Unknown),
            ("", Locked),
        ] {
            assert_eq!(read(&said.to_lowercase()), Trouble::All(all), "{said}");
        }
    }

    #[test]
    fn the_reference_that_a_message_is_about_is_found() {
        let names = |said: &str, text: &str| name(said, &text.parse().unwrap());
        for (said, named, other) in [
            (
                "item 'dev/stitch' does not have a field 'nope'",
                "op://Dev/Stitch/nope",
                "op://Dev/Stitch/key",
            ),
            ("could not find item nope in vault 3krb", "op://Dev/nope/a", "op://Dev/Stitch/nope"),
            (
                "\"nope\" isn't an item in the \"dev\" vault.",
                "op://Dev/nope/a",
                "op://Dev/Stitch/nope",
            ),
            ("\"nope\" isn't a vault in this account.", "op://nope/a/b", "op://Dev/a/b"),
            ("invalid secret reference 'op://dev/a'b/c': x", "op://Dev/a'b/c", "op://Dev/a/c"),
        ] {
            assert!(names(said, named), "{said}");
            assert!(!names(said, other), "{said}");
        }
    }

    #[test]
    fn without_a_token_none_is_rejected() {
        assert_eq!(TokenRejected.error(true).kind(), "token_rejected");
        assert_eq!(TokenRejected.error(false).kind(), "locked");
    }
}
