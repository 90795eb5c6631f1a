//! `keepass://ENTRY` and `keepass://ENTRY#FIELD`: a `KeePass` database, by `keepassxc-cli`.
//!
//! `ENTRY` is the path of the entry in the database, with its groups; `FIELD` is an attribute of it,
//! by default the password.

use std::ffi::OsString;
use std::path::Path;

use strongroom_model::ports::{BoxFuture, Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use zeroize::Zeroizing;

use super::program::{Answered, Call, PASS_ENV, PROGRAM, Program, Tool, each, token_rejected};
use crate::settings::{Context, Field, Kind, SettingError, Settings, Tokens};

/// What `[providers.keepass]` takes.
pub(super) const FIELDS: &[Field] = &[
    Field { name: "database", kind: Kind::Path, about: "the database" },
    Field { name: "password", kind: Kind::Secret, about: "its password" },
    Field { name: "key_file", kind: Kind::Path, about: "its key file" },
    PROGRAM,
    PASS_ENV,
];

/// The program.
pub(super) static TOOL: Tool =
    Tool { scheme: "keepass", name: "keepassxc-cli", windows: "KeePassXC", keep: &[] };

/// Asks `keepassxc-cli`.
pub(super) struct KeepassProvider {
    program: Program,
    database: Option<String>,
    key_file: Option<String>,
    password: Option<SecretRef>,
    tokens: Tokens,
}

/// The provider of `[providers.keepass]`.
pub(super) fn new(settings: &Settings, context: &Context) -> Result<KeepassProvider, SettingError> {
    let mut program = Program::new(&TOOL, settings, context)?;
    // It is a program for a desktop, and there is none.
    program.set("QT_QPA_PLATFORM", "offscreen");
    Ok(KeepassProvider {
        program,
        database: settings.text("database").map(str::to_owned),
        key_file: settings.text("key_file").map(str::to_owned),
        password: settings.secret("password").cloned(),
        tokens: context.tokens.clone(),
    })
}

impl KeepassProvider {
    /// What opens the database: its path and its password.
    async fn opener(&self) -> Result<(&str, Option<Secret>), ResolveError> {
        let absent = |why: String, fix: &str| Err(ResolveError::absent("keepass", why, fix));
        let set = "run `strongroom provider set keepass --set database=/path/to/it.kdbx`";
        let Some(database) = self.database.as_deref() else {
            return absent("no database is named".to_owned(), set);
        };
        if !Path::new(database).is_file() {
            return absent(format!("there is no database `{database}`"), set);
        }
        if let Some(file) = self.key_file.as_deref().filter(|file| !Path::new(file).is_file()) {
            let fix = "run `strongroom provider set keepass --set key_file=/path/to/it`";
            return absent(format!("there is no key file `{file}`"), fix);
        }
        match &self.password {
            Some(reference) => Ok((database, Some(self.tokens.get("keepass", reference).await?))),
            None if self.key_file.is_some() => Ok((database, None)),
            None => absent(
                "neither a password nor a key file is named".to_owned(),
                "run `strongroom provider set keepass --token-stdin` with the password",
            ),
        }
    }

    async fn value(
        &self,
        database: &str,
        password: Option<&Secret>,
        reference: &SecretRef,
    ) -> Result<Secret, ResolveError> {
        let mut args: Vec<OsString> =
            ["show", "--show-protected", "--attributes"].map(Into::into).to_vec();
        args.push(reference.fragment().unwrap_or("Password").into());
        if let Some(file) = &self.key_file {
            args.extend(["--key-file".into(), file.into()]);
        }
        let mut input = Zeroizing::new(Vec::new());
        match password {
            Some(password) => {
                input.reserve_exact(password.len() + 1);
                input.extend_from_slice(password.expose());
                input.push(b'\n');
            }
            None => args.push("--no-password".into()),
        }
        args.extend([database.into(), reference.path().into()]);
        let answered = self.program.ask(Call { args, input, ..Call::default() }).await?;
        if answered.code != Some(0) {
            return Err(trouble(&answered, reference));
        }
        if answered.stdout.starts_with(b"Enter password") {
            return Err(ResolveError::unreachable(
                "keepass",
                "its program is too old: it asks for a password where it answers",
            ));
        }
        answered.into_secret(reference)
    }
}

impl Provider for KeepassProvider {
    fn scheme(&self) -> &'static str {
        "keepass"
    }

    fn resolve<'a>(
        &'a self,
        refs: &'a [SecretRef],
    ) -> BoxFuture<'a, Vec<Result<Secret, ResolveError>>> {
        Box::pin(async move {
            if refs.is_empty() {
                return Vec::new();
            }
            match self.opener().await {
                Ok((database, password)) => {
                    let password = password.as_ref();
                    each(refs, |reference| self.value(database, password, reference)).await
                }
                Err(error) => refs.iter().map(|_| Err(error.clone())).collect(),
            }
        })
    }
}

fn trouble(answered: &Answered, reference: &SecretRef) -> ResolveError {
    if answered.says(&["could not find entry with path", "unknown attribute"]) {
        ResolveError::NotFound { reference: reference.clone() }
    } else if answered.says(&["invalid credentials", "wrong key or database file is corrupt"]) {
        token_rejected("keepass")
    } else if answered.says(&["failed to read database file", "not a keepass database"]) {
        ResolveError::Integrity { scheme: "keepass".to_owned() }
    } else {
        ResolveError::unreachable("keepass", "its program failed in a way that is not known")
    }
}
