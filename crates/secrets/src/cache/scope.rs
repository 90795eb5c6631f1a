//! Whose cache it is: the user's, or one project's (decision 7).

use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use strongroom_seal::hex;

/// Whose cache it is. Each scope has a directory, a file and a key of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    id: String,
}

impl Scope {
    /// The cache that all projects of a user share.
    pub fn user() -> Self {
        Self { id: "user".to_owned() }
    }

    /// The cache of the project in the directory `root`, an absolute path.
    pub fn project(root: &Path) -> Self {
        let path = root.as_os_str().as_encoded_bytes();
        let hash = digest::digest(&digest::SHA256, path);
        Self { id: format!("project-{}", hex(&hash.as_ref()[..16])) }
    }

    /// The caches of projects that are in the cache directory of the user, whichever projects these are.
    pub fn projects(cache: &Path) -> Vec<Self> {
        let entries = std::fs::read_dir(cache).into_iter().flatten().flatten();
        let is_ours = |id: &String| {
            let hash = id.strip_prefix("project-");
            hash.is_some_and(|hash| hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
        };
        let ids = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(is_ours);
        let mut ids: Vec<String> = ids.collect();
        ids.sort();
        ids.into_iter().map(|id| Self { id }).collect()
    }

    /// What the key is derived for, and the seal bound to.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where its files are, below the cache directory of the user.
    pub fn directory(&self, cache: &Path) -> PathBuf {
        if self.id == "user" { cache.to_owned() } else { cache.join(&self.id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_project_has_a_directory_of_its_own_and_the_user_has_the_one_above() {
        let cache = Path::new("/c");
        let (a, b) = (Scope::project(Path::new("/a")), Scope::project(Path::new("/b")));
        assert_ne!(a, b);
        assert_eq!(a, Scope::project(Path::new("/a")));
        assert_eq!(Scope::user().directory(cache), cache);
        assert_eq!(a.directory(cache), cache.join(a.id()));
        assert_eq!(a.id().len(), "project-".len() + 32);
    }

    #[test]
    fn the_caches_of_projects_are_found_and_nothing_else_is_taken_for_one() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(Scope::projects(&cache.path().join("missing")), []);
        let scope = Scope::project(Path::new("/a"));
        for name in [scope.id(), "project-", "project-../x", "servers"] {
            std::fs::create_dir_all(cache.path().join(name)).unwrap();
        }
        std::fs::write(cache.path().join("secrets.enc"), "").unwrap();
        assert_eq!(Scope::projects(cache.path()), [scope]);
    }
}
