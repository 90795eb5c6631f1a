//! Runs a test of the same binary once more, as a process of its own: to be killed, to have a limit,
//! or to be one of several.
//!
//! The test that is run is `#[ignore]`d, so that nobody else starts it; it gets its parameters on
//! stdin, as lines.

use std::io::{BufRead as _, Write as _};
use std::process::{Child, Command, Output, Stdio};

/// Starts the ignored test `test` (its full path in the binary). `prelude` is what a shell does
/// before, `umask 000`, `ulimit -f 8`, or nothing; `lines` go to its stdin.
#[expect(
    clippy::disallowed_methods,
    reason = "a test that starts itself again has nothing to hide"
)]
pub fn start(test: &str, prelude: &str, lines: &[&str]) -> Child {
    let program = std::env::current_exe().expect("a test binary knows where it is");
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("{prelude}\nexec \"$0\" \"$@\""))
        .arg(program)
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("there is a shell");
    let mut stdin = child.stdin.take().expect("it was asked for");
    for line in lines {
        writeln!(stdin, "{line}").expect("the child reads its parameters");
    }
    child
}

/// Waits for a test that was started, and panics with what it said if it failed.
pub fn passed(child: Child) -> Output {
    let output = child.wait_with_output().expect("a child can be waited for");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}{stderr}");
    output
}

/// The parameters, in the test that was started.
pub fn parameters() -> Vec<String> {
    let lines = std::io::stdin().lock().lines();
    lines.map(|line| line.expect("parameters are text")).collect()
}
