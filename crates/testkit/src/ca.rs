//! A certificate authority of a test's own.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// An authority that nobody trusts who does not hold its PEM.
pub struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What a server shows and proves.
pub struct Identity {
    /// The certificate.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// The certificate and the key as PEM, for servers that read files.
    pub pem: (String, String),
    /// The authority whose clients it serves, and no others; `None`: it asks for no certificate.
    pub clients_of: Option<CertificateDer<'static>>,
}

impl Identity {
    /// Serves nobody who shows no certificate of `authority`.
    #[must_use]
    pub fn for_clients_of(self, authority: &TestCa) -> Self {
        let certificate = CertificateDer::from_pem_slice(authority.pem.as_bytes());
        Self { clients_of: Some(certificate.expect("an authority has PEM")), ..self }
    }
}

impl TestCa {
    /// A new authority.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "Strongroom test CA");
        let key = KeyPair::generate().expect("a key can be made");
        let pem = params.self_signed(&key).expect("a key can sign itself").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The authority's certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// An identity for `names`, which are host names and addresses.
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.sign(names, |_| {})
    }

    /// An identity whose time is over.
    pub fn issue_expired(&self, names: &[&str]) -> Identity {
        self.sign(names, |params| {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 2, 1);
        })
    }

    fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the names are names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.issuer).expect("the authority can sign");
        Identity {
            chain: vec![certificate.der().clone()],
            pem: (certificate.pem(), key.serialize_pem()),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            clients_of: None,
        }
    }
}

impl Default for TestCa {
    fn default() -> Self {
        Self::new()
    }
}
