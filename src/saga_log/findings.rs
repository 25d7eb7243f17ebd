//! What is odd about a saga's rows without being a matter of legality: values that are missing, clocks that disagree, a state
//! that lags, two writers. Each is shown to a person, none stops the reading.

use super::events::{EventType, Log};
use super::legality::{NodeRef, cut};
use super::record::{EventRecord, SagaRecords};
use super::{Direction, Reading};
use crate::wire::field::Field;
use crate::wire::sagas::CachedState;
use serde::Serialize;

/// Most findings of one kind that are described; the last one says how many more there are.
const MOST_OF_A_KIND: usize = 20;

/// Something odd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Of which kind.
    pub kind: FindingKind,
    /// The node that it is about, if it is about one.
    pub node: Option<NodeRef>,
    /// What it is, in words.
    pub message: String,
}

/// Kinds of oddities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The saga's row is missing.
    RowMissing,
    /// A value of the row is missing or cannot be read.
    RowValue,
    /// The DAG is missing or cannot be read.
    DagUnusable,
    /// The DAG has a defect.
    DagDefect,
    /// The saga's name in its row and in its DAG differ.
    NameDiffers,
    /// There are no events.
    LogEmpty,
    /// An event is about a node that is not in the DAG.
    UnknownNode,
    /// An event is of an unknown type.
    UnknownEventType,
    /// A node has two events of a type.
    DuplicateEvent,
    /// A value of an event is missing or cannot be read.
    EventValue,
    /// The stored state is behind the log, as for a moment it always is.
    StateLags,
    /// The stored state is ahead of the log.
    StateAhead,
    /// The stored state is none that is known.
    StateUnknown,
    /// An end is older than its beginning: clocks differ.
    ClocksDiffer,
    /// Another SEC ended an action than began it, so it was run at least twice.
    RanTwice,
}

/// Collects, with an end to each kind.
struct Findings {
    found: Vec<Finding>,
    kind: Option<(FindingKind, usize)>,
}

impl Findings {
    /// Adds one. Those of a kind come one after the other.
    fn add(&mut self, kind: FindingKind, node: Option<NodeRef>, message: impl FnOnce() -> String) {
        let count = match self.kind {
            Some((last, count)) if last == kind => count + 1,
            _ => {
                self.end_kind();
                1
            }
        };
        self.kind = Some((kind, count));
        if count <= MOST_OF_A_KIND {
            self.found.push(Finding { kind, node, message: message() });
        }
    }

    fn end_kind(&mut self) {
        if let Some((kind, count)) = self.kind.take()
            && count > MOST_OF_A_KIND
        {
            let message = format!("and {} more of this kind", count - MOST_OF_A_KIND);
            self.found.push(Finding { kind, node: None, message });
        }
    }
}

/// Everything odd about a saga.
pub(super) fn find(reading: &Reading<'_>) -> Vec<Finding> {
    let mut findings = Findings { found: Vec::new(), kind: None };
    find_in_row(reading.records, &mut findings);
    find_in_dag(reading, &mut findings);
    find_in_state(reading, &mut findings);
    find_in_log(reading, &mut findings);
    findings.end_kind();
    findings.found
}

fn find_in_row(records: &SagaRecords, findings: &mut Findings) {
    use FindingKind::{RowMissing, RowValue};
    let Some(saga) = &records.saga else {
        findings.add(RowMissing, None, || "the saga has no row, only events".to_owned());
        return;
    };
    let mut look = |name: &str, trouble: Option<String>| {
        if let Some(trouble) = trouble {
            findings.add(RowValue, None, || format!("{name} {trouble}"));
        }
    };
    look("creator", required(&saga.creator));
    look("time_created", required(&saga.time_created));
    look("name", required(&saga.name));
    look("saga_state", required(&saga.state));
    look("current_sec", required(&saga.current_sec));
    look("adopt_generation", required(&saga.adopt_generation));
    look("adopt_time", required(&saga.adopt_time));
    look("abandon_time", readable(&saga.abandon_time));
    look("abandon_reason", readable(&saga.abandon_reason));
    look("abandon_comment", readable(&saga.abandon_comment));
}

fn required<T>(field: &Field<T>) -> Option<String> {
    match field {
        Field::Null => Some("is NULL".to_owned()),
        other => readable(other),
    }
}

fn readable<T>(field: &Field<T>) -> Option<String> {
    match field {
        Field::Unreadable { raw, reason } => Some(format!("cannot be read ({reason}): {raw:?}")),
        Field::Value(_) | Field::Null | Field::NoColumn => None,
    }
}

fn find_in_dag(reading: &Reading<'_>, findings: &mut Findings) {
    match &reading.dag {
        Err(reason) => findings.add(FindingKind::DagUnusable, None, || reason.clone()),
        Ok((dag, _)) => {
            for defect in &dag.defects {
                let node = defect.node.map(|id| reading.node_ref(i64::from(id)));
                let message = match &node {
                    Some(node) => format!("{node} {}", defect.message),
                    None => format!("the DAG: {}", defect.message),
                };
                findings.add(FindingKind::DagDefect, node, || message);
            }
            let name = reading.records.saga.as_ref().and_then(|saga| saga.name.value());
            if let Some(name) = name.filter(|name| **name != dag.saga_name) {
                findings.add(FindingKind::NameDiffers, None, || {
                    format!("the row calls the saga {:?}, the DAG {:?}", cut(name), cut(&dag.saga_name))
                });
            }
        }
    }
}

fn find_in_state(reading: &Reading<'_>, findings: &mut Findings) {
    let Some(stored) = reading.records.saga.as_ref().and_then(|saga| saga.state.value()) else { return };
    let Ok(state) = stored.parse::<CachedState>() else {
        findings.add(FindingKind::StateUnknown, None, || {
            format!("the state is {:?}, which is none that is known", cut(stored))
        });
        return;
    };
    let log = reading.direction;
    let lags = match (state, log) {
        (CachedState::Running, Direction::Unwinding) => true,
        (CachedState::Running | CachedState::Unwinding, Direction::AtRest) => true,
        (_, _) => false,
    };
    let is_ahead = match (state, log) {
        (CachedState::Unwinding, Direction::Forward) => true,
        (CachedState::Done, Direction::Forward | Direction::Unwinding) => true,
        (_, _) => false,
    };
    if lags {
        findings
            .add(FindingKind::StateLags, None, || format!("the state is {state}, the log is {log} already"));
    } else if is_ahead {
        findings.add(FindingKind::StateAhead, None, || {
            format!("the state is {state}, but the log is still {log}")
        });
    }
}

fn find_in_log(reading: &Reading<'_>, findings: &mut Findings) {
    use FindingKind as Kind;
    let log = &reading.log;
    if reading.records.events.is_empty() {
        findings.add(Kind::LogEmpty, None, || "the log is empty".to_owned());
        return;
    }
    if reading.dag.is_ok() {
        for node in reading.strays() {
            findings.add(Kind::UnknownNode, Some(reading.node_ref(node)), || {
                format!("there are events of node {node}, which is not in the DAG")
            });
        }
    }
    for event in &log.unknown {
        let node = reading.node_ref(event.node_id);
        let message = format!("{node} has an event of an unknown type: {:?}", cut(&event.event_type));
        findings.add(Kind::UnknownEventType, Some(node), || message);
    }
    for event in &log.duplicates {
        let node = reading.node_ref(event.node_id);
        let message = format!("{node} has more than one event {:?}", event.event_type);
        findings.add(Kind::DuplicateEvent, Some(node), || message);
    }
    find_in_values(reading, log, findings);
    for (id, node) in log.nodes() {
        for (begin, end, what) in [
            (node.get(EventType::Started), node.end(), "the action"),
            (node.get(EventType::UndoStarted), node.undo_end(), "the undo action"),
        ] {
            let (Some(begin), Some(end)) = (begin, end) else { continue };
            if is_reversed(begin, end) {
                let node = reading.node_ref(id);
                let message =
                    format!("{what} of {node} ended before it began, by the clocks of those who wrote it");
                findings.add(Kind::ClocksDiffer, Some(node), || message);
            }
        }
    }
    for (id, is_undo) in reading.ran_twice() {
        let node = reading.node_ref(id);
        let what = if is_undo { "the undo action" } else { "the action" };
        let message =
            format!("{what} of {node} was begun by one SEC and ended by another, so it ran at least twice");
        findings.add(Kind::RanTwice, Some(node), || message);
    }
}

fn find_in_values(reading: &Reading<'_>, log: &Log<'_>, findings: &mut Findings) {
    for (id, node) in log.nodes() {
        for (event_type, event) in node.events() {
            let data = match (event_type, &event.data) {
                (EventType::Succeeded | EventType::Failed, Field::Null) => Some("is NULL".to_owned()),
                (EventType::Started | EventType::UndoStarted | EventType::UndoFinished, Field::Value(_)) => {
                    Some("is there, though nothing belongs there".to_owned())
                }
                (_, other) => readable(other),
            };
            let troubles = [
                ("data", data),
                ("event_time", required(&event.time)),
                ("creator", required(&event.creator)),
            ];
            for (name, trouble) in troubles {
                let Some(trouble) = trouble else { continue };
                let node = reading.node_ref(id);
                let message = format!("{name} of event {event_type} of {node} {trouble}");
                findings.add(FindingKind::EventValue, Some(node), || message);
            }
        }
    }
}

fn is_reversed(begin: &EventRecord, end: &EventRecord) -> bool {
    matches!((&begin.time, &end.time), (Field::Value(begin), Field::Value(end)) if end < begin)
}
