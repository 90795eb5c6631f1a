//! A client certificate, shown in the TLS handshake (RFC 8446 §4.4.2). Nothing in the request itself.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use strongroom_model::code::{Code, Refusal};
use strongroom_model::injection::Bound;
use strongroom_model::service::{Auth, Slots};
use strongroom_seal::sign::digest;

use super::{AuthError, Moment, Outgoing, Scheme, Slot, field, only};

/// Needs the secrets `certificate`, the chain with the client's own certificate first, and `key`; both
/// PEM, the key unencrypted.
pub(super) struct Mtls;

/// Who we are to the upstream, before it is known whether that is any good.
pub struct Identity {
    certificate: Slot,
    key: Slot,
}

impl Scheme for Mtls {
    fn name(&self) -> &'static str {
        "mtls"
    }

    fn slots(&self, auth: &Auth) -> Result<Slots, AuthError> {
        only("mtls", auth, &["certificate", "key"], &[])?;
        let missing = |field| Err(AuthError::Missing { scheme: "mtls", field });
        if !auth.secrets.contains_key("certificate") {
            return missing("`certificate`");
        }
        if !auth.secrets.contains_key("key") {
            return missing("`key`");
        }
        Ok(Slots::default())
    }

    fn reads_body(&self, _: &Auth) -> bool {
        false
    }

    fn identity(&self, bound: &Bound) -> Result<Option<Identity>, Refusal> {
        let of =
            |name| field(bound, name).map(|secret| Slot::with_room(secret.len()).secret(secret));
        Ok(Some(Identity { certificate: of("certificate")?, key: of("key")? }))
    }

    fn inject(&self, _: &Auth, _: &Bound, _: &mut Outgoing, _: &Moment<'_>) -> Result<(), Refusal> {
        Ok(())
    }
}

impl Identity {
    /// What tells it from others: a connection that was made with another is not used for it.
    pub(crate) fn mark(&self) -> [u8; 32] {
        digest(&[&self.certificate.0, &self.key.0])
    }

    /// The certificates, our own first, and its key.
    pub(crate) fn read(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Refusal> {
        let chain = CertificateDer::pem_slice_iter(&self.certificate.0)
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|chain| !chain.is_empty())
            .ok_or_else(|| unusable("the client certificate of this service is not PEM"))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key.0).map_err(|_| {
            unusable("the client key of this service is not an unencrypted key in PEM")
        })?;
        Ok((chain, key))
    }
}

/// What is wrong with the credential, in words that have nothing of it.
pub(crate) fn unusable(text: &'static str) -> Refusal {
    Refusal::new(Code::SecretUnavailable, text)
}
