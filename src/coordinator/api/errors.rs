//! Error answers in Nexus's words: same statuses, same codes, same messages.

use dropshot::{ClientErrorStatusCode, HttpError};
use http::HeaderValue;
use http::header::RETRY_AFTER;

/// 404: a thing that was asked for by name or id is not there.
pub(super) fn not_found(what: &str) -> HttpError {
    HttpError::for_client_error(
        Some("ObjectNotFound".to_owned()),
        ClientErrorStatusCode::NOT_FOUND,
        format!("not found: {what}"),
    )
}

/// 400: well-formed, but not possible.
pub(super) fn invalid_request(message: String) -> HttpError {
    HttpError::for_bad_request(Some("InvalidRequest".to_owned()), message)
}

/// 409: it would have been possible before.
pub(super) fn conflict(message: String) -> HttpError {
    HttpError::for_client_error(Some("Conflict".to_owned()), ClientErrorStatusCode::CONFLICT, message)
}

/// 403: not in this coordinator.
pub(super) fn forbidden(message: &str) -> HttpError {
    HttpError::for_client_error(
        Some("Forbidden".to_owned()),
        ClientErrorStatusCode::FORBIDDEN,
        message.to_owned(),
    )
}

/// 503: not now. The cause goes to the log only.
pub(super) fn unavailable(cause: String) -> HttpError {
    HttpError::for_unavail(Some("ServiceNotAvailable".to_owned()), cause)
}

/// 500: our fault. The cause goes to the log only.
pub(super) fn internal(cause: String) -> HttpError {
    let mut error = HttpError::for_internal_error(cause);
    error.error_code = Some("Internal".to_owned());
    error
}

/// Seconds after which a client that was told to go may ask again: long enough for another coordinator to take this one's
/// place, or for a load balancer to have noticed.
const RETRY_AFTER_SECS: &str = "10";

/// 503: no new sagas here, ask again later or ask somebody else.
pub(super) fn not_accepting(cause: String) -> HttpError {
    let mut error = unavailable(cause);
    error.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECS));
    error
}
