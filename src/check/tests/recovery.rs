//! I6, I7.

use super::*;
use crate::check::recovery::{Coordinator, counters_add_up, last_count, last_pass_is_good, list_fits};
use crate::client::FetchedTask;
use crate::observe::recovery::Recovery;
use proptest::prelude::*;
use serde_json::Value;

const NOW: i64 = 10_000;

/// A pass that began at this second.
fn pass(iteration: u64, secs: i64, [recovered, failed, skipped, removed]: [u64; 4]) -> Value {
    json!({"iteration": iteration, "reason": "timeout", "time_started": at(secs), "duration_ms": 1.0,
           "result": {"Success": {"nfound": recovered + failed + skipped, "nrecovered": recovered, "nfailed": failed,
                                  "nskipped": skipped, "nremoved": removed}}})
}

/// The report of ours after these passes.
fn report(passes: Vec<Value>, [recovered, failures, started, finished]: [u64; 4]) -> Value {
    let last = passes.last().map_or(json!("NeverStarted"), |pass| pass["result"].clone());
    json!({"recent_recoveries": [], "recent_failures": [], "last_pass": last, "ntotal_recovered": recovered,
           "ntotal_failures": failures, "ntotal_started": started, "ntotal_finished": finished,
           "ntotal_sec_errors_missing": 0, "ntotal_sec_errors_bad_state": 0, "recent_passes": passes})
}

/// A task, with a period of 600 s, whose last activation began at this second.
fn task(details: &Value, iteration: u64, last: i64) -> Value {
    json!({"name": "saga_recovery", "description": "d", "period": {"secs": 600, "nanos": 0},
           "current": {"current_status": "idle"},
           "last": {"last_result": "completed", "details": {"iteration": iteration, "start_time": at(last),
                    "reason": "timeout", "elapsed": {"secs": 0, "nanos": 1}, "details": details}}})
}

fn read(task: Value) -> Recovery {
    Recovery::new(&FetchedTask { task: serde_json::from_value(task.clone()).expect("a task"), raw: task })
}

fn coordinator(recovery: &Recovery, started: Option<i64>) -> Coordinator<'_> {
    Coordinator { sec: Some(sec(1)), at: "http://c", recovery, process_started: started.map(at) }
}

fn add_up(details: &Value, iteration: u64) -> Vec<Finding> {
    let recovery = read(task(details, iteration, NOW));
    counters_add_up(&coordinator(&recovery, None))
}

fn healthy() -> Value {
    // Three were recovered; five started meanwhile, of which the second pass meets four; two of all have finished.
    report(vec![pass(1, 100, [3, 1, 0, 0]), pass(2, NOW, [0, 1, 6, 2])], [3, 2, 5, 2])
}

#[test]
fn sums_that_are_right_are_right() {
    assert_eq!(add_up(&healthy(), 2), [Finding::Holds]);
    assert_eq!(add_up(&report(vec![], [0; 4]), 1), [Finding::Holds]);
    // Sagas that were listed before their creation was confirmed are skipped and not yet counted.
    let storm = report(vec![pass(1, 1, [0; 4]), pass(2, 2, [0, 0, 8, 160])], [0, 0, 167, 160]);
    assert_eq!(add_up(&storm, 2), [Finding::Holds]);
    // Of a long life only the last passes are listed.
    let old = report(vec![pass(400, 1, [0; 4]), pass(401, NOW, [0; 4])], [90, 80, 7_000, 7_090]);
    assert_eq!(add_up(&old, 401), [Finding::Holds]);
}

#[test]
fn each_sum_that_is_wrong_is_told() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut report = healthy();
        change(&mut report);
        broken(add_up(&report, 2).remove(0))
    };
    assert!(with(&|report| report["ntotal_sec_errors_missing"] = json!(1)).contains("never heard of"));
    assert!(with(&|report| report["ntotal_sec_errors_bad_state"] = json!(1)).contains("still ran"));
    assert!(with(&|report| report["ntotal_finished"] = json!(9)).contains("less than nothing"));
    assert!(with(&|report| report["last_pass"]["Success"]["nfound"] = json!(99)).contains("found 99"));
    assert!(with(&|report| report["ntotal_recovered"] = json!(4)).contains("but the total says 4"));
    assert!(with(&|report| report["ntotal_failures"] = json!(9)).contains("the total says 9"));
    // The first pass left three in place, and the total of what is known is less than the two that must be left.
    let lost = report(vec![pass(1, 100, [0, 0, 9, 0]), pass(2, NOW, [0, 0, 0, 2])], [0, 0, 5, 2]);
    assert!(broken(add_up(&lost, 2).remove(0)).contains("left at least 7 sagas in place"));
    // A Nexus counts before it lists, so its last pass alone tells.
    let mut nexus = report(vec![pass(1, 100, [1, 0, 9, 0])], [1, 0, 5, 2]);
    nexus.as_object_mut().expect("an object").remove("recent_passes");
    assert!(broken(add_up(&nexus, 1).remove(0)).contains("left at least 10 sagas in place"));
    let mut extreme = healthy();
    extreme["ntotal_started"] = json!(u64::MAX);
    extreme["last_pass"]["Success"]["nskipped"] = json!(u64::MAX);
    assert!(!add_up(&extreme, 2).is_empty(), "numbers of a server may be anything");
}

#[test]
fn what_cannot_be_read_is_not_judged() {
    assert!(is_untold(&add_up(&json!({"passes": 3}), 1)[0]));
    let recovery = read(task(&json!({"passes": 3}), 1, NOW));
    assert!(is_untold(&last_pass_is_good(&coordinator(&recovery, None), at(NOW))));
}

#[test]
fn the_list_of_the_sec_may_be_shorter_and_never_longer() {
    let recovery = read(task(&healthy(), 2, NOW));
    let coordinator = coordinator(&recovery, None);
    assert_eq!(last_count(&coordinator), Some(at(NOW)));
    for count in 0..=6 {
        assert_eq!(list_fits(&coordinator, count), Finding::Beside);
    }
    assert!(broken(list_fits(&coordinator, 7)).contains("runs 7 sagas"));
}

#[test]
fn a_pass_grows_old_and_one_that_is_under_way_is_waited_for() {
    let good = |task: Value, started, now| {
        let recovery = read(task);
        last_pass_is_good(&coordinator(&recovery, started), at(now))
    };
    let fine = report(vec![pass(1, NOW, [1, 0, 1, 0])], [1, 0, 1, 0]);
    assert_eq!(good(task(&fine, 1, NOW), None, NOW + 1_200), Finding::Holds);
    assert!(broken(good(task(&fine, 1, NOW), None, NOW + 1_201)).contains("limit 20m"));
    let mut at_it = task(&fine, 1, NOW);
    let current = json!({"start_time": at(NOW + 1_300), "reason": "timeout", "iteration": 2});
    at_it["current"] = json!({"current_status": "running", "details": current});
    assert_eq!(good(at_it.clone(), None, NOW + 1_400), Finding::Holds, "the next is under way");
    assert!(broken(good(at_it, None, NOW + 3_000)).contains("under way since"));
    let mut never = task(&fine, 1, NOW);
    never["last"] = json!({"last_result": "never_completed"});
    assert!(is_untold(&good(never.clone(), None, NOW)));
    assert!(is_untold(&good(never.clone(), Some(NOW - 5), NOW)), "it has only just started");
    assert!(broken(good(never, Some(NOW - 2_000), NOW)).contains("no pass"));
}

#[test]
fn a_pass_that_failed_or_had_failures_is_told() {
    let good = |details: &Value| {
        let recovery = read(task(details, 2, NOW));
        last_pass_is_good(&coordinator(&recovery, None), at(NOW))
    };
    assert!(broken(good(&healthy())).contains("could not recover 1 sagas"));
    let mut failed = healthy();
    failed["last_pass"] = json!({"Failed": {"message": "no database"}});
    assert!(broken(good(&failed)).contains("no database"));
    assert!(broken(good(&json!({"error": "no database"}))).contains("could not do its work"));
}

proptest! {
    /// Recovery as it is specified, with any load: its report always adds up.
    #[test]
    fn an_honest_report_always_adds_up(
        steps in proptest::collection::vec((0u64..5, 0u64..5, 0u64..3, 0u64..9, 1i64..500), 1..12),
    ) {
        let (mut known, mut totals, mut passes, mut now) = (0u64, [0u64; 4], Vec::new(), 0);
        for (started, recovered, failed, finished, later) in steps {
            now += later;
            // What is confirmed now was known, or came; what has finished is let go.
            known += started;
            let removed = finished.min(known);
            known -= removed;
            let skipped = known;
            known += recovered;
            for (total, more) in totals.iter_mut().zip([recovered, failed, started, removed]) {
                *total += more;
            }
            passes.push(pass(passes.len() as u64 + 1, now, [recovered, failed, skipped, removed]));
        }
        let iteration = passes.len() as u64;
        let [recovered, failed, started, finished] = totals;
        let report = report(passes, [recovered, failed, started, finished]);
        prop_assert_eq!(add_up(&report, iteration), [Finding::Holds]);
    }
}
