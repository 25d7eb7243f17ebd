//! Statements and rows in SQLite's terms.
//!
//! This is the inner loop of every write, so values are bound from where they lie: uuids and times are spelled into a
//! buffer on the stack, and SQLite makes the only copy.

use crate::store::error::StoreError;
use crate::store::sql::{Row, Statement, Value, stored_time};
use crate::wire::time::Time;
use chrono::{Datelike, Timelike};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, PrepFlags};
use uuid::Uuid;

/// Prepares a statement to be kept, and checks that it can be bound by position.
///
/// SQLite numbers `$1`, `$2`, … by where each first appears and not by their digits. Statements are written so that the
/// two agree, and one that is not would have its values silently mixed up.
pub(super) fn prepare<'c>(
    connection: &'c Connection,
    sql: &'static str,
) -> rusqlite::Result<rusqlite::Statement<'c>> {
    let prepared = connection.prepare_with_flags(sql, PrepFlags::SQLITE_PREPARE_PERSISTENT)?;
    check_numbering(&prepared)?;
    Ok(prepared)
}

fn check_numbering(prepared: &rusqlite::Statement<'_>) -> rusqlite::Result<()> {
    for index in 1..=prepared.parameter_count() {
        let name = prepared.parameter_name(index).unwrap_or_default();
        if name.strip_prefix('$').and_then(|digits| digits.parse().ok()) != Some(index) {
            return Err(Error::InvalidParameterName(name.to_owned()));
        }
    }
    Ok(())
}

/// Binds all of a statement's values.
pub(super) fn bind(prepared: &mut rusqlite::Statement<'_>, values: &[Value]) -> rusqlite::Result<()> {
    let wanted = prepared.parameter_count();
    if values.len() != wanted {
        return Err(Error::InvalidParameterCount(values.len(), wanted));
    }
    for (index, value) in (1..).zip(values) {
        match value {
            Value::Null => prepared.raw_bind_parameter(index, rusqlite::types::Null)?,
            Value::Int(number) => prepared.raw_bind_parameter(index, number)?,
            Value::Text(text) | Value::Json(text) => prepared.raw_bind_parameter(index, text.as_str())?,
            Value::Static(text) => prepared.raw_bind_parameter(index, *text)?,
            Value::Uuid(uuid) => {
                let mut buffer = Uuid::encode_buffer();
                prepared.raw_bind_parameter(index, &*uuid.hyphenated().encode_lower(&mut buffer))?;
            }
            Value::Time(time) => {
                let mut buffer = [0; TIME_LENGTH];
                match spell_time(time, &mut buffer) {
                    Some(text) => prepared.raw_bind_parameter(index, text)?,
                    None => prepared.raw_bind_parameter(index, stored_time(time))?,
                }
            }
        }
    }
    Ok(())
}

/// Runs a read to its end.
pub(super) fn read(connection: &Connection, statement: &Statement) -> Result<Vec<Row>, ReadError> {
    let mut prepared = connection.prepare_cached(statement.sql)?;
    check_numbering(&prepared)?;
    let columns = prepared.column_count();
    bind(&mut prepared, &statement.params)?;
    let mut found = Vec::new();
    let mut rows = prepared.raw_query();
    while let Some(row) = rows.next()? {
        let mut values = Vec::with_capacity(columns);
        for index in 0..columns {
            values.push(value(row.get_ref(index)?).map_err(|reason| {
                let column = row.as_ref().column_name(index).unwrap_or("?").to_owned();
                ReadError::Value(StoreError::Corrupt { column, reason })
            })?);
        }
        found.push(Row(values));
    }
    Ok(found)
}

/// Why a read gave nothing.
pub(super) enum ReadError {
    /// SQLite could not carry it out.
    Sqlite(Error),
    /// It could, and found a value that none of our columns can hold.
    Value(StoreError),
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self::Sqlite(error)
    }
}

fn value(stored: ValueRef<'_>) -> Result<Value, String> {
    match stored {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => Ok(Value::Int(number)),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Value::Text(text.to_owned())),
            Err(_) => Err("text that is not UTF-8".to_owned()),
        },
        ValueRef::Real(number) => Err(format!("expected text or a whole number, found {number}")),
        ValueRef::Blob(bytes) => Err(format!("expected text, found {} raw bytes", bytes.len())),
    }
}

/// `2026-11-02T09:15:22.640112Z`
const TIME_LENGTH: usize = 27;

/// Spells a time as [`stored_time`] does, without its allocation and formatting machinery. `None` for what does not fit
/// the fixed width: years of other than four digits, and leap seconds.
fn spell_time<'b>(time: &Time, buffer: &'b mut [u8; TIME_LENGTH]) -> Option<&'b str> {
    let year = u32::try_from(time.year()).ok().filter(|year| *year <= 9999)?;
    let micros = Some(time.nanosecond() / 1000).filter(|micros| *micros < 1_000_000)?;
    *buffer = *b"0000-00-00T00:00:00.000000Z";
    let fields = [
        (0..4, year),
        (5..7, time.month()),
        (8..10, time.day()),
        (11..13, time.hour()),
        (14..16, time.minute()),
        (17..19, time.second()),
        (20..26, micros),
    ];
    for (range, mut number) in fields {
        for digit in buffer[range].iter_mut().rev() {
            *digit = b'0' + u8::try_from(number % 10).expect("a remainder of ten");
            number /= 10;
        }
    }
    std::str::from_utf8(buffer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spelled(time: Time) -> Option<String> {
        let mut buffer = [0; TIME_LENGTH];
        spell_time(&time, &mut buffer).map(str::to_owned)
    }

    proptest! {
        #[test]
        fn times_are_spelled_as_they_are_stored(
            secs in -62_135_596_800_i64..253_402_300_800, nanos in 0_u32..1_000_000_000,
        ) {
            let time = Time::from_timestamp(secs, nanos).expect("years 1 to 9999");
            prop_assert_eq!(spelled(time), Some(stored_time(&time)));
        }
    }

    #[test]
    fn times_that_do_not_fit_are_left_to_the_slow_way() {
        let leap_second = Time::from_timestamp(1_483_228_799, 1_500_000_000).expect("a leap second");
        assert_eq!(spelled(leap_second), None);
        assert_eq!(spelled(Time::from_timestamp(253_402_300_800, 0).expect("year 10000")), None);
        assert_eq!(spelled(Time::from_timestamp(-62_198_755_200, 0).expect("year -1")), None);
    }

    #[test]
    fn statements_that_number_their_values_out_of_order_are_refused() {
        let connection = Connection::open_in_memory().expect("a database in memory");
        for sql in ["SELECT $2, $1", "SELECT ?, ?", "SELECT $one", "SELECT $1, $3"] {
            assert!(matches!(prepare(&connection, sql), Err(Error::InvalidParameterName(_))), "{sql}");
        }
        prepare(&connection, "SELECT $1, $2, $1, $3").expect("numbered in order");
    }

    #[test]
    fn a_missing_value_is_noticed() {
        let connection = Connection::open_in_memory().expect("a database in memory");
        let mut prepared = prepare(&connection, "SELECT $1, $2").expect("it is SQL");
        assert!(matches!(bind(&mut prepared, &[Value::Int(1)]), Err(Error::InvalidParameterCount(1, 2))));
    }
}
