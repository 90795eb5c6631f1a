//! Where the key of a service comes from: a hidden prompt, stdin, a variable, a reference.
//!
//! No secret is an argument, but for `--key VALUE`, which exists because people know it and which
//! warns (decision 20).

use std::fmt;
use std::io::{self, Read as _};
use std::str::FromStr;

use strongroom_model::ports::ResolveError;
use strongroom_model::redact;
use strongroom_model::reference::{RefError, SecretRef};
use strongroom_model::secret::Secret;

use crate::app::{resolve, resolver};
use crate::environment::Host;
use crate::failure::Failure;
use crate::hidden::{self, Unseen};
use crate::output::Output;

/// The largest key.
const LARGEST: usize = 1 << 20;

/// Where the key comes from.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "The key")]
#[group(multiple = false)]
pub struct KeyFlags {
    /// Read it from stdin: one line for each secret where there are several, PEM for a certificate
    #[arg(long)]
    pub key_stdin: bool,
    /// Copy it from an environment variable
    #[arg(long, value_name = "VAR")]
    pub key_from_env: Option<String>,
    /// Do not store it; read it there at each use: `env://NAME`, `file:///PATH` (repeatable, with
    /// `FIELD=` in front where there are several secrets)
    #[arg(long, value_name = "[FIELD=]REFERENCE")]
    pub key_from: Vec<Elsewhere>,
    /// The key itself (the shell's history and the process list will have it: use --key-stdin)
    #[arg(long, value_name = "VALUE")]
    pub key: Option<Pasted>,
}

/// Where a secret is, and which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    field: Option<String>,
    reference: SecretRef,
}

impl FromStr for Elsewhere {
    type Err = RefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A scheme has no `=`; what comes behind it may have.
        match text.split_once('=') {
            Some((field, reference)) if !field.contains(':') => {
                Ok(Self { field: Some(field.to_owned()), reference: reference.parse()? })
            }
            _ => Ok(Self { field: None, reference: text.parse()? }),
        }
    }
}

/// A key on the command line. It is in the process list already; it goes no further.
#[derive(Clone)]
pub struct Pasted(String);

impl FromStr for Pasted {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Pasted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pasted(..)")
    }
}

/// A key, or where it is.
#[derive(Debug)]
pub enum Key {
    /// They stay where they are: one reference for each field, in order.
    At(Vec<SecretRef>),
    /// One secret for each field, in order.
    Values(Vec<Secret>),
}

impl KeyFlags {
    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        !self.key_stdin
            && self.key_from_env.is_none()
            && self.key_from.is_empty()
            && self.key.is_none()
    }

    /// The key for `fields` of a service; where no flag says where it is, the person is asked.
    pub fn obtain(
        &self,
        host: &Host,
        output: &Output,
        prompt: &str,
        fields: &[String],
    ) -> Result<Key, Failure> {
        let one = |flag: &str| match fields {
            [_] => Ok(()),
            _ => Err(Failure::usage(format!(
                "`{flag}` gives one secret, and there are {}",
                fields.len()
            ))
            .hint("give them by `--key-stdin`, one line each, or at a terminal")),
        };
        if !self.key_from.is_empty() {
            return elsewhere(&self.key_from, fields).map(Key::At);
        }
        let values = if self.key_stdin {
            split(read_stdin()?, fields)?
        } else if let Some(variable) = &self.key_from_env {
            one("--key-from-env")?;
            vec![from_variable(host, variable)?]
        } else if let Some(Pasted(text)) = &self.key {
            one("--key")?;
            output.warn(
                "the shell's history and the process list have this key now; give it by \
                 `--key-stdin` instead, and think of replacing it",
            );
            vec![text.clone().into_bytes()]
        } else {
            ask(host, prompt, fields)?
        };
        if is_pem(fields) || is_document(fields, &values) {
            let values: Vec<Secret> = values.into_iter().map(Secret::new).collect();
            if values.iter().any(|value| value.is_empty() || value.len() > LARGEST) {
                return Err(Failure::failed("the key is empty, or larger than 1 MiB"));
            }
            return Ok(Key::Values(values));
        }
        let mut secrets = Vec::with_capacity(values.len());
        for value in values {
            secrets.push(checked(value, *output)?);
        }
        Ok(Key::Values(secrets))
    }
}

impl Key {
    /// Warns where the key stays at a place that has no key to give now. It may have one by the time
    /// that a broker asks, in an environment of its own, so this is no error.
    pub fn warn_if_absent(&self, host: &Host, output: &Output) {
        // Whether a stored secret is there and may be used was checked before.
        let Self::At(references) = self else { return };
        let references: Vec<SecretRef> =
            references.iter().filter(|reference| reference.scheme() != "local").cloned().collect();
        if references.is_empty() {
            return;
        }
        let answers = resolve(&resolver(host, None), &references);
        for (reference, answer) in references.iter().zip(answers) {
            let Err(error) = answer else { continue };
            let why = match error {
                ResolveError::NotFound { .. } if reference.scheme() == "env" => {
                    "the variable is not set or empty; set it where the broker is started".into()
                }
                ResolveError::NotFound { .. } => "there is no such file".to_owned(),
                ResolveError::Denied { why, .. } => why,
                ResolveError::Unusable { why, .. } => why.to_owned(),
                other => other.to_string(),
            };
            output.warn(&format!("`{reference}` has no key to give now: {why}"));
        }
    }
}

/// The reference of each field.
fn elsewhere(given: &[Elsewhere], fields: &[String]) -> Result<Vec<SecretRef>, Failure> {
    if let ([only], [_]) = (given, fields)
        && only.field.is_none()
    {
        return Ok(vec![only.reference.clone()]);
    }
    let names = || format!("the secrets are {}", fields.join(", "));
    if given.iter().any(|one| !one.field.as_ref().is_some_and(|field| fields.contains(field))) {
        let text =
            "`--key-from` does not say which secret it is for, or says one that there is not";
        return Err(
            Failure::usage(text).hint(format!("write `--key-from FIELD=REFERENCE`; {}", names()))
        );
    }
    let of = |field: &String| {
        let mut found = given.iter().filter(|one| one.field.as_ref() == Some(field));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one.reference.clone()),
            (None, _) => {
                Err(Failure::usage(format!("`--key-from {field}=REFERENCE` is missing"))
                    .hint(names()))
            }
            _ => Err(Failure::usage(format!("`--key-from {field}=...` is there twice"))),
        }
    };
    fields.iter().map(of).collect()
}

fn from_variable(host: &Host, variable: &str) -> Result<Vec<u8>, Failure> {
    if format!("env://{variable}").parse::<SecretRef>().is_err() {
        return Err(Failure::usage("`--key-from-env` takes the name of a variable"));
    }
    let value = host.environment.get(variable);
    let value =
        value.ok_or_else(|| Failure::failed(format!("`{variable}` is not set or empty")))?;
    Ok(value.as_encoded_bytes().to_vec())
}

/// A secret that may be any text, of several lines too: from stdin, or typed where nobody sees it.
pub fn secret(host: &Host, stdin: bool, prompt: &str) -> Result<Secret, Failure> {
    let value = if stdin {
        let mut bytes = read_stdin()?;
        strip_line_end(&mut bytes);
        bytes
    } else if host.terminals.stdin {
        let typed = hidden::ask(&format!("Secret ({prompt}; not shown): "));
        typed.or_else(none_typed)?.into_bytes()
    } else {
        return Err(Failure::usage("there is no terminal to ask for the secret at")
            .hint("give it by `--key-stdin`"));
    };
    let secret = Secret::new(value);
    if secret.is_empty() {
        return Err(Failure::failed("the secret is empty, so nothing was changed")
            .hint("paste it at the prompt, or give it by `--key-stdin`"));
    }
    if secret.len() > LARGEST {
        return Err(Failure::failed("the secret is larger than 1 MiB"));
    }
    Ok(secret)
}

/// A value for each of `names`, any text of one line: from stdin, a line each, or typed where nobody
/// sees it. A single one from stdin may have several lines.
pub fn fields(
    host: &Host,
    stdin: bool,
    prompt: &str,
    names: &[String],
) -> Result<Vec<Secret>, Failure> {
    if let [_] = names {
        return Ok(vec![secret(host, stdin, prompt)?]);
    }
    let values = if stdin { split(read_stdin()?, names)? } else { ask(host, prompt, names)? };
    let values: Vec<Secret> = values.into_iter().map(Secret::new).collect();
    if values.iter().any(|value| value.is_empty() || value.len() > LARGEST) {
        return Err(Failure::failed(
            "a secret is empty or larger than 1 MiB, so nothing was changed",
        ));
    }
    Ok(values)
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::with_capacity(64 << 10);
    io::stdin().lock().take(LARGEST as u64 + 2).read_to_end(&mut bytes).map_err(Failure::failed)?;
    Ok(bytes)
}

/// A value for each of `fields`: the whole without one line end, or a line each.
fn split(mut bytes: Vec<u8>, fields: &[String]) -> Result<Vec<Vec<u8>>, Failure> {
    let count = fields.len();
    strip_line_end(&mut bytes);
    if count == 1 {
        return Ok(vec![bytes]);
    }
    let secret = Secret::new(bytes);
    let whole = secret.expose();
    if is_pem(fields) {
        return pem(whole);
    }
    let lines: Vec<Vec<u8>> = whole
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
        .collect();
    if lines.len() == count {
        Ok(lines)
    } else {
        let found = lines.len();
        drop(lines.into_iter().map(Secret::new).collect::<Vec<_>>());
        let lines = if found == 1 { "1 line".to_owned() } else { format!("{found} lines") };
        Err(Failure::failed(format!("stdin has {lines}, and there are {count} secrets"))
            .hint(format!("give one line for each, in this order: {}", fields.join(", "))))
    }
}

/// Whether the fields are a client certificate and its key, which have several lines each.
fn is_pem(fields: &[String]) -> bool {
    fields == ["certificate", "key"]
}

/// Whether the one secret is a file of several lines: the JSON of a Google service account, the PEM of a
/// GitHub App. A header or parameter may have the same name; what it holds does not begin like that.
fn is_document(fields: &[String], values: &[Vec<u8>]) -> bool {
    match (fields, values) {
        ([field], [value]) if field == "key" => value.trim_ascii_start().starts_with(b"{"),
        ([field], [value]) if field == "private_key" => value.starts_with(b"-----BEGIN "),
        _ => false,
    }
}

/// The certificates, and the private key, of PEM files behind each other in any order.
fn pem(whole: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    let mut found = [Vec::with_capacity(whole.len() + 1), Vec::with_capacity(whole.len() + 1)];
    let mut keys = 0;
    let mut within = None;
    for line in whole.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii_end();
        if let Some(kind) = line.strip_prefix(b"-----BEGIN ") {
            within = match kind.strip_suffix(b"-----") {
                Some(b"CERTIFICATE") => Some(0),
                Some(kind) if kind.ends_with(b"PRIVATE KEY") => Some(1),
                _ => None,
            };
            keys += usize::from(within == Some(1));
        }
        if let Some(at) = within {
            found[at].extend_from_slice(line);
            found[at].push(b'\n');
        }
        if line.starts_with(b"-----END ") {
            within = None;
        }
    }
    let problem = match (found[0].is_empty(), keys) {
        (true, _) => "there is no certificate on stdin",
        (_, 0) => "there is no private key on stdin",
        (_, 1) => return Ok(found.into()),
        _ => "there is more than one private key on stdin",
    };
    drop(found.map(Secret::new));
    Err(Failure::failed(problem)
        .hint("give both as PEM, as in `cat client.pem client.key | strongroom ... --key-stdin`"))
}

fn strip_line_end(bytes: &mut Vec<u8>) {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
}

fn ask(host: &Host, prompt: &str, fields: &[String]) -> Result<Vec<Vec<u8>>, Failure> {
    if !host.terminals.stdin {
        return Err(Failure::usage("there is no terminal to ask for the key at")
            .hint("give it by `--key-stdin`, `--key-from-env VAR` or `--key-from REFERENCE`"));
    }
    if is_pem(fields) {
        return Err(Failure::usage("a certificate and its key cannot be typed").hint(
            "give both as PEM, as in `cat client.pem client.key | strongroom ... --key-stdin`",
        ));
    }
    if fields == ["private_key"] {
        return Err(Failure::usage("a key of several lines cannot be typed")
            .hint("give its file, as in `strongroom ... --key-stdin < FILE`"));
    }
    let _unseen = Unseen::begin();
    let mut values = Vec::new();
    for field in fields {
        let which = if fields.len() > 1 { format!(", `{field}`") } else { String::new() };
        let text =
            hidden::ask(&format!("Key ({prompt}{which}; not shown): ")).or_else(none_typed)?;
        values.push(text.into_bytes());
    }
    Ok(values)
}

/// The end of the input is an answer, too: no key.
fn none_typed(error: io::Error) -> Result<String, Failure> {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        Ok(String::new())
    } else {
        Err(Failure::failed(error))
    }
}

/// What can be a key: something that can stand in one line of a request.
fn checked(value: Vec<u8>, output: Output) -> Result<Secret, Failure> {
    let is_empty = value.is_empty();
    let is_large = value.len() > LARGEST;
    let has_control = value.iter().any(|byte| *byte < 0x20 || *byte == 0x7f);
    let has_edge = [value.first(), value.last()].contains(&Some(&b' '));
    let secret = Secret::new(value);
    if is_empty {
        return Err(Failure::failed("the key is empty, so nothing was changed")
            .hint("paste it at the prompt, or give it by `--key-stdin`"));
    }
    if is_large {
        return Err(Failure::failed("the key is larger than 1 MiB"));
    }
    if has_control || has_edge {
        let what = if has_control {
            "has a line end or control character in it"
        } else {
            "starts or ends with a blank"
        };
        return Err(
            Failure::failed(format!("the key {what}")).hint("was it pasted whole, and alone?")
        );
    }
    if secret.len() < redact::SHORTEST {
        return Err(Failure::failed(format!(
            "the key is too short: one of less than {} bytes cannot be told from other text",
            redact::SHORTEST
        )));
    }
    if secret.len() < redact::SAFE {
        output
            .warn("the key is too short to redact safely: only its exact text is found in answers");
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_not_part_of_a_key() {
        let fields = |count| vec!["x".to_owned(); count];
        let of = |text: &str, count| split(text.as_bytes().to_vec(), &fields(count)).unwrap();
        assert_eq!(of("abc\n", 1), [b"abc".to_vec()]);
        assert_eq!(of("abc\r\n", 1), [b"abc".to_vec()]);
        assert_eq!(of("abc\n\n", 1), [b"abc\n".to_vec()]);
        assert_eq!(of("abc\r\ndef\n", 2), [b"abc".to_vec(), b"def".to_vec()]);
        assert!(split(b"abc\n".to_vec(), &fields(2)).is_err());
    }

    #[test]
    fn certificates_and_their_key_come_in_any_order() {
        let fields = ["certificate".to_owned(), "key".to_owned()];
        let of = |text: &str| split(text.as_bytes().to_vec(), &fields);
        let block = |kind: &str, body: &str| {
            format!("-----BEGIN {kind}-----\r\n{body}\r\n-----END {kind}-----\r\n")
        };
        let (own, above) = (block("CERTIFICATE", "AAAA"), block("CERTIFICATE", "BBBB"));
        let key = block("EC PRIVATE KEY", "CCCC");
        let other = block("EC PARAMETERS", "DDDD");
        let plain = |text: String| text.replace('\r', "").into_bytes();
        let due = [plain(format!("{own}{above}")), plain(key.clone())];
        for text in [
            format!("{own}{above}{key}"),
            format!("Bag Attributes\n{other}{key}subject=x\n{own}{above}"),
        ] {
            assert_eq!(of(&text).unwrap(), due);
        }
        for text in [own.clone(), key.clone(), format!("{own}{key}{key}"), "canary\nx".into()] {
            let error = of(&text).unwrap_err().error.unwrap().to_string();
            assert!(error.starts_with("there is ") && !error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn each_secret_can_be_elsewhere() {
        let fields = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let of = |given: &[&str], names: &[&str]| {
            let given: Vec<Elsewhere> = given.iter().map(|text| text.parse().unwrap()).collect();
            elsewhere(&given, &fields(names)).map(|found| {
                found.iter().map(|reference| reference.as_str().to_owned()).collect::<Vec<_>>()
            })
        };
        let two = ["certificate", "key"];
        assert_eq!(of(&["env://A"], &["token"]).unwrap(), ["env://A"]);
        assert_eq!(of(&["token=env://A"], &["token"]).unwrap(), ["env://A"]);
        let given = ["key=env://B", "certificate=file:///a=b"];
        assert_eq!(of(&given, &two).unwrap(), ["file:///a=b", "env://B"]);
        for given in
            [&["env://A"][..], &["key=env://A"], &["key=env://A", "x=env://B"], &["key=env://A"; 2]]
        {
            assert!(of(given, &two).is_err(), "{given:?}");
        }
        assert_eq!(of(&["file:///a=b"], &["token"]).unwrap(), ["file:///a=b"]);
    }

    #[test]
    fn a_document_is_told_from_a_key_by_how_it_begins() {
        let is = |field: &str, value: &str| {
            is_document(&[field.to_owned()], &[value.as_bytes().to_vec()])
        };
        assert!(is("key", "{\n  \"type\": \"service_account\"\n}"));
        assert!(is("private_key", "-----BEGIN RSA PRIVATE KEY-----\nAA"));
        assert!(!is("key", "AIza-a-parameter") && !is("token", "{\n}"));
        assert!(!is("private_key", "canary\nx"));
    }

    #[test]
    fn debugging_the_flags_shows_no_key() {
        let flags = KeyFlags { key: Some("canary".parse().unwrap()), ..KeyFlags::default() };
        assert!(!format!("{flags:?}").contains("canary"));
    }
}
