//! Mistakes that types cannot rule out end the process: a wrong set of running sagas is worse than a restart.

use crate::coordinator::recovery::{
    ExecutionBuilder, FailureCause, PassMeta, Plan, Recovery, SecOpinion, Settled,
};
use crate::wire::bgtasks::ActivationReason;
use crate::wire::ids::SagaId;
use crate::wire::time::Time;
use std::time::Duration;
use uuid::Uuid;

fn saga(n: u128) -> SagaId {
    SagaId::from_uuid(Uuid::from_u128(n))
}

fn epoch() -> Time {
    Time::from_timestamp_millis(0).expect("the epoch")
}

fn meta() -> PassMeta {
    PassMeta {
        iteration: 1,
        reason: ActivationReason::Timeout,
        time_started: epoch(),
        duration: Duration::from_millis(5),
    }
}

fn plan(recovery: &mut Recovery, candidates: &[SagaId]) -> Plan {
    let listing = recovery.begin_pass().listed(candidates.to_vec());
    let drained = recovery.drain(listing);
    recovery.plan(drained, Settled::Known(Vec::new()))
}

#[test]
#[should_panic(expected = "what became of the last plan was never recorded")]
fn a_pass_cannot_begin_while_a_plan_is_out() {
    let (_announcer, mut recovery) = Recovery::new();
    let _lost = plan(&mut recovery, &[saga(1)]);
    let _ = recovery.begin_pass();
}

#[test]
#[should_panic(expected = "carried on after another had begun")]
fn a_listing_of_an_earlier_pass_cannot_be_drained_for() {
    let (_announcer, mut recovery) = Recovery::new();
    let stale = recovery.begin_pass().listed(vec![saga(1)]);
    let _ = recovery.begin_pass();
    let _ = recovery.drain(stale);
}

#[test]
#[should_panic(expected = "from what an earlier pass had drained")]
fn an_earlier_pass_cannot_be_planned_from() {
    let (_announcer, mut recovery) = Recovery::new();
    let listing = recovery.begin_pass().listed(vec![saga(1)]);
    let stale = recovery.drain(listing);
    let _ = recovery.begin_pass();
    let _ = recovery.plan(stale, Settled::Unknown);
}

#[test]
#[should_panic(expected = "does not belong to the last plan")]
fn an_execution_cannot_be_handed_in_twice() {
    let (_announcer, mut recovery) = Recovery::new();
    let execution = ExecutionBuilder::new(plan(&mut recovery, &[])).build();
    recovery.finish_pass(execution.clone(), meta());
    recovery.finish_pass(execution, meta());
}

#[test]
#[should_panic(expected = "nobody recorded what became of it")]
fn a_saga_that_needed_recovery_cannot_be_passed_over() {
    let (_announcer, mut recovery) = Recovery::new();
    let _ = ExecutionBuilder::new(plan(&mut recovery, &[saga(1)])).build();
}

#[test]
#[should_panic(expected = "nobody asked the SEC about it")]
fn a_saga_that_is_done_cannot_be_let_go_unasked() {
    let (announcer, mut recovery) = Recovery::new();
    announcer.creating(saga(1)).created();
    let _ = ExecutionBuilder::new(plan(&mut recovery, &[])).build();
}

#[test]
#[should_panic(expected = "recovered twice in one pass")]
fn a_saga_cannot_both_succeed_and_fail() {
    let (_announcer, mut recovery) = Recovery::new();
    let mut execution = ExecutionBuilder::new(plan(&mut recovery, &[saga(1)]));
    execution.saga_recovery_success(saga(1), "demo".to_owned(), epoch());
    execution.saga_recovery_failure(saga(1), None, &FailureCause::RowGone, epoch());
}

#[test]
#[should_panic(expected = "this pass did not plan for it")]
fn a_saga_that_runs_cannot_be_recovered() {
    let (announcer, mut recovery) = Recovery::new();
    announcer.creating(saga(1)).created();
    let mut execution = ExecutionBuilder::new(plan(&mut recovery, &[saga(1)]));
    execution.saga_recovery_success(saga(1), "demo".to_owned(), epoch());
}

#[test]
#[should_panic(expected = "does not infer that it is done")]
fn a_saga_that_is_listed_cannot_be_checked_as_done() {
    let (announcer, mut recovery) = Recovery::new();
    announcer.creating(saga(1)).created();
    let mut execution = ExecutionBuilder::new(plan(&mut recovery, &[saga(1)]));
    execution.done_saga_checked(saga(1), SecOpinion::AtRest);
}

#[test]
#[should_panic(expected = "the saga is known already")]
fn an_id_cannot_be_created_under_twice() {
    let (announcer, mut recovery) = Recovery::new();
    let _first = announcer.creating(saga(1));
    let _second = announcer.creating(saga(1));
    let _ = plan(&mut recovery, &[]);
}

#[test]
fn listings_may_come_in_any_order_and_repeat_themselves() {
    let (_announcer, mut recovery) = Recovery::new();
    let plan = plan(&mut recovery, &[saga(3), saga(1), saga(3), saga(2)]);
    assert_eq!(plan.need(), [saga(1), saga(2), saga(3)]);
    assert_eq!(plan.found(), 3);
}
