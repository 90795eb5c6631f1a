//! One client on a pair of byte streams, a message a line.
//!
//! A thread of its own reads, because a read of standard input cannot be cancelled; answers are
//! written where they arise, one write each, because every hand-over between threads would be
//! added to every call. A client that does not read its answers stops its own calls and nobody
//! else's.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_model::approval::SessionGrants;
use strongroom_model::principal::Principal;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::behind::Behind;
use crate::prompt::Outbox;
use crate::protocol::listen::Ears;
use crate::protocol::{self, Handled, Hello, Params, Visit};
use crate::session::{InFlight, Session};
use crate::wire::{self, Id, Limits, Message, Notification, Request, RpcError, write};

/// How long calls may go on when the client has said all it had to say.
const GRACE: Duration = Duration::from_secs(5);

/// How long calls that were told to end may take to do so.
const CANCELLED: Duration = Duration::from_secs(2);

/// Lines that are read ahead.
const AHEAD: usize = 8;

/// Serves one client until `reader` ends or `writer` fails.
///
/// What runs when `reader` ends may finish and answer, for at most 5 seconds.
///
/// # Errors
///
/// Reading failed, or the reading thread could not be started. A client that goes away is not an
/// error.
pub async fn serve<R, W>(
    behind: impl Into<Behind>,
    principal: Principal,
    reader: R,
    writer: W,
    limits: Limits,
) -> io::Result<()>
where
    R: Read + Send + 'static,
    W: Write + Send + 'static,
{
    let mut lines = lines(reader, limits.message_bytes)?;
    let (alive, mut ended) = mpsc::channel(1);
    let in_flight = Arc::new(InFlight::default());
    let out = Arc::new(Out { writer: Mutex::new(writer), broken: Notify::new() });
    let granted = Arc::default();
    let mut connection = Connection {
        behind: behind.into(),
        principal,
        granted,
        limits,
        session: None,
        telling: None,
        in_flight,
        out,
        alive,
    };
    let mut failed = None;
    loop {
        let line = tokio::select! {
            line = lines.recv() => line,
            () = connection.out.broken.notified() => {
                connection.in_flight.cancel_all();
                break;
            }
        };
        match line {
            Some(Line::Message(bytes)) => connection.receive(&bytes),
            Some(Line::TooLong) => connection.refuse_long_line(),
            Some(Line::Failed(error)) => {
                // Whoever called hears no answer.
                connection.in_flight.cancel_all();
                failed = Some(error);
            }
            None => break,
        }
    }
    let Connection { in_flight, alive, telling, .. } = connection;
    if let Some(telling) = telling {
        telling.abort();
    }
    drop(alive);
    if timeout(GRACE, ended.recv()).await.is_err() {
        in_flight.cancel_all();
        let _ = timeout(CANCELLED, ended.recv()).await;
    }
    failed.map_or(Ok(()), Err)
}

struct Connection<W> {
    behind: Behind,
    principal: Principal,
    /// What was granted for as long as this connection lasts.
    granted: Arc<SessionGrants>,
    limits: Limits,
    session: Option<Arc<Session>>,
    /// Tells the client of changes.
    telling: Option<AbortHandle>,
    in_flight: Arc<InFlight>,
    out: Arc<Out<W>>,
    /// Whoever holds a copy still has something to do.
    alive: mpsc::Sender<()>,
}

impl<W: Write + Send + 'static> Connection<W> {
    fn receive(&mut self, line: &[u8]) {
        match wire::parse(line, self.limits) {
            Err(rejected) => self.out.say(write::error(rejected.id, &rejected.error)),
            Ok(Message::Response(response)) => {
                // One that nobody waits for is late, or answers nothing.
                if let Some(session) = &self.session {
                    session.questions.answered(&response);
                }
            }
            Ok(Message::Notification(notification)) => self.notified(&notification),
            Ok(Message::Request(request)) => match self.handle(&request) {
                Ok(Handled::Reply(answer)) => self.out.say(answer),
                Ok(Handled::Call(call)) => self.start(request.id, *call),
                Ok(Handled::Refused(error)) | Err(error) => {
                    self.out.say(write::error(Some(request.id), &error));
                }
            },
        }
    }

    fn refuse_long_line(&self) {
        let error = RpcError::invalid_request("the message is too large");
        self.out.say(write::error(None, &error));
    }

    fn handle(&mut self, request: &Request<'_>) -> Result<Handled, RpcError> {
        let params = Params::read(request.params)?;
        if let Some(version) = params.version()? {
            params.modern(&version)?;
            let visit = Visit {
                behind: &self.behind,
                principal: &self.principal,
                session: Some(Arc::clone(&self.granted)),
                out: Some(self.out()),
                headers: None,
            };
            return Ok(protocol::modern(visit, request, &params));
        }
        if request.method == "server/discover" {
            return Err(protocol::missing_meta());
        }
        match &self.session {
            Some(session) => {
                let origin = session.origin(Some(self.out()), &params)?;
                Ok(protocol::legacy(&self.behind, session, origin, request, &params))
            }
            None if request.method == "initialize" => {
                let hello = Hello::read(&params)?;
                let answer = hello.answer(request.id, &self.behind, &self.principal);
                let mut session = Session::new(hello, self.principal.clone());
                session.caller.channel.session = Some(Arc::clone(&self.granted));
                let session = Arc::new(session);
                self.tell_of_changes(&session);
                self.session = Some(session);
                Ok(Handled::Reply(answer))
            }
            None if request.method == "ping" => Ok(Handled::Reply(protocol::pong(request.id))),
            None => Err(RpcError::invalid_request("the session is not initialized")),
        }
    }

    /// From now on the client hears of changes.
    fn tell_of_changes(&mut self, session: &Arc<Session>) {
        let Some(mut ears) = Ears::new(&self.behind, session.caller.clone()) else { return };
        let (session, out) = (Arc::clone(session), Arc::clone(&self.out));
        let telling = tokio::spawn(async move {
            loop {
                for news in ears.next().await {
                    if session.wants(&news) {
                        out.say(news.message(None));
                    }
                }
            }
        });
        self.telling = Some(telling.abort_handle());
    }

    fn out(&self) -> Arc<dyn Outbox> {
        Arc::new(Arc::clone(&self.out))
    }

    fn start(&self, id: Id<'_>, call: protocol::Call) {
        let Some((place, cancelled)) = self.in_flight.enter(id) else {
            // With its id the error would pass for the answer to the call that is in flight.
            let error = RpcError::invalid_request("the id is in use");
            return self.out.say(write::error(None, &error));
        };
        let (calls, alive, out) =
            (Arc::clone(&self.behind.calls), self.alive.clone(), Arc::clone(&self.out));
        tokio::spawn(async move {
            let answer = call.run(calls, cancelled, alive.clone()).await;
            if place.leave() {
                out.say(answer.message);
            }
            drop(alive);
        });
    }

    fn notified(&self, notification: &Notification<'_>) {
        if let Some(raw) = protocol::cancelled(notification)
            && let Some(id) = Id::read(raw)
        {
            self.in_flight.cancel(id);
        }
    }
}

struct Out<W> {
    writer: Mutex<W>,
    broken: Notify,
}

impl<W: Write> Out<W> {
    fn say(&self, message: Vec<u8>) {
        self.sent(message);
    }

    fn sent(&self, mut message: Vec<u8>) -> bool {
        message.push(b'\n');
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = writer.write_all(&message).and_then(|()| writer.flush()).is_ok();
        if !sent {
            self.broken.notify_one();
        }
        sent
    }
}

impl<W: Write + Send> Outbox for Arc<Out<W>> {
    fn send(&self, message: Vec<u8>) -> bool {
        self.sent(message)
    }
}

enum Line {
    Message(Vec<u8>),
    TooLong,
    Failed(io::Error),
}

/// Reads lines in a thread of its own, at most a few ahead.
fn lines(reader: impl Read + Send + 'static, cap: usize) -> io::Result<mpsc::Receiver<Line>> {
    let (send, receive) = mpsc::channel(AHEAD);
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        let mut reader = BufReader::with_capacity(64 << 10, reader);
        loop {
            let line = match read_line(&mut reader, cap) {
                Ok(Some(line)) => line,
                Ok(None) => return,
                Err(error) => {
                    let _ = send.blocking_send(Line::Failed(error));
                    return;
                }
            };
            if matches!(&line, Line::Message(bytes) if bytes.iter().all(u8::is_ascii_whitespace)) {
                continue;
            }
            if send.blocking_send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(receive)
}

/// The next line without its end; of one over the cap nothing is kept.
fn read_line(reader: &mut impl BufRead, cap: usize) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    let mut any = false;
    let mut too_long = false;
    loop {
        let chunk = match reader.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        any |= !chunk.is_empty();
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = &chunk[..end.unwrap_or(chunk.len())];
        if line.len() + part.len() > cap {
            too_long = true;
            line = Vec::new();
        }
        if !too_long {
            line.extend_from_slice(part);
        }
        let done = end.is_some() || chunk.is_empty();
        let used = part.len() + usize::from(end.is_some());
        reader.consume(used);
        if done {
            return Ok(match (any, too_long) {
                (false, _) => None,
                (true, true) => Some(Line::TooLong),
                (true, false) => Some(Line::Message(line)),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_over_the_cap_is_dropped_as_it_comes_and_the_next_one_is_read() {
        let text = [b"short\r\n", "x".repeat(100_000).as_bytes(), b"\nnext\n\nlast"].concat();
        let mut reader = BufReader::with_capacity(64, text.as_slice());
        let mut next = || match read_line(&mut reader, 1000).unwrap() {
            None => "end".to_owned(),
            Some(Line::TooLong) => "too long".to_owned(),
            Some(Line::Message(line)) => String::from_utf8(line).unwrap(),
            Some(Line::Failed(error)) => error.to_string(),
        };
        let read: Vec<_> = (0..6).map(|_| next()).collect();
        assert_eq!(read, ["short\r", "too long", "next", "", "last", "end"]);
    }
}
