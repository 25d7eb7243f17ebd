//! Runs sagas through steno, remembers what it would have stored, and cuts it off anywhere.

use super::super::record::{EventRecord, SagaRecords};
use super::{at, records, sec};
use crate::wire::field::Field;
use futures::FutureExt;
use newtype_uuid::GenericUuid;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use steno::{
    ActionContext, ActionError, ActionFunc, ActionRegistry, DagBuilder, Node, SagaCachedState,
    SagaCreateParams, SagaDag, SagaId, SagaName, SagaNodeEvent, SagaNodeEventType, SagaResult, SagaType,
    SecStore,
};
use uuid::Uuid;

/// A stage of a saga: what may run at the same time.
pub(super) type Stage = Vec<Item>;

/// What a stage consists of.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Action,
    Constant,
    Subsaga(Vec<Stage>),
}

/// Sagas of up to four stages of up to three items, with subsagas up to three deep, side by side or in each other.
pub(super) fn shapes() -> impl Strategy<Value = Vec<Stage>> {
    let leaf = prop_oneof![4 => Just(Item::Action), 1 => Just(Item::Constant)];
    let item = leaf.prop_recursive(3, 12, 4, |item| {
        let stage = prop::collection::vec(item, 1..3);
        prop::collection::vec(stage, 0..3).prop_map(Item::Subsaga)
    });
    prop::collection::vec(prop::collection::vec(item, 1..4), 0..4)
}

/// A DAG of this shape. Each saga and subsaga begins with an action that the subsagas in it get their parameters from, and
/// ends with one, since steno wants both. Actions are labelled `n0`, `n1`, ….
pub(super) fn dag_of(shape: &[Stage]) -> SagaDag {
    let mut count = 0;
    let registry = Registry::new();
    SagaDag::new(saga_of(shape, "whole", &registry, &mut count), serde_json::json!({"secret": true}))
}

fn saga_of(stages: &[Stage], name: &str, registry: &Registry, count: &mut usize) -> steno::Dag {
    let mut builder = DagBuilder::new(SagaName::new(name));
    let action = |name: &str, count: &mut usize| {
        let label = format!("n{count}");
        *count += 1;
        Node::action(name, label, &*registry.action)
    };
    builder.append(action("first", count));
    for (index, stage) in stages.iter().enumerate() {
        let nodes = stage.iter().enumerate().map(|(place, item)| {
            let name = format!("i{index}_{place}");
            match item {
                Item::Action => action(&name, count),
                Item::Constant => {
                    let value = Value::from(*count);
                    *count += 1;
                    Node::constant(name, value)
                }
                Item::Subsaga(stages) => {
                    let subsaga = saga_of(stages, &format!("sub_{name}"), registry, count);
                    Node::subsaga(name, subsaga, "first")
                }
            }
        });
        let nodes: Vec<Node> = nodes.collect();
        builder.append_parallel(nodes);
    }
    builder.append(action("last", count));
    builder.build().expect("a sound DAG")
}

/// What goes wrong in a run, by the labels of actions.
#[derive(Clone, Debug, Default)]
pub(super) struct Troubles {
    pub(super) failing: BTreeSet<String>,
    pub(super) failing_undo: BTreeSet<String>,
}

#[derive(Debug)]
struct Sagas;

impl SagaType for Sagas {
    type ExecContextType = Troubles;
}

struct Registry {
    action: Arc<dyn steno::Action<Sagas>>,
    all: Arc<ActionRegistry<Sagas>>,
}

impl Registry {
    fn new() -> Self {
        let action = ActionFunc::new_action("act", act, undo);
        let mut all = ActionRegistry::new();
        all.register(Arc::clone(&action));
        Self { action, all: Arc::new(all) }
    }
}

async fn act(ctx: ActionContext<Sagas>) -> Result<String, ActionError> {
    let label = ctx.node_label();
    linger(&label).await;
    if ctx.user_data().failing.contains(&label) {
        return Err(ActionError::action_failed(format!("{label} failed")));
    }
    Ok(label)
}

async fn undo(ctx: ActionContext<Sagas>) -> Result<(), anyhow::Error> {
    let label = ctx.node_label();
    linger(&label).await;
    if ctx.user_data().failing_undo.contains(&label) {
        anyhow::bail!("{label} cannot be undone");
    }
    Ok(())
}

/// Actions take differently long, so that parallel ones overlap in every way.
async fn linger(label: &str) {
    let rounds = label.bytes().fold(0u32, |sum, byte| sum * 31 + u32::from(byte)) % 7;
    for _ in 0..rounds {
        tokio::task::yield_now().await;
    }
}

/// What a run left in the store, in the order in which it was written.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    pub(super) events: Vec<SagaNodeEvent>,
    /// How many events there were when each state was written.
    pub(super) states: Vec<(usize, SagaCachedState)>,
}

#[derive(Default)]
struct MemoryStore(Mutex<Stored>);

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStore")
    }
}

#[async_trait::async_trait]
impl SecStore for MemoryStore {
    async fn saga_create(&self, _: SagaCreateParams) -> Result<(), anyhow::Error> {
        Ok(())
    }

    async fn record_event(&self, event: SagaNodeEvent) {
        self.0.lock().expect("nobody panics with it").events.push(event);
    }

    async fn saga_update(&self, _: SagaId, state: SagaCachedState) {
        let mut stored = self.0.lock().expect("nobody panics with it");
        let count = stored.events.len();
        stored.states.push((count, state));
    }
}

/// How steno takes a log.
#[derive(Debug)]
pub(super) enum Resumption {
    /// It runs it to an end.
    Ran(Box<Run>),
    /// It says no.
    Refused(#[expect(dead_code, reason = "read in the message of a test that fails")] String),
    /// It takes it and falls over it, at once or later.
    FellOver,
}

/// A run to an end.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) result: SagaResult,
    /// The nodes as steno shows them: state and label.
    pub(super) nodes: Vec<(String, String)>,
    pub(super) stored: Stored,
}

pub(super) fn saga_id() -> SagaId {
    SagaId::from_untyped_uuid(Uuid::from_u128(7))
}

/// Runs something on a runtime whose clock jumps as soon as nothing can go on, so that a hang shows at once.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// Runs a saga from its beginning.
pub(super) fn run(dag: &SagaDag, troubles: &Troubles) -> Run {
    match resume(&serde_json::to_value(dag).expect("a DAG is JSON"), Vec::new(), troubles) {
        Resumption::Ran(run) => *run,
        other => panic!("a sound saga did not run: {other:?}"),
    }
}

/// Takes up a saga from its log and runs it to its end.
pub(super) fn resume(dag: &Value, events: Vec<SagaNodeEvent>, troubles: &Troubles) -> Resumption {
    block_on(async {
        let store = Arc::new(MemoryStore::default());
        let going = AssertUnwindSafe(go_on(dag, events, troubles, Arc::clone(&store))).catch_unwind();
        match tokio::time::timeout(Duration::from_secs(60), going).await {
            Ok(Ok(Ok((result, nodes)))) => {
                let stored = store.0.lock().expect("nobody panics with it").clone();
                Resumption::Ran(Box::new(Run { result, nodes, stored }))
            }
            Ok(Ok(Err(refused))) => Resumption::Refused(refused),
            Ok(Err(_)) | Err(_) => Resumption::FellOver,
        }
    })
}

async fn go_on(
    dag: &Value,
    events: Vec<SagaNodeEvent>,
    troubles: &Troubles,
    store: Arc<MemoryStore>,
) -> Result<(SagaResult, Vec<(String, String)>), String> {
    let log = slog::Logger::root(slog::Discard, slog::o!());
    let client = steno::sec(log, store);
    let context = Arc::new(troubles.clone());
    let resumed = client.saga_resume(saga_id(), context, dag.clone(), Registry::new().all, events).await;
    let done = resumed.map_err(|error| format!("{error:#}"))?;
    client.saga_start(saga_id()).await.map_err(|error| format!("{error:#}"))?;
    let result = done.await;
    let view = client.saga_get(saga_id()).await.expect("it is there");
    let nodes = nodes_of(&view.state.status().to_string());
    client.shutdown().await;
    Ok((result, nodes))
}

/// Reads steno's picture of a saga, which is the only way to its states: lines of `+-- done: n3 (produces "i0_1")`.
fn nodes_of(picture: &str) -> Vec<(String, String)> {
    picture
        .lines()
        .filter_map(|line| {
            let (state, label) = line.trim_start().strip_prefix("+-- ")?.split_once(": ")?;
            let label = label.split(" (produces").next().unwrap_or(label);
            Some((state.to_owned(), label.to_owned()))
        })
        .collect()
}

/// The rows that a log makes, each event a millisecond after the one before.
pub(super) fn rows(dag: &Value, events: &[SagaNodeEvent], state: &str) -> SagaRecords {
    let events = (1..).zip(events).map(|(millis, event)| row(event, millis)).collect();
    records(state, dag, events)
}

pub(super) fn row(event: &SagaNodeEvent, millis: i64) -> EventRecord {
    let data = match &event.event_type {
        SagaNodeEventType::Succeeded(output) => Field::Value(output.to_string()),
        SagaNodeEventType::Failed(error) => {
            Field::Value(serde_json::to_string(error).expect("an error is JSON"))
        }
        SagaNodeEventType::UndoFailed(error) => {
            Field::Value(serde_json::to_string(error).expect("an error is JSON"))
        }
        _ => Field::Null,
    };
    EventRecord {
        node_id: i64::from(u32::from(event.node_id)),
        event_type: event.event_type.label().to_owned(),
        data,
        time: Field::Value(at(millis)),
        creator: Field::Value(sec(1)),
    }
}
