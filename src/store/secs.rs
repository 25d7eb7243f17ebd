//! The registry of SECs: who executes sagas, who is out of service, and whose sagas change hands.

use super::error::StoreError;
use super::sql::{Row, Statement, Value};
use super::{Store, Write};
use crate::wire::ids::SecId;
use crate::wire::time::Time;

/// A SEC in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredSec {
    /// Which.
    pub id: SecId,
    /// Where its internal API is; empty before its first heartbeat.
    pub internal_address: String,
    /// `active` or `expunged`, as it is stored: a newer writer may know more states.
    pub state: String,
    /// When its process started.
    pub time_started: Time,
    /// When it was heard of last.
    pub time_heartbeat: Time,
}

/// The unfinished sagas of one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnfinishedSagas {
    /// Whose; `None` if nobody's.
    pub owner: Option<SecId>,
    /// Going forward, as far as the cached state says.
    pub running: i64,
    /// Being undone.
    pub unwinding: i64,
    /// When the oldest was made.
    pub oldest: Time,
}

/// All SECs that ever registered, by id.
pub async fn list_secs(store: &dyn Store) -> Result<Vec<RegisteredSec>, StoreError> {
    let rows = store
        .read(Statement::new(
            "SELECT id, internal_address, state, time_started, time_heartbeat FROM sec ORDER BY id",
            Vec::new(),
        ))
        .await?;
    rows.iter()
        .map(|row| {
            Ok(RegisteredSec {
                id: SecId::from_uuid(row.uuid(0)?),
                internal_address: row.text(1)?.to_owned(),
                state: row.text(2)?.to_owned(),
                time_started: row.time(3)?,
                time_heartbeat: row.time(4)?,
            })
        })
        .collect()
}

/// How many unfinished sagas each owner has. The index on unfinished sagas leads to all of them, so the time it takes does
/// not depend on the history.
pub async fn count_unfinished(store: &dyn Store) -> Result<Vec<UnfinishedSagas>, StoreError> {
    let rows = store
        .read(Statement::new(
            "SELECT current_sec, count(CASE WHEN saga_state = 'running' THEN 1 END), \
             count(CASE WHEN saga_state = 'unwinding' THEN 1 END), min(time_created) FROM saga \
             WHERE saga_state <> 'done' AND saga_state IN ('running', 'unwinding') \
             GROUP BY current_sec ORDER BY current_sec",
            Vec::new(),
        ))
        .await?;
    rows.iter()
        .map(|row| {
            Ok(UnfinishedSagas {
                owner: row.opt(0, Row::uuid)?.map(SecId::from_uuid),
                running: row.int(1)?,
                unwinding: row.int(2)?,
                oldest: row.time(3)?,
            })
        })
        .collect()
}

/// Refusal text of [`expunge`] when the SEC is no longer as it was.
pub const CHANGED: &str = "the SEC has been expunged or started again meanwhile";

/// The write that puts a SEC out of service for ever, if it is active and its process is the one that was seen. From its
/// commit on the database accepts nothing from that SEC.
pub fn expunge(sec: SecId, time_started: Time) -> Write {
    Write::one(
        Statement::new(
            "UPDATE sec SET state = 'expunged' WHERE id = $1 AND time_started = $2 AND state = 'active'",
            vec![sec.into(), time_started.into()],
        )
        .changing_one(CHANGED),
    )
}

/// The write that makes `to` the owner of at most `limit` unfinished sagas of `from`, if that has been expunged. Sagas that
/// somebody else is adopting at this moment are left to them.
pub fn adopt_unfinished(to: SecId, from: SecId, now: Time, limit: u32) -> Write {
    Write::one(Statement::new(
        "UPDATE saga SET current_sec = $1, adopt_generation = adopt_generation + 1, adopt_time = $2 \
         WHERE id IN (SELECT id FROM saga WHERE saga_state <> 'done' AND saga_state IN ('running', 'unwinding') \
         AND current_sec = $3 ORDER BY id LIMIT $4 /*pg FOR UPDATE SKIP LOCKED*/) \
         AND EXISTS (SELECT 1 FROM sec WHERE id = $3 AND state = 'expunged')",
        vec![to.into(), now.into(), from.into(), Value::Int(i64::from(limit))],
    ))
}

/// The expunged SECs that still own unfinished sagas.
pub async fn list_expunged_with_unfinished(store: &dyn Store) -> Result<Vec<SecId>, StoreError> {
    let rows = store
        .read(Statement::new(
            "SELECT id FROM sec WHERE state = 'expunged' AND EXISTS (SELECT 1 FROM saga \
             WHERE saga_state <> 'done' AND saga_state IN ('running', 'unwinding') AND current_sec = sec.id) \
             ORDER BY id",
            Vec::new(),
        ))
        .await?;
    rows.iter().map(|row| row.uuid(0).map(SecId::from_uuid)).collect()
}
