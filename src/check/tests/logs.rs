//! I3, I5, I8, I11.

use super::*;
use crate::check::logs::{is_not_stuck, legal, one_owner_at_a_time, progresses};
use crate::observe::why::EngineKind;
use crate::saga_log::Reading;
use proptest::prelude::*;
use std::time::Duration;

fn judge(records: &SagaRecords) -> Finding {
    legal(&Reading::of(records), EngineKind::Ours)
}

#[test]
fn every_healthy_log_is_legal_at_every_moment() {
    for length in 0..=WHOLE.len() {
        assert_eq!(judge(&saga("running", &WHOLE[..length])), Finding::Holds, "the first {length} events");
    }
    assert_eq!(judge(&saga("done", &WHOLE)), Finding::Holds);
    assert_eq!(judge(&saga("abandoned", &STARTED)), Finding::Holds, "given up in the middle");
}

#[test]
fn a_healthy_unwind_of_parallel_nodes_is_legal_at_every_moment() {
    let unwind = [
        &WHOLE[..6],
        &[(1, "failed"), (2, "succeeded"), (2, "undo_started"), (2, "undo_finished"), (0, "undo_started")],
        &[(0, "undo_finished"), (4, "undo_started"), (4, "undo_finished")],
    ]
    .concat();
    for length in 7..=unwind.len() {
        let records = saga("unwinding", &unwind[..length]);
        assert_eq!(judge(&records), Finding::Holds, "the first {length} events");
        // An old engine would refuse some of these after a restart; as long as it runs, that is no problem.
        assert_eq!(
            legal(&Reading::of(&records), EngineKind::Nexus),
            Finding::Holds,
            "in a Nexus, {length} events"
        );
    }
    assert_eq!(judge(&saga("done", &unwind)), Finding::Holds);
}

#[test]
fn a_log_that_no_run_could_have_written_is_told() {
    let without = |index: usize| {
        let mut events = WHOLE.to_vec();
        events.remove(index);
        saga("done", &events)
    };
    for index in 0..WHOLE.len() {
        assert!(!broken(judge(&without(index))).is_empty(), "without event {index}");
    }
    assert!(broken(judge(&saga("done", &STARTED))).contains("the state is done"));
    let doubled = saga("done", &[&WHOLE[..], &[(0, "succeeded")]].concat());
    assert!(broken(judge(&doubled)).contains("more than one event \"succeeded\""));
    let mut cut = saga("done", &WHOLE);
    cut.dag = Field::Value(cut.dag.value().expect("a DAG")[..100].to_owned());
    assert!(broken(judge(&cut)).contains("the DAG is broken"));
    let mut lost = saga("done", &WHOLE);
    lost.saga = None;
    lost.dag = Field::NoColumn;
    assert_eq!(broken(judge(&lost)), "the saga has no row, but 12 events");
    let mut stateless = saga("done", &WHOLE);
    row(&mut stateless).state = Field::Null;
    assert!(broken(judge(&stateless)).contains("state cannot be read"));
}

#[test]
fn what_a_newer_version_wrote_is_not_called_wrong() {
    assert!(is_untold(&judge(&saga("running", &[&STARTED[..], &[(0, "suspended")]].concat()))));
    assert!(is_untold(&judge(&saga("hibernating", &STARTED))));
    let mut old = saga("running", &STARTED);
    old.dag = Field::NoColumn;
    assert!(is_untold(&judge(&old)), "a database without that column");
}

#[test]
fn idling_is_counted_from_the_last_event_or_the_creation() {
    let idle = |records: &SagaRecords, now: i64| {
        progresses(&Reading::of(records), Duration::from_secs(600), at(now))
    };
    let started = saga("running", &STARTED);
    assert_eq!(idle(&started, 603), Finding::Holds);
    assert!(broken(idle(&started, 604)).contains("at node 0 a (limit 10m)"));
    assert!(broken(idle(&saga("running", &[]), 601)).starts_with("not a single event"));
    assert_eq!(idle(&saga("running", &[]), 600), Finding::Holds);
    assert_eq!(idle(&started, -1_000_000), Finding::Holds, "clocks differ");
    assert_eq!(idle(&saga("done", &WHOLE), 1_000_000), Finding::Beside);
    assert_eq!(idle(&saga("abandoned", &STARTED), 1_000_000), Finding::Beside);
    let mut timeless = saga("running", &[]);
    row(&mut timeless).time_created = Field::NoColumn;
    assert!(is_untold(&idle(&timeless, 1_000_000)));
}

#[test]
fn stuck_is_told_with_both_ends_until_a_person_has_seen_to_it() {
    let events =
        [&WHOLE[..4], &[(1, "started"), (1, "failed"), (0, "undo_started"), (0, "undo_failed")]].concat();
    let text = broken(is_not_stuck(&Reading::of(&saga("done", &events))));
    assert!(text.contains("the undo of node 0 a failed") && text.contains("node 1 b: no room"), "{text}");
    assert!(broken(is_not_stuck(&Reading::of(&saga("unwinding", &events)))).contains("undo"));
    assert_eq!(is_not_stuck(&Reading::of(&saga("abandoned", &events))), Finding::Beside);
    let unwinding = &events[..events.len() - 1];
    assert_eq!(is_not_stuck(&Reading::of(&saga("unwinding", unwinding))), Finding::Holds);
}

/// The whole log with the first `by_first` events of SEC 1 and the rest of SEC 2.
fn handed_over(by_first: usize, generation: i64) -> SagaRecords {
    let writer = |index: usize| if index < by_first { 1 } else { 2 };
    let events: Vec<_> =
        WHOLE.iter().enumerate().map(|(index, &(node, what))| (node, what, writer(index))).collect();
    let mut records = saga_by("running", &events);
    row(&mut records).current_sec = Field::Value(sec(2));
    row(&mut records).adopt_generation = Field::Value(generation);
    records
}

#[test]
fn one_owner_after_the_other_is_fine_at_every_moment() {
    for by_first in 0..=WHOLE.len() {
        let finding = one_owner_at_a_time(&Reading::of(&handed_over(by_first, 2)));
        assert_eq!(finding, Finding::Holds, "handed over after {by_first} events");
    }
    assert_eq!(one_owner_at_a_time(&Reading::of(&saga("running", &[]))), Finding::Beside, "no event yet");
}

#[test]
fn two_owners_at_once_are_told() {
    let text = broken(one_owner_at_a_time(&Reading::of(&handed_over(6, 1))));
    assert!(text.contains("never left its creator"), "{text}");
    let mut three = handed_over(6, 2);
    three.events[8].creator = Field::Value(sec(3));
    assert_eq!(broken(one_owner_at_a_time(&Reading::of(&three))), "3 SECs wrote events in 2 generations");
    // The new owner ends `a`, and yet the old one has begun `b`.
    let mut again = handed_over(6, 2);
    again.events[3].creator = Field::Value(sec(2));
    let text = broken(one_owner_at_a_time(&Reading::of(&again)));
    assert!(text.contains("node 0 a was ended by a later owner") && text.contains("begun node"), "{text}");
    // Unless the saga may have gone there and back.
    row(&mut again).adopt_generation = Field::Value(3);
    assert_eq!(one_owner_at_a_time(&Reading::of(&again)), Finding::Holds);
    row(&mut again).adopt_generation = Field::NoColumn;
    assert!(is_untold(&one_owner_at_a_time(&Reading::of(&again))));
}

proptest! {
    /// Whatever owners follow one another, each with one tenure or several, nothing is told.
    #[test]
    fn any_succession_of_owners_is_fine(mut hands in proptest::collection::vec((0usize..=12, 1u128..4), 0..4)) {
        hands.sort_by_key(|&(after, _)| after);
        let owner_at = |index: usize| {
            hands.iter().rev().find(|&&(after, _)| after <= index).map_or(1, |&(_, owner)| owner)
        };
        let events: Vec<_> =
            WHOLE.iter().enumerate().map(|(index, &(node, what))| (node, what, owner_at(index))).collect();
        let mut records = saga_by("done", &events);
        row(&mut records).current_sec = Field::Value(sec(owner_at(WHOLE.len())));
        row(&mut records).adopt_generation = Field::Value(1 + hands.len() as i64);
        let finding = one_owner_at_a_time(&Reading::of(&records));
        prop_assert_eq!(finding, Finding::Holds);
    }
}
