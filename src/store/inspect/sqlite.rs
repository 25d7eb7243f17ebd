//! Looking at a SQLite file, whoever made it.
//!
//! Most questions are answered in less time than it takes to start a thread, so they are answered on the spot. The first
//! that takes longer is asked again on a thread, and all that come later go there too, as they do once much has been asked:
//! whoever asks can then give up at a limit or be interrupted. Who has a thread for just this is answered on it in any case.

use super::Asker;
use super::cell::Cell;
use super::error::InspectError;
use super::query::{Param, Query, RawRow};
use super::source::{Engine, Index, Origin, Source, Table};
use crate::store::error::StoreError;
use crate::store::sqlite::connection::{BUSY_TIMEOUT, explain};
use crate::store::sqlite::reader::{self, Readers};
use crate::store::sqlite::visitor::{Expect, Moment, Visitor};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, InterruptHandle, OptionalExtension, Statement};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long a question may keep whoever asks it from everything else.
const AT_ONCE: Duration = Duration::from_millis(2);

/// How long all questions together may. Without a limit, who asks little very often would never hear of anything else.
const AT_ONCE_IN_ALL: Duration = Duration::from_millis(20);

/// Instructions of SQLite's machine between two looks at the clock: few, for each may read a page from a slow disk.
const INSTRUCTIONS: i32 = 100;

/// A file that is being looked at.
#[derive(Clone)]
pub(super) struct File {
    url: String,
    path: PathBuf,
    answering: Arc<Mutex<Where>>,
    /// The number of the next question.
    next: Arc<AtomicU64>,
    under_way: Arc<Mutex<Option<UnderWay>>>,
}

/// Where questions are answered.
enum Where {
    /// On the spot, on which so much time was spent.
    Here(Box<Answering>, Duration),
    /// By a thread, one after the other.
    OnAThread(Readers<Question, Vec<RawRow>>),
    /// On the spot, by whom nobody else is waiting for.
    Alone(Box<Answering>),
}

/// What is asked.
struct Question {
    number: u64,
    query: Query,
}

/// The question that the thread is at, and what stops it.
struct UnderWay {
    number: u64,
    stop: InterruptHandle,
}

impl File {
    /// Opens a file and finds out what is in it.
    pub(super) fn open(path: &Path, asker: Asker) -> Result<(Self, Source), InspectError> {
        let url = format!("sqlite:{}", path.display());
        let failed = |error| InspectError::of_file(&url, error);
        let mut visitor = Visitor::open(path, Expect::AnySchema).map_err(failed)?;
        let path = visitor.path().to_owned();
        let source = visitor
            .visit(|connection| discover(connection, &url).map_err(|error| explain("read", &path, &error)))
            .map_err(failed)?;
        let under_way = Arc::default();
        let answering = Box::new(Answering { visitor, under_way: Arc::clone(&under_way) });
        let answering = match asker {
            Asker::Busy => Where::Here(answering, Duration::ZERO),
            Asker::OnItsOwnThread => Where::Alone(answering),
        };
        let answering = Arc::new(Mutex::new(answering));
        let file = Self { url, path, answering, next: Arc::default(), under_way };
        Ok((file, source))
    }

    /// The file, behind all links.
    pub(super) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn answering(&self) -> MutexGuard<'_, Where> {
        self.answering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present moment of its contents, for who is on its own thread.
    pub(super) fn moment(&self) -> Result<Option<Moment>, InspectError> {
        match &mut *self.answering() {
            Where::Here(..) | Where::OnAThread(_) => Ok(None),
            Where::Alone(answering) => {
                let moment = answering.visitor.moment();
                moment.map(Some).map_err(|error| InspectError::of_file(&self.url, error))
            }
        }
    }

    /// Asks, and waits no longer than `limit`.
    pub(super) async fn ask(&self, query: Query, limit: Duration) -> Result<Vec<RawRow>, InspectError> {
        let failed = |error| InspectError::of_file(&self.url, error);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let is_alone = matches!(*self.answering(), Where::Alone(_));
        if is_alone {
            // Or who asks again and again would never hear that its time is over.
            tokio::task::yield_now().await;
        }
        let timed_out = || InspectError::TimedOut { url: self.url.clone(), limit };
        let asked = self.answering().ask(Question { number, query }, limit);
        let answered = match asked.map_err(failed)? {
            Asked::Answered(rows) => return Ok(rows),
            Asked::HandedOver(answered) => answered,
            Asked::BrokenOff => return Err(timed_out()),
        };
        match tokio::time::timeout(limit, answered).await {
            Ok(Ok(answer)) => answer.map_err(failed),
            Ok(Err(_)) => Err(InspectError::Nonsense {
                url: self.url.clone(),
                reason: "reading it failed: this is a defect of sagactl".to_owned(),
            }),
            Err(_) => {
                // Not a question that came later and is nobody's fault.
                if let Some(UnderWay { number: current, stop }) =
                    &*self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
                    && *current == number
                {
                    stop.interrupt();
                }
                Err(timed_out())
            }
        }
    }
}

/// What became of a question.
enum Asked {
    Answered(Vec<RawRow>),
    BrokenOff,
    HandedOver(oneshot::Receiver<Result<Vec<RawRow>, StoreError>>),
}

impl Where {
    fn ask(&mut self, question: Question, limit: Duration) -> Result<Asked, StoreError> {
        let thread = match self {
            Self::OnAThread(thread) => thread,
            Self::Alone(answering) => {
                let answer = answering.answer_within(limit, limit, &question.query);
                return answer.map_or(Ok(Asked::BrokenOff), |answer| answer.map(Asked::Answered));
            }
            Self::Here(answering, spent) => {
                if *spent < AT_ONCE_IN_ALL {
                    let began = Instant::now();
                    let answer = answering.answer_within(AT_ONCE, Duration::ZERO, &question.query);
                    *spent += began.elapsed();
                    if let Some(answer) = answer {
                        return answer.map(Asked::Answered);
                    }
                }
                // One thread however much is asked: SQLite's connection does one thing at a time.
                *self = Self::OnAThread(Readers::start(vec![answering.another()])?);
                return self.ask(question, limit);
            }
        };
        Ok(Asked::HandedOver(thread.hand_over(question)))
    }
}

/// What answers: the file, telling which question it is at.
struct Answering {
    visitor: Visitor,
    under_way: Arc<Mutex<Option<UnderWay>>>,
}

impl Answering {
    /// The same for a thread.
    fn another(&self) -> Self {
        Self { visitor: self.visitor.another(), under_way: Arc::clone(&self.under_way) }
    }

    /// The answer if it is had in that time, of which so much may go into waiting for somebody's lock.
    fn answer_within(
        &mut self,
        limit: Duration,
        waiting: Duration,
        query: &Query,
    ) -> Option<Result<Vec<RawRow>, StoreError>> {
        let path = self.visitor.path().to_owned();
        let takes_long = Arc::new(AtomicBool::new(false));
        let answer = self.visitor.visit(|connection| {
            let found = within(connection, limit, waiting, &takes_long, |connection| rows(connection, query));
            found.map_err(|error| explain("read", &path, &error))
        });
        (!takes_long.load(Ordering::Relaxed)).then_some(answer)
    }
}

/// Asks, and gives up as soon as it takes long or something is to be waited for too long.
fn within<T>(
    connection: &mut Connection,
    limit: Duration,
    waiting: Duration,
    takes_long: &Arc<AtomicBool>,
    ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let began = Instant::now();
    let told = Arc::clone(takes_long);
    let has_taken_long = move || {
        let is_late = began.elapsed() > limit;
        told.fetch_or(is_late, Ordering::Relaxed);
        is_late
    };
    connection.progress_handler(INSTRUCTIONS, Some(has_taken_long))?;
    let answer = connection.busy_timeout(waiting).and_then(|()| ask(connection));
    let restored = connection.busy_timeout(BUSY_TIMEOUT);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    restored?;
    if let Err(error) = &answer
        && error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
    {
        takes_long.store(true, Ordering::Relaxed);
    }
    answer
}

impl reader::Source<Question, Vec<RawRow>> for Answering {
    fn read(&mut self, question: &Question) -> Result<Vec<RawRow>, StoreError> {
        let path = self.visitor.path().to_owned();
        let set = |current| *self.under_way.lock().unwrap_or_else(PoisonError::into_inner) = current;
        let found = self.visitor.visit(|connection| {
            set(Some(UnderWay { number: question.number, stop: connection.get_interrupt_handle() }));
            rows(connection, &question.query).map_err(|error| explain("read", &path, &error))
        });
        set(None);
        found
    }
}

/// Gives a statement its values.
pub(in crate::store) fn bind(prepared: &mut Statement<'_>, query: &Query) -> rusqlite::Result<()> {
    for (index, param) in (1..).zip(query.params()) {
        match param {
            Param::Text(text) => prepared.raw_bind_parameter(index, text.as_str())?,
            Param::Int(number) => prepared.raw_bind_parameter(index, number)?,
        }
    }
    Ok(())
}

/// Asks.
pub(in crate::store) fn rows(connection: &Connection, query: &Query) -> rusqlite::Result<Vec<RawRow>> {
    let mut prepared = connection.prepare_cached(query.text_of())?;
    bind(&mut prepared, query)?;
    let columns = prepared.column_count();
    let mut found = Vec::new();
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next()? {
        let mut cells = Vec::with_capacity(columns);
        for index in 0..columns {
            cells.push(match row.get_ref(index)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(number) => Cell::Int(number),
                ValueRef::Real(number) => Cell::Real(number),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Cell::bytes(bytes),
            });
        }
        found.push(RawRow(cells.into_iter()));
    }
    Ok(found)
}

fn discover(connection: &Connection, url: &str) -> rusqlite::Result<Source> {
    let table = |name: &str| find_table(connection, name);
    Ok(Source {
        url: url.to_owned(),
        engine: Engine::Sqlite,
        origin: find_origin(connection)?,
        saga: table("saga")?,
        event: table("saga_node_event")?,
        sec: table("sec")?,
        nexus: table("db_metadata_nexus")?,
    })
}

/// Its statements are the same for each table and stay prepared: that is most of the work of opening a small database.
fn find_table(connection: &Connection, name: &str) -> rusqlite::Result<Option<Table>> {
    let mut table = Table::default();
    let mut key: Vec<(i64, String)> = Vec::new();
    let mut columns = connection.prepare_cached("SELECT name, pk FROM pragma_table_info(?1)")?;
    let mut rows = columns.query([name])?;
    while let Some(row) = rows.next()? {
        let column: String = row.get(0)?;
        let place: i64 = row.get(1)?;
        if place > 0 {
            key.push((place, column.clone()));
        }
        table.columns.insert(column);
    }
    if table.columns.is_empty() {
        return Ok(None);
    }
    if !key.is_empty() {
        key.sort();
        let columns = key.into_iter().map(|(_, column)| column).collect();
        table.indexes.push(Index { columns, predicate: None });
    }
    let mut indexes = connection.prepare_cached(
        "SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL ORDER BY name",
    )?;
    let mut rows = indexes.query([name])?;
    while let Some(row) = rows.next()? {
        let definition: String = row.get(0)?;
        table.indexes.extend(Index::parse(&definition));
    }
    Ok(Some(table))
}

fn find_origin(connection: &Connection) -> rusqlite::Result<Origin> {
    let has = |name: &str| -> rusqlite::Result<bool> {
        connection
            .prepare_cached(
                "SELECT count(*) > 0 FROM sqlite_schema WHERE type IN ('table', 'view') AND name = ?1",
            )?
            .query_row([name], |row| row.get(0))
    };
    if has("sagactl_schema")? {
        let version = connection
            .query_row("SELECT version FROM sagactl_schema WHERE singleton = 1", [], |row| row.get(0))
            .optional()?;
        if let Some(version) = version {
            return Ok(Origin::Sagactl { version });
        }
    }
    if has("db_metadata")? {
        let versions = connection
            .query_row("SELECT version, target_version FROM db_metadata LIMIT 1", [], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
            })
            .optional();
        // A table of that name need not have these columns; then it says nothing to us.
        if let Ok(Some((version, target_version))) = versions {
            return Ok(Origin::Nexus { version, target_version });
        }
    }
    Ok(Origin::Unnamed)
}
