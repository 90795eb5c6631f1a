//! TLS 1.3, with a certificate that can be replaced while the server runs.
//!
//! The two files are looked at now and then. A new pair that fits together serves the connections that
//! come after it; those that are there go on with what they began with. A pair that cannot be used is
//! refused and said once, and the one before it stays: between the writing of the certificate and the
//! writing of its key every replacement looks broken for a moment.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use std::{fs, io};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::time::sleep;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::options::TlsFiles;

/// The versions of HTTP that a client may choose from (RFC 7301), ours first.
pub(crate) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Why a certificate and its key cannot be used. Nothing of the files is repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no certificate in the file, or what it has is not one.
    #[error("{} holds no certificate in PEM", path.display())]
    Certificate {
        /// Which.
        path: PathBuf,
    },
    /// There is no private key in the file, or what it has is not one.
    #[error("{} holds no private key in PEM", path.display())]
    Key {
        /// Which.
        path: PathBuf,
    },
    /// The two do not belong together, or are of a kind that is not supported.
    #[error("the certificate and the key do not belong together")]
    Pair {
        /// What TLS says.
        source: rustls::Error,
    },
}

/// The certificate that is shown now.
pub(crate) struct Certificates {
    files: TlsFiles,
    state: Mutex<State>,
}

struct State {
    stamps: Stamps,
    config: Arc<ServerConfig>,
}

/// What came of looking.
#[derive(Debug)]
pub(crate) enum Looked {
    Same,
    Replaced,
    Refused(TlsError),
}

impl Certificates {
    /// Reads the files for the first time.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let stamps = Stamps::of(&files);
        let config = read(&files)?;
        Ok(Self { files, state: Mutex::new(State { stamps, config }) })
    }

    /// For the connection that comes now.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.lock().config)
    }

    /// Looks whether the files were replaced, until the future is dropped.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            sleep(self.files.look_every).await;
            let this = Arc::clone(&self);
            // Files may lie on a network.
            let Ok(looked) = tokio::task::spawn_blocking(move || this.look()).await else { return };
            match looked {
                Looked::Same => {}
                Looked::Replaced => info!("the new certificate is in use"),
                Looked::Refused(error) => {
                    warn!(%error, "the new certificate is not used, the one before it stays");
                }
            }
        }
    }

    /// Looks once. What was refused is not tried again before a file changes.
    pub(crate) fn look(&self) -> Looked {
        // Stamps first: what changes while it is read is read again.
        let stamps = Stamps::of(&self.files);
        if stamps == self.lock().stamps {
            return Looked::Same;
        }
        let read = read(&self.files);
        let mut state = self.lock();
        state.stamps = stamps;
        match read {
            Ok(config) => {
                state.config = config;
                Looked::Replaced
            }
            Err(error) => Looked::Refused(error),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By what a replaced file is known. A file that is not there has no stamp.
#[derive(Clone, PartialEq, Eq)]
struct Stamps([Option<Stamp>; 2]);

#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    file: u64,
}

impl Stamps {
    fn of(files: &TlsFiles) -> Self {
        Self([&files.certificate, &files.key].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some(Stamp {
                modified: metadata.modified().ok(),
                length: metadata.len(),
                file: number(&metadata),
            })
        }))
    }
}

#[cfg(unix)]
fn number(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_: &fs::Metadata) -> u64 {
    0
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let pem = file(&files.certificate)?;
    let no_certificate = || TlsError::Certificate { path: files.certificate.clone() };
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| no_certificate())?;
    if chain.is_empty() {
        return Err(no_certificate());
    }
    let pem = file(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| TlsError::Key { path: files.key.clone() })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|source| TlsError::Pair { source })?;
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    Ok(Arc::new(config))
}

fn file(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let read = fs::read(path).map(Zeroizing::new);
    read.map_err(|source| TlsError::Unreadable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use strongroom_testkit::ca::TestCa;

    use super::*;

    fn pair(folder: &Path) -> TlsFiles {
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        TlsFiles { certificate, key, look_every: Duration::from_secs(1) }
    }

    fn write(files: &TlsFiles, certificate: &str, key: &str) {
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key).unwrap();
    }

    #[test]
    fn a_new_pair_is_used_and_a_broken_one_leaves_the_one_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let files = pair(folder.path());
        let ca = TestCa::new();
        let [first, second] = ["one.test", "two-and-longer.test"].map(|name| ca.issue(&[name]).pem);
        write(&files, &first.0, &first.1);
        let certificates = Certificates::load(files.clone()).unwrap();
        assert!(matches!(certificates.look(), Looked::Same));

        let before = certificates.current();
        fs::write(&files.certificate, &second.0).unwrap();
        assert!(matches!(certificates.look(), Looked::Refused(TlsError::Pair { .. })));
        assert!(matches!(certificates.look(), Looked::Same), "it is said once");
        assert!(Arc::ptr_eq(&before, &certificates.current()));

        fs::remove_file(&files.key).unwrap();
        assert!(matches!(certificates.look(), Looked::Refused(TlsError::Unreadable { .. })));
        fs::write(&files.key, "-----BEGIN nothing-----\n").unwrap();
        assert!(matches!(certificates.look(), Looked::Refused(TlsError::Key { .. })));
        assert!(Arc::ptr_eq(&before, &certificates.current()));

        fs::write(&files.key, &second.1).unwrap();
        assert!(matches!(certificates.look(), Looked::Replaced));
        assert!(!Arc::ptr_eq(&before, &certificates.current()));
    }

    #[test]
    fn what_is_wrong_with_a_pair_is_said_without_a_word_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let files = pair(folder.path());
        let (certificate, key) = TestCa::new().issue(&["one.test"]).pem;
        for (certificate, key) in [("canary", &*key), ("", &key), (&certificate, "canary")] {
            write(&files, certificate, key);
            let error = Certificates::load(files.clone()).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        }
        write(&files, &certificate, &key);
        assert!(Certificates::load(files).is_ok());
    }
}
