//! Who is registered, and which unfinished sagas each owns.

use super::Inspector;
use super::error::InspectError;
use super::saga::{ROW_COLUMNS, saga_record};
use crate::saga_log::record::SagaRecord;
use crate::wire::ids::{SagaId, SecId};

impl Inspector {
    /// Ids of all SECs in the registry, in or out of service; `None` if there is no registry.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn list_sec_ids(&self) -> Result<Option<Vec<SecId>>, InspectError> {
        let source = self.describe();
        let (table, sql, id) = match (&source.sec, &source.nexus) {
            (Some(table), _) => (table, " FROM sec ORDER BY id", "id"),
            (None, Some(table)) => (table, " FROM db_metadata_nexus ORDER BY nexus_id", "nexus_id"),
            (None, None) => return Ok(None),
        };
        let rows = self.ask(self.query("SELECT ").columns(table, "", &[id]).sql(sql)).await?;
        let ids = rows.into_iter().filter_map(|mut row| row.next().parsed("a uuid").value().copied());
        Ok(Some(ids.collect()))
    }

    /// Unfinished sagas of one owner by id, after `after`, at most `limit`. The index on unfinished sagas leads to them.
    ///
    /// # Errors
    ///
    /// Only if the database cannot be read.
    pub async fn list_unfinished_of(
        &self,
        owner: SecId,
        after: Option<SagaId>,
        limit: u32,
    ) -> Result<Vec<SagaRecord>, InspectError> {
        let Some(table) = &self.describe().saga else { return Ok(Vec::new()) };
        let after = after.map_or(uuid::Uuid::nil(), SagaId::as_uuid);
        let query = self
            .query("SELECT ")
            .columns(table, "", &["id"])
            .sql(", ")
            .columns(table, "", &ROW_COLUMNS)
            .sql(" FROM saga WHERE saga_state <> 'done' AND saga_state IN ('running', 'unwinding') AND current_sec = ")
            .uuid(owner.as_uuid())
            .sql(" AND id > ")
            .uuid(after)
            .sql(" ORDER BY id LIMIT ")
            .int(limit);
        let rows = self.ask(query).await?;
        // Of a row whose id cannot be read nothing can be changed either.
        let saga = |mut row: super::query::RawRow| {
            let id = row.next().parsed::<SagaId>("a uuid").value().copied()?;
            Some(saga_record(id, table, &mut row))
        };
        Ok(rows.into_iter().filter_map(saga).collect())
    }
}
