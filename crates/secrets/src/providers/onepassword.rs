//! `op://VAULT/ITEM/FIELD`: 1Password, by its command line tool or a Connect server.

mod batch;
mod cli;
mod words;

use strongroom_model::ports::Provider;

use super::connect;
use super::program::{PASS_ENV, PROGRAM};
use crate::http::CA_FILE;
use crate::settings::{Context, Field, Kind, SettingError, Settings};

pub(super) use cli::{TOKEN_FILE, TOKEN_VARIABLE, TOOL};

/// What `[providers.op]` takes.
pub(super) const FIELDS: &[Field] = &[
    Field { name: "token", kind: Kind::Secret, about: "the token of a service account" },
    Field {
        name: "account",
        kind: Kind::Text,
        about: "the account of the desktop app, where there is no token",
    },
    connect::HOST,
    connect::TOKEN,
    CA_FILE,
    PROGRAM,
    PASS_ENV,
];

/// The provider that `settings` ask for.
pub(super) fn new(
    settings: &Settings,
    context: &Context,
) -> Result<Box<dyn Provider>, SettingError> {
    if connect::is_configured(settings, context) {
        return Ok(Box::new(connect::new(settings, context)?));
    }
    Ok(Box::new(cli::new(settings, context)?))
}
