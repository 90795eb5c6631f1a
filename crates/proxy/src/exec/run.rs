//! One permitted run: the program started with its secrets, watched, and what it printed redacted.

use std::fs::File;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use strongroom_model::audit::{Facts, Trail};
use strongroom_model::call::Ran;
use strongroom_model::code::{Code, Refusal};
use strongroom_model::command::{Command, Invocation, Program};
use strongroom_model::injection::Bound;
use strongroom_model::pipeline::{Act, Done, Permit};
use strongroom_model::ports::{BoxFuture, Clock, Credentials};
use strongroom_model::redact::{Clean, Redactor};
use strongroom_process::{Bounds, Captured, Ending, Guard, Start, Stop, capture};
use tokio::sync::SetOnce;
use tokio::task::spawn_blocking;

use super::door::Door;
use super::scratch::Scratch;
use super::{Programs, environment};

/// The act of `exec`.
pub(super) struct Run<'a> {
    pub(super) programs: &'a Programs,
    pub(super) command: &'a Command,
    pub(super) credentials: &'a dyn Credentials,
    pub(super) clock: &'a dyn Clock,
    /// When the call began, by the clock's monotonic time.
    pub(super) began: Duration,
    pub(super) cancel: BoxFuture<'a, ()>,
}

impl Act<Invocation, Program> for Run<'_> {
    type Answer = Ran;

    async fn act(
        mut self,
        permit: Permit<Invocation>,
        bound: Bound<Program>,
        _trail: Trail<'_>,
    ) -> Done<Ran> {
        let mut facts = Facts::default();
        let ran = self.ran(permit.into_request(), &bound).await;
        let mut result = ran.and_then(|captured| self.answer(captured, &mut facts));
        let took = self.clock.monotonic().saturating_sub(self.began);
        facts.duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if let Ok(ran) = &mut result {
            ran.duration_ms = facts.duration_ms;
        }
        Done { result, facts }
    }
}

/// Ends the program when nobody waits for it any longer.
struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

impl Run<'_> {
    /// Runs it to its end.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the program is ended and its folder removed by the thread that watches it.
    async fn ran(
        &mut self,
        mut invocation: Invocation,
        bound: &Bound<Program>,
    ) -> Result<Captured, Refusal> {
        let ground = &self.programs.ground;
        let scratch = Scratch::under(&ground.scratch)?;
        let env = environment::of(self.command, bound.credential(), ground, &scratch)?;
        let session = Arc::new(SetOnce::new());
        scratch.make(self.clock.now())?;
        let door = Door::open(self.command, bound, &scratch, &session).inspect_err(|_| {
            scratch.remove();
        })?;

        let stdin = invocation.take_stdin();
        let job = Job {
            start: Start {
                name: Some(bound.to().word.clone().into()),
                args: invocation.args().iter().map(Into::into).collect(),
                env,
                dir: Some(self.command.workdir.clone().unwrap_or_else(|| scratch.work())),
                session: true,
                ..Start::new(&bound.to().path)
            },
            guard: ground.helper.clone(),
            scratch,
            stdin,
            bounds: Bounds {
                timeout: Duration::from_millis(self.command.limits.total_ms),
                most: self.command.limits.response_bytes,
            },
        };
        let stop = Stop::default();
        let on_drop = StopOnDrop(stop.clone());
        let (pins, program) = (Arc::clone(&self.programs.pins), bound.to().clone());
        let mut watched = pin!(spawn_blocking(move || {
            let scratch = job.scratch.clone();
            let ended = pins.check(&program).and_then(|image| job.run(image, &stop, &session));
            scratch.remove();
            ended
        }));
        let mut door = pin!(door.answer());
        let mut gone = false;
        loop {
            tokio::select! {
                ended = &mut watched => return ended.unwrap_or_else(|_| Err(failed())),
                () = &mut self.cancel, if !gone => {
                    gone = true;
                    on_drop.0.set();
                }
                () = &mut door => {}
            }
        }
    }

    fn answer(&self, captured: Captured, facts: &mut Facts) -> Result<Ran, Refusal> {
        let status = match captured.ending {
            Ending::Itself(status) => status,
            Ending::Timeout => {
                let text = "the program did not end in time, and was ended";
                return Err(Refusal::new(Code::UpstreamTimeout, text));
            }
            Ending::Flood => {
                let text = "the program printed more than this service allows, and was ended";
                return Err(Refusal::new(Code::ResponseTooLarge, text));
            }
            Ending::Stopped => {
                let text = "the caller went away before the program's end, and it was ended";
                return Err(Refusal::new(Code::UpstreamError, text));
            }
        };
        let (exit_code, signal) = codes(status);
        facts.status = u16::try_from(exit_code).ok();
        facts.response_bytes = (captured.stdout.len() + captured.stderr.len()) as u64;
        // Asked for only now, so that it knows what was loaded while the program ran.
        let redactor = self.credentials.redactor();
        let cap = self.command.limits.response_bytes;
        let (stdout, in_stdout) = clean(&redactor, captured.stdout, cap)?;
        let (stderr, in_stderr) = clean(&redactor, captured.stderr, cap)?;
        facts.redactions = in_stdout + in_stderr;
        let redactions = facts.redactions;
        Ok(Ran { exit_code, signal, stdout, stderr, redactions, duration_ms: 0 })
    }
}

/// What the watching thread needs.
struct Job {
    start: Start,
    guard: Option<PathBuf>,
    scratch: Scratch,
    stdin: Vec<u8>,
    bounds: Bounds,
}

impl Job {
    fn run(
        self,
        image: Option<Arc<File>>,
        stop: &Stop,
        session: &SetOnce<u32>,
    ) -> Result<Captured, Refusal> {
        let start = Start { image, ..self.start };
        let scratch = Some(self.scratch.path().to_owned());
        let guard = self.guard.map(|program| Guard { program, scratch, group: None });
        let started = |id| {
            let _ = session.set(id);
        };
        capture(&start, guard.as_ref(), self.stdin, self.bounds, stop, started)
            .map_err(|_| failed())
    }
}

/// Markers may make output somewhat longer, and no more than that.
fn clean(redactor: &Redactor, bytes: Vec<u8>, cap: usize) -> Result<(Clean<Bytes>, u64), Refusal> {
    let Some((bytes, markers)) = redactor.clean_within(bytes, cap.saturating_add(cap / 4)) else {
        let text = "with its secrets redacted the output is larger than this service allows";
        return Err(Refusal::new(Code::ResponseTooLarge, text));
    };
    Ok((bytes.into(), markers))
}

fn failed() -> Refusal {
    let text = "the program or the folder that it runs in cannot be used";
    Refusal::new(Code::UpstreamError, text)
}

/// What a shell would say: 128 and the signal where it was one.
#[cfg(unix)]
fn codes(status: ExitStatus) -> (i32, Option<i32>) {
    use std::os::unix::process::ExitStatusExt as _;
    let signal = status.signal();
    (status.code().or(signal.map(|signal| 128 + signal)).unwrap_or(1), signal)
}

#[cfg(not(unix))]
fn codes(status: ExitStatus) -> (i32, Option<i32>) {
    (status.code().unwrap_or(1), None)
}
