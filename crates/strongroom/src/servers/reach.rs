//! The start of a server at an address: what `start` is for a program.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use strongroom_gateway::registry::Entry;
use strongroom_gateway::upstream::far::{Address, Reach, site};
use strongroom_model::far::Site;
use strongroom_model::principal::Name;
use strongroom_model::server::{Beyond, Transport};

use super::login;
use super::start::{Ground, Wishes, off};
use crate::commands::lock;
use crate::failure::Failure;
use crate::release::{self, Journal, Released};
use crate::{home, supply};

/// Bytes that are read of a file of authorities.
const LARGEST: u64 = 4 << 20;

/// A server that may be reached, with all that it needs. That is on record.
pub struct Reachable {
    /// Where it is.
    pub site: Site,
    /// The secrets in its headers.
    pub released: Released,
}

/// How a server is reached that its owner has written down: what it has beyond the public network, and
/// nothing that anybody has left there by logging in.
///
/// # Errors
///
/// The file of its authorities cannot be read, or has none in it.
pub fn beyond(name: &Name, beyond: &Beyond) -> Result<Reach, Failure> {
    let ca_pem = beyond.ca_file.as_deref().map(|path| authorities(name, path)).transpose()?;
    Ok(Reach { here: true, allow_ips: beyond.allow_ips.clone(), ca_pem, ..Reach::default() })
}

fn authorities(name: &Name, path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |why: &str| {
        Failure::failed(format!("`{name}` cannot be reached: `ca_file` {why}"))
            .hint("it holds PEM, with `-----BEGIN CERTIFICATE-----`")
    };
    let read = |path: &Path| -> io::Result<Vec<u8>> {
        let mut pem = Vec::new();
        File::open(path)?.take(LARGEST).read_to_end(&mut pem)?;
        Ok(pem)
    };
    let pem = read(path).map_err(|error| failed(&format!("cannot be read: {}", error.kind())))?;
    if !pem.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----") {
        return Err(failed("has no certificate in it"));
    }
    Ok(pem)
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
        let name = &server.name;
        let Transport::Http { url, headers, beyond } = &server.transport else {
            return Err(Failure::failed(format!("`{name}` is a program: there is no address")));
        };
        let reach =
            Reach { auth: left.auth, revision: hasher.finish(), ..self::beyond(name, beyond)? };
        let address = Address { name, url, headers };
        let made = site(address, &|reference| released.get(reference), reach);
        let site =
            made.map_err(|error| Failure::failed(format!("`{name}` cannot be reached: {error}")))?;
        journal.append(released.record(name))?;
        Ok(Reachable { site, released })
    }
}
