//! What an operator may do to sagas by hand: give one up, make one fail, give some another owner.
//!
//! ```text
//!   rows, log, owner ──> plan (pure) ──> shown, consented to ──> one guarded transaction ──> rows again ──> report
//! ```
//!
//! Each of these is dangerous in its own way, and what makes them safe is alike: the owner must be down, so that nobody
//! runs the saga while it is changed under them; the plan names what will *not* be undone; the transaction does nothing unless
//! everything is as the plan saw it ([`store::amend`](crate::store::amend)); and what is told at the end is what was read
//! from the database after it, not what was meant to be written. Doing the same again says that it is already so.
//!
//! [`abandon`], [`inject`] and [`reassign`] decide, [`carry_out`](mod@carry_out) acts. The one change that needs no dead owner is an
//! error for a saga that is running: [`live`] has its owner make it.

pub mod abandon;
pub mod carry_out;
pub mod inject;
pub mod live;
mod owner;
pub mod reassign;
#[cfg(test)]
mod tests;

use crate::observe::why::Owner;
use crate::saga_log::Reading;
use crate::saga_log::legality::NodeRef;
use crate::saga_log::record::OPERATOR;
use crate::store::amend::{Change, Seen};
use crate::wire::field::Field;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::Time;
use serde::Serialize;

/// Whether a saga's owner must be known to be down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecCheck {
    /// It must.
    Required,
    /// The operator knows better.
    Bypassed,
}

/// What is to be done about one saga.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// This.
    Do(Box<Plan>),
    /// Nothing: it is already so, in these words.
    AlreadySo(String),
    /// Nothing: it must not be done.
    Refused(Refusal),
}

/// Why something must not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In words.
    pub reason: String,
    /// What would help.
    pub hint: Option<String>,
}

/// A change that is going to be made to one saga.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Which one.
    pub saga_id: SagaId,
    /// Its kind.
    pub name: Option<String>,
    /// What it must still be like.
    pub seen: Seen,
    /// Its owner.
    pub owner: Owner,
    /// When its log last grew.
    pub last_event: Option<Time>,
    /// What will be written.
    pub writes: Writes,
    /// Nodes that succeeded and will stay as they are.
    pub not_undone: Vec<NodeRef>,
    /// Nodes whose action, or undo action, was begun and is cut off: whatever it did stays.
    pub cut_off: Vec<NodeRef>,
    /// What one should know before one says yes.
    pub warnings: Vec<String>,
}

/// What is written about one saga.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Writes {
    /// It is abandoned.
    Abandon {
        /// When.
        time: Time,
        /// The word for why; `None` where the database has no place for it.
        reason: Option<&'static str>,
        /// What is written down; `None` likewise.
        comment: Option<String>,
    },
    /// Nodes are made to have failed.
    InjectError {
        /// Which.
        nodes: Vec<NodeRef>,
        /// The error in words.
        message: String,
        /// When.
        time: Time,
    },
    /// Nothing by us: the owner is told to make nodes fail, and writes what follows from that.
    #[serde(rename = "inject_error_live")]
    TellOwner {
        /// Which.
        nodes: Vec<NodeRef>,
        /// Where the owner answers.
        at: String,
    },
}

impl Plan {
    /// Where the owner is to be told, if it is the owner that carries this out.
    pub fn owner_address(&self) -> Option<&str> {
        match &self.writes {
            Writes::TellOwner { at, .. } => Some(at),
            Writes::Abandon { .. } | Writes::InjectError { .. } => None,
        }
    }

    /// The same for the store; `None` if it is the owner that is to do it.
    fn change(&self) -> Option<Change> {
        Some(match &self.writes {
            Writes::Abandon { time, comment, .. } => {
                Change::Abandon { time: *time, comment: comment.clone().unwrap_or_default() }
            }
            Writes::InjectError { nodes, message, time } => Change::InjectErrors {
                nodes: nodes.iter().map(|node| node.node_id).collect(),
                error: inject::error(message).to_string(),
                time: *time,
                creator: OPERATOR,
            },
            Writes::TellOwner { .. } => return None,
        })
    }
}

impl Refusal {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl From<Refusal> for Decision {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What a saga is like, if a change can be made to depend on it.
fn seen(reading: &Reading<'_>) -> Result<Seen, Refusal> {
    let id = reading.records.id;
    let Some(saga) = &reading.records.saga else {
        return Err(Refusal::new(format!(
            "saga {id} has no row, only events, so there is nothing to change"
        )));
    };
    let unreadable = |column: &str| {
        Refusal::new(format!(
            "column {column} of saga {id} cannot be read, so nobody could tell whether it has changed meanwhile"
        ))
    };
    let current_sec: Option<SecId> = match &saga.current_sec {
        Field::Value(owner) => Some(*owner),
        Field::Null => None,
        Field::NoColumn | Field::Unreadable { .. } => return Err(unreadable("current_sec")),
    };
    Ok(Seen {
        id,
        state: saga.state.value().cloned().ok_or_else(|| unreadable("saga_state"))?,
        current_sec,
        adopt_generation: *saga.adopt_generation.value().ok_or_else(|| unreadable("adopt_generation"))?,
        events: reading.records.events.len() as u64,
    })
}

fn name(reading: &Reading<'_>) -> Option<String> {
    reading.records.saga.as_ref()?.name.value().cloned()
}
