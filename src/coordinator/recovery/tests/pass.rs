//! A pass in the simulated coordinator, one step at a time: what the background task does, with checks in between.

use super::model::{Checked, Event, Health, Mutation, Owner, Phase, Property};
use super::world::World;
use crate::coordinator::recovery::{
    Drained, ExecutionBuilder, FailureCause, Listing, PassBegun, PassMeta, PassOutcome, SecOpinion, Settled,
};
use crate::wire::bgtasks::ActivationReason;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::recovery::{LastPass, RecoveryFailureKind};
use crate::wire::sagas::CachedState;
use crate::wire::time::Time;
use std::collections::BTreeSet;
use std::mem;
use std::ops::Bound;
use std::time::Duration;
use uuid::Uuid;

/// How far a pass has come.
#[derive(Debug, Default)]
pub(super) enum Stage {
    #[default]
    Idle,
    /// Some pages of candidates have been read.
    Listing {
        begun: Option<PassBegun>,
        seen: Vec<SagaId>,
    },
    Listed(Listing),
    Drained(Drained),
    Settled(Drained, Settled),
    Executing {
        builder: Box<ExecutionBuilder>,
        todo: Vec<Todo>,
        candidates: BTreeSet<SagaId>,
    },
}

/// One thing that a plan asks for.
#[derive(Debug)]
pub(super) enum Todo {
    Load(SagaId),
    Start { id: SagaId, generation: u32, log: Vec<Event> },
    AskSec(SagaId),
}

/// What a step meets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Luck {
    /// Whether the database answers.
    pub(super) database_answers: bool,
    /// Rows per page, or which of the things to do comes next.
    pub(super) pick: usize,
}

const GOOD_LUCK: Luck = Luck { database_answers: true, pick: 1000 };

fn us() -> SecId {
    SecId::from_uuid(Uuid::from_u128(1))
}

impl World {
    /// A whole pass, with nothing in between.
    pub(super) fn pass(&mut self) -> Checked<PassOutcome> {
        self.complete_pass()?;
        loop {
            if let Some(outcome) = self.step_pass(GOOD_LUCK)? {
                return Ok(outcome);
            }
        }
    }

    /// The rest of a pass that has begun.
    pub(super) fn complete_pass(&mut self) -> Checked<Option<PassOutcome>> {
        while !matches!(self.process.stage, Stage::Idle) {
            if let Some(outcome) = self.step_pass(GOOD_LUCK)? {
                return Ok(Some(outcome));
            }
        }
        Ok(None)
    }

    /// Goes on to the step before which `there` holds.
    pub(super) fn pass_until(&mut self, there: impl Fn(&Stage) -> bool) -> Checked {
        while !there(&self.process.stage) {
            let outcome = self.step_pass(GOOD_LUCK)?;
            assert!(outcome.is_none(), "the pass ended before it came to the stage asked for");
        }
        Ok(())
    }

    /// Whoever runs the pass is cancelled. Once sagas may have been resumed that would be a crash.
    pub(super) fn cancel_pass(&mut self) {
        if !matches!(self.process.stage, Stage::Executing { .. }) {
            self.process.stage = Stage::Idle;
            self.release_announcements();
        }
    }

    /// The next step, or the beginning of the next pass.
    pub(super) fn step_pass(&mut self, luck: Luck) -> Checked<Option<PassOutcome>> {
        self.ticks += 1;
        match mem::take(&mut self.process.stage) {
            Stage::Idle => self.begin_pass(),
            Stage::Listing { begun: Some(begun), .. } if !luck.database_answers => {
                self.fail_pass(begun)?;
            }
            Stage::Listing { begun, seen } => self.list_page(begun, seen, luck),
            Stage::Listed(listing) => self.drain(listing)?,
            Stage::Drained(drained) => self.settle(drained, luck),
            Stage::Settled(drained, settled) => self.plan(drained, settled)?,
            Stage::Executing { builder, todo, candidates } if todo.is_empty() => {
                return self.finish_pass(*builder, &candidates).map(Some);
            }
            Stage::Executing { mut builder, mut todo, candidates } => {
                let next = todo.remove(luck.pick % todo.len());
                let then = self.carry_out(next, &mut builder, luck)?;
                todo.extend(then);
                self.process.stage = Stage::Executing { builder, todo, candidates };
            }
        }
        Ok(None)
    }

    fn begin_pass(&mut self) {
        let begun = match self.mutation {
            Some(Mutation::BeginAfterListing) => None,
            _ => Some(self.process.recovery.begin_pass()),
        };
        if self.mutation == Some(Mutation::DrainBeforeListing) {
            self.hold_back_announcements();
        }
        self.process.stage = Stage::Listing { begun, seen: Vec::new() };
    }

    fn fail_pass(&mut self, begun: PassBegun) -> Checked {
        let meta = self.meta();
        self.process.recovery.fail_pass(begun, "no answer".to_owned(), meta);
        self.release_announcements();
        let result = self.process.recovery.report().last_pass;
        assert_eq!(result, LastPass::Failed { message: "no answer".to_owned() });
        self.check_after_drain()?;
        self.check_totals()
    }

    fn list_page(&mut self, begun: Option<PassBegun>, mut seen: Vec<SagaId>, luck: Luck) {
        let size = luck.pick.max(1);
        let after = seen.last().map_or(Bound::Unbounded, |last| Bound::Excluded(*last));
        let rest = self.rows.range((after, Bound::Unbounded)).filter(|(_, row)| row.is_candidate());
        let page: Vec<_> = rest.map(|(id, _)| *id).take(size).collect();
        let is_last = page.len() < size;
        seen.extend(page);
        self.process.stage = if is_last {
            let begun = begun.unwrap_or_else(|| self.process.recovery.begin_pass());
            Stage::Listed(begun.listed(seen))
        } else {
            Stage::Listing { begun, seen }
        };
    }

    fn drain(&mut self, listing: Listing) -> Checked {
        let drained = self.process.recovery.drain(listing);
        self.release_announcements();
        self.check_after_drain()?;
        self.process.stage = Stage::Drained(drained);
        Ok(())
    }

    fn settle(&mut self, drained: Drained, luck: Luck) {
        let settled = if self.mutation == Some(Mutation::SettleWithoutAsking) {
            Settled::Known(Vec::new())
        } else if luck.database_answers {
            let asked = drained.ambiguous().iter();
            let is_candidate = |id: &&SagaId| self.rows.get(*id).is_some_and(|row| row.is_candidate());
            Settled::Known(asked.filter(is_candidate).copied().collect())
        } else {
            Settled::Unknown
        };
        self.process.stage = Stage::Settled(drained, settled);
    }

    fn plan(&mut self, drained: Drained, settled: Settled) -> Checked {
        let known: BTreeSet<_> = self.process.recovery.rest().ids().collect();
        let candidates: BTreeSet<_> = drained.candidates().iter().copied().collect();
        let plan = self.process.recovery.plan(drained, settled);

        let set = |ids: &[SagaId]| ids.iter().copied().collect::<BTreeSet<_>>();
        let absent = [plan.done(), plan.just_started(), plan.maybe_done(), plan.in_creation()].concat();
        self.check(
            set(plan.need()) == &candidates - &known
                && set(plan.skipped()) == &candidates & &known
                && set(&absent) == &known - &candidates
                && absent.len() == set(&absent).len(),
            Property::P1,
            || format!("candidates {candidates:?}, known {known:?}, {plan:?}"),
        )?;
        for id in plan.need() {
            let here = self.process.engine.contains_key(id) || self.process.creations.contains_key(id);
            self.check(!here, Property::P2, || format!("{id} is to be resumed, but it is ours"))?;
        }
        for id in self.process.failed_transiently.iter().filter(|id| candidates.contains(id)) {
            self.check(plan.need().contains(id), Property::P8, || {
                format!("{id} failed in the last pass and is not tried again")
            })?;
        }
        for id in plan.done() {
            let unfinished = self.rows.get(id).is_none_or(|row| row.is_candidate());
            self.check(!unfinished || self.meddled_with.contains(id), Property::P4, || {
                format!("{id} is inferred done, but it is not: {:?}", self.rows.get(id))
            })?;
        }

        let load = plan.need().iter().map(|id| Todo::Load(*id));
        let todo = load.chain(plan.done().iter().map(|id| Todo::AskSec(*id))).collect();
        self.process.stage =
            Stage::Executing { builder: Box::new(ExecutionBuilder::new(plan)), todo, candidates };
        Ok(())
    }

    /// Does one thing. Returns what is to be done after it.
    fn carry_out(&mut self, todo: Todo, builder: &mut ExecutionBuilder, luck: Luck) -> Checked<Option<Todo>> {
        match todo {
            Todo::AskSec(id) => {
                let opinion = match self.process.engine.get(&id).map(|run| run.phase) {
                    None => SecOpinion::Missing,
                    Some(Phase::Running) => SecOpinion::Running,
                    Some(Phase::HandedOver | Phase::Applied) => SecOpinion::ComingToRest,
                    Some(Phase::AtRest) => SecOpinion::AtRest,
                };
                builder.done_saga_checked(id, opinion);
                Ok(None)
            }
            Todo::Load(id) => {
                let row = &self.rows[&id];
                let cause = if !luck.database_answers || row.health == Health::Flaky {
                    FailureCause::StoreUnavailable("no answer".to_owned())
                } else if row.owner != Owner::Us {
                    FailureCause::OwnerChanged(None)
                } else if !matches!(row.state, CachedState::Running | CachedState::Unwinding) {
                    FailureCause::NotUnfinished(row.state)
                } else if row.health == Health::Broken {
                    FailureCause::LogIllegal("succeeded before it started".to_owned())
                } else {
                    let (generation, log) = (row.generation, row.log.clone());
                    return Ok(Some(Todo::Start { id, generation, log }));
                };
                builder.saga_recovery_failure(id, Some(us()), &cause, self.now());
                Ok(None)
            }
            Todo::Start { id, generation, log } => {
                let row = &self.rows[&id];
                let untouched = row.generation == generation && row.abandoned_because.is_none();
                self.check(row.is_candidate() || !untouched, Property::P9, || {
                    format!("{id} is resumed, but it is {:?}", row.state)
                })?;
                self.start_in_engine(id, generation, log)?;
                self.process.must_be_known.insert(id);
                builder.saga_recovery_success(id, "demo".to_owned(), self.now());
                Ok(None)
            }
        }
    }

    fn finish_pass(
        &mut self,
        builder: ExecutionBuilder,
        candidates: &BTreeSet<SagaId>,
    ) -> Checked<PassOutcome> {
        let execution = builder.build();
        let failed = execution.failed().iter();
        let transient = failed.filter(|failure| failure.kind == Some(RecoveryFailureKind::Transient));
        self.process.failed_transiently = transient.map(|failure| failure.saga_id).collect();
        if self.abandons_unrecoverable {
            for failure in execution.unrecoverable() {
                let row = &self.rows[&failure.saga_id];
                if row.is_candidate() {
                    self.abandon(failure.saga_id, &failure.message);
                }
            }
        }
        let meta = self.meta();
        let outcome = self.process.recovery.finish_pass(execution, meta);

        let counts = outcome.counts;
        self.check(
            counts.nfound == candidates.len() as u64
                && counts.nfound == counts.nrecovered + counts.nfailed + counts.nskipped,
            Property::P1,
            || format!("the counts do not add up: {counts:?}"),
        )?;
        for id in self.process.recovery.rest().maybe_done() {
            self.check(!candidates.contains(&id), Property::P3, || {
                format!("{id} is kept as maybe done, but it was listed")
            })?;
        }
        for id in &outcome.removed {
            let run = self.process.engine.remove(id);
            let alive = run.is_some_and(|run| run.phase != Phase::AtRest);
            self.check(!alive && !self.process.creations.contains_key(id), Property::P4, || {
                format!("{id} was let go, but it runs or is being created")
            })?;
        }
        self.check_what_runs_is_known()?;
        self.check_totals()?;
        Ok(outcome)
    }

    /// Everything has been announced and taken in at this moment, so everything that runs must be known.
    fn check_after_drain(&mut self) -> Checked {
        let live = self.live().into_iter();
        self.process.must_be_known = live.chain(self.process.creations.keys().copied()).collect();
        self.check_what_runs_is_known()
    }

    fn check_what_runs_is_known(&self) -> Checked {
        let rest = self.process.recovery.rest();
        for id in &self.process.must_be_known {
            let run = self.process.engine.get(id);
            let here =
                run.is_some_and(|run| run.phase != Phase::AtRest) || self.process.creations.contains_key(id);
            self.check(rest.contains(*id) || !here, Property::Known, || {
                format!("{id} runs or is being created, and recovery does not know")
            })?;
        }
        Ok(())
    }

    fn check_totals(&mut self) -> Checked {
        let recovery = &self.process.recovery;
        let (report, rest) = (recovery.report(), recovery.rest());
        let accounted = report.ntotal_started + report.ntotal_recovered;
        let gone = report.ntotal_finished + recovery.total_relinquished();
        let known = (rest.len() - rest.in_creation().count()) as u64;
        self.check(accounted == gone + known, Property::P5, || {
            format!("{accounted} started or recovered, {gone} gone, {known} known")
        })?;
        let last = &self.process.last_report;
        let grew = report.ntotal_started >= last.ntotal_started
            && report.ntotal_recovered >= last.ntotal_recovered
            && report.ntotal_failures >= last.ntotal_failures
            && report.ntotal_finished >= last.ntotal_finished
            && report.ntotal_sec_errors_missing >= last.ntotal_sec_errors_missing
            && report.ntotal_sec_errors_bad_state >= last.ntotal_sec_errors_bad_state;
        self.check(grew, Property::P5, || format!("{last:?} has shrunk to {report:?}"))?;
        self.process.last_report = report;
        Ok(())
    }

    fn now(&self) -> Time {
        Time::from_timestamp_millis(self.ticks).expect("a small number of milliseconds")
    }

    fn meta(&self) -> PassMeta {
        PassMeta {
            iteration: self.ticks.unsigned_abs(),
            reason: ActivationReason::Signaled,
            time_started: self.now(),
            duration: Duration::from_millis(3),
        }
    }
}
