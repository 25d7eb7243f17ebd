//! What an error of the server's means for whoever asked for something: an answer, a moment's wait, a new connection, or
//! the end.

use crate::store::error::{Refusal, Rule};
use std::error::Error as _;
use std::io;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

/// What a failed request means.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The database said no to the data.
    Refused(Refusal),
    /// Somebody else was in the way; the same may well succeed if it is tried again.
    InTheWay(String),
    /// The connection is of no use any more, or the server is not what it should be for the moment.
    Lost(String),
    /// Something that no repetition puts right.
    Hopeless(String),
}

/// Tells errors apart.
pub(super) fn classify(error: &Error) -> Trouble {
    let Some(answer) = error.as_db_error() else {
        return if is_of_the_connection(error) {
            Trouble::Lost(said(error))
        } else {
            Trouble::Hopeless(said(error))
        };
    };
    let code = answer.code();
    if let Some(refusal) = refusal(answer) {
        return Trouble::Refused(refusal);
    }
    let text = said(error);
    if [
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
        // No room for what a large transaction has read, or on the disk. Less may fit, and room may be made.
        SqlState::OUT_OF_MEMORY,
        SqlState::DISK_FULL,
    ]
    .contains(code)
    {
        return Trouble::InTheWay(text);
    }
    // Among them, as CockroachDB says it: nobody knows whether a statement was carried out.
    let of_the_session = ["08", "25", "53", "57", "40003"];
    // A cached plan that must not change its result, after somebody changed the schema: a new session plans anew.
    if of_the_session.iter().any(|class| code.code().starts_with(class)) || is_stale_plan(answer) {
        return Trouble::Lost(text);
    }
    Trouble::Hopeless(format!("{text} ({})", code.code()))
}

/// The rule of the database that was broken, if it was that.
fn refusal(answer: &DbError) -> Option<Refusal> {
    let code = answer.code();
    let rule = if *code == SqlState::UNIQUE_VIOLATION || *code == SqlState::EXCLUSION_VIOLATION {
        Rule::Unique
    } else if *code == SqlState::FOREIGN_KEY_VIOLATION || *code == SqlState::RESTRICT_VIOLATION {
        Rule::ForeignKey
    } else if *code == SqlState::RAISE_EXCEPTION {
        Rule::Trigger
    } else if is_out_of_bounds(code) {
        Rule::Check
    } else {
        return None;
    };
    let column = || Some(format!("{}.{}", answer.table()?, answer.column()?));
    let what = match (rule, answer.constraint()) {
        (Rule::Trigger, _) => answer.message().to_owned(),
        (_, Some(constraint)) => constraint.to_owned(),
        (_, None) => column().unwrap_or_else(|| answer.message().to_owned()),
    };
    Some(Refusal { rule, what })
}

/// Values that a column cannot hold, whatever the reason. The classes are those of data and of integrity; among the first
/// is a NUL character, which PostgreSQL keeps neither in text nor in JSON.
fn is_out_of_bounds(code: &SqlState) -> bool {
    let code = code.code();
    code.starts_with("22") || code.starts_with("23") || code.starts_with("54") || code == "21000"
}

fn is_stale_plan(answer: &DbError) -> bool {
    *answer.code() == SqlState::FEATURE_NOT_SUPPORTED && answer.message().contains("cached plan")
}

fn is_of_the_connection(error: &Error) -> bool {
    if error.is_closed() {
        return true;
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.is::<io::Error>() {
            return true;
        }
        if cause.is::<super::value::Mismatch>() {
            return false;
        }
        source = cause.source();
    }
    // What is left is a server that does not speak the protocol as expected, a proxy's error page for example.
    true
}

/// What went wrong, as the end of a sentence.
pub(in crate::store) fn said(error: &Error) -> String {
    if let Some(answer) = error.as_db_error() {
        return answer.message().to_owned();
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors repeat their cause, some leave it to whoever prints them.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
