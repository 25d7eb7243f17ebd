//! What a reading says of sagas told by hand.

use super::super::events::EventType::{Failed, Started, Succeeded, UndoFailed, UndoFinished, UndoStarted};
use super::super::events::NodeStatus;
use super::super::findings::FindingKind;
use super::super::legality::Rule;
use super::super::{Direction, Reading};
use super::{at, diamond, log, records, sec, steps};
use crate::wire::field::Field;
use crate::wire::sagas::Outcome;
use serde_json::json;

/// The log of the diamond up to `b` and `c` running side by side.
const FORK: [(i64, super::EventType); 6] =
    [(4, Started), (4, Succeeded), (0, Started), (0, Succeeded), (1, Started), (2, Started)];

fn forked(more: &[(i64, super::EventType)]) -> Vec<super::EventRecord> {
    log(&[&FORK[..], more].concat())
}

#[test]
fn what_runs_and_what_comes_next() {
    let records = records("running", &diamond(), forked(&[(1, Succeeded)]));
    let reading = Reading::of(&records);
    assert_eq!((reading.direction, reading.outcome), (Direction::Forward, None));
    assert_eq!(steps(&reading, &reading.open), ["c"]);
    assert_eq!(steps(&reading, &reading.next), ["d"]);
    let order: Vec<_> = reading.nodes_in_order().iter().map(|&id| reading.node_ref(id).name).collect();
    assert_eq!(order, ["(start)", "a", "b", "c", "d", "(end)"]);
    assert_eq!(reading.status(1), NodeStatus::Done);
    assert_eq!(reading.took(0).0.map(|took| took.as_millis()), Some(1));
    assert_eq!(reading.took(2).0, None);
    assert!(reading.legal.is_yes() && reading.resumable.is_yes() && reading.findings.is_empty());
}

#[test]
fn a_saga_that_was_only_created_starts_at_its_start() {
    let records = records("running", &diamond(), Vec::new());
    let reading = Reading::of(&records);
    assert_eq!(steps(&reading, &reading.next), ["(start)"]);
    assert!(reading.open.is_empty() && reading.legal.is_yes() && reading.resumable.is_yes());
    assert_eq!(reading.findings[0].kind, FindingKind::LogEmpty);
}

#[test]
fn a_healthy_unwind_of_parallel_nodes_is_legal_though_old_engines_refuse_it() {
    // b failed; c has been undone, a is being undone, and d, which comes after both, never ran.
    let events =
        forked(&[(1, Failed), (2, Succeeded), (2, UndoStarted), (2, UndoFinished), (0, UndoStarted)]);
    let records = records("unwinding", &diamond(), events);
    let reading = Reading::of(&records);
    assert_eq!(reading.direction, Direction::Unwinding);
    assert_eq!(steps(&reading, &reading.open), ["undo a"]);
    assert_eq!(steps(&reading, &reading.next), ["undo (start)"]);
    assert!(reading.legal.is_yes(), "{:?}", reading.legal);
    assert!(reading.resumable.is_yes(), "{:?}", reading.resumable);
    let first = reading.resumable_by_nexus.first().expect("refused");
    assert_eq!(first.rule, Rule::EdgeOfOldEngine);
    assert_eq!(first.message, "node 3 d is not run although node 2 c, which leads to it, is undone");
    assert_eq!(reading.failures[0].error.as_deref(), Some("node 1 broke"));
}

#[test]
fn undoing_waits_for_what_still_runs() {
    let records = records("running", &diamond(), forked(&[(1, Failed)]));
    let reading = Reading::of(&records);
    assert_eq!(reading.direction, Direction::Unwinding);
    assert_eq!(steps(&reading, &reading.open), ["c"]);
    assert_eq!(steps(&reading, &reading.next), ["undo c"]);
    assert_eq!(reading.findings.len(), 1);
    assert_eq!(reading.findings[0].message, "the state is running, the log is unwinding already");
}

#[test]
fn a_failed_undo_is_the_end_and_says_what_is_left() {
    let events = forked(&[(2, Succeeded), (1, Failed), (2, UndoStarted), (2, UndoFailed)]);
    let mut records = records("done", &diamond(), events);
    let reading = Reading::of(&records);
    assert_eq!((reading.direction, reading.outcome), (Direction::AtRest, Some(Outcome::Stuck)));
    let undo = &reading.undo_failures[0];
    assert_eq!((undo.node.name.as_str(), undo.error.as_deref()), ("c", Some("it will not go away")));
    let left: Vec<_> = reading.left_standing().into_iter().map(|node| node.name).collect();
    assert_eq!(left, ["a", "c"]);
    assert!(reading.legal.is_yes() && reading.resumable.is_yes());
    assert!(reading.resumable_by_nexus.violations.iter().any(|found| found.rule == Rule::KnownEventType));
    // A Nexus does not store why.
    records.events.last_mut().expect("events").data = Field::Null;
    let reading = Reading::of(&records);
    assert_eq!(reading.undo_failures[0].error, None);
    assert!(reading.legal.is_yes() && reading.resumable.is_yes() && reading.findings.is_empty());
}

#[test]
fn whatever_ended_under_another_sec_ran_twice() {
    let mut records = records("running", &diamond(), forked(&[(1, Succeeded)]));
    records.events[6].creator = Field::Value(sec(2));
    let reading = Reading::of(&records);
    assert_eq!(reading.attempts(1).0.at_least, 2);
    assert_eq!(reading.attempts(0).0.at_least, 1);
    assert_eq!(reading.attempts(3).0.at_least, 0);
    assert_eq!(reading.ran_twice().collect::<Vec<_>>(), [(1, false)]);
    assert_eq!(reading.findings[0].kind, FindingKind::RanTwice);
    let writers: Vec<_> = reading.writers.iter().map(|writer| (writer.sec, writer.events)).collect();
    assert_eq!(writers, [(sec(1), 6), (sec(2), 1)]);
    assert_eq!(reading.writers[0].span, Some((at(1), at(6))));
}

#[test]
fn gaps_are_the_times_in_which_nothing_ran() {
    let mut events = log(&[(4, Started), (4, Succeeded), (0, Started), (0, Succeeded)]);
    events[2].time = Field::Value(at(5_000));
    events[3].time = Field::Value(at(5_001));
    let records = records("running", &diamond(), events);
    let gaps = Reading::of(&records).gaps();
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].after, gaps[0].before, gaps[0].duration().as_millis()), (4, 0, 4_998));
}

#[test]
fn the_log_is_told_in_the_order_of_its_clocks() {
    let mut events = log(&FORK);
    events.reverse();
    // Two events of one moment are in the order in which a node has them.
    events[0].time = Field::Value(at(4));
    events[5].time = Field::Null;
    let records = records("running", &diamond(), events);
    let order: Vec<_> = Reading::of(&records)
        .events_in_order()
        .into_iter()
        .map(|event| (event.node_id, event.event_type.clone()))
        .collect();
    let expected =
        [(4, "succeeded"), (0, "started"), (2, "started"), (0, "succeeded"), (1, "started"), (4, "started")];
    assert_eq!(order, expected.map(|(node, event_type)| (node, event_type.to_owned())));
}

#[test]
fn subsagas_are_nested_beside_and_within_each_other() {
    // start → a → (sub x [x1 → sub y [y1] → x2] ∥ sub z [z1]) → b → end
    let action = |name: &str| json!({"Action": {"name": name, "label": name, "action_name": name}});
    let begin =
        |name: &str| json!({"SubsagaStart": {"saga_name": format!("{name}-kind"), "params_node_name": "a"}});
    let end = |name: &str| json!({"SubsagaEnd": {"name": name}});
    let dag = json!({"saga_name": "nested", "start_node": 12, "end_node": 13, "graph": {
        "nodes": [action("a"), begin("x"), action("one"), begin("y"), action("one"), end("y"), action("two"), end("x"),
                  begin("z"), action("one"), end("z"), action("b"), {"Start": {"params": null}}, "End"],
        "node_holes": [], "edge_property": "directed",
        "edges": [[12, 0, null], [0, 1, null], [1, 2, null], [2, 3, null], [3, 4, null], [4, 5, null], [5, 6, null],
                  [6, 7, null], [0, 8, null], [8, 9, null], [9, 10, null], [7, 11, null], [10, 11, null], [11, 13, null]]}});
    let records = records("running", &dag, Vec::new());
    let reading = Reading::of(&records);
    let (_, layout) = reading.dag.as_ref().expect("a DAG");
    let picture: Vec<String> = reading
        .nodes_in_order()
        .into_iter()
        .map(|id| {
            let node = u32::try_from(id).expect("a node");
            let mark = if layout.is_parallel(node) { "|" } else { "" };
            format!("{}{mark}{}", " ".repeat(layout.depth(node) as usize), reading.node_ref(id).name)
        })
        .collect();
    let expected = [
        "(start)",
        "a",
        "|x/(start)",
        " x/one",
        " x/y/(start)",
        "  x/y/one",
        " x/y",
        " x/two",
        "x",
        "|z/(start)",
        " z/one",
        "z",
        "b",
        "(end)",
    ];
    assert_eq!(picture, expected);
    assert!(reading.resumable.is_yes(), "{:?}", reading.resumable);
}
