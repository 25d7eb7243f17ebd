//! One saga as `sagas show` tells it: header, verdict, every node, and on request its log, its gaps, its errors, what it was
//! given.
//!
//! Made from a [`Reading`] and a [`Why`], so that table and JSON say the same. What a saga was given (the start node's
//! parameters, the values of constants) holds identities and user data and is left out unless it is asked for.

use super::why::Why;
use crate::saga_log::dag::Node;
use crate::saga_log::events::{EventType, NodeStatus};
use crate::saga_log::findings::Finding;
use crate::saga_log::record::EventRecord;
use crate::saga_log::{Failure, Reading};
use crate::wire::field::Field;
use crate::wire::ids::SecId;
use crate::wire::time::Time;
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What is wanted beyond the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The log, event by event.
    pub events: bool,
    /// The times in which nothing ran.
    pub gaps: bool,
    /// The errors in full.
    pub errors: bool,
    /// What it was given.
    pub params: bool,
}

/// A saga.
#[derive(Clone, Debug, Serialize)]
pub struct SagaReport {
    /// What it is doing, with all that `why` says; its id, name, state and owner are there.
    #[serde(flatten)]
    pub why: Why,
    /// Who made it.
    pub creator: Option<SecId>,
    /// When it was made.
    pub created: Option<Time>,
    /// When its owner adopted it.
    pub adopted: Option<Time>,
    /// How, when and why it was given up.
    pub abandoned: Option<Abandonment>,
    /// Nodes in execution order.
    pub nodes: Vec<NodeReport>,
    /// How many nodes there are with each status.
    pub counts: BTreeMap<&'static str, u64>,
    /// What is odd about its rows.
    pub findings: Vec<Finding>,
    /// Its log in the order of the writers' clocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<EventReport>>,
    /// Times in which nothing ran, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gaps: Option<Vec<GapReport>>,
    /// Errors in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<ErrorReport>>,
    /// What the saga was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub params: Option<Json>,
}

/// How a saga was given up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Abandonment {
    /// When.
    pub time: Option<Time>,
    /// A word.
    pub reason: Option<String>,
    /// What was written down.
    pub comment: Option<String>,
}

/// A node.
#[derive(Clone, Debug, Serialize)]
pub struct NodeReport {
    /// Its number.
    pub node_id: i64,
    /// Its name, with the names of the subsagas that it lies in.
    pub name: String,
    /// What it is called for people.
    pub label: Option<String>,
    /// What it is: `action`, `constant`, `start`, …; absent if the DAG does not know it.
    pub kind: Option<&'static str>,
    /// Its action.
    pub action_name: Option<String>,
    /// In how many subsagas it lies.
    pub depth: u32,
    /// Whether others may run at the same time.
    pub is_parallel: bool,
    /// How far it has come.
    pub status: NodeStatus,
    /// When its action was first begun.
    pub started: Option<Time>,
    /// How long it took, in milliseconds; absent if it has not ended, or clocks disagree.
    pub took_ms: Option<f64>,
    /// How often it was begun at least.
    pub attempts: u32,
    /// When its undo action was first begun.
    pub undo_started: Option<Time>,
    /// How long that took, in milliseconds.
    pub undo_took_ms: Option<f64>,
    /// How often that was begun at least.
    pub undo_attempts: u32,
    /// What it made. Absent for constants unless parameters are asked for.
    pub output: Option<Json>,
    /// Why its action failed, in words.
    pub error: Option<String>,
    /// Why its undo action failed, in words.
    pub undo_error: Option<String>,
    /// The SECs that wrote its events.
    pub secs: Vec<SecId>,
}

/// JSON as it is stored; text that claims to be JSON and is not stays text.
#[derive(Clone, Debug)]
pub enum Json {
    /// It is JSON.
    Valid(Box<RawValue>),
    /// It is not.
    Text(String),
}

/// An event.
#[derive(Clone, Debug, Serialize)]
pub struct EventReport {
    /// When, by the writer's clock.
    pub time: Option<Time>,
    /// The node.
    pub node_id: i64,
    /// Its name.
    pub name: String,
    /// What happened to it.
    pub event_type: String,
    /// Who wrote it.
    pub sec_id: Option<SecId>,
    /// The output or the error.
    pub data: Option<Json>,
}

/// A time in which nothing ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GapReport {
    /// The node whose end it began with.
    pub after: String,
    /// The node whose beginning it ended with; absent if it lasts.
    pub before: Option<String>,
    /// When it began.
    pub from: Time,
    /// How long it was, in milliseconds.
    pub took_ms: f64,
}

/// An error in full.
#[derive(Clone, Debug, Serialize)]
pub struct ErrorReport {
    /// The node.
    pub node_id: i64,
    /// Its name.
    pub name: String,
    /// Whether it was its undo action.
    pub undo: bool,
    /// When.
    pub time: Option<Time>,
    /// In words.
    pub message: Option<String>,
    /// As stored; absent if it was not recorded.
    pub error: Option<Json>,
}

impl SagaReport {
    /// Puts a saga together.
    pub fn new(reading: &Reading<'_>, why: Why, wanted: Wanted, now: Time) -> Self {
        let saga = reading.records.saga.as_ref();
        let abandoned = saga.filter(|_| why.state.as_deref() == Some("abandoned")).map(|saga| Abandonment {
            time: saga.abandon_time.value().copied(),
            reason: saga.abandon_reason.value().cloned(),
            comment: saga.abandon_comment.value().cloned(),
        });
        let counts = reading.counts().into_iter().map(|(status, count)| (status.as_str(), count)).collect();
        Self {
            creator: saga.and_then(|saga| saga.creator.value().copied()),
            created: saga.and_then(|saga| saga.time_created.value().copied()),
            adopted: saga.and_then(|saga| saga.adopt_time.value().copied()),
            abandoned,
            nodes: reading.nodes_in_order().into_iter().map(|id| node(reading, id, wanted)).collect(),
            counts,
            findings: reading.findings.clone(),
            events: wanted.events.then(|| events(reading, wanted)),
            gaps: wanted.gaps.then(|| gaps(reading, now)),
            errors: wanted.errors.then(|| errors(reading)),
            params: match &reading.dag {
                Ok((dag, _)) if wanted.params => dag.params().map(|params| Json::of(params.to_owned())),
                _ => None,
            },
            why,
        }
    }
}

fn node(reading: &Reading<'_>, id: i64, wanted: Wanted) -> NodeReport {
    let log = reading.log.node(id);
    let known = reading.node(id);
    let index = u32::try_from(id).unwrap_or(u32::MAX);
    let layout = reading.dag.as_ref().ok().map(|(_, layout)| layout);
    let (took, undo_took) = reading.took(id);
    let (attempts, undo_attempts) = reading.attempts(id);
    let words = |event_type| {
        let data = log.get(event_type)?.data.value()?;
        Some(crate::saga_log::action_error::in_words(data))
    };
    let time = |event_type| log.get(event_type)?.time.value().copied();
    let mut secs: Vec<SecId> = log.events().filter_map(|(_, event)| event.creator.value().copied()).collect();
    secs.dedup();
    NodeReport {
        node_id: id,
        name: reading.node_ref(id).name,
        label: known.map(Node::label),
        kind: known.map(Node::kind),
        action_name: match known {
            Some(Node::Action { action_name, .. }) => Some(action_name.clone()),
            _ => None,
        },
        depth: layout.map_or(0, |layout| layout.depth(index)),
        is_parallel: layout.is_some_and(|layout| layout.is_parallel(index)),
        status: log.status(),
        started: time(EventType::Started),
        took_ms: took.map(millis),
        attempts: attempts.at_least,
        undo_started: time(EventType::UndoStarted),
        undo_took_ms: undo_took.map(millis),
        undo_attempts: undo_attempts.at_least,
        output: match is_given(known) && !wanted.params {
            true => None,
            false => log.get(EventType::Succeeded).and_then(|event| json(&event.data)),
        },
        error: words(EventType::Failed),
        undo_error: words(EventType::UndoFailed),
        secs,
    }
}

/// Whether what a node outputs is part of what the saga was given.
fn is_given(node: Option<&Node<'_>>) -> bool {
    matches!(node, Some(Node::Constant { .. } | Node::Start { .. }))
}

fn events(reading: &Reading<'_>, wanted: Wanted) -> Vec<EventReport> {
    let report = |event: &EventRecord| EventReport {
        time: event.time.value().copied(),
        node_id: event.node_id,
        name: reading.node_ref(event.node_id).name,
        event_type: event.event_type.clone(),
        sec_id: event.creator.value().copied(),
        data: match is_given(reading.node(event.node_id)) && !wanted.params {
            true => None,
            false => json(&event.data),
        },
    };
    reading.events_in_order().into_iter().map(report).collect()
}

fn gaps(reading: &Reading<'_>, now: Time) -> Vec<GapReport> {
    let name = |id| reading.node_ref(id).name;
    let mut gaps: Vec<GapReport> = reading
        .gaps()
        .into_iter()
        .map(|gap| GapReport {
            after: name(gap.after),
            before: Some(name(gap.before)),
            from: gap.from,
            took_ms: millis(gap.duration()),
        })
        .collect();
    // The one that lasts is the one that one looks for.
    let is_idle = reading.open.is_empty() && reading.outcome.is_none();
    if let (true, Some(last)) = (is_idle, reading.last_event)
        && let Some(from) = last.time.value().copied()
    {
        let took = now.signed_duration_since(from).to_std().unwrap_or_default();
        gaps.push(GapReport { after: name(last.node_id), before: None, from, took_ms: millis(took) });
    }
    gaps
}

fn errors(reading: &Reading<'_>) -> Vec<ErrorReport> {
    let report = |failure: &Failure<'_>, undo| ErrorReport {
        node_id: failure.node.node_id,
        name: failure.node.name.clone(),
        undo,
        time: failure.event.time.value().copied(),
        message: failure.error.clone(),
        error: json(&failure.event.data),
    };
    let actions = reading.failures.iter().map(|failure| report(failure, false));
    actions.chain(reading.undo_failures.iter().map(|failure| report(failure, true))).collect()
}

fn json(field: &Field<String>) -> Option<Json> {
    match field {
        Field::Value(text) => Some(Json::of(text.clone())),
        Field::Unreadable { raw, .. } => Some(Json::Text(raw.clone())),
        Field::Null | Field::NoColumn => None,
    }
}

fn millis(duration: std::time::Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

impl Json {
    fn of(text: String) -> Self {
        match RawValue::from_string(text.clone()) {
            Ok(valid) => Self::Valid(valid),
            Err(_) => Self::Text(text),
        }
    }

    /// The text as it is stored.
    pub fn text(&self) -> &str {
        match self {
            Self::Valid(json) => json.get(),
            Self::Text(text) => text,
        }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Valid(json) => json.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

/// A DAG as JSON, without what the saga was given unless that is asked for.
///
/// # Errors
///
/// If it is not JSON.
pub fn dag_json(text: &str, wanted: Wanted) -> Result<Value, serde_json::Error> {
    let mut dag: Value = serde_json::from_str(text)?;
    if !wanted.params
        && let Some(nodes) = dag.pointer_mut("/graph/nodes").and_then(Value::as_array_mut)
    {
        for node in nodes {
            for given in ["/Start/params", "/Constant/value"] {
                if let Some(value) = node.pointer_mut(given) {
                    *value = Value::from("(hidden; --params shows it)");
                }
            }
        }
    }
    Ok(dag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_saga_was_given_is_hidden_in_its_dag() {
        let dag = json!({"graph": {"nodes": [
            {"Start": {"params": {"secret": 1}}}, {"Constant": {"name": "c", "value": "secret"}},
            {"Action": {"name": "params", "label": "value", "action_name": "a"}}, "End", 7]}});
        let hidden = dag_json(&dag.to_string(), Wanted::default()).expect("JSON");
        assert!(!hidden.to_string().contains("secret"), "{hidden}");
        assert_eq!(hidden["graph"]["nodes"][2], dag["graph"]["nodes"][2]);
        let wanted = Wanted { params: true, ..Wanted::default() };
        assert_eq!(dag_json(&dag.to_string(), wanted).expect("JSON"), dag);
        assert!(dag_json("{", wanted).is_err());
    }
}
