//! Why a saga could not be recovered, and whether trying again can help.

use crate::wire::ids::SecId;
use crate::wire::recovery::RecoveryFailureKind;
use crate::wire::sagas::CachedState;

/// Why one attempt to recover one saga failed.
///
/// The variants are told apart where the error is born. Whether an error is final follows from the variant alone; see
/// [`FailureCause::classify`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailureCause {
    /// The database did not answer, or not with what was asked for.
    #[error("could not load the saga: {0}")]
    StoreUnavailable(String),
    /// The row that was listed is not there any more.
    #[error("the saga is not in the database any more")]
    RowGone,
    /// The saga came to rest, or was given up, after it was listed.
    #[error("the saga has become {0} since it was listed")]
    NotUnfinished(CachedState),
    /// The saga was assigned to somebody else after it was listed.
    #[error("the saga has been re-assigned since it was listed, {}", now_owned_by(.0))]
    OwnerChanged(Option<SecId>),
    /// The engine has a saga of this id, which the bookkeeping does not know of.
    #[error("the engine runs the saga already, though recovery did not know")]
    AlreadyRunning,
    /// The engine did not take the saga, for a reason that is not in the saga's data.
    #[error("the engine did not take the saga: {0}")]
    EngineRefused(String),
    /// A stored value of the saga is not what its column promises.
    #[error("unreadable saga: {0}")]
    Unreadable(String),
    /// The DAG cannot be made sense of.
    #[error("unreadable DAG: {0}")]
    DagUnreadable(String),
    /// The log says what no run of this DAG could have written.
    #[error("illegal log: {0}")]
    LogIllegal(String),
    /// The DAG names an action that this program does not have.
    #[error("unknown action {action:?} in node {node:?}")]
    UnknownAction {
        /// The node's name.
        node: String,
        /// The action's name.
        action: String,
    },
}

impl FailureCause {
    /// Whether trying again can help.
    ///
    /// Permanent is only a definite verdict on the saga's own data, which will read the same next time. Whatever lies in the
    /// surroundings is transient, also what looks hopeless: a permanent failure may get a saga abandoned, and a healthy saga
    /// must not be given up because a connection broke while its log was read, or because the engine runs it.
    pub const fn classify(&self) -> RecoveryFailureKind {
        match self {
            Self::StoreUnavailable(_)
            | Self::RowGone
            | Self::NotUnfinished(_)
            | Self::OwnerChanged(_)
            | Self::AlreadyRunning
            | Self::EngineRefused(_) => RecoveryFailureKind::Transient,
            Self::Unreadable(_)
            | Self::DagUnreadable(_)
            | Self::LogIllegal(_)
            | Self::UnknownAction { .. } => RecoveryFailureKind::Permanent,
        }
    }
}

fn now_owned_by(owner: &Option<SecId>) -> String {
    match owner {
        Some(sec) => format!("now to SEC {sec}"),
        None => "now to nobody".to_owned(),
    }
}
