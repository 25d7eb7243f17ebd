//! Reading a database that belongs to somebody else, who may or may not be there.
//!
//! The tool reads the database of a coordinator that runs, was stopped, or was killed, and must leave no trace. SQLite's own
//! read-only mode is not enough for that: on a database that nobody has open it creates the files of the write-ahead log
//! beside it, owned by whoever ran the tool, and fails where it may not. So there are two ways to read:
//!
//! - *along with a writer*: when there is a log, which belongs to a coordinator that runs or one that was killed. This is
//!   SQLite's usual way, with locks in the index of the log. (Should that index be missing, it is made anew.)
//! - *still*: when there is no log, so that all there is to know is in the database file. SQLite is told that the file
//!   cannot change; it then takes no locks and makes no files. Since a coordinator may well start meanwhile, the files are
//!   looked at before and after each read: if anything has changed, the read is done again on a new connection.
//!
//! The look also notices that another file has taken the database's place, which a `--watch` may live to see.

use super::connection::{explain, open_reader, open_still};
use super::migrate::check_current;
use super::reader::{self, Source};
use crate::store::error::StoreError;
use crate::store::schema::MIGRATIONS;
use crate::store::sql::{Row, Statement};
use rusqlite::Connection;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How often a read is begun again because the files changed. One change is a coordinator that starts or stops; more than
/// a few in a row are something else.
const ATTEMPTS: usize = 5;

/// Which databases a visitor reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Expect {
    /// Ours, at the schema version of this program: what `store::sagas` and the like are written for.
    OurSchema,
    /// Any: whoever reads finds out what is in it.
    AnySchema,
}

/// Reads without a trace.
pub(in crate::store) struct Visitor {
    path: PathBuf,
    expect: Expect,
    visit: Option<Visit>,
    /// How often it connected.
    connections: u64,
}

/// A moment of a database: as long as a visitor finds the same, nothing in it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Moment {
    connection: u64,
    /// `PRAGMA data_version`, which says something on the same connection only.
    version: i64,
}

/// An open connection, and what the files looked like before it was opened.
struct Visit {
    connection: Connection,
    look: Look,
}

/// As much of the state of the files as tells whether a connection is still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    /// Device and number of the database file.
    file: (u64, u64),
    /// Length and modification time (seconds, nanoseconds) if there is no log, so that only the file itself counts.
    still: Option<(u64, i64, i64)>,
}

impl Visitor {
    /// Opens a database that exists and is what is expected.
    pub(in crate::store) fn open(path: &Path, expect: Expect) -> Result<Self, StoreError> {
        // SQLite keeps the log beside the file itself and not beside a link to it.
        let path = path.canonicalize().map_err(|error| cannot_open(path, &error))?;
        let mut visitor = Self { path, expect, visit: None, connections: 0 };
        visitor.visit = Some(visitor.take_visit()?);
        Ok(visitor)
    }

    /// Another visitor of the same database, for another thread.
    pub(in crate::store) fn another(&self) -> Self {
        Self { path: self.path.clone(), expect: self.expect, visit: None, connections: 0 }
    }

    /// The file, behind all links.
    pub(in crate::store) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the database through a connection that shows it as it is, if need be more than once: what was seen while
    /// the files changed is thrown away.
    pub(in crate::store) fn visit<T>(
        &mut self,
        mut look: impl FnMut(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 0..ATTEMPTS {
            let mut visit = self.take_visit()?;
            let seen = look(&mut visit.connection);
            if visit.look.serves(self.look()?) {
                self.visit = Some(visit);
                return seen;
            }
        }
        Err(StoreError::Unavailable(format!(
            "cannot read database {}: its file keeps changing without a coordinator's log beside it",
            self.path.display()
        )))
    }

    /// The present moment.
    pub(in crate::store) fn moment(&mut self) -> Result<Moment, StoreError> {
        let path = self.path.clone();
        let version = self.visit(|connection| {
            connection
                .pragma_query_value(None, "data_version", |row| row.get(0))
                .map_err(|error| explain("read", &path, &error))
        })?;
        Ok(Moment { connection: self.connections, version })
    }

    /// The open connection if it is still good, else a new one.
    fn take_visit(&mut self) -> Result<Visit, StoreError> {
        let now = self.look()?;
        match self.visit.take() {
            Some(visit) if visit.look.serves(now) => Ok(visit),
            _ => {
                self.connections += 1;
                Ok(Visit { connection: self.connect(now)?, look: now })
            }
        }
    }

    fn connect(&self, look: Look) -> Result<Connection, StoreError> {
        let path = &self.path;
        let connection = if look.still.is_some() { open_still(path)? } else { open_reader(path)? };
        if self.expect == Expect::OurSchema {
            check_current(&connection, path, MIGRATIONS)?;
        }
        Ok(connection)
    }

    fn look(&self) -> Result<Look, StoreError> {
        let database = std::fs::metadata(&self.path).map_err(|error| cannot_open(&self.path, &error))?;
        if !database.is_file() {
            let what = if database.is_dir() { "it is a directory" } else { "it is not a regular file" };
            return Err(cannot_open(&self.path, &io::Error::other(what)));
        }
        let log_length = self.beside("-wal").map(|metadata| metadata.len());
        // An empty log says nothing, unless somebody is there to write to it.
        let writer = match log_length {
            None => false,
            Some(0) => self.beside("-shm").is_some(),
            Some(_) => true,
        };
        Ok(Look {
            file: (database.dev(), database.ino()),
            still: (!writer).then(|| (database.len(), database.mtime(), database.mtime_nsec())),
        })
    }

    fn beside(&self, suffix: &str) -> Option<Metadata> {
        let mut name = OsString::from(&self.path);
        name.push(suffix);
        std::fs::metadata(name).ok()
    }
}

impl Look {
    /// Whether a connection that was opened on this look is good for one on `now`.
    fn serves(self, now: Self) -> bool {
        // Along with a writer, SQLite's locks see to everything that happens to the same file.
        self.file == now.file && (self.still.is_none() || self.still == now.still)
    }
}

impl Source<Statement, Vec<Row>> for Visitor {
    fn read(&mut self, statement: &Statement) -> Result<Vec<Row>, StoreError> {
        let path = self.path.clone();
        self.visit(|connection| reader::read(connection, &path, statement))
    }
}

fn cannot_open(path: &Path, error: &io::Error) -> StoreError {
    let cause = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    };
    StoreError::Unusable(format!("cannot open database {}: {cause}", path.display()))
}
