//! Faults that a coordinator is asked to have: actions that are slow and actions that panic. The process lives, other sagas
//! are not harmed, and the tool tells what happened.

use crate::support::TestEnv;
use crate::support::coordinator::Coordinator;
use serde_json::{Value, json};

/// Node `vpc` of `project-create`, in the middle of it.
const VPC: u32 = 3;

/// Node `quota`, which comes before it and is undone after it.
const QUOTA: u32 = 1;

fn start(env: &TestEnv) -> Coordinator {
    Coordinator::start(env, &env.path().join("data"), &["--allow-faults"])
}

/// Creates so many projects, one after the other, and answers how many came about and how many were refused.
fn create(at: &Coordinator, count: &str) -> (u64, u64) {
    let arguments =
        ["blast", "--quiet", "-o", "json", "--ignore-errors", "--concurrency", "1", "--count", count];
    let run = at.env().run(&arguments);
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
    assert_eq!(report["reconciliation"]["verdict"], "consistent", "{report}");
    (report["done"].as_u64().expect("a number"), report["failed"].as_u64().expect("a number"))
}

/// Everything about the newest saga.
fn newest(at: &Coordinator) -> Value {
    let newest = "SELECT id FROM saga ORDER BY time_created DESC LIMIT 1";
    let id: String = at.database().query_row(newest, [], |row| row.get(0)).expect("a saga");
    let run = at.env().run(&["sagas", "show", &id, "-o", "json"]);
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
}

/// Time between two events of a node of the only saga, in seconds.
fn took(at: &Coordinator, node: u32, from: &str, to: &str) -> f64 {
    let time = |event: &str| {
        let sql = "SELECT julianday(event_time) * 86400.0 FROM saga_node_event WHERE node_id = ?1 AND event_type = ?2";
        at.database().query_row(sql, (node, event), |row| row.get::<_, f64>(0)).expect("an event")
    };
    time(to) - time(from)
}

#[test]
fn a_slow_action_takes_its_time_and_then_succeeds() {
    let env = TestEnv::new();
    let coordinator = start(&env);
    coordinator.set_faults(&json!([{"saga": "project-create", "node": VPC, "fault": "slow", "millis": 400}]));
    assert_eq!(create(&coordinator, "1"), (1, 0));
    // Not less than it was told to, but for what times are rounded to.
    let seconds = took(&coordinator, VPC, "started", "succeeded");
    assert!(seconds > 0.39, "{seconds}");
    let run = coordinator.env().run(&["sagas", "slow", "--name", "project-create"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("vpc"), "{run}");
}

#[test]
fn a_slow_undo_action_takes_its_time_and_then_is_done() {
    let env = TestEnv::new();
    let coordinator = start(&env);
    coordinator.set_faults(&json!([
        {"saga": "project-create", "node": VPC, "fault": "fail"},
        {"saga": "project-create", "node": QUOTA, "direction": "undo", "fault": "slow", "millis": 400},
    ]));
    assert_eq!(create(&coordinator, "1"), (0, 1));
    let seconds = took(&coordinator, QUOTA, "undo_started", "undo_finished");
    assert!(seconds > 0.39, "{seconds}");
}

#[test]
fn a_panic_in_an_action_fails_its_saga_and_nothing_else() {
    let env = TestEnv::new();
    let mut coordinator = start(&env);
    coordinator.set_faults(&json!([{"saga": "project-create", "node": VPC, "fault": "panic"}]));
    assert_eq!(create(&coordinator, "2"), (0, 2));
    let saga = newest(&coordinator).to_string();
    assert!(saga.contains("fault injected into Vpc, forward"), "{saga}");
    assert!(coordinator.log().contains("panic"), "{}", coordinator.log());
    // What it had done before is undone, and the next one is as if nothing had been.
    let rows = "SELECT count(*) FROM project_quota";
    assert_eq!(coordinator.database().query_row(rows, [], |row| row.get::<_, i64>(0)).expect("a count"), 0);
    coordinator.set_faults(&json!([]));
    assert_eq!(create(&coordinator, "3"), (3, 0));
    assert!(coordinator.is_running(), "{}", coordinator.log());
}

#[test]
fn a_panic_in_an_undo_action_leaves_its_saga_stuck_and_says_why() {
    let env = TestEnv::new();
    let mut coordinator = start(&env);
    coordinator.set_faults(&json!([
        {"saga": "project-create", "node": VPC, "fault": "fail"},
        {"saga": "project-create", "node": QUOTA, "direction": "undo", "fault": "panic"},
    ]));
    assert_eq!(create(&coordinator, "1"), (0, 1));
    let saga = newest(&coordinator).to_string();
    assert!(saga.contains("undo action panicked: fault injected into Quota, undo"), "{saga}");
    assert!(saga.contains("\"stuck\""), "{saga}");
    coordinator.set_faults(&json!([]));
    assert_eq!(create(&coordinator, "1"), (1, 0));
    assert!(coordinator.is_running(), "{}", coordinator.log());
}
