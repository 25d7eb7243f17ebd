//! Ends TLS in front of a plain HTTP server, as an operator would have it done, with certificates that are made on the spot:
//! good ones, and bad ones of every kind.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing: it is for `localhost` and `127.0.0.1`.
    None,
    Expired,
    NotValidYet,
    /// It is for `other.example`.
    OtherName,
    /// Nobody but its own key has signed it, and it may sign others.
    IsCa,
}

/// What a server shows, and its key.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    pub(crate) key: KeyPair,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Its own certificate, in a file that clients can be given.
    pub(crate) fn file_in(&self, dir: &Path) -> PathBuf {
        let path = dir.join("ca.pem");
        std::fs::write(&path, &self.pem).expect("written");
        path
    }

    /// Signs a certificate.
    pub(crate) fn sign(&self, flaw: Flaw) -> Identity {
        let name = if flaw == Flaw::OtherName { "other.example" } else { "localhost" };
        let mut names = vec![name.to_owned()];
        if flaw != Flaw::OtherName {
            names.push("127.0.0.1".to_owned());
        }
        let mut params = CertificateParams::new(names).expect("parameters");
        match flaw {
            Flaw::Expired => params.not_after = date_time_ymd(2020, 2, 29),
            Flaw::NotValidYet => params.not_before = date_time_ymd(3020, 2, 28),
            Flaw::IsCa => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Flaw::None | Flaw::OtherName => {}
        }
        let key = KeyPair::generate().expect("a key");
        let made = match flaw {
            Flaw::IsCa => params.self_signed(&key),
            _ => params.signed_by(&key, &self.issuer),
        };
        let made = made.expect("a certificate");
        Identity { certificate: made.der().clone(), pem: made.pem(), key }
    }
}

/// A proxy on a port of its own. It ends with its value.
pub(crate) struct TlsProxy {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    // Dropped with everything that runs on it.
    _runtime: tokio::runtime::Runtime,
}

impl TlsProxy {
    /// A proxy before the server at `http://…`.
    pub(crate) fn start(server_url: &str, identity: &Identity) -> Self {
        Self::listen(server_url, identity, true)
    }

    /// One that hangs up on whoever does not begin with a handshake, and says nothing.
    pub(crate) fn without_alerts(server_url: &str, identity: &Identity) -> Self {
        Self::listen(server_url, identity, false)
    }

    fn listen(server_url: &str, identity: &Identity, answers_strangers: bool) -> Self {
        let server = server_url.strip_prefix("http://").expect("a URL").to_owned();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(identity.key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![identity.certificate.clone()], key)
            .expect("a certificate and its key");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let (acceptor, server) = (acceptor.clone(), server.clone());
                tokio::spawn(async move {
                    if !answers_strangers && !begins_a_handshake(&socket).await {
                        let _ = drain(socket).await;
                        return;
                    }
                    let Ok(mut client) = acceptor.accept(socket).await else { return };
                    let Ok(mut server) = TcpStream::connect(server).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { address, connections, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The same port with plain HTTP, which is not spoken there.
    pub(crate) fn plain_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn begins_a_handshake(socket: &TcpStream) -> bool {
    let mut first = [0];
    matches!(socket.peek(&mut first).await, Ok(1)) && first == [0x16]
}

/// Reads what there is, so that the connection ends in order, and ends it.
async fn drain(mut socket: TcpStream) -> std::io::Result<()> {
    let _ = socket.read(&mut [0; 4096]).await?;
    socket.shutdown().await
}
