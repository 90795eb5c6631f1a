//! The cache: one sealed file with the secrets that were resolved (decision 3).
//!
//! `secrets.enc` is a short header and one seal. Each entry's reference, value, age and lifetime are
//! inside it, as are the latest time that was ever seen and a number that grows with each write: no
//! part can be changed, taken out or put together with a part of another state. A whole older file
//! in its place is the one thing that cannot be told without a second place that nobody can set
//! back; the lifetimes inside the seal bound what it is good for.
//!
//! `secrets.meta` beside it is for people. Nothing reads it.

pub(crate) mod body;
mod meta;
mod scope;
mod sealed;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use strongroom_model::freshness::{Freshness, Outcome, Use};
use strongroom_model::reference::SecretRef;
use strongroom_model::secret::Secret;
use strongroom_seal::{FileError, Key, MachineIdError, MachineKeyError, SecureDir};

use body::{Body, New, length, nanos};

pub(crate) use body::Entry;

pub use scope::Scope;
pub use sealed::Damage;

/// The sealed file.
pub const FILE: &str = "secrets.enc";
/// What people may read about it.
pub const META: &str = "secrets.meta";
/// What was in its place and could not be used: the last one.
pub const BAD: &str = "secrets.enc.bad";

/// The largest file that is read or written.
const LARGEST: usize = 64 << 20;

/// Makes the key of the cache, when it is first needed.
pub type KeySource = Box<dyn Fn() -> Result<Key, NoKey> + Send + Sync>;

/// There is no key for the cache (decision 4: nothing falls back, nothing is made anew).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NoKey {
    /// Why.
    pub why: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// What is wrong with the cache, and what was done about it. Secrets are supplied all the same,
/// unless there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheProblem {
    /// The file is not one that this program sealed here. Nothing in it was used.
    #[error("the cache `{}` cannot be used: {damage}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
        /// Where it is now, if it was moved away.
        kept: Option<PathBuf>,
        /// Whether a new one has been written in its place.
        healed: bool,
    },
    /// Somebody else could have read or written it. It is not used and not replaced.
    #[error(transparent)]
    Unsafe(FileError),
    /// It is there and cannot be read.
    #[error("the cache cannot be read")]
    Unreadable(#[source] FileError),
    /// What was fetched could not be kept.
    #[error("the cache cannot be written")]
    Unwritable(#[source] FileError),
    /// There would be more in it than is read.
    #[error("the cache would be larger than 64 MiB")]
    Full,
    /// Another process is at it, and did not end in time.
    #[error("another process is changing the cache")]
    Busy,
    /// It cannot be sealed or opened, because there is no key.
    #[error("the cache has no key")]
    NoKey(#[source] NoKey),
}

/// The cache of one scope.
pub(crate) struct Cache {
    scope: Scope,
    source: KeySource,
    key: OnceLock<Key>,
}

/// What the cache holds, opened.
#[derive(Default)]
pub(crate) struct Kept(Option<Body>);

/// What becomes of an entry.
pub(crate) enum Change<'a> {
    /// It is put in the place of what was there.
    Put {
        /// The value.
        value: &'a Secret,
        /// When it was asked for.
        fetched_at: SystemTime,
        /// How long it is good.
        ttl: Duration,
    },
    /// It is taken out.
    Remove,
}

impl Cache {
    pub(crate) fn new(scope: Scope, source: KeySource) -> Self {
        Self { scope, source, key: OnceLock::new() }
    }

    /// What is in the cache in `dir`; nothing where there is no file.
    pub(crate) fn read(&self, dir: &SecureDir) -> Result<Kept, CacheProblem> {
        let bytes = match dir.read(FILE, LARGEST) {
            Ok(bytes) => bytes,
            Err(FileError::Missing { .. }) => return Ok(Kept::default()),
            Err(FileError::Large { .. }) => return Err(damaged(dir, Damage::Foreign)),
            Err(error) => return Err(not_read(error)),
        };
        let opened = sealed::open(self.key()?, &self.scope, &bytes);
        match opened.and_then(|plain| Body::parse(plain).ok_or(Damage::Body)) {
            Ok(body) => Ok(Kept(Some(body))),
            Err(damage) => Err(damaged(dir, damage)),
        }
    }

    /// Writes what is in `kept` and `changes`, in the order of their references, at `now`. What
    /// `spent` says yes to is left out.
    ///
    /// Where the clock stands before a time that was seen already, nobody knows how old the entries
    /// are: only what has just been fetched stays.
    pub(crate) fn write(
        &self,
        dir: &SecureDir,
        kept: &Kept,
        changes: &[(&SecretRef, Change<'_>)],
        now: SystemTime,
        spent: &dyn Fn(&Entry<'_>) -> bool,
    ) -> Result<(), CacheProblem> {
        let key = self.key()?;
        let went_back = kept.is_from_the_future(now);
        let replaced: BTreeSet<&str> =
            changes.iter().map(|(reference, _)| reference.as_str()).collect();
        let stays =
            |entry: &Entry<'_>| !went_back && !spent(entry) && !replaced.contains(entry.reference);
        let old = kept.entries().filter(stays).map(|entry| New {
            reference: entry.reference,
            fetched_at: nanos(entry.fetched_at),
            ttl: length(entry.ttl),
            value: entry.value(),
        });
        let new = changes.iter().filter_map(|(reference, change)| match change {
            Change::Put { value, fetched_at, ttl } => Some(New {
                reference: reference.as_str(),
                fetched_at: nanos(*fetched_at),
                ttl: length(*ttl),
                value: value.expose(),
            }),
            Change::Remove => None,
        });
        let mut entries: Vec<New<'_>> = old.chain(new).collect();
        entries.sort_unstable_by_key(|entry| entry.reference);
        if body::size(&entries) > LARGEST - sealed::OVERHEAD {
            return Err(CacheProblem::Full);
        }
        let generation = kept.generation() + 1;
        let plain = body::encode(nanos(now), generation, &entries);
        let bytes = sealed::seal(key, &self.scope, &plain).map_err(|error| {
            let source = std::io::Error::other(error);
            CacheProblem::Unwritable(FileError::Io { path: dir.path().join(FILE), source })
        })?;
        dir.write_atomic(FILE, &bytes).map_err(not_written)?;
        // For people: that it is missing or old breaks nothing.
        let text = meta::text(&self.scope, generation, now, &entries, &bytes);
        drop(dir.write_atomic(META, text.as_bytes()));
        Ok(())
    }

    /// Moves a file that cannot be used out of the way; one such file is kept.
    pub(crate) fn set_aside(dir: &SecureDir, problem: &mut CacheProblem) {
        if let CacheProblem::Damaged { kept, .. } = problem
            && dir.rename(FILE, BAD).is_ok()
        {
            *kept = Some(dir.path().join(BAD));
        }
    }

    /// The key, without which nothing may be asked for that would be kept (decision 4).
    pub(crate) fn key(&self) -> Result<&Key, CacheProblem> {
        if self.key.get().is_none() {
            let key = (self.source)().map_err(CacheProblem::NoKey)?;
            // Another thread may have been faster, with the same key.
            drop(self.key.set(key));
        }
        Ok(self.key.get().expect("it has just been set"))
    }
}

impl Kept {
    /// What the entry at `reference` is good for. None is as good as one that has expired.
    pub(crate) fn judge(
        &self,
        reference: &SecretRef,
        freshness: Freshness,
        now: SystemTime,
        outcome: Outcome,
    ) -> Use {
        match self.find(reference) {
            Some(entry) if !self.is_from_the_future(now) => entry.judge(freshness, now, outcome),
            _ => Use::Expired,
        }
    }

    /// The entry at `reference`.
    pub(crate) fn find(&self, reference: &SecretRef) -> Option<Entry<'_>> {
        self.0.as_ref()?.find(reference.as_str())
    }

    /// Every entry, in the order of their references.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.0.iter().flat_map(Body::entries)
    }

    /// Whether the clock stands before a time that was seen when this was written.
    pub(crate) fn is_from_the_future(&self, now: SystemTime) -> bool {
        self.0.as_ref().is_some_and(|body| nanos(now) < body.latest)
    }

    fn generation(&self) -> u64 {
        self.0.as_ref().map_or(0, |body| body.generation)
    }
}

impl CacheProblem {
    /// The stable name in `--json` answers, status and audit.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Damaged { .. } | Self::Unsafe(_) => "integrity",
            Self::Unreadable(_) => "unreadable",
            Self::Unwritable(_) | Self::Full => "unwritable",
            Self::Busy => "busy",
            Self::NoKey(_) => "no_key",
        }
    }

    /// The file that it is about, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Damaged { path, .. } => Some(path),
            Self::Unsafe(error) | Self::Unreadable(error) | Self::Unwritable(error) => {
                Some(error.path())
            }
            Self::Full | Self::Busy | Self::NoKey(_) => None,
        }
    }

    /// What was done about it, or what to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Damaged { kept: Some(kept), healed, .. } => {
                let kept = kept.display();
                Some(if *healed {
                    format!("it was fetched anew; the old file is kept as `{kept}`")
                } else {
                    format!("the old file is kept as `{kept}`; run `strongroom secrets refresh`")
                })
            }
            Self::Damaged { healed: true, .. } => Some("it was fetched anew".to_owned()),
            Self::Damaged { .. } => Some("run `strongroom secrets refresh`".to_owned()),
            Self::Unsafe(error) => error.hint(),
            Self::Unreadable(_) | Self::Unwritable(_) => {
                Some("run `strongroom doctor`; until then each start asks the providers".to_owned())
            }
            Self::Full => Some(
                "take references that are large out of it: `delivery = \"runtime\"`".to_owned(),
            ),
            Self::Busy => Some("try again in a moment".to_owned()),
            Self::NoKey(error) => error.fix.clone(),
        }
    }
}

impl From<MachineKeyError> for NoKey {
    fn from(error: MachineKeyError) -> Self {
        Self { why: error.to_string(), fix: error.hint() }
    }
}

impl From<MachineIdError> for NoKey {
    fn from(error: MachineIdError) -> Self {
        Self { why: error.to_string(), fix: error.hint().map(str::to_owned) }
    }
}

fn damaged(dir: &SecureDir, damage: Damage) -> CacheProblem {
    CacheProblem::Damaged { path: dir.path().join(FILE), damage, kept: None, healed: false }
}

/// Why the file, or its directory, was not read.
pub(crate) fn not_read(error: FileError) -> CacheProblem {
    match error {
        FileError::Unsafe { .. } => CacheProblem::Unsafe(error),
        other => CacheProblem::Unreadable(other),
    }
}

/// Why the file, or its directory, was not written.
pub(crate) fn not_written(error: FileError) -> CacheProblem {
    match error {
        FileError::Unsafe { .. } => CacheProblem::Unsafe(error),
        other => CacheProblem::Unwritable(other),
    }
}
