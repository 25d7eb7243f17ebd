//! What went wrong, as the API answers it.

use super::super::errors::{internal, invalid_request, not_accepting, not_found, unavailable};
use crate::coordinator::sagas::ActionFailure;
use crate::coordinator::sec::{CreateError, SagaOutcome};
use crate::store::error::StoreError;
use dropshot::HttpError;
use steno::ActionError;

/// A saga that did not do what it was made for.
pub(super) fn saga_failed(outcome: &SagaOutcome) -> Option<HttpError> {
    match outcome {
        SagaOutcome::Succeeded { .. } => None,
        SagaOutcome::Failed { node, error } => Some(action_failed(node, error)),
        SagaOutcome::Stuck { node, error, undo_node, undo_error } => Some(internal(format!(
            "the saga is stuck: node {node:?} failed ({error}), then undoing node {undo_node:?} failed: {undo_error}"
        ))),
    }
}

/// A saga that unwound because of a node.
pub(super) fn action_failed(node: &str, error: &ActionError) -> HttpError {
    match error.clone().convert() {
        Ok(failure @ ActionFailure::ObjectAlreadyExists { .. }) => {
            HttpError::for_bad_request(Some("ObjectAlreadyExists".to_owned()), failure.to_string())
        }
        Ok(ActionFailure::ObjectNotFound { type_name, lookup }) => {
            not_found(&format!("{type_name} with {lookup}"))
        }
        Ok(ActionFailure::InvalidRequest { message }) => invalid_request(message),
        Ok(ActionFailure::InternalError { internal_message }) => {
            internal(format!("node {node:?} failed: {internal_message}"))
        }
        // Not an action's own word: injected by an operator, or not readable.
        Err(_) => internal(format!("node {node:?} failed: {error}")),
    }
}

/// A saga that was not made.
pub(super) fn creation_failed(error: CreateError) -> HttpError {
    match error {
        CreateError::NotAccepting => not_accepting(error.to_string()),
        CreateError::Store(error) => store_failed(error),
        CreateError::KeyInUse | CreateError::Invalid(_) => internal(error.to_string()),
    }
}

/// A question that the database did not answer.
pub(super) fn store_failed(error: StoreError) -> HttpError {
    if error.is_transient() { unavailable(error.to_string()) } else { internal(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(error: &HttpError) -> (u16, Option<&str>, &str) {
        (error.status_code.as_status().as_u16(), error.error_code.as_deref(), &error.external_message)
    }

    #[test]
    fn failures_of_actions_are_answered_in_nexus_words() {
        let cases = [
            (
                ActionFailure::ObjectAlreadyExists {
                    type_name: "project".to_owned(),
                    object_name: "x".to_owned(),
                },
                (400, Some("ObjectAlreadyExists"), "already exists: project \"x\""),
            ),
            (
                ActionFailure::ObjectNotFound {
                    type_name: "vpc".to_owned(),
                    lookup: "name \"x\"".to_owned(),
                },
                (404, Some("ObjectNotFound"), "not found: vpc with name \"x\""),
            ),
            (ActionFailure::InvalidRequest { message: "no".to_owned() }, (400, Some("InvalidRequest"), "no")),
            (ActionFailure::internal("secret"), (500, Some("Internal"), "Internal Server Error")),
        ];
        for (failure, expected) in cases {
            let error = action_failed("node", &failure.clone().into());
            assert_eq!(shown(&error), expected, "{failure}");
        }
        let injected = action_failed("node", &ActionError::InjectedError);
        assert_eq!(shown(&injected), (500, Some("Internal"), "Internal Server Error"));
        assert!(injected.internal_message.contains("error injected"), "{}", injected.internal_message);
    }

    #[test]
    fn a_saga_that_is_not_taken_is_answered_by_whether_trying_again_helps() {
        let cases = [
            (CreateError::NotAccepting, 503),
            (CreateError::Store(StoreError::Unavailable("locked".to_owned())), 503),
            (CreateError::Store(StoreError::Unusable("gone".to_owned())), 500),
            (CreateError::Invalid("no DAG".to_owned()), 500),
        ];
        for (error, status) in cases {
            let text = error.to_string();
            assert_eq!(shown(&creation_failed(error)).0, status, "{text}");
        }
    }
}
