//! A background task as a report: Nexus's nested shape laid flat, with numbers in units that their names tell.

use crate::client::FetchedTask;
use crate::wire::bgtasks::{ActivationReason, BackgroundTask, CurrentStatus, LastResult};
use crate::wire::time::Time;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// A background task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskView {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Time between two activations when nobody asks for one.
    #[serde(rename = "period_secs", serialize_with = "as_secs")]
    pub period: Duration,
    /// The activation that is under way, if one is.
    pub current: Option<CurrentActivation>,
    /// The last completed activation, if there was one.
    pub last: Option<LastActivation>,
    /// What the task reports in place of anything else when it could not do its work.
    pub error: Option<String>,
}

/// An activation that is under way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CurrentActivation {
    /// Its number, from 1.
    pub iteration: u64,
    /// What caused it.
    pub reason: ActivationReason,
    /// When it began.
    pub start_time: Time,
}

/// A completed activation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastActivation {
    /// Its number, from 1.
    pub iteration: u64,
    /// What caused it.
    pub reason: ActivationReason,
    /// When it began.
    pub start_time: Time,
    /// How long it took.
    #[serde(rename = "elapsed_ms", serialize_with = "as_millis")]
    pub elapsed: Duration,
}

impl TaskView {
    /// Lays a task flat.
    pub fn new(fetched: &FetchedTask) -> Self {
        let BackgroundTask { name, description, period, current, last } = &fetched.task;
        Self {
            name: name.clone(),
            description: description.clone(),
            period: (*period).into(),
            current: match current {
                CurrentStatus::Idle => None,
                CurrentStatus::Running(running) => Some(CurrentActivation {
                    iteration: running.iteration,
                    reason: running.reason,
                    start_time: running.start_time,
                }),
            },
            last: match last {
                LastResult::NeverCompleted => None,
                LastResult::Completed(completed) => Some(LastActivation {
                    iteration: completed.iteration,
                    reason: completed.reason,
                    start_time: completed.start_time,
                    elapsed: completed.elapsed.into(),
                }),
            },
            error: details(&fetched.task).and_then(task_error),
        }
    }
}

/// What the task itself reports, if it has completed an activation.
pub fn details(task: &BackgroundTask) -> Option<&Value> {
    match &task.last {
        LastResult::NeverCompleted => None,
        LastResult::Completed(completed) => Some(&completed.details),
    }
}

/// Any task may report `{"error": "…"}` in place of its own shape.
fn task_error(details: &Value) -> Option<String> {
    match details.as_object()?.get("error")? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// What caused an activation, in omdb's words.
pub fn reason_in_words(reason: ActivationReason) -> &'static str {
    match reason {
        ActivationReason::Signaled => "an explicit signal",
        ActivationReason::Timeout => "a periodic timer firing",
        ActivationReason::Dependency => "a dependent task completing",
    }
}

fn as_secs<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    match duration.subsec_nanos() {
        0 => serializer.serialize_u64(duration.as_secs()),
        _ => serializer.serialize_f64(duration.as_secs_f64()),
    }
}

fn as_millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    // Microseconds are as fine as anybody compares; more digits would only be noise.
    serializer.serialize_f64(duration.as_micros() as f64 / 1000.0)
}
