//! `strongroom grants` on a team server.

use serde::Serialize;
use strongroom_secrets::remote::answers::{Done, Grant, Grants, Revoked};

use super::{Args, Command};
use crate::failure::Failure;
use crate::near;
use crate::output::{Output, Report, Style, table};
use crate::remote::Remote;

const PATH: &str = "/v1/grants";

/// Runs the command there.
pub fn at(args: &Args, remote: &Remote, output: Output) -> Result<(), Failure> {
    remote.refuse_tenant(args.tenant.as_deref())?;
    let revoked = match &args.command {
        None | Some(Command::List) => {
            return output.report(&List(remote.get::<Grants>(PATH, &[])?.grants));
        }
        Some(Command::Revoke { id: Some(id), .. }) => {
            let all: Grants = remote.get(PATH, &[])?;
            if !all.grants.iter().any(|grant| grant.id == *id) {
                let failure = Failure::failed("there is no such grant, or it has lapsed");
                return Err(match near::nearest(id, all.grants.iter().map(|it| it.id.as_str())) {
                    Some(near) => failure.hint(format!("did you mean `{near}`?")),
                    None => {
                        failure.hint(format!("run `strongroom grants --remote {}`", remote.name))
                    }
                });
            }
            remote.delete::<Done>(&format!("{PATH}/{id}"), &[])?;
            1
        }
        Some(Command::Revoke { id: None, .. }) => remote.delete::<Revoked>(PATH, &[])?.revoked,
    };
    output.report(&super::Revoked { revoked })
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Grant>);

impl Report for List {
    fn text(&self, style: Style) -> String {
        if self.0.is_empty() {
            return "nothing is granted\n".to_owned();
        }
        let head = ["ID", "WHO", "SERVICE", "RULE", "FOR", "LAPSES"];
        let head = head.map(|word| style.dim(word)).to_vec();
        let rows = self.0.iter().map(|grant| {
            let end = if grant.session { " or with its connection" } else { "" };
            vec![
                style.bold(&grant.id),
                grant.principal.clone(),
                grant.service.clone(),
                grant.rule.clone(),
                grant.class.clone(),
                format!("{}{end}", grant.lapses_at),
            ]
        });
        table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
    }
}
