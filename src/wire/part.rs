//! Answers of several parts, each of which may be missing without taking the others away.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A part of a report that may be missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part<T> {
    /// It is there.
    Present(T),
    /// It is not, for this reason, in words for people.
    Missing(String),
}

impl<T> Part<T> {
    /// The part, if it is there.
    pub fn as_option(&self) -> Option<&T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Missing(_) => None,
        }
    }

    /// Whether it is there.
    pub fn is_present(&self) -> bool {
        matches!(self, Self::Present(_))
    }

    /// The part turned into something else, if it is there.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Part<U> {
        match self {
            Self::Present(value) => Part::Present(turn(value)),
            Self::Missing(reason) => Part::Missing(reason),
        }
    }
}
