//! Whose database is this, and is its schema ours to read and write?

use super::connection::explain;
use crate::store::error::StoreError;
use crate::store::schema::Migration;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use std::path::Path;

/// Brings a database up to date, each migration in a transaction of its own.
///
/// # Errors
///
/// [`StoreError::WrongSchema`] for a newer database and for one that is not ours; nothing of it has been changed then.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[Migration],
    log: &slog::Logger,
) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| explain("migrate", path, &error);
    loop {
        // The version is read under the lock, so that two programs that start at once do not both apply the same step.
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let version = check_not_newer(&transaction, path, migrations)?;
        let Some(next) = migrations.iter().find(|migration| migration.version > version) else {
            return Ok(());
        };
        transaction.execute_batch(next.sqlite).map_err(failed)?;
        transaction
            .execute("UPDATE sagactl_schema SET version = ?1 WHERE singleton = 1", [next.version])
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
        slog::info!(log, "migrated the database"; "version" => next.version, "migration" => next.name);
    }
}

/// The database's version, 0 for an empty one, unless it is newer than the program or not ours.
pub(super) fn check_not_newer(
    connection: &Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<i64, StoreError> {
    let version = match find_version(connection).map_err(|error| explain("read", path, &error))? {
        Found::Empty => 0,
        Found::Version(version) => version,
        Found::Foreign => return Err(foreign(path)),
    };
    let known = latest(migrations);
    if version > known {
        return Err(StoreError::WrongSchema(format!(
            "database {} is at schema {version}, this program knows up to {known}",
            path.display()
        )));
    }
    Ok(version)
}

/// Checks that the database can be read by this program as it is.
pub(super) fn check_current(
    connection: &Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    let version = check_not_newer(connection, path, migrations)?;
    let known = latest(migrations);
    let path = path.display();
    if version == 0 {
        return Err(StoreError::WrongSchema(format!(
            "database {path} is empty: no coordinator has been started on it"
        )));
    }
    if version < known {
        return Err(StoreError::WrongSchema(format!(
            "database {path} is at schema {version}, this program needs {known}; a coordinator of this version brings \
             it up to date when it starts"
        )));
    }
    Ok(())
}

fn latest(migrations: &[Migration]) -> i64 {
    migrations.last().map_or(0, |migration| migration.version)
}

fn foreign(path: &Path) -> StoreError {
    StoreError::WrongSchema(format!(
        "database {} is not one of sagactl's: it has tables, but none that tells its schema's version",
        path.display()
    ))
}

enum Found {
    Empty,
    Version(i64),
    Foreign,
}

fn find_version(connection: &Connection) -> rusqlite::Result<Found> {
    let (all, ours): (i64, i64) = connection.query_row(
        "SELECT count(*), count(*) FILTER (WHERE type = 'table' AND name = 'sagactl_schema') FROM sqlite_schema",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if all == 0 {
        return Ok(Found::Empty);
    }
    if ours == 0 {
        return Ok(Found::Foreign);
    }
    let version = connection
        .query_row("SELECT version FROM sagactl_schema WHERE singleton = 1", [], |row| row.get(0))
        .optional()?;
    Ok(version.map_or(Found::Foreign, Found::Version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::{CURRENT_VERSION, MIGRATIONS};

    fn log() -> slog::Logger {
        slog::Logger::root(slog::Discard, slog::o!())
    }

    fn database() -> Connection {
        Connection::open_in_memory().expect("a database in memory")
    }

    fn with_one_more(sqlite: &'static str) -> Vec<Migration> {
        let more = Migration { version: CURRENT_VERSION + 1, name: "one more", sqlite, postgres: "" };
        MIGRATIONS.iter().copied().chain([more]).collect()
    }

    #[test]
    fn applies_what_is_missing_and_nothing_twice() {
        let mut connection = database();
        let path = Path::new("t.db");
        migrate(&mut connection, path, MIGRATIONS, &log()).expect("from nothing");
        let more = with_one_more("CREATE TABLE more (id TEXT); CREATE INDEX more_id ON more (id);");
        for _ in 0..2 {
            migrate(&mut connection, path, &more, &log())
                .expect("from the version before, then from the same");
        }
        check_current(&connection, path, &more).expect("now up to date");
        connection.execute("INSERT INTO more VALUES ('x')", []).expect("the table is there");
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing_behind() {
        let mut connection = database();
        let path = Path::new("t.db");
        let broken = with_one_more("CREATE TABLE more (id TEXT); CREATE TABLE more (id TEXT);");
        migrate(&mut connection, path, &broken, &log()).expect_err("the table is there already");
        check_current(&connection, path, MIGRATIONS).expect("the one before was applied");
        connection.execute("INSERT INTO more VALUES ('x')", []).expect_err("no such table");
    }

    #[test]
    fn newer_older_empty_and_foreign_databases_are_refused() {
        let path = Path::new("/var/t.db");
        let text = |result: Result<(), StoreError>| match result.expect_err("wrong schema") {
            StoreError::WrongSchema(text) => text,
            other => panic!("expected a wrong schema, got {other:?}"),
        };
        let mut connection = database();
        assert_eq!(
            text(check_current(&connection, path, MIGRATIONS)),
            "database /var/t.db is empty: no coordinator has been started on it"
        );
        let more = with_one_more("CREATE TABLE more (id TEXT)");
        migrate(&mut connection, path, MIGRATIONS, &log()).expect("from nothing");
        let (now, next) = (CURRENT_VERSION, CURRENT_VERSION + 1);
        assert_eq!(
            text(check_current(&connection, path, &more)),
            format!(
                "database /var/t.db is at schema {now}, this program needs {next}; a coordinator of this version \
                 brings it up to date when it starts"
            )
        );
        migrate(&mut connection, path, &more, &log()).expect("one more");
        let newer = format!("database /var/t.db is at schema {next}, this program knows up to {now}");
        assert_eq!(text(check_current(&connection, path, MIGRATIONS)), newer);
        assert_eq!(text(migrate(&mut connection, path, MIGRATIONS, &log())), newer);

        let mut connection = database();
        connection.execute_batch("CREATE TABLE accounts (id TEXT)").expect("it is SQL");
        let foreign = "database /var/t.db is not one of sagactl's: it has tables, but none that tells its schema's version";
        assert_eq!(text(check_current(&connection, path, MIGRATIONS)), foreign);
        assert_eq!(text(migrate(&mut connection, path, MIGRATIONS, &log())), foreign);
    }
}
