//! What a database turned out to be: whose, which columns it has, which indexes. Found out once, when it is opened.

use std::collections::BTreeSet;
use std::fmt;

/// A database that can be looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Where it is, without a password.
    pub url: String,
    /// What runs it.
    pub engine: Engine,
    /// Who made its schema.
    pub origin: Origin,
    /// Table `saga`.
    pub saga: Option<Table>,
    /// Table `saga_node_event`.
    pub event: Option<Table>,
    /// Table `sec`, which ours has.
    pub sec: Option<Table>,
    /// Table `db_metadata_nexus`, which newer Nexuses have.
    pub nexus: Option<Table>,
}

/// What runs a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file.
    Sqlite,
    /// A PostgreSQL server.
    Postgresql,
    /// A CockroachDB server or cluster.
    Cockroachdb,
}

/// Who made a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This program.
    Sagactl {
        /// The version of the schema.
        version: i64,
    },
    /// An Oxide Nexus, or something that took over its table `db_metadata`.
    Nexus {
        /// The schema's version.
        version: String,
        /// The version that it is being brought to; a migration is under way or was cut off.
        target_version: Option<String>,
    },
    /// It does not say. The tables are of the right shape.
    Unnamed,
}

/// A table as far as the tool knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Its columns.
    pub columns: BTreeSet<String>,
    /// Its indexes, with that of the primary key.
    pub indexes: Vec<Index>,
}

/// An index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its columns, in order.
    pub columns: Vec<String>,
    /// What rows must satisfy to be in it, as the database spells it; `None` if all are.
    pub predicate: Option<String>,
}

/// Columns of `saga` that the tool reads.
pub(in crate::store) const SAGA_COLUMNS: [&str; 12] = [
    "id",
    "creator",
    "time_created",
    "name",
    "saga_dag",
    "saga_state",
    "current_sec",
    "adopt_generation",
    "adopt_time",
    "abandon_time",
    "abandon_reason",
    "abandon_comment",
];

/// Columns of `saga_node_event` that the tool reads.
pub(in crate::store) const EVENT_COLUMNS: [&str; 6] =
    ["saga_id", "node_id", "event_type", "data", "event_time", "creator"];

impl Table {
    /// Whether it has a column.
    pub fn has(&self, column: &str) -> bool {
        self.columns.contains(column)
    }

    /// Whether an index that holds every row begins with these columns.
    pub fn is_indexed_by(&self, columns: &[&str]) -> bool {
        self.indexes.iter().any(|index| index.predicate.is_none() && index.begins_with(columns))
    }

    /// Whether an index that holds only some rows begins with these columns, and `is_it` recognises which rows.
    pub fn is_partly_indexed_by(&self, columns: &[&str], is_it: impl Fn(&str) -> bool) -> bool {
        self.indexes
            .iter()
            .any(|index| index.predicate.as_deref().is_some_and(&is_it) && index.begins_with(columns))
    }
}

impl Index {
    fn begins_with(&self, columns: &[&str]) -> bool {
        columns.len() <= self.columns.len()
            && self.columns.iter().zip(columns).all(|(has, wanted)| has == wanted)
    }

    /// Reads the statement that makes the index, as SQLite, PostgreSQL and CockroachDB print it.
    pub(super) fn parse(definition: &str) -> Option<Self> {
        let (head, rest) = definition.split_once('(')?;
        if !head.to_ascii_uppercase().contains("INDEX") {
            return None;
        }
        let (list, rest) = rest.split_once(')')?;
        let columns = list.split(',').map(|column| {
            // `time_created DESC`, `"id"`, `id ASC`: the name comes first.
            let name = column.split_whitespace().next().unwrap_or_default();
            name.trim_matches(['"', '`', '[', ']']).to_ascii_lowercase()
        });
        let upper = rest.to_ascii_uppercase();
        let predicate = upper.find("WHERE").map(|at| rest[at + "WHERE".len()..].trim().to_owned());
        Some(Self { columns: columns.collect(), predicate })
    }
}

impl Source {
    /// Whether this program made it, so that its coordinators keep the rules of this program.
    pub fn is_ours(&self) -> bool {
        matches!(self.origin, Origin::Sagactl { .. })
    }

    /// Whether unfinished sagas can be found without reading all others.
    pub fn has_unfinished_index(&self) -> bool {
        self.saga.as_ref().is_some_and(|saga| {
            saga.is_partly_indexed_by(&["current_sec", "id"], |predicate| {
                predicate.contains("saga_state") && predicate.contains("done")
            })
        })
    }

    /// Whether sagas can be read newest first without reading and sorting all.
    pub fn has_time_index(&self) -> bool {
        self.saga.as_ref().is_some_and(|saga| saga.is_indexed_by(&["time_created", "id"]))
    }

    /// Whether sagas of one name can be read newest first.
    pub fn has_name_index(&self) -> bool {
        self.saga.as_ref().is_some_and(|saga| saga.is_indexed_by(&["name", "time_created", "id"]))
    }

    /// Whether failures can be read newest first.
    pub fn has_failure_index(&self) -> bool {
        self.event.as_ref().is_some_and(|event| {
            event.is_partly_indexed_by(&["event_time"], |predicate| {
                predicate.contains("failed") && predicate.contains("undo_failed")
            })
        })
    }

    /// What a reader should know of the database before believing an empty column: tables and columns that are missing.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (name, table, columns) in
            [("saga", &self.saga, &SAGA_COLUMNS[..]), ("saga_node_event", &self.event, &EVENT_COLUMNS[..])]
        {
            match table {
                None => missing.push(format!("table {name}")),
                Some(table) => missing.extend(
                    columns
                        .iter()
                        .filter(|column| !table.has(column))
                        .map(|column| format!("column {name}.{column}")),
                ),
            }
        }
        if self.sec.is_none() && self.nexus.is_none() {
            missing.push("table sec or db_metadata_nexus".to_owned());
        }
        missing
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.url, self.origin)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sagactl { version } => write!(f, "sagactl schema {version}"),
            Self::Nexus { version, target_version: None } => write!(f, "Nexus schema {version}"),
            Self::Nexus { version, target_version: Some(target) } => {
                write!(f, "Nexus schema {version}, being migrated to {target}")
            }
            Self::Unnamed => f.write_str("unnamed schema"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_of_indexes_are_read_as_each_database_prints_them() {
        let table: [(&str, &[&str], Option<&str>); 5] = [
            ("CREATE INDEX saga_by_time ON saga (time_created, id)", &["time_created", "id"], None),
            (
                "CREATE UNIQUE INDEX lookup_saga_by_sec ON saga (current_sec, id) WHERE saga_state <> 'done'",
                &["current_sec", "id"],
                Some("saga_state <> 'done'"),
            ),
            (
                "CREATE UNIQUE INDEX lookup_saga_by_sec ON public.saga USING btree (current_sec, id) \
                 WHERE (saga_state <> 'done'::saga_state)",
                &["current_sec", "id"],
                Some("(saga_state <> 'done'::saga_state)"),
            ),
            (
                "CREATE UNIQUE INDEX lookup_saga_by_sec ON omicron.public.saga USING btree (current_sec ASC, id ASC) \
                 WHERE (saga_state != 'done'::public.saga_state)",
                &["current_sec", "id"],
                Some("(saga_state != 'done'::public.saga_state)"),
            ),
            ("create index i on saga (\"Name\" desc)", &["name"], None),
        ];
        for (definition, columns, predicate) in table {
            let index = Index::parse(definition).expect(definition);
            assert_eq!(index.columns, columns, "{definition}");
            assert_eq!(index.predicate.as_deref(), predicate, "{definition}");
        }
        assert_eq!(Index::parse("CREATE TABLE saga (id TEXT)"), None);
    }

    #[test]
    fn an_index_serves_what_it_begins_with() {
        let whole = Index { columns: vec!["time_created".into(), "id".into()], predicate: None };
        let part = Index { columns: vec!["name".into()], predicate: Some("x".into()) };
        let table = Table { columns: BTreeSet::new(), indexes: vec![whole, part] };
        assert!(table.is_indexed_by(&["time_created"]));
        assert!(table.is_indexed_by(&["time_created", "id"]));
        assert!(!table.is_indexed_by(&["id"]));
        assert!(!table.is_indexed_by(&["name"]), "it does not hold every row");
        assert!(table.is_partly_indexed_by(&["name"], |predicate| predicate == "x"));
    }

    #[test]
    fn fuzzed_definitions_of_indexes_are_read_or_left() {
        let seeds = [
            "CREATE UNIQUE INDEX a ON saga (time_created DESC, \"id\") WHERE saga_state != 'done'",
            "CREATE INDEX b ON public.saga USING btree (current_sec, id) STORING (name)",
        ];
        crate::fuzz::fuzz_text(&seeds, |text, _| {
            if let Some(index) = Index::parse(text) {
                assert!(!index.columns.is_empty());
            }
        });
    }
}
