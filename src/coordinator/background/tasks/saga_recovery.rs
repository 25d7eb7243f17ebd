//! Task `saga_recovery`: finds unfinished sagas of this SEC that nobody runs, and has them run.
//!
//! What to do is decided in [`crate::coordinator::recovery`], which holds the essay on why it is right; this file asks the
//! database and the SEC, in the order that the types over there insist on:
//!
//! ```text
//!   list ──► drain announcements ──► settle what is ambiguous ──► plan ──► resume each, in a window ──► report
//! ```
//!
//! Only ids are listed. A saga's DAG and log are loaded when it is its turn to be resumed, so memory does not depend on
//! how many there are, and a pass that finds nothing new reads one index and writes nothing.
//!
//! # The window
//!
//! Resuming everything at once costs tens of kilobytes per saga and makes everybody wait for everybody. So at most
//! [`WINDOW`] resumed sagas are on their way at a time. A saga gives its place up when it has come to rest, or after
//! [`PATIENCE`]: one that waits for something outside must not hold up the rest. While requests of users are in flight,
//! a resumed saga takes several places, so that fresh work keeps most of the machine.

use crate::coordinator::background::driver::Waker;
use crate::coordinator::background::{Activation, Task};
use crate::coordinator::recovery::{
    Execution, ExecutionBuilder, FailureCause, PassMeta, PassOutcome, Plan, Recovery, SecOpinion, Settled,
};
use crate::coordinator::sec::{Sagas, Sighting};
use crate::store::error::StoreError;
use crate::store::sagas::{self, Ownership};
use crate::store::{SharedStore, Until};
use crate::wire::ids::SagaId;
use crate::wire::recovery::{RecoveryFailure, RecoveryFailureKind};
use crate::wire::time::now;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Resumed sagas on their way at a time. Beyond some 64 only latency and memory grow, not throughput.
const WINDOW: u32 = 64;

/// How long a resumed saga keeps its place in the window. Most come to rest within a fraction of it.
const PATIENCE: Duration = Duration::from_millis(100);

/// Places that a resumed saga takes while users' sagas are in flight.
const PLACES_BESIDE_FRESH_WORK: u32 = 3;

/// Sagas whose logs are loaded at the same time: enough to keep the readers and the engine busy together.
const LOADING: usize = 8;

/// How long after a pass that was held up by something that passes the next one begins.
const PAUSE_AFTER_TROUBLE: Duration = Duration::from_secs(5);

/// Ids per question to the database.
const LISTING_PAGE: u32 = 10_000;

/// What others may know of recovery without waiting for it.
#[derive(Debug, Default)]
pub struct RecoveryStatus {
    recovered: AtomicBool,
}

impl RecoveryStatus {
    /// Whether a pass is complete and the last one left nothing behind that could not be recovered.
    pub fn is_recovered(&self) -> bool {
        self.recovered.load(Ordering::Acquire)
    }
}

/// The task.
pub struct SagaRecovery {
    /// Where sagas live.
    pub store: SharedStore,
    /// Who runs them.
    pub sagas: Sagas,
    /// What is kept between passes.
    pub recovery: Recovery,
    /// Told to others.
    pub status: Arc<RecoveryStatus>,
    /// Asks for another pass, soon, when one was held up by something that passes.
    pub waker: Waker,
    /// Gives up sagas that can never be recovered, instead of leaving that to an operator.
    pub abandon_unrecoverable: bool,
    /// Where it logs.
    pub log: slog::Logger,
}

/// One saga that could not be resumed, and how it was held.
struct Failed {
    id: SagaId,
    cause: FailureCause,
    generation: Option<i64>,
}

impl Task for SagaRecovery {
    fn activate<'a>(&'a mut self, activation: &'a Activation) -> BoxFuture<'a, serde_json::Value> {
        async move {
            self.pass(activation).await;
            serde_json::to_value(self.recovery.report()).unwrap_or_else(
                |error| serde_json::json!({ "error": format!("writing the report: {error}") }),
            )
        }
        .boxed()
    }
}

impl SagaRecovery {
    async fn pass(&mut self, activation: &Activation) {
        let started = Instant::now();
        let meta = |started: Instant| PassMeta {
            iteration: activation.iteration,
            reason: activation.reason,
            time_started: activation.start_time,
            duration: started.elapsed(),
        };
        self.sagas.recovery_began();
        let begun = self.recovery.begin_pass();
        let listing = match self.list().await {
            Ok(ids) => begun.listed(ids),
            Err(error) => {
                slog::warn!(self.log, "listing unfinished sagas failed"; "error" => %error);
                self.recovery.fail_pass(begun, error.to_string(), meta(started));
                self.sagas.recovery_ended(false);
                self.try_again_soon();
                return;
            }
        };
        let drained = self.recovery.drain(listing);
        let settled = self.settle(drained.ambiguous()).await;
        let plan = self.recovery.plan(drained, settled);
        let (execution, generations) = self.execute(plan).await;
        self.status.recovered.store(execution.failed().is_empty(), Ordering::Release);
        let unrecoverable: Vec<_> = execution.unrecoverable().cloned().collect();
        let is_held_up =
            execution.failed().iter().any(|failure| failure.kind == Some(RecoveryFailureKind::Transient));
        let outcome = self.recovery.finish_pass(execution, meta(started));
        // Nexus calls a pass successful whatever became of single sagas. Those that are only held up would then be forgotten
        // by whoever waits for this SEC to be drained.
        self.sagas.recovery_ended(!is_held_up);
        self.follow_up(&outcome);
        if is_held_up {
            self.try_again_soon();
        }
        if self.abandon_unrecoverable {
            self.abandon(&unrecoverable, &generations).await;
        }
    }

    async fn list(&self) -> Result<Vec<SagaId>, StoreError> {
        let mut ids: Vec<SagaId> = Vec::new();
        loop {
            let page = sagas::list_recovery_candidates(
                &*self.store,
                self.sagas.sec_id(),
                ids.last().copied(),
                LISTING_PAGE,
            )
            .await?;
            let complete = page.len() < LISTING_PAGE as usize;
            ids.extend(page);
            if complete {
                return Ok(ids);
            }
        }
    }

    async fn settle(&self, ambiguous: &[SagaId]) -> Settled {
        if ambiguous.is_empty() {
            return Settled::Known(Vec::new());
        }
        match sagas::find_unfinished_among(&*self.store, self.sagas.sec_id(), ambiguous).await {
            Ok(unfinished) => Settled::Known(unfinished),
            Err(error) => {
                slog::warn!(self.log, "asking for sagas that may be done failed"; "error" => %error);
                Settled::Unknown
            }
        }
    }

    /// Carries a plan out. Also tells the generations of the sagas that could not be resumed, where they were seen.
    async fn execute(&self, plan: Plan) -> (Execution, HashMap<SagaId, i64>) {
        let mut execution = ExecutionBuilder::new(plan);
        for id in execution.plan().done().to_vec() {
            execution.done_saga_checked(id, opinion(self.sagas.sighting(id)));
        }
        let mut waiting = execution.plan().need().to_vec().into_iter();
        let mut generations = HashMap::new();
        let window = Arc::new(Semaphore::new(WINDOW as usize));
        let mut loading = FuturesUnordered::new();
        loop {
            while loading.len() < LOADING
                && let Some(id) = waiting.next()
            {
                loading.push(recover_one(&self.store, &self.sagas, &window, id));
            }
            let Some(outcome) = loading.next().await else { break };
            match outcome {
                Ok((id, name)) => execution.saga_recovery_success(id, name, now()),
                Err(Failed { id, cause, generation }) => {
                    if cause.classify() == RecoveryFailureKind::Transient {
                        slog::warn!(self.log, "saga not recovered, the next pass tries again";
                            "saga_id" => %id, "error" => %cause);
                    }
                    generations.extend(generation.map(|generation| (id, generation)));
                    execution.saga_recovery_failure(id, Some(self.sagas.sec_id()), &cause, now());
                }
            }
        }
        (execution.build(), generations)
    }

    /// A database that was away for a moment must not cost sagas the rest of a period.
    fn try_again_soon(&self) {
        let waker = self.waker.clone();
        tokio::spawn(async move {
            tokio::time::sleep(PAUSE_AFTER_TROUBLE).await;
            waker.wake();
        });
    }

    /// Forgets what is settled and shouts about what is new and bad.
    fn follow_up(&self, outcome: &PassOutcome) {
        for id in &outcome.removed {
            self.sagas.forget_finished(*id);
        }
        for id in &outcome.missing_from_sec {
            slog::error!(self.log, "a saga that was to run here is unknown to the SEC"; "saga_id" => %id);
        }
        for id in &outcome.bad_state_in_sec {
            slog::error!(self.log, "a saga runs here though the database says otherwise"; "saga_id" => %id);
        }
        for failure in &outcome.newly_unrecoverable {
            slog::error!(self.log, "saga cannot be recovered";
                "saga_id" => %failure.saga_id, "error" => &failure.message);
        }
    }

    async fn abandon(&self, unrecoverable: &[RecoveryFailure], generations: &HashMap<SagaId, i64>) {
        for failure in unrecoverable {
            let id = failure.saga_id;
            // A row that could not be read far enough to see its generation is left to a person.
            let Some(generation) = generations.get(&id).copied() else { continue };
            let owner = Ownership { sec: self.sagas.sec_id(), generation };
            let write = sagas::abandon_unrecoverable(owner, id, &failure.message, now());
            if let Err(error) = self.store.write(write, Until::Durable).await {
                // It is still a candidate, so the next pass tries again.
                slog::warn!(self.log, "abandoning failed"; "saga_id" => %id, "error" => %error);
            }
        }
    }
}

fn opinion(sighting: Sighting) -> SecOpinion {
    match sighting {
        Sighting::Missing => SecOpinion::Missing,
        Sighting::Running => SecOpinion::Running,
        Sighting::Ending => SecOpinion::ComingToRest,
        Sighting::Finished => SecOpinion::AtRest,
    }
}

/// Loads and resumes one saga once the window has room for it.
async fn recover_one(
    store: &SharedStore,
    sagas: &Sagas,
    window: &Arc<Semaphore>,
    id: SagaId,
) -> Result<(SagaId, String), Failed> {
    let places = if sagas.counts().created > 0 { PLACES_BESIDE_FRESH_WORK } else { 1 };
    let permit = Arc::clone(window).acquire_many_owned(places).await.expect("the window is never closed");
    let fail = |cause, generation| Failed { id, cause, generation };
    let saga = match sagas::load_saga(&**store, id).await {
        Ok(Some(saga)) => saga,
        Ok(None) => return Err(fail(FailureCause::RowGone, None)),
        Err(StoreError::Corrupt { column, reason }) => {
            return Err(fail(FailureCause::Unreadable(format!("column {column}: {reason}")), None));
        }
        Err(error) => return Err(fail(FailureCause::StoreUnavailable(error.to_string()), None)),
    };
    let (name, generation) = (saga.name.clone(), saga.generation);
    let running = sagas.resume(saga).await.map_err(|cause| fail(cause, Some(generation)))?;
    tokio::spawn(async move {
        let _ = tokio::time::timeout(PATIENCE, running.finished()).await;
        drop(permit);
    });
    Ok((id, name))
}
