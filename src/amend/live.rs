//! Making a saga fail that its owner is running: not by writing into its log behind the owner's back, but by telling the owner.
//!
//! That is the better way wherever it can be gone. Nobody is fenced, no other saga waits, and an action that has not begun can be
//! made to fail too. It can be gone when the owner answers for sure, is one of ours and has the saga in flight; the rest of
//! `amend` is for owners that are down.
//!
//! What is reported is what the log holds afterwards, here too. The owner's word is only trusted for a node whose turn has not
//! come, of which there is nothing in the log yet.

use super::carry_out::{Outcome, Trouble};
use super::inject::{Request, choose, is_injected, is_open, listed, not_open, nothing_open};
use super::{Decision, Plan, Refusal, Writes, name, seen};
use crate::client::Client;
use crate::client::error::{CallError, Problem};
use crate::observe::why::{Contact, EngineKind, Memory, OwnerFacts, Why};
use crate::saga_log::Reading;
use crate::saga_log::dag::Node;
use crate::saga_log::events::NodeStatus;
use crate::saga_log::legality::NodeRef;
use crate::store::inspect::Inspector;
use crate::store::inspect::error::InspectError;
use crate::wire::ids::SagaId;
use crate::wire::sagas::TakesEffect;
use http::StatusCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to look for the event of a node that was cut off. Its owner writes it at once.
const LOOK_FOR: Duration = Duration::from_secs(10);

/// The same where nobody knows whether the owner has heard anything.
const LOOK_FOR_UNANSWERED: Duration = Duration::from_secs(3);

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Why a saga's owner did not do what it was told, or not that anybody could see.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OwnerTrouble {
    /// It says that it cannot be done.
    #[error("its owner refused")]
    Declined(#[source] Arc<CallError>),
    /// There is no way to it.
    #[error("no connection to its owner could be set up")]
    NoWay,
    /// It could not be told.
    #[error("its owner could not be told")]
    NotTold(#[source] Arc<CallError>),
    /// It was told and did not say what it did, and the log does not show it.
    #[error("its owner was told and did not say that it is done, and the saga's log does not show it")]
    Unanswered(#[source] Arc<CallError>),
    /// It says that it is done, and the log does not show it.
    #[error("its owner says that it is done, and the saga's log does not show it")]
    NotInLog,
}

/// Where the owner can be told, if it can.
pub(super) fn address(facts: &OwnerFacts) -> Option<&str> {
    match (&facts.contact, &facts.memory, facts.engine) {
        (Contact::Answers { at, is_sure: true, .. }, Memory::Running, EngineKind::Ours) => Some(at),
        _ => None,
    }
}

/// Decides what its owner is to be told. Pure.
pub(super) fn plan(
    reading: &Reading<'_>,
    why: &Why,
    at: &str,
    request: &Request,
) -> Result<Decision, Refusal> {
    let seen = seen(reading)?;
    let nodes = choose(reading, &request.nodes)?;
    if nodes.is_empty() {
        return Err(nothing_open(reading).hint("--node names one that is to fail when its turn comes"));
    }
    let open: Vec<NodeRef> = nodes.iter().filter(|node| is_open(reading, node.node_id)).cloned().collect();
    let waiting: Vec<NodeRef> = nodes.iter().filter(|node| !open.contains(node)).cloned().collect();
    let can_fail = |node: &&NodeRef| {
        matches!(reading.node(node.node_id), Some(Node::Action { .. }))
            && reading.status(node.node_id) == NodeStatus::NotRun
    };
    if let Some(node) = waiting.iter().find(|node| !can_fail(node)) {
        return Err(not_open(reading, node));
    }
    let mut warnings = Vec::new();
    if !open.is_empty() {
        warnings.push(format!(
            "{} will not be undone, since an action that fails is trusted to have left nothing: what it did until now stays",
            listed(open.iter())
        ));
    }
    if !waiting.is_empty() {
        warnings.push(format!(
            "not begun yet, and fails when its turn comes: {}; the owner keeps that in memory only, so a restart before then \
             forgets it",
            listed(waiting.iter())
        ));
    }
    if request.message.is_some() {
        warnings.push("the owner writes down that an error was injected, in its own words".to_owned());
    }
    Ok(Decision::Do(Box::new(Plan {
        saga_id: reading.records.id,
        name: name(reading),
        seen,
        owner: why.owner.clone(),
        last_event: why.last_event,
        writes: Writes::TellOwner { nodes, at: at.to_owned() },
        not_undone: Vec::new(),
        cut_off: open,
        warnings,
    })))
}

/// Tells the owner, and looks at the log afterwards.
///
/// # Errors
///
/// See [`Trouble`].
pub async fn tell_owner(
    inspector: &Inspector,
    client: &Client,
    saga: SagaId,
    nodes: &[NodeRef],
) -> Result<Outcome, Trouble> {
    let (mut failing, mut waiting, mut untold) = (Vec::new(), Vec::new(), Vec::new());
    let mut unanswered = None;
    for node in nodes {
        let told = match u32::try_from(node.node_id) {
            Ok(node_id) => client.inject_error(saga, node_id).await,
            // Only a damaged DAG could have named one, and its owner would not run that.
            Err(_) => continue,
        };
        match told.map(|answer| answer.takes_effect) {
            Ok(TakesEffect::Now | TakesEffect::Already) => failing.push(node),
            Ok(TakesEffect::WhenItBegins) => waiting.push(node),
            Err(error) if error.is_in_doubt || says_nothing(&error) => {
                failing.push(node);
                unanswered = Some(Arc::new(error));
            }
            Err(error) => untold.push((node, Arc::new(error))),
        }
    }
    if failing.is_empty()
        && waiting.is_empty()
        && let Some((_, error)) = untold.pop()
    {
        return Err(match is_declined(&error) {
            true => OwnerTrouble::Declined(error),
            false => OwnerTrouble::NotTold(error),
        }
        .into());
    }
    let patience = if unanswered.is_some() { LOOK_FOR_UNANSWERED } else { LOOK_FOR };
    let until = client.deadline().min(Instant::now() + patience);
    let is_there = look_for(inspector, saga, &failing, until).await;
    match (is_there, unanswered) {
        (Ok(true), _) => {
            let waits = waiting.iter().map(|node| format!("{node} fails when its turn comes"));
            // An action may have ended between the look at the log and the owner's being told.
            let others = untold.iter().map(|(node, error)| format!("{node} does not: {}", error.problem));
            let words: Vec<String> = waits.chain(others).collect();
            if words.is_empty() { Ok(Outcome::Done) } else { Ok(Outcome::Awaited(words.join("; "))) }
        }
        (_, Some(error)) => Err(OwnerTrouble::Unanswered(error).into()),
        (Ok(false), None) => Err(OwnerTrouble::NotInLog.into()),
        (Err(error), None) => Err(Trouble::NotSeen(error)),
    }
}

/// Whether what the owner answered leaves open what it did.
fn says_nothing(error: &CallError) -> bool {
    matches!(
        error.problem,
        Problem::Unreadable(_) | Problem::Status { status: StatusCode::SERVICE_UNAVAILABLE, .. }
    )
}

/// Whether the owner says that it cannot be done, or does not know how, as one of an earlier version.
fn is_declined(error: &CallError) -> bool {
    match error.problem {
        Problem::Status { status: StatusCode::BAD_REQUEST | StatusCode::CONFLICT, .. } => true,
        _ => error.is_unknown_object() || error.is_unknown_operation(),
    }
}

/// Whether the log says, soon, that all of these nodes have failed.
async fn look_for(
    inspector: &Inspector,
    saga: SagaId,
    nodes: &[&NodeRef],
    until: Instant,
) -> Result<bool, InspectError> {
    loop {
        if let Some(records) = inspector.load_saga(saga).await? {
            let reading = Reading::of(&records);
            if nodes.iter().all(|node| is_injected(&reading, node.node_id)) {
                return Ok(true);
            }
        }
        if Instant::now() + PAUSE >= until {
            return Ok(false);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
