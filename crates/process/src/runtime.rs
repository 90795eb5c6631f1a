//! Where the login session of a user keeps its sockets.

use std::ffi::OsStr;
use std::path::PathBuf;

/// The runtime directory of this user's login session: `named`, which is what `XDG_RUNTIME_DIR` says, or
/// else the place that logind gives it, where that is the user's alone. MCP clients start their servers
/// without the variable.
///
/// Source: XDG Base Directory Specification 0.8, which asks for the owner and the mode 0700.
pub fn runtime_directory(named: Option<&OsStr>) -> Option<PathBuf> {
    match named.filter(|named| !named.is_empty()) {
        Some(named) => Some(PathBuf::from(named)).filter(|path| path.is_absolute()),
        None => usual(),
    }
}

#[cfg(target_os = "linux")]
fn usual() -> Option<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let path = PathBuf::from(format!("/run/user/{user}"));
    is_private(&path, user).then_some(path)
}

#[cfg(not(target_os = "linux"))]
fn usual() -> Option<PathBuf> {
    None
}

/// Whether `path` is a directory of `user`'s that nobody else can enter.
#[cfg(target_os = "linux")]
fn is_private(path: &std::path::Path, user: u32) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    path.symlink_metadata().is_ok_and(|metadata| {
        metadata.is_dir() && metadata.uid() == user && metadata.mode() & 0o777 == 0o700
    })
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_is_named_counts_and_a_relative_path_does_not() {
        let at = |named: &str| runtime_directory(Some(OsStr::new(named)));
        assert_eq!(at("/run/mine"), Some("/run/mine".into()));
        assert_eq!(at("run/mine"), None);
    }

    #[test]
    fn the_usual_place_counts_where_nobody_else_can_enter_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("user");
        fs::create_dir(&place).unwrap();
        let user = rustix::process::geteuid().as_raw();
        let with_mode = |mode| {
            fs::set_permissions(&place, fs::Permissions::from_mode(mode)).unwrap();
            is_private(&place, user)
        };
        assert!(with_mode(0o700));
        assert!(!with_mode(0o750) && !with_mode(0o701));
        assert!(with_mode(0o700) && !is_private(&place, user + 1));
        let link = folder.path().join("link");
        symlink(&place, &link).unwrap();
        assert!(!is_private(&link, user));
    }
}
