//! `strongroom show`: everything about one service, but its key.

use std::sync::Arc;

use serde::Serialize;
use strongroom_secrets::remote::answers;
use strongroom_store::SecretUse;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::Config;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::home;
use crate::output::{Output, Report, Style};
use crate::programs::view::ProgramView;
use crate::remote::{Remote, credentials, definition};
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

#[derive(Serialize)]
struct ShownThere {
    #[serde(flatten)]
    service: ServiceView,
    /// `None`: the key may not ask.
    stored: Option<Vec<StoredThere>>,
}

#[derive(Serialize)]
struct StoredThere {
    reference: String,
    changed: String,
    last_used: Option<String>,
}

/// Shows a service of a team's tenant.
pub fn at(args: &Args, remote: &Remote, output: &Output) -> Result<(), Failure> {
    let service = definition::find(remote, &args.name)?;
    let service = ServiceView::new(&definition::of(&service)?);
    let asked = remote.get::<answers::Credentials>(credentials::LIST, &[("service", &args.name)]);
    let stored = match asked {
        Ok(answer) => Some(answer.credentials.iter().map(StoredThere::of).collect()),
        Err(failure) if failure.exit == Exit::Denied => None,
        Err(failure) => return Err(failure),
    };
    output.report(&ShownThere { service, stored })
}

impl StoredThere {
    fn of(credential: &answers::Credential) -> Self {
        Self {
            reference: credentials::reference(&credential.service, &credential.credential_type),
            changed: credential.updated_at.clone(),
            last_used: credential.last_used_at.clone(),
        }
    }
}

impl Report for ShownThere {
    fn text(&self, style: Style) -> String {
        let line = |stored: &StoredThere| {
            let used = stored.last_used.as_deref().unwrap_or("never");
            format!("{}, {}, used {used}", stored.reference, stored.changed)
        };
        let lines: Vec<String> = match &self.stored {
            Some(stored) => stored.iter().map(line).collect(),
            None => vec!["your key may not ask for credentials".to_owned()],
        };
        let mut text = self.service.text(style);
        text.extend(lines.iter().map(|line| format!("  {:<10} {line}\n", "stored")));
        text
    }
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
