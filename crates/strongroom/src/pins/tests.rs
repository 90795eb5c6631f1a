use std::collections::BTreeMap;
use std::fs;

use strongroom_model::pin::Pinning;

use super::*;
use crate::paths::Os;

fn package(source: Source, name: &str, version: Option<&str>) -> Package {
    let (name, version) = (name.to_owned(), version.map(ToOwned::to_owned));
    Package { source, name, version, program: None, rest: 0 }
}

fn server(line: &str) -> Server {
    let mut words = line.split(' ');
    let program = words.next().unwrap().to_owned();
    let args = words.map(|word| word.parse().unwrap()).collect();
    let env = BTreeMap::from([("K".to_owned(), "op://V/I/f".parse().unwrap())]);
    Server {
        name: "x".parse().unwrap(),
        description: None,
        transport: Transport::Stdio(Stdio { program, args, env, ..Stdio::default() }),
        delivery: strongroom_model::server::Delivery::default(),
        ttl: None,
        pin: Pinning::default(),
        offer: strongroom_model::server::Offer::default(),
    }
}

/// A home in which `x` is pinned to one file.
struct Pinned {
    home: Home,
    file: PathBuf,
    folder: tempfile::TempDir,
}

impl Pinned {
    fn new(package: Package) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::under(Os::CURRENT, folder.path().as_os_str());
        let name: Name = "x".parse().unwrap();
        let below = folder_of(&home, &name);
        SecureDir::create(&below).unwrap();
        let file = below.join("entry.js");
        fs::write(&file, "one").unwrap();
        let pin = Pin {
            version: VERSION,
            package,
            exact: "1.2.3".to_owned(),
            program: "/usr/bin/node".into(),
            args: vec!["/entry.js".to_owned()],
            folder: None,
            whole: String::new(),
            held: vec![Held::of(&file).unwrap()],
        };
        write(&home, &name, &pin).unwrap();
        Self { home, file, folder }
    }
}

fn line(stdio: &Stdio) -> String {
    let words = stdio.args.iter().map(ToString::to_string);
    std::iter::once(stdio.program.clone()).chain(words).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_pinned_server_starts_what_was_installed_with_its_own_arguments_and_environment() {
    let pinned = Pinned::new(package(Source::Npm, "@s/p", None));
    let server = server("npx -y @s/p --port {{op://V/I/f}}");
    let stdio = apply(&pinned.home, &server).unwrap().unwrap();
    assert_eq!(line(&stdio), "/usr/bin/node /entry.js --port op://V/I/f");
    assert_eq!(stdio.env.len(), 1);
}

#[test]
fn an_image_is_started_by_its_digest_with_the_options_that_were_there() {
    let pinned = Pinned::new(package(Source::Image, "h/x", Some("latest")));
    let server = server("docker run -i -e KEY h/x:latest a");
    let stdio = apply(&pinned.home, &server).unwrap().unwrap();
    assert_eq!(line(&stdio), "docker run -i -e KEY h/x@1.2.3 a");
}

#[test]
fn without_a_pin_a_server_starts_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::under(Os::CURRENT, folder.path().as_os_str());
    for line in ["npx -y @s/p", "node server.js"] {
        assert_eq!(apply(&home, &server(line)).unwrap(), None);
    }
}

// SC-02
#[test]
fn one_changed_byte_is_refused_until_a_person_pins_again() {
    let pinned = Pinned::new(package(Source::Npm, "@s/p", None));
    let server = server("npx -y @s/p");
    fs::write(&pinned.file, "two").unwrap();
    let failure: Failure = apply(&pinned.home, &server).unwrap_err().into();
    assert_eq!(failure.exit, Exit::Denied);
    assert!(failure.hint.unwrap().contains("strongroom mcp pin x"));
    fs::write(&pinned.file, "one").unwrap();
    assert!(apply(&pinned.home, &server).unwrap().is_some());
}

#[test]
fn a_file_that_was_only_touched_is_read_once_and_then_remembered() {
    let pinned = Pinned::new(package(Source::Npm, "@s/p", None));
    let server = server("npx -y @s/p");
    fs::write(&pinned.file, "one").unwrap();
    apply(&pinned.home, &server).unwrap();
    let pin = read(&pinned.home, &server.name).unwrap().unwrap();
    assert_eq!(pin.check(), Ok(None));
}

#[test]
fn a_command_that_asks_for_something_else_than_was_pinned_is_refused() {
    let pinned = Pinned::new(package(Source::Npm, "@s/p", None));
    for other in ["npx -y @s/q", "npx -y @s/p@2.0.0", "uvx p", "node evil.js", "npx -p @s/p tool"] {
        let refused = apply(&pinned.home, &server(other));
        assert!(matches!(refused, Err(PinError::Other { .. })), "{other}: {refused:?}");
    }
    assert!(apply(&pinned.home, &server("npx @s/p a b")).unwrap().is_some());
}

#[test]
fn a_pin_that_cannot_be_read_is_an_error_and_not_no_pin() {
    let pinned = Pinned::new(package(Source::Npm, "@s/p", None));
    let server = server("npx -y @s/p");
    let file = folder_of(&pinned.home, &server.name).join(FILE);
    for text in ["", "{}", "{\"version\":2}"] {
        fs::write(&file, text).unwrap();
        assert!(matches!(apply(&pinned.home, &server), Err(PinError::Unreadable { .. })), "{text}");
    }
    assert!(remove(&pinned.home, &server.name).unwrap());
    assert!(!remove(&pinned.home, &server.name).unwrap());
    assert!(apply(&pinned.home, &server).unwrap().is_none());
    assert!(pinned.folder.path().exists());
}
