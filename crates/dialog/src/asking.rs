//! A question on its way: asked at once, answered when a person does, ended when nobody waits.

use std::io;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use strongroom_model::form::{Form, FormError};
use strongroom_process::StartError;
use strongroom_seal::{FileError, RandomError};
use tokio::sync::oneshot;

use crate::answers::NotAnswers;
use crate::queue::{Line, Ticket};
use crate::{Answers, NoTerminal, Terminal, Window, show, terminal};

/// A question that was asked. Dropped, it is taken back: its window closes, and it leaves the line.
#[derive(Debug)]
pub struct Asking {
    /// Dropped, it tells the thread to end.
    stop: Option<Sender<()>>,
    /// There until it has answered.
    ended: Option<oneshot::Receiver<Result<Answers, Ended>>>,
}

/// Why a question has no answer. Each of them means no.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The person closed the window, or whoever asked took the question back.
    #[error("the question was cancelled")]
    Cancelled,
    /// Nobody answered in time.
    #[error("nobody answered in time")]
    TooLong,
    /// The person could not be asked.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// Why a person could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It is no question.
    #[error(transparent)]
    Form(#[from] FormError),
    /// The line cannot be entered.
    #[error("questions cannot stand in line")]
    Line(#[from] FileError),
    /// Others were asked for all of its time, or one of them does not go on.
    #[error("the line is held{}: this question was never shown", by(*.process))]
    Held {
        /// The process whose question is the first, where that is known.
        process: Option<u32>,
    },
    /// The window program does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The window program says that it cannot ask, by exit code 2.
    #[error("the window program could not ask: {said}")]
    Refused {
        /// What it said: one line, with everything visible.
        said: String,
    },
    /// The window program ended as it never does by itself.
    #[error("the window program ended unexpectedly ({how})")]
    Died {
        /// The signal or the code.
        how: String,
    },
    /// The window program printed something else than answers.
    #[error(transparent)]
    NotAnswers(#[from] NotAnswers),
    /// The terminal is not there any longer, or is not the person's alone.
    #[error(transparent)]
    Terminal(#[from] NoTerminal),
    /// No code can be drawn for the terminal.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The program or the terminal cannot be talked to.
    #[error("the question cannot be shown")]
    Io(#[from] io::Error),
}

/// By whom, in words.
fn by(process: Option<u32>) -> String {
    let of = |id| format!(" by the question of process {id}, which was not answered or is stopped");
    process.map(of).unwrap_or_default()
}

/// Has `window` show `form`, once it is its turn. `patience` is how long the person has, from now: the
/// time in line counts.
///
/// The place in the line is taken before this returns, so that questions of one process are shown in the
/// order of these calls.
pub fn ask(window: &Window, form: &Form, patience: Duration) -> Asking {
    let (shown, form) = (window.clone(), form.clone());
    let run = move |wait: &Wait| show::show(&shown, &form, wait);
    begin(window.line(), patience, run)
}

/// Asks `form` at `terminal`, once it is its turn, as [`ask`] does by a window. Where consent is asked
/// for, a code has to be typed: no single letter is a yes.
pub fn ask_at(terminal: &Terminal, form: &Form, patience: Duration) -> Asking {
    let form = form.clone();
    let run = move |wait: &Wait| terminal::ask(&form, wait);
    begin(terminal.line(), patience, run)
}

impl Asking {
    /// Waits for the answer. Once it has been given, there is no other: asked again, this is
    /// [`Ended::Cancelled`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing: the question stays, and can be waited for again. Dropping
    /// the [`Asking`] takes it back.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn answers(&mut self) -> Result<Answers, Ended> {
        let Some(ended) = &mut self.ended else { return Err(Ended::Cancelled) };
        // A thread that is gone without a word has taken the question with it.
        let answers = ended.await.unwrap_or(Err(Ended::Cancelled));
        self.ended = None;
        answers
    }

    /// Takes the question back, and waits until nothing of it is left.
    pub async fn cancel(mut self) {
        self.stop = None;
        drop(self.answers().await);
    }
}

/// How long a question is waited for, and whether anybody still waits.
pub(crate) struct Wait {
    /// `None`: there is no end to it.
    until: Option<Instant>,
    stop: Receiver<()>,
}

impl Wait {
    fn new(patience: Duration, stop: Receiver<()>) -> Self {
        Self { until: Instant::now().checked_add(patience), stop }
    }

    /// Waits for `pause`; an error is the reason to end.
    pub(crate) fn pause(&self, pause: Duration) -> Result<(), Ended> {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        let left = left.unwrap_or(Duration::MAX);
        if left.is_zero() {
            return Err(Ended::TooLong);
        }
        match self.stop.recv_timeout(pause.min(left)) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => Err(Ended::Cancelled),
        }
    }
}

#[cfg(test)]
impl Wait {
    /// One that nobody ends but the returned sender.
    pub(crate) fn long() -> (Self, Sender<()>) {
        let (send, stop) = mpsc::channel();
        (Self::new(Duration::from_mins(1), stop), send)
    }

    /// One whose time is over.
    pub(crate) fn none() -> (Self, Sender<()>) {
        let (send, stop) = mpsc::channel();
        (Self::new(Duration::ZERO, stop), send)
    }
}

/// How often those in line look whether it is their turn.
const GLANCE: Duration = Duration::from_millis(40);

fn begin(
    line: &Path,
    patience: Duration,
    run: impl FnOnce(&Wait) -> Result<Answers, Ended> + Send + 'static,
) -> Asking {
    let (stop, stopped) = mpsc::channel();
    let (send, ended) = oneshot::channel();
    let wait = Wait::new(patience, stopped);
    let place = Line::open(line).and_then(Line::enter);
    let work = move || {
        let answers = turn(place, &wait).and_then(|ticket| {
            let answers = run(&wait);
            // What it may leave behind is passed over by those behind us.
            drop(ticket.leave());
            answers
        });
        // Nobody may wait any longer.
        drop(send.send(answers));
    };
    // Where there is no thread, nobody is asked: the sender is dropped, and that is a no.
    drop(thread::Builder::new().name("asking".into()).spawn(work));
    Asking { stop: Some(stop), ended: Some(ended) }
}

/// Waits for the turn of this question.
fn turn(place: Result<Result<Ticket, Line>, FileError>, wait: &Wait) -> Result<Ticket, Ended> {
    let mut place = place.map_err(Failure::from)?;
    let ticket = loop {
        match place {
            Ok(ticket) => break ticket,
            Err(line) => {
                wait.pause(GLANCE).map_err(|ended| in_line(ended, None))?;
                place = line.enter().map_err(Failure::from)?;
            }
        }
    };
    while !ticket.is_next().map_err(Failure::from)? {
        if let Err(ended) = wait.pause(GLANCE) {
            let process = ticket.held_by();
            drop(ticket.leave());
            return Err(in_line(ended, process));
        }
    }
    Ok(ticket)
}

/// What it means that the wait has ended while the question stood in line: nobody was late to answer it.
fn in_line(ended: Ended, process: Option<u32>) -> Ended {
    match ended {
        Ended::TooLong => Failure::Held { process }.into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patience_without_an_end_is_one_and_one_that_is_over_is_over() {
        for patience in [Duration::MAX, Duration::from_secs(u64::MAX)] {
            let (send, stop) = mpsc::channel();
            let wait = Wait::new(patience, stop);
            wait.pause(Duration::ZERO).unwrap();
            drop(send);
            assert!(matches!(wait.pause(Duration::MAX), Err(Ended::Cancelled)));
        }
        let (wait, _stop) = Wait::none();
        assert!(matches!(wait.pause(Duration::MAX), Err(Ended::TooLong)));
    }
}
