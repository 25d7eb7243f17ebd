//! Everything that is in a database besides the sagas themselves: what drills compare.

use super::connection;
use crate::store::contents::{Contents, Table, is_bookkeeping};
use crate::store::error::StoreError;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// Reads all rows of all tables in one snapshot.
///
/// # Errors
///
/// When the file is no database or cannot be read.
pub fn read_contents(path: &Path) -> Result<Contents, StoreError> {
    let explain = |error: &rusqlite::Error| connection::explain("read", path, error);
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(|error| explain(&error))?;
    let read = |connection: &mut Connection| {
        let transaction = connection.transaction()?;
        let names: Vec<String> = transaction
            .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut contents = Contents::new();
        for name in names.into_iter().filter(|name| !is_bookkeeping(name)) {
            contents.insert(name.clone(), read_table(&transaction, &name)?);
        }
        Ok(contents)
    };
    read(&mut connection).map_err(|error| explain(&error))
}

fn read_table(connection: &Connection, name: &str) -> rusqlite::Result<Table> {
    let mut statement = connection.prepare(&format!("SELECT * FROM \"{}\"", name.replace('"', "\"\"")))?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let width = columns.len();
    let rows = statement
        .query_map([], |row| (0..width).map(|index| Ok(text(row.get_ref(index)?))).collect())?
        .collect::<Result<_, _>>()?;
    Ok(Table { columns, rows })
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// Puts everything of a database that nobody uses into its one file, so that copying that file copies the database.
///
/// # Errors
///
/// When the file is no database or cannot be written.
pub fn pack(path: &Path) -> Result<(), StoreError> {
    // The last connection that closes moves the log into the database.
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            connection.close().map_err(|(_, error)| error)
        })
        .map_err(|error| connection::explain("write to", path, &error))
}
