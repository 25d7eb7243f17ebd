//! PostgreSQL, for more than one coordinator; or CockroachDB, which speaks the same protocol.
//!
//! ```text
//!   write, write_unwaited, close_lane ──> queue ──> writer (a thread, a session): writer.rs, plan.rs, claim.rs
//!   read ──────────────────────────────> queue ──> readers (a thread, a few sessions): reader.rs
//!                                   both ──> link.rs: is the database there?   trouble.rs: what does an error mean?
//! ```
//!
//! # Isolation
//!
//! Transactions of coordinators are serializable: what was true when it was read is still true at the commit, whatever
//! other coordinators do meanwhile. The price is that the server now and then aborts one of two that might get in each
//! other's way, more often than they do, since it tracks what was read by pages of indexes. Such a batch is tried again,
//! and in parts if that happens to it several times.
//!
//! Statements lock the rows that they decide upon as well (`/*pg FOR SHARE*/` in the shared texts). So whoever changes a
//! saga or a SEC by hand, under whatever isolation, waits for those who hold it and is not overlooked; and the suite shows
//! that the same would be right under [`Isolation::ReadCommitted`].

mod answers;
mod claim;
pub mod contents;
mod dialect;
mod link;
mod migrate;
mod plan;
mod reader;
pub mod schema_copy;
pub mod scratch;
mod session;
pub(super) mod target;
#[cfg(test)]
mod tests;
pub(super) mod trouble;
mod value;
mod writer;

pub use link::OnSessionLoss;

use super::error::StoreError;
use super::queue::{Lanes, Message};
use super::schema::MIGRATIONS;
use super::sql::{Row, Statement};
use super::{Applied, FatalHandler, Lane, Store, Until, Write};
use crate::wire::ids::SecId;
use async_trait::async_trait;
use claim::Claim;
use futures::FutureExt;
use futures::future::BoxFuture;
use link::Link;
use plan::Planner;
use reader::Readers;
use session::{Purpose, Session};
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, mpsc};
use target::Target;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use writer::Writer;

/// Sessions that read beside the writer. What is read by key takes a fraction of a millisecond; more than one is for the
/// long ones, and for recovery, which loads several sagas at a time.
const READERS: usize = 4;

/// Sessions of a store that only reads: the tool asks for few things at once.
const VISITORS: usize = 2;

/// How to open a database for writing.
#[derive(Clone)]
pub struct OpenOptions {
    /// Whose writes these are. `None` for changes by an operator, which are under nobody's fence; then the outcome of a
    /// write whose connection breaks during the commit stays unknown.
    pub sec: Option<SecId>,
    /// What to do when the database goes away.
    pub on_session_loss: OnSessionLoss,
    /// How transactions are kept apart.
    pub isolation: Isolation,
    /// Told about migrations, lost connections and derailed sagas.
    pub log: slog::Logger,
    /// Called when nothing can be committed any more, among others because the SEC has been expunged.
    pub on_fatal: FatalHandler,
}

/// How transactions are kept apart, see the text of this module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// By the server, whatever statements do.
    #[default]
    Serializable,
    /// By the locks that statements take.
    ReadCommitted,
}

impl Isolation {
    fn begin(self) -> &'static str {
        match self {
            Self::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Self::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE",
        }
    }
}

impl OpenOptions {
    /// For a coordinator, without a log.
    pub fn new(sec: SecId, on_fatal: FatalHandler) -> Self {
        Self { sec: Some(sec), ..Self::of_nobody(on_fatal) }
    }

    fn of_nobody(on_fatal: FatalHandler) -> Self {
        Self {
            sec: None,
            on_session_loss: OnSessionLoss::default(),
            isolation: Isolation::default(),
            log: slog::Logger::root(slog::Discard, slog::o!()),
            on_fatal,
        }
    }

    /// The same, with a log.
    pub fn with_log(self, log: slog::Logger) -> Self {
        Self { log, ..self }
    }
}

/// A database on a server.
pub struct PostgresStore {
    target: Target,
    /// `None` if it was opened for reading only.
    writes: Option<UnboundedSender<Message>>,
    readers: Readers,
}

impl PostgresStore {
    /// Opens a database for reading and writing, and brings its schema up to date. Waits for the server.
    ///
    /// # Errors
    ///
    /// [`StoreError::WrongSchema`] for a database that is newer than the program or not ours, which is then left as it
    /// was; [`StoreError::Unusable`] if the server will not let us in, or the SEC has been expunged;
    /// [`StoreError::Unavailable`] if the server cannot be reached.
    pub fn open(url: &str, options: OpenOptions) -> Result<Self, StoreError> {
        Self::open_as(url, options, READERS, Start::Migrate)
    }

    /// Opens somebody else's database for an operator's changes. It must be of this program's schema version.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`StoreError::WrongSchema`] also for an older database and an empty one.
    pub fn open_for_changes(url: &str, on_fatal: FatalHandler) -> Result<Self, StoreError> {
        // Not serializable: a SEC's row changes with each of its transactions, and whoever wants to change it too has to
        // take its turn, not to start all over. Each change is one statement with its condition in it.
        let options = OpenOptions { isolation: Isolation::ReadCommitted, ..OpenOptions::of_nobody(on_fatal) };
        Self::open_as(url, options, VISITORS, Start::Check)
    }

    fn open_as(url: &str, options: OpenOptions, readers: usize, start: Start) -> Result<Self, StoreError> {
        let target = Target::parse(url)?;
        // Makes sure of the database before there is anything that waits for it.
        let (link, readers) = start_readers(&target, Purpose::Read, readers, &options, start)?;
        let (writes, queue) = unbounded_channel();
        let at = target.clone();
        start_thread("postgres-writer", async move |opened| {
            let connected = async {
                let session = Session::open(&at, 0, Purpose::Write).await?;
                let claim = match options.sec {
                    // It may have to wait for a transaction of the process before this one, as long as the server's limits.
                    Some(sec) => {
                        let claim = Claim::make(session.client(), sec).await;
                        Some(claim.map_err(|error| at.explain("write to", &error))??)
                    }
                    None => None,
                };
                Ok((session, claim))
            };
            let (session, claim) = match connected.await {
                Ok(connected) => connected,
                Err(error) => return drop(opened.send(Err(error))),
            };
            if opened.send(Ok(())).is_err() {
                return;
            }
            let OpenOptions { isolation, log, on_fatal, .. } = options;
            let (planner, lanes) = (Planner::default(), Lanes::default());
            let mut writer = Writer { link, session, claim, isolation, queue, log, planner, lanes };
            let mut batch = Vec::new();
            let why = match AssertUnwindSafe(writer.run(&mut batch)).catch_unwind().await {
                Ok(Ok(())) => return,
                Ok(Err(hopeless)) => format!("database {}: {}", at.shown(), hopeless.0),
                Err(_) => format!("the writer of database {} panicked", at.shown()),
            };
            match on_fatal(&why) {}
        })?;
        Ok(Self { target, writes: Some(writes), readers })
    }

    /// Opens somebody else's database for reading. Creates and changes nothing; writes are refused.
    ///
    /// # Errors
    ///
    /// [`StoreError::WrongSchema`] if it is not ours or of another schema version; otherwise as [`Self::open`].
    pub fn open_read_only(url: &str) -> Result<Self, StoreError> {
        let target = Target::parse(url)?;
        let never: FatalHandler = Arc::new(|why| unreachable!("reading is never fatal: {why}"));
        let options = OpenOptions::of_nobody(never);
        let (_, readers) = start_readers(&target, Purpose::Visit, VISITORS, &options, Start::Check)?;
        Ok(Self { target, writes: None, readers })
    }

    fn read_only(&self) -> StoreError {
        StoreError::Unusable(format!("database {} was opened for reading only", self.target.shown()))
    }

    /// What those are told whose answer was lost: the outcome of a write is then unknown.
    fn no_answer(target: &Target) -> StoreError {
        StoreError::Unavailable(format!("database {} has been closed", target.shown()))
    }
}

/// Whether a URL can be understood, without connecting to anything.
///
/// # Errors
///
/// [`StoreError::Unusable`] without a word of the URL, since that may hold a password.
pub fn check_url(url: &str) -> Result<(), StoreError> {
    Target::parse(url).map(drop)
}

/// What is done with a database's schema when it is opened.
enum Start {
    Migrate,
    Check,
}

fn start_readers(
    target: &Target,
    purpose: Purpose,
    count: usize,
    options: &OpenOptions,
    start: Start,
) -> Result<(Arc<Link>, Readers), StoreError> {
    let (at, options) = (target.clone(), options.clone());
    start_thread("postgres-readers", async move |opened| {
        let first = async {
            let session = Session::open(&at, 0, purpose).await?;
            match start {
                Start::Migrate => migrate::migrate(session.client(), &at, MIGRATIONS, &options.log).await,
                Start::Check => migrate::check_current(session.client(), &at, MIGRATIONS).await,
            }
        };
        if let Err(error) = first.await {
            return drop(opened.send(Err(error)));
        }
        let runtime = tokio::runtime::Handle::current();
        let OpenOptions { on_session_loss, on_fatal, log, .. } = options;
        let link = Link::new(at, on_session_loss, on_fatal, log, runtime);
        let (readers, ended) = Readers::start(&link, purpose, count);
        if opened.send(Ok((link, readers))).is_ok() {
            ended.await;
        }
    })
}

/// Runs `run` on a new thread with a runtime of its own, and answers what that says once it has come so far.
fn start_thread<T: Send + 'static>(
    name: &str,
    run: impl AsyncFnOnce(mpsc::SyncSender<Result<T, StoreError>>) + Send + 'static,
) -> Result<T, StoreError> {
    let (opened, answer) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(run(opened)),
            Err(error) => drop(opened.send(Err(StoreError::no_thread(error)))),
        })
        .map_err(StoreError::no_thread)?;
    answer.recv().unwrap_or_else(|_| Err(StoreError::Unavailable(format!("thread {name} ended early"))))
}

#[async_trait]
impl Store for PostgresStore {
    fn write(&self, write: Write, until: Until) -> BoxFuture<'static, Result<Applied, StoreError>> {
        let Some(writes) = &self.writes else {
            return std::future::ready(Err(self.read_only())).boxed();
        };
        let (message, outcome) = Message::waited(write, until);
        // It fails only when the writer is gone, which is after the fatal handler was called.
        let _ = writes.send(message);
        let target = self.target.clone();
        async move { outcome.await.unwrap_or_else(|_| Err(Self::no_answer(&target))) }.boxed()
    }

    fn write_unwaited(&self, write: Write) {
        let writes =
            self.writes.as_ref().expect("sagas do not run on a store that was opened for reading only");
        let _ = writes.send(Message::unwaited(write));
    }

    fn close_lane(&self, lane: Lane) {
        if let Some(writes) = &self.writes {
            let _ = writes.send(Message::CloseLane(lane));
        }
    }

    async fn read(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        self.readers.hand_over(statement).await.unwrap_or_else(|_| Err(Self::no_answer(&self.target)))
    }

    fn kind(&self) -> &'static str {
        "postgresql"
    }

    fn url(&self) -> String {
        self.target.shown().to_owned()
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("url", &self.target.shown())
            .field("read_only", &self.writes.is_none())
            .finish_non_exhaustive()
    }
}
