//! The lines of a client, as they come.
//!
//! Whether a pipe or a socket has something can be asked: it is read where its lines are answered, because
//! every hand-over between threads is added to every call. Whatever else standard input may be is read by a
//! thread of its own, since such a read cannot be cancelled.

use std::io::{self, ErrorKind, Read};
use std::marker::PhantomData;

use memchr::memchr;
use tokio::sync::mpsc;

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// Lines that the thread reads ahead.
const AHEAD: usize = 8;

/// Where lines come from: every read is one of the system's, with no buffer in between.
#[cfg(unix)]
pub trait Input: Read + std::os::fd::AsFd + Send + 'static {}
#[cfg(unix)]
impl<R: Read + std::os::fd::AsFd + Send + 'static> Input for R {}

/// Where lines come from.
#[cfg(not(unix))]
pub trait Input: Read + Send + 'static {}
#[cfg(not(unix))]
impl<R: Read + Send + 'static> Input for R {}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line without its end, and not empty.
    Message(Vec<u8>),
    /// One over the cap, of which nothing is kept.
    TooLong,
}

/// The lines of an input.
pub(super) enum Lines<R> {
    #[cfg(target_os = "linux")]
    Asked(asked::Lines<R>),
    Waited(mpsc::Receiver<io::Result<Line>>, PhantomData<fn(R)>),
}

impl<R: Input> Lines<R> {
    /// Those of `input`, each of at most `cap` bytes. It must be made within a runtime.
    pub(super) fn new(input: R, cap: usize) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        let input = match asked::Lines::new(input, cap) {
            Ok(lines) => return Ok(Self::Asked(lines)),
            Err(input) => input,
        };
        Ok(Self::Waited(waited(input, cap)?, PhantomData))
    }

    /// The next line; `None` at the end, and after an error.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped.
    pub(super) async fn next(&mut self) -> Option<io::Result<Line>> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Asked(lines) => lines.next().await.transpose(),
            Self::Waited(lines, _) => lines.recv().await,
        }
    }
}

/// Reads in a thread of its own, at most a few lines ahead.
fn waited(
    mut input: impl Read + Send + 'static,
    cap: usize,
) -> io::Result<mpsc::Receiver<io::Result<Line>>> {
    let (send, receive) = mpsc::channel(AHEAD);
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        let (mut cutter, mut chunk) = (Cutter::new(cap), vec![0; CHUNK]);
        loop {
            while let Some(line) = cutter.next() {
                if send.blocking_send(Ok(line)).is_err() {
                    return;
                }
            }
            let read = match input.read(&mut chunk) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read,
            };
            let last = match read {
                Ok(0) => cutter.end().map(Ok),
                Ok(count) => {
                    cutter.push(&chunk[..count]);
                    continue;
                }
                Err(error) => Some(Err(error)),
            };
            if let Some(last) = last {
                // Nobody is left to hear it.
                drop(send.blocking_send(last));
            }
            return;
        }
    })?;
    Ok(receive)
}

/// Cuts what comes into lines.
struct Cutter {
    cap: usize,
    /// What has come and was not given out.
    buffer: Vec<u8>,
    /// Where the next line begins in it.
    start: usize,
    /// Up to where it has no end.
    searched: usize,
    /// The line that is coming is too long.
    too_long: bool,
}

impl Cutter {
    fn new(cap: usize) -> Self {
        Self { cap, buffer: Vec::new(), start: 0, searched: 0, too_long: false }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// A line that is there.
    fn next(&mut self) -> Option<Line> {
        loop {
            let found = memchr(b'\n', &self.buffer[self.searched..]);
            let Some(found) = found else {
                self.too_long |= self.buffer.len() - self.start > self.cap;
                let kept = if self.too_long { self.buffer.len() } else { self.start };
                self.buffer.drain(..kept);
                (self.start, self.searched) = (0, self.buffer.len());
                return None;
            };
            let end = self.searched + found;
            let line = self.buffer[self.start..end].to_vec();
            (self.start, self.searched) = (end + 1, end + 1);
            if let Some(line) = self.judged(line) {
                return Some(line);
            }
        }
    }

    /// What stands behind the last end of a line. Nothing comes any more.
    fn end(&mut self) -> Option<Line> {
        let rest = self.buffer.split_off(self.start);
        self.buffer.clear();
        (self.start, self.searched) = (0, 0);
        self.judged(rest)
    }

    fn judged(&mut self, line: Vec<u8>) -> Option<Line> {
        if std::mem::take(&mut self.too_long) || line.len() > self.cap {
            return Some(Line::TooLong);
        }
        (!line.iter().all(u8::is_ascii_whitespace)).then_some(Line::Message(line))
    }
}

#[cfg(target_os = "linux")]
mod asked {
    use std::io;
    use std::os::fd::{AsRawFd as _, OwnedFd};
    use std::os::unix::net::UnixStream;

    use rustix::fs::{FileType, Mode, OFlags, fstat, open};
    use tokio::io::{AsyncRead, AsyncReadExt as _};
    use tokio::net::{self, unix::pipe};

    use super::{CHUNK, Cutter, Input, Line};

    /// The lines of a pipe or a socket.
    pub(in crate::transport) struct Lines<R> {
        from: Box<dyn AsyncRead + Send + Unpin>,
        /// The same, which says at the end how it ended.
        input: R,
        cutter: Cutter,
        chunk: Vec<u8>,
        ended: bool,
    }

    impl<R: Input> Lines<R> {
        /// `input` itself where it has to be waited for.
        pub(super) fn new(input: R, cap: usize) -> Result<Self, R> {
            let Ok(Some(from)) = source(&input) else { return Err(input) };
            let (cutter, chunk) = (Cutter::new(cap), Vec::with_capacity(CHUNK));
            Ok(Self { from, input, cutter, chunk, ended: false })
        }

        pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
            loop {
                if let Some(line) = self.cutter.next() {
                    return Ok(Some(line));
                }
                if self.ended {
                    return Ok(self.cutter.end());
                }
                self.chunk.clear();
                let read = match self.from.read_buf(&mut self.chunk).await {
                    Ok(0) => self.input.read(&mut [0]),
                    read => read,
                };
                self.ended = !matches!(read, Ok(1..));
                if let Err(error) = read {
                    self.cutter = Cutter::new(0);
                    return Err(error);
                }
                self.cutter.push(&self.chunk);
            }
        }
    }

    /// What `input` leads to, as a runtime reads it; `None`: neither a pipe nor a socket.
    fn source(input: &impl Input) -> io::Result<Option<Box<dyn AsyncRead + Send + Unpin>>> {
        Ok(match FileType::from_raw_mode(fstat(input)?.st_mode) {
            // Opened anew: that reads do not wait must not be so for others who have this pipe from whoever
            // started us.
            FileType::Fifo => {
                let path = format!("/proc/self/fd/{}", input.as_fd().as_raw_fd());
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let own: OwnedFd = open(path, flags, Mode::empty())?;
                Some(Box::new(pipe::Receiver::from_owned_fd(own)?))
            }
            // It cannot be opened anew. Whoever starts servers on sockets makes a pair for each.
            FileType::Socket => {
                let own = UnixStream::from(input.as_fd().try_clone_to_owned()?);
                own.set_nonblocking(true)?;
                Some(Box::new(net::UnixStream::from_std(own)?))
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_over_the_cap_is_dropped_as_it_comes_and_the_next_one_is_read() {
        let text = [b"short\r\n", "x".repeat(100_000).as_bytes(), b"\nnext\n\n \nlast"].concat();
        let mut cutter = Cutter::new(1000);
        let mut lines = Vec::new();
        for part in text.chunks(64) {
            cutter.push(part);
            lines.extend(std::iter::from_fn(|| cutter.next()));
            assert!(cutter.buffer.len() <= 1000 + 64, "{}", cutter.buffer.len());
        }
        lines.extend(cutter.end());
        let read: Vec<_> = lines
            .into_iter()
            .map(|line| match line {
                Line::TooLong => "too long".to_owned(),
                Line::Message(line) => String::from_utf8(line).unwrap(),
            })
            .collect();
        assert_eq!(read, ["short\r", "too long", "next", "last"]);
    }

    #[test]
    fn what_is_cut_does_not_depend_on_how_it_comes() {
        let text = b"{\"a\":1}\n\n{\"b\":2}\nxxxxxxxxxxxxxxxxxxxxx\n{\"c\":3}";
        let cut = |size: usize| {
            let mut cutter = Cutter::new(10);
            let mut lines = Vec::new();
            for part in text.chunks(size) {
                cutter.push(part);
                lines.extend(std::iter::from_fn(|| cutter.next()));
            }
            lines.extend(cutter.end());
            lines
        };
        let whole = cut(text.len());
        assert_eq!(whole.len(), 4);
        for size in 1..text.len() {
            assert_eq!(cut(size), whole, "in parts of {size}");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_pipe_is_read_without_a_thread_and_a_file_by_one() {
        use std::io::{Seek as _, Write as _};

        let (input, mut to) = io::pipe().unwrap();
        let mut lines = Lines::new(input, 1000).unwrap();
        assert!(matches!(lines, Lines::Asked(_)));
        to.write_all(b"one\ntw").unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap(), Line::Message(b"one".to_vec()));
        to.write_all(b"o\nthree").unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap(), Line::Message(b"two".to_vec()));
        drop(to);
        assert_eq!(lines.next().await.unwrap().unwrap(), Line::Message(b"three".to_vec()));
        assert!(lines.next().await.is_none());

        let (input, mut to) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut lines = Lines::new(input, 1000).unwrap();
        assert!(matches!(lines, Lines::Asked(_)));
        to.write_all(b"one\n").unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap(), Line::Message(b"one".to_vec()));

        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"one\ntwo").unwrap();
        file.rewind().unwrap();
        let mut lines = Lines::new(file, 1000).unwrap();
        assert!(matches!(lines, Lines::Waited(..)));
        assert_eq!(lines.next().await.unwrap().unwrap(), Line::Message(b"one".to_vec()));
        assert_eq!(lines.next().await.unwrap().unwrap(), Line::Message(b"two".to_vec()));
        assert!(lines.next().await.is_none());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn more_than_is_read_at_once_is_read_to_its_end() {
        use std::io::Write as _;

        let (input, mut to) = io::pipe().unwrap();
        let mut lines = Lines::new(input, 1 << 20).unwrap();
        let large = "x".repeat(3 * CHUNK);
        let sent = large.clone();
        let writing = std::thread::spawn(move || {
            writeln!(to, "{sent}").unwrap();
            to
        });
        assert_eq!(lines.next().await.unwrap().unwrap(), Line::Message(large.into_bytes()));
        let mut to = writing.join().unwrap();
        to.write_all(b"next\n").unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap(), Line::Message(b"next".to_vec()));
    }
}
