//! Many sagas, a page at a time, without their DAGs and logs.
//!
//! A page is what one index hands out in its order, from a cursor on: nothing is skipped inside the database, so that a page
//! takes the same time wherever it is, and whoever asks knows how many rows were looked at. Choosing among the rows is the
//! caller's part; so is choosing the [`Order`], since only the caller knows whether reading everything was agreed to.

use super::Inspector;
use super::cell::Cell;
use super::error::InspectError;
use super::query::{Query, RawRow};
use super::saga::{ROW_COLUMNS, saga_record};
use super::source::Table;
use crate::saga_log::record::SagaRecord;
use crate::wire::field::Field;
use crate::wire::ids::SagaId;
use crate::wire::time::Time;
use uuid::Uuid;

/// In which order sagas are read, which is the order of some index.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// By time of creation, newest first. Needs [`has_time_index`](super::source::Source::has_time_index).
    NewestFirst,
    /// The sagas of these names only, by time of creation, newest first. Needs
    /// [`has_name_index`](super::source::Source::has_name_index).
    NewestFirstNamed(Vec<String>),
    /// The unfinished and the abandoned only, by owner. Needs
    /// [`has_unfinished_index`](super::source::Source::has_unfinished_index).
    UnfinishedByOwner,
    /// All, by id: every database has that.
    ById,
}

/// Limits of the time of creation that an order by time makes use of; others leave them to the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Span {
    /// Not before.
    pub since: Option<Time>,
    /// Not at or after.
    pub until: Option<Time>,
}

/// Where a page ended, as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    /// What the order goes by before the id; `None` for SQL NULL, or where it goes by id alone.
    first: Option<String>,
    id: String,
}

/// Some sagas in a row.
#[derive(Debug)]
pub struct Page {
    /// Those whose id can be read.
    pub sagas: Vec<SagaRecord>,
    /// What stands where an id should be, for rows of which nothing more can be said.
    pub unreadable_ids: Vec<String>,
    /// Rows that were looked at.
    pub scanned: u64,
    /// Where to go on; `None` after the last page.
    pub next: Option<Cursor>,
}

impl Inspector {
    /// The page of an order that begins after `after`, with about `size` rows.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn list_sagas(
        &self,
        order: &Order,
        span: Span,
        after: Option<&Cursor>,
        size: u32,
    ) -> Result<Page, InspectError> {
        let Some(table) = &self.describe().saga else {
            return Ok(Page { sagas: Vec::new(), unreadable_ids: Vec::new(), scanned: 0, next: None });
        };
        match order {
            Order::NewestFirst => {
                let rows = self.ask(self.newest_first(table, None, span, after, size)).await?;
                Ok(page(placed(table, Key::Time, rows), size))
            }
            Order::NewestFirstNamed(names) => {
                // One question per name, so that the index is walked in its order for each; the newest of all are kept.
                let mut rows = Vec::new();
                for name in names {
                    let query = self.newest_first(table, Some(name), span, after, size);
                    rows.extend(self.ask(query).await?);
                }
                // Stored times sort like the times that they spell, in either database's spelling.
                let mut rows = placed(table, Key::Time, rows);
                rows.sort_by(|a, b| (&b.place.first, &b.place.id).cmp(&(&a.place.first, &a.place.id)));
                rows.truncate(usize::try_from(size).unwrap_or(usize::MAX));
                Ok(page(rows, size))
            }
            Order::UnfinishedByOwner => self.unfinished_by_owner(table, after, size).await,
            Order::ById => {
                let mut query = self.rows_of(table, Key::Id).sql(" FROM saga");
                if let Some(Cursor { id, .. }) = after {
                    query = query.sql(" WHERE id > ").stored_uuid(id);
                }
                let rows = self.ask(query.sql(" ORDER BY id LIMIT ").int(size)).await?;
                Ok(page(placed(table, Key::Id, rows), size))
            }
        }
    }

    pub(super) fn newest_first(
        &self,
        table: &Table,
        name: Option<&String>,
        span: Span,
        after: Option<&Cursor>,
        size: u32,
    ) -> Query {
        let mut query = self.rows_of(table, Key::Time).sql(" FROM saga WHERE ");
        query = match name {
            Some(name) => query.sql("name = ").text(name.as_str()),
            None => query.sql("1 = 1"),
        };
        if let Some(since) = span.since {
            query = query.sql(" AND time_created >= ").time(since);
        }
        if let Some(until) = span.until {
            query = query.sql(" AND time_created < ").time(until);
        }
        if let Some(Cursor { first: Some(time), id }) = after {
            query =
                query.sql(" AND (time_created, id) < (").stored_time(time).sql(", ").stored_uuid(id).sql(")");
        }
        query.sql(" ORDER BY time_created DESC, id DESC LIMIT ").int(size)
    }

    async fn unfinished_by_owner(
        &self,
        table: &Table,
        after: Option<&Cursor>,
        size: u32,
    ) -> Result<Page, InspectError> {
        // Those that nobody owns come last. `<> 'done'` repeats the index's own condition, which planners need to see.
        let unfinished = self.rows_of(table, Key::Owner).sql(" FROM saga WHERE saga_state <> 'done'");
        let owned = match after {
            None => Some(unfinished.clone().sql(" AND current_sec IS NOT NULL")),
            Some(Cursor { first: Some(owner), id }) => Some(
                unfinished
                    .clone()
                    .sql(" AND (current_sec, id) > (")
                    .stored_uuid(owner)
                    .sql(", ")
                    .stored_uuid(id)
                    .sql(")"),
            ),
            Some(Cursor { first: None, .. }) => None,
        };
        if let Some(owned) = owned {
            let rows = self.ask(owned.sql(" ORDER BY current_sec, id LIMIT ").int(size)).await?;
            let mut page = page(placed(table, Key::Owner, rows), size);
            if page.next.is_none() {
                page.next = Some(Cursor { first: None, id: Uuid::nil().hyphenated().to_string() });
            }
            return Ok(page);
        }
        let after = after.map_or("", |cursor| cursor.id.as_str());
        let unowned = unfinished.sql(" AND current_sec IS NULL AND id > ").stored_uuid(after);
        let rows = self.ask(unowned.sql(" ORDER BY id LIMIT ").int(size)).await?;
        Ok(page(placed(table, Key::Owner, rows), size))
    }

    /// These sagas, in no order; those that have no row are left out.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn load_sagas(&self, ids: &[SagaId]) -> Result<Vec<SagaRecord>, InspectError> {
        let Some(table) = self.describe().saga.as_ref().filter(|_| !ids.is_empty()) else {
            return Ok(Vec::new());
        };
        let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
        let query = self.rows_of(table, Key::Id).sql(" FROM saga WHERE ").among("id", &ids);
        let rows = self.ask(query).await?;
        Ok(placed(table, Key::Id, rows).into_iter().filter_map(|row| row.saga.ok()).collect())
    }

    /// Names of sagas that there are, in order, at most `limit`. Jumps from name to name, so it costs as many steps as there
    /// are names; `None` without the index for that.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn list_names(&self, limit: usize) -> Result<Option<Vec<String>>, InspectError> {
        if !self.describe().has_name_index() {
            return Ok(None);
        }
        let mut names: Vec<String> = Vec::new();
        while names.len() < limit {
            let mut query = self.query("SELECT name FROM saga");
            if let Some(last) = names.last() {
                query = query.sql(" WHERE name > ").text(last.as_str());
            }
            let row = self.ask(query.sql(" ORDER BY name LIMIT 1")).await?.into_iter().next();
            match row.map(|mut row| row.next()) {
                Some(Cell::Text(name)) => names.push(name),
                _ => break,
            }
        }
        Ok(Some(names))
    }

    /// Whether the table has more than `count` sagas, found out by counting no further.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn has_more_than(&self, count: u32) -> Result<bool, InspectError> {
        if self.describe().saga.is_none() {
            return Ok(false);
        }
        let query = self
            .query("SELECT count(*) FROM (SELECT 1 AS one FROM saga LIMIT ")
            .int(i64::from(count) + 1)
            .sql(") AS limited");
        let rows = self.ask(query).await?;
        Ok(rows.into_iter().next().is_some_and(|mut row| row.next().count() > u64::from(count)))
    }

    fn rows_of(&self, table: &Table, key: Key) -> Query {
        self.query("SELECT ")
            .columns(table, "", &["id"])
            .sql(", ")
            .columns(table, "", &[key.column()])
            .sql(", ")
            .columns(table, "", &ROW_COLUMNS)
    }
}

/// What an order goes by before the id.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Time,
    Owner,
    Id,
}

impl Key {
    fn column(self) -> &'static str {
        match self {
            Self::Time => "time_created",
            Self::Owner => "current_sec",
            Self::Id => "id",
        }
    }
}

/// A row and its place in the order.
struct Placed {
    place: Cursor,
    saga: Result<SagaRecord, String>,
}

fn placed(table: &Table, key: Key, rows: Vec<RawRow>) -> Vec<Placed> {
    let read = |mut row: RawRow| {
        let id = row.next();
        let first = row.next();
        let place = Cursor {
            first: first.as_text().filter(|_| key != Key::Id).map(str::to_owned),
            id: id.as_text().unwrap_or_default().to_owned(),
        };
        let saga = match id.parsed("a uuid") {
            Field::Value(id) => Ok(saga_record(id, table, &mut row)),
            Field::Unreadable { raw, reason: _ } => Err(raw),
            Field::Null | Field::NoColumn => Err("NULL".to_owned()),
        };
        Placed { place, saga }
    };
    rows.into_iter().map(read).collect()
}

/// A page of which there is more if it is full.
fn page(rows: Vec<Placed>, size: u32) -> Page {
    let mut page =
        Page { sagas: Vec::with_capacity(rows.len()), unreadable_ids: Vec::new(), scanned: 0, next: None };
    for Placed { place, saga } in rows {
        page.scanned += 1;
        page.next = Some(place);
        match saga {
            Ok(saga) => page.sagas.push(saga),
            Err(raw) => page.unreadable_ids.push(raw),
        }
    }
    if page.scanned < u64::from(size) {
        page.next = None;
    }
    page
}
