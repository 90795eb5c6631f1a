//! `cmd://NAME`: what a command prints that the user has named in the configuration.
//!
//! Only the user's own file may name one: a project that could would run what it likes.

use std::collections::BTreeMap;

use strongroom_model::ports::{BoxFuture, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;

use super::program::{Call, PROGRAM, Program, Tool, each};
use crate::settings::{Context, Field, Kind, SettingError, Settings};

/// What `[providers.cmd.NAME]` takes.
pub(super) const FIELDS: &[Field] = &[
    Field {
        name: "command",
        kind: Kind::Words,
        about: "the program, by its absolute path, and its arguments; no shell reads them",
    },
    Field {
        name: "env",
        kind: Kind::Words,
        about: "its variables: `NAME=VALUE`, or `NAME` to hand on ours",
    },
];

static TOOL: Tool = Tool { scheme: "cmd", name: "cmd", windows: "", keep: &[] };

/// Runs named commands.
pub(super) struct CmdProvider(BTreeMap<String, Command>);

struct Command {
    program: Program,
    args: Vec<String>,
}

/// The provider of these commands.
pub(super) fn new(settings: &Settings, context: &Context) -> Result<CmdProvider, SettingError> {
    let mut commands = BTreeMap::new();
    for (name, table) in &settings.tables {
        let timeout = table.timeout.or(settings.timeout);
        commands.insert(name.clone(), command(&Settings { timeout, ..table.clone() }, context)?);
    }
    Ok(CmdProvider(commands))
}

fn command(settings: &Settings, context: &Context) -> Result<Command, SettingError> {
    let words = settings.words.get("command").map(Vec::as_slice).unwrap_or_default();
    let Some((path, args)) = words.split_first() else {
        return Err(SettingError {
            key: "command",
            problem: "it is missing".to_owned(),
            hint: Some("write `command = [\"/path/to/program\", \"argument\"]`".to_owned()),
        });
    };
    let mut settings = settings.clone();
    settings.texts.insert(PROGRAM.name.to_owned(), path.clone());
    let relative = |error| SettingError { key: "command", ..error };
    let mut program = Program::new(&TOOL, &settings, context).map_err(relative)?;
    for word in settings.words.get("env").into_iter().flatten() {
        match word.split_once('=') {
            Some((name, value)) => program.set(name, value),
            None => {
                if let Some(value) = (context.variable)(word) {
                    program.set(word, value);
                }
            }
        }
    }
    Ok(Command { program, args: args.to_vec() })
}

impl CmdProvider {
    async fn value(&self, reference: &SecretRef) -> Result<Secret, ResolveError> {
        let name = reference.path();
        let Some(Command { program, args }) = self.0.get(name) else {
            return Err(ResolveError::NotFound { reference: reference.clone() });
        };
        let args = args.iter().map(Into::into).collect();
        let answered = program.ask(Call { args, ..Call::default() }).await?;
        if !answered.went_well() {
            let why = match answered.code {
                Some(0) => "its command ended well, and said that there was an error".to_owned(),
                Some(code) => format!("its command ended with code {code}"),
                None => "its command was ended by a signal".to_owned(),
            };
            return Err(ResolveError::unreachable("cmd", why));
        }
        answered.into_secret(reference)
    }
}

impl Provider for CmdProvider {
    fn scheme(&self) -> &'static str {
        "cmd"
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        Box::pin(each(refs, |reference| self.value(reference)))
    }
}
