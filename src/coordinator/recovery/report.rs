//! The account that recovery gives of itself: totals since start, and the recent past.
//!
//! # Failures that stay
//!
//! The recent past is rings of [`REPORT_RING`] entries. For most of what happens that is right, and wrong for a saga that
//! can never be recovered: it fails in every pass for days, so it would either fill the ring with copies of itself or be
//! pushed out of it by other sagas' passing troubles. So a permanent failure is listed once for as long as it stays the
//! same, and while it lasts others fall out of the ring before it does. Counters count every attempt all the same.

use super::execution::Execution;
use super::rest::{Settlement, TakenIn};
use crate::wire::bgtasks::ActivationReason;
use crate::wire::ids::SagaId;
use crate::wire::recovery::{
    LastPass, LastPassSuccess, PassSummary, REPORT_RING, RecoveryFailure, RecoveryFailureKind,
    RecoveryReport, RecoverySuccess,
};
use crate::wire::time::Time;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// When and why a pass ran, as whoever ran it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassMeta {
    /// Number of the activation that ran it, from 1.
    pub iteration: u64,
    /// What caused it.
    pub reason: ActivationReason,
    /// When it began.
    pub time_started: Time,
    /// How long it took.
    pub duration: Duration,
}

/// What came of one pass, for whoever ran it to act upon or to log.
#[derive(Clone, Debug, PartialEq)]
pub struct PassOutcome {
    /// The numbers.
    pub counts: LastPassSuccess,
    /// Sagas let go because they have finished, ascending. The SEC may forget them now.
    pub removed: Vec<SagaId>,
    /// Of these, the ones that the SEC had never heard of: an alarm.
    pub missing_from_sec: Vec<SagaId>,
    /// Sagas that the SEC runs though the database says otherwise, each told once: an alarm.
    pub bad_state_in_sec: Vec<SagaId>,
    /// Permanent failures that are news: of sagas that did not fail before, or not with this message. To be told loudly.
    pub newly_unrecoverable: Vec<RecoveryFailure>,
}

/// The last so many of something, oldest first.
#[derive(Clone, Debug)]
struct Ring<T>(VecDeque<T>);

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Clone> Ring<T> {
    fn push(&mut self, item: T) {
        if self.0.len() == REPORT_RING {
            self.0.pop_front();
        }
        self.0.push_back(item);
    }

    fn to_vec(&self) -> Vec<T> {
        self.0.iter().cloned().collect()
    }
}

/// Totals and history since the process started.
#[derive(Clone, Debug)]
pub(super) struct Report {
    last_pass: LastPass,
    recoveries: Ring<RecoverySuccess>,
    failures: Failures,
    passes: Ring<PassSummary>,
    recovered: u64,
    failed: u64,
    started: u64,
    finished: u64,
    missing: u64,
    bad_state: u64,
    relinquished: u64,
}

impl Report {
    pub(super) fn new() -> Self {
        Self {
            last_pass: LastPass::NeverStarted,
            recoveries: Ring::default(),
            failures: Failures::default(),
            passes: Ring::default(),
            recovered: 0,
            failed: 0,
            started: 0,
            finished: 0,
            missing: 0,
            bad_state: 0,
            relinquished: 0,
        }
    }

    /// Counts what announcements brought. These are counted even if the pass then fails.
    pub(super) fn update_after_drain(&mut self, taken_in: &TakenIn) {
        self.started += taken_in.confirmed;
        self.relinquished += taken_in.relinquished;
    }

    /// Folds a pass in that went through.
    pub(super) fn update_after_pass(
        &mut self,
        execution: Execution,
        settlement: Settlement,
        meta: PassMeta,
    ) -> PassOutcome {
        let counts = LastPassSuccess {
            nfound: execution.plan.found() as u64,
            nrecovered: execution.recovered.len() as u64,
            nfailed: execution.failed.len() as u64,
            nskipped: execution.plan.skipped.len() as u64,
            nremoved: settlement.removed.len() as u64,
        };
        self.recovered += counts.nrecovered;
        self.failed += counts.nfailed;
        self.finished += counts.nremoved;
        self.missing += settlement.missing.len() as u64;
        self.bad_state += settlement.bad_state.len() as u64;
        for success in execution.recovered {
            self.recoveries.push(success);
        }
        let newly_unrecoverable = self.failures.update_after_pass(execution.failed);
        self.pass_ended(LastPass::Success(counts), meta);
        PassOutcome {
            counts,
            removed: settlement.removed,
            missing_from_sec: settlement.missing,
            bad_state_in_sec: settlement.bad_state,
            newly_unrecoverable,
        }
    }

    /// Folds a pass in whose candidates could not be listed.
    pub(super) fn update_after_failed_pass(&mut self, message: String, meta: PassMeta) {
        self.pass_ended(LastPass::Failed { message }, meta);
    }

    fn pass_ended(&mut self, result: LastPass, meta: PassMeta) {
        let PassMeta { iteration, reason, time_started, duration } = meta;
        let duration_ms = duration.as_secs_f64() * 1000.0;
        self.last_pass = result.clone();
        self.passes.push(PassSummary { iteration, reason, time_started, duration_ms, result });
    }

    /// Confirmed sagas that were let go of without having finished.
    pub(super) fn relinquished(&self) -> u64 {
        self.relinquished
    }

    /// The report as it travels.
    pub(super) fn to_wire(&self) -> RecoveryReport {
        RecoveryReport {
            recent_recoveries: self.recoveries.to_vec(),
            recent_failures: self.failures.listed.iter().cloned().collect(),
            last_pass: self.last_pass.clone(),
            ntotal_recovered: self.recovered,
            ntotal_failures: self.failed,
            ntotal_started: self.started,
            ntotal_finished: self.finished,
            ntotal_sec_errors_missing: self.missing,
            ntotal_sec_errors_bad_state: self.bad_state,
            recent_passes: Some(self.passes.to_vec()),
        }
    }
}

/// The recent failures, in which permanent ones stay for as long as they last.
#[derive(Clone, Debug, Default)]
struct Failures {
    /// Oldest first, at most [`REPORT_RING`].
    listed: VecDeque<RecoveryFailure>,
    /// The sagas that fail permanently at present, with the message each fails with. As many as there are such sagas: a
    /// handful, or a defect that somebody is busy with.
    unrecoverable: BTreeMap<SagaId, String>,
}

impl Failures {
    /// Folds one pass's failures in and returns the permanent ones that are news.
    fn update_after_pass(&mut self, failed: Vec<RecoveryFailure>) -> Vec<RecoveryFailure> {
        // A saga that was not tried in vain this time is cured, or gone. A transient failure in between refutes nothing.
        let still_failing: BTreeSet<SagaId> = failed.iter().map(|failure| failure.saga_id).collect();
        self.unrecoverable.retain(|id, _| still_failing.contains(id));

        let mut news = Vec::new();
        for failure in failed {
            if failure.kind != Some(RecoveryFailureKind::Permanent) {
                self.list_if_room(failure);
            } else if !self.is_lasting(&failure) {
                self.unrecoverable.insert(failure.saga_id, failure.message.clone());
                news.push(failure.clone());
                self.list(failure);
            } else if !self.listed.iter().any(|listed| is_same(listed, &failure)) {
                // There were more lasting ones than the ring holds. Perhaps that is over.
                self.list_if_room(failure);
            }
        }
        news
    }

    /// Lists a failure, in place of the oldest lasting one if there are no others.
    fn list(&mut self, failure: RecoveryFailure) {
        if !self.make_room() {
            self.listed.pop_front();
        }
        self.listed.push_back(failure);
    }

    /// Lists a failure, unless all that are listed are lasting ones.
    fn list_if_room(&mut self, failure: RecoveryFailure) {
        if self.make_room() {
            self.listed.push_back(failure);
        }
    }

    /// Whether there is room for one more, after the oldest failure that does not last has made place if need be.
    fn make_room(&mut self) -> bool {
        if self.listed.len() < REPORT_RING {
            return true;
        }
        match self.listed.iter().position(|listed| !self.is_lasting(listed)) {
            Some(index) => self.listed.remove(index).is_some(),
            None => false,
        }
    }

    /// Whether this is what its saga fails with at present, for good.
    fn is_lasting(&self, failure: &RecoveryFailure) -> bool {
        failure.kind == Some(RecoveryFailureKind::Permanent)
            && self.unrecoverable.get(&failure.saga_id) == Some(&failure.message)
    }
}

/// Whether the same saga failed for the same reason, be it at another time.
fn is_same(one: &RecoveryFailure, other: &RecoveryFailure) -> bool {
    one.saga_id == other.saga_id && one.kind == other.kind && one.message == other.message
}
