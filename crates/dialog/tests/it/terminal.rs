//! Asking at a terminal that is a pseudo-terminal (DE-08).

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::room::{example, private, until};

/// A session with a terminal of its own, in which a shell runs `script`.
struct Session {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
    home: TempDir,
}

impl Session {
    /// `ASKER` in the script is the program that asks at its terminal.
    fn run(script: &str, kind: &str) -> Self {
        let home = private();
        let asker = example("asker");
        let asker = format!("{} terminal {} {kind}", asker.display(), home.path().display());
        let mut command = Command::new("script");
        command.args(["--quiet", "--flush", "--return", "--command"]);
        command.arg(script.replace("ASKER", &asker)).arg("/dev/null");
        command.env("SHELL", "/bin/sh").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let screen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (mut stdout, to) = (child.stdout.take().unwrap(), Arc::clone(&screen));
        thread::spawn(move || {
            let mut some = [0; 1024];
            while let Ok(count @ 1..) = stdout.read(&mut some) {
                to.lock().unwrap().extend_from_slice(&some[..count]);
            }
        });
        let keys = child.stdin.take().unwrap();
        Self { child, keys, screen, home }
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits until `words` stand on the screen.
    fn sees(&self, words: &str) -> String {
        until(words, || Some(self.screen()).filter(|screen| screen.contains(words)))
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    fn code(&self) -> String {
        let screen = self.sees("Enter alone denies: ");
        screen.split("Type ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    }

    /// The process that asks.
    fn asker(&self) -> Pid {
        let home = self.home.path().to_str().unwrap().as_bytes();
        until("the asker runs", || {
            fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
                let words = fs::read(entry.path().join("cmdline")).ok()?;
                let mut words = words.split(|byte| *byte == 0);
                let ours = words.next()?.ends_with(b"/asker") && words.any(|word| word == home);
                let id = entry.file_name().to_str()?.parse().ok()?;
                ours.then(|| Pid::from_raw(id)).flatten()
            })
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

// DE-08
#[test]
fn consent_at_a_terminal_is_the_code_that_it_shows() {
    for (behind, answer) in [("", "[answer=allow]"), (" session", "[answer=allow_session]")] {
        let mut session = Session::run("ASKER; true", "consent");
        let code = session.code();
        session.types(&format!("{code}{behind}\r"));
        let screen = session.sees(answer);
        assert!(
            screen.contains("A question\\u{1b}[2J") && screen.contains("\\u{202e}"),
            "{screen}"
        );
    }
}

// DE-08
#[test]
fn a_y_an_enter_and_what_was_typed_before_are_no_consent() {
    let mut session = Session::run("ASKER; true", "consent");
    session.code();
    session.types("y\r");
    session.sees("That is not it. Again: ");
    session.types("\r");
    session.sees("[answer=deny]");

    // Typed before anything is shown, and by whom is not known.
    let mut session = Session::run("read -r _; ASKER; true", "fields");
    session.types("go\rearly\rearly\r");
    session.sees("name: ");
    session.types("late\r");
    session.sees("key (not shown): ");
    session.types("canary\r");
    session.sees("[name=late key=canary]");
}

// DE-08
#[test]
fn a_password_is_not_echoed_and_a_line_is_corrected() {
    let mut session = Session::run("ASKER; true", "fields");
    session.sees("name: ");
    session.types("mex\u{7f}\r");
    session.sees("key (not shown): ");
    session.types("s3cret-typed\r");
    let screen = session.sees("[name=me key=s3cret-typed]");
    assert_eq!(screen.matches("s3cret-typed").count(), 1, "what the test itself prints: {screen}");
}

#[test]
fn control_c_cancels() {
    let mut session = Session::run("ASKER; true", "fields");
    session.sees("name: ");
    session.types("me\u{3}");
    session.sees("[the question was cancelled]");
}

// DE-08
#[test]
fn a_terminal_that_somebody_else_shares_is_not_used() {
    for (script, words) in [
        ("sleep 600 & ASKER; kill $!", "shares the terminal, and could be the agent]"),
        ("sh -c 'ASKER; true'; true", "shares the terminal, and could be the agent]"),
        ("echo y | ASKER; true", "[standard input is no terminal]"),
        ("ASKER </dev/null; true", "[standard input is no terminal]"),
        ("set -m; ASKER & wait", "[this is not what the terminal is used for just now]"),
        ("setsid -w ASKER; true", "[there is no terminal to ask at]"),
    ] {
        let session = Session::run(script, "consent");
        let screen = session.sees(words);
        assert!(!screen.contains("Type "), "{script}: {screen}");
    }
}

/// A process whose first thread has ended looks like one that nobody has waited for yet.
const HEADLESS: &str = "python3 -c 'import ctypes,threading,time
threading.Thread(target=time.sleep, args=(600,)).start()
lib = ctypes.CDLL(None)
lib.syscall({\"x86_64\": 60}.get(__import__(\"platform\").machine(), 93), 0)'";

// DE-08
#[cfg(target_os = "linux")]
#[test]
fn a_process_whose_first_thread_has_ended_shares_the_terminal() {
    let headless = "until grep -q ') Z' /proc/$!/stat; do sleep 0.01; done; ASKER; kill -9 $!";
    let session = Session::run(&format!("{HEADLESS} & {headless}"), "consent");
    let screen = session.sees("shares the terminal, and could be the agent]");
    assert!(!screen.contains("Type "), "{screen}");
}

// DE-08
#[test]
fn the_terminal_has_its_echo_again_when_the_asker_is_killed() {
    for signal in [Signal::TERM, Signal::HUP, Signal::KILL] {
        let script =
            "ASKER; until stty -a | grep -q ' echo '; do sleep 0.01; done; stty -a; echo ok";
        let mut session = Session::run(script, "fields");
        session.sees("name: ");
        session.types("me\r");
        session.sees("key (not shown): ");
        kill_process(session.asker(), signal).unwrap();
        let screen = session.sees("ok\r\n");
        let modes = screen.rsplit("key (not shown): ").next().unwrap();
        let modes: Vec<_> = modes.split_ascii_whitespace().collect();
        for mode in ["icanon", "isig", "echo"] {
            assert!(modes.contains(&mode), "{mode}: {modes:?}");
        }
    }
}
