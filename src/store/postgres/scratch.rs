//! A schema of its own in somebody's database, for a drill: what is there is neither seen nor touched, and when the drill
//! is over the schema goes, with everything in it.
//!
//! Everything in this program finds its tables by the search path. So a URL that sets it is all that coordinators and the
//! tool need to live in the schema.

use super::target::Target;
use crate::store::error::StoreError;
use std::fmt;
use uuid::Uuid;

/// What names of such schemas begin with.
const PREFIX: &str = "sagactl_drill_";

/// How long removing waits for what a coordinator that was killed a moment ago may still hold, and for the server to
/// remove everything.
const REMOVAL_LIMITS: &str = "SET lock_timeout = '20s'; SET statement_timeout = '60s'";

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
        Ok(Self { at: url.to_owned(), url: with_search_path(url, &name), name, stays: false })
    }

    /// The URL of the database with this schema in place of all others.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
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

/// A URL with a search path. What else it says stays; of several `options` a server would only be told the last, so there
/// is one.
fn with_search_path(url: &str, schema: &str) -> String {
    let option = format!("-csearch_path%3D{schema}");
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let mut pairs: Vec<String> =
        query.split('&').filter(|pair| !pair.is_empty()).map(str::to_owned).collect();
    match pairs.iter_mut().rfind(|pair| pair.starts_with("options=")) {
        Some(options) => *options = format!("{options}%20{option}"),
        None => pairs.push(format!("options={option}")),
    }
    format!("{place}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch_postgres::Server;

    #[test]
    fn a_search_path_is_added_to_whatever_a_url_says() {
        for (url, expected) in [
            ("postgresql://u@h/d", "postgresql://u@h/d?options=-csearch_path%3Ds"),
            (
                "postgresql://u@h/d?sslmode=disable",
                "postgresql://u@h/d?sslmode=disable&options=-csearch_path%3Ds",
            ),
            (
                "postgresql://h/d?options=-cjit%3Doff",
                "postgresql://h/d?options=-cjit%3Doff%20-csearch_path%3Ds",
            ),
        ] {
            assert_eq!(with_search_path(url, "s"), expected);
        }
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
