//! Logging in as a user of a silo, in Oxide's way: name and password once, a session cookie from then on.

use super::after;
use super::connection::{Alarm, Connection, Exchanged};
use super::target::{Credential, Target};
use crate::client::excerpt::Excerpt;
use crate::client::token::Password;
use crate::wire::error::ErrorBody;
use http::header::COOKIE;
use http::{HeaderValue, StatusCode};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use tokio::time::Instant;

/// Largest answer to a login that is taken.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Name of the cookie that holds a session.
const SESSION: &str = "session=";

/// A user of a silo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    silo: String,
    user: String,
}

impl FromStr for Login {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((silo, user)) if !silo.is_empty() && !user.is_empty() => {
                Ok(Self { silo: silo.to_owned(), user: user.to_owned() })
            }
            _ => Err("a login looks like SILO/USER"),
        }
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.silo, self.user)
    }
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// No answer.
    #[error("{0}")]
    NoAnswer(String),
    /// The answer is no.
    #[error("{status}: {said}")]
    Refused {
        /// With this status.
        status: StatusCode,
        /// In the server's words.
        said: String,
    },
    /// The answer is yes, without a session.
    #[error("the answer ({0}) sets no session cookie")]
    NoSession(StatusCode),
}

/// Logs in; what comes back is what every request then carries.
///
/// # Errors
///
/// When the server does not let the user in.
pub async fn log_in(
    target: &Target,
    login: &Login,
    password: &Password,
    within: Duration,
) -> Result<Credential, LoginError> {
    let body = serde_json::json!({"username": login.user, "password": password.reveal()}).to_string();
    let deadline = after(Instant::now(), within);
    let mut connection =
        Connection::open(target, deadline).await.map_err(|trouble| LoginError::NoAnswer(trouble.message))?;
    let request = target.log_in(&login.silo, &body);
    let answer = match connection.exchange(request, LARGEST_ANSWER, deadline, &mut Alarm::new()).await {
        Exchanged::Answer(answer) => answer,
        Exchanged::Cut(_, trouble) | Exchanged::Lost(trouble) | Exchanged::Unsent(trouble) => {
            return Err(LoginError::NoAnswer(trouble.message));
        }
    };
    if !answer.status.is_success() {
        let said = serde_json::from_slice::<ErrorBody>(&answer.body)
            .map_or_else(|_| Excerpt::of(&answer.body), |error| Excerpt::of(error.message.as_bytes()));
        return Err(LoginError::Refused { status: answer.status, said: said.to_string() });
    }
    let session = answer.cookies.iter().find_map(|cookie| session(cookie));
    session.map(|session| (COOKIE, session)).ok_or(LoginError::NoSession(answer.status))
}

/// What a client sends back of a cookie that it was given: name and value, without the attributes.
fn session(cookie: &str) -> Option<HeaderValue> {
    let pair = cookie.split(';').next()?.trim();
    let value = pair.strip_prefix(SESSION)?;
    let mut header = HeaderValue::from_str(pair).ok().filter(|_| !value.is_empty())?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_names_silo_and_user() {
        assert_eq!("main/alice".parse::<Login>().expect("a login").to_string(), "main/alice");
        for bad in ["alice", "/alice", "main/", ""] {
            assert!(bad.parse::<Login>().is_err(), "{bad}");
        }
    }

    #[test]
    fn of_a_session_cookie_only_the_pair_is_sent_back() {
        let sent = session("session=abc123; Path=/; HttpOnly; SameSite=Lax").expect("a session");
        assert_eq!(sent, "session=abc123");
        assert!(!format!("{sent:?}").contains("abc123"), "a session is a secret");
        assert_eq!(session("session=; Path=/"), None);
        assert_eq!(session("theme=dark"), None);
    }
}
