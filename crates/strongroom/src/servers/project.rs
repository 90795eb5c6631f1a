//! The project that we are in.

use std::path::{Path, PathBuf};

/// The name of a project's file.
pub const FILE: &str = "strongroom.toml";

/// The file of the nearest directory upwards that has one. The user's own configuration is none,
/// and neither is what lies in a directory that everybody shares.
pub fn file(directory: &Path, own: &Path) -> Option<PathBuf> {
    let mut found = directory.ancestors().filter(|above| above.join(FILE).is_file());
    found.find(|above| above.join(FILE) != own && !is_shared(above)).map(|above| above.join(FILE))
}

/// Every path at which [`file`] may find one from `directory`, up to the one that it has `found`.
pub fn candidates(directory: &Path, own: &Path, found: Option<&PathBuf>) -> Vec<PathBuf> {
    let all = directory.ancestors().map(|above| above.join(FILE)).filter(|path| path != own);
    let mut candidates: Vec<PathBuf> = Vec::new();
    for path in all {
        let is_it = found == Some(&path);
        candidates.push(path);
        if is_it {
            break;
        }
    }
    candidates
}

/// The root of the project that `directory` is in: the nearest directory upwards with a file of
/// ours or a `.git`, below the user's home where we are in it; otherwise `directory` itself.
pub fn root(directory: &Path, home: Option<&Path>) -> PathBuf {
    let found = directory.ancestors().take_while(|above| Some(*above) != home).find(|above| {
        (above.join(FILE).is_file() || above.join(".git").exists()) && !is_shared(above)
    });
    found.unwrap_or(directory).to_owned()
}

/// Whether anybody may put a file there (`/tmp`, `/dev/shm`): the project of whoever works below
/// it is not for others to define.
#[cfg(unix)]
fn is_shared(directory: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    const STICKY_AND_FOR_ALL: u32 = 0o1002;
    let mode = directory.metadata().map_or(0, |found| found.permissions().mode());
    mode & STICKY_AND_FOR_ALL == STICKY_AND_FOR_ALL
}

#[cfg(not(unix))]
fn is_shared(_: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_the_nearest_directory_that_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path();
        let deep = home.join("a/b/c");
        std::fs::create_dir_all(&deep).unwrap();
        assert_eq!(root(&deep, Some(home)), deep);
        assert_eq!(file(&deep, &home.join("x")), None);
        std::fs::create_dir(home.join("a/.git")).unwrap();
        assert_eq!(root(&deep, Some(home)), home.join("a"));
        std::fs::write(home.join("a/b/strongroom.toml"), "").unwrap();
        assert_eq!(root(&deep, Some(home)), home.join("a/b"));
        assert_eq!(file(&deep, &home.join("x")), Some(home.join("a/b/strongroom.toml")));
        assert_eq!(file(&deep, &home.join("a/b/strongroom.toml")), None, "the user's own is none");
    }

    #[test]
    fn the_home_directory_is_no_project() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(".git")).unwrap();
        std::fs::create_dir_all(dir.path().join("x")).unwrap();
        assert_eq!(root(&dir.path().join("x"), Some(dir.path())), dir.path().join("x"));
    }

    #[cfg(unix)]
    #[test]
    fn what_lies_in_a_directory_that_everybody_shares_is_no_project() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let shared = dir.path().join("shared");
        let below = shared.join("work");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::write(shared.join(FILE), "").unwrap();
        let elsewhere = Path::new("/nowhere/strongroom.toml");
        assert_eq!(root(&below, Some(dir.path())), shared, "while it is one person's");
        assert_eq!(file(&below, elsewhere), Some(shared.join(FILE)));
        std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(root(&below, Some(dir.path())), below);
        assert_eq!(file(&below, elsewhere), None);
    }
}
