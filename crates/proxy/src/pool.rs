//! Connections that wait for their next call.
//!
//! A connection belongs to one service at one revision of its configuration, to one origin and, being
//! a connection, to the address that was vetted for it (SS-06). A change of the configuration, and it
//! is never used again.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use strongroom_model::principal::Name;
use strongroom_model::service::{Origin, Service};
use tokio::time::Instant;

use crate::link::Link;

/// How long a connection may wait.
const IDLE: Duration = Duration::from_secs(30);

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
    links: Vec<(Link, Instant)>,
}

impl Waiting {
    fn fits(&self, service: &Service) -> bool {
        self.revision == service.revision && self.origin == service.origin
    }
}

impl Pool {
    /// A live connection of `service`, the one that waited shortest.
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

    fn pop(&self, service: &Service) -> Option<Link> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = services.get_mut(&service.name)?;
        if !waiting.fits(service) {
            // The newer configuration wins: a call that still holds the older one dials anew.
            if waiting.revision < service.revision {
                services.remove(&service.name);
            }
            return None;
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
        let now = Instant::now();
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiting) = services.get_mut(&service.name) else {
            // A service that is new here: a good moment to let go of what nobody came back for.
            services.retain(|_, waiting| {
                waiting.links.retain(|(_, since)| now.duration_since(*since) < IDLE);
                !waiting.links.is_empty()
            });
            let waiting = Waiting {
                revision: service.revision,
                origin: service.origin.clone(),
                links: vec![(link, now)],
            };
            services.insert(service.name.clone(), waiting);
            return;
        };
        if !waiting.fits(service) {
            if waiting.revision > service.revision {
                return;
            }
            waiting.revision = service.revision;
            waiting.origin = service.origin.clone();
            waiting.links.clear();
        }
        if waiting.links.len() < WAITING {
            waiting.links.push((link, now));
        }
    }
}
