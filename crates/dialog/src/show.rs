//! One window, from its start to its end.

use std::io::{Read, Write as _};
use std::process::{ChildStdin, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use strongroom_model::display::escape_line;
use strongroom_model::form::{ANSWER, Form, Kind};
use strongroom_model::secret::Secret;

use crate::Window;
use crate::answers::{Answers, NotAnswers, read_secret};
use crate::asking::{Ended, Failure, Wait};

/// How long a window that is told to end may take.
const GRACE: Duration = Duration::from_millis(500);

/// The longest pause between two looks at the window.
const PAUSE: Duration = Duration::from_millis(10);

/// How long what the program left behind may hold its pipes after it and its group have ended. Long,
/// because a busy machine may take its time to let the readers read what is there.
const LINGER: Duration = Duration::from_secs(10);

/// What is kept of its complaints, in bytes, and how much of that is shown, in characters.
const SAID: usize = 4 << 10;
const SHOWN: usize = 300;

/// Shows `form` and waits for the answer, for as long as `wait` says.
///
/// However it ends, the window and its group have ended when this returns, and its status was taken: no
/// zombie is left.
pub(crate) fn show(window: &Window, form: &Form, wait: &Wait) -> Result<Answers, Ended> {
    form.check().map_err(Failure::from)?;
    wait.pause(Duration::ZERO)?;
    let mut child = window.start().start().map_err(Failure::from)?;
    if let Some(stdin) = child.stdin() {
        feed(stdin, form.to_json());
    }
    // The readers' ends are what the window lives by: closed, they mean that nobody waits.
    let most = most(form);
    let stdout = child.stdout().map(|stream| collect(move || read_secret(stream, most)));
    let stderr = child.stderr().map(|stream| collect(move || first(stream, SAID)));

    let mut pause = Duration::from_millis(1);
    let ended = loop {
        match child.has_ended() {
            Ok(true) => break Ok(()),
            Ok(false) => {}
            Err(error) => break Err(Failure::from(error).into()),
        }
        if let Err(ended) = wait.pause(pause) {
            break Err(ended);
        }
        pause = (pause * 2).min(PAUSE);
    };
    let grace = if ended.is_ok() { Duration::ZERO } else { GRACE };
    let status = child.end(grace).map_err(Failure::from);
    ended?;

    let printed = match stdout.map(|stdout| stdout.recv_timeout(LINGER)) {
        Some(Ok(Ok(printed))) => printed,
        Some(Ok(Err(error))) => return Err(Failure::from(error).into()),
        None | Some(Err(_)) => return Err(died(status?).into()),
    };
    let said = stderr.and_then(|stderr| stderr.recv_timeout(LINGER).ok()).unwrap_or_default();
    read(status?, printed, &said, form)
}

/// What a window that ended with `status` has answered.
fn read(
    status: ExitStatus,
    printed: Option<Secret>,
    said: &[u8],
    form: &Form,
) -> Result<Answers, Ended> {
    match status.code() {
        Some(0) => {
            let printed = printed.ok_or(Failure::NotAnswers(NotAnswers::TooLong))?;
            Ok(Answers::read(&printed, form).map_err(Failure::from)?)
        }
        Some(1) => Err(Ended::Cancelled),
        // Where it has printed answers, its complaints could have them too.
        Some(2) if printed.is_some_and(|printed| printed.is_empty()) => {
            let said = String::from_utf8_lossy(said);
            let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason");
            Err(Failure::Refused { said: escape_line(line, SHOWN).0 }.into())
        }
        _ => Err(died(status).into()),
    }
}

fn died(status: ExitStatus) -> Failure {
    Failure::Died { how: status.to_string() }
}

/// The most that answers to `form` take as JSON, in which a byte is written as six at most.
fn most(form: &Form) -> usize {
    let fields = if form.kind == Kind::Consent { 1 } else { form.fields.len() };
    (ANSWER + 2048) * 6 * fields + 64
}

/// Writes the template and closes the pipe. A window that does not read it says so by its status.
fn feed(mut stdin: ChildStdin, template: String) {
    thread::spawn(move || drop(stdin.write_all(template.as_bytes())));
}

fn collect<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (send, receive) = channel();
    // Nobody may wait any longer.
    thread::spawn(move || drop(send.send(read())));
    receive
}

/// The first `most` bytes; the rest is read and dropped, so that the program is not held up.
fn first(mut stream: impl Read, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    drop(stream.by_ref().take(most as u64).read_to_end(&mut bytes));
    drop(std::io::copy(&mut stream, &mut std::io::sink()));
    bytes
}
