//! What an import would do: which servers it adds, which entries it rewrites, what it leaves and why.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use strongroom_model::principal::Name;
use strongroom_model::secret::Secret;
use toml_edit::{DocumentMut, Table};

use super::spec::{Spec, server_name};
use crate::declared::Declared;
use crate::edit::{self, EditError, Format, Step};
use crate::file::{ConfigFile, FileError};
use crate::{Client, ENTRY, Link};

/// What an import would do.
#[derive(Debug, Default)]
pub struct Plan {
    /// The servers, the known ones among them.
    pub servers: Vec<Planned>,
    /// The entries that start a server through us from then on.
    pub rewrites: Vec<Rewrite>,
    /// What stays as it is.
    pub left: Vec<Left>,
}

/// A server of the plan.
#[derive(Debug)]
pub struct Planned {
    /// Its name with us.
    pub name: Name,
    /// What it is.
    pub spec: Spec,
    /// Whether it is added; else it is there already, just as it would be.
    pub is_new: bool,
    declared: Declared,
}

/// An entry that is rewritten.
#[derive(Debug)]
pub struct Rewrite {
    /// The client.
    pub client: &'static Client,
    /// Its file.
    pub file: PathBuf,
    /// The server, by its name with us.
    pub server: Name,
    /// The server, as the client calls it.
    entry: String,
    path: Vec<Step>,
    present: Value,
}

/// An entry that keeps its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Left {
    /// The client.
    pub client: String,
    /// Its file.
    pub file: PathBuf,
    /// The server, as the client calls it.
    pub server: String,
    /// Why.
    pub why: String,
}

/// Where imported secrets go.
pub trait Destination {
    /// Why it does not say what it has.
    type Error: From<FileError>;

    /// The name of a secret of `server`: what stands behind the scheme.
    fn name(&self, server: &Name, secret: &str) -> String;

    /// Its reference.
    fn reference(&self, server: &Name, secret: &str) -> String;

    /// What is at the place of a secret of `server`.
    fn look(&self, server: &Name, name: &str, secret: &Secret) -> Result<Place, Self::Error>;
}

/// What is where a secret would go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing.
    Free,
    /// The same secret, for the same server.
    Same,
    /// Something else.
    Other,
}

/// What there is before.
pub struct Known<'a, D> {
    /// The user's `strongroom.toml`, as a value.
    pub config: &'a Value,
    /// Names that something else has.
    pub taken: &'a dyn Fn(&str) -> bool,
    /// Where secrets go.
    pub store: &'a D,
    /// Whether secrets that others see move, too.
    pub visible: bool,
}

/// How an entry starts a server through us.
#[derive(Clone, Copy)]
pub struct Through<'a> {
    /// The absolute path of this program.
    pub program: &'a str,
    /// The home to use, where it is not the one that the platform implies.
    pub home: Option<&'a str>,
}

impl Plan {
    /// Adds what the file of a client holds.
    pub fn add<D: Destination>(
        &mut self,
        client: &'static Client,
        file: &Path,
        known: &Known<'_, D>,
    ) -> Result<(), D::Error> {
        let text = ConfigFile::read(file)?.text.unwrap_or_default();
        let document = match edit::read(client.format(), &text) {
            Ok(document) => document,
            Err(error) => {
                self.left.push(Left {
                    client: client.name.clone(),
                    file: file.to_owned(),
                    server: String::new(),
                    why: format!("the file cannot be read: {error}"),
                });
                return Ok(());
            }
        };
        for server in client.servers(&document) {
            let declared = client.declared(server.entry);
            if server.name == ENTRY || declared.runs().is_some() {
                continue;
            }
            let mut left = |why: String| {
                let (client, server) = (client.name.clone(), server.name.clone());
                self.left.push(Left { client, file: file.to_owned(), server, why });
            };
            let spec = match Spec::read(client, server.entry, known.visible) {
                None => continue,
                Some(Err(why)) => {
                    left(why);
                    continue;
                }
                Some(Ok(spec)) => spec,
            };
            let is_remote = spec.is_remote();
            if is_remote {
                left(
                    "it is called by its address: the client needs the secret until the gateway \
                      takes the call over; the server is imported beside it"
                        .to_owned(),
                );
            }
            let Some(name) = self.place(&server.name, spec, declared, known)? else { continue };
            if !is_remote {
                self.rewrites.push(Rewrite {
                    client,
                    file: file.to_owned(),
                    server: name,
                    entry: server.name.clone(),
                    path: server.path.clone(),
                    present: server.entry.clone(),
                });
            }
        }
        Ok(())
    }

    /// Finds the server's name: that of the same server if it is known, else one that is free.
    fn place<D: Destination>(
        &mut self,
        title: &str,
        spec: Spec,
        declared: Declared,
        known: &Known<'_, D>,
    ) -> Result<Option<Name>, D::Error> {
        const MOST: usize = 1000;
        for number in 1..MOST {
            let Some(name) = server_name(title, number).filter(|name| name.as_str() != ENTRY)
            else {
                continue;
            };
            if let Some(planned) = self.servers.iter().find(|planned| planned.name == name) {
                if planned.declared == declared {
                    return Ok(Some(name));
                }
                continue;
            }
            let present = &known.config["servers"][name.as_str()];
            let is_there = !present.is_null();
            let stored = stored(&name, &spec, known.store)?;
            let is_same =
                is_there && stored == Place::Same && says(present, &name, &spec, known.store);
            if is_same || (!is_there && !(known.taken)(name.as_str()) && stored != Place::Other) {
                let is_new = !is_same;
                self.servers.push(Planned { name: name.clone(), spec, is_new, declared });
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// Leaves out what is refused, with the reason.
    pub fn check(&mut self, refusal: &dyn Fn(&Planned) -> Option<String>) {
        let refused: Vec<(Name, String)> = self
            .servers
            .iter()
            .filter_map(|planned| {
                let why = refusal(planned)?;
                Some((planned.name.clone(), why))
            })
            .collect();
        for (name, why) in refused {
            self.drop_server(&name, &why);
        }
    }

    /// Leaves a server out, with the entries that would start it.
    fn drop_server(&mut self, name: &Name, why: &str) {
        self.servers.retain(|planned| planned.name != *name);
        for rewrite in self.rewrites.iter().filter(|rewrite| rewrite.server == *name) {
            self.left.push(Left {
                client: rewrite.client.name.clone(),
                file: rewrite.file.clone(),
                server: rewrite.entry.clone(),
                why: why.to_owned(),
            });
        }
        self.rewrites.retain(|rewrite| rewrite.server != *name);
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.rewrites.is_empty() && !self.servers.iter().any(|planned| planned.is_new)
    }

    /// The files that change, each once, in order.
    pub fn files(&self) -> Vec<(&'static Client, &Path)> {
        let mut files: Vec<(&'static Client, &Path)> = Vec::new();
        for rewrite in &self.rewrites {
            if !files.iter().any(|(_, file)| *file == rewrite.file) {
                files.push((rewrite.client, &rewrite.file));
            }
        }
        files
    }

    /// What `text`, which stands in `file`, becomes. An entry that is another one by now stays.
    pub fn rewritten(
        &self,
        file: &Path,
        text: &str,
        through: Through<'_>,
    ) -> Result<String, EditError> {
        let mut text = text.to_owned();
        for rewrite in self.rewrites.iter().filter(|rewrite| rewrite.file == file) {
            let document = edit::read(rewrite.client.format(), &text)?;
            if edit::at(&document, &rewrite.path) != Some(&rewrite.present) {
                continue;
            }
            let args = ["run", rewrite.server.as_str()];
            let link = Link::Stdio { command: through.program, args: &args, home: through.home };
            // A client always takes a program; only addresses are refused by some.
            let Ok(mut entry) = rewrite.client.entry(&rewrite.entry, &link) else { continue };
            entry.takes_over = true;
            entry.fresh.clear();
            text = edit::set(&text, &rewrite.client.place_at(&rewrite.path), &entry)?;
        }
        Ok(text)
    }
}

impl Planned {
    /// The server, as it stands in `strongroom.toml`.
    pub fn table(&self, store: &impl Destination) -> Table {
        table(&self.name, &self.spec, store)
    }
}

fn table(name: &Name, spec: &Spec, store: &impl Destination) -> Table {
    spec.table(&|secret| store.reference(name, secret))
}

/// Whether the server in `strongroom.toml` says what it would say.
fn says(present: &Value, name: &Name, spec: &Spec, store: &impl Destination) -> bool {
    let wanted = DocumentMut::from(table(name, spec, store)).to_string();
    edit::read(Format::Toml, &wanted).is_ok_and(|wanted| wanted == *present)
}

/// What is at the places of a server's secrets: something else, if that is at any of them.
fn stored<D: Destination>(server: &Name, spec: &Spec, store: &D) -> Result<Place, D::Error> {
    let mut all = Place::Same;
    for (name, secret) in &spec.secrets {
        match store.look(server, &store.name(server, name), secret)? {
            Place::Same => {}
            Place::Free => all = Place::Free,
            Place::Other => return Ok(Place::Other),
        }
    }
    Ok(all)
}
