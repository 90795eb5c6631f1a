//! Runs programs for agents: who asks, which command line, may it, and what came of it.
//!
//! [`environment`] writes down what a program gets to see; `pinned` holds its file to what was
//! approved; `door` answers git when it asks for a password; `run` is the act.

mod door;
pub mod environment;
mod pinned;
mod run;
mod scratch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use strongroom_model::approval::Matter;
use strongroom_model::audit::{Asked, Journal};
use strongroom_model::call::{Exec, Explained, Ran, ServiceView};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::command::{self, Command, Invocation};
use strongroom_model::injection::Target as _;
use strongroom_model::pipeline::{Ended, Pipeline};
use strongroom_model::ports::BoxFuture;
use strongroom_model::principal::{Caller, Name};
use strongroom_model::service::Catalog;
use tracing::{Instrument as _, field, info_span};

use crate::admission::Place;
use crate::broker::Broker;
use crate::consent::Judged;
use crate::handles;
use pinned::Pins;
use run::Run;

pub use pinned::{Fingerprint, FingerprintError, fingerprint};

/// What programs are run on.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Variables of ours; programs get very few of them.
    pub env: Vec<(OsString, OsString)>,
    /// This program, which guards those that are run and speaks for git's `askpass`; without it there
    /// is neither.
    pub helper: Option<PathBuf>,
    /// Where each run has a folder of its own.
    pub scratch: PathBuf,
}

impl Ground {
    /// Folders under `scratch`, and nothing else.
    pub fn bare(scratch: PathBuf) -> Self {
        Self { env: Vec::new(), helper: None, scratch }
    }
}

/// What all runs share.
pub(crate) struct Programs {
    ground: Ground,
    pins: Arc<Pins>,
}

impl Programs {
    pub(crate) fn new(ground: Ground) -> Self {
        Self { ground, pins: Arc::default() }
    }
}

/// The method that stands in the audit.
const METHOD: &str = "exec";

impl Broker {
    /// One run, from its words to its end.
    ///
    /// What the audit has as its path is the command line as it would be typed, with every secret that
    /// is loaded replaced by its marker; standard input is only counted.
    pub(crate) async fn run(
        &self,
        caller: &Caller,
        call: Exec,
        mut cancel: BoxFuture<'_, ()>,
    ) -> Ended<Ran> {
        let mut began = self.clock.monotonic();
        let journal = Journal::new(&*self.audit);
        let pipeline = Pipeline { journal, credentials: &*self.credentials, switch: &*self.switch };
        let catalog = self.registry.current();
        let request_bytes = call.stdin.len() as u64;
        let line = command::line(&call.command);

        let judged = find(&catalog, caller, &call.service).and_then(|command| {
            let reason = call.reason.as_deref();
            let admitted = self.admit(caller, &catalog, command, call.command, call.stdin, reason);
            admitted.map(|(judged, place)| (command, judged, place))
        });
        if let Ok((command, ..)) = &judged
            && self.switch.check(&caller.principal.name, &command.name).is_ok()
        {
            // An agent that got hold of the secret elsewhere must not get it into the audit. Whether
            // there is one is the pipeline's matter, which asks again.
            drop(self.credentials.resolve(&catalog, command.keys()).await);
        }
        let path = self.credentials.redactor().clean_text(&line).0.into_inner();
        let asked = Asked {
            caller,
            service: &call.service,
            method: METHOD,
            path: &path,
            reason: call.reason.as_deref(),
            request_bytes,
            handles: 0,
        };
        let (command, judged, place) = match judged {
            Ok(judged) => judged,
            Err(refusal) => return pipeline.refuse(&asked, refusal),
        };
        let matter = |invocation: &Invocation| Matter::command(command, invocation);
        let asks = matches!(judged, Judged::Asks(_));
        let permit = match self.consent().settle(&asked, judged, matter, &mut cancel).await {
            Ok(permit) => permit,
            Err(refusal) => return pipeline.refuse(&asked, refusal),
        };
        let supplied = self.supplied(caller, &catalog, command.keys(), &mut cancel).await;
        match supplied {
            Ok(waited) if waited || asks => began = self.clock.monotonic(),
            Ok(_) => {}
            Err(refusal) => return pipeline.refuse(&asked, refusal),
        }
        let act = Run {
            programs: &self.programs,
            command,
            credentials: &*self.credentials,
            clock: &*self.clock,
            began,
            cancel,
        };
        let span = info_span!("run", service = %command.name, exit_code = field::Empty);
        let run = pipeline.run(&asked, Ok(permit), &catalog, command, act);
        let ended = run.instrument(span.clone()).await;
        place.charge(request_bytes + ended.received, self.clock.monotonic());
        span.in_scope(|| report(&span, &ended));
        ended
    }

    /// Whether it may be run, now. Only what is allowed or asked for counts towards the limits.
    fn admit(
        &self,
        caller: &Caller,
        catalog: &Catalog,
        command: &Command,
        words: Vec<String>,
        stdin: Vec<u8>,
        reason: Option<&str>,
    ) -> Result<(Judged<Invocation>, Place), Refusal> {
        let invocation = Invocation::read(command, words, stdin)?;
        let judged = Judged::of(command.policy.judge(invocation)).map_err(|denied| denied.0)?;
        let invocation = judged.request();
        handles::in_command(invocation.args(), invocation.stdin())?;
        let bounds = (&command.name, &command.limits);
        let place = self.enter(caller, catalog, bounds, &judged, reason)?;
        Ok((judged, place))
    }
}

/// What the policy says to a command line.
pub(crate) fn explain(
    catalog: &Catalog,
    caller: &Caller,
    service: &str,
    words: Vec<String>,
) -> Result<Explained, Refusal> {
    let command = find(catalog, caller, service)?;
    let invocation = Invocation::read(command, words, Vec::new())?;
    let explanation = command.policy.explain(&invocation);
    Ok(Explained { request: invocation.line(), explanation })
}

/// The program of this name, if `caller` may know of it.
pub(crate) fn find<'a>(
    catalog: &'a Catalog,
    caller: &Caller,
    name: &str,
) -> Result<&'a Command, Refusal> {
    let name = name.parse::<Name>().ok();
    let command = name.as_ref().and_then(|name| catalog.commands.get(name));
    if let Some(command) = command.filter(|command| serves(catalog, caller, command)) {
        return Ok(command);
    }
    let service = name.as_ref().and_then(|name| catalog.services.get(name)).filter(|service| {
        catalog.serves(&caller.principal.name, &service.name, service.principals.as_deref())
    });
    Err(match service {
        Some(_) => Refusal::new(Code::InvalidRequest, "this service is an API: use `execute`"),
        None => Refusal::new(Code::NotFound, "there is no such service"),
    })
}

fn serves(catalog: &Catalog, caller: &Caller, command: &Command) -> bool {
    catalog.serves(&caller.principal.name, &command.name, command.principals.as_deref())
}

/// The programs that `caller` may know of.
pub(crate) fn visible<'a>(
    catalog: &'a Catalog,
    caller: &Caller,
) -> impl Iterator<Item = &'a Command> {
    let commands = catalog.commands.values().map(|command| &**command);
    commands.filter(|command| serves(catalog, caller, command))
}

pub(crate) fn view(command: &Command) -> ServiceView {
    let rules = command.policy.rules().iter();
    ServiceView {
        name: command.name.to_string(),
        kind: "command",
        base_url: String::new(),
        program: Some(command.program.word.clone()),
        auth: command.auth.scheme.clone(),
        rules: rules.map(|rule| (rule.verdict(), rule.in_words())).collect(),
        calls_per_minute: command.limits.calls_per_minute,
        response_bytes: command.limits.response_bytes,
        request_headers: Vec::new(),
        handle_fields: Vec::new(),
    }
}

/// One event at the end of a run: what is safe to keep of it.
fn report(span: &tracing::Span, ended: &Ended<Ran>) {
    match &ended.result {
        Ok(ran) => {
            span.record("exit_code", ran.exit_code);
            tracing::info!(duration_ms = ran.duration_ms, "ended");
        }
        Err(refusal) => tracing::info!(code = refusal.code.as_str(), "refused"),
    }
}
