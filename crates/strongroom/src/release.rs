//! The release of secrets to a server: all that it needs, or none; said, and recorded.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use strongroom_model::audit::{AuditSink as _, Draft, Kind, Lookup};
use strongroom_model::code::Code;
use strongroom_model::ports::{Purpose, ResolveError};
use strongroom_model::principal::Name;
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_model::server::{Server, Transport};
use strongroom_secrets::supply::{Answer, Ask, From, Taken};
use strongroom_secrets::{CacheProblem, Supply};

use crate::config::audit::{Audit, OnFailure};
use crate::environment::Host;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::paths::Home;
use crate::recording::{self, Stay};

/// The secrets of one server.
#[derive(Debug)]
pub struct Released {
    answers: Vec<Answer>,
    /// Where they are really from, where `answers` do not say so.
    lookups: Option<Vec<Lookup>>,
    /// Whether a refresh in the background is due.
    pub refresh_due: bool,
}

impl Released {
    /// Secrets from a file of variables, in which `lookups` were written once.
    pub fn from_file(answers: Vec<Answer>, lookups: Vec<Lookup>) -> Self {
        Self { answers, lookups: Some(lookups), refresh_due: false }
    }

    /// The secret at `reference`.
    pub fn get(&self, reference: &SecretRef) -> Option<&Secret> {
        let answer = self.answers.iter().find(|answer| answer.reference == *reference)?;
        answer.secret.as_ref().ok()
    }

    /// The secrets, for whoever has to know them for as long as the server runs.
    pub fn into_secrets(self) -> Vec<(SecretRef, Arc<Secret>)> {
        let secret = |answer: Answer| Some((answer.reference, Arc::new(answer.secret.ok()?)));
        self.answers.into_iter().filter_map(secret).collect()
    }

    /// What the audit says of it.
    pub fn record(&self, server: &Name) -> Draft {
        let stale = self.answers.iter().filter(|answer| answer.from == From::Stale).count();
        Draft {
            kind: Kind::Release,
            server: Some(server.to_string()),
            count: Some(self.answers.len() as u64),
            stale: Some(stale as u64),
            references: match &self.lookups {
                Some(lookups) => lookups.clone(),
                None => self.answers.iter().map(lookup).collect(),
            },
            ..Draft::default()
        }
    }
}

/// Takes every secret that `server` needs. What is stale or wrong with the cache is said on stderr.
/// `also` is asked for along with it where anything must be asked for.
///
/// # Errors
///
/// One of them cannot be had: then none is released. The refusal is recorded.
pub fn take(
    supply: &Supply,
    server: &Server,
    also: &(dyn Fn() -> Vec<SecretRef> + Sync),
    journal: &Journal<'_>,
) -> Result<Released, Failure> {
    let wanted: Vec<SecretRef> = server.references().into_iter().cloned().collect();
    if wanted.is_empty() {
        return Ok(Released { answers: Vec::new(), lookups: None, refresh_due: false });
    }
    let Taken { answers, refresh_due, problem, .. } = supply.take(&Ask {
        wanted: &wanted,
        purpose: Purpose::Launch(&server.name),
        delivery: server.delivery,
        ttl: server.ttl,
        also,
    });
    if let Some(problem) = problem {
        journal.output.warn(&of_problem(&problem));
    }
    if answers.iter().any(|answer| answer.secret.is_err()) {
        let error = NotReleased::new(server, answers);
        journal.refused(&error);
        return Err(error.into());
    }
    for answer in &answers {
        if let (From::Stale, false, Some(why)) = (answer.from, answer.silent, &answer.why) {
            let (reference, age) = (&answer.reference, span(answer.age));
            journal.output.warn(&format!(
                "`{reference}` has expired and {why}; its value of {age} ago stands in"
            ));
        }
    }
    Ok(Released { answers, lookups: None, refresh_due })
}

/// What is wrong with the cache, in one line: it is no reason not to start.
pub fn of_problem(problem: &CacheProblem) -> String {
    let mut text = problem.to_string();
    let mut cause = std::error::Error::source(problem);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    if let CacheProblem::Damaged { healed: true, .. } = problem {
        text.push_str("; it has been made anew");
    }
    text
}

fn lookup(answer: &Answer) -> Lookup {
    let (from, age_s) = match &answer.secret {
        Ok(_) => (answer.from.as_str(), Some(answer.age.as_secs())),
        Err(error) => (error.kind(), None),
    };
    Lookup { reference: answer.reference.to_string(), from, age_s }
}

/// Where releases are recorded.
pub struct Journal<'a> {
    /// What we were started with.
    pub host: &'a Host,
    /// Whose audit it is.
    pub home: &'a Home,
    /// Where it is said that a record cannot be written.
    pub output: &'a Output,
    /// How it is kept, and what happens then.
    pub audit: Audit,
}

impl Journal<'_> {
    /// Appends a record. Where that fails the work goes on with a warning, unless the configuration
    /// says otherwise (decision 16).
    pub fn append(&self, draft: Draft) -> Result<(), Failure> {
        let append = || -> Result<(), Failure> {
            let sink = recording::sink(self.host, self.home, self.audit, Stay::Brief)?;
            sink.append(draft)?;
            Ok(sink.sync()?)
        };
        match (append(), self.audit.on_failure) {
            (Ok(()), _) => Ok(()),
            (Err(_), OnFailure::Warn) => {
                self.output
                    .warn("the audit has no record of this: `strongroom doctor` says why");
                Ok(())
            }
            (Err(failure), OnFailure::Refuse) => Err(failure
                .hint("mend that, or write `[audit] on_failure = \"warn\"`; `strongroom doctor` says more")),
        }
    }

    fn refused(&self, error: &NotReleased) {
        // The start is refused already: that it cannot be recorded either changes nothing.
        let audit = Audit { on_failure: OnFailure::Warn, ..self.audit };
        drop(Journal { audit, ..*self }.append(error.record()));
    }
}

/// A server does not get its secrets, and so is not started.
#[derive(Debug)]
pub struct NotReleased {
    server: Name,
    answers: Vec<Answer>,
    /// Which variable or argument needs a reference.
    needed_by: Vec<(SecretRef, String)>,
}

impl NotReleased {
    fn new(server: &Server, answers: Vec<Answer>) -> Self {
        let needed_by = match &server.transport {
            Transport::Stdio(stdio) => stdio
                .env
                .iter()
                .flat_map(|(name, value)| value.references().map(|r| (r.clone(), name.clone())))
                .collect(),
            Transport::Http { headers, .. } => headers
                .iter()
                .flat_map(|(name, value)| value.references().map(|r| (r.clone(), name.clone())))
                .collect(),
        };
        Self { server: server.name.clone(), answers, needed_by }
    }

    /// What stood in the way, where `failure` is that secrets cannot be had.
    pub fn of(failure: &Failure) -> Option<&Self> {
        failure.error.as_ref()?.downcast_ref()
    }

    /// Who was not started.
    pub fn server(&self) -> &Name {
        &self.server
    }

    /// What is stored nowhere, by the variable or argument that needs it; nothing, where anything else
    /// stands in the way.
    pub fn not_found(&self) -> Vec<(&str, &SecretRef)> {
        if self.missing().any(|(_, error)| !matches!(error, ResolveError::NotFound { .. })) {
            return Vec::new();
        }
        let named = |reference: &SecretRef| {
            let mut names = self.needed_by.iter().filter(|(needed, _)| needed == reference);
            names.next().map_or("secret", |(_, name)| name.as_str())
        };
        self.missing().map(|(reference, _)| (named(reference), reference)).collect()
    }

    fn missing(&self) -> impl Iterator<Item = (&SecretRef, &ResolveError)> {
        self.answers
            .iter()
            .filter_map(|answer| Some((&answer.reference, answer.secret.as_ref().err()?)))
    }

    fn record(&self) -> Draft {
        Draft {
            kind: Kind::Refusal,
            server: Some(self.server.to_string()),
            decision: Some("deny"),
            code: Some(Code::SecretUnavailable),
            count: Some(self.missing().count() as u64),
            references: self.answers.iter().map(lookup).collect(),
            ..Draft::default()
        }
    }

    fn exit(&self) -> Exit {
        if self.missing().any(|(_, error)| exit_of(error) == Exit::Denied) {
            Exit::Denied
        } else {
            Exit::Unavailable
        }
    }

    /// What to do: each thing once.
    fn hint(&self) -> Option<String> {
        let mut hints: Vec<String> = Vec::new();
        for hint in self.missing().filter_map(|(_, error)| error.hint()) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        (!hints.is_empty()).then(|| hints.join("; "))
    }
}

impl fmt::Display for NotReleased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (missing, all) = (self.missing().count(), self.answers.len());
        write!(f, "`{}` was not started: ", self.server)?;
        match (missing, all) {
            (1, 1) => write!(f, "its secret cannot be had")?,
            (missing, all) => write!(f, "{missing} of its {all} secrets cannot be had")?,
        }
        for (reference, error) in self.missing() {
            let mut names = self.needed_by.iter().filter(|(needed, _)| needed == reference);
            match names.next() {
                Some((_, name)) => write!(f, "\n  `{name}`, from `{reference}`: {error}")?,
                None => write!(f, "\n  `{reference}`: {error}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for NotReleased {}

impl std::convert::From<NotReleased> for Failure {
    fn from(error: NotReleased) -> Self {
        let (exit, hint) = (error.exit(), error.hint());
        Self::new(exit, error).maybe_hint(hint)
    }
}

/// Denied where a provider, or what a secret was stored for, says so; otherwise nothing could be done.
pub fn exit_of(error: &ResolveError) -> Exit {
    match error {
        ResolveError::Denied { .. } => Exit::Denied,
        _ => Exit::Unavailable,
    }
}

/// A duration for people: `12s`, `5m`, `3h`, `2d`.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(text: &str) -> SecretRef {
        text.parse().unwrap()
    }

    fn answer(text: &str, secret: Result<Secret, ResolveError>, from: From) -> Answer {
        Answer {
            reference: reference(text),
            secret,
            from,
            age: Duration::from_secs(90),
            why: None,
            silent: false,
        }
    }

    fn server() -> Server {
        let mut stdio = strongroom_model::server::Stdio::default();
        stdio.env.insert("KEY".to_owned(), "op://V/I/f".parse().unwrap());
        Server {
            name: "files".parse().unwrap(),
            description: None,
            transport: Transport::Stdio(stdio),
            delivery: strongroom_model::server::Delivery::default(),
            ttl: None,
            pin: strongroom_model::pin::Pinning::default(),
            offer: strongroom_model::server::Offer::default(),
        }
    }

    #[test]
    fn a_release_is_recorded_with_where_each_secret_is_from_and_without_it() {
        let secret = || Ok(Secret::new(b"canary".to_vec()));
        let released = Released {
            answers: vec![
                answer("op://V/I/f", secret(), From::Stale),
                answer("local://k", secret(), From::Local),
            ],
            lookups: None,
            refresh_due: false,
        };
        let record = released.record(&"files".parse().unwrap());
        assert_eq!((record.count, record.stale), (Some(2), Some(1)));
        let from: Vec<_> = record.references.iter().map(|r| (r.from, r.age_s)).collect();
        assert_eq!(from, [("stale", Some(90)), ("local", Some(90))]);
        assert!(!format!("{record:?}{released:?}").contains("canary"));
    }

    #[test]
    fn what_cannot_be_had_is_named_with_its_variable_its_reason_and_its_remedy() {
        let why = ResolveError::unreachable("op", "it does not answer");
        let denied = ResolveError::Denied {
            reference: reference("local://k"),
            why: "it was stored for `service:x`".to_owned(),
        };
        let error = NotReleased::new(
            &server(),
            vec![
                answer("op://V/I/f", Err(why.clone()), From::Provider),
                answer("local://k", Err(denied), From::Local),
            ],
        );
        let expected = "`files` was not started: 2 of its 2 secrets cannot be had\n  \
            `KEY`, from `op://V/I/f`: `op` cannot be reached: it does not answer\n  \
            `local://k`: `local://k` may not be read: it was stored for `service:x`";
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.record().references[0].from, "unreachable");
        assert_eq!(Failure::from(error).exit, Exit::Denied);
        let one = NotReleased::new(&server(), vec![answer("op://V/I/f", Err(why), From::Provider)]);
        let failure = Failure::from(one);
        assert_eq!(failure.exit, Exit::Unavailable);
        assert_eq!(failure.hint.unwrap(), "try again when it can be reached");
    }
}
