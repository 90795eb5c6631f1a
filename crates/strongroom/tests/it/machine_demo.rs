//! `demo`: what it shows, and that it leaves nothing behind.

use std::fs;
use std::path::Path;
use std::time::Duration;

use strongroom_process::Start;

use crate::sandbox::{PROGRAM, Sandbox};

fn stage() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("tmp")).unwrap();
    let temporary = sandbox.path("tmp");
    sandbox.with("TMPDIR", temporary)
}

/// Whether a process has `path` in its environment.
fn is_in_use(path: &Path) -> bool {
    let text = path.to_str().unwrap().as_bytes().to_vec();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut environments =
        processes.filter_map(|process| fs::read(process.path().join("environ")).ok());
    environments.any(|env| env.windows(text.len()).any(|window| window == text))
}

#[test]
fn the_real_broker_does_what_the_demo_says() {
    let sandbox = stage();
    let story = sandbox.run("demo --json").ok().json();
    assert_eq!(story["holds"], true, "{story}");
    assert_eq!(story["requests"], 2, "the refused call was never sent");
    assert_eq!(story["calls"][1]["answer"]["error"]["code"], "policy_denied");
    let key = story["key"].as_str().unwrap();
    assert!(!story["calls"].to_string().contains(key), "{story}");
    assert!(!story["audit"].to_string().contains(key), "{story}");
    assert_eq!(story["audit"].as_array().unwrap().len(), 3);
}

#[test]
fn the_page_fits_a_terminal_and_has_no_colour_in_a_pipe() {
    let page = stage().run("demo").ok().stdout;
    // The path of the program is as long as it is.
    for line in page.lines().filter(|line| !line.contains(PROGRAM)) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(!page.contains('\x1b'));
    assert!(page.contains("[REDACTED:shop]"), "{page}");
}

#[test]
fn nothing_is_left_of_it() {
    let sandbox = stage();
    sandbox.run("demo").ok();
    assert!(sandbox.names("tmp").is_empty());
    assert_eq!(sandbox.names(""), ["tmp"]);
    assert!(!is_in_use(&sandbox.path("tmp")));
}

#[test]
fn nothing_is_left_of_it_where_it_is_interrupted() {
    for milliseconds in [2, 10, 30, 60, 120] {
        let sandbox = stage();
        let mut start = Start::new(PROGRAM);
        start.args = vec!["demo".into()];
        start.env = vec![("TMPDIR".into(), sandbox.path("tmp").into())];
        let mut child = start.start().unwrap();
        child.wait_timeout(Duration::from_millis(milliseconds)).unwrap();
        child.end(Duration::from_mins(1)).unwrap();
        assert!(sandbox.names("tmp").is_empty(), "after {milliseconds} ms");
        assert!(!is_in_use(&sandbox.path("tmp")), "after {milliseconds} ms");
    }
}

#[test]
fn a_demo_without_a_place_says_so() {
    let sandbox = Sandbox::new().with("TMPDIR", "/nowhere/at/all");
    let refused = sandbox.run("demo");
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("temporary files"), "{refused:?}");
}
