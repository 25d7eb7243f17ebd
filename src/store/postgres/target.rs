//! Which server and database, and connecting to it.

use super::trouble::said;
use crate::descriptors::from_reserve_throughout;
use crate::store::error::StoreError;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Error, NoTls};

/// How long connecting may take, to each address that a name stands for, unless the URL says otherwise. Not longer, because
/// `status` is asked when things are bad, and half an answer in time is better than a whole one too late.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long all of opening a session may take, addresses that do not answer included. A server that hangs accepts
/// connections and then says nothing.
const OPENING_LIMIT: Duration = Duration::from_secs(10);

/// Where the password may be kept instead of in the URL, as for PostgreSQL's own programs: command lines are read by
/// everybody on the machine, and a coordinator tells its URL without the password.
const PASSWORD_VARIABLE: &str = "PGPASSWORD";

/// How long data that was sent may stay unacknowledged before a connection counts as broken.
const UNACKNOWLEDGED: Duration = Duration::from_secs(15);

/// Where a database is.
#[derive(Clone)]
pub(in crate::store) struct Target {
    config: Arc<Config>,
    shown: Arc<str>,
}

/// An open connection; closed when it is dropped.
pub(in crate::store) struct Connection {
    pub(in crate::store) client: Client,
    driver: JoinHandle<()>,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unusable`] without a word of the URL, since that may hold a password.
    pub(in crate::store) fn parse(url: &str) -> Result<Self, StoreError> {
        let unusable = |why: &str| StoreError::Unusable(format!("not the URL of a database: {why}"));
        if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
            return Err(unusable("it does not begin with postgresql://"));
        }
        let mut config: Config = url.parse().map_err(|error: Error| {
            let said = said(&error);
            // The library repeats the name of an option that it does not know; `?password:s3cret` is one.
            unusable(
                said.split_once(" `")
                    .filter(|_| said.contains("unknown option"))
                    .map_or(&said, |(said, _)| said),
            )
        })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNACKNOWLEDGED);
        }
        if config.get_password().is_none()
            && let Some(password) = std::env::var_os(PASSWORD_VARIABLE)
        {
            config.password(password.into_encoded_bytes());
        }
        if config.get_application_name().is_none() {
            config.application_name("sagactl");
        }
        Ok(Self { config: Arc::new(config), shown: shown(url).into() })
    }

    /// The URL without its password.
    pub(in crate::store) fn shown(&self) -> &str {
        &self.shown
    }

    /// Connects. The connection is driven by a task of the runtime that this runs on.
    pub(in crate::store) async fn connect(&self) -> Result<Connection, Error> {
        let (client, connection) = from_reserve_throughout(self.config.connect(NoTls)).await?;
        let driver = tokio::spawn(async move {
            // What it ends with, those whose requests it leaves unanswered are told too.
            let _ = connection.await;
        });
        Ok(Connection { client, driver })
    }

    /// Waits for a part of opening a session.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] or [`StoreError::Unusable`], depending on whether trying again may help.
    pub(super) async fn in_time<T>(
        &self,
        opening: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(OPENING_LIMIT, opening).await {
            Ok(opened) => opened.map_err(|error| self.explain("open", &error)),
            Err(_) => Err(StoreError::Unavailable(format!(
                "cannot open database {}: no answer within {}",
                self.shown,
                humantime::format_duration(OPENING_LIMIT)
            ))),
        }
    }

    /// An error of this database's as one that says what could not be done, and whether trying again may help.
    pub(super) fn explain(&self, doing: &str, error: &Error) -> StoreError {
        let text = format!("cannot {doing} database {}: {}", self.shown, said(error));
        match error.as_db_error().map(|error| error.code()) {
            // Silence, a broken connection, a server that starts or stops or has no room.
            None => StoreError::Unavailable(text),
            Some(code) if is_passing(code) => StoreError::Unavailable(text),
            Some(_) => StoreError::Unusable(text),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Whether a server that says this may say something else a moment later.
fn is_passing(code: &SqlState) -> bool {
    let passing_classes = ["08", "40", "53", "57"];
    passing_classes.iter().any(|class| code.code().starts_with(class))
        || *code == SqlState::LOCK_NOT_AVAILABLE
}

/// A URL without its password: the user stays, since whoever is given the URL wants to connect by it.
fn shown(url: &str) -> String {
    let rest = url.split_once("//").map_or("", |(_, rest)| rest);
    // As the library reads it: a login ends with the first `@`, whatever a password holds, a `?` for example.
    let (user, rest) = match rest.split_once('@') {
        Some((login, rest)) => (login.split_once(':').map_or(login, |(user, _)| user), rest),
        None => ("", rest),
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A second `@` is part of a password whose first one was not written as %40.
    let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
    let place = if user.is_empty() { host.to_owned() } else { format!("{user}@{host}") };
    let harmless: Vec<&str> = query.split('&').filter(|pair| is_harmless(pair)).collect();
    let mark = if harmless.is_empty() { "" } else { "?" };
    format!("postgresql://{place}{mark}{}", harmless.join("&"))
}

/// Whether a parameter of a URL may be shown: only those that are known to hold no secret.
fn is_harmless(pair: &str) -> bool {
    let name = pair.split_once('=').map_or("", |(name, _)| name);
    matches!(name, "sslmode" | "host" | "hostaddr" | "port" | "user" | "dbname" | "target_session_attrs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_what_may_be_secret() {
        let table = [
            ("postgresql://h/db", "postgresql://h/db"),
            ("postgres://u@h:5432/db", "postgresql://u@h:5432/db"),
            ("postgresql://u:s3cret@h:5432/db?sslmode=disable", "postgresql://u@h:5432/db?sslmode=disable"),
            ("postgresql://u:s3@cret@h/db", "postgresql://u@h/db"),
            ("postgresql://u:s3?cret/@h/db?sslmode=disable", "postgresql://u@h/db?sslmode=disable"),
            ("postgresql://u@h/db?password=s3@cret", "postgresql://u@h/db"),
            ("postgresql://h/db?password=s3cret&user=u", "postgresql://h/db?user=u"),
            ("postgresql://h/db?options=s3cret", "postgresql://h/db"),
            ("postgresql://u:s3cret@[::1]:1,[::2]:2/db", "postgresql://u@[::1]:1,[::2]:2/db"),
        ];
        for (url, expected) in table {
            assert_eq!(shown(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_without_repeating_it() {
        for url in [
            "postgresql://u:s3cret@h:port/db",
            "postgresql://u:s3cret@h/db?s3cret",
            "postgresql://u:s3cret@h/db?sslmode=s3cret",
            "postgresql://u@h/db?password:s3cret&sslmode=disable",
            "host=h user=u password:s3cret=1",
        ] {
            match Target::parse(url).err() {
                Some(StoreError::Unusable(text)) => assert!(!text.contains("s3cret"), "{text}"),
                other => panic!("{url} should not be usable: {other:?}"),
            }
        }
    }

    #[test]
    fn fuzzed_urls_never_show_a_password() {
        let seeds = [
            "postgresql://u:PLANTED@h:5432/db?sslmode=disable&connect_timeout=5",
            "postgres://u@[::1]:1,[::2]:2/db?password=PLANTED&target_session_attrs=read-write",
            "postgresql:///db?host=/var/run&user=u&password=PLANTED&options=-c%20a=b",
            "host=h user=u password=PLANTED dbname='d b'",
        ];
        crate::fuzz::fuzz_text(&seeds, |text, _| match Target::parse(text) {
            Ok(target) => {
                // What stands in the text once, and there as a password, is shown nowhere.
                let password = target.config.get_password().unwrap_or_default();
                let is_planted = password.windows(7).any(|part| part == b"PLANTED");
                if is_planted && text.matches("PLANTED").count() == 1 {
                    assert!(!target.shown().contains("PLANTED"), "{}", target.shown());
                }
            }
            Err(error) => assert!(!error.to_string().contains("PLANTED"), "{error}"),
        });
    }
}
