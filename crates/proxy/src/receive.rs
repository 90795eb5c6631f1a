//! From the head of a response to an answer: its body collected or saved, and redacted.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::{HeaderMap, Response, StatusCode};
use strongroom_model::audit::Facts;
use strongroom_model::call::{Answer, Truncated};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::principal::Name;
use strongroom_model::redact::Clean;

use crate::decode::{Coded, Sink, Stop};
use crate::events::{Events, redact_across};
use crate::exchange::{Exchange, Unfinished, ending};
use crate::executor::Send;
use crate::fields::Sealing;
use crate::handles::Sealer;
use crate::link::{Inbound, Link};
use crate::save::{Markers, Save};
use crate::watch::{Pulse, Stopped};
use crate::{fields, response};

/// What a caller wants of the body of an answer.
#[derive(Clone, Copy)]
pub(crate) struct Wish<'a> {
    /// Whose exchange folder it is about.
    pub(crate) principal: &'a Name,
    /// Where that is.
    pub(crate) exchange: Option<&'a Exchange>,
    /// Whether the body of a good answer goes into a file there.
    pub(crate) save: bool,
    /// Events of an event stream at the most, if it was said.
    pub(crate) max_events: Option<u32>,
}

/// Collects a whole body.
struct Whole {
    out: Vec<u8>,
    cap: usize,
}

impl Sink for Whole {
    async fn take(&mut self, piece: &[u8]) -> Result<(), Stop> {
        if piece.len() > self.cap - self.out.len() {
            return Err(Stop::TooLarge);
        }
        self.out.extend_from_slice(piece);
        Ok(())
    }
}

impl<'a> Send<'a> {
    /// Reads the answer to its end, or to where it is left.
    pub(crate) async fn finish(
        &mut self,
        mut link: Link,
        response: Response<Inbound>,
        ranged: bool,
        dropped_headers: Vec<String>,
        facts: &mut Facts,
    ) -> Result<Answer, Refusal> {
        let (head, body) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let text = "the upstream switched to another protocol";
            return Err(Refusal::new(Code::UpstreamError, text));
        }
        if head.status == StatusCode::PARTIAL_CONTENT && !ranged {
            // Pieces of a body can get around redaction (RR-09).
            let text = "the upstream answered with a part that was not asked for";
            return Err(Refusal::new(Code::UpstreamError, text));
        }
        let saves = self.wish.save && head.status.is_success();
        let answer = if is_event_stream(&head.headers) {
            self.events(&mut link, &head, body, saves, facts).await
        } else if saves {
            self.saved(&mut link, &head, body, facts).await
        } else {
            self.whole(&mut link, &head, body, facts).await
        };
        match &answer {
            Ok(answer) if answer.truncated.is_none() => {
                self.executor.pool.put(self.service, link).await;
            }
            Err(refusal) if refusal.code == Code::UpstreamTimeout => {
                self.executor.pool.forget(self.service, &link);
            }
            // Nobody reads the rest.
            _ => drop(link),
        }
        let mut answer = answer?;
        // Asked for only now, so that it knows what was loaded while the upstream was thinking.
        let redactor = self.credentials.redactor();
        let (headers, in_headers) = response::visible(&head.headers, &redactor);
        answer.status = head.status.as_u16();
        answer.headers = headers;
        answer.redactions += in_headers;
        answer.dropped_headers = dropped_headers;
        facts.redactions = answer.redactions;
        facts.sealed = answer.sealed;
        Ok(answer)
    }

    /// An answer that is held as a whole.
    async fn whole(
        &mut self,
        link: &mut Link,
        head: &Parts,
        body: Inbound,
        facts: &mut Facts,
    ) -> Result<Answer, Refusal> {
        let cap = self.service.limits.response_bytes;
        let pulse = Pulse::new();
        let body = Coded::new(link, &head.headers, body, cap as u64, pulse.clone())?.fitting()?;
        let mut whole = Whole { out: Vec::with_capacity(body.expected()), cap };
        self.read(&pulse, body, &mut whole).await??;
        facts.response_bytes = whole.out.len() as u64;
        let (body, sealed, unsealed) = self.sealed(head, whole.out);
        let (body, redactions) = self.redacted(body)?;
        Ok(Answer { body, redactions: redactions + unsealed, sealed, ..Answer::default() })
    }

    /// The answer of an event stream: whole events up to its end or to where it was left. One that
    /// pauses, or has no end, is no error.
    async fn events(
        &mut self,
        link: &mut Link,
        head: &Parts,
        body: Inbound,
        saves: bool,
        facts: &mut Facts,
    ) -> Result<Answer, Refusal> {
        let limits = self.service.limits;
        let most = self.wish.max_events.map_or(limits.events, |most| most.min(limits.events));
        let pulse = Pulse::new();
        let cap = limits.response_bytes;
        let body = Coded::new(link, &head.headers, body, cap as u64, pulse.clone())?;
        let mut events = Events::new(most, cap);
        let truncated = match self.read(&pulse, body, &mut events).await {
            Ok(Ok(())) => None,
            Ok(Err(Stop::Enough)) => Some(Truncated::Events),
            Err(Stopped::Idle) => Some(Truncated::Idle),
            Err(Stopped::Late) => Some(Truncated::Total),
            Ok(Err(stop)) => return Err(stop.into()),
            Err(Stopped::Gone) => return Err(Stopped::Gone.into()),
        };
        let body = if truncated.is_some() { events.into_whole() } else { events.into_bytes() };
        facts.response_bytes = body.len() as u64;
        let (body, sealed, unsealed) = self.sealed(head, body);
        let redactor = self.credentials.redactor();
        let (body, across) = redact_across(body, &redactor);
        let across = across + unsealed;
        if saves {
            let (file, room) = self.begin(&head.headers)?;
            let marker = self.marker();
            let names = &self.service.redact_fields;
            let mut save = Save::new(self.credentials, names, &marker, file, room);
            save.take(&body).await?;
            let (file, markers) = save.finish().await?;
            let redactions = markers.redacted + across;
            return Ok(Answer {
                file: Some(file),
                truncated,
                redactions,
                sealed,
                ..Answer::default()
            });
        }
        let (body, redactions) = self.redacted(body)?;
        let redactions = redactions + across;
        Ok(Answer { body, truncated, redactions, sealed, ..Answer::default() })
    }

    /// An answer that goes into a file.
    async fn saved(
        &mut self,
        link: &mut Link,
        head: &Parts,
        body: Inbound,
        facts: &mut Facts,
    ) -> Result<Answer, Refusal> {
        let (file, room) = self.begin(&head.headers)?;
        let cap = self.service.limits.file_bytes.min(room);
        let pulse = Pulse::new();
        let body = Coded::new(link, &head.headers, body, cap, pulse.clone())?.fitting()?;
        let marker = self.marker();
        let service = self.service;
        let sealing = self.sealing(head, &marker);
        let mut save = Save::new(self.credentials, &service.redact_fields, &marker, file, cap);
        save.seal(sealing);
        self.read(&pulse, body, &mut save).await??;
        facts.response_bytes = save.read();
        let (saved, markers) = self.watch.run(save.finish()).await??;
        let Markers { redacted: redactions, sealed } = markers;
        Ok(Answer { file: Some(saved), redactions, sealed, ..Answer::default() })
    }

    /// Hands `body` to `sink`, for as long as it moves and there is time.
    async fn read(
        &mut self,
        pulse: &Pulse,
        body: Coded<'_>,
        sink: &mut impl Sink,
    ) -> Result<Result<(), Stop>, Stopped> {
        let idle = Duration::from_millis(self.service.limits.idle_ms);
        self.watch.run_last(idle, pulse, body.read(sink)).await
    }

    fn begin(&self, headers: &HeaderMap) -> Result<(Unfinished, u64), Refusal> {
        let exchange = self.wish.exchange.ok_or_else(nowhere)?;
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let begun = exchange.begin(self.wish.principal, ending(content_type), self.clock.now());
        begun.map_err(|_| Stop::Unkept.into())
    }

    fn marker(&self) -> String {
        format!("[REDACTED:{}]", self.service.name)
    }

    /// A pass that keeps what the answer of this head mints.
    fn sealing<'m>(&self, head: &Parts, marker: &'m str) -> Option<Sealing<'m>>
    where
        'a: 'm,
    {
        let (handles, now) = (&self.executor.handles, self.clock.monotonic());
        let (own, good) = (self.own.clone(), head.status.is_success());
        let sealer = Sealer::new(handles, self.whose(), self.credentials, own, now, good);
        Sealing::new(&self.service.seal_fields, marker, sealer)
    }

    /// `body` with handles in the place of what it mints: how many, and how many markers.
    fn sealed(&self, head: &Parts, body: Vec<u8>) -> (Vec<u8>, u64, u64) {
        match self.sealing(head, &self.marker()) {
            Some(sealing) => sealing.whole(body),
            None => (body, 0, 0),
        }
    }

    fn redacted(&self, body: Vec<u8>) -> Result<(Clean<Bytes>, u64), Refusal> {
        let redactor = self.credentials.redactor();
        let (body, in_fields) = fields::redact(body, &self.service.redact_fields, &self.marker());
        // Markers may make a body somewhat longer, and no more than that.
        let cap = self.service.limits.response_bytes;
        let Some((body, in_body)) = redactor.clean_within(body, cap.saturating_add(cap / 4)) else {
            let text = "with its secrets redacted the answer is larger than this service allows";
            return Err(Refusal::new(Code::ResponseTooLarge, text));
        };
        Ok((body.into(), in_fields + in_body))
    }
}

/// There is no folder for files.
pub(crate) fn nowhere() -> Refusal {
    Refusal::new(Code::InvalidRequest, "files are not exchanged here")
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("text/event-stream")
}
