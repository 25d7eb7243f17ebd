//! What a watcher tells.

use crate::wire::bgtasks::ActivationReason;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::recovery::RecoveryFailureKind;
use crate::wire::time::Time;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One transition, with its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Counts up by one for as long as there is a state file. An event that is told again keeps its number.
    pub seq: u64,
    /// When it was noticed, which may be long after it happened.
    pub time: Time,
    /// What happened.
    #[serde(flatten)]
    pub transition: Transition,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Transition {
    /// A saga is there that was not.
    SagaStarted {
        /// Which.
        saga_id: SagaId,
        /// Its kind.
        name: Option<String>,
        /// Its owner.
        current_sec: Option<SecId>,
        /// When it was made.
        created: Option<Time>,
    },
    /// A saga came to rest.
    SagaFinished {
        /// Which.
        saga_id: SagaId,
        /// Its kind.
        name: Option<String>,
        /// Its owner.
        current_sec: Option<SecId>,
        /// How it ended.
        outcome: Ending,
        /// When its log last grew.
        last_event: Option<Time>,
    },
    /// A saga has another owner than was told last.
    SagaReassigned {
        /// Which.
        saga_id: SagaId,
        /// Its kind.
        name: Option<String>,
        /// The owner that was told last.
        from_sec: Option<SecId>,
        /// Its owner now.
        to_sec: Option<SecId>,
    },
    /// Recovery handed a saga to its SEC.
    SagaRecovered {
        /// Which.
        saga_id: SagaId,
        /// Its kind, as far as the report says.
        name: Option<String>,
        /// The SEC.
        sec_id: Option<SecId>,
        /// When.
        recovered: Time,
    },
    /// Recovery could not hand a saga to its SEC.
    RecoveryFailed {
        /// Which saga.
        saga_id: SagaId,
        /// The SEC.
        sec_id: Option<SecId>,
        /// Whether trying again can help.
        kind: Option<RecoveryFailureKind>,
        /// Why.
        message: String,
        /// When.
        failed: Time,
    },
    /// A recovery pass came to its end.
    PassCompleted {
        /// Whose.
        sec_id: Option<SecId>,
        /// Its number since the start of the process.
        iteration: u64,
        /// What caused it.
        reason: ActivationReason,
        /// When it began.
        time_started: Time,
        /// Whether it went through.
        completed: bool,
        /// Unfinished sagas of the SEC in the database.
        found: Option<u64>,
        /// Of these, recovered.
        recovered: Option<u64>,
        /// Of these, not recovered for a failure.
        failed: Option<u64>,
        /// Why it did not go through.
        message: Option<String>,
        /// Sagas recovered since the last look that the report does not name any more, because it keeps the last only. They
        /// have no event of their own.
        unlisted_recoveries: u64,
    },
    /// The process of a SEC started.
    SecStarted {
        /// Which.
        sec_id: SecId,
        /// When.
        time_started: Option<Time>,
    },
    /// A SEC is not there any more.
    SecGone {
        /// Which.
        sec_id: SecId,
        /// In what way.
        reason: Absence,
        /// When it was heard of last.
        time_heartbeat: Option<Time>,
    },
    /// A SEC that was gone is there again, in the same process.
    SecBack {
        /// Which.
        sec_id: SecId,
    },
    /// One of the two places where a watcher looks does not answer.
    ConnectionLost {
        /// Which.
        source: Source,
        /// Where it is.
        url: String,
        /// Why.
        reason: String,
    },
    /// It answers again.
    ConnectionRegained {
        /// Which.
        source: Source,
        /// Where it is.
        url: String,
        /// Since when it had not answered.
        lost: Time,
    },
}

/// How a saga came to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// With all its effects.
    Succeeded,
    /// An action failed, and everything before it was undone.
    Failed,
    /// An action failed, and then an undo action failed.
    Stuck,
    /// Somebody gave it up.
    Abandoned,
    /// It is at rest, and no log tells how it got there.
    Unknown,
    /// Its row is not in the database any more.
    Vanished,
}

/// In what way a SEC is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// It is in service and has not been heard of for some time.
    Silent,
    /// It is out of service for ever.
    Expunged,
    /// It is in no registry any more.
    Unregistered,
}

/// Where a watcher looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A coordinator's internal API.
    Api,
    /// The database.
    Database,
}

impl Ending {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stuck => "stuck",
            Self::Abandoned => "abandoned",
            Self::Unknown => "unknown",
            Self::Vanished => "vanished",
        }
    }
}

impl fmt::Display for Absence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "silent",
            Self::Expunged => "expunged",
            Self::Unregistered => "unregistered",
        })
    }
}

impl Transition {
    /// The word that stands for it in JSON.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::SagaStarted { .. } => "saga_started",
            Self::SagaFinished { .. } => "saga_finished",
            Self::SagaReassigned { .. } => "saga_reassigned",
            Self::SagaRecovered { .. } => "saga_recovered",
            Self::RecoveryFailed { .. } => "recovery_failed",
            Self::PassCompleted { .. } => "pass_completed",
            Self::SecStarted { .. } => "sec_started",
            Self::SecGone { .. } => "sec_gone",
            Self::SecBack { .. } => "sec_back",
            Self::ConnectionLost { .. } => "connection_lost",
            Self::ConnectionRegained { .. } => "connection_regained",
        }
    }

    /// The saga that it is about.
    pub const fn saga_id(&self) -> Option<SagaId> {
        match self {
            Self::SagaStarted { saga_id, .. }
            | Self::SagaFinished { saga_id, .. }
            | Self::SagaReassigned { saga_id, .. }
            | Self::SagaRecovered { saga_id, .. }
            | Self::RecoveryFailed { saga_id, .. } => Some(*saga_id),
            _ => None,
        }
    }

    /// The SEC that it is about.
    pub const fn sec_id(&self) -> Option<SecId> {
        match self {
            Self::SagaStarted { current_sec: sec, .. }
            | Self::SagaFinished { current_sec: sec, .. }
            | Self::SagaReassigned { to_sec: sec, .. }
            | Self::SagaRecovered { sec_id: sec, .. }
            | Self::RecoveryFailed { sec_id: sec, .. }
            | Self::PassCompleted { sec_id: sec, .. } => *sec,
            Self::SecStarted { sec_id, .. } | Self::SecGone { sec_id, .. } | Self::SecBack { sec_id } => {
                Some(*sec_id)
            }
            Self::ConnectionLost { .. } | Self::ConnectionRegained { .. } => None,
        }
    }
}
