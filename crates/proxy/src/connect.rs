//! From a service to a connection: one resolution, every address vetted, the vetted address dialled.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::network;
use strongroom_model::ports::{BoxFuture, Dns};
use strongroom_model::service::{Origin, Scheme, Service};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::inject::{Identity, unusable};
use crate::link::{Link, Wire, http1, http2};

/// What the upstream is offered, the version that we would rather speak first (RFC 7301).
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Asks the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDns;

impl Dns for SystemDns {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Makes connections.
pub(crate) struct Dialler {
    dns: Arc<dyn Dns>,
    /// By the PEM of the authorities they trust (`None`: the built-in ones), and whether they offer
    /// HTTP/2.
    tls: Mutex<Configs>,
}

type Configs = HashMap<(Option<Vec<u8>>, bool), Arc<ClientConfig>>;

impl Dialler {
    pub(crate) fn new(dns: Arc<dyn Dns>) -> Self {
        Self { dns, tls: Mutex::default() }
    }

    /// Connects to `origin`, which is that of `service`.
    ///
    /// There is no proxy between: the environment's is never looked at (SS-09). An `identity` that
    /// cannot be shown is an error before anything is dialled.
    pub(crate) async fn dial(
        &self,
        service: &Service,
        origin: &Origin,
        identity: Option<&Identity>,
    ) -> Result<Link, Refusal> {
        let tls = match origin.scheme {
            Scheme::Https => Some(self.tls(service, identity)?),
            Scheme::Http if identity.is_some() => {
                return Err(unusable("a client certificate is of no use over plain http"));
            }
            Scheme::Http => None,
        };
        let addresses = self.vetted(service, origin).await?;
        let stream = connect(&addresses, origin.port).await.ok_or_else(unreachable)?;
        // Without this a small request waits for the acknowledgement of the one before.
        stream.set_nodelay(true).map_err(|_| unreachable())?;
        let (wire, two): (Box<dyn Wire>, bool) = match tls {
            None => (Box::new(stream), false),
            Some(tls) => {
                let name = ServerName::try_from(origin.host.to_string())
                    .map_err(|_| failed("the host is not a name that TLS can verify"))?;
                let connector = TlsConnector::from(tls);
                let stream = connector
                    .connect(name, stream)
                    .await
                    .map_err(|_| failed("the upstream's certificate or TLS is not acceptable"))?;
                let two = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
                (Box::new(stream), two)
            }
        };
        let mark = identity.map(Identity::mark);
        if two {
            http2::Link::new(wire, mark).await.map(Link::Two).map_err(|_| unreachable())
        } else {
            http1::Link::new(wire, mark).await.map(Link::One).map_err(|_| unreachable())
        }
    }

    /// The addresses of `origin`, all of them allowed: one that is not denies the rest (SS-05).
    async fn vetted(&self, service: &Service, origin: &Origin) -> Result<Vec<IpAddr>, Refusal> {
        if let Some(address) = literal(service, origin)? {
            return Ok(vec![address]);
        }
        let found = self.dns.resolve(&origin.host).await;
        let found = found.map_err(|_| failed("the upstream's name does not resolve"))?;
        network::vet(&found, &service.allow_ips)
    }

    /// What TLS needs to know. With an identity it is made anew, so that a key is not kept longer than
    /// its connection, and no session is resumed that began with another one.
    fn tls(
        &self,
        service: &Service,
        identity: Option<&Identity>,
    ) -> Result<Arc<ClientConfig>, Refusal> {
        if identity.is_some() {
            return client_config(service.ca_pem.as_deref(), service.http2, identity).map(Arc::new);
        }
        let mut configs = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (service.ca_pem.clone(), service.http2);
        if let Some(config) = configs.get(&key) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(client_config(service.ca_pem.as_deref(), service.http2, None)?);
        configs.insert(key, Arc::clone(&config));
        Ok(config)
    }
}

/// What is known of the destination before a name is resolved.
///
/// # Errors
///
/// `destination_denied` for an address that may not be dialled, and for a host that other programs
/// read as an address although it is not one in canonical form (`127.1`, `0x7f.1`, SS-03).
pub(crate) fn literal(service: &Service, origin: &Origin) -> Result<Option<IpAddr>, Refusal> {
    network::check_host(&origin.host, &service.allow_ips)?;
    if let Ok(address) = origin.host.parse::<IpAddr>() {
        return Ok(network::vet(&[address], &service.allow_ips)?.pop());
    }
    // No top-level domain begins with a digit (RFC 1123 §2.1).
    let last = origin.host.rsplit('.').next().unwrap_or_default();
    let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if last.is_empty()
        || last.starts_with(|c: char| c.is_ascii_digit())
        || !origin.host.bytes().all(is_name_byte)
    {
        let text = "the host is an address in an unusual spelling";
        return Err(Refusal::new(Code::DestinationDenied, text));
    }
    Ok(None)
}

/// The first of `addresses` that answers.
async fn connect(addresses: &[IpAddr], port: u16) -> Option<TcpStream> {
    for &address in addresses {
        #[expect(clippy::disallowed_methods, reason = "this is the place: the address is vetted")]
        let connecting = TcpStream::connect(SocketAddr::new(address, port));
        if let Ok(stream) = connecting.await {
            return Some(stream);
        }
    }
    None
}

fn client_config(
    ca_pem: Option<&[u8]>,
    http2: bool,
    identity: Option<&Identity>,
) -> Result<ClientConfig, Refusal> {
    let mut roots = RootCertStore::empty();
    match ca_pem {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(pem) => {
            let unusable = || failed("the certificate authority of this service is not usable");
            for certificate in CertificateDer::pem_slice_iter(pem) {
                roots.add(certificate.map_err(|_| unusable())?).map_err(|_| unusable())?;
            }
            if roots.is_empty() {
                return Err(unusable());
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| failed("TLS cannot be set up"))?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = identity.read()?;
            let belong = "the client certificate and the client key do not belong together";
            builder.with_client_auth_cert(chain, key).map_err(|_| unusable(belong))?
        }
    };
    config.alpn_protocols =
        if http2 { vec![HTTP2.to_vec(), HTTP1.to_vec()] } else { vec![HTTP1.to_vec()] };
    Ok(config)
}

fn unreachable() -> Refusal {
    failed("the upstream cannot be reached")
}

fn failed(text: &'static str) -> Refusal {
    Refusal::new(Code::UpstreamError, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_operating_system_knows_this_machine() {
        let found = SystemDns.resolve("localhost").await.unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
    }
}
