//! A window program without a window, for the tests: it speaks the protocol of
//! `docs/reference/asking.md`, its failures included.
//!
//! The first line of the description says what it does; a field is answered by its placeholder.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use strongroom_model::form::{Choice, Form, Kind};

fn main() -> ExitCode {
    let mut template = Vec::new();
    let read = io::stdin().read_to_end(&mut template);
    let Some(form) = read.ok().and_then(|_| Form::read(&template).ok()) else {
        return refuse("the template cannot be used");
    };
    let script = form.description.lines().next().unwrap_or_default();
    let (what, rest) = script.split_once(' ').unwrap_or((script, ""));
    match what {
        "answer" => print(&answers(&form)),
        "print" => print(rest),
        "flood" => print(&"canary".repeat(64 << 20)),
        "cancel" => ExitCode::from(1),
        "refuse" => refuse(rest),
        "refuse-twice" => {
            print(&answers(&form));
            refuse(rest)
        }
        "code" => ExitCode::from(rest.parse().unwrap_or(2)),
        "environment" => print(&format!("{{\"a\":\"{}\"}}", variables())),
        "descriptors" => print(&format!("{{\"a\":\"{}\"}}", descriptors())),
        "arguments" => print(&format!("{{\"a\":\"{}\"}}", std::env::args_os().count())),
        "record" => record(rest, &form),
        "hang" => hang(),
        "stop" => unix::stop(),
        "die" => unix::die(),
        _ => refuse("no script"),
    }
}

fn answers(form: &Form) -> String {
    if form.kind == Kind::Consent {
        return Choice::Allow.to_json();
    }
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let answer = |name: &str, answer: &str| format!("{}:{}", quoted(name), quoted(answer));
    let answers: Vec<_> =
        form.fields.iter().map(|field| answer(&field.name, &field.placeholder)).collect();
    format!("{{{}}}", answers.join(","))
}

fn print(text: &str) -> ExitCode {
    drop(io::stdout().write_all(text.as_bytes()));
    ExitCode::SUCCESS
}

fn refuse(text: &str) -> ExitCode {
    drop(writeln!(io::stderr(), "{text}"));
    ExitCode::from(2)
}

#[expect(clippy::disallowed_methods, reason = "what it was started with is what the tests ask")]
fn variables() -> String {
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    names.collect::<Vec<_>>().join(" ")
}

fn descriptors() -> String {
    // The folder itself is open while it is read.
    let open = (0..64).filter(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok());
    open.map(|fd| fd.to_string()).collect::<Vec<_>>().join(" ")
}

/// Writes down when it begins and when it ends.
fn record(to: &str, form: &Form) -> ExitCode {
    let (to, hangs) = to.strip_suffix(" and hang").map_or((to, false), |to| (to, true));
    let write = |sign: char| {
        let file = OpenOptions::new().create(true).append(true).open(to);
        drop(
            file.and_then(|mut file| file.write_all(format!("{sign}{}\n", form.title).as_bytes())),
        );
    };
    write('+');
    let code = if hangs { hang() } else { print(&answers(form)) };
    write('-');
    code
}

/// Waits until nobody reads the answers any longer.
fn hang() -> ExitCode {
    unix::wait_for_the_reader();
    ExitCode::from(1)
}

#[cfg(unix)]
mod unix {
    use std::process::ExitCode;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::process::{Signal, getpid, kill_process};

    pub(super) fn wait_for_the_reader() {
        let stdout = rustix::stdio::stdout();
        let _ = poll(&mut [PollFd::new(&stdout, PollFlags::empty())], None);
    }

    /// Hears no signal but the one that nobody can refuse.
    pub(super) fn stop() -> ExitCode {
        let _ = kill_process(getpid(), Signal::STOP);
        ExitCode::SUCCESS
    }

    pub(super) fn die() -> ExitCode {
        let _ = kill_process(getpid(), Signal::KILL);
        ExitCode::SUCCESS
    }
}

#[cfg(not(unix))]
mod unix {
    use std::process::ExitCode;

    pub(super) fn wait_for_the_reader() {}

    pub(super) fn stop() -> ExitCode {
        ExitCode::SUCCESS
    }

    pub(super) fn die() -> ExitCode {
        ExitCode::SUCCESS
    }
}
