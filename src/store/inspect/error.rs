//! What keeps a database from being read, by what a caller does about it.

use crate::store::error::StoreError;
use std::time::Duration;

/// A database that could not be looked at, or not to the end. No text in here holds a password.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InspectError {
    /// It is not there, not a database, or not to be read by us.
    #[error("{0}")]
    Unusable(String),
    /// It is a database, but not one of sagas.
    #[error("{0}")]
    WrongSchema(String),
    /// What was asked cannot be looked for.
    #[error("{0}")]
    BadQuestion(String),
    /// Nobody answers where it should be.
    #[error("cannot connect to {url}: {reason}")]
    Unreachable {
        /// Where, without a password.
        url: String,
        /// Why.
        reason: String,
    },
    /// It answers, and lets us not in or not at the data.
    #[error("refused by {url}: {reason}")]
    Refused {
        /// Who, without a password.
        url: String,
        /// Why.
        reason: String,
    },
    /// The connection was cut in the middle, or the file kept changing under the reader.
    #[error("lost {url}: {reason}")]
    Lost {
        /// Which, without a password.
        url: String,
        /// How.
        reason: String,
    },
    /// No answer in time.
    #[error("{url} did not answer within {}", humantime::format_duration(*limit))]
    TimedOut {
        /// Which, without a password.
        url: String,
        /// How long was waited.
        limit: Duration,
    },
    /// It answered something that makes no sense.
    #[error("{url} answered what makes no sense: {reason}")]
    Nonsense {
        /// Which, without a password.
        url: String,
        /// What.
        reason: String,
    },
}

impl InspectError {
    /// An error of reading a file, in these terms.
    pub(super) fn of_file(url: &str, error: StoreError) -> Self {
        match error {
            StoreError::Unusable(text) => Self::Unusable(text),
            StoreError::WrongSchema(text) => Self::WrongSchema(text),
            StoreError::Unavailable(reason) => Self::Lost { url: url.to_owned(), reason },
            error @ (StoreError::Refused(_) | StoreError::Derailed(_) | StoreError::Corrupt { .. }) => {
                Self::Nonsense { url: url.to_owned(), reason: error.to_string() }
            }
        }
    }
}
