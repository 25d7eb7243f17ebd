//! Making a node of a saga in flight fail because an operator asks for it.
//!
//! ```text
//!   the engine's log ──> standing (pure) ─┬─ not begun ──> the engine runs an error in place of the action
//!                                         ├─ under way ──> the step is cut off, and says so
//!                                         └─ has failed by such a request ──> nothing to do
//! ```
//!
//! Between looking at the log and acting an action may begin or end. One that begins meanwhile meets the wish that was left
//! for it ([`Interrupts`](crate::coordinator::sagas::Interrupts)); one that ends meanwhile never grants it, which is found out by
//! looking again. So *now* is only answered once the step is cut off.
//!
//! All of it waits for the saga's lock in the engine, which is held while its end is written to the database, so all of it
//! has a limit.

use super::{Sagas, engine};
use crate::coordinator::sagas::interrupt::Place;
use crate::wire::ids::SagaId;
use crate::wire::sagas::{SagaState, TakesEffect};
use std::time::Duration;
use steno::{ActionError, SagaNodeEvent, SagaNodeEventType};

/// Longest time to spend on one request. What holds a saga's log for so long is a database that cannot be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a step may take to notice that it is to end. It takes a moment, unless it has ended or keeps its thread busy.
const NOTICE: Duration = Duration::from_secs(1);

/// Why a node was not made to fail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// Nobody here knows the saga.
    #[error("this coordinator has no such saga in memory")]
    UnknownSaga,
    /// There is no such node in it, or none that could fail.
    #[error("{0}")]
    BadNode(String),
    /// It is too late for that, in these words.
    #[error("{0}")]
    TooLate(String),
    /// Nobody can tell at present.
    #[error("{0}")]
    NotNow(&'static str),
}

/// Where a node stands, if it can still be made to fail, or has been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    NotBegun,
    UnderWay,
    Injected,
}

impl Sagas {
    /// Makes a node of a saga in flight fail. Twice is the same as once.
    ///
    /// # Errors
    ///
    /// See [`InjectError`].
    pub async fn inject_error(&self, id: SagaId, node: u32) -> Result<TakesEffect, InjectError> {
        let this = self.clone();
        // Detached: a caller that goes away in the middle must not leave a wish that nobody withdraws.
        let task = self.inner.engine.runtime().spawn(async move {
            tokio::time::timeout(PATIENCE, this.inject(id, node)).await.unwrap_or(Err(InjectError::NotNow(
                "the saga's log is being written and cannot be looked at",
            )))
        });
        task.await.unwrap_or(Err(InjectError::NotNow("the saga engine has stopped")))
    }

    async fn inject(&self, id: SagaId, node: u32) -> Result<TakesEffect, InjectError> {
        let inner = &self.inner;
        let (place, standing) = self.standing(id, node).await?;
        let context = inner.engine_store.context_of(id).ok_or_else(|| self.not_in_flight(id))?;
        match standing {
            Standing::Injected => return Ok(TakesEffect::Already),
            Standing::UnderWay if inner.registry.can_interrupt(&place.action) != Some(true) => {
                return Err(InjectError::TooLate(format!(
                    "node {node} is writing to the database, which cannot be cut off"
                )));
            }
            Standing::UnderWay => context.interrupts.wish(place.clone()),
            Standing::NotBegun => {
                context.interrupts.wish(place);
                // It is not known to the engine any more only if it has come to rest.
                let asked = inner.engine.client().saga_inject_error(engine::saga_id(id), node.into()).await;
                asked.map_err(|_| self.not_in_flight(id))?;
                slog::warn!(inner.log, "a node will fail as it was asked to"; "saga_id" => %id, "node" => node);
                return Ok(TakesEffect::WhenItBegins);
            }
        }
        if tokio::time::timeout(NOTICE, context.interrupts.granted(&place)).await.is_ok() {
            slog::warn!(inner.log, "a node was cut off as it was asked to"; "saga_id" => %id, "node" => node);
            return Ok(TakesEffect::Now);
        }
        context.interrupts.withdraw(&place);
        match self.standing(id, node).await?.1 {
            Standing::Injected => Ok(TakesEffect::Now),
            Standing::NotBegun | Standing::UnderWay => {
                Err(InjectError::TooLate(format!("the action of node {node} does not let itself be cut off")))
            }
        }
    }

    async fn standing(&self, id: SagaId, node: u32) -> Result<(Place, Standing), InjectError> {
        let view = self.inner.engine.client().saga_get(engine::saga_id(id)).await;
        let saga = view.map_err(|()| self.not_in_flight(id))?.serialized();
        let place = place_of(&saga.dag, node)?;
        let standing = standing(&saga.events, node)?;
        if standing != Standing::Injected {
            let ended = |other: u32| saga.events.iter().any(|event| is_end(event) && node_of(event) == other);
            if let Some(other) = twins(&saga.dag, node, &place).find(|other| !ended(*other)) {
                return Err(InjectError::BadNode(format!(
                    "node {node} cannot be told from node {other}, which has the same label and the same action"
                )));
            }
        }
        Ok((place, standing))
    }

    /// Why the engine does not have a saga.
    fn not_in_flight(&self, id: SagaId) -> InjectError {
        match self.find(id).map(|saga| saga.state) {
            None => InjectError::UnknownSaga,
            Some(SagaState::Running) => {
                InjectError::NotNow("the saga is just being created, taken up or seen off")
            }
            Some(SagaState::Succeeded | SagaState::Failed { .. } | SagaState::Stuck { .. }) => {
                InjectError::TooLate("the saga has come to its end".to_owned())
            }
        }
    }
}

/// The nodes of a DAG's JSON, with their actions if they have any.
fn nodes(dag: &serde_json::Value) -> impl Iterator<Item = (u32, Option<Place>)> {
    let nodes = dag.pointer("/graph/nodes").and_then(serde_json::Value::as_array).into_iter().flatten();
    (0..).zip(nodes).map(|(id, node)| {
        let text = |field: &str| Some(node.get("Action")?.get(field)?.as_str()?.to_owned());
        let place = text("label").zip(text("action_name"));
        (id, place.map(|(label, action)| Place { label, action }))
    })
}

fn place_of(dag: &serde_json::Value, node: u32) -> Result<Place, InjectError> {
    match nodes(dag).find(|(id, _)| *id == node) {
        Some((_, Some(place))) => Ok(place),
        Some((_, None)) => Err(InjectError::BadNode(format!("node {node} is no action, so it cannot fail"))),
        None => Err(InjectError::BadNode(format!(
            "the saga has no node {node}; its nodes are 0 to {}",
            nodes(dag).count().saturating_sub(1)
        ))),
    }
}

/// Other nodes whose action could not be told from this one's.
fn twins<'d>(dag: &'d serde_json::Value, node: u32, place: &'d Place) -> impl Iterator<Item = u32> + 'd {
    nodes(dag).filter(move |(id, other)| *id != node && other.as_ref() == Some(place)).map(|(id, _)| id)
}

fn node_of(event: &SagaNodeEvent) -> u32 {
    event.node_id.into()
}

fn is_end(event: &SagaNodeEvent) -> bool {
    matches!(event.event_type, SagaNodeEventType::Succeeded(_) | SagaNodeEventType::Failed(_))
}

/// Where a node stands by the saga's log.
fn standing(events: &[SagaNodeEvent], node: u32) -> Result<Standing, InjectError> {
    let mine = || events.iter().filter(|event| node_of(event) == node).map(|event| &event.event_type);
    if mine().any(|event| matches!(event, SagaNodeEventType::Failed(ActionError::InjectedError))) {
        return Ok(Standing::Injected);
    }
    let too_late = |what: String| Err(InjectError::TooLate(what));
    if mine().any(|event| matches!(event, SagaNodeEventType::Failed(_))) {
        return too_late(format!("node {node} has failed already"));
    }
    if mine().any(|event| matches!(event, SagaNodeEventType::Succeeded(_))) {
        return too_late(format!("node {node} has succeeded already"));
    }
    let is_begun = mine().next().is_some();
    let failed = events.iter().find(|event| matches!(event.event_type, SagaNodeEventType::Failed(_)));
    match failed {
        // An action that is still under way while others are undone is waited for, so that it may well have to be cut off.
        Some(failed) if !is_begun => {
            too_late(format!("the saga unwinds already, since node {} has failed", node_of(failed)))
        }
        _ if is_begun => Ok(Standing::UnderWay),
        _ => Ok(Standing::NotBegun),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    fn event(node: u32, event_type: SagaNodeEventType) -> SagaNodeEvent {
        SagaNodeEvent { saga_id: engine::saga_id(SagaId::random()), node_id: node.into(), event_type }
    }

    fn succeeded() -> SagaNodeEventType {
        SagaNodeEventType::Succeeded(Arc::new(json!(null)))
    }

    fn failed() -> SagaNodeEventType {
        SagaNodeEventType::Failed(ActionError::action_failed("no".to_owned()))
    }

    #[test]
    fn a_node_stands_where_its_log_says() {
        use SagaNodeEventType::Started;
        let line = |more: &[SagaNodeEvent]| {
            let begun = [event(0, Started), event(0, succeeded()), event(1, Started)];
            [&begun[..], more].concat()
        };
        let told = |events: &[SagaNodeEvent], node| standing(events, node).map_err(|error| error.to_string());
        assert_eq!(told(&line(&[]), 1), Ok(Standing::UnderWay));
        assert_eq!(told(&line(&[]), 2), Ok(Standing::NotBegun));
        assert_eq!(told(&line(&[]), 0), Err("node 0 has succeeded already".to_owned()));
        let over = line(&[event(1, failed())]);
        assert_eq!(told(&over, 1), Err("node 1 has failed already".to_owned()));
        assert_eq!(told(&over, 2), Err("the saga unwinds already, since node 1 has failed".to_owned()));
        let parallel = line(&[event(2, Started), event(1, failed())]);
        assert_eq!(told(&parallel, 2), Ok(Standing::UnderWay));
        let injected = line(&[event(1, SagaNodeEventType::Failed(ActionError::InjectedError))]);
        assert_eq!(told(&injected, 1), Ok(Standing::Injected));
    }

    #[test]
    fn only_actions_fail_and_only_those_that_can_be_told_apart() {
        let action = |label: &str| json!({"Action": {"name": "n", "label": label, "action_name": "a"}});
        let dag = json!({"graph": {"nodes": [action("A"), action("B"), action("A"), {"Start": {}}, "End"]}});
        let place = |node| place_of(&dag, node).map_err(|error| error.to_string());
        let first = place(0).expect("an action");
        assert_eq!(first, Place { label: "A".to_owned(), action: "a".to_owned() });
        assert_eq!(place(3), Err("node 3 is no action, so it cannot fail".to_owned()));
        assert_eq!(place(5), Err("the saga has no node 5; its nodes are 0 to 4".to_owned()));
        assert_eq!(twins(&dag, 0, &first).collect::<Vec<_>>(), [2]);
        assert_eq!(twins(&dag, 1, &place(1).expect("an action")).count(), 0);
    }
}
