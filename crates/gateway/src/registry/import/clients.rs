//! `mcpServers`, `servers` and `context_servers`, as clients write them.
//!
//! They are the user's own, so that a reference in them is meant. `${VARIABLE}` becomes a reference to
//! the variable, and `${input:NAME}` a slot or a setting.

use super::compose::{Line, Piece, Place};
use super::fields::{Cut, clean, cut, scalar, text_at};
use super::{Found, Making, Node, Problem, Shape, Value, keyed, names, texts};
use crate::registry::words;
use strongroom_model::server::{Piece as TemplatePiece, Template};

/// The keys under which clients keep their servers.
const KEYS: &[&str] = &["mcpServers", "context_servers", "amp.mcpServers", "servers"];

/// The servers of a client's configuration, if it is one.
pub(super) fn find(root: &Node) -> Option<Vec<Found<'_>>> {
    KEYS.iter().find_map(|key| {
        let node = root.get(key)?;
        match &node.value {
            Value::Table(members) => {
                let is_client = *key != "servers"
                    || members
                        .iter()
                        .all(|m| m.value.get("command").is_some() || address(&m.value).is_some());
                is_client.then(|| keyed(node, Shape::Client).collect())
            }
            Value::List(items) if *key != "servers" => {
                Some(items.iter().map(|item| super::named(item, item.at, Shape::Client)).collect())
            }
            _ => None,
        }
    })
}

fn address(node: &Node) -> Option<&str> {
    ["url", "serverUrl", "httpUrl", "uri"].iter().find_map(|key| text_at(node, key))
}

/// One server.
pub(super) fn make(making: &mut Making<'_>, node: &Node, root: &Node) -> Result<(), Problem> {
    let known = [
        "command",
        "args",
        "env",
        "cwd",
        "url",
        "serverUrl",
        "httpUrl",
        "uri",
        "headers",
        "type",
        "name",
        "description",
        "envs",
        "http_headers",
        "source",
        "enabled",
        "disabled",
        "timeout",
    ];
    let passed: Vec<&str> =
        texts(node).into_keys().filter(|key| !known.contains(key) && is_word(key)).collect();
    if !passed.is_empty() {
        making.notice(format!(
            "what it says of `{}` is the client's, and stays there",
            passed.join("`, `")
        ));
    }
    making.about = text_at(node, "description").map(clean);
    if let Some(url) = address(node).map(str::to_owned) {
        let line = fill(making, root, Place { kind: "url", name: "url" }, &url)?;
        making.url = Some(seal(making, &line)?);
        for header in ["headers", "http_headers"]
            .iter()
            .filter_map(|key| node.get(key))
            .flat_map(Node::members)
        {
            let value = scalar(&header.value).unwrap_or_default();
            let line = fill(making, root, Place { kind: "headers", name: &header.key }, &value)?;
            if !line.is_open() {
                let text = seal(making, &line)?;
                making.headers.insert(header.key.clone(), text);
            }
        }
        return Ok(());
    }
    for word in command(making, node)? {
        let line = fill(making, root, Place { kind: "args", name: "args" }, &word)?;
        let text = seal(making, &line)?;
        making.words.push(text);
    }
    let inner = node.get("command").filter(|command| matches!(command.value, Value::Table(_)));
    let holders = [Some(node), inner];
    for variable in holders
        .iter()
        .flatten()
        .flat_map(|holder| ["env", "envs"].map(|key| holder.get(key)))
        .flatten()
        .flat_map(Node::members)
    {
        let value = scalar(&variable.value).unwrap_or_default();
        let line = fill(making, root, Place { kind: "env", name: &variable.key }, &value)?;
        if !line.is_open() {
            let text = seal(making, &line)?;
            making.env.insert(variable.key.clone(), text);
        }
    }
    making.cwd = text_at(node, "cwd").filter(|cwd| cwd.starts_with(['/', '~'])).map(str::to_owned);
    Ok(())
}

/// The words of a command: a program with `args`, one line, or Zed's `{path, args}`.
fn command(making: &Making<'_>, node: &Node) -> Result<Vec<String>, Problem> {
    let command = node.get("command").or_else(|| node.get("cmd"));
    let command =
        command.ok_or_else(|| making.refuse("the server has neither `command` nor `url`"))?;
    let arguments = |node: &Node| -> Vec<String> {
        node.get("args").map(Node::items).unwrap_or_default().iter().filter_map(scalar).collect()
    };
    let mut found = match &command.value {
        Value::Text(text) if node.get("args").is_none() && text.contains(' ') => words::split(text)
            .map_err(|error| making.refuse(format!("`command`: {error}")).hint(error.hint()))?,
        Value::Text(text) => vec![text.clone()],
        Value::List(items) => items.iter().filter_map(scalar).collect(),
        Value::Table(_) => {
            let mut words: Vec<String> =
                text_at(command, "path").map(str::to_owned).into_iter().collect();
            words.extend(arguments(command));
            words
        }
        _ => Vec::new(),
    };
    found.extend(arguments(node));
    if found.first().is_none_or(String::is_empty) {
        return Err(making.refuse("`command` is empty"));
    }
    Ok(found)
}

/// A text with `${...}` in it.
fn fill(
    making: &mut Making<'_>,
    root: &Node,
    place: Place<'_>,
    value: &str,
) -> Result<Line, Problem> {
    let mut line = Line::default();
    for cut in cut(value, "${", "}") {
        match cut {
            // A client leaves what nothing closes as it is.
            Cut::Text(text) | Cut::Open(text) => line.0.push(Piece::Text(text.to_owned())),
            Cut::Hole(inner) => line.0.extend(variable(making, root, place, inner)?.0),
        }
    }
    Ok(line)
}

fn variable(
    making: &mut Making<'_>,
    root: &Node,
    place: Place<'_>,
    inner: &str,
) -> Result<Line, Problem> {
    if let Some(id) = inner.strip_prefix("input:") {
        let inputs = root.get("inputs").map(Node::items).unwrap_or_default();
        let input = inputs.iter().find(|input| text_at(input, "id") == Some(id));
        if input.and_then(|input| input.get("password")).is_some_and(Node::is_true) {
            return making.slot(place, id, input, true);
        }
        return match input.and_then(|input| input.get("default")).and_then(scalar) {
            Some(default) => Ok(making.given(id, input)?.unwrap_or_else(|| Line::text(default))),
            None => making.open(place, id, input),
        };
    }
    let name = inner.strip_prefix("env:").unwrap_or(inner);
    let (name, default) =
        name.split_once(":-").map_or((name, None), |(name, default)| (name, Some(default)));
    if let Some(default) = default {
        making.notice(format!("`{}` has its default here", clean(name)));
        return Ok(making.given(name, None)?.unwrap_or_else(|| Line::text(default)));
    }
    let reference = format!("env://{name}").parse().ok();
    match reference.filter(|_| matches!(place.kind, "env" | "headers")) {
        Some(reference) => Ok(Line(vec![Piece::Secret(reference)])),
        None => making.open(place, name, None),
    }
}

/// The text of `line`, in which the user's own references are kept.
fn seal(making: &Making<'_>, line: &Line) -> Result<String, Problem> {
    let whole = match line.0.as_slice() {
        [Piece::Text(text)] => text.parse::<Template>().ok(),
        _ => None,
    };
    match whole {
        Some(template) if template.is_secret() => {
            let own = template.pieces().iter().map(|piece| match piece {
                TemplatePiece::Text(text) => Piece::Text(text.clone()),
                TemplatePiece::Reference(reference) => Piece::Secret(reference.clone()),
            });
            making.seal(&Line(own.collect()))
        }
        _ => making.seal(line),
    }
}

fn is_word(text: &str) -> bool {
    text.len() <= 32
        && names::fit(text).is_some()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}
