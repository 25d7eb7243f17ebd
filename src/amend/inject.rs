//! Making a saga fail: nodes whose action was begun and never ends get the event that it failed, so that the saga unwinds
//! when it is next recovered. Pure.
//!
//! Only a node that was begun can be made to have failed; a log in which a node fails that never started is none that any
//! engine takes up. The node itself is not undone, since an action that fails is trusted to have left nothing.
//!
//! Where the saga is being run, its owner is told instead: see [`live`].

use super::{Decision, Plan, Refusal, SecCheck, Writes, live, name, owner, seen};
use crate::observe::why::{OwnerFacts, Why};
use crate::saga_log::dag::Node;
use crate::saga_log::events::{EventType, NodeStatus};
use crate::saga_log::legality::NodeRef;
use crate::saga_log::record::OPERATOR;
use crate::saga_log::{Direction, Reading};
use crate::store::amend::Capability;
use crate::wire::field::Field;
use crate::wire::sagas::CachedState;
use crate::wire::time::Time;
use serde_json::{Value, json};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The nodes, by number or by name; all that are open if none is named.
    pub nodes: Vec<String>,
    /// The error in words, if somebody has chosen them.
    pub message: Option<String>,
    /// When.
    pub time: Time,
    /// Whether the owner must be down.
    pub check: SecCheck,
}

/// What an engine writes about a node that it was told to fail.
const ENGINE_ERROR: &str = "\"InjectedError\"";

/// The error, where nobody has chosen other words.
const MESSAGE: &str = "error injected with sagactl";

/// The error as a log holds it: the shape in which Nexus's own errors and those of its tool are stored.
pub fn error(message: &str) -> Value {
    json!({"ActionFailed": {"source_error": {"InternalError": {"internal_message": message}}}})
}

/// Decides what is to be done.
pub fn plan(
    reading: &Reading<'_>,
    why: &Why,
    owner: &OwnerFacts,
    capability: &Capability,
    request: &Request,
) -> Decision {
    decide(reading, why, owner, capability, request).unwrap_or_else(Decision::from)
}

fn decide(
    reading: &Reading<'_>,
    why: &Why,
    facts: &OwnerFacts,
    capability: &Capability,
    request: &Request,
) -> Result<Decision, Refusal> {
    let id = reading.records.id;
    let seen = seen(reading)?;
    let nodes = choose(reading, &request.nodes)?;
    let injected: Vec<&NodeRef> = nodes.iter().filter(|node| is_injected(reading, node.node_id)).collect();
    if !nodes.is_empty() && injected.len() == nodes.len() {
        return Ok(Decision::AlreadySo(format!(
            "an error has already been injected into {}",
            listed(injected.into_iter())
        )));
    }
    if let (SecCheck::Required, Some(at)) = (request.check, live::address(facts)) {
        return live::plan(reading, why, at, request);
    }
    match reading.state() {
        Some(CachedState::Running | CachedState::Unwinding) => {}
        Some(CachedState::Done | CachedState::Abandoned) => {
            return Err(Refusal::new(format!("saga {id} is {}: nothing will ever run it", seen.state)));
        }
        None => {
            return Err(Refusal::new(format!(
                "saga {id} is in state {:?}, which this program does not know",
                seen.state
            )));
        }
    }
    if let Capability::None(reason) = capability {
        return Err(Refusal::new(reason.clone()));
    }
    if let Err(reason) = &reading.dag {
        return Err(Refusal::new(format!(
            "nobody will ever recover saga {id}, so it would not unwind: {reason}"
        ))
        .hint("`sagactl sagas abandon` gives the saga up"));
    }
    if nodes.is_empty() {
        return Err(nothing_open(reading));
    }
    if let Some(node) = nodes.iter().find(|node| !is_open(reading, node.node_id)) {
        return Err(not_open(reading, node));
    }
    let mut warnings = owner::check(&why.owner, facts.engine, request.check)?;
    warnings.push(format!(
        "{} will not be undone, since an action that fails is trusted to have left nothing: what it did until now stays",
        listed(nodes.iter())
    ));
    let others: Vec<NodeRef> = reading
        .open
        .iter()
        .filter(|step| !nodes.iter().any(|node| node.node_id == step.node))
        .map(|step| reading.node_ref(step.node))
        .collect();
    if !others.is_empty() {
        warnings.push(format!("still open, and run again before it unwinds: {}", listed(others.iter())));
    }
    if reading.direction == Direction::Forward {
        warnings.push(
            "the stored state stays what it is until the saga is recovered; then it unwinds".to_owned(),
        );
    }
    Ok(Decision::Do(Box::new(Plan {
        saga_id: id,
        name: name(reading),
        seen,
        owner: why.owner.clone(),
        last_event: why.last_event,
        cut_off: nodes.clone(),
        writes: Writes::InjectError {
            nodes,
            message: request.message.clone().unwrap_or_else(|| MESSAGE.to_owned()),
            time: request.time,
        },
        not_undone: Vec::new(),
        warnings,
    })))
}

/// The nodes that are meant.
pub(super) fn choose(reading: &Reading<'_>, wanted: &[String]) -> Result<Vec<NodeRef>, Refusal> {
    // A log may hold events of nodes that do not exist; more of them help nobody.
    let in_dag = |id: &i64| reading.node(*id).is_some() || reading.dag.is_err();
    let refs = |ids: Vec<i64>| ids.into_iter().map(|id| reading.node_ref(id)).collect::<Vec<_>>();
    if wanted.is_empty() {
        let open: Vec<i64> =
            reading.open.iter().filter(|step| !step.is_undo).map(|step| step.node).filter(in_dag).collect();
        if !open.is_empty() {
            return Ok(refs(open));
        }
        // Nothing is open. If that is because it was done before, that is what there is to say.
        let nodes = reading.nodes_in_order();
        return Ok(refs(nodes.into_iter().filter(|&id| is_injected(reading, id)).collect()));
    }
    let mut chosen: Vec<i64> = Vec::new();
    for wanted in wanted {
        let node = find(reading, wanted)?;
        if !chosen.contains(&node) {
            chosen.push(node);
        }
    }
    Ok(refs(chosen))
}

fn find(reading: &Reading<'_>, wanted: &str) -> Result<i64, Refusal> {
    let nodes = reading.nodes_in_order();
    if let Ok(id) = wanted.parse::<i64>()
        && nodes.contains(&id)
    {
        return Ok(id);
    }
    // By the whole path, or by the name alone where only one node has it.
    let named = |is_it: &dyn Fn(&str) -> bool| -> Vec<i64> {
        nodes.iter().copied().filter(|&id| is_it(&reading.node_ref(id).name)).collect()
    };
    let mut found = named(&|name| name == wanted);
    if found.is_empty() {
        found = named(&|name| name.rsplit('/').next() == Some(wanted));
    }
    match found[..] {
        [one] => Ok(one),
        [] => Err(Refusal::new(format!("saga {} has no node {wanted:?}", reading.records.id))
            .hint(format!("`sagactl sagas show {}` lists its nodes", reading.records.id))),
        _ => {
            let nodes: Vec<NodeRef> = found.iter().map(|&id| reading.node_ref(id)).collect();
            Err(Refusal::new(format!("{wanted:?} may mean several nodes: {}", listed(nodes.iter())))
                .hint("a node's number names it for sure"))
        }
    }
}

pub(super) fn is_open(reading: &Reading<'_>, node: i64) -> bool {
    reading.status(node) == NodeStatus::Running
}

/// Whether a node has failed because somebody wanted it to: by an event that was put into its log, or since its owner was told.
pub(super) fn is_injected(reading: &Reading<'_>, node: i64) -> bool {
    reading.log.node(node).get(EventType::Failed).is_some_and(|event| {
        event.creator == Field::Value(OPERATOR)
            || event.data.value().is_some_and(|data| data.trim() == ENGINE_ERROR)
    })
}

pub(super) fn nothing_open(reading: &Reading<'_>) -> Refusal {
    let id = reading.records.id;
    if let Some(step) = reading.open.first() {
        return Refusal::new(format!(
            "saga {id} is undoing {}; an undo action cannot be made to fail by hand",
            reading.node_ref(step.node)
        ))
        .hint("`sagactl sagas abandon` gives the saga up");
    }
    Refusal::new(format!(
        "no action of saga {id} is under way, and only one that was begun can be made to have failed"
    ))
    .hint(format!("`sagactl why {id}` says what it waits for"))
}

pub(super) fn not_open(reading: &Reading<'_>, node: &NodeRef) -> Refusal {
    let what = match reading.status(node.node_id) {
        NodeStatus::NotRun => "has not been begun",
        NodeStatus::Done => "has succeeded",
        NodeStatus::Failed => "has failed already",
        NodeStatus::Undoing => "is being undone",
        NodeStatus::Undone => "has been undone",
        NodeStatus::UndoFailed => "could not be undone",
        NodeStatus::Running => "is under way",
    };
    let hint = match reading.open.iter().find(|step| !step.is_undo) {
        Some(step) => format!("under way is {}", reading.node_ref(step.node)),
        None => format!("`sagactl why {}` says what the saga waits for", reading.records.id),
    };
    let kind = match reading.node(node.node_id) {
        Some(Node::Action { .. }) | None => "",
        Some(_) => " (which is no action)",
    };
    Refusal::new(format!(
        "{node}{kind} {what}, and only an action that was begun and has not ended can be made to have failed"
    ))
    .hint(hint)
}

pub(super) fn listed<'n>(nodes: impl Iterator<Item = &'n NodeRef>) -> String {
    nodes.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
