//! The client at the other end of stdio, and whether it is still there.

use std::fs::File;
use std::io::{self, ErrorKind, Read};

/// What the client says, as the system gives it. Where it has gone altogether, rather than said all it had
/// to say, that is an error: nobody waits for what its calls come to.
pub(super) struct Stdin(File);

impl Stdin {
    /// A way of our own to what we were started with.
    #[cfg(unix)]
    pub(super) fn open() -> io::Result<Self> {
        use std::os::fd::AsFd as _;

        Ok(Self(io::stdin().as_fd().try_clone_to_owned()?.into()))
    }

    /// A way of our own to what we were started with.
    #[cfg(windows)]
    pub(super) fn open() -> io::Result<Self> {
        use std::os::windows::io::AsHandle as _;

        Ok(Self(io::stdin().as_handle().try_clone_to_owned()?.into()))
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Stdin {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() && hears_nothing() => Err(ErrorKind::BrokenPipe.into()),
            count => Ok(count),
        }
    }
}

/// A client that goes away ends what it began; it is no failure of ours.
pub(super) fn gone_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

/// Whether nobody reads what we write any more.
#[cfg(unix)]
fn hears_nothing() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    // A process that ends closes one end after the other.
    let soon = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    let stdout = io::stdout();
    let mut ends = [PollFd::new(&stdout, PollFlags::empty())];
    let told = poll(&mut ends, Some(&soon)).is_ok_and(|count| count > 0);
    told && ends[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// It is not known here: calls go on for as long as they may when a client has said all.
#[cfg(windows)]
fn hears_nothing() -> bool {
    false
}
