//! The team server that a command acts on, where that is not this machine.
//!
//! A command acts on this machine unless `--remote NAME` says otherwise, or `strongroom remote use NAME`
//! did before. No variable and no file of a project decides it, and every command that acts elsewhere
//! says where before it does.
//!
//! A server's address and its key are one sealed secret of the vault ([`kept`]): whoever can write files
//! here cannot send a key to a place of their own.

pub mod credentials;
pub mod definition;
mod failure;
pub mod kept;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use strongroom_model::display::DisplaySafe;
use strongroom_model::principal::Name;
use strongroom_secrets::remote::answers::{Stored, Whoami};
use strongroom_secrets::remote::{Client, Login, NewField, RemoteError};
use tokio::runtime::Runtime;

use crate::config::{Config, LoadError};
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::Output;
use crate::{confirm, team};

pub use failure::of_error;

/// Which team server was chosen, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Its name.
    pub name: Name,
    /// Whether this command line says so; otherwise `remote use` did.
    pub named: bool,
}

/// Where a command can act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Here, or on a team server.
    Both,
    /// Here. It has a meaning on a team server, too, that it does not have yet: while one is in use it
    /// is not taken for granted that this machine is meant.
    Unclear,
    /// Here, and nobody means anything else by it.
    Here,
}

/// Finds out where a command acts: `None` is this machine.
///
/// # Errors
///
/// Wrong usage, where it cannot act on the server that was chosen.
pub fn choose(
    named: Option<&Name>,
    local: bool,
    reach: Reach,
    command: &str,
    host: &Host,
) -> Result<Option<Chosen>, Failure> {
    let chosen = match named {
        Some(_) if local => {
            return Err(Failure::usage("`--remote` and `--local` exclude each other"));
        }
        Some(name) => Some(Chosen { name: name.clone(), named: true }),
        None if local || reach == Reach::Here => None,
        None => kept::in_use(&host.home()?)?.map(|name| Chosen { name, named: false }),
    };
    match chosen {
        Some(chosen) if reach != Reach::Both => Err(chosen.not_there(command)),
        chosen => Ok(chosen),
    }
}

impl Chosen {
    /// `command` does not act on a team server.
    pub fn not_there(&self, command: &str) -> Failure {
        if self.named {
            return Failure::usage(format!("`{command}` acts on this machine only"))
                .hint("leave `--remote` out, or see `strongroom remote --help`");
        }
        let name = &self.name;
        Failure::usage(format!("`{command}` acts on this machine, and `{name}` is in use"))
            .hint("add `--local`, or run `strongroom remote use --none`")
    }
}

/// A team server that a command acts on.
pub struct Remote {
    /// What it is called here.
    pub name: Name,
    chosen: Chosen,
    client: Client,
    runtime: Runtime,
    /// Whether its words are shown to a person: then they are made safe.
    shown: bool,
}

impl Remote {
    /// Opens what is kept of the server, and says on stderr where the command acts.
    pub fn open(chosen: Chosen, host: &Host, output: &Output) -> Result<Self, Failure> {
        let login = kept::login(host, &chosen.name)?;
        let remote = Self::with(chosen, login, output)?;
        let Login { tenant, .. } = remote.login();
        let (name, origin) = (&remote.name, remote.login().address.origin());
        if output.is_json() {
            let place = json!({ "remote": name, "url": origin, "tenant": tenant });
            output.tell(&place.to_string());
        } else {
            output.tell(&format!("at {name}: {origin}, tenant {}", DisplaySafe(tenant)));
        }
        Ok(remote)
    }

    /// The same for a login that is not kept yet, and in silence.
    pub fn with(chosen: Chosen, login: Login, output: &Output) -> Result<Self, Failure> {
        let name = chosen.name.clone();
        let client = Client::new(login).map_err(|error| of_error(error, &name))?;
        let runtime = team::runtime()?;
        Ok(Self { name, chosen, client, runtime, shown: !output.is_json() })
    }

    /// Whose key is sent where.
    pub fn login(&self) -> &Login {
        self.client.login()
    }

    /// Gives the login back, to be kept.
    pub fn into_login(self) -> Login {
        self.client.into_login()
    }

    /// Who the server takes us for.
    pub fn whoami(&self) -> Result<Whoami, Failure> {
        self.wait(self.client.get("/v1/whoami", &[]))
    }

    /// What is at `path`, for a person or a program to read.
    pub fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Failure> {
        self.shown(self.wait(self.client.get(path, query))?)
    }

    /// What is at `path`, as it is: to be changed and sent back.
    pub fn get_exact<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Failure> {
        self.wait(self.client.get(path, query))
    }

    /// Sends `body` to `path`.
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.shown(self.wait(self.client.post(path, body))?)
    }

    /// Sends `body` to `path`, where a repetition is known as such.
    pub fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.shown(self.wait(self.client.post_once(path, body))?)
    }

    /// Puts `body` to `path`.
    pub fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.shown(self.wait(self.client.put(path, body))?)
    }

    /// Deletes what is at `path`.
    pub fn delete<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Failure> {
        self.wait(self.client.delete(path, query))
    }

    /// Stores a credential.
    pub fn store(
        &self,
        service: &str,
        kind: &str,
        fields: &[NewField<'_>],
    ) -> Result<Stored, Failure> {
        self.wait(self.client.store(service, kind, fields))
    }

    /// `command` does not act on a team server.
    pub fn not_there(&self, command: &str) -> Failure {
        self.chosen.not_there(command)
    }

    /// A key acts for one tenant: another one is not to be named.
    pub fn refuse_tenant(&self, named: Option<&str>) -> Result<(), Failure> {
        if named.is_none() {
            return Ok(());
        }
        Err(Failure::usage("`--tenant` is for the operator of a team that is served here").hint(
            format!("leave it out: the key of `{}` has its tenant, or add `--local`", self.name),
        ))
    }

    /// Asks the person, where `changes` let agents do more there and somebody is at a terminal.
    pub fn confirm(&self, changes: &[String], host: &Host) -> Result<(), Failure> {
        if changes.is_empty() || is_headless(host)? {
            return Ok(());
        }
        let (name, tenant) = (&self.name, DisplaySafe(&self.login().tenant));
        let heading =
            format!("At the team server `{name}`, tenant {tenant}, this lets agents do more");
        Ok(confirm::in_person(&heading, changes, host)?)
    }

    fn wait<T>(&self, act: impl Future<Output = Result<T, RemoteError>>) -> Result<T, Failure> {
        self.runtime.block_on(act).map_err(|error| of_error(error, &self.name))
    }

    /// What a person is shown does nothing to the terminal, and stays on its line (AL-01). A program
    /// gets what the server said.
    fn shown<T: DeserializeOwned>(&self, mut data: Value) -> Result<T, Failure> {
        if self.shown {
            make_safe(&mut data);
        }
        serde_json::from_value(data).map_err(|_| {
            let why = "its answer has not the known fields";
            let at = self.login().address.origin();
            of_error(RemoteError::Strange { at, why }, &self.name)
        })
    }
}

/// Whether nobody is at a terminal here (decision 28).
pub fn is_headless(host: &Host) -> Result<bool, Failure> {
    match Config::load_without_services(&host.home()?) {
        Ok(config) => Ok(config.headless),
        Err(LoadError::Missing { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn make_safe(data: &mut Value) {
    match data {
        Value::String(text) => *text = DisplaySafe(text).to_string(),
        Value::Array(items) => items.iter_mut().for_each(make_safe),
        Value::Object(fields) => {
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(name, mut value)| {
                    make_safe(&mut value);
                    (DisplaySafe(&name).to_string(), value)
                })
                .collect();
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // AL-01
    #[test]
    fn nothing_that_a_server_says_acts_on_the_terminal() {
        let mut data = json!({ "a\u{1b}[2J": ["x\ny", { "b": "\u{202e}", "n": 1 }], "c": null });
        make_safe(&mut data);
        let text = data.to_string();
        assert!(!text.contains(['\u{1b}', '\u{202e}']) && !text.contains("\\n"), "{text}");
        assert_eq!(data["a\\u{1b}[2J"][1]["n"], 1);
    }
}
