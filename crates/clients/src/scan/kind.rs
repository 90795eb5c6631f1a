//! What a value looks like: by the prefix that its issuer gave it, by its name, or by randomness.

use std::collections::BTreeMap;

pub(super) fn is_word(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= 64 && text.bytes().all(word)
}

/// What `value` looks like, if it looks like a secret.
pub(super) fn kind(name: &str, value: &str) -> Option<&'static str> {
    let value = value.trim();
    if is_placeholder(value) {
        return None;
    }
    let issued = PREFIXES.iter().find(|(prefix, rest, _)| {
        value.strip_prefix(prefix).is_some_and(|tail| tail.len() >= *rest && is_token(tail))
    });
    if let Some((_, _, kind)) = issued {
        return Some(kind);
    }
    if value.starts_with("-----BEGIN ") && value.contains("PRIVATE KEY-----") {
        return Some("private key");
    }
    if has_password(value) {
        return Some("password in a URL");
    }
    if says_secret(name) && value.len() >= 8 && !is_setting(value) {
        return Some("named like a secret");
    }
    (!says_public(name) && is_random(value)).then_some("random text")
}

/// Prefix, the fewest characters behind it, and who issues it.
const PREFIXES: [(&str, usize, &str); 40] = [
    ("github_pat_", 22, "GitHub token"),
    ("ghp_", 20, "GitHub token"),
    ("gho_", 20, "GitHub token"),
    ("ghu_", 20, "GitHub token"),
    ("ghs_", 20, "GitHub token"),
    ("ghr_", 20, "GitHub token"),
    ("glpat-", 16, "GitLab token"),
    ("sk-ant-", 16, "Anthropic key"),
    ("sk-proj-", 16, "OpenAI key"),
    ("sk_live_", 10, "Stripe key"),
    ("sk_test_", 10, "Stripe key"),
    ("rk_live_", 10, "Stripe key"),
    ("rk_test_", 10, "Stripe key"),
    ("whsec_", 16, "webhook secret"),
    ("sk-", 16, "API key"),
    ("xoxb-", 10, "Slack token"),
    ("xoxp-", 10, "Slack token"),
    ("xoxa-", 10, "Slack token"),
    ("xapp-", 10, "Slack token"),
    ("ntn_", 20, "Notion token"),
    ("secret_", 30, "Notion token"),
    ("lin_api_", 16, "Linear key"),
    ("AKIA", 16, "AWS access key"),
    ("ASIA", 16, "AWS access key"),
    ("AIza", 30, "Google key"),
    ("ya29.", 20, "Google token"),
    ("GOCSPX-", 16, "Google client secret"),
    ("SG.", 30, "SendGrid key"),
    ("npm_", 30, "npm token"),
    ("pypi-", 30, "PyPI token"),
    ("hf_", 20, "Hugging Face token"),
    ("r8_", 20, "Replicate token"),
    ("gsk_", 20, "Groq key"),
    ("dop_v1_", 30, "DigitalOcean token"),
    ("sntrys_", 20, "Sentry token"),
    ("sntryu_", 20, "Sentry token"),
    ("figd_", 20, "Figma token"),
    ("phx_", 20, "PostHog key"),
    ("tvly-", 16, "Tavily key"),
    ("eyJ", 30, "JSON web token"),
];

fn is_token(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+/=~".contains(&b))
}

/// What stands where a secret is meant to be, but is none: a reference, a variable, an example.
fn is_placeholder(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let example =
        ["your", "example", "changeme", "change-me", "placeholder", "replace", "xxxx", "..."];
    let reference = value.split_once("://").is_some_and(|(scheme, _)| {
        ["local", "env", "file", "op", "vault", "keychain", "secret"].contains(&scheme)
    });
    let first = lower.bytes().next();
    value.is_empty()
        || reference
        || value.contains("${")
        || value.contains("{{")
        || value.starts_with('$')
        || (value.starts_with('<') && value.ends_with('>'))
        || example.iter().any(|word| lower.contains(word))
        || lower.bytes().all(|b| Some(b) == first || b == b'*')
}

fn has_password(value: &str) -> bool {
    let Some((scheme, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let password = authority.rsplit_once('@').and_then(|(user, _)| user.split_once(':'));
    is_word(scheme) && password.is_some_and(|(_, password)| !is_placeholder(password))
}

/// Whether a name says that its value is secret. Names of files, addresses and ids do not.
fn says_secret(name: &str) -> bool {
    if says_public(name) {
        return false;
    }
    let words = [
        "token",
        "secret",
        "password",
        "passwd",
        "passphrase",
        "credential",
        "apikey",
        "api_key",
        "api-key",
        "private_key",
        "access_key",
        "authorization",
        "auth",
        "pat",
        "key",
        "dsn",
        "cookie",
        "session",
    ];
    let lower = name.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split(['_', '-', '.']).collect();
    words.iter().any(
        |word| {
            if word.len() <= 4 { parts.contains(word) } else { lower.contains(word) }
        },
    )
}

fn says_public(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let last = lower.rsplit(['_', '-', '.']).next().unwrap_or_default();
    let ends = [
        "path", "file", "dir", "url", "uri", "host", "endpoint", "id", "name", "type", "user",
        "region", "version", "project", "public",
    ];
    ends.contains(&last) || lower.contains("public_key") || lower.contains("publishable")
}

/// A value that a setting could have: a path, an address, a word, a number.
fn is_setting(value: &str) -> bool {
    let path = value.starts_with(['/', '~', '.']) || value.get(1..3) == Some(":\\");
    let plain = value.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        || ["true", "false", "none", "disabled", "enabled"].contains(&value);
    (path && !value.contains("==")) || value.contains("://") || value.contains(' ') || plain
}

/// Long, of one alphabet, with digits and letters, and no rhythm.
fn is_random(value: &str) -> bool {
    let hex = value.bytes().all(|b| b.is_ascii_hexdigit());
    let digits = value.bytes().any(|b| b.is_ascii_digit());
    let letters = value.bytes().any(|b| b.is_ascii_alphabetic());
    let upper = value.bytes().any(|b| b.is_ascii_uppercase());
    let lower = value.bytes().any(|b| b.is_ascii_lowercase());
    if is_setting(value) || !digits || !letters || !is_token(value) {
        return false;
    }
    if hex {
        return value.len() >= 32 && entropy(value) >= 3.0;
    }
    // Words joined by separators are names of packages and models, not secrets.
    let separated = value.bytes().filter(|b| b"-_./".contains(b)).count() * 8 > value.len();
    !separated && upper && lower && value.len() >= 24 && entropy(value) >= 4.0
}

/// Bits per character.
fn entropy(text: &str) -> f64 {
    let mut counts: BTreeMap<u8, u32> = BTreeMap::new();
    for byte in text.bytes() {
        *counts.entry(byte).or_default() += 1;
    }
    let length = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    let share = |count: &u32| f64::from(*count) / length;
    -counts.values().map(|count| share(count) * share(count).log2()).sum::<f64>()
}
