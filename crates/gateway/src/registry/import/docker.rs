//! Docker's catalogue: `catalog.yaml` with many servers, and one entry on its own.
//!
//! `{{server.setting}}` stands for a setting, and `${VARIABLE}` in a header for a secret. Both are read
//! here, so that neither can become one of our own references.

use super::compose::{Line, Piece, Place};
use super::fields::{Cut, clean, cut, field, scalar, text_at};
use super::names;
use super::official::assemble;
use super::package::{container, image};
use super::{Found, Making, Node, Problem, Shape, keyed, values};

/// Whether this is one entry.
pub(super) fn is_entry(root: &Node) -> bool {
    matches!(text_at(root, "type"), Some("server" | "remote" | "poci"))
        && text_at(root, "name").is_some()
        && root.get("packages").is_none()
}

/// The servers of a catalogue.
pub(super) fn find(root: &Node) -> Vec<Found<'_>> {
    root.get("registry").into_iter().flat_map(|table| keyed(table, Shape::Docker)).collect()
}

/// One server.
pub(super) fn make(making: &mut Making<'_>, node: &Node) -> Result<(), Problem> {
    making.about = text_at(node, "description").map(clean);
    if field(node, "oauth").is_some() {
        making.notice("it asks for a log-in (OAuth), which importing does not set up");
    }
    let hosts: Vec<_> = field(node, "allowHosts")
        .map(Node::items)
        .unwrap_or_default()
        .iter()
        .filter_map(scalar)
        .collect();
    if !hosts.is_empty() {
        let notice =
            format!("it asks to reach {}; nothing here limits that", clean(&hosts.join(", ")));
        making.notice(notice);
    }
    let remote = node.get("remote").filter(|remote| text_at(remote, "url").is_some());
    match (text_at(node, "type"), remote) {
        (Some("poci"), _) => Err(making
            .refuse("the entry is a set of tools that Docker's own gateway runs, and no server")),
        (_, Some(remote)) => self::remote(making, node, remote),
        (Some("remote"), None) => match text_at(node, "sseEndpoint").map(str::to_owned) {
            Some(url) => {
                making.notice("it speaks the older transport (SSE)");
                address(making, node, &url)
            }
            None => Err(making.refuse("the entry has no address")),
        },
        (_, None) => program(making, node),
    }
}

fn program(making: &mut Making<'_>, node: &Node) -> Result<(), Problem> {
    let name =
        text_at(node, "image").ok_or_else(|| making.refuse("the entry has no `image`"))?.to_owned();
    let mut variables = Vec::new();
    for secret in field(node, "secrets").map(Node::items).unwrap_or_default() {
        let variable = text_at(secret, "env").unwrap_or_default().to_owned();
        let slot = slot_of(secret, &variable);
        let place = Place { kind: "env", name: &variable };
        let line = making.slot(place, &slot, Some(secret), true)?;
        making.set_env(&variable, &line)?;
        variables.push(variable);
    }
    for setting in field(node, "env").map(Node::items).unwrap_or_default() {
        let variable = text_at(setting, "name").unwrap_or_default().to_owned();
        let value = field(setting, "value").and_then(scalar).unwrap_or_default();
        let place = Place { kind: "env", name: &variable };
        let line = fill(making, node, place, &value)?;
        making.set_env(&variable, &line)?;
        variables.push(variable);
    }
    let mut options = Vec::new();
    for volume in
        field(node, "volumes").map(Node::items).unwrap_or_default().iter().filter_map(scalar)
    {
        let place = Place { kind: "args", name: "volume" };
        options.extend([Line::text("-v"), fill(making, node, place, &volume)?]);
    }
    if let Some(user) = field(node, "user").and_then(scalar) {
        let place = Place { kind: "args", name: "user" };
        options.extend([Line::text("-u"), fill(making, node, place, &user)?]);
    }
    if field(node, "disableNetwork").is_some_and(Node::is_true) {
        options.extend([Line::text("--network"), Line::text("none")]);
    }
    for host in
        field(node, "extraHosts").map(Node::items).unwrap_or_default().iter().filter_map(scalar)
    {
        options.extend([Line::text("--add-host"), Line::text(host)]);
    }
    let mut own = Vec::new();
    for word in
        field(node, "command").map(Node::items).unwrap_or_default().iter().filter_map(scalar)
    {
        let place = Place { kind: "args", name: "command" };
        own.push(fill(making, node, place, &word)?);
    }
    let name = image(making, &name, None)?;
    assemble(making, &container(&variables, name), &options, &own)
}

fn remote(making: &mut Making<'_>, node: &Node, remote: &Node) -> Result<(), Problem> {
    if text_at(remote, "transportType") == Some("sse") {
        making.notice("it speaks the older transport (SSE)");
    }
    let url = text_at(remote, "url").unwrap_or_default().to_owned();
    address(making, node, &url)?;
    for header in remote.get("headers").map(Node::members).unwrap_or_default() {
        let value = scalar(&header.value).unwrap_or_default();
        let place = Place { kind: "headers", name: &header.key };
        let line = header_line(making, node, place, &value)?;
        making.set_header(&header.key, &line)?;
    }
    Ok(())
}

fn address(making: &mut Making<'_>, node: &Node, url: &str) -> Result<(), Problem> {
    let line = fill(making, node, Place { kind: "url", name: "url" }, url)?;
    making.url = Some(making.seal(&line)?);
    Ok(())
}

/// The last word of `server.key`; the variable where there is no name.
fn slot_of(secret: &Node, variable: &str) -> String {
    let name = text_at(secret, "name").unwrap_or(variable);
    let last = name.rsplit_once('.').map_or(name, |(_, last)| last);
    names::slot(last)
}

/// A header, whose `${VARIABLE}` is the secret with that variable.
fn header_line(
    making: &mut Making<'_>,
    node: &Node,
    place: Place<'_>,
    value: &str,
) -> Result<Line, Problem> {
    let mut line = Line::default();
    for cut in cut(value, "${", "}") {
        match cut {
            Cut::Text(text) => line.0.extend(fill(making, node, place, text)?.0),
            Cut::Open(_) => return Err(making.refuse("a `${` in the file is not closed")),
            Cut::Hole(variable) => {
                let secrets = field(node, "secrets").map(Node::items).unwrap_or_default();
                let secret = secrets.iter().find(|s| text_at(s, "env") == Some(variable));
                let slot = secret
                    .map_or_else(|| names::slot(variable), |secret| slot_of(secret, variable));
                line.0.extend(making.slot(place, &slot, secret, true)?.0);
            }
        }
    }
    Ok(line)
}

/// A text, with its settings.
fn fill(
    making: &mut Making<'_>,
    node: &Node,
    place: Place<'_>,
    value: &str,
) -> Result<Line, Problem> {
    let mut line = Line::default();
    for cut in cut(value, "{{", "}}") {
        match cut {
            Cut::Text(text) => line.0.push(Piece::Text(text.to_owned())),
            Cut::Open(_) => return Err(making.refuse("a `{{` in the file is not closed")),
            Cut::Hole(inner) => line.0.extend(setting(making, node, place, inner)?.0),
        }
    }
    Ok(line)
}

/// `server.setting`, and what is to be made of it: `volume` mounts a path at itself.
fn setting(
    making: &mut Making<'_>,
    node: &Node,
    place: Place<'_>,
    inner: &str,
) -> Result<Line, Problem> {
    let mut parts = inner.split('|').map(str::trim);
    let path = parts.next().unwrap_or_default();
    let filters: Vec<&str> = parts.collect();
    let name = path.split_once('.').map_or(path, |(_, name)| name).to_owned();
    if name.is_empty() {
        return Err(making.refuse("a `{{}}` in the file names nothing"));
    }
    let declared = declared(node, &name);
    let default = filters
        .iter()
        .find_map(|filter| filter.strip_prefix("or:"))
        .map(|text| text.trim_matches('"').to_owned());
    let default = declared.and_then(|node| field(node, "default")).and_then(scalar).or(default);
    let line = match default.filter(|_| values(making.options, &name).is_empty()) {
        Some(default) => Line::text(default),
        None => making.open(place, &name, declared)?,
    };
    let is_volume = filters.contains(&"volume");
    match line.0.as_slice() {
        [Piece::Text(text)] if is_volume => Ok(Line::text(format!("{text}:{text}"))),
        _ => Ok(line),
    }
}

/// What the entry says of a setting, which may be one within another: `a.b`.
fn declared<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let configs = field(node, "config").map(Node::items).unwrap_or_default();
    configs.iter().find_map(|config| {
        name.split('.').try_fold(config, |node, part| node.get("properties")?.get(part))
    })
}
