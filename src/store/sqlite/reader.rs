//! A few threads that read, each with a connection of its own, so that reads never wait for writes.

use super::connection::{explain, open_reader};
use super::statement::{self, ReadError};
use crate::store::error::StoreError;
use crate::store::sql::{Row, Statement};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::{io, thread};
use tokio::sync::oneshot;

/// Something that carries out one read after the other.
pub(super) trait Source: Send + 'static {
    /// Runs one read to its end.
    fn read(&mut self, statement: &Statement) -> Result<Vec<Row>, StoreError>;
}

/// The way to the threads that read; when it is dropped they end.
pub(super) struct Readers {
    queue: Sender<Job>,
}

struct Job {
    statement: Statement,
    answer: oneshot::Sender<Result<Vec<Row>, StoreError>>,
}

impl Readers {
    /// Starts one thread per source.
    pub(super) fn start(sources: Vec<impl Source>) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for (index, source) in (1..).zip(sources) {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new()
                .name(format!("sqlite-reader-{index}"))
                .spawn(move || serve(&jobs, source))?;
        }
        Ok(Self { queue })
    }

    /// Queues a read. Its answer never comes if the read panicked or the threads are gone.
    pub(super) fn hand_over(&self, statement: Statement) -> oneshot::Receiver<Result<Vec<Row>, StoreError>> {
        let (answer, rows) = oneshot::channel();
        // Without a thread to take it the job is dropped, and with it the answer's other end.
        let _ = self.queue.send(Job { statement, answer });
        rows
    }
}

fn serve(jobs: &Mutex<Receiver<Job>>, mut source: impl Source) {
    loop {
        // The lock is held while waiting, so that exactly one thread waits for the next job and the others for the lock.
        // Nothing under it can panic half-way through a change, so a poisoned lock is as good as any.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { statement, answer }) = job else { return };
        if answer.is_closed() {
            // Whoever asked has given up, perhaps because there was much to do.
            continue;
        }
        // A panic costs this one answer, not the thread. SQLite's connection is in order again once its statement is
        // dropped, which unwinding does.
        if let Ok(rows) = catch_unwind(AssertUnwindSafe(|| source.read(&statement))) {
            // Nobody is there any more if the future was dropped.
            let _ = answer.send(rows);
        }
    }
}

/// Reads the database of a writer in this process.
pub(super) struct Companion {
    path: PathBuf,
    connection: Connection,
}

impl Companion {
    /// Opens a database that is known to be in order.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { path: path.to_owned(), connection: open_reader(path)? })
    }
}

impl Source for Companion {
    fn read(&mut self, statement: &Statement) -> Result<Vec<Row>, StoreError> {
        read(&self.connection, &self.path, statement)
    }
}

/// Runs a read to its end on a connection to `path`.
pub(super) fn read(
    connection: &Connection,
    path: &Path,
    statement: &Statement,
) -> Result<Vec<Row>, StoreError> {
    statement::read(connection, statement).map_err(|error| match error {
        ReadError::Sqlite(error) => explain("read", path, &error),
        ReadError::Value(error) => error,
    })
}
