//! The engine's store: events and states go to the database, each under the fence of who holds the saga.
//!
//! The engine cannot be told that a write failed. What can still succeed is waited for inside the store; what never will
//! (the fence, or two versions of one event) ends the process, because a SEC that cannot record must not act.

use super::engine::from_engine;
use super::roster::Roster;
use crate::coordinator::fault::{Faults, kill_this_process};
use crate::coordinator::sagas::SagaContext;
use crate::store::error::StoreError;
use crate::store::sagas::{self, Event, IdempotencyKey, NewSaga, Ownership};
use crate::store::{FatalHandler, SharedStore, Until, Write};
use crate::wire::fault::{Direction, Moment};
use crate::wire::ids::{NodeId, SagaId, SecId};
use crate::wire::sagas::CachedState;
use crate::wire::time::now;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use steno::{SagaCachedState, SagaCreateParams, SagaNodeEvent, SagaNodeEventType};

/// How this process holds a saga.
pub(super) struct Holding {
    ownership: Ownership,
    context: Arc<SagaContext>,
    idempotency: Option<IdempotencyKey>,
    create_error: Option<StoreError>,
}

impl Holding {
    pub(super) fn new(
        ownership: Ownership,
        context: Arc<SagaContext>,
        idempotency: Option<IdempotencyKey>,
    ) -> Self {
        Self { ownership, context, idempotency, create_error: None }
    }

    /// Why the saga's row could not be made, if it could not.
    pub(super) fn create_error(self) -> Option<StoreError> {
        self.create_error
    }
}

pub(super) struct EngineStore {
    store: SharedStore,
    sec_id: SecId,
    holdings: Mutex<HashMap<SagaId, Holding>>,
    roster: Arc<Roster>,
    faults: Option<Arc<Faults>>,
    on_fatal: FatalHandler,
}

impl EngineStore {
    pub(super) fn new(
        store: SharedStore,
        sec_id: SecId,
        roster: Arc<Roster>,
        faults: Option<Arc<Faults>>,
        on_fatal: FatalHandler,
    ) -> Self {
        Self { store, sec_id, holdings: Mutex::new(HashMap::new()), roster, faults, on_fatal }
    }

    fn holdings(&self) -> MutexGuard<'_, HashMap<SagaId, Holding>> {
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hold(&self, id: SagaId, holding: Holding) {
        self.holdings().insert(id, holding);
    }

    pub(super) fn release(&self, id: SagaId) -> Option<Holding> {
        self.holdings().remove(&id)
    }

    fn held<T>(&self, id: SagaId, what: impl FnOnce(&Holding) -> T) -> T {
        what(self.holdings().get(&id).expect("the engine runs only sagas that are held"))
    }

    /// What the actions of a saga in flight are given; `None` if it is not in flight, or not any more.
    pub(super) fn context_of(&self, id: SagaId) -> Option<Arc<SagaContext>> {
        self.holdings().get(&id).map(|holding| Arc::clone(&holding.context))
    }

    /// Waits for a write under the fence; returns only if the saga is still ours.
    async fn write_fenced(&self, id: SagaId, context: &SagaContext, write: Write) {
        match self.store.write(write, Until::Durable).await {
            Ok(_) => {}
            Err(StoreError::Derailed(why)) => context.derail(&why),
            Err(error) => match (self.on_fatal)(&format!("saga {id}: {error}")) {},
        }
    }
}

/// Which part of a node's life an event begins or ends.
fn place(event: &SagaNodeEventType) -> (Direction, Edge) {
    match event {
        SagaNodeEventType::Started => (Direction::Forward, Edge::Begin),
        SagaNodeEventType::Succeeded(_) | SagaNodeEventType::Failed(_) => (Direction::Forward, Edge::End),
        SagaNodeEventType::UndoStarted => (Direction::Undo, Edge::Begin),
        SagaNodeEventType::UndoFinished | SagaNodeEventType::UndoFailed(_) => (Direction::Undo, Edge::End),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Begin,
    End,
}

impl EngineStore {
    /// Kills the process if that was asked for at this moment of a node.
    async fn crash_if_asked(&self, id: SagaId, node: u32, direction: Direction, moment: Moment) {
        let Some(faults) = &self.faults else { return };
        if faults.crashes(id, node, direction, moment) {
            // All that came before is made durable, whether anybody waited for it or not, so that the crash is at one exact
            // place of the log. A refusal cannot come of a write that asks for nothing.
            let _ = self.store.write(Write::all(Vec::new()), Until::Durable).await;
            match kill_this_process() {}
        }
    }
}

impl fmt::Debug for EngineStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineStore").field("sec_id", &self.sec_id).finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl steno::SecStore for EngineStore {
    async fn saga_create(&self, create: SagaCreateParams) -> Result<(), anyhow::Error> {
        let id = from_engine(create.id);
        let idempotency = self.holdings().get_mut(&id).and_then(|holding| holding.idempotency.take());
        let write = sagas::create(NewSaga {
            id,
            creator: self.sec_id,
            time_created: now(),
            name: create.name.to_string(),
            dag: create.dag.to_string(),
            idempotency,
        });
        match self.store.write(write, Until::Durable).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // The engine turns errors into text; the typed one is left where the creator finds it.
                if let Some(holding) = self.holdings().get_mut(&id) {
                    holding.create_error = Some(error.clone());
                }
                Err(error.into())
            }
        }
    }

    async fn record_event(&self, event: SagaNodeEvent) {
        let id = from_engine(event.saga_id);
        let ownership = self.held(id, |holding| holding.ownership);
        let node = u32::from(event.node_id);
        let (direction, edge) = place(&event.event_type);
        if edge == Edge::End {
            self.crash_if_asked(id, node, direction, Moment::AfterAction).await;
        }
        let write = sagas::record_event(
            ownership,
            Event {
                saga_id: id,
                node_id: NodeId(node),
                event_type: event.event_type.label().to_owned(),
                data: event_data(&event.event_type),
                time: now(),
                creator: self.sec_id,
            },
        );
        // Whoever is about to do what cannot be taken back waits for it, see `Durability`.
        self.store.write_unwaited(write);
        match edge {
            Edge::Begin => {
                if let Some(delay) = self.faults.as_ref().and_then(|faults| faults.delay(id, node, direction))
                {
                    tokio::time::sleep(delay).await;
                }
                self.crash_if_asked(id, node, direction, Moment::BeforeAction).await;
            }
            Edge::End => self.crash_if_asked(id, node, direction, Moment::AfterEvent).await,
        }
    }

    async fn saga_update(&self, id: steno::SagaId, update: SagaCachedState) {
        let id = from_engine(id);
        let (ownership, context) = self.held(id, |holding| (holding.ownership, Arc::clone(&holding.context)));
        let state = match update {
            SagaCachedState::Running => CachedState::Running,
            SagaCachedState::Unwinding => CachedState::Unwinding,
            SagaCachedState::Done => {
                self.roster.set_ending(id);
                CachedState::Done
            }
        };
        let write = sagas::update_state(ownership, id, state);
        // After its end the saga's result is told to the world.
        if state == CachedState::Done {
            self.write_fenced(id, &context, write).await;
        } else {
            self.store.write_unwaited(write);
        }
    }
}

/// What column `data` holds for an event: the output or the error. An empty output is the JSON null, never SQL NULL.
fn event_data(event: &SagaNodeEventType) -> Option<String> {
    match event {
        SagaNodeEventType::Started | SagaNodeEventType::UndoStarted | SagaNodeEventType::UndoFinished => None,
        SagaNodeEventType::Succeeded(output) => Some(output.to_string()),
        SagaNodeEventType::Failed(error) => Some(to_json(error)),
        // Nexus drops this one; a person who has to free a stuck saga needs nothing more.
        SagaNodeEventType::UndoFailed(error) => Some(to_json(error)),
    }
}

fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("the engine's errors hold JSON values and text only")
}

/// A stored log as the engine wants it.
///
/// # Errors
///
/// The first event that cannot be one of this saga's, in words.
pub(super) fn to_engine_events(events: &[Event]) -> Result<Vec<SagaNodeEvent>, String> {
    events.iter().map(to_engine_event).collect()
}

fn to_engine_event(event: &Event) -> Result<SagaNodeEvent, String> {
    let at = || format!("event {:?} of node {}", event.event_type, event.node_id);
    let data = || event.data.as_deref().ok_or_else(|| format!("{} has no data", at()));
    let unreadable = |error: serde_json::Error| format!("{} cannot be read: {error}", at());
    let event_type = match event.event_type.as_str() {
        "started" => SagaNodeEventType::Started,
        "succeeded" => {
            SagaNodeEventType::Succeeded(Arc::new(serde_json::from_str(data()?).map_err(unreadable)?))
        }
        "failed" => SagaNodeEventType::Failed(serde_json::from_str(data()?).map_err(unreadable)?),
        "undo_started" => SagaNodeEventType::UndoStarted,
        "undo_finished" => SagaNodeEventType::UndoFinished,
        // A Nexus stores no data here; that the undo failed is known all the same.
        "undo_failed" => SagaNodeEventType::UndoFailed(match event.data.as_deref() {
            Some(text) => serde_json::from_str(text).map_err(unreadable)?,
            None => steno::UndoActionError::PermanentFailure {
                source_error: serde_json::Value::String("not recorded".to_owned()),
            },
        }),
        _ => return Err(format!("{} is of an unknown type", at())),
    };
    Ok(SagaNodeEvent {
        saga_id: super::engine::saga_id(event.saga_id),
        node_id: event.node_id.0.into(),
        event_type,
    })
}

/// Nodes and their actions in a DAG's JSON, by name.
pub(super) fn actions_of(dag: &serde_json::Value) -> impl Iterator<Item = (&str, &str)> {
    dag.pointer("/graph/nodes").and_then(serde_json::Value::as_array).into_iter().flatten().filter_map(
        |node| {
            let action = node.get("Action")?;
            Some((action.get("name")?.as_str()?, action.get("action_name")?.as_str()?))
        },
    )
}
