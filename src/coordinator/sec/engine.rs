//! The thread that runs the engine, and the few calls that depend on how exactly `steno` 0.5.0 behaves.

use super::engine_store::EngineStore;
use crate::wire::ids::SagaId;
use std::sync::Arc;
use std::sync::mpsc;
use steno::SecClient;
use tokio::runtime::Handle;

/// Stack of the engine's thread. Unwinding deep DAGs recurses in the engine, so it gets more than the default.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// The engine on its thread.
pub(super) struct EngineThread {
    client: SecClient,
    runtime: Handle,
}

impl EngineThread {
    pub(super) fn start(log: slog::Logger, store: Arc<EngineStore>) -> std::io::Result<Self> {
        let (ready, started) = mpsc::sync_channel(1);
        std::thread::Builder::new().name("sec".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            // Current-thread: the engine is one task, and hopping between threads costs it half its speed.
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            runtime.block_on(async move {
                let client = steno::sec(log, store);
                if ready.send(Ok((client, Handle::current()))).is_ok() {
                    // There is no shutdown path: the process ends as in a crash.
                    std::future::pending::<()>().await;
                }
            });
        })?;
        let (client, runtime) = started
            .recv()
            .map_err(|_| std::io::Error::other("the engine's thread ended before it was ready"))??;
        Ok(Self { client, runtime })
    }

    pub(super) fn client(&self) -> &SecClient {
        &self.client
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

/// Our id as the engine's.
pub(super) fn saga_id(id: SagaId) -> steno::SagaId {
    use newtype_uuid::GenericUuid;
    steno::SagaId::from_untyped_uuid(id.as_uuid())
}

/// The engine's id as ours.
pub(super) fn from_engine(id: steno::SagaId) -> SagaId {
    use newtype_uuid::GenericUuid;
    SagaId::from_uuid(id.into_untyped_uuid())
}

/// Drops a finished saga from the engine's memory.
///
/// `steno` 0.5.0 has no call for this and keeps some 65 KiB per finished saga for ever. But it removes a saga from its
/// table *before* it checks whether it may be started, so starting a finished one removes it and answers an error. The
/// crate is pinned to exactly this version, and `finished_sagas_leave_the_engine` pins the behaviour. Must be called only
/// after the saga's completion future has resolved: the same call on a *running* saga would kill the engine.
pub(super) async fn purge(client: &SecClient, id: SagaId) {
    let answer = client.saga_start(saga_id(id)).await;
    debug_assert!(answer.is_err(), "a finished saga must not start");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::sagas::Engine;
    use std::num::NonZeroU32;

    #[tokio::test]
    async fn finished_sagas_leave_the_engine() {
        let log = slog::Logger::root(slog::Discard, slog::o!());
        let client = steno::sec(log, Arc::new(steno::InMemorySecStore::new()));
        let mut builder = steno::DagBuilder::new(steno::SagaName::new("constant"));
        builder.append(steno::Node::constant("answer", serde_json::json!(42)));
        let dag = steno::SagaDag::new(builder.build().expect("a DAG of one node"), serde_json::Value::Null);
        let store: crate::store::SharedStore = Arc::new(crate::store::noop::NoopStore);
        let registry = Arc::new(steno::ActionRegistry::<Engine>::new());
        for _ in 0..3 {
            let id = SagaId::random();
            let context = Arc::new(crate::coordinator::sagas::SagaContext {
                saga_id: id,
                store: Arc::clone(&store),
                hold: None,
                durability: crate::coordinator::sagas::Durability::Strict,
                demo_waits: Arc::default(),
                services: Arc::new(()),
                interrupts: Default::default(),
                derailed: std::sync::OnceLock::new(),
            });
            let done = client
                .saga_create(saga_id(id), context, Arc::new(dag.clone()), Arc::clone(&registry))
                .await
                .expect("creating");
            client.saga_start(saga_id(id)).await.expect("starting");
            assert!(done.await.kind.is_ok());
            let limit = NonZeroU32::new(10).expect("not zero");
            assert_eq!(client.saga_list(None, limit).await.len(), 1, "steno keeps finished sagas");
            purge(&client, id).await;
            assert_eq!(client.saga_list(None, limit).await.len(), 0, "purging drops them");
        }
    }
}
