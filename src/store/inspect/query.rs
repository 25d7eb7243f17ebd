//! Questions in SQL, put together from what a database has, in the words of its dialect.
//!
//! The strict half of `store` has a fixed text for each question. Here the columns differ from database to database, so
//! texts are made when they are needed. Values never become part of a text: they are all bound, spelled as text, with a
//! cast where the database has a type for them.

use super::cell::Cell;
use super::source::{Engine, Table};
use crate::wire::time::{Time, to_stored};
use uuid::Uuid;

/// A question with its values.
#[derive(Clone, Debug)]
pub(in crate::store) struct Query {
    engine: Engine,
    sql: String,
    params: Vec<Param>,
}

/// A value that is bound.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) enum Param {
    Text(String),
    Int(i64),
}

/// One row of an answer.
#[derive(Debug)]
pub(in crate::store) struct RawRow(pub(in crate::store) std::vec::IntoIter<Cell>);

impl RawRow {
    /// The next column. Asking for more than were selected is a bug beside the question.
    pub(in crate::store) fn next(&mut self) -> Cell {
        self.0.next().expect("a column that the question selects")
    }

    /// The next column of a table, if the table has it.
    pub(in crate::store) fn of<T>(
        &mut self,
        table: &Table,
        column: &str,
        read: impl FnOnce(Cell) -> crate::wire::field::Field<T>,
    ) -> crate::wire::field::Field<T> {
        let cell = self.next();
        if table.has(column) { read(cell) } else { crate::wire::field::Field::NoColumn }
    }
}

impl Query {
    /// A question that begins with these words.
    pub(in crate::store) fn new(engine: Engine, sql: &str) -> Self {
        Self { engine, sql: sql.to_owned(), params: Vec::new() }
    }

    /// Adds words.
    pub(in crate::store) fn sql(mut self, sql: &str) -> Self {
        self.sql.push_str(sql);
        self
    }

    /// The same question with words before it.
    #[cfg(test)]
    pub(in crate::store) fn after(self, sql: &str) -> Self {
        Self { sql: format!("{sql}{}", self.sql), ..self }
    }

    /// Adds columns to be read, separated by commas; NULL stands in for those that the table does not have, so that every
    /// answer has the same shape. Whatever is not text becomes text.
    pub(in crate::store) fn columns(self, table: &Table, prefix: &str, columns: &[&str]) -> Self {
        let is_sqlite = self.engine == Engine::Sqlite;
        let list: Vec<String> = columns
            .iter()
            .map(|column| match (table.has(column), is_sqlite) {
                (false, _) => "NULL".to_owned(),
                (true, true) => format!("{prefix}{column}"),
                // With a name of its own: ORDER BY looks among what is selected before it looks at the table, and
                // numbers and times as text have another order, which no index knows.
                (true, false) => format!("{prefix}{column}::TEXT AS text_of_{column}"),
            })
            .collect();
        self.sql(&list.join(", "))
    }

    /// Adds the newest time of the events that are grouped.
    pub(in crate::store) fn newest(self, table: &Table) -> Self {
        match (table.has("event_time"), self.engine) {
            (false, _) => self.sql("NULL"),
            (true, Engine::Sqlite) => self.sql("max(event_time)"),
            (true, Engine::Postgresql | Engine::Cockroachdb) => self.sql("max(event_time)::TEXT"),
        }
    }

    /// Adds the number of nodes in a column that holds a DAG, NULL where that is not a list. The DAG itself, which holds
    /// parameters, stays in the database.
    pub(in crate::store) fn node_count(self) -> Self {
        match self.engine {
            Engine::Sqlite => self.sql(
                "CASE WHEN json_valid(saga_dag) THEN \
                 CASE WHEN json_type(saga_dag, '$.graph.nodes') = 'array' \
                 THEN json_array_length(saga_dag, '$.graph.nodes') END END",
            ),
            Engine::Postgresql | Engine::Cockroachdb => self.sql(
                "CASE WHEN jsonb_typeof(saga_dag->'graph'->'nodes') = 'array' \
                 THEN jsonb_array_length(saga_dag->'graph'->'nodes') END",
            ),
        }
    }

    /// Adds a uuid.
    pub(in crate::store) fn uuid(self, id: Uuid) -> Self {
        self.bind(Param::Text(id.hyphenated().to_string()), "::UUID")
    }

    /// Adds a uuid as it came out of the database, which in a file may be any text.
    pub(in crate::store) fn stored_uuid(self, stored: &str) -> Self {
        self.bind(Param::Text(stored.to_owned()), "::UUID")
    }

    /// Adds a point in time as it came out of the database.
    pub(in crate::store) fn stored_time(self, stored: &str) -> Self {
        self.bind(Param::Text(stored.to_owned()), "::TIMESTAMPTZ")
    }

    /// Adds a point in time.
    pub(in crate::store) fn time(self, time: Time) -> Self {
        self.bind(Param::Text(to_stored(time)), "::TIMESTAMPTZ")
    }

    /// Adds text.
    pub(in crate::store) fn text(self, text: impl Into<String>) -> Self {
        self.bind(Param::Text(text.into()), "")
    }

    /// Adds a JSON document.
    pub(in crate::store) fn json(self, json: impl Into<String>) -> Self {
        self.bind(Param::Text(json.into()), "::JSONB")
    }

    /// Adds a number.
    pub(in crate::store) fn int(self, number: impl Into<i64>) -> Self {
        self.bind(Param::Int(number.into()), "")
    }

    /// Adds the condition that a uuid column is one of these.
    pub(in crate::store) fn among(self, column: &str, ids: &[Uuid]) -> Self {
        match self.engine {
            Engine::Sqlite => {
                let list = serde_json::to_string(ids).expect("ids are plain strings");
                self.sql(column)
                    .sql(" IN (SELECT value FROM json_each(")
                    .bind(Param::Text(list), "")
                    .sql("))")
            }
            Engine::Postgresql | Engine::Cockroachdb => {
                let list: Vec<String> = ids.iter().map(|id| id.hyphenated().to_string()).collect();
                self.sql(column)
                    .sql(" = ANY (string_to_array(")
                    .bind(Param::Text(list.join(",")), "")
                    .sql(", ',')::UUID[])")
            }
        }
    }

    /// Adds the condition that a text column is one of these.
    pub(in crate::store) fn one_of(mut self, column: &str, texts: &[&str]) -> Self {
        self = self.sql(column).sql(" IN (");
        for (index, text) in texts.iter().enumerate() {
            self = self.sql(if index > 0 { ", " } else { "" }).text(*text);
        }
        self.sql(")")
    }

    fn bind(mut self, param: Param, cast: &str) -> Self {
        let number = self.params.len() + 1;
        let typed = match (self.engine, &param) {
            (Engine::Sqlite, _) => format!("?{number}"),
            (_, Param::Text(_)) => format!("${number}::TEXT{cast}"),
            (_, Param::Int(_)) => format!("${number}::BIGINT{cast}"),
        };
        self.params.push(param);
        self.sql(&typed)
    }

    /// The finished text.
    pub(in crate::store) fn text_of(&self) -> &str {
        &self.sql
    }

    /// The values, in order.
    pub(in crate::store) fn params(&self) -> &[Param] {
        &self.params
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(engine: Engine) -> Query {
        let table =
            Table { columns: ["id", "name"].map(str::to_owned).into_iter().collect(), indexes: Vec::new() };
        Query::new(engine, "SELECT ")
            .columns(&table, "", &["id", "shoe_size"])
            .sql(" FROM saga WHERE id > ")
            .uuid(Uuid::nil())
            .sql(" AND ")
            .one_of("name", &["a", "b"])
            .sql(" LIMIT ")
            .int(7)
    }

    #[test]
    fn each_dialect_has_its_own_words_for_the_same_question() {
        assert_eq!(
            asked(Engine::Sqlite).text_of(),
            "SELECT id, NULL FROM saga WHERE id > ?1 AND name IN (?2, ?3) LIMIT ?4"
        );
        assert_eq!(
            asked(Engine::Cockroachdb).text_of(),
            "SELECT id::TEXT AS text_of_id, NULL FROM saga WHERE id > $1::TEXT::UUID AND name IN ($2::TEXT, $3::TEXT) \
             LIMIT $4::BIGINT"
        );
        assert_eq!(asked(Engine::Sqlite).params().len(), 4);
    }

    #[test]
    fn values_never_become_part_of_the_text() {
        let hostile = "'; DROP TABLE saga; --";
        for engine in [Engine::Sqlite, Engine::Postgresql] {
            let query = Query::new(engine, "SELECT 1 WHERE name = ").text(hostile);
            assert!(!query.text_of().contains("DROP"));
            assert_eq!(query.params(), [Param::Text(hostile.to_owned())]);
        }
    }
}
