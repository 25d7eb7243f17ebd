//! What a column of somebody's database holds, be it what belongs there or not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a column of one row holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Field<T> {
    /// A value.
    Value(T),
    /// SQL NULL.
    Null,
    /// This database has no such column.
    NoColumn,
    /// Something that is not what belongs there.
    Unreadable {
        /// As it is stored, shortened if long. Not trusted.
        raw: String,
        /// What is wrong with it, in words.
        reason: String,
    },
}

impl<T> Field<T> {
    /// The value, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            _ => None,
        }
    }
}
