//! Every operation of the internal API, in one table: method, path, and whether it may be repeated.
//!
//! An operation without a retry class does not compile. The class is about what a *second* request would do when nobody
//! knows whether the first one arrived.

use http::Method;
use std::fmt;

/// What the tool can ask a coordinator for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// All background tasks.
    ListTasks,
    /// One background task.
    FetchTask,
    /// Run background tasks soon.
    ActivateTasks,
    /// The sagas in the coordinator's memory, page by page.
    ListSagas,
    /// One saga in the coordinator's memory.
    FetchSaga,
    /// Start a saga that waits until it is completed.
    CreateDemoSaga,
    /// Let such a saga go on.
    CompleteDemoSaga,
    /// Who the coordinator is. Ours only.
    FetchInfo,
    /// Whether the coordinator takes sagas, and what it has left.
    FetchQuiesce,
    /// Take no more sagas.
    StartQuiesce,
    /// Which faults sagas are to have. Ours, and only for drills, like all that follow.
    SetFaults,
    /// Kinds of sagas that a drill can make.
    ListDrilledSagas,
    /// Bring about what a saga needs.
    PrepareDrilledSaga,
    /// Create a saga as it was prepared.
    CreateDrilledSaga,
    /// Play the part of somebody outside whom a saga waits for.
    NudgeDrilledSaga,
}

/// Whether an operation may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryClass {
    /// Twice is the same as once.
    Safe,
    /// Only when the first request provably never left.
    UnsentOnly,
    /// Not at all.
    Never,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::ListTasks,
        Self::FetchTask,
        Self::ActivateTasks,
        Self::ListSagas,
        Self::FetchSaga,
        Self::CreateDemoSaga,
        Self::CompleteDemoSaga,
        Self::FetchInfo,
        Self::FetchQuiesce,
        Self::StartQuiesce,
        Self::SetFaults,
        Self::ListDrilledSagas,
        Self::PrepareDrilledSaga,
        Self::CreateDrilledSaga,
        Self::NudgeDrilledSaga,
    ];

    /// HTTP method.
    pub fn method(self) -> Method {
        match self {
            Self::ListTasks
            | Self::FetchTask
            | Self::ListSagas
            | Self::FetchSaga
            | Self::FetchInfo
            | Self::FetchQuiesce
            | Self::ListDrilledSagas => Method::GET,
            Self::ActivateTasks
            | Self::CreateDemoSaga
            | Self::CompleteDemoSaga
            | Self::StartQuiesce
            | Self::SetFaults
            | Self::PrepareDrilledSaga
            | Self::CreateDrilledSaga
            | Self::NudgeDrilledSaga => Method::POST,
        }
    }

    /// Path below the base URL; at most one part in braces stands for the object asked about.
    pub const fn path(self) -> &'static str {
        match self {
            Self::ListTasks => "/bgtasks",
            Self::FetchTask => "/bgtasks/view/{bgtask_name}",
            Self::ActivateTasks => "/bgtasks/activate",
            Self::ListSagas => "/sagas",
            Self::FetchSaga => "/sagas/{saga_id}",
            Self::CreateDemoSaga => "/demo-saga",
            Self::CompleteDemoSaga => "/demo-saga/{demo_saga_id}/complete",
            Self::FetchInfo => "/info",
            Self::FetchQuiesce | Self::StartQuiesce => "/quiesce",
            Self::SetFaults => "/fault",
            Self::ListDrilledSagas => "/drill/sagas",
            Self::PrepareDrilledSaga => "/drill/sagas/{saga_name}/prepare",
            Self::CreateDrilledSaga => "/drill/sagas/{saga_name}",
            Self::NudgeDrilledSaga => "/drill/sagas/{saga_name}/nudge",
        }
    }

    /// Whether it may be repeated.
    pub const fn retry_class(self) -> RetryClass {
        match self {
            Self::ListTasks
            | Self::FetchTask
            | Self::ListSagas
            | Self::FetchSaga
            | Self::FetchInfo
            | Self::FetchQuiesce
            | Self::ListDrilledSagas => RetryClass::Safe,
            // It goes one way only, and whoever goes it already goes on.
            Self::StartQuiesce => RetryClass::Safe,
            // All rules at once, and completing twice is the same as once.
            Self::SetFaults | Self::NudgeDrilledSaga => RetryClass::Safe,
            // The saga's id comes from the caller, so a second one is refused.
            Self::CreateDrilledSaga => RetryClass::UnsentOnly,
            // What a second one makes may be in the way of the first.
            Self::PrepareDrilledSaga => RetryClass::Never,
            // Activations coalesce: a second signal means at most one more pass, and passes may run at any time.
            Self::ActivateTasks => RetryClass::Safe,
            // A second one would be a second saga.
            Self::CreateDemoSaga => RetryClass::UnsentOnly,
            // A second one would be told that there is no such saga, although all is well.
            Self::CompleteDemoSaga => RetryClass::UnsentOnly,
        }
    }

    /// What is being done, for messages: `fetching task`.
    pub const fn doing(self) -> &'static str {
        match self {
            Self::ListTasks => "listing background tasks",
            Self::FetchTask => "fetching background task",
            Self::ActivateTasks => "activating background tasks",
            Self::ListSagas => "listing sagas",
            Self::FetchSaga => "fetching saga",
            Self::CreateDemoSaga => "creating a demo saga",
            Self::CompleteDemoSaga => "completing demo saga",
            Self::FetchInfo => "fetching the coordinator's info",
            Self::FetchQuiesce => "asking whether it is quiescing",
            Self::StartQuiesce => "asking it to quiesce",
            Self::SetFaults => "setting faults",
            Self::ListDrilledSagas => "listing sagas that can be drilled",
            Self::PrepareDrilledSaga => "preparing a drill of saga",
            Self::CreateDrilledSaga => "creating a drilled saga",
            Self::NudgeDrilledSaga => "playing the other part for saga",
        }
    }
}

impl fmt::Display for RetryClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safe => "safe",
            Self::UnsentOnly => "unsent-only",
            Self::Never => "never",
        })
    }
}

/// One operation on one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is done.
    pub operation: Operation,
    /// To what, if the path names an object.
    pub object: Option<String>,
}

impl Call {
    /// An operation whose path names no object.
    pub fn new(operation: Operation) -> Self {
        Self { operation, object: None }
    }

    /// An operation on one object.
    pub fn on(operation: Operation, object: impl fmt::Display) -> Self {
        Self { operation, object: Some(object.to_string()) }
    }

    /// The parts of the path, not yet percent-encoded.
    pub(super) fn path_segments(&self) -> impl Iterator<Item = &str> {
        self.operation.path().split('/').skip(1).map(|segment| {
            if segment.starts_with('{') {
                self.object.as_deref().expect("a path with braces belongs to a call with an object")
            } else {
                segment
            }
        })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation.doing())?;
        match &self.object {
            // Debug of a string escapes what a terminal would obey.
            Some(object) => write!(f, " {object:?}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_something_is_kept_from_being_repeated() {
        for operation in Operation::ALL {
            let reads = operation.method() == Method::GET;
            assert!(!reads || operation.retry_class() == RetryClass::Safe, "{operation:?}");
        }
    }

    #[test]
    fn the_documentation_holds_this_table() {
        let documented = include_str!("../../docs/retries.md");
        let rows: Vec<&str> =
            documented.lines().filter(|line| line.contains("| GET |") || line.contains("| POST |")).collect();
        let table: Vec<String> = Operation::ALL
            .iter()
            .map(|operation| {
                let (doing, method) = (operation.doing(), operation.method());
                format!("| {doing} | {method} | `{}` | {} |", operation.path(), operation.retry_class())
            })
            .collect();
        assert_eq!(rows, table);
    }

    #[test]
    fn an_object_takes_the_place_of_the_braces() {
        let call = Call::on(Operation::CompleteDemoSaga, "a/b");
        assert_eq!(call.path_segments().collect::<Vec<_>>(), ["demo-saga", "a/b", "complete"]);
        assert_eq!(call.to_string(), "completing demo saga \"a/b\"");
    }
}
