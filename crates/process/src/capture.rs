//! A program that is given no more than it was allotted: time, output, and a caller who waits.

use std::hint::black_box;
use std::io::{self, Read, Write as _};
use std::process::{ChildStdin, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Child, Guard, Start, StartError, Stream};

/// What a program may use.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long it may run.
    pub timeout: Duration,
    /// How many bytes it may print, on both descriptors together.
    pub most: usize,
}

/// Tells a program that runs to end. Clones tell the same one.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

/// How a program came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, or by a signal that was not ours.
    Itself(ExitStatus),
    /// It took too long.
    Timeout,
    /// It printed too much.
    Flood,
    /// It was told to.
    Stopped,
}

/// What a program printed, and how it ended. Where it was ended the output is of no use.
pub struct Captured {
    /// How it ended.
    pub ending: Ending,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it printed to descriptor 2.
    pub stderr: Vec<u8>,
}

/// How long a program that is ended may take to clean up behind itself.
pub(crate) const GRACE: Duration = Duration::from_millis(500);

/// How long what the program left behind may hold its pipes after it and its group have ended.
///
/// Long, because a busy machine may take its time to let the readers read what is there.
const LINGER: Duration = Duration::from_secs(3);

/// The longest pause between two looks at a program that runs.
const PAUSE: Duration = Duration::from_millis(5);

impl Stop {
    /// Ends the program.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Starts a program, writes `input` to it, and collects what it prints until it ends, it has used up
/// its `bounds`, or `stop` is set. However it ends, its group has ended when this returns; under a
/// `guard` everything else that it started has, too.
///
/// Input that the program does not read is dropped. What it prints beyond its bounds is never held.
/// `started` is told the id of the session or group that it is in.
pub fn capture(
    start: &Start,
    guard: Option<&Guard>,
    input: Vec<u8>,
    bounds: Bounds,
    stop: &Stop,
    started: impl FnOnce(u32),
) -> Result<Captured, StartError> {
    let deadline = Instant::now() + bounds.timeout;
    let stdin = if input.is_empty() { Stream::Null } else { Stream::Pipe };
    let start = Start { stdin, stdout: Stream::Pipe, stderr: Stream::Pipe, ..start.clone() };
    let failed = |source| StartError { program: start.program.clone(), source };
    let (mut child, line) = match guard {
        Some(guard) => guard.start(&start)?,
        None => (start.start()?, None),
    };
    started(child.id());
    if let Some(stdin) = child.stdin() {
        feed(stdin, input);
    }
    let left = Left { bytes: Arc::new(AtomicUsize::new(bounds.most)), over: Arc::default() };
    let (stdout, stderr) = (collect(child.stdout(), &left), collect(child.stderr(), &left));

    let seen = watch(&mut child, deadline, &left, stop);
    // The line to the guard is what it lives by.
    drop(line);
    let status = match (&seen, guard) {
        (Ok(None), _) => child.end(Duration::ZERO),
        (_, None) => child.end(GRACE),
        (_, Some(_)) => child.end_after(GRACE * 4),
    };
    let status = status.map_err(failed)?;
    let (stdout, stderr) = (stdout.take(), stderr.take());
    let ending = match seen.map_err(failed)? {
        Some(ending) => ending,
        None if left.over.load(Ordering::Acquire) => Ending::Flood,
        None => Ending::Itself(status),
    };
    Ok(Captured { ending, stdout, stderr })
}

/// Waits until there is a reason to end the program, or none: then it has ended.
fn watch(
    child: &mut Child,
    deadline: Instant,
    left: &Left,
    stop: &Stop,
) -> io::Result<Option<Ending>> {
    let mut pause = Duration::from_micros(200);
    loop {
        if child.has_ended()? {
            return Ok(None);
        }
        if left.over.load(Ordering::Acquire) {
            return Ok(Some(Ending::Flood));
        }
        if stop.is_set() {
            return Ok(Some(Ending::Stopped));
        }
        let time = deadline.saturating_duration_since(Instant::now());
        if time.is_zero() {
            return Ok(Some(Ending::Timeout));
        }
        thread::sleep(pause.min(time));
        pause = (pause * 2).min(PAUSE);
    }
}

/// Writes `input` while the program runs. One that does not read it is not our error.
fn feed(mut stdin: ChildStdin, mut input: Vec<u8>) {
    thread::spawn(move || {
        drop(stdin.write_all(&input));
        drop(stdin);
        input.fill(0);
        black_box(&input);
    });
}

/// What both descriptors may still print.
#[derive(Clone)]
struct Left {
    bytes: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Left {
    fn take(&self, count: usize) -> bool {
        let enough = self
            .bytes
            .try_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(count))
            .is_ok();
        if !enough {
            self.over.store(true, Ordering::Release);
        }
        enough
    }
}

/// What is being read from one descriptor.
struct Printed {
    bytes: Arc<Mutex<Vec<u8>>>,
    end: Receiver<()>,
}

impl Printed {
    /// All of it, or what came until now where somebody holds the pipe.
    fn take(self) -> Vec<u8> {
        let _ = self.end.recv_timeout(LINGER);
        std::mem::take(&mut lock(&self.bytes))
    }
}

fn lock(bytes: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner)
}

fn collect(stream: Option<impl Read + Send + 'static>, left: &Left) -> Printed {
    let (send, end) = channel();
    let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
    let (left, to) = (left.clone(), Arc::clone(&bytes));
    thread::spawn(move || {
        if let Some(stream) = stream {
            within(stream, &left, &to);
        }
        // Nobody may wait any longer.
        let _ = send.send(());
    });
    Printed { bytes, end }
}

/// What is printed as long as it is within bounds; then the pipe is closed.
fn within(mut stream: impl Read, left: &Left, bytes: &Mutex<Vec<u8>>) {
    let mut chunk = vec![0; 16 << 10];
    loop {
        match stream.read(&mut chunk) {
            Ok(count) if count > 0 && left.take(count) => {
                lock(bytes).extend_from_slice(&chunk[..count]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}
