//! The registry of SECs: who executes sagas, who is out of service, and whose sagas change hands.

use super::error::StoreError;
use super::sql::{Statement, Value};
use super::{Store, Write};
use crate::wire::ids::SecId;
use crate::wire::time::Time;

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
