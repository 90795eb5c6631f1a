//! `strongroom show`: everything about one service, but its key.

use std::sync::Arc;

use serde::Serialize;
use strongroom_store::SecretUse;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::Config;
use crate::environment::Host;
use crate::failure::Failure;
use crate::home;
use crate::output::{Output, Report, Style};
use crate::programs::view::ProgramView;
use crate::view::ServiceView;

/// Show one service: its policy, and where its key is (never the key)
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  strongroom show github
  strongroom show github --json")]
pub struct Args {
    /// The service
    name: String,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    service: View,
    stored: Vec<Stored>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum View {
    Api(Box<ServiceView>),
    Program(Box<ProgramView>),
}

#[derive(Serialize)]
struct Stored {
    reference: String,
    version: u64,
    changed: String,
}

/// Shows the service.
pub fn run(args: &Args, host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    let config = Config::load(&home)?;
    let (name, view) = if let Some(command) = config.command(&args.name) {
        (command.name.clone(), View::Program(Box::new(ProgramView::new(command))))
    } else {
        let service = config.service(&args.name)?;
        (service.name.clone(), View::Api(Box::new(ServiceView::new(service))))
    };
    let vault = home::open(&home, Arc::clone(&host.clock))?;
    let mine = SecretUse::Service(name);
    let stored = vault.list()?.into_iter().filter(|stored| stored.used_by == mine);
    let stored = stored.map(|stored| Stored {
        reference: format!("local://{}", stored.name),
        version: stored.version,
        changed: OffsetDateTime::from(stored.updated).format(&Rfc3339).unwrap_or_default(),
    });
    output.report(&Shown { service: view, stored: stored.collect() })
}

impl Report for Shown {
    fn text(&self, style: Style) -> String {
        let mut text = match &self.service {
            View::Api(view) => view.text(style),
            View::Program(view) => view.text(style),
        };
        for Stored { reference, version, changed } in &self.stored {
            let line = format!("  {:<10} {reference}, version {version}, {changed}\n", "stored");
            text.push_str(&line);
        }
        text
    }
}
