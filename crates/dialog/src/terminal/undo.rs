//! Puts the terminal back as it was where we cannot: a killed process leaves it without echo.

use std::cell::RefCell;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout};
use std::time::Duration;

use strongroom_process::{Child, Start, Stream};

/// Waits until its standard input is closed, which it is when we are gone, however that came. It changes
/// nothing where the terminal is not any longer as it was when it was armed: somebody else has it then.
const SCRIPT: &str = "\
trap '' HUP INT QUIT TERM TSTP TTIN TTOU
before=$(stty -g </dev/tty) || exit 1
echo ready
read -r armed || exit 0
now=$(stty -g </dev/tty) || exit 1
echo ready
read -r _
[ \"$(stty -g </dev/tty)\" = \"$now\" ] && stty \"$before\" </dev/tty
";

/// How long it may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(2);

/// What stands by.
#[derive(Debug)]
pub(super) struct Undo {
    child: Child,
    line: Option<ChildStdin>,
    answers: RefCell<Option<BufReader<ChildStdout>>>,
}

impl Undo {
    /// Stands by for the terminal as it is now. `None` where there is no shell or no `stty`: then nobody
    /// does, and a terminal that was left without echo is put right by `stty sane`.
    pub(super) fn of_this_terminal() -> Option<Self> {
        let start = Start {
            args: vec!["-c".into(), SCRIPT.into()],
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            stdin: Stream::Pipe,
            stdout: Stream::Pipe,
            ..Start::new("/bin/sh")
        };
        let mut child = start.start().ok()?;
        let (line, answers) = (child.stdin(), child.stdout().map(BufReader::new));
        let undo = Self { child, line, answers: answers.into() };
        undo.is_ready().then_some(undo)
    }

    /// From now on the terminal is put back, if it is still as it is now.
    pub(super) fn arm(&self) -> io::Result<()> {
        if let Some(mut line) = self.line.as_ref() {
            line.write_all(b"armed\n")?;
        }
        if self.is_ready() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn is_ready(&self) -> bool {
        let mut said = String::new();
        let mut answers = self.answers.borrow_mut();
        answers.as_mut().is_some_and(|answers| answers.read_line(&mut said).is_ok())
            && said == "ready\n"
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        self.line = None;
        // It ends by itself; it must not stay behind as a zombie.
        if !matches!(self.child.wait_timeout(GRACE), Ok(Some(_))) {
            drop(self.child.end(Duration::ZERO));
        }
    }
}
