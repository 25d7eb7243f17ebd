//! Understands a saga's DAG and event log: what each node is doing, in which order things ran, where a saga hangs, and
//! whether its log is legal. Pure: rows in, a reading out.
//!
//! ```text
//!   record    the rows, whole or damaged
//!     │
//!     ├── dag       the DAG, as far as it can be read    ── layout    order and nesting
//!     └── events    the log, sorted to its nodes
//!            │
//!            ▼
//!        Reading     status of each node, direction, outcome, what is open, what comes next
//!            │
//!            ├── legality   could some run have written this? will an engine take it up again?
//!            └── findings   what else is odd
//! ```
//!
//! Nothing stops the reading. Of a saga without a DAG the log is read, of one without a log the DAG; a row that breaks a rule
//! is a finding, and everything beside it is shown. Times are the writers' clocks: they order what is shown and measure how
//! long things took, and decide nothing.
//!
//! What listings need to know of many sagas at once, from totals and without whole logs, is in [`summary`], [`timing`] and
//! their neighbours.

pub mod action_error;
pub mod dag;
pub mod events;
pub mod findings;
pub mod layout;
pub mod legality;
pub mod mentions;
pub mod node_names;
pub mod record;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod timing;

use crate::wire::field::Field;
use crate::wire::ids::SecId;
use crate::wire::sagas::{CachedState, Outcome};
use crate::wire::time::Time;
use dag::{Dag, Node};
use events::{EventType, Log, NodeStatus};
use findings::Finding;
use layout::Layout;
use legality::{Case, Judgement, Judgements, NodeRef};
use record::{EventRecord, OPERATOR, SagaRecords};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use timing::{Gap, TimedEvent};

/// Most steps that are named as coming next: a stage of parallel nodes may be wide.
const MOST_NEXT: usize = 100;

/// A saga, understood.
#[derive(Clone, Debug)]
pub struct Reading<'r> {
    /// What was read.
    pub records: &'r SagaRecords,
    /// The DAG, or why there is none.
    pub dag: Result<(Dag<'r>, Layout), String>,
    /// The log by nodes.
    pub log: Log<'r>,
    /// Which way the saga goes, by its log.
    pub direction: Direction,
    /// How it ended, by its log; without a DAG by its state and what its log holds. `None` if it has not come to rest.
    pub outcome: Option<Outcome>,
    /// Actions and undo actions under way, in execution order. Every one of a saga at rest was cut off and left.
    pub open: Vec<Step>,
    /// What comes next once nothing is open.
    pub next: Vec<Step>,
    /// Actions that failed, the first one first.
    pub failures: Vec<Failure<'r>>,
    /// Undo actions that failed, the first one first.
    pub undo_failures: Vec<Failure<'r>>,
    /// The newest event that has a readable time.
    pub last_event: Option<&'r EventRecord>,
    /// Who wrote the log, the first writer first.
    pub writers: Vec<Writer>,
    /// Whether some run of the DAG could have written the log.
    pub legal: Judgement,
    /// Whether this program's coordinator takes it up again.
    pub resumable: Judgement,
    /// Whether a Nexus takes it up again.
    pub resumable_by_nexus: Judgement,
    /// What else is odd.
    pub findings: Vec<Finding>,
}

/// Which way a saga goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Doing.
    Forward,
    /// Undoing.
    Unwinding,
    /// It has come to its end, whatever that is.
    AtRest,
}

/// An action or an undo action of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step {
    /// The node.
    pub node: i64,
    /// Whether it is its undo action.
    pub is_undo: bool,
}

/// A failure of an action or an undo action.
#[derive(Clone, Debug)]
pub struct Failure<'r> {
    /// The node.
    pub node: NodeRef,
    /// The event.
    pub event: &'r EventRecord,
    /// The error in words; `None` if none was recorded.
    pub error: Option<String>,
}

/// A SEC that wrote events of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// Which one.
    pub sec: SecId,
    /// How many.
    pub events: u64,
    /// When it wrote the first, and the last.
    pub span: Option<(Time, Time)>,
}

/// How often an action was begun. The log keeps the first time only, so most of what one knows is a lower bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Attempts {
    /// At least so often.
    pub at_least: u32,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "going forward",
            Self::Unwinding => "unwinding",
            Self::AtRest => "at rest",
        })
    }
}

impl<'r> Reading<'r> {
    /// Reads a saga.
    pub fn of(records: &'r SagaRecords) -> Self {
        let log = Log::of(&records.events);
        let dag = read_dag(records);
        let mut reading = Self {
            records,
            dag,
            log,
            direction: Direction::Forward,
            outcome: None,
            open: Vec::new(),
            next: Vec::new(),
            failures: Vec::new(),
            undo_failures: Vec::new(),
            last_event: newest(&records.events),
            writers: writers(&records.events),
            legal: Judgement::unknown(),
            resumable: Judgement::unknown(),
            resumable_by_nexus: Judgement::unknown(),
            findings: Vec::new(),
        };
        reading.outcome = reading.find_outcome();
        reading.direction = reading.find_direction();
        reading.failures = reading.find_failures(EventType::Failed);
        reading.undo_failures = reading.find_failures(EventType::UndoFailed);
        reading.open = reading.find_open();
        reading.next = reading.find_next();
        let Judgements { legal, resumable, resumable_by_nexus } = legality::judge(&Case {
            saga: records.saga.as_ref(),
            dag: reading.dag.as_ref().map(|(dag, layout)| (dag, layout)).map_err(Clone::clone),
            dag_text: records.dag.value().map(String::as_str),
            log: &reading.log,
            at_rest: reading.direction == Direction::AtRest,
        });
        reading.legal = legal;
        reading.resumable = resumable;
        reading.resumable_by_nexus = resumable_by_nexus;
        reading.findings = findings::find(&reading);
        reading
    }

    /// The stored state, if it is one that is known.
    pub fn state(&self) -> Option<CachedState> {
        self.records.saga.as_ref()?.state.value()?.parse().ok()
    }

    /// Every node in execution order: those of the DAG, then those that only the log knows.
    pub fn nodes_in_order(&self) -> Vec<i64> {
        match &self.dag {
            Ok((_, layout)) => layout.order.iter().map(|&id| i64::from(id)).chain(self.strays()).collect(),
            // Without a DAG all that can be said is who began first.
            Err(_) => {
                let mut nodes: Vec<_> = self
                    .log
                    .nodes()
                    .map(|(id, log)| {
                        let began = log.events().next().and_then(|(_, event)| event.time.value().copied());
                        (began.is_none(), began, id)
                    })
                    .collect();
                nodes.sort();
                nodes.into_iter().map(|(_, _, id)| id).collect()
            }
        }
    }

    /// Nodes with events that the DAG does not have.
    pub fn strays(&self) -> impl Iterator<Item = i64> + '_ {
        let count = self.dag.as_ref().map_or(0, |(dag, _)| dag.nodes.len());
        self.log
            .nodes()
            .map(|(id, _)| id)
            .filter(move |&id| usize::try_from(id).map_or(true, |id| id >= count))
    }

    /// A node of the DAG.
    pub fn node(&self, id: i64) -> Option<&Node<'r>> {
        let (dag, _) = self.dag.as_ref().ok()?;
        dag.node(u32::try_from(id).ok()?)
    }

    /// A node with its name.
    pub fn node_ref(&self, id: i64) -> NodeRef {
        match &self.dag {
            Ok((dag, layout)) => legality::node_ref(dag, layout, id),
            Err(_) => NodeRef { node_id: id, name: format!("node {id}") },
        }
    }

    /// How far a node has come.
    pub fn status(&self, id: i64) -> NodeStatus {
        self.log.node(id).status()
    }

    /// How many nodes there are with each status, in the order of the statuses; nodes of the DAG and others.
    pub fn counts(&self) -> BTreeMap<NodeStatus, u64> {
        let mut counts = BTreeMap::new();
        for id in self.nodes_in_order() {
            *counts.entry(self.status(id)).or_default() += 1;
        }
        counts
    }

    /// How long a node's action took, and its undo action; `None` where it has not ended or clocks disagree.
    pub fn took(&self, id: i64) -> (Option<Duration>, Option<Duration>) {
        let log = self.log.node(id);
        let between = |begin: Option<&EventRecord>, end: Option<&EventRecord>| {
            end?.time.value()?.signed_duration_since(begin?.time.value()?).to_std().ok()
        };
        (
            between(log.get(EventType::Started), log.end()),
            between(log.get(EventType::UndoStarted), log.undo_end()),
        )
    }

    /// How often a node's action was begun, and its undo action, as far as the log tells.
    pub fn attempts(&self, id: i64) -> (Attempts, Attempts) {
        let log = self.log.node(id);
        let count = |begin: Option<&EventRecord>, end: Option<&EventRecord>| {
            let at_least = match (begin, end) {
                (None, _) => 0,
                (Some(begin), Some(end)) if has_other_writer(begin, end) => 2,
                (Some(_), _) => 1,
            };
            Attempts { at_least }
        };
        (
            count(log.get(EventType::Started), log.end()),
            count(log.get(EventType::UndoStarted), log.undo_end()),
        )
    }

    /// Nodes whose action (or undo action, then true) was begun by one SEC and ended by another.
    pub fn ran_twice(&self) -> impl Iterator<Item = (i64, bool)> + '_ {
        self.log.nodes().flat_map(|(id, _)| {
            let (action, undo) = self.attempts(id);
            [(action, false), (undo, true)]
                .into_iter()
                .filter(|(attempts, _)| attempts.at_least > 1)
                .map(move |(_, is_undo)| (id, is_undo))
        })
    }

    /// Times in which nothing ran, oldest first.
    pub fn gaps(&self) -> Vec<Gap> {
        let events: Vec<TimedEvent<'_>> = self
            .records
            .events
            .iter()
            .filter_map(|event| {
                let time = *event.time.value()?;
                Some(TimedEvent { node_id: event.node_id, event_type: &event.event_type, time })
            })
            .collect();
        timing::gaps(&timing::runs(&events))
    }

    /// The log in the order in which it was written, as far as the clocks tell. Events of one moment are in the order of
    /// their types; events without a time come last.
    pub fn events_in_order(&self) -> Vec<&'r EventRecord> {
        let mut events: Vec<&EventRecord> = self.records.events.iter().collect();
        events.sort_by_key(|event| {
            let time = event.time.value();
            (time.is_none(), time, event.event_type.parse::<EventType>().ok(), event.node_id)
        });
        events
    }

    /// Nodes that succeeded and were not undone: what a saga that ended badly has left standing.
    pub fn left_standing(&self) -> Vec<NodeRef> {
        self.nodes_in_order()
            .into_iter()
            .filter(|&id| {
                matches!(self.status(id), NodeStatus::Done | NodeStatus::Undoing | NodeStatus::UndoFailed)
                    && matches!(self.node(id), Some(Node::Action { .. }) | None)
            })
            .map(|id| self.node_ref(id))
            .collect()
    }

    fn find_outcome(&self) -> Option<Outcome> {
        let Ok((dag, _)) = &self.dag else {
            let mut totals = summary::LogTotals::default();
            for event in &self.records.events {
                totals.add(&event.event_type, 1, Field::Null);
            }
            let state = self.records.saga.as_ref().map_or(Field::NoColumn, |saga| saga.state.clone());
            return summary::outcome(&state, totals.worst());
        };
        let status = |id: u32| self.status(i64::from(id));
        if self.log.has(EventType::UndoFailed) {
            Some(Outcome::Stuck)
        } else if status(dag.start) == NodeStatus::Undone {
            Some(Outcome::Failed)
        } else if status(dag.end) == NodeStatus::Done {
            Some(Outcome::Succeeded)
        } else {
            None
        }
    }

    fn find_direction(&self) -> Direction {
        let undoes = [EventType::Failed, EventType::UndoStarted, EventType::UndoFinished];
        if self.outcome.is_some() {
            Direction::AtRest
        } else if undoes.into_iter().any(|event_type| self.log.has(event_type)) {
            Direction::Unwinding
        } else {
            Direction::Forward
        }
    }

    fn find_failures(&self, event_type: EventType) -> Vec<Failure<'r>> {
        let mut failures: Vec<Failure<'r>> = self
            .log
            .nodes()
            .filter_map(|(id, log)| {
                let event = log.get(event_type)?;
                let error = event.data.value().map(|data| action_error::in_words(data));
                Some(Failure { node: self.node_ref(id), event, error })
            })
            .collect();
        failures.sort_by_key(|failure| {
            let time = failure.event.time.value().copied();
            (time.is_none(), time, failure.node.node_id)
        });
        failures
    }

    fn find_open(&self) -> Vec<Step> {
        self.nodes_in_order()
            .into_iter()
            .filter_map(|node| match self.status(node) {
                NodeStatus::Running => Some(Step { node, is_undo: false }),
                NodeStatus::Undoing => Some(Step { node, is_undo: true }),
                _ => None,
            })
            .collect()
    }

    /// Nodes whose turn it is when what is open has ended well.
    fn find_next(&self) -> Vec<Step> {
        let Ok((dag, layout)) = &self.dag else { return Vec::new() };
        let status = |id: &u32| self.status(i64::from(*id));
        let all = |ids: &[u32], holds: fn(NodeStatus) -> bool| ids.iter().all(|id| holds(status(id)));
        let is_next = |id: u32| match self.direction {
            Direction::AtRest => false,
            Direction::Forward => {
                status(&id) == NodeStatus::NotRun
                    && all(dag.parents(id), |is| matches!(is, NodeStatus::Done | NodeStatus::Running))
            }
            // What still runs will be undone in its turn.
            Direction::Unwinding => {
                matches!(status(&id), NodeStatus::Done | NodeStatus::Running)
                    && all(dag.children(id), |is| is.is_out_of_the_way() || is == NodeStatus::Undoing)
            }
        };
        let is_undo = self.direction == Direction::Unwinding;
        let mut next: Vec<Step> = layout
            .order
            .iter()
            .filter(|&&id| is_next(id))
            .map(|&id| Step { node: i64::from(id), is_undo })
            .take(MOST_NEXT)
            .collect();
        if is_undo {
            next.reverse();
        }
        next
    }
}

impl Judgement {
    fn unknown() -> Self {
        Self { verdict: legality::Verdict::CannotTell, violations: Vec::new(), more: 0, reason: None }
    }
}

fn read_dag(records: &SagaRecords) -> Result<(Dag<'_>, Layout), String> {
    let text = match &records.dag {
        Field::Value(text) => text,
        Field::Null => return Err("the DAG is NULL".to_owned()),
        Field::NoColumn if records.saga.is_none() => {
            return Err("there is no DAG, since there is no row".to_owned());
        }
        Field::NoColumn => return Err("this database keeps no DAGs".to_owned()),
        Field::Unreadable { reason, .. } => return Err(format!("the DAG cannot be read: {reason}")),
    };
    let mut dag = Dag::parse(text).map_err(|error| error.to_string())?;
    let layout = Layout::of(&mut dag);
    Ok((dag, layout))
}

fn newest(events: &[EventRecord]) -> Option<&EventRecord> {
    events.iter().filter(|event| event.time.value().is_some()).max_by_key(|event| {
        (event.time.value().copied(), event.event_type.parse::<EventType>().ok(), event.node_id)
    })
}

fn writers(events: &[EventRecord]) -> Vec<Writer> {
    let mut writers: BTreeMap<SecId, Writer> = BTreeMap::new();
    for event in events {
        let Field::Value(sec) = event.creator else { continue };
        let writer = writers.entry(sec).or_insert(Writer { sec, events: 0, span: None });
        writer.events += 1;
        if let Field::Value(time) = event.time {
            let (first, last) = writer.span.unwrap_or((time, time));
            writer.span = Some((first.min(time), last.max(time)));
        }
    }
    let mut writers: Vec<Writer> = writers.into_values().collect();
    writers.sort_by_key(|writer| (writer.span.is_none(), writer.span, writer.sec));
    writers
}

fn has_other_writer(begin: &EventRecord, end: &EventRecord) -> bool {
    // An error that an operator wrote into the log ends an action without having run it.
    matches!((&begin.creator, &end.creator), (Field::Value(begin), Field::Value(end)) if begin != end && *end != OPERATOR)
}
