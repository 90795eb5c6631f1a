//! A request that waits for someone else, from its start to what is sent back.

use std::sync::Arc;

use strongroom_model::json::{self, Members};
use strongroom_model::ports::Calls;
use strongroom_model::principal::Name;
use tokio::sync::{mpsc, oneshot};
use tracing::Instrument as _;

use super::parked::{self, Parking, Pending, Resumed, Underway};
use super::state::{Bond, Kept, Read};
use super::work::{Came, Work};
use super::{Era, Params, answers, cursor};
use crate::origin::{Brings, Line, Origin};
use crate::prompt::{Outbox, RetryPrompt, Unanswered};
use crate::wire::write::{self, Object};
use crate::wire::{Id, RpcError};

/// What is sent back for a request.
pub(crate) struct Said {
    /// The message; empty where none is.
    pub(crate) message: Vec<u8>,
    /// The status of an HTTP response that has nothing else in it.
    pub(crate) status: u16,
}

/// A request that waits for someone else.
pub(crate) struct Call {
    id: Box<str>,
    era: Era,
    of: Name,
    start: Start,
    /// Whether the results of the method say how long they are good.
    cached: bool,
    /// Where what is said before the answer goes.
    out: Option<Arc<dyn Outbox>>,
    progress: Option<Box<str>>,
    /// How the client is asked, in the modern era.
    rounds: Rounds,
}

/// What a modern call that may be asked something is held together by.
#[derive(Default)]
pub(super) struct Rounds {
    /// The prompt of our own question.
    pub(super) prompt: Option<Arc<RetryPrompt>>,
    /// What its states are bound to; `None`: it cannot be asked anything by its server.
    pub(super) bond: Option<Bond>,
    /// What the client has brought for the server.
    pub(super) brings: Brings,
}

enum Start {
    New { work: Work, origin: Box<Origin> },
    Resumed { id: String, responses: Box<str> },
}

impl Call {
    /// `work` for `origin`, under the id of its request.
    pub(super) fn new(
        id: Id<'_>,
        origin: Origin,
        work: Work,
        cached: bool,
        rounds: Rounds,
    ) -> Self {
        Self {
            id: id.raw().into(),
            era: origin.era,
            of: origin.caller.principal.name.clone(),
            cached,
            out: origin.out.clone(),
            progress: origin.progress.clone(),
            start: Start::New { work, origin: Box::new(origin) },
            rounds,
        }
    }

    /// Goes on with the parked call `parked`, which `responses` are for.
    pub(super) fn resumed(mut self, parked: String, responses: Box<str>) -> Self {
        self.start = Start::Resumed { id: parked, responses };
        self
    }

    /// Makes the call in a task of its own and returns the message to send. It ends early when
    /// `cancel` fires or its other end is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not drop the call: a call that has begun must reach the audit. Drop
    /// the other end of `cancel` to end it.
    pub(crate) async fn run(
        self,
        calls: Arc<dyn Calls>,
        mut cancel: oneshot::Receiver<()>,
        alive: mpsc::Sender<()>,
    ) -> Said {
        let Self { id, era, of, start, cached, out, progress, rounds } = self;
        let raw = Id::read(&id).expect("the id was read before");
        let park = |underway: Underway, pending: Pending| {
            let mut questions = Vec::new();
            pending.write(&mut questions);
            let kept = parked::park(&of, underway, pending)
                .map(|parked| Kept { parked: Some(parked), ..Kept::default() });
            let state = kept.and_then(|kept| rounds.bond.as_ref()?.seal(&kept));
            said(match state {
                Some(state) => answers::input_required(raw, &questions, &state),
                None => write::error(Some(raw), &RpcError::internal()),
            })
        };
        let underway = match start {
            Start::New { work, origin } => {
                let attach = |parking: &Parking| parking.attach(out, progress, alive);
                begin(work, *origin, calls, &rounds, attach)
            }
            Start::Resumed { id, responses } => {
                let attach = |parking: &Parking| parking.attach(out, progress, alive);
                match parked::resume(&of, &id, &responses, attach) {
                    Resumed::On(underway) => underway,
                    Resumed::Waits(underway, pending) => return park(underway, pending),
                    Resumed::Gone => {
                        let error = RpcError::invalid_params(
                            "what this `requestState` was given for has gone on, or is over",
                        );
                        return said(write::error(Some(raw), &error));
                    }
                }
            }
        };
        let Underway { parking, mut task, mut pending, gone } = underway;
        let mut gone = Some(gone);
        let came = loop {
            tokio::select! {
                biased;
                came = &mut task => break came,
                waits = pending.recv(), if !pending.is_closed() || !pending.is_empty() => {
                    if let (Some(waits), Some(gone)) = (waits, gone.take()) {
                        return park(Underway { parking, task, pending, gone }, waits);
                    }
                }
                _ = &mut cancel, if gone.is_some() => gone = None,
            }
        };
        match came {
            Ok(came) => finish(came, raw, era, &of, cached, rounds),
            Err(_) => said(write::error(Some(raw), &RpcError::internal())),
        }
    }
}

fn begin(
    work: Work,
    mut origin: Origin,
    calls: Arc<dyn Calls>,
    rounds: &Rounds,
    attach: impl FnOnce(&Parking),
) -> Underway {
    let (parking, mut pending) = Parking::new();
    attach(&parking);
    if origin.era == Era::Modern {
        let line: Arc<dyn Line> = parking.clone();
        origin.line = Some(line);
    }
    if rounds.bond.is_none() {
        // Whoever asks is told at once that nobody can be.
        pending.close();
    }
    let (gone, cancelled) = oneshot::channel::<()>();
    let (origin, held) = (Arc::new(origin), Arc::clone(&parking));
    let running = async move {
        let cancel = Box::pin(async move { drop(cancelled.await) });
        let came = work.run(&*calls, &origin, cancel).await;
        // Until now somebody has waited for the audit.
        drop(held);
        came
    };
    // The span of the call belongs into that of its request.
    let task = tokio::spawn(running.in_current_span());
    Underway { parking, task, pending, gone }
}

fn finish(came: Came, id: Id<'_>, era: Era, of: &Name, cached: bool, rounds: Rounds) -> Said {
    match came {
        Came::Output(output) => match rounds.prompt.as_ref().and_then(|prompt| prompt.take()) {
            Some(unanswered) if output.is_refused() => said(approval(id, rounds, &unanswered)),
            _ => said(answers::tool_result(id, era, output)),
        },
        Came::Answer(answer) => {
            let status = answers::status(era, &answer);
            let seal = |state: &str| {
                let kept = Kept { state: Some(state.into()), ..Kept::default() };
                rounds.bond.as_ref()?.seal(&kept)
            };
            Said { message: answers::answer(id, era, cached, answer, &seal), status }
        }
        Came::List(listed) => {
            let next = listed.next.and_then(|from| cursor::write(of, listed.kind, from));
            said(answers::list(id, era, &listed, next.as_deref()))
        }
        Came::Error(error) => {
            let status = if era == Era::Modern { error.late_status() } else { 200 };
            Said { message: write::error(Some(id), &error), status }
        }
        Came::Done => said(answers::done(id, era)),
    }
}

/// Our own question. What was brought for the server is kept until it is answered.
fn approval(id: Id<'_>, rounds: Rounds, unanswered: &Unanswered) -> Vec<u8> {
    let mut questions = Vec::new();
    let mut all = Object::open(&mut questions);
    let mut question = Object::open(all.name(super::QUESTION));
    question.string("method", "elicitation/create");
    question.name("params").extend_from_slice(&unanswered.params);
    question.close();
    all.close();
    let Brings { responses, state } = rounds.brings;
    let approval = Some(unanswered.state.clone());
    let kept = Kept { approval, state, responses, parked: None };
    let sealed = rounds.bond.and_then(|bond| bond.seal(&kept));
    answers::input_required(id, &questions, sealed.as_deref().unwrap_or(&unanswered.state))
}

fn said(message: Vec<u8>) -> Said {
    Said { message, status: 200 }
}

/// What a client brings in another round.
pub(super) struct Brought {
    /// For the server.
    pub(super) brings: Brings,
    /// The state of our own question, and the answer to it.
    pub(super) approval: (Option<String>, Option<String>),
    /// The call that it goes on with.
    pub(super) parked: Option<String>,
}

impl Brought {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// The state is not as it was given for this request.
    pub(super) fn read(params: &Params<'_>, bond: &Bond) -> Result<Self, RpcError> {
        let responses = params.get("inputResponses").filter(|raw| raw.starts_with('{'));
        let kept = match params.get("requestState").filter(|raw| *raw != "null") {
            None => Kept::default(),
            Some(raw) => match json::string(raw).map(|state| bond.read(&state)) {
                Some(Read::Ours(kept)) => kept,
                // The round begins anew, with nothing.
                Some(Read::Others) => {
                    let (brings, approval) = (Brings::default(), (None, None));
                    return Ok(Self { brings, approval, parked: None });
                }
                Some(Read::Not) | None => {
                    return Err(RpcError::invalid_params(
                        "this `requestState` was not given for this request, or not any more",
                    ));
                }
            },
        };
        let Kept { approval, state, responses: before, parked } = kept;
        if let Some(approval) = approval {
            let all = responses.and_then(Members::read);
            let answer = all.and_then(|all| all.get(super::QUESTION)).map(str::to_owned);
            let brings = Brings { responses: before, state };
            return Ok(Self { brings, approval: (Some(approval), answer), parked });
        }
        let brings = Brings { responses: responses.map(Into::into), state };
        Ok(Self { brings, approval: (None, None), parked })
    }
}
