//! Holding the whole chain against itself, and against what vouches for it.

use std::io::{BufRead as _, BufReader, Read as _};

use strongroom_model::audit::chain::Hash;
use strongroom_model::audit::checkpoint::{Octets, Says};
use strongroom_model::audit::verify::{Expect, Report, Verifier};
use strongroom_seal::{FileError, SecureDir, SigningKey};

use super::end::Tail;
use super::sink::LOCK;
use super::{segment, voucher};

/// What a verification of a directory came to.
#[derive(Clone, Debug)]
pub struct Verified {
    /// How many segments there are.
    pub segments: u64,
    /// What was found in them.
    pub report: Report,
}

/// What a verification goes by, beside the files themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trust {
    /// Whose checkpoints count.
    pub key: Option<Octets<32>>,
    /// The hash of a record that was kept elsewhere.
    pub head: Option<Hash>,
}

/// Verifies every record in `dir` that is there now. Writers are held up only for the moment in
/// which the end is noted.
pub fn verify(dir: &SecureDir, trust: &Trust) -> Result<Verified, FileError> {
    let Noted { names, newest, beside } = noted(dir)?;
    let Trust { key, head } = *trust;
    let mut verifier = Verifier::expecting(Expect { key, beside, head });
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

/// Vouches with `key` for the chain as it is now; says up to which record. To be called when it was
/// found to be whole.
pub fn vouch(dir: &SecureDir, key: &SigningKey) -> Result<Option<u64>, FileError> {
    let (name, head) = {
        let _turn = dir.lock(LOCK)?;
        let Some(name) = segment::all(dir)?.pop() else { return Ok(None) };
        let file = dir.open_file(&name)?;
        file.sync_data().map_err(|source| io(dir, &name, source))?;
        let head = Tail::read(&file).map_err(|source| io(dir, &name, source))?.head;
        (name, head)
    };
    let Some(head) = head else { return Ok(None) };
    let put = || match voucher::state(dir, Says::SoFar, &name, head)? {
        Some(statement) => {
            let last = statement.last;
            voucher::put(dir, &voucher::sign(key, statement))?;
            Ok(Some(last))
        }
        None => Ok(None),
    };
    put().map_err(|source| io(dir, &name, source))
}

struct Noted {
    names: Vec<String>,
    /// The size of the newest segment.
    newest: u64,
    beside: Vec<strongroom_model::audit::verify::Beside>,
}

/// What there is, taken while nobody writes, so that no line is half there.
fn noted(dir: &SecureDir) -> Result<Noted, FileError> {
    // First, as it may be of a later moment than what it vouches for, but not of an earlier one.
    let beside = voucher::beside(dir)?;
    let _turn = dir.lock(LOCK)?;
    let names = segment::all(dir)?;
    let newest = match names.last() {
        Some(newest) => {
            let metadata = dir.open_file(newest)?.metadata();
            metadata.map_err(|source| io(dir, newest, source))?.len()
        }
        None => 0,
    };
    Ok(Noted { names, newest, beside })
}

fn io(dir: &SecureDir, name: &str, source: std::io::Error) -> FileError {
    FileError::Io { path: dir.path().join(name), source }
}
