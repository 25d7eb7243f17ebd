//! The database for commands that change it by hand.

use super::config::DbUrl;
use super::context::Context;
use super::failure::{Failure, Kind};
use super::fatal::end_process;
use crate::observe::Part;
use crate::store::SharedStore;
use crate::store::error::StoreError;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::{OpenOptions, SqliteStore};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a coordinator to say where its database is.
const INFO_PATIENCE: Duration = Duration::from_secs(2);

impl Context<'_> {
    /// The database, to be read by a command that is about something in it.
    ///
    /// # Errors
    ///
    /// If there is none, or it cannot be read.
    pub async fn store_to_read(&mut self) -> Result<SharedStore, Failure> {
        let url = self.database_of_the_command().await?;
        match &url {
            DbUrl::Sqlite(path) => {
                SqliteStore::open_read_only(path).map(|store| Arc::new(store) as SharedStore)
            }
            DbUrl::Postgresql(url) => {
                PostgresStore::open_read_only(url).map(|store| Arc::new(store) as SharedStore)
            }
        }
        .map_err(|error| cannot_open(&url, error))
    }

    /// The database, to be changed.
    ///
    /// # Errors
    ///
    /// If there is none, or it may not be written, or it is of another schema version.
    pub async fn store_to_change(&mut self) -> Result<SharedStore, Failure> {
        let url = self.database_of_the_command().await?;
        let on_fatal = end_process("the database cannot be changed");
        match &url {
            DbUrl::Sqlite(path) => SqliteStore::open_for_changes(path, OpenOptions::new(on_fatal))
                .map(|store| Arc::new(store) as SharedStore),
            DbUrl::Postgresql(url) => {
                PostgresStore::open_for_changes(url, on_fatal).map(|store| Arc::new(store) as SharedStore)
            }
        }
        .map_err(|error| cannot_open(&url, error))
    }

    /// What the user named, else what the coordinator says.
    async fn database_of_the_command(&mut self) -> Result<DbUrl, Failure> {
        let info = match self.db_url() {
            Some(_) => None,
            None => self.client()?.with_at_most(INFO_PATIENCE).fetch_info().await?,
        };
        match self.database_of(info.as_ref()) {
            Part::Present(url) => {
                if info.is_some() {
                    self.note(format_args!(
                        "using database {url} (the coordinator's own; --db-url names another)"
                    ));
                }
                Ok(url)
            }
            Part::Missing(reason) => {
                Err(Failure::unusable("there is no database to look at").because(reason))
            }
        }
    }
}

fn cannot_open(url: &DbUrl, error: StoreError) -> Failure {
    let kind = match (&error, url) {
        (StoreError::Unavailable(_), _) | (StoreError::Unusable(_), DbUrl::Postgresql(_)) => {
            Kind::Unreachable
        }
        _ => Kind::Unusable,
    };
    Failure::new(kind, "opening the database").caused_by(&error)
}

/// A failure of the database during a command.
pub(super) fn database_failed(doing: &str, error: &StoreError) -> Failure {
    let kind = match error {
        StoreError::Corrupt { .. } => Kind::Nonsense,
        _ => Kind::Unreachable,
    };
    Failure::new(kind, doing).caused_by(error)
}
