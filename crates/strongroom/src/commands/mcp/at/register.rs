//! `strongroom mcp add` on a team server.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use strongroom_clients::scan;
use strongroom_gateway::registry::words;
use strongroom_model::reference::SecretRef;
use strongroom_secrets::remote::answers::{Binding, Done, Server, Servers};

use super::super::add::Args;
use super::{UPDATE, View, find};
use crate::config::tenant::CredentialField;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::Output;
use crate::remote::Remote;
use crate::remote::credentials::SERVERS;

const REGISTER: &str = "/functions/v1/mcp-servers/register";

/// Registers a server for the tenant.
pub(super) fn register(
    args: &Args,
    remote: &Remote,
    host: &Host,
    output: Output,
) -> Result<(), Failure> {
    args.refuse_local_flags()?;
    let Request { body, changes } = Request::of(args)?;
    let there: Servers = remote.get_exact(SERVERS, &[])?;
    let is_there = there.servers.iter().any(|server| server.server_id == args.name.as_str());
    if is_there && !args.replace {
        return Err(Failure::failed(format!("there is a server `{}` already", args.name))
            .hint("choose another name, or put it in its place with `--replace`"));
    }
    remote.confirm(&changes, host)?;
    let view = if is_there {
        remote.post::<Done>(UPDATE, &body)?;
        View::of(find(remote.get(SERVERS, &[])?, args.name.as_str(), remote)?)
    } else {
        View::of(remote.post_once::<Server>(REGISTER, &body)?)
    };
    output.report(&view)
}

/// What is sent, and what it lets happen.
struct Request {
    body: Value,
    changes: Vec<String>,
}

impl Request {
    fn of(args: &Args) -> Result<Self, Failure> {
        let name = args.name.as_str();
        let mut body = Map::new();
        let mut changes = Vec::new();
        body.insert("server_id".into(), json!(name));
        body.insert("name".into(), json!(args.description.as_deref().unwrap_or(name)));
        let prefix = args.tool_prefix.clone().unwrap_or_else(|| format!("{name}."));
        body.insert("tool_prefix".into(), json!(prefix));
        body.insert("enabled".into(), json!(!args.off));
        let mut secrets = BTreeMap::new();
        if let Some(url) = &args.url {
            body.insert("url".into(), json!(url));
            changes.push(format!("sends to {url}"));
            let mut headers = BTreeMap::new();
            for (name, text) in pairs("header", &args.header)? {
                match whole_reference(text) {
                    Some(reference) => drop(secrets.insert(name, binding(reference)?)),
                    None => drop(headers.insert(name, plain(name, text)?)),
                }
            }
            if !headers.is_empty() {
                body.insert("headers".into(), json!(headers));
            }
        } else {
            let mut line = words_of(args)?;
            changes.push(format!("starts `{}` there", line.join(" ")));
            let program = line.remove(0);
            if line.is_empty() {
                return Err(Failure::usage("on a team server a command has an argument at least")
                    .hint("the operator's list says which commands with which arguments may run"));
            }
            body.insert("command".into(), json!(program));
            body.insert("args".into(), json!(line));
        }
        for (name, reference) in pairs("secret", &args.secret)? {
            secrets.insert(name, binding(reference)?);
        }
        changes.extend(secrets.iter().map(|(name, from)| {
            format!("gives its `{name}` the tenant's credential {}", from.reference())
        }));
        if !secrets.is_empty() {
            body.insert("secrets".into(), json!(secrets));
        }
        Ok(Self { body: Value::Object(body), changes })
    }
}

fn words_of(args: &Args) -> Result<Vec<String>, Failure> {
    if let Some(text) = &args.command {
        return words::split(text).map_err(|error| Failure::usage(error).hint(error.hint()));
    }
    if args.words.is_empty() {
        return Err(Failure::usage("a command or an address is missing").hint(format!(
            "write how it is started behind `--`: `strongroom mcp add {} -- node server.js`",
            args.name
        )));
    }
    Ok(args.words.clone())
}

fn pairs<'a>(flag: &str, pairs: &'a [String]) -> Result<Vec<(&'a str, &'a str)>, Failure> {
    let mut all = BTreeMap::new();
    for pair in pairs {
        let (name, text) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("`--{flag}` is given as `NAME=VALUE`")))?;
        if all.insert(name, text).is_some() {
            return Err(Failure::usage(format!("a name stands twice under `--{flag}`")));
        }
    }
    Ok(all.into_iter().collect())
}

/// The reference that a header is, and nothing beside it.
fn whole_reference(text: &str) -> Option<&str> {
    text.strip_prefix("{{")?.strip_suffix("}}")
}

/// A header that is not secret.
fn plain<'a>(name: &str, text: &'a str) -> Result<&'a str, Failure> {
    if text.contains("{{") {
        return Err(Failure::usage("on a team server a header is a secret as a whole, or none")
            .hint("store the whole value, with its `Bearer `, and write `NAME={{local://SERVICE/FIELD}}`"));
    }
    if scan::variable(name, text).is_some() {
        return Err(Failure::failed("a value under `headers` looks like a secret itself")
            .hint("store it with `strongroom secrets set SERVICE/FIELD`, and write `NAME={{local://SERVICE/FIELD}}`"));
    }
    Ok(text)
}

/// The field of a credential that `reference` names.
fn binding(reference: &str) -> Result<Binding, Failure> {
    let wrong = || {
        Failure::usage("a secret of a team's server is a credential of its tenant")
            .hint("write `local://SERVICE/FIELD`, or `local://SERVICE/TYPE/FIELD`")
    };
    let reference: SecretRef = reference.parse().map_err(|_| wrong())?;
    let place = CredentialField::of(&reference).ok_or_else(wrong)?;
    Ok(Binding {
        service: place.service.to_owned(),
        credential_type: place.credential_type.to_owned(),
        field: place.field.to_owned(),
    })
}
