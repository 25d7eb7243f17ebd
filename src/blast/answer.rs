//! What an answer means, or the lack of one. Pure.
//!
//! Three things can become of a request, and the difference is what reconciliation lives on. *Done*: an answer said so and
//! named what was made. *Failed*: an answer said no, or the request provably never left. *In doubt*: it was sent, and then
//! the connection broke, the time ran out, or what came back was neither a yes nor a no.

use crate::client::excerpt::Excerpt;
use crate::reconcile::Seen;
use crate::wire::error::ErrorBody;
use crate::wire::sagas::DemoSaga;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use uuid::Uuid;

/// What became of a request, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Acknowledged.
    Done,
    /// Told no, or never left.
    Failed,
    /// Sent, and no answer tells.
    InDoubt,
}

/// Kinds of trouble, by what an operator would do about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Nobody listens there.
    Refused,
    /// No connection for another reason: no route, no descriptors, no answer to the attempt.
    Connect,
    /// The server reset the connection while we waited.
    Reset,
    /// The server closed the connection before its answer was complete.
    Cut,
    /// No complete answer in time.
    Timeout,
    /// What came back is not HTTP.
    NotHttp,
    /// An answer with another status than the one that means yes.
    Status(u16),
    /// A yes whose body makes no sense, or is not about what was asked for.
    Body,
    /// Still under way when the run was ended.
    GivenUp,
}

impl Class {
    /// How a request that ended like this is counted.
    pub fn outcome(self) -> Outcome {
        match self.seen() {
            Seen::InDoubt => Outcome::InDoubt,
            _ => Outcome::Failed,
        }
    }

    /// What the client knows of a request that ended like this.
    pub fn seen(self) -> Seen {
        match self {
            Self::Refused | Self::Connect => Seen::Unsent,
            Self::Status(status) if status >= 400 => Seen::Failed,
            // Below that there is no clear no: something may have been made, somewhere.
            Self::Status(_) => Seen::InDoubt,
            Self::Reset | Self::Cut | Self::Timeout | Self::NotHttp | Self::Body | Self::GivenUp => {
                Seen::InDoubt
            }
        }
    }

    /// Whether the connection was at fault, so that a worker should not try again at once.
    pub(super) fn is_of_the_connection(self) -> bool {
        match self {
            Self::Refused | Self::Connect | Self::Reset | Self::Cut | Self::Timeout | Self::NotHttp => true,
            Self::Status(_) | Self::Body | Self::GivenUp => false,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::Connect => f.write_str("connect"),
            Self::Reset => f.write_str("reset"),
            Self::Cut => f.write_str("cut"),
            Self::Timeout => f.write_str("timeout"),
            Self::NotHttp => f.write_str("not http"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Body => f.write_str("body"),
            Self::GivenUp => f.write_str("given up"),
        }
    }
}

/// Why a request is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The kind.
    pub class: Class,
    /// In words fit for a terminal.
    pub message: String,
}

impl Trouble {
    /// Trouble of a kind, in words.
    pub(super) fn new(class: Class, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

/// What of a created project has to be right. Everything else in it is skipped without being decoded.
#[derive(Deserialize)]
struct Created<'a> {
    id: Uuid,
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// What a complete answer to the creation of project `name` means.
pub(super) fn judge_created(status: StatusCode, body: &[u8], name: &str) -> Result<(), Trouble> {
    if status != StatusCode::CREATED {
        return Err(not_the_status(status, body));
    }
    match serde_json::from_slice::<Created<'_>>(body) {
        Ok(created) if created.name != name => Err(Trouble::new(
            Class::Body,
            format!("201, but for {} instead of {name}", Excerpt::of(created.name.as_bytes())),
        )),
        Ok(created) if created.id.is_nil() => Err(Trouble::new(Class::Body, "201 with a nil id")),
        Ok(_) => Ok(()),
        Err(_) if body.trim_ascii().is_empty() => Err(Trouble::new(Class::Body, "201 without a body")),
        Err(_) => {
            Err(Trouble::new(Class::Body, format!("201, but the body is no project: {}", Excerpt::of(body))))
        }
    }
}

/// What a complete answer to a deletion, or to the completion of a demo saga, means.
pub(super) fn judge_no_content(status: StatusCode, body: &[u8]) -> Result<(), Trouble> {
    if status == StatusCode::NO_CONTENT { Ok(()) } else { Err(not_the_status(status, body)) }
}

/// What a complete answer to a read means: any success will do.
pub(super) fn judge_read(status: StatusCode, body: &[u8]) -> Result<(), Trouble> {
    if status.is_success() { Ok(()) } else { Err(not_the_status(status, body)) }
}

/// What a complete answer to the creation of a demo saga means.
pub(super) fn judge_demo_saga(status: StatusCode, body: &[u8]) -> Result<DemoSaga, Trouble> {
    if !matches!(status, StatusCode::OK | StatusCode::CREATED) {
        return Err(not_the_status(status, body));
    }
    serde_json::from_slice(body).map_err(|_| {
        Trouble::new(
            Class::Body,
            format!("{}, but the body names no demo saga: {}", status.as_u16(), Excerpt::of(body)),
        )
    })
}

fn not_the_status(status: StatusCode, body: &[u8]) -> Trouble {
    Trouble::new(Class::Status(status.as_u16()), describe_status(status, body))
}

/// What an answer means whose body broke off because of `trouble`.
pub(super) fn judge_cut(status: StatusCode, trouble: Trouble) -> Trouble {
    if status.is_client_error() || status.is_server_error() {
        let message = format!("{status}, and then {}", trouble.message);
        return Trouble::new(Class::Status(status.as_u16()), message);
    }
    Trouble { message: format!("{} within an answer of {status}", trouble.message), ..trouble }
}

fn describe_status(status: StatusCode, body: &[u8]) -> String {
    if let Ok(error) = serde_json::from_slice::<ErrorBody>(body) {
        return format!("{status}: {}", Excerpt::of(error.message.as_bytes()));
    }
    let beginning = Excerpt::of(body);
    if beginning.is_empty() { format!("{status}, without a word") } else { format!("{status}: {beginning}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, body: &str) -> Result<(), Class> {
        judge_created(StatusCode::from_u16(status).expect("a status"), body.as_bytes(), "dummy-a-1-1")
            .map_err(|trouble| trouble.class)
    }

    #[test]
    fn only_201_with_our_name_is_done() {
        let project = |name: &str| {
            format!(
                r#"{{"id":"6a8a9a7e-34f5-4b3b-8c3a-0a4f2d1e7c55","name":"{name}","description":"x","new":[{{}}]}}"#
            )
        };
        assert_eq!(class(201, &project("dummy-a-1-1")), Ok(()));
        assert_eq!(class(201, &project("dummy-\\u0061-1-1")), Ok(()), "the same name, written otherwise");
        for bad in [&project("dummy-a-1-2"), "", "{}", "<html>", "null", r#"{"id":"7","name":"dummy-a-1-1"}"#]
        {
            assert_eq!(class(201, bad), Err(Class::Body), "{bad}");
        }
        let nil =
            project("dummy-a-1-1").replace("6a8a9a7e-34f5-4b3b-8c3a-0a4f2d1e7c55", &Uuid::nil().to_string());
        assert_eq!(class(201, &nil), Err(Class::Body));
        for status in [200, 202, 301, 400, 404, 500, 503] {
            assert_eq!(class(status, &project("dummy-a-1-1")), Err(Class::Status(status)));
        }
    }

    #[test]
    fn a_no_is_a_failure_and_everything_unclear_is_in_doubt() {
        for (class, seen) in [
            (Class::Refused, Seen::Unsent),
            (Class::Connect, Seen::Unsent),
            (Class::Status(400), Seen::Failed),
            (Class::Status(503), Seen::Failed),
            (Class::Status(202), Seen::InDoubt),
            (Class::Status(302), Seen::InDoubt),
            (Class::Reset, Seen::InDoubt),
            (Class::Cut, Seen::InDoubt),
            (Class::Timeout, Seen::InDoubt),
            (Class::NotHttp, Seen::InDoubt),
            (Class::Body, Seen::InDoubt),
            (Class::GivenUp, Seen::InDoubt),
        ] {
            assert_eq!(class.seen(), seen, "{class}");
        }
    }

    #[test]
    fn each_step_has_the_answer_that_means_yes() {
        let no_content = |status| judge_no_content(status, b"").map_err(|trouble| trouble.class);
        assert_eq!(no_content(StatusCode::NO_CONTENT), Ok(()));
        assert_eq!(no_content(StatusCode::OK), Err(Class::Status(200)));
        assert_eq!(no_content(StatusCode::NOT_FOUND), Err(Class::Status(404)));
        assert!(judge_read(StatusCode::OK, b"whatever").is_ok());
        assert!(judge_read(StatusCode::FOUND, b"").is_err());
        let ids = format!(r#"{{"saga_id":"{0}","demo_saga_id":"{0}","more":1}}"#, Uuid::nil());
        assert!(judge_demo_saga(StatusCode::OK, ids.as_bytes()).is_ok());
        let class =
            |status, body: &[u8]| judge_demo_saga(status, body).map_err(|trouble| trouble.class).err();
        assert_eq!(class(StatusCode::OK, b"{}"), Some(Class::Body));
        assert_eq!(class(StatusCode::SERVICE_UNAVAILABLE, ids.as_bytes()), Some(Class::Status(503)));
    }

    #[test]
    fn a_body_that_breaks_off_keeps_a_no_but_not_a_yes() {
        let closed = || Trouble::new(Class::Cut, "closed");
        assert_eq!(judge_cut(StatusCode::BAD_REQUEST, closed()).class, Class::Status(400));
        assert_eq!(judge_cut(StatusCode::CREATED, closed()).class, Class::Cut);
    }

    #[test]
    fn words_of_the_server_are_quoted_and_bounded() {
        let words = |body: &str| {
            judge_created(StatusCode::BAD_REQUEST, body.as_bytes(), "n").expect_err("no yes").message
        };
        assert_eq!(
            words(
                r#"{"request_id":"r","error_code":"ObjectAlreadyExists","message":"already exists\u001b[2J"}"#
            ),
            r#"400 Bad Request: "already exists\u{1b}[2J""#
        );
        assert_eq!(words(""), "400 Bad Request, without a word");
        assert!(words(&"x".repeat(10_000)).len() < 300);
    }
}
