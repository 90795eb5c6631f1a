//! `server.json` of the official registry, in every released schema, and the lists of its API.
//!
//! Unknown fields are passed over, and the snake case of the first schema is read as well.

use super::compose::{Line, Piece, Place};
use super::fields::{clean, field, flag, scalar, text_at};
use super::package::{Command, Runner};
use super::{Found, Making, Node, Problem, Shape, named, toolhive, values};

/// Whether this is a server, or an item of a list that has one.
pub(super) fn is_server(node: &Node) -> bool {
    let node = node.get("server").unwrap_or(node);
    node.get("packages").is_some() || node.get("remotes").is_some()
}

/// The servers of a list: of one in several versions, the latest.
pub(super) fn find(items: &[Node]) -> Vec<Found<'_>> {
    let mut found: Vec<(Found<'_>, bool)> = Vec::new();
    for item in items {
        let server = item.get("server").unwrap_or(item);
        let said = item
            .get("_meta")
            .and_then(|meta| meta.get("io.modelcontextprotocol.registry/official"));
        let is_latest = said.is_some_and(|said| flag(said, "isLatest"));
        let mut one = named(server, server.at, Shape::Official);
        let status = said.unwrap_or(server);
        if let Some(status @ ("deprecated" | "deleted")) = text_at(status, "status") {
            one.notices.push(format!("the registry says that it is {status}"));
        }
        match found.iter_mut().find(|(other, _)| !one.from.is_empty() && other.from == one.from) {
            None => found.push((one, is_latest)),
            Some(older) if is_latest && !older.1 => *older = (one, true),
            Some(_) => {}
        }
    }
    found.into_iter().map(|(found, _)| found).collect()
}

/// Takes the first package that can be started, else the first remote.
pub(super) fn make(making: &mut Making<'_>, node: &Node) -> Result<(), Problem> {
    making.about = text_at(node, "description").map(clean);
    let packages = field(node, "packages").map(Node::items).unwrap_or_default();
    let remotes = field(node, "remotes").map(Node::items).unwrap_or_default();
    let mut ways = Vec::new();
    let mut reasons = Vec::new();
    for package in packages {
        match usable(package) {
            Ok(runner) => ways.push((runner.way(), Some(runner), package)),
            Err(reason) => reasons.push(reason),
        }
    }
    ways.extend(remotes.iter().map(|remote| ("remote", None, remote)));
    let wanted = making.options.way;
    let chosen = ways.iter().find(|(way, ..)| wanted.is_none_or(|wanted| wanted == *way));
    let Some((way, runner, node_of_way)) = chosen else {
        let there: Vec<&str> = ways.iter().map(|(way, ..)| *way).collect();
        return Err(match (wanted, reasons.first()) {
            (Some(_), _) if !there.is_empty() => making
                .refuse("the server is not offered in this way")
                .hint(format!("it is offered as `{}`", there.join("`, `"))),
            (_, Some((problem, hint))) => making.refuse(problem.clone()).maybe_hint(hint.clone()),
            (_, None) => making.refuse("the server has no package and no address"),
        });
    };
    let mut others: Vec<&str> =
        ways.iter().map(|(way, ..)| *way).filter(|other| other != way).collect();
    others.dedup();
    if wanted.is_none() && !others.is_empty() {
        making.notice(format!(
            "it is offered as `{}` as well: `--way` takes that",
            others.join("`, `")
        ));
    }
    let key = if let Some(runner) = runner {
        package(making, *runner, node_of_way)?;
        "identifier"
    } else {
        remote(making, node_of_way)?;
        "url"
    };
    toolhive::overlay(making, node, text_at(node_of_way, key), node_of_way)
}

/// What runs a package; otherwise why it cannot be started, and what to do.
fn usable(package: &Node) -> Result<Runner, (String, Option<String>)> {
    let kind = text_at(package, "registryType").unwrap_or_default();
    let transport =
        field(package, "transport").and_then(|node| text_at(node, "type")).unwrap_or("stdio");
    let runner = Runner::of(kind).ok_or_else(|| match kind {
        "mcpb" => (
            "the server is offered as a bundle (`mcpb`), which is not unpacked here".to_owned(),
            Some(
                "open it with a client that installs bundles, or look for another package"
                    .to_owned(),
            ),
        ),
        "cargo" => (
            "the server is offered as a crate, and nothing runs one without installing it"
                .to_owned(),
            Some(
                "install it with `cargo install`, and add it with `strongroom mcp add`".to_owned(),
            ),
        ),
        _ => ("the server is offered in a kind of package that is not known here".to_owned(), None),
    })?;
    if transport == "stdio" {
        Ok(runner)
    } else {
        Err((
            "the package listens on an address of its own, and is not started by a client"
                .to_owned(),
            Some(
                "start it yourself, and add its address with `strongroom mcp add --url`".to_owned(),
            ),
        ))
    }
}

fn package(making: &mut Making<'_>, runner: Runner, node: &Node) -> Result<(), Problem> {
    let package = text_at(node, "identifier")
        .ok_or_else(|| making.refuse("the package has no `identifier`"))?
        .to_owned();
    let version = text_at(node, "version");
    let package = match text_at(node, "registryBaseUrl") {
        Some(base) => at_home(making, runner, &package, base)?,
        None => package,
    };
    let mut variables = environment(making, node)?;
    let runtime = arguments(making, field(node, "runtimeArguments"))?;
    let runtime = if runner == Runner::Oci {
        take_variables(making, runtime, &mut variables)?
    } else {
        runtime
    };
    let own = arguments(making, field(node, "packageArguments"))?;
    if let Some(hint) = text_at(node, "runtimeHint").filter(|hint| *hint != runner.program()) {
        let notice = format!(
            "the file suggests `{}` to run it; `{}` is used",
            clean(hint),
            runner.program()
        );
        making.notice(notice);
    }
    let command = runner.command(making, &package, version, &variables)?;
    assemble(making, &command, &runtime, &own)
}

/// The words of a command, in order: the runner, its arguments, the package, the package's arguments.
pub(super) fn assemble(
    making: &mut Making<'_>,
    command: &Command,
    runtime: &[Line],
    own: &[Line],
) -> Result<(), Problem> {
    making.words.clone_from(&command.head);
    for line in runtime {
        let is_known = |piece: &Piece| matches!(piece, Piece::Text(text) if command.known.contains(&text.as_str()));
        if !(line.0.len() == 1 && line.0.iter().all(is_known)) {
            making.push(line)?;
        }
    }
    making.words.extend(command.tail.iter().cloned());
    if let (Some(separator), false) = (command.separator, own.is_empty()) {
        making.push_ours(&[separator]);
    }
    own.iter().try_for_each(|line| making.push(line))
}

/// The package, where `base` is its usual registry. Another one is not written into a command: whoever
/// runs it says where packages are from.
fn at_home(
    making: &mut Making<'_>,
    runner: Runner,
    package: &str,
    base: &str,
) -> Result<String, Problem> {
    let host =
        base.split_once("://").map_or(base, |(_, rest)| rest).split('/').next().unwrap_or_default();
    if runner == Runner::Oci {
        let is_there = host.is_empty()
            || host.ends_with("docker.io")
            || package.starts_with(&format!("{host}/"));
        return Ok(if is_there { package.to_owned() } else { format!("{host}/{package}") });
    }
    let labels: Vec<&str> = host.split('.').collect();
    if labels.ends_with(runner.home()) {
        return Ok(package.to_owned());
    }
    Err(making
        .refuse("the package is from a registry of its own, and another one may have the same name")
        .hint(format!(
            "name the registry yourself: `strongroom mcp add` with the options of `{}`",
            runner.program()
        )))
}

/// `environmentVariables`; the names of those that the program is given.
fn environment(making: &mut Making<'_>, node: &Node) -> Result<Vec<String>, Problem> {
    let mut names = Vec::new();
    for variable in field(node, "environmentVariables").map(Node::items).unwrap_or_default() {
        let name = name_of(making, variable)?;
        let place = Place { kind: "env", name: &name };
        if let Some(line) = making.input(place, &name, variable)? {
            making.set_env(&name, &line)?;
            names.push(name);
        }
    }
    Ok(names)
}

fn name_of(making: &Making<'_>, node: &Node) -> Result<String, Problem> {
    let name = text_at(node, "name").filter(|name| !name.is_empty());
    name.map(str::to_owned).ok_or_else(|| making.refuse("something in the file has no `name`"))
}

/// Positional and named arguments, in order.
fn arguments(making: &mut Making<'_>, list: Option<&Node>) -> Result<Vec<Line>, Problem> {
    let mut lines = Vec::new();
    for node in list.map(Node::items).unwrap_or_default() {
        let is_named = text_at(node, "type") == Some("named");
        let option = if is_named { Some(name_of(making, node)?) } else { None };
        let key = option.as_deref().map(|name| name.trim_start_matches('-').trim_end_matches('='));
        let key = key.or_else(|| text_at(node, "valueHint")).or_else(|| text_at(node, "name"));
        let key = key.filter(|key| !key.is_empty()).unwrap_or("argument").to_owned();
        let place = Place { kind: "args", name: &key };
        let given = values(making.options, &key);
        let is_open = field(node, "value").is_none() && !flag(node, "isSecret");
        let many = flag(node, "isRepeated") && is_open && !given.is_empty();
        let found: Vec<Option<Line>> = if many {
            making.used.insert(key.clone());
            given.into_iter().map(|value| Some(Line::text(value))).collect()
        } else if option.is_some() && is_switch(node) && given.is_empty() {
            vec![Some(Line::default())]
        } else {
            vec![making.input(place, &key, node)?]
        };
        for line in found.into_iter().flatten() {
            match &option {
                Some(option) if option.ends_with('=') => {
                    let mut whole = Line::text(option);
                    whole.0.extend(line.0);
                    lines.push(whole);
                }
                Some(option) => {
                    lines.push(Line::text(option));
                    lines.extend((!line.0.is_empty()).then_some(line));
                }
                None => lines.push(line),
            }
        }
    }
    Ok(lines)
}

/// Whether a named argument is one that takes no value: nothing speaks of one, and it is not said to
/// be optional.
fn is_switch(node: &Node) -> bool {
    let speaks = ["value", "default", "choices", "placeholder", "valueHint", "variables", "format"];
    speaks.iter().all(|key| field(node, key).is_none())
        && !flag(node, "isSecret")
        && field(node, "isRequired").is_none_or(Node::is_true)
}

/// `-e NAME=VALUE` of a container: the value goes into the environment, where other programs do not see
/// it, and the name alone stays.
fn take_variables(
    making: &mut Making<'_>,
    lines: Vec<Line>,
    variables: &mut Vec<String>,
) -> Result<Vec<Line>, Problem> {
    let mut kept = Vec::new();
    let mut lines = lines.into_iter().peekable();
    while let Some(line) = lines.next() {
        let is_option =
            matches!(line.0.as_slice(), [Piece::Text(text)] if text == "-e" || text == "--env");
        let next = lines.next_if(|_| is_option);
        let Some(mut next) = next else {
            kept.push(line);
            continue;
        };
        let first =
            next.0.iter().position(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        let split = first.and_then(|first| match &next.0[first] {
            Piece::Text(text) => {
                text.split_once('=').map(|(name, rest)| (first, name.to_owned(), rest.to_owned()))
            }
            _ => None,
        });
        match split {
            Some((first, name, rest)) => {
                next.0[first] = Piece::Text(rest);
                for slot in &mut making.slots {
                    if slot.needed_by == "args.e" || slot.needed_by == "args.env" {
                        slot.needed_by = format!("env.{}", clean(&name));
                    }
                }
                making.set_env(&name, &next)?;
                if !variables.contains(&name) {
                    variables.push(name);
                }
            }
            None => kept.extend([line, next]),
        }
    }
    Ok(kept)
}

fn remote(making: &mut Making<'_>, node: &Node) -> Result<(), Problem> {
    let url =
        text_at(node, "url").ok_or_else(|| making.refuse("the remote has no `url`"))?.to_owned();
    match text_at(node, "type").or_else(|| text_at(node, "transportType")) {
        None | Some("streamable-http" | "streamable_http" | "streamable" | "http") => {}
        Some("sse") => making.notice("it speaks the older transport (SSE)"),
        Some(_) => return Err(making.refuse("the remote has a transport that is not known here")),
    }
    let place = Place { kind: "url", name: "url" };
    let line = making.fill(place, &url, field(node, "variables"), false)?;
    making.url = Some(making.seal(&line)?);
    for header in field(node, "headers").map(Node::items).unwrap_or_default() {
        let name = name_of(making, header)?;
        let place = Place { kind: "headers", name: &name };
        if let Some(line) = making.input(place, &name, header)? {
            making.set_header(&name, &line)?;
        }
    }
    Ok(())
}

/// Words that a catalogue writes down as they are.
pub(super) fn literal_words(node: Option<&Node>) -> Vec<Line> {
    node.map(Node::items).unwrap_or_default().iter().filter_map(scalar).map(Line::text).collect()
}
