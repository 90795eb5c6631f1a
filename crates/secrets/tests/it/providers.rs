//! `env://` and `file://`.

use std::ffi::OsString;

use strongroom_model::ports::{Provider, ResolveError};
use strongroom_model::reference::SecretRef;
use strongroom_secrets::{EnvProvider, FileProvider};
use strongroom_testkit::provider::{Holdings, holds_the_contract};

#[tokio::test]
async fn the_environment_holds_the_contract() {
    let provider = EnvProvider::new(|name| match name {
        "A" => Some(OsString::from("canary-a")),
        "B" => Some(OsString::from("canary-b\n")),
        "EMPTY" => Some(OsString::new()),
        _ => None,
    });
    let holdings = Holdings {
        found: vec![(reference("env://A"), "canary-a"), (reference("env://B"), "canary-b\n")],
        missing: reference("env://C"),
        unusable: Some(reference("env://EMPTY")),
    };
    holds_the_contract(&provider, &holdings).await;
}

#[cfg(unix)]
mod files {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn files_hold_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        write(&path("a"), "canary-a\n", 0o600);
        write(&path("b"), "canary-b", 0o400);
        write(&path("empty"), "\n", 0o600);
        let holdings = Holdings {
            found: vec![(at(&path("a")), "canary-a"), (at(&path("b")), "canary-b")],
            missing: at(&path("c")),
            unusable: Some(at(&path("empty"))),
        };
        holds_the_contract(&FileProvider, &holdings).await;
    }

    #[tokio::test]
    async fn exactly_one_newline_at_the_end_is_not_part_of_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for (text, expected) in [
            ("x", "x"),
            ("x\n", "x"),
            ("x\r\n", "x"),
            ("x\n\n", "x\n"),
            ("\nx", "\nx"),
            ("x \n", "x "),
            ("x\r", "x\r"),
        ] {
            write(&path, text, 0o600);
            let secret = ask(&at(&path)).await.unwrap();
            assert_eq!(secret.expose(), expected.as_bytes(), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_file_that_others_can_read_is_refused_with_the_fix() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        for mode in [0o644, 0o640, 0o604] {
            write(&path, "canary", mode);
            let error = ask(&at(&path)).await.unwrap_err();
            let ResolveError::Denied { why, .. } = error else { panic!("{error}") };
            assert!(why.contains("chmod 600") && !why.contains("canary"), "{why}");
        }
        write(&path, "canary", 0o600);
        assert!(ask(&at(&path)).await.is_ok());
        assert!(matches!(ask(&at(dir.path())).await, Err(ResolveError::Denied { .. })));
    }

    #[tokio::test]
    async fn a_file_of_more_than_one_mebibyte_is_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, &"x".repeat(1 << 20), 0o600);
        assert_eq!(ask(&at(&path)).await.unwrap().len(), 1 << 20);
        for more in ["x", "\n\n", "xxxxxxxxx"] {
            write(&path, &format!("{}{more}", "x".repeat(1 << 20)), 0o600);
            let error = ask(&at(&path)).await.unwrap_err();
            assert!(matches!(error, ResolveError::Unusable { .. }), "{error}");
        }
    }

    #[test]
    fn the_stamp_changes_when_the_file_is_written_replaced_opened_up_or_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        let stamp = || FileProvider.stamp(&at(&path));
        assert_eq!(stamp(), None);
        write(&path, "one", 0o600);
        let mut seen = vec![stamp()];
        let mut changed = |stamp: Option<u64>| {
            assert!(stamp.is_some() && !seen.contains(&stamp), "{seen:?} {stamp:?}");
            seen.push(stamp);
        };
        write(&path, "longer", 0o600);
        changed(stamp());
        write(&other, "second", 0o600);
        fs::rename(&other, &path).unwrap();
        changed(stamp());
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        changed(stamp());
        fs::remove_file(&path).unwrap();
        assert_eq!(stamp(), None);
    }

    async fn ask(reference: &SecretRef) -> Result<strongroom_model::secret::Secret, ResolveError> {
        FileProvider.resolve(std::slice::from_ref(reference)).await.pop().unwrap()
    }

    fn write(path: &Path, text: &str, mode: u32) {
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
        fs::write(path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn at(path: &Path) -> SecretRef {
        reference(&format!("file://{}", path.display()))
    }
}

fn reference(text: &str) -> SecretRef {
    text.parse().unwrap()
}
