//! The database for commands that change it by hand.

use super::config::DbUrl;
use super::context::Context;
use super::failure::{Failure, Kind};
use super::fatal::end_process;
use crate::store::SharedStore;
use crate::store::error::StoreError;
use crate::store::postgres::PostgresStore;
use crate::store::sqlite::{OpenOptions, SqliteStore};
use std::sync::Arc;

impl Context<'_> {
    /// The database, to be read by a command that is about something in it.
    ///
    /// # Errors
    ///
    /// If there is none, or it cannot be read.
    pub async fn store_to_read(&mut self) -> Result<SharedStore, Failure> {
        let url = self.choose_database().await?;
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
        let url = self.choose_database().await?;
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
