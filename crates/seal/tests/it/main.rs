//! Files and directories as the operating system has them (LM-04, LM-05, LM-11).

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that fails may say so by a panic")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use strongroom_seal::file::open_private;
use strongroom_seal::{FileError, FileSecret, MachineSecret as _, SecureDir};
use strongroom_testkit::again;

#[test]
fn everything_is_closed_to_others_from_creation_whatever_the_umask_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a/b/share");
    let child = again::start("makes_one_of_each", "umask 000", &[path.to_str().unwrap()]);
    again::passed(child);
    for dir in ["a", "a/b", "a/b/share"] {
        assert_eq!(mode(&home.path().join(dir)), 0o700, "{dir}");
    }
    let names = SecureDir::open(&path).unwrap().names().unwrap();
    assert_eq!(names, ["appended", "atomic", "lock", "machine.key", "new"]);
    for name in names {
        assert_eq!(mode(&path.join(&name)), 0o600, "{name}");
    }
}

#[test]
#[ignore = "started by another test, with a umask of its own"]
fn makes_one_of_each() {
    let dir = || SecureDir::create(&again::parameters()[0]).unwrap();
    let dir = dir();
    dir.create_new("new", b"canary").unwrap();
    dir.write_atomic("atomic", b"canary").unwrap();
    drop(dir.append("appended").unwrap());
    drop(dir.lock("lock").unwrap());
    FileSecret::new(dir, "machine.key").create().unwrap();
}

#[test]
fn what_is_written_is_read_back_and_replaced_whole() {
    let (_home, dir) = dir();
    assert!(matches!(dir.read("x", 10), Err(FileError::Missing { .. })));
    dir.write_atomic("x", b"one").unwrap();
    dir.write_atomic("x", b"second").unwrap();
    assert_eq!(dir.read("x", 6).unwrap(), b"second");
    assert!(matches!(dir.read("x", 5), Err(FileError::Large { .. })));
    assert!(matches!(dir.create_new("x", b""), Err(FileError::Exists { .. })));
    assert_eq!(dir.read("x", 6).unwrap(), b"second");
    assert_eq!(dir.names().unwrap(), ["x"], "nothing else is left");
    assert!(dir.remove("x").unwrap());
    assert!(!dir.remove("x").unwrap());
}

#[test]
fn a_name_is_one_component() {
    let (_home, dir) = dir();
    for bad in ["", ".", "..", "a/b", "../x", "/etc/passwd", "a\0"] {
        assert!(matches!(dir.read(bad, 10), Err(FileError::Io { .. })), "{bad:?}");
        assert!(matches!(dir.write_atomic(bad, b""), Err(FileError::Io { .. })), "{bad:?}");
    }
}

/// LM-05.
#[test]
fn a_file_that_others_could_have_read_written_or_swapped_is_refused_with_the_fix() {
    let (home, dir) = dir();
    let path = dir.path().to_owned();
    dir.create_new("good", b"canary").unwrap();
    for mode in [0o644, 0o640, 0o604, 0o660, 0o620, 0o610] {
        let name = format!("mode-{mode:o}");
        dir.create_new(&name, b"canary").unwrap();
        set_mode(&path.join(&name), mode);
        refused(&dir, &name, "chmod 600");
    }
    symlink(path.join("good"), path.join("link")).unwrap();
    refused(&dir, "link", "symbolic link");
    symlink("/nonexistent", path.join("dangling")).unwrap();
    refused(&dir, "dangling", "symbolic link");
    fs::hard_link(path.join("good"), path.join("second")).unwrap();
    refused(&dir, "second", "hard link");
    fs::remove_file(path.join("second")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    refused(&dir, "fifo", "not a regular file");
    let _socket = std::os::unix::net::UnixListener::bind(path.join("socket")).unwrap();
    refused(&dir, "socket", "not a regular file");
    fs::create_dir(path.join("directory")).unwrap();
    refused(&dir, "directory", "not a regular file");
    if rustix::process::geteuid().is_root() {
        dir.create_new("foreign", b"canary").unwrap();
        std::os::unix::fs::chown(path.join("foreign"), Some(65_534), None).unwrap();
        refused(&dir, "foreign", "chown 0");
    }
    assert_eq!(dir.read("good", 100).unwrap(), b"canary");
    dir.write_atomic("good", b"canary").unwrap();
    drop(home);
}

/// LM-05.
#[test]
fn a_directory_that_others_could_have_used_is_refused_with_the_fix() {
    let (home, dir) = dir();
    let path = dir.path().to_owned();
    let refused = |path: &Path, expected: &str| {
        for opened in [SecureDir::open(path), SecureDir::create(path)] {
            let error = opened.unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, FileError::Unsafe { .. }), "{error:?}");
            assert!(text.contains(path.to_str().unwrap()) && text.contains(expected), "{text}");
        }
    };
    for mode in [0o777, 0o755, 0o710, 0o701] {
        set_mode(&path, mode);
        refused(&path, "chmod 700");
    }
    set_mode(&path, 0o700);
    SecureDir::open(&path).unwrap();

    let link = home.path().join("link");
    symlink(&path, &link).unwrap();
    refused(&link, "link");
    let error = SecureDir::open(format!("{}/", link.display())).unwrap_err();
    assert!(matches!(error, FileError::Unsafe { .. }), "{error:?}");
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(SecureDir::open(&file).is_err());
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
        refused(&path, "chown 0");
    }
}

#[test]
fn a_directory_that_is_renamed_is_still_the_one_that_was_opened() {
    let (home, dir) = dir();
    dir.create_new("x", b"ours").unwrap();
    fs::rename(dir.path(), home.path().join("moved")).unwrap();
    SecureDir::create(dir.path()).unwrap().create_new("x", b"theirs").unwrap();
    assert_eq!(dir.read("x", 100).unwrap(), b"ours");
}

#[test]
fn a_lock_that_somebody_has_is_not_waited_for() {
    let (_home, dir) = dir();
    let guard = dir.try_lock("lock").unwrap();
    assert!(guard.is_some());
    assert!(dir.try_lock("lock").unwrap().is_none());
    assert!(dir.try_lock("other").unwrap().is_some());
    drop(guard);
    assert!(dir.try_lock("lock").unwrap().is_some());
}

#[test]
fn a_lock_is_had_by_one_at_a_time() {
    let (_home, dir) = dir();
    let count = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let guard = dir.lock("lock").unwrap();
                    let before: usize = read_number(&dir);
                    dir.write_atomic("number", (before + 1).to_string().as_bytes()).unwrap();
                    count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    drop(guard);
                }
            });
        }
    });
    assert_eq!(read_number(&dir), count.into_inner());
}

/// LM-11: there is no room for the new file, so the old one stays, and no half of the new one.
#[test]
fn a_write_that_fails_leaves_the_old_file() {
    let (_home, dir) = dir();
    dir.write_atomic("x", b"old").unwrap();
    let child = again::start(
        "writes_more_than_it_may",
        "trap '' XFSZ; ulimit -f 8",
        &[dir.path().to_str().unwrap()],
    );
    again::passed(child);
    assert_eq!(dir.read("x", 100).unwrap(), b"old");
    assert_eq!(dir.names().unwrap(), ["x"]);
}

#[test]
#[ignore = "started by another test, with a limit"]
fn writes_more_than_it_may() {
    let dir = SecureDir::open(&again::parameters()[0]).unwrap();
    let error = dir.write_atomic("x", &vec![7; 100_000]).unwrap_err();
    assert!(matches!(error, FileError::Io { .. }), "{error:?}");
    dir.write_atomic("x", b"old").unwrap();
}

#[test]
fn a_private_file_may_be_behind_a_link_but_not_open_to_others() {
    let (home, dir) = dir();
    dir.create_new("x", b"canary").unwrap();
    let (file, link) = (dir.path().join("x"), home.path().join("link"));
    symlink(&file, &link).unwrap();
    open_private(&file).unwrap();
    open_private(&link).unwrap();
    set_mode(&file, 0o640);
    for path in [&file, &link] {
        let text = open_private(path).unwrap_err().to_string();
        assert!(text.contains("chmod 600") && text.contains(path.to_str().unwrap()), "{text}");
    }
    assert!(matches!(open_private(home.path()), Err(FileError::Unsafe { .. })));
    assert!(matches!(open_private(&home.path().join("no")), Err(FileError::Missing { .. })));
}

#[test]
fn a_command_that_puts_a_file_right_can_be_pasted() {
    let (_home, dir) = dir();
    dir.create_new("it's mine", b"x").unwrap();
    let file = dir.path().join("it's mine");
    set_mode(&file, 0o640);
    let fix = open_private(&file).unwrap_err().hint().unwrap();
    assert!(fix.ends_with(r"/it'\''s mine'`") && fix.starts_with("run `chmod 600 '/"), "{fix}");
}

fn refused(dir: &SecureDir, name: &str, expected: &str) {
    let path = dir.path().join(name);
    let errors = [
        dir.read(name, 100).unwrap_err(),
        dir.append(name).unwrap_err(),
        dir.write_atomic(name, b"").unwrap_err(),
        dir.has(name).unwrap_err(),
        dir.lock(name).unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert!(matches!(error, FileError::Unsafe { .. }), "{name}: {error:?}");
        assert!(text.contains(path.to_str().unwrap()) && text.contains(expected), "{text}");
        assert!(error.hint().unwrap().contains(path.to_str().unwrap()));
        assert!(!text.contains("canary"), "{text}");
    }
}

fn read_number(dir: &SecureDir) -> usize {
    match dir.read("number", 100) {
        Ok(bytes) => String::from_utf8(bytes).unwrap().parse().unwrap(),
        Err(_) => 0,
    }
}

fn dir() -> (tempfile::TempDir, SecureDir) {
    let home = tempfile::tempdir().unwrap();
    let path: PathBuf = home.path().join("share");
    (home, SecureDir::create(path).unwrap())
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
