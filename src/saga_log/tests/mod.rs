//! The reading held against stories told by hand ([`stories`], [`damage`]) and against steno itself ([`against_steno`]).

mod against_steno;
mod damage;
mod engine;
mod fuzzed;
mod stories;

use super::record::{EventRecord, SagaRecord, SagaRecords};
use super::{EventType, Reading};
use crate::wire::field::Field;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::Time;
use serde_json::{Value, json};
use uuid::Uuid;

/// The SEC that writes everything in these tests, unless others are named.
fn sec(number: u128) -> SecId {
    SecId::from_uuid(Uuid::from_u128(number))
}

/// So many milliseconds after the tests' beginning of time.
fn at(millis: i64) -> Time {
    Time::from_timestamp_millis(1_700_000_000_000 + millis).expect("a time")
}

/// An event that SEC 1 wrote at some millisecond.
fn event(node_id: i64, event_type: EventType, millis: i64) -> EventRecord {
    let data = match event_type {
        EventType::Succeeded => Field::Value("null".to_owned()),
        EventType::Failed => {
            Field::Value(format!(r#"{{"ActionFailed":{{"source_error":"node {node_id} broke"}}}}"#))
        }
        EventType::UndoFailed => Field::Value(
            r#"{"PermanentFailure":{"source_error":{"message":"it will not go away"}}}"#.to_owned(),
        ),
        EventType::Started | EventType::UndoStarted | EventType::UndoFinished => Field::Null,
    };
    EventRecord {
        node_id,
        event_type: event_type.as_str().to_owned(),
        data,
        time: Field::Value(at(millis)),
        creator: Field::Value(sec(1)),
    }
}

/// A saga with a row of this state.
fn records(state: &str, dag: &Value, events: Vec<EventRecord>) -> SagaRecords {
    let id = SagaId::from_uuid(Uuid::from_u128(7));
    SagaRecords {
        id,
        saga: Some(SagaRecord {
            id,
            creator: Field::Value(sec(1)),
            time_created: Field::Value(at(0)),
            name: Field::Value(dag["saga_name"].as_str().unwrap_or("broken").to_owned()),
            state: Field::Value(state.to_owned()),
            current_sec: Field::Value(sec(1)),
            adopt_generation: Field::Value(1),
            adopt_time: Field::Value(at(0)),
            abandon_time: Field::Null,
            abandon_reason: Field::Null,
            abandon_comment: Field::Null,
        }),
        dag: Field::Value(dag.to_string()),
        events,
    }
}

/// The DAG `start → a → (b ∥ c) → d → end` with nodes 0 to 3, start 4 and end 5.
fn diamond() -> Value {
    let action = |name: &str| json!({"Action": {"name": name, "label": name.to_uppercase(), "action_name": format!("t.{name}")}});
    json!({"saga_name": "diamond", "start_node": 4, "end_node": 5, "graph": {
        "nodes": [action("a"), action("b"), action("c"), action("d"), {"Start": {"params": {"secret": 1}}}, "End"],
        "node_holes": [], "edge_property": "directed",
        "edges": [[4, 0, null], [0, 1, null], [0, 2, null], [1, 3, null], [2, 3, null], [3, 5, null]]}})
}

/// Events in the order in which they happened, a millisecond apart.
fn log(events: &[(i64, EventType)]) -> Vec<EventRecord> {
    (1..).zip(events).map(|(millis, &(node, event_type))| event(node, event_type, millis)).collect()
}

/// The names of nodes, for short comparisons.
fn steps(reading: &Reading<'_>, steps: &[super::Step]) -> Vec<String> {
    let name = |step: &super::Step| {
        let name = reading.node_ref(step.node).name;
        if step.is_undo { format!("undo {name}") } else { name }
    };
    steps.iter().map(name).collect()
}
