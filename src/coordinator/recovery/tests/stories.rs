//! Single situations, told step by step. Each ends with everything at rest and nothing left behind.

use super::model::{Checked, Health, Owner, PendingInsert};
use super::pass::{Luck, Stage};
use super::world::World;
use crate::coordinator::recovery::PassOutcome;
use crate::wire::ids::SagaId;
use crate::wire::recovery::{LastPass, LastPassSuccess, RecoveryFailureKind, RecoveryReport};
use crate::wire::sagas::CachedState;

const NO_ANSWER: Luck = Luck { database_answers: false, pick: 0 };

fn report(world: &World) -> RecoveryReport {
    world.process.recovery.report()
}

/// Counts in the order found, recovered, failed, skipped, removed.
fn counts(outcome: &PassOutcome) -> [u64; 5] {
    let LastPassSuccess { nfound, nrecovered, nfailed, nskipped, nremoved } = outcome.counts;
    [nfound, nrecovered, nfailed, nskipped, nremoved]
}

fn maybe_done(world: &World) -> Vec<SagaId> {
    world.process.recovery.rest().maybe_done().collect()
}

fn just_before_drain(stage: &Stage) -> bool {
    matches!(stage, Stage::Listed(_))
}

fn just_after_drain(stage: &Stage) -> bool {
    matches!(stage, Stage::Drained(_))
}

fn executing(stage: &Stage) -> bool {
    matches!(stage, Stage::Executing { .. })
}

#[test]
fn recovers_everything_that_a_crash_left_behind_and_nothing_twice() -> Checked {
    let mut world = World::new();
    for _ in 0..31 {
        let saga = world.create()?;
        world.advance(saga, false)?;
    }
    world.crash();
    assert_eq!(counts(&world.pass()?), [31, 31, 0, 0, 0]);
    assert_eq!(counts(&world.pass()?), [31, 0, 0, 31, 0]);
    for saga in world.live() {
        world.finish(saga)?;
    }
    assert_eq!(counts(&world.pass()?), [0, 0, 0, 0, 31]);
    assert_eq!(counts(&world.pass()?), [0, 0, 0, 0, 0]);
    let report = report(&world);
    assert_eq!(report.recent_recoveries.len(), 31);
    assert_eq!((report.ntotal_recovered, report.ntotal_finished), (31, 31));
    assert_eq!((report.ntotal_sec_errors_missing, report.ntotal_sec_errors_bad_state), (0, 0));
    world.settle_down()
}

#[test]
fn leaves_sagas_alone_that_were_created_here() -> Checked {
    let mut world = World::new();
    let saga = world.create()?;
    assert_eq!(counts(&world.pass()?), [1, 0, 0, 1, 0]);
    world.finish(saga)?;
    assert_eq!(counts(&world.pass()?), [0, 0, 0, 0, 1]);
    assert_eq!((report(&world).ntotal_started, report(&world).ntotal_recovered), (1, 0));
    world.settle_down()
}

#[test]
fn keeps_a_saga_that_was_created_between_listing_and_drain() -> Checked {
    let mut world = World::new();
    world.pass_until(just_before_drain)?;
    world.create()?;
    world.pass_until(executing)?;
    let Stage::Executing { builder, .. } = &world.process.stage else { unreachable!("stopped there") };
    assert_eq!(builder.plan().just_started().len(), 1);
    world.complete_pass()?;
    assert!(maybe_done(&world).is_empty(), "it was asked about");
    assert_eq!(counts(&world.pass()?), [1, 0, 0, 1, 0]);
    world.settle_down()
}

#[test]
fn does_not_ask_about_a_saga_that_was_created_during_the_listing_and_made_it_into_it() -> Checked {
    let mut world = World::new();
    world.step_pass(Luck { database_answers: true, pick: 1 })?;
    let saga = world.create()?;
    world.pass_until(just_after_drain)?;
    let Stage::Drained(drained) = &world.process.stage else { unreachable!("stopped there") };
    assert_eq!((drained.candidates(), drained.ambiguous()), (&[saga][..], &[][..]));
    world.settle_down()
}

#[test]
fn lets_a_saga_go_in_the_same_pass_that_was_created_and_finished_during_the_listing() -> Checked {
    let mut world = World::new();
    world.pass_until(just_before_drain)?;
    let saga = world.create()?;
    world.finish(saga)?;
    let outcome = world.complete_pass()?.expect("there is a pass");
    assert_eq!(outcome.removed, [saga]);
    world.settle_down()
}

#[test]
fn asks_about_nothing_that_was_confirmed_before_the_listing() -> Checked {
    let mut world = World::new();
    for _ in 0..5 {
        let saga = world.create()?;
        world.finish(saga)?;
    }
    world.pass_until(just_after_drain)?;
    let Stage::Drained(drained) = &world.process.stage else { unreachable!("stopped there") };
    assert!(drained.ambiguous().is_empty(), "their rows were there for the listing to see");
    let outcome = world.complete_pass()?.expect("there is a pass");
    assert_eq!(counts(&outcome), [0, 0, 0, 0, 5]);
    world.settle_down()
}

#[test]
fn waits_for_the_next_listing_when_the_question_is_not_answered() -> Checked {
    let mut world = World::new();
    world.pass_until(just_before_drain)?;
    let (finished, running) = (world.create()?, world.create()?);
    world.finish(finished)?;
    world.pass_until(just_after_drain)?;
    world.step_pass(NO_ANSWER)?;
    let outcome = world.complete_pass()?.expect("there is a pass");
    assert!(outcome.removed.is_empty());
    let mut both = [finished, running];
    both.sort();
    assert_eq!(maybe_done(&world), both);
    assert_eq!(world.pass()?.removed, [finished]);
    assert!(maybe_done(&world).is_empty());
    assert!(world.process.recovery.rest().contains(running));
    world.settle_down()
}

#[test]
fn waits_for_a_creation_that_takes_longer_than_any_number_of_passes() -> Checked {
    let mut world = World::new();
    let saga = world.begin_creation();
    for _ in 0..4 {
        assert_eq!(counts(&world.pass()?), [0; 5]);
        assert!(world.process.recovery.rest().contains(saga));
        assert!(maybe_done(&world).is_empty());
    }
    world.insert(saga);
    assert_eq!(counts(&world.pass()?), [1, 0, 0, 1, 0], "listed, but its creator has not heard yet");
    assert_eq!(report(&world).ntotal_started, 0);
    world.confirm(saga)?;
    assert_eq!(counts(&world.pass()?), [1, 0, 0, 1, 0]);
    assert_eq!(report(&world).ntotal_started, 1);
    world.settle_down()
}

#[test]
fn forgets_a_creation_that_failed() -> Checked {
    let mut world = World::new();
    let saga = world.begin_creation();
    world.pass()?;
    world.give_up_creation(saga, PendingInsert::Refused);
    world.pass()?;
    assert!(world.process.recovery.rest().is_empty());
    let report = report(&world);
    assert_eq!((report.ntotal_started, report.ntotal_finished), (0, 0), "it never was");
    assert_eq!(report.ntotal_sec_errors_missing, 0);
    world.settle_down()
}

#[test]
fn picks_up_a_saga_whose_creator_never_learned_that_it_exists() -> Checked {
    let mut world = World::new();
    let saga = world.begin_creation();
    world.give_up_creation(saga, PendingInsert::MayLand);
    assert_eq!(counts(&world.pass()?), [0; 5]);
    world.land_late_insert(0);
    assert_eq!(counts(&world.pass()?), [1, 1, 0, 0, 0]);
    world.settle_down()
}

#[test]
fn picks_up_a_saga_that_was_given_up_between_its_listing_and_the_drain() -> Checked {
    let mut world = World::new();
    let saga = world.begin_creation();
    world.insert(saga);
    world.pass_until(just_before_drain)?;
    world.give_up_creation(saga, PendingInsert::Refused);
    let outcome = world.complete_pass()?.expect("there is a pass");
    assert_eq!(counts(&outcome), [1, 1, 0, 0, 0]);
    world.settle_down()
}

#[test]
fn resumes_a_saga_that_the_engine_let_go_of() -> Checked {
    let mut world = World::new();
    let saga = world.create()?;
    world.pass()?;
    world.relinquish(saga);
    assert_eq!(counts(&world.pass()?), [1, 1, 0, 0, 0]);
    assert_eq!(world.process.recovery.total_relinquished(), 1);
    world.settle_down()
}

#[test]
fn does_not_take_a_saga_for_unrecovered_that_finishes_during_the_pass() -> Checked {
    let mut world = World::new();
    let saga = world.create()?;
    world.pass()?;
    world.pass_until(just_before_drain)?;
    world.finish(saga)?;
    let outcome = world.complete_pass()?.expect("there is a pass");
    assert_eq!(counts(&outcome), [1, 0, 0, 1, 0]);
    assert_eq!(world.pass()?.removed, [saga]);
    world.settle_down()
}

#[test]
fn keeps_a_saga_until_the_engine_has_heard_that_it_is_done() -> Checked {
    let mut world = World::new();
    let saga = world.create()?;
    world.finish_unheard(saga)?;
    for _ in 0..3 {
        let outcome = world.pass()?;
        assert!(outcome.removed.is_empty() && outcome.bad_state_in_sec.is_empty());
        assert_eq!(maybe_done(&world), [saga]);
    }
    world.finish(saga)?;
    assert_eq!(world.pass()?.removed, [saga]);
    assert_eq!(report(&world).ntotal_sec_errors_bad_state, 0);
    world.settle_down()
}

#[test]
fn tells_once_of_a_saga_that_runs_though_its_row_was_taken_away_and_never_runs_it_twice() -> Checked {
    let mut world = World::new();
    let saga = world.create()?;
    world.pass()?;
    world.reassign(saga, Owner::SomebodyElse);
    assert_eq!(world.pass()?.bad_state_in_sec, [saga]);
    assert!(world.pass()?.bad_state_in_sec.is_empty());
    assert_eq!(report(&world).ntotal_sec_errors_bad_state, 1);
    world.reassign(saga, Owner::Us);
    assert_eq!(counts(&world.pass()?), [1, 0, 0, 1, 0], "given back while it runs here");
    world.settle_down()
}

#[test]
fn tells_of_a_finished_saga_that_the_engine_has_never_heard_of() -> Checked {
    let mut world = World::new();
    let saga = world.create()?;
    world.finish(saga)?;
    world.process.engine.remove(&saga);
    let outcome = world.pass()?;
    assert_eq!((outcome.removed, outcome.missing_from_sec), (vec![saga], vec![saga]));
    assert_eq!(report(&world).ntotal_sec_errors_missing, 1);
    world.settle_down()
}

#[test]
fn recovers_sagas_that_were_assigned_to_us_later() -> Checked {
    let mut world = World::new();
    world.pass()?;
    let saga = world.leave_behind(Owner::SomebodyElse, Health::Intact);
    assert_eq!(counts(&world.pass()?), [0; 5], "not ours");
    world.reassign(saga, Owner::Us);
    assert_eq!(counts(&world.pass()?), [1, 1, 0, 0, 0]);
    world.settle_down()
}

#[test]
fn does_not_resume_a_saga_that_was_taken_away_or_given_up_after_the_listing() -> Checked {
    let mut world = World::new();
    let taken = world.leave_behind(Owner::Us, Health::Intact);
    let abandoned = world.leave_behind(Owner::Us, Health::Intact);
    world.pass_until(executing)?;
    world.reassign(taken, Owner::SomebodyElse);
    world.abandon(abandoned, "an operator said so");
    let outcome = world.complete_pass()?.expect("there is a pass");
    assert_eq!(counts(&outcome), [2, 0, 2, 0, 0]);
    assert!(outcome.newly_unrecoverable.is_empty(), "neither says anything about the saga's data");
    assert_eq!(counts(&world.pass()?), [0; 5]);
    world.settle_down()
}

#[test]
fn one_saga_that_cannot_be_recovered_does_not_hold_up_thirty_others() -> Checked {
    let mut world = World::new();
    let broken = world.leave_behind(Owner::Us, Health::Broken);
    for _ in 0..30 {
        world.leave_behind(Owner::Us, Health::Intact);
    }
    let outcome = world.pass()?;
    assert_eq!(counts(&outcome), [31, 30, 1, 0, 0]);
    assert_eq!(outcome.newly_unrecoverable[0].saga_id, broken);
    // Tried again each time, told once.
    let outcome = world.pass()?;
    assert_eq!(counts(&outcome), [31, 0, 1, 30, 0]);
    assert!(outcome.newly_unrecoverable.is_empty());
    assert_eq!((report(&world).recent_failures.len(), report(&world).ntotal_failures), (1, 2));
    world.set_health(broken, Health::Intact);
    assert_eq!(counts(&world.pass()?), [31, 1, 0, 30, 0]);
    world.settle_down()
}

#[test]
fn tries_again_what_failed_for_a_passing_reason() -> Checked {
    let mut world = World::new();
    let saga = world.leave_behind(Owner::Us, Health::Flaky);
    for failures in 1..=3 {
        assert_eq!(counts(&world.pass()?), [1, 0, 1, 0, 0]);
        let report = report(&world);
        assert_eq!((report.ntotal_failures, report.recent_failures.len()), (failures, failures as usize));
        assert_eq!(report.recent_failures[0].kind, Some(RecoveryFailureKind::Transient));
    }
    world.set_health(saga, Health::Intact);
    assert_eq!(counts(&world.pass()?), [1, 1, 0, 0, 0]);
    world.settle_down()
}

#[test]
fn gives_up_what_cannot_be_recovered_if_that_is_the_policy() -> Checked {
    let mut world = World::new();
    world.abandons_unrecoverable = true;
    let broken = world.leave_behind(Owner::Us, Health::Broken);
    world.pass()?;
    assert_eq!(world.rows[&broken].state, CachedState::Abandoned);
    assert_eq!(counts(&world.pass()?), [0; 5]);
    world.settle_down()
}

#[test]
fn a_listing_that_fails_loses_no_announcement() -> Checked {
    let mut world = World::new();
    let saga = world.create()?;
    world.step_pass(NO_ANSWER)?;
    world.step_pass(NO_ANSWER)?;
    assert_eq!(report(&world).last_pass, LastPass::Failed { message: "no answer".to_owned() });
    assert_eq!(report(&world).ntotal_started, 1);
    assert!(world.process.recovery.rest().contains(saga));
    assert_eq!(counts(&world.pass()?), [1, 0, 0, 1, 0]);
    world.settle_down()
}

#[test]
fn a_pass_that_was_cancelled_before_it_did_anything_is_superseded() -> Checked {
    let mut world = World::new();
    world.pass_until(just_before_drain)?;
    world.create()?;
    world.pass_until(just_after_drain)?;
    world.cancel_pass();
    assert_eq!(counts(&world.pass()?), [1, 0, 0, 1, 0]);
    world.settle_down()
}

#[test]
fn survives_a_crash_in_the_middle_of_recovery_twenty_times() -> Checked {
    let mut world = World::new();
    for _ in 0..20 {
        world.leave_behind(Owner::Us, Health::Intact);
    }
    for cut in 0..20 {
        world.pass_until(executing)?;
        for _ in 0..cut {
            world.step_pass(Luck { database_answers: true, pick: cut })?;
        }
        for saga in world.live() {
            world.advance(saga, false)?;
        }
        world.crash();
    }
    assert_eq!(counts(&world.pass()?)[2], 0);
    world.settle_down()
}
