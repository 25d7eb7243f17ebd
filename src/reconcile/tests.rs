//! Stories first, then arbitrary runs against the obvious way to count them.

use super::*;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Keys are numbers here, and so are their names.
fn reconcile(requests: impl IntoIterator<Item = (u32, Seen)>, records: Vec<u32>) -> Reconciliation {
    super::reconcile(requests, records, u32::to_string)
}

/// The six classes of requests that design and JSON know from the start.
fn classes(found: &Reconciliation) -> [u64; 6] {
    [
        found.acknowledged_recorded,
        found.lost,
        found.failed_absent,
        found.failed_recorded,
        found.in_doubt_absent,
        found.in_doubt_recorded,
    ]
    .map(|count| count.expect("it was checked"))
}

#[test]
fn a_quiet_run_is_consistent() {
    let requests = [(1, Seen::Acknowledged), (2, Seen::Acknowledged)];
    let found = reconcile(requests, vec![2, 1]);
    assert_eq!((found.verdict, classes(&found)), (Verdict::Consistent, [2, 0, 0, 0, 0, 0]));
    assert_eq!((found.duplicates, found.unexplained), (Some(0), Some(0)));
}

#[test]
fn what_failed_or_is_in_doubt_may_have_been_done() {
    let requests = [
        (1, Seen::Failed),
        (2, Seen::Failed),
        (3, Seen::InDoubt),
        (4, Seen::InDoubt),
        (5, Seen::InDoubt),
        (6, Seen::Unsent),
    ];
    let found = reconcile(requests, vec![2, 4, 5]);
    assert_eq!((found.verdict, classes(&found)), (Verdict::Consistent, [0, 0, 2, 1, 1, 2]));
}

#[test]
fn names_what_was_lost_and_what_is_there_twice() {
    let requests = [(1, Seen::Acknowledged), (2, Seen::Acknowledged), (3, Seen::InDoubt), (4, Seen::Gone)];
    let found = reconcile(requests, vec![3, 1, 3, 3, 4]);
    assert_eq!((found.verdict, classes(&found)), (Verdict::Inconsistent, [1, 2, 0, 0, 0, 1]));
    assert_eq!((found.lost_names, found.duplicate_names), (vec!["2".into(), "4".into()], vec!["3".into()]));
}

#[test]
fn what_was_deleted_must_be_gone() {
    let requests = [(1, Seen::Deleted), (2, Seen::Deleted), (3, Seen::InDoubt)];
    let found = reconcile(requests, vec![3]);
    assert_eq!(found.verdict, Verdict::Consistent);
    assert_eq!((found.deleted_absent, found.deleted_recorded), (Some(2), Some(0)));
    let found = reconcile(requests, vec![2]);
    assert_eq!(found.verdict, Verdict::Inconsistent);
    assert_eq!(found.deleted_recorded_names, ["2"]);
}

#[test]
fn a_record_that_nothing_explains_is_never_called_consistent() {
    let found = reconcile([(5, Seen::Unsent)], vec![9, 5, 1]);
    assert!(found.is_inconsistent());
    assert_eq!((found.unexplained, found.failed_recorded), (Some(3), Some(1)));
    assert_eq!(found.unexplained_names, ["1", "5", "9"]);
}

#[test]
fn the_json_keeps_its_names() {
    let found = reconcile([(1, Seen::Acknowledged)], vec![]);
    assert_eq!(
        serde_json::to_value(&found).expect("JSON"),
        serde_json::json!({
            "verdict": "inconsistent", "reason": null, "acknowledged_recorded": 0, "lost": 1, "lost_names": ["1"],
            "failed_absent": 0, "failed_recorded": 0, "in_doubt_absent": 0, "in_doubt_recorded": 0,
            "duplicates": 0, "duplicate_names": [], "unexplained": 0, "unexplained_names": [],
        })
    );
    let unknown = serde_json::to_value(Reconciliation::not_checked("no connection")).expect("JSON");
    assert_eq!((&unknown["verdict"], &unknown["reason"]), (&"not_checked".into(), &"no connection".into()));
    assert_eq!(unknown["lost"], serde_json::Value::Null, "what nobody knows is no 0");
}

#[test]
fn a_total_loss_is_counted_whole_and_named_in_part() {
    let found = reconcile((0..5000).map(|key| (key, Seen::Acknowledged)), vec![]);
    assert_eq!((found.lost, found.lost_names.len()), (Some(5000), MOST_NAMES));
}

fn seen() -> impl Strategy<Value = Seen> {
    prop_oneof![
        Just(Seen::Acknowledged),
        Just(Seen::Deleted),
        Just(Seen::Gone),
        Just(Seen::Failed),
        Just(Seen::Unsent),
        Just(Seen::InDoubt)
    ]
}

proptest! {
    #[test]
    fn every_request_is_counted_once_and_every_fault_found(
        requests in btree_map(0u32..60, seen(), 0..40),
        records in vec(0u32..60, 0..60),
    ) {
        let mut times: BTreeMap<u32, u64> = BTreeMap::new();
        for record in &records {
            *times.entry(*record).or_default() += 1;
        }
        let those = |wanted: &[Seen], recorded: &[bool]| -> Vec<String> {
            requests
                .iter()
                .filter(|(key, seen)| wanted.contains(seen) && recorded.contains(&times.contains_key(key)))
                .map(|(key, _)| key.to_string())
                .collect()
        };
        let count = |wanted: &[Seen], recorded| Some(those(wanted, &[recorded]).len() as u64);
        let mut lost = those(&[Seen::Acknowledged], &[false]);
        lost.extend(those(&[Seen::Gone], &[false, true]));
        lost.sort_by_key(|name| name.parse::<u32>().expect("a number"));
        let twice: Vec<_> =
            times.iter().filter(|(_, times)| **times > 1).map(|(key, _)| key.to_string()).collect();
        let strange: Vec<_> = times.keys()
            .filter(|key| matches!(requests.get(key), None | Some(Seen::Unsent)))
            .map(ToString::to_string)
            .collect();
        let undead = those(&[Seen::Deleted], &[true]);

        let found = reconcile(requests.clone(), records);
        prop_assert_eq!(found.acknowledged_recorded, count(&[Seen::Acknowledged], true));
        prop_assert_eq!(found.failed_absent, count(&[Seen::Failed, Seen::Unsent], false));
        prop_assert_eq!(found.failed_recorded, count(&[Seen::Failed, Seen::Unsent], true));
        prop_assert_eq!(found.in_doubt_absent, count(&[Seen::InDoubt], false));
        prop_assert_eq!(found.in_doubt_recorded, count(&[Seen::InDoubt], true));
        prop_assert_eq!(found.deleted_absent.unwrap_or(0), those(&[Seen::Deleted], &[false]).len() as u64);
        prop_assert_eq!(found.lost, Some(lost.len() as u64));
        prop_assert_eq!(found.duplicates, Some(twice.len() as u64));
        prop_assert_eq!(found.unexplained, Some(strange.len() as u64));
        let wrong = lost.len() + twice.len() + strange.len() + undead.len();
        prop_assert_eq!(found.is_inconsistent(), wrong > 0);
        prop_assert_eq!(found.lost_names, lost);
        prop_assert_eq!(found.duplicate_names, twice);
        prop_assert_eq!(found.unexplained_names, strange);
        prop_assert_eq!(found.deleted_recorded_names, undead);
    }
}
