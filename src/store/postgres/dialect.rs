//! Statements of the shared subset as PostgreSQL is to see them.
//!
//! # Comments that are not
//!
//! What PostgreSQL needs to be told and SQLite cannot parse stands in the shared texts as `/*pg … */`. To SQLite that is a
//! comment; here it becomes part of the statement.
//!
//! # One statement for many
//!
//! Most of what a busy coordinator writes is the same few statements over and over, each for another saga, and most of what
//! a statement costs is overhead: messages, a snapshot, the executor's start. So statements with the same text are carried
//! out as one whose parameters are arrays, read as a table `given` with a column per parameter:
//!
//! ```text
//!   INSERT INTO t (a, b) VALUES ($1, $2) …          INSERT INTO t (a, b) SELECT given.c1, given.c2
//!                                                     FROM unnest($1::uuid[], $2::text[]) AS given (c1, c2) …
//!   INSERT INTO t (a, b) SELECT $1, p.b FROM p …    INSERT INTO t (a, b) SELECT given.c1, p.b
//!                                                     FROM unnest(…) AS given (…), p …
//!   SELECT 1 FROM t WHERE id = $1 …                 SELECT 1 FROM unnest(…) AS given (…), t WHERE id = given.c1 …
//!   UPDATE t SET a = $1 WHERE id = $2               UPDATE t SET a = given.c1 FROM unnest(…) AS given (…)
//!                                                     WHERE id = given.c2
//! ```
//!
//! What a row is to do about one that is there already (`ON CONFLICT …`) is left out at first. To look for it before
//! inserting takes a search of its own, and nearly always finds nothing. If there is one, nothing of the whole statement is
//! done, and the writer tries again with the clause.
//!
//! Only how many rows were changed in all comes back. [`can_be_grouped`] therefore admits only statements of which each
//! changes exactly one row or is refused. If the sum is not the number of statements, or if the database refuses, nobody
//! can tell whose fault it is, and the writer finds out by trying fewer at a time.

use crate::store::sql::Statement;
use std::borrow::Cow;
use std::fmt::Write as _;

/// The shared text as PostgreSQL is to see it.
pub(super) fn translate(sql: &str) -> Cow<'_, str> {
    let mut rest = sql;
    let mut translated = String::new();
    while let Some((before, after)) = rest.split_once("/*pg ") {
        let (inside, behind) = after.split_once("*/").unwrap_or((after, ""));
        translated.push_str(before);
        translated.push_str(inside);
        rest = behind;
    }
    if translated.is_empty() {
        return Cow::Borrowed(sql);
    }
    translated.push_str(rest);
    Cow::Owned(translated)
}

/// Whether statements of this text may be carried out as one.
pub(super) fn can_be_grouped(statement: &Statement) -> bool {
    let changes_one = statement.expect.otherwise().is_some();
    let shape = Shape::of(statement.sql);
    match shape {
        // A list of values makes a row or is refused, unless it says what else to do about a conflict; then the count tells.
        Some(Shape::InsertValues { .. }) => true,
        Some(Shape::Select { .. } | Shape::Update { .. }) => changes_one,
        None => false,
    }
}

/// What a group of statements does about rows that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Conflicts {
    /// It is refused as a whole.
    Refused,
    /// What the statements say.
    Resolved,
}

/// The text for many, given the names of the parameters' types.
pub(super) fn grouped(sql: &str, types: &[&str], conflicts: Conflicts) -> Option<String> {
    let arrays: Vec<String> = (1..).zip(types).map(|(number, name)| format!("${number}::{name}[]")).collect();
    let columns: Vec<String> = (1..=types.len()).map(|number| format!("c{number}")).collect();
    let given = format!("unnest({}) AS given ({})", arrays.join(", "), columns.join(", "));
    let resolved = |tail| if conflicts == Conflicts::Resolved { tail } else { "" };
    let grouped = match Shape::of(sql)? {
        Shape::InsertValues { head, values, tail } => {
            format!("{head}SELECT {} FROM {given}{}", by_column(values), resolved(tail))
        }
        Shape::Select { head, list, rest, tail } => {
            format!("{head}{} FROM {given}, {}{}", by_column(list), by_column(rest), resolved(tail))
        }
        Shape::Update { head, condition } => {
            format!("{} FROM {given} WHERE {}", by_column(head), by_column(condition))
        }
    };
    Some(translate(&grouped).into_owned())
}

/// The parts of a statement between which the table of parameters is put.
enum Shape<'s> {
    /// `INSERT INTO t (…) ` `VALUES (` values `)` tail
    InsertValues { head: &'s str, values: &'s str, tail: &'s str },
    /// `INSERT INTO t (…) ` `SELECT list` ` FROM ` rest tail; without the first part a question
    Select { head: &'s str, list: &'s str, rest: &'s str, tail: &'s str },
    /// `UPDATE t SET …` ` WHERE ` condition
    Update { head: &'s str, condition: &'s str },
}

impl<'s> Shape<'s> {
    fn of(sql: &'s str) -> Option<Self> {
        if sql.starts_with("UPDATE ") {
            let (head, condition) = sql.split_once(" WHERE ")?;
            return Some(Self::Update { head, condition });
        }
        if sql.starts_with("SELECT ") {
            let (list, rest) = sql.split_once(" FROM ")?;
            return Some(Self::Select { head: "", list, rest, tail: "" });
        }
        if !sql.starts_with("INSERT INTO ") {
            return None;
        }
        let (body, tail) = sql.split_at(sql.find(" ON CONFLICT ").unwrap_or(sql.len()));
        // A parameter behind the conflict would be out of reach of the table.
        if tail.contains('$') {
            return None;
        }
        let columns_end = body.find(") ")? + 2;
        let (head, source) = body.split_at(columns_end);
        if let Some(values) = source.strip_prefix("VALUES (") {
            // More than one list would end before the last parenthesis, and be followed by a comma.
            let values = values.strip_suffix(')').filter(|values| closes_nothing(values))?;
            return Some(Self::InsertValues { head, values, tail });
        }
        let (list, rest) = source.split_once(" FROM ")?;
        list.starts_with("SELECT ").then_some(Self::Select { head, list, rest, tail })
    }
}

/// Whether no parenthesis is closed that was not opened in the same text.
fn closes_nothing(text: &str) -> bool {
    let mut open = 0_usize;
    text.bytes().all(|byte| match byte {
        b'(' => {
            open += 1;
            true
        }
        b')' => open.checked_sub(1).map(|less| open = less).is_some(),
        _ => true,
    })
}

/// Puts `given.c3` for `$3`.
fn by_column(text: &str) -> String {
    let mut replaced = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = after.split_at(digits);
        let _ = write!(replaced, "{before}given.c{number}");
        rest = behind;
    }
    replaced + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_for_postgresql_become_part_of_the_statement() {
        assert_eq!(translate("SELECT 1"), "SELECT 1");
        assert_eq!(
            translate("SELECT a/*pg ::TEXT*/ FROM t /*pg FOR SHARE*/ LIMIT 1 /* said */"),
            "SELECT a::TEXT FROM t FOR SHARE LIMIT 1 /* said */"
        );
    }

    #[test]
    fn parameters_become_columns() {
        let table = [
            (
                "INSERT INTO t (a, b) VALUES ($1, (SELECT x FROM s WHERE id = $2 /*pg FOR SHARE*/)) \
                 ON CONFLICT (a) DO UPDATE SET b = t.b",
                "INSERT INTO t (a, b) SELECT given.c1, (SELECT x FROM s WHERE id = given.c2 FOR SHARE) \
                 FROM unnest($1::uuid[], $2::text[]) AS given (c1, c2) ON CONFLICT (a) DO UPDATE SET b = t.b",
            ),
            (
                "INSERT INTO t (a, b, c) SELECT $1, s.b, $1 FROM s WHERE s.id = $2 AND (x OR y)",
                "INSERT INTO t (a, b, c) SELECT given.c1, s.b, given.c1 \
                 FROM unnest($1::uuid[], $2::text[]) AS given (c1, c2), s WHERE s.id = given.c2 AND (x OR y)",
            ),
            (
                "UPDATE t SET a = $1 WHERE id = $2 AND b <> 'x'",
                "UPDATE t SET a = given.c1 FROM unnest($1::uuid[], $2::text[]) AS given (c1, c2) \
                 WHERE id = given.c2 AND b <> 'x'",
            ),
        ];
        for (one, many) in table {
            assert_eq!(grouped(one, &["uuid", "text"], Conflicts::Resolved).as_deref(), Some(many));
            let without = many.split_once(" ON CONFLICT").map_or(many, |(before, _)| before);
            assert_eq!(grouped(one, &["uuid", "text"], Conflicts::Refused).as_deref(), Some(without));
        }
    }

    #[test]
    fn what_cannot_be_counted_is_not_grouped() {
        let any = |sql| Statement::new(sql, Vec::new());
        for sql in [
            "DELETE FROM t WHERE id = $1",
            "SELECT 1 WHERE $1",
            "UPDATE t SET a = $1",
            "INSERT INTO t (a) VALUES ($1), ($2)",
            "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = $2",
        ] {
            assert!(!can_be_grouped(&any(sql).changing_one("one")), "{sql}");
        }
        for sql in ["UPDATE t SET a = $1 WHERE id = $2", "INSERT INTO t (a) SELECT $1 FROM s WHERE id = $2"] {
            assert!(!can_be_grouped(&any(sql)), "{sql}");
            assert!(can_be_grouped(&any(sql).changing_one("one")), "{sql}");
        }
        assert!(can_be_grouped(&any("INSERT INTO t (a) VALUES ($1)")));
    }
}
