//! Making checkpoints, and the files that they stand in beside the chain.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};

use strongroom_model::audit::checkpoint::{Checkpoint, Octets, Says, Statement};
use strongroom_model::audit::verify::Beside;
use strongroom_seal::{FileError, SecureDir, SigningKey};

use super::end::{Head, first_of};
use super::segment;

/// The longest line that is read: a checkpoint has less than 500 bytes.
const LONGEST: u64 = 4 << 10;

/// `statement`, signed.
pub(super) fn sign(key: &SigningKey, statement: Statement) -> Checkpoint {
    let signature = Octets(key.sign(&statement.message()));
    Checkpoint { statement, key: Octets(key.public()), signature }
}

/// What can be said of the segment `name`, which ends in `head`; nothing where it has no record.
pub(super) fn state(
    dir: &SecureDir,
    says: Says,
    name: &str,
    head: Head,
) -> io::Result<Option<Statement>> {
    let last = head.next.saturating_sub(1);
    let first = first_of(dir, name)?.filter(|first| *first <= last);
    let segment = name.to_owned();
    Ok(first.map(|first| Statement { says, segment, first, last, head: head.hash }))
}

/// Puts a checkpoint beside the segment that it is about.
pub(super) fn put(dir: &SecureDir, checkpoint: &Checkpoint) -> io::Result<()> {
    let name = segment::beside(&checkpoint.statement.segment);
    let mut file = dir.append(&name).map_err(io::Error::other)?;
    let mut line = serde_json::to_vec(checkpoint)?;
    if !ends_whole(&mut file)? {
        line.insert(0, b'\n');
    }
    line.push(b'\n');
    file.write_all(&line)
}

/// Every checkpoint that stands beside the chain. What is none (a line that a power failure cut) is
/// passed over: it vouches for nothing.
pub(super) fn beside(dir: &SecureDir) -> Result<Vec<Beside>, FileError> {
    let mut all = Vec::new();
    for name in segment::all_beside(dir)? {
        let problem = |source| FileError::Io { path: dir.path().join(&name), source };
        let mut lines = BufReader::new(dir.open_file(&name)?);
        let (mut text, mut line) = (Vec::new(), 0);
        while (&mut lines).take(LONGEST).read_until(b'\n', &mut text).map_err(problem)? > 0 {
            line += 1;
            if let Ok(checkpoint) = serde_json::from_slice(&text) {
                all.push(Beside { file: name.as_str().into(), line, checkpoint });
            }
            text.clear();
        }
    }
    Ok(all)
}

/// Whether `file` ends with a line end, or has nothing in it.
fn ends_whole(file: &mut File) -> io::Result<bool> {
    let size = file.metadata()?.len();
    if size == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(size - 1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
