//! What a pass is going to do, decided before any of it is done.

use super::ids::SortedIds;
use crate::wire::ids::SagaId;

/// Each saga that the pass knows of, in exactly one bucket. All buckets ascend.
///
/// Everything that may run here is in `done`, `skipped`, `just_started`, `maybe_done` or `in_creation`; every candidate
/// is in `need` or `skipped`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a plan is to be carried out and its execution handed to `Recovery::finish_pass`"]
pub struct Plan {
    pub(super) pass: u64,
    pub(super) need: Vec<SagaId>,
    pub(super) skipped: Vec<SagaId>,
    pub(super) done: Vec<SagaId>,
    pub(super) just_started: Vec<SagaId>,
    pub(super) maybe_done: Vec<SagaId>,
    pub(super) in_creation: Vec<SagaId>,
}

impl Plan {
    /// Candidates that nobody here runs: to be resumed.
    pub fn need(&self) -> &[SagaId] {
        &self.need
    }

    /// Candidates that run here already, created or recovered: to be left alone.
    pub fn skipped(&self) -> &[SagaId] {
        &self.skipped
    }

    /// Sagas that ran here and are inferred done: the database was asked after each was known to exist, and it was not
    /// among the unfinished sagas of this SEC. The SEC is asked about each of them before it is let go.
    pub fn done(&self) -> &[SagaId] {
        &self.done
    }

    /// Sagas that are missing from the listing because they were inserted after it: they run, nothing is to be done.
    pub fn just_started(&self) -> &[SagaId] {
        &self.just_started
    }

    /// Sagas of which it could not be found out whether they have finished or only just started. They are kept.
    pub fn maybe_done(&self) -> &[SagaId] {
        &self.maybe_done
    }

    /// Sagas whose insert this process has announced and not heard of: their absence says nothing. They are kept.
    pub fn in_creation(&self) -> &[SagaId] {
        &self.in_creation
    }

    /// How many candidates the database listed.
    pub fn found(&self) -> usize {
        self.need.len() + self.skipped.len()
    }
}

/// Where one saga goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bucket {
    Need,
    Skipped,
    Done,
    JustStarted,
    MaybeDone,
    InCreation,
}

/// Fills a plan in ascending order of ids.
#[derive(Debug)]
pub(super) struct PlanBuilder {
    plan: Plan,
    last: Option<SagaId>,
}

impl PlanBuilder {
    pub(super) fn new(pass: u64, candidates: &SortedIds) -> Self {
        // With nearly all candidates running here, which is the common case, the first guess is the last.
        let skipped = Vec::with_capacity(candidates.len());
        let plan = Plan {
            pass,
            need: Vec::new(),
            skipped,
            done: Vec::new(),
            just_started: Vec::new(),
            maybe_done: Vec::new(),
            in_creation: Vec::new(),
        };
        Self { plan, last: None }
    }

    /// Puts the next saga into a bucket. As ids only ever ascend, no saga can be in two.
    pub(super) fn put(&mut self, id: SagaId, bucket: Bucket) {
        debug_assert!(self.last < Some(id), "saga {id} is planned for twice or out of order");
        self.last = Some(id);
        let ids = match bucket {
            Bucket::Need => &mut self.plan.need,
            Bucket::Skipped => &mut self.plan.skipped,
            Bucket::Done => &mut self.plan.done,
            Bucket::JustStarted => &mut self.plan.just_started,
            Bucket::MaybeDone => &mut self.plan.maybe_done,
            Bucket::InCreation => &mut self.plan.in_creation,
        };
        ids.push(id);
    }

    pub(super) fn build(self) -> Plan {
        self.plan
    }
}
