//! TLS, for `https` URLs: whom we trust to say who a server is, and the handshake.
//!
//! Roots are read when the first `https` URL is used, and never for `http`: reading those of a system opens some hundred
//! files, which is more than everything else that a short command does. There is no way to trust just anybody: a
//! certificate that cannot be verified is an answer too, and [`trouble`] tells which.

pub mod trouble;

use super::base_url::BaseUrl;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Largest file of certificates that is read: those of a whole system are a quarter of a megabyte.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// Whose signatures on certificates are believed. Clones share what was read.
#[derive(Clone, Debug, Default)]
pub struct Trust(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// In place of the system's.
    ca_file: Option<PathBuf>,
    config: OnceLock<Arc<ClientConfig>>,
}

/// Why there is nobody to trust.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read.
    #[error("reading {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is something else than certificates.
    #[error("{} {what}", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The system has no roots that could be read.
    #[error("the system has no root certificates{}", because(.reasons))]
    NoSystemRoots {
        /// What went wrong, as far as it is known.
        reasons: Vec<String>,
    },
}

impl Trust {
    /// Whom the system trusts.
    pub fn system() -> Self {
        Self::default()
    }

    /// The certificates in a PEM file, and nobody else.
    pub fn only(ca_file: PathBuf) -> Self {
        Self(Arc::new(Inner { ca_file: Some(ca_file), config: OnceLock::new() }))
    }

    /// What a handshake needs; reads the roots when it is first asked for.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, TrustError> {
        if let Some(config) = self.0.config.get() {
            return Ok(Arc::clone(config));
        }
        let roots = match &self.0.ca_file {
            Some(path) => roots_in(path)?,
            None => system_roots()?,
        };
        Ok(Arc::clone(self.0.config.get_or_init(|| Arc::new(config_with(roots)))))
    }

    /// What a general client wants to be given although it will not use it.
    pub(super) fn of_nobody() -> ClientConfig {
        config_with(RootCertStore::empty())
    }
}

fn config_with(roots: RootCertStore) -> ClientConfig {
    // Named here, so that it does not depend on who else in the process is linked with what.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the cipher suites of these versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

fn system_roots() -> Result<RootCertStore, TrustError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems carry some that are too old to be read; one that is missed is told by the handshake.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reasons = found.errors.iter().map(ToString::to_string).collect();
        return Err(TrustError::NoSystemRoots { reasons });
    }
    Ok(roots)
}

fn roots_in(path: &Path) -> Result<RootCertStore, TrustError> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_FILE + 1).read_to_end(&mut text))
        .map_err(|source| TrustError::Read { path: path.to_owned(), source })?;
    let unusable = |what: String| TrustError::Unusable { path: path.to_owned(), what };
    if text.len() as u64 > LARGEST_FILE {
        return Err(unusable(format!("is larger than {LARGEST_FILE} bytes")));
    }
    roots_of(&text).map_err(unusable)
}

/// The certificates in a PEM text, or what is wrong with it.
fn roots_of(text: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(text).enumerate() {
        let number = index + 1;
        certificate.map_err(|error| format!("is damaged at certificate {number}: {error}")).and_then(
            |certificate| {
                let added = roots.add(certificate);
                added.map_err(|_| format!("is damaged: certificate {number} is not one"))
            },
        )?;
    }
    if !roots.is_empty() {
        return Ok(roots);
    }
    let holds = |words: &[u8]| text.windows(words.len()).any(|window| window == words);
    Err(match text {
        [] => "is empty".to_owned(),
        _ if holds(b"PRIVATE KEY-----") => "holds a private key and no certificate".to_owned(),
        // How a certificate begins before it is written as text.
        [0x30, 0x82, ..] => {
            "holds no certificate in PEM form; it looks like DER, which `openssl x509 -inform der` \
                             converts"
                .to_owned()
        }
        _ => "holds no certificate in PEM form".to_owned(),
    })
}

fn because(reasons: &[String]) -> String {
    if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) }
}

/// Who the server of a URL has to show that it is.
pub fn server_name(base: &BaseUrl) -> io::Result<ServerName<'static>> {
    let name = ServerName::try_from(base.host().to_owned());
    name.map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no certificate can be for this name"))
}

/// Shakes hands on a fresh connection.
///
/// # Errors
///
/// Those of the connection; [`trouble::Trouble::of`] tells those of TLS from them.
pub async fn handshake(
    stream: TcpStream,
    name: ServerName<'static>,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> String {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
        made.cert.pem()
    }

    #[test]
    fn every_certificate_of_a_file_is_trusted() {
        let both = format!("# two of them\n{}\nnothing\n{}", certificate(), certificate());
        assert_eq!(roots_of(both.as_bytes()).expect("two").len(), 2);
    }

    #[test]
    fn what_is_no_file_of_certificates_is_told() {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
        let cut: String = made.cert.pem().lines().take(3).map(|line| format!("{line}\n")).collect();
        let hollow = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        for (text, what) in [
            (Vec::new(), "is empty"),
            (b"hello".to_vec(), "holds no certificate in PEM form"),
            (made.signing_key.serialize_pem().into_bytes(), "holds a private key and no certificate"),
            (made.cert.der().to_vec(), "holds no certificate in PEM form; it looks like DER"),
            (cut.into_bytes(), "is damaged at certificate 1: "),
            (hollow.as_bytes().to_vec(), "is damaged: certificate 1 is not one"),
        ] {
            let told = roots_of(&text).expect_err(what);
            assert!(told.starts_with(what), "{told}");
        }
    }

    #[test]
    fn fuzzed_files_are_read_or_refused() {
        let certificate = certificate();
        crate::fuzz::fuzz_text(&[&certificate, "-----BEGIN CERTIFICATE-----\n"], |text, _| {
            if let Ok(roots) = roots_of(text.as_bytes()) {
                assert!(!roots.is_empty());
            }
        });
    }

    #[test]
    fn a_file_is_read_when_it_is_needed_and_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ca.pem");
        let trust = Trust::only(path.clone());
        let missing = trust.client_config().expect_err("no file");
        assert_eq!(missing.to_string(), format!("reading {}", path.display()));
        std::fs::write(&path, certificate()).expect("written");
        let read = trust.client_config().expect("a certificate");
        std::fs::remove_file(&path).expect("removed");
        assert!(Arc::ptr_eq(&read, &trust.clone().client_config().expect("kept")));
    }
}
