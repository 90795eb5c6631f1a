//! Control groups of Linux (version 2): what a server and everything that it starts may use together.
//!
//! Limits of resources bound one process each; a group bounds all of them. There is one only where a part of
//! the tree was given to us: by a service manager that delegates (`Delegate=` of systemd), or in a container
//! with a tree of its own. Whoever runs the machine decides that, and nothing is taken.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::Limits;

/// Where we are ourselves: a group with groups in it has no processes of its own.
const OURS: &str = "strongroom.self";

/// What groups of servers begin with; the id of the process that made it follows.
const THEIRS: &str = "strongroom.server-";

/// What a group is bounded by.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// The part of the tree that is ours.
#[derive(Debug)]
pub struct Groups {
    root: PathBuf,
    made: AtomicU64,
}

/// One group. It goes with all that is still in it when this is dropped.
#[derive(Debug)]
pub struct Group(PathBuf);

/// There are no groups here, and why.
#[derive(Debug, thiserror::Error)]
pub enum NoGroups {
    /// The platform has none.
    #[error("control groups are Linux's")]
    Platform,
    /// There is no tree of version 2, or we have no place in it.
    #[error("this system has no control groups of version 2")]
    Version,
    /// Our place in the tree is somebody else's to divide.
    #[error("no control group was delegated to this process (`Delegate=yes` in its unit)")]
    NotDelegated,
    /// It was delegated without what would bound anything.
    #[error("its control group cannot bound memory and processes (`Delegate=memory pids`)")]
    Controllers,
    /// The system refused.
    #[error("its control group cannot be divided: {0}")]
    Io(io::Error),
}

impl From<io::Error> for NoGroups {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Groups {
    /// Takes over the part of the tree that was delegated to this process, which moves into a group of its own
    /// there. What an earlier process left behind is removed.
    ///
    /// # Errors
    ///
    /// There is none. Limits of resources hold all the same.
    pub fn take() -> Result<Self, NoGroups> {
        let Place { mount, ours: place } = platform::place()?;
        let root = if place.ends_with(OURS) { above(&place) } else { place.clone() };
        if !platform::is_delegated(&root, root == mount) {
            return Err(NoGroups::NotDelegated);
        }
        Self::within(root, &place)
    }

    /// Divides `root`, which is known to be ours, while this process stands at `place`.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn within(root: PathBuf, place: &Path) -> Result<Self, NoGroups> {
        let available = fs::read_to_string(root.join("cgroup.controllers"))?;
        let has = |wanted: &&str| available.split_ascii_whitespace().any(|one| one == *wanted);
        if !CONTROLLERS.iter().all(has) {
            return Err(NoGroups::Controllers);
        }
        if place == root {
            let ours = root.join(OURS);
            exists(fs::create_dir(&ours))?;
            enter(&ours)?;
        }
        fs::write(root.join("cgroup.subtree_control"), "+memory +pids")?;
        for entry in fs::read_dir(&root)?.flatten() {
            if entry
                .file_name()
                .to_str()
                .and_then(maker)
                .is_some_and(|pid| !platform::is_alive(pid))
            {
                // One that is still in use cannot be removed.
                drop(fs::remove_dir(entry.path()));
            }
        }
        Ok(Self { root, made: AtomicU64::new(0) })
    }

    /// A group for one server, which altogether has the memory and the processes of `limits`.
    ///
    /// # Errors
    ///
    /// The system refused, and there is none.
    pub fn group(&self, limits: &Limits) -> io::Result<Group> {
        let group = self.empty()?;
        group.bound("memory.max", limits.memory)?;
        group.bound("pids.max", limits.processes)?;
        // Not every kernel has these. Without them a server that is too large is slow before it is ended,
        // and ends in parts.
        drop(group.bound("memory.swap.max", 0));
        drop(group.bound("memory.oom.group", 1));
        Ok(group)
    }

    /// One that nobody else has: what is there already may be another's, and is left alone.
    fn empty(&self) -> io::Result<Group> {
        loop {
            let number = self.made.fetch_add(1, Ordering::Relaxed);
            let path = self.root.join(format!("{THEIRS}{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Group(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Group {
    /// Where it is in the tree.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn bound(&self, what: &str, most: u64) -> io::Result<()> {
        fs::write(self.0.join(what), most.to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What is in it has been ended by whoever started it, or is ended now.
        drop(fs::write(self.0.join("cgroup.kill"), "1"));
        for _ in 0..PATIENCE {
            if fs::remove_dir(&self.0).is_ok() || !self.0.exists() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// How often it is tried to remove a group whose last process is just going.
const PATIENCE: u32 = 40;

/// Moves this process into the group at `path`.
pub(crate) fn enter(path: &Path) -> io::Result<()> {
    fs::write(path.join("cgroup.procs"), "0")
}

fn above(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_owned()
}

fn exists(made: io::Result<()>) -> io::Result<()> {
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// The process that made the group of a server.
fn maker(name: &str) -> Option<u32> {
    name.strip_prefix(THEIRS)?.split('-').next()?.parse().ok()
}

/// The tree as the file system shows it.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// Its top, as far as this process sees it.
    mount: PathBuf,
    /// Where this process stands.
    ours: PathBuf,
}

/// What `mountinfo` and `cgroup`, the files of those names in `/proc/self`, say of the tree.
#[cfg_attr(
    all(not(target_os = "linux"), not(test)),
    expect(dead_code, reason = "no other platform has the tree")
)]
fn place(mountinfo: &str, cgroup: &str) -> Option<Place> {
    let ours = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    mountinfo.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut words = mount.split(' ').skip(3);
        let (root, point) = (words.next()?, words.next()?);
        let below = Path::new(ours).strip_prefix(root).ok()?;
        let ours = Path::new(point).join(below);
        kind.starts_with("cgroup2 ").then(|| Place { mount: point.into(), ours })
    })
}

#[cfg(target_os = "linux")]
mod platform {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use super::{NoGroups, Place};

    pub(super) fn place() -> Result<Place, NoGroups> {
        let read = |file| fs::read_to_string(file).map_err(|_| NoGroups::Version);
        let (mounts, ours) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
        super::place(&mounts, &ours).ok_or(NoGroups::Version)
    }

    /// A manager that delegates says so by an attribute. At the top of a tree there is none above us.
    pub(super) fn is_delegated(root: &Path, is_top: bool) -> bool {
        let says = |name| {
            let mut value = [0; 1];
            rustix::fs::getxattr(root, name, &mut value) == Ok(1) && value == *b"1"
        };
        let user = rustix::process::geteuid().as_raw();
        let is_ours = || fs::metadata(root).is_ok_and(|folder| folder.uid() == user);
        says("user.delegate") || says("trusted.delegate") || (is_top && is_ours())
    }

    pub(super) fn is_alive(pid: u32) -> bool {
        Path::new("/proc").join(pid.to_string()).exists()
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::path::Path;

    use super::{NoGroups, Place};

    pub(super) fn place() -> Result<Place, NoGroups> {
        Err(NoGroups::Platform)
    }

    pub(super) fn is_delegated(_: &Path, _: bool) -> bool {
        false
    }

    pub(super) fn is_alive(_: u32) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 28 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw
30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
31 28 0:27 /pod /mnt/pod rw - cgroup2 cgroup2 rw
";

    #[test]
    fn our_place_in_the_tree_is_found_by_where_the_tree_is_mounted() {
        let found = |mounts, ours| place(mounts, ours).map(|Place { mount, ours }| [mount, ours]);
        let here = |ours| found(MOUNTS, ours);
        let service = "1:name=x:/\n0::/system.slice/strongroom.service\n";
        let top = "/sys/fs/cgroup";
        let expected = [top.into(), "/sys/fs/cgroup/system.slice/strongroom.service".into()];
        assert_eq!(here(service), Some(expected));
        assert_eq!(here("0::/\n"), Some([top.into(), top.into()]));
        assert_eq!(here("4:memory:/x\n"), None);
        let part = MOUNTS.lines().last().unwrap();
        assert_eq!(found(part, "0::/pod/a"), Some(["/mnt/pod".into(), "/mnt/pod/a".into()]));
        assert_eq!(place(part, "0::/other"), None);
        assert_eq!(place("22 28 0:20 / /sys rw - sysfs sysfs rw", "0::/"), None);
    }

    /// A folder with the files that the kernel would have made, in which nothing is bounded.
    fn tree(controllers: &str) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        fs::write(tree.path().join("cgroup.controllers"), controllers).unwrap();
        tree
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn in_a_stand_in_for_the_tree_we_move_aside_and_each_server_is_bounded_as_a_whole() {
        let tree = tree("cpu io memory pids\n");
        let root = tree.path();
        let left = root.join(format!("{THEIRS}4194305-0"));
        fs::create_dir(&left).unwrap();
        let groups = Groups::within(root.to_owned(), root).unwrap();
        assert_eq!(text(&root.join(OURS).join("cgroup.procs")), "0");
        assert_eq!(text(&root.join("cgroup.subtree_control")), "+memory +pids");
        assert!(!left.exists(), "of a process that is gone");
        let taken = root.join(format!("{THEIRS}{}-0", std::process::id()));
        fs::create_dir(&taken).unwrap();

        let limits = Limits { memory: 1 << 20, processes: 7, ..Limits::default() };
        let (one, other) = (groups.group(&limits).unwrap(), groups.group(&limits).unwrap());
        assert_ne!(one.path(), other.path());
        assert_eq!(fs::read_dir(&taken).unwrap().count(), 0, "not ours");
        assert_eq!(text(&one.path().join("memory.max")), "1048576");
        assert_eq!(text(&one.path().join("pids.max")), "7");
        assert_eq!(text(&one.path().join("memory.swap.max")), "0");
        let again = Groups::within(root.to_owned(), &root.join(OURS)).unwrap();
        assert!(one.path().is_dir(), "of a process that is alive");
        drop(again);
    }

    #[test]
    fn without_what_bounds_memory_and_processes_nothing_is_divided() {
        for controllers in ["", "cpu\n", "memory\n", "cpu pids\n", "xmemory pids\n"] {
            let tree = tree(controllers);
            let refused = Groups::within(tree.path().to_owned(), tree.path()).unwrap_err();
            assert!(matches!(refused, NoGroups::Controllers), "{controllers}: {refused}");
            assert_eq!(fs::read_dir(tree.path()).unwrap().count(), 1, "{controllers}");
        }
        let nowhere = tempfile::tempdir().unwrap();
        let refused = Groups::within(nowhere.path().to_owned(), nowhere.path()).unwrap_err();
        assert!(matches!(refused, NoGroups::Io(_)), "{refused}");
    }
}
