//! Every operation of both APIs, in one table: method, path, whether it may be repeated, and what is done when the answer to a
//! change is lost. `docs/retries.md` is written from it, together with the [database's](crate::store::operations).
//!
//! An operation without a retry class does not compile, and no request can be made that is not one of them: clients take a
//! [`Call`], not a path. The class is about what a *second* request would do when nobody knows whether the first one
//! arrived.

use http::Method;
use std::fmt;

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

/// Which of a coordinator's APIs an operation belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// The one for operators.
    Internal,
    /// The one for users.
    External,
}

/// Makes the table. Every line has to say everything: a row that leaves out its class is no row.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident: $api:ident $method:ident $path:literal, $class:ident, $doing:literal, $lost:expr;)*) => {
        /// What can be asked of a coordinator.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation {
            $($(#[$doc])* $name,)*
        }

        impl Operation {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Which API it belongs to.
            pub const fn api(self) -> Api {
                match self {
                    $(Self::$name => Api::$api,)*
                }
            }

            /// HTTP method.
            pub const fn method(self) -> Method {
                match self {
                    $(Self::$name => Method::$method,)*
                }
            }

            /// Path below the base URL; at most one part in braces stands for the object asked about.
            pub const fn path(self) -> &'static str {
                match self {
                    $(Self::$name => $path,)*
                }
            }

            /// Whether it may be repeated.
            pub const fn retry_class(self) -> RetryClass {
                match self {
                    $(Self::$name => RetryClass::$class,)*
                }
            }

            /// What is being done, for messages: `fetching task`.
            pub const fn doing(self) -> &'static str {
                match self {
                    $(Self::$name => $doing,)*
                }
            }

            /// What is done when it was sent and no answer came, beyond asking again where the class allows that.
            pub const fn when_lost(self) -> &'static str {
                match self {
                    $(Self::$name => $lost,)*
                }
            }
        }
    };
}

/// Reads need no more than being asked again.
const ASKED_AGAIN: &str = "asked again";

/// Drills start their own coordinators and hold everything against the records in the end.
const DRILL_ENDS: &str = "the drill ends and says so";

/// Load is counted by what its answers say.
const IN_DOUBT: &str = "counted as in doubt, then held against the records";

operations! {
    /// All background tasks.
    ListTasks: Internal GET "/bgtasks", Safe, "listing background tasks", ASKED_AGAIN;
    /// One background task.
    FetchTask: Internal GET "/bgtasks/view/{bgtask_name}", Safe, "fetching background task", ASKED_AGAIN;
    // Activations coalesce: a second signal means at most one more pass, and passes may run at any time.
    /// Run background tasks soon.
    ActivateTasks: Internal POST "/bgtasks/activate", Safe, "activating background tasks",
        "found out from the task's iterations";
    /// The sagas in the coordinator's memory, page by page.
    ListSagas: Internal GET "/sagas", Safe, "listing sagas", ASKED_AGAIN;
    /// One saga in the coordinator's memory.
    FetchSaga: Internal GET "/sagas/{saga_id}", Safe, "fetching saga", ASKED_AGAIN;
    // Twice is the same as once, but by the second time the saga may have come to its end, and then it would be refused.
    /// Make a node of a saga in memory fail. Ours only.
    InjectError: Internal POST "/sagas/{saga_id}/inject-error", UnsentOnly, "injecting an error into saga",
        "found out from the saga's log";
    // A second one would be a second saga: a Nexus does not look at keys.
    /// Start a saga that waits until it is completed.
    CreateDemoSaga: Internal POST "/demo-saga", UnsentOnly, "creating a demo saga",
        "found out by looking for the saga";
    // A second one would be told that there is no such saga, although all is well.
    /// Let such a saga go on.
    CompleteDemoSaga: Internal POST "/demo-saga/{demo_saga_id}/complete", UnsentOnly, "completing demo saga",
        "found out from the saga's state";
    /// Who the coordinator is. Ours only.
    FetchInfo: Internal GET "/info", Safe, "fetching the coordinator's info", ASKED_AGAIN;
    /// Who the coordinator is, and what its database says of its sagas. Ours only.
    FetchOverview: Internal GET "/overview", Safe, "fetching the coordinator's overview", ASKED_AGAIN;
    /// Whether the coordinator takes sagas, and what it has left.
    FetchQuiesce: Internal GET "/quiesce", Safe, "asking whether it is quiescing", ASKED_AGAIN;
    // It goes one way only, and whoever goes it already goes on.
    /// Take no more sagas.
    StartQuiesce: Internal POST "/quiesce", Safe, "asking it to quiesce", "found out by asking whether it is quiescing";
    // All rules at once.
    /// Which faults sagas are to have. Ours, and only for drills, like all that follow.
    SetFaults: Internal POST "/fault", Safe, "setting faults", DRILL_ENDS;
    /// Kinds of sagas that a drill can make.
    ListDrilledSagas: Internal GET "/drill/sagas", Safe, "listing sagas that can be drilled", ASKED_AGAIN;
    // What a second one makes may be in the way of the first.
    /// Bring about what a saga needs.
    PrepareDrilledSaga: Internal POST "/drill/sagas/{saga_name}/prepare", Never, "preparing a drill of saga", DRILL_ENDS;
    // The saga's id comes from the caller, so a second one is refused.
    /// Create a saga as it was prepared.
    CreateDrilledSaga: Internal POST "/drill/sagas/{saga_name}", UnsentOnly, "creating a drilled saga", DRILL_ENDS;
    // Completing twice is the same as once.
    /// Play the part of somebody outside whom a saga waits for.
    NudgeDrilledSaga: Internal POST "/drill/sagas/{saga_name}/nudge", Safe, "playing the other part for saga", DRILL_ENDS;

    // Every login that fails counts against the user.
    /// Get a session.
    LogIn: External POST "/v1/login/{silo_name}/local", UnsentOnly, "logging in", "told; no harm is done";
    /// Projects, page by page.
    ListProjects: External GET "/v1/projects", Safe, "listing projects", ASKED_AGAIN;
    // It carries an idempotency key.
    /// Create a project.
    CreateProject: External POST "/v1/projects", Safe, "creating a project", IN_DOUBT;
    // A second one finds that there is nothing any more.
    /// Delete a project.
    DeleteProject: External DELETE "/v1/projects/{project}", Safe, "deleting project",
        "asked again; the list tells in the end";
    /// VPCs of a project, page by page.
    ListVpcs: External GET "/v1/vpcs", Safe, "listing VPCs", ASKED_AGAIN;
    /// Delete a VPC.
    DeleteVpc: External DELETE "/v1/vpcs/{vpc}", Safe, "deleting VPC", "asked again; the list tells in the end";
    /// Subnets of a VPC, page by page.
    ListSubnets: External GET "/v1/vpc-subnets", Safe, "listing subnets", ASKED_AGAIN;
    /// Delete a subnet.
    DeleteSubnet: External DELETE "/v1/vpc-subnets/{subnet}", Safe, "deleting subnet",
        "asked again; the list tells in the end";
    /// A read that somebody names for load.
    ReadForLoad: External GET "{path}", Safe, "reading what `--workload get:PATH` names", "counted as in doubt";
}

impl Operation {
    /// Whether it changes nothing.
    pub fn is_read(self) -> bool {
        self.method() == Method::GET
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Internal => "internal",
            Self::External => "external",
        })
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
    pub object: Option<Box<str>>,
}

impl Call {
    /// An operation whose path names no object.
    pub fn new(operation: Operation) -> Self {
        Self { operation, object: None }
    }

    /// An operation on one object.
    pub fn on(operation: Operation, object: impl fmt::Display) -> Self {
        Self { operation, object: Some(object.to_string().into()) }
    }

    /// The parts of the path, not yet percent-encoded.
    pub(crate) fn path_segments(&self) -> impl Iterator<Item = &str> {
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
mod documented;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_something_is_kept_from_being_repeated() {
        for operation in Operation::ALL {
            assert!(!operation.is_read() || operation.retry_class() == RetryClass::Safe, "{operation:?}");
        }
    }

    #[test]
    fn an_object_takes_the_place_of_the_braces() {
        let call = Call::on(Operation::CompleteDemoSaga, "a/b");
        assert_eq!(call.path_segments().collect::<Vec<_>>(), ["demo-saga", "a/b", "complete"]);
        assert_eq!(call.to_string(), "completing demo saga \"a/b\"");
    }
}
