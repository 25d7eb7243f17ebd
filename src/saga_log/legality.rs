//! Whether a log can be what it claims to be, and whether an engine will take it.
//!
//! These are two questions. A log is *legal* when some run of its DAG, with crashes at any moments, could have written it. It
//! is *resumable* when an engine accepts it after a restart, and engines err on both sides:
//!
//! - steno up to 0.4, which Nexus runs, refuses the log of a healthy unwind when the crash came at a bad moment: where parallel
//!   nodes `a` and `b` lead to `c` and `b` failed, it undoes `a` and never starts `c`, and then minds a node that never
//!   started after one that was undone;
//! - steno 0.5 takes events of nodes that do not exist, and undoing without a failure, over which it falls later.
//!
//! The rules of one node: it starts; then it succeeds or fails, once; only what succeeded is undone, once. The rule of an edge
//! from parent to child, in which everything about order is contained:
//!
//! ```text
//!   child                                       parent must be
//!   running, done, undoing, undo failed         done
//!   failed, undone                              done, undoing, undone, undo failed
//!   not run                                     anything (steno 0.4: not run, running, done or failed)
//! ```
//!
//! That is what steno 0.5 checks too, so most of what is illegal is also refused. Beyond it a log is illegal for undoing without
//! a failure, for the failure of a node that does nothing, for events of nodes that are not in the DAG, and for a
//! stored state that is ahead of the log: the state is written after the event that it follows from, so a state ahead means
//! that events are missing.

use super::dag::{Dag, Effect};
use super::events::{EventType, Log, NodeStatus};
use super::layout::Layout;
use super::record::{EventRecord, SagaRecord};
use crate::wire::field::Field;
use crate::wire::sagas::CachedState;
use serde::Serialize;
use std::fmt;

/// Most violations that are described; the rest are counted.
const MOST_VIOLATIONS: usize = 100;

/// The answer to one of the two questions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// The answer.
    pub verdict: Verdict,
    /// What speaks against it, the first hundred.
    pub violations: Vec<Violation>,
    /// How many more there are.
    pub more: u64,
    /// Why there is no answer, if there is none.
    pub reason: Option<String>,
}

/// Yes or no, if one can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Yes,
    /// No.
    No,
    /// What it depends on is not there or cannot be read.
    CannotTell,
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// The node that is at fault, if it is one.
    pub node: Option<NodeRef>,
    /// The other end of the edge, if the rule is one of edges.
    pub parent: Option<NodeRef>,
    /// What was found, in words.
    pub message: String,
}

/// A node with its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NodeRef {
    /// Its number, as wide as the column.
    pub node_id: i64,
    /// Its name, with the names of the subsagas that it lies in.
    pub name: String,
}

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// There is a row with a DAG in it.
    DagPresent,
    /// The DAG can be read.
    DagReadable,
    /// The DAG is one.
    DagSound,
    /// The saga's row can be read.
    RowReadable,
    /// An action that ends was begun.
    EndAfterStart,
    /// An action ends once.
    OneEnd,
    /// Only what succeeded is undone.
    UndoAfterSuccess,
    /// An undo action that ends was begun.
    UndoEndAfterStart,
    /// An undo action ends once.
    OneUndoEnd,
    /// A node has one event of each type.
    OneEventOfEachType,
    /// Nodes run after those that lead to them, and are undone before them.
    Edge,
    /// The same in the narrower reading of steno 0.4.
    EdgeOfOldEngine,
    /// Undoing follows a failure.
    UndoAfterFailure,
    /// Only nodes with an action or an output can fail.
    CanFail,
    /// The stored state follows from the log.
    StateFollowsLog,
    /// Events are about nodes of the DAG.
    NodeExists,
    /// Events are of a type that is known.
    KnownEventType,
    /// Outputs and errors are there and can be read.
    DataReadable,
    /// Time and writer of an event can be read.
    EventReadable,
}

impl Rule {
    /// The rule's name, as JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DagPresent => "dag_present",
            Self::DagReadable => "dag_readable",
            Self::DagSound => "dag_sound",
            Self::RowReadable => "row_readable",
            Self::EndAfterStart => "end_after_start",
            Self::OneEnd => "one_end",
            Self::UndoAfterSuccess => "undo_after_success",
            Self::UndoEndAfterStart => "undo_end_after_start",
            Self::OneUndoEnd => "one_undo_end",
            Self::OneEventOfEachType => "one_event_of_each_type",
            Self::Edge => "edge",
            Self::EdgeOfOldEngine => "edge_of_old_engine",
            Self::UndoAfterFailure => "undo_after_failure",
            Self::CanFail => "can_fail",
            Self::StateFollowsLog => "state_follows_log",
            Self::NodeExists => "node_exists",
            Self::KnownEventType => "known_event_type",
            Self::DataReadable => "data_readable",
            Self::EventReadable => "event_readable",
        }
    }
}

impl Judgement {
    fn cannot_tell(reason: String) -> Self {
        Self { verdict: Verdict::CannotTell, violations: Vec::new(), more: 0, reason: Some(reason) }
    }

    /// Whether the answer is yes.
    pub fn is_yes(&self) -> bool {
        self.verdict == Verdict::Yes
    }

    /// Whether the answer is no.
    pub fn is_no(&self) -> bool {
        self.verdict == Verdict::No
    }

    /// The first thing that speaks against it.
    pub fn first(&self) -> Option<&Violation> {
        self.violations.first()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node_id, name } = self;
        if *name == format!("node {node_id}") {
            f.write_str(name)
        } else {
            write!(f, "node {node_id} {name}")
        }
    }
}

/// The judgements of one saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgements {
    /// Whether some run could have written the log.
    pub(super) legal: Judgement,
    /// Whether this program's coordinator, with steno 0.5, takes it.
    pub(super) resumable: Judgement,
    /// Whether a Nexus, with steno 0.4, takes it.
    pub(super) resumable_by_nexus: Judgement,
}

/// What is judged.
pub(super) struct Case<'c, 'r> {
    pub(super) saga: Option<&'c SagaRecord>,
    pub(super) dag: Result<(&'c Dag<'r>, &'c Layout), String>,
    /// The DAG's text where there is a row; engines read it more strictly than we do.
    pub(super) dag_text: Option<&'c str>,
    pub(super) log: &'c Log<'r>,
    pub(super) at_rest: bool,
}

/// Judges.
pub(super) fn judge(case: &Case<'_, '_>) -> Judgements {
    let mut all = Bench::default();
    match &case.dag {
        Err(reason) => {
            let rule = if case.dag_text.is_some() { Rule::DagReadable } else { Rule::DagPresent };
            all.engines(Violation::of_saga(rule, reason.clone()));
        }
        Ok((dag, layout)) => {
            judge_dag(dag, layout, case.dag_text.unwrap_or_default(), &mut all);
            judge_edges(dag, layout, case.log, &mut all);
            judge_whole(dag, layout, case, &mut all);
        }
    }
    judge_nodes(case, &mut all);
    judge_events(case, &mut all);
    judge_row(case, &mut all);
    let cannot_tell = match &case.dag {
        Err(reason) => Some(reason.clone()),
        Ok((dag, _)) if !dag.defects.is_empty() => {
            Some("the DAG is none that could have been run".to_owned())
        }
        Ok(_) => case.log.unknown.first().map(|event| {
            format!("there are events of a type that this version does not know: {:?}", event.event_type)
        }),
    };
    Judgements {
        legal: match all.legal.into_judgement() {
            legal if legal.is_no() => legal,
            legal => cannot_tell.map_or(legal, Judgement::cannot_tell),
        },
        resumable: all.steno_05.into_judgement(),
        resumable_by_nexus: all.nexus.into_judgement(),
    }
}

fn judge_dag(dag: &Dag<'_>, layout: &Layout, text: &str, all: &mut Bench) {
    for defect in &dag.defects {
        let node = defect.node.map(|id| node_ref(dag, layout, i64::from(id)));
        let what = match &node {
            Some(node) => format!("bad DAG: {node} {}", defect.message),
            None => format!("bad DAG: {}", defect.message),
        };
        let message = match defect.effect {
            Effect::Refused => what,
            Effect::Panics => format!("{what}; an engine does not refuse this, it panics"),
        };
        all.engines(Violation { rule: Rule::DagSound, node, parent: None, message });
    }
    // Engines read the whole text into memory, with a bound on its depth.
    if let Err(error) = serde_json::from_str::<serde_json::Value>(text) {
        all.engines(Violation::of_saga(Rule::DagReadable, format!("no engine can read the DAG: {error}")));
    }
}

/// Each node for itself.
fn judge_nodes(case: &Case<'_, '_>, all: &mut Bench) {
    use EventType::{Failed, Started, Succeeded, UndoFailed, UndoFinished, UndoStarted};
    for (id, log) in case.log.nodes() {
        let node = || case.node_ref(id);
        let mut broken = |rule, message: String| all.everybody(Violation::of_node(rule, node(), message));
        if log.end().is_some() && !log.has(Started) {
            broken(Rule::EndAfterStart, format!("{} has ended, but was never started", node()));
        }
        if log.has(Succeeded) && log.has(Failed) {
            broken(Rule::OneEnd, format!("{} has succeeded and failed", node()));
        }
        if log.has(UndoStarted) && (log.has(Failed) || !log.has(Succeeded)) {
            broken(Rule::UndoAfterSuccess, format!("{} is being undone, but has not succeeded", node()));
        }
        if log.undo_end().is_some() && !log.has(UndoStarted) {
            broken(
                Rule::UndoEndAfterStart,
                format!("the undo of {} has ended, but was never started", node()),
            );
        }
        if log.has(UndoFinished) && log.has(UndoFailed) {
            broken(Rule::OneUndoEnd, format!("the undo of {} has both succeeded and failed", node()));
        }
        if let Ok((dag, _)) = &case.dag {
            let in_dag = u32::try_from(id).ok().and_then(|id| dag.node(id));
            if in_dag.is_none() {
                let message = format!("there are events of node {id}, which is not in the DAG");
                let violation = Violation::of_node(Rule::NodeExists, node(), message);
                // The engine keeps such events and never looks at them; but a number that is no node id stops the reader.
                match u32::try_from(id) {
                    Ok(_) => all.legal.add(violation),
                    Err(_) => all.everybody(violation),
                }
            }
        }
    }
    for event in &case.log.duplicates {
        let node = case.node_ref(event.node_id);
        let message = format!("{node} has more than one event {:?}", event.event_type);
        all.everybody(Violation::of_node(Rule::OneEventOfEachType, node, message));
    }
}

/// Each node with those that lead to it.
fn judge_edges(dag: &Dag<'_>, layout: &Layout, log: &Log<'_>, all: &mut Bench) {
    let statuses: Vec<NodeStatus> = dag.ids().map(|id| log.node(i64::from(id)).status()).collect();
    for &child in &layout.order {
        let child_is = statuses[child as usize];
        for &parent in dag.parents(child) {
            let parent_is = statuses[parent as usize];
            let found = |rule| {
                let (parent, child) =
                    (node_ref(dag, layout, i64::from(parent)), node_ref(dag, layout, i64::from(child)));
                let message =
                    format!("{child} is {child_is} although {parent}, which leads to it, is {parent_is}");
                Violation { rule, node: Some(child), parent: Some(parent), message }
            };
            if !edge_is_legal(parent_is, child_is) {
                all.everybody(found(Rule::Edge));
            } else if !old_engine_takes_edge(parent_is, child_is) {
                all.nexus.add(found(Rule::EdgeOfOldEngine));
            }
        }
    }
}

/// Whether a node can be in one state while one that leads to it is in another.
pub fn edge_is_legal(parent: NodeStatus, child: NodeStatus) -> bool {
    use NodeStatus::{Done, Failed, NotRun, Running, UndoFailed, Undoing, Undone};
    match child {
        NotRun => true,
        // It can only run, and then wait for its turn to be undone, while what it builds upon stands.
        Running | Done | Undoing | UndoFailed => parent == Done,
        // It is out of the way, so that what comes before it may be undone, to whatever end.
        Failed | Undone => matches!(parent, Done | Undoing | Undone | UndoFailed),
    }
}

/// Whether steno up to 0.4 accepts what is legal.
fn old_engine_takes_edge(parent: NodeStatus, child: NodeStatus) -> bool {
    use NodeStatus::{Done, Failed, NotRun, Running};
    child != NotRun || matches!(parent, NotRun | Running | Done | Failed)
}

/// The log as a whole, and the state against it.
fn judge_whole(dag: &Dag<'_>, layout: &Layout, case: &Case<'_, '_>, all: &mut Bench) {
    let log = case.log;
    let mut first_failed = None;
    let mut first_undo_failed = None;
    let mut undone = None;
    for (id, node) in log.nodes() {
        if node.has(EventType::Failed) {
            first_failed.get_or_insert(id);
        }
        if node.has(EventType::UndoFailed) {
            first_undo_failed.get_or_insert(id);
        }
        if node.has(EventType::UndoStarted) {
            undone.get_or_insert(id);
        }
        let cannot_fail =
            u32::try_from(id).ok().and_then(|id| dag.node(id)).is_some_and(|node| node.name().is_none());
        if cannot_fail && (node.has(EventType::Failed) || node.has(EventType::UndoFailed)) {
            let node = node_ref(dag, layout, id);
            let message = format!("{node} has failed, but does nothing that could fail");
            all.legal.add(Violation::of_node(Rule::CanFail, node, message));
        }
    }
    // The engine tells its result by the name of the first node that failed, and panics if there is none.
    for first in [first_failed, first_undo_failed].into_iter().flatten() {
        let node = u32::try_from(first).ok().and_then(|id| dag.node(id));
        if node.is_some_and(|node| node.name().is_none()) {
            let node = node_ref(dag, layout, first);
            let message =
                format!("{node} has failed, but has no name to be told by; the engine panics in the end");
            all.engines(Violation::of_node(Rule::CanFail, node, message));
        }
    }
    if let (Some(undone), None) = (undone, first_failed) {
        let node = node_ref(dag, layout, undone);
        let message = format!("{node} is {}, but nothing has failed", log.node(undone).status());
        let violation = Violation::of_node(Rule::UndoAfterFailure, node, message.clone());
        all.legal.add(violation.clone());
        let message = format!("{message}; the engine would go on undoing and panic in the end");
        all.engines(Violation { message, ..violation });
    }
    let state =
        case.saga.and_then(|saga| saga.state.value()).and_then(|state| state.parse::<CachedState>().ok());
    match state {
        Some(CachedState::Done) if !case.at_rest => {
            let open = layout.order.iter().find(|&&id| log.node(i64::from(id)).status() != NodeStatus::Done);
            let node = open.map(|&id| node_ref(dag, layout, i64::from(id)));
            let message = match &node {
                Some(node) => {
                    let status = log.node(node.node_id).status();
                    format!("the state is done, but the log has not come to an end: {node} is {status}")
                }
                None => "the state is done, but the log has not come to an end".to_owned(),
            };
            all.legal.add(Violation { rule: Rule::StateFollowsLog, node, parent: None, message });
        }
        Some(CachedState::Unwinding) if first_failed.is_none() && undone.is_none() => {
            let message = "the state is unwinding, but the log shows no failure".to_owned();
            all.legal.add(Violation::of_saga(Rule::StateFollowsLog, message));
        }
        _ => {}
    }
}

/// What events hold.
fn judge_events(case: &Case<'_, '_>, all: &mut Bench) {
    for event in &case.log.unknown {
        let node = case.node_ref(event.node_id);
        let message = format!("{node} has an event of an unknown type: {:?}", cut(&event.event_type));
        all.engines(Violation::of_node(Rule::KnownEventType, node, message));
    }
    for (id, log) in case.log.nodes() {
        for (event_type, event) in log.events() {
            judge_event(case, id, event_type, event, all);
        }
    }
}

fn judge_event(case: &Case<'_, '_>, id: i64, event_type: EventType, event: &EventRecord, all: &mut Bench) {
    let named = |rule, what: String| {
        let node = case.node_ref(id);
        let message = format!("event {event_type} of {node} {what}");
        Violation::of_node(rule, node, message)
    };
    if let Some(what) = broken_field(&event.time, "time").or_else(|| broken_field(&event.creator, "writer")) {
        all.engines(named(Rule::EventReadable, what));
    }
    match data_fault(event_type, &event.data) {
        DataFault::None => {}
        DataFault::Fatal(what) => all.everybody(named(Rule::DataReadable, what)),
        DataFault::ForNexus(what) => all.nexus.add(named(Rule::DataReadable, what)),
    }
    if event_type == EventType::UndoFailed {
        let what = "is of a type that a Nexus cannot read".to_owned();
        all.nexus.add(named(Rule::KnownEventType, what));
    }
}

enum DataFault {
    None,
    Fatal(String),
    ForNexus(String),
}

/// Whether an event's data is what events of that type hold.
fn data_fault(event_type: EventType, data: &Field<String>) -> DataFault {
    use super::action_error;
    match (event_type, data) {
        (_, Field::Unreadable { reason, .. }) => {
            DataFault::Fatal(format!("has data that cannot be read: {reason}"))
        }
        (EventType::Succeeded, Field::Null) => {
            DataFault::Fatal("has no output, not even an empty one".to_owned())
        }
        (EventType::Failed, Field::Null) => DataFault::Fatal("has no error".to_owned()),
        (EventType::Succeeded, Field::Value(text)) => match serde_json::from_str::<serde_json::Value>(text) {
            Ok(_) => DataFault::None,
            Err(error) => DataFault::Fatal(format!("has an output that is not JSON: {error}")),
        },
        (EventType::Failed, Field::Value(text)) => match action_error::check_action_error(text) {
            Ok(()) => DataFault::None,
            Err(reason) => DataFault::Fatal(format!("has an error that is none of steno's: {reason}")),
        },
        (EventType::UndoFailed, Field::Value(text)) => match action_error::check_undo_error(text) {
            Ok(()) => DataFault::None,
            Err(reason) => DataFault::Fatal(format!("has an error that is none of steno's: {reason}")),
        },
        (EventType::Started | EventType::UndoStarted | EventType::UndoFinished, Field::Value(_)) => {
            DataFault::ForNexus("has data, which a Nexus does not take".to_owned())
        }
        (_, Field::Null | Field::NoColumn) => DataFault::None,
    }
}

/// The row, as far as taking a saga up depends on it.
fn judge_row(case: &Case<'_, '_>, all: &mut Bench) {
    let Some(saga) = case.saga else {
        all.engines(Violation::of_saga(Rule::RowReadable, "the saga's row is missing".to_owned()));
        return;
    };
    let generation = broken_field(&saga.adopt_generation, "adopt_generation");
    let name = broken_field(&saga.name, "name");
    let state = match &saga.state {
        Field::Value(text) => text.parse::<CachedState>().err().map(|error| error.to_string()),
        other => broken_field(other, "state"),
    };
    for what in [name, state, generation].into_iter().flatten() {
        let what = if what.starts_with("has") { format!("the saga's row {what}") } else { what };
        all.engines(Violation::of_saga(Rule::RowReadable, what));
    }
}

fn broken_field<T>(field: &Field<T>, name: &str) -> Option<String> {
    match field {
        Field::Value(_) | Field::NoColumn => None,
        Field::Null => Some(format!("has no {name}")),
        Field::Unreadable { reason, .. } => Some(format!("has a {name} that cannot be read: {reason}")),
    }
}

pub(super) fn cut(text: &str) -> &str {
    text.char_indices().nth(64).map_or(text, |(end, _)| &text[..end])
}

/// A node with its name, as far as the DAG knows it.
pub(super) fn node_ref(dag: &Dag<'_>, layout: &Layout, id: i64) -> NodeRef {
    let name = match u32::try_from(id) {
        Ok(known) => layout.path(dag, known),
        Err(_) => format!("node {id}"),
    };
    NodeRef { node_id: id, name }
}

impl Case<'_, '_> {
    fn node_ref(&self, id: i64) -> NodeRef {
        match &self.dag {
            Ok((dag, layout)) => node_ref(dag, layout, id),
            Err(_) => NodeRef { node_id: id, name: format!("node {id}") },
        }
    }
}

impl Violation {
    fn of_saga(rule: Rule, message: String) -> Self {
        Self { rule, node: None, parent: None, message }
    }

    fn of_node(rule: Rule, node: NodeRef, message: String) -> Self {
        Self { rule, node: Some(node), parent: None, message }
    }
}

/// Collects what speaks against each of the three.
#[derive(Default)]
struct Bench {
    legal: Violations,
    steno_05: Violations,
    nexus: Violations,
}

impl Bench {
    fn everybody(&mut self, violation: Violation) {
        self.legal.add(violation.clone());
        self.engines(violation);
    }

    fn engines(&mut self, violation: Violation) {
        self.steno_05.add(violation.clone());
        self.nexus.add(violation);
    }
}

#[derive(Default)]
struct Violations {
    found: Vec<Violation>,
    more: u64,
}

impl Violations {
    fn add(&mut self, violation: Violation) {
        if self.found.len() < MOST_VIOLATIONS {
            self.found.push(violation);
        } else {
            self.more += 1;
        }
    }

    fn into_judgement(self) -> Judgement {
        let verdict = if self.found.is_empty() { Verdict::Yes } else { Verdict::No };
        Judgement { verdict, violations: self.found, more: self.more, reason: None }
    }
}
