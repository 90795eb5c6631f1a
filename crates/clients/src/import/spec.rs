//! What a client declares, as a server of ours whose secrets are references.
//!
//! Pure. What cannot be carried over whole and true is left where it is, with the reason: nothing is
//! guessed.

use std::collections::BTreeMap;

use serde_json::Value;
use strongroom_model::principal::Name;
use strongroom_model::secret::Secret;
use toml_edit::{Array, Item, Table};

use crate::Client;
use crate::declared::Declared;
use crate::scan::visit;

/// A server that can be carried over.
#[derive(Debug)]
pub struct Spec {
    transport: Transport,
    /// The secrets, by the last part of their references.
    pub secrets: Vec<(String, Secret)>,
    /// Whether a secret stands in an argument or an address.
    pub visible: bool,
}

#[derive(Debug)]
enum Transport {
    Program {
        program: String,
        args: Vec<Text>,
        env: BTreeMap<String, Text>,
        pass_env: Vec<String>,
        cwd: Option<String>,
    },
    Address {
        url: Text,
        headers: BTreeMap<String, Text>,
    },
}

/// Literal text and secrets.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Secret(usize),
}

type Text = Vec<Part>;

/// Where in an entry a secret stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    place: Place,
    name: String,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Env,
    Header,
    Argument,
    Url,
}

impl Spec {
    /// Reads the entry of a client. `None`: there is no secret in it. An error says, without a value,
    /// why it is left as it is.
    pub fn read(client: &Client, entry: &Value, visible: bool) -> Option<Result<Self, String>> {
        let found = match found(client, entry) {
            Ok(found) if found.is_empty() => return None,
            other => other,
        };
        Some(found.and_then(|found| Self::of(&client.declared(entry), entry, found, visible)))
    }

    fn of(
        declared: &Declared,
        entry: &Value,
        found: Vec<Found>,
        visible: bool,
    ) -> Result<Self, String> {
        let shows = found.iter().any(|f| matches!(f.place, Place::Argument | Place::Url));
        if shows && !visible {
            return Err("a secret stands in an argument or an address, where others see it; \
                        `--allow-visible-secrets` moves it all the same"
                .to_owned());
        }
        if entry.get("envFile").is_some() {
            return Err("it reads a file of variables, which only the client does".to_owned());
        }
        let mut reader = Reader { found, secrets: Vec::new() };
        let transport = match (&declared.program, &declared.url) {
            (Some(program), None) => reader.program(program, declared)?,
            (None, Some(url)) => Transport::Address {
                url: reader.text(Place::Url, None, url)?,
                headers: reader.table(Place::Header, &declared.headers)?,
            },
            _ => return Err("it has neither a command nor an address, or both".to_owned()),
        };
        Ok(Self { transport, secrets: reader.secrets, visible: shows })
    }

    /// Whether it calls an address.
    pub fn is_remote(&self) -> bool {
        matches!(self.transport, Transport::Address { .. })
    }

    /// The table of `[servers.NAME]`. `place` gives the reference of a secret.
    pub fn table(&self, place: &dyn Fn(&str) -> String) -> Table {
        let mut table = Table::new();
        let text = |text: &Text| self.template(text, place);
        let texts = |map: &BTreeMap<String, Text>| {
            let mut table = Table::new();
            for (name, value) in map {
                table.insert(name, toml_edit::value(text(value)));
            }
            Item::Table(table)
        };
        match &self.transport {
            Transport::Program { program, args, env, pass_env, cwd } => {
                let is_word = |b: u8| b.is_ascii_alphanumeric() || b"@/._-+".contains(&b);
                table["command"] = if program.bytes().all(is_word) {
                    toml_edit::value(program)
                } else {
                    toml_edit::value([program].into_iter().collect::<Array>())
                };
                if !args.is_empty() {
                    table["args"] = toml_edit::value(args.iter().map(text).collect::<Array>());
                }
                if !pass_env.is_empty() {
                    table["pass_env"] = toml_edit::value(pass_env.iter().collect::<Array>());
                }
                if let Some(cwd) = cwd {
                    table["cwd"] = toml_edit::value(cwd);
                }
                if self.visible {
                    table["allow_visible_secrets"] = toml_edit::value(true);
                }
                if !env.is_empty() {
                    table["env"] = texts(env);
                }
            }
            Transport::Address { url, headers } => {
                table["url"] = toml_edit::value(text(url));
                if self.visible {
                    table["allow_visible_secrets"] = toml_edit::value(true);
                }
                if !headers.is_empty() {
                    table["headers"] = texts(headers);
                }
            }
        }
        table
    }

    fn template(&self, text: &Text, place: &dyn Fn(&str) -> String) -> String {
        let reference = |at: &usize| self.secrets.get(*at).map(|(name, _)| place(name));
        match text.as_slice() {
            [Part::Secret(at)] => reference(at).unwrap_or_default(),
            parts => {
                let part = |part: &Part| match part {
                    Part::Literal(text) => text.clone(),
                    Part::Secret(at) => format!("{{{{{}}}}}", reference(at).unwrap_or_default()),
                };
                parts.iter().map(part).collect::<Vec<_>>().concat()
            }
        }
    }
}

/// Every secret of an entry, with its place.
fn found(client: &Client, entry: &Value) -> Result<Vec<Found>, String> {
    let fields = client.field_names();
    let mut found: Vec<Found> = Vec::new();
    let mut elsewhere = None;
    visit(entry, &mut |field, name, _, value| {
        let place = if field == fields.env {
            Place::Env
        } else if field == fields.headers {
            Place::Header
        } else if field == fields.args || field == fields.command {
            Place::Argument
        } else if field == fields.url || field == "url" {
            Place::Url
        } else {
            elsewhere = Some(field.to_owned());
            return;
        };
        found.push(Found { place, name, value: value.to_owned() });
    });
    match elsewhere {
        Some(field) => Err(format!("a secret stands in `{field}`, which only the client knows")),
        None => Ok(found),
    }
}

struct Reader {
    found: Vec<Found>,
    secrets: Vec<(String, Secret)>,
}

impl Reader {
    fn program(&mut self, program: &str, declared: &Declared) -> Result<Transport, String> {
        if program.contains(['$', '{']) {
            return Err("its command refers to variables of the client".to_owned());
        }
        if declared.args.is_empty() && program.contains(' ') && !program.contains(['/', '\\']) {
            return Err("its command is a line for a shell".to_owned());
        }
        let cwd = declared.cwd.clone().filter(|cwd| cwd.starts_with('/') || cwd.contains(":\\"));
        let (passed, own): (BTreeMap<_, _>, BTreeMap<_, _>) =
            declared.env.clone().into_iter().partition(|(name, value)| is_passed(name, value));
        let args = declared.args.iter().map(|argument| self.text(Place::Argument, None, argument));
        Ok(Transport::Program {
            program: program.to_owned(),
            args: args.collect::<Result<_, _>>()?,
            env: self.table(Place::Env, &own)?,
            pass_env: passed.into_keys().collect(),
            cwd,
        })
    }

    fn table(
        &mut self,
        place: Place,
        values: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, Text>, String> {
        let text = |(name, value): (&String, &String)| {
            Ok((name.clone(), self.text(place, Some(name), value)?))
        };
        values.iter().map(text).collect()
    }

    /// A text with its secrets taken out. `name`: that of the variable or the header.
    fn text(&mut self, place: Place, name: Option<&str>, text: &str) -> Result<Text, String> {
        let mut parts = vec![Part::Literal(text.to_owned())];
        for found in self.found.clone() {
            let fits = found.place == place && name.is_none_or(|name| name == found.name);
            if !fits {
                continue;
            }
            let at = parts.iter().position(
                |part| matches!(part, Part::Literal(text) if text.contains(&found.value)),
            );
            let Some(at) = at else { continue };
            let secret = Part::Secret(self.secret(&found));
            let Part::Literal(text) = parts.remove(at) else { continue };
            let (before, after) = text.split_once(&found.value).unwrap_or_default();
            let literal = |text: &str| Part::Literal(text.to_owned());
            let new = [literal(before), secret, literal(after)];
            let new = new.into_iter().filter(|part| *part != Part::Literal(String::new()));
            parts.splice(at..at, new);
        }
        let is_odd = |part: &Part| match part {
            Part::Literal(text) => text.contains("${") || text.contains("{{"),
            Part::Secret(_) => false,
        };
        if parts.iter().any(is_odd) {
            let what = name.map_or_else(|| "an argument".to_owned(), |name| format!("`{name}`"));
            return Err(format!("{what} refers to variables or inputs of the client"));
        }
        Ok(parts)
    }

    /// The place of a secret among the others; the same value has one.
    fn secret(&mut self, found: &Found) -> usize {
        let secret = Secret::new(found.value.clone().into_bytes());
        let name = plain(&found.name);
        let same = self.secrets.iter().position(|(_, other)| other.ct_eq(&secret));
        same.unwrap_or_else(|| {
            let is_free = |name: &String| self.secrets.iter().all(|(other, _)| other != name);
            let numbered = (2..).map(|number| format!("{name}_{number}"));
            let name = [name.clone()].into_iter().chain(numbered).find(is_free);
            self.secrets.push((name.unwrap_or_default(), secret));
            self.secrets.len() - 1
        })
    }
}

/// A variable that has the client's own value under the same name.
fn is_passed(name: &str, value: &str) -> bool {
    let inner = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let inner = inner.map(|inner| inner.strip_prefix("env:").unwrap_or(inner));
    inner.or_else(|| value.strip_prefix('$')) == Some(name)
}

/// A name that can be a part of a reference.
fn plain(name: &str) -> String {
    let name: String = name
        .trim_matches('-')
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' })
        .collect();
    if name.is_empty() { "secret".to_owned() } else { name }
}

/// A name of ours for a server that a client calls `name`.
pub fn server_name(name: &str, number: usize) -> Option<Name> {
    const LONGEST: usize = 56;
    let mut plain = String::new();
    for c in name.chars().map(|c| c.to_ascii_lowercase()) {
        let c = if c.is_ascii_alphanumeric() { c } else { '-' };
        if c != '-' || !plain.ends_with('-') {
            plain.push(c);
        }
    }
    let plain = plain.trim_matches('-');
    let plain = plain.get(..LONGEST).unwrap_or(plain).trim_matches('-');
    let plain = if plain.is_empty() { "server" } else { plain };
    let name = if number < 2 { plain.to_owned() } else { format!("{plain}-{number}") };
    name.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::find;

    const TOKEN: &str = "ghp_canaryA1b2C3d4E5f6G7h8";

    fn read(client: &str, entry: &Value, visible: bool) -> Option<Result<String, String>> {
        let spec = Spec::read(find(client).unwrap(), entry, visible)?;
        Some(spec.map(|spec| {
            assert!(spec.secrets.iter().all(|(_, secret)| !secret.is_empty()));
            let table = spec.table(&|name| format!("local://s/{name}"));
            toml_edit::DocumentMut::from(table).to_string()
        }))
    }

    #[test]
    fn secrets_become_references_and_the_rest_stays_as_it_is() {
        let table = [
            (
                "cursor",
                json!({
                    "command": "npx", "args": ["-y", "pkg@1"], "cwd": "/w",
                    "env": {"GH_TOKEN": TOKEN, "LEVEL": "debug", "HOST": "${HOST}"},
                }),
                "command = \"npx\"\nargs = [\"-y\", \"pkg@1\"]\npass_env = [\"HOST\"]\ncwd = \"/w\"\n\n[env]\nGH_TOKEN = \"local://s/GH_TOKEN\"\nLEVEL = \"debug\"\n",
            ),
            (
                "goose",
                json!({"cmd": "/opt/my server", "envs": {"K": format!("Bearer {TOKEN}")}}),
                "command = [\"/opt/my server\"]\n\n[env]\nK = \"Bearer {{local://s/K}}\"\n",
            ),
            (
                "opencode",
                json!({"command": ["npx", "p"], "environment": {"K": TOKEN}}),
                "command = \"npx\"\nargs = [\"p\"]\n\n[env]\nK = \"local://s/K\"\n",
            ),
            (
                "continue",
                json!({
                    "url": "https://h/mcp",
                    "requestOptions": {"headers": {"Authorization": format!("Bearer {TOKEN}")}},
                }),
                "url = \"https://h/mcp\"\n\n[headers]\nAuthorization = \"Bearer {{local://s/Authorization}}\"\n",
            ),
        ];
        for (client, entry, expected) in table {
            assert_eq!(read(client, &entry, false).unwrap().unwrap(), expected, "{entry}");
        }
        assert!(read("cursor", &json!({"command": "npx", "env": {"A": "b"}}), false).is_none());
    }

    #[test]
    fn a_secret_that_others_see_moves_only_when_that_is_meant() {
        let entry = json!({"command": "x", "args": ["--token", TOKEN, format!("--k={TOKEN}")]});
        let why = read("cursor", &entry, false).unwrap().unwrap_err();
        assert!(why.contains("--allow-visible-secrets") && !why.contains("canary"), "{why}");
        let expected = "command = \"x\"\nargs = [\"--token\", \"local://s/token\", \"--k={{local://s/token}}\"]\nallow_visible_secrets = true\n";
        assert_eq!(read("cursor", &entry, true).unwrap().unwrap(), expected);
        let entry = json!({"url": format!("https://h/mcp?api_key={TOKEN}")});
        let expected =
            "url = \"https://h/mcp?api_key={{local://s/api_key}}\"\nallow_visible_secrets = true\n";
        assert_eq!(read("cursor", &entry, true).unwrap().unwrap(), expected);
    }

    #[test]
    fn what_only_the_client_can_do_is_left_to_it() {
        for entry in [
            json!({"command": "x", "env": {"K": TOKEN, "A": "${input:a}"}}),
            json!({"command": "x", "env": {"K": TOKEN, "A": "${B}"}}),
            json!({"command": "x", "env": {"K": TOKEN, "A": "{{a}}"}}),
            json!({"command": "${workspaceFolder}/x", "env": {"K": TOKEN}}),
            json!({"command": "x", "args": ["${workspaceFolder}"], "env": {"K": TOKEN}}),
            json!({"command": "npx -y x", "env": {"K": TOKEN}}),
            json!({"command": "x", "env": {"K": TOKEN}, "envFile": "a"}),
            json!({"command": "x", "oauth": {"client_secret": TOKEN}}),
            json!({"env": {"K": TOKEN}}),
        ] {
            let why = read("cursor", &entry, true).unwrap().unwrap_err();
            assert!(!why.contains("canary"), "{why}");
        }
    }

    #[test]
    fn any_name_becomes_one_that_is_safe() {
        for (name, number, expected) in [
            ("github", 1, "github"),
            ("GitHub (work)", 2, "github-work-2"),
            ("../x; id", 1, "x-id"),
            ("-rf", 1, "rf"),
            ("é", 1, "server"),
        ] {
            assert_eq!(server_name(name, number).unwrap().as_str(), expected);
        }
        assert!(server_name(&"a".repeat(10_000), 12).is_some());
    }
}
