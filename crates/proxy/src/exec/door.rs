//! Answers git when it asks for a user and a password.
//!
//! git calls our own program, which holds nothing: it hands the question on through a socket in the
//! folder of the run. Who may ask: a process of this user in the session of this run, which no other
//! process can join, as long as the run lasts. What is answered: the question for the one host of the
//! configuration, word for word as git puts it. Any other question has no answer.
#![cfg_attr(not(unix), expect(dead_code, reason = "the configuration refuses `askpass` there"))]

use std::fmt::Write as _;
use std::sync::Arc;

use strongroom_model::code::{Code, Refusal};
use strongroom_model::command::{Askpass, Command, Program};
use strongroom_model::injection::Bound;
use tokio::sync::SetOnce;
use zeroize::Zeroizing;

use super::environment;
use super::scratch::Scratch;

/// What git asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Username,
    Password,
}

/// What is being asked, if it is about the host of `askpass` and nothing else: a whole question is
/// compared with the ones that git puts, so that no spelling of another host can pass for it.
fn wanted(question: &str, askpass: &Askpass) -> Option<Wanted> {
    let schemes: &[&str] = if askpass.insecure { &["https", "http"] } else { &["https"] };
    let encoded = encoded(&askpass.username);
    for scheme in schemes {
        let host = &askpass.host;
        if question == format!("Username for '{scheme}://{host}': ") {
            return Some(Wanted::Username);
        }
        for user in [&askpass.username, &encoded] {
            if question == format!("Password for '{scheme}://{user}@{host}': ") {
                return Some(Wanted::Password);
            }
        }
    }
    None
}

/// As newer versions of git write a user in a question.
fn encoded(user: &str) -> String {
    let mut text = String::new();
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte.into());
        } else {
            write!(text, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    text
}

/// The answers of one run.
struct Answers {
    askpass: Askpass,
    password: Zeroizing<Vec<u8>>,
}

impl Answers {
    fn to(&self, question: &str) -> Option<&[u8]> {
        Some(match wanted(question, &self.askpass)? {
            Wanted::Username => self.askpass.username.as_bytes(),
            Wanted::Password => &self.password,
        })
    }
}

fn answers(command: &Command, bound: &Bound<Program>) -> Result<Option<Answers>, Refusal> {
    let Some(askpass) = command.askpass.clone() else { return Ok(None) };
    let password = environment::fill(&askpass.password, bound.credential())?;
    if password.iter().any(|byte| matches!(byte, b'\n' | b'\r' | 0)) {
        let text = "the password of this service has a line end in it";
        return Err(Refusal::new(Code::SecretUnavailable, text));
    }
    Ok(Some(Answers { askpass, password }))
}

/// The socket of one run, where its service answers git.
pub(super) struct Door(Option<platform::Open>);

impl Door {
    /// Opens it, where `command` has something to answer.
    pub(super) fn open(
        command: &Command,
        bound: &Bound<Program>,
        scratch: &Scratch,
        session: &Arc<SetOnce<u32>>,
    ) -> Result<Self, Refusal> {
        let Some(answers) = answers(command, bound)? else { return Ok(Self(None)) };
        let open = platform::open(&scratch.door(), answers, Arc::clone(session));
        let closed = |_| Refusal::new(Code::UpstreamError, "git cannot be answered here");
        open.map(|open| Self(Some(open))).map_err(closed)
    }

    /// Answers until it is dropped.
    pub(super) async fn answer(self) {
        match self.0 {
            Some(open) => open.answer().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(unix)]
mod platform {
    use std::io;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use rustix::process::geteuid;
    use strongroom_process::session_of;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{UnixListener, UnixStream};
    use tokio::sync::SetOnce;
    use tokio::time::timeout;

    use super::Answers;

    /// How long one question may take.
    const PATIENCE: Duration = Duration::from_secs(5);

    /// The longest question.
    const LONGEST: u64 = 4 << 10;

    pub(super) struct Open {
        listener: UnixListener,
        answers: Arc<Answers>,
        session: Arc<SetOnce<u32>>,
    }

    pub(super) fn open(
        path: &Path,
        answers: Answers,
        session: Arc<SetOnce<u32>>,
    ) -> io::Result<Open> {
        let listener = UnixListener::bind(path)?;
        Ok(Open { listener, answers: Arc::new(answers), session })
    }

    impl Open {
        pub(super) async fn answer(self) {
            loop {
                if let Ok((stream, _)) = self.listener.accept().await {
                    let (answers, session) = (Arc::clone(&self.answers), Arc::clone(&self.session));
                    tokio::spawn(timeout(PATIENCE, async move {
                        // The program may ask before whoever started it has said what it is.
                        if may_ask(&stream, *session.wait().await) {
                            let _ = exchange(stream, answers).await;
                        }
                    }));
                }
            }
        }
    }

    /// Whether a process of the run of `session` asks.
    fn may_ask(stream: &UnixStream, session: u32) -> bool {
        let Ok(peer) = stream.peer_cred() else { return false };
        let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok());
        peer.uid() == geteuid().as_raw() && pid.and_then(session_of) == Some(session)
    }

    /// The question ends where the asker's half of the stream does.
    async fn exchange(mut stream: UnixStream, answers: Arc<Answers>) -> io::Result<()> {
        let mut question = String::new();
        (&mut stream).take(LONGEST).read_to_string(&mut question).await?;
        if let Some(answer) = answers.to(&question) {
            stream.write_all(answer).await?;
        }
        stream.shutdown().await
    }
}

#[cfg(not(unix))]
mod platform {
    use std::io;
    use std::path::Path;
    use std::sync::Arc;

    use tokio::sync::SetOnce;

    use super::Answers;

    pub(super) enum Open {}

    /// The configuration refuses it before.
    pub(super) fn open(_: &Path, _: Answers, _: Arc<SetOnce<u32>>) -> io::Result<Open> {
        Err(io::ErrorKind::Unsupported.into())
    }

    impl Open {
        pub(super) async fn answer(self) {
            match self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn askpass(insecure: bool) -> Askpass {
        Askpass {
            host: "git.example.com:8443".into(),
            username: "me+ci@example.com".into(),
            password: strongroom_model::command::Value::default(),
            insecure,
        }
    }

    #[test]
    fn only_the_question_for_the_one_host_is_answered() {
        use Wanted::{Password, Username};
        let (user, raw) = ("me%2Bci%40example.com", "me+ci@example.com");
        let host = "git.example.com:8443";
        for (question, expected) in [
            (format!("Username for 'https://{host}': "), Some(Username)),
            (format!("Password for 'https://{user}@{host}': "), Some(Password)),
            (format!("Password for 'https://{raw}@{host}': "), Some(Password)),
            (format!("Username for 'http://{host}': "), None),
            (format!("Password for 'https://{host}': "), None),
            (format!("Password for 'https://other@{host}': "), None),
            (format!("Password for 'https://{raw}@evil.test': "), None),
            // A user with an encoded slash in it, as older versions of git show it.
            (format!("Password for 'https://{raw}@{host}/@evil.test': "), None),
            (format!("Username for 'https://{host}@evil.test': "), None),
            (format!("Username for 'https://{host}.evil.test': "), None),
            (format!("Username for 'https://{host}/repo.git': "), None),
            (format!("Username for 'https://{host}': \n"), None),
            (format!("Username for 'https://evil.test'\nUsername for 'https://{host}': "), None),
            ("Username for 'https://git.example.com': ".into(), None),
            ("Enter passphrase for key '/home/me/.ssh/id': ".into(), None),
            (String::new(), None),
        ] {
            assert_eq!(wanted(&question, &askpass(false)), expected, "{question}");
        }
        let http = format!("Username for 'http://{host}': ");
        assert_eq!(wanted(&http, &askpass(true)), Some(Username));
    }
}
