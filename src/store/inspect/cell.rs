//! Stored values as they come, and what the tool makes of them: nothing that is found in a column is an error.

use crate::wire::field::Field;
use crate::wire::time::Time;
use chrono::{DateTime, Utc};
use std::str::FromStr;

/// Most characters of an unreadable value that are kept to be shown.
const RAW_SHOWN: usize = 200;

/// A value as a database hands it out, before anybody believes it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) enum Cell {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    /// Bytes that are not text, as far as they are shown, and how many there are.
    Bytes(String, usize),
}

impl Cell {
    /// Bytes that should have been text.
    pub(super) fn bytes(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => {
                let beginning = &bytes[..bytes.len().min(RAW_SHOWN)];
                Self::Bytes(String::from_utf8_lossy(beginning).into_owned(), bytes.len())
            }
        }
    }

    /// The text, if it is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, also where it is spelled as text.
    pub(super) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A count, which a database cannot get wrong; anything else counts as nothing.
    pub(super) fn count(&self) -> u64 {
        self.as_int().and_then(|count| u64::try_from(count).ok()).unwrap_or(0)
    }

    /// Text of any meaning.
    pub(super) fn text(self) -> Field<String> {
        match self {
            Self::Null => Field::Null,
            Self::Text(text) => Field::Value(text),
            Self::Int(number) => unreadable(&number.to_string(), "a number where text belongs"),
            Self::Real(number) => unreadable(&number.to_string(), "a number where text belongs"),
            Self::Bytes(shown, length) => {
                unreadable(&shown, format!("{length} bytes that are not UTF-8 text"))
            }
        }
    }

    /// A JSON document. A file whose column has another type than text may keep a bare number as one.
    pub(super) fn json(self) -> Field<String> {
        match self {
            Self::Int(number) => Field::Value(number.to_string()),
            Self::Real(number) => Field::Value(number.to_string()),
            other => other.text(),
        }
    }

    /// A whole number.
    pub(super) fn int(self) -> Field<i64> {
        match self {
            Self::Null => Field::Null,
            Self::Int(number) => Field::Value(number),
            Self::Text(text) => match text.parse() {
                Ok(number) => Field::Value(number),
                Err(_) => unreadable(&text, "not a whole number"),
            },
            Self::Real(number) => unreadable(&number.to_string(), "not a whole number"),
            Self::Bytes(shown, _) => unreadable(&shown, "bytes where a number belongs"),
        }
    }

    /// Text that spells something, `what` (for example `a uuid`).
    pub(super) fn parsed<T: FromStr>(self, what: &str) -> Field<T> {
        self.read(|text| text.parse().ok(), what)
    }

    /// A point in time.
    pub(super) fn time(self) -> Field<Time> {
        self.read(parse_time, "a time")
    }

    fn read<T>(self, parse: impl FnOnce(&str) -> Option<T>, what: &str) -> Field<T> {
        match self.text() {
            Field::Value(text) => match parse(&text) {
                Some(value) => Field::Value(value),
                None => unreadable(&text, format!("not {what}")),
            },
            Field::Null => Field::Null,
            Field::NoColumn => Field::NoColumn,
            Field::Unreadable { raw, reason } => Field::Unreadable { raw, reason },
        }
    }
}

fn unreadable<T>(raw: &str, reason: impl Into<String>) -> Field<T> {
    let mut shown: String = raw.chars().take(RAW_SHOWN).collect();
    if raw.chars().nth(RAW_SHOWN).is_some() {
        shown.push('…');
    }
    Field::Unreadable { raw: shown, reason: reason.into() }
}

/// RFC 3339, or what PostgreSQL's and SQLite's shells print, which counts as UTC where it names no zone.
fn parse_time(text: &str) -> Option<Time> {
    let spelled = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(spelled) {
        return Some(time.with_timezone(&Utc));
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"] {
        if let Ok(time) = DateTime::parse_from_str(spelled, format) {
            return Some(time.with_timezone(&Utc));
        }
    }
    let without_zone = chrono::NaiveDateTime::parse_from_str(spelled, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Some(without_zone.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ids::SagaId;

    #[test]
    fn times_are_read_as_either_database_prints_them() {
        let expected: Time = "2024-07-12T18:33:34.620Z".parse().expect("a time");
        for text in [
            "2024-07-12T18:33:34.620Z",
            "2024-07-12T18:33:34.620000Z",
            "2024-07-12T20:33:34.62+02:00",
            "2024-07-12 18:33:34.62+00",
            "2024-07-12 18:33:34.62",
        ] {
            assert_eq!(Cell::Text(text.to_owned()).time(), Field::Value(expected), "{text}");
        }
        assert!(matches!(Cell::Text("infinity".to_owned()).time(), Field::Unreadable { .. }));
    }

    #[test]
    fn what_does_not_belong_there_is_kept_to_be_shown() {
        let reason = |field: Field<SagaId>| match field {
            Field::Unreadable { raw, reason } => format!("{raw}: {reason}"),
            other => panic!("{other:?} was readable"),
        };
        assert_eq!(reason(Cell::Text("x7".to_owned()).parsed("a uuid")), "x7: not a uuid");
        assert_eq!(reason(Cell::Int(7).parsed("a uuid")), "7: a number where text belongs");
        assert_eq!(
            reason(Cell::bytes(b"\xffa").parsed("a uuid")),
            "\u{fffd}a: 2 bytes that are not UTF-8 text"
        );
        assert_eq!(Cell::Null.parsed::<SagaId>("a uuid"), Field::Null);
        assert_eq!(Cell::Text("12".to_owned()).int(), Field::Value(12));
        let long = "y".repeat(1000);
        assert!(reason(Cell::Text(long).parsed("a uuid")).starts_with(&format!("{}…", "y".repeat(200))));
    }
}
