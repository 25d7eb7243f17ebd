//! Whose database is this, and is its schema ours to read and write?

use super::target::Target;
use super::trouble::said;
use crate::store::error::StoreError;
use crate::store::schema::Migration;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

/// Coordinators that start at the same moment on an empty database get into each other's way. Each that loses looks again
/// and finds less to do, so this is more often than that can happen to one.
const ATTEMPTS: usize = 20;

/// Between two of those.
const PAUSE: Duration = Duration::from_millis(100);

/// Brings a database up to date, each migration in a transaction of its own.
///
/// # Errors
///
/// [`StoreError::WrongSchema`] for a newer database and for one that is not ours; nothing of it has been changed then.
pub(super) async fn migrate(
    client: &Client,
    target: &Target,
    migrations: &[Migration],
    log: &slog::Logger,
) -> Result<(), StoreError> {
    let mut attempts = 0;
    loop {
        let version = check_not_newer(client, target, migrations).await?;
        let Some(next) = migrations.iter().find(|migration| migration.version > version) else {
            return Ok(());
        };
        match apply(client, version, next).await {
            Ok(true) => {
                slog::info!(log, "migrated the database"; "version" => next.version, "migration" => next.name);
            }
            // Somebody else has done it meanwhile.
            Ok(false) => {}
            Err(error) => {
                let _ = client.batch_execute("ROLLBACK").await;
                attempts += 1;
                if attempts == ATTEMPTS || !is_somebody_else(&error) {
                    return Err(target.explain("migrate", &error));
                }
                slog::debug!(log, "another coordinator migrates the same database"; "why" => said(&error));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Applies a migration, unless the version is another one by now.
async fn apply(client: &Client, from: i64, next: &Migration) -> Result<bool, Error> {
    client.batch_execute("BEGIN").await?;
    if from > 0 {
        // The lock keeps others away; when they get it they see that there is nothing left to do.
        let locked = "SELECT version FROM sagactl_schema WHERE singleton = 1 AND version = $1 FOR UPDATE";
        if client.query(locked, &[&from]).await?.is_empty() {
            client.batch_execute("ROLLBACK").await?;
            return Ok(false);
        }
    }
    client.batch_execute(next.postgres).await?;
    client.execute("UPDATE sagactl_schema SET version = $1 WHERE singleton = 1", &[&next.version]).await?;
    client.batch_execute("COMMIT").await?;
    Ok(true)
}

/// Errors of those who make the same tables and types at the same time.
fn is_somebody_else(error: &Error) -> bool {
    let codes = [
        SqlState::DUPLICATE_TABLE,
        SqlState::DUPLICATE_OBJECT,
        SqlState::DUPLICATE_FUNCTION,
        SqlState::UNIQUE_VIOLATION,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
    ];
    error.code().is_some_and(|code| codes.contains(code))
}

/// Checks that the database can be read by this program as it is.
pub(super) async fn check_current(
    client: &Client,
    target: &Target,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    let version = check_not_newer(client, target, migrations).await?;
    let (known, database) = (latest(migrations), target.shown());
    if version == 0 {
        return Err(StoreError::WrongSchema(format!(
            "database {database} is empty: no coordinator has been started on it"
        )));
    }
    if version < known {
        return Err(StoreError::WrongSchema(format!(
            "database {database} is at schema {version}, this program needs {known}; a coordinator of this version \
             brings it up to date when it starts"
        )));
    }
    Ok(())
}

/// The database's version, 0 for an empty one, unless it is newer than the program or not ours.
async fn check_not_newer(
    client: &Client,
    target: &Target,
    migrations: &[Migration],
) -> Result<i64, StoreError> {
    let found = find_version(client).await.map_err(|error| target.explain("read", &error))?;
    let database = target.shown();
    let version = match found {
        Found::Empty => 0,
        Found::Version(version) => version,
        Found::Foreign => {
            return Err(StoreError::WrongSchema(format!(
                "database {database} is not one of sagactl's: it has tables, but none that tells its schema's version"
            )));
        }
    };
    let known = latest(migrations);
    if version > known {
        return Err(StoreError::WrongSchema(format!(
            "database {database} is at schema {version}, this program knows up to {known}"
        )));
    }
    Ok(version)
}

fn latest(migrations: &[Migration]) -> i64 {
    migrations.last().map_or(0, |migration| migration.version)
}

enum Found {
    Empty,
    Version(i64),
    Foreign,
}

async fn find_version(client: &Client) -> Result<Found, Error> {
    let tables = client
        .query_one(
            "SELECT count(*), count(CASE WHEN table_name = 'sagactl_schema' THEN 1 END) \
             FROM information_schema.tables WHERE table_schema = current_schema()",
            &[],
        )
        .await?;
    let (all, ours): (i64, i64) = (tables.try_get(0)?, tables.try_get(1)?);
    if all == 0 {
        return Ok(Found::Empty);
    }
    if ours == 0 {
        return Ok(Found::Foreign);
    }
    let row = client.query_opt("SELECT version FROM sagactl_schema WHERE singleton = 1", &[]).await?;
    Ok(match row {
        Some(row) => Found::Version(row.try_get(0)?),
        None => Found::Foreign,
    })
}
