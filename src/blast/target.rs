//! Whom a blast talks to, and the requests that it makes, prepared as far as they are alike.

use super::connection::Outgoing;
use super::stream::Stream;
use super::workload::project_body;
use crate::client::base_url::BaseUrl;
use crate::client::operations::{Call, Operation};
use crate::client::retry::RetryScope;
use crate::client::tls::trouble::Trouble as TlsTrouble;
use crate::client::tls::{self, Trust, TrustError};
use crate::wire::external::IDEMPOTENCY_KEY_HEADER;
use crate::wire::ids::DemoSagaId;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Uri};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Projects on a page of a list: as many as Nexus gives at most.
const PAGE_ITEMS: &str = "1000";

/// Longest wait for each step of the handshake that comes before the load.
const GREETING: Duration = Duration::from_secs(5);

/// How a blast proves who it is: a header that every request carries.
pub type Credential = (HeaderName, HeaderValue);

/// Why there is nobody to make load on.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The name of the server means nothing.
    #[error("looking up {host}")]
    Unknown {
        /// The name.
        host: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It has no address.
    #[error("the name {host} has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// There is nobody to say who it is.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// No certificate can be for such a name.
    #[error("{host} cannot be reached with TLS")]
    NoTlsName {
        /// The name.
        host: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is another machine, and nobody said that this is meant.
    #[error("{base} is another machine ({address})")]
    Remote {
        /// The server.
        base: BaseUrl,
        /// One of its addresses.
        address: SocketAddr,
    },
}

/// Whether load may be made on other machines. A generator pointed at the wrong address is an attack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Only this machine.
    #[default]
    Loopback,
    /// Whatever the URL says.
    Anywhere,
}

/// A server's addresses and the requests that go there.
#[derive(Clone)]
pub struct Target {
    pub(super) addresses: Vec<SocketAddr>,
    /// For `https`.
    pub(super) tls: Option<Tls>,
    base: BaseUrl,
    /// Headers that every request has, as they go out. Some may be secret.
    headers: Vec<u8>,
    create_project: Prepared,
    retry: RetryScope,
}

/// What a handshake with the server needs.
#[derive(Clone)]
pub(super) struct Tls {
    /// Who it has to be.
    pub(super) name: ServerName<'static>,
    /// Whom we believe.
    pub(super) config: Arc<ClientConfig>,
}

/// Method and path of an operation, as they stand in a request.
#[derive(Clone)]
struct Prepared {
    method: http::Method,
    path: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.base)
    }
}

impl Target {
    /// Looks the server up, once: a run is about one server, and looking up for each connection would be measured too.
    ///
    /// # Errors
    ///
    /// When there is none, or it is farther away than it may be.
    pub async fn resolve(
        base: &BaseUrl,
        trust: &Trust,
        credential: Option<&Credential>,
        reach: Reach,
    ) -> Result<Self, TargetError> {
        let host = || base.host().to_owned();
        let tls = match base.is_https() {
            true => {
                let name = tls::server_name(base)
                    .map_err(|source| TargetError::NoTlsName { host: host(), source })?;
                Some(Tls { name, config: trust.client_config()? })
            }
            false => None,
        };
        let addresses: Vec<_> = tokio::net::lookup_host((base.host(), base.port()))
            .await
            .map_err(|source| TargetError::Unknown { host: host(), source })?
            .collect();
        if addresses.is_empty() {
            return Err(TargetError::NoAddress { host: host() });
        }
        let remote = addresses.iter().find(|address| !address.ip().to_canonical().is_loopback());
        if let (Reach::Loopback, Some(&address)) = (reach, remote) {
            return Err(TargetError::Remote { base: base.clone(), address });
        }
        let mut headers = format!(
            "host: {}\r\nuser-agent: sagactl/{}\r\naccept: application/json\r\n",
            base.authority(),
            env!("CARGO_PKG_VERSION")
        )
        .into_bytes();
        if let Some((name, value)) = credential {
            headers.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        let create_project = prepare(base, &Call::new(Operation::CreateProject));
        Ok(Self { addresses, tls, base: base.clone(), headers, create_project, retry: RetryScope::default() })
    }

    /// Shakes hands once, if that is what one does there, and says what is wrong with the server's certificate or with TLS
    /// itself. Whatever else may be wrong will show, and may pass.
    pub async fn find_tls_trouble(&self) -> Option<TlsTrouble> {
        let tls = self.tls.as_ref()?;
        for address in &self.addresses {
            let Ok(Ok(socket)) = timeout(GREETING, TcpStream::connect(address)).await else { continue };
            let greeting = timeout(GREETING, Stream::over(socket, Some(tls))).await;
            return greeting.ok()?.err().as_ref().and_then(TlsTrouble::of);
        }
        None
    }

    /// The same with another rule of what may be tried again. What makes load goes by its own: it tries nothing again.
    pub fn with_retry(self, retry: RetryScope) -> Self {
        Self { retry, ..self }
    }

    /// Whether an operation may be sent again whose answer was lost, or that was told to come later.
    pub(super) fn may_repeat(&self, operation: Operation) -> bool {
        self.retry.allows_class(operation.is_read(), operation.retry_class(), false)
    }

    /// The server as it was given.
    pub fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// A request without a body.
    fn request(&self, Prepared { method, path }: &Prepared) -> Outgoing {
        let mut bytes = Vec::with_capacity(self.headers.len() + path.len() + 32);
        self.begin(&mut bytes, method, path);
        // Some servers insist on being told so.
        if method != http::Method::GET {
            bytes.extend_from_slice(b"content-length: 0\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        Bytes::from(bytes)
    }

    fn begin(&self, bytes: &mut Vec<u8>, method: &http::Method, path: &str) {
        bytes.extend_from_slice(method.as_str().as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(path.as_bytes());
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        bytes.extend_from_slice(&self.headers);
    }

    /// A request with a JSON body, and perhaps an idempotency key.
    fn post(&self, Prepared { method, path }: &Prepared, key: Option<&str>, body: &str) -> Outgoing {
        let mut bytes = Vec::with_capacity(self.headers.len() + path.len() + body.len() + 160);
        self.begin(&mut bytes, method, path);
        if let Some(key) = key {
            for part in [IDEMPOTENCY_KEY_HEADER, ": ", key, "\r\n"] {
                bytes.extend_from_slice(part.as_bytes());
            }
        }
        bytes.extend_from_slice(b"content-type: application/json\r\ncontent-length: ");
        bytes.extend_from_slice(body.len().to_string().as_bytes());
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(body.as_bytes());
        Bytes::from(bytes)
    }

    /// Creates a project. A name is used once, so it serves as the key as well.
    pub(super) fn create_project(&self, name: &str) -> Outgoing {
        self.post(&self.create_project, Some(name), &project_body(name))
    }

    /// Deletes a project.
    pub(super) fn delete_project(&self, name: &str) -> Outgoing {
        self.request(&prepare(&self.base, &Call::on(Operation::DeleteProject, name)))
    }

    /// Asks for a page of a list.
    pub(super) fn list(
        &self,
        operation: Operation,
        query: &[(&str, &str)],
        page_token: Option<&str>,
    ) -> Outgoing {
        let mut url = self.base.join(Call::new(operation).path_segments());
        {
            let mut pairs = url.query_pairs_mut();
            pairs.append_pair("limit", PAGE_ITEMS);
            match page_token {
                // A token knows what its list was asked with.
                Some(token) => {
                    pairs.append_pair("page_token", token);
                }
                None => {
                    pairs.extend_pairs(query);
                }
            }
        }
        self.request(&Prepared { method: operation.method(), path: path_of(&url) })
    }

    /// Something done to an object that is named by its path and a query.
    pub(super) fn on_object(&self, call: &Call, query: &[(&str, &str)]) -> Outgoing {
        let mut url = self.base.join(call.path_segments());
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.request(&Prepared { method: call.operation.method(), path: path_of(&url) })
    }

    /// Starts a demo saga.
    pub(super) fn create_demo_saga(&self) -> Outgoing {
        self.request(&prepare(&self.base, &Call::new(Operation::CreateDemoSaga)))
    }

    /// Lets a demo saga go on.
    pub(super) fn complete_demo_saga(&self, id: DemoSagaId) -> Outgoing {
        self.request(&prepare(&self.base, &Call::on(Operation::CompleteDemoSaga, id)))
    }

    /// Logs a user in, which is answered with a session.
    pub(super) fn log_in(&self, silo: &str, body: &str) -> Outgoing {
        self.post(&prepare(&self.base, &Call::on(Operation::LogIn, silo)), None, body)
    }

    /// A read of what is at a path below the base; `None` if it is no path.
    pub(super) fn read(&self, path: &str) -> Option<Outgoing> {
        if !path.starts_with('/') {
            return None;
        }
        let uri: Uri = format!("{}{path}", self.base.path_prefix()).parse().ok()?;
        let path = uri.path_and_query()?.as_str().to_owned();
        Some(self.request(&Prepared { method: Operation::ReadForLoad.method(), path }))
    }
}

fn prepare(base: &BaseUrl, call: &Call) -> Prepared {
    Prepared { method: call.operation.method(), path: path_of(&base.join(call.path_segments())) }
}

/// What stands in the first line of a request to the server itself: path and query.
fn path_of(url: &reqwest::Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(url: &str, reach: Reach) -> Result<Target, TargetError> {
        Target::resolve(&url.parse().expect("a URL"), &Trust::system(), None, reach).await
    }

    #[tokio::test]
    async fn load_stays_on_this_machine_unless_told_otherwise() {
        for near in ["http://127.0.0.1:1", "http://[::1]:1", "http://[::ffff:127.0.0.1]:1"] {
            assert!(resolve(near, Reach::Loopback).await.is_ok(), "{near}");
        }
        let far = resolve("http://192.0.2.7:80", Reach::Loopback).await.expect_err("refused");
        assert_eq!(far.to_string(), "http://192.0.2.7 is another machine (192.0.2.7:80)");
        assert!(resolve("http://192.0.2.7:80", Reach::Anywhere).await.is_ok());
    }

    #[tokio::test]
    async fn requests_go_below_the_base() {
        let target = resolve("http://127.0.0.1:1/api/", Reach::Loopback).await.expect("a target");
        let first_line = |request: Outgoing| {
            let text = String::from_utf8(request.to_vec()).expect("text");
            text.lines().next().expect("a line").to_owned()
        };
        assert_eq!(first_line(target.create_project("n")), "POST /api/v1/projects HTTP/1.1");
        assert_eq!(first_line(target.delete_project("n")), "DELETE /api/v1/projects/n HTTP/1.1");
        let list = |token| first_line(target.list(Operation::ListVpcs, &[("project", "p")], token));
        assert_eq!(list(None), "GET /api/v1/vpcs?limit=1000&project=p HTTP/1.1");
        assert_eq!(list(Some("a/b")), "GET /api/v1/vpcs?limit=1000&page_token=a%2Fb HTTP/1.1");
        let delete = target.on_object(&Call::on(Operation::DeleteVpc, "v"), &[("project", "p")]);
        assert_eq!(first_line(delete), "DELETE /api/v1/vpcs/v?project=p HTTP/1.1");
        let read = |path| target.read(path).map(first_line);
        assert_eq!(read("/v1/ping?x=1").as_deref(), Some("GET /api/v1/ping?x=1 HTTP/1.1"));
        assert_eq!((read("v1/ping"), read("/a b"), read("/a\r\nb: c")), (None, None, None));
    }

    #[tokio::test]
    async fn a_request_is_complete_and_its_secrets_do_not_show() {
        let credential = (http::header::COOKIE, HeaderValue::from_static("session=s3cret"));
        let base = "http://127.0.0.1:1".parse().expect("a URL");
        let target = Target::resolve(&base, &Trust::system(), Some(&credential), Reach::Loopback).await;
        let target = target.expect("a target");
        let request = String::from_utf8(target.create_project("n-0-0").to_vec()).expect("text");
        let (head, body) = request.split_once("\r\n\r\n").expect("a head");
        assert_eq!(body, r#"{"name":"n-0-0","description":"made by sagactl blast"}"#);
        for line in [
            "host: 127.0.0.1:1",
            "cookie: session=s3cret",
            "idempotency-key: n-0-0",
            "content-type: application/json",
            &format!("content-length: {}", body.len()),
        ] {
            assert!(head.lines().any(|header| header == line), "{line}: {head}");
        }
        assert!(!format!("{target:?}").contains("s3cret"));
    }
}
