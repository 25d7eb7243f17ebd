//! The main job, end to end with the real program: load, kill -9, restart, recovered.

use crate::support::coordinator::Coordinator;
use crate::support::{TestEnv, poll_until};
use serde_json::Value;
use std::process::{Child, Stdio};

fn json(env: &TestEnv, arguments: &[&str]) -> Value {
    let run = env.run(&[arguments, &["-o", "json"]].concat());
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {run}"))
}

fn blast(env: &TestEnv, arguments: &[&str]) -> Child {
    let command = ["blast", "--quiet", "-o", "json", "--ignore-errors"];
    env.command(&[&command[..], arguments].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("blast starts")
}

fn report(blast: Child) -> Value {
    let output = blast.wait_with_output().expect("blast ends");
    serde_json::from_slice(&output.stdout).expect("blast answers JSON")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn what_was_in_flight_at_a_kill_is_recovered_and_nothing_acknowledged_is_lost() {
    let env = TestEnv::new();
    let data_dir = env.path().join("data");
    let mut coordinator = Coordinator::start(&env, &data_dir, &[]);
    let running =
        blast(&coordinator.env(), &["--concurrency", "32", "--duration", "30s", "--max-failures", "1"]);
    // Sagas that were made together end together, so it may be that none is under way: the database says when some are.
    let database = coordinator.database();
    poll_until("a hundred sagas have ended and others are under way", || {
        let sql = "SELECT count(*) FILTER (WHERE saga_state = 'done'), count(*) FILTER (WHERE saga_state <> 'done') FROM saga";
        let (done, unfinished): (i64, i64) =
            database.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).ok()?;
        (done >= 100 && unfinished >= 8).then_some(())
    });
    coordinator.kill();
    let report = report(running);
    assert!(number(&report["done"]) >= 64, "{report}");
    let sum = number(&report["done"]) + number(&report["failed"]) + number(&report["in_doubt"]);
    assert_eq!(number(&report["started"]), sum);
    assert_eq!(report["reconciliation"]["lost"], 0, "{report}");

    let coordinator = Coordinator::start(&env, &data_dir, &[]);
    let env = coordinator.env();
    assert_eq!(env.run(&["activate", "recovery"]).code, 0);
    let status = json(&env, &["status"]);
    let recovered = number(&status["since_start"]["recovered"]);
    assert!((1..=32).contains(&recovered), "{recovered} recovered of 32 in flight");
    assert_eq!(status["since_start"]["recovery_errors"], 0);
    assert_eq!(status["recent_recoveries"].as_array().map(Vec::len), Some(recovered as usize));
    poll_until("everything is at rest", || {
        (json(&env, &["status"])["coordinator"]["sagas_in_flight"] == 0).then_some(())
    });
    // Every project that is there is whole: its VPC was made to the last node.
    let database = coordinator.database();
    let count = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).expect("a count") };
    assert_eq!(
        count(
            "SELECT count(*) FROM project WHERE id NOT IN (SELECT project_id FROM vpc WHERE time_ready IS NOT NULL)"
        ),
        0
    );
    assert_eq!(count("SELECT count(*) FROM saga WHERE saga_state <> 'done'"), 0);
    assert_eq!(count("SELECT count(*) FROM project"), count("SELECT count(*) FROM vpc"));
    assert!(count("SELECT count(*) FROM project") >= number(&report["done"]) as i64);
    // A second start has nothing left to do.
    drop(coordinator);
    let coordinator = Coordinator::start(&TestEnv::new(), &data_dir, &[]);
    let env = coordinator.env();
    assert_eq!(env.run(&["activate", "recovery"]).code, 0);
    assert_eq!(json(&env, &["status"])["since_start"]["recovered"], 0);
}

#[test]
fn constant_activation_under_load_recovers_nothing_and_the_counters_agree() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let env = coordinator.env();
    let mut running = blast(&env, &["--concurrency", "8", "--count", "150"]);
    let mut skipped = 0;
    while running.try_wait().expect("a child").is_none() {
        assert_eq!(env.run(&["activate", "recovery"]).code, 0);
        skipped += number(&json(&env, &["status"])["last_pass"]["skipped"]);
    }
    let report = report(running);
    assert_eq!(report["done"], 150, "{report}");
    assert_eq!(report["reconciliation"]["verdict"], "consistent");
    assert!(skipped > 0, "no pass ever met a running saga, so this proved nothing");
    let counters = poll_until("all sagas are inferred finished", || {
        assert_eq!(env.run(&["activate", "recovery"]).code, 0);
        let counters = json(&env, &["status"])["since_start"].clone();
        (counters["observed_started"] == counters["inferred_finished"]).then_some(counters)
    });
    assert_eq!(counters["observed_started"], 150);
    for zero in ["recovered", "recovery_errors", "missing_from_sec", "bad_state_in_sec"] {
        assert_eq!(counters[zero], 0, "{zero}: {counters}");
    }
    // A healthy run has nothing to warn of.
    let log = coordinator.log();
    assert_eq!(log.lines().count(), 1, "only the line that it is ready: {log}");
}

#[test]
fn a_saga_that_cannot_be_recovered_is_told_and_holds_up_no_other() {
    let env = TestEnv::new();
    let data_dir = env.path().join("data");
    let mut coordinator = Coordinator::start(&env, &data_dir, &[]);
    let create = || json(&coordinator.env(), &["demo-saga", "create"]);
    let (first, second) = (create(), create());
    let id = first["saga_id"].as_str().expect("an id").to_owned();
    coordinator.kill();
    let broken = "UPDATE saga SET saga_dag = replace(saga_dag, 'demo.demo_wait', 'demo.gone') WHERE id = ?1";
    assert_eq!(coordinator.database().execute(broken, [&id]).expect("changed"), 1);

    let coordinator = Coordinator::start(&env, &data_dir, &[]);
    let env = coordinator.env();
    let run = env.run(&["activate", "recovery"]);
    assert_eq!(run.code, 1, "a pass with failures is a bad answer: {run}");
    let status = json(&env, &["status"]);
    assert_eq!(status["last_pass"]["result"], "completed");
    assert_eq!(status["since_start"]["recovered"], 1);
    let failures = status["recovery_failures"].as_array().expect("a list");
    assert_eq!(failures.len(), 1, "the same failure of two passes is listed once: {failures:?}");
    assert_eq!(failures[0]["saga_id"], id.as_str());
    assert_eq!(failures[0]["kind"], "permanent");
    let message = failures[0]["message"].as_str().expect("text");
    assert!(message.contains("unknown action \"demo.gone\" in node \"demo_wait\""), "{message}");
    assert_eq!(status["coordinator"]["recovered"], false);
    // The other one waits again and can be completed.
    let demo_id = second["demo_saga_id"].as_str().expect("an id");
    assert_eq!(env.run(&["demo-saga", "complete", demo_id]).code, 0);
    // Made good, it is recovered by the next pass.
    let mended = "UPDATE saga SET saga_dag = replace(saga_dag, 'demo.gone', 'demo.demo_wait') WHERE id = ?1";
    assert_eq!(coordinator.database().execute(mended, [&id]).expect("changed"), 1);
    assert_eq!(env.run(&["activate", "recovery"]).code, 0);
    assert_eq!(json(&env, &["status"])["since_start"]["recovered"], 2);
}

#[test]
fn abandon_unrecoverable_gives_up_by_itself() {
    let env = TestEnv::new();
    let data_dir = env.path().join("data");
    let mut coordinator = Coordinator::start(&env, &data_dir, &[]);
    json(&coordinator.env(), &["demo-saga", "create"]);
    coordinator.kill();
    coordinator.database().execute("UPDATE saga SET saga_dag = '{}'", []).expect("changed");
    let coordinator = Coordinator::start(&env, &data_dir, &["--abandon-unrecoverable"]);
    let database = coordinator.database();
    let (state, reason) = poll_until("it is given up", || {
        let row = database.query_row("SELECT saga_state, abandon_reason FROM saga", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))
        });
        row.ok().filter(|(state, _)| state == "abandoned")
    });
    assert_eq!((state.as_str(), reason.as_deref()), ("abandoned", Some("unrecoverable")));
}

#[test]
fn the_tour_tells_its_story_and_leaves_nothing_behind() {
    let env = TestEnv::new();
    let scratch = env.path().join("tmp");
    std::fs::create_dir(&scratch).expect("a directory");
    let env = env.with("TMPDIR", scratch.to_str().expect("text"));
    let run = env.run(&["demo"]);
    assert_eq!(run.code, 0, "{run}");
    for words in ["kill -9, with sagas in flight", "sagas recovered", "consistent", "Nothing was lost"] {
        assert!(run.stdout.contains(words), "{words:?} is missing: {run}");
    }
    assert_eq!(std::fs::read_dir(&scratch).expect("a directory").count(), 0);
}
