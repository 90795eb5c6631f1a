//! `strongroom secrets` on a team server: the credentials of a tenant, whose values nobody is shown.

use serde::Serialize;
use strongroom_model::secret::Secret;
use strongroom_model::team::is_label;
use strongroom_secrets::remote::NewField;
use strongroom_secrets::remote::answers::{Binding, Credential, Credentials, Stored};

use super::{Action, Args, remove, set};
use crate::environment::Host;
use crate::failure::Failure;
use crate::keys;
use crate::near;
use crate::output::{Output, Report, Style, table};
use crate::remote::{Remote, credentials};

/// Does it there.
pub fn at(args: &Args, remote: &Remote, host: &Host, output: Output) -> Result<(), Failure> {
    match &args.action {
        Action::Set(args) => store(args, remote, host, output),
        Action::List => list(remote, output),
        Action::Remove(args) => remove(args, remote, output),
        Action::Status(_) => Err(remote.not_there("strongroom secrets status")),
        Action::Refresh(_) => Err(remote.not_there("strongroom secrets refresh")),
        Action::Forget { .. } => Err(remote.not_there("strongroom secrets forget")),
        Action::Test { .. } => Err(remote.not_there("strongroom secrets test")),
    }
}

fn store(args: &set::Args, remote: &Remote, host: &Host, output: Output) -> Result<(), Failure> {
    if args.used_by.is_some() {
        return Err(Failure::usage("`--for` is for the secrets of this machine").hint(
            "on a team server a credential is for its service and for the servers that name it",
        ));
    }
    let (service, field) = split(&args.name)?;
    let fields: Vec<&str> = match (field, args.field.as_slice()) {
        (Some(field), []) => vec![field],
        (None, fields @ [_, ..]) => fields.iter().map(String::as_str).collect(),
        (Some(_), _) => {
            return Err(Failure::usage("the field is in the name, and in `--field`")
                .hint("write the service alone, with `--field` for each field"));
        }
        (None, []) => {
            return Err(Failure::usage("a field of the credential is missing").hint(format!(
                "write `strongroom secrets set {service}/FIELD`, or `--field NAME` for each field"
            )));
        }
    };
    let kind = args.kind.as_deref().unwrap_or(Binding::TYPE);
    if fields.iter().chain([&kind]).any(|word| !is_label(word)) {
        return Err(Failure::usage(
            "the names of fields and types have letters, digits, `.`, `_`, `-`",
        ));
    }
    let names: Vec<String> = fields.iter().map(ToString::to_string).collect();
    let values = keys::fields(host, args.key_stdin, &args.name, &names)?;
    let pairs: Vec<(&str, &Secret)> = fields.into_iter().zip(&values).collect();
    let all: Vec<_> = pairs.iter().map(|(name, value)| NewField { name, value }).collect();
    let stored = remote.store(service, kind, &all)?;
    output.report(&Done { reference: credentials::reference(service, kind), stored })
}

/// `amazon/api_key`: the service, and a field of its credential.
fn split(name: &str) -> Result<(&str, Option<&str>), Failure> {
    let name = name.trim_start_matches("local://");
    let (service, field) = match name.split_once('/') {
        Some((service, field)) => (service, Some(field)),
        None => (name, None),
    };
    if is_label(service) && field.is_none_or(is_label) {
        Ok((service, field))
    } else {
        Err(Failure::usage("this cannot be the name of a credential")
            .hint("write `SERVICE` or `SERVICE/FIELD`, of letters, digits, `.`, `_` and `-`"))
    }
}

fn list(remote: &Remote, output: Output) -> Result<(), Failure> {
    let all: Credentials = remote.get(credentials::LIST, &[])?;
    output.report(&List(all.credentials.into_iter().map(Row::of).collect()))
}

fn remove(args: &remove::Args, remote: &Remote, output: Output) -> Result<(), Failure> {
    let (service, kind) = split(&args.name)?;
    let kind = kind.unwrap_or(Binding::TYPE);
    let all: Credentials = remote.get_exact(credentials::LIST, &[])?;
    let is_it = |it: &&Credential| it.service == service && it.credential_type == kind;
    let Some(found) = all.credentials.iter().find(is_it) else {
        let names = all.credentials.iter().map(|it| it.service.as_str());
        let near = near::nearest(service, names).filter(|near| is_label(near) && *near != service);
        let failure = Failure::failed("the tenant has no such credential");
        return Err(match near {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint(format!("run `strongroom secrets list --remote {}`", remote.name)),
        });
    };
    args.refuse_unmeant()?;
    credentials::delete(remote, &found.id)?;
    output.report(&remove::Removed { removed: credentials::reference(service, kind) })
}

#[derive(Serialize)]
struct Done {
    reference: String,
    #[serde(flatten)]
    stored: Stored,
}

impl Report for Done {
    fn text(&self, style: Style) -> String {
        format!("{}  stored at the team server\n", style.bold(&self.reference))
    }
}

#[derive(Serialize)]
struct Row {
    reference: String,
    #[serde(flatten)]
    credential: Credential,
}

impl Row {
    fn of(credential: Credential) -> Self {
        let reference = credentials::reference(&credential.service, &credential.credential_type);
        Self { reference, credential }
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Row>);

impl Report for List {
    fn text(&self, style: Style) -> String {
        if self.0.is_empty() {
            return "nothing is stored yet: run `strongroom secrets set SERVICE/FIELD`\n"
                .to_owned();
        }
        let row = |row: &Row| {
            let used = match &row.credential.last_used_at {
                Some(time) => format!("used {time}"),
                None => "never used".to_owned(),
            };
            let stored = format!("stored {}", row.credential.updated_at);
            vec![style.bold(&row.reference), stored, used]
        };
        table(&self.0.iter().map(row).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_service_with_a_field_or_without() {
        for (name, expected) in [
            ("amazon", Some(("amazon", None))),
            ("amazon/api_key", Some(("amazon", Some("api_key")))),
            ("local://amazon/api_key", Some(("amazon", Some("api_key")))),
            ("", None),
            ("a/b/c", None),
            ("a b", None),
            ("a/", None),
        ] {
            assert_eq!(split(name).ok(), expected, "{name}");
        }
    }
}
