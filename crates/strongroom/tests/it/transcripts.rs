//! The transcripts in `tests/cmd` are documentation, and true.
//!
//! Each runs in a home directory of its own, which starts as a copy of `NAME.home` where there is
//! one. `TRYCMD=overwrite` writes what is true today into them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Our own directories are nobody else's: what is checked out is open to all.
fn close(path: &Path) {
    let directory = path.is_dir();
    let mode = if directory { 0o700 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    if directory {
        for entry in fs::read_dir(path).unwrap() {
            close(&entry.unwrap().path());
        }
    }
}

fn replay(file: &Path) {
    let home = tempfile::tempdir().unwrap();
    let start = file.with_extension("home");
    if start.exists() {
        copy(&start, home.path());
        for ours in [".config/strongroom", ".local/state/strongroom"] {
            let ours = home.path().join(ours);
            if ours.exists() {
                close(&ours);
            }
        }
    }
    let home = home.path().to_str().unwrap();
    let cases = trycmd::TestCases::new();
    // Nobody's own crontab is looked at, or changed.
    let bin = tempfile::tempdir().unwrap();
    let crontab = bin.path().join("crontab");
    fs::write(&crontab, "#!/bin/sh\necho 'no crontab for you' >&2\nexit 1\n").unwrap();
    fs::set_permissions(&crontab, fs::Permissions::from_mode(0o700)).unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", bin.path().display());
    cases
        .env("PATH", path)
        .env("HOME", home)
        .insert_var("[HOME]", home.to_owned())
        .and_then(|cases| cases.insert_var("[PROGRAM]", crate::sandbox::PROGRAM))
        .unwrap();
    for name in [
        "STRONGROOM_HOME",
        "XDG_CONFIG_HOME",
        "XDG_CACHE_HOME",
        "XDG_STATE_HOME",
        "XDG_DATA_HOME",
        "CLAUDE_CONFIG_DIR",
    ] {
        // Empty counts as not set.
        cases.env(name, "");
    }
    cases.env("XDG_RUNTIME_DIR", "/nonexistent");
    cases.case(file);
    cases.run();
}

#[test]
fn every_transcript_is_true() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|e| e == "md")).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        replay(&file);
    }
}
