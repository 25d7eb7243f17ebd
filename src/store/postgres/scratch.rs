//! A schema of its own in somebody's database, for a drill: what is there is neither seen nor touched, and when the drill
//! is over the schema goes, with everything in it.
//!
//! Everything in this program finds its tables by the search path. So a URL that sets it is all that coordinators and the
//! tool need to live in the schema. The same URL makes sessions known by the schema's name: a server goes on for a moment
//! with what a killed process has sent, and whoever needs stillness has to know whom to wait for.

use super::target::Target;
use crate::store::error::StoreError;
use std::fmt;
use std::time::{Duration, Instant};
use tokio_postgres::{Client, Error};
use uuid::Uuid;

/// What names of such schemas begin with.
const PREFIX: &str = "sagactl_drill_";

/// How long removing waits for what a coordinator that was killed a moment ago may still hold, and for the server to
/// remove everything.
const REMOVAL_LIMITS: &str = "SET lock_timeout = '20s'; SET statement_timeout = '60s'";

/// How long sessions may take to end, and the time between two looks at whether they have.
const ENDING_LIMIT: Duration = Duration::from_secs(20);
const ENDING_POLL: Duration = Duration::from_millis(1);

/// A schema that is removed when this is dropped.
pub struct ScratchSchema {
    at: String,
    url: String,
    name: String,
    stays: bool,
}

impl ScratchSchema {
    /// Makes an empty one in the database at this URL.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unusable`] if the user may not, or the URL is none; [`StoreError::Unavailable`] if the server cannot be
    /// reached.
    pub async fn create(url: &str) -> Result<Self, StoreError> {
        let target = Target::parse(url)?;
        let name = format!("{PREFIX}{}", Uuid::new_v4().simple());
        let making = async {
            let connection = target.connect().await?;
            // Not "if it does not exist": one that is there already is somebody else's.
            connection.client.batch_execute(&format!("CREATE SCHEMA {name}")).await
        };
        target.in_time(making).await?;
        Ok(Self { at: url.to_owned(), url: url_within(url, &name, &name), name, stays: false })
    }

    /// The URL of the database with this schema in place of all others.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The same, for sessions that are no coordinator's.
    pub(super) fn url_of_drill(&self) -> String {
        url_within(&self.at, &self.name, &format!("{}_drill", self.name))
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Ends all sessions that came by [`url`](Self::url). To be called when the processes are gone; what they have
    /// committed is all that there is then.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached, or a session does not end.
    pub async fn end_sessions(&self) -> Result<(), StoreError> {
        let target = Target::parse(&self.at)?;
        let connection = target.in_time(target.connect()).await?;
        end_sessions(&connection.client, &target, &self.name).await
    }

    /// Lets it stay; answers its name.
    pub fn keep(mut self) -> String {
        self.stays = true;
        self.name.clone()
    }

    /// Removes it with everything in it.
    ///
    /// # Errors
    ///
    /// If it is still there; the text names it.
    pub fn remove(mut self) -> Result<(), StoreError> {
        self.stays = true;
        remove(&self.at, &self.name)
    }
}

/// Without the URLs, which may hold a password.
impl fmt::Debug for ScratchSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScratchSchema").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for ScratchSchema {
    fn drop(&mut self) {
        if !self.stays {
            // A drill that came to an early end has something more important to tell.
            let _ = remove(&self.at, &self.name);
        }
    }
}

/// Removes a schema, on a thread of its own: this may be asked for while a runtime is being left.
fn remove(url: &str, name: &str) -> Result<(), StoreError> {
    let failed = |why: String| StoreError::Unavailable(format!("schema {name} could not be removed: {why}"));
    let removing = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        runtime.block_on(async {
            let target = Target::parse(url)?;
            let connection = target.in_time(target.connect()).await?;
            // Whatever still holds something of it has nobody left to tell. A server that cannot do this makes us wait.
            let _ = terminate(&connection.client, name, Whose::All).await;
            let removed = connection
                .client
                .batch_execute(&format!("{REMOVAL_LIMITS}; DROP SCHEMA IF EXISTS {name} CASCADE"))
                .await;
            removed.map_err(|error| target.explain(&format!("remove schema {name} of"), &error))
        })
    };
    std::thread::scope(|scope| {
        scope.spawn(removing).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Ends sessions of coordinators and waits until they are gone.
pub(super) async fn end_sessions(client: &Client, target: &Target, schema: &str) -> Result<(), StoreError> {
    let deadline = Instant::now() + ENDING_LIMIT;
    let explain = |error: Error| target.explain("end sessions with", &error);
    while terminate(client, schema, Whose::Coordinators).await.map_err(explain)? > 0 {
        if Instant::now() > deadline {
            let limit = humantime::format_duration(ENDING_LIMIT);
            return Err(StoreError::Unavailable(format!(
                "sessions in schema {schema} did not end within {limit}"
            )));
        }
        tokio::time::sleep(ENDING_POLL).await;
    }
    Ok(())
}

/// Which of the sessions in a schema.
#[derive(Clone, Copy)]
enum Whose {
    /// Those that came by the schema's URL.
    Coordinators,
    /// The drill's own, too.
    All,
}

/// Tells sessions to end; answers how many there were.
async fn terminate(client: &Client, schema: &str, whose: Whose) -> Result<i64, Error> {
    let which = match whose {
        Whose::Coordinators => "application_name = $1",
        Whose::All => "strpos(application_name, $1) = 1",
    };
    let terminate = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {which} AND pid <> pg_backend_pid()"
    );
    client.query_one(&terminate, &[&schema]).await?.try_get(0)
}

/// A URL with a search path and a name for sessions. What else it says stays; of several `options` a server would only be
/// told the last, so there is one.
fn url_within(url: &str, schema: &str, sessions: &str) -> String {
    let option = format!("-csearch_path%3D{schema}");
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let mut pairs: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("application_name="))
        .map(str::to_owned)
        .collect();
    match pairs.iter_mut().rfind(|pair| pair.starts_with("options=")) {
        Some(options) => *options = format!("{options}%20{option}"),
        None => pairs.push(format!("options={option}")),
    }
    pairs.push(format!("application_name={sessions}"));
    format!("{place}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch_postgres::Server;

    #[test]
    fn a_search_path_is_added_to_whatever_a_url_says() {
        for (url, expected) in [
            ("postgresql://u@h/d", "postgresql://u@h/d?options=-csearch_path%3Ds&application_name=n"),
            (
                "postgresql://u@h/d?sslmode=disable&application_name=mine",
                "postgresql://u@h/d?sslmode=disable&options=-csearch_path%3Ds&application_name=n",
            ),
            (
                "postgresql://h/d?options=-cjit%3Doff",
                "postgresql://h/d?options=-cjit%3Doff%20-csearch_path%3Ds&application_name=n",
            ),
        ] {
            assert_eq!(url_within(url, "s", "n"), expected);
        }
    }

    #[tokio::test]
    async fn sessions_that_hold_something_are_ended_and_do_not_keep_it_from_going() {
        let database = Server::shared().database();
        let scratch = ScratchSchema::create(&database.url()).await.expect("a schema");
        let hold = async |url: &str, table: &str| {
            let target = Target::parse(url).expect("a URL");
            let connection = target.connect().await.expect("a connection");
            let sql = format!("CREATE TABLE {table} (n INT); BEGIN; LOCK TABLE {table}");
            connection.client.batch_execute(&sql).await.expect("good SQL");
            connection
        };
        let coordinators = hold(scratch.url(), "a").await;
        let drills = hold(&scratch.url_of_drill(), "b").await;
        scratch.end_sessions().await.expect("they end");
        coordinators.client.batch_execute("COMMIT").await.expect_err("ended");
        drills.client.batch_execute("SELECT 1").await.expect("not one of them");
        scratch.remove().expect("removed");
        drills.client.batch_execute("COMMIT").await.expect_err("ended");
    }

    #[tokio::test]
    async fn it_hides_what_is_there_and_leaves_it_alone() {
        let database = Server::shared().database();
        database.sql("CREATE TABLE saga (precious TEXT); INSERT INTO saga VALUES ('x')");
        let schemas =
            "SELECT count(*) FROM information_schema.schemata WHERE schema_name LIKE 'sagactl_drill_%'";
        for url in [database.url(), format!("{}?options=-cjit%3Doff", database.url())] {
            let scratch = ScratchSchema::create(&url).await.expect("a schema");
            let target = Target::parse(scratch.url()).expect("a URL");
            let connection = target.connect().await.expect("a connection");
            connection
                .client
                .batch_execute("CREATE TABLE saga (other TEXT)")
                .await
                .expect("nothing in the way");
            drop(connection);
            assert_eq!(database.sql(schemas), "1");
            scratch.remove().expect("removed");
            assert_eq!(database.sql(schemas), "0");
        }
        drop(ScratchSchema::create(&database.url()).await.expect("a schema"));
        assert_eq!(database.sql(schemas), "0");
        assert_eq!(database.sql("SELECT precious FROM saga"), "x");
    }
}
