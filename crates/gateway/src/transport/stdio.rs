//! One client on a pair of byte streams, a message a line.
//!
//! Answers are written where they arise, one write each, because every hand-over between threads would
//! be added to every call. A client that does not read its answers stops its own calls and nobody else's.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use strongroom_model::approval::SessionGrants;
use strongroom_model::principal::Principal;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::lines::{Input, Line, Lines};
use crate::awake::Pace;
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

/// Serves one client until `reader` ends or `writer` fails.
///
/// What runs when `reader` ends may finish and answer, for at most 5 seconds.
///
/// # Errors
///
/// Reading failed, or could not be begun. A client that goes away is not an
/// error.
pub async fn serve<R, W>(
    behind: impl Into<Behind>,
    principal: Principal,
    reader: R,
    writer: W,
    limits: Limits,
) -> io::Result<()>
where
    R: Input,
    W: Write + Send + 'static,
{
    let mut lines = Lines::new(reader, limits.message_bytes)?;
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
        pace: Arc::default(),
    };
    let mut failed = None;
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            () = connection.out.broken.notified() => {
                connection.in_flight.cancel_all();
                break;
            }
        };
        connection.pace.came();
        match line {
            Some(Ok(Line::Message(bytes))) => connection.receive(&bytes),
            Some(Ok(Line::TooLong)) => connection.refuse_long_line(),
            Some(Err(error)) => {
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
    /// How soon the client goes on.
    pace: Arc<Pace>,
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
        let (in_flight, client) = (Arc::clone(&self.in_flight), Arc::clone(&self.pace));
        tokio::spawn(async move {
            let answer = call.run(calls, cancelled, alive.clone()).await;
            if !place.leave() {
                return;
            }
            let turn = in_flight.is_empty().then(|| client.turn());
            out.say(answer.message);
            drop(alive);
            if let Some(turn) = turn {
                client.awake(turn).await;
            }
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
