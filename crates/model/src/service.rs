//! A service: an HTTP API with its origin, its credential and its policy.

use std::collections::BTreeMap;
use std::fmt;

use crate::canonical::Grammar;
use crate::command::Command;
use crate::injection::Target;
use crate::network::Cidr;
use crate::policy::Policy;
use crate::principal::Name;
use crate::reference::SecretRef;
use crate::tool::Served;

/// Where a credential may go: scheme, host and port, in canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// `https`, or `http` where the service says `insecure_transport`.
    pub scheme: Scheme,
    /// Lower case, no trailing dot, no userinfo; an IPv6 literal without brackets.
    pub host: Box<str>,
    /// Always explicit.
    pub port: u16,
}

/// The two schemes of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP over TLS.
    Https,
    /// Plain HTTP, which a service must ask for by name.
    Http,
}

impl Scheme {
    /// `https` or `http`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    /// 443 or 80.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

impl Origin {
    /// The path and the query of `address`, where that is one at this origin: a whole address, or one from
    /// `/` on. The host is compared as text, so that nothing that is read in two ways passes (RD-01).
    pub fn within<'a>(&self, address: &'a str) -> Option<&'a str> {
        let address = address.split('#').next().unwrap_or_default();
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.to_string()
        };
        let stated = format!("{}://{host}:{}", self.scheme.as_str(), self.port);
        let target = [stated, self.to_string()].iter().find_map(|own| {
            let (start, target) = address.split_at_checked(own.len())?;
            start.eq_ignore_ascii_case(own).then_some(target)
        });
        let target = target.unwrap_or(address);
        (target.starts_with('/') && !target.starts_with("//")).then_some(target)
    }

    /// The value of the `Host` header: the port stands in it only where it is not the default.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.to_string()
        };
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }
}

/// How a credential is used, as configured: the scheme's name, its secrets and its settings.
///
/// What the fields mean, which are required and which slots they fill is the scheme's own matter
/// (`strongroom_proxy::inject`), so that a new scheme is one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// `bearer`, `basic`, `headers`, `query`, `cookie`.
    pub scheme: String,
    /// Secrets by field: `token`, or the header's, parameter's or cookie's name.
    pub secrets: BTreeMap<String, SecretRef>,
    /// What is not secret: `user` of `basic`, ...
    pub settings: BTreeMap<String, String>,
}

/// The names that a scheme fills in. The agent may not send them (PB-19, HI-07).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// Header names, lower case.
    pub headers: Vec<String>,
    /// Query parameter names as they are sent.
    pub query: Vec<String>,
}

/// What one call to a service may use at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request body.
    pub request_bytes: usize,
    /// Bytes of a decoded response body.
    pub response_bytes: usize,
    /// Bytes of a request body that comes from a file; where it is not said, [`request_bytes`].
    ///
    /// [`request_bytes`]: Self::request_bytes
    pub upload_bytes: Option<u64>,
    /// Bytes of a decoded response body that goes into a file.
    pub file_bytes: u64,
    /// Events of an event stream.
    pub events: u32,
    /// Milliseconds to establish a connection, TLS included.
    pub connect_ms: u64,
    /// Milliseconds from the request's first byte to the response's head.
    pub first_byte_ms: u64,
    /// Milliseconds without a byte of the response's body.
    pub idle_ms: u64,
    /// Milliseconds for the whole call.
    pub total_ms: u64,
    /// Calls a minute, all principals together.
    pub calls_per_minute: u32,
    /// Calls that may run at once, all principals together; `None`: as many as the principals may.
    pub calls_at_once: Option<usize>,
    /// Bytes of requests and responses a day; `None`: any number.
    pub bytes_per_day: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: 10 << 20,
            response_bytes: 10 << 20,
            upload_bytes: None,
            file_bytes: 1 << 30,
            events: 1000,
            connect_ms: 5_000,
            first_byte_ms: 30_000,
            idle_ms: 30_000,
            total_ms: 120_000,
            calls_per_minute: 600,
            calls_at_once: None,
            bytes_per_day: None,
        }
    }
}

/// An HTTP API that the broker may call.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name in the configuration.
    pub name: Name,
    /// Where the credential may go, and nowhere else.
    pub origin: Origin,
    /// The canonical path that every request's path is appended to: empty, or `/v1` (no slash at
    /// the end).
    pub base_path: String,
    /// The credential.
    pub auth: Auth,
    /// The names that the credential fills.
    pub slots: Slots,
    /// Fixed headers that are sent with every request (`anthropic-version`, ...), lower case.
    pub fixed_headers: Vec<(String, String)>,
    /// What may be asked of it.
    pub policy: Policy,
    /// How paths are read.
    pub grammar: Grammar,
    /// Further request headers that the agent may set, lower case.
    pub request_headers: Vec<String>,
    /// Members of a JSON answer whose values are redacted although nobody has seen them before: what
    /// an endpoint that mints credentials answers (RR-12).
    pub redact_fields: Vec<String>,
    /// Members of a JSON answer whose values are kept here: the agent gets a handle for each.
    pub seal_fields: Vec<String>,
    /// Fields of a request, query parameters and headers where a handle is swapped back, beside those
    /// with a name of [`seal_fields`](Self::seal_fields).
    pub unseal_fields: Vec<String>,
    /// Address ranges that would be refused but for this service (SS-10).
    pub allow_ips: Vec<Cidr>,
    /// PEM of the certificate authorities to trust instead of the built-in ones.
    pub ca_pem: Option<Vec<u8>>,
    /// Whether HTTP/2 is spoken with an upstream that can; otherwise HTTP/1.1 is.
    pub http2: bool,
    /// Caps and deadlines.
    pub limits: Limits,
    /// Path that `test_service` gets, relative to the base path.
    pub test_path: Option<String>,
    /// The principals that may use it; `None`: every one.
    pub principals: Option<Vec<Name>>,
    /// Changes whenever the configuration of this service does. Connections are pooled under it
    /// (SS-06).
    pub revision: u64,
}

impl Service {
    /// Whether a handle that is the value of `name` is swapped back.
    pub fn unseals(&self, name: &str) -> bool {
        let mut names = self.seal_fields.iter().chain(&self.unseal_fields);
        names.any(|known| known.eq_ignore_ascii_case(name))
    }
}

impl Target for Service {
    type To = Origin;

    fn keys(&self) -> Keys<'_> {
        Keys { name: &self.name, auth: &self.auth, revision: self.revision }
    }

    fn to(&self) -> Origin {
        self.origin.clone()
    }
}

/// What is needed of a service to find its secrets.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// Its name.
    pub name: &'a Name,
    /// Its secrets.
    pub auth: &'a Auth,
    /// Changes whenever its configuration does.
    pub revision: u64,
}

/// All services of one configuration, at one moment. A name is an HTTP API's or a command's.
#[derive(Debug, Default)]
pub struct Catalog {
    /// HTTP APIs, by name.
    pub services: BTreeMap<Name, std::sync::Arc<Service>>,
    /// Programs, by name.
    pub commands: BTreeMap<Name, std::sync::Arc<Command>>,
    /// MCP servers whose tools may be called, by name.
    pub servers: BTreeMap<Name, std::sync::Arc<Served>>,
    /// What single principals may do less than others.
    pub principals: BTreeMap<Name, Allowance>,
    /// Grows with every change.
    pub revision: u64,
}

/// What a principal may do, where that is less than what its services allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// The services that it may use; `None`: those that serve it.
    pub services: Option<Vec<Name>>,
    /// Its calls a minute, all services together.
    pub calls_per_minute: Option<u32>,
    /// Its calls that may run at once.
    pub calls_at_once: Option<usize>,
    /// Bytes of its requests and responses a day.
    pub bytes_per_day: Option<u64>,
}

impl Service {
    /// A service at `origin` with no credential, no rule and no exception: what else it has is set on
    /// it.
    pub fn at(name: Name, origin: Origin) -> Self {
        Self {
            name,
            origin,
            base_path: String::new(),
            auth: Auth::default(),
            slots: Slots::default(),
            fixed_headers: Vec::new(),
            policy: Policy::default(),
            grammar: Grammar::default(),
            request_headers: Vec::new(),
            allow_ips: Vec::new(),
            ca_pem: None,
            http2: true,
            limits: Limits::default(),
            redact_fields: Vec::new(),
            seal_fields: Vec::new(),
            unseal_fields: Vec::new(),
            test_path: None,
            principals: None,
            revision: 1,
        }
    }
}

impl Catalog {
    /// Whether `principal` may use the service `name`, which serves `served`. To others it does not
    /// exist.
    pub fn serves(&self, principal: &Name, name: &Name, served: Option<&[Name]>) -> bool {
        let own = self.principals.get(principal).and_then(|own| own.services.as_ref());
        served.is_none_or(|names| names.contains(principal))
            && own.is_none_or(|names| names.contains(name))
    }

    /// The secrets of everything in it.
    pub fn keys(&self) -> impl Iterator<Item = Keys<'_>> {
        let services = self.services.values().map(|service| service.keys());
        services.chain(self.commands.values().map(|command| command.keys()))
    }
}

#[cfg(test)]
mod tests {
    use crate::base_url::BaseUrl;

    // RD-02
    #[test]
    fn an_address_is_within_an_origin_or_it_is_not() {
        let origin = BaseUrl::parse("https://h.test", false).unwrap().origin;
        for (address, target) in [
            ("/mcp/", Some("/mcp/")),
            ("https://h.test/mcp/?a=1#x", Some("/mcp/?a=1")),
            ("HTTPS://H.test:443/mcp/", Some("/mcp/")),
            ("http://h.test/mcp/", None),
            ("https://h.test.evil/mcp", None),
            ("https://h.test:8443/mcp", None),
            ("https://h.test@evil/mcp", None),
            ("//evil/mcp", None),
            ("https://h.test//evil/mcp", None),
            ("mcp/", None),
            ("", None),
            ("https://h.test", None),
        ] {
            assert_eq!(origin.within(address), target, "{address}");
        }
        let six = BaseUrl::parse("http://[::1]:80/x", true).unwrap().origin;
        assert_eq!(six.within("http://[::1]:80/y"), Some("/y"));
    }
}
