//! Changing sagas by hand, in any database of sagas, ours or a Nexus's of any year.
//!
//! The rest of `store` writes as a SEC, under that SEC's fence, and knows the schema that it was written for. An operator
//! writes under nobody's fence and to databases of other years and programs. What takes the fence's place is what the
//! operator *saw*: a change is one transaction that begins with finding the saga as it was when the change was planned
//! (its state, its owner, its generation, the length of its log), and does nothing at all if it has changed since. So of two
//! operators who plan at the same time one wins, and the other is told.
//!
//! ```text
//!   lock the row, as it was seen ──> count its log ──> change the row ──> add events ──> commit
//!          └────────────────────────────┴── not so any more: roll back, nothing happened
//! ```
//!
//! The row is locked by a statement of its own, before the log is counted: a statement that had to wait for the lock would
//! still count what was there when it began.
//!
//! # Whoever runs the saga meanwhile
//!
//! A change in a database of ours raises the saga's `adopt_generation`, whatever else it does. A SEC that has the saga in
//! memory, because it was started in the very moment after it was found dead, holds it by the old generation; its next write
//! for the saga is refused, and it ends and recovers what is there then. A Nexus does not look at the generation, so
//! there its rows are left as they are.
//!
//! # A lost answer
//!
//! If the connection breaks while the commit is under way, nobody knows whether it happened. [`settle`] waits until the
//! server has made up its mind, after which reading the rows again tells.

mod postgres;
mod sqlite;
mod steps;

use super::inspect::{Inspector, Place};
use super::operations::DatabaseOperation;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::Time;
use serde::Serialize;
use std::time::Duration;
pub use steps::Capability;
use steps::Step;

/// What a saga was like when its change was planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Which one.
    #[serde(skip)]
    pub id: SagaId,
    /// Its stored state.
    pub state: String,
    /// Its owner.
    pub current_sec: Option<SecId>,
    /// The generation that the owner had it in.
    pub adopt_generation: i64,
    /// How many events its log had. Logs only grow, so as many are the same ones.
    pub events: u64,
}

/// What is done to a saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is given up. The metadata are written wherever the database has columns for them.
    Abandon {
        /// When.
        time: Time,
        /// What is written down.
        comment: String,
    },
    /// Nodes get the event that their action failed.
    InjectErrors {
        /// The nodes.
        nodes: Vec<i64>,
        /// The error, JSON.
        error: String,
        /// When.
        time: Time,
        /// Who is said to have written the events.
        creator: SecId,
    },
}

impl Change {
    /// The operation that it is, which says that it is not made a second time: it is looked at instead ([`settle`]).
    pub const fn operation(&self) -> DatabaseOperation {
        match self {
            Self::Abandon { .. } => DatabaseOperation::Abandon,
            Self::InjectErrors { .. } => DatabaseOperation::InjectErrors,
        }
    }
}

/// Sagas that get another owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// Their new owner, which must be in service at that moment wherever the database keeps a registry.
    pub to: SecId,
    /// When.
    pub time: Time,
    /// Each with the owner and the generation that it was seen with. Those that differ by then, or have come to rest, are
    /// left alone; the others are moved together.
    pub sagas: Vec<(SagaId, Option<SecId>, i64)>,
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amended {
    /// It is committed.
    Applied,
    /// Nothing happened: it was not as it had been seen.
    NotAsSeen,
}

/// A change that failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AmendError {
    /// Nothing happened; trying again may help.
    #[error("{0}")]
    Unavailable(String),
    /// Nothing happened: the database does not allow it.
    #[error("{0}")]
    Refused(String),
    /// The answer to the commit was lost. It may have happened.
    #[error("{0}")]
    InDoubt(String),
}

/// Makes a change to one saga, if that is as it was seen.
///
/// # Errors
///
/// See [`AmendError`]. What the database cannot express is [`AmendError::Refused`]; ask [`Capability`] before.
pub async fn change(
    inspector: &Inspector,
    seen: &Seen,
    change: &Change,
    limit: Duration,
) -> Result<Amended, AmendError> {
    let steps = steps::of_change(inspector.describe(), seen, change)?;
    run(inspector, steps, limit).await
}

/// Moves sagas to another owner.
///
/// # Errors
///
/// See [`AmendError`].
pub async fn reassign(
    inspector: &Inspector,
    reassignment: &Reassignment,
    limit: Duration,
) -> Result<Amended, AmendError> {
    let steps = steps::of_reassignment(inspector.describe(), reassignment);
    run(inspector, steps, limit).await
}

/// Waits until no change of a saga is under way any more, after a commit whose answer was lost.
///
/// # Errors
///
/// If the database does not answer in time.
pub async fn settle(inspector: &Inspector, saga: SagaId, limit: Duration) -> Result<(), AmendError> {
    let steps = steps::of_settling(inspector.describe(), saga);
    run(inspector, steps, limit).await.map(drop)
}

async fn run(inspector: &Inspector, steps: Vec<Step>, limit: Duration) -> Result<Amended, AmendError> {
    match inspector.place() {
        Place::File(path) => {
            let ours = inspector.describe().is_ours();
            let writing = tokio::task::spawn_blocking(move || sqlite::run(&path, &steps, ours, limit));
            writing.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        }
        Place::Server(target) => postgres::run(&target, &steps, limit).await,
    }
}
