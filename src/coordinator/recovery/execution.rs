//! What became of a plan: one record for each saga that it wanted something done about.

use super::cause::FailureCause;
use super::ids::SortedIds;
use super::plan::Plan;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::recovery::{RecoveryFailure, RecoveryFailureKind, RecoverySuccess};
use crate::wire::time::Time;

/// What the SEC says of a saga that the database no longer lists as unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecOpinion {
    /// It has come to rest. As it should be.
    AtRest,
    /// Its last write has been handed to the store, and the SEC has not heard back. The database was read in the moment
    /// between; no reason for concern. The saga is kept until the SEC agrees.
    ComingToRest,
    /// It is running. Somebody else has changed the saga's row, or there is a bug: an alarm, counted once. The saga is kept
    /// for as long as it runs, so that it cannot be resumed beside itself if it is listed again.
    Running,
    /// The SEC has never heard of it: an alarm.
    Missing,
}

/// Records what happens to the sagas of a plan, in any order, until each has its record.
#[derive(Debug)]
pub struct ExecutionBuilder {
    plan: Plan,
    /// One for each of `plan.need`: whether it has its record.
    attempted: Vec<bool>,
    /// One for each of `plan.done`.
    opinions: Vec<Option<SecOpinion>>,
    recovered: Vec<RecoverySuccess>,
    failed: Vec<RecoveryFailure>,
}

impl ExecutionBuilder {
    /// Begins to carry out a plan.
    pub fn new(plan: Plan) -> Self {
        Self {
            attempted: vec![false; plan.need.len()],
            opinions: vec![None; plan.done.len()],
            recovered: Vec::new(),
            failed: Vec::new(),
            plan,
        }
    }

    /// What is to be done.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Records that the SEC has taken a saga and runs it.
    ///
    /// # Panics
    ///
    /// If the saga did not need recovery by this plan, or has its record already.
    pub fn saga_recovery_success(&mut self, saga_id: SagaId, name: String, time: Time) {
        self.attempt(saga_id);
        self.recovered.push(RecoverySuccess { time, saga_id, name: Some(name) });
    }

    /// Records that a saga could not be recovered and does not run here. `current_sec` is its owner, as far as it is known.
    ///
    /// # Panics
    ///
    /// If the saga did not need recovery by this plan, or has its record already.
    pub fn saga_recovery_failure(
        &mut self,
        saga_id: SagaId,
        current_sec: Option<SecId>,
        cause: &FailureCause,
        time: Time,
    ) {
        self.attempt(saga_id);
        self.failed.push(RecoveryFailure {
            time,
            saga_id,
            current_sec,
            kind: Some(cause.classify()),
            message: cause.to_string(),
        });
    }

    /// Records what the SEC says of a saga that is inferred done.
    ///
    /// # Panics
    ///
    /// If the saga is not inferred done by this plan, or has its record already.
    pub fn done_saga_checked(&mut self, saga_id: SagaId, opinion: SecOpinion) {
        let index = self.plan.done.binary_search(&saga_id).unwrap_or_else(|_| {
            panic!("saga {saga_id} was checked, though this pass does not infer that it is done")
        });
        let previous = self.opinions[index].replace(opinion);
        assert!(previous.is_none(), "saga {saga_id} was checked twice in one pass");
    }

    fn attempt(&mut self, saga_id: SagaId) {
        let index =
            self.plan.need.binary_search(&saga_id).unwrap_or_else(|_| {
                panic!("saga {saga_id} was recovered, though this pass did not plan for it")
            });
        assert!(!self.attempted[index], "saga {saga_id} was recovered twice in one pass");
        self.attempted[index] = true;
    }

    /// Ends the execution.
    ///
    /// # Panics
    ///
    /// If a saga has no record. Whether it runs is then unknown, and to guess would mean either to run it twice or never
    /// to look at it again; a crash and a restart are better than both.
    pub fn build(self) -> Execution {
        if let Some(index) = self.attempted.iter().position(|attempted| !attempted) {
            panic!("saga {} needed recovery, and nobody recorded what became of it", self.plan.need[index]);
        }
        let opinions = self
            .plan
            .done
            .iter()
            .zip(self.opinions)
            .map(|(&id, opinion)| match opinion {
                Some(opinion) => (id, opinion),
                None => panic!("saga {id} is inferred done, and nobody asked the SEC about it"),
            })
            .collect();
        Execution { plan: self.plan, opinions, recovered: self.recovered, failed: self.failed }
    }
}

/// A plan with a record for each saga that it wanted something done about.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "an execution is to be handed to `Recovery::finish_pass`"]
pub struct Execution {
    pub(super) plan: Plan,
    /// Ascending, one for each of `plan.done`.
    pub(super) opinions: Vec<(SagaId, SecOpinion)>,
    pub(super) recovered: Vec<RecoverySuccess>,
    pub(super) failed: Vec<RecoveryFailure>,
}

impl Execution {
    /// The plan that was carried out.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Sagas that the SEC has taken, in the order recorded.
    pub fn recovered(&self) -> &[RecoverySuccess] {
        &self.recovered
    }

    /// Sagas that could not be recovered, in the order recorded.
    pub fn failed(&self) -> &[RecoveryFailure] {
        &self.failed
    }

    /// The failures that no repetition can cure: what a policy of abandoning would act upon.
    pub fn unrecoverable(&self) -> impl Iterator<Item = &RecoveryFailure> {
        self.failed.iter().filter(|failure| failure.kind == Some(RecoveryFailureKind::Permanent))
    }

    /// Ids of the sagas that the SEC has taken.
    pub(super) fn recovered_ids(&self) -> SortedIds {
        SortedIds::from_vec(self.recovered.iter().map(|success| success.saga_id).collect())
    }
}
