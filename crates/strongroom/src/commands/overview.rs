//! `strongroom` without a command: what it is, and what to type next.

use serde::Serialize;

use crate::environment::Host;
use crate::failure::Failure;
use crate::output::{Output, Report, Style};
use crate::remote::kept;

/// What to type next.
#[derive(Serialize)]
struct Overview {
    version: &'static str,
    initialised: bool,
    next: &'static str,
    /// The team server that commands act on.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
}

/// Prints the overview.
pub fn run(host: &Host, output: &Output) -> Result<(), Failure> {
    let home = host.home()?;
    let initialised = home.config_file().exists();
    // A file that cannot be read is a finding of `doctor`.
    let remote = kept::in_use(&home).ok().flatten().map(|name| name.to_string());
    output.report(&Overview {
        version: env!("CARGO_PKG_VERSION"),
        initialised,
        next: if initialised { "strongroom list" } else { "strongroom init" },
        remote,
    })
}

impl Report for Overview {
    fn text(&self, style: Style) -> String {
        let remote = self.remote.iter().map(|name| {
            format!("\nCommands act on the team server `{name}`: `strongroom remote use --none` ends it.\n")
        });
        let text = format!(
            "Strongroom lets AI agents use credentials without holding them.\n\n\
             {}\n  \
             strongroom init                 make the vault and its key\n  \
             strongroom add github           store a key, with a read-only policy\n  \
             strongroom connect claude-code  let a client use it\n  \
             strongroom logs -f              watch what is done with it\n  \
             strongroom demo                 see it work, with nothing configured\n\n\
             Type `{}` next, or `strongroom help` for every command.\n",
            style.bold("The first five minutes:"),
            self.next,
        );
        std::iter::once(text).chain(remote).collect()
    }
}
