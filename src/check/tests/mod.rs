//! Every invariant made to fail, and tempted to fail wrongly, from facts alone.

mod logs;
mod owners;
mod recovery;
mod rest;

use crate::check::Problem;
use crate::check::tally::Finding;
use crate::saga_log::record::{EventRecord, SagaRecord, SagaRecords};
use crate::wire::field::Field;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::Time;
use serde_json::json;
use uuid::Uuid;

fn sec(number: u128) -> SecId {
    SecId::from_uuid(Uuid::from_u128(number))
}

fn id() -> SagaId {
    SagaId::from_uuid(Uuid::from_u128(7))
}

/// Seconds after the tests' beginning of time.
fn at(secs: i64) -> Time {
    Time::from_timestamp(1_700_000_000 + secs, 0).expect("a time")
}

/// A saga `start → a → (b ∥ c) → d → end`, nodes 0 to 3, start 4, end 5, created at second 0 and owned by SEC 1. Each event
/// is written one second after the other, by SEC 1 or by the one that is named.
fn saga_by(state: &str, events: &[(i64, &str, u128)]) -> SagaRecords {
    let action = |name: &str| json!({"Action": {"name": name, "label": name, "action_name": name}});
    let dag = json!({"saga_name": "diamond", "start_node": 4, "end_node": 5, "graph": {
        "nodes": [action("a"), action("b"), action("c"), action("d"), {"Start": {"params": {}}}, "End"],
        "node_holes": [], "edge_property": "directed",
        "edges": [[4, 0, null], [0, 1, null], [0, 2, null], [1, 3, null], [2, 3, null], [3, 5, null]]}});
    let data = |event_type: &str| match event_type {
        "succeeded" => Field::Value("null".to_owned()),
        "failed" => Field::Value(r#"{"ActionFailed":{"source_error":"no room"}}"#.to_owned()),
        _ => Field::Null,
    };
    SagaRecords {
        id: id(),
        saga: Some(SagaRecord {
            id: id(),
            creator: Field::Value(sec(1)),
            time_created: Field::Value(at(0)),
            name: Field::Value("diamond".to_owned()),
            state: Field::Value(state.to_owned()),
            current_sec: Field::Value(sec(1)),
            adopt_generation: Field::Value(1),
            adopt_time: Field::Value(at(0)),
            abandon_time: Field::Null,
            abandon_reason: Field::Null,
            abandon_comment: Field::Null,
        }),
        dag: Field::Value(dag.to_string()),
        events: (1..)
            .zip(events)
            .map(|(second, &(node_id, event_type, writer))| EventRecord {
                node_id,
                event_type: event_type.to_owned(),
                data: data(event_type),
                time: Field::Value(at(second)),
                creator: Field::Value(sec(writer)),
            })
            .collect(),
    }
}

fn saga(state: &str, events: &[(i64, &'static str)]) -> SagaRecords {
    let events: Vec<_> = events.iter().map(|&(node, event_type)| (node, event_type, 1)).collect();
    saga_by(state, &events)
}

/// Everything of the saga that was given until `a` runs.
const STARTED: [(i64, &str); 3] = [(4, "started"), (4, "succeeded"), (0, "started")];

/// The log of the whole saga.
const WHOLE: [(i64, &str); 12] = [
    (4, "started"),
    (4, "succeeded"),
    (0, "started"),
    (0, "succeeded"),
    (1, "started"),
    (2, "started"),
    (2, "succeeded"),
    (1, "succeeded"),
    (3, "started"),
    (3, "succeeded"),
    (5, "started"),
    (5, "succeeded"),
];

fn row(records: &mut SagaRecords) -> &mut SagaRecord {
    records.saga.as_mut().expect("it has a row")
}

fn broken(finding: Finding) -> String {
    match finding {
        Finding::Broken(Problem { text, next, .. }) => {
            assert!(!next.is_empty(), "a person must know what to do");
            text
        }
        other => panic!("{other:?}"),
    }
}

/// What is to be done about it.
fn remedy(finding: Finding) -> String {
    match finding {
        Finding::Broken(problem) => problem.next,
        other => panic!("{other:?}"),
    }
}

fn is_untold(finding: &Finding) -> bool {
    matches!(finding, Finding::CannotTell(_))
}
