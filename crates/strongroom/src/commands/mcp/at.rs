//! `strongroom mcp` on a team server: the servers that a tenant has registered.

mod register;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use strongroom_model::team::is_label;
use strongroom_secrets::remote::answers::{Binding, Done, Server, Servers};

use super::{Args, Command, list, remove, show, switch};
use crate::environment::Host;
use crate::failure::Failure;
use crate::near;
use crate::output::{Output, Report, Style, table};
use crate::remote::Remote;
use crate::remote::credentials::SERVERS;
use crate::servers::quoted;

const UPDATE: &str = "/functions/v1/mcp-servers/update";
const DELETE: &str = "/functions/v1/mcp-servers/delete";

/// Runs the command there.
pub fn at(args: &Args, remote: &Remote, host: &Host, output: Output) -> Result<(), Failure> {
    match &args.command {
        Command::List(args) => list(args, remote, output),
        Command::Show(args) => show(args, remote, output),
        Command::Add(args) => register::register(args, remote, host, output),
        Command::Remove(args) => remove(args, remote, output),
        Command::Enable(args) => switch(&args.switch, true, remote, output),
        Command::Disable(args) => switch(&args.switch, false, remote, output),
        Command::Import(_) => Err(remote.not_there("strongroom mcp import")),
        Command::Pin(_) => Err(remote.not_there("strongroom mcp pin")),
    }
}

fn list(args: &list::Args, remote: &Remote, output: Output) -> Result<(), Failure> {
    args.refuse_registry()?;
    let all: Servers = remote.get(SERVERS, &[])?;
    let empty = all.servers.is_empty();
    let wanted = all.servers.into_iter().filter(|server| server.enabled || !args.on);
    let servers = wanted.map(View::of).collect();
    output.report(&List { servers, problems: [], empty })
}

fn show(args: &show::Args, remote: &Remote, output: Output) -> Result<(), Failure> {
    let all: Servers = remote.get(SERVERS, &[])?;
    output.report(&View::of(find(all, &args.name, remote)?))
}

fn remove(args: &remove::Args, remote: &Remote, output: Output) -> Result<(), Failure> {
    let server = find(remote.get_exact(SERVERS, &[])?, &args.name, remote)?;
    remote.post::<Done>(DELETE, &json!({ "server_id": server.server_id }))?;
    output.report(&Removed { removed: args.name.clone(), secrets: 0 })?;
    output.say("The credentials of the tenant stay: see `strongroom secrets list`.");
    Ok(())
}

fn switch(args: &switch::Switch, on: bool, remote: &Remote, output: Output) -> Result<(), Failure> {
    args.refuse_places()?;
    let server = find(remote.get_exact(SERVERS, &[])?, &args.name, remote)?;
    let changed = server.enabled != on;
    if changed {
        let body = json!({ "server_id": server.server_id, "enabled": on });
        remote.post::<Done>(UPDATE, &body)?;
    }
    output.report(&Switched { server: args.name.clone(), on, changed })
}

/// The server that is called `name`.
fn find(all: Servers, name: &str, remote: &Remote) -> Result<Server, Failure> {
    let names: Vec<String> = all.servers.iter().map(|server| server.server_id.clone()).collect();
    let found = all.servers.into_iter().find(|server| server.server_id == name);
    found.ok_or_else(|| {
        let near = near::nearest(name, names.iter().map(String::as_str));
        Failure::failed(near::there_is_no("server", name)).hint(match near {
            Some(near) if is_label(near) => format!("did you mean `{near}`?"),
            _ => format!("run `strongroom mcp list --remote {}`", remote.name),
        })
    })
}

/// A server, with the names that one of this machine has where they mean the same.
#[derive(Serialize)]
struct View {
    name: String,
    on: bool,
    origin: &'static str,
    id: String,
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    secrets: BTreeMap<String, String>,
    settings: Vec<String>,
    tool_prefix: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<String>,
}

impl View {
    fn of(server: Server) -> Self {
        let reference = |(name, from): (String, Binding)| (name, from.reference());
        Self {
            name: server.server_id,
            on: server.enabled,
            origin: "team",
            id: server.id,
            description: server.name,
            command: server.command.into_iter().chain(server.args).collect(),
            url: server.url,
            secrets: server.secrets.into_iter().map(reference).collect(),
            settings: server.headers.into_keys().collect(),
            tool_prefix: server.tool_prefix,
            created_at: server.created_at,
            updated_at: server.updated_at,
        }
    }

    fn row(&self, style: Style) -> Vec<String> {
        let how = match (&self.url, self.command.first()) {
            (Some(url), _) => url.split("://").nth(1).unwrap_or(url).split('/').next(),
            (None, program) => program.map(String::as_str),
        };
        vec![
            self.name.clone(),
            if self.on { style.green("on") } else { style.dim("off") },
            how.unwrap_or("-").to_owned(),
            self.tool_prefix.clone(),
            self.secrets.len().to_string(),
        ]
    }
}

impl Report for View {
    fn text(&self, style: Style) -> String {
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut row = |name: &str, value: String| rows.push(vec![format!("  {name}"), value]);
        row("what", self.description.clone());
        row("state", if self.on { "on".to_owned() } else { "off".to_owned() });
        if !self.command.is_empty() {
            let words: Vec<String> = self.command.iter().map(|word| quoted(word)).collect();
            row("command", words.join(" "));
        }
        if let Some(url) = &self.url {
            row("url", url.clone());
        }
        for (name, reference) in &self.secrets {
            row("secret", format!("{name} from {reference}"));
        }
        if !self.settings.is_empty() {
            row("settings", self.settings.join(", "));
        }
        row("tools", format!("{}*", self.tool_prefix));
        format!("{}\n{}", style.bold(&self.name), table(&rows))
    }
}

#[derive(Serialize)]
struct List {
    servers: Vec<View>,
    /// There is no file that could have some.
    problems: [String; 0],
    #[serde(skip)]
    empty: bool,
}

impl Report for List {
    fn text(&self, style: Style) -> String {
        if self.servers.is_empty() {
            return if self.empty {
                "The tenant has no MCP servers yet.\n\nNext: strongroom mcp add\n".to_owned()
            } else {
                "No MCP server of the tenant is on.\n".to_owned()
            };
        }
        let head = ["NAME", "STATE", "STARTS", "TOOLS", "SECRETS"].map(|word| style.dim(word));
        let rows = self.servers.iter().map(|server| server.row(style));
        table(&std::iter::once(head.to_vec()).chain(rows).collect::<Vec<_>>())
    }
}

#[derive(Serialize)]
struct Removed {
    removed: String,
    secrets: usize,
}

impl Report for Removed {
    fn text(&self, _: Style) -> String {
        format!("removed `{}`\n", self.removed)
    }
}

#[derive(Serialize)]
struct Switched {
    server: String,
    on: bool,
    changed: bool,
}

impl Report for Switched {
    fn text(&self, _: Style) -> String {
        let state = if self.on { "on" } else { "off" };
        let was = if self.changed { "is" } else { "was already" };
        format!("`{}` {was} {state} for the tenant\n", self.server)
    }
}
