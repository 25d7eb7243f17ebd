//! Sagas of any shape, run by steno with any troubles, cut off after any event and taken up again: what the reading says of
//! each log is held against what steno does with it.

use super::super::dag::Node;
use super::super::events::NodeStatus;
use super::super::{Direction, Reading};
use super::engine::{Item, Resumption, Run, Stage, Troubles, dag_of, resume, rows, run, shapes};
use crate::wire::sagas::Outcome;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use steno::{SagaNodeEvent, SagaNodeEventType};

/// The labels of the actions of a DAG.
fn labels(dag: &Value) -> Vec<String> {
    let nodes = dag["graph"]["nodes"].as_array().expect("nodes");
    nodes.iter().filter_map(|node| Some(node["Action"]["label"].as_str()?.to_owned())).collect()
}

/// The state that the store would have after so many events.
fn state_after(run: &Run, events: usize) -> String {
    let written = run.stored.states.iter().rev().find(|(count, _)| *count <= events);
    // The state is written after its event, so that the event may be there without it.
    written.map_or("running".to_owned(), |(_, state)| state.to_string())
}

/// The outcome that steno tells, in our words.
fn outcome_of(run: &Run) -> Outcome {
    match &run.result.kind {
        Ok(_) => Outcome::Succeeded,
        Err(error) if error.undo_failure.is_some() => Outcome::Stuck,
        Err(_) => Outcome::Failed,
    }
}

/// Holds the reading of a finished log against what steno says of the saga.
fn check_finished(dag: &Value, events: &[SagaNodeEvent], run: &Run) {
    let records = rows(dag, events, "done");
    let reading = Reading::of(&records);
    assert_eq!(reading.outcome, Some(outcome_of(run)));
    assert_eq!(reading.direction, Direction::AtRest);
    assert!(reading.legal.is_yes(), "{:?}", reading.legal);
    assert!(reading.resumable.is_yes(), "{:?}", reading.resumable);
    assert!(reading.next.is_empty());
    assert!(reading.findings.is_empty(), "{:?}", reading.findings);
    if let Err(error) = &run.result.kind {
        // Of several failures steno names that of the node with the smallest number.
        let named = |failures: &[super::super::Failure<'_>]| {
            let first = failures.iter().min_by_key(|failure| failure.node.node_id).expect("something failed");
            reading.node(first.node.node_id).and_then(|node| node.name()).expect("a name").to_owned()
        };
        assert_eq!(named(&reading.failures), error.error_node_name.as_ref());
        if let Some((node, _)) = &error.undo_failure {
            assert_eq!(named(&reading.undo_failures), node.as_ref());
            assert!(reading.undo_failures.iter().all(|failure| failure.error.is_some()));
        }
    }
    check_nodes(&reading, run);
}

/// Every action is in the state in which steno shows it.
fn check_nodes(reading: &Reading<'_>, run: &Run) {
    let mut compared = 0;
    for id in reading.nodes_in_order() {
        let Some(Node::Action { label, .. }) = reading.node(id) else { continue };
        let shown = run.nodes.iter().find(|(_, shown)| shown == label).map(|(state, _)| state.as_str());
        let expected = match shown {
            Some("done" | "queued-undo") => NodeStatus::Done,
            Some("failed") => NodeStatus::Failed,
            Some("undone") => NodeStatus::Undone,
            Some("undo-failed") => NodeStatus::UndoFailed,
            Some("abandoned" | "blocked" | "queued-todo") => NodeStatus::NotRun,
            // Cut off in a saga that is stuck, and left so.
            Some("working") => NodeStatus::Running,
            Some("undo-working") => NodeStatus::Undoing,
            other => panic!("{label}: {other:?}"),
        };
        let status = reading.status(id);
        let cut_off = reading.outcome == Some(Outcome::Stuck) && status.is_open();
        assert!(status == expected || cut_off, "{label} is {status}, steno says {shown:?}");
        compared += 1;
    }
    assert!(compared >= 2, "every saga has a first and a last action");
}

/// Every prefix of a log that steno wrote is legal, and it takes it up; what it runs next is what we say.
fn check_prefixes(dag: &Value, whole: &[SagaNodeEvent], run: &Run, troubles: &Troubles, every: usize) {
    for length in (0..=whole.len()).step_by(every) {
        let prefix = &whole[..length];
        let records = rows(dag, prefix, &state_after(run, length));
        let reading = Reading::of(&records);
        assert!(reading.legal.is_yes(), "after {length} events: {:?}", reading.legal);
        assert!(reading.resumable.is_yes(), "after {length} events: {:?}", reading.resumable);
        let Resumption::Ran(rest) = resume(dag, prefix.to_vec(), troubles) else {
            panic!("steno does not take its own log after {length} events")
        };
        check_next(&reading, &rest.stored.events);
        let mut all = prefix.to_vec();
        all.extend(rest.stored.events.iter().cloned());
        check_finished(dag, &all, &rest);
    }
}

/// The first new event is about something that is open or comes next.
fn check_next(reading: &Reading<'_>, rest: &[SagaNodeEvent]) {
    let Some(first) = rest.first() else {
        assert_eq!(reading.direction, Direction::AtRest, "nothing more happens");
        return;
    };
    let node = i64::from(u32::from(first.node_id));
    let is_begin = matches!(first.event_type, SagaNodeEventType::Started | SagaNodeEventType::UndoStarted);
    let expected = if is_begin { &reading.next } else { &reading.open };
    assert!(
        expected.iter().any(|step| step.node == node),
        "{first:?} is not among {:?}",
        super::steps(reading, expected)
    );
}

/// The whole of a story: run, cut off everywhere, take up again.
fn tell(shape: &[Stage], troubles: &Troubles, every: usize) {
    let dag = dag_of(shape);
    let json = serde_json::to_value(&dag).expect("a DAG is JSON");
    let whole = run(&dag, troubles);
    check_finished(&json, &whole.stored.events, &whole);
    check_prefixes(&json, &whole.stored.events, &whole, troubles, every);
}

/// Indexes that choose which actions fail, and which cannot be undone.
fn choices() -> impl Strategy<Value = (Vec<prop::sample::Index>, Vec<prop::sample::Index>)> {
    let some = |most| prop::collection::vec(any::<prop::sample::Index>(), 0..most);
    (some(3), some(3))
}

fn troubles(shape: &[Stage], choices: &(Vec<prop::sample::Index>, Vec<prop::sample::Index>)) -> Troubles {
    let labels = labels(&serde_json::to_value(dag_of(shape)).expect("a DAG is JSON"));
    let pick = |indexes: &[prop::sample::Index]| -> BTreeSet<String> {
        indexes.iter().map(|index| index.get(&labels).clone()).collect()
    };
    Troubles { failing: pick(&choices.0), failing_undo: pick(&choices.1) }
}

/// Parallel nodes beside a subsaga with parallel nodes.
fn wide() -> Vec<Stage> {
    let inner = vec![vec![Item::Action, Item::Subsaga(vec![vec![Item::Action]])]];
    vec![vec![Item::Action, Item::Subsaga(inner), Item::Constant], vec![Item::Action, Item::Action]]
}

#[test]
fn success_and_failure_at_every_node_and_every_moment() {
    let shape = wide();
    tell(&shape, &Troubles::default(), 1);
    for label in labels(&serde_json::to_value(dag_of(&shape)).expect("a DAG is JSON")) {
        tell(&shape, &Troubles { failing: BTreeSet::from([label]), ..Troubles::default() }, 1);
    }
}

#[test]
fn undo_actions_that_fail_at_every_node() {
    let shape = wide();
    let labels = labels(&serde_json::to_value(dag_of(&shape)).expect("a DAG is JSON"));
    let last = labels.last().expect("actions").clone();
    for label in &labels {
        let failing_undo = BTreeSet::from([label.clone()]);
        tell(&shape, &Troubles { failing: BTreeSet::from([last.clone()]), failing_undo }, 3);
    }
}

#[test]
fn a_log_that_was_cut_off_twice() {
    let dag = dag_of(&wide());
    let json = serde_json::to_value(&dag).expect("a DAG is JSON");
    let first = run(&dag, &Troubles::default());
    // What succeeded before the crash fails after it.
    let troubles = Troubles { failing: BTreeSet::from(["n5".to_owned()]), ..Troubles::default() };
    let half = first.stored.events.len() / 2;
    let before = first.stored.events[..half].to_vec();
    let Resumption::Ran(second) = resume(&json, before.clone(), &troubles) else { panic!("taken") };
    let all: Vec<_> = before.into_iter().chain(second.stored.events.iter().cloned()).collect();
    for length in half..all.len() {
        let records = rows(&json, &all[..length], "running");
        let reading = Reading::of(&records);
        assert!(reading.legal.is_yes(), "{:?}", reading.legal);
        let Resumption::Ran(third) = resume(&json, all[..length].to_vec(), &troubles) else {
            panic!("taken")
        };
        assert_eq!(outcome_of(&third), Outcome::Failed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_saga_with_any_troubles(shape in shapes(), choices in choices()) {
        let troubles = troubles(&shape, &choices);
        tell(&shape, &troubles, 5);
    }
}

/// One way to spoil a log.
#[derive(Clone, Debug)]
enum Damage {
    Drop(prop::sample::Index),
    Repeat(prop::sample::Index),
    Move(prop::sample::Index, prop::sample::Index),
    Retype(prop::sample::Index, u8),
    Foreign(prop::sample::Index),
}

fn damages() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        3 => index().prop_map(Damage::Drop),
        1 => index().prop_map(Damage::Repeat),
        2 => (index(), index()).prop_map(|(event, node)| Damage::Move(event, node)),
        3 => (index(), 0u8..6).prop_map(|(event, event_type)| Damage::Retype(event, event_type)),
        1 => index().prop_map(Damage::Foreign),
    ]
}

fn spoil(events: &mut Vec<SagaNodeEvent>, nodes: usize, damage: &Damage) {
    if events.is_empty() {
        return;
    }
    let count = events.len();
    match damage {
        Damage::Drop(index) => drop(events.remove(index.index(count))),
        Damage::Repeat(index) => events.push(events[index.index(count)].clone()),
        Damage::Move(event, node) => {
            let node = u32::try_from(node.index(nodes)).expect("few nodes");
            events[event.index(count)].node_id = node.into();
        }
        Damage::Retype(event, event_type) => {
            let error = steno::ActionError::InjectedError;
            let undo_error = steno::UndoActionError::PermanentFailure { source_error: Value::Null };
            events[event.index(count)].event_type = match event_type {
                0 => SagaNodeEventType::Started,
                1 => SagaNodeEventType::Succeeded(Arc::new(Value::Null)),
                2 => SagaNodeEventType::Failed(error),
                3 => SagaNodeEventType::UndoStarted,
                4 => SagaNodeEventType::UndoFinished,
                _ => SagaNodeEventType::UndoFailed(undo_error),
            };
        }
        Damage::Foreign(event) => {
            let nodes = u32::try_from(nodes).expect("few nodes");
            events[event.index(count)].node_id = (nodes + 3).into();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_steno_takes_of_a_spoiled_log_is_what_we_call_resumable(
        shape in shapes(),
        choices in choices(),
        length in any::<prop::sample::Index>(),
        damages in prop::collection::vec(damages(), 1..3),
    ) {
        let troubles = troubles(&shape, &choices);
        let dag = dag_of(&shape);
        let json = serde_json::to_value(&dag).expect("a DAG is JSON");
        let whole = run(&dag, &troubles).stored.events;
        let mut events = whole[..=length.index(whole.len())].to_vec();
        let nodes = json["graph"]["nodes"].as_array().expect("nodes").len();
        for damage in &damages {
            spoil(&mut events, nodes, damage);
        }
        let records = rows(&json, &events, "running");
        let reading = Reading::of(&records);
        let resumption = resume(&json, events.clone(), &Troubles::default());
        let ran = matches!(resumption, Resumption::Ran(_));
        prop_assert_eq!(
            ran, reading.resumable.is_yes(),
            "steno: {:?}; we: {:?}; log: {:?}", resumption, reading.resumable, events
        );
        // Whatever an engine refuses no run has written.
        if reading.legal.is_yes() {
            prop_assert!(ran, "legal, but refused: {:?}", resumption);
        }
        if let Resumption::Ran(rest) = resumption {
            let mut all = events;
            all.extend(rest.stored.events.iter().cloned());
            let records = rows(&json, &all, "done");
            prop_assert_eq!(Reading::of(&records).outcome, Some(outcome_of(&rest)));
        }
    }
}

fn step(node: u32, event_type: SagaNodeEventType) -> SagaNodeEvent {
    SagaNodeEvent { saga_id: super::engine::saga_id(), node_id: node.into(), event_type }
}

/// What is rare among random damage: logs that steno takes at first.
#[test]
fn steno_falls_over_what_we_say_it_falls_over() {
    use SagaNodeEventType::{Failed, Started, Succeeded, UndoStarted};
    let json = serde_json::to_value(dag_of(&[])).expect("a DAG is JSON");
    let start = u32::try_from(json["start_node"].as_u64().expect("a number")).expect("small");
    let output = || Succeeded(Arc::new(Value::Null));
    let done = [step(start, Started), step(start, output()), step(0, Started), step(0, output())];
    let undone_for_nothing = [&done[..], &[step(0, UndoStarted)]].concat();
    let start_failed = vec![step(start, Started), step(start, Failed(steno::ActionError::InjectedError))];
    for (events, falls_over) in [(done.to_vec(), false), (undone_for_nothing, true), (start_failed, true)] {
        let records = rows(&json, &events, "running");
        let reading = Reading::of(&records);
        let resumption = resume(&json, events, &Troubles::default());
        assert_eq!(matches!(resumption, Resumption::FellOver), falls_over, "{resumption:?}");
        assert_eq!(reading.resumable.is_no(), falls_over, "{:?}", reading.resumable);
        assert_eq!(reading.legal.is_no(), falls_over, "{:?}", reading.legal);
    }
}

/// A sound DAG with something changed is taken by steno exactly if we find no defect in it.
#[test]
fn steno_minds_the_defects_of_a_dag_that_we_find() {
    let sound = serde_json::to_value(dag_of(&wide())).expect("a DAG is JSON");
    let nodes = sound["graph"]["nodes"].as_array().expect("nodes").len();
    let edges = sound["graph"]["edges"].as_array().expect("edges").len();
    let mut broken: Vec<(String, Value)> = vec![("nothing".to_owned(), sound.clone())];
    let mut change = |what: String, change: &dyn Fn(&mut Value)| {
        let mut dag = sound.clone();
        change(&mut dag);
        broken.push((what, dag));
    };
    for edge in 0..edges {
        change(format!("edge {edge} is gone"), &|dag| {
            dag["graph"]["edges"].as_array_mut().expect("edges").remove(edge);
        });
        change(format!("edge {edge} is turned round"), &|dag| {
            let edge = dag["graph"]["edges"][edge].as_array_mut().expect("an edge");
            edge.swap(0, 1);
        });
    }
    for node in 0..nodes {
        change(format!("node {node} is of no kind"), &|dag| {
            dag["graph"]["nodes"][node] = Value::from("Pause")
        });
        change(format!("node {node} is an end"), &|dag| dag["graph"]["nodes"][node] = Value::from("End"));
        change(format!("the saga starts at node {node}"), &|dag| dag["start_node"] = Value::from(node));
        change(format!("the saga ends at node {node}"), &|dag| dag["end_node"] = Value::from(node));
    }
    change("a member is missing".to_owned(), &|dag| {
        dag["graph"].as_object_mut().expect("an object").remove("edge_property");
    });
    change("its edges have no direction".to_owned(), &|dag| {
        dag["graph"]["edge_property"] = Value::from("undirected");
    });
    change("an edge has a weight".to_owned(), &|dag| dag["graph"]["edges"][0][2] = Value::from(1));
    for (what, dag) in broken {
        let records = rows(&dag, &[], "running");
        let reading = Reading::of(&records);
        let resumption = resume(&dag, Vec::new(), &Troubles::default());
        let ran = matches!(resumption, Resumption::Ran(_));
        // A node that leads nowhere may be done in time, or not: then the saga ends without it, and the engine panics.
        let by_luck = reading.resumable.first().is_some_and(|found| found.message.contains("leads nowhere"));
        assert!(
            ran == reading.resumable.is_yes() || (ran && by_luck),
            "{what}: {resumption:?}; we: {:?}",
            reading.resumable
        );
    }
}
