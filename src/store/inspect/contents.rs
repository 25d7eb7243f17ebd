//! What logs and DAGs hold, for many sagas at once: shapes of nodes, times, and text that is searched for.

use super::cell::Cell;
use super::error::InspectError;
use super::source::Engine;
use super::{Inspector, Query, RawRow};
use crate::saga_log::summary::NodeShape;
use crate::wire::field::Field;
use crate::wire::ids::SagaId;
use crate::wire::time::Time;
use uuid::Uuid;

/// Characters that are shown on either side of a text that was found.
const MARGIN: i64 = 40;

/// Characters of the text itself that are shown at most.
const LONGEST_EXCERPT: i64 = 200;

/// An event without its data.
#[derive(Clone, Debug, PartialEq)]
pub struct EventTime {
    /// The saga.
    pub saga_id: SagaId,
    /// The node.
    pub node_id: i64,
    /// What happened to it.
    pub event_type: String,
    /// When, by the writer's clock.
    pub time: Field<Time>,
}

/// A text that was found in an event's data.
#[derive(Clone, Debug, PartialEq)]
pub struct Mention {
    /// The saga.
    pub saga_id: SagaId,
    /// The node.
    pub node_id: i64,
    /// What happened to it.
    pub event_type: String,
    /// When, by the writer's clock.
    pub time: Field<Time>,
    /// The text and a little of what stands around it.
    pub excerpt: String,
}

impl Inspector {
    /// How many nodes of these sagas have which events, summed up in the database.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn load_node_shapes(&self, ids: &[SagaId]) -> Result<Vec<(NodeShape, u64)>, InspectError> {
        if self.describe().event.is_none() || ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut flags = String::new();
        for (index, event_type) in NodeShape::EVENT_TYPES.iter().enumerate() {
            flags += &format!(", max(CASE WHEN event_type = '{event_type}' THEN 1 ELSE 0 END) AS f{index}");
        }
        let query = self
            .query("SELECT f0, f1, f2, f3, f4, f5, count(*) FROM (SELECT node_id")
            .sql(&flags)
            .sql(" FROM saga_node_event WHERE ")
            .among("saga_id", &uuids(ids))
            .sql(" GROUP BY saga_id, node_id) AS nodes GROUP BY f0, f1, f2, f3, f4, f5");
        let rows = self.ask(query).await?;
        Ok(rows
            .into_iter()
            .map(|mut row| {
                let shape = NodeShape::of(std::array::from_fn(|_| row.next().count() > 0));
                (shape, row.next().count())
            })
            .collect())
    }

    /// All events of these sagas without their data, by saga.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn load_event_times(&self, ids: &[SagaId]) -> Result<Vec<EventTime>, InspectError> {
        let (Some(table), false) = (&self.describe().event, ids.is_empty()) else { return Ok(Vec::new()) };
        let query = self
            .query("SELECT ")
            .columns(table, "", &["saga_id", "node_id", "event_type", "event_time"])
            .sql(" FROM saga_node_event WHERE ")
            .among("saga_id", &uuids(ids))
            .sql(" ORDER BY saga_id");
        let rows = self.ask(query).await?;
        let read = |mut row: RawRow| {
            Some(EventTime {
                saga_id: row.next().parsed("a uuid").value().copied()?,
                node_id: row.next().as_int()?,
                event_type: row.next().as_text()?.to_owned(),
                time: row.of(table, "event_time", Cell::time),
            })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// DAGs of these sagas that hold a text somewhere, be it in the name of a node. The text is one that stands in JSON, in
    /// small letters.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn search_dags(
        &self,
        ids: &[SagaId],
        text: &str,
    ) -> Result<Vec<(SagaId, Field<String>)>, InspectError> {
        let Some(table) = self.describe().saga.as_ref().filter(|table| table.has("saga_dag")) else {
            return Ok(Vec::new());
        };
        let query = self
            .query("SELECT ")
            .columns(table, "", &["id", "saga_dag"])
            .sql(" FROM saga WHERE ")
            .among("id", &uuids(ids))
            .sql(" AND ");
        let rows = self.ask(self.place_of(query, "saga_dag", text).sql(" > 0")).await?;
        let read = |mut row: RawRow| {
            let id = row.next().parsed("a uuid").value().copied()?;
            Some((id, row.next().text()))
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Events of these sagas whose data hold a text; of outputs only, of errors only, or of both.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn search_logs(
        &self,
        ids: &[SagaId],
        text: &str,
        event_types: &[&str],
    ) -> Result<Vec<Mention>, InspectError> {
        let Some(table) = self.describe().event.as_ref().filter(|table| table.has("data")) else {
            return Ok(Vec::new());
        };
        let (substring, as_text, length) = match self.describe().engine {
            Engine::Sqlite => ("substr", "data", "max(1, "),
            Engine::Postgresql | Engine::Cockroachdb => ("substr", "data::TEXT", "greatest(1, "),
        };
        let query = self
            .query("SELECT ")
            .columns(table, "", &["saga_id", "node_id", "event_type", "event_time"])
            .sql(&format!(", {substring}({as_text}, {length}"));
        let query = self
            .place_of(query, "data", text)
            .sql(&format!(" - {MARGIN}), CAST("))
            .int(
                i64::try_from(text.chars().count()).unwrap_or(LONGEST_EXCERPT).min(LONGEST_EXCERPT)
                    + 2 * MARGIN,
            )
            .sql(" AS INTEGER)) FROM saga_node_event WHERE ")
            .among("saga_id", &uuids(ids))
            .sql(" AND ")
            .one_of("event_type", event_types)
            .sql(" AND ");
        let query = self.place_of(query, "data", text).sql(" > 0 ORDER BY saga_id, node_id, event_type");
        let rows = self.ask(query).await?;
        let read = |mut row: RawRow| {
            Some(Mention {
                saga_id: row.next().parsed("a uuid").value().copied()?,
                node_id: row.next().as_int()?,
                event_type: row.next().as_text()?.to_owned(),
                time: row.of(table, "event_time", Cell::time),
                excerpt: row.next().as_text()?.to_owned(),
            })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Adds the place of a text in a column, 0 if it is not there, without regard to case.
    fn place_of(&self, query: Query, column: &str, text: &str) -> Query {
        match self.describe().engine {
            Engine::Sqlite => query.sql(&format!("instr(lower({column}), ")).text(text).sql(")"),
            Engine::Postgresql | Engine::Cockroachdb => {
                query.sql(&format!("strpos(lower({column}::TEXT), ")).text(text).sql(")")
            }
        }
    }
}

fn uuids(ids: &[SagaId]) -> Vec<Uuid> {
    ids.iter().map(|id| id.as_uuid()).collect()
}
