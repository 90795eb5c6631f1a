//! What the server is told: where it listens, how it is protected, how much it takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use strongroom_model::network::Cidr;
use strongroom_model::rate::Gcra;
use strongroom_model::team::TenantId;

use crate::commands::AllowedCommand;
use crate::traces::SpanCounts;

/// What the server is told. The default listens on loopback, without TLS, and lets nobody register a
/// command.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen. Port 0 takes any that is free.
    pub listen: SocketAddr,
    /// The certificate and its key. Without them only loopback is listened on.
    pub tls: Option<TlsFiles>,
    /// A proxy before us ends TLS: plain HTTP beyond loopback is then accepted, and the last entry of
    /// `X-Forwarded-For`, which that proxy wrote, is the address that a request comes from.
    pub behind_tls_proxy: bool,
    /// The commands that tenants may register (decision 11). None: no command at all.
    pub allowed_commands: Vec<AllowedCommand>,
    /// Addresses that are not public and that registered URLs may have all the same.
    pub allow_ips: Vec<Cidr>,
    /// Tenants whose `admin` keys administer the whole installation. The admin keys of all others
    /// administer their own tenant; without an entry here the rest is done at the command line only.
    pub operators: Vec<TenantId>,
    /// How often may be asked.
    pub rates: Rates,
    /// Connections and times.
    pub limits: Limits,
    /// What became of the spans that are exported, for the page of metrics; `None` where none are.
    pub spans: Option<Arc<SpanCounts>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
            tls: None,
            behind_tls_proxy: false,
            allowed_commands: Vec::new(),
            allow_ips: Vec::new(),
            operators: Vec::new(),
            rates: Rates::default(),
            limits: Limits::default(),
            spans: None,
        }
    }
}

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those between it and its root, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
    /// How often is looked whether the two were replaced.
    pub look_every: Duration,
}

/// How often may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// By one key.
    pub key: Gcra,
    /// From one address, whatever is asked.
    pub source: Gcra,
    /// From one address, without a key that is valid. More of them are told to wait, and are no longer
    /// recorded one by one. Nobody's valid key is refused for it.
    pub refusals: Gcra,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            key: Gcra { per_minute: 120_000, burst: 4_000 },
            source: Gcra { per_minute: 600_000, burst: 20_000 },
            refusals: Gcra { per_minute: 60, burst: 100 },
        }
    }
}

/// Connections and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time.
    pub connections: usize,
    /// Connections at one time from one address.
    pub connections_per_peer: usize,
    /// How long the handshake of TLS may take, the head of a request, and the pause before it.
    pub head_timeout: Duration,
    /// How long a body may take.
    pub body_timeout: Duration,
    /// How long an answer may take.
    pub answer_timeout: Duration,
    /// How long requests may go on after the end was announced.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_peer: 512,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_mins(1),
            grace: Duration::from_secs(5),
        }
    }
}
