//! Faults that a coordinator can be asked to have, and sagas that it can be asked to run for a drill.
//!
//! Only a coordinator that was started with `--allow-faults` takes any of this.

use super::ids::SagaId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Body and answer of `POST /fault`: all rules from now on. They are in memory only and concern sagas that are created or
/// recovered later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultRules {
    /// The rules; none takes all faults back.
    pub rules: Vec<FaultRule>,
}

/// What is to go wrong in sagas of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultRule {
    /// The kind of saga.
    pub saga: String,
    /// The node; without one, a node that follows from the saga's id, so that it stays the same across crashes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u32>,
    /// Whether the action or the undo action is meant.
    #[serde(default)]
    pub direction: Direction,
    /// What goes wrong.
    #[serde(flatten)]
    pub fault: Fault,
    /// The share of sagas that this is for, from 0 to 1; which ones follows from their ids.
    #[serde(default = "everyone")]
    pub share: f64,
}

fn everyone() -> f64 {
    1.0
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// The process is killed with SIGKILL.
    Crash {
        /// When exactly.
        moment: Moment,
    },
    /// The action fails without having run; backward, the undo action does, and the saga is stuck.
    Fail,
    /// The action takes this much longer.
    Slow {
        /// In milliseconds.
        millis: u64,
    },
    /// The action panics instead of running.
    Panic,
}

/// Where in the life of a node a crash happens. Everything before it is durable, nothing after it has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// The node's start is recorded, its action has not begun.
    BeforeAction,
    /// The action has had its effect, but its event is not recorded.
    AfterAction,
    /// The event that ends the node is recorded.
    AfterEvent,
}

impl Moment {
    /// All of them, in the order in which they come.
    pub const ALL: [Self; 3] = [Self::BeforeAction, Self::AfterAction, Self::AfterEvent];
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BeforeAction => "before the action",
            Self::AfterAction => "after the action, before its event",
            Self::AfterEvent => "after its event",
        })
    }
}

/// Whether a saga goes forward or unwinds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The action.
    #[default]
    Forward,
    /// The undo action.
    Undo,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::Undo => "undo",
        })
    }
}

/// A kind of saga that the coordinator can make one of by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrilledKind {
    /// Its name.
    pub name: String,
    /// Sagas of this kind wait for somebody outside, whose part `POST /drill/sagas/{name}/nudge` plays.
    pub waits: bool,
}

/// Answer of `POST /drill/sagas/{name}/prepare`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PreparedSaga {
    /// What a saga is to be created from.
    pub params: serde_json::Value,
    /// Its nodes, in no meaningful order.
    pub nodes: Vec<DrilledNode>,
}

/// One node of a saga to be drilled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrilledNode {
    /// Its id in the log.
    pub node_id: u32,
    /// Its name; the start and the end of a saga have none of their own.
    pub name: String,
    /// Its action, unless it is one of the engine's own nodes.
    pub action: Option<String>,
}

/// Body of `POST /drill/sagas/{name}`: the saga to create.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DrilledSaga {
    /// The id that it gets, so that two runs on two databases can be compared row by row.
    pub saga_id: SagaId,
    /// What it is made from, as prepared.
    pub params: serde_json::Value,
}
