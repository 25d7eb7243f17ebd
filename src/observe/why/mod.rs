//! One saga: what it is doing, where it hangs, whose it is, what to do.
//!
//! ```text
//!   database: row, DAG, log ──> Reading ──┐
//!   database: the owner's row ────────────┤
//!   owner: does it answer, who is it,     ├──> judge (pure) ──> Why ──> render, JSON
//!          does it have the saga,         │
//!          what did its recovery do ──────┘
//! ```
//!
//! [`ask`] gathers, [`judge`] decides; neither does the other's work. What could not be had is a fact like any other: with the
//! database alone there is still a verdict, only with less behind it.

pub mod ask;
mod evidence;
pub mod judge;
pub(crate) mod remedy;
#[cfg(test)]
mod tests;

use crate::saga_log::Direction;
use crate::saga_log::legality::{Judgement, NodeRef};
use crate::store::inspect::saga::SecLookup;
use crate::wire::field::Field;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::recovery::RecoveryFailure;
use crate::wire::sagas::Outcome;
use crate::wire::time::Time;
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// What a saga is doing, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// An action is under way.
    Running,
    /// Something is tried again after it failed.
    Retrying,
    /// Nothing is under way, and nothing is in the way.
    BetweenNodes,
    /// It is being undone.
    Unwinding,
    /// Its owner lives and will take it up at its next recovery pass.
    WaitingForRecovery,
    /// Its owner does not answer. It goes on when the owner is back.
    OwnerDead,
    /// Its owner is gone for good, or it has none. Somebody else must adopt it.
    OwnerGone,
    /// Its owner lives, has had its chance to recover it, and does not have it.
    Phantom,
    /// Its log or its DAG cannot be resumed.
    Unrecoverable,
    /// An undo action failed, and there it ended.
    Stuck,
    /// An action failed, and everything before it was undone.
    Failed,
    /// Somebody gave it up.
    Abandoned,
    /// It came to its end.
    Succeeded,
}

impl Verdict {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::BetweenNodes => "between-nodes",
            Self::Unwinding => "unwinding",
            Self::WaitingForRecovery => "waiting-for-recovery",
            Self::OwnerDead => "owner-dead",
            Self::OwnerGone => "owner-gone",
            Self::Phantom => "phantom",
            Self::Unrecoverable => "unrecoverable",
            Self::Stuck => "stuck",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
            Self::Succeeded => "succeeded",
        }
    }

    /// Whether a person has to do something about it, as opposed to waiting or knowing.
    pub const fn needs_a_person(self) -> bool {
        matches!(self, Self::OwnerDead | Self::OwnerGone | Self::Phantom | Self::Unrecoverable | Self::Stuck)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Why {
    /// The saga.
    pub saga_id: SagaId,
    /// Its kind.
    pub name: Option<String>,
    /// What it is doing.
    pub verdict: Verdict,
    /// The node that it is about, with the names of the subsagas it lies in.
    pub node: Option<String>,
    /// The same node's number.
    pub node_id: Option<i64>,
    /// Since when it has been where it is.
    pub since: Option<Time>,
    /// Whose it is.
    pub owner: Owner,
    /// Its stored state, which may lag.
    pub state: Option<String>,
    /// Which way it goes, by its log.
    pub direction: Direction,
    /// How it ended, by its log.
    pub outcome: Option<Outcome>,
    /// When its log last grew.
    pub last_event: Option<Time>,
    /// How often what is being retried was tried; more is not known.
    pub attempts: Option<u64>,
    /// How that failed last.
    pub last_error: Option<String>,
    /// The action that failed, the first if there are several.
    pub failed: Option<FailedStep>,
    /// The undo action that failed.
    pub undo_failed: Option<FailedStep>,
    /// When the owner's next recovery pass is due.
    pub next_pass: Option<Time>,
    /// Whether some run could have written the log.
    pub legal: Judgement,
    /// Whether the owner's engine takes the log up again.
    pub resumable: Judgement,
    /// What the verdict rests on, and what else one should know.
    pub evidence: Vec<Evidence>,
    /// What an operator can do.
    pub next: Vec<String>,
}

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// What it is about.
    pub about: About,
    /// The fact. It may hold text from the database or the coordinator.
    pub text: String,
    /// When that was.
    pub time: Option<Time>,
}

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// Whose the saga is.
    Owner,
    /// What the owner has in memory.
    Memory,
    /// What the owner's recovery did about it.
    Recovery,
    /// Its stored state.
    State,
    /// Where its log stands.
    Log,
    /// What failed.
    Failure,
    /// What ran more than once, or under several owners.
    Repeated,
    /// What comes next.
    Next,
    /// What is left behind.
    Left,
    /// Rules that are broken.
    Rule,
    /// Whatever else is odd.
    Oddity,
}

/// Whose a saga is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Owner {
    /// The SEC.
    pub sec_id: Option<SecId>,
    /// How it is.
    pub liveness: Liveness,
    /// Where it was asked.
    pub address: Option<String>,
    /// When it last said that it is there.
    pub heartbeat: Option<Time>,
    /// How often the saga has changed hands, and one.
    pub generation: Option<i64>,
}

/// Whether an owner lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Liveness {
    /// It answers.
    Alive,
    /// It does not, and nothing says that it is only far away.
    Dead,
    /// It has been expunged, or is not among those that there are.
    Gone,
    /// Nobody knows.
    Unknown,
    /// It was not looked at, since the saga has come to its end.
    NotAsked,
}

/// An action or undo action that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedStep {
    /// The node, with its number.
    #[serde(flatten)]
    pub node: NodeRef,
    /// The error in words; `None` if it was not recorded.
    pub error: Option<String>,
    /// When.
    pub time: Option<Time>,
}

/// What is known of a saga's owner.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnerFacts {
    /// What the database says of it; `None` if the saga names no owner, or it was not asked.
    pub registry: Option<SecLookup>,
    /// Whether it answers.
    pub contact: Contact,
    /// Whether it has the saga.
    pub memory: Memory,
    /// What its recovery did.
    pub recovery: Option<RecoveryFacts>,
    /// What it says of an action that it tries again and again. No coordinator tells this so far.
    pub retry: Option<RetryFacts>,
    /// Which engine it runs.
    pub engine: EngineKind,
}

/// Which engine runs a database's sagas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// This program's, steno 0.5.
    Ours,
    /// A Nexus's, steno 0.4.
    Nexus,
}

/// Whether an owner answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contact {
    /// It was not asked, for this reason.
    NotAsked(String),
    /// It answers.
    Answers {
        /// Where.
        at: String,
        /// Whether it said who it is. A Nexus does not.
        is_sure: bool,
        /// When its process started.
        process_started: Option<Time>,
    },
    /// Somebody else answers where it should be.
    SomebodyElse {
        /// Where.
        at: String,
        /// Who.
        sec_id: SecId,
    },
    /// Nobody does.
    Silent {
        /// Where.
        at: String,
        /// What came instead.
        reason: String,
        /// Whether that means that there is no such process, and not only that it cannot be reached from here.
        is_conclusive: bool,
    },
}

/// Whether an owner has a saga in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Memory {
    /// It was not asked, or did not say, for this reason.
    NotTold(String),
    /// It does not know it.
    Missing,
    /// It runs it.
    Running,
    /// It has seen it end, in this way.
    AtRest(String),
}

/// What an owner's recovery has to say.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveryFacts {
    /// Its latest attempt to recover this saga, if that failed.
    pub failure: Option<RecoveryFailure>,
    /// How many attempts on this saga failed, as far as its memory reaches.
    pub failures: u64,
    /// When it recovered this saga.
    pub recovered: Option<Time>,
    /// When its last complete pass began, if one has succeeded.
    pub last_success: Option<Time>,
    /// How its last pass failed, if it did.
    pub last_pass_failed: Option<String>,
    /// Since when a pass is under way.
    pub under_way: Option<Time>,
    /// Time between two passes.
    pub period: Duration,
    /// When the next is due.
    pub next_pass: Option<Time>,
}

/// Something that an owner tries again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryFacts {
    /// How often it was tried.
    pub attempts: u64,
    /// How it failed last.
    pub last_error: Option<String>,
}

impl OwnerFacts {
    /// Nothing, for a saga whose owner need not be asked.
    pub fn not_asked(registry: Option<SecLookup>, engine: EngineKind, why: &str) -> Self {
        Self {
            registry,
            contact: Contact::NotAsked(why.to_owned()),
            memory: Memory::NotTold(why.to_owned()),
            recovery: None,
            retry: None,
            engine,
        }
    }

    /// When the owner last said that it is there, as the database has it.
    pub fn heartbeat(&self) -> Option<Time> {
        match &self.registry {
            Some(SecLookup::Row(record)) => record.time_heartbeat.value().copied(),
            _ => None,
        }
    }

    /// Where the owner is, as the database has it.
    pub fn address(&self) -> Option<&str> {
        match &self.registry {
            Some(SecLookup::Row(record)) => match &record.internal_address {
                Field::Value(address) => Some(address),
                _ => None,
            },
            _ => None,
        }
    }
}
