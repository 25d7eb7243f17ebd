//! Values in PostgreSQL's binary form. What a value is sent as follows from what the server expects in its place.

use crate::store::error::StoreError;
use crate::store::sql::{Row, Value};
use crate::wire::time::Time;
use bytes::{BufMut, BytesMut};
use std::error::Error;
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type};
use uuid::Uuid;

/// PostgreSQL counts microseconds from 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// The only version that binary JSONB has had.
const JSONB_VERSION: u8 = 1;

type BoxError = Box<dyn Error + Sync + Send>;

/// A value was given for a parameter of a type that cannot hold it: a mistake in a statement.
#[derive(Debug, thiserror::Error)]
#[error("a statement gives {value:?} for a parameter of type {expected}")]
pub(super) struct Mismatch {
    value: Value,
    expected: String,
}

/// What is given for one parameter.
#[derive(Debug)]
pub(super) enum Argument<'a> {
    /// A value.
    One(&'a Value),
    /// An array of values.
    Many(Vec<One<'a>>),
}

/// One value.
#[derive(Debug)]
pub(super) struct One<'a>(pub(super) &'a Value);

impl ToSql for Argument<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        match self {
            Self::One(value) => One(value).to_sql(ty, out),
            Self::Many(values) => values.to_sql(ty, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        self.to_sql(ty, out)
    }
}

impl ToSql for One<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        let value = self.0;
        let mismatch =
            || -> BoxError { Mismatch { value: value.clone(), expected: ty.name().to_owned() }.into() };
        match (value, ty) {
            (Value::Null, _) => return Ok(IsNull::Yes),
            (Value::Int(number), &Type::INT8) => out.put_i64(*number),
            (Value::Int(number), &Type::INT4) => out.put_i32(i32::try_from(*number).map_err(|_| mismatch())?),
            (Value::Text(text) | Value::Json(text), &Type::JSONB) => {
                out.put_u8(JSONB_VERSION);
                out.put_slice(text.as_bytes());
            }
            (Value::Text(text) | Value::Json(text), ty) if is_text(ty) => out.put_slice(text.as_bytes()),
            (Value::Static(text), ty) if is_text(ty) => out.put_slice(text.as_bytes()),
            (Value::Uuid(uuid), &Type::UUID) => out.put_slice(uuid.as_bytes()),
            (Value::Time(time), &Type::TIMESTAMPTZ) => out.put_i64(time.timestamp_micros() - EPOCH_MICROS),
            _ => return Err(mismatch()),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        self.to_sql(ty, out)
    }
}

fn is_text(ty: &Type) -> bool {
    [Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME, Type::UNKNOWN, Type::JSON].contains(ty)
}

/// A row of the server's as one of ours.
///
/// # Errors
///
/// [`StoreError::Corrupt`] for a value that none of our columns can hold.
pub(super) fn row(row: &tokio_postgres::Row) -> Result<Row, StoreError> {
    let columns = row.columns().iter().enumerate();
    let values = columns.map(|(index, column)| {
        row.try_get::<_, Read>(index).map(|Read(value)| value).map_err(|error| StoreError::Corrupt {
            column: column.name().to_owned(),
            reason: error.source().map_or_else(|| error.to_string(), ToString::to_string),
        })
    });
    Ok(Row(values.collect::<Result<_, _>>()?))
}

struct Read(Value);

impl<'a> FromSql<'a> for Read {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        let text = |raw: &'a [u8]| -> Result<String, BoxError> { Ok(std::str::from_utf8(raw)?.to_owned()) };
        Ok(Self(match *ty {
            Type::INT8 => Value::Int(i64::from_be_bytes(raw.try_into()?)),
            Type::INT4 => Value::Int(i32::from_be_bytes(raw.try_into()?).into()),
            Type::INT2 => Value::Int(i16::from_be_bytes(raw.try_into()?).into()),
            Type::BOOL => Value::Int(i64::from(raw.first().copied().unwrap_or_default())),
            Type::UUID => Value::Uuid(Uuid::from_slice(raw)?),
            Type::TIMESTAMPTZ => Value::Time(time(i64::from_be_bytes(raw.try_into()?))?),
            Type::JSON => Value::Json(text(raw)?),
            Type::JSONB => match raw.split_first() {
                Some((&JSONB_VERSION, raw)) => Value::Json(text(raw)?),
                _ => return Err("JSON in an unknown binary form".into()),
            },
            ref other if is_text(other) || matches!(other.kind(), Kind::Enum(_)) => Value::Text(text(raw)?),
            ref other => return Err(format!("expected text or a whole number, found {other}").into()),
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, BoxError> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn time(since_2000: i64) -> Result<Time, BoxError> {
    since_2000
        .checked_add(EPOCH_MICROS)
        .and_then(Time::from_timestamp_micros)
        .ok_or_else(|| "a time beyond the calendar".into())
}
