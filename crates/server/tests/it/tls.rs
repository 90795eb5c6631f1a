//! TLS, HTTP/2, and where the server may listen.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use strongroom_server::{Options, ServeError, Server, TlsFiles};
use strongroom_testkit::ca::TestCa;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{LIST, Site};

const PATIENCE: Duration = Duration::from_secs(20);

fn write(folder: &Path, pem: &(String, String)) -> TlsFiles {
    let files = TlsFiles {
        certificate: folder.join("cert.pem"),
        key: folder.join("key.pem"),
        look_every: Duration::from_millis(20),
    };
    fs::write(&files.certificate, &pem.0).unwrap();
    fs::write(&files.key, &pem.1).unwrap();
    files
}

async fn connect(
    ca: &TestCa,
    address: SocketAddr,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

const NEW: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

#[tokio::test]
async fn tls_1_3_is_spoken_and_nothing_older_with_http_1_and_http_2() {
    let (ca, folder) = (TestCa::new(), tempfile::tempdir().unwrap());
    let files = write(folder.path(), &ca.issue(&["one.test"]).pem);
    let site = Site::with(|options, _| options.tls = Some(files)).await;
    let key = site.key(&site.a, "use").await;

    let old = connect(&ca, site.address, "one.test", &[&rustls::version::TLS12], &[]).await;
    assert!(old.is_err());
    let stream = connect(&ca, site.address, "one.test", NEW, &[b"h2"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let uri = format!("https://one.test{LIST}");
        let request = Request::get(uri).header("x-api-key", &key).body(Full::<Bytes>::default());
        let reply = sender.send_request(request.unwrap()).await.unwrap();
        assert_eq!(reply.status(), 200);
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"ok":true,"data":{"servers":[],"count":0}}"#);
    }
    let mut stream = connect(&ca, site.address, "one.test", NEW, &[b"http/1.1"]).await.unwrap();
    let request =
        format!("GET {LIST} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let mut plain = TcpStream::connect(site.address).await.unwrap();
    plain.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "no plain HTTP on this port");
}

#[tokio::test]
async fn a_new_certificate_serves_new_connections_and_a_broken_one_nobody() {
    let (ca, folder) = (TestCa::new(), tempfile::tempdir().unwrap());
    let files = write(folder.path(), &ca.issue(&["one.test"]).pem);
    let site = Site::with(|options, _| options.tls = Some(files.clone())).await;
    let mut old = connect(&ca, site.address, "one.test", NEW, &[]).await.unwrap();
    fs::write(&files.key, "broken").unwrap();
    let next = ca.issue(&["another-name.test"]).pem;
    fs::write(&files.certificate, &next.0).unwrap();
    for _ in 0..20 {
        connect(&ca, site.address, "one.test", NEW, &[]).await.unwrap();
    }
    fs::write(&files.key, &next.1).unwrap();
    let began = Instant::now();
    while connect(&ca, site.address, "another-name.test", NEW, &[]).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "the new certificate is not used");
        tokio::task::yield_now().await;
    }
    assert!(connect(&ca, site.address, "one.test", NEW, &[]).await.is_err());
    old.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    old.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "a connection that was there goes on: {answer}");
}

// WU-07
#[tokio::test]
async fn beyond_loopback_there_is_tls_or_no_server() {
    let site = Site::new().await;
    let bind = async |change: &dyn Fn(&mut Options)| {
        let mut options = Options { listen: ([0, 0, 0, 0], 0).into(), ..Options::default() };
        change(&mut options);
        Server::bind(site.backend(), options).await
    };
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let refused = bind(&|options| options.listen = address.parse().unwrap()).await;
        assert!(matches!(refused, Err(ServeError::Plaintext { .. })), "{address}");
    }
    assert!(bind(&|options| options.behind_tls_proxy = true).await.is_ok());
    let (ca, folder) = (TestCa::new(), tempfile::tempdir().unwrap());
    let files = write(folder.path(), &ca.issue(&["one.test"]).pem);
    let server = bind(&|options| options.tls = Some(files.clone())).await.unwrap();
    assert_eq!(server.url(), format!("https://{}", server.address()));
    fs::write(&files.key, "").unwrap();
    let broken = bind(&|options| options.tls = Some(files.clone())).await;
    assert!(matches!(broken, Err(ServeError::Tls(_))));
}

// WU-07
#[tokio::test]
async fn a_port_that_is_taken_is_an_error() {
    let site = Site::new().await;
    let options = Options { listen: site.address, ..Options::default() };
    let taken = Server::bind(site.backend(), options).await;
    assert!(matches!(taken, Err(ServeError::Bind { address, .. }) if address == site.address));
}
