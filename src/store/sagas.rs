//! Saga rows and their logs: what a SEC writes, what recovery and the tool read.
//!
//! # Fencing
//!
//! Every event and state write of a SEC is conditional on the saga still being its own: `current_sec` and
//! `adopt_generation` must be what the SEC adopted. A SEC whose saga was moved to another owner therefore cannot write a
//! thing, however late it wakes up. A state's condition is part of the statement; that of events and effects is a [`Hold`],
//! asked in the same transaction under a lock that lasts until the commit. So there is no moment between check and write.

use super::error::StoreError;
use super::sql::{Row, Statement, Value};
use super::{Hold, Store, Write};
use crate::wire::ids::{NodeId, SagaId, SecId};
use crate::wire::sagas::CachedState;
use crate::wire::time::Time;

/// What a SEC holds a saga by: the owner it was and the generation it saw when it adopted the saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The owner.
    pub sec: SecId,
    /// 1 at creation, raised by each re-assignment.
    pub generation: i64,
}

impl Ownership {
    /// What a write of this saga depends on.
    pub fn of(self, saga: SagaId) -> Hold {
        Hold { saga, sec: self.sec, generation: self.generation }
    }
}

/// A saga to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSaga {
    /// Its id.
    pub id: SagaId,
    /// Its creator and first owner.
    pub creator: SecId,
    /// When.
    pub time_created: Time,
    /// Its kind, for example `project-create`.
    pub name: String,
    /// Its DAG as JSON text.
    pub dag: String,
    /// The caller's key that makes a repeated request return this saga's result.
    pub idempotency: Option<IdempotencyKey>,
}

/// A caller's key for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// As the caller sent it.
    pub key: String,
    /// A digest of what was asked, so that a key used for something else is noticed.
    pub request_digest: String,
}

/// An event of a saga's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The saga.
    pub saga_id: SagaId,
    /// The node.
    pub node_id: NodeId,
    /// `started`, `succeeded`, `failed`, `undo_started`, `undo_finished`, `undo_failed`, or what a newer writer invented.
    pub event_type: String,
    /// JSON text; `None` is SQL NULL (the JSON value null is the text `null`).
    pub data: Option<String>,
    /// The writer's clock; never decides anything.
    pub time: Time,
    /// The SEC that wrote it.
    pub creator: SecId,
}

/// What recovery needs to resume a saga.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedSaga {
    /// Its id.
    pub id: SagaId,
    /// Its kind.
    pub name: String,
    /// Its DAG as JSON text.
    pub dag: String,
    /// Its cached state.
    pub state: CachedState,
    /// Its owner, as far as anybody owns it.
    pub current_sec: Option<SecId>,
    /// The generation to hold it by.
    pub generation: i64,
    /// Its whole log, in no meaningful order.
    pub events: Vec<Event>,
}

/// What is known of a saga without its DAG and log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SagaSummary {
    /// Its id.
    pub id: SagaId,
    /// Its kind.
    pub name: String,
    /// Its cached state, as the text that is stored: a newer writer may know more states.
    pub state: String,
    /// Its owner.
    pub current_sec: Option<SecId>,
    /// When it was made.
    pub time_created: Time,
}

/// Refusal text when a fenced write finds the saga under another owner or generation.
pub const NOT_OURS: &str = "the saga is not this SEC's any more";

/// The write that creates a saga, and with it, if there is a key, the record of the request that asked for it.
pub fn create(saga: NewSaga) -> Write {
    let mut statements = vec![Statement::new(
        "INSERT INTO saga (id, creator, time_created, name, saga_dag, saga_state, current_sec, adopt_generation, \
         adopt_time) VALUES ($1, $2, $3, $4, $5, 'running', $6, 1, $7)",
        vec![
            saga.id.into(),
            saga.creator.into(),
            saga.time_created.into(),
            saga.name.into(),
            Value::Json(saga.dag),
            saga.creator.into(),
            saga.time_created.into(),
        ],
    )];
    if let Some(idempotency) = saga.idempotency {
        statements.push(Statement::new(
            "INSERT INTO idempotency_key (key, request_digest, saga_id, time_created) VALUES ($1, $2, $3, $4)",
            vec![
                idempotency.key.into(),
                idempotency.request_digest.into(),
                saga.id.into(),
                saga.time_created.into(),
            ],
        ));
    }
    Write::all(statements).in_lane(saga.id)
}

/// The fenced write that adds an event to a log. Its fence is the write's [`Hold`], not in the statement.
///
/// The key is (saga, node, type), so a repeated write changes nothing. The same key with *other* data is refused like a
/// lost saga: a log never holds two versions of what happened.
pub fn record_event(owner: Ownership, event: Event) -> Write {
    let saga = event.saga_id;
    Write::one(
        Statement::new(
            "INSERT INTO saga_node_event (saga_id, node_id, event_type, data, event_time, creator) \
             VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (saga_id, node_id, event_type) DO UPDATE SET creator = saga_node_event.creator \
             WHERE saga_node_event.data IS NOT DISTINCT FROM excluded.data",
            vec![
                event.saga_id.into(),
                Value::Int(i64::from(event.node_id.0)),
                Value::Text(event.event_type),
                event.data.map_or(Value::Null, Value::Json),
                event.time.into(),
                owner.sec.into(),
            ],
        )
        .inserting_its_own(NOT_OURS),
    )
    .in_lane(saga)
    .held(Some(owner.of(saga)))
}

/// The fenced write that changes a saga's cached state. An abandoned saga stays abandoned.
pub fn update_state(owner: Ownership, id: SagaId, state: CachedState) -> Write {
    // One text per state, because an enum parameter would need a cast that SQLite cannot parse.
    let sql = match state {
        CachedState::Running => {
            "UPDATE saga SET saga_state = 'running' \
             WHERE id = $1 AND current_sec = $2 AND adopt_generation = $3 AND saga_state <> 'abandoned'"
        }
        CachedState::Unwinding => {
            "UPDATE saga SET saga_state = 'unwinding' \
             WHERE id = $1 AND current_sec = $2 AND adopt_generation = $3 AND saga_state <> 'abandoned'"
        }
        CachedState::Done => {
            "UPDATE saga SET saga_state = 'done' \
             WHERE id = $1 AND current_sec = $2 AND adopt_generation = $3 AND saga_state <> 'abandoned'"
        }
        // A SEC never abandons by this path; `abandon` writes the metadata that must go with it.
        CachedState::Abandoned => {
            unreachable!("abandoning writes its metadata too, see `abandon_unrecoverable`")
        }
    };
    Write::one(
        Statement::new(sql, vec![id.into(), owner.sec.into(), Value::Int(owner.generation)])
            .changing_one(NOT_OURS),
    )
    .in_lane(id)
}

/// The write that gives an unrecoverable saga up, in one statement because the state and its metadata stand or fall
/// together. Conditional on the owner; no row changed means that somebody else has taken care of it.
pub fn abandon_unrecoverable(owner: Ownership, id: SagaId, comment: &str, now: Time) -> Write {
    Write::one(Statement::new(
        "UPDATE saga SET saga_state = 'abandoned', abandon_time = $1, abandon_reason = 'unrecoverable', \
         abandon_comment = $2 \
         WHERE id = $3 AND current_sec = $4 AND adopt_generation = $5 AND saga_state IN ('running', 'unwinding')",
        vec![now.into(), comment.into(), id.into(), owner.sec.into(), Value::Int(owner.generation)],
    ))
}

/// Ids of the unfinished sagas that `sec` owns, ascending, after `after`, at most `limit`. The index on unfinished sagas
/// answers this alone, whatever the size of the history.
pub async fn list_recovery_candidates(
    store: &dyn Store,
    sec: SecId,
    after: Option<SagaId>,
    limit: u32,
) -> Result<Vec<SagaId>, StoreError> {
    let after = after.map_or(uuid::Uuid::nil(), SagaId::as_uuid);
    let rows = store
        .read(Statement::new(
            // `<> 'done'` repeats the index's own condition, which the planner needs to see.
            "SELECT id FROM saga WHERE saga_state <> 'done' AND saga_state IN ('running', 'unwinding') \
             AND current_sec = $1 AND id > $2 ORDER BY id LIMIT $3",
            vec![sec.into(), after.into(), Value::Int(i64::from(limit))],
        ))
        .await?;
    rows.iter().map(|row| row.uuid(0).map(SagaId::from_uuid)).collect()
}

/// Which of `ids` are unfinished and owned by `sec`: the question that settles "finished, or only just started?".
pub async fn find_unfinished_among(
    store: &dyn Store,
    sec: SecId,
    ids: &[SagaId],
) -> Result<Vec<SagaId>, StoreError> {
    let mut found = Vec::new();
    for chunk in ids.chunks(LOOKUP_CHUNK) {
        // The list travels as one JSON array, so that the text of the statement is the same for every length.
        let list = serde_json::to_string(chunk).expect("ids are plain strings");
        let rows = store
            .read(Statement::new(
                super::sqlite_or_postgres(
                    store,
                    "SELECT id FROM saga WHERE saga_state <> 'done' AND saga_state IN ('running', 'unwinding') \
                     AND current_sec = $1 AND id IN (SELECT value FROM json_each($2)) ORDER BY id",
                    "SELECT id FROM saga WHERE saga_state <> 'done' AND saga_state IN ('running', 'unwinding') \
                     AND current_sec = $1 AND id IN (SELECT value::UUID FROM jsonb_array_elements_text($2)) ORDER BY id",
                ),
                vec![sec.into(), Value::Json(list)],
            ))
            .await?;
        for row in &rows {
            found.push(SagaId::from_uuid(row.uuid(0)?));
        }
    }
    Ok(found)
}

/// Ids per question in [`find_unfinished_among`]: large enough that round trips do not count, small enough that no single
/// read holds its connection for long.
const LOOKUP_CHUNK: usize = 1000;

/// One saga's row with its log, or `None` if there is no such saga.
///
/// # Errors
///
/// [`StoreError::Corrupt`] when something stored cannot be read, which concerns this saga only.
pub async fn load_saga(store: &dyn Store, id: SagaId) -> Result<Option<LoadedSaga>, StoreError> {
    let rows = store
        .read(Statement::new(
            "SELECT name, saga_dag, saga_state, current_sec, adopt_generation FROM saga WHERE id = $1",
            vec![id.into()],
        ))
        .await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(LoadedSaga {
        id,
        name: row.text(0)?.to_owned(),
        dag: row.text(1)?.to_owned(),
        state: row.parsed(2, "a saga state")?,
        current_sec: row.opt(3, Row::uuid)?.map(SecId::from_uuid),
        generation: row.int(4)?,
        events: load_log(store, id).await?,
    }))
}

/// A saga's whole log.
pub async fn load_log(store: &dyn Store, id: SagaId) -> Result<Vec<Event>, StoreError> {
    let rows = store
        .read(Statement::new(
            "SELECT node_id, event_type, data, event_time, creator FROM saga_node_event WHERE saga_id = $1 \
             ORDER BY node_id, event_type",
            vec![id.into()],
        ))
        .await?;
    rows.iter()
        .map(|row| {
            let node_id = row.int(0)?;
            Ok(Event {
                saga_id: id,
                node_id: NodeId(u32::try_from(node_id).map_err(|_| StoreError::Corrupt {
                    column: "node_id".to_owned(),
                    reason: format!("{node_id} does not fit a node id"),
                })?),
                event_type: row.text(1)?.to_owned(),
                data: row.opt(2, |row, index| row.text(index).map(str::to_owned))?,
                time: row.time(3)?,
                creator: SecId::from_uuid(row.uuid(4)?),
            })
        })
        .collect()
}

/// What is known of the given sagas without their DAGs and logs; ids that are not there are left out.
pub async fn find_summaries(store: &dyn Store, ids: &[SagaId]) -> Result<Vec<SagaSummary>, StoreError> {
    let mut found = Vec::new();
    for chunk in ids.chunks(LOOKUP_CHUNK) {
        let list = serde_json::to_string(chunk).expect("ids are plain strings");
        let rows = store
            .read(Statement::new(
                super::sqlite_or_postgres(
                    store,
                    "SELECT id, name, saga_state, current_sec, time_created FROM saga \
                     WHERE id IN (SELECT value FROM json_each($1))",
                    "SELECT id, name, saga_state::TEXT, current_sec, time_created FROM saga \
                     WHERE id IN (SELECT value::UUID FROM jsonb_array_elements_text($1))",
                ),
                vec![Value::Json(list)],
            ))
            .await?;
        for row in &rows {
            found.push(SagaSummary {
                id: SagaId::from_uuid(row.uuid(0)?),
                name: row.text(1)?.to_owned(),
                state: row.text(2)?.to_owned(),
                current_sec: row.opt(3, Row::uuid)?.map(SecId::from_uuid),
                time_created: row.time(4)?,
            });
        }
    }
    Ok(found)
}

/// The saga that a key was used for, with the digest of that request.
pub async fn find_idempotency_key(
    store: &dyn Store,
    key: &str,
) -> Result<Option<(SagaId, String)>, StoreError> {
    let rows = store
        .read(Statement::new(
            "SELECT saga_id, request_digest FROM idempotency_key WHERE key = $1",
            vec![key.into()],
        ))
        .await?;
    rows.first().map(|row| Ok((SagaId::from_uuid(row.uuid(0)?), row.text(1)?.to_owned()))).transpose()
}

/// The write that registers this SEC as active, or freshens its heartbeat.
pub fn heartbeat(sec: SecId, internal_address: &str, time_started: Time, now: Time) -> Write {
    Write::one(
        Statement::new(
            "INSERT INTO sec (id, internal_address, state, time_started, time_heartbeat) \
             VALUES ($1, $2, 'active', $3, $4) \
             ON CONFLICT (id) DO UPDATE SET internal_address = excluded.internal_address, \
             time_started = excluded.time_started, time_heartbeat = excluded.time_heartbeat \
             WHERE sec.state = 'active'",
            vec![sec.into(), internal_address.into(), time_started.into(), now.into()],
        )
        .changing_one(EXPUNGED),
    )
}

/// Refusal text of [`heartbeat`] when the SEC may never run sagas again.
pub const EXPUNGED: &str = "this SEC has been expunged";

/// The same in the last words of a process.
pub fn expunged(sec: SecId) -> String {
    format!("SEC {sec} has been expunged")
}
