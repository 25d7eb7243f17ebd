//! The account: totals, rings, and failures that stay for as long as they last.

use crate::coordinator::recovery::{
    ExecutionBuilder, FailureCause, PassMeta, PassOutcome, Recovery, SecOpinion, Settled,
};
use crate::wire::bgtasks::ActivationReason;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::recovery::{LastPass, LastPassSuccess, REPORT_RING, RecoveryReport};
use crate::wire::time::Time;
use std::time::Duration;
use uuid::Uuid;

fn saga(n: usize) -> SagaId {
    SagaId::from_uuid(Uuid::from_u128(n as u128))
}

fn time(millis: i64) -> Time {
    Time::from_timestamp_millis(millis).expect("a small number of milliseconds")
}

fn broken(reason: &str) -> FailureCause {
    FailureCause::LogIllegal(reason.to_owned())
}

fn no_answer() -> FailureCause {
    FailureCause::StoreUnavailable("no answer".to_owned())
}

/// Runs passes in which every candidate fails as it is told to, or is recovered.
struct Passes {
    recovery: Recovery,
    iteration: u64,
}

impl Passes {
    fn new() -> Self {
        Self { recovery: Recovery::new().1, iteration: 0 }
    }

    fn meta(&mut self) -> PassMeta {
        self.iteration += 1;
        PassMeta {
            iteration: self.iteration,
            reason: ActivationReason::Signaled,
            time_started: time(1000 * i64::try_from(self.iteration).expect("few passes")),
            duration: Duration::from_micros(8_250),
        }
    }

    fn run(&mut self, candidates: impl IntoIterator<Item = (usize, Option<FailureCause>)>) -> PassOutcome {
        let candidates: Vec<_> = candidates.into_iter().collect();
        let listing = self.recovery.begin_pass().listed(candidates.iter().map(|(n, _)| saga(*n)).collect());
        let drained = self.recovery.drain(listing);
        let plan = self.recovery.plan(drained, Settled::Known(Vec::new()));
        let meta = self.meta();
        let mut execution = ExecutionBuilder::new(plan);
        for id in execution.plan().done().to_vec() {
            execution.done_saga_checked(id, SecOpinion::AtRest);
        }
        let sec = SecId::from_uuid(Uuid::from_u128(77));
        for (n, cause) in candidates {
            match cause {
                Some(cause) => execution.saga_recovery_failure(saga(n), Some(sec), &cause, meta.time_started),
                None => execution.saga_recovery_success(saga(n), format!("kind-{n}"), meta.time_started),
            }
        }
        self.recovery.finish_pass(execution.build(), meta)
    }

    fn report(&self) -> RecoveryReport {
        self.recovery.report()
    }

    fn failing(&self) -> Vec<SagaId> {
        self.report().recent_failures.iter().map(|failure| failure.saga_id).collect()
    }
}

#[test]
fn nothing_is_reported_before_the_first_pass() {
    assert_eq!(Passes::new().report(), RecoveryReport::new());
}

#[test]
fn each_pass_is_remembered_with_its_circumstances() {
    let mut passes = Passes::new();
    passes.run([(1, None), (2, Some(no_answer()))]);
    let begun = passes.recovery.begin_pass();
    let meta = passes.meta();
    passes.recovery.fail_pass(begun, "listing: no answer".to_owned(), meta);

    let report = passes.report();
    assert_eq!(report.last_pass, LastPass::Failed { message: "listing: no answer".to_owned() });
    let history = report.recent_passes.expect("ours always has it");
    assert_eq!(history.len(), 2);
    assert_eq!((history[0].iteration, history[0].time_started), (1, time(1000)));
    assert_eq!((history[0].duration_ms, history[0].reason), (8.25, ActivationReason::Signaled));
    assert_eq!(
        history[0].result,
        LastPass::Success(LastPassSuccess { nfound: 2, nrecovered: 1, nfailed: 1, nskipped: 0, nremoved: 0 })
    );
    assert_eq!(history[1].result, report.last_pass);
    assert_eq!(report.recent_recoveries[0].name.as_deref(), Some("kind-1"));
    assert_eq!(report.recent_recoveries[0].time, time(1000));
    assert_eq!(report.recent_failures[0].current_sec, Some(SecId::from_uuid(Uuid::from_u128(77))));
    assert_eq!(report.recent_failures[0].message, "could not load the saga: no answer");
}

#[test]
fn rings_keep_the_last_and_totals_keep_count() {
    let mut passes = Passes::new();
    passes.run((0..REPORT_RING + 10).map(|n| (n, None)));
    for _ in 0..REPORT_RING {
        passes.run([]);
    }
    let report = passes.report();
    assert_eq!(report.recent_recoveries.len(), REPORT_RING);
    assert_eq!(report.recent_recoveries[0].saga_id, saga(10));
    let history = report.recent_passes.expect("ours always has it");
    assert_eq!((history.len(), history[0].iteration), (REPORT_RING, 2));
    assert_eq!(report.ntotal_recovered, REPORT_RING as u64 + 10);
    assert_eq!(report.ntotal_finished, REPORT_RING as u64 + 10);
}

#[test]
fn a_permanent_failure_is_news_once_and_stays_listed_among_any_number_of_others() {
    let mut passes = Passes::new();
    let first = passes.run([(1, Some(broken("gap")))]);
    assert_eq!(first.newly_unrecoverable.len(), 1);
    for n in 0..3 * REPORT_RING {
        let outcome = passes.run([(1, Some(broken("gap"))), (1000 + n, Some(no_answer()))]);
        assert!(outcome.newly_unrecoverable.is_empty());
    }
    let report = passes.report();
    assert_eq!(report.recent_failures.len(), REPORT_RING);
    assert_eq!((report.recent_failures[0].saga_id, report.recent_failures[0].time), (saga(1), time(1000)));
    assert_eq!(passes.failing().iter().filter(|id| **id == saga(1)).count(), 1);
    assert_eq!(report.ntotal_failures, 1 + 6 * REPORT_RING as u64, "every attempt counts");
}

#[test]
fn a_permanent_failure_that_changes_is_news_again() {
    let mut passes = Passes::new();
    passes.run([(1, Some(broken("gap")))]);
    assert_eq!(passes.run([(1, Some(broken("two ends")))]).newly_unrecoverable.len(), 1);
    assert_eq!(passes.report().recent_failures.len(), 2);
}

#[test]
fn a_transient_failure_in_between_does_not_make_it_news() {
    let mut passes = Passes::new();
    passes.run([(1, Some(broken("gap")))]);
    passes.run([(1, Some(no_answer()))]);
    assert!(passes.run([(1, Some(broken("gap")))]).newly_unrecoverable.is_empty());
}

#[test]
fn a_cured_saga_falls_out_in_its_turn_and_is_news_if_it_fails_again() {
    let mut passes = Passes::new();
    passes.run([(1, Some(broken("gap")))]);
    passes.run([]);
    passes.run((0..REPORT_RING).map(|n| (1000 + n, Some(no_answer()))));
    assert!(!passes.failing().contains(&saga(1)));
    assert_eq!(passes.run([(1, Some(broken("gap")))]).newly_unrecoverable.len(), 1);
}

#[test]
fn more_lasting_failures_than_the_ring_holds_take_turns_only_when_there_is_room() {
    let mut passes = Passes::new();
    let all = || (0..REPORT_RING + 2).map(|n| (n, Some(broken("gap"))));
    assert_eq!(passes.run(all()).newly_unrecoverable.len(), REPORT_RING + 2);
    let listed = passes.failing();
    assert_eq!((listed.len(), listed[0]), (REPORT_RING, saga(2)), "the newest ones");
    passes.run(all());
    assert_eq!(passes.failing(), listed, "no coming and going");
    passes.run(all().chain([(1000, Some(no_answer()))]));
    assert_eq!(passes.failing(), listed, "a passing failure displaces no lasting one");
    // Two of the listed ones are cured; the two that had no room are listed.
    passes.run(all().filter(|(n, _)| !(2..4).contains(n)));
    let listed = passes.failing();
    assert!(listed.contains(&saga(0)) && listed.contains(&saga(1)));
    assert!(!listed.contains(&saga(2)) && !listed.contains(&saga(3)));
}
