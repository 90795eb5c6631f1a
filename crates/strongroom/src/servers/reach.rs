//! The start of a server at an address: what `start` is for a program.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use strongroom_gateway::registry::Entry;
use strongroom_gateway::upstream::far::{Address, Reach, site};
use strongroom_model::far::Site;
use strongroom_model::server::Transport;

use super::login;
use super::start::{Ground, Wishes, off};
use crate::commands::lock;
use crate::failure::Failure;
use crate::release::{self, Journal, Released};
use crate::{home, supply};

/// A server that may be reached, with all that it needs. That is on record.
pub struct Reachable {
    /// Where it is.
    pub site: Site,
    /// The secrets in its headers.
    pub released: Released,
}

impl Ground<'_> {
    /// Takes the secrets of `entry` and writes down where it is reached.
    ///
    /// # Errors
    ///
    /// It is off, untrusted, locked, or a secret cannot be had.
    pub fn reach(&self, entry: &Entry, wishes: &Wishes<'_>) -> Result<Reachable, Failure> {
        let Self { host, home, config, servers, output } = *self;
        let mut server = servers.server(host, entry, wishes.visible)?.clone();
        if !entry.on && !wishes.once {
            return Err(off(&server.name));
        }
        lock::refuse_start(home, &server.name)?;
        let vault = home::open(home, Arc::clone(&host.clock))?;
        let left = login::of(&vault, &server, host.clock.now())?;
        if let (Some(header), Transport::Http { headers, .. }) =
            (left.header, &mut server.transport)
        {
            headers.insert("authorization".to_owned(), header);
        }
        let mut hasher = DefaultHasher::new();
        (format!("{server:?}"), left.revision).hash(&mut hasher);

        let journal = Journal { host, home, output, audit: config.audit };
        let supply = supply::open(host, home, config, &servers.project);
        let also = || servers.references();
        let released = release::take(&supply, &server, &also, &journal)?;
        let reach =
            Reach { here: true, auth: left.auth, revision: hasher.finish(), ..Reach::default() };
        let name = &server.name;
        let Transport::Http { url, headers } = &server.transport else {
            return Err(Failure::failed(format!("`{name}` is a program: there is no address")));
        };
        let address = Address { name, url, headers };
        let made = site(address, &|reference| released.get(reference), reach);
        let site =
            made.map_err(|error| Failure::failed(format!("`{name}` cannot be reached: {error}")))?;
        journal.append(released.record(name))?;
        Ok(Reachable { site, released })
    }
}
