//! A change to a file.

use super::steps::Step;
use super::{AmendError, Amended};
use crate::store::error::StoreError;
use crate::store::inspect::sqlite::{bind, rows};
use crate::store::sqlite::connection::{explain, open_for_a_change};
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;
use std::time::Duration;

/// Carries out all steps or none.
pub(super) fn run(path: &Path, steps: &[Step], ours: bool, limit: Duration) -> Result<Amended, AmendError> {
    let opened = open_for_a_change(path, ours, limit).map_err(failed)?;
    carry_out(opened, steps).map_err(|error| failed(explain("write to", path, &error)))
}

fn carry_out(mut connection: Connection, steps: &[Step]) -> rusqlite::Result<Amended> {
    // Nobody else writes from here on, so what is seen is what is changed.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for Step { query, changes, expect } in steps {
        let count = match changes {
            true => {
                let mut prepared = transaction.prepare(query.text_of())?;
                bind(&mut prepared, query)?;
                prepared.raw_execute()? as u64
            }
            false => rows(&transaction, query)?.len() as u64,
        };
        if expect.is_some_and(|expected| expected != count) {
            return Ok(Amended::NotAsSeen);
        }
    }
    transaction.commit()?;
    Ok(Amended::Applied)
}

/// A commit of SQLite's that fails has not happened.
fn failed(error: StoreError) -> AmendError {
    match error {
        StoreError::Unavailable(text) => AmendError::Unavailable(text),
        other => AmendError::Refused(other.to_string()),
    }
}
