//! `GET /overview` of our coordinator: who it is, what recovery did, and what the database says of its sagas. One request for
//! one look, by an operator who need not reach the database. A Nexus does not have it; the tool then asks for the parts, and the
//! database itself.

use super::bgtasks::BackgroundTask;
use super::field::Field;
use super::ids::{SagaId, SecId};
use super::info::Info;
use super::part::Part;
use super::sagas::Outcome;
use super::time::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A coordinator and its sagas at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Overview {
    /// Who the coordinator is and how it is doing.
    pub info: Info,
    /// Background task `saga_recovery`.
    pub task: BackgroundTask,
    /// What the database says.
    pub database: Part<DatabaseOverview>,
}

/// What a database says of sagas. Each part is bounded in rows, and in time, so each may be missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseOverview {
    /// Which database, in words.
    pub source: String,
    /// The sagas that the task's report says were recovered, as they are now. Those that have no row are not here.
    pub recovered: Part<Vec<SagaStanding>>,
    /// Sagas that failed or got stuck, latest failure first.
    pub failed: Part<Vec<ListedSaga>>,
    /// How many sagas there are of which kind.
    pub counts: Part<SagaCounts>,
}

/// What has become of a saga.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SagaStanding {
    /// Which one.
    pub saga_id: SagaId,
    /// Its kind.
    pub name: Field<String>,
    /// Its cached state, as the text that is stored.
    pub state: Field<String>,
    /// Its owner.
    pub current_sec: Field<SecId>,
}

/// A saga as a listing shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListedSaga {
    /// Its id.
    pub saga_id: SagaId,
    /// Its kind.
    pub name: Field<String>,
    /// Its state as stored, which may lag behind its log.
    pub state: Field<String>,
    /// How it ended, from its log; null if it has not.
    pub outcome: Option<Outcome>,
    /// Its owner.
    pub current_sec: Field<SecId>,
    /// When it was made.
    pub created: Field<Time>,
    /// When its log last grew; NULL if it is empty.
    pub last_event: Field<Time>,
    /// Nodes that succeeded, whether they were undone later or not.
    pub nodes_done: Option<u64>,
    /// All nodes; null if the DAG does not say.
    pub nodes_total: Option<u64>,
    /// What failed first, if anything did.
    pub failed: Option<FailedNode>,
    /// The undo action that failed, if one did.
    pub undo_failed: Option<FailedNode>,
}

/// A node that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedNode {
    /// Its name, or its number.
    pub node: String,
    /// The error in words; null if none was recorded, as a Nexus does with the errors of undo actions.
    pub error: Option<String>,
}

/// How many sagas there are of which kind, as far as that is had in no time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SagaCounts {
    /// Those that are neither done nor abandoned, by name and state.
    pub unfinished: CountedSagas,
    /// The newest, by name, state and outcome.
    pub newest: CountedSagas,
}

/// Groups, and whether they are all there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CountedSagas {
    /// Sagas in all groups together.
    pub counted: u64,
    /// Whether no saga was left out.
    pub complete: bool,
    /// The groups, the largest first.
    pub groups: Vec<SagaGroup>,
}

/// Sagas of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SagaGroup {
    /// Their name.
    pub name: Shared,
    /// Their state as stored.
    pub state: Shared,
    /// How they ended; null if they were not told apart by that.
    pub outcome: Option<Shared>,
    /// How many.
    pub count: u64,
}

/// What the sagas of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shared {
    /// This.
    Known(String),
    /// That there is none.
    Absent,
    /// That nobody knows.
    Unknown,
    /// Nothing: what came when there were too many groups.
    Other,
}
