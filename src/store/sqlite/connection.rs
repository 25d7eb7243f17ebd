//! Opening database files, and saying in plain words why it did not work.

use crate::store::error::StoreError;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};
use rustix::fs::{Access, access};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long SQLite itself waits for another process's lock before it reports one. Coordinators never share a database
/// file, so this is somebody in SQLite's shell.
pub(in crate::store) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pages in the write-ahead log at which a commit also moves them into the database: 16 MiB. That costs the writer two
/// more syncs and a write of each page changed, so it should be rare; recovering a log of this size takes some tens of
/// milliseconds, so it may be.
const AUTOCHECKPOINT_PAGES: u32 = 4000;

/// What the log file is cut back to when something, a long read for example, made it outgrow the above by far.
const LOG_SIZE_LIMIT: i64 = 64 << 20;

/// Page cache of the writer in KiB: the inner pages of all indexes of some million sagas.
const WRITER_CACHE_KIB: i64 = 64 << 10;

/// Page cache of each reader in KiB.
const READER_CACHE_KIB: i64 = 8 << 10;

/// Prepared statements that a reader keeps: more than there are reads in the program.
const READER_STATEMENTS: usize = 256;

/// Opens the file for writing, creating it if need be, and changes nothing of it yet.
pub(super) fn open_writable(path: &Path) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    open(path, path, flags)
}

/// Makes a connection the writer of the database: write-ahead log, synced at each commit.
pub(super) fn prepare_for_writing(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let set = || {
        let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.pragma_update(None, "wal_autocheckpoint", AUTOCHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", LOG_SIZE_LIMIT)?;
        connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        // Savepoints keep page images aside, which are of no use after a crash.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        Ok(mode)
    };
    let mode: String = set().map_err(|error| explain("write to", path, &error))?;
    if mode != "wal" {
        return Err(StoreError::Unusable(format!(
            "cannot use database {}: the file system it is on cannot share memory between processes, \
             which a write-ahead log needs",
            path.display()
        )));
    }
    Ok(())
}

/// Opens the file for reading along with its writer.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, path, flags)?;
    prepare_for_reading(&connection, path)?;
    Ok(connection)
}

/// Opens somebody else's file, which must be there, for one transaction. Its journal stays what it is; the rules of its
/// tables are enforced if it is `ours`, which is made for that.
pub(in crate::store) fn open_for_a_change(
    path: &Path,
    ours: bool,
    patience: Duration,
) -> Result<Connection, StoreError> {
    let connection = open(path, path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let set = || {
        connection.busy_timeout(patience)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", ours)
    };
    set().map_err(|error| explain("write to", path, &error))?;
    Ok(connection)
}

/// Opens a file that nobody else has open, leaving no trace beside it: no locks are taken and no log is looked for.
pub(super) fn open_still(path: &Path) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = open(&immutable_uri(path), path, flags)?;
    prepare_for_reading(&connection, path)?;
    Ok(connection)
}

fn open(name: &Path, path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let opened = Connection::open_with_flags(name, flags).and_then(|connection| {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    });
    opened.map_err(|error| explain("open", path, &error))
}

fn prepare_for_reading(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    connection.set_prepared_statement_cache_capacity(READER_STATEMENTS);
    let set = || {
        connection.pragma_update(None, "query_only", "ON")?;
        connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)
    };
    set().map_err(|error| explain("read", path, &error))
}

/// `file:PATH?immutable=1`, with what has a meaning in a URI escaped.
fn immutable_uri(path: &Path) -> PathBuf {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut uri = b"file:".to_vec();
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => uri.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            _ => uri.push(byte),
        }
    }
    uri.extend_from_slice(b"?immutable=1");
    PathBuf::from(std::ffi::OsString::from_vec(uri))
}

/// An error of SQLite's as one that says what could not be done to which file, and whether trying again may help.
pub(in crate::store) fn explain(doing: &str, path: &Path, error: &Error) -> StoreError {
    let text = format!("cannot {doing} database {}: {}", path.display(), cause(path, error));
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OutOfMemory
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::SchemaChanged,
        ) => StoreError::Unavailable(text),
        _ => StoreError::Unusable(text),
    }
}

/// The cause alone, as the end of a sentence.
pub(super) fn cause(path: &Path, error: &Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            what_is_wrong_with(path).unwrap_or_else(|| error.to_string())
        }
        Some(ErrorCode::NotADatabase) => "it is not a SQLite database".to_owned(),
        Some(ErrorCode::DatabaseCorrupt) => format!("it is damaged ({error})"),
        Some(ErrorCode::DatabaseBusy) => "another process holds its lock".to_owned(),
        Some(ErrorCode::DiskFull) => format!("the disk is full ({error})"),
        Some(ErrorCode::SystemIoFailure) => match failed_operation(error) {
            Some(operation) => format!("the system failed to {operation} ({error})"),
            None => error.to_string(),
        },
        _ => error.to_string(),
    }
}

/// SQLite only says that it cannot open a file. This looks for the reason. It must not open the file to find out: closing
/// it again would drop the locks that this process may hold on it through another connection.
fn what_is_wrong_with(path: &Path) -> Option<String> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match std::fs::metadata(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Some(format!("directory {} does not exist", directory.display()));
        }
        Err(error) => return Some(format!("directory {}: {error}", directory.display())),
        Ok(metadata) if !metadata.is_dir() => {
            return Some(format!("{} is not a directory", directory.display()));
        }
        Ok(_) => {}
    }
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Some("it is a directory".to_owned()),
        Ok(metadata) if !metadata.is_file() => return Some("it is not a regular file".to_owned()),
        Ok(_) => {
            if let Err(error) = access(path, Access::READ_OK) {
                return Some(format!("no permission to read it ({error})"));
            }
            if let Err(error) = access(path, Access::WRITE_OK) {
                return Some(format!("no permission to write it ({error})"));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if access(directory, Access::WRITE_OK).is_ok() {
                return Some("there is no such file".to_owned());
            }
        }
        Err(error) => return Some(error.to_string()),
    }
    access(directory, Access::WRITE_OK)
        .err()
        .map(|error| format!("no permission to create files in {} ({error})", directory.display()))
}

/// What SQLite was doing when the system failed it.
fn failed_operation(error: &Error) -> Option<&'static str> {
    use rusqlite::ffi;
    let Error::SqliteFailure(failure, _) = error else { return None };
    Some(match failure.extended_code {
        ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ => "read a file",
        ffi::SQLITE_IOERR_WRITE => "write a file",
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC => "make a file durable",
        ffi::SQLITE_IOERR_TRUNCATE => "cut a file",
        ffi::SQLITE_IOERR_SHMOPEN | ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_SHMMAP => {
            "share the index of the write-ahead log"
        }
        ffi::SQLITE_IOERR_LOCK | ffi::SQLITE_IOERR_UNLOCK | ffi::SQLITE_IOERR_SHMLOCK => "lock a file",
        _ => return None,
    })
}
