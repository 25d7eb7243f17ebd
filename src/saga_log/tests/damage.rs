//! Rows that nobody should have written: each is shown for what it is, and nothing hides its neighbours.

use super::super::Reading;
use super::super::events::EventType::{self, Failed, Started, Succeeded, UndoFinished, UndoStarted};
use super::super::events::NodeStatus;
use super::super::findings::FindingKind;
use super::super::legality::{Judgement, Rule, Verdict};
use super::super::record::SagaRecords;
use super::{diamond, event, log, records};
use crate::wire::field::Field;
use crate::wire::sagas::Outcome;
use serde_json::{Value, json};

fn rules(judgement: &Judgement) -> Vec<Rule> {
    judgement.violations.iter().map(|violation| violation.rule).collect()
}

/// The rules that a log of the diamond breaks: legal, resumable.
fn broken(state: &str, events: &[(i64, EventType)]) -> (Vec<Rule>, Vec<Rule>) {
    let records = records(state, &diamond(), log(events));
    let reading = Reading::of(&records);
    (rules(&reading.legal), rules(&reading.resumable))
}

#[test]
fn illegal_logs_name_the_rule() {
    let begun = [(4, Started), (4, Succeeded), (0, Started), (0, Succeeded), (1, Started)];
    let with = |more: &[(i64, EventType)]| broken("running", &[&begun[..], more].concat());
    assert_eq!(with(&[]), (vec![], vec![]));
    // Nodes that go wrong by themselves.
    assert_eq!(with(&[(2, Succeeded)]).0, [Rule::EndAfterStart]);
    assert_eq!(with(&[(1, Succeeded), (1, Failed)]).0, [Rule::OneEnd]);
    assert_eq!(with(&[(1, UndoStarted)]).0, [Rule::UndoAfterFailure, Rule::UndoAfterSuccess]);
    assert_eq!(with(&[(1, Failed), (2, UndoFinished)]).0, [Rule::UndoEndAfterStart]);
    assert_eq!(with(&[(1, Started)]).0, [Rule::OneEventOfEachType]);
    // Nodes that go wrong with each other.
    let reading = |more: &[(i64, EventType)]| {
        let records = records("running", &diamond(), log(&[&begun[..], more].concat()));
        let legal = Reading::of(&records).legal;
        legal.first().map(ToString::to_string)
    };
    assert_eq!(
        reading(&[(3, Started)]).as_deref(),
        Some("node 3 d is running although node 1 b, which leads to it, is running")
    );
    assert_eq!(
        reading(&[(2, Started), (2, Failed), (0, UndoStarted)]).as_deref(),
        Some("node 1 b is running although node 0 a, which leads to it, is undoing")
    );
    // Undoing for no reason. The engine takes that up, and panics in the end.
    let (legal, resumable) = with(&[(1, Succeeded), (1, UndoStarted)]);
    assert_eq!((legal, resumable), (vec![Rule::UndoAfterFailure], vec![Rule::UndoAfterFailure]));
    // A node that does nothing has failed.
    let (legal, resumable) = broken("running", &[(4, Started), (4, Failed)]);
    assert_eq!((legal, resumable), (vec![Rule::CanFail], vec![Rule::CanFail]));
    // The engine does not mind events of other nodes.
    let (legal, resumable) = with(&[(99, Started)]);
    assert_eq!((legal, resumable), (vec![Rule::NodeExists], vec![]));
    let (legal, resumable) = with(&[(-1, Started)]);
    assert_eq!((legal, resumable), (vec![Rule::NodeExists], vec![Rule::NodeExists]));
}

#[test]
fn a_state_ahead_of_its_log_means_that_events_are_missing() {
    let half = [(4, Started), (4, Succeeded), (0, Started)];
    let records = records("done", &diamond(), log(&half));
    let reading = Reading::of(&records);
    assert_eq!(
        reading.legal.first().map(ToString::to_string).as_deref(),
        Some("the state is done, but the log has not come to an end: node 0 a is running")
    );
    assert!(reading.findings.iter().any(|finding| finding.kind == FindingKind::StateAhead));
    assert_eq!(reading.outcome, None);
    assert_eq!(broken("unwinding", &half).0, [Rule::StateFollowsLog]);
    assert_eq!(broken("abandoned", &half).0, []);
}

/// A reading of a saga with that DAG and a log of three events.
fn with_dag(dag: Field<String>) -> SagaRecords {
    let events = log(&[(4, Started), (4, Succeeded), (0, Started)]);
    SagaRecords { dag, ..records("running", &diamond(), events) }
}

#[test]
fn without_a_dag_the_log_is_still_read() {
    for (dag, reason) in [
        (Field::Null, "the DAG is NULL"),
        (Field::NoColumn, "this database keeps no DAGs"),
        (Field::Value("{\"saga_name\":".to_owned()), "the DAG is not JSON: EOF"),
        (Field::Value("{}".to_owned()), "the DAG is JSON, but not a DAG: missing field `saga_name`"),
        (Field::Value(format!("{{\"saga_name\":\"s\",\"graph\":{}", "[".repeat(100_000))), "the DAG is"),
    ] {
        let records = with_dag(dag);
        let reading = Reading::of(&records);
        assert_eq!(reading.nodes_in_order(), [4, 0]);
        assert_eq!(reading.status(0), NodeStatus::Running);
        assert_eq!(reading.legal.verdict, Verdict::CannotTell);
        assert!(reading.resumable.is_no());
        let found = &reading.findings[0];
        assert_eq!(found.kind, FindingKind::DagUnusable);
        assert!(found.message.starts_with(reason), "{}", found.message);
    }
}

#[test]
fn without_a_row_the_log_is_still_read() {
    let records = SagaRecords { saga: None, ..with_dag(Field::NoColumn) };
    let reading = Reading::of(&records);
    assert_eq!(reading.findings[0].kind, FindingKind::RowMissing);
    assert_eq!(reading.open.len(), 1);
    assert_eq!(rules(&reading.resumable), [Rule::DagPresent, Rule::RowReadable]);
    assert_eq!(reading.outcome, None);
}

/// The diamond with something changed.
fn changed(change: impl FnOnce(&mut Value)) -> Field<String> {
    let mut dag = diamond();
    change(&mut dag);
    Field::Value(dag.to_string())
}

#[test]
fn what_is_wrong_with_a_dag_is_named() {
    let table: [(Field<String>, &str); 8] = [
        (
            changed(|dag| dag["graph"]["nodes"][2] = json!({"Dance": {}})),
            "node 2 is of no kind that is known",
        ),
        (
            changed(|dag| dag["graph"]["edges"][5] = json!([3, 77, null])),
            "its edge 5 leads from node 3 to node 77",
        ),
        (changed(|dag| dag["graph"]["edges"][5] = Value::Null), "its edge 5 is empty"),
        (
            changed(|dag| dag["graph"]["edges"][5] = json!([3, 0, null])),
            "node 0 a lies on a cycle or behind one",
        ),
        (changed(|dag| dag["start_node"] = json!(40)), "its start node is to be node 40"),
        (changed(|dag| dag["end_node"] = json!(0)), "node 5 (end) is a second end node"),
        (changed(|dag| dag["graph"]["node_holes"] = json!([1])), "it has holes among its nodes"),
        (
            changed(|dag| {
                dag["graph"]["nodes"][1] =
                    json!({"SubsagaStart": {"saga_name": "s", "params_node_name": "a"}})
            }),
            "it begins 1 subsagas and ends 0",
        ),
    ];
    for (dag, expected) in table {
        let records = with_dag(dag);
        let reading = Reading::of(&records);
        let defects: Vec<&str> =
            reading.resumable.violations.iter().map(|found| found.message.as_str()).collect();
        assert!(defects.iter().any(|found| found.contains(expected)), "{expected}: {defects:?}");
        assert_eq!(reading.nodes_in_order().len(), 6, "every node is shown: {expected}");
        assert!(!reading.legal.is_yes());
    }
}

#[test]
fn a_subsaga_that_ends_without_beginning() {
    let records = with_dag(changed(|dag| {
        dag["graph"]["nodes"][1] = json!({"SubsagaEnd": {"name": "s"}});
        dag["graph"]["nodes"][3] = json!({"SubsagaStart": {"saga_name": "s", "params_node_name": "a"}});
    }));
    let reading = Reading::of(&records);
    let messages: Vec<_> = reading.findings.iter().map(|finding| finding.message.clone()).collect();
    assert!(
        messages.iter().any(|message| message == "node 1 s ends a subsaga that was not begun"),
        "{messages:?}"
    );
}

#[test]
fn events_that_cannot_be_read_are_findings() {
    let mut records = records(
        "running",
        &diamond(),
        log(&[(4, Started), (4, Succeeded), (0, Started), (0, Succeeded), (1, Started), (1, Failed)]),
    );
    records.events[0].time = Field::Unreadable { raw: "soon".to_owned(), reason: "not a time".to_owned() };
    records.events[2].creator = Field::Null;
    records.events[3].data = Field::Null;
    records.events[4].data = Field::Value("7".to_owned());
    records.events[5].data = Field::Value("\"Dismay\"".to_owned());
    records.events.push(super::EventRecord { event_type: "napped".to_owned(), ..event(1, Started, 9) });
    let reading = Reading::of(&records);
    let messages: Vec<_> = reading.findings.iter().map(|finding| finding.message.as_str()).collect();
    for expected in [
        "event_time of event started of node 4 (start) cannot be read (not a time): \"soon\"",
        "creator of event started of node 0 a is NULL",
        "data of event succeeded of node 0 a is NULL",
        "data of event started of node 1 b is there, though nothing belongs there",
        "node 1 b has an event of an unknown type: \"napped\"",
    ] {
        assert!(messages.contains(&expected), "{expected}: {messages:?}");
    }
    let mut rules = rules(&reading.resumable);
    rules.sort();
    rules.dedup();
    assert_eq!(rules, [Rule::KnownEventType, Rule::DataReadable, Rule::EventReadable]);
    assert_eq!(reading.failures[0].error.as_deref(), Some("Dismay"), "shown as it is");
    assert!(reading.legal.is_no(), "a success without an output was written by no engine");
}

#[test]
fn clocks_may_disagree() {
    let mut records = records("running", &diamond(), log(&[(4, Started), (4, Succeeded)]));
    records.events[1].time = Field::Value(super::at(-500));
    let reading = Reading::of(&records);
    assert_eq!(reading.findings[0].kind, FindingKind::ClocksDiffer);
    assert_eq!(reading.took(4), (None, None));
    assert!(reading.legal.is_yes(), "times decide nothing");
}

#[test]
fn unknown_states_and_broken_rows_are_findings() {
    let mut records = records("hibernating", &diamond(), Vec::new());
    if let Some(saga) = &mut records.saga {
        saga.current_sec = Field::Null;
        saga.adopt_generation =
            Field::Unreadable { raw: "many".to_owned(), reason: "not a number".to_owned() };
        saga.name = Field::Value("square".to_owned());
    }
    let reading = Reading::of(&records);
    let kinds: Vec<_> = reading.findings.iter().map(|finding| finding.kind).collect();
    use FindingKind::{LogEmpty, NameDiffers, RowValue, StateUnknown};
    assert_eq!(kinds, [RowValue, RowValue, NameDiffers, StateUnknown, LogEmpty]);
    assert_eq!(rules(&reading.resumable), [Rule::RowReadable, Rule::RowReadable]);
    assert_eq!(reading.state(), None);
}

#[test]
fn a_hundred_thousand_events_of_garbage_are_read_and_counted() {
    let events = (0..100_000).map(|number| event(number % 50_000, EventType::Succeeded, number)).collect();
    let records = records("running", &diamond(), events);
    let reading = Reading::of(&records);
    assert_eq!(reading.nodes_in_order().len(), 50_000);
    assert_eq!(reading.legal.violations.len(), 100);
    assert!(reading.legal.more > 100_000, "{}", reading.legal.more);
    let mut findings = reading.findings.iter().rev();
    let unknown = findings.find(|finding| finding.kind == FindingKind::UnknownNode);
    let last = unknown.expect("strays").message.clone();
    assert_eq!(last, format!("and {} more of this kind", 50_000 - 6 - 20));
}

/// A chain of subsagas, each within the one before it: deeper than any stack.
#[test]
fn nesting_of_any_depth_is_read() {
    const DEPTH: u32 = 50_000;
    let mut nodes = Vec::new();
    for level in 0..DEPTH {
        nodes.push(json!({"SubsagaStart": {"saga_name": format!("s{level}"), "params_node_name": "p"}}));
    }
    for level in (0..DEPTH).rev() {
        nodes.push(json!({"SubsagaEnd": {"name": format!("s{level}")}}));
    }
    let (start, end) = (2 * DEPTH, 2 * DEPTH + 1);
    nodes.push(json!({"Start": {"params": null}}));
    nodes.push(json!("End"));
    let mut edges = vec![json!([start, 0, null]), json!([2 * DEPTH - 1, end, null])];
    edges.extend((1..2 * DEPTH).map(|node| json!([node - 1, node, null])));
    let dag = json!({"saga_name": "deep", "start_node": start, "end_node": end,
        "graph": {"nodes": nodes, "node_holes": [], "edge_property": "directed", "edges": edges}});
    let events =
        (0..).zip([start].into_iter().chain(0..2 * DEPTH).chain([end])).flat_map(|(millis, node)| {
            let node = i64::from(node);
            [event(node, Started, millis), event(node, Succeeded, millis)]
        });
    let records = records("done", &dag, events.collect());
    let reading = Reading::of(&records);
    assert_eq!(reading.outcome, Some(Outcome::Succeeded));
    assert!(reading.legal.is_yes(), "{:?}", reading.legal);
    assert!(reading.findings.is_empty());
    let name = reading.node_ref(i64::from(DEPTH)).name;
    assert!(name.starts_with("…/") && name.ends_with(&format!("s{}", DEPTH - 1)), "{name}");
    let (_, layout) = reading.dag.as_ref().expect("a DAG");
    assert_eq!((layout.depth(DEPTH - 1), layout.depth(end)), (DEPTH - 1, 0));
}

/// Two stages of parallel nodes, with an edge from each node of one to each of the other.
#[test]
fn wide_stages_are_read() {
    const WIDTH: u32 = 400;
    let action = |name: String| json!({"Action": {"name": name, "label": "L", "action_name": "a"}});
    let mut nodes: Vec<Value> = (0..2 * WIDTH).map(|number| action(format!("n{number}"))).collect();
    nodes.extend([action("last".to_owned()), json!({"Start": {"params": null}}), json!("End")]);
    let (last, start, end) = (2 * WIDTH, 2 * WIDTH + 1, 2 * WIDTH + 2);
    let mut edges = vec![json!([last, end, null])];
    for first in 0..WIDTH {
        edges.push(json!([start, first, null]));
        edges.push(json!([WIDTH + first, last, null]));
        edges.extend((WIDTH..2 * WIDTH).map(|second| json!([first, second, null])));
    }
    let dag = json!({"saga_name": "wide", "start_node": start, "end_node": end,
        "graph": {"nodes": nodes, "node_holes": [], "edge_property": "directed", "edges": edges}});
    let begun = [(i64::from(start), Started), (i64::from(start), Succeeded)];
    let records = records("running", &dag, log(&begun));
    let reading = Reading::of(&records);
    assert_eq!(reading.next.len(), 100, "as many as anybody reads");
    assert!(reading.legal.is_yes() && reading.resumable.is_yes());
}
