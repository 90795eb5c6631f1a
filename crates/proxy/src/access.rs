//! What an agent may ask to be let do, and what it was granted.

use strongroom_model::approval::{Access, Class, Opened, Question};
use strongroom_model::audit::Journal;
use strongroom_model::call::{Granted, RequestAccess, Requested};
use strongroom_model::canonical::{RawRequest, canonicalize};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::command::Invocation;
use strongroom_model::policy::{Judgement, Terms};
use strongroom_model::principal::{Caller, Name};

use crate::broker::{Broker, find};
use crate::consent::{too_many, unkept};
use crate::exec;

/// Puts a request for access before a person.
pub(crate) async fn request(
    broker: &Broker,
    caller: &Caller,
    request: &RequestAccess,
) -> Result<Requested, Refusal> {
    let invalid = |text| Refusal::new(Code::InvalidRequest, text);
    let Ok(service) = request.service.parse::<Name>() else {
        return Err(invalid("the service's name is not one"));
    };
    if request.what.trim().is_empty() {
        return Err(invalid("say what is wanted, best as a method and a path"));
    }
    let redactor = broker.credentials.redactor();
    let clean = |text: &str| redactor.clean_text(text).0.into_inner();
    let access = Access {
        covered: covered(broker, caller, &service, &request.what),
        service,
        what: clean(&request.what),
        reason: request.reason.as_deref().map(clean),
    };
    let question = Question::access(&access, caller);
    match broker.approvals.open(&question).await.map_err(unkept)? {
        Opened::TooMany => Err(too_many()),
        Opened::Approved(id) | Opened::Denied(id) | Opened::Asked { id, new: false } => {
            Ok(Requested { id, audit_id: None })
        }
        Opened::Asked { id, new: true } => {
            let journal = Journal::new(&*broker.audit);
            let recorded = match journal.access(&question, &id) {
                Ok(audit_id) => journal.settled().await.map(|()| audit_id),
                Err(error) => Err(error),
            };
            match recorded {
                Ok(audit_id) => Ok(Requested { id, audit_id: Some(audit_id.0) }),
                Err(error) => {
                    drop(broker.approvals.withdraw(&id).await);
                    Err(error.into())
                }
            }
        }
    }
}

/// The rule that asks for `what`, where it is a method and a path and a rule does.
fn covered(
    broker: &Broker,
    caller: &Caller,
    service: &Name,
    what: &str,
) -> Option<(String, Terms, Class, u64)> {
    let catalog = broker.registry.current();
    if let Ok(command) = exec::find(&catalog, caller, service.as_str()) {
        let words = what.split_whitespace().map(str::to_owned).collect();
        let invocation = Invocation::read(command, words, Vec::new()).ok()?;
        let Judgement::Asks(awaiting) = command.policy.judge(invocation) else { return None };
        let rule = awaiting.rule().to_owned();
        return Some((rule, awaiting.terms().clone(), Class::Run, command.revision));
    }
    let service = find(&catalog, caller, service.as_str()).ok()?;
    let (method, path) = what.trim().split_once(' ')?;
    let raw = RawRequest {
        method: method.to_owned(),
        path: path.trim().to_owned(),
        ..RawRequest::default()
    };
    let request = canonicalize(service, raw).ok()?;
    let class = Class::of(request.method());
    match service.policy.judge(request) {
        Judgement::Asks(awaiting) => {
            Some((awaiting.rule().to_owned(), awaiting.terms().clone(), class, service.revision))
        }
        _ => None,
    }
}

/// What was granted to `caller` and stands now.
pub(crate) async fn granted(broker: &Broker, caller: &Caller) -> Vec<Granted> {
    let session = caller.channel.session.as_ref();
    let sessions = session.map(|held| held.ids(broker.clock.monotonic())).unwrap_or_default();
    let grants = broker.approvals.grants(&caller.principal.name, &sessions).await;
    let grants = grants.inspect_err(|error| tracing::error!("{error}: {}", error.0));
    let now = broker.clock.now();
    let granted = grants.unwrap_or_default().into_iter().map(|grant| Granted {
        session: grant.is_for_session(),
        id: grant.id,
        service: grant.scope.service.to_string(),
        rule: grant.scope.rule,
        class: grant.scope.class.as_str(),
        lapses_in_s: grant.lapses.duration_since(now).unwrap_or_default().as_secs(),
    });
    granted.collect()
}
