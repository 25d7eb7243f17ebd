//! Saga `demo`: one action that waits until somebody completes it. For practising recovery by hand.
//!
//! What can be waited for lives in [`DemoWaits`], in memory only. A restart forgets it; the recovered saga's action
//! registers its wait anew. Because the action registers before it waits, and creation registers before the saga starts,
//! nobody who holds a demo id from a successful answer is told that it is unknown, except between a restart and recovery.

use super::{Action, Durability, Engine, SagaKind, step};
use crate::wire::ids::DemoSagaId;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use steno::{ActionContext, ActionError};
use tokio::sync::Notify;

/// The kind.
pub struct Demo;

/// What a demo saga is made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Params {
    /// What completes it.
    pub id: DemoSagaId,
}

impl SagaKind for Demo {
    const NAME: &'static str = "demo";
    // The wait is in memory, not in the ordered queue.
    const DURABILITY: Durability = Durability::Strict;
    type Params = Params;

    fn actions() -> Vec<Action> {
        vec![step("demo.demo_wait", wait, nothing_to_undo)]
    }

    fn dag(params: &Params) -> Result<steno::SagaDag, anyhow::Error> {
        let mut builder = steno::DagBuilder::new(steno::SagaName::new(Self::NAME));
        builder.append(steno::Node::action("demo_wait", "DemoWait", &*actions_wait()));
        Ok(steno::SagaDag::new(builder.build()?, serde_json::to_value(params)?))
    }
}

fn actions_wait() -> Arc<dyn steno::Action<Engine>> {
    step("demo.demo_wait", wait, nothing_to_undo).for_engine()
}

fn wait(context: &ActionContext<Engine>) -> BoxFuture<'_, Result<serde_json::Value, ActionError>> {
    async move {
        let params: Params = context.saga_params()?;
        context.user_data().demo_waits.completed(params.id).await;
        Ok(serde_json::Value::Null)
    }
    .boxed()
}

fn nothing_to_undo(_: &ActionContext<Engine>) -> BoxFuture<'_, Result<(), anyhow::Error>> {
    async { Ok(()) }.boxed()
}

/// All demo sagas of this process that can be completed.
#[derive(Debug, Default)]
pub struct DemoWaits {
    // A `Notify` keeps one permit, so completing before the action waits is not lost.
    waits: Mutex<HashMap<DemoSagaId, Arc<Notify>>>,
}

impl DemoWaits {
    /// Makes an id known. Doing so twice is the same as once.
    pub fn register(&self, id: DemoSagaId) -> Arc<Notify> {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(waits.entry(id).or_default())
    }

    /// Makes an id known, and says whether it was not before.
    pub fn register_first(&self, id: DemoSagaId) -> bool {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        match waits.entry(id) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(Arc::default());
                true
            }
        }
    }

    /// Makes an id unknown again.
    pub fn forget(&self, id: DemoSagaId) {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Lets the saga with this id go on. `false` if this process does not know the id.
    pub fn complete(&self, id: DemoSagaId) -> bool {
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.get(&id).map(|notify| notify.notify_one()).is_some()
    }

    async fn completed(&self, id: DemoSagaId) {
        let registered = Registered { waits: self, id };
        self.register(id).notified().await;
        drop(registered);
    }
}

/// Makes an id unknown when its saga goes on, or is cut off.
struct Registered<'w> {
    waits: &'w DemoWaits,
    id: DemoSagaId,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.waits.forget(self.id);
    }
}
