//! `ToolHive`'s catalogue, in its own format and as what it adds to a `server.json`.

use super::compose::{Line, Place};
use super::fields::{clean, field, flag, scalar, text_at};
use super::official::{assemble, literal_words};
use super::package::{container, image as image_name};
use super::{Found, Making, Node, Problem, Shape, Value, keyed};

/// Where a `server.json` has what its publisher adds.
const PUBLISHER: &str = "io.modelcontextprotocol.registry/publisher-provided";

/// Whose additions are read.
const OURS: &str = "io.github.stacklok";

/// Whether this is a catalogue in `ToolHive`'s own format: its servers are images.
pub(super) fn is_catalogue(root: &Node) -> bool {
    let is_table = |node: &&Node| matches!(node.value, Value::Table(_));
    root.get("remote_servers").as_ref().is_some_and(is_table)
        || root.get("servers").filter(is_table).is_some_and(|servers| {
            servers.members().iter().any(|member| member.value.get("image").is_some())
        })
}

/// The servers of the catalogue and of its groups.
pub(super) fn find(root: &Node) -> Vec<Found<'_>> {
    let groups = root.get("groups").map(Node::items).unwrap_or_default();
    let mut found = Vec::new();
    for node in std::iter::once(root).chain(groups) {
        for (key, shape) in [("servers", Shape::Image), ("remote_servers", Shape::Remote)] {
            if let Some(table) = node.get(key) {
                found.extend(keyed(table, shape));
            }
        }
    }
    found
}

/// An image that is started.
pub(super) fn image(making: &mut Making<'_>, node: &Node) -> Result<(), Problem> {
    making.about = text_at(node, "description").map(clean);
    status(making, node);
    if text_at(node, "transport").is_some_and(|transport| transport != "stdio") {
        return Err(making
            .refuse("the image listens on an address of its own, and is not started by a client")
            .hint("start it yourself, and add its address with `strongroom mcp add --url`"));
    }
    let name = text_at(node, "image")
        .ok_or_else(|| making.refuse("the server has no `image`"))?
        .to_owned();
    let variables = variables(making, field(node, "envVars"))?;
    let name = image_name(making, &name, None)?;
    permissions(making, node);
    assemble(making, &container(&variables, name), &[], &literal_words(node.get("args")))
}

/// A server at an address.
pub(super) fn remote(making: &mut Making<'_>, node: &Node) -> Result<(), Problem> {
    making.about = text_at(node, "description").map(clean);
    status(making, node);
    let url =
        text_at(node, "url").ok_or_else(|| making.refuse("the server has no `url`"))?.to_owned();
    let place = Place { kind: "url", name: "url" };
    let line = making.fill(place, &url, None, false)?;
    making.url = Some(making.seal(&line)?);
    for header in node.get("headers").map(Node::items).unwrap_or_default() {
        let name = text_at(header, "name").unwrap_or_default().to_owned();
        let place = Place { kind: "headers", name: &name };
        if let Some(line) = variable(making, place, &name, header)? {
            making.set_header(&name, &line)?;
        }
    }
    login(making, node);
    Ok(())
}

/// What `ToolHive` adds to a `server.json`: permissions, and arguments where there are none.
pub(super) fn overlay(
    making: &mut Making<'_>,
    server: &Node,
    identifier: Option<&str>,
    way: &Node,
) -> Result<(), Problem> {
    let added =
        server.get("_meta").and_then(|meta| meta.get(PUBLISHER)).and_then(|meta| meta.get(OURS));
    let Some(added) = added else { return Ok(()) };
    let own = identifier.and_then(|identifier| added.get(identifier));
    let Some(own) = own.or_else(|| match added.members() {
        [only] => Some(&only.value),
        _ => None,
    }) else {
        return Ok(());
    };
    status(making, own);
    permissions(making, own);
    login(making, own);
    if field(way, "packageArguments").is_none() && making.url.is_none() {
        for line in literal_words(own.get("args")) {
            making.push(&line)?;
        }
    }
    Ok(())
}

/// `env_vars`; the names of those that the program is given.
fn variables(making: &mut Making<'_>, list: Option<&Node>) -> Result<Vec<String>, Problem> {
    let mut names = Vec::new();
    for node in list.map(Node::items).unwrap_or_default() {
        let name = text_at(node, "name").unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(making.refuse("a variable in the file has no `name`"));
        }
        let place = Place { kind: "env", name: &name };
        if let Some(line) = variable(making, place, &name, node)? {
            making.set_env(&name, &line)?;
            names.push(name);
        }
    }
    Ok(names)
}

/// The value of a variable or a header: `{name, description, required, default, secret, choices}`.
fn variable(
    making: &mut Making<'_>,
    place: Place<'_>,
    name: &str,
    node: &Node,
) -> Result<Option<Line>, Problem> {
    let required = flag(node, "required");
    if flag(node, "secret") {
        return making.slot(place, name, Some(node), required).map(Some);
    }
    if let Some(line) = making.given(name, Some(node))? {
        return Ok(Some(line));
    }
    match field(node, "default").and_then(scalar) {
        Some(default) => Ok(Some(Line::text(default))),
        None if required => making.open(place, name, Some(node)).map(Some),
        None => Ok(None),
    }
}

fn status(making: &mut Making<'_>, node: &Node) {
    if text_at(node, "status").is_some_and(|status| status.eq_ignore_ascii_case("deprecated")) {
        making.notice("the catalogue says that it is deprecated");
    }
}

fn login(making: &mut Making<'_>, node: &Node) {
    if field(node, "oauthConfig").is_some() {
        making.notice("it asks for a log-in (OAuth), which importing does not set up");
    }
}

/// What the server asks to reach. Nothing here grants it or keeps it from it, so it is said.
fn permissions(making: &mut Making<'_>, node: &Node) {
    let Some(asked) = node.get("permissions") else { return };
    let mut words = Vec::new();
    if flag(asked, "privileged") {
        words.push("to run privileged".to_owned());
    }
    for (key, word) in [("read", "to read"), ("write", "to write")] {
        let paths: Vec<_> =
            asked.get(key).map(Node::items).unwrap_or_default().iter().filter_map(scalar).collect();
        if !paths.is_empty() {
            words.push(format!("{word} {}", clean(&paths.join(", "))));
        }
    }
    if let Some(outbound) = asked.get("network").and_then(|network| network.get("outbound")) {
        let hosts = outbound.get("allow_host").map(Node::items).unwrap_or_default();
        let hosts: Vec<_> = hosts.iter().filter_map(scalar).collect();
        if flag(outbound, "insecureAllowAll") {
            words.push("to reach every host".to_owned());
        } else if !hosts.is_empty() {
            words.push(format!("to reach {}", clean(&hosts.join(", "))));
        }
    }
    if !words.is_empty() {
        making.notice(format!("it asks {}; nothing here grants or limits that", words.join(", ")));
    }
}
