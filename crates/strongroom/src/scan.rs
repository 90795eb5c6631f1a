//! Finds plaintext secrets in the configuration of MCP clients.
//!
//! Pure: a parsed document in, findings out. A finding says where something lies and what it looks
//! like and never holds the value. A value is told from an ordinary setting by three signs, tried in
//! this order: the prefix that its issuer gave it; a name that says so, with a value that is not a
//! placeholder or a reference; and randomness.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// A plaintext secret, by its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The MCP server whose entry holds it.
    pub server: String,
    /// Where in the entry: `env`, `headers`, `args` or `url`.
    pub place: &'static str,
    /// The variable, header, option or parameter; a position where there is no name.
    pub name: String,
    /// What it looks like.
    pub kind: &'static str,
}

/// The plaintext secrets in the servers under `key`, and under the paths `also`.
///
/// `ours` is the entry that belongs to Strongroom itself.
pub fn scan(document: &Value, key: &str, also: &[String], ours: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    visit(document, key, also, ours, &mut |finding, _| found.push(finding));
    found
}

/// `text` with every value that [`scan`] would report replaced, for a diff that a person reads.
pub fn mask(text: &str, document: &Value, key: &str, also: &[String]) -> String {
    let mut values = Vec::new();
    visit(document, key, also, "", &mut |_, value| values.push(value.to_owned()));
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.iter().fold(text.to_owned(), |text, value| {
        let escaped = Value::from(value.as_str()).to_string();
        text.replace(&escaped[1..escaped.len() - 1], HIDDEN).replace(value.as_str(), HIDDEN)
    })
}

const HIDDEN: &str = "(hidden)";

fn visit(
    document: &Value,
    key: &str,
    also: &[String],
    ours: &str,
    report: &mut dyn FnMut(Finding, &str),
) {
    let mut groups = vec![document.get(key)];
    for path in also {
        let mut at = vec![document];
        for step in path.split('/') {
            at = at.into_iter().flat_map(|value| children(value, step)).collect();
        }
        groups.extend(at.into_iter().map(Some));
    }
    for (server, entry) in groups.into_iter().flatten().filter_map(Value::as_object).flatten() {
        if server == ours {
            continue;
        }
        visit_entry(entry, &mut |place, name, kind, value| {
            report(Finding { server: server.clone(), place, name, kind }, value);
        });
    }
}

fn children<'a>(value: &'a Value, step: &str) -> Vec<&'a Value> {
    match (value.as_object(), step) {
        (Some(object), "*") => object.values().collect(),
        (Some(object), step) => object.get(step).into_iter().collect(),
        (None, _) => Vec::new(),
    }
}

type Report<'a> = dyn FnMut(&'static str, String, &'static str, &str) + 'a;

fn visit_entry(entry: &Value, report: &mut Report<'_>) {
    for place in ["env", "headers"] {
        for (name, value) in entry.get(place).and_then(Value::as_object).into_iter().flatten() {
            let Some(value) = value.as_str() else { continue };
            let bare = value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("Basic "));
            if let Some(kind) = kind(name, bare.unwrap_or(value)) {
                report(place, name.clone(), kind, bare.unwrap_or(value));
            }
        }
    }
    visit_arguments(entry, report);
    for url in ["url", "serverUrl", "httpUrl"] {
        if let Some(url) = entry.get(url).and_then(Value::as_str) {
            visit_url(url, report);
        }
    }
}

/// `--api-key VALUE`, `--api-key=VALUE`, `KEY=VALUE`, and values that speak for themselves.
fn visit_arguments(entry: &Value, report: &mut Report<'_>) {
    let arguments = entry.get("args").and_then(Value::as_array);
    let mut option = "";
    for (at, argument) in arguments.into_iter().flatten().enumerate() {
        let argument = argument.as_str().unwrap_or_default();
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) if is_word(name) => (name, value),
            _ => (option, argument),
        };
        if let Some(kind) = kind(name, value) {
            let name = if name.is_empty() { format!("argument {}", at + 1) } else { name.into() };
            report("args", name, kind, value);
        }
        option = if argument.starts_with('-') && is_word(argument) { argument } else { "" };
    }
}

/// A password before the host, and parameters behind the path.
fn visit_url(url: &str, report: &mut Report<'_>) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some((user, _)) = authority.rsplit_once('@')
        && let Some((_, password)) = user.split_once(':')
        && let Some(kind) = kind("password", password)
    {
        report("url", "password".into(), kind, password);
    }
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        if let Some(kind) = kind(name, value) {
            report("url", name.into(), kind, value);
        }
    }
}

fn is_word(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= 64 && text.bytes().all(word)
}

/// What `value` looks like, if it looks like a secret.
fn kind(name: &str, value: &str) -> Option<&'static str> {
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(entry: &Value) -> Vec<(&'static str, String, &'static str)> {
        let document = json!({"mcpServers": {"s": entry}});
        let findings = scan(&document, "mcpServers", &[], "strongroom");
        findings.into_iter().map(|f| (f.place, f.name, f.kind)).collect()
    }

    #[test]
    fn a_secret_is_found_by_its_prefix_its_name_or_its_randomness() {
        let pat = format!("ghp_{}", "a1B2c3D4e5F6g7H8i9J0");
        let table = [
            (json!({"env": {"GITHUB_PERSONAL_ACCESS_TOKEN": pat}}), "env", "GitHub token"),
            (json!({"env": {"X": pat}}), "env", "GitHub token"),
            (json!({"env": {"DB_PASSWORD": "hunter2hunter2"}}), "env", "named like a secret"),
            (json!({"env": {"X": "postgres://me:hunter22@db/x"}}), "env", "password in a URL"),
            (json!({"env": {"X": "0123456789abcdef0123456789abcdef"}}), "env", "random text"),
            (json!({"env": {"X": "qL8x0ZkT3mVb7RwY1sNd5uPf"}}), "env", "random text"),
            (
                json!({"headers": {"Authorization": format!("Bearer {pat}")}}),
                "headers",
                "GitHub token",
            ),
            (json!({"headers": {"X-Api-Key": "abcdefgh-1234"}}), "headers", "named like a secret"),
            (json!({"args": ["--api-key", "abcdefgh-1234"]}), "args", "named like a secret"),
            (json!({"args": ["--token=abcdefgh-1234"]}), "args", "named like a secret"),
            (json!({"args": ["-e", format!("T={pat}")]}), "args", "GitHub token"),
            (json!({"args": [pat]}), "args", "GitHub token"),
            (json!({"url": "https://u:hunter22@h/mcp"}), "url", "named like a secret"),
            (json!({"url": "https://h/mcp?api_key=abcdefgh-1234"}), "url", "named like a secret"),
            (json!({"env": {"K": "-----BEGIN PRIVATE KEY-----\nMII"}}), "env", "private key"),
        ];
        for (entry, place, kind) in table {
            let found = found(&entry);
            assert_eq!(found.len(), 1, "{entry} gave {found:?}");
            assert_eq!((found[0].0, found[0].2), (place, kind), "{entry}");
        }
    }

    #[test]
    fn settings_references_and_examples_are_not_secrets() {
        let clean = [
            json!({"command": "npx", "args": ["-y", "@modelcontextprotocol/server-github@2025.4.8"]}),
            json!({"env": {"GITHUB_TOKEN": "${GITHUB_TOKEN}", "A_TOKEN": "$TOKEN"}}),
            json!({"env": {"API_KEY": "<your key>", "TOKEN": "YOUR_API_KEY_HERE"}}),
            json!({"env": {"SECRET": "op://Private/GitHub/token", "PASSWORD": "xxxxxxxxxxxx"}}),
            json!({"env": {"KEY_FILE": "/home/ann/.ssh/id_ed25519", "AUTH_TYPE": "oauth-device"}}),
            json!({"env": {"MODEL": "claude-sonnet-4-5-20250929-Some-Long-Name"}}),
            json!({"env": {"TOKEN_URL": "https://id.example.org/oauth/token", "MAX_TOKENS": "100000000"}}),
            json!({"env": {"STRIPE_PUBLISHABLE_KEY": "abcdefgh-1234", "PATH": "/usr/bin:/bin"}}),
            json!({"url": "https://mcp.example.org/v1/mcp?region=eu-central-1"}),
            json!({"headers": {"Authorization": "Bearer ${input:key}"}}),
            json!({"env": {"MONKEY": "abcdefgh-1234", "N": 5, "B": true}, "args": "not a list"}),
        ];
        for entry in clean {
            assert_eq!(found(&entry), [], "{entry}");
        }
    }

    #[test]
    fn nested_servers_are_seen_and_our_own_entry_is_not() {
        let secret = json!({"env": {"API_TOKEN": "canary-canary-1"}});
        let document = json!({
            "mcpServers": {"a": secret, "strongroom": secret},
            "projects": {"/p": {"mcpServers": {"b": secret}}, "/q": 7},
        });
        let also = ["projects/*/mcpServers".to_owned()];
        let findings = scan(&document, "mcpServers", &also, "strongroom");
        let servers: Vec<&str> = findings.iter().map(|f| f.server.as_str()).collect();
        assert_eq!(servers, ["a", "b"]);
        assert!(!format!("{findings:?}").contains("canary"));
        assert!(!serde_json::to_string(&findings).unwrap().contains("canary"));
    }

    #[test]
    fn a_masked_text_shows_the_place_and_not_the_value() {
        let document = json!({"mcpServers": {
            "a": {"env": {"API_TOKEN": "can\"ary-1", "LEVEL": "debug"}},
            "strongroom": {"headers": {"Authorization": "Bearer sr_canarycanary"}},
        }});
        let text = serde_json::to_string_pretty(&document).unwrap();
        let masked = mask(&text, &document, "mcpServers", &[]);
        assert!(!masked.contains("ary-1") && !masked.contains("sr_canary"), "{masked}");
        assert!(
            masked.contains("\"API_TOKEN\": \"(hidden)\"") && masked.contains("debug"),
            "{masked}"
        );
    }
}
