//! Connections that wait for their next call, and those that calls share.
//!
//! A connection belongs to one service at one revision of its configuration, to one origin and, being
//! a connection, to the address that was vetted for it (SS-06). A change of the configuration, and it
//! is never used again. No connection is used for another name than it was made for, whatever its
//! certificate says: HTTP/2 would allow that.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use strongroom_model::principal::Name;
use strongroom_model::service::{Origin, Scheme, Service};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::link::{Link, http2};

/// How long a connection may wait.
pub(crate) const IDLE: Duration = Duration::from_secs(30);

/// How many may wait for one service.
const WAITING: usize = 64;

/// The connections of every service.
#[derive(Default)]
pub(crate) struct Pool {
    services: Mutex<HashMap<Name, Waiting>>,
}

struct Waiting {
    revision: u64,
    origin: Origin,
    /// HTTP/1.1: a call takes one and puts it back.
    links: Vec<(Link, Instant)>,
    /// HTTP/2: the one that all calls use.
    shared: Option<http2::Link>,
    /// Whether calls can have a connection each: the last one spoke HTTP/1.1.
    apart: bool,
    /// Who dials, where one connection is enough for all.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Waiting {
    fn of(service: &Service) -> Self {
        Self {
            revision: service.revision,
            origin: service.origin.clone(),
            links: Vec::new(),
            shared: None,
            apart: service.origin.scheme == Scheme::Http,
            turn: Arc::default(),
        }
    }

    fn fits(&self, service: &Service) -> bool {
        self.revision == service.revision && self.origin == service.origin
    }

    /// Whether anybody would miss it.
    fn is_needed(&self) -> bool {
        !self.links.is_empty()
            || self.shared.as_ref().is_some_and(http2::Link::is_open)
            || Arc::strong_count(&self.turn) > 1
    }
}

impl Pool {
    /// A live connection of `service`: the one that calls share, or the one that waited shortest.
    pub(crate) async fn take(&self, service: &Service) -> Option<Link> {
        while let Some(mut link) = self.pop(service) {
            if poll_fn(|cx| Poll::Ready(link.poll_idle(cx))).await {
                return Some(link);
            }
        }
        None
    }

    /// Keeps `link` for the next call, if it can take one.
    pub(crate) async fn put(&self, service: &Service, mut link: Link) {
        if poll_fn(|cx| Poll::Ready(link.poll_idle(cx))).await {
            self.push(service, link);
        }
    }

    /// Waits until it is our turn to dial, where one connection may be enough for all who wait.
    /// Whoever had the turn before may have left one in the pool.
    pub(crate) async fn turn(&self, service: &Service) -> Option<OwnedMutexGuard<()>> {
        let turn =
            self.with(service, |waiting| (!waiting.apart).then(|| Arc::clone(&waiting.turn)))??;
        let turn = turn.lock_owned().await;
        let still = self.with(service, |waiting| !waiting.apart);
        still.unwrap_or_default().then_some(turn)
    }

    /// Notes what `link`, which was just made, says of `service`: it is shared from now on, or every
    /// call needs one of its own.
    pub(crate) fn made(&self, service: &Service, link: &Link) {
        self.with(service, |waiting| match link {
            Link::One(_) => waiting.apart = true,
            Link::Two(link) => {
                waiting.apart = false;
                waiting.shared = Some(link.clone());
            }
        });
    }

    /// Forgets `link`, of which no good has come. Calls that share it go on.
    pub(crate) fn forget(&self, service: &Service, link: &Link) {
        let Link::Two(link) = link else { return };
        self.with(service, |waiting| {
            waiting.shared.take_if(|shared| shared.is_same(link));
        });
    }

    fn pop(&self, service: &Service) -> Option<Link> {
        let mut services = self.lock();
        let waiting = services.get_mut(&service.name)?;
        if !waiting.fits(service) {
            // A call that begins has the configuration that is in force.
            *waiting = Waiting::of(service);
            return None;
        }
        waiting.shared.take_if(|shared| !shared.is_open());
        if let Some(shared) = &waiting.shared {
            shared.touch();
            return Some(Link::Two(shared.clone()));
        }
        let (link, since) = waiting.links.pop()?;
        if since.elapsed() < IDLE {
            return Some(link);
        }
        // Those below waited longer still.
        waiting.links.clear();
        None
    }

    fn push(&self, service: &Service, link: Link) {
        self.with(service, |waiting| match link {
            // The pool has its share.
            Link::Two(link) => link.touch(),
            Link::One(_) if waiting.links.len() >= WAITING => {}
            Link::One(_) => waiting.links.push((link, Instant::now())),
        });
    }

    /// Looks at what waits for `service`; at nothing if its configuration has changed meanwhile.
    fn with<T>(&self, service: &Service, look: impl FnOnce(&mut Waiting) -> T) -> Option<T> {
        let mut services = self.lock();
        if !services.contains_key(&service.name) {
            // A service that is new here: a good moment to let go of what nobody came back for.
            services.retain(|_, waiting| {
                waiting.links.retain(|(_, since)| since.elapsed() < IDLE);
                waiting.is_needed()
            });
            services.insert(service.name.clone(), Waiting::of(service));
        }
        services.get_mut(&service.name).filter(|waiting| waiting.fits(service)).map(look)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Waiting>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
