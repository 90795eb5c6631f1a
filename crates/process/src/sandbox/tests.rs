use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::arguments::View;
use super::{Limits, Room};
use crate::Start;

/// What bubblewrap is told of a server that is started with `env` in `room`, a line for each option.
fn told(start: &Start, room: &Room) -> Vec<String> {
    let arguments = View::of(start, room).arguments(Path::new("/opt/strongroom"));
    let mut lines: Vec<String> = Vec::new();
    for word in arguments {
        let word = word.into_string().unwrap();
        match lines.last_mut() {
            Some(line) if !word.starts_with("--") => line.extend([" ", &word]),
            _ => lines.push(word),
        }
    }
    lines
}

fn server(env: &[(&str, &str)], dir: Option<&str>) -> Start {
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Start { env: env.collect(), dir: dir.map(PathBuf::from), ..Start::new("/usr/bin/true") }
}

#[test]
fn a_server_sees_the_folder_that_it_is_started_in_and_cannot_write_there() {
    let told = told(&server(&[("HOME", "/home/ann")], Some("/home/ann/work")), &Room::default());
    assert!(told.contains(&"--ro-bind-try /home/ann/work /home/ann/work".to_owned()), "{told:?}");
    assert!(told.contains(&"--chdir /home/ann/work".to_owned()));
    assert!(!told.iter().any(|line| line.starts_with("--bind ")));
}

#[test]
fn the_home_is_empty_even_if_the_server_is_started_in_it_or_above() {
    for dir in ["/home/ann", "/home", "/"] {
        let told = told(&server(&[("HOME", "/home/ann")], Some(dir)), &Room::default());
        assert!(told.contains(&"--tmpfs /home/ann".to_owned()), "{told:?}");
        assert!(told.contains(&"--chdir /home/ann".to_owned()), "{told:?}");
        assert!(!told.iter().any(|line| line.contains("bind") && line.ends_with(dir)), "{told:?}");
    }
}

#[test]
fn of_a_folder_of_programs_in_the_home_only_they_and_their_libraries_are_shown() {
    let env = [("HOME", "/home/ann"), ("PATH", "/usr/bin:/home/ann/.local/bin:bin:/a/../b")];
    let told = told(&server(&env, None), &Room::default());
    let shown: Vec<_> =
        told.iter().filter_map(|line| line.strip_prefix("--ro-bind-try ")).collect();
    assert!(shown.contains(&"/home/ann/.local/bin /home/ann/.local/bin"), "{shown:?}");
    assert!(shown.contains(&"/home/ann/.local/lib /home/ann/.local/lib"));
    assert!(!shown.contains(&"/home/ann/.local /home/ann/.local"));
    assert!(!shown.iter().any(|line| line.contains("..") || line.starts_with("bin")));
}

#[test]
fn what_may_be_written_is_what_was_said_and_what_was_said_of_all_is_not_shown() {
    let read = ["/srv/data", "/", "relative", "/srv/../etc"].map(PathBuf::from).into();
    let write = vec!["/srv/out".into(), "/".into()];
    let told = told(&server(&[], None), &Room { read, write, ..Room::default() });
    assert!(told.contains(&"--ro-bind-try /srv/data /srv/data".to_owned()), "{told:?}");
    assert!(told.contains(&"--bind /srv/out /srv/out".to_owned()));
    let refused =
        |line: &String| line.ends_with(" / /") || line.contains("..") || line.contains("relative");
    assert!(!told.iter().any(refused), "{told:?}");
}

#[test]
fn nothing_is_shown_by_a_path_that_the_server_can_lead_elsewhere() {
    let room = |write: &[&str]| Room {
        read: vec!["/srv/a/b".into()],
        write: write.iter().map(PathBuf::from).collect(),
        ..Room::default()
    };
    let start = server(&[("PATH", "/srv/a/bin")], Some("/srv/a/c"));
    let named = |lines: Vec<String>| {
        lines.into_iter().filter(|line| line.contains("bind") && line.contains("/srv/a/")).count()
    };
    assert_eq!(named(told(&start, &room(&["/srv/a", "/srv/a/d"]))), 0);
    assert_eq!(
        named(told(&start, &room(&["/srv/other"]))),
        5,
        "two folders, and what belongs to programs"
    );
}

#[test]
fn our_own_folders_are_covered_where_they_would_be_seen() {
    let dir = tempfile::tempdir().unwrap();
    let ours = dir.path().join("vault");
    std::fs::create_dir(&ours).unwrap();
    let cover = format!("--tmpfs {}", ours.display());
    let hide = vec![ours];
    let shown = Room { read: vec![dir.path().into()], hide: hide.clone(), ..Room::default() };
    assert!(told(&server(&[], None), &shown).contains(&cover));
    let unseen = Room { hide, ..Room::default() };
    assert!(!told(&server(&[], None), &unseen).contains(&cover));
}

#[test]
fn the_network_and_how_names_are_found_are_there_only_if_that_was_said() {
    let network = |network| told(&server(&[], None), &Room { network, ..Room::default() });
    let resolver = "--ro-bind-try /etc/resolv.conf /etc/resolv.conf".to_owned();
    let (with, without) = (network(true), network(false));
    assert!(with.contains(&"--share-net".to_owned()) && with.contains(&resolver));
    assert!(!without.contains(&"--share-net".to_owned()) && !without.contains(&resolver));
    assert!(without.contains(&"--unshare-all".to_owned()));
}

#[test]
fn its_own_folders_are_no_larger_than_its_files() {
    let limits = Limits { file_bytes: 4096, ..Limits::default() };
    let told = told(&server(&[], None), &Room { limits, ..Room::default() });
    assert_eq!(told.iter().filter(|line| *line == "--size 4096").count(), 2, "{told:?}");
}
