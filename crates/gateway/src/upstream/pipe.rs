//! A server on a pair of pipes, a message a line.
//!
//! What is sent goes into the pipe at once, by whoever sends it, as long as the server reads; what does
//! not fit waits, up to a bound, and holds nobody up. What the server writes is cut into lines as it
//! comes; a line over the cap is dropped and the next one is read, so that the two stay in step.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::process::{ChildStderr, ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use memchr::memchr;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite as _};
use tokio::sync::Notify;

use super::peer::{Carrier, Over};

/// Bytes that may wait for a server that does not read.
const BACKLOG: usize = 64 << 20;

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// What came of reading.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line without its end, and not empty.
    Message(Vec<u8>),
    /// One that is too long, of which this is the beginning. It is said as soon as it is known.
    TooLong(Vec<u8>),
}

/// The way to a server. Clones lead to the same one.
///
/// Whoever makes one closes it: until then a task waits for what is left to write.
#[derive(Clone)]
pub struct Sender(Arc<Shared>);

struct Shared {
    out: Mutex<Out>,
    /// There is something to write, or nothing more will come.
    more: Notify,
    /// Nothing more will come.
    closed: Notify,
}

struct Out {
    /// `None`: closed.
    pipe: Option<platform::Sender>,
    backlog: VecDeque<u8>,
    /// Nothing comes behind what waits.
    closing: bool,
}

impl Sender {
    /// Sends into `stdin`. It must be made within a runtime.
    ///
    /// # Errors
    ///
    /// The runtime takes no more pipes.
    pub fn new(stdin: ChildStdin) -> io::Result<Self> {
        let pipe = Some(platform::sender(stdin)?);
        let out = Out { pipe, backlog: VecDeque::new(), closing: false };
        let shared =
            Arc::new(Shared { out: Mutex::new(out), more: Notify::new(), closed: Notify::new() });
        tokio::spawn(drain(Arc::clone(&shared)));
        Ok(Self(shared))
    }

    /// Closes the pipe when what waits has been written. A server ends by that.
    pub fn close(&self) {
        self.0.lock().closing = true;
        self.0.more.notify_one();
        self.0.closed.notify_waiters();
    }

    /// Waits until somebody closes it.
    pub async fn closed(&self) {
        let closed = self.0.closed.notified();
        if !self.0.lock().closing {
            closed.await;
        }
    }
}

impl Carrier for Sender {
    fn send(&self, mut message: Vec<u8>) -> Result<(), Over> {
        message.push(b'\n');
        let gone = || Over::because("the server has closed its input");
        let mut out = self.0.lock();
        if out.closing {
            return Err(gone());
        }
        let Out { pipe, backlog, .. } = &mut *out;
        let pipe = pipe.as_ref().ok_or_else(gone)?;
        let written = if backlog.is_empty() {
            platform::write_now(pipe, &message).map_err(|_| gone())?
        } else {
            0
        };
        let left = &message[written..];
        if backlog.len() + left.len() > BACKLOG {
            return Err(Over::because("the server does not read its input"));
        }
        if !left.is_empty() {
            backlog.extend(left);
            self.0.more.notify_one();
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what the pipe takes; ready when nothing is left. `true`: the pipe is closed.
    fn poll_push(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut out = self.lock();
        let Out { pipe, backlog, closing } = &mut *out;
        while let Some(open) = pipe
            && !backlog.is_empty()
        {
            match Pin::new(open).poll_write(cx, backlog.as_slices().0) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(written)) if written > 0 => drop(backlog.drain(..written)),
                Poll::Ready(_) => *pipe = None,
            }
        }
        if *closing {
            *pipe = None;
        }
        Poll::Ready(pipe.is_none())
    }
}

/// Writes what could not be written at once, until the pipe is closed.
async fn drain(shared: Arc<Shared>) {
    loop {
        shared.more.notified().await;
        if poll_fn(|cx| shared.poll_push(cx)).await {
            return;
        }
    }
}

/// The lines of a server.
pub struct Lines<R> {
    from: R,
    cap: usize,
    /// What was read and not yet given out.
    buffer: Vec<u8>,
    /// Up to where there is no end of a line in it.
    searched: usize,
    /// Within a line that is too long.
    skipping: bool,
}

/// The lines of `stdout`. It must be made within a runtime.
///
/// # Errors
///
/// The runtime takes no more pipes.
pub fn lines(
    stdout: ChildStdout,
    cap: usize,
) -> io::Result<Lines<impl AsyncRead + Send + Unpin + use<>>> {
    Ok(Lines::new(platform::receiver(stdout)?, cap))
}

/// The lines of `stderr`. It must be made within a runtime.
///
/// # Errors
///
/// The runtime takes no more pipes.
pub fn errors(
    stderr: ChildStderr,
    cap: usize,
) -> io::Result<Lines<impl AsyncRead + Send + Unpin + use<>>> {
    Ok(Lines::new(platform::errors(stderr)?, cap))
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Those of `from`, each of at most `cap` bytes.
    pub fn new(from: R, cap: usize) -> Self {
        Self { from, cap, buffer: Vec::new(), searched: 0, skipping: false }
    }

    /// The next line; `None` at the end. What stands behind the last end of a line is no message.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped.
    ///
    /// # Errors
    ///
    /// Reading failed.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            self.buffer.reserve(CHUNK);
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// A line that is there.
    fn take(&mut self) -> Option<Line> {
        loop {
            let rest = &self.buffer[self.searched..];
            let Some(end) = memchr(b'\n', rest) else {
                self.searched = self.buffer.len();
                let long = self.buffer.len() > self.cap && !self.skipping;
                let head = long.then(|| head(&self.buffer));
                self.skipping |= long;
                if self.skipping {
                    self.buffer.clear();
                    self.searched = 0;
                }
                return head.map(Line::TooLong);
            };
            let end = self.searched + end;
            self.searched = 0;
            let whole = if end + 1 == self.buffer.len() {
                let mut whole = std::mem::take(&mut self.buffer);
                whole.truncate(end);
                whole
            } else {
                let whole = self.buffer[..end].to_vec();
                self.buffer.drain(..=end);
                whole
            };
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if whole.len() > self.cap {
                return Some(Line::TooLong(head(&whole)));
            }
            if !whole.iter().all(u8::is_ascii_whitespace) {
                return Some(Line::Message(whole));
            }
        }
    }
}

/// What is told of a line that is too long.
fn head(line: &[u8]) -> Vec<u8> {
    line[..line.len().min(HEAD)].to_vec()
}

const HEAD: usize = 256;

#[cfg(unix)]
mod platform {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::process::{ChildStderr, ChildStdin, ChildStdout};

    use tokio::net::unix::pipe;

    pub(super) type Receiver = pipe::Receiver;
    pub(super) type Sender = pipe::Sender;

    pub(super) fn sender(stdin: ChildStdin) -> io::Result<Sender> {
        pipe::Sender::from_owned_fd(OwnedFd::from(stdin))
    }

    pub(super) fn receiver(stdout: ChildStdout) -> io::Result<Receiver> {
        let stdout = OwnedFd::from(stdout);
        widen(&stdout);
        pipe::Receiver::from_owned_fd(stdout)
    }

    pub(super) fn errors(stderr: ChildStderr) -> io::Result<Receiver> {
        pipe::Receiver::from_owned_fd(OwnedFd::from(stderr))
    }

    /// A large result is there in fewer pieces. Where a user has many pipes the system says no, which is
    /// well.
    #[cfg(target_os = "linux")]
    fn widen(pipe: &OwnedFd) {
        let _ = rustix::pipe::fcntl_setpipe_size(pipe, 256 << 10);
    }

    #[cfg(not(target_os = "linux"))]
    fn widen(_: &OwnedFd) {}

    /// Writes what the pipe takes now.
    pub(super) fn write_now(pipe: &Sender, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while written < bytes.len() {
            match pipe.try_write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(written)
    }
}

#[cfg(not(unix))]
mod platform {
    use std::io;
    use std::process::{ChildStderr, ChildStdin, ChildStdout};

    use tokio::fs::File;

    pub(super) type Receiver = File;
    pub(super) type Sender = File;

    pub(super) fn sender(stdin: ChildStdin) -> io::Result<Sender> {
        Ok(File::from_std(std::os::windows::io::OwnedHandle::from(stdin).into()))
    }

    pub(super) fn receiver(stdout: ChildStdout) -> io::Result<Receiver> {
        Ok(File::from_std(std::os::windows::io::OwnedHandle::from(stdout).into()))
    }

    pub(super) fn errors(stderr: ChildStderr) -> io::Result<Receiver> {
        Ok(File::from_std(std::os::windows::io::OwnedHandle::from(stderr).into()))
    }

    /// There is no such thing: a thread of the runtime writes.
    #[expect(clippy::unnecessary_wraps, reason = "it may fail elsewhere")]
    pub(super) fn write_now(_: &Sender, _: &[u8]) -> io::Result<usize> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    async fn all(text: &[u8], cap: usize, chunk: usize) -> Vec<String> {
        let (mut write, read) = tokio::io::duplex(chunk);
        let text = text.to_vec();
        tokio::spawn(async move { write.write_all(&text).await });
        let mut lines = Lines::new(read, cap);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            found.push(match line {
                Line::Message(line) => String::from_utf8(line).unwrap(),
                Line::TooLong(_) => "too long".to_owned(),
            });
        }
        found
    }

    #[tokio::test]
    async fn lines_are_the_same_however_they_come() {
        let text = b"one\ntwo\r\n\n  \nthree\nno end";
        for chunk in [1, 2, 3, 5, 64] {
            assert_eq!(all(text, 100, chunk).await, ["one", "two\r", "three"], "{chunk}");
        }
    }

    // RX-10, MC-22
    #[tokio::test]
    async fn a_line_over_the_cap_is_never_held_and_the_next_one_is_read() {
        let text =
            [b"a\n", "x".repeat(100_000).as_bytes(), b"\nb\n", &[b'y'; 11], b"\nc\n"].concat();
        for chunk in [7, 1000, 1 << 20] {
            assert_eq!(all(&text, 10, chunk).await, ["a", "too long", "b", "too long", "c"]);
        }
        let endless = tokio::io::repeat(b'x').take(32 << 20);
        let mut lines = Lines::new(endless, 1000);
        assert_eq!(lines.next().await.unwrap(), Some(Line::TooLong(vec![b'x'; HEAD])));
        assert_eq!(lines.next().await.unwrap(), None);
        assert!(lines.buffer.capacity() <= 4 * CHUNK, "{}", lines.buffer.capacity());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_a_child_does_not_read_yet_waits_and_holds_nobody_up() {
        use strongroom_process::{Start, Stream};

        let pipe = Stream::Pipe;
        let script = "read go; exec cat";
        let start = Start {
            args: ["-c", script].map(Into::into).into(),
            stdin: pipe,
            stdout: pipe,
            ..Start::new("/bin/sh")
        };
        let mut child = start.start().unwrap();
        let sender = Sender::new(child.stdin().unwrap()).unwrap();
        let mut lines = lines(child.stdout().unwrap(), 1 << 20).unwrap();
        let long = vec![b'x'; 1 << 20];
        sender.send(b"go".to_vec()).unwrap();
        for _ in 0..8 {
            sender.send(long.clone()).unwrap();
        }
        sender.close();
        assert_eq!(
            sender.send(b"late".to_vec()).unwrap_err().0[..],
            *"the server has closed its input"
        );
        for _ in 0..8 {
            let line = lines.next().await.unwrap();
            assert!(line == Some(Line::Message(long.clone())), "what was sent");
        }
        assert_eq!(lines.next().await.unwrap(), None);
        assert!(child.wait().unwrap().success());
    }
}
