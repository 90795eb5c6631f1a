//! `strongroom list`: the services, and what agents may do with each.

use serde::Serialize;

use crate::config::Config;
use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style, table};
use crate::view::ServiceView;

/// List the services and what agents may do with them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom list
  strongroom list --json")]
pub struct Args {}

#[derive(Serialize)]
#[serde(transparent)]
struct Services(Vec<ServiceView>);

/// Lists the services.
pub fn run(_: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let config = Config::load(&host.home()?)?;
    let views =
        config.services.values().map(|service| ServiceView::new(service)).collect::<Vec<_>>();
    let none = views.is_empty();
    output.report(&Services(views))?;
    if none {
        output.say("There are no services yet.");
        output.hint("run `strongroom add github`, or `strongroom add --help`");
    }
    Ok(())
}

impl Report for Services {
    fn text(&self, style: Style) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let head = ["NAME", "BASE URL", "AUTH", "AGENTS MAY"].map(|word| style.dim(word)).to_vec();
        let rows: Vec<_> =
            std::iter::once(head).chain(self.0.iter().map(ServiceView::row)).collect();
        table(&rows)
    }
}
