//! Which of SQLite's errors are answers to a write, and which mean that writing is over.

use crate::store::error::{Refusal, Rule};
use rusqlite::{Error, ffi};

/// The rule that a write broke, or the error back if it was no such thing.
pub(super) fn classify(error: Error) -> Result<Refusal, Error> {
    let Error::SqliteFailure(failure, message) = &error else { return Err(error) };
    let rule = match failure.extended_code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            Rule::Unique
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Rule::ForeignKey,
        // Values of the wrong type and values beyond SQLite's size limit are out of bounds like any other.
        ffi::SQLITE_CONSTRAINT_CHECK
        | ffi::SQLITE_CONSTRAINT_NOTNULL
        | ffi::SQLITE_CONSTRAINT_DATATYPE
        | ffi::SQLITE_MISMATCH
        | ffi::SQLITE_TOOBIG => Rule::Check,
        ffi::SQLITE_CONSTRAINT_TRIGGER => Rule::Trigger,
        _ => return Err(error),
    };
    let message = message.as_deref().unwrap_or("no further word from SQLite");
    // "UNIQUE constraint failed: saga.id" is the name after a preface; a trigger's text and "FOREIGN KEY constraint
    // failed", which names nothing, come as they are.
    let what = match message.split_once(" constraint failed: ") {
        Some((_, name)) if rule != Rule::Trigger => name,
        _ => message,
    };
    Ok(Refusal { rule, what: what.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    fn refusal(sql: &str) -> Result<(Rule, String), Error> {
        let connection = Connection::open_in_memory().expect("a database in memory");
        connection
            .execute_batch(
                "PRAGMA foreign_keys = ON;
                 CREATE TABLE parent (id TEXT PRIMARY KEY) STRICT;
                 CREATE TABLE child (
                     id INTEGER PRIMARY KEY, parent TEXT REFERENCES parent (id), size INTEGER NOT NULL,
                     CONSTRAINT size_is_small CHECK (size < 10), UNIQUE (parent, size)
                 ) STRICT;
                 CREATE UNIQUE INDEX child_half ON child (size / 2);
                 CREATE TRIGGER no_nines BEFORE INSERT ON child WHEN new.size = 9
                 BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: nine is taken'); END;
                 INSERT INTO parent VALUES ('p');
                 INSERT INTO child VALUES (1, 'p', 1);",
            )
            .expect("the schema of this test");
        let error = connection.execute(sql, []).expect_err("a refusal");
        classify(error).map(|refusal| (refusal.rule, refusal.what))
    }

    #[test]
    fn constraints_are_refusals_and_name_themselves() {
        let table = [
            ("INSERT INTO parent VALUES ('p')", Rule::Unique, "parent.id"),
            ("INSERT INTO child VALUES (1, NULL, 7)", Rule::Unique, "child.id"),
            ("INSERT INTO child VALUES (2, 'p', 1)", Rule::Unique, "index 'child_half'"),
            ("INSERT INTO child VALUES (2, 'q', 4)", Rule::ForeignKey, "FOREIGN KEY constraint failed"),
            ("INSERT INTO child VALUES (2, 'p', 10)", Rule::Check, "size_is_small"),
            ("INSERT INTO child VALUES (2, 'p', NULL)", Rule::Check, "child.size"),
            (
                "INSERT INTO child VALUES (2, 'p', 'x')",
                Rule::Check,
                "cannot store TEXT value in INTEGER column child.size",
            ),
            ("INSERT INTO child VALUES (2, 'p', 9)", Rule::Trigger, "CHECK constraint failed: nine is taken"),
        ];
        for (sql, rule, what) in table {
            assert_eq!(refusal(sql).expect(sql), (rule, what.to_owned()), "{sql}");
        }
    }

    #[test]
    fn other_errors_are_no_refusals() {
        refusal("INSERT INTO nowhere VALUES (1)").expect_err("no such table");
    }
}
