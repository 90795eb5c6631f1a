//! `strongroom key`: the API keys of a tenant.

use std::time::SystemTime;

use clap::Subcommand;
use serde::Serialize;
use strongroom_model::secret::Secret;
use strongroom_model::team::{ApiKey, Scope, Scopes};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::commands::org::Deleted;
use crate::config::cache::span;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style, rfc3339, table};
use crate::team::Operator;

/// Make, list, disable, rotate and delete the API keys of a tenant
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key and print it, once
    #[command(after_help = "Example:
  strongroom key create --tenant shop --scope use,register --expires 90d")]
    Create {
        /// The tenant that it acts for
        #[arg(long, value_name = "TENANT")]
        tenant: String,
        /// What its holder may do: use, register, credentials:write, executor, approve, admin
        #[arg(long, value_name = "SCOPES", default_value = "use")]
        scope: String,
        /// When it ends: `90d`, `12h`, or a time such as 2027-01-31T00:00:00Z
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
        /// What people call it
        #[arg(long, default_value = "key")]
        name: String,
    },
    /// List the keys of a tenant
    #[command(after_help = "Example:
  strongroom key list --tenant shop")]
    List {
        /// The tenant
        #[arg(long, value_name = "TENANT")]
        tenant: String,
    },
    /// Show a key, without its secret
    #[command(after_help = "Example:
  strongroom key show 0123456789abcdef --tenant shop")]
    Show(Named),
    /// Refuse a key from now on
    #[command(after_help = "Example:
  strongroom key disable 0123456789abcdef --tenant shop")]
    Disable(Named),
    /// Let a key in again
    #[command(after_help = "Example:
  strongroom key enable 0123456789abcdef --tenant shop")]
    Enable(Named),
    /// Give a key a new secret, printed once; the old one is refused from now on
    #[command(after_help = "Example:
  strongroom key rotate 0123456789abcdef --tenant shop")]
    Rotate(Named),
    /// Delete a key for good
    #[command(after_help = "Example:
  strongroom key delete 0123456789abcdef --tenant shop")]
    Delete(Named),
}

/// A key of a tenant.
#[derive(Debug, clap::Args)]
struct Named {
    /// Its id or name
    key: String,
    /// The tenant
    #[arg(long, value_name = "TENANT")]
    tenant: String,
}

/// Runs the command.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let operator = Operator::open(host)?;
    let team = &operator.team;
    match &args.command {
        Command::Create { tenant, scope, expires, name } => {
            let scopes = scopes(scope)?;
            let now = host.clock.now();
            let expires = expires.as_deref().map(|text| expiry(text, now)).transpose()?;
            let tenant = operator.tenant(tenant)?;
            operator.record(Some(tenant.id), "key.create", name)?;
            let (key, token) =
                operator.wait(team.create_api_key(&tenant.id, name, scopes, expires))?;
            print(&Row::of(&key), &token, *output)
        }
        Command::List { tenant } => {
            let tenant = operator.tenant(tenant)?;
            let keys = operator.wait(team.api_keys(&tenant.id))?;
            output.report(&List(keys.iter().map(Row::of).collect()))
        }
        Command::Show(named) => {
            let tenant = operator.tenant(&named.tenant)?;
            output.report(&Row::of(&operator.api_key(&tenant, &named.key)?))
        }
        Command::Disable(named) => enable(&operator, named, false, *output),
        Command::Enable(named) => enable(&operator, named, true, *output),
        Command::Rotate(named) => {
            let tenant = operator.tenant(&named.tenant)?;
            let key = operator.api_key(&tenant, &named.key)?;
            operator.record(Some(tenant.id), "key.rotate", key.id.as_str())?;
            let (key, token) = operator.wait(team.rotate_api_key(&tenant.id, &key.id))?;
            print(&Row::of(&key), &token, *output)
        }
        Command::Delete(named) => {
            let tenant = operator.tenant(&named.tenant)?;
            let key = operator.api_key(&tenant, &named.key)?;
            operator.record(Some(tenant.id), "key.delete", key.id.as_str())?;
            operator.done(team.delete_api_key(&tenant.id, &key.id))?;
            output.report(&Deleted { id: key.id.to_string(), deleted: true })
        }
    }
}

fn enable(
    operator: &Operator,
    named: &Named,
    enabled: bool,
    output: Output,
) -> Result<(), Failure> {
    let tenant = operator.tenant(&named.tenant)?;
    let key = operator.api_key(&tenant, &named.key)?;
    let act = if enabled { "key.enable" } else { "key.disable" };
    operator.record(Some(tenant.id), act, key.id.as_str())?;
    operator.done(operator.team.enable_api_key(&tenant.id, &key.id, enabled))?;
    output.report(&Row::of(&ApiKey { enabled, ..key }))
}

fn scopes(text: &str) -> Result<Scopes, Failure> {
    text.parse().map_err(|error| {
        let all: Vec<String> = Scope::ALL.iter().map(ToString::to_string).collect();
        Failure::usage(error).hint(format!("the scopes are {}", all.join(", ")))
    })
}

/// `90d` from `now` on, or a time.
fn expiry(text: &str, now: SystemTime) -> Result<SystemTime, Failure> {
    if let Some(time) = span(text).and_then(|span| now.checked_add(span)) {
        return Ok(time);
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).map(SystemTime::from);
    let wrong = |problem| {
        Failure::usage(problem)
            .hint("write `--expires 90d`, or a time such as 2027-01-31T00:00:00Z")
    };
    match time {
        Ok(time) if time > now => Ok(time),
        Ok(_) => Err(wrong("the time that the key ends at is over")),
        Err(_) => Err(wrong("this is no time for a key to end at")),
    }
}

/// Prints a key, the one time that it is shown: the person asked for it.
fn print(row: &Row, token: &Secret, output: Output) -> Result<(), Failure> {
    output.report(&Created::of(row, token))?;
    output.say("This is the only time that the key is shown.");
    Ok(())
}

/// A key with its secret.
#[derive(Serialize)]
pub struct Created<R: Serialize> {
    #[serde(flatten)]
    row: R,
    key: String,
}

impl<R: Serialize + Clone> Created<R> {
    /// The key of `row`, whose text is `token`.
    pub fn of(row: &R, token: &Secret) -> Self {
        Self { row: row.clone(), key: String::from_utf8_lossy(token.expose()).into_owned() }
    }
}

#[derive(Clone, Serialize)]
struct Row {
    id: String,
    tenant_id: String,
    name: String,
    scopes: String,
    enabled: bool,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
}

impl Row {
    fn of(key: &ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            tenant_id: key.tenant.to_string(),
            name: key.name.clone(),
            scopes: key.scopes.to_string(),
            enabled: key.enabled,
            created_at: rfc3339(key.created),
            expires_at: key.expires.map(rfc3339),
            last_used_at: key.last_used.map(rfc3339),
        }
    }

    fn cells(&self) -> Vec<String> {
        let state = if self.enabled { "enabled" } else { "disabled" };
        let used = self.last_used_at.clone().unwrap_or_else(|| "never".into());
        let ends = self.expires_at.clone().unwrap_or_else(|| "never".into());
        vec![self.id.clone(), self.name.clone(), self.scopes.clone(), state.into(), used, ends]
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Row>);

impl<R: Serialize> Report for Created<R> {
    fn text(&self, _: Style) -> String {
        format!("{}\n", self.key)
    }
}

const HEAD: [&str; 6] = ["ID", "NAME", "SCOPES", "STATE", "USED", "ENDS"];

impl Report for Row {
    fn text(&self, style: Style) -> String {
        List(vec![self.clone()]).text(style)
    }
}

impl Report for List {
    fn text(&self, style: Style) -> String {
        let head = HEAD.map(|word| style.dim(word)).to_vec();
        let rows = self.0.iter().map(Row::cells);
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_key_ends_after_a_while_or_at_a_time_that_is_to_come() {
        let now = UNIX_EPOCH + Duration::from_hours(500_000);
        assert_eq!(expiry("2h", now).unwrap(), now + Duration::from_hours(2));
        assert!(expiry("2099-01-31T00:00:00Z", now).unwrap() > now);
        for bad in ["2020-01-31T00:00:00Z", "tomorrow", "", "-1h", "2099-01-31"] {
            assert!(expiry(bad, now).is_err(), "{bad}");
        }
    }
}
