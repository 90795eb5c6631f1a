//! The folder of one run: a home, a place to work, a place for temporary files. It is removed with
//! all that is in it when the run is over.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use strongroom_model::code::{Code, Refusal};
use strongroom_seal::{SecureDir, hex, random};

/// No run is longer; what is older was left behind by a machine that lost its power.
const OLD: Duration = Duration::from_hours(24);

/// Where the folder of one run is, or will be.
#[derive(Clone, Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// A folder of its own under `ground`, which is not made yet.
    pub(super) fn under(ground: &Path) -> Result<Self, Refusal> {
        let mut name = [0; 8];
        random(&mut name).map_err(|_| unavailable())?;
        Ok(Self(ground.join(hex(&name))))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// `HOME`.
    pub(super) fn home(&self) -> PathBuf {
        self.0.join("home")
    }

    /// Where a program works that has no folder of its own.
    pub(super) fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// `TMPDIR`.
    pub(super) fn temporary(&self) -> PathBuf {
        self.0.join("tmp")
    }

    /// Where git's questions are answered.
    pub(super) fn door(&self) -> PathBuf {
        self.0.join("door")
    }

    /// Makes it, for this user alone; removes what nobody has removed for a day.
    pub(super) fn make(&self, now: SystemTime) -> Result<(), Refusal> {
        if let Some(ground) = self.0.parent() {
            SecureDir::create(ground).map_err(|_| unavailable())?;
            sweep(ground, now);
        }
        for folder in [self.0.clone(), self.home(), self.work(), self.temporary()] {
            SecureDir::create(folder).map_err(|_| unavailable())?;
        }
        Ok(())
    }

    /// Removes it.
    pub(super) fn remove(&self) {
        // The guard may have done so already.
        drop(fs::remove_dir_all(&self.0));
    }
}

fn sweep(ground: &Path, now: SystemTime) {
    for entry in fs::read_dir(ground).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|modified| now.duration_since(modified).ok());
        if age.is_some_and(|age| age > OLD) {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

fn unavailable() -> Refusal {
    Refusal::new(Code::UpstreamError, "there is no room for a folder to run the program in")
}
