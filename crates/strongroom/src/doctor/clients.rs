//! The MCP clients: whether what they start is this program, and what they keep in plain text.

use strongroom_clients::survey::{Connection, Found, survey};

use super::{Finding, count};
use crate::environment::Host;

pub(super) fn examine(host: &Host) -> Vec<Finding> {
    let found = survey(&host.environment);
    let mut findings: Vec<Finding> = found.iter().flat_map(|client| look(client, host)).collect();
    if !found.iter().any(|client| client.connection.is_some()) {
        let free = found.iter().find(|client| client.installed);
        let fix = free.map_or("strongroom connect".to_owned(), connect);
        findings.push(Finding::warning("clients", "none uses Strongroom yet", fix));
    }
    findings
}

fn connect(client: &Found) -> String {
    format!("strongroom connect {}", client.name)
}

fn look(client: &Found, host: &Host) -> Vec<Finding> {
    let about = format!("client {}", client.name);
    let mut findings = Vec::new();
    if let Some(problem) = &client.problem {
        let fix = Some("put the file right".to_owned());
        findings.push(Finding::problem(&about, problem.clone(), fix));
    }
    match &client.connection {
        None => {}
        Some(Connection::Http { url }) => {
            findings.push(Finding::fine(&about, format!("connected to {url}")));
        }
        Some(Connection::Stdio { command }) => {
            let this = host.program.as_os_str() == command.as_str();
            findings.push(if this {
                Finding::fine(&about, "connected to this program")
            } else if std::path::Path::new(command).exists() {
                let found = format!("it starts {command}, which is not this program");
                Finding::warning(&about, found, connect(client))
            } else {
                let found = format!("it starts {command}, which is not there");
                Finding::problem(&about, found, Some(connect(client)))
            });
        }
    }
    if !client.secrets.is_empty() {
        let secrets = count(client.secrets.len(), "secret");
        let found =
            format!("{secrets} in plain text in its configuration (`strongroom scan` lists)");
        let fix = format!("strongroom import {}", client.name);
        findings.push(Finding::warning(&about, found, fix));
    }
    findings
}
