//! Sagas: as `/sagas` shows them, and the vocabulary of the database's columns.

use super::ids::{DemoSagaId, SagaId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A saga in a coordinator's memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Saga {
    /// Its id.
    pub id: SagaId,
    /// How it is doing.
    pub state: SagaState,
}

/// How a saga in memory is doing. Ready, running and unwinding all read `running`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SagaState {
    /// Not at rest yet.
    Running,
    /// Came to rest with all its effects.
    Succeeded,
    /// An action failed and everything before it was undone.
    Failed {
        /// The node that failed.
        error_node_name: String,
        /// Why.
        error_info: SagaErrorInfo,
    },
    /// An action failed, and then an undo action failed: a person must look.
    Stuck {
        /// The node that failed.
        error_node_name: String,
        /// Why.
        error_info: SagaErrorInfo,
        /// The node whose undo action failed.
        undo_error_node_name: String,
        /// Why.
        undo_source_error: serde_json::Value,
    },
}

/// Why a node failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum SagaErrorInfo {
    /// The action itself said so.
    ActionFailed {
        /// What it said.
        source_error: serde_json::Value,
    },
    /// Something stored could not be read.
    DeserializeFailed {
        /// Why.
        message: String,
    },
    /// Somebody asked for it.
    InjectedError,
    /// A result could not be written down.
    SerializeFailed {
        /// Why.
        message: String,
    },
    /// A subsaga could not be made.
    SubsagaCreateFailed {
        /// Why.
        message: String,
    },
}

/// Answer of `POST /demo-saga`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DemoSaga {
    /// The saga.
    pub saga_id: SagaId,
    /// What to complete it with; not the saga's id.
    pub demo_saga_id: DemoSagaId,
}

impl DemoSaga {
    /// The demo saga of this id on a coordinator of ours. The saga's id follows from it, so that whoever has named the one
    /// can look for the other. Both have the same time in front, as ids made together should.
    pub fn of(demo_saga_id: DemoSagaId) -> Self {
        let own = demo_saga_id.as_uuid();
        let mut bytes = *own.as_bytes();
        bytes[8..].copy_from_slice(&Uuid::new_v5(&own, b"saga").as_bytes()[8..]);
        Self { saga_id: SagaId::from_uuid(Uuid::from_bytes(bytes)), demo_saga_id }
    }
}

/// Body of `POST /sagas/{saga_id}/inject-error`. Ours only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InjectErrorRequest {
    /// The node that is to fail.
    pub node_id: u32,
}

/// Answer of `POST /sagas/{saga_id}/inject-error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InjectedError {
    /// The node that fails.
    pub node_id: u32,
    /// When.
    pub takes_effect: TakesEffect,
}

/// When a node fails that was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TakesEffect {
    /// Its action was under way and has been cut off.
    Now,
    /// Its action has not begun, and will not: it fails when its turn comes. The coordinator keeps that in memory only, so a
    /// restart before then forgets it.
    WhenItBegins,
    /// It has failed by such a request before.
    Already,
}

/// Column `saga.saga_state`. A cache: the log decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CachedState {
    /// Going forward.
    Running,
    /// Undoing.
    Unwinding,
    /// At rest: succeeded, failed or stuck.
    Done,
    /// Given up by an operator or by policy.
    Abandoned,
}

impl CachedState {
    /// The text in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Unwinding => "unwinding",
            Self::Done => "done",
            Self::Abandoned => "abandoned",
        }
    }
}

impl fmt::Display for CachedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not one of the states.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown saga state {0:?}; known states: running, unwinding, done, abandoned")]
pub struct UnknownState(pub String);

impl FromStr for CachedState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Ok(match text {
            "running" => Self::Running,
            "unwinding" => Self::Unwinding,
            "done" => Self::Done,
            "abandoned" => Self::Abandoned,
            other => return Err(UnknownState(other.to_owned())),
        })
    }
}

/// How a saga ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With all its effects.
    Succeeded,
    /// An action failed, and all that had been done was undone.
    Failed,
    /// An action failed, and then an undo action failed: a person must look.
    Stuck,
    /// It is at rest, and there is no log to tell how it got there.
    Unknown,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Succeeded, Self::Failed, Self::Stuck, Self::Unknown];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stuck => "stuck",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not one of the outcomes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown outcome {0:?}; known outcomes: succeeded, failed, stuck, unknown")]
pub struct UnknownOutcome(String);

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, UnknownOutcome> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or_else(|| UnknownOutcome(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_sagas_ids_belong_together_and_differ() {
        let one = DemoSagaId::random();
        let saga = DemoSaga::of(one);
        assert_eq!(saga, DemoSaga::of(one));
        assert_ne!(saga.saga_id.as_uuid(), one.as_uuid());
        assert_eq!(saga.saga_id.as_uuid().get_version_num(), 7);
        assert_eq!(saga.saga_id.as_uuid().as_bytes()[..8], one.as_uuid().as_bytes()[..8]);
        assert_ne!(DemoSaga::of(DemoSagaId::random()).saga_id, saga.saga_id);
    }
}
