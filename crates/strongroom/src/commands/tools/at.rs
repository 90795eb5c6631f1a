//! `strongroom tools` on a team server: what the tenant's servers say of their tools, and a yes to a change.

use serde_json::json;
use strongroom_model::display::DisplaySafe;
use strongroom_model::pin::Why;
use strongroom_secrets::remote::answers::{Tool, ToolDefinition, Tools};

use super::view::{Approved, Change, Diff, List, Row};
use super::{Args, Command, lines_of};
use crate::environment::Host;
use crate::failure::Failure;
use crate::near;
use crate::output::Output;
use crate::remote::Remote;

const TOOLS: &str = "/v1/tools";
const DEFINITION: &str = "/v1/tools/definition";
const APPROVE: &str = "/v1/tools/approve";

/// Runs the command there.
pub fn at(args: &Args, remote: &Remote, host: &Host, output: Output) -> Result<(), Failure> {
    match &args.command {
        None => list(remote, None, false, output),
        Some(Command::List { which, waiting }) => list(remote, which.as_deref(), *waiting, output),
        Some(Command::Diff { which }) => diff(remote, which.as_deref(), output),
        Some(Command::Approve { which }) => approve(remote, which, host, output),
    }
}

fn list(remote: &Remote, which: Option<&str>, only: bool, output: Output) -> Result<(), Failure> {
    let mut tools = chosen(remote, which)?;
    tools.retain(|tool| !only || tool.waiting_hash.is_some());
    let waits = tools.iter().any(|tool| tool.waiting_hash.is_some());
    output.report(&List { tools: tools.into_iter().map(Row::at).collect() })?;
    if waits {
        output.hint(&format!("run `strongroom tools diff --remote {}`", remote.name));
    }
    Ok(())
}

fn diff(remote: &Remote, which: Option<&str>, output: Output) -> Result<(), Failure> {
    let waiting = waiting(remote, which)?;
    let none = waiting.is_empty();
    output.report(&Diff { changes: waiting.into_iter().map(Change::at).collect() })?;
    if !none {
        let name = &remote.name;
        let next = format!("run `strongroom tools approve SERVER/TOOL --remote {name}`");
        output.hint(&format!("to let agents call it, {next}"));
    }
    Ok(())
}

fn approve(remote: &Remote, which: &str, host: &Host, output: Output) -> Result<(), Failure> {
    let waiting = waiting(remote, Some(which))?;
    let changes: Vec<String> = waiting.iter().flat_map(lines).collect();
    remote.confirm(&changes, host)?;
    let mut approved = Vec::new();
    for ToolDefinition { tool, .. } in waiting {
        // What was looked at, and nothing that came after it.
        let body = json!({
            "server_id": tool.server_id, "tool": tool.tool, "hash": tool.waiting_hash
        });
        remote.post::<Tool>(APPROVE, &body)?;
        approved.push(name(&tool));
    }
    output.report(&Approved { approved })
}

/// Those of `which`, a server or one tool of it, that wait, with their definitions.
fn waiting(remote: &Remote, which: Option<&str>) -> Result<Vec<ToolDefinition>, Failure> {
    let mut waiting = chosen(remote, which)?;
    waiting.retain(|tool| tool.waiting_hash.is_some());
    let defined = |tool: Tool| {
        let query = [("server_id", tool.server_id.as_str()), ("tool", tool.tool.as_str())];
        remote.get_exact::<ToolDefinition>(DEFINITION, &query)
    };
    let defined = waiting.into_iter().map(defined).collect::<Result<Vec<_>, _>>()?;
    // One may have been approved in between.
    Ok(defined.into_iter().filter(|it| it.waiting.is_some()).collect())
}

fn chosen(remote: &Remote, which: Option<&str>) -> Result<Vec<Tool>, Failure> {
    let mut tools = remote.get_exact::<Tools>(TOOLS, &[])?.tools;
    let Some(which) = which else { return Ok(tools) };
    let (server, tool) = match which.split_once('/') {
        Some((server, tool)) => (server, Some(tool)),
        None => (which, None),
    };
    let servers: Vec<String> = tools.iter().map(|tool| tool.server_id.clone()).collect();
    tools.retain(|tool| tool.server_id == server);
    if tools.is_empty() {
        let what = format!("no tools of `{}` have been seen there", DisplaySafe(server));
        let near = near::nearest(server, servers.iter().map(String::as_str));
        return Err(unknown(what, near, remote));
    }
    let Some(tool) = tool else { return Ok(tools) };
    let names: Vec<String> = tools.iter().map(|tool| tool.tool.clone()).collect();
    tools.retain(|known| known.tool == tool);
    if tools.is_empty() {
        let what = format!("no such tool of `{}` has been seen there", DisplaySafe(server));
        let near = near::nearest(tool, names.iter().map(String::as_str));
        return Err(unknown(what, near, remote));
    }
    Ok(tools)
}

fn unknown(what: String, near: Option<&str>, remote: &Remote) -> Failure {
    Failure::failed(what).hint(match near {
        Some(near) => format!("did you mean `{}`?", DisplaySafe(near)),
        None => format!("run `strongroom tools list --remote {}`", remote.name),
    })
}

/// The change, line by line, for whoever is asked about it.
fn lines(one: &ToolDefinition) -> Vec<String> {
    let why = Why::parse(&one.tool.state).unwrap_or(Why::Changed);
    let (old, new) = (one.approved.as_deref(), one.waiting.as_deref().unwrap_or_default());
    let name = name(&one.tool);
    lines_of(&DisplaySafe(&name).to_string(), why, old, new)
}

fn name(tool: &Tool) -> String {
    format!("{}/{}", tool.server_id, tool.tool)
}
