//! Many sagas at once, from the database or from a coordinator's memory: listed, counted, searched, timed.
//!
//! ```text
//!   filter.rs   which are wanted (pure)
//!   walk.rs     the way through the database: which index, page by page
//!   list.rs     newest first, with everything that a row shows
//!   count.rs    how many of each kind, and what their logs add up to
//!   find.rs     which mention an object
//!   slow.rs     what takes long
//! ```
//!
//! All of it streams: a caller asks for the next part until there is none, so that it can print, show progress or stop at any
//! moment, and memory does not grow with the history.

pub mod count;
pub mod filter;
pub mod find;
pub mod list;
pub mod slow;
mod walk;

use crate::saga_log::action_error;
use crate::saga_log::node_names::NodeNames;
use crate::saga_log::record::SagaRecord;
use crate::saga_log::summary::{self, LogTotals};
use crate::store::inspect::error::InspectError;
use crate::store::inspect::logs::Failure;
use crate::wire::field::Field;
use crate::wire::ids::SagaId;
use crate::wire::overview::{FailedNode, ListedSaga};
use crate::wire::sagas::{Outcome, Saga, SagaErrorInfo, SagaState};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, HashMap};

pub use walk::FREE_SCAN;

/// Failures by saga, newest first within each.
type Failures = HashMap<SagaId, Vec<Failure>>;

/// A saga for people and programs that read what a command writes: what is not there and what cannot be read is null;
/// `unreadable` tells the two apart, and is there only if needed.
pub struct Row<'s>(pub &'s ListedSaga);

/// Why a question about sagas has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SagasError {
    /// The database could not be read.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// No saga has ever had such a name.
    #[error("no saga is named {asked}; known names: {}", known.join(", "))]
    UnknownName {
        /// As it was asked for.
        asked: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Everything would have to be read, which is much, and nobody said that it may be.
    #[error("{source_name} has no index for this, and more than {FREE_SCAN} sagas")]
    NeedsScan {
        /// The database.
        source_name: String,
    },
    /// The database does not say who is gone.
    #[error(
        "{source_name} has neither a table sec nor a table db_metadata_nexus, so nobody knows which owners are gone"
    )]
    NoOwners {
        /// The database.
        source_name: String,
    },
}

impl ListedSaga {
    fn new(
        saga: SagaRecord,
        totals: &LogTotals,
        nodes_total: Option<u64>,
        failures: &[Failure],
        dag: Option<&Field<String>>,
    ) -> Self {
        let outcome = summary::outcome(&saga.state, totals.worst());
        let SagaRecord {
            id: saga_id,
            creator: _,
            time_created: created,
            name,
            state,
            current_sec,
            adopt_generation: _,
            adopt_time: _,
            abandon_time: _,
            abandon_reason: _,
            abandon_comment: _,
        } = saga;
        let (failed, undo_failed) = failed_nodes(failures, dag);
        Self {
            saga_id,
            name,
            state,
            outcome,
            current_sec,
            created,
            last_event: totals.last_event.clone(),
            nodes_done: Some(totals.succeeded),
            nodes_total,
            failed,
            undo_failed,
        }
    }

    /// A saga as a coordinator has it in memory, which is less: it tells neither times nor names.
    pub fn of_memory(saga: Saga) -> Self {
        let word = |text: &str| Field::Value(text.to_owned());
        let (state, outcome, failed, undo_failed) = match saga.state {
            SagaState::Running => (word("running"), None, None, None),
            SagaState::Succeeded => (Field::NoColumn, Some(Outcome::Succeeded), None, None),
            SagaState::Failed { error_node_name, error_info } => {
                let failed = FailedNode { node: error_node_name, error: Some(info_in_words(error_info)) };
                (Field::NoColumn, Some(Outcome::Failed), Some(failed), None)
            }
            SagaState::Stuck { error_node_name, error_info, undo_error_node_name, undo_source_error } => {
                let failed = FailedNode { node: error_node_name, error: Some(info_in_words(error_info)) };
                let error = action_error::in_words(&undo_source_error.to_string());
                let undo_failed = FailedNode { node: undo_error_node_name, error: Some(error) };
                (Field::NoColumn, Some(Outcome::Stuck), Some(failed), Some(undo_failed))
            }
        };
        Self {
            saga_id: saga.id,
            name: Field::NoColumn,
            state,
            outcome,
            current_sec: Field::NoColumn,
            created: Field::NoColumn,
            last_event: Field::NoColumn,
            nodes_done: None,
            nodes_total: None,
            failed,
            undo_failed,
        }
    }

    /// Fields whose stored value cannot be read, with what is stored instead.
    pub fn unreadable(&self) -> BTreeMap<&'static str, &str> {
        [
            ("name", raw(&self.name)),
            ("state", raw(&self.state)),
            ("current_sec", raw(&self.current_sec)),
            ("created", raw(&self.created)),
            ("last_event", raw(&self.last_event)),
        ]
        .into_iter()
        .filter_map(|(field, raw)| Some((field, raw?)))
        .collect()
    }
}

fn raw<T>(field: &Field<T>) -> Option<&str> {
    match field {
        Field::Unreadable { raw, reason: _ } => Some(raw),
        _ => None,
    }
}

/// The node that failed first, and the undo action that failed.
fn failed_nodes(
    failures: &[Failure],
    dag: Option<&Field<String>>,
) -> (Option<FailedNode>, Option<FailedNode>) {
    if failures.is_empty() {
        return (None, None);
    }
    let names = dag.and_then(Field::value).map(|dag| NodeNames::of_dag(dag)).unwrap_or_default();
    // Newest first, so the first failure of the saga is the last of these.
    let find = |is_undo| failures.iter().rev().find(|failure| failure.is_undo == is_undo);
    let describe = |failure: &Failure| FailedNode {
        node: failure.node_id.value().map_or_else(|| "?".to_owned(), |node_id| names.name(*node_id)),
        error: failure.data.value().map(|data| action_error::in_words(data)),
    };
    (find(false).map(describe), find(true).map(describe))
}

fn info_in_words(info: SagaErrorInfo) -> String {
    let text = |error: serde_json::Value| action_error::in_words(&error.to_string());
    match info {
        SagaErrorInfo::ActionFailed { source_error } => text(source_error),
        SagaErrorInfo::InjectedError => "injected error".to_owned(),
        SagaErrorInfo::DeserializeFailed { message } => format!("cannot read what is stored: {message}"),
        SagaErrorInfo::SerializeFailed { message } => format!("cannot write the result down: {message}"),
        SagaErrorInfo::SubsagaCreateFailed { message } => format!("cannot make the subsaga: {message}"),
    }
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(saga) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("saga_id", &saga.saga_id)?;
        map.serialize_entry("name", &saga.name.value())?;
        map.serialize_entry("state", &saga.state.value())?;
        map.serialize_entry("outcome", &saga.outcome)?;
        map.serialize_entry("current_sec", &saga.current_sec.value())?;
        map.serialize_entry("created", &saga.created.value())?;
        map.serialize_entry("last_event", &saga.last_event.value())?;
        map.serialize_entry("nodes_done", &saga.nodes_done)?;
        map.serialize_entry("nodes_total", &saga.nodes_total)?;
        let node = |failed: &Option<FailedNode>| failed.as_ref().map(|failed| failed.node.clone());
        let error = |failed: &Option<FailedNode>| failed.as_ref().and_then(|failed| failed.error.clone());
        map.serialize_entry("failed_node", &node(&saga.failed))?;
        map.serialize_entry("error", &error(&saga.failed))?;
        map.serialize_entry("undo_failed_node", &node(&saga.undo_failed))?;
        map.serialize_entry("undo_error", &error(&saga.undo_failed))?;
        let unreadable = saga.unreadable();
        if !unreadable.is_empty() {
            map.serialize_entry("unreadable", &unreadable)?;
        }
        map.end()
    }
}
