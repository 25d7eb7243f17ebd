//! SQL as values, written once for all backends.
//!
//! Statements are kept to the subset that SQLite, PostgreSQL and CockroachDB share, with `$1`, `$2`, … in order of first
//! appearance (SQLite numbers named parameters that way) and enum values as literals (PostgreSQL would want a cast for a
//! parameter, which SQLite cannot parse). What differs between the backends is how a [`Value`] is stored: SQLite keeps
//! uuids and times as text so that its shell stays usable, PostgreSQL has types for them. [`Row`]'s readers take either.

use super::error::StoreError;
use crate::wire::time::{Time, to_stored};
use std::str::FromStr;
use uuid::Uuid;

/// One value on its way into or out of the database.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A number.
    Int(i64),
    /// Text.
    Text(String),
    /// Text that is part of the program, so that hot statements need not copy it.
    Static(&'static str),
    /// A uuid.
    Uuid(Uuid),
    /// A point in time.
    Time(Time),
    /// A JSON document, as text.
    Json(String),
}

impl Value {
    /// A value, or NULL for `None`.
    pub fn opt<T: Into<Value>>(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<Uuid> for Value {
    fn from(value: Uuid) -> Self {
        Self::Uuid(value)
    }
}

impl From<Time> for Value {
    fn from(value: Time) -> Self {
        Self::Time(value)
    }
}

macro_rules! value_from_id {
    ($($id:ident),*) => {
        $(impl From<crate::wire::ids::$id> for Value {
            fn from(id: crate::wire::ids::$id) -> Self {
                Self::Uuid(id.as_uuid())
            }
        })*
    };
}
value_from_id!(SagaId, SecId, ProjectId, VpcId, SubnetId, RouterId, RouteId, FirewallRuleId);

/// How many rows a statement must change for the write that holds it to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Any number.
    Any,
    /// Exactly one; none refuses the whole write with [`Rule::RowCount`](super::error::Rule::RowCount), and the text says
    /// what that means (`"the saga is no longer ours"`). It is for statements that name a whole key, so that they cannot
    /// change more than one. Backends rely on it and treat one that does as what it is, a bug, by their fatal handler.
    One(&'static str),
    /// The same for an INSERT whose row is nobody else's business: of several in a row it does not matter which comes
    /// first.
    OneOfItsOwn(&'static str),
}

impl Expect {
    /// If it must be exactly one row: what it means if there is none.
    pub fn otherwise(self) -> Option<&'static str> {
        match self {
            Self::Any => None,
            Self::One(otherwise) | Self::OneOfItsOwn(otherwise) => Some(otherwise),
        }
    }
}

/// One SQL statement with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The text; static, so that backends can keep it prepared.
    pub sql: &'static str,
    /// `$1`, `$2`, …
    pub params: Vec<Value>,
    /// How many rows it must change. Ignored for reads.
    pub expect: Expect,
}

impl Statement {
    /// A statement that may change any number of rows.
    pub fn new(sql: &'static str, params: Vec<Value>) -> Self {
        Self { sql, params, expect: Expect::Any }
    }

    /// The same, but it must change exactly one row; `otherwise` says what it means if it does not.
    pub fn changing_one(self, otherwise: &'static str) -> Self {
        Self { expect: Expect::One(otherwise), ..self }
    }

    /// The same of an INSERT whose place among others of the same text does not matter, see [`Expect::OneOfItsOwn`].
    pub fn inserting_its_own(self, otherwise: &'static str) -> Self {
        Self { expect: Expect::OneOfItsOwn(otherwise), ..self }
    }
}

/// One row of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub Vec<Value>);

impl Row {
    fn value(&self, index: usize) -> &Value {
        // Asking for a column that the statement does not have is a bug in the code beside the statement.
        self.0.get(index).expect("a column that the statement selects")
    }

    fn corrupt(index: usize, reason: impl Into<String>) -> StoreError {
        StoreError::Corrupt { column: format!("#{}", index + 1), reason: reason.into() }
    }

    /// Whether the column is NULL.
    pub fn is_null(&self, index: usize) -> bool {
        matches!(self.value(index), Value::Null)
    }

    /// A number.
    pub fn int(&self, index: usize) -> Result<i64, StoreError> {
        match self.value(index) {
            Value::Int(number) => Ok(*number),
            other => Err(Self::corrupt(index, format!("expected a number, found {}", kind(other)))),
        }
    }

    /// Text.
    pub fn text(&self, index: usize) -> Result<&str, StoreError> {
        match self.value(index) {
            Value::Text(text) | Value::Json(text) => Ok(text),
            Value::Static(text) => Ok(text),
            other => Err(Self::corrupt(index, format!("expected text, found {}", kind(other)))),
        }
    }

    /// A uuid.
    pub fn uuid(&self, index: usize) -> Result<Uuid, StoreError> {
        match self.value(index) {
            Value::Uuid(uuid) => Ok(*uuid),
            _ => self.parsed(index, "a uuid"),
        }
    }

    /// A time.
    pub fn time(&self, index: usize) -> Result<Time, StoreError> {
        match self.value(index) {
            Value::Time(time) => Ok(*time),
            _ => self.parsed(index, "a time"),
        }
    }

    /// Text that has a meaning of its own, `what` (for example `a name`).
    pub fn parsed<T: FromStr>(&self, index: usize, what: &str) -> Result<T, StoreError> {
        let text = self.text(index)?;
        text.parse().map_err(|_| Self::corrupt(index, format!("{text:?} is not {what}")))
    }

    /// A JSON document.
    pub fn json<T: serde::de::DeserializeOwned>(&self, index: usize) -> Result<T, StoreError> {
        serde_json::from_str(self.text(index)?).map_err(|error| Self::corrupt(index, error.to_string()))
    }

    /// The value, or `None` for NULL: `row.opt(3, Row::uuid)`.
    pub fn opt<'a, T>(
        &'a self,
        index: usize,
        read: impl FnOnce(&'a Self, usize) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if self.is_null(index) { Ok(None) } else { read(self, index).map(Some) }
    }
}

/// What a value is, for messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "NULL",
        Value::Int(_) => "a number",
        Value::Text(_) | Value::Static(_) | Value::Json(_) => "text",
        Value::Uuid(_) => "a uuid",
        Value::Time(_) => "a time",
    }
}

/// A time as SQLite keeps it.
pub(super) fn stored_time(time: &Time) -> String {
    to_stored(*time)
}
