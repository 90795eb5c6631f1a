//! Where the window program may be, and which one it must be (SC-08).

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use strongroom_dialog::{NoWindow, Places, Window};

use crate::room::{Room, private};

fn refused(room: &Room) -> NoWindow {
    Window::find(&room.places()).unwrap_err()
}

fn mode(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

// SC-08
#[test]
fn the_program_of_this_build_is_found_in_its_folder_and_beside_us() {
    let room = Room::new();
    assert_eq!(Window::find(&room.places()).unwrap().path(), room.program());
    let us = room.folder.path().join("strongroom");
    fs::write(&us, "").unwrap();
    let environment = room.environment(&[("DISPLAY", ":0")]);
    let found = Window::find(&Places::beside(&us, &environment)).unwrap();
    assert_eq!(found.path(), room.program());
    let link = room.home.path().join("a-link-to-us");
    symlink(&us, &link).unwrap();
    assert!(Window::find(&Places::beside(&link, &environment)).is_ok());
}

// SC-08
#[test]
fn a_program_that_is_not_there_is_not_looked_for_elsewhere() {
    let room = Room::new();
    let path = room.folder.path().to_str().unwrap();
    let environment = room.environment(&[("DISPLAY", ":0"), ("PATH", path)]);
    let elsewhere = private();
    let error = Window::find(&Places::within(elsewhere.path(), &environment)).unwrap_err();
    assert!(matches!(&error, NoWindow::Missing { folder } if folder == elsewhere.path()));
    assert_eq!(error.as_str(), "dialog_missing");
    assert!(error.hint().unwrap().contains("cargo xtask dist"));
    let error = Window::find(&Places::within("", &environment)).unwrap_err();
    assert!(matches!(error, NoWindow::Missing { .. }), "{error}");
}

// SC-08
#[test]
fn a_program_that_was_replaced_is_refused() {
    let room = Room::new();
    let good = fs::read(room.program()).unwrap();
    fs::remove_file(room.program()).unwrap();
    fs::write(room.program(), [&good[..], b"x"].concat()).unwrap();
    mode(&room.program(), 0o755);
    assert_eq!(refused(&room).as_str(), "dialog_changed");
    fs::write(room.program(), "").unwrap();
    assert_eq!(refused(&room).as_str(), "dialog_changed");
    fs::write(room.program(), good).unwrap();
    assert!(Window::find(&room.places()).is_ok());
}

// SC-08
#[test]
fn without_a_manifest_that_names_it_no_program_is_used() {
    let room = Room::new();
    let good = fs::read(room.manifest()).unwrap();
    for text in ["", "{}", "{\"version\":1,\"programs\":{}}", "canary"] {
        fs::write(room.manifest(), text).unwrap();
        let error = refused(&room);
        assert_eq!(error.as_str(), "dialog_manifest");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
    fs::remove_file(room.manifest()).unwrap();
    assert_eq!(refused(&room).as_str(), "dialog_manifest");
    fs::write(room.manifest(), good).unwrap();
    assert!(Window::find(&room.places()).is_ok());
}

// SC-08
#[test]
fn links_folders_and_pipes_are_no_window_programs() {
    let room = Room::new();
    let aside = room.folder.path().join("aside");
    fs::rename(room.program(), &aside).unwrap();
    symlink(&aside, room.program()).unwrap();
    assert_eq!(refused(&room).as_str(), "dialog_unsafe");
    fs::remove_file(room.program()).unwrap();
    fs::create_dir(room.program()).unwrap();
    assert_eq!(refused(&room).as_str(), "dialog_unsafe");
    fs::remove_dir(room.program()).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, room.program(), fifo, 0o700.into(), 0).unwrap();
    assert_eq!(refused(&room).as_str(), "dialog_unsafe");
    fs::remove_file(room.program()).unwrap();
    fs::rename(&aside, room.program()).unwrap();
    assert!(Window::find(&room.places()).is_ok());
}

// SC-08
#[test]
fn what_others_can_write_is_refused() {
    let room = Room::new();
    // A copy: a mode goes with all names of a file.
    let program = fs::read(room.program()).unwrap();
    fs::remove_file(room.program()).unwrap();
    fs::write(room.program(), program).unwrap();
    mode(&room.program(), 0o755);
    for path in [room.program(), room.manifest(), room.folder.path().to_owned()] {
        assert!(Window::find(&room.places()).is_ok());
        let before = fs::metadata(&path).unwrap().permissions();
        mode(&path, 0o777);
        let error = refused(&room);
        assert!(
            matches!(&error, NoWindow::Unsafe { path: named, .. } if *named == path),
            "{error}"
        );
        fs::set_permissions(&path, before).unwrap();
    }
    // The group with the number of its user is that user's own.
    mode(room.folder.path(), 0o770);
    let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    assert_eq!(Window::find(&room.places()).is_ok(), user == group);
}

#[test]
fn where_there_is_no_display_the_program_is_checked_first() {
    let room = Room::new();
    let places = Places::within(room.folder.path(), &room.environment(&[]));
    assert_eq!(Window::find(&places).unwrap_err().as_str(), "no_display");
    room.write_manifest(&"0".repeat(64));
    assert_eq!(Window::find(&places).unwrap_err().as_str(), "dialog_changed");
}
