//! Makes a planned change, and looks at what is there afterwards.
//!
//! What is reported is what was read after the change, by a question of its own. That is how a commit whose answer was
//! lost is told from one that never happened, and how one notices a coordinator that lives after all and has written over
//! it.

use super::inject::is_injected;
use super::live::{self, OwnerTrouble};
use super::reassign::{self, Fate, Moved};
use super::{Plan, Writes, abandon};
use crate::client::Client;
use crate::saga_log::Reading;
use crate::saga_log::events::EventType;
use crate::saga_log::record::SagaRecords;
use crate::store::amend::{self, AmendError, Amended};
use crate::store::inspect::Inspector;
use crate::store::inspect::error::InspectError;
use crate::wire::field::Field;
use crate::wire::sagas::CachedState;
use std::collections::HashMap;
use std::time::Duration;

/// What became of a change to one saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is as planned.
    Done,
    /// Its owner has been told, and has done it or will, as far as these words tell.
    Awaited(String),
    /// Somebody else has done the same in the meantime, as these words tell. Nothing was written.
    ByAnother(String),
    /// The saga was not as it had been seen; it now is as these words tell. Nothing was written.
    Changed(String),
    /// It was written, and is already different again, as these words tell: somebody runs the saga.
    Overwritten(String),
}

/// Why nobody can say that a change was made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Trouble {
    /// Nothing was written.
    #[error("nothing was changed")]
    NotDone(#[source] AmendError),
    /// It may have been written.
    #[error("whether it was changed is not known")]
    InDoubt(#[source] AmendError),
    /// It was written, but could not be looked at afterwards.
    #[error("it was changed, but could not be looked at afterwards")]
    NotSeen(#[source] InspectError),
    /// Its owner did not do it, or not that anybody could see.
    #[error(transparent)]
    Owner(#[from] OwnerTrouble),
}

/// What is there after an attempt, in the terms of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum After {
    AsPlanned,
    SameByAnother(String),
    Otherwise(String),
}

/// Changes one saga. `owner` is the way to its owner, for a plan that its owner carries out.
///
/// # Errors
///
/// See [`Trouble`].
pub async fn carry_out(
    inspector: &Inspector,
    owner: Option<&Client>,
    plan: &Plan,
    limit: Duration,
) -> Result<Outcome, Trouble> {
    let change = match (plan.change(), &plan.writes, owner) {
        (Some(change), ..) => change,
        (None, Writes::TellOwner { nodes, .. }, Some(owner)) => {
            return live::tell_owner(inspector, owner, plan.saga_id, nodes).await;
        }
        (None, ..) => return Err(OwnerTrouble::NoWay.into()),
    };
    let attempt = amend::change(inspector, &plan.seen, &change, limit).await;
    let doubt = match &attempt {
        Ok(_) => None,
        Err(error @ AmendError::InDoubt(_)) => Some(error.clone()),
        Err(error) => return Err(Trouble::NotDone(error.clone())),
    };
    if let Some(doubt) = &doubt {
        amend::settle(inspector, plan.saga_id, limit).await.map_err(|_| Trouble::InDoubt(doubt.clone()))?;
    }
    let records = match (inspector.load_saga(plan.saga_id).await, doubt.clone()) {
        (Ok(records), _) => records,
        (Err(_), Some(doubt)) => return Err(Trouble::InDoubt(doubt)),
        (Err(error), None) => return Err(Trouble::NotSeen(error)),
    };
    match (attempt, look(plan, records.as_ref())) {
        (Ok(Amended::Applied) | Err(_), After::AsPlanned) => Ok(Outcome::Done),
        (Ok(Amended::Applied), After::SameByAnother(now) | After::Otherwise(now)) => {
            Ok(Outcome::Overwritten(now))
        }
        // Only where nothing tells one abandoned saga from another: the columns are not there.
        (Ok(Amended::NotAsSeen), After::AsPlanned) => {
            Ok(Outcome::ByAnother("somebody else has done it meanwhile".to_owned()))
        }
        (Ok(Amended::NotAsSeen), After::SameByAnother(now)) => Ok(Outcome::ByAnother(now)),
        (Ok(Amended::NotAsSeen), After::Otherwise(now)) => Ok(Outcome::Changed(now)),
        (Err(error), After::SameByAnother(_) | After::Otherwise(_)) => Err(Trouble::NotDone(error)),
    }
}

/// Compares what is there with what was planned. Pure.
pub(super) fn look(plan: &Plan, records: Option<&SagaRecords>) -> After {
    let Some(records) = records else {
        return After::Otherwise("it is not in the database any more".to_owned());
    };
    let reading = Reading::of(records);
    let now = || After::Otherwise(in_words(&reading));
    match &plan.writes {
        Writes::Abandon { time, comment, .. } => {
            let Some(saga) =
                records.saga.as_ref().filter(|_| reading.state() == Some(CachedState::Abandoned))
            else {
                return now();
            };
            let is_ours = match comment {
                Some(comment) => {
                    saga.abandon_time == Field::Value(*time)
                        && saga.abandon_comment == Field::Value(comment.clone())
                }
                None => true,
            };
            if is_ours { After::AsPlanned } else { After::SameByAnother(abandon::already(Some(saga))) }
        }
        // Its owner does that, and `live` looks.
        Writes::TellOwner { .. } => now(),
        Writes::InjectError { nodes, time, .. } => {
            let event = |node: i64| reading.log.node(node).get(EventType::Failed);
            let is_ours = |node: i64| {
                is_injected(&reading, node)
                    && event(node).is_some_and(|event| event.time == Field::Value(*time))
            };
            if nodes.iter().all(|node| is_ours(node.node_id)) {
                After::AsPlanned
            } else if nodes.iter().all(|node| is_injected(&reading, node.node_id)) {
                After::SameByAnother("somebody else has injected an error meanwhile".to_owned())
            } else {
                now()
            }
        }
    }
}

/// What a saga is like now.
fn in_words(reading: &Reading<'_>) -> String {
    let Some(saga) = &reading.records.saga else { return "its row is gone".to_owned() };
    let text = |field: &Field<String>| field.value().cloned().unwrap_or_else(|| "?".to_owned());
    let owner = match &saga.current_sec {
        Field::Value(owner) => format!("SEC {owner}"),
        Field::Null => "nobody".to_owned(),
        Field::NoColumn | Field::Unreadable { .. } => "?".to_owned(),
    };
    let generation = saga.adopt_generation.value().map_or("?".to_owned(), i64::to_string);
    format!(
        "its state is {}, its owner {owner} in generation {generation}, and its log has {} events",
        text(&saga.state),
        reading.records.events.len()
    )
}

/// Moves sagas to another owner and tells of each what became of it.
///
/// # Errors
///
/// See [`Trouble`].
pub async fn reassign(
    inspector: &Inspector,
    plan: &reassign::Plan,
    limit: Duration,
) -> Result<Vec<Moved>, Trouble> {
    let attempt = amend::reassign(inspector, &plan.reassignment(), limit).await;
    let doubt = match &attempt {
        Ok(_) => None,
        Err(error @ AmendError::InDoubt(_)) => Some(error.clone()),
        Err(error) => return Err(Trouble::NotDone(error.clone())),
    };
    if let (Some(doubt), Some(first)) = (&doubt, plan.moves.first()) {
        amend::settle(inspector, first.saga_id, limit).await.map_err(|_| Trouble::InDoubt(doubt.clone()))?;
    }
    let ids: Vec<_> = plan.moves.iter().map(|planned| planned.saga_id).collect();
    let mut now = HashMap::new();
    for ids in ids.chunks(1000) {
        match (inspector.load_sagas(ids).await, doubt.clone()) {
            (Ok(sagas), _) => now.extend(sagas.into_iter().map(|saga| (saga.id, saga))),
            (Err(_), Some(doubt)) => return Err(Trouble::InDoubt(doubt)),
            (Err(error), None) => return Err(Trouble::NotSeen(error)),
        }
    }
    let moved: Vec<Moved> =
        plan.moves.iter().map(|planned| reassign::look(plan, planned, now.get(&planned.saga_id))).collect();
    match doubt {
        Some(error) if !moved.iter().any(|saga| saga.fate == Fate::Moved) => Err(Trouble::NotDone(error)),
        _ => Ok(moved),
    }
}
