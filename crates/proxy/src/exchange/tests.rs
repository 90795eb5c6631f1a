use strongroom_model::redact::Redactor;

use super::*;

fn exchange(keeping: Keeping) -> (tempfile::TempDir, Exchange) {
    let home = tempfile::tempdir().unwrap();
    let exchange = Exchange::new(home.path().join("files"), keeping);
    (home, exchange)
}

fn ann() -> Name {
    "ann".parse().unwrap()
}

fn clean(bytes: &[u8]) -> Clean<Vec<u8>> {
    Redactor::new(&[]).clean(bytes.to_vec()).0
}

/// When the files of a test are written.
fn now(exchange: &Exchange) -> SystemTime {
    let entries = exchange.list(&ann()).unwrap();
    entries.iter().map(|entry| entry.changed).max().unwrap()
}

#[test]
fn a_file_has_its_name_when_it_is_whole_and_none_if_it_never_is() {
    let (_home, exchange) = exchange(Keeping::default());
    let start = SystemTime::UNIX_EPOCH;
    let (mut whole, room) = exchange.begin(&ann(), "json", start).unwrap();
    assert_eq!(room, 10 << 30);
    whole.write(&clean(b"fi")).unwrap();
    assert_eq!(exchange.list(&ann()).unwrap(), [], "not yet");
    whole.write(&clean(b"ne")).unwrap();
    let path = whole.finish().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"fine");
    let (mut broken, room) = exchange.begin(&ann(), "json", start).unwrap();
    assert_eq!(room, (10 << 30) - 4, "what is there counts");
    broken.write(&clean(b"fi")).unwrap();
    drop(broken);
    let left: Vec<_> = fs::read_dir(exchange.path(&ann())).unwrap().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(exchange.list(&"bob".parse().unwrap()).unwrap(), [], "folders are apart");
}

#[cfg(unix)]
#[test]
fn folders_and_files_are_closed_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_home, exchange) = exchange(Keeping::default());
    let (file, _) = exchange.begin(&ann(), "bin", SystemTime::UNIX_EPOCH).unwrap();
    let path = file.finish().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&exchange.path(&ann())), 0o700);
}

#[test]
fn what_is_old_goes_and_the_rest_stays() {
    let keeping = Keeping { keep: Duration::from_hours(5), ..Keeping::default() };
    let (_home, exchange) = exchange(keeping);
    let (file, _) = exchange.begin(&ann(), "bin", SystemTime::UNIX_EPOCH).unwrap();
    file.finish().unwrap();
    let left = exchange.path(&ann()).join(".abandoned.part");
    fs::write(&left, b"x").unwrap();
    let written = now(&exchange);
    exchange.sweep(written + Duration::from_hours(1));
    assert!(left.exists());
    exchange.sweep(written + Duration::from_hours(3));
    assert!(!left.exists(), "whoever wrote it is gone");
    assert_eq!(exchange.list(&ann()).unwrap().len(), 1);
    exchange.sweep(written + Duration::from_hours(6));
    assert_eq!(exchange.list(&ann()).unwrap(), []);
}

#[test]
fn a_name_is_one_plain_component() {
    for (name, expected) in [
        ("report.json", true),
        ("a b", true),
        ("é", true),
        ("", false),
        (".", false),
        ("..", false),
        (".hidden", false),
        ("a/b", false),
        ("/etc/passwd", false),
        ("a\\b", false),
        ("a:b", false),
        ("a\0b", false),
        ("a\nb", false),
    ] {
        assert_eq!(Exchange::is_name(name), expected, "{name:?}");
    }
    assert!(!Exchange::is_name(&"x".repeat(201)));
}

#[cfg(unix)]
#[test]
fn only_a_regular_file_of_ours_with_one_name_is_opened() {
    let (home, exchange) = exchange(Keeping::default());
    let folder = exchange.path(&ann());
    assert!(matches!(exchange.open(&ann(), "a"), Err(FileError::Missing { .. })));
    let outside = home.path().join("outside");
    fs::write(&outside, b"secret").unwrap();
    fs::write(folder.join("plain"), b"fine").unwrap();
    std::os::unix::fs::symlink(&outside, folder.join("link")).unwrap();
    fs::hard_link(&outside, folder.join("hard")).unwrap();
    fs::create_dir(folder.join("folder")).unwrap();
    assert_eq!(exchange.open(&ann(), "plain").unwrap().1, 4);
    for name in ["link", "hard", "folder", "../outside", ""] {
        assert!(exchange.open(&ann(), name).is_err(), "{name}");
    }
}

#[test]
fn a_file_is_put_once_and_removed_once() {
    let (home, exchange) = exchange(Keeping::default());
    let from = home.path().join("from");
    fs::write(&from, b"fine").unwrap();
    let put = || exchange.put(&ann(), "a.txt", &mut File::open(&from).unwrap());
    assert_eq!(put().unwrap(), 4);
    assert!(matches!(put(), Err(FileError::Exists { .. })));
    assert_eq!(exchange.principals(), [ann()]);
    assert!(exchange.remove(&ann(), "a.txt").unwrap());
    assert!(!exchange.remove(&ann(), "a.txt").unwrap());
    assert!(!exchange.remove(&ann(), "../../from").unwrap());
    assert!(from.exists());
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a");
    fs::write(&path, b"fine").unwrap();
    let read = |bytes| read_whole(&mut File::open(&path).unwrap(), bytes);
    assert_eq!(read(4).unwrap(), b"fine");
    assert!(read(3).is_err() && read(5).is_err());
}

#[test]
fn the_name_of_a_file_ends_as_its_type_says() {
    for (content_type, expected) in [
        (Some("application/json; charset=utf-8"), "json"),
        (Some("application/vnd.github+json"), "json"),
        (Some("Text/CSV"), "csv"),
        (Some("text/x-unknown"), "txt"),
        (Some("../../x"), "bin"),
        (None, "bin"),
    ] {
        assert_eq!(ending(content_type), expected, "{content_type:?}");
    }
}
