//! Everything that is in a schema besides the sagas themselves: what drills compare.

use super::target::Target;
use crate::store::contents::{Contents, Table, is_bookkeeping};
use crate::store::error::StoreError;
use std::time::Duration;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// Longest that reading may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Reads all rows of all tables in one snapshot.
///
/// # Errors
///
/// When the server cannot be reached, or does not let us.
pub async fn read_contents(url: &str) -> Result<Contents, StoreError> {
    let target = Target::parse(url)?;
    let connection = target.in_time(target.connect()).await?;
    read(&connection.client, &target).await
}

/// The same over a connection that is there.
pub(super) async fn read(client: &Client, target: &Target) -> Result<Contents, StoreError> {
    match tokio::time::timeout(LIMIT, read_tables(client)).await {
        Ok(read) => read.map_err(|error| target.explain("read", &error)),
        Err(_) => Err(StoreError::Unavailable(format!(
            "cannot read database {}: no answer within {}",
            target.shown(),
            humantime::format_duration(LIMIT)
        ))),
    }
}

async fn read_tables(client: &Client) -> Result<Contents, Error> {
    let listed = client
        .query(
            "SELECT table_name::TEXT, quote_ident(table_name::TEXT) FROM information_schema.tables \
             WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'",
            &[],
        )
        .await?;
    let mut names: Vec<String> = Vec::new();
    let mut batch = String::from("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;");
    for row in &listed {
        let (name, quoted): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        if !is_bookkeeping(&name) {
            batch.push_str(&format!("SELECT * FROM {quoted};"));
            names.push(name);
        }
    }
    batch.push_str("COMMIT");
    // This protocol tells every value as text, whatever its type.
    let mut names = names.into_iter();
    let mut contents = Contents::new();
    let mut current = None;
    for message in client.simple_query(&batch).await? {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                let columns = columns.iter().map(|column| column.name().to_owned()).collect();
                let name = names.next().expect("one answer with rows for each table");
                current = Some((name, Table { columns, rows: Vec::new() }));
            }
            SimpleQueryMessage::Row(row) => {
                let (_, table) = current.as_mut().expect("rows come after their description");
                let value = |index| Ok(row.try_get(index)?.unwrap_or("NULL").to_owned());
                table.rows.push((0..row.len()).map(value).collect::<Result<_, Error>>()?);
            }
            // Of a table, or of what is around them all.
            _ => contents.extend(current.take()),
        }
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch_postgres::Server;

    #[tokio::test]
    async fn all_tables_but_the_coordinators_own_are_read_as_text() {
        let database = Server::shared().database();
        database.sql(
            "CREATE TYPE mood AS ENUM ('good'); \
             CREATE TABLE \"Odd name\" (n BIGINT, mood mood, data JSONB, t TIMESTAMPTZ); \
             INSERT INTO \"Odd name\" VALUES (1, 'good', '{\"a\": [1]}', NULL), (2, NULL, NULL, 'epoch'); \
             CREATE TABLE empty (n INT); CREATE TABLE saga (id UUID); INSERT INTO saga VALUES (gen_random_uuid()); \
             CREATE VIEW seen AS SELECT * FROM empty",
        );
        let contents = read_contents(&database.url()).await.expect("contents");
        assert_eq!(contents.keys().collect::<Vec<_>>(), ["Odd name", "empty"]);
        let Table { columns, rows } = &contents["Odd name"];
        assert_eq!(columns, &["n", "mood", "data", "t"]);
        assert_eq!(rows[0], ["1", "good", "{\"a\": [1]}", "NULL"]);
        assert_eq!(rows[1], ["2", "NULL", "NULL", "1970-01-01 00:00:00+00"]);
        assert_eq!(contents["empty"].columns, ["n"]);
        assert_eq!(contents["empty"].rows.len(), 0);
    }
}
