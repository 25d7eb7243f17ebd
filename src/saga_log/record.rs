//! A saga's rows as they are in *any* database of this shape, ours or a Nexus of any year, whole or damaged.
//!
//! Coordinators load sagas strictly (`store::sagas`). The tool is used when things are broken: here every column may be
//! missing from the schema, NULL where it should not be, or unreadable, and each of these is a fact to be shown, not an
//! error that hides the rest of the row.

use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::Time;
use uuid::{Uuid, uuid};

use crate::wire::field::Field;

const OPERATORS_ID: Uuid = uuid!("aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa");

/// Who is said to have written an event that an operator put into a log: no SEC has this id. Nexus's tool uses the same.
pub const OPERATOR: SecId = SecId::from_uuid(OPERATORS_ID);

/// A row of `saga`.
#[derive(Clone, Debug, PartialEq)]
pub struct SagaRecord {
    /// Its id.
    pub id: SagaId,
    /// Who made it.
    pub creator: Field<SecId>,
    /// When it was made.
    pub time_created: Field<Time>,
    /// Its kind.
    pub name: Field<String>,
    /// Its cached state, as the text that is stored.
    pub state: Field<String>,
    /// Its owner.
    pub current_sec: Field<SecId>,
    /// 1 at creation, raised by each re-assignment.
    pub adopt_generation: Field<i64>,
    /// When the owner adopted it.
    pub adopt_time: Field<Time>,
    /// When it was abandoned.
    pub abandon_time: Field<Time>,
    /// Why it was abandoned: a word of an enum.
    pub abandon_reason: Field<String>,
    /// What was written down when it was abandoned.
    pub abandon_comment: Field<String>,
}

/// A row of `saga_node_event`.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// The node. As wide as the column, because a damaged row may hold anything.
    pub node_id: i64,
    /// `started`, `succeeded`, `failed`, `undo_started`, `undo_finished`, `undo_failed`, or something else.
    pub event_type: String,
    /// JSON text. SQL NULL and the JSON value null (the text `null`) are two things.
    pub data: Field<String>,
    /// The writer's clock; never decides anything.
    pub time: Field<Time>,
    /// The SEC that wrote it.
    pub creator: Field<SecId>,
}

/// One saga with all that is stored of it. The row, the DAG or the log may be missing.
#[derive(Clone, Debug, PartialEq)]
pub struct SagaRecords {
    /// Its id.
    pub id: SagaId,
    /// Its row, unless only events are left.
    pub saga: Option<SagaRecord>,
    /// Its DAG as stored, JSON text; [`Field::NoColumn`] if there is no row.
    pub dag: Field<String>,
    /// Its log, in no meaningful order.
    pub events: Vec<EventRecord>,
}
