//! A question that nobody waits for any more is not asked any longer.

/// Ends this process, as if the window had been closed, once whoever reads its answers is gone.
pub(crate) fn end_with_the_reader() {
    #[cfg(unix)]
    std::thread::spawn(|| {
        if unix::wait() {
            end();
        }
    });
}

#[cfg(unix)]
#[expect(clippy::exit, reason = "there is nobody to return to, and the desktop has no say in it")]
fn end() {
    std::process::exit(1);
}

#[cfg(unix)]
mod unix {
    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::Errno;

    /// Waits until the other end of stdout is closed. Without one (a file, a terminal), forever.
    pub(super) fn wait() -> bool {
        let stdout = rustix::stdio::stdout();
        let mut descriptors = [PollFd::new(&stdout, PollFlags::empty())];
        loop {
            match poll(&mut descriptors, None) {
                Ok(_) => {
                    let gone = PollFlags::ERR | PollFlags::HUP;
                    return descriptors[0].revents().intersects(gone);
                }
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}
