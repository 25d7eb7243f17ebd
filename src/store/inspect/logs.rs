//! What logs say, summed up inside the database, for many sagas at once.

use super::cell::Cell;
use super::error::InspectError;
use super::source::Table;
use super::{Inspector, Query, RawRow};
use crate::saga_log::summary::{LogTotals, Worst};
use crate::wire::field::Field;
use crate::wire::ids::SagaId;
use crate::wire::time::Time;
use std::collections::HashMap;
use uuid::Uuid;

/// Types of events that say that something went wrong, as a condition that the index of failures recognises.
const IS_FAILURE: &str = "event_type IN ('failed', 'undo_failed')";

/// An event `failed` or `undo_failed`.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// The saga.
    pub saga_id: SagaId,
    /// The node.
    pub node_id: Field<i64>,
    /// Whether it was the undo action that failed.
    pub is_undo: bool,
    /// The error as stored.
    pub data: Field<String>,
    /// The writer's clock.
    pub time: Field<Time>,
    /// The event's place among all failures.
    pub place: FailureCursor,
}

/// Where a page of failures ended, as stored: time, saga, node, type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FailureCursor {
    time: String,
    saga_id: String,
    node_id: i64,
    event_type: String,
}

/// A page of failures.
#[derive(Debug)]
pub struct FailurePage {
    /// Newest first.
    pub failures: Vec<Failure>,
    /// Rows that were looked at.
    pub scanned: u64,
    /// Where to go on; `None` after the last page.
    pub next: Option<FailureCursor>,
}

impl Inspector {
    /// The logs of these sagas, summed up. Sagas without a single event are left out.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn load_log_totals(&self, ids: &[SagaId]) -> Result<HashMap<SagaId, LogTotals>, InspectError> {
        let mut found: HashMap<SagaId, LogTotals> = HashMap::new();
        let (Some(table), false) = (&self.describe().event, ids.is_empty()) else { return Ok(found) };
        let query = self
            .query("SELECT ")
            .columns(table, "", &["saga_id", "event_type"])
            .sql(", count(*), ")
            .newest(table)
            .sql(" FROM saga_node_event WHERE ")
            .among("saga_id", &uuids(ids))
            .sql(" GROUP BY saga_id, event_type");
        for mut row in self.ask(query).await? {
            let id = row.next().parsed::<SagaId>("a uuid");
            let event_type = row.next();
            let count = row.next().count();
            let newest = row.of(table, "event_time", Cell::time);
            let Field::Value(id) = id else { continue };
            found.entry(id).or_default().add(event_type.as_text().unwrap_or_default(), count, newest);
        }
        Ok(found)
    }

    /// The worst that the logs of these sagas tell, in a fraction of the time that their totals take. Sagas without a single
    /// event are left out.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn load_worst(&self, ids: &[SagaId]) -> Result<HashMap<SagaId, Worst>, InspectError> {
        let (Some(table), false) = (&self.describe().event, ids.is_empty()) else {
            return Ok(HashMap::new());
        };
        // The key of the events begins with the saga, so this needs no sorting, as grouping by type would. A blob that spells a
        // word counts as the word here too.
        let query = self
            .query("SELECT ")
            .columns(table, "", &["saga_id"])
            .sql(", max(CASE CAST(event_type AS TEXT) WHEN 'undo_failed' THEN 2 WHEN 'failed' THEN 1 ELSE 0 END)")
            .sql(" FROM saga_node_event WHERE ")
            .among("saga_id", &uuids(ids))
            .sql(" GROUP BY saga_id");
        let rows = self.ask(query).await?;
        let read = |mut row: RawRow| {
            let id = row.next().parsed::<SagaId>("a uuid").value().copied()?;
            let worst = match row.next().as_int()? {
                2 => Worst::UndoFailed,
                1 => Worst::Failed,
                _ => Worst::NothingFailed,
            };
            Some((id, worst))
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// How many events of each type these sagas have together, whatever the types.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn count_events(&self, ids: &[SagaId]) -> Result<Vec<(String, u64)>, InspectError> {
        let (Some(table), false) = (&self.describe().event, ids.is_empty()) else { return Ok(Vec::new()) };
        let query = self
            .query("SELECT ")
            .columns(table, "", &["event_type"])
            .sql(", count(*) FROM saga_node_event WHERE ")
            .among("saga_id", &uuids(ids))
            .sql(" GROUP BY event_type");
        let rows = self.ask(query).await?;
        let read = |mut row: RawRow| (row.next().as_text().unwrap_or("?").to_owned(), row.next().count());
        Ok(rows.into_iter().map(read).collect())
    }

    /// How many nodes the DAGs of these sagas have, counted in the database.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn load_node_counts(&self, ids: &[SagaId]) -> Result<HashMap<SagaId, u64>, InspectError> {
        let Some(table) = self.describe().saga.as_ref().filter(|table| table.has("saga_dag")) else {
            return Ok(HashMap::new());
        };
        let query = self
            .query("SELECT ")
            .columns(table, "", &["id"])
            .sql(", ")
            .node_count()
            .sql(" FROM saga WHERE ")
            .among("id", &uuids(ids));
        let rows = self.ask(query).await?;
        let count = |mut row: RawRow| {
            let id = row.next().parsed::<SagaId>("a uuid").value().copied()?;
            Some((id, u64::try_from(row.next().as_int()?).ok()?))
        };
        Ok(rows.into_iter().filter_map(count).collect())
    }

    /// The DAGs of these sagas as stored. They hold parameters and may be large: for a page of sagas, never for many.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn load_dags(&self, ids: &[SagaId]) -> Result<HashMap<SagaId, Field<String>>, InspectError> {
        let Some(table) = &self.describe().saga else { return Ok(HashMap::new()) };
        let query = self
            .query("SELECT ")
            .columns(table, "", &["id", "saga_dag"])
            .sql(" FROM saga WHERE ")
            .among("id", &uuids(ids));
        let rows = self.ask(query).await?;
        let read = |mut row: RawRow| {
            let id = row.next().parsed::<SagaId>("a uuid").value().copied()?;
            Some((id, row.of(table, "saga_dag", Cell::text)))
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Everything that failed in these sagas, newest first within each.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn load_failures(&self, ids: &[SagaId]) -> Result<HashMap<SagaId, Vec<Failure>>, InspectError> {
        let mut found: HashMap<SagaId, Vec<Failure>> = HashMap::new();
        let (Some(table), false) = (&self.describe().event, ids.is_empty()) else { return Ok(found) };
        let query = self.failures(table).sql(" AND ").among("saga_id", &uuids(ids));
        for row in self.ask(query).await? {
            if let Some(failure) = failure(table, row) {
                found.entry(failure.saga_id).or_default().push(failure);
            }
        }
        for failures in found.values_mut() {
            failures.sort_by(|a, b| b.place.cmp(&a.place));
        }
        Ok(found)
    }

    /// A page of all failures, newest first. Needs
    /// [`has_failure_index`](super::source::Source::has_failure_index).
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn list_failures(
        &self,
        after: Option<&FailureCursor>,
        size: u32,
    ) -> Result<FailurePage, InspectError> {
        let Some(table) = &self.describe().event else {
            return Ok(FailurePage { failures: Vec::new(), scanned: 0, next: None });
        };
        let query = self.newest_failures(table, after, size);
        let rows = self.ask(query).await?;
        let scanned = rows.len();
        let failures: Vec<Failure> = rows.into_iter().filter_map(|row| failure(table, row)).collect();
        let is_full = scanned == usize::try_from(size).unwrap_or(usize::MAX);
        let next = failures.last().filter(|_| is_full).map(|last| last.place.clone());
        Ok(FailurePage { failures, scanned: scanned as u64, next })
    }

    pub(super) fn newest_failures(&self, table: &Table, after: Option<&FailureCursor>, size: u32) -> Query {
        let mut query = self.failures(table);
        if let Some(FailureCursor { time, saga_id, node_id, event_type }) = after {
            query = query
                .sql(" AND (event_time, saga_id, node_id, event_type) < (")
                .stored_time(time)
                .sql(", ")
                .stored_uuid(saga_id)
                .sql(", ")
                .int(*node_id)
                .sql(", ")
                .text(event_type.as_str())
                .sql(")");
        }
        query.sql(" ORDER BY event_time DESC, saga_id DESC, node_id DESC, event_type DESC LIMIT ").int(size)
    }

    fn failures(&self, table: &Table) -> Query {
        self.query("SELECT ")
            .columns(table, "", &["saga_id", "node_id", "event_type", "data", "event_time"])
            .sql(" FROM saga_node_event WHERE ")
            .sql(IS_FAILURE)
    }
}

fn failure(table: &Table, mut row: RawRow) -> Option<Failure> {
    let saga_id = row.next();
    let node_id = row.next();
    let event_type = row.next();
    let data = row.of(table, "data", Cell::json);
    let time = row.next();
    let place = FailureCursor {
        time: time.as_text().unwrap_or_default().to_owned(),
        saga_id: saga_id.as_text().unwrap_or_default().to_owned(),
        node_id: node_id.as_int().unwrap_or_default(),
        event_type: event_type.as_text().unwrap_or_default().to_owned(),
    };
    Some(Failure {
        saga_id: saga_id.parsed("a uuid").value().copied()?,
        node_id: node_id.int(),
        is_undo: place.event_type == "undo_failed",
        data,
        time: time.time(),
        place,
    })
}

fn uuids(ids: &[SagaId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.as_uuid()).collect()
}
