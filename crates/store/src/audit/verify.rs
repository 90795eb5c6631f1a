//! Holding the whole chain against itself.

use std::io::{BufRead as _, BufReader, Read as _};

use strongroom_model::audit::verify::{Report, Verifier};
use strongroom_seal::{FileError, SecureDir};

use super::segment;
use super::sink::LOCK;

/// What a verification of a directory came to.
#[derive(Clone, Debug)]
pub struct Verified {
    /// How many segments there are.
    pub segments: u64,
    /// What was found in them.
    pub report: Report,
}

/// Verifies every record in `dir` that is there now. Writers are held up only for the moment in
/// which the end is noted.
pub fn verify(dir: &SecureDir) -> Result<Verified, FileError> {
    let (names, newest) = noted(dir)?;
    let mut verifier = Verifier::new();
    for (place, name) in (1..).zip(&names) {
        verifier.segment(name);
        let most = if place == names.len() { newest } else { u64::MAX };
        let mut lines = BufReader::new(dir.open_file(name)?.take(most));
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).map_err(|source| io(dir, name, source))? > 0 {
            verifier.line(&line);
            line.clear();
        }
    }
    Ok(Verified { segments: names.len() as u64, report: verifier.finish() })
}

/// The segments, and the size of the newest: taken while nobody writes, so that no line is half
/// there.
fn noted(dir: &SecureDir) -> Result<(Vec<String>, u64), FileError> {
    let _turn = dir.lock(LOCK)?;
    let names = segment::all(dir)?;
    let size = match names.last() {
        Some(newest) => {
            let metadata = dir.open_file(newest)?.metadata();
            metadata.map_err(|source| io(dir, newest, source))?.len()
        }
        None => 0,
    };
    Ok((names, size))
}

fn io(dir: &SecureDir, name: &str, source: std::io::Error) -> FileError {
    FileError::Io { path: dir.path().join(name), source }
}
