//! What a run leaves behind: its own record, and reports.

use super::report;
use crate::support::coordinator::Coordinator;
use crate::support::{TestEnv, poll_until};
use serde_json::Value;
use std::process::Stdio;

#[test]
fn what_somebody_deleted_by_hand_is_named_by_the_record() {
    let env = TestEnv::new();
    let mut coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let env = coordinator.env();
    let run = env.run(&["blast", "--count", "30", "--concurrency", "4", "--record", "record", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(report(&run.stdout)["reconciliation"]["lost"], 0);
    let run = env.run(&["blast", "reconcile", "record"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("reconciliation with the records: consistent"), "{run}");

    let database = coordinator.database();
    let mut names: Vec<String> = {
        let mut rows = database.prepare("SELECT name FROM project LIMIT 3").expect("SQL");
        let names = rows.query_map([], |row| row.get(0)).expect("rows");
        names.collect::<Result<_, _>>().expect("names")
    };
    database.execute_batch("PRAGMA foreign_keys = OFF").expect("SQL");
    for name in &names {
        database.execute("DELETE FROM project WHERE name = ?1", [name]).expect("deleted");
    }
    let db_url = coordinator.ready.db_url.clone();
    // The records are enough: the coordinator may be gone.
    for is_dead in [false, true] {
        if is_dead {
            coordinator.kill();
        }
        let run = env.run(&["blast", "reconcile", "record", "-o", "json", "--db-url", &db_url]);
        assert_eq!(run.code, 1, "{run}");
        let found = &serde_json::from_str::<Value>(&run.stdout).expect("JSON")["reconciliation"];
        assert_eq!((&found["lost"], &found["acknowledged_recorded"]), (&3.into(), &27.into()));
        names.sort();
        let mut lost: Vec<_> = found["lost_names"].as_array().expect("names").clone();
        lost.sort_by_key(ToString::to_string);
        assert_eq!(lost, names, "exactly these");
    }
}

#[test]
fn the_record_of_a_generator_that_was_killed_can_be_used() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let env = coordinator.env();
    let mut child = env
        .command(&["blast", "--concurrency", "8", "--record", "record", "--quiet"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("blast starts");
    let record = env.path().join("record");
    poll_until("there are lines", || {
        let text = std::fs::read_to_string(&record).ok()?;
        (text.lines().count() > 20).then_some(())
    });
    child.kill().expect("it can be killed");
    child.wait().expect("it is dead");
    let run = env.run(&["blast", "reconcile", "record", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    let reconciled: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(reconciled["is_whole"], false);
    let number = |value: &Value| value.as_i64().expect("a number");
    assert!(number(&reconciled["done"]) >= 19, "{reconciled}");
    assert_eq!(reconciled["reconciliation"]["verdict"], "consistent", "{reconciled}");
    // Everything that is there is explained, also what was under way when the generator died.
    let found = &reconciled["reconciliation"];
    let projects: i64 = coordinator
        .database()
        .query_row("SELECT count(*) FROM project", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(number(&found["acknowledged_recorded"]) + number(&found["in_doubt_recorded"]), projects);
    assert_eq!(found["in_doubt_recorded"], reconciled["without_line"]);
}

#[test]
fn what_is_no_record_is_told() {
    let env = TestEnv::new();
    std::fs::write(env.path().join("junk"), "hello\n").expect("written");
    for (file, words) in [("none", "reading none"), ("junk", "junk is no record of a blast")] {
        let run = env.run(&["blast", "reconcile", file]);
        assert_eq!(run.code, 2, "{run}");
        assert!(
            run.stderr.contains("error: the record cannot be used") && run.stderr.contains(words),
            "{run}"
        );
    }
}

#[test]
fn records_that_cannot_be_read_are_no_verdict() {
    let env = TestEnv::new();
    let mut coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let env = coordinator.env();
    let run = env.run(&["blast", "--count", "2", "--record", "record"]);
    assert_eq!(run.code, 0, "{run}");
    coordinator.kill();
    let run = env.run(&["blast", "reconcile", "record"]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains("error: the records cannot be read"), "{run}");
    assert_eq!(run.stdout, "");
}

#[test]
fn the_json_report_holds_the_answer_and_how_it_came_about() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let env = coordinator.env();
    let run = env.run(&["blast", "--count", "12", "--json-report", "report", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    let text = std::fs::read_to_string(env.path().join("report")).expect("a report");
    let full: Value = serde_json::from_str(&text).expect("JSON");
    for (name, value) in report(&run.stdout).as_object().expect("an object") {
        assert_eq!(&full[name], value, "{name}");
    }
    let sum = |list: &str, field: &str| -> u64 {
        let rows = full[list].as_array().expect("a list");
        rows.iter().map(|row| row[field].as_u64().expect("a number")).sum()
    };
    assert_eq!((sum("series", "done"), sum("latency_distribution", "count")), (12, 12));
    assert!(full["restarts"].is_array() && full["passes"].is_array());
}
