//! What a session is sent as events, kept for a while, so that a client whose connection broke can go on
//! where it was (2025-11-25, "Resumability and Redelivery").
//!
//! A tape holds so many events and bytes; what is older is gone. A reader that is slow misses what has gone
//! meanwhile, and nobody waits for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

/// Events and bytes of one tape. One event is kept, however large.
const EVENTS: usize = 256;
const BYTES: usize = 1 << 20;

/// Tapes of one session, and how long one is kept that nothing is added to any more.
const TAPES: usize = 32;
const KEPT: Duration = Duration::from_mins(1);

/// How soon a client is asked to come back.
const RETRY_MS: u64 = 500;

/// One stream of events.
pub(crate) struct Tape {
    number: u64,
    inner: Mutex<Inner>,
    /// Counts what has happened, to wake readers.
    moved: watch::Sender<u64>,
}

struct Inner {
    events: VecDeque<(u64, Bytes)>,
    bytes: usize,
    next: u64,
    ended: Option<Instant>,
    /// The last reader; an older one ends.
    reader: u64,
    /// Whether it is there.
    read: bool,
}

/// Reads a tape from some event on. Dropped, nobody reads.
pub(crate) struct Reader {
    tape: Arc<Tape>,
    turn: u64,
    at: u64,
    moved: watch::Receiver<u64>,
}

impl Tape {
    fn new(number: u64) -> Arc<Self> {
        let inner = Inner {
            events: VecDeque::new(),
            bytes: 0,
            next: 0,
            ended: None,
            reader: 0,
            read: false,
        };
        Arc::new(Self { number, inner: Mutex::new(inner), moved: watch::Sender::new(0) })
    }

    /// The first event: it says nothing but where to go on, and how soon.
    pub(crate) fn begin(&self) {
        let retry = format!("\nretry: {RETRY_MS}\ndata: \n\n");
        self.push(|id| Bytes::from(format!("id: {id}{retry}")));
    }

    /// Adds a message, which stands on one line.
    pub(crate) fn message(&self, message: &[u8]) {
        self.push(|id| {
            let head = format!("event: message\nid: {id}\ndata: ");
            [head.as_bytes(), message, b"\n\n"].concat().into()
        });
    }

    /// Nothing more is added.
    pub(crate) fn end(&self) {
        let mut inner = self.lock();
        inner.ended.get_or_insert_with(Instant::now);
        drop(inner);
        self.moved.send_modify(|n| *n += 1);
    }

    /// Reads from the event after `after` on; without one, what is added from now on. Whoever has read it
    /// until now does no more.
    pub(crate) fn read(self: &Arc<Self>, after: Option<u64>) -> Reader {
        let mut inner = self.lock();
        inner.reader += 1;
        inner.read = true;
        let (turn, at) = (inner.reader, after.map_or(inner.next, |after| after.saturating_add(1)));
        drop(inner);
        self.moved.send_modify(|n| *n += 1);
        Reader { tape: Arc::clone(self), turn, at, moved: self.moved.subscribe() }
    }

    /// Waits until nobody has read it for `patience`.
    pub(crate) async fn deserted(&self, patience: Duration) {
        let mut moved = self.moved.subscribe();
        loop {
            moved.borrow_and_update();
            let alone = !self.lock().read;
            // The sender is in `self`.
            let changed = moved.changed();
            if alone {
                if tokio::time::timeout(patience, changed).await.is_err() && !self.lock().read {
                    return;
                }
            } else {
                let _ = changed.await;
            }
        }
    }

    fn push(&self, event: impl FnOnce(&str) -> Bytes) {
        let mut inner = self.lock();
        let at = inner.next;
        let event = event(&format!("{}-{at}", self.number));
        inner.next += 1;
        inner.bytes += event.len();
        inner.events.push_back((at, event));
        while inner.events.len() > 1 && (inner.events.len() > EVENTS || inner.bytes > BYTES) {
            if let Some((_, gone)) = inner.events.pop_front() {
                inner.bytes -= gone.len();
            }
        }
        drop(inner);
        self.moved.send_modify(|n| *n += 1);
    }

    fn is_over(&self) -> bool {
        self.lock().ended.is_some_and(|ended| ended.elapsed() >= KEPT)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// The next event; `None`: there will be none, or somebody else reads now.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped before it is ready.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.moved.borrow_and_update();
            {
                let inner = self.tape.lock();
                if inner.reader != self.turn {
                    return None;
                }
                if let Some((at, event)) = inner.events.iter().find(|(at, _)| *at >= self.at) {
                    self.at = at + 1;
                    return Some(event.clone());
                }
                if inner.ended.is_some() {
                    return None;
                }
            }
            self.moved.changed().await.ok()?;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut inner = self.tape.lock();
        if inner.reader == self.turn {
            inner.read = false;
        }
        drop(inner);
        self.tape.moved.send_modify(|n| *n += 1);
    }
}

/// The tapes of one session.
#[derive(Default)]
pub(crate) struct Tapes {
    all: Mutex<Vec<Arc<Tape>>>,
    next: AtomicU64,
    /// What belongs to no request.
    standing: Mutex<Option<Arc<Tape>>>,
}

impl Tapes {
    /// A new one, for one request.
    pub(crate) fn add(&self) -> Arc<Tape> {
        let tape = Tape::new(self.next.fetch_add(1, Ordering::Relaxed) + 1);
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|tape| !tape.is_over());
        if all.len() >= TAPES {
            all.remove(0);
        }
        all.push(Arc::clone(&tape));
        tape
    }

    /// What belongs to no request, and whether it has just been made.
    pub(crate) fn standing(&self) -> (Arc<Tape>, bool) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tape) = &*standing
            && tape.lock().ended.is_none()
        {
            return (Arc::clone(tape), false);
        }
        let tape = self.add();
        *standing = Some(Arc::clone(&tape));
        (tape, true)
    }

    /// Where the event `id` stands.
    pub(crate) fn find(&self, id: &str) -> Option<(Arc<Tape>, u64)> {
        let (number, at) = id.split_once('-')?;
        let (number, at): (u64, u64) = (number.parse().ok()?, at.parse().ok()?);
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let tape = all.iter().find(|tape| tape.number == number && !tape.is_over())?;
        Some((Arc::clone(tape), at))
    }

    /// Ends all of them.
    pub(crate) fn end(&self) {
        for tape in self.all.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            tape.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(reader: &mut Reader) -> String {
        String::from_utf8(reader.next().await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_goes_on_where_another_was_and_the_older_one_ends() {
        let tapes = Tapes::default();
        let tape = tapes.add();
        let mut first = tape.read(None);
        tape.begin();
        tape.message(b"{}");
        assert_eq!(text(&mut first).await, "id: 1-0\nretry: 500\ndata: \n\n");
        assert_eq!(text(&mut first).await, "event: message\nid: 1-1\ndata: {}\n\n");
        let (found, at) = tapes.find("1-0").unwrap();
        let mut second = found.read(Some(at));
        assert_eq!(first.next().await, None);
        assert!(text(&mut second).await.contains("id: 1-1"));
        tape.message(b"[]");
        tape.end();
        assert!(text(&mut second).await.contains("id: 1-2"));
        assert_eq!(second.next().await, None);
        for unknown in ["2-0", "1", "x-1", "", "1-x"] {
            assert!(tapes.find(unknown).is_none(), "{unknown}");
        }
        tokio::time::advance(KEPT).await;
        assert!(tapes.find("1-0").is_none(), "it is not kept for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_misses_what_is_old_and_nobody_keeps_more_than_the_cap() {
        let tape = Tapes::default().add();
        let mut reader = tape.read(None);
        for _ in 0..EVENTS + 5 {
            tape.message(b"{}");
        }
        assert!(text(&mut reader).await.contains("id: 1-5\n"));
        tape.message(&vec![b'x'; 2 * BYTES]);
        assert!(text(&mut reader).await.contains(&format!("id: 1-{}\n", EVENTS + 5)));
        assert_eq!(tape.lock().events.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_tape_is_deserted_when_nobody_has_read_it_for_a_while() {
        let tape = Tapes::default().add();
        let reader = tape.read(None);
        let second = Duration::from_secs(1);
        let left = tokio::time::timeout(10 * second, tape.deserted(second));
        assert!(left.await.is_err(), "somebody reads");
        drop(reader);
        tape.deserted(second).await;
    }
}
