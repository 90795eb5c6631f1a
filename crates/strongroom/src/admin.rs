//! Administrative acts: what the person at the command line does is recorded too.

use strongroom_model::audit::{AuditError, AuditSink as _, Draft, Kind};

use crate::config::Config;
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::paths::Home;
use crate::recording::{self, Stay};

/// Records `act` (`service.add`, `secret.rotate`, ...) upon `subject`. It comes before the act:
/// what cannot be recorded is not done.
pub fn record(host: &Host, home: &Home, act: &str, subject: &str) -> Result<(), Failure> {
    let is_about_service = act.starts_with("service.") || act.starts_with("secret.");
    let draft = Draft {
        kind: Kind::Admin,
        act: Some(act.to_owned()),
        subject: Some(subject.to_owned()),
        service: is_about_service.then(|| subject.to_owned()),
        ..Draft::default()
    };
    record_draft(host, home, draft)
}

/// Writes a record before what it says is done.
pub fn record_draft(host: &Host, home: &Home, draft: Draft) -> Result<(), Failure> {
    // A mistake in the file is said by what needs more of it than this.
    let audit = Config::load_without_services(home).map(|config| config.audit).unwrap_or_default();
    let sink = recording::sink(host, home, audit, Stay::Brief)?;
    sink.append(draft)?;
    Ok(sink.sync()?)
}

/// Records an act that takes access away. That may always be done, also where the record cannot be
/// written: then it is said so.
pub fn record_if_possible(host: &Host, output: &Output, act: &str, subject: &str) {
    let record = || {
        let home = host.home()?;
        // Without a home there is no audit, and none is made to say so.
        if home.vault_file().exists() { record(host, &home, act, subject) } else { Ok(()) }
    };
    if record().is_err() {
        output.warn("the audit has no record of this: `strongroom doctor` says why");
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        Self::new(Exit::Unavailable, error).hint("run `strongroom doctor`")
    }
}
