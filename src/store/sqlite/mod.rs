//! SQLite, the embedded default: one file, nothing to install.
//!
//! ```text
//!   write, write_unwaited, close_lane ──> queue ──> writer (one thread, one connection): writer.rs, session.rs
//!   read ──────────────────────────────> queue ──> readers (a few threads, a connection each): reader.rs, visitor.rs
//! ```
//!
//! The database is in write-ahead-log mode with `synchronous=FULL`: a commit is an append and a sync, and readers see the
//! state as of the last commit without ever waiting for the writer. A reader sees a commit only once it is synced, so what
//! is read is durable.

pub(super) mod connection;
pub mod contents;
mod migrate;
pub(in crate::store) mod reader;
mod refusal;
mod session;
mod statement;
#[cfg(test)]
mod tests;
pub(super) mod visitor;
mod writer;

use super::error::StoreError;
use super::schema::MIGRATIONS;
use super::sql::{Row, Statement};
use super::{Applied, FatalHandler, Lane, Store, Until, Write};
use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use reader::{Companion, Readers};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use visitor::{Expect, Visitor};
use writer::Writer;

/// Threads that read beside the writer. Reads take some tens of microseconds from the cache; more than one thread is for
/// the long ones, so that a listing does not hold up a `status`.
const READERS: usize = 3;

/// Threads of a store that only reads: the tool asks for few things at once.
const VISITORS: usize = 2;

/// How to open a database for writing.
#[derive(Clone)]
pub struct OpenOptions {
    /// Told about migrations, waits for locks and derailed sagas.
    pub log: slog::Logger,
    /// Called when nothing can be committed any more.
    pub on_fatal: FatalHandler,
    /// Makes the disk full for tests: the database may have this many pages.
    #[cfg(test)]
    pub(crate) max_pages: Option<u32>,
}

impl OpenOptions {
    /// Without a log.
    pub fn new(on_fatal: FatalHandler) -> Self {
        Self {
            log: slog::Logger::root(slog::Discard, slog::o!()),
            on_fatal,
            #[cfg(test)]
            max_pages: None,
        }
    }

    /// The same, with a log.
    pub fn with_log(self, log: slog::Logger) -> Self {
        Self { log, ..self }
    }
}

/// A database file.
pub struct SqliteStore {
    path: Arc<Path>,
    /// `None` if it was opened for reading only.
    writer: Option<Writer>,
    readers: Readers,
}

impl SqliteStore {
    /// Opens a database for reading and writing. Creates it if need be, but not its directory, and brings its schema up to
    /// date. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::WrongSchema`] for a database that is newer than the program or not ours, which is then left as it
    /// was; [`StoreError::Unusable`] for what is not a database or may not be written; [`StoreError::Unavailable`] if it is
    /// locked for long or the disk fails.
    pub fn open(path: &Path, options: OpenOptions) -> Result<Self, StoreError> {
        Self::open_as(path, options, Role::Owner)
    }

    /// Opens somebody else's database for an operator's changes. It must be there and of this program's schema version, and
    /// a coordinator may have it open.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`StoreError::WrongSchema`] also for an older database and an empty one.
    pub fn open_for_changes(path: &Path, options: OpenOptions) -> Result<Self, StoreError> {
        // Opening a file that is not there would make it.
        Visitor::open(path, Expect::OurSchema)?;
        Self::open_as(path, options, Role::Visitor)
    }

    fn open_as(path: &Path, options: OpenOptions, role: Role) -> Result<Self, StoreError> {
        let path = absolute(path)?;
        let mut connection = connection::open_writable(&path)?;
        // Before anything is changed, be it only the journal's mode.
        migrate::check_not_newer(&connection, &path, MIGRATIONS)?;
        connection::prepare_for_writing(&connection, &path)?;
        match role {
            Role::Owner => migrate::migrate(&mut connection, &path, MIGRATIONS, &options.log)?,
            Role::Visitor => migrate::check_current(&connection, &path, MIGRATIONS)?,
        }
        #[cfg(test)]
        if let Some(pages) = options.max_pages {
            connection.pragma_update(None, "max_page_count", pages).expect("a pragma of SQLite's");
        }
        let companions = (0..READERS).map(|_| Companion::open(&path)).collect::<Result<Vec<_>, _>>()?;
        let readers = Readers::start(companions)?;
        let writer = Writer::start(connection, Arc::clone(&path), options.log, options.on_fatal)?;
        Ok(Self { path, writer: Some(writer), readers })
    }

    /// Opens somebody else's database for reading, whether a coordinator has it open or not. Creates and changes nothing;
    /// writes are refused.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unusable`] if it is missing, not a database or may not be read; [`StoreError::WrongSchema`] if it is
    /// not ours or of another schema version.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let path = absolute(path)?;
        let first = Visitor::open(&path, Expect::OurSchema)?;
        let others: Vec<Visitor> = (1..VISITORS).map(|_| first.another()).collect();
        let visitors = std::iter::once(first).chain(others).collect();
        let readers = Readers::start(visitors)?;
        Ok(Self { path, writer: None, readers })
    }

    /// The file, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read_only(&self) -> StoreError {
        StoreError::Unusable(format!("database {} was opened for reading only", self.path.display()))
    }

    /// What those are told whose answer was lost: the outcome of a write is then unknown.
    fn no_answer(path: &Path) -> StoreError {
        StoreError::Unavailable(format!("database {} has been closed", path.display()))
    }
}

/// Whose database it is.
enum Role {
    /// Ours to bring up to date.
    Owner,
    /// Somebody else's.
    Visitor,
}

/// Told to others, who have working directories of their own.
fn absolute(path: &Path) -> Result<Arc<Path>, StoreError> {
    std::path::absolute(path)
        .map(Arc::from)
        .map_err(|error| StoreError::Unusable(format!("cannot open database {}: {error}", path.display())))
}

#[async_trait]
impl Store for SqliteStore {
    fn write(&self, write: Write, until: Until) -> BoxFuture<'static, Result<Applied, StoreError>> {
        let Some(writer) = &self.writer else {
            return std::future::ready(Err(self.read_only())).boxed();
        };
        let outcome = writer.hand_over(write, until);
        let path = Arc::clone(&self.path);
        async move { outcome.await.unwrap_or_else(|_| Err(Self::no_answer(&path))) }.boxed()
    }

    fn write_unwaited(&self, write: Write) {
        let writer =
            self.writer.as_ref().expect("sagas do not run on a store that was opened for reading only");
        writer.hand_over_unwaited(write);
    }

    fn close_lane(&self, lane: Lane) {
        if let Some(writer) = &self.writer {
            writer.close_lane(lane);
        }
    }

    async fn read(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        self.readers.hand_over(statement).await.unwrap_or_else(|_| Err(Self::no_answer(&self.path)))
    }

    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .field("read_only", &self.writer.is_none())
            .finish_non_exhaustive()
    }
}
