//! How a saga came to rest: the engine's result, and the two forms in which others want it.

use crate::wire::sagas::{SagaErrorInfo, SagaState};
use steno::{ActionError, SagaResultErr, SagaResultOk, UndoActionError};

/// How a saga came to rest. Stuck and failed are two things, although the database says `done` for both.
#[derive(Clone, Debug)]
pub enum SagaOutcome {
    /// With all its effects.
    Succeeded {
        /// Output of its last node.
        output: serde_json::Value,
    },
    /// An action failed and everything before it was undone.
    Failed {
        /// The node that failed.
        node: String,
        /// Why.
        error: ActionError,
    },
    /// An action failed, and then an undo action failed too.
    Stuck {
        /// The node that failed.
        node: String,
        /// Why.
        error: ActionError,
        /// The node whose undo action failed.
        undo_node: String,
        /// Why.
        undo_error: serde_json::Value,
    },
}

impl SagaOutcome {
    pub(super) fn from_result(result: Result<SagaResultOk, SagaResultErr>) -> Self {
        match result {
            Ok(ok) => Self::Succeeded { output: ok.saga_output().unwrap_or(serde_json::Value::Null) },
            Err(SagaResultErr { error_node_name, error_source, undo_failure: None }) => {
                Self::Failed { node: error_node_name.as_ref().to_owned(), error: error_source }
            }
            Err(SagaResultErr {
                error_node_name,
                error_source,
                undo_failure: Some((undo_node, UndoActionError::PermanentFailure { source_error })),
            }) => Self::Stuck {
                node: error_node_name.as_ref().to_owned(),
                error: error_source,
                undo_node: undo_node.as_ref().to_owned(),
                undo_error: source_error,
            },
        }
    }

    /// The same as the internal API shows it.
    pub fn to_wire(&self) -> SagaState {
        match self {
            Self::Succeeded { .. } => SagaState::Succeeded,
            Self::Failed { node, error } => {
                SagaState::Failed { error_node_name: node.clone(), error_info: error_info(error) }
            }
            Self::Stuck { node, error, undo_node, undo_error } => SagaState::Stuck {
                error_node_name: node.clone(),
                error_info: error_info(error),
                undo_error_node_name: undo_node.clone(),
                undo_source_error: undo_error.clone(),
            },
        }
    }
}

fn error_info(error: &ActionError) -> SagaErrorInfo {
    match error {
        ActionError::ActionFailed { source_error } => {
            SagaErrorInfo::ActionFailed { source_error: source_error.clone() }
        }
        ActionError::DeserializeFailed { message } => {
            SagaErrorInfo::DeserializeFailed { message: message.clone() }
        }
        ActionError::InjectedError => SagaErrorInfo::InjectedError,
        ActionError::SerializeFailed { message } => {
            SagaErrorInfo::SerializeFailed { message: message.clone() }
        }
        ActionError::SubsagaCreateFailed { message } => {
            SagaErrorInfo::SubsagaCreateFailed { message: message.clone() }
        }
    }
}
