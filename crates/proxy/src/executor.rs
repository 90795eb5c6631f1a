//! One permitted call: sent with its credential, followed where that is safe, read and redacted.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, LOCATION, RANGE};
use http::{Request, Response, StatusCode};
use strongroom_model::audit::{Facts, Trail};
use strongroom_model::call::Answer;
use strongroom_model::canonical::{CanonicalRequest, Method};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::injection::Bound;
use strongroom_model::pipeline::{Act, Done, Permit};
use strongroom_model::ports::{Clock, Credentials, Dns};
use strongroom_model::secret::Secret;
use strongroom_model::service::{Origin, Service};
use strongroom_seal::random;

use crate::connect::Dialler;
use crate::handles::{self, Handles, Own, Swaps, Whose};
use crate::inject::{self, Exchange, Identity, Mark, Moment, Scheme};
use crate::link::{Inbound, Link, SendError};
use crate::outgoing::{Wording, message};
use crate::payload::{FileBody, Payload};
use crate::pool::Pool;
use crate::receive::Wish;
use crate::tokens::{Asking, Tokens};
use crate::upload::Upload;
use crate::watch::Watch;

/// Redirects of one call at the most (RD-04).
const HOPS: usize = 3;

/// What all calls share.
pub(crate) struct Executor {
    pub(crate) dialler: Dialler,
    /// The connections that there are.
    pub(crate) pool: Pool,
    pub(crate) tokens: Tokens,
    /// What was minted for agents.
    pub(crate) handles: Handles,
}

impl Executor {
    pub(crate) fn new(dns: Arc<dyn Dns>) -> Self {
        Self {
            dialler: Dialler::new(dns),
            pool: Pool::default(),
            tokens: Tokens::default(),
            handles: Handles::default(),
        }
    }

    /// A live connection of `service` that was made with the identity `mark`. Those made with another
    /// are never used again: their credential is gone.
    pub(crate) async fn pooled(&self, service: &Service, mark: Mark) -> Option<Link> {
        loop {
            let link = self.pool.take(service).await?;
            if link.mark() == mark {
                return Some(link);
            }
            self.pool.forget(service, &link);
        }
    }

    /// A connection that was just made; or, where calls share one and somebody else has made it
    /// meanwhile, that one. Says too whether it was used before.
    pub(crate) async fn connect(
        &self,
        service: &Service,
        origin: &Origin,
        identity: Option<&Identity>,
        anew: bool,
    ) -> Result<(Link, bool), Refusal> {
        let mark = identity.map(Identity::mark);
        let turn = self.pool.turn(service).await;
        if turn.is_some()
            && !anew
            && let Some(link) = self.pooled(service, mark).await
        {
            return Ok((link, true));
        }
        let link = self.dialler.dial(service, origin, identity).await?;
        self.pool.made(service, &link);
        Ok((link, false))
    }
}

/// The act of `execute` and `test_service`.
pub(crate) struct Send<'a> {
    pub(crate) executor: &'a Executor,
    pub(crate) service: &'a Service,
    pub(crate) credentials: &'a dyn Credentials,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) watch: Watch<'a>,
    /// When the call began, by the clock's monotonic time.
    pub(crate) began: Duration,
    /// Whether redirects are followed; where not, they are answers.
    pub(crate) follow: bool,
    /// What is sent in the place of the request's body.
    pub(crate) upload: Option<Upload>,
    /// What becomes of the answer's body.
    pub(crate) wish: Wish<'a>,
    /// Handles in the request that the agent made; there are none in one that an upstream leads to.
    pub(crate) held: u64,
    /// What the call is authenticated with, once that is known.
    pub(crate) own: Own,
}

impl Act<CanonicalRequest> for Send<'_> {
    type Answer = Answer;

    async fn act(
        mut self,
        permit: Permit<CanonicalRequest>,
        bound: Bound,
        trail: Trail<'_>,
    ) -> Done<Answer> {
        let mut facts = Facts::default();
        let mut result = self.answer(permit, &bound, trail, &mut facts).await;
        let took = self.clock.monotonic().saturating_sub(self.began);
        facts.duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        if let Ok(answer) = &mut result {
            answer.duration_ms = facts.duration_ms;
        }
        Done { result, facts }
    }
}

impl<'a> Send<'a> {
    async fn answer(
        &mut self,
        permit: Permit<CanonicalRequest>,
        bound: &Bound,
        trail: Trail<'_>,
        facts: &mut Facts,
    ) -> Result<Answer, Refusal> {
        self.own.credential = Some(Arc::clone(bound.shared()));
        let mut permit = permit;
        let mut dropped = None;
        let mut hops = 0;
        loop {
            let mut request = permit.into_request();
            dropped.get_or_insert_with(|| request.dropped_headers().to_vec());
            let (link, response, ranged) = self.exchange(&mut request, bound).await?;
            facts.status = Some(response.status().as_u16());
            if !self.follow || !is_redirect(&response) {
                let dropped = dropped.unwrap_or_default();
                return self.finish(link, response, ranged, dropped, facts).await;
            }
            hops += 1;
            if hops > HOPS {
                let text = "the upstream redirected more than 3 times";
                return Err(Refusal::new(Code::UpstreamError, text));
            }
            let next = self.redirected(&request, &response)?;
            let to = next.request();
            trail.redirect(to.method().as_str(), to.path(), next.rule()).await?;
            if response.body().is_end_stream() {
                self.executor.pool.put(self.service, link).await;
            }
            permit = next;
        }
    }

    /// The request that a redirect leads to, judged again (RD-02).
    fn redirected(
        &self,
        request: &CanonicalRequest,
        response: &Response<Inbound>,
    ) -> Result<Permit<CanonicalRequest>, Refusal> {
        let method = match (response.status(), request.method()) {
            (_, Method::Head) => Method::Head,
            (_, Method::Get) | (StatusCode::SEE_OTHER, _) => Method::Get,
            _ => {
                return Err(redirect_denied(
                    "the upstream redirected a request that changes something",
                ));
            }
        };
        let mut locations = response.headers().get_all(LOCATION).iter();
        let location = match (locations.next(), locations.next()) {
            (Some(location), None) => location.as_bytes(),
            _ => return Err(redirect_denied("the upstream redirected to more than one place")),
        };
        let next = request.redirected(self.service, method, location)?;
        if handles::in_redirect(&next) {
            return Err(redirect_denied("the upstream redirected to a place with a handle in it"));
        }
        self.service.policy.decide(next).map_err(|denied| {
            let refusal =
                redirect_denied("the upstream redirected to what the policy does not allow");
            Refusal { rule: denied.0.rule, ..refusal }
        })
    }

    /// Sends `request`, whose body is gone afterwards, with a token where its scheme needs one: once
    /// more with a new one where the upstream does not take the first.
    async fn exchange(
        &mut self,
        request: &mut CanonicalRequest,
        bound: &Bound,
    ) -> Result<(Link, Response<Inbound>, bool), Refusal> {
        let (whose, now) = (self.whose(), self.clock.monotonic());
        let swaps = match std::mem::take(&mut self.held) {
            0 => Swaps::default(),
            _ => self.executor.handles.swap(whose, request, self.credentials, now)?,
        };
        let body = Bytes::from(request.take_body());
        let body = swaps.body.clone().unwrap_or(body);
        let wording = Wording { request, swaps: &swaps };
        let streamed = self.upload.is_some();
        let Some(exchange) = inject::scheme(&self.service.auth.scheme).and_then(Scheme::exchange)
        else {
            let moment = self.moment(None)?;
            let message = message(self.service, wording, body, bound, &moment, streamed)?;
            return self.send(message, bound).await;
        };
        let token = self.token(exchange, bound, None).await?;
        let moment = self.moment(Some(&token))?;
        let first = message(self.service, wording, body.clone(), bound, &moment, streamed)?;
        let sent = self.send(first, bound).await?;
        // What comes from a file is sent once.
        if sent.1.status() != StatusCode::UNAUTHORIZED || streamed {
            return Ok(sent);
        }
        let Ok(token) = self.token(exchange, bound, Some(&token)).await else { return Ok(sent) };
        let moment = self.moment(Some(&token))?;
        self.send(message(self.service, wording, body, bound, &moment, false)?, bound).await
    }

    /// An access token; another one than `refused`.
    async fn token(
        &mut self,
        exchange: &dyn Exchange,
        bound: &Bound,
        refused: Option<&Arc<Secret>>,
    ) -> Result<Arc<Secret>, Refusal> {
        let asking = Asking {
            dialler: &self.executor.dialler,
            service: self.service,
            exchange,
            credential: bound.shared(),
            credentials: self.credentials,
            clock: self.clock,
            watch: &mut self.watch,
        };
        let token = self.executor.tokens.get(asking, refused).await?;
        self.own.token = Some(Arc::clone(&token));
        Ok(token)
    }

    /// Sends `message`. Says too whether a range was asked for.
    async fn send(
        &mut self,
        mut message: Request<Payload>,
        bound: &Bound,
    ) -> Result<(Link, Response<Inbound>, bool), Refusal> {
        let identity = inject::identity(&self.service.auth, bound)?;
        let mark = identity.as_ref().map(Identity::mark);
        let ranged = message.headers().contains_key(RANGE);
        let limits = &self.service.limits;
        let mut answer_ms = limits.first_byte_ms;
        // A redirect is followed without a body.
        if let Some(upload) = self.upload.take() {
            message.headers_mut().remove(CONTENT_LENGTH);
            *message.body_mut() = Payload::File(FileBody::new(upload));
            // The upstream may want all of it first.
            answer_ms = limits.total_ms;
        }
        let mut may_retry = true;
        loop {
            let pooled =
                if may_retry { self.executor.pooled(self.service, mark).await } else { None };
            let (mut link, reused) = if let Some(link) = pooled {
                (link, true)
            } else {
                self.watch.phase(Duration::from_millis(limits.connect_ms));
                let (service, origin) = (self.service, bound.origin());
                let connect = self.executor.connect(service, origin, identity.as_ref(), !may_retry);
                self.watch.run(connect).await??
            };
            self.watch.phase(Duration::from_millis(answer_ms));
            let sent = self.watch.run(link.send(message)).await;
            if !matches!(sent, Ok(Ok(_))) {
                self.executor.pool.forget(self.service, &link);
            }
            match sent? {
                Ok(response) => return Ok((link, response, ranged)),
                // Dead before it had anything of ours: once more, on a connection of its own.
                Err(SendError::Unsent(unsent)) if reused => {
                    message = *unsent;
                    may_retry = false;
                }
                Err(_) => {
                    let text = "the upstream closed the connection or does not speak HTTP";
                    return Err(Refusal::new(Code::UpstreamError, text));
                }
            }
        }
    }

    /// Whose handles these are.
    pub(crate) fn whose(&self) -> Whose<'a> {
        Whose { principal: self.wish.principal, service: self.service }
    }

    fn moment<'t>(&self, token: Option<&'t Arc<Secret>>) -> Result<Moment<'t>, Refusal> {
        let mut nonce = [0; 16];
        random(&mut nonce).map_err(|_| {
            Refusal::new(Code::SecretUnavailable, "the system has no random numbers to sign with")
        })?;
        Ok(Moment { now: self.clock.now(), nonce, token: token.map(|token| &**token) })
    }
}

/// Whether the response leads elsewhere. A 304 does not, and neither does one without `Location`.
fn is_redirect(response: &Response<Inbound>) -> bool {
    matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
        && response.headers().contains_key(LOCATION)
}

fn redirect_denied(text: &'static str) -> Refusal {
    Refusal::new(Code::RedirectDenied, text)
}
