//! Access tokens: had before a call, kept in memory, renewed ahead of their end.
//!
//! One call of a service asks at a time; the others wait for its answer, or go on with the token that
//! is still good. What was minted is known to the redactor before it is used.
//!
//! A refresh token that servers replace is good for one use, and who shows an old one may lose them all
//! (RFC 9700 §4.14.2). So of all processes one at a time uses it, with what the last one left; and who
//! has begun waits for the answer, even where the caller does not any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::response::Parts;
use strongroom_model::code::{Code, Refusal};
use strongroom_model::injection::{Credential, Target as _};
use strongroom_model::ports::{Clock, Credentials, Held as InTurn, Turn};
use strongroom_model::principal::Name;
use strongroom_model::secret::Secret;
use strongroom_model::service::{Origin, Service};
use tokio::time::sleep;
use zeroize::Zeroizing;

use crate::connect::Dialler;
use crate::decode::{Coded, Sink, Stop};
use crate::inject::{Exchange, Minted, Outgoing, REFRESH_TOKEN};
use crate::link::SendError;
use crate::watch::{Pulse, Watch};

/// A token is renewed when so much of its life is left, or a quarter of it where that is less.
const AHEAD: Duration = Duration::from_mins(10);
/// How often a process looks whether another one has done with the refresh token.
const GLANCE: Duration = Duration::from_millis(10);
/// An answer of a token endpoint is not longer.
const ANSWER: usize = 64 << 10;

/// The tokens of all services.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<Name, Arc<Place>>>);

/// The token of one service, and whose turn it is to ask for the next one.
#[derive(Default)]
struct Place {
    held: Mutex<Option<Held>>,
    turn: tokio::sync::Mutex<()>,
}

struct Held {
    revision: u64,
    credential: Arc<Credential>,
    token: Arc<Secret>,
    /// By the monotonic clock.
    renew: Duration,
    end: Duration,
}

/// Whom to ask for a token, and for whom.
pub(crate) struct Asking<'a, 'w> {
    pub(crate) dialler: &'a Dialler,
    pub(crate) service: &'a Service,
    pub(crate) exchange: &'a dyn Exchange,
    pub(crate) credential: &'a Arc<Credential>,
    pub(crate) credentials: &'a dyn Credentials,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) watch: &'a mut Watch<'w>,
}

impl Tokens {
    /// A token for a call. `refused`: one that the upstream did not take, and that is not used again.
    pub(crate) async fn get(
        &self,
        mut asking: Asking<'_, '_>,
        refused: Option<&Arc<Secret>>,
    ) -> Result<Arc<Secret>, Refusal> {
        let place = self.place(&asking.service.name);
        if let Some(refused) = refused {
            lock(&place.held).take_if(|held| Arc::ptr_eq(&held.token, refused));
        }
        let old = match place.look(&asking) {
            Some((token, false)) => return Ok(token),
            Some((token, true)) => Some(token),
            None => None,
        };
        let _turn = if let Some(token) = &old {
            // Where it is somebody else's turn, it is being renewed.
            let Ok(turn) = place.turn.try_lock() else { return Ok(Arc::clone(token)) };
            turn
        } else {
            let turn = place.turn.lock();
            asking.watch.run(turn).await?
        };
        if let Some((token, false)) = place.look(&asking) {
            return Ok(token);
        }
        let Some((credential, _shared)) = asking.board(old.is_none()).await? else {
            // Another process renews it.
            return Ok(old.expect("who has no token waits for the turn"));
        };
        match (mint(&mut asking, &credential).await, old) {
            (Ok(minted), _) => Ok(place.keep(&asking, minted)),
            // What is still good outlives a server that is away.
            (Err(_), Some(old)) => Ok(old),
            (Err(refusal), None) => Err(refusal),
        }
    }

    fn place(&self, name: &Name) -> Arc<Place> {
        let mut places = lock(&self.0);
        match places.get(name) {
            Some(place) => Arc::clone(place),
            None => Arc::clone(places.entry(name.clone()).or_default()),
        }
    }
}

impl Asking<'_, '_> {
    /// The credential to ask with, and the turn among all processes where one is needed; `None` where it
    /// is another one's and nobody is to `wait`.
    async fn board(
        &mut self,
        wait: bool,
    ) -> Result<Option<(Arc<Credential>, Option<InTurn>)>, Refusal> {
        let keys = self.service.keys();
        if self.credential.get(REFRESH_TOKEN).is_none() {
            return Ok(Some((Arc::clone(self.credential), None)));
        }
        loop {
            match self.credentials.turn(keys, REFRESH_TOKEN) {
                Turn::Nobodys => return Ok(Some((Arc::clone(self.credential), None))),
                Turn::Ours(held) => {
                    let newest = self.credentials.newest(keys, REFRESH_TOKEN);
                    let token = self.watch.run(newest).await?.map_err(|error| {
                        let text = format!("the refresh token cannot be read: {error}");
                        Refusal::new(Code::SecretUnavailable, text)
                    })?;
                    let credential = self.credential.with(REFRESH_TOKEN, &token);
                    return Ok(Some((Arc::new(credential), Some(held))));
                }
                Turn::Others if wait => self.watch.run(sleep(GLANCE)).await?,
                Turn::Others => return Ok(None),
            }
        }
    }
}

impl Place {
    /// The token that is good for this credential, and whether it is time to renew it.
    fn look(&self, asking: &Asking<'_, '_>) -> Option<(Arc<Secret>, bool)> {
        let now = asking.clock.monotonic();
        let held = lock(&self.held);
        let held = held.as_ref()?;
        let fits = held.revision == asking.service.revision
            && now < held.end
            && is_same(&held.credential, asking.credential);
        fits.then(|| (Arc::clone(&held.token), now >= held.renew))
    }

    fn keep(&self, asking: &Asking<'_, '_>, minted: Minted) -> Arc<Secret> {
        let now = asking.clock.monotonic();
        let token = Arc::new(minted.token);
        asking.credentials.learn(&asking.service.name, Arc::clone(&token));
        *lock(&self.held) = Some(Held {
            revision: asking.service.revision,
            credential: Arc::clone(asking.credential),
            token: Arc::clone(&token),
            renew: now + minted.lifetime.saturating_sub(AHEAD.min(minted.lifetime / 4)),
            end: now + minted.lifetime,
        });
        if let Some(refresh) = minted.refresh {
            let kept = asking.credentials.replace(asking.service.keys(), REFRESH_TOKEN, refresh);
            if let Err(error) = kept {
                tracing::warn!(
                    service = %asking.service.name,
                    "the server gave a new refresh token, which cannot be kept ({}): \
                     log in again when calls fail",
                    error.kind()
                );
            }
        }
        token
    }
}

/// Whether it is the same credential. A refresh token that was replaced leaves the access token good:
/// servers replace it with every use.
fn is_same(one: &Arc<Credential>, other: &Arc<Credential>) -> bool {
    let counts = |credential: &Credential| {
        credential.fields().filter(|(name, _)| *name != REFRESH_TOKEN).count()
    };
    Arc::ptr_eq(one, other)
        || counts(one) == counts(other)
            && one
                .fields()
                .filter(|(name, _)| *name != REFRESH_TOKEN)
                .all(|(name, secret)| other.get(name).is_some_and(|there| there.ct_eq(secret)))
}

/// Asks the token endpoint of the service.
async fn mint(
    asking: &mut Asking<'_, '_>,
    credential: &Arc<Credential>,
) -> Result<Minted, Refusal> {
    let Asking { service, exchange, clock, .. } = *asking;
    let endpoint = exchange
        .endpoint(&service.auth)
        .map_err(|_| Refusal::new(Code::SecretUnavailable, "there is no token endpoint"))?;
    let now = clock.now();
    let outgoing = exchange.ask(&service.auth, credential, &endpoint, now)?;
    let origin = &endpoint.origin;
    let answer = if credential.get(REFRESH_TOKEN).is_some() {
        let total = Duration::from_millis(service.limits.total_ms);
        let mut watch = Watch::new(total, Box::pin(std::future::pending()));
        send(asking.dialler, service, origin, outgoing, &mut watch).await?
    } else {
        send(asking.dialler, service, origin, outgoing, asking.watch).await?
    };
    exchange.read(&answer, now).ok_or_else(|| {
        Refusal::new(Code::UpstreamError, "the token endpoint answered with something else")
    })
}

/// Sends `outgoing` to the token endpoint on a connection of its own, and reads its answer, which only
/// 200 and 201 have. Redirects are not followed (RD-07).
pub(crate) async fn send(
    dialler: &Dialler,
    service: &Service,
    origin: &Origin,
    outgoing: Outgoing,
    watch: &mut Watch<'_>,
) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let (head, body) = fetch(dialler, service, origin, outgoing, watch).await?;
    match head.status.as_u16() {
        200 | 201 => Ok(body),
        300..=399 => Err(Refusal::new(
            Code::UpstreamError,
            "the token endpoint redirected, which is not followed",
        )),
        400 | 401 | 403 => Err(Refusal::new(
            Code::SecretUnavailable,
            "the token endpoint does not accept the credential of this service",
        )),
        _ => Err(Refusal::new(Code::UpstreamError, "the token endpoint did not hand out a token")),
    }
}

/// Sends `outgoing` to `origin` on a connection of its own, and reads its answer. Redirects are answers.
pub(crate) async fn fetch(
    dialler: &Dialler,
    service: &Service,
    origin: &Origin,
    outgoing: Outgoing,
    watch: &mut Watch<'_>,
) -> Result<(Parts, Zeroizing<Vec<u8>>), Refusal> {
    let limits = &service.limits;
    watch.phase(Duration::from_millis(limits.connect_ms));
    let mut link = watch.run(dialler.dial(service, origin, None)).await??;
    watch.phase(Duration::from_millis(limits.first_byte_ms));
    let sent = watch.run(link.send(outgoing.into_request()?)).await?;
    let response = sent.map_err(|error| match error {
        SendError::Unsent(_) | SendError::Failed => {
            Refusal::new(Code::UpstreamError, "the token endpoint closed the connection")
        }
    })?;
    let (head, body) = response.into_parts();
    let mut answer = Answer(Zeroizing::new(Vec::with_capacity(ANSWER)));
    let body = Coded::new(&mut link, &head.headers, body, ANSWER as u64, Pulse::new())?;
    watch.run(body.fitting()?.read(&mut answer)).await??;
    Ok((head, answer.0))
}

/// An answer, wiped when it was read; its room is there from the beginning.
struct Answer(Zeroizing<Vec<u8>>);

impl Sink for Answer {
    async fn take(&mut self, piece: &[u8]) -> Result<(), Stop> {
        if self.0.len() + piece.len() > ANSWER {
            return Err(Stop::TooLarge);
        }
        self.0.extend_from_slice(piece);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
