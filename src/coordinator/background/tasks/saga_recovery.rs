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

use crate::coordinator::background::{Activation, Task};
use crate::coordinator::recovery::{
    Announcements, DoneSighting, DrainedAfterFailure, Execution, FailureCause, Listing, PassMeta, Plan,
    Recovery, Settled,
};
use crate::coordinator::sec::{Sagas, Sighting};
use crate::store::error::StoreError;
use crate::store::sagas::{self, Ownership};
use crate::store::{SharedStore, Until};
use crate::wire::ids::SagaId;
use crate::wire::recovery::RecoveryFailureKind;
use crate::wire::time::now;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
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
    /// What was created meanwhile.
    pub announcements: Announcements,
    /// What is kept between passes.
    pub recovery: Recovery,
    /// Told to others.
    pub status: Arc<RecoveryStatus>,
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
            let started = Instant::now();
            let result = self.pass().await;
            let meta = PassMeta {
                iteration: activation.iteration,
                reason: activation.reason,
                time_started: activation.start_time,
                duration: started.elapsed(),
            };
            let report = match result {
                Ok(execution) => {
                    self.status.recovered.store(execution.nfailed() == 0, Ordering::Release);
                    self.recovery.finish_pass(execution, meta)
                }
                Err(failed) => self.recovery.fail_pass(failed, meta),
            };
            serde_json::to_value(report).unwrap_or_else(
                |error| serde_json::json!({ "error": format!("writing the report: {error}") }),
            )
        }
        .boxed()
    }
}

impl SagaRecovery {
    /// One pass up to its execution; folding it into the report is the caller's.
    async fn pass(&mut self) -> Result<Execution, DrainedAfterFailure> {
        let drained = match self.list().await {
            Ok(ids) => self.announcements.drain(Listing::new(ids)),
            Err(error) => {
                // Announcements are taken in all the same, so that they never pile up while the database is away.
                slog::warn!(self.log, "listing unfinished sagas failed"; "error" => %error);
                return Err(self.announcements.drain_after_failed_listing(error.to_string()));
            }
        };
        let ambiguous = self.recovery.ambiguous(&drained);
        let settled = self.settle(&ambiguous).await;
        let plan = self.recovery.plan(drained, settled);
        Ok(self.execute(plan).await)
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

    async fn execute(&mut self, plan: Plan) -> Execution {
        let mut execution = plan.execution();
        for id in execution.plan().done().to_vec() {
            match self.sagas.confirm_finished(id) {
                Sighting::Finished => execution.saga_done(id, DoneSighting::Finished),
                Sighting::Missing => execution.saga_done(id, DoneSighting::Missing),
                Sighting::Running => execution.saga_done(id, DoneSighting::StillRunning),
            }
        }
        let need = execution.plan().need().to_vec();
        let window = Arc::new(Semaphore::new(WINDOW as usize));
        let mut waiting = need.into_iter();
        let mut loading = FuturesUnordered::new();
        loop {
            while loading.len() < LOADING
                && let Some(id) = waiting.next()
            {
                loading.push(recover_one(&self.store, &self.sagas, &window, id));
            }
            let Some(outcome) = loading.next().await else { break };
            match outcome {
                Ok((id, name)) => execution.saga_recovered(id, name, now()),
                Err(failed) => self.note_failure(&mut execution, failed).await,
            }
        }
        execution.finish()
    }

    /// Records a failure; shouts only about one that is new and for ever.
    async fn note_failure(&self, execution: &mut Execution, failed: Failed) {
        let Failed { id, cause, generation } = failed;
        let message = cause.to_string();
        let kind = cause.kind();
        let sec_id = self.sagas.sec_id();
        execution.saga_failed(id, &cause, Some(sec_id), now());
        match kind {
            RecoveryFailureKind::Transient => {
                slog::warn!(self.log, "saga not recovered, will try again"; "saga_id" => %id, "error" => &message);
            }
            RecoveryFailureKind::Permanent if self.recovery.is_known_permanent(id, &message) => {}
            RecoveryFailureKind::Permanent => {
                slog::error!(self.log, "saga cannot be recovered"; "saga_id" => %id, "error" => &message);
            }
        }
        if kind == RecoveryFailureKind::Permanent && self.abandon_unrecoverable {
            let generation = generation.unwrap_or(1);
            let write =
                sagas::abandon_unrecoverable(Ownership { sec: sec_id, generation }, id, &message, now());
            if let Err(error) = self.store.write(write, Until::Durable).await {
                // It is still a candidate, so the next pass tries again.
                slog::warn!(self.log, "abandoning failed"; "saga_id" => %id, "error" => %error);
            }
        }
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
            let message = format!("column {column}: {reason}");
            return Err(fail(FailureCause::LogIllegal { message }, None));
        }
        Err(error) => return Err(fail(FailureCause::StoreUnavailable { message: error.to_string() }, None)),
    };
    let (name, generation) = (saga.name.clone(), saga.generation);
    let running = sagas.resume(saga).await.map_err(|cause| fail(cause, Some(generation)))?;
    tokio::spawn(async move {
        let _ = tokio::time::timeout(PATIENCE, running.finished()).await;
        drop(permit);
    });
    Ok((id, name))
}
