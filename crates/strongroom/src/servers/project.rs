//! The project that we are in.

use std::path::{Path, PathBuf};

/// The name of a project's file.
pub const FILE: &str = "strongroom.toml";

/// The file of the nearest directory upwards that has one. The user's own configuration is none.
pub fn file(directory: &Path, own: &Path) -> Option<PathBuf> {
    directory.ancestors().map(|above| above.join(FILE)).find(|path| path != own && path.is_file())
}

/// The root of the project that `directory` is in: the nearest directory upwards with a file of
/// ours or a `.git`, below the user's home where we are in it; otherwise `directory` itself.
pub fn root(directory: &Path, home: Option<&Path>) -> PathBuf {
    let found = directory
        .ancestors()
        .take_while(|above| Some(*above) != home)
        .find(|above| above.join(FILE).is_file() || above.join(".git").exists());
    found.unwrap_or(directory).to_owned()
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
}
