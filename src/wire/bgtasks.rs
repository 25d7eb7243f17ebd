//! Background tasks as `/bgtasks` shows them, in Nexus's shape.

use super::time::{Time, WireDuration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One background task: what it is, what it is doing, and how its last run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackgroundTask {
    /// Unique name, for example `saga_recovery`.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Time between two activations when nobody asks for one.
    pub period: WireDuration,
    /// What it is doing now.
    pub current: CurrentStatus,
    /// How the last completed activation ended.
    pub last: LastResult,
}

/// What a task is doing now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "current_status", content = "details", rename_all = "snake_case")]
pub enum CurrentStatus {
    /// Nothing.
    Idle,
    /// An activation is under way.
    Running(CurrentStatusRunning),
}

/// An activation that is under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurrentStatusRunning {
    /// When it began.
    pub start_time: Time,
    /// What caused it.
    pub reason: ActivationReason,
    /// Its number, from 1.
    pub iteration: u64,
}

/// How the last completed activation ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "last_result", content = "details", rename_all = "snake_case")]
pub enum LastResult {
    /// None has completed since the coordinator started.
    NeverCompleted,
    /// One has.
    Completed(LastResultCompleted),
}

/// A completed activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LastResultCompleted {
    /// Its number, from 1.
    pub iteration: u64,
    /// When it began.
    pub start_time: Time,
    /// What caused it.
    pub reason: ActivationReason,
    /// How long it took.
    pub elapsed: WireDuration,
    /// What the task itself reports; its shape depends on the task.
    pub details: serde_json::Value,
}

/// What caused an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActivationReason {
    /// Somebody asked for it.
    Signaled,
    /// The period was over.
    Timeout,
    /// Another task's result asked for it.
    Dependency,
}

/// Body of `POST /bgtasks/activate`: all of these or, if one is unknown, none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActivateRequest {
    /// Task names; a name given twice counts once.
    pub bgtask_names: BTreeSet<String>,
}

/// Response header of our coordinator's `POST /bgtasks/activate`: `task=iteration` pairs joined by `,`, each naming the
/// first iteration that will begin after the request. Nexus has no such header; its answer is an empty 204 as well.
pub const ITERATIONS_HEADER: &str = "x-sagactl-iterations";

/// Name of the task that recovers sagas.
pub const SAGA_RECOVERY: &str = "saga_recovery";
/// Name of the task that keeps this SEC's row in the registry fresh.
pub const SEC_HEARTBEAT: &str = "sec_heartbeat";
/// Name of the task that takes over the sagas of expunged SECs.
pub const SEC_ADOPTION: &str = "sec_adoption";
