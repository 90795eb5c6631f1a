//! Whom we trust: Mozilla's roots, built in, and an authority that the settings name.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::{Failure, Trust};

pub(super) fn config(trust: &Trust) -> Result<ClientConfig, Failure> {
    let built_in = || RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let (roots, versions) = match trust {
        Trust::BuiltIn(None) => (built_in(), rustls::ALL_VERSIONS),
        Trust::BuiltIn(Some(path)) => {
            let mut roots = built_in();
            let certificates =
                CertificateDer::pem_file_iter(path).map_err(|_| unusable("cannot be read"))?;
            add(&mut roots, certificates)?;
            (roots, rustls::ALL_VERSIONS)
        }
        Trust::Modern(None) => (built_in(), MODERN),
        Trust::Modern(Some(pem)) => {
            let mut roots = RootCertStore::empty();
            add(&mut roots, CertificateDer::pem_slice_iter(pem.as_bytes()))?;
            (roots, MODERN)
        }
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|_| Failure::unreachable("our side of TLS cannot be set up"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

const MODERN: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

fn add<E>(
    roots: &mut RootCertStore,
    certificates: impl Iterator<Item = Result<CertificateDer<'static>, E>>,
) -> Result<(), Failure> {
    let mut count = 0;
    for certificate in certificates {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        added.ok_or_else(|| unusable("holds something that is not a certificate"))?;
        count += 1;
    }
    if count == 0 { Err(unusable("holds no certificate")) } else { Ok(()) }
}

fn unusable(why: &str) -> Failure {
    Failure::Absent {
        why: format!("the file of `ca_file` {why}"),
        fix: "let `ca_file` name a PEM file with the certificate of your authority".to_owned(),
    }
}
