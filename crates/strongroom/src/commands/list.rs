//! `strongroom list`: the services, and what agents may do with each.

use std::collections::BTreeMap;

use serde::Serialize;
use strongroom_secrets::remote::answers;

use crate::config::Config;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style, table};
use crate::programs::view::ProgramView;
use crate::remote::{Remote, definition};
use crate::view::ServiceView;

/// List the services and what agents may do with them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom list
  strongroom list --json")]
pub struct Args {}

#[derive(Serialize)]
#[serde(transparent)]
struct Services(Vec<Listed>);

#[derive(Serialize)]
#[serde(untagged)]
enum Listed {
    Api(Box<ServiceView>),
    Program(Box<ProgramView>),
}

/// Lists the services.
pub fn run(_: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let config = Config::load(&host.home()?)?;
    let apis = config
        .services
        .values()
        .map(|service| (service.name.clone(), Listed::Api(Box::new(ServiceView::new(service)))));
    let programs = config.commands.values().map(|command| {
        (command.name.clone(), Listed::Program(Box::new(ProgramView::new(command))))
    });
    let all: BTreeMap<_, _> = apis.chain(programs).collect();
    let views: Vec<_> = all.into_values().collect();
    let none = views.is_empty();
    output.report(&Services(views))?;
    if none {
        output.say("There are no services yet.");
        output.hint("run `strongroom add github`, or `strongroom add --help`");
    }
    Ok(())
}

/// Lists the services of a team's tenant.
pub fn at(remote: &Remote, output: &Output) -> Result<(), Failure> {
    let answer: answers::Services = remote.get(definition::PATH, &[])?;
    let mut views = Vec::new();
    for service in &answer.services {
        match definition::of(service) {
            Ok(service) => views.push(Listed::Api(Box::new(ServiceView::new(&service)))),
            Err(_) => output.warn(&format!("this version cannot read `{}`", service.name)),
        }
    }
    let none = views.is_empty();
    output.report(&Services(views))?;
    if none {
        output.say("The tenant has no services yet.");
        output.hint(&format!("run `strongroom add github --remote {}`", remote.name));
    }
    Ok(())
}

impl Listed {
    fn row(&self) -> Vec<String> {
        match self {
            Self::Api(view) => view.row(),
            Self::Program(view) => view.row(),
        }
    }
}

impl Report for Services {
    fn text(&self, style: Style) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let head = ["NAME", "BASE URL", "AUTH", "AGENTS MAY"].map(|word| style.dim(word)).to_vec();
        let rows: Vec<_> = std::iter::once(head).chain(self.0.iter().map(Listed::row)).collect();
        table(&rows)
    }
}
