//! Children as their users see them.

#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "processes that are lost are started here")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Command;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode};
use strongroom_process::{RunError, Start, Stream, run};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_child_has_the_environment_that_was_written_down_and_nothing_of_ours() {
    let start = Start { env: vec![("A".into(), "canary".into())], ..Start::new("/usr/bin/env") };
    assert_eq!(run(&start, b"", LONG, 1 << 16).unwrap().stdout, b"A=canary\n");
    let nothing = run(&Start::new("/usr/bin/env"), b"", LONG, 1 << 16).unwrap();
    assert_eq!(nothing.stdout, b"");
}

#[test]
fn a_child_has_the_descriptors_0_to_2_and_no_other_of_ours() {
    let _open = std::fs::File::open("/dev/zero").unwrap();
    let output = run(&shell("ls -l /proc/self/fd 2>/dev/null | grep -c zero"), b"", LONG, 1 << 16);
    assert_eq!(output.unwrap().stdout, b"0\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_child_with_a_session_of_its_own_has_nothing_that_our_caller_left_open_either() {
    // As a caller leaves it: not close-on-exec.
    let left = std::fs::File::open("/dev/zero").unwrap();
    rustix::io::fcntl_setfd(&left, rustix::io::FdFlags::empty()).unwrap();
    let count = "ls -l /proc/self/fd 2>/dev/null | grep -c zero";
    for (session, expected) in [(false, b"1\n"), (true, b"0\n")] {
        let output = run(&Start { session, ..shell(count) }, b"", LONG, 1 << 16).unwrap();
        assert_eq!(output.stdout, expected, "{session}");
    }
}

#[test]
fn input_goes_in_and_both_outputs_come_out_up_to_their_cap() {
    let input = vec![b'x'; 1 << 20];
    let output = run(&shell("cat; echo no >&2; exit 3"), &input, LONG, 1000).unwrap();
    assert_eq!((output.stdout.len(), &output.stderr[..]), (1000, &b"no\n"[..]));
    assert_eq!(output.status.code(), Some(3));
    let unread = run(&shell("exec 0<&-; exit 0"), &input, LONG, 1000).unwrap();
    assert!(unread.status.success());
}

#[test]
fn a_child_with_a_session_of_its_own_has_no_terminal_and_ends_with_its_group() {
    let script = "(: < /dev/tty) 2>/dev/null && echo asks; ps -o sid= -p $$; echo $$";
    let output = run(&Start { session: true, ..shell(script) }, b"", LONG, 1000).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    assert!(matches!(&words[..], [session, own] if session == own), "{text}");

    let hangs = Start { session: true, ..shell("sleep 600 & sleep 600") };
    let error = run(&hangs, b"", Duration::from_millis(50), 10).unwrap_err();
    assert!(matches!(error, RunError::Timeout { .. }), "{error}");
}

#[test]
fn a_program_that_does_not_end_in_time_is_ended() {
    let error = run(&shell("sleep 600"), b"", Duration::from_millis(50), 10).unwrap_err();
    assert!(matches!(error, RunError::Timeout { .. }), "{error}");
}

#[test]
fn what_left_the_group_and_keeps_the_pipes_is_not_waited_for() {
    let pipe = std::env::temp_dir().join(format!("left-{}", std::process::id()));
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
    // It waits for us to write, and ends when we let it.
    let script = format!("setsid cat '{}' & sleep 0.1; exit 0", pipe.display());
    let error = run(&shell(&script), b"", LONG, 10).unwrap_err();
    let gate = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    std::fs::remove_file(&pipe).unwrap();
    drop(gate);
    assert!(matches!(error, RunError::Timeout { .. }), "{error}");
}

#[test]
fn ending_a_child_ends_what_it_started_also_when_it_has_ended_itself() {
    // The pipe closes when the last of the group is gone.
    for script in ["sleep 600 & echo ready; wait", "sleep 600 & echo ready"] {
        let mut child = Start { stdout: Stream::Pipe, ..shell(script) }.start().unwrap();
        let mut stdout = BufReader::new(child.stdout().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        child.end(Duration::ZERO).unwrap();
        assert_eq!(stdout.read_to_string(&mut line).unwrap(), 0, "{script}");
    }
}

#[test]
fn a_child_that_is_asked_to_end_may_do_so_in_its_own_way() {
    let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    let mut child = Start { stdout: Stream::Pipe, ..shell(script) }.start().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert_eq!(child.wait_timeout(Duration::from_millis(1)).unwrap(), None);
    let status = child.end(LONG).unwrap();
    assert_eq!(status.code(), Some(7));
    assert_eq!(child.end(LONG).unwrap(), status, "ending twice changes nothing");
}

#[test]
fn what_cannot_be_started_is_named() {
    let error = run(&Start::new("/nonexistent/program"), b"", LONG, 10).unwrap_err();
    assert_eq!(error.to_string(), "`/nonexistent/program` cannot be started");
}

#[test]
fn a_program_in_our_place_has_our_id_a_clean_signal_mask_and_nothing_else_of_ours() {
    let script = "echo $0 $$; grep -E '^(SigBlk|SigIgn)' /proc/self/status; ulimit -c; env";
    let mut child = stage("replace", script).env("STAGE", "canary").spawn().unwrap();
    let mut output = String::new();
    child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
    assert!(child.wait().unwrap().success());
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines[0], format!("natural {}", child.id()));
    assert!(lines.contains(&"PATH=/usr/bin:/bin") && !output.contains("canary"), "{output}");
    let mask = |name| lines.iter().find_map(|line| line.strip_prefix(name)).unwrap();
    assert_eq!(u64::from_str_radix(mask("SigBlk:\t"), 16).unwrap(), 0, "{output}");
    let pipe = 1 << 12;
    assert_eq!(u64::from_str_radix(mask("SigIgn:\t"), 16).unwrap() & pipe, 0, "{output}");
    assert!(lines.contains(&"0"), "no core file: {output}");
}

#[test]
fn what_cannot_take_our_place_is_named() {
    let error = Start::new("/nonexistent/program").replace();
    assert_eq!(error.to_string(), "`/nonexistent/program` cannot be started");
}

#[test]
fn the_code_of_a_supervised_program_is_ours() {
    assert_eq!(shell("exit 7").supervise().unwrap(), 7);
    assert_eq!(shell("kill -TERM $$").supervise().unwrap(), 128 + 15);
    assert!(Start::new("/nonexistent/program").supervise().is_err());
}

#[test]
fn detached_work_outlives_us_in_a_session_of_its_own_without_a_terminal() {
    let pipe = std::env::temp_dir().join(format!("detached-{}", std::process::id()));
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
    // It waits for us to read, which we do when who started it is gone.
    let script = format!("cat /proc/self/stat > '{}'", pipe.display());
    let mut child = stage("detached", &script).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    let stat = std::fs::read_to_string(&pipe).unwrap();
    std::fs::remove_file(&pipe).unwrap();
    let [session, terminal] = [3, 4].map(|place| number(&stat, place));
    assert_ne!(session, number(&std::fs::read_to_string("/proc/self/stat").unwrap(), 3), "{stat}");
    assert_ne!(session, number(&stat, 2), "it does not lead its session: {stat}");
    assert_eq!(terminal, 0, "{stat}");
}

#[test]
fn debugging_a_start_shows_no_value() {
    let start = Start {
        env: vec![("A".into(), "canary".into())],
        args: vec!["canary".into()],
        ..Start::new("/bin/true")
    };
    let shown = format!("{start:?}");
    assert!(shown.contains("\"A\"") && !shown.contains("canary"), "{shown}");
}

/// A number of `/proc/PID/stat`, counted behind the name.
fn number(stat: &str, place: usize) -> i64 {
    let behind = stat.rsplit(')').next().unwrap();
    behind.split_whitespace().nth(place).unwrap().parse().unwrap()
}

/// The example of this crate, which does one thing and is gone.
fn stage(what: &str, script: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().with_file_name("examples").join("stage");
    let mut command = Command::new(program);
    command.args([what, script]).stdout(std::process::Stdio::piped());
    command
}

fn shell(script: &str) -> Start {
    Start {
        args: vec!["-c".into(), script.into()],
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        ..Start::new("/bin/sh")
    }
}
