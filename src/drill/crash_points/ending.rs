//! How a saga ended and what it left, and in what two endings differ. Pure.

use crate::store::contents::{Contents, Table};
use crate::store::sagas::Event;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How a saga came to rest, as its log tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With all its effects.
    Succeeded,
    /// Unwound.
    Failed,
    /// An undo action failed.
    Stuck,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Stuck => "stuck",
        })
    }
}

/// A saga at rest, with what is in the database then.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// Its log.
    pub events: Vec<Event>,
    /// All tables but the coordinator's own.
    pub contents: Contents,
}

impl Ending {
    /// How it came to rest.
    pub fn outcome(&self) -> Outcome {
        if self.events.iter().any(|event| event.event_type == "undo_failed") {
            Outcome::Stuck
        } else if self.events.iter().any(|event| event.event_type == "failed") {
            Outcome::Failed
        } else {
            Outcome::Succeeded
        }
    }

    /// Nodes with an event of this type.
    pub fn nodes_with(&self, event_type: &str) -> BTreeSet<u32> {
        self.events
            .iter()
            .filter(|event| event.event_type == event_type)
            .map(|event| event.node_id.0)
            .collect()
    }

    /// The first event of a type.
    pub fn first(&self, event_type: &str) -> Option<&Event> {
        self.events.iter().find(|event| event.event_type == event_type)
    }
}

/// Columns whose values differ from run to run although nothing went wrong: times and random ids that a saga makes itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volatile {
    columns: BTreeSet<(String, usize)>,
}

impl Volatile {
    /// What differs between two runs of the same saga on the same database.
    pub fn between(one: &Contents, other: &Contents) -> Self {
        let mut columns = BTreeSet::new();
        for (name, table) in one {
            let Some(counterpart) = other.get(name) else { continue };
            for index in 0..table.columns.len() {
                if column(table, index) != column(counterpart, index) {
                    columns.insert((name.clone(), index));
                }
            }
        }
        Self { columns }
    }

    fn mask(&self, name: &str, row: &[String]) -> Vec<String> {
        row.iter()
            .enumerate()
            .map(|(index, value)| {
                if self.columns.contains(&(name.to_owned(), index)) {
                    "(varies)".to_owned()
                } else {
                    value.clone()
                }
            })
            .collect()
    }
}

/// The values of one column, in order of their size.
fn column(table: &Table, index: usize) -> Vec<&String> {
    let mut values: Vec<_> = table.rows.iter().filter_map(|row| row.get(index)).collect();
    values.sort();
    values
}

/// A difference in the rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowsDiffer {
    /// Which.
    pub table: String,
    /// Rows that should not be there, shortened.
    pub extra: Vec<String>,
    /// Rows that should be there, shortened.
    pub missing: Vec<String>,
}

impl fmt::Display for RowsDiffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, extra, missing } = self;
        write!(f, "table {table}:")?;
        for (rows, word) in [(extra, "too many"), (missing, "missing")] {
            if let Some(first) = rows.first() {
                write!(f, " {} {word} ({first}{})", rows.len(), if rows.len() > 1 { ", ..." } else { "" })?;
            }
        }
        Ok(())
    }
}

/// In what the rows differ from what is expected, table by table.
pub fn differences(expected: &Contents, found: &Contents, volatile: &Volatile) -> Vec<RowsDiffer> {
    let nothing = Table::default();
    let names: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let expected = expected.get(name).unwrap_or(&nothing);
            let found = found.get(name).unwrap_or(&nothing);
            let columns = if found.columns.is_empty() { &expected.columns } else { &found.columns };
            let mut balance: BTreeMap<Vec<String>, i64> = BTreeMap::new();
            for row in &found.rows {
                *balance.entry(volatile.mask(name, row)).or_default() += 1;
            }
            for row in &expected.rows {
                *balance.entry(volatile.mask(name, row)).or_default() -= 1;
            }
            let mut differ = RowsDiffer { table: name.clone(), extra: Vec::new(), missing: Vec::new() };
            for (row, balance) in balance {
                let times = usize::try_from(balance.unsigned_abs()).unwrap_or(usize::MAX);
                let rows = if balance > 0 { &mut differ.extra } else { &mut differ.missing };
                rows.extend(std::iter::repeat_n(describe(columns, &row), times));
            }
            (!differ.extra.is_empty() || !differ.missing.is_empty()).then_some(differ)
        })
        .collect()
}

/// Columns shown of a row: enough to tell it from others.
const SHOWN_COLUMNS: usize = 4;

fn describe(columns: &[String], row: &[String]) -> String {
    let shown = columns.iter().zip(row).take(SHOWN_COLUMNS);
    shown.map(|(column, value)| format!("{column}={value}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contents(rows: &[(&str, &str)]) -> Contents {
        let rows = rows.iter().map(|(id, name)| vec![(*id).to_owned(), (*name).to_owned()]).collect();
        let columns = vec!["id".to_owned(), "name".to_owned()];
        Contents::from([("subnet".to_owned(), Table { columns, rows })])
    }

    #[test]
    fn rows_too_many_and_rows_missing_are_told() {
        let expected = contents(&[("1", "a"), ("2", "b")]);
        let found = contents(&[("2", "b"), ("2", "b"), ("3", "c")]);
        let differ = differences(&expected, &found, &Volatile::default());
        assert_eq!(
            differ.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["table subnet: 2 too many (id=2 name=b, ...) 1 missing (id=1 name=a)"]
        );
        let differ = differences(&expected, &Contents::new(), &Volatile::default());
        assert_eq!(differ.first().map(|differ| differ.missing.len()), Some(2));
    }

    #[test]
    fn what_varies_by_itself_is_no_difference_but_its_number_is() {
        let (one, other) = (contents(&[("1", "a"), ("2", "b")]), contents(&[("7", "a"), ("8", "b")]));
        let volatile = Volatile::between(&one, &other);
        assert_eq!(differences(&one, &other, &volatile), []);
        let more = contents(&[("7", "a"), ("8", "b"), ("9", "b")]);
        assert_eq!(differences(&one, &more, &volatile).len(), 1);
    }

    proptest! {
        #[test]
        fn order_makes_no_difference_and_anything_else_does(
            rows in proptest::collection::vec((0_u8..4, 0_u8..4), 1..8),
            lost in any::<proptest::sample::Index>(),
        ) {
            let text = |rows: &[(u8, u8)]| Contents::from([("t".to_owned(), Table {
                columns: vec!["a".to_owned(), "b".to_owned()],
                rows: rows.iter().map(|(a, b)| vec![a.to_string(), b.to_string()]).collect(),
            })]);
            let mut turned = rows.clone();
            turned.reverse();
            prop_assert_eq!(differences(&text(&rows), &text(&turned), &Volatile::default()), []);
            turned.remove(lost.index(rows.len()));
            let differ = differences(&text(&rows), &text(&turned), &Volatile::default());
            prop_assert_eq!(differ.iter().map(|differ| differ.missing.len()).sum::<usize>(), 1);
            prop_assert_eq!(differ.iter().map(|differ| differ.extra.len()).sum::<usize>(), 0);
        }
    }
}
