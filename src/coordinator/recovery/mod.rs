//! Saga recovery: which unfinished sagas nobody runs, and have to be handed back to the SEC.
//!
//! Decisions only. Nothing here asks a database, reads a clock or runs a saga; the background task that does so calls
//! [`Recovery`] step by step, and what it may call when is enforced by the types of the values in between.
//!
//! # The problem
//!
//! The database knows which sagas are unfinished and assigned to this SEC. After a restart all of them have to be
//! resumed. But a pass may run at any time: periodically, because an operator asked for it, or because sagas were
//! re-assigned to this SEC. Then most of these sagas run already. Resuming one of those would run it twice, side by side,
//! which is the worst thing that recovery can do. Skipping one that does *not* run would leave it, and whatever it has
//! locked, hanging until the next restart, which is the second worst.
//!
//! So recovery needs to know what runs here. It cannot ask at the moment of a pass, since sagas are created and finish all
//! the while. Instead it keeps a set of the sagas that *may* run here (the [`RestState`]): it adds what it is told is
//! being created and what it resumes itself, and infers from the database what has finished. The set may hold too many for
//! a while, never too few.
//!
//! # Creations: announced first, confirmed after
//!
//! A saga can be seen in the database from the moment its insert commits. If recovery were told of it after that, a pass
//! in between would take it for one that nobody runs. Therefore it is announced *before* the insert, and the announcements
//! are drained *after* the candidates were listed. Whatever the listing contains of this process's own sagas has then
//! been announced:
//!
//! ```text
//!    creator                          recovery                     database
//!    -------                          --------                     --------
//!                                     begin_pass: mark
//!                                     list ─────────────────────▶ reads: b, c
//!    Creating(a) ──────────────▶ queue
//!    insert a ──────────────────────────────────────────────────▶ commits
//!    Created(a) ───────────────▶ queue
//!                                     drain: a is new, created after the mark
//!                                     settle: a? ───────────────▶ unfinished
//!                                     plan: a just started, b and c as known
//! ```
//!
//! In the other order (drain, then list) `a` could be announced, inserted and listed after the drain, and would be resumed
//! while it runs. Announced after the insert, the same.
//!
//! The second announcement is needed because an insert may take long: a saga that has been announced and is not in the
//! database may have finished, or not be there *yet*, and over any number of passes. Until its creation is confirmed or
//! dropped ([`CreationInFlight`]) absence means nothing and it stays in the set.
//!
//! # Absence: finished, or only just started?
//!
//! A saga of the set that is missing from the listing has either come to rest (or was taken from us) before it was
//! listed, or was inserted after. Three cases:
//!
//! 1. Its creation had been confirmed before the listing was asked for. Then its row was there to be seen, and since it
//!    was not among the unfinished ones, it is *done*. How far the stream of announcements had come at that moment is noted
//!    when a pass begins.
//! 2. It was confirmed later, but before the drain. Then the listing may have missed it. These sagas, a few milliseconds'
//!    worth, are *ambiguous*, and the database is asked about exactly them. That question comes after the confirmation, so
//!    its answer is definite. If it cannot be had, they are kept as *maybe done*, and the next listing is that question.
//! 3. It is not confirmed. It stays.
//!
//! # Letting go
//!
//! Before a done saga leaves the set, the SEC is asked about it. That is a cross-check of two sources that must agree
//! ([`SecOpinion`]), and it closes a gap: a saga whose row was taken away by SQL may still run here, and if it left the set
//! and were given back, it would be resumed beside itself. So one that runs stays, whatever the database says.
//!
//! It is wrong to let go of sagas upon a notice of their completion, tempting as it is. A candidate listed just before
//! its end and drained with the notice would look like one that nobody runs.
//!
//! # Failures
//!
//! Sagas recover independently of each other, and one that fails ends neither the pass nor the others' chances. It is not
//! put into the set, so the next pass tries again. What can be cured by that is decided in one place
//! ([`FailureCause::classify`]); what cannot stays listed in the report for as long as it lasts.
//!
//! Everything in memory starts empty. A crash loses it together with every running saga, so that an empty set is true again.
//!
//! # One pass
//!
//! 1. [`Recovery::begin_pass`], which notes how far the announcements have come.
//! 2. List the candidates: [`PassBegun::listed`]. If that fails: [`Recovery::fail_pass`], and the pass is over.
//! 3. [`Recovery::drain`] the announcements.
//! 4. Ask the database about [`Drained::ambiguous`], if there are any: [`Settled`].
//! 5. [`Recovery::plan`].
//! 6. Carry the [`Plan`] out, concurrently if you like: load each saga that needs recovery, check that it still is ours
//!    and unfinished, hand it to the SEC; ask the SEC about each that is done. All of it recorded in an
//!    [`ExecutionBuilder`].
//! 7. [`Recovery::finish_pass`], which returns what is to be logged.
//!
//! ```
//! use sagactl::coordinator::recovery::{ExecutionBuilder, PassMeta, Recovery, Settled};
//! use sagactl::wire::{bgtasks::ActivationReason, ids::SagaId, time};
//!
//! let (announcer, mut recovery) = Recovery::new();
//! let (left_behind, fresh) = (SagaId::random(), SagaId::random());
//!
//! let begun = recovery.begin_pass();
//! let listing = begun.listed(vec![left_behind]);
//! let creation = announcer.creating(fresh); // ... insert, commit, start ...
//! creation.created();
//! let drained = recovery.drain(listing);
//! assert_eq!(drained.ambiguous(), [fresh]);
//! let plan = recovery.plan(drained, Settled::Known(vec![fresh]));
//! assert_eq!(plan.need(), [left_behind]);
//! assert_eq!(plan.just_started(), [fresh]);
//!
//! let mut execution = ExecutionBuilder::new(plan);
//! execution.saga_recovery_success(left_behind, "demo".to_owned(), time::now());
//! let meta = PassMeta {
//!     iteration: 1,
//!     reason: ActivationReason::Timeout,
//!     time_started: time::now(),
//!     duration: std::time::Duration::from_millis(8),
//! };
//! let outcome = recovery.finish_pass(execution.build(), meta);
//! assert_eq!(outcome.counts.nrecovered, 1);
//! ```
//!
//! A plan cannot be had without draining:
//!
//! ```compile_fail
//! # use sagactl::coordinator::recovery::{Recovery, Settled};
//! let (_announcer, mut recovery) = Recovery::new();
//! let listing = recovery.begin_pass().listed(Vec::new());
//! let plan = recovery.plan(listing, Settled::Unknown); // wants what `drain` returns
//! ```
//!
//! And one cannot drain before listing:
//!
//! ```compile_fail
//! # use sagactl::coordinator::recovery::Recovery;
//! let (_announcer, mut recovery) = Recovery::new();
//! let begun = recovery.begin_pass();
//! let drained = recovery.drain(begun); // wants a listing
//! ```

mod announce;
mod cause;
mod execution;
mod ids;
mod pass;
mod plan;
mod report;
mod rest;
#[cfg(test)]
mod tests;

pub use announce::{Announcer, BACKLOG_WORTH_A_PASS, CreationInFlight};
pub use cause::FailureCause;
pub use execution::{Execution, ExecutionBuilder, SecOpinion};
pub use pass::{Drained, Listing, PassBegun, Settled};
pub use plan::Plan;
pub use report::{PassMeta, PassOutcome};
pub use rest::RestState;

use crate::wire::ids::SagaId;
use crate::wire::recovery::RecoveryReport;
use announce::Announcements;
use ids::SortedIds;
use report::Report;

/// Everything that recovery remembers, and its steps in the order of the module text.
///
/// Belongs to the background task, so that passes cannot overlap.
#[derive(Debug)]
pub struct Recovery {
    announcements: Announcements,
    rest: RestState,
    report: Report,
    /// Number of the pass begun last.
    pass: u64,
    /// Whether a plan is out that may have put sagas to run, and what became of it is not recorded yet.
    plan_is_out: bool,
}

impl Recovery {
    /// What a coordinator starts with: nothing is running, nothing is known. The announcer is for whoever creates sagas.
    pub fn new() -> (Announcer, Self) {
        let (announcer, announcements) = announce::announcements();
        let recovery = Self {
            announcements,
            rest: RestState::default(),
            report: Report::new(),
            pass: 0,
            plan_is_out: false,
        };
        (announcer, recovery)
    }

    /// Begins a pass. The candidates must be asked for after this.
    ///
    /// A pass that was begun and went no further than [`drain`](Self::drain), because its future was cancelled for
    /// example, is superseded.
    ///
    /// # Panics
    ///
    /// If the last plan's execution was never handed in. Sagas may run then that are not in the set.
    pub fn begin_pass(&mut self) -> PassBegun {
        assert!(!self.plan_is_out, "a pass begins, but what became of the last plan was never recorded");
        self.pass += 1;
        PassBegun { pass: self.pass, mark: self.announcements.mark() }
    }

    /// Takes in everything announced so far.
    ///
    /// # Panics
    ///
    /// If another pass has begun since, or if the announcements make no sense (see [`Announcer::creating`]).
    pub fn drain(&mut self, listing: Listing) -> Drained {
        let Listing { begun, candidates } = listing;
        let confirmed_late = self.take_announcements(&begun);
        let ambiguous = confirmed_late.into_iter().filter(|id| !candidates.contains(*id)).collect();
        Drained { pass: begun.pass, candidates, ambiguous: SortedIds::from_vec(ambiguous) }
    }

    /// Decides what is to be done.
    ///
    /// # Panics
    ///
    /// If another pass has begun since.
    pub fn plan(&mut self, drained: Drained, settled: Settled) -> Plan {
        assert_eq!(drained.pass, self.pass, "a plan was asked for from what an earlier pass had drained");
        self.plan_is_out = true;
        self.rest.plan(drained, settled)
    }

    /// Ends a pass that went through, whatever happened to single sagas.
    ///
    /// # Panics
    ///
    /// If this is not the execution of the plan made last.
    pub fn finish_pass(&mut self, execution: Execution, meta: PassMeta) -> PassOutcome {
        assert!(
            self.plan_is_out && execution.plan.pass == self.pass,
            "an execution was handed in that does not belong to the last plan"
        );
        self.plan_is_out = false;
        let settlement = self.rest.finish(&execution);
        self.report.update_after_pass(execution, settlement, meta)
    }

    /// Ends a pass whose candidates could not be listed. What was announced is taken in all the same.
    ///
    /// # Panics
    ///
    /// As [`drain`](Self::drain).
    pub fn fail_pass(&mut self, begun: PassBegun, message: String, meta: PassMeta) {
        self.take_announcements(&begun);
        self.report.update_after_failed_pass(message, meta);
    }

    /// The sagas that may run here.
    pub fn rest(&self) -> &RestState {
        &self.rest
    }

    /// What recovery has to say for itself.
    ///
    /// Between passes `started + recovered - finished - relinquished` of these totals is the number of sagas in
    /// [`rest`](Self::rest) whose creation is not outstanding. A saga counts as started once its creation is confirmed, so
    /// that one which never came to be is not missed for ever among the finished.
    pub fn report(&self) -> RecoveryReport {
        self.report.to_wire()
    }

    /// How many sagas were let go of without having finished, see [`Announcer::relinquish`].
    pub fn total_relinquished(&self) -> u64 {
        self.report.relinquished()
    }

    /// Takes in everything announced, and returns what was confirmed after the pass had begun.
    fn take_announcements(&mut self, begun: &PassBegun) -> Vec<SagaId> {
        assert_eq!(begun.pass, self.pass, "a pass was carried on after another had begun");
        let heard = self.announcements.take(begun.mark);
        let taken_in = self.rest.take_in(&heard);
        self.report.update_after_drain(&taken_in);
        taken_in.confirmed_late
    }
}
