//! Sagas that a coordinator can make one of by itself, so that a drill can crash it at every point of them.
//!
//! For each kind there is a function that makes whatever a saga of that kind needs (a project, before one can be deleted)
//! and answers parameters. It is run once, on a database of its own; every run that a drill compares then starts from a
//! copy of that database. So it may do as it likes, and only the saga itself is what is drilled.

mod reference;

use super::sagas::demo::DemoWaits;
use super::sagas::{Creates, SagaKind};
use super::sec::{CreateError, SagaOutcome, Sagas};
use crate::store::SharedStore;
use crate::wire::fault::{DrilledKind, DrilledNode, PreparedSaga};
use crate::wire::ids::SagaId;
use anyhow::Context as _;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// What [`DrilledKinds::with`] is given to work with.
pub struct Stage {
    sagas: Sagas,
    store: SharedStore,
}

impl Stage {
    /// On this SEC and this database.
    pub fn new(sagas: Sagas, store: SharedStore) -> Self {
        Self { sagas, store }
    }

    /// The database, for what is not made by sagas.
    pub fn store(&self) -> &SharedStore {
        &self.store
    }

    /// Demo sagas that can be completed.
    pub fn demo_waits(&self) -> &DemoWaits {
        self.sagas.demo_waits()
    }

    /// Runs a saga to its end, which has to be a success.
    ///
    /// # Errors
    ///
    /// When it is not created, fails or gets stuck.
    pub async fn run<K: SagaKind>(&self, params: &K::Params) -> anyhow::Result<SagaId> {
        let id = self.sagas.new_id();
        let running = self.sagas.create::<K>(id, params, None).await?;
        match running.finished().await {
            SagaOutcome::Succeeded { .. } => Ok(id),
            other => anyhow::bail!("saga {} {id} did not succeed: {other:?}", K::NAME),
        }
    }

    /// The same, and answers what it made.
    ///
    /// # Errors
    ///
    /// See [`Self::run`].
    pub async fn make<K: Creates>(&self, params: &K::Params) -> anyhow::Result<K::Object> {
        let id = self.run::<K>(params).await?;
        Ok(K::made(id, params))
    }
}

/// Brings about what a saga needs, and answers what it is to be made from.
pub type PrepareFn<P> = for<'a> fn(&'a Stage) -> BoxFuture<'a, anyhow::Result<P>>;

/// Plays the part of somebody outside that a saga waits for. Called again and again while the saga is not at rest.
pub type NudgeFn<P> = for<'a> fn(&'a Stage, &'a P);

/// All kinds that can be drilled.
#[derive(Default)]
pub struct DrilledKinds {
    kinds: BTreeMap<&'static str, Box<dyn Drilled>>,
}

impl DrilledKinds {
    /// None.
    pub fn none() -> Self {
        Self::default()
    }

    /// The reference coordinator's own: every kind that it has.
    pub fn reference() -> Self {
        reference::kinds()
    }

    /// Adds a kind.
    pub fn with<K: SagaKind>(self, prepare: PrepareFn<K::Params>) -> Self {
        self.add::<K>(prepare, None)
    }

    /// Adds a kind whose sagas wait for somebody outside.
    pub fn with_nudge<K: SagaKind>(self, prepare: PrepareFn<K::Params>, nudge: NudgeFn<K::Params>) -> Self {
        self.add::<K>(prepare, Some(nudge))
    }

    fn add<K: SagaKind>(mut self, prepare: PrepareFn<K::Params>, nudge: Option<NudgeFn<K::Params>>) -> Self {
        self.kinds.insert(K::NAME, Box::new(Kind::<K> { prepare, nudge }));
        self
    }

    /// Their names, ascending.
    pub fn list(&self) -> Vec<DrilledKind> {
        let kinds = self.kinds.iter();
        kinds.map(|(name, kind)| DrilledKind { name: (*name).to_owned(), waits: kind.waits() }).collect()
    }

    /// The kind of this name.
    pub fn find(&self, name: &str) -> Option<&dyn Drilled> {
        self.kinds.get(name).map(|kind| &**kind)
    }
}

impl fmt::Debug for DrilledKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kinds.keys()).finish()
    }
}

/// One kind, whatever its parameters.
pub trait Drilled: Send + Sync {
    /// Whether its sagas wait for somebody outside.
    fn waits(&self) -> bool;
    /// Brings about what a saga of this kind needs.
    fn prepare<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, anyhow::Result<PreparedSaga>>;
    /// Creates one with this id.
    fn create<'a>(
        &'a self,
        stage: &'a Stage,
        id: SagaId,
        params: Value,
    ) -> BoxFuture<'a, Result<(), CreateError>>;
    /// Plays the part of somebody outside, once.
    ///
    /// # Errors
    ///
    /// When these are not this kind's parameters.
    fn nudge(&self, stage: &Stage, params: Value) -> anyhow::Result<()>;
}

struct Kind<K: SagaKind> {
    prepare: PrepareFn<K::Params>,
    nudge: Option<NudgeFn<K::Params>>,
}

impl<K: SagaKind> Drilled for Kind<K> {
    fn waits(&self) -> bool {
        self.nudge.is_some()
    }

    fn prepare<'a>(&'a self, stage: &'a Stage) -> BoxFuture<'a, anyhow::Result<PreparedSaga>> {
        async move {
            let params = (self.prepare)(stage).await?;
            let dag = serde_json::to_value(K::dag(&params)?)?;
            Ok(PreparedSaga { params: serde_json::to_value(params)?, nodes: nodes_of(&dag) })
        }
        .boxed()
    }

    fn create<'a>(
        &'a self,
        stage: &'a Stage,
        id: SagaId,
        params: Value,
    ) -> BoxFuture<'a, Result<(), CreateError>> {
        async move {
            let params =
                params_of::<K>(params).map_err(|error| CreateError::Invalid(format!("{error:#}")))?;
            stage.sagas.create::<K>(id, &params, None).await?;
            Ok(())
        }
        .boxed()
    }

    fn nudge(&self, stage: &Stage, params: Value) -> anyhow::Result<()> {
        let params = params_of::<K>(params)?;
        if let Some(nudge) = self.nudge {
            nudge(stage, &params);
        }
        Ok(())
    }
}

fn params_of<K: SagaKind>(params: Value) -> anyhow::Result<K::Params> {
    serde_json::from_value(params).with_context(|| format!("these are no parameters of saga {}", K::NAME))
}

/// The nodes of a DAG, by id.
fn nodes_of(dag: &Value) -> Vec<DrilledNode> {
    let nodes = dag.pointer("/graph/nodes").and_then(Value::as_array).into_iter().flatten();
    nodes
        .zip(0..)
        .map(|(node, node_id)| {
            let text = |pointer: &str| node.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            let own = node.as_object().and_then(|object| object.keys().next().cloned());
            let own = own.or_else(|| node.as_str().map(str::to_owned));
            DrilledNode {
                node_id,
                name: text("/Action/name").unwrap_or_else(|| own.unwrap_or_default().to_lowercase()),
                action: text("/Action/action_name"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::sagas::SagaRegistry;

    #[test]
    fn every_kind_of_the_reference_coordinator_can_be_drilled() {
        let drilled: Vec<_> = DrilledKinds::reference().list().into_iter().map(|kind| kind.name).collect();
        let known: Vec<_> = SagaRegistry::reference().names().map(str::to_owned).collect();
        assert_eq!(drilled, known);
    }
}
