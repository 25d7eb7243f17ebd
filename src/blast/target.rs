//! Whom a blast talks to, and the requests that it makes, prepared as far as they are alike.

use super::connection::Outgoing;
use super::workload::project_body;
use crate::client::base_url::BaseUrl;
use crate::wire::external::IDEMPOTENCY_KEY_HEADER;
use crate::wire::ids::DemoSagaId;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::Full;
use std::net::SocketAddr;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static(IDEMPOTENCY_KEY_HEADER);

/// Projects on a page of a list: as many as Nexus gives at most.
const PAGE_ITEMS: &str = "1000";

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
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) addresses: Vec<SocketAddr>,
    base: BaseUrl,
    headers: HeaderMap,
    projects: Uri,
}

impl Target {
    /// Looks the server up, once: a run is about one server, and looking up for each connection would be measured too.
    ///
    /// # Errors
    ///
    /// When there is none, or it is farther away than it may be.
    pub async fn resolve(
        base: &BaseUrl,
        credential: Option<&Credential>,
        reach: Reach,
    ) -> Result<Self, TargetError> {
        let host = || base.host().to_owned();
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
        let mut headers = HeaderMap::new();
        let host = HeaderValue::try_from(base.authority()).expect("host and port of a URL are visible ASCII");
        headers.insert(HOST, host);
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("sagactl/", env!("CARGO_PKG_VERSION"))));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some((name, value)) = credential {
            headers.insert(name.clone(), value.clone());
        }
        let projects = path_of(&base.join(["v1", "projects"]));
        Ok(Self { addresses, base: base.clone(), headers, projects })
    }

    /// The server as it was given.
    pub fn base(&self) -> &BaseUrl {
        &self.base
    }

    fn request(&self, method: Method, uri: Uri) -> Outgoing {
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        request
    }

    fn with_json(mut request: Outgoing, body: String) -> Outgoing {
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Full::new(Bytes::from(body));
        request
    }

    /// Creates a project. A name is used once, so it serves as the key as well.
    pub(super) fn create_project(&self, name: &str) -> Outgoing {
        let mut request = self.request(Method::POST, self.projects.clone());
        let key = HeaderValue::from_str(name).expect("names are visible ASCII");
        request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        Self::with_json(request, project_body(name))
    }

    /// Deletes a project.
    pub(super) fn delete_project(&self, name: &str) -> Outgoing {
        self.request(Method::DELETE, path_of(&self.base.join(["v1", "projects", name])))
    }

    /// Asks for a page of a list.
    pub(super) fn list(&self, path: &[&str], query: &[(&str, &str)], page_token: Option<&str>) -> Outgoing {
        let mut url = self.base.join(path.iter().copied());
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
        self.request(Method::GET, path_of(&url))
    }

    /// Deletes whatever is at a path.
    pub(super) fn delete(&self, path: &[&str], query: &[(&str, &str)]) -> Outgoing {
        let mut url = self.base.join(path.iter().copied());
        url.query_pairs_mut().extend_pairs(query);
        self.request(Method::DELETE, path_of(&url))
    }

    /// Starts a demo saga.
    pub(super) fn create_demo_saga(&self) -> Outgoing {
        self.request(Method::POST, path_of(&self.base.join(["demo-saga"])))
    }

    /// Lets a demo saga go on.
    pub(super) fn complete_demo_saga(&self, id: DemoSagaId) -> Outgoing {
        let url = self.base.join(["demo-saga", &id.to_string(), "complete"]);
        self.request(Method::POST, path_of(&url))
    }

    /// Logs a user in, which is answered with a session.
    pub(super) fn log_in(&self, silo: &str, body: String) -> Outgoing {
        let url = self.base.join(["v1", "login", silo, "local"]);
        Self::with_json(self.request(Method::POST, path_of(&url)), body)
    }

    /// A read of this path, to be sent again and again.
    pub(super) fn get(&self, path: &Uri) -> Outgoing {
        self.request(Method::GET, path.clone())
    }

    /// Where a path below the base is; `None` if it is no path.
    pub(super) fn below(&self, path: &str) -> Option<Uri> {
        if !path.starts_with('/') {
            return None;
        }
        format!("{}{path}", self.base.path_prefix()).parse().ok()
    }
}

/// What stands in the first line of a request to the server itself: path and query.
fn path_of(url: &reqwest::Url) -> Uri {
    let text = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    text.parse().expect("path and query of a URL are a URI")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(url: &str, reach: Reach) -> Result<Target, TargetError> {
        Target::resolve(&url.parse().expect("a URL"), None, reach).await
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
        assert_eq!(target.create_project("n").uri(), "/api/v1/projects");
        assert_eq!(target.delete_project("n").uri(), "/api/v1/projects/n");
        let list = |token| target.list(&["v1", "vpcs"], &[("project", "p")], token);
        assert_eq!(list(None).uri(), "/api/v1/vpcs?limit=1000&project=p");
        assert_eq!(list(Some("a/b")).uri(), "/api/v1/vpcs?limit=1000&page_token=a%2Fb");
        assert_eq!(
            target.delete(&["v1", "vpcs", "v"], &[("project", "p")]).uri(),
            "/api/v1/vpcs/v?project=p"
        );
        assert_eq!(target.below("/v1/ping?x=1").expect("a path"), "/api/v1/ping?x=1");
        assert_eq!(target.below("v1/ping"), None);
        assert_eq!(target.below("/a b"), None);
    }
}
