//! A schema that is made to hold the same rows as another, again and again: what many runs of a drill start from.
//!
//! Its tables are made once, by whoever makes those of the other, and stay. What is in them is replaced:
//!
//! - Rows are deleted, not truncated. There are few, and truncating makes new files for each table and each index, which
//!   takes ten times as long.
//! - One statement deletes the rows of all tables, and one inserts into all. Foreign keys are looked at when a statement
//!   ends, so the order of tables does not matter, nor do keys that go in circles.
//! - Triggers are silent meanwhile. They have had their say when the rows were first written.
//! - A type that a schema brings along, such as an enum, is another one in each. Its values are told as text.

use super::contents;
use super::scratch::{ScratchSchema, end_sessions};
use super::target::{Connection, Target};
use crate::store::contents::Contents;
use crate::store::error::StoreError;
use std::fmt;
use std::time::Duration;
use tokio_postgres::{Client, Error};

/// How long one statement may take, and how long it may wait for somebody else.
const LIMITS: &str = "SET lock_timeout = '20s'; SET statement_timeout = '20s'";

/// The same for all of them together, for a server that does not even say that it has been too long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A scratch schema that can be filled again and again. It is removed when this is dropped.
pub struct SchemaCopy {
    // Before the schema, which is to be left when it is removed.
    connection: Connection,
    target: Target,
    shape: Shape,
    schema: ScratchSchema,
}

impl SchemaCopy {
    /// Takes a schema that has its tables.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached, or a process in the schema does not end.
    pub async fn of(schema: ScratchSchema) -> Result<Self, StoreError> {
        let target = Target::parse(&schema.url_of_drill())?;
        let connecting = async {
            let connection = target.connect().await?;
            connection.client.batch_execute(LIMITS).await?;
            let shape = Shape::read(&connection.client).await?;
            Ok((connection, shape))
        };
        let (connection, shape) = target.in_time(connecting).await?;
        Ok(Self { connection, target, shape, schema })
    }

    /// The URL of the database with this schema in place of all others.
    pub fn url(&self) -> &str {
        self.schema.url()
    }

    /// Replaces everything in it by what is in `original`. Processes that have used it must be gone; what they leave
    /// behind on the server is ended.
    ///
    /// # Errors
    ///
    /// If the server does not let us, for example because the original has other tables.
    pub async fn fill_from(&self, original: &ScratchSchema) -> Result<(), StoreError> {
        let filling = async {
            end_sessions(&self.connection.client, &self.target, self.schema.name()).await?;
            let filled = self.connection.client.batch_execute(&self.shape.fill_from(original.name())).await;
            filled.map_err(|error| self.target.explain("copy rows within", &error))
        };
        tokio::time::timeout(PATIENCE, filling).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable(format!(
                "cannot copy rows within database {}: not done within {}",
                self.target.shown(),
                humantime::format_duration(PATIENCE)
            )))
        })
    }

    /// What is in it besides sagas.
    ///
    /// # Errors
    ///
    /// If the server cannot be asked.
    pub async fn contents(&self) -> Result<Contents, StoreError> {
        contents::read(&self.connection.client, &self.target).await
    }

    /// Removes it with everything in it.
    ///
    /// # Errors
    ///
    /// If it is still there; the text names it.
    pub fn remove(self) -> Result<(), StoreError> {
        self.schema.remove()
    }
}

impl fmt::Debug for SchemaCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchemaCopy").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// What there is to copy, as texts of SQL.
#[derive(Debug, Default)]
struct Shape {
    tables: Vec<Table>,
    sequences: Vec<Sequence>,
    triggers: Vec<Trigger>,
}

#[derive(Debug)]
struct Table {
    name: String,
    /// Its columns, but for those that the server computes.
    columns: String,
    /// Their values, from the table of the same name in another schema.
    values: String,
}

#[derive(Debug)]
struct Sequence {
    name: String,
    /// The name as a text.
    literal: String,
}

#[derive(Debug)]
struct Trigger {
    table: String,
    name: String,
    enable: &'static str,
}

impl Shape {
    /// Of the current schema. Partitions are filled by what they are parts of.
    async fn read(client: &Client) -> Result<Self, Error> {
        let tables = "
            SELECT quote_ident(c.relname), string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
                string_agg(quote_ident(a.attname) || CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN ''
                    ELSE '::TEXT::' || format_type(a.atttypid, a.atttypmod) END, ', ' ORDER BY a.attnum)
            FROM pg_class c
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
            JOIN pg_type t ON t.oid = a.atttypid
            WHERE c.relnamespace = current_schema()::TEXT::regnamespace AND c.relkind IN ('r', 'p')
                AND NOT c.relispartition
            GROUP BY c.relname ORDER BY c.relname";
        let sequences = "
            SELECT quote_ident(relname), quote_literal(quote_ident(relname)) FROM pg_class
            WHERE relnamespace = current_schema()::TEXT::regnamespace AND relkind = 'S' ORDER BY relname";
        let triggers = "
            SELECT quote_ident(c.relname), quote_ident(t.tgname), t.tgenabled = 'A'
            FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
            WHERE c.relnamespace = current_schema()::TEXT::regnamespace AND NOT c.relispartition
                AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
            ORDER BY c.relname, t.tgname";
        let mut shape = Self::default();
        for row in client.query(tables, &[]).await? {
            let (name, columns, values) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            shape.tables.push(Table { name, columns, values });
        }
        for row in client.query(sequences, &[]).await? {
            shape.sequences.push(Sequence { name: row.try_get(0)?, literal: row.try_get(1)? });
        }
        for row in client.query(triggers, &[]).await? {
            let enable = if row.try_get(2)? { "ENABLE ALWAYS" } else { "ENABLE" };
            shape.triggers.push(Trigger { table: row.try_get(0)?, name: row.try_get(1)?, enable });
        }
        Ok(shape)
    }

    /// The statements that replace everything by what is in another schema. Sent together they are one transaction.
    fn fill_from(&self, original: &str) -> String {
        let Self { tables, sequences, triggers } = self;
        let silence = triggers
            .iter()
            .map(|Trigger { table, name, .. }| format!("ALTER TABLE {table} DISABLE TRIGGER {name}"));
        let delete = tables.iter().map(|Table { name, .. }| format!("DELETE FROM {name}"));
        let insert = tables.iter().map(|Table { name, columns, values }| {
            format!(
                "INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE SELECT {values} FROM {original}.{name}"
            )
        });
        let count = sequences.iter().map(|Sequence { name, literal }| {
            format!("SELECT setval({literal}, last_value, is_called) FROM {original}.{name}")
        });
        let voice = triggers
            .iter()
            .map(|Trigger { table, name, enable }| format!("ALTER TABLE {table} {enable} TRIGGER {name}"));
        let statements: Vec<String> =
            silence.chain(at_once(delete)).chain(at_once(insert)).chain(count).chain(voice).collect();
        statements.join(";\n")
    }
}

/// Several statements as one.
fn at_once(statements: impl Iterator<Item = String>) -> Option<String> {
    let parts: Vec<String> =
        statements.enumerate().map(|(at, statement)| format!("part_{at} AS ({statement})")).collect();
    (!parts.is_empty()).then(|| format!("WITH {} SELECT 1", parts.join(",\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch_postgres::Server;

    /// Everything that makes copying rows more than copying rows.
    const TABLES: &str = "
        CREATE TYPE mood AS ENUM ('good', 'bad');
        CREATE TABLE parent (id BIGSERIAL PRIMARY KEY, mood mood NOT NULL, moods mood[], favourite BIGINT,
            twice BIGINT GENERATED ALWAYS AS (id * 2) STORED);
        CREATE TABLE \"a Child\" (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            parent_id BIGINT NOT NULL REFERENCES parent (id), \"odd name\" TEXT);
        ALTER TABLE parent ADD FOREIGN KEY (favourite) REFERENCES \"a Child\" (id);
        CREATE TABLE counted (n BIGINT);
        CREATE FUNCTION count_it() RETURNS TRIGGER LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO counted VALUES (new.id); RETURN new; END $$;
        CREATE TRIGGER counts BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION count_it();
        CREATE TABLE gone (n INT); ALTER TABLE gone ADD COLUMN m INT; ALTER TABLE gone DROP COLUMN n;
        CREATE TABLE saga (id INT)";

    const ROWS: &str = "
        INSERT INTO parent (mood, moods) VALUES ('good', '{bad,good}'), ('bad', NULL);
        INSERT INTO \"a Child\" (parent_id, \"odd name\") VALUES (2, 'x'), (1, NULL);
        UPDATE parent SET favourite = 2 WHERE id = 1;
        INSERT INTO gone VALUES (7); INSERT INTO saga VALUES (3)";

    async fn session(schema: &ScratchSchema) -> Connection {
        let target = Target::parse(schema.url()).expect("a URL");
        target.connect().await.expect("a connection")
    }

    async fn schema(url: &str, sql: &[&str]) -> ScratchSchema {
        let schema = ScratchSchema::create(url).await.expect("a schema");
        let session = session(&schema).await;
        for sql in sql {
            session.client.batch_execute(sql).await.expect("good SQL");
        }
        schema
    }

    #[tokio::test]
    async fn it_holds_what_the_original_holds_whatever_was_done_to_it() {
        let database = Server::shared().database();
        let original = schema(&database.url(), &[TABLES, ROWS]).await;
        let expected = contents::read_contents(original.url()).await.expect("contents");
        assert_eq!(expected["counted"].rows.len(), 2, "the trigger works");
        let copy = schema(&database.url(), &[TABLES]).await;
        let name = copy.name().to_owned();
        let copy = SchemaCopy::of(copy).await.expect("a copy");
        for _ in 0..2 {
            copy.fill_from(&original).await.expect("filled");
            assert_eq!(copy.contents().await.expect("contents"), expected);
            assert_eq!(database.sql(&format!("SELECT id FROM {name}.saga")), "3");
            // As if the same had been done to both: sequences go on, and triggers have their voice back.
            let session = session(&copy.schema).await;
            session.client.batch_execute(ROWS).await.expect("good SQL");
            let newest = format!("SELECT max(id), (SELECT max(n) FROM {name}.counted) FROM {name}.parent");
            assert_eq!(database.sql(&newest), "4|4");
        }
        copy.remove().expect("removed");
        assert_eq!(contents::read_contents(original.url()).await.expect("contents"), expected);
    }

    #[tokio::test]
    async fn whoever_is_left_behind_in_it_is_ended_before_it_is_filled() {
        let database = Server::shared().database();
        let original = schema(&database.url(), &[TABLES, ROWS]).await;
        let copy = SchemaCopy::of(schema(&database.url(), &[TABLES]).await).await.expect("a copy");
        let left_behind = session(&copy.schema).await;
        left_behind.client.batch_execute("BEGIN; INSERT INTO gone VALUES (1)").await.expect("good SQL");
        copy.fill_from(&original).await.expect("filled");
        left_behind.client.batch_execute("COMMIT").await.expect_err("it is gone");
        assert_eq!(copy.contents().await.expect("contents")["gone"].rows, [["7"]]);
    }

    #[tokio::test]
    async fn an_original_with_other_tables_is_an_error_and_changes_nothing() {
        let database = Server::shared().database();
        let original = schema(&database.url(), &["CREATE TABLE other (n INT)"]).await;
        let copy = schema(&database.url(), &[TABLES, ROWS]).await;
        let before = contents::read_contents(copy.url()).await.expect("contents");
        let copy = SchemaCopy::of(copy).await.expect("a copy");
        let error = copy.fill_from(&original).await.expect_err("not the same").to_string();
        assert!(error.contains("cannot copy rows within database"), "{error}");
        assert_eq!(copy.contents().await.expect("contents"), before);
    }
}
