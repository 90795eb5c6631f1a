//! A way to a Postgres that can lose its answers, or be cut.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// From when this is sent, answers are lost, until the way is mended for good.
pub(crate) const LOSES: &str = "loses-the-answer";

/// What becomes of what is sent.
#[derive(Default)]
pub(crate) struct Way {
    /// Answers are lost.
    is_deaf: AtomicBool,
    is_cut: AtomicBool,
    is_mended: AtomicBool,
    /// How often a connection was tried while it was cut.
    pub(crate) refused: AtomicU32,
    open: Mutex<Vec<UnixStream>>,
}

impl Way {
    /// Leads from a socket in `here` to the one of the server in `there`.
    pub(crate) fn new(here: &Path, there: &Path) -> Arc<Self> {
        const SOCKET: &str = ".s.PGSQL.5432";
        let way = Arc::new(Self::default());
        let listener = UnixListener::bind(here.join(SOCKET)).unwrap();
        let (held, there) = (Arc::clone(&way), there.join(SOCKET));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if held.is_cut.load(Ordering::SeqCst) {
                    held.refused.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                // A server that is not there is one that ends the conversation.
                drop(held.lead(&client, &there));
            }
        });
        way
    }

    /// Ends all connections, and lets none begin until it is [mended](Self::mend).
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            drop(stream.shutdown(std::net::Shutdown::Both));
        }
    }

    pub(crate) fn mend(&self) {
        self.is_mended.store(true, Ordering::SeqCst);
        self.is_deaf.store(false, Ordering::SeqCst);
        self.is_cut.store(false, Ordering::SeqCst);
    }

    fn lead(self: &Arc<Self>, client: &UnixStream, there: &Path) -> io::Result<()> {
        let server = UnixStream::connect(there)?;
        let pairs = [
            (client.try_clone()?, server.try_clone()?, false),
            (server.try_clone()?, client.try_clone()?, true),
        ];
        self.open.lock().unwrap().extend([client.try_clone()?, server]);
        for (from, to, is_answer) in pairs {
            let way = Arc::clone(self);
            thread::spawn(move || way.carry(from, to, is_answer));
        }
        Ok(())
    }

    fn carry(&self, mut from: UnixStream, mut to: UnixStream, is_answer: bool) {
        let mut buffer = [0; 8192];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let has = |words: &str| {
                buffer[..read].windows(words.len()).any(|part| part == words.as_bytes())
            };
            if !is_answer && has(LOSES) && !self.is_mended.load(Ordering::SeqCst) {
                self.is_deaf.store(true, Ordering::SeqCst);
            }
            let is_lost = is_answer && self.is_deaf.load(Ordering::SeqCst);
            if !is_lost && to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        drop(to.shutdown(std::net::Shutdown::Both));
    }
}
