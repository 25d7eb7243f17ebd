//! Logging in as a user of a silo, in Oxide's way.

use super::super::errors;
use super::ExternalContext;
use crate::coordinator::access::attempts::Attempts;
use crate::coordinator::access::guard::{LoggedIn, SESSION_COOKIE};
use crate::coordinator::access::session::SESSION_LENGTH;
use dropshot::{ClientErrorStatusCode, HttpError, HttpResponseHeaders, HttpResponseUpdatedNoContent};
use http::header::RETRY_AFTER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Semaphore;

/// Passwords that are checked at the same time. Each takes a core and 19 MiB for some milliseconds, and sagas need the cores.
const CHECKED_AT_ONCE: usize = 1;

/// Logins that wait for one of those, beyond which more are turned away.
const MOST_WAITING: usize = 32;

/// Longest password that is looked at, in bytes.
const LONGEST_PASSWORD: usize = 1024;

/// What logging in works with.
pub struct Logins {
    logged_in: Arc<LoggedIn>,
    attempts: Mutex<Attempts>,
    waiting: Semaphore,
    checking: Semaphore,
}

impl Logins {
    /// For these users.
    pub fn new(logged_in: Arc<LoggedIn>) -> Self {
        Self {
            logged_in,
            attempts: Mutex::default(),
            waiting: Semaphore::new(MOST_WAITING),
            checking: Semaphore::new(CHECKED_AT_ONCE),
        }
    }

    fn attempts(&self) -> std::sync::MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Selects a silo.
#[derive(Deserialize, JsonSchema)]
pub struct SiloPath {
    /// Its name.
    pub silo_name: String,
}

/// Who somebody is, and what shows it.
#[derive(Deserialize, JsonSchema)]
pub struct Credentials {
    /// The user's name in the silo.
    username: String,
    /// The user's password.
    password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({}, …)", self.username)
    }
}

/// What hands a session over.
#[derive(Serialize, JsonSchema)]
pub struct SessionHeaders {
    /// The cookie.
    #[serde(rename = "set-cookie")]
    set_cookie: String,
}

/// Checks a password, and opens a session.
pub(super) async fn log_in(
    context: &ExternalContext,
    silo: &str,
    Credentials { username, password }: Credentials,
) -> Result<HttpResponseHeaders<HttpResponseUpdatedNoContent, SessionHeaders>, HttpError> {
    let logins =
        context.logins.as_ref().ok_or_else(|| errors::not_found(&format!("silo with name \"{silo}\"")))?;
    let user = format!("{silo}/{username}");
    if password.len() > LONGEST_PASSWORD || !crate::coordinator::access::users::is_user_name(&user) {
        return Err(unauthorized());
    }
    let _turn = logins.waiting.try_acquire().map_err(|_| try_later(1))?;
    logins.attempts().begin(&user, Instant::now()).map_err(|wait| try_later(wait.as_secs() + 1))?;
    let _permit = logins.checking.acquire().await.expect("never closed");
    let is_right = {
        let (logged_in, user) = (Arc::clone(&logins.logged_in), user.clone());
        tokio::task::spawn_blocking(move || logged_in.users.verify(&user, &password))
            .await
            .map_err(|error| errors::internal(error.to_string()))?
    };
    if !is_right {
        slog::warn!(context.log, "wrong password, or no such user"; "user" => &user);
        return Err(unauthorized());
    }
    logins.attempts().forget(&user);
    let session = logins.logged_in.sessions.open(&user);
    Ok(with_cookie(&session, SESSION_LENGTH.as_secs()))
}

/// Takes the cookie back. The session itself goes on until its end, for whoever has kept it.
pub(super) fn log_out() -> HttpResponseHeaders<HttpResponseUpdatedNoContent, SessionHeaders> {
    with_cookie("", 0)
}

fn with_cookie(
    session: &str,
    seconds: u64,
) -> HttpResponseHeaders<HttpResponseUpdatedNoContent, SessionHeaders> {
    // A browser keeps it from scripts and from other sites' pages.
    let set_cookie =
        format!("{SESSION_COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}");
    HttpResponseHeaders::new(HttpResponseUpdatedNoContent(), SessionHeaders { set_cookie })
}

fn unauthorized() -> HttpError {
    HttpError::for_client_error(
        Some("Unauthorized".to_owned()),
        ClientErrorStatusCode::UNAUTHORIZED,
        "credentials missing or invalid".to_owned(),
    )
}

fn try_later(seconds: u64) -> HttpError {
    HttpError::for_client_error(
        Some("TooManyRequests".to_owned()),
        ClientErrorStatusCode::TOO_MANY_REQUESTS,
        format!("too many attempts to log in; try again in {seconds} s"),
    )
    .with_header(RETRY_AFTER, seconds.to_string())
    .expect("a number is a header value")
}
