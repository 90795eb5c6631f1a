//! A call of a modern client that waits at an older server, which has asked something: the client is told so
//! by the result `input_required`, brings the answer in another request, and that one goes on with the call.
//!
//! A parked call is found by an id that was drawn for it, once; it ends when nobody comes back in time.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use strongroom_model::json::Members;
use strongroom_model::ports::BoxFuture;
use strongroom_model::principal::Name;
use strongroom_seal::hex;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::state::GOOD_FOR;
use super::work::Came;
use crate::origin::{Asking, Line};
use crate::prompt::Outbox;
use crate::wire::write::Object;

/// Parked calls of one principal, and of all.
const MOST_OF_ONE: usize = 64;
const MOST: usize = 4096;

/// The line to a modern client, whichever of its requests is there.
pub(super) struct Parking {
    /// What is under way now is said by this.
    attached: Mutex<Attached>,
    pending: mpsc::UnboundedSender<Pending>,
}

#[derive(Default)]
struct Attached {
    out: Option<Arc<dyn Outbox>>,
    progress: Option<Box<str>>,
    /// Held while somebody waits for the call.
    #[expect(dead_code, reason = "dropping it is the signal")]
    alive: Option<mpsc::Sender<()>>,
}

/// Questions that wait for a client.
pub(super) struct Pending {
    pub(super) questions: Vec<Asking>,
    answer: oneshot::Sender<Vec<Box<str>>>,
}

/// A call under way, as whoever waits for it has it.
pub(super) struct Underway {
    pub(super) parking: Arc<Parking>,
    pub(super) task: JoinHandle<Came>,
    pub(super) pending: mpsc::UnboundedReceiver<Pending>,
    /// Dropped, it ends the call.
    pub(super) gone: oneshot::Sender<()>,
}

struct Parked {
    of: Name,
    underway: Underway,
    waits: Pending,
}

static TABLE: LazyLock<Mutex<HashMap<String, Parked>>> = LazyLock::new(Mutex::default);

impl Parking {
    pub(super) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Pending>) {
        let (pending, waits) = mpsc::unbounded_channel();
        (Arc::new(Self { attached: Mutex::default(), pending }), waits)
    }

    /// From now on this request is there.
    pub(super) fn attach(
        &self,
        out: Option<Arc<dyn Outbox>>,
        progress: Option<Box<str>>,
        alive: mpsc::Sender<()>,
    ) {
        *lock(&self.attached) = Attached { out, progress, alive: Some(alive) };
    }

    /// No request is there.
    pub(super) fn detach(&self) {
        *lock(&self.attached) = Attached::default();
    }
}

impl Line for Parking {
    fn tell(&self, message: Vec<u8>) {
        let out = lock(&self.attached).out.clone();
        if let Some(out) = out {
            out.send(message);
        }
    }

    fn token(&self, _: &str) -> Option<Box<str>> {
        lock(&self.attached).progress.clone()
    }

    fn ask(&self, mut questions: Vec<Asking>) -> BoxFuture<'_, Result<Vec<Box<str>>, Box<str>>> {
        for (n, asking) in questions.iter_mut().enumerate() {
            if asking.key.is_empty() {
                asking.key = format!("question-{}", n + 1).into();
            }
        }
        let (answer, answered) = oneshot::channel();
        let sent = self.pending.send(Pending { questions, answer });
        Box::pin(async move {
            let unable = || "{\"code\":-32603,\"message\":\"the client cannot be asked\"}".into();
            sent.map_err(|_| unable())?;
            answered.await.map_err(|_| unable())
        })
    }
}

impl Pending {
    /// Gives what `responses` has to the questions; those that have no answer yet are left.
    fn answered(mut self, responses: &str) -> Result<(), Self> {
        let members = Members::read(responses).unwrap_or_default();
        let found = |asking: &Asking| members.get(&asking.key).filter(|raw| raw.starts_with('{'));
        let answers: Option<Vec<_>> =
            self.questions.iter().map(|asking| found(asking).map(Into::into)).collect();
        let Some(answers) = answers else { return Err(self) };
        self.questions.clear();
        // A server that has taken its question back does not wait for the answer.
        drop(self.answer.send(answers));
        Ok(())
    }

    /// Writes them as `inputRequests`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut all = Object::open(out);
        for asking in &self.questions {
            let mut request = Object::open(all.name(&asking.key));
            request.string("method", asking.method);
            request.name("params").extend_from_slice(asking.params.as_bytes());
            request.close();
        }
        all.close();
    }
}

/// Parks a call until its client comes back with the answers; what it is found by. `None`: there are too
/// many, and the call has ended.
pub(super) fn park(of: &Name, underway: Underway, waits: Pending) -> Option<String> {
    let mut id = [0; 16];
    strongroom_seal::random(&mut id).ok()?;
    let id = hex(&id);
    underway.parking.detach();
    let mut table = lock(&TABLE);
    let own = table.values().filter(|parked| parked.of == *of).count();
    if own >= MOST_OF_ONE || table.len() >= MOST {
        return None;
    }
    table.insert(id.clone(), Parked { of: of.clone(), underway, waits });
    drop(table);
    let key = id.clone();
    tokio::spawn(async move {
        sleep(GOOD_FOR).await;
        // Whoever has gone on with it has taken it out.
        drop(lock(&TABLE).remove(&key));
    });
    Some(id)
}

/// What becomes of a call whose client has come back.
pub(super) enum Resumed {
    /// It goes on.
    On(Underway),
    /// Not everything was answered: these still wait.
    Waits(Underway, Pending),
    /// It is not there any more.
    Gone,
}

/// Takes the call `id` of `of` out, lets the request that goes on with it `attach` itself, and gives it the
/// answers.
pub(super) fn resume(
    of: &Name,
    id: &str,
    responses: &str,
    attach: impl FnOnce(&Parking),
) -> Resumed {
    let mut table = lock(&TABLE);
    if table.get(id).is_none_or(|parked| parked.of != *of) {
        return Resumed::Gone;
    }
    let Some(Parked { underway, waits, .. }) = table.remove(id) else { return Resumed::Gone };
    drop(table);
    attach(&underway.parking);
    if underway.task.is_finished() {
        return Resumed::On(underway);
    }
    match waits.answered(responses) {
        Ok(()) => Resumed::On(underway),
        Err(waits) => Resumed::Waits(underway, waits),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
