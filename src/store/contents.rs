//! What is in a database besides the sagas themselves, table by table, as text: what drills compare.

use std::collections::BTreeMap;

/// All tables, by name.
pub type Contents = BTreeMap<String, Table>;

/// One table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Names of its columns.
    pub columns: Vec<String>,
    /// Its rows, in no meaningful order, each as wide as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// Whether a table belongs to the coordinator itself: it differs from run to run and is no effect of a saga.
pub fn is_bookkeeping(table: &str) -> bool {
    BOOKKEEPING.contains(&table)
}

const BOOKKEEPING: [&str; 5] = ["saga", "saga_node_event", "sec", "idempotency_key", "sagactl_schema"];
