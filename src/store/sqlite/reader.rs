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
use std::thread;
use tokio::sync::oneshot;

/// Something that answers one question after the other.
pub(in crate::store) trait Source<Q, A>: Send + 'static {
    /// Runs one read to its end.
    fn read(&mut self, question: &Q) -> Result<A, StoreError>;
}

/// The way to the threads that read; when it is dropped they end.
pub(in crate::store) struct Readers<Q = Statement, A = Vec<Row>> {
    queue: Sender<Job<Q, A>>,
}

struct Job<Q, A> {
    question: Q,
    answer: oneshot::Sender<Result<A, StoreError>>,
}

impl<Q: Send + 'static, A: Send + 'static> Readers<Q, A> {
    /// Starts one thread per source.
    pub(in crate::store) fn start(sources: Vec<impl Source<Q, A>>) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel();
        let jobs = Arc::new(Mutex::new(jobs));
        for (index, source) in (1..).zip(sources) {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new()
                .name(format!("sqlite-reader-{index}"))
                .spawn(move || serve(&jobs, source))
                .map_err(StoreError::no_thread)?;
        }
        Ok(Self { queue })
    }

    /// Queues a read. Its answer never comes if the read panicked or the threads are gone.
    pub(in crate::store) fn hand_over(&self, question: Q) -> oneshot::Receiver<Result<A, StoreError>> {
        let (answer, answered) = oneshot::channel();
        // Without a thread to take it the job is dropped, and with it the answer's other end.
        let _ = self.queue.send(Job { question, answer });
        answered
    }
}

fn serve<Q, A>(jobs: &Mutex<Receiver<Job<Q, A>>>, mut source: impl Source<Q, A>) {
    loop {
        // The lock is held while waiting, so that exactly one thread waits for the next job and the others for the lock.
        // Nothing under it can panic half-way through a change, so a poisoned lock is as good as any.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { question, answer }) = job else { return };
        if answer.is_closed() {
            // Whoever asked has given up, perhaps because there was much to do.
            continue;
        }
        // A panic costs this one answer, not the thread. SQLite's connection is in order again once its statement is
        // dropped, which unwinding does.
        if let Ok(found) = catch_unwind(AssertUnwindSafe(|| source.read(&question))) {
            // Nobody is there any more if the future was dropped.
            let _ = answer.send(found);
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

impl Source<Statement, Vec<Row>> for Companion {
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
