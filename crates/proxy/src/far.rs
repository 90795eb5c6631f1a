//! MCP servers at an address: their connections, their access tokens, and answers that are read as they
//! come.
//!
//! What is true of the calls of services is true here: every address is vetted and the vetted one is
//! dialled, there is no proxy between, a connection is used for one origin at one revision, and a token
//! that is not accepted is renewed once. What the messages mean is not known here.

use std::future::{pending, poll_fn};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HOST, HeaderMap, LOCATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Response};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::far::{Ask, Body, Failed, Reply, Site, Verb};
use strongroom_model::injection::{Credential, Target as _};
use strongroom_model::ports::{BoxFuture, Clock, Credentials, Dns, Far};
use strongroom_model::secret::Secret;
use strongroom_model::service::{Catalog, Service};

use crate::connect;
use crate::executor::Executor;
use crate::inject::{self, Exchange, Outgoing, Scheme};
use crate::link::{Inbound, Link, SendError};
use crate::outgoing::{AGENT, FRAMING};
use crate::tokens::Asking;
use crate::watch::Watch;

/// Redirects of one request at the most.
const HOPS: usize = 3;

/// The servers at addresses of one tenant. Names are told apart within one of these only.
pub struct Sites(Arc<Shared>);

struct Shared {
    executor: Executor,
    credentials: Arc<dyn Credentials>,
    clock: Arc<dyn Clock>,
    /// The sites that log in, so that one redactor knows the secrets of all.
    known: Mutex<Arc<Catalog>>,
}

impl Sites {
    /// Connects to nothing before the first request. `credentials` are asked for sites alone, so they are
    /// not those of a broker.
    pub fn new(
        dns: Arc<dyn Dns>,
        clock: Arc<dyn Clock>,
        credentials: Arc<dyn Credentials>,
    ) -> Self {
        let executor = Executor::new(dns);
        Self(Arc::new(Shared { executor, credentials, clock, known: Mutex::default() }))
    }
}

/// Refuses a place that would not be dialled, as far as that is known before its name is resolved (SS-11).
///
/// # Errors
///
/// `destination_denied`.
pub fn check(service: &Service) -> Result<(), Refusal> {
    connect::literal(service, &service.origin).map(drop)
}

impl Far for Sites {
    fn send(&self, ask: Ask) -> BoxFuture<'_, Result<Reply, Failed>> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move { shared.send(ask).await })
    }
}

impl Shared {
    async fn send(self: Arc<Self>, ask: Ask) -> Result<Reply, Failed> {
        let mut target = ask.target.clone().unwrap_or_else(|| ask.site.target.clone());
        for _ in 0..=HOPS {
            let (link, response, redacts) = self.exchange(&ask, &target).await?;
            match followed(&ask, &response) {
                Ok(None) => return self.reply(&ask, link, response, redacts),
                Ok(Some(next)) => target = next,
                Err(refusal) => return Err(Failed { refusal, sent: true }),
            }
        }
        let refusal = denied("the server redirected more than 3 times");
        Err(Failed { refusal, sent: true })
    }

    /// Sends the request with a token where the site logs in: once more with a new one where the server
    /// does not take the first. Says whether there was one.
    async fn exchange(
        &self,
        ask: &Ask,
        target: &str,
    ) -> Result<(Link, Response<Inbound>, bool), Failed> {
        let service = &*ask.site.service;
        let exchange = inject::scheme(&service.auth.scheme).and_then(Scheme::exchange);
        let Some(exchange) = exchange else {
            let (link, response) = self.once(ask, target, None).await?;
            return Ok((link, response, false));
        };
        let credential = self.credential(&ask.site).await.map_err(unsent)?;
        let token = self.token(service, exchange, &credential, None).await.map_err(unsent)?;
        let (link, response) = self.once(ask, target, Some(&token)).await?;
        if response.status() != http::StatusCode::UNAUTHORIZED {
            return Ok((link, response, true));
        }
        let newer = self.token(service, exchange, &credential, Some(&token)).await;
        let Ok(newer) = newer else { return Ok((link, response, true)) };
        drop(link);
        let (link, response) = self.once(ask, target, Some(&newer)).await?;
        Ok((link, response, true))
    }

    async fn credential(&self, site: &Site) -> Result<Arc<Credential>, Refusal> {
        let catalog = self.with(&site.service);
        let resolved = self.credentials.resolve(&catalog, site.service.keys()).await;
        resolved.map_err(|error| {
            let name = &site.service.name;
            let text = format!(
                "what `strongroom login {name}` left cannot be had: {}",
                error.kind().replace('_', " ")
            );
            Refusal::new(Code::SecretUnavailable, text)
        })
    }

    /// The sites that log in, `service` among them.
    fn with(&self, service: &Arc<Service>) -> Arc<Catalog> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let there = known.services.get(&service.name);
        if there.is_none_or(|there| there.revision != service.revision) {
            let mut services = known.services.clone();
            services.insert(service.name.clone(), Arc::clone(service));
            let revision = known.revision + 1;
            *known = Arc::new(Catalog { services, revision, ..Catalog::default() });
        }
        Arc::clone(&known)
    }

    async fn token(
        &self,
        service: &Service,
        exchange: &dyn Exchange,
        credential: &Arc<Credential>,
        refused: Option<&Arc<Secret>>,
    ) -> Result<Arc<Secret>, Refusal> {
        let total = Duration::from_millis(service.limits.total_ms);
        let asking = Asking {
            dialler: &self.executor.dialler,
            service,
            exchange,
            credential,
            credentials: &*self.credentials,
            clock: &*self.clock,
            watch: &mut Watch::new(total, Box::pin(pending())),
        };
        self.executor.tokens.get(asking, refused).await
    }

    /// Sends the request on a connection that waited, or on one of its own.
    async fn once(
        &self,
        ask: &Ask,
        target: &str,
        token: Option<&Arc<Secret>>,
    ) -> Result<(Link, Response<Inbound>), Failed> {
        let service = &*ask.site.service;
        let mut message =
            outgoing(ask, target, token).and_then(Outgoing::into_request).map_err(unsent)?;
        let mut fresh = false;
        loop {
            let pooled = if fresh { None } else { self.executor.pooled(service, None).await };
            let (mut link, reused) = match pooled {
                Some(link) => (link, true),
                None => self.dial(service, fresh).await.map_err(unsent)?,
            };
            match link.send(message).await {
                Ok(response) => return Ok((link, response)),
                // Dead before it had anything of ours: once more, on a connection of its own.
                Err(SendError::Unsent(again)) if reused => {
                    self.executor.pool.forget(service, &link);
                    (message, fresh) = (*again, true);
                }
                Err(error) => {
                    self.executor.pool.forget(service, &link);
                    let text = "the server closed the connection or does not speak HTTP";
                    let refusal = Refusal::new(Code::UpstreamError, text);
                    return Err(Failed { refusal, sent: matches!(error, SendError::Failed) });
                }
            }
        }
    }

    async fn dial(&self, service: &Service, anew: bool) -> Result<(Link, bool), Refusal> {
        let connecting = self.executor.connect(service, &service.origin, None, anew);
        let deadline = Duration::from_millis(service.limits.connect_ms);
        let late = || Refusal::new(Code::UpstreamTimeout, "the server takes no connection in time");
        tokio::time::timeout(deadline, connecting).await.unwrap_or_else(|_| Err(late()))
    }

    fn reply(
        self: Arc<Self>,
        ask: &Ask,
        link: Link,
        response: Response<Inbound>,
        redacts: bool,
    ) -> Result<Reply, Failed> {
        let (head, body) = response.into_parts();
        let coded = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"identity");
        if head.headers.get_all(CONTENT_ENCODING).iter().any(coded) {
            let text = "the server's answer has a content coding that was not asked for";
            let refusal = Refusal::new(Code::UpstreamError, text);
            return Err(Failed { refusal, sent: true });
        }
        let wanted =
            head.headers.iter().filter(|(name, _)| Reply::HEADERS.contains(&name.as_str()));
        let headers = wanted.filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        let redactor = redacts.then(|| self.credentials.redactor());
        let service = Arc::clone(&ask.site.service);
        Ok(Reply {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body: Box::new(Stream { shared: self, service, link: Some(link), body }),
            redactor,
        })
    }
}

/// The body of an answer, on its connection.
struct Stream {
    shared: Arc<Shared>,
    service: Arc<Service>,
    link: Option<Link>,
    body: Inbound,
}

impl Body for Stream {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Refusal>> {
        Box::pin(async move {
            let Some(link) = &mut self.link else { return Ok(None) };
            let body = &mut self.body;
            match poll_fn(|cx| link.poll_data(body, cx)).await {
                Some(Ok(piece)) => Ok(Some(piece)),
                Some(Err(_)) => {
                    self.link = None;
                    Err(Refusal::new(Code::UpstreamError, "the server's answer broke off"))
                }
                None => {
                    if let Some(link) = self.link.take() {
                        self.shared.executor.pool.put(&self.service, link).await;
                    }
                    Ok(None)
                }
            }
        })
    }
}

/// The request as it leaves: what the protocol says, then what is fixed, then the site's own headers, then
/// the token.
pub(crate) fn outgoing(
    ask: &Ask,
    target: &str,
    token: Option<&Arc<Secret>>,
) -> Result<Outgoing, Refusal> {
    let origin = &ask.site.service.origin;
    let mut headers = HeaderMap::with_capacity(12);
    for (name, value) in &ask.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
        headers.insert(name, HeaderValue::from_str(value).map_err(|_| malformed())?);
    }
    for name in FRAMING {
        headers.remove(name);
    }
    headers.insert(USER_AGENT, AGENT);
    // Secrets are looked for in what is read: nothing stands between.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let host = HeaderValue::from_str(&origin.authority()).map_err(|_| malformed())?;
    headers.insert(HOST, host);
    let method = match ask.verb {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
        Verb::Delete => Method::DELETE,
    };
    let mut outgoing = Outgoing::new(method, target, headers, ask.body.clone());
    for (name, value) in &ask.site.headers {
        let name = inject::header_slot(name).map_err(|problem| {
            Refusal::new(Code::SecretUnavailable, format!("the header `{name}` {problem}"))
        })?;
        outgoing.header(name, value)?;
    }
    if let Some(token) = token {
        outgoing.bearer(token)?;
    }
    Ok(outgoing)
}

/// The target that the answer leads to, where it leads elsewhere: at the same origin, with the same
/// request. What brings a message is sent again only where the server says that it is to be (RFC 9110
/// §15.4.8 and §15.4.9).
fn followed(ask: &Ask, response: &Response<Inbound>) -> Result<Option<String>, Refusal> {
    let again = match response.status().as_u16() {
        307 | 308 => true,
        301..=303 => ask.verb == Verb::Get,
        _ => return Ok(None),
    };
    let mut locations = response.headers().get_all(LOCATION).iter();
    let (Some(location), None) = (locations.next(), locations.next()) else {
        return Err(denied("the server redirected to no place or to more than one"));
    };
    if !again {
        return Err(denied("the server redirected a message in a way that would change it"));
    }
    let location = location.to_str().map_err(|_| denied("the server redirected to no address"))?;
    let origin = &ask.site.service.origin;
    origin
        .within(location)
        .map(|target| Some(target.to_owned()))
        .ok_or_else(|| denied("the server redirected to another origin"))
}

fn unsent(refusal: Refusal) -> Failed {
    Failed { refusal, sent: false }
}

fn malformed() -> Refusal {
    Refusal::new(Code::InvalidRequest, "a header of the message is malformed")
}

fn denied(text: &'static str) -> Refusal {
    Refusal::new(Code::RedirectDenied, text)
}
