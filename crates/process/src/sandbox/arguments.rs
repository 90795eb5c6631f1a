//! What a room is built of, as bubblewrap is told. It says what is there; everything else is not.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use super::Room;
use crate::Start;

/// Programs and libraries of the system. Those that are links stay links.
const SYSTEM: [&str; 8] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store"];

/// What of `/etc` a program cannot do without. No passwords, no keys.
const SETTINGS: [&str; 16] = [
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];

/// What the network needs of it.
const RESOLVER: [&str; 3] = ["/etc/hosts", "/etc/host.conf", "/etc/resolv.conf"];

/// Where this program stands in a room.
const HELPER: &str = "/.strongroom/confine";

/// What one server sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// Its home: empty, its own, gone with it.
    pub(super) home: PathBuf,
    /// Where it starts.
    pub(super) dir: PathBuf,
    read: Vec<PathBuf>,
    pub(super) write: Vec<PathBuf>,
    hide: Vec<PathBuf>,
    network: bool,
    /// Bytes of each of its own folders.
    size: u64,
}

impl View {
    pub(super) fn of(start: &Start, room: &Room) -> Self {
        let variable = |wanted: &str| {
            let mut found = start.env.iter().filter(|(name, _)| name == wanted);
            found.next_back().map(|(_, value)| value.clone())
        };
        let home = variable("HOME").map(PathBuf::from).filter(|home| is_plain(home));
        let home = home.unwrap_or_else(|| "/home/server".into());
        let mut read = programs(&start.program);
        let path = variable("PATH").unwrap_or_default();
        read.extend(std::env::split_paths(&path).filter(|entry| is_plain(entry)).flat_map(around));
        read.extend(room.read.iter().cloned());
        let dir = start.dir.clone().filter(|dir| is_plain(dir) && !home.starts_with(dir));
        read.extend(dir.clone());
        let plain = room.write.iter().filter(|path| is_plain(path));
        let write: Vec<PathBuf> =
            plain.clone().filter(|path| !is_below(path, plain.clone())).cloned().collect();
        // What holds the home would bring it back, with all that is in it. What lies in a folder that the
        // server writes to is there already; named once more, it would be what the server made of it the
        // last time: a link to anywhere.
        read.retain(|path| {
            is_plain(path)
                && !home.starts_with(path)
                && !is_of_the_system(path)
                && !write.iter().any(|write| path.starts_with(write))
        });
        read.sort();
        read.dedup();
        Self {
            dir: dir.unwrap_or_else(|| home.clone()),
            home,
            read,
            write,
            hide: room.hide.clone(),
            network: room.network,
            size: room.limits.file_bytes,
        }
    }

    /// Everything up to what is started in the room, which is `helper`.
    pub(super) fn arguments(&self, helper: &Path) -> Vec<OsString> {
        let mut all = Arguments::default();
        all.words(&["--unshare-all"]);
        if self.network {
            all.words(&["--share-net"]);
        }
        // It ends with whoever started it, it has no terminal, and it is root nowhere.
        all.words(&["--die-with-parent", "--cap-drop", "ALL", "--hostname", "server"]);
        for path in SYSTEM.iter().map(Path::new) {
            match std::fs::read_link(path) {
                Ok(target) => all.two("--symlink", &target, path),
                Err(_) => all.two("--ro-bind-try", path, path),
            }
        }
        let resolver = RESOLVER.iter().filter(|_| self.network);
        for path in SETTINGS.iter().chain(resolver).map(Path::new) {
            all.two("--ro-bind-try", path, path);
        }
        all.words(&["--proc", "/proc", "--dev", "/dev"]);
        for own in [Path::new("/tmp"), &self.home] {
            all.words(&["--size", &self.size.to_string()]);
            all.one("--tmpfs", own);
        }
        for path in &self.read {
            all.two("--ro-bind-try", path, path);
        }
        for path in &self.write {
            all.two("--bind", path, path);
        }
        for path in self.hide.iter().filter(|path| self.shows(path)) {
            all.one("--tmpfs", path);
            all.one("--remount-ro", path);
        }
        all.two("--ro-bind", helper, Path::new(HELPER));
        all.one("--chdir", &self.dir);
        all.words(&["--remount-ro", "/", "--", HELPER]);
        all.0
    }

    /// Whether `path` would be there.
    fn shows(&self, path: &Path) -> bool {
        let system = SYSTEM.iter().map(Path::new);
        let mut shown = self.read.iter().chain(&self.write).map(PathBuf::as_path).chain(system);
        path.exists() && shown.any(|shown| path.starts_with(shown))
    }
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn words(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(OsString::from));
    }

    fn one(&mut self, option: &str, path: &Path) {
        self.0.extend([OsString::from(option), path.into()]);
    }

    fn two(&mut self, option: &str, from: &Path, to: &Path) {
        self.0.extend([OsString::from(option), from.into(), to.into()]);
    }
}

/// The folders of a program: where it was found, where it truly is, and where the interpreter of its
/// virtual environment is.
fn programs(program: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut add = |path: &Path| {
        if let Some(folder) = path.parent().filter(|_| is_plain(path)) {
            all.extend(around(folder.to_owned()));
        }
    };
    add(program);
    let Ok(real) = program.canonicalize() else { return all };
    add(&real);
    if let Some(python) = real.parent().map(|folder| folder.join("python3")) {
        add(&python);
        if let Ok(python) = python.canonicalize() {
            add(&python);
        }
    }
    all
}

/// A folder of programs, and what belongs to it: of `X/bin` the libraries in `X/lib`, never all of `X`,
/// which may be somebody's `.local`.
fn around(folder: PathBuf) -> Vec<PathBuf> {
    let mut all = Vec::new();
    if folder.file_name() == Some(OsStr::new("bin"))
        && let Some(above) = folder.parent().filter(|above| above.parent().is_some())
    {
        all.extend(["lib", "pyvenv.cfg"].map(|name| above.join(name)));
    }
    all.push(folder);
    all
}

/// An absolute path without `.` and `..`, and not the root: the only kind that is shown.
fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && path.parent().is_some()
        && path.components().skip(1).all(|part| matches!(part, Component::Normal(_)))
}

/// Whether `path` lies in another one of `all`.
fn is_below<'a>(path: &Path, mut all: impl Iterator<Item = &'a PathBuf>) -> bool {
    all.any(|other| path != other && path.starts_with(other))
}

fn is_of_the_system(path: &Path) -> bool {
    SYSTEM.iter().any(|system| path.starts_with(system))
}
