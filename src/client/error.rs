//! What can go wrong with a call, by what a caller or an operator does about it.

use super::base_url::BaseUrl;
use super::diagnosis::Checklist;
use super::excerpt::Excerpt;
use super::operations::Call;
use super::tls::trouble::Trouble as TlsTrouble;
use crate::wire::error::ErrorBody;
use http::StatusCode;
use std::time::Duration;

/// A call that did not bring what was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{call} at {base}")]
pub struct CallError {
    /// What was asked.
    pub call: Call,
    /// Of whom.
    pub base: BaseUrl,
    /// What went wrong.
    #[source]
    pub problem: Problem,
    /// Whether it may have been carried out all the same: at least one request was sent and got no answer.
    pub is_in_doubt: bool,
}

/// What went wrong with a call.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No connection.
    #[error("{reason}")]
    Unreachable {
        /// In the system's words.
        reason: String,
        /// Whether the host is there and said that nobody listens, as opposed to no answer at all.
        is_refused: bool,
        /// How far we got.
        checklist: Checklist,
    },
    /// Connected, but the time ran out before the answer was complete.
    #[error("no answer within {}", humantime::format_duration(*.after))]
    TimedOut {
        /// How long we waited for this call.
        after: Duration,
    },
    /// The connection went away before the answer was complete.
    #[error("the connection was lost: {reason}")]
    Lost {
        /// In the system's words.
        reason: String,
        /// How far we got.
        checklist: Checklist,
    },
    /// Whatever listens there does not speak HTTP.
    #[error("the answer is not HTTP: {reason}")]
    NotHttp {
        /// What came instead.
        reason: String,
        /// How far we got.
        checklist: Checklist,
    },
    /// No handshake in TLS, and another attempt would bring none either.
    #[error("{0}")]
    Tls(TlsTrouble),
    /// Plain HTTP where TLS is spoken.
    #[error("the server speaks TLS")]
    WantsTls {
        /// How far we got.
        checklist: Checklist,
    },
    /// More than we are willing to hold.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Another status than success.
    #[error("{}", describe_status(*.status, .body))]
    Status {
        /// The status.
        status: StatusCode,
        /// What came with it.
        body: ErrorAnswer,
    },
    /// Success, but not what was promised.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A page that another cannot follow, and one that is said to.
    #[error(
        "after an empty page, or with a page token that nobody can send, the server says that there is more: {token}"
    )]
    BadPage {
        /// The token.
        token: Excerpt,
    },
    /// A server that never comes to an end.
    #[error("the server gave page token {token} twice; its list would never end")]
    EndlessPages {
        /// The token.
        token: Excerpt,
    },
}

/// What came with a status that is not success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorAnswer {
    /// The error body of both APIs.
    Parsed(ErrorBody),
    /// Something else.
    Foreign(Excerpt),
}

/// An answer that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON at all.
    #[error("the answer is not JSON; it begins with {beginning}")]
    NotJson {
        /// Its beginning.
        beginning: Excerpt,
    },
    /// JSON, but of another shape.
    #[error("unexpected JSON at {path}: {reason}")]
    WrongShape {
        /// Where, from the top of the answer: `last.details.iteration`.
        path: String,
        /// What was found and what was expected.
        reason: String,
    },
}

fn describe_status(status: StatusCode, body: &ErrorAnswer) -> String {
    match body {
        ErrorAnswer::Parsed(error) => {
            let code = error.error_code.as_deref().map(|code| format!(", {}", Excerpt::of(code.as_bytes())));
            let code = code.unwrap_or_default();
            // Excerpts write out what a terminal would obey, and end.
            format!(
                "the server answered {status}{code}: {} (request {})",
                Excerpt::of_words(&error.message),
                Excerpt::of(error.request_id.as_bytes())
            )
        }
        ErrorAnswer::Foreign(beginning) if beginning.is_empty() => {
            format!("the server answered {status} without a word")
        }
        ErrorAnswer::Foreign(beginning) => {
            format!("the server answered {status} and, in place of an error body, {beginning}")
        }
    }
}

impl CallError {
    /// Whether the server knows the operation but not the object that it was asked about.
    pub fn is_unknown_object(&self) -> bool {
        // The framework's own 404, for a path that it does not know, carries no code.
        matches!(&self.problem,
            Problem::Status { status: StatusCode::NOT_FOUND, body: ErrorAnswer::Parsed(error) }
                if error.error_code.is_some())
    }

    /// Whether the server does not offer the operation at all.
    pub fn is_unknown_operation(&self) -> bool {
        match &self.problem {
            Problem::Status { status: StatusCode::NOT_FOUND, .. } => !self.is_unknown_object(),
            Problem::Status { status, .. } => *status == StatusCode::METHOD_NOT_ALLOWED,
            _ => false,
        }
    }
}
