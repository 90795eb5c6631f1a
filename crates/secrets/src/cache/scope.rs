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
}
