//! What a unit of load consists of. A unit is counted, timed and reconciled as one, whatever it takes.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What each unit of load does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Creates a project.
    #[default]
    ProjectCreate,
    /// Creates a project and deletes it again.
    ProjectCycle,
    /// Starts a demo saga and lets it go on, through the internal API.
    DemoSaga,
    /// Reads what is at this path and makes nothing.
    Get {
        /// Path and query below the base URL, with `/` in front.
        path: String,
    },
}

/// What has to be asked afterwards to know what became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traces {
    /// Projects, by name.
    Projects,
    /// Sagas, by the ids that were answered.
    Sagas,
    /// Nothing: it left none.
    None,
}

impl Workload {
    /// What it leaves behind.
    pub fn traces(&self) -> Traces {
        match self {
            Self::ProjectCreate | Self::ProjectCycle => Traces::Projects,
            Self::DemoSaga => Traces::Sagas,
            Self::Get { .. } => Traces::None,
        }
    }

    /// Whether it speaks to the internal API; the others speak to the external one.
    pub fn is_internal(&self) -> bool {
        matches!(self, Self::DemoSaga)
    }

    /// What a unit was to make, for messages: `creating project dummy-…`.
    pub fn doing(&self, name: &str) -> String {
        match self {
            Self::ProjectCreate => format!("creating project {name}"),
            Self::ProjectCycle => format!("creating and deleting project {name}"),
            Self::DemoSaga => format!("running demo saga {name}"),
            Self::Get { path } => format!("reading {path}"),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProjectCreate => "project-create",
            Self::ProjectCycle => "project-cycle",
            Self::DemoSaga => "demo-saga",
            Self::Get { .. } => "get",
        })
    }
}

/// Description of every project that a blast makes. `clean` leaves alone what has another.
pub const DESCRIPTION: &str = "made by sagactl blast";

/// Body of the creation of a project. Names hold nothing that JSON would have to escape.
pub(super) fn project_body(name: &str) -> String {
    format!(r#"{{"name":"{name}","description":"{DESCRIPTION}"}}"#)
}
