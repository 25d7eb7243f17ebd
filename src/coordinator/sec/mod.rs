//! The SEC: the `steno` engine, wired to our store, with its sharp edges covered.
//!
//! # Threads
//!
//! The engine is one task and runs on a current-thread runtime of its own thread ([`engine`]); HTTP, background tasks and
//! the store's writer run elsewhere and talk to it by channels. Everything here may be called from any runtime.
//!
//! # What is covered, and where
//!
//! - *A store that cannot report errors* ([`engine_store`]): `steno` has no way to hear that an event was not recorded. A
//!   write that can never succeed (the saga is no longer ours) ends the process; recovery, here or elsewhere, goes on from
//!   what is durable.
//! - *Finished sagas stay in the engine's memory*: [`purge`] drops them, and [`roster`] keeps a small bounded record.
//! - *Stuck and failed sagas both read `Done`*: the outcome is taken from the engine's result ([`outcome`]).
//! - *Lists asked of the engine wait for hung store writes*: they are answered from the roster.
//! - *An unknown action is noticed only after the saga was stored*: kinds are checked before creation.
//! - *Starting twice kills the engine*: only this module starts, once per saga, right after create or resume.
//!
//! # The life of a saga here
//!
//! ```text
//!   create ──► announce ──► store row ──► confirm ──► start ─┐
//!   resume ──► (recovery found it) ───────────────► start ─┤
//!                                                            ▼
//!                    engine runs it; events go to the store, fenced
//!                                                            ▼
//!      end durable ──► roster: outcome, waiters told ──► purged from the engine
//!          │
//!          └─ derailed: nothing after a refused write counts ──► resume strictly from the log; once
//! ```

mod drain;
mod engine;
mod engine_store;
mod inject;
mod outcome;
mod roster;
#[cfg(test)]
mod tests;

pub use drain::Adopted;
pub use inject::InjectError;
pub use outcome::SagaOutcome;
pub use roster::{Origin, RosterCounts, Sighting};

use super::background::driver::Waker;
use super::fault::{Faults, FaultyAction};
use super::recovery::{Announcer, CreationInFlight, FailureCause};
use super::sagas::demo::DemoWaits;
use super::sagas::{Durability, Engine, Interrupts, SagaContext, SagaKind, SagaRegistry};
use crate::files::touch;
use crate::store::error::{Refusal, Rule, StoreError};
use crate::store::sagas::{IdempotencyKey, LoadedSaga, Ownership};
use crate::store::{FatalHandler, SharedStore};
use crate::wire::fault::Direction;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::quiesce::QuiesceStatus;
use crate::wire::sagas::{CachedState, Saga};
use engine_store::{EngineStore, Holding};
use futures::FutureExt;
use futures::future::BoxFuture;
use roster::{Finished, Roster};
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use steno::SagaResult;
use tokio::sync::watch;

/// Time between two touches of the heartbeat file.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What a SEC is made from.
pub struct SecConfig {
    /// Who it is.
    pub sec_id: SecId,
    /// Where sagas live.
    pub store: SharedStore,
    /// Which sagas it can run.
    pub registry: Arc<SagaRegistry>,
    /// Runs all sagas strictly, also those whose kind could do without.
    pub always_strict: bool,
    /// Tells recovery of creations.
    pub announcer: Announcer,
    /// Wakes recovery when many announcements wait for it.
    pub recovery_waker: Waker,
    /// Given to actions of embedding services.
    pub services: Arc<dyn Any + Send + Sync>,
    /// Faults that sagas are to have, in a coordinator that may be asked for them.
    pub faults: Option<Arc<Faults>>,
    /// Ends the process when going on would break a promise.
    pub on_fatal: FatalHandler,
    /// Where it logs.
    pub log: slog::Logger,
}

/// Handle to the SEC; cheap to clone, usable from any runtime.
#[derive(Clone)]
pub struct Sagas {
    inner: Arc<Inner>,
}

struct Inner {
    sec_id: SecId,
    engine: engine::EngineThread,
    engine_store: Arc<EngineStore>,
    engine_registry: Arc<steno::ActionRegistry<Engine>>,
    registry: Arc<SagaRegistry>,
    always_strict: bool,
    store: SharedStore,
    roster: Arc<Roster>,
    announcer: Announcer,
    recovery_waker: Waker,
    demo_waits: Arc<DemoWaits>,
    services: Arc<dyn Any + Send + Sync>,
    faults: Option<Arc<Faults>>,
    on_fatal: FatalHandler,
    log: slog::Logger,
}

/// Why a saga was not created.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CreateError {
    /// This coordinator takes no new sagas at present.
    #[error("this coordinator accepts no new sagas at present")]
    NotAccepting,
    /// The idempotency key belongs to another saga, which may have been created a moment ago.
    #[error("the idempotency key is in use")]
    KeyInUse,
    /// No saga can be made of these parameters.
    #[error("{0}")]
    Invalid(String),
    /// The database did not take it.
    #[error(transparent)]
    Store(StoreError),
}

/// A saga in flight here.
pub struct RunningSaga {
    /// Which one.
    pub saga_id: SagaId,
    finished: watch::Receiver<Option<Arc<SagaOutcome>>>,
}

impl RunningSaga {
    /// Waits until it has come to rest and its end is durable.
    pub async fn finished(mut self) -> SagaOutcome {
        let outcome = match self.finished.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        match outcome {
            Some(outcome) => (*outcome).clone(),
            // The roster drops an entry only after it has told the outcome, so this is a process about to end.
            None => std::future::pending().await,
        }
    }
}

impl Sagas {
    /// Starts the engine's thread.
    ///
    /// # Errors
    ///
    /// When the thread cannot be made.
    pub fn start(config: SecConfig) -> std::io::Result<Self> {
        let roster = Arc::new(Roster::default());
        let engine_store = Arc::new(EngineStore::new(
            Arc::clone(&config.store),
            config.sec_id,
            Arc::clone(&roster),
            config.faults.clone(),
            Arc::clone(&config.on_fatal),
        ));
        let engine_registry = match &config.faults {
            None => config.registry.for_engine(),
            Some(faults) => config
                .registry
                .for_engine_with(|action| Arc::new(FaultyAction { action, faults: Arc::clone(faults) })),
        };
        let engine = engine::EngineThread::start(config.log.clone(), Arc::clone(&engine_store))?;
        Ok(Self {
            inner: Arc::new(Inner {
                sec_id: config.sec_id,
                engine,
                engine_store,
                engine_registry: Arc::new(engine_registry),
                registry: config.registry,
                always_strict: config.always_strict,
                store: config.store,
                roster,
                announcer: config.announcer,
                recovery_waker: config.recovery_waker,
                demo_waits: Arc::new(DemoWaits::default()),
                services: config.services,
                faults: config.faults,
                on_fatal: config.on_fatal,
                log: config.log,
            }),
        })
    }

    /// Touches a file now and then every [`HEARTBEAT`], for a watchdog to look at. On the thread that runs sagas, so that the
    /// file grows old when nothing runs them any more, whatever else in the process still answers.
    ///
    /// # Errors
    ///
    /// If the file cannot be touched now. Later on that is only logged.
    pub fn keep_touching(&self, path: PathBuf) -> std::io::Result<()> {
        touch(&path)?;
        let log = self.inner.log.clone();
        self.inner.engine.runtime().spawn(async move {
            let mut beat = tokio::time::interval(HEARTBEAT);
            beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                beat.tick().await;
                if let Err(error) = touch(&path) {
                    slog::warn!(log, "heartbeat file"; "path" => %path.display(), "error" => %error);
                }
            }
        });
        Ok(())
    }

    /// Who this SEC is.
    pub fn sec_id(&self) -> SecId {
        self.inner.sec_id
    }

    /// An id for a new saga. Where several SECs write to one database it keeps them out of each other's way.
    pub fn new_id(&self) -> SagaId {
        match self.inner.store.kind() {
            "postgresql" => SagaId::made_by(self.inner.sec_id),
            _ => SagaId::random(),
        }
    }

    /// Demo sagas that can be completed.
    pub fn demo_waits(&self) -> &DemoWaits {
        &self.inner.demo_waits
    }

    /// Takes no new sagas from now on; those that are there are finished. Twice is the same as once.
    pub fn quiesce(&self) {
        slog::warn!(self.inner.log, "quiescing: no new sagas are taken");
        self.say_if_drained(self.inner.roster.quiesce());
    }

    /// How far quiescing has come, and what is still pending.
    pub fn quiesce_status(&self) -> QuiesceStatus {
        self.inner.roster.quiesce_status()
    }

    /// A recovery pass begins.
    pub fn recovery_began(&self) {
        self.inner.roster.recovery_began();
    }

    /// It has ended, and could list what there is to recover, or not.
    pub fn recovery_ended(&self, is_successful: bool) {
        self.say_if_drained(self.inner.roster.recovery_ended(is_successful));
    }

    /// Whether sagas of others may be adopted. If so, [`adoption_ended`](Self::adoption_ended) has to follow.
    pub fn adoption_began(&self) -> bool {
        self.inner.roster.adoption_began()
    }

    /// Adopting has ended.
    pub fn adoption_ended(&self, adopted: Adopted) {
        self.say_if_drained(self.inner.roster.adoption_ended(adopted));
    }

    fn say_if_drained(&self, is_drained: bool) {
        if is_drained {
            slog::warn!(self.inner.log, "quiesced: no sagas are left");
        }
    }

    /// Whether new sagas are taken.
    pub fn is_accepting(&self) -> bool {
        self.inner.roster.is_accepting()
    }

    /// Creates a saga and starts it; resolves once its row is durable.
    ///
    /// The work is detached from the caller: a caller that goes away cancels nothing.
    ///
    /// # Errors
    ///
    /// See [`CreateError`]. After [`CreateError::Store`] with a transient error the saga may exist all the same; recovery
    /// will find it if it does.
    pub async fn create<K: SagaKind>(
        &self,
        id: SagaId,
        params: &K::Params,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<RunningSaga, CreateError> {
        if !self.inner.registry.names().any(|name| name == K::NAME) {
            return Err(CreateError::Invalid(format!("this coordinator cannot run sagas {:?}", K::NAME)));
        }
        let dag = K::dag(params).map_err(|error| CreateError::Invalid(format!("{error:#}")))?;
        // From here on it counts as pending, so that nobody takes this SEC for drained; nothing is waited for in between.
        let finished = self.inner.roster.admit(id, K::NAME).ok_or(CreateError::NotAccepting)?;
        let this = self.clone();
        let created = self.inner.engine.runtime().spawn(async move {
            // Announced before anything is stored: see `coordinator::recovery` for what would go wrong otherwise.
            let announced = this.inner.announcer.creating(id);
            if this.inner.announcer.wants_pass() {
                this.inner.recovery_waker.wake();
            }
            this.create_announced(id, K::NAME, dag, idempotency, announced, finished).await
        });
        match created.await {
            Ok(result) => result,
            Err(_) => {
                (self.inner.on_fatal)("the saga engine stopped while a saga was being created").unreachable()
            }
        }
    }

    async fn create_announced(
        &self,
        id: SagaId,
        name: &'static str,
        dag: steno::SagaDag,
        idempotency: Option<IdempotencyKey>,
        announced: CreationInFlight,
        finished: Finished,
    ) -> Result<RunningSaga, CreateError> {
        let inner = &self.inner;
        let durability =
            if inner.always_strict { Durability::Strict } else { inner.registry.durability(name) };
        let ownership = Ownership { sec: inner.sec_id, generation: 1 };
        let context = self.context(id, ownership, durability);
        inner.engine_store.hold(id, Holding::new(ownership, Arc::clone(&context), idempotency));
        if let Some(faults) = &inner.faults {
            faults.arm(id, name, &serde_json::to_value(&dag).expect("the engine's DAGs are JSON"));
        }
        let result = inner
            .engine
            .client()
            .saga_create(
                engine::saga_id(id),
                context.clone(),
                Arc::new(dag),
                Arc::clone(&inner.engine_registry),
            )
            .await;
        match result {
            Ok(future) => {
                announced.created();
                self.run(id, context, future).await;
                Ok(RunningSaga { saga_id: id, finished })
            }
            Err(error) => {
                self.say_if_drained(inner.roster.remove(id));
                let stored = inner.engine_store.release(id).and_then(|holding| holding.create_error());
                // Definite or not: recovery must be free to pick the saga up if it exists after all.
                announced.dropped();
                Err(match stored {
                    Some(StoreError::Refused(why)) if is_idempotency_key(&why) => CreateError::KeyInUse,
                    Some(error) => CreateError::Store(error),
                    None => CreateError::Invalid(format!("{error:#}")),
                })
            }
        }
    }

    /// Takes up an unfinished saga from its log.
    ///
    /// # Errors
    ///
    /// Why it cannot be taken up, in the terms in which recovery decides what to do about it.
    pub async fn resume(&self, saga: LoadedSaga) -> Result<RunningSaga, FailureCause> {
        let id = saga.id;
        if matches!(self.inner.roster.sighting(id), Sighting::Running | Sighting::Ending) {
            return Err(FailureCause::AlreadyRunning);
        }
        let durability = if self.inner.always_strict {
            Durability::Strict
        } else {
            self.inner.registry.durability(&saga.name)
        };
        let finished = self.inner.roster.insert_recovered(id, saga.name.clone());
        match self.take_up(saga, durability).await {
            Ok(()) => Ok(RunningSaga { saga_id: id, finished }),
            Err(cause) => {
                self.say_if_drained(self.inner.roster.remove(id));
                Err(cause)
            }
        }
    }

    /// Hands a loaded saga, which is in the roster already, to the engine and starts it.
    async fn take_up(&self, saga: LoadedSaga, durability: Durability) -> Result<(), FailureCause> {
        let inner = &self.inner;
        let id = saga.id;
        if saga.current_sec != Some(inner.sec_id) {
            return Err(FailureCause::OwnerChanged(saga.current_sec));
        }
        if !matches!(saga.state, CachedState::Running | CachedState::Unwinding) {
            return Err(FailureCause::NotUnfinished(saga.state));
        }
        let events = engine_store::to_engine_events(&saga.events).map_err(FailureCause::LogIllegal)?;
        let dag: serde_json::Value = serde_json::from_str(&saga.dag)
            .map_err(|error| FailureCause::DagUnreadable(error.to_string()))?;
        if let Some((node, action)) =
            engine_store::actions_of(&dag).find(|(_, action)| !inner.registry.knows_action(action))
        {
            return Err(FailureCause::UnknownAction { node: node.to_owned(), action: action.to_owned() });
        }
        if let Some(faults) = &inner.faults {
            faults.arm(id, &saga.name, &dag);
        }
        let ownership = Ownership { sec: inner.sec_id, generation: saga.generation };
        let context = self.context(id, ownership, durability);
        inner.engine_store.hold(id, Holding::new(ownership, Arc::clone(&context), None));
        let resumed = inner
            .engine
            .client()
            .saga_resume(
                engine::saga_id(id),
                context.clone(),
                dag,
                Arc::clone(&inner.engine_registry),
                events,
            )
            .await;
        match resumed {
            Ok(done) => {
                self.run(id, context, done).await;
                Ok(())
            }
            Err(error) => {
                inner.engine_store.release(id);
                // Owner, state and actions have been looked at, and nothing was waited for; so what the engine minds is in
                // the saga's own data. Its text says whether that is the DAG or the log.
                let message = format!("{error:#}");
                Err(if message.contains("already in use") {
                    FailureCause::EngineRefused(message)
                } else if message.starts_with("deserialize failed") {
                    FailureCause::DagUnreadable(message)
                } else {
                    FailureCause::LogIllegal(message)
                })
            }
        }
    }

    /// Starts a saga that was just created or resumed, and sees it off when it has come to rest.
    async fn run(&self, id: SagaId, context: Arc<SagaContext>, done: BoxFuture<'static, SagaResult>) {
        let inner = &self.inner;
        self.inject_failures(id).await;
        if let Err(error) = inner.engine.client().saga_start(engine::saga_id(id)).await {
            // Only this function starts sagas, each once; going on would leave one that nobody runs.
            (inner.on_fatal)(&format!("the engine would not start saga {id}: {error:#}")).unreachable();
        }
        let this = self.clone();
        inner.engine.runtime().spawn(async move {
            let Ok(result) = AssertUnwindSafe(done).catch_unwind().await else {
                (this.inner.on_fatal)(&format!("the saga engine stopped while it ran saga {id}"))
                    .unreachable()
            };
            this.see_off(id, context, result).await;
        });
    }

    async fn inject_failures(&self, id: SagaId) {
        let Some(faults) = &self.inner.faults else { return };
        let client = self.inner.engine.client();
        for (node, direction) in faults.failing(id) {
            let (saga, index) = (engine::saga_id(id), node.into());
            let injected = match direction {
                Direction::Forward => client.saga_inject_error(saga, index).await,
                Direction::Undo => client.saga_inject_error_undo(saga, index).await,
            };
            if let Err(error) = injected {
                slog::warn!(self.inner.log, "a fault could not be injected";
                    "saga_id" => %id, "node" => node, "why" => %error);
            }
        }
    }

    async fn see_off(&self, id: SagaId, context: Arc<SagaContext>, result: SagaResult) {
        let inner = &self.inner;
        engine::purge(inner.engine.client(), id).await;
        inner.store.close_lane(id);
        inner.engine_store.release(id);
        if let Some(faults) = &inner.faults {
            faults.disarm(id);
        }
        if let Some(why) = context.why_derailed() {
            if context.durability == Durability::Strict {
                // What was refused would be refused again, and again.
                (inner.on_fatal)(&format!("saga {id}: a write that was not waited for was refused: {why}"))
                    .unreachable()
            }
            slog::warn!(inner.log, "a write that was not waited for was refused; running the saga again, strictly";
                "saga_id" => %id);
            self.rerun_strictly(id).await;
            return;
        }
        self.say_if_drained(inner.roster.finish(id, SagaOutcome::from_result(result.kind)));
    }

    /// Boxed because it leads back to [`Self::run`], which spawned it.
    fn rerun_strictly(&self, id: SagaId) -> BoxFuture<'_, ()> {
        async move {
            // It stays in the roster all the while, and those who wait for it go on waiting.
            self.inner.roster.clear_ending(id);
            let reason = match crate::store::sagas::load_saga(&*self.inner.store, id).await {
                Ok(Some(saga)) => match self.take_up(saga, Durability::Strict).await {
                    Ok(()) => return,
                    Err(cause) => cause.to_string(),
                },
                Ok(None) => "its row is gone".to_owned(),
                Err(error) => error.to_string(),
            };
            // It is unfinished in the database and nobody runs it: the next process will.
            (self.inner.on_fatal)(&format!("saga {id} could not be run again from its log: {reason}"))
                .unreachable()
        }
        .boxed()
    }

    fn context(&self, id: SagaId, owner: Ownership, durability: Durability) -> Arc<SagaContext> {
        Arc::new(SagaContext {
            saga_id: id,
            store: Arc::clone(&self.inner.store),
            hold: Some(owner.of(id)),
            durability,
            demo_waits: Arc::clone(&self.inner.demo_waits),
            services: Arc::clone(&self.inner.services),
            interrupts: Interrupts::default(),
            derailed: OnceLock::new(),
        })
    }

    /// The saga in flight here with this id, if there is one.
    pub fn find_running(&self, id: SagaId) -> Option<RunningSaga> {
        self.inner.roster.watch(id).map(|finished| RunningSaga { saga_id: id, finished })
    }

    /// One saga of this process's memory.
    pub fn find(&self, id: SagaId) -> Option<Saga> {
        self.inner.roster.find(id)
    }

    /// Sagas of this process's memory after `after`, ascending by id, at most `limit`.
    pub fn list(&self, after: Option<SagaId>, limit: usize) -> Vec<Saga> {
        self.inner.roster.list(after, limit)
    }

    /// How many sagas are in flight here.
    pub fn counts(&self) -> RosterCounts {
        self.inner.roster.counts()
    }

    /// What is known here of one saga.
    pub fn sighting(&self, id: SagaId) -> Sighting {
        self.inner.roster.sighting(id)
    }

    /// Recovery knows that this saga has finished; it need not be remembered for that any more.
    pub fn forget_finished(&self, id: SagaId) {
        self.inner.roster.forget_finished(id);
    }
}

fn is_idempotency_key(why: &Refusal) -> bool {
    why.rule == Rule::Unique && why.what.contains("idempotency_key")
}

/// Lets `match` arms end with a handler that never returns.
trait Unreachable {
    fn unreachable(self) -> !;
}

impl Unreachable for std::convert::Infallible {
    fn unreachable(self) -> ! {
        match self {}
    }
}
