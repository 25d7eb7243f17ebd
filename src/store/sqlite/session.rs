//! One connection's transactions, and applying writes inside them.

use super::refusal::classify;
use super::statement::{bind, prepare};
use crate::store::error::{Refusal, Rule};
use crate::store::sql::Statement;
use crate::store::{Applied, Hold, Write};
use rusqlite::{Connection, Error, ErrorCode};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::thread;
use std::time::Duration;

/// How long to let go of the lock queue when somebody else has held the database for all of the busy timeout.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Writing cannot go on.
pub(super) enum Fatal {
    /// SQLite failed.
    Sqlite {
        /// What was being done, as in "cannot … database PATH".
        doing: &'static str,
        /// Why it failed.
        error: Error,
    },
    /// A statement of ours did what it must never do, or must not do any more; this says what.
    Misbehaved(String),
}

impl Fatal {
    fn writing(error: Error) -> Self {
        Self::Sqlite { doing: "write to", error }
    }
}

/// A connection with its prepared statements.
///
/// All statements that were ever used stay prepared: their texts are part of the program, so there is an end to them.
/// For the same reason the address of a text tells it apart, without reading it.
pub(super) struct Session<'c> {
    connection: &'c Connection,
    log: &'c slog::Logger,
    prepared: HashMap<(*const u8, usize), rusqlite::Statement<'c>>,
    /// What was found to be held in this transaction, and cannot have changed since.
    held: HashSet<Hold>,
    begin: rusqlite::Statement<'c>,
    commit: rusqlite::Statement<'c>,
    save: rusqlite::Statement<'c>,
    roll_back: rusqlite::Statement<'c>,
    release: rusqlite::Statement<'c>,
}

impl<'c> Session<'c> {
    /// Prepares what every transaction needs.
    pub(super) fn new(connection: &'c Connection, log: &'c slog::Logger) -> Result<Self, Fatal> {
        let prepare = |sql| prepare(connection, sql).map_err(Fatal::writing);
        Ok(Self {
            connection,
            log,
            prepared: HashMap::new(),
            held: HashSet::new(),
            begin: prepare("BEGIN IMMEDIATE")?,
            commit: prepare("COMMIT")?,
            save: prepare("SAVEPOINT one_write")?,
            roll_back: prepare("ROLLBACK TO one_write")?,
            release: prepare("RELEASE one_write")?,
        })
    }

    /// Begins a transaction, however long somebody else holds the database.
    pub(super) fn begin(&mut self) -> Result<(), Fatal> {
        self.held.clear();
        loop {
            match self.begin.raw_execute() {
                Ok(_) => return Ok(()),
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                    slog::warn!(self.log, "another process keeps the database locked; waiting");
                    thread::sleep(BUSY_PAUSE);
                }
                Err(error) => return Err(Fatal::Sqlite { doing: "begin a transaction on", error }),
            }
        }
    }

    /// Makes everything since [`begin`](Self::begin) durable.
    pub(super) fn commit(&mut self) -> Result<(), Fatal> {
        self.commit.raw_execute().map_err(|error| Fatal::Sqlite { doing: "commit to", error })?;
        Ok(())
    }

    /// Applies all of a write's statements or none.
    pub(super) fn apply(&mut self, write: &Write) -> Result<Result<Applied, Refusal>, Fatal> {
        let applied = self.apply_as_held(write);
        if write.lane.is_none() {
            // It was no saga's own, so it may be what moves sagas.
            self.held.clear();
        }
        applied
    }

    fn apply_as_held(&mut self, write: &Write) -> Result<Result<Applied, Refusal>, Fatal> {
        if let Some(hold) = write.hold
            && !self.held.contains(&hold)
        {
            if let Err(refusal) = self.ask(&hold.statement())? {
                return Ok(Err(refusal));
            }
            self.held.insert(hold);
        }
        let statements = &write.statements;
        // SQLite undoes a single statement that it refuses by itself, and one that changed too few rows changed none, so
        // only several need a savepoint. It is not free: each page that is changed under one is copied first.
        if let [statement] = &statements[..] {
            return Ok(self.execute(statement)?.map(|rows| Applied { rows: vec![rows] }));
        }
        self.save.raw_execute().map_err(Fatal::writing)?;
        let mut rows = Vec::with_capacity(statements.len());
        for statement in statements {
            match self.execute(statement)? {
                Ok(changed) => rows.push(changed),
                Err(refusal) => {
                    self.roll_back.raw_execute().map_err(Fatal::writing)?;
                    self.release.raw_execute().map_err(Fatal::writing)?;
                    return Ok(Err(refusal));
                }
            }
        }
        self.release.raw_execute().map_err(Fatal::writing)?;
        Ok(Ok(Applied { rows }))
    }

    /// Asks a question that must find a row.
    fn ask(&mut self, question: &Statement) -> Result<Result<(), Refusal>, Fatal> {
        let prepared = self.prepared(question)?;
        let found = prepared.raw_query().next().map_err(Fatal::writing)?.is_some();
        Ok(match question.expect.otherwise() {
            Some(what) if !found => Err(row_count(what)),
            Some(_) | None => Ok(()),
        })
    }

    /// A statement that is prepared, with its values bound.
    fn prepared(&mut self, statement: &Statement) -> Result<&mut rusqlite::Statement<'c>, Fatal> {
        let prepared = match self.prepared.entry((statement.sql.as_ptr(), statement.sql.len())) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(prepare(self.connection, statement.sql).map_err(Fatal::writing)?)
            }
        };
        bind(prepared, &statement.params).map_err(Fatal::writing)?;
        Ok(prepared)
    }

    fn execute(&mut self, statement: &Statement) -> Result<Result<u64, Refusal>, Fatal> {
        let prepared = self.prepared(statement)?;
        let changed = match prepared.raw_execute() {
            Ok(changed) => changed as u64,
            Err(error) => {
                let refusal = classify(error).map_err(Fatal::writing)?;
                // A trigger or a conflict clause can end the whole transaction, everybody's writes with it.
                if self.connection.is_autocommit() {
                    return Err(Fatal::Misbehaved(format!(
                        "everybody's writes were undone by the refusal of one ({refusal}): {}",
                        statement.sql
                    )));
                }
                return Ok(Err(refusal));
            }
        };
        match statement.expect.otherwise() {
            Some(what) if changed == 0 => Ok(Err(row_count(what))),
            Some(_) if changed > 1 => Err(Fatal::Misbehaved(format!(
                "{changed} rows were changed by a statement that names one: {}",
                statement.sql
            ))),
            Some(_) | None => Ok(Ok(changed)),
        }
    }
}

fn row_count(what: &str) -> Refusal {
    Refusal { rule: Rule::RowCount, what: what.to_owned() }
}
