//! Finds plaintext secrets in the configuration of MCP clients.
//!
//! Pure: parsed entries in, findings out. A finding says where something lies and what it looks
//! like and never holds the value. A value is told from an ordinary setting by three signs, tried in
//! this order: the prefix that its issuer gave it; a name that says so, with a value that is not a
//! placeholder or a reference; and randomness.
//!
//! An entry is looked at whole, whatever the client calls its fields: every text in it counts.

pub mod dotenv;
pub mod files;
mod kind;

use serde::Serialize;
use serde_json::Value;

use crate::Server;
use kind::{is_word, kind};

/// A plaintext secret, by its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The MCP server whose entry holds it.
    pub server: String,
    /// Where in the entry: the field, such as `env`, `headers`, `args` or `url`.
    pub place: String,
    /// The variable, header, option or parameter; a position where there is no name.
    pub name: String,
    /// What it looks like.
    pub kind: &'static str,
    /// The first line of the file that holds it, counted from 1.
    pub line: Option<usize>,
}

/// The plaintext secrets in `servers`, which stand in `text`.
///
/// `ours` is the entry that belongs to Strongroom itself.
pub fn scan(servers: &[Server<'_>], text: &str, ours: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for server in servers.iter().filter(|server| server.name != ours) {
        visit(server.entry, &mut |place, name, kind, value| {
            let (server, place) = (server.name.clone(), place.to_owned());
            found.push(Finding { server, place, name, kind, line: line_of(text, value) });
        });
    }
    found
}

/// What a single variable looks like, if it looks like a secret.
pub fn variable(name: &str, value: &str) -> Option<&'static str> {
    kind(name, bare(value))
}

/// Every plaintext secret in an entry: the field it stands in, its name, what it looks like, and it.
pub fn visit(entry: &Value, report: &mut dyn FnMut(&str, String, &'static str, &str)) {
    for (field, value) in entry.as_object().into_iter().flatten() {
        match value {
            Value::String(text) if text.contains("://") => visit_url(field, text, report),
            Value::String(text) if text.contains(' ') => {
                visit_arguments(field, text.split_ascii_whitespace(), report);
            }
            Value::String(text) => {
                if let Some(kind) = kind(field, text) {
                    report(field, field.clone(), kind, text);
                }
            }
            Value::Array(words) => {
                visit_arguments(
                    field,
                    words.iter().map(|w| w.as_str().unwrap_or_default()),
                    report,
                );
            }
            Value::Object(_) => visit_table(field, value, report, 0),
            _ => {}
        }
    }
}

/// Variables, headers, and whatever else has names.
fn visit_table(
    place: &str,
    table: &Value,
    report: &mut dyn FnMut(&str, String, &'static str, &str),
    depth: usize,
) {
    const DEEPEST: usize = 16;
    for (name, value) in table.as_object().into_iter().flatten() {
        match value {
            Value::String(text) => {
                if let Some(kind) = variable(name, text) {
                    report(place, name.clone(), kind, bare(text));
                }
            }
            Value::Array(words) => {
                for word in words.iter().filter_map(Value::as_str) {
                    if let Some(kind) = variable(name, word) {
                        report(place, name.clone(), kind, bare(word));
                    }
                }
            }
            Value::Object(_) if depth < DEEPEST => {
                visit_table(&format!("{place}.{name}"), value, report, depth + 1);
            }
            _ => {}
        }
    }
}

/// The value of a header without the word for its kind.
pub fn bare(value: &str) -> &str {
    value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("Basic ")).unwrap_or(value)
}

/// `--api-key VALUE`, `--api-key=VALUE`, `KEY=VALUE`, and values that speak for themselves.
fn visit_arguments<'a>(
    place: &str,
    arguments: impl Iterator<Item = &'a str>,
    report: &mut dyn FnMut(&str, String, &'static str, &str),
) {
    let mut option = "";
    for (at, argument) in arguments.enumerate() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) if is_word(name) => (name, value),
            _ => (option, argument),
        };
        if let Some(kind) = kind(name, value) {
            let name = if name.is_empty() { format!("argument {}", at + 1) } else { name.into() };
            report(place, name, kind, value);
        }
        option = if argument.starts_with('-') && is_word(argument) { argument } else { "" };
    }
}

/// A password before the host, and parameters behind the path.
fn visit_url(place: &str, url: &str, report: &mut dyn FnMut(&str, String, &'static str, &str)) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if let Some((user, _)) = authority.rsplit_once('@')
        && let Some((_, password)) = user.split_once(':')
        && let Some(kind) = kind("password", password)
    {
        report(place, "password".into(), kind, password);
    }
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        if let Some(kind) = kind(name, value) {
            report(place, name.into(), kind, value);
        }
    }
}

/// The first line of `text` that holds `value`, as it is or as JSON writes it.
pub fn line_of(text: &str, value: &str) -> Option<usize> {
    let escaped = Value::from(value).to_string();
    let at = text.find(value).or_else(|| text.find(&escaped[1..escaped.len() - 1]))?;
    Some(text[..at].bytes().filter(|byte| *byte == b'\n').count() + 1)
}

/// `text` with every value that [`scan`] would report replaced, for a diff that a person reads.
/// Entries of ours count, too.
pub fn mask(text: &str, servers: &[Server<'_>]) -> String {
    let mut values = Vec::new();
    for server in servers {
        visit(server.entry, &mut |_, _, _, value| values.push(value.to_owned()));
    }
    hide(text, values)
}

/// `text` without `values`.
pub fn hide(text: &str, mut values: Vec<String>) -> String {
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values.iter().filter(|value| !value.is_empty()).fold(text.to_owned(), |text, value| {
        let escaped = Value::from(value.as_str()).to_string();
        text.replace(&escaped[1..escaped.len() - 1], HIDDEN).replace(value.as_str(), HIDDEN)
    })
}

const HIDDEN: &str = "(hidden)";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::find;

    fn found(entry: &Value) -> Vec<(String, String, &'static str)> {
        let document = json!({"mcpServers": {"s": entry}});
        let servers = find("cursor").unwrap().servers(&document);
        let findings = scan(&servers, &document.to_string(), "strongroom");
        assert!(findings.iter().all(|finding| finding.line == Some(1)));
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
            (json!({"envs": {"X": pat}}), "envs", "GitHub token"),
            (json!({"environment": {"X": pat}}), "environment", "GitHub token"),
            (
                json!({"http_headers": {"X": format!("Bearer {pat}")}}),
                "http_headers",
                "GitHub token",
            ),
            (
                json!({"requestOptions": {"headers": {"X-Api-Key": "abcdefgh-1234"}}}),
                "requestOptions.headers",
                "named like a secret",
            ),
            (json!({"command": ["npx", "x", "--token", pat]}), "command", "GitHub token"),
            (json!({"command": format!("npx x --token {pat}")}), "command", "GitHub token"),
            (json!({"uri": "https://h/mcp?api_key=abcdefgh-1234"}), "uri", "named like a secret"),
            (json!({"bearer_token": "abcdefgh-1234"}), "bearer_token", "named like a secret"),
            (json!({"settings": {"api_key": "abcdefgh-1234"}}), "settings", "named like a secret"),
            (json!({"env": {"K": "-----BEGIN PRIVATE KEY-----\nMII"}}), "env", "private key"),
        ];
        for (entry, place, kind) in table {
            let found = found(&entry);
            assert_eq!(found.len(), 1, "{entry} gave {found:?}");
            assert_eq!((found[0].0.as_str(), found[0].2), (place, kind), "{entry}");
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
        let servers = find("claude-code").unwrap().servers(&document);
        let findings = scan(&servers, "", "strongroom");
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
        let masked = mask(&text, &find("cursor").unwrap().servers(&document));
        assert!(!masked.contains("ary-1") && !masked.contains("sr_canary"), "{masked}");
        assert!(
            masked.contains("\"API_TOKEN\": \"(hidden)\"") && masked.contains("debug"),
            "{masked}"
        );
    }
}
