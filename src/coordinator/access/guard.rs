//! Looks at the head of each request and lets it in or not.
//!
//! The HTTP server asks a *version policy* about every request before it routes it, also about those that match no route.
//! Our APIs have one version; what this policy is for is that question, which no handler can forget to ask.

use super::BearerToken;
use super::hosts::{Hosts, host_of};
use super::session::Sessions;
use super::users::Users;
use dropshot::{Body, ClientErrorStatusCode, DynamicVersionPolicy, HttpError};
use http::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, Request, Uri};
use std::sync::Arc;

/// Says where the page is from that made a browser send a request.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Name of the cookie that holds a session.
pub const SESSION_COOKIE: &str = "session";

/// The users of an API and what shows that somebody is one.
#[derive(Debug)]
pub struct LoggedIn {
    /// Who may.
    pub users: Users,
    /// What they have been given.
    pub sessions: Sessions,
}

/// Decides for one API.
#[derive(Debug)]
pub struct Guard {
    hosts: Hosts,
    token: Option<BearerToken>,
    logged_in: Option<Arc<LoggedIn>>,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It does not say once which server it is for.
    NoHost,
    /// It is for another server.
    ForeignHost,
    /// A web page of another site made it.
    ForeignPage,
    /// It shows no token and no session.
    Anonymous,
    /// What it shows is not right, or no more.
    NotLetIn,
}

impl Guard {
    /// For an API that is called by `hosts`. If neither a token is given nor users, everybody may call it who reaches it.
    pub fn new(hosts: Hosts, token: Option<BearerToken>, logged_in: Option<Arc<LoggedIn>>) -> Self {
        Self { hosts, token, logged_in }
    }

    /// Whether a request may go on.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn admit(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Denied> {
        let host = self.check_host(uri, headers)?;
        check_page(headers, host)?;
        let asks = self.token.is_some() || self.logged_in.is_some();
        if !asks || is_for_everybody(uri.path()) {
            return Ok(());
        }
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        if let Some(value) = shown.next() {
            let is_ours = |token: &BearerToken| bearer(value.as_bytes()).is_some_and(|shown| token.is(shown));
            let is_right = self.token.as_ref().is_some_and(is_ours);
            return if is_right && shown.next().is_none() { Ok(()) } else { Err(Denied::NotLetIn) };
        }
        match (&self.logged_in, session_of(headers)) {
            (Some(logged_in), Some(session)) => {
                let user = logged_in.sessions.user_of(session).ok_or(Denied::NotLetIn)?;
                if logged_in.users.contain(user) { Ok(()) } else { Err(Denied::NotLetIn) }
            }
            _ => Err(Denied::Anonymous),
        }
    }

    fn check_host<'a>(&self, uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Denied> {
        let mut named = headers.get_all(HOST).iter();
        let in_header = match (named.next(), named.next()) {
            (Some(host), None) => Some(host.to_str().map_err(|_| Denied::ForeignHost)?),
            (None, _) => None,
            (Some(_), Some(_)) => return Err(Denied::NoHost),
        };
        // HTTP/2 and requests to proxies have it in the target; then both have to be ours.
        let in_target = uri.authority().map(http::uri::Authority::as_str);
        let host = in_target.or(in_header).ok_or(Denied::NoHost)?;
        if [in_target, in_header].into_iter().flatten().all(|host| self.hosts.include(host)) {
            Ok(host)
        } else {
            Err(Denied::ForeignHost)
        }
    }
}

/// A browser says where a request comes from; programs do not.
fn check_page(headers: &HeaderMap, host: &str) -> Result<(), Denied> {
    let is_own = |origin: &[u8]| {
        let origin = std::str::from_utf8(origin).ok();
        let authority = origin.and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
        authority
            .is_some_and(|authority| host_of(authority).is_some() && authority.eq_ignore_ascii_case(host))
    };
    let from = headers.get_all(SEC_FETCH_SITE).iter();
    let foreign_site =
        from.map(http::HeaderValue::as_bytes).any(|site| site != b"same-origin" && site != b"none");
    let foreign_origin = headers.get_all(ORIGIN).iter().any(|origin| !is_own(origin.as_bytes()));
    if foreign_site || foreign_origin { Err(Denied::ForeignPage) } else { Ok(()) }
}

/// What has to be reachable without being somebody: the question whether the process lives, and the way in.
fn is_for_everybody(path: &str) -> bool {
    path == "/v1/ping" || path.starts_with("/v1/login/")
}

fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

fn session_of(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == SESSION_COOKIE).map(|(_, value)| value)
}

impl From<Denied> for HttpError {
    fn from(denied: Denied) -> Self {
        let (status, code, message) = match denied {
            Denied::NoHost => {
                (ClientErrorStatusCode::BAD_REQUEST, "InvalidRequest", "a request has one Host header")
            }
            Denied::ForeignHost => {
                (ClientErrorStatusCode::FORBIDDEN, "Forbidden", "this server does not go by the name in Host")
            }
            Denied::ForeignPage => (
                ClientErrorStatusCode::FORBIDDEN,
                "Forbidden",
                "requests from pages of other sites are refused",
            ),
            Denied::Anonymous | Denied::NotLetIn => {
                (ClientErrorStatusCode::UNAUTHORIZED, "Unauthorized", "credentials missing or invalid")
            }
        };
        let error = Self::for_client_error(Some(code.to_owned()), status, message.to_owned());
        match denied {
            Denied::Anonymous | Denied::NotLetIn => error
                .with_header(WWW_AUTHENTICATE, "Bearer")
                .expect("a name and a value that headers may have"),
            _ => error,
        }
    }
}

impl DynamicVersionPolicy for Guard {
    fn request_extract_version(
        &self,
        request: &Request<Body>,
        _: &slog::Logger,
    ) -> Result<semver::Version, HttpError> {
        self.admit(request.uri(), request.headers())?;
        Ok(semver::Version::new(1, 0, 0))
    }
}

#[cfg(test)]
mod tests;
