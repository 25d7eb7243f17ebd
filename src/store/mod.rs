//! The database: one trait, and everything that is asked of a database written once on top of it.
//!
//! # Layers
//!
//! ```text
//!   sagas.rs, domain/*.rs     typed questions and changes, SQL text written once
//!   sql.rs                    statements, values and rows
//!   Store (this file)         ordered writes that are committed together, and reads
//!   queue.rs                  what waits to be written
//!   sqlite/, postgres/, noop.rs    backends
//! ```
//!
//! Beside these stand [`inspect`], looking at any database of sagas, ours or not, whole or not, and [`amend`], changing
//! one by hand.
//!
//! # Writing: one queue, committed together
//!
//! All writes of a process go through one queue in the order in which they were handed over, and a backend commits
//! together whatever is waiting (group commit). Two things follow. The cost of making something durable is shared by
//! everybody who waits at that moment, so cost per saga falls as load rises. And what is in the database after a crash is
//! a *prefix* of what was handed over: no write is ever there without all that came before it.
//!
//! The second is what allows a saga to go on without waiting for each write (`Durability` in `coordinator::sagas` has the
//! argument). Such writes carry the saga as their [`Lane`]. If one that nobody waits for is refused, its lane is *derailed*:
//! later writes of the same lane are not applied, and whoever waits for one is told. Nothing of the saga after the refusal
//! reaches the database, so recovery can take it up from there. If it was refused because the saga is another SEC's by now,
//! the process ends.
//!
//! # Failing
//!
//! A refused write (a constraint) is an answer. Anything else that keeps the queue from being committed, a full disk for
//! example, ends the process through the handler given at opening: there is no way to go on that keeps the promises
//! above, and a coordinator is made to be restarted.

pub mod amend;
pub mod contents;
pub mod domain;
pub mod error;
pub mod inspect;
pub mod noop;
pub mod operations;
pub mod postgres;
mod queue;
pub mod sagas;
pub mod schema;
pub mod secs;
pub mod sql;
pub mod sqlite;
#[cfg(test)]
pub(crate) mod tests;

use async_trait::async_trait;
use error::StoreError;
use futures::future::BoxFuture;
use sql::{Row, Statement};
use std::fmt;
use std::sync::Arc;

use crate::wire::ids::{SagaId, SecId};

/// Writes of one lane stand or fall together; a lane is one saga in one lifetime of its SEC.
pub type Lane = SagaId;

/// Statements that are applied together or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// In this order.
    pub statements: Vec<Statement>,
    /// The saga that this is part of, if its writes may go unwaited-for.
    pub lane: Option<Lane>,
    /// The saga that must still be whose it was, if this is part of its log or its effect on other tables.
    pub hold: Option<Hold>,
}

/// What a SEC holds a saga by. A write that depends on it is refused as soon as the saga is somebody else's, and whoever
/// moves the saga waits for a write that is under way.
///
/// States need none: their own statements ask. Within a transaction backends ask once, and again only after a write that
/// could have moved the saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The saga.
    pub saga: SagaId,
    /// Its owner.
    pub sec: SecId,
    /// The generation that the owner has it in.
    pub generation: i64,
}

impl Hold {
    /// The question, which finds one row as long as the hold is good.
    fn statement(self) -> Statement {
        Statement::new(
            "SELECT 1 FROM saga WHERE id = $1 AND current_sec = $2 AND adopt_generation = $3 /*pg FOR SHARE OF saga*/",
            vec![self.saga.into(), self.sec.into(), self.generation.into()],
        )
        .changing_one(sagas::NOT_OURS)
    }
}

impl Write {
    /// A write of one statement.
    pub fn one(statement: Statement) -> Self {
        Self { statements: vec![statement], lane: None, hold: None }
    }

    /// A write of several statements, applied together or not at all.
    pub fn all(statements: Vec<Statement>) -> Self {
        Self { statements, lane: None, hold: None }
    }

    /// The same, as part of a saga's lane.
    pub fn in_lane(self, lane: Lane) -> Self {
        Self { lane: Some(lane), ..self }
    }

    /// The same, as long as a SEC holds its saga.
    pub fn held(self, hold: Option<Hold>) -> Self {
        Self { hold, ..self }
    }
}

/// What a write that was applied did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Rows changed, one number per statement.
    pub rows: Vec<u64>,
}

/// When a write's future resolves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// When it survives a power cut.
    Durable,
    /// When it is applied and its outcome known; durable together with, or before, everything handed over later.
    Applied,
}

/// A database that holds sagas.
///
/// Handing over is ordered by the moment of the *call*, not of the first poll, so a caller that makes two calls one after
/// the other has its writes in that order even if it awaits neither.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Hands a write over. The future tells its outcome and may be dropped; the write happens all the same.
    fn write(&self, write: Write, until: Until) -> BoxFuture<'static, Result<Applied, StoreError>>;

    /// Hands a write over that nobody waits for. It needs a lane, which is derailed if the write is refused.
    fn write_unwaited(&self, write: Write);

    /// Forgets a lane once its saga has left this process, derailed or not. Ordered like a write.
    fn close_lane(&self, lane: Lane);

    /// Reads what is durable, in one snapshot per call, on a connection that writes never hold up.
    async fn read(&self, statement: Statement) -> Result<Vec<Row>, StoreError>;

    /// `sqlite`, `postgresql` or `noop`.
    fn kind(&self) -> &'static str;

    /// Where it is, without passwords.
    fn url(&self) -> String;
}

/// A store that many can hold.
pub type SharedStore = Arc<dyn Store>;

/// Told when the write queue can no longer be committed, with a reason for people. Must not return: whatever is in flight
/// has to be treated as not having happened.
pub type FatalHandler = Arc<dyn Fn(&str) -> std::convert::Infallible + Send + Sync>;

/// Picks the text for a backend, for the few questions that cannot be asked alike.
fn sqlite_or_postgres(store: &dyn Store, sqlite: &'static str, postgres: &'static str) -> &'static str {
    if store.kind() == "postgresql" { postgres } else { sqlite }
}
