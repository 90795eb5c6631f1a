//! Whether a file is still the one that was read.

use std::fs::Metadata;
use std::path::Path;
use std::time::SystemTime;

/// What tells one state of a file from another, behind links; looking costs one `stat`. Every save of
/// ours is a new inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(Option<(u64, u64, u64, Option<SystemTime>)>);

impl Stamp {
    /// That of the file at `path`, which may be missing.
    pub fn of(path: &Path) -> Self {
        Self(path.metadata().ok().map(|metadata| {
            let (device, inode) = identity(&metadata);
            (device, inode, metadata.len(), metadata.modified().ok())
        }))
    }

    /// Whether there was a file.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}
