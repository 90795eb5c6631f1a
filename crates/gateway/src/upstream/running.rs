//! A server that is talked to: its conversation and its end; of one that runs as a child also its words on
//! descriptor 2.

use std::collections::VecDeque;
use std::io;
use std::process::{ChildStderr, ChildStdin, ChildStdout, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use strongroom_model::far::Site;
use strongroom_model::ports::Far;
use strongroom_model::redact::Redactor;
use strongroom_process::Guarded;
use tokio::io::AsyncRead;
use tokio::time::{Instant, sleep};

use super::far::{Line as FarLine, Talk};
use super::peer::{Events, Noise, Over, Peer};
use super::pipe::{self, Line, Lines, Sender};
use crate::wire::Limits;

/// How long a child may take to end by itself when nothing more is said to it.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long calls wait to be told how it ended, where it has closed its output.
const SOON: Duration = Duration::from_millis(100);

/// The longest pause between two looks at a child that is to end.
const PAUSE: Duration = Duration::from_millis(20);

/// Lines and bytes of descriptor 2 that are kept.
const KEPT: usize = 20;
const LONGEST: usize = 512;

/// A child as the gateway needs one.
pub trait Child: Send {
    /// Its process id.
    fn id(&self) -> u32;
    /// Our end of its descriptor 0, once.
    fn stdin(&mut self) -> Option<ChildStdin>;
    /// Our end of its descriptor 1, once.
    fn stdout(&mut self) -> Option<ChildStdout>;
    /// Our end of its descriptor 2, once.
    fn stderr(&mut self) -> Option<ChildStderr>;
    /// How it ended, if it has.
    ///
    /// # Errors
    ///
    /// The system does not say.
    fn ended(&mut self) -> io::Result<Option<ExitStatus>>;
    /// Ends it with everything that it started.
    fn end(&mut self);
}

impl Child for Guarded {
    fn id(&self) -> u32 {
        self.id()
    }
    fn stdin(&mut self) -> Option<ChildStdin> {
        self.stdin()
    }
    fn stdout(&mut self) -> Option<ChildStdout> {
        self.stdout()
    }
    fn stderr(&mut self) -> Option<ChildStderr> {
        self.stderr()
    }
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.ended()
    }
    fn end(&mut self) {
        self.end();
    }
}

/// Without a guard: what leaves its group outlives it.
impl Child for strongroom_process::Child {
    fn id(&self) -> u32 {
        self.id()
    }
    fn stdin(&mut self) -> Option<ChildStdin> {
        self.stdin()
    }
    fn stdout(&mut self) -> Option<ChildStdout> {
        self.stdout()
    }
    fn stderr(&mut self) -> Option<ChildStderr> {
        self.stderr()
    }
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.wait_timeout(Duration::ZERO)
    }
    fn end(&mut self) {
        drop(self.end(Duration::ZERO));
    }
}

/// A running server.
pub struct Running {
    /// The conversation.
    pub peer: Peer,
    /// Its process id, where it is a process of ours.
    pub pid: Option<u32>,
    /// Since when.
    pub since: Instant,
    way: Way,
    said: Arc<Said>,
    over: OnceLock<Over>,
}

/// How a server is talked to.
enum Way {
    /// By the pipes of a child.
    Pipe(Sender),
    /// At its address.
    Far(Arc<Talk>),
}

/// The last lines that a server wrote to descriptor 2, redacted.
#[derive(Default)]
pub struct Said(Mutex<VecDeque<String>>);

impl Running {
    /// Takes over `child`. It goes on until it ends or [`Self::stop`] is called; then `ended` is told why,
    /// when nothing of it is left. What it writes to descriptor 2 is kept without the secrets of
    /// `redactor`.
    ///
    /// # Errors
    ///
    /// It has no pipes. It is ended.
    pub fn begin(
        mut child: Box<dyn Child>,
        limits: Limits,
        redactor: Arc<Redactor>,
        events: Arc<dyn Events>,
        ended: impl FnOnce(Over) + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let none = || io::Error::from(io::ErrorKind::BrokenPipe);
        let sender = Sender::new(child.stdin().ok_or_else(none)?)?;
        let lines = pipe::lines(child.stdout().ok_or_else(none)?, limits.message_bytes)?;
        let said = Arc::new(Said::default());
        if let Some(stderr) = child.stderr() {
            listen(pipe::errors(stderr, LONGEST)?, redactor, Arc::clone(&said));
        }
        let running = Arc::new(Self {
            peer: Peer::new(Box::new(sender.clone()), limits),
            pid: Some(child.id()),
            since: Instant::now(),
            way: Way::Pipe(sender.clone()),
            said,
            over: OnceLock::new(),
        });
        let of = Arc::clone(&running);
        tokio::spawn(async move {
            of.read(&sender, lines, &*events).await;
            sender.close();
            let over = of.wind_up(&mut *child).await;
            of.end(&over);
            ended(over);
        });
        Ok(running)
    }

    /// Talks to the server at `site`. It goes on until it cannot be reached any more, of which `ended` is
    /// told, or until [`Self::stop`] is called. Nothing is sent before it is asked something.
    pub fn reach(
        far: Arc<dyn Far>,
        site: Arc<Site>,
        limits: Limits,
        events: Arc<dyn Events>,
        ended: impl FnOnce(Over) + Send + 'static,
    ) -> Arc<Self> {
        Arc::new_cyclic(|running| {
            let ended = Box::new(ended);
            let talk = Talk::new(far, site, limits, events, running.clone(), ended);
            Self {
                peer: Peer::new(Box::new(FarLine(Arc::clone(&talk))), limits),
                pid: None,
                since: Instant::now(),
                way: Way::Far(talk),
                said: Arc::default(),
                over: OnceLock::new(),
            }
        })
    }

    /// Says goodbye. What waits for an answer fails with this reason at once.
    pub fn stop(&self, why: &str) {
        let over = Over::because(why);
        self.peer.end(&over);
        match &self.way {
            Way::Pipe(sender) => sender.close(),
            Way::Far(talk) => talk.stop(&over),
        }
    }

    /// Notes that it is over, and why.
    pub(super) fn end(&self, over: &Over) {
        self.peer.end(over);
        let _ = self.over.set(over.clone());
    }

    /// How it ended, if it has: known before `ended` is told.
    pub fn over(&self) -> Option<&Over> {
        self.over.get()
    }

    /// The last lines that it wrote to descriptor 2, redacted: for its owner, never for an agent.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().iter().cloned().collect()
    }

    /// Takes in what it writes, until it closes its output or is told to stop.
    async fn read(
        &self,
        sender: &Sender,
        mut lines: Lines<impl AsyncRead + Unpin>,
        events: &dyn Events,
    ) {
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                () = sender.closed() => return,
            };
            match line {
                Ok(Some(Line::Message(line))) => self.peer.receive(line, events),
                Ok(Some(Line::TooLong(head))) => {
                    if let Some(id) = answered(&head) {
                        let why = "the server's answer is longer than a message may be";
                        self.peer.fail(id, &Over::because(why));
                    }
                    events.noise(Noise::TooLong);
                }
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Waits for its end, and brings it about where it does not come; says how it ended.
    async fn wind_up(&self, child: &mut dyn Child) -> Over {
        let began = Instant::now();
        let mut asked = false;
        let mut pause = Duration::from_millis(1);
        loop {
            match child.ended() {
                Ok(Some(status)) => {
                    let how = if asked { "was ended" } else { "has ended" };
                    return Over::because(&format!("the server {how} ({status})"));
                }
                Err(_) => return Over::because("the server is gone"),
                Ok(None) => {}
            }
            if began.elapsed() >= SOON {
                // Nobody waits until it is gone.
                self.peer.end(&Over::because("the server has closed its output"));
            }
            if !asked && began.elapsed() >= FAREWELL {
                asked = true;
                child.end();
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE);
        }
    }
}

/// The request that a message answers which begins like this, where it says so before anything else.
fn answered(head: &[u8]) -> Option<u64> {
    let member = |rest: &'_ str, name: &str| -> Option<usize> {
        let value =
            rest.trim_start().strip_prefix(name)?.trim_start().strip_prefix(':')?.trim_start();
        Some(rest.len() - value.len())
    };
    let text = head.utf8_chunks().next()?.valid();
    let mut rest = text.trim_start().strip_prefix('{')?;
    if let Some(at) = member(rest, "\"jsonrpc\"") {
        rest = rest[at..].strip_prefix("\"2.0\"")?.trim_start().strip_prefix(',')?;
    }
    rest = &rest[member(rest, "\"id\"")?..];
    let (id, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
    let rest = rest.trim_start().strip_prefix(',')?;
    let is_answer = ["\"result\"", "\"error\""].iter().any(|name| member(rest, name).is_some());
    is_answer.then(|| id.parse().ok()).flatten()
}

impl Said {
    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the last lines. What is too long is cut, and what is no text is shown as far as it is.
fn listen(
    mut lines: Lines<impl AsyncRead + Send + Unpin + 'static>,
    redactor: Arc<Redactor>,
    said: Arc<Said>,
) {
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next().await {
            let line = match line {
                Line::Message(line) => redactor.clean(line).0.into_inner(),
                Line::TooLong(_) => b"(a long line)".to_vec(),
            };
            let text: String =
                String::from_utf8_lossy(&line).chars().filter(|c| !c.is_control()).collect();
            let mut said = said.lock();
            if said.len() == KEPT {
                said.pop_front();
            }
            said.push_back(text);
        }
    });
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use strongroom_model::redact::Labelled;
    use strongroom_model::secret::Secret;
    use strongroom_process::{Start, Stream};
    use tokio::sync::oneshot;

    use super::*;
    use crate::wire::Id;

    #[derive(Default)]
    struct Noises(Mutex<Vec<Noise>>);

    impl Events for Noises {
        fn told(&self, _: &str, _: Option<&str>) {}
        fn asked(&self, _: &Peer, _: Id<'_>, _: &str, _: Option<&str>) {}
        fn noise(&self, what: Noise) {
            self.0.lock().unwrap().push(what);
        }
    }

    /// A server that is a shell script.
    fn run(script: &str) -> (Arc<Running>, Arc<Noises>, oneshot::Receiver<Over>) {
        let pipe = Stream::Pipe;
        let start = Start {
            args: ["-c", script].map(Into::into).into(),
            stdin: pipe,
            stdout: pipe,
            stderr: pipe,
            ..Start::new("/bin/sh")
        };
        let child = Box::new(start.start().unwrap());
        let secret = Labelled {
            label: "shop".into(),
            secret: Arc::new(Secret::new(b"k-canary-1".to_vec())),
        };
        let redactor = Arc::new(Redactor::new(&[secret]));
        let noises = Arc::new(Noises::default());
        let (send, ended) = oneshot::channel();
        let tell = |over| drop(send.send(over));
        let limits = Limits { message_bytes: 1000, ..Limits::default() };
        let events = Arc::clone(&noises);
        (Running::begin(child, limits, redactor, events, tell).unwrap(), noises, ended)
    }

    async fn ping(running: &Running) -> Result<String, Over> {
        let params = |_: u64, out: &mut Vec<u8>| out.extend_from_slice(b"{}");
        let answer = running.peer.call("ping", params, None).await?;
        Ok(answer.text().unwrap().to_owned())
    }

    const ANSWER: &str = r#"echo '{"jsonrpc":"2.0","id":1,"result":{"a": 1}}'"#;

    #[tokio::test]
    async fn a_server_answers_and_ends_when_nothing_more_is_said() {
        let (running, _, ended) = run(&format!("read line; {ANSWER}; read end; exit 0"));
        assert_eq!(ping(&running).await.unwrap(), r#"{"a": 1}"#);
        running.stop("nobody wants it any more");
        assert_eq!(ping(&running).await, Err(Over::because("nobody wants it any more")));
        assert_eq!(&*ended.await.unwrap().0, "the server has ended (exit status: 0)");
    }

    #[tokio::test]
    async fn calls_of_a_server_that_dies_fail_at_once_and_say_how_it_ended() {
        let (running, _, ended) = run("read line; kill -9 $$");
        let error = ping(&running).await.unwrap_err();
        assert_eq!(&*error.0, "the server has ended (signal: 9 (SIGKILL))");
        assert_eq!(ended.await.unwrap(), error);
    }

    // RX-10
    #[tokio::test]
    async fn a_call_whose_answer_is_too_long_fails_at_once_and_the_next_one_does_not() {
        let script = r#"read line; printf '{"jsonrpc":"2.0","id":1,"result":{"a":"%05000d' 0; read line
            echo '"}}'; echo '{"jsonrpc":"2.0","id":2,"result":{}}'; read end"#;
        let (running, _, _) = run(script);
        let error = ping(&running).await.unwrap_err();
        assert_eq!(&*error.0, "the server's answer is longer than a message may be");
        assert_eq!(ping(&running).await.unwrap(), "{}");
        for other in [
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":""#,
            r#"{"result":{"id":1,"result":""#,
            r#"{"jsonrpc":"2.0","id":"1","result":""#,
            "xxxx",
        ] {
            assert_eq!(answered(other.as_bytes()), None, "{other}");
        }
        assert_eq!(answered(br#" { "id" : 7 , "error":{"message":"xx"#), Some(7));
    }

    #[tokio::test]
    async fn one_that_closes_its_output_and_lives_on_is_ended() {
        let (running, _, ended) = run("trap '' TERM; read line; exec >&-; sleep 600");
        let error = ping(&running).await.unwrap_err();
        assert_eq!(&*error.0, "the server has closed its output");
        assert!(ended.await.unwrap().0.starts_with("the server was ended"));
    }

    // MC-22, RX-10
    #[tokio::test]
    async fn garbage_is_passed_over_and_words_are_kept_without_secrets() {
        let script = format!(
            "echo banner; printf '%02000d\\n' 0; for i in 1 2 3; do echo \"say $i k-canary-1 \\033[2J\" >&2; done; \
             read line; {ANSWER}; read end"
        );
        let (running, noises, ended) = run(&script);
        ping(&running).await.unwrap();
        assert_eq!(*noises.0.lock().unwrap(), [Noise::Garbage, Noise::TooLong]);
        running.stop("enough");
        ended.await.unwrap();
        while running.said().len() < 3 {
            tokio::task::yield_now().await;
        }
        let said = running.said();
        assert!(said[0].starts_with("say 1 [REDACTED:shop] "), "{said:?}");
        assert!(!said.concat().contains(char::is_control), "{said:?}");
    }
}
