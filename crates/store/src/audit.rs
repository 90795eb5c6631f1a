//! The audit on disk: one chain of records, in one file for each day.
//!
//! Every process of the user appends to the same chain, under a file lock. A record is one line,
//! written in one go; it is with the operating system when `append` returns, so a killed process
//! loses nothing and a power failure may lose the last moments. A line that a killed writer left
//! unfinished is closed by the next one, and a `torn` record says so.
//!
//! A segment is named by the day, in UTC, on which it was begun. Where the clock goes back the
//! newest segment is written on, so that the order of segments is the order of the chain.
//!
//! A segment begins with a signed checkpoint of the one before it; `DAY.checkpoints` beside it has
//! those that were made while it was written. Segments that are not kept any longer are removed whole
//! when a new one begins, and a signed record says up to which record.

mod commit;
mod end;
mod follow;
mod keep;
mod segment;
mod sink;
mod verify;
mod voucher;

use strongroom_seal::{FileError, SecureDir};

pub use follow::{Filter, Reader, Record};
pub use keep::Keep;
pub use sink::{Durability, FileSink, Settings, Signer};
pub use verify::{Trust, Verified, verify, vouch};

/// The records in `dir`, oldest first: those that are there now, and, asked again after it has
/// ended, those that came since.
pub fn read(dir: SecureDir, filter: Filter) -> Reader {
    Reader::from_start(dir, filter)
}

/// The records that come to `dir` from now on. The iterator ends when there are no more for the
/// moment; ask it again.
pub fn follow(dir: SecureDir, filter: Filter) -> Result<Reader, FileError> {
    Reader::from_end(dir, filter)
}
