//! Why an action failed, in the form in which a log keeps it and the external API answers it.

use serde::{Deserialize, Serialize};

/// Why an action failed. Written to the log as the `source_error` of its `failed` event, tagged as Oxide tags its errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum ActionFailure {
    /// Something of this name is there already.
    #[error("already exists: {type_name} \"{object_name}\"")]
    ObjectAlreadyExists {
        /// What kind of thing.
        type_name: String,
        /// Its name.
        object_name: String,
    },
    /// Something that is needed is not there.
    #[error("not found: {type_name} with {lookup}")]
    ObjectNotFound {
        /// What kind of thing.
        type_name: String,
        /// How it was looked for: `id "…"` or `name "…"`.
        lookup: String,
    },
    /// It cannot be done to this object as it is.
    #[error("{message}")]
    InvalidRequest {
        /// Why.
        message: String,
    },
    /// A bug, or a database that does not keep its promises.
    #[error("{internal_message}")]
    InternalError {
        /// For the log and the operator.
        internal_message: String,
    },
}

impl ActionFailure {
    /// A failure that should not be possible.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::InternalError { internal_message: message.into() }
    }
}

impl From<ActionFailure> for steno::ActionError {
    fn from(failure: ActionFailure) -> Self {
        steno::ActionError::action_failed(failure)
    }
}
