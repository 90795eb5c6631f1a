//! One `[services.NAME]` that is a program, checked.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use strongroom_model::command::{self, Askpass, Command, Policy, Program, Rule, Value};
use strongroom_model::policy::{RuleError, Verdict};
use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_model::service::{Auth, Limits};
use strongroom_proxy::exec::environment;

use super::reader::{Section, Text};
use super::{ALLOW_ALL, ConfigError, limits, rules, service};

/// The keys of a program; the published schema has the same.
pub(super) const KEYS: &[&str] = &[
    "command",
    "program",
    "sha256",
    "secrets",
    "env",
    "askpass",
    "allow",
    "ask",
    "deny",
    "i_understand",
    "workdir",
    "timeout",
    "output_bytes",
    "stdin",
    "principals",
    "limits",
];

/// The keys of its `limits`.
pub(super) const LIMITS_KEYS: &[&str] =
    &["stdin_bytes", "calls_per_minute", "calls_at_once", "bytes_per_day"];

/// The keys of its `askpass`.
pub(super) const ASKPASS_KEYS: &[&str] = &["host", "username", "password", "insecure_transport"];

/// What stands as the auth type of a program, and of one that is given nothing.
const SCHEME: &str = "secrets";
const NO_SCHEME: &str = "none";

/// Reads one program.
pub(super) fn read(name: Name, section: &Section<'_>) -> Result<Command, ConfigError> {
    section.only(KEYS)?;
    let program = program(section)?;
    let secrets = secrets(section)?;
    let fields: Vec<&str> = secrets.keys().map(String::as_str).collect();
    let mut command = Command {
        policy: policy(section, &program.word)?,
        env: env(section, &fields)?,
        askpass: section.table("askpass")?.map(|table| askpass(&table, &fields)).transpose()?,
        workdir: workdir(section)?,
        stdin: section.flag("stdin")?.unwrap_or(true),
        limits: limits_of(section)?,
        principals: service::principals(section)?,
        auth: Auth {
            scheme: if secrets.is_empty() { NO_SCHEME } else { SCHEME }.to_owned(),
            secrets,
            ..Auth::default()
        },
        program,
        name,
        revision: 0,
    };
    let mut hasher = DefaultHasher::new();
    format!("{command:?}").hash(&mut hasher);
    command.revision = hasher.finish();
    Ok(command)
}

fn program(section: &Section<'_>) -> Result<Program, ConfigError> {
    let Some(path) = section.text("command")? else {
        return Err(section.problem("the service has no `command`"));
    };
    let file = Path::new(path.text());
    if !file.is_absolute() {
        return Err(path.problem("`command` is not an absolute path").hint(
            "write where the program is, or let `strongroom edit NAME --command PROGRAM` find it",
        ));
    }
    let Some(sha256) = section.text("sha256")? else {
        return Err(section.problem("the program has no `sha256`").hint(
            "run `sha256sum` on the file and write what it says, or let `strongroom add` do it",
        ));
    };
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if sha256.text().len() != 64 || !sha256.text().bytes().all(is_hex) {
        return Err(sha256.problem("`sha256` is not 64 hexadecimal digits in lower case"));
    }
    let word = match section.text("program")? {
        Some(text) if is_word(text.text()) => text.text().to_owned(),
        Some(text) => return Err(text.problem("`program` is not a plain name")),
        None => word_of(file).ok_or_else(|| {
            path.problem("the file's name is not a plain one").hint("write `program = \"NAME\"`")
        })?,
    };
    Ok(Program { path: file.to_owned(), sha256: sha256.text().to_owned(), word })
}

/// What a command line begins with, by the name of its file.
pub fn word_of(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?;
    let name = name.strip_suffix(".exe").unwrap_or(name);
    is_word(name).then(|| name.to_owned())
}

fn is_word(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with(['.', '-'])
}

fn secrets(section: &Section<'_>) -> Result<BTreeMap<String, SecretRef>, ConfigError> {
    let mut secrets = BTreeMap::new();
    for (field, text) in section.table("secrets")?.map_or(Ok(Vec::new()), |s| s.pairs())? {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
        if field.text().is_empty() || !field.text().bytes().all(plain) {
            return Err(
                field.problem("the field's name has other characters than a-z, 0-9, _ and -")
            );
        }
        let reference = text.text().parse().map_err(|error| {
            text.problem(format!("`secrets`: {error}"))
                .hint("write where the secret is kept, not the secret: `local://NAME`")
        })?;
        secrets.insert(field.text().to_owned(), reference);
    }
    Ok(secrets)
}

fn env(section: &Section<'_>, fields: &[&str]) -> Result<Vec<(String, Value)>, ConfigError> {
    let mut env = Vec::new();
    for (name, text) in section.table("env")?.map_or(Ok(Vec::new()), |s| s.pairs())? {
        if !is_variable(name.text()) {
            return Err(name.problem("the name is not a variable's"));
        }
        if environment::reserved(name.text()) {
            return Err(name
                .problem("this variable is set by Strongroom, or is the loader's")
                .hint("a program has a home and a folder for temporary files of its own"));
        }
        env.push((name.text().to_owned(), value("env", &text, fields)?));
    }
    Ok(env)
}

/// Whether `text` is the name of a variable.
pub fn is_variable(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !text.is_empty() && text.bytes().all(plain) && !text.as_bytes()[0].is_ascii_digit()
}

fn value(key: &str, text: &Text<'_>, fields: &[&str]) -> Result<Value, ConfigError> {
    Value::parse(text.text(), fields).map_err(|error| text.problem(format!("`{key}`: {error}")))
}

fn askpass(section: &Section<'_>, fields: &[&str]) -> Result<Askpass, ConfigError> {
    section.only(ASKPASS_KEYS)?;
    if cfg!(windows) {
        return Err(section.problem("`askpass` is not available on Windows"));
    }
    let missing = |key: &str| {
        section.problem(format!("`askpass` has no `{key}`")).hint(
            "write `askpass = { host = \"git.example.com\", username = \"me\", password = \"{{token}}\" }`",
        )
    };
    let host = section.text("host")?.ok_or_else(|| missing("host"))?;
    let username = section.text("username")?.ok_or_else(|| missing("username"))?;
    let password = section.text("password")?.ok_or_else(|| missing("password"))?;
    if !is_host(host.text()) {
        return Err(host
            .problem("`host` is not a host")
            .hint("write it as in the repository's URL: `git.example.com` or `localhost:8443`"));
    }
    let fits = |b: u8| b.is_ascii_graphic() && !b"/'\"\\:".contains(&b);
    if username.text().is_empty() || !username.text().bytes().all(fits) {
        return Err(username.problem("`username` has a character that no user has"));
    }
    Ok(Askpass {
        host: host.text().to_owned(),
        username: username.text().to_owned(),
        password: value("password", &password, fields)?,
        insecure: section.flag("insecure_transport")?.unwrap_or(false),
    })
}

/// A host in lower case, with a port or without.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_name = |host: &str| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        !host.is_empty() && host.bytes().all(plain) && !host.starts_with(['.', '-'])
    };
    let good_host = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_name(host),
    };
    good_host && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn policy(section: &Section<'_>, word: &str) -> Result<Policy, ConfigError> {
    let mut all = Vec::new();
    for (key, verdict) in
        [("allow", Verdict::Allow), ("ask", Verdict::Ask), ("deny", Verdict::Deny)]
    {
        for value in section.list(key)? {
            let table = if value.is_text() { None } else { Some(value.section()?) };
            let Some(text) = table.as_ref().map_or(value.text().map(Some), |t| t.text("rule"))?
            else {
                return Err(value.problem(format!("`{key}` has a table without `rule`")));
            };
            let mut rule = Rule::parse(verdict, word, text.text())
                .map_err(|error| rule_error(&text, key, &error))?;
            if let Some(table) = &table {
                table.only(rules::PROGRAM_KEYS)?;
                rule = rule.with_terms(rules::terms(verdict, table)?);
            }
            all.push(rule);
        }
    }
    let policy = Policy::new(all);
    let understood = section.text("i_understand")?;
    if let Some(text) = understood.as_ref().filter(|text| text.text() != ALLOW_ALL) {
        return Err(text
            .problem("`i_understand` says something else")
            .hint("write `i_understand = \"allow-all\"`, or remove it"));
    }
    if policy.allows_everything() && understood.is_none() {
        return Err(section
            .problem("a rule allows everything")
            .hint("write narrower rules, or say `i_understand = \"allow-all\"`"));
    }
    Ok(policy)
}

/// The rule's own words do not repeat it.
fn rule_error(text: &Text<'_>, key: &str, error: &RuleError) -> ConfigError {
    text.problem(format!("`{key}`: {}", error.problem)).maybe_hint(error.hint)
}

fn workdir(section: &Section<'_>) -> Result<Option<PathBuf>, ConfigError> {
    let Some(text) = section.text("workdir")? else { return Ok(None) };
    if Path::new(text.text()).is_absolute() {
        Ok(Some(text.text().into()))
    } else {
        Err(text.problem("`workdir` is not an absolute path"))
    }
}

fn limits_of(section: &Section<'_>) -> Result<Limits, ConfigError> {
    let mut all = command::limits();
    let bytes = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    if let Some(value) = section.value("timeout") {
        all.total_ms = limits::duration("timeout", value)?;
    }
    if let Some(value) = section.value("output_bytes") {
        all.response_bytes = bytes(limits::size("output_bytes", value)?);
    }
    let Some(table) = section.table("limits")? else { return Ok(all) };
    table.only(LIMITS_KEYS)?;
    if let Some(value) = table.value("stdin_bytes") {
        all.request_bytes = bytes(limits::size("stdin_bytes", value)?);
    }
    if let Some(calls) = limits::per_minute(&table)? {
        all.calls_per_minute = calls;
    }
    all.calls_at_once = limits::running(&table)?;
    all.bytes_per_day = limits::per_day(&table)?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    const GIT: &str = "command = \"/usr/bin/git\"\nsha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\n";

    fn read(lines: &str) -> Result<Command, ConfigError> {
        let config = Config::parse("t", &format!("[services.git]\n{lines}"))?;
        Ok(config.commands.into_values().next().unwrap().as_ref().clone())
    }

    #[test]
    fn a_program_has_its_file_its_secrets_and_where_they_go() {
        let command = read(&format!(
            "{GIT}secrets = {{ token = \"local://git/token\" }}
env = {{ GITHUB_TOKEN = \"{{{{token}}}}\", MODE = \"plain\" }}
askpass = {{ host = \"localhost:8443\", username = \"me\", password = \"{{{{credential}}}}\" }}
allow = [\"git push|fetch **\", {{ rule = \"git log *\", rate = \"5/min\", reason = \"required\" }}]
deny = [\"git -c\"]
timeout = \"5s\"
output_bytes = \"64KiB\"
stdin = false
workdir = \"/srv/site\"
limits = {{ stdin_bytes = 10, calls_per_minute = 5 }}
"
        ))
        .unwrap();
        assert_eq!(command.program.word, "git");
        let secrets = &command.auth.secrets;
        assert_eq!(secrets["token"].as_str(), "local://git/token");
        assert_eq!(command.env[0].1.fields().collect::<Vec<_>>(), ["token"]);
        let askpass = command.askpass.unwrap();
        assert_eq!(askpass.password.fields().collect::<Vec<_>>(), ["token"]);
        assert_eq!(command.policy.rules().len(), 3);
        assert!(command.policy.rules()[1].terms().reason);
        let Limits { total_ms, response_bytes, request_bytes, calls_per_minute, .. } =
            command.limits;
        assert_eq!(
            (total_ms, response_bytes, request_bytes, calls_per_minute),
            (5000, 65536, 10, 5)
        );
        assert!(!command.stdin && command.workdir.is_some());
        let plain = read(GIT).unwrap();
        assert!(plain.stdin && plain.askpass.is_none() && plain.policy.rules().is_empty());
        assert_eq!(plain.limits, command::limits());
        assert_ne!(plain.revision, command.revision);
    }

    // LM-15
    #[test]
    fn a_mistake_is_an_error_that_names_its_place_and_repeats_nothing() {
        let askpass = |fields: &str| format!("{GIT}askpass = {{ {fields} }}");
        for (lines, expected) in [
            ("command = \"canary\"".into(), "`command` is not an absolute path"),
            ("command = \"/usr/bin/canary\"".into(), "the program has no `sha256`"),
            ("command = \"/canary\"\nsha256 = \"canary\"".into(), "`sha256` is not 64"),
            (format!("{GIT}program = \"./canary\""), "`program` is not a plain name"),
            (format!("{GIT}base_url = \"https://canary\""), "unknown key"),
            (format!("{GIT}allow = [\"gh canary\"]"), "`allow`: the first word is not"),
            (format!("{GIT}allow = [\"git **\"]"), "a rule allows everything"),
            (format!("{GIT}secrets = {{ token = \"canary\" }}"), "`secrets`:"),
            (format!("{GIT}env = {{ X = \"{{{{canary}}}}\" }}"), "`env`: a `{{...}}` names no"),
            (format!("{GIT}env = {{ \"1 canary\" = \"x\" }}"), "the name is not a variable's"),
            (format!("{GIT}env = {{ LD_PRELOAD = \"canary\" }}"), "this variable is set by"),
            (format!("{GIT}env = {{ home = \"canary\" }}"), "this variable is set by"),
            (format!("{GIT}workdir = \"canary\""), "`workdir` is not an absolute path"),
            (askpass("host = \"a.test\", username = \"canary\""), "`askpass` has no `password`"),
            (
                askpass("host = \"https://canary\", username = \"u\", password = \"p\""),
                "`host` is not",
            ),
            (askpass("host = \"u@canary\", username = \"u\", password = \"p\""), "`host` is not"),
            (
                askpass("host = \"a.test\", username = \"canary/\", password = \"p\""),
                "`username` has",
            ),
        ] {
            let error = read(&lines).unwrap_err();
            assert!(error.problem.starts_with(expected), "{error}");
            assert!(!format!("{error:?}").contains("canary"), "{error:?}");
        }
    }

    #[test]
    fn a_host_is_written_as_in_a_url() {
        for good in ["git.example.com", "localhost:8443", "127.0.0.1:80", "[::1]:8443", "[::1]"] {
            assert!(is_host(good), "{good}");
        }
        for bad in ["", "Git.example.com", "a b", "a/b", "u@h", "h:", "h:0", "h:99999", "::1", ".h"]
        {
            assert!(!is_host(bad), "{bad}");
        }
    }
}
