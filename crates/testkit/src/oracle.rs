//! The leak oracle: says whether a secret stands in some bytes, in whatever form.
//!
//! It is written the other way round from the redactor on purpose. The redactor encodes each secret
//! and looks for the result; the oracle decodes what it is shown, again and again, and looks for
//! the plain secret. A mistake in one is then not repeated in the other.
//!
//! A leak is the whole secret or any twelve bytes in a row of it, behind the prefix that its issuer
//! publishes (`sk_live_`, the armour of a PEM file, the header of a JWT).

mod decode;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt, fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    path::Path,
};

/// How many bytes in a row of a longer secret count as the secret.
const WINDOW: usize = 12;
/// A secret below this length is found nowhere: four bytes turn up by chance.
const SHORTEST: usize = 4;
/// How many encodings may lie on top of one another.
const DEPTH: usize = 4;

/// Looks for a set of secrets.
pub struct Oracle {
    /// Needles by their first four bytes: the name of the secret, and the bytes.
    needles: HashMap<[u8; SHORTEST], Vec<(String, Vec<u8>)>>,
    /// Whether any needle begins with these two bytes: most places are passed over by one look.
    begins: Vec<bool>,
    /// The shortest needle: no encoded form that is worth decoding holds fewer bytes.
    shortest: usize,
}

/// A secret was found.
#[derive(Clone, PartialEq, Eq)]
pub struct Leak {
    /// The name that the secret was given.
    pub secret: String,
    /// Where it was found, in the words of the caller.
    pub place: String,
    /// What had to be undone to see it, outermost first; `raw` if nothing.
    pub encoding: String,
    /// How far into the decoded bytes it stands.
    pub offset: usize,
}

impl fmt::Debug for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret, place, encoding, offset } = self;
        write!(f, "{secret} in {place}, {encoding}, at byte {offset}")
    }
}

impl Oracle {
    /// An oracle for `secrets`, each with the name that a finding shows.
    ///
    /// # Panics
    ///
    /// When a secret is shorter than four bytes: it could not be told from chance.
    pub fn new(secrets: &[(&str, &[u8])]) -> Self {
        let mut needles: HashMap<_, Vec<(String, Vec<u8>)>> = HashMap::new();
        let (mut begins, mut shortest) = (vec![false; 1 << 16], WINDOW);
        for (name, secret) in secrets {
            let parts = private_parts(secret);
            assert!(!parts.is_empty(), "{name} is too short to be looked for");
            for part in parts {
                shortest = shortest.min(part.len());
                for window in part.windows(WINDOW.min(part.len())) {
                    let needle = ((*name).to_owned(), window.to_vec());
                    needles.entry(head(window)).or_default().push(needle);
                    begins[beginning(window)] = true;
                }
            }
        }
        Self { needles, begins, shortest }
    }

    /// An oracle for all canaries.
    pub fn of_canaries() -> Self {
        Self::new(&crate::canary::ALL.map(|(name, key)| (name, key.as_bytes())))
    }

    /// The leaks in `bytes`: for each secret the one with the fewest encodings around it. `place` is
    /// repeated in what is found.
    pub fn scan(&self, place: &str, bytes: &[u8]) -> Vec<Leak> {
        let mut leaks = Vec::new();
        let mut seen = HashSet::new();
        let mut views = VecDeque::from([(bytes.to_vec(), Vec::new())]);
        while let Some((view, way)) = views.pop_front() {
            self.search(place, &view, &way, &mut leaks);
            if way.len() == DEPTH {
                continue;
            }
            for (name, decoded) in decode::all(&view, self.shortest) {
                if decoded.len() >= self.shortest && decoded != view && seen.insert(hash(&decoded))
                {
                    let way = way.iter().copied().chain([name]).collect();
                    views.push_back((decoded, way));
                }
            }
        }
        leaks
    }

    /// Panics with all that [`scan`](Self::scan) finds.
    pub fn assert_clean(&self, place: &str, bytes: impl AsRef<[u8]>) {
        let leaks = self.scan(place, bytes.as_ref());
        assert!(leaks.is_empty(), "leaked: {leaks:#?}");
    }

    /// Every leak in the names and contents of all files below `root`, which may be a file.
    /// Symbolic links are read as what they say, not followed.
    pub fn scan_tree(&self, root: &Path) -> io::Result<Vec<Leak>> {
        let place = root.display().to_string();
        let mut leaks = self.scan(&format!("the name {place}"), place.as_bytes());
        let kind = fs::symlink_metadata(root)?.file_type();
        if kind.is_dir() {
            for entry in fs::read_dir(root)? {
                leaks.extend(self.scan_tree(&entry?.path())?);
            }
        } else if kind.is_symlink() {
            let target = fs::read_link(root)?;
            leaks.extend(self.scan(&place, target.as_os_str().as_encoded_bytes()));
        } else if kind.is_file() {
            leaks.extend(self.scan(&place, &fs::read(root)?));
        }
        Ok(leaks)
    }

    /// Panics with all that [`scan_tree`](Self::scan_tree) finds, or if a file cannot be read.
    pub fn assert_tree_clean(&self, root: &Path) {
        let leaks = self.scan_tree(root).expect("the tree can be read");
        assert!(leaks.is_empty(), "leaked: {leaks:#?}");
    }

    /// Every leak in the command lines of all running processes (where `/proc` shows them). Use a
    /// [key of the test's own](crate::canary::of), since other tests' processes are seen too.
    pub fn scan_command_lines(&self) -> Vec<Leak> {
        let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
        let mut leaks = Vec::new();
        for process in processes.flatten() {
            let file = process.path().join("cmdline");
            // A process that has ended meanwhile shows nothing any more.
            let Ok(line) = fs::read(&file) else { continue };
            leaks.extend(self.scan(&file.display().to_string(), &line));
        }
        leaks
    }

    fn search(&self, place: &str, view: &[u8], way: &[&str], leaks: &mut Vec<Leak>) {
        let encoding = if way.is_empty() { "raw".to_owned() } else { way.join(" > ") };
        for (offset, start) in view.windows(SHORTEST).enumerate() {
            if !self.begins[beginning(start)] {
                continue;
            }
            let Some(needles) = self.needles.get(&head(start)) else { continue };
            for (secret, needle) in needles {
                if view[offset..].starts_with(needle)
                    && !leaks.iter().any(|leak| leak.secret == *secret)
                {
                    leaks.push(Leak {
                        secret: secret.clone(),
                        place: place.to_owned(),
                        encoding: encoding.clone(),
                        offset,
                    });
                }
            }
        }
    }
}

/// What of `secret` is secret: the armour of PEM, the header of a JWT and an issuer's prefix are
/// not, because they stand in everybody's.
fn private_parts(secret: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    if secret.starts_with(b"-----BEGIN ") {
        let lines = secret.split(|&byte| byte == b'\n');
        parts.extend(lines.filter(|line| !line.starts_with(b"-----")));
    } else if let Some(dot) = secret.iter().position(|&byte| byte == b'.')
        && secret.starts_with(b"eyJ")
    {
        parts.push(&secret[dot + 1..]);
    } else {
        let known = PREFIXES.iter().filter(|prefix| secret.starts_with(prefix.as_bytes()));
        parts.push(&secret[known.map(|prefix| prefix.len()).max().unwrap_or(0)..]);
    }
    parts.retain(|part| part.len() >= SHORTEST);
    parts
}

/// What issuers put in front of every key.
const PREFIXES: &[&str] = &[
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "rk_test_",
    "whsec_",
    "github_pat_",
    "ghp_",
    "gho_",
    "ghs_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "sk-ant-api03-",
    "sk-proj-",
    "sk-",
    "lin_api_",
    "secret_",
    "ntn_",
    "sntrys_",
];

fn head(bytes: &[u8]) -> [u8; SHORTEST] {
    let mut head = [0; SHORTEST];
    head.copy_from_slice(&bytes[..SHORTEST]);
    head
}

fn beginning(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
