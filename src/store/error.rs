//! What can go wrong with the database, by what a caller does about it.

use std::{fmt, io};

/// A write or a read that did not happen as asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database said no to the data itself; nothing of the write was applied. Trying again changes nothing.
    #[error("refused by the database: {0}")]
    Refused(Refusal),
    /// An earlier write of the same saga that nobody waited for was refused, so this one was not applied either.
    #[error("not applied, because an earlier write of the same saga was refused: {0}")]
    Derailed(Refusal),
    /// A stored value is not what its column promises.
    #[error("unreadable value in column {column} ({reason})")]
    Corrupt {
        /// Which column.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The database is of another schema version, or not ours at all.
    #[error("{0}")]
    WrongSchema(String),
    /// The database cannot be used as it is: not there, not a database, no permission.
    #[error("{0}")]
    Unusable(String),
    /// The database could not be reached or did not answer in time; trying again may help.
    #[error("{0}")]
    Unavailable(String),
}

impl StoreError {
    /// Whether trying the same again may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// For a thread that could not be started.
    pub(super) fn no_thread(error: io::Error) -> Self {
        Self::Unavailable(format!("cannot start a thread: {error}"))
    }
}

/// Which rule of the database a write broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of rule.
    pub rule: Rule,
    /// What the database calls it: a constraint, an index, `table.column`, or the text of a trigger.
    pub what: String,
}

/// The kinds of rules that a database holds writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Something with this key is there already.
    Unique,
    /// What it refers to is not there.
    ForeignKey,
    /// A value out of its bounds, or missing.
    Check,
    /// A trigger said no, for example because two subnets would overlap.
    Trigger,
    /// The statement was to change a given number of rows and would have changed another, see
    /// [`Expect`](super::sql::Expect).
    RowCount,
}

impl Refusal {
    /// Whether it was because the saga is not this SEC's any more.
    pub fn is_fence(&self) -> bool {
        self.rule == Rule::RowCount && self.what == super::sagas::NOT_OURS
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = match self.rule {
            Rule::Unique => "not unique",
            Rule::ForeignKey => "refers to something that is not there",
            Rule::Check => "out of bounds",
            Rule::Trigger => "not allowed",
            Rule::RowCount => "would not change the rows expected",
        };
        write!(f, "{rule}: {}", self.what)
    }
}
