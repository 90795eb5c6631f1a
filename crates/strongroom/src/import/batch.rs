//! What is done to carry a plan out.

use std::path::PathBuf;

use strongroom_clients::import::plan::{Destination as _, Plan, Planned, Through};
use strongroom_gateway::registry::{Origin, Source};
use toml_edit::{DocumentMut, Item, Table};

use super::apply::{Batch, FileEdit, Put};
use super::store::Store;
use crate::config::Config;
use crate::failure::Failure;

/// What is to be done to carry `plan` out.
pub fn of<'a>(plan: &'a Plan, through: Through<'a>, store: &'a Store<'a>) -> Batch<'a> {
    let new = || plan.servers.iter().filter(|planned| planned.is_new);
    let puts = new().flat_map(|planned| {
        planned.spec.secrets.iter().map(|(name, secret)| Put {
            name: store.name(&planned.name, name),
            server: &planned.name,
            secret,
        })
    });
    let tables = new().map(|planned| (&planned.name, planned.table(store)));
    let files = plan.files().into_iter().map(|(client, file)| FileEdit {
        path: file.to_owned(),
        servers: plan
            .rewrites
            .iter()
            .filter(|rewrite| rewrite.file == file)
            .map(|rewrite| rewrite.server.to_string())
            .collect(),
        edit: Box::new(move |text| {
            plan.rewritten(file, text, through).map_err(|error| {
                Failure::failed(format!("{}: {error}", file.display())).hint(format!(
                    "change it by hand: the command is `{} run NAME`; then run the import again, or \
                     `strongroom import --undo`",
                    through.program
                ))
            })
        }),
        format: client.format(),
    });
    Batch { store, puts: puts.collect(), tables: tables.collect(), files: files.collect() }
}

/// Why the registry would not take the server, without a value.
pub fn refusal(planned: &Planned, store: &Store<'_>) -> Option<String> {
    let mut servers = Table::new();
    servers.insert(planned.name.as_str(), Item::Table(planned.table(store)));
    let mut document = DocumentMut::new();
    document.insert("servers", Item::Table(servers));
    let config = match Config::parse("strongroom.toml", &document.to_string()) {
        Ok(config) => config,
        Err(error) => return Some(error.problem),
    };
    let source = Source { origin: Origin::User, path: PathBuf::new(), trusted: true };
    let entries = config.servers.entries(&source, None);
    let refused = entries.iter().find_map(|entry| entry.server().err());
    refused.map(|problem| problem.problem.clone())
}
