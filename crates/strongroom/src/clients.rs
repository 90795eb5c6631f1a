//! A change of one client's configuration: planned, shown or made, and reported.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use strongroom_clients::edit::{self, EditError};
use strongroom_clients::entries::Servers;
use strongroom_clients::file::{ConfigFile, FileError};
use strongroom_clients::scan;
use strongroom_clients::survey::{Connection, connection, runs};
use strongroom_clients::{Client, ClientError, ENTRY};
use strongroom_model::display::DisplaySafe;

use crate::commands::shown;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Report, Style};

/// How often a file that its client keeps writing is read again.
const ATTEMPTS: u32 = 5;

/// What happens to our entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is written.
    Connect,
    /// It is removed.
    Disconnect,
}

/// The file that is to be changed.
pub struct Target {
    client: &'static Client,
    path: PathBuf,
}

impl Target {
    /// The user's file of `client`, or that of the project in the current directory.
    pub fn locate(client: &'static Client, host: &Host, project: bool) -> Result<Self, Failure> {
        let path = if project {
            client.project_file(host.environment.os, &host.directory)?
        } else {
            client.user_file(&host.environment)?
        };
        Ok(Self { client, path })
    }

    /// The file of `client` in the project in the current directory, if there is one and it is not
    /// the user's as well.
    pub fn in_project(client: &'static Client, host: &Host) -> Option<Self> {
        let target = Self::locate(client, host, true).ok()?;
        let there = std::fs::canonicalize(&target.path).ok()?;
        let user = client.user_file(&host.environment).ok();
        let user = user.and_then(|path| std::fs::canonicalize(path).ok());
        (user.as_ref() != Some(&there)).then_some(target)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses where nothing says that the client is on this machine.
    pub fn check_installed(&self, host: &Host) -> Result<(), Failure> {
        let places = self.client.detect(&host.environment);
        if self.path.exists() || places.iter().any(|place| place.exists()) {
            return Ok(());
        }
        let places: Vec<String> =
            places.iter().map(|place| shown(place, &host.environment)).collect();
        let places = places.join(" and ");
        let problem = format!("{} is not on this machine", self.client.title());
        Err(Failure::failed(problem)
            .hint(format!("there is no {places}; `--force` writes its configuration all the same")))
    }

    /// Where it connects to now, and the bearer token that it uses to do so.
    pub fn connection(&self) -> Result<(Option<Connection>, Option<String>), Failure> {
        let text = ConfigFile::read(&self.path)?.text.unwrap_or_default();
        let document = self.parse(&text)?;
        let entry = self.client.entry_of(&document, ENTRY);
        let headers = entry.map(|entry| self.client.declared(entry).headers).unwrap_or_default();
        let header = headers.get("Authorization");
        let token = header.and_then(|value| value.strip_prefix("Bearer "));
        Ok((connection(self.client, &document), token.map(ToOwned::to_owned)))
    }

    /// Whether there is anything of ours in it.
    pub fn is_ours(&self) -> Result<bool, Failure> {
        let text = ConfigFile::read(&self.path)?.text.unwrap_or_default();
        let document = self.parse(&text)?;
        let servers = self.client.servers(&document);
        let is_connected = connection(self.client, &document).is_some();
        Ok(is_connected || !runs(self.client, &servers).is_empty())
    }

    fn parse(&self, text: &str) -> Result<Value, Failure> {
        edit::read(self.client.format(), text).map_err(|error| self.broken(&error))
    }

    /// Removes our entries: that of the broker, and those that run a server through us.
    pub fn remove(&self, host: &Host, dry_run: bool) -> Result<Done, Failure> {
        let remove = |text: &str| {
            let document = edit::read(self.client.format(), text)?;
            let mut text = edit::remove(text, &self.client.place(&document, ENTRY))?;
            for server in self.client.servers(&document) {
                if self.client.declared(server.entry).is_plain_run() {
                    text = edit::remove(&text, &self.client.place_at(&server.path))?;
                }
            }
            Ok(text)
        };
        self.change(Action::Disconnect, host, dry_run, false, remove)
    }

    /// Edits the file, again if its client writes it meanwhile. It becomes readable by its owner
    /// alone where `private`.
    pub fn change(
        &self,
        action: Action,
        host: &Host,
        dry_run: bool,
        private: bool,
        edit: impl Fn(&str) -> Result<String, EditError>,
    ) -> Result<Done, Failure> {
        let mut attempt = 1;
        loop {
            let file = ConfigFile::read(&self.path)?;
            let before = file.text.clone().unwrap_or_default();
            let after = edit(&before).map_err(|error| self.broken(&error))?;
            let mut done = Done {
                action,
                client: self.client,
                shown: shown(&file.path, &host.environment),
                file: file.path.clone(),
                changed: before != after,
                backup: None,
                diff: None,
                servers: Servers::default(),
            };
            if dry_run {
                done.diff = Some(diff(self.client, &done.shown, &before, &after));
                return Ok(done);
            }
            if !done.changed {
                return Ok(done);
            }
            if file.text.is_none() {
                make_parent(&file.path)?;
            }
            match file.replace(&after, private, host.clock.now()) {
                Err(FileError::Changed { .. }) if attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
                Ok(backup) => {
                    done.backup = backup;
                    return Ok(done);
                }
            }
        }
    }

    fn broken(&self, error: &EditError) -> Failure {
        Failure::failed(format!("{}: {error}", self.path.display()))
            .hint("nothing was changed; put the file right and try again")
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::failed(error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let hint = match &error {
            ClientError::NoHttp { .. } => "leave out `--http`: the client starts Strongroom then",
            ClientError::NoProject { .. } => "leave out `--project`",
            ClientError::NoPlace { .. } => "set HOME",
        };
        Self::usage(error).hint(hint)
    }
}

fn make_parent(path: &Path) -> Result<(), Failure> {
    let Some(parent) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(parent)
        .map_err(|source| FileError::Io { path: parent.to_owned(), source }.into())
}

/// A unified diff, with the secrets of the file hidden: it goes to a terminal or a log.
pub fn diff(client: &Client, shown: &str, before: &str, after: &str) -> String {
    let mask = |text: &str| match edit::read(client.format(), text) {
        Ok(document) => scan::mask(text, &client.servers(&document)),
        Err(_) => text.to_owned(),
    };
    let (before, after) = (mask(before), mask(after));
    let diff = similar::TextDiff::from_lines(&before, &after);
    diff.unified_diff().context_radius(3).header(shown, shown).to_string()
}

/// A file that was changed, or would be.
#[derive(Debug)]
pub struct Done {
    action: Action,
    client: &'static Client,
    file: PathBuf,
    shown: String,
    /// Whether the file is another one now, or would be.
    pub changed: bool,
    /// The file as it was.
    pub backup: Option<PathBuf>,
    /// The change, where it was only to be shown.
    pub diff: Option<String>,
    /// What became of the servers that the client starts through us.
    pub servers: Servers,
}

impl Done {
    /// The file, for a person.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

impl Serialize for Done {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;

        let mut fields = serializer.serialize_struct("Done", 10)?;
        fields.serialize_field("action", &self.action)?;
        fields.serialize_field("client", &self.client.name)?;
        fields.serialize_field("file", &self.file)?;
        fields.serialize_field("changed", &self.changed)?;
        fields.serialize_field("dry_run", &self.diff.is_some())?;
        fields.serialize_field("backup", &self.backup)?;
        fields.serialize_field("diff", &self.diff)?;
        fields.serialize_field("servers", &self.servers.present)?;
        fields.serialize_field("removed", &self.servers.removed)?;
        fields.serialize_field("foreign", &self.servers.foreign)?;
        fields.end()
    }
}

impl Report for Done {
    fn text(&self, style: Style) -> String {
        let (title, shown) = (self.client.title(), &self.shown);
        if let Some(diff) = &self.diff {
            return if self.changed { diff.clone() } else { format!("{shown} stays as it is.\n") };
        }
        let (unchanged, changed) = match self.action {
            Action::Connect => {
                ("connected already", format!("connected, as the principal `{}`", self.client.name))
            }
            Action::Disconnect => ("not connected", "disconnected".to_owned()),
        };
        if !self.changed {
            return format!("{title} is {unchanged}; {shown} was not changed.\n");
        }
        let backup = self.backup.as_deref().and_then(Path::file_name).map_or_else(
            || "none: the file is new".to_owned(),
            |name| format!("{} (beside it)", name.to_string_lossy()),
        );
        let line = |what: &str, names: &[String]| match names {
            [] => String::new(),
            names => format!("  {what:<7} {}\n", DisplaySafe(&names.join(", "))),
        };
        let servers =
            line("starts", &self.servers.present) + &line("no more", &self.servers.removed);
        format!(
            "{title} is {changed}.\n\n  file    {shown}\n  backup  {backup}\n{servers}\n{} {}.\n",
            style.bold("Next:"),
            self.client.then(),
        )
    }
}
