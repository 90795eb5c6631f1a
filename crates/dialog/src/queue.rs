//! The line in which the questions of one user stand, whichever process asks them: one is shown at a
//! time, in the order in which they were asked.
//!
//! A question takes a ticket: a file with the next number, which its process holds locked for as long as
//! the question stands in line or is shown. It is its turn when no lower ticket is held. A lock goes with
//! its process, however that ends, so a question of a process that was killed is passed over.
//!
//! A process that is stopped keeps its place, and what it shows stays on the screen: nobody is shown a second window
//! beside it. Whoever waits behind it learns that the line is held, and by whom.

use std::path::Path;
use std::thread;
use std::time::Duration;

use strongroom_seal::{FileError, Guard, SecureDir};

/// Held for as long as it takes to take a ticket.
const COUNTER: &str = "counter.lock";

/// How often it is tried, and how long is waited in between.
const TRIES: u32 = 50;
const MOMENT: Duration = Duration::from_millis(1);

const SUFFIX: &str = ".ticket";

/// The line of one user.
#[derive(Debug)]
pub struct Line(SecureDir);

/// A place in the line. Dropped, it is free for those behind.
#[derive(Debug)]
pub struct Ticket {
    line: Line,
    name: String,
    number: u64,
    _held: Guard,
}

impl Line {
    /// The line in `folder`, which is made where it is missing.
    pub fn open(folder: &Path) -> Result<Self, FileError> {
        SecureDir::create(folder).map(Self)
    }

    /// The last place in the line; `None` where another process takes one just now: try again.
    pub fn enter(self) -> Result<Result<Ticket, Self>, FileError> {
        let Some(_counter) = self.counter()? else { return Ok(Err(self)) };
        let mut last = 0;
        for (number, name) in self.tickets()? {
            // Whoever held it is gone. Below the lowest of those that are held no number is given
            // again, so that nobody is passed.
            if self.0.try_lock(&name)?.is_some() {
                self.0.remove(&name)?;
            } else {
                last = number;
            }
        }
        let number = last + 1;
        let name = format!("{number:016}-{}{SUFFIX}", std::process::id());
        match self.0.try_lock(&name)? {
            Some(held) => Ok(Ok(Ticket { line: self, name, number, _held: held })),
            None => Ok(Err(self)),
        }
    }

    /// The right to take a ticket. A child that was forked a moment ago has a copy of it until it becomes its
    /// program: who asks next must not lose their place to who asks after them by that.
    fn counter(&self) -> Result<Option<Guard>, FileError> {
        for _ in 0..TRIES {
            if let Some(counter) = self.0.try_lock(COUNTER)? {
                return Ok(Some(counter));
            }
            thread::sleep(MOMENT);
        }
        Ok(None)
    }

    /// All tickets, the lowest first.
    fn tickets(&self) -> Result<Vec<(u64, String)>, FileError> {
        let number = |name: &String| parts(name)?.0.parse().ok();
        let names = self.0.names()?.into_iter();
        let mut tickets: Vec<_> = names.filter_map(|name| Some((number(&name)?, name))).collect();
        tickets.sort_unstable();
        Ok(tickets)
    }
}

impl Ticket {
    /// Whether it is this one's turn.
    pub fn is_next(&self) -> Result<bool, FileError> {
        Ok(self.first()?.is_none())
    }

    /// The process whose question is the first of those before this one, where that can be told.
    pub fn held_by(&self) -> Option<u32> {
        parts(&self.first().ok()??)?.1.parse().ok()
    }

    /// The first ticket before this one that is held. Those before it that are not are removed.
    fn first(&self) -> Result<Option<String>, FileError> {
        for (number, name) in self.line.tickets()? {
            if number >= self.number {
                break;
            }
            if self.line.0.try_lock(&name)?.is_none() {
                return Ok(Some(name));
            }
            self.line.0.remove(&name)?;
        }
        Ok(None)
    }

    /// Leaves the line, and nothing behind.
    pub fn leave(self) -> Result<(), FileError> {
        self.line.0.remove(&self.name).map(drop)
    }
}

/// The number of a ticket, and the process that took it.
fn parts(name: &str) -> Option<(&str, &str)> {
    name.strip_suffix(SUFFIX)?.split_once('-')
}
