//! Services that are programs: the ones that `add` knows, where a program is found, what is written
//! into `[services.NAME]`.

pub mod add;
pub mod edit;
pub mod view;
pub mod widening;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use strongroom_proxy::exec::{Fingerprint, fingerprint};
use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, value};

use crate::config::command::{is_variable, word_of};
use crate::environment::Host;
use crate::failure::Failure;
use crate::flags;
use crate::paths::Os;

const DATA: &str = include_str!("programs.toml");

/// What a program is run with.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "A program")]
pub struct ProgramFlags {
    /// Run this program for agents, instead of calling an API: a name or a path
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["base_url", "auth"])]
    pub command: Option<PathBuf>,
    /// A variable of its environment (repeatable): 'TOKEN={{token}}'
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub env: Vec<(String, String)>,
    /// Answer git's question for a password, for this host only; `--user` says as whom
    #[arg(long, value_name = "HOST")]
    pub askpass: Option<String>,
    /// Where it runs (otherwise in an empty folder)
    #[arg(long, value_name = "FOLDER")]
    pub workdir: Option<PathBuf>,
    /// How long it may run: 30s
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
}

impl ProgramFlags {
    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        self.command.is_none()
            && self.env.is_empty()
            && self.askpass.is_none()
            && self.workdir.is_none()
            && self.timeout.is_none()
    }

    /// Writes what was given into the table of a service. `user` is for git.
    fn apply(&self, table: &mut dyn TableLike, user: Option<&str>, directory: &Path) {
        for (name, text) in &self.env {
            let env = table.entry("env").or_insert_with(|| value(InlineTable::new()));
            if let Some(env) = env.as_table_like_mut() {
                env.insert(name, value(text));
            }
            // A blank that stood before the brace would stand before the next comma.
            if let Some(env) = env.as_inline_table_mut() {
                env.fmt();
            }
        }
        if let Some(host) = &self.askpass {
            let mut askpass = InlineTable::new();
            askpass.insert("host", host.as_str().into());
            askpass.insert("username", user.unwrap_or(USER).into());
            askpass.insert("password", "{{token}}".into());
            flags::set(table, "askpass", askpass);
        }
        if let Some(folder) = &self.workdir {
            flags::set(table, "workdir", directory.join(folder).display().to_string());
        }
        if let Some(time) = &self.timeout {
            flags::set(table, "timeout", time.as_str());
        }
    }
}

/// As whom git logs in where nothing else is said: what GitHub calls the bearer of a token, and others
/// take as any.
const USER: &str = "x-access-token";

/// A known program.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// What it is.
    pub about: String,
    /// Where it is documented.
    pub docs: String,
    /// What to ask the person for.
    pub key: Option<String>,
    /// What is run.
    pub command: PathBuf,
    /// Whether it is git.
    pub askpass: bool,
    /// The fields of its secrets.
    pub secrets: Vec<String>,
    /// What else it puts into `[services.NAME]`.
    pub table: Table,
}

/// The names of all known programs, in order.
pub fn names() -> Vec<String> {
    document().iter().map(|(name, _)| name.to_owned()).collect()
}

/// The known program `name`.
pub fn find(name: &str) -> Option<Template> {
    let document = document();
    let item = document.get(name)?.as_table()?;
    let text = |key: &str| item.get(key).and_then(Item::as_str).map(str::to_owned);
    let secrets = item.get("secrets").and_then(Item::as_array);
    let mut table = Table::new();
    let ours = ["about", "docs", "key", "command", "secrets", "askpass"];
    for (key, item) in item.iter().filter(|(key, _)| !ours.contains(key)) {
        let mut item = item.clone();
        if let Some(value) = item.as_value_mut() {
            value.decor_mut().clear();
        }
        table.insert(key, item);
    }
    Some(Template {
        name: name.to_owned(),
        about: text("about")?,
        docs: text("docs")?,
        key: text("key"),
        command: text("command")?.into(),
        askpass: item.get("askpass").and_then(Item::as_bool).unwrap_or(false),
        secrets: secrets
            .into_iter()
            .flatten()
            .filter_map(|v| Some(v.as_str()?.to_owned()))
            .collect(),
        table,
    })
}

fn document() -> DocumentMut {
    DATA.parse().expect("the programs are TOML, which a test holds")
}

/// A program, found where the person would find it, and what it is called.
fn locate(program: &Path, host: &Host) -> Result<(Fingerprint, String), Failure> {
    let is_path = program.components().count() > 1;
    let found = if is_path { Some(host.directory.join(program)) } else { on_path(program, host) };
    let Some(found) = found else {
        let failure = Failure::failed("there is no such program on the PATH");
        return Err(failure.hint("give its path: `--command /usr/bin/git`"));
    };
    let word = word_of(&found)
        .ok_or_else(|| Failure::failed("the program's name has characters that no name has"))?;
    let fingerprint = fingerprint(&found).map_err(|error| {
        Failure::failed(error).hint("give the path of a program that you may run")
    })?;
    Ok((fingerprint, word))
}

fn on_path(program: &Path, host: &Host) -> Option<PathBuf> {
    let path = host.environment.get("PATH").unwrap_or(OsStr::new(""));
    let mut file = program.to_owned();
    if Os::CURRENT == Os::Windows && file.extension().is_none() {
        file.set_extension("exe");
    }
    let folders = std::env::split_paths(path).filter(|folder| folder.is_absolute());
    folders.map(|folder| folder.join(&file)).find(|file| file.is_file())
}

/// Writes which file is run, as it is now.
fn put_program(table: &mut dyn TableLike, found: &Fingerprint, word: &str) {
    flags::set(table, "command", found.path.display().to_string());
    if word_of(&found.path).as_deref() == Some(word) {
        table.remove("program");
    } else {
        flags::set(table, "program", word);
    }
    flags::set(table, "sha256", found.sha256.as_str());
}

/// The fields that the variables and git's password name.
fn fields(table: &dyn TableLike) -> Vec<String> {
    let mut fields: Vec<String> = Vec::new();
    let texts = |key: &str| {
        let table = table.get(key).and_then(Item::as_table_like);
        let values = table.into_iter().flat_map(TableLike::iter);
        values.filter_map(|(_, item)| item.as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    for text in [texts("env"), texts("askpass")].concat() {
        for part in text.split("{{").skip(1) {
            let field = part.split("}}").next().unwrap_or_default().trim();
            let field = if field == "credential" { "token" } else { field };
            if !fields.iter().any(|there| there == field) {
                fields.push(field.to_owned());
            }
        }
    }
    fields
}

#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
struct Wrong(&'static str);

fn variable(text: &str) -> Result<(String, String), Wrong> {
    let (name, value) = text.split_once('=').ok_or(Wrong("a variable is given as `NAME=VALUE`"))?;
    if !is_variable(name) {
        return Err(Wrong("the name is not a variable's"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests;
