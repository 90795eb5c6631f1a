//! Whom we trust: Mozilla's roots, built in, and an authority that the settings name.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::Failure;

pub(super) fn config(ca_file: Option<&Path>) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca_file {
        add(&mut roots, path)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Failure::unreachable("our side of TLS cannot be set up"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), Failure> {
    let unusable = |why: &str| Failure::Absent {
        why: format!("the file of `ca_file` {why}"),
        fix: "let `ca_file` name a PEM file with the certificate of your authority".to_owned(),
    };
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|_| unusable("cannot be read"))?;
    let mut count = 0;
    for certificate in certificates {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        added.ok_or_else(|| unusable("holds something that is not a certificate"))?;
        count += 1;
    }
    if count == 0 { Err(unusable("holds no certificate")) } else { Ok(()) }
}
