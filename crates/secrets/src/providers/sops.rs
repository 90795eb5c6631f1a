//! `sops:///PATH#KEY`: a value in a file that `sops` has encrypted.
//!
//! `KEY` is a key of the file, or several with `.` between them for what stands deeper; a number
//! counts the elements of a list. One process opens one file, however many values are taken from it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::value::RawValue;
use strongroom_model::ports::{BoxFuture, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

use super::program::{Answered, Call, PASS_ENV, PROGRAM, Program, Tool, each};
use super::usable;
use crate::settings::{Context, Field, Kind, SettingError, Settings, Tokens};

/// What `[providers.sops]` takes.
pub(super) const FIELDS: &[Field] = &[
    Field { name: "age_key", kind: Kind::Secret, about: "the age identity that opens the files" },
    Field { name: "age_key_file", kind: Kind::Path, about: "a file with age identities" },
    Field {
        name: "gnupg_home",
        kind: Kind::Path,
        about: "gpg's directory, where it is not `~/.gnupg`",
    },
    PROGRAM,
    PASS_ENV,
];

/// The program.
pub(super) static TOOL: Tool = Tool {
    scheme: "sops",
    name: "sops",
    windows: "sops",
    keep: &["XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"],
};

/// Asks `sops`.
pub(super) struct SopsProvider {
    program: Program,
    age_key: Option<SecretRef>,
    tokens: Tokens,
}

/// The provider of `[providers.sops]`.
pub(super) fn new(settings: &Settings, context: &Context) -> Result<SopsProvider, SettingError> {
    let mut program = Program::new(&TOOL, settings, context)?;
    for (key, variable) in [("age_key_file", "SOPS_AGE_KEY_FILE"), ("gnupg_home", "GNUPGHOME")] {
        if let Some(path) = settings.text(key) {
            program.set(variable, path);
        }
    }
    let age_key = settings.secret("age_key").cloned();
    Ok(SopsProvider { program, age_key, tokens: context.tokens.clone() })
}

impl SopsProvider {
    /// The values of `refs`, which are all in the file at `path`.
    async fn file(
        &self,
        path: &str,
        refs: &[&SecretRef],
        age_key: Option<&Secret>,
    ) -> Vec<Result<Secret, ResolveError>> {
        let all = |error: &dyn Fn(&SecretRef) -> ResolveError| {
            refs.iter().map(|reference| Err(error(reference))).collect::<Vec<_>>()
        };
        if !Path::new(path).is_file() {
            return all(&|reference| ResolveError::NotFound { reference: reference.clone() });
        }
        let call = Call {
            args: ["decrypt", "--output-type", "json", path].map(Into::into).to_vec(),
            token: age_key.map(|key| ("SOPS_AGE_KEY", key)),
            count: FILE,
            ..Call::default()
        };
        let answered = match self.program.ask(call).await {
            Ok(answered) => answered,
            Err(error) => return all(&|_| error.clone()),
        };
        if answered.code != Some(0) {
            return all(&|reference| trouble(&answered, reference));
        }
        if answered.flooded {
            return all(&|reference| unusable(reference, "the file that it is in is too large"));
        }
        let text = std::str::from_utf8(&answered.stdout).ok();
        let document: Option<&RawValue> = text.and_then(|text| serde_json::from_str(text).ok());
        match document {
            Some(document) => refs.iter().map(|reference| value(document, reference)).collect(),
            None => all(&|_| {
                ResolveError::unreachable(
                    "sops",
                    "its program answered in a form that is not known",
                )
            }),
        }
    }
}

/// A file may be as large as so many secrets.
const FILE: usize = 8;

impl Provider for SopsProvider {
    fn scheme(&self) -> &'static str {
        "sops"
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        Box::pin(async move {
            let age_key = match &self.age_key {
                Some(reference) if !refs.is_empty() => {
                    match self.tokens.get("sops", reference).await {
                        Ok(key) => Some(key),
                        Err(error) => return refs.iter().map(|_| Err(error.clone())).collect(),
                    }
                }
                _ => None,
            };
            let mut files: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
            for (place, reference) in refs.iter().enumerate() {
                files.entry(reference.path()).or_default().push(place);
            }
            let files: Vec<_> = files.into_iter().collect();
            let opened = each(&files, |(path, places)| {
                let of_file: Vec<_> = places.iter().map(|place| &refs[*place]).collect();
                let age_key = age_key.as_ref();
                async move { self.file(path, &of_file, age_key).await }
            });
            let mut answers: Vec<_> = refs.iter().map(|_| None).collect();
            for ((_, places), values) in files.iter().zip(opened.await) {
                for (place, value) in places.iter().zip(values) {
                    answers[*place] = Some(value);
                }
            }
            answers.into_iter().flatten().collect()
        })
    }
}

fn value(document: &RawValue, reference: &SecretRef) -> Result<Secret, ResolveError> {
    let key = reference.fragment().unwrap_or_default();
    let found = find(document, key)
        .ok_or_else(|| ResolveError::NotFound { reference: reference.clone() })?;
    let text = match found.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(found.get()).ok(),
        Some(b'{' | b'[' | b'n') | None => None,
        // A number or a truth value, as it is written.
        Some(_) => Some(found.get().to_owned()),
    };
    let text = text.ok_or_else(|| unusable(reference, "it is not one value"))?;
    usable(Secret::new(text.into_bytes()), reference)
}

/// The value at `key`: a key as a whole wins over its parts.
fn find<'a>(document: &'a RawValue, key: &str) -> Option<&'a RawValue> {
    if document.get().starts_with('[') {
        let list: Vec<&RawValue> = serde_json::from_str(document.get()).ok()?;
        let (number, rest) = key.split_once('.').map_or((key, None), |(n, rest)| (n, Some(rest)));
        let element = list.get(number.parse::<usize>().ok()?).copied()?;
        return rest.map_or(Some(element), |rest| find(element, rest));
    }
    let table: BTreeMap<String, &RawValue> = serde_json::from_str(document.get()).ok()?;
    if let Some(value) = table.get(key) {
        return Some(value);
    }
    key.match_indices('.').find_map(|(at, _)| find(table.get(&key[..at])?, &key[at + 1..]))
}

fn unusable(reference: &SecretRef, why: &'static str) -> ResolveError {
    ResolveError::Unusable { reference: reference.clone(), why }
}

fn trouble(answered: &Answered, reference: &SecretRef) -> ResolveError {
    if answered.says(&["mac mismatch"]) {
        ResolveError::Integrity { scheme: "sops".to_owned() }
    } else if answered.says(&["metadata not found"]) {
        unusable(reference, "the file that it is in was not made by sops")
    } else if answered.says(&["data key required to decrypt", "error getting data key"]) {
        let unreached =
            ["dial tcp", "no such host", "i/o timeout", "connection refused", "deadline exceeded"];
        if answered.says(&unreached) {
            return ResolveError::unreachable("sops", "the key service does not answer");
        }
        ResolveError::Denied {
            reference: reference.clone(),
            why: "no key that sops has here opens the file".to_owned(),
        }
    } else {
        ResolveError::unreachable("sops", "its program failed in a way that is not known")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leads_into_tables_and_lists() {
        let text =
            r#"{"a":{"b":["x",{"c":"y"}],"n":1.10,"t":true,"z":null},"a.b":"whole","é":"\u00e9"}"#;
        let document: &RawValue = serde_json::from_str(text).unwrap();
        let at = |key: &str| {
            let reference = format!("sops:///f#{key}").parse().unwrap();
            match value(document, &reference) {
                Ok(secret) => String::from_utf8(secret.expose().to_vec()).unwrap(),
                Err(error) => error.kind().to_owned(),
            }
        };
        for (key, expected) in [
            ("a.b", "whole"),
            ("a.n", "1.10"),
            ("a.t", "true"),
            ("é", "é"),
            ("a", "unusable"),
            ("a.z", "unusable"),
            ("a.b.0", "x"),
            ("b", "not_found"),
            ("a.nope", "not_found"),
        ] {
            assert_eq!(at(key), expected, "{key}");
        }
        let nested: &RawValue = serde_json::from_str(r#"{"l":["x",{"c":"y"}]}"#).unwrap();
        assert_eq!(find(nested, "l.0").unwrap().get(), r#""x""#);
        assert_eq!(find(nested, "l.1.c").unwrap().get(), r#""y""#);
        assert!(find(nested, "l.2").is_none() && find(nested, "l.x").is_none());
    }
}
