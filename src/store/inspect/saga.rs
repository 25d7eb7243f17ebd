//! One saga with everything that is stored of it, and one owner.

use super::Inspector;
use super::cell::Cell;
use super::error::InspectError;
use super::query::RawRow;
use super::source::{Engine, Table};
use crate::saga_log::record::{EventRecord, SagaRecord, SagaRecords};
use crate::wire::field::Field;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::Time;
use std::collections::HashMap;
use uuid::Uuid;

/// Events that are read at once.
const EVENT_PAGE: u32 = 5_000;

/// Columns of a saga's row, in the order of [`saga_record`]; the id is known, and the DAG is read only where it is asked for.
pub(super) const ROW_COLUMNS: [&str; 10] = [
    "creator",
    "time_created",
    "name",
    "saga_state",
    "current_sec",
    "adopt_generation",
    "adopt_time",
    "abandon_time",
    "abandon_reason",
    "abandon_comment",
];

/// Columns of a SEC's row beside its id, in the order of [`Registry::record`].
const SEC_COLUMNS: [&str; 4] = ["state", "internal_address", "time_started", "time_heartbeat"];

/// What a database says of a SEC.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one at a time is looked up")]
pub enum SecLookup {
    /// It has no table of SECs.
    NoTable,
    /// It has one, and this SEC is not in it. In a Nexus's database this means that it was expunged.
    NoRow(SecTable),
    /// Its row.
    Row(SecRecord),
}

/// The table that a SEC was looked for in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecTable {
    /// `sec`, which ours has.
    Sec,
    /// `db_metadata_nexus`, which newer Nexuses have.
    Nexus,
}

/// A row of `sec`, or of a Nexus's `db_metadata_nexus`.
#[derive(Clone, Debug, PartialEq)]
pub struct SecRecord {
    /// Its id.
    pub id: SecId,
    /// Where it was found.
    pub table: SecTable,
    /// `active` or `expunged` in ours; `active`, `not_yet` or `quiesced` in a Nexus's.
    pub state: Field<String>,
    /// Where its internal API is.
    pub internal_address: Field<String>,
    /// When its process started.
    pub time_started: Field<Time>,
    /// When it last said that it is there.
    pub time_heartbeat: Field<Time>,
}

impl Inspector {
    /// Ids of sagas that begin with `prefix`, in order, at most `limit`. Sagas of which only events are left are found too.
    ///
    /// # Errors
    ///
    /// [`InspectError::BadQuestion`] if nothing that begins like that can be an id.
    pub async fn find_by_prefix(&self, prefix: &str, limit: u32) -> Result<Vec<SagaId>, InspectError> {
        let (first, last) = id_range(prefix).ok_or_else(|| {
            InspectError::BadQuestion(format!("{prefix:?} is not the beginning of a saga's id"))
        })?;
        let source = self.describe();
        let mut found = Vec::new();
        for (table, name, column) in
            [(&source.saga, "saga", "id"), (&source.event, "saga_node_event", "saga_id")]
        {
            let Some(table) = table else { continue };
            let query = self
                .query("SELECT ")
                .columns(table, "", &[column])
                .sql(&format!(" FROM {name} WHERE {column} >= "))
                .uuid(first)
                .sql(&format!(" AND {column} <= "))
                .uuid(last)
                .sql(&format!(" GROUP BY {column} ORDER BY {column} LIMIT "))
                .int(limit);
            for mut row in self.ask(query).await? {
                found.extend(row.next().parsed::<SagaId>("a uuid").value().copied());
            }
        }
        found.sort();
        found.dedup();
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// Everything that is stored of a saga; `None` if there is neither a row nor an event.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read. What is wrong with a value is in its field.
    pub async fn load_saga(&self, id: SagaId) -> Result<Option<SagaRecords>, InspectError> {
        let row = self.load_row(id).await?;
        let events = self.load_log(id).await?;
        if row.is_none() && events.is_empty() {
            return Ok(None);
        }
        let (saga, dag) = match row {
            Some((saga, dag)) => (Some(saga), dag),
            None => (None, Field::NoColumn),
        };
        Ok(Some(SagaRecords { id, saga, dag, events }))
    }

    async fn load_row(&self, id: SagaId) -> Result<Option<(SagaRecord, Field<String>)>, InspectError> {
        let Some(table) = &self.describe().saga else { return Ok(None) };
        let query = self
            .query("SELECT ")
            .columns(table, "", &["saga_dag"])
            .sql(", ")
            .columns(table, "", &ROW_COLUMNS)
            .sql(" FROM saga WHERE id = ")
            .uuid(id.as_uuid());
        let rows = self.ask(query).await?;
        Ok(rows.into_iter().next().map(|mut row| {
            let dag = row.of(table, "saga_dag", Cell::text);
            (saga_record(id, table, &mut row), dag)
        }))
    }

    /// A saga's log, as far as its events can be told apart at all.
    async fn load_log(&self, id: SagaId) -> Result<Vec<EventRecord>, InspectError> {
        let Some(table) = &self.describe().event else { return Ok(Vec::new()) };
        let mut events = Vec::new();
        let mut after: Option<(i64, String)> = None;
        loop {
            let mut query = self
                .query("SELECT ")
                .columns(table, "", &["node_id", "event_type", "data", "event_time", "creator"])
                .sql(" FROM saga_node_event WHERE saga_id = ")
                .uuid(id.as_uuid());
            if let Some((node_id, event_type)) = &after {
                // The whole key: paging by a part of it loses events that share that part.
                query = query
                    .sql(" AND (node_id, event_type) > (")
                    .int(*node_id)
                    .sql(", ")
                    .text(event_type.as_str())
                    .sql(")");
            }
            // A file without constraints may hold NULL in a key, which no page after the first would show.
            let query = match self.describe().engine {
                Engine::Sqlite => query.sql(" ORDER BY node_id, event_type"),
                Engine::Postgresql | Engine::Cockroachdb => {
                    query.sql(" ORDER BY node_id, event_type LIMIT ").int(EVENT_PAGE)
                }
            };
            let page = self.ask(query).await?;
            let is_last = self.describe().engine == Engine::Sqlite || page.len() < EVENT_PAGE as usize;
            events.extend(page.into_iter().map(|mut row| event_record(table, &mut row)));
            match events.last() {
                Some(last) if !is_last => after = Some((last.node_id, last.event_type.clone())),
                _ => return Ok(events),
            }
        }
    }

    /// The whole logs of these sagas. They may be large: for a few dozen sagas at a time.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn load_logs(&self, ids: &[SagaId]) -> Result<HashMap<SagaId, Vec<EventRecord>>, InspectError> {
        let mut logs: HashMap<SagaId, Vec<EventRecord>> = HashMap::new();
        let (Some(table), false) = (&self.describe().event, ids.is_empty()) else { return Ok(logs) };
        let uuids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
        let query = self
            .query("SELECT ")
            .columns(table, "", &["saga_id", "node_id", "event_type", "data", "event_time", "creator"])
            .sql(" FROM saga_node_event WHERE ")
            .among("saga_id", &uuids)
            .sql(" ORDER BY saga_id, node_id, event_type");
        for mut row in self.ask(query).await? {
            if let Field::Value(id) = row.next().parsed::<SagaId>("a uuid") {
                logs.entry(id).or_default().push(event_record(table, &mut row));
            }
        }
        Ok(logs)
    }

    /// What the database says of a SEC: its own table of SECs where there is one, else a Nexus's.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn load_sec(&self, id: SecId) -> Result<SecLookup, InspectError> {
        let Some(registry) = self.registry() else { return Ok(SecLookup::NoTable) };
        let query = self
            .query("SELECT ")
            .columns(registry.table, "", &SEC_COLUMNS)
            .sql(&format!(" FROM {} WHERE {} = ", registry.name, registry.key))
            .uuid(id.as_uuid());
        Ok(match self.ask(query).await?.into_iter().next() {
            None => SecLookup::NoRow(registry.which),
            Some(mut row) => SecLookup::Row(registry.record(id, &mut row)),
        })
    }

    /// Every SEC whose id can be read; `None` without a table of SECs.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn list_secs(&self) -> Result<Option<Vec<SecRecord>>, InspectError> {
        let Some(registry) = self.registry() else { return Ok(None) };
        let query = self
            .query("SELECT ")
            .columns(registry.table, "", &[registry.key])
            .sql(", ")
            .columns(registry.table, "", &SEC_COLUMNS)
            .sql(&format!(" FROM {}", registry.name));
        let rows = self.ask(query).await?;
        let read = |mut row: RawRow| {
            let id = row.next().parsed("a uuid").value().copied()?;
            Some(registry.record(id, &mut row))
        };
        Ok(Some(rows.into_iter().filter_map(read).collect()))
    }

    fn registry(&self) -> Option<Registry<'_>> {
        let source = self.describe();
        match (&source.sec, &source.nexus) {
            (Some(table), _) => Some(Registry { table, which: SecTable::Sec, name: "sec", key: "id" }),
            (None, Some(table)) => {
                Some(Registry { table, which: SecTable::Nexus, name: "db_metadata_nexus", key: "nexus_id" })
            }
            (None, None) => None,
        }
    }
}

/// The table of SECs that a database has.
struct Registry<'s> {
    table: &'s Table,
    which: SecTable,
    name: &'static str,
    key: &'static str,
}

impl Registry<'_> {
    /// A row from the columns [`SEC_COLUMNS`].
    fn record(&self, id: SecId, row: &mut RawRow) -> SecRecord {
        let table = self.table;
        SecRecord {
            id,
            table: self.which,
            state: row.of(table, "state", Cell::text),
            internal_address: row.of(table, "internal_address", Cell::text),
            time_started: row.of(table, "time_started", Cell::time),
            time_heartbeat: row.of(table, "time_heartbeat", Cell::time),
        }
    }
}

/// A saga's row from the columns [`ROW_COLUMNS`].
pub(super) fn saga_record(id: SagaId, table: &Table, row: &mut RawRow) -> SagaRecord {
    SagaRecord {
        id,
        creator: row.of(table, "creator", |cell| cell.parsed("a uuid")),
        time_created: row.of(table, "time_created", Cell::time),
        name: row.of(table, "name", Cell::text),
        state: row.of(table, "saga_state", Cell::text),
        current_sec: row.of(table, "current_sec", |cell| cell.parsed("a uuid")),
        adopt_generation: row.of(table, "adopt_generation", Cell::int),
        adopt_time: row.of(table, "adopt_time", Cell::time),
        abandon_time: row.of(table, "abandon_time", Cell::time),
        abandon_reason: row.of(table, "abandon_reason", Cell::text),
        abandon_comment: row.of(table, "abandon_comment", Cell::text),
    }
}

fn event_record(table: &Table, row: &mut RawRow) -> EventRecord {
    let node_id = row.of(table, "node_id", Cell::int);
    let event_type = row.of(table, "event_type", Cell::text);
    EventRecord {
        // No DAG has a node of that number, so that whoever reads the log calls it what it is.
        node_id: node_id.value().copied().unwrap_or(-1),
        event_type: match event_type {
            Field::Value(text) => text,
            Field::Null | Field::NoColumn => "(none)".to_owned(),
            Field::Unreadable { raw, reason: _ } => raw,
        },
        data: row.of(table, "data", Cell::json),
        time: row.of(table, "event_time", Cell::time),
        creator: row.of(table, "creator", |cell| cell.parsed("a uuid")),
    }
}

/// The first and the last id that begin with `prefix`; `None` if none can.
fn id_range(prefix: &str) -> Option<(Uuid, Uuid)> {
    // Hyphens stand where they belong or are left out altogether.
    let mut digits = String::with_capacity(32);
    for (place, character) in prefix.chars().enumerate() {
        match character {
            '-' if matches!(place, 8 | 13 | 18 | 23) => {}
            character if character.is_ascii_hexdigit() => digits.push(character),
            _ => return None,
        }
    }
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    let filled = |with: char| -> Option<Uuid> {
        let rest = std::iter::repeat_n(with, 32 - digits.len());
        Uuid::parse_str(&digits.chars().chain(rest).collect::<String>()).ok()
    };
    Some((filled('0')?, filled('f')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_of_ids_are_ranges() {
        let range = |prefix: &str| id_range(prefix).map(|(first, last)| format!("{first} {last}"));
        assert_eq!(
            range("65253CB6-f").as_deref(),
            Some("65253cb6-f000-0000-0000-000000000000 65253cb6-ffff-ffff-ffff-ffffffffffff")
        );
        assert_eq!(range("65253cb6f"), range("65253cb6-f"));
        let whole = "65253cb6-1f38-4c0f-8f6c-5e0f6f1a0001";
        assert_eq!(range(whole), Some(format!("{whole} {whole}")));
        for wrong in ["", "x", "6525-3", "65253cb6-1f38-4c0f-8f6c-5e0f6f1a00011", "project-create", "ä"] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
    }
}
