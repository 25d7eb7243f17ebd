//! Drills on a database server: what they prove, and that they leave it as they found it.

use crate::postgres::{Database, Server};
use crate::support::TestEnv;
use rustix::process::{Pid, Signal};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Something of somebody else's, with a name that a coordinator has a table of, too.
fn with_something_precious(database: &Database<'_>) {
    database.sql("CREATE TABLE saga (precious TEXT); INSERT INTO saga VALUES ('untouched')");
}

fn schemas(database: &Database<'_>) -> String {
    database.sql("SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'sagactl%'")
}

fn is_as_it_was(database: &Database<'_>) {
    assert_eq!(database.sql("SELECT * FROM saga"), "untouched");
    assert_eq!(database.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "1");
    assert_eq!(schemas(database), "");
}

/// Runs a drill that must exit with 0 and answers its report.
fn run_drill(database: &Database<'_>, arguments: &[&str]) -> Value {
    let url = database.url();
    let arguments = [&["drill"], arguments, &["--db-url", &url, "-o", "json"]].concat();
    // A drill is bounded by itself, by more than other commands are.
    let output = TestEnv::new().command(&arguments).output().expect("the program runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    assert_eq!(output.status.code(), Some(0), "{report:#}{stderr}");
    report
}

/// Runs a drill under load that must find nothing wrong and answers its report.
fn drill(database: &Database<'_>, arguments: &[&str]) -> Value {
    let report = run_drill(database, arguments);
    assert_eq!(report["verdict"], "consistent", "{report:#}");
    for zero in ["lost", "duplicated", "illegal", "hanging", "recovery_errors"] {
        assert_eq!(report["totals"][zero], 0, "{report:#}");
    }
    report
}

#[test]
fn failover_fences_the_zombie_and_leaves_the_database_as_it_was() {
    let database = Server::shared().database();
    with_something_precious(&database);
    let small = ["failover", "--cycles", "2", "--concurrency", "12", "--seed", "7"];
    let report = drill(&database, &small);
    is_as_it_was(&database);
    let totals = &report["totals"];
    assert_eq!((&report["seed"], &report["coordinators"]), (&Value::from(7), &Value::from(3)));
    for (what, expected) in
        [("crashes", 1), ("zombies", 1), ("fenced", 1), ("late_writes", 0), ("problems", 0)]
    {
        assert_eq!(totals[what], expected, "{what}: {report:#}");
    }
    assert!(totals["adopted"].as_u64() > Some(0), "{report:#}");
    let zombie = &report["cycles"][1];
    let words = zombie["last_words"].as_str().expect("it said why");
    assert!(words.starts_with("error: coordinator stops: "), "{words}");
    assert!(words.ends_with(&format!("SEC {} has been expunged", zombie["victim"].as_str().expect("an id"))));
    for time in ["adopted_in_ms", "at_rest_in_ms", "fenced_in_ms"] {
        assert!(zombie[time].as_f64() > Some(0.0), "{time}: {zombie:#}");
    }
    assert_eq!(report["cycles"][0]["fenced_in_ms"], Value::Null, "there was no zombie");
}

#[test]
fn crash_and_furious_have_a_schema_of_their_own() {
    let database = Server::shared().database();
    with_something_precious(&database);
    let report = drill(&database, &["crash", "--cycles", "1", "--concurrency", "12"]);
    assert!(report["totals"]["recovered"].as_u64() > Some(0), "{report:#}");
    is_as_it_was(&database);
    let report = drill(&database, &["furious", "--duration", "1s", "--concurrency", "12"]);
    assert_eq!(report["totals"]["observed_started"], report["totals"]["sagas"], "{report:#}");
    is_as_it_was(&database);
}

#[test]
fn what_is_to_be_kept_is_named() {
    let database = Server::shared().database();
    let report = drill(&database, &["crash", "--cycles", "1", "--concurrency", "8", "--keep"]);
    let schema = report["kept_schema"].as_str().expect("a name");
    assert_eq!(schemas(&database), schema);
    let sagas = database.sql(&format!("SELECT count(*) FROM {schema}.saga"));
    assert_eq!(report["totals"]["sagas"].to_string(), sagas);
    database.sql(&format!("DROP SCHEMA {schema} CASCADE"));
    std::fs::remove_dir_all(report["kept"].as_str().expect("a directory")).expect("it is there");
}

#[test]
fn crash_points_has_schemas_of_its_own() {
    let database = Server::shared().database();
    with_something_precious(&database);
    let report = run_drill(&database, &["crash-points", "--saga", "vpc-router-create"]);
    is_as_it_was(&database);
    let totals = &report["totals"];
    // One action, and the saga's own start and end, three moments each; and what comes of the failure of the action.
    assert!(totals["points"].as_u64() >= Some(10), "{report:#}");
    for same in ["crashes", "ok"] {
        assert_eq!(totals[same], totals["points"], "{report:#}");
    }
    for zero in ["failed", "not_reached", "lost", "duplicated", "illegal"] {
        assert_eq!(totals[zero], 0, "{zero}: {report:#}");
    }
    let recovered = |point: &Value| point["recovered_in_ms"].as_f64() > Some(0.0);
    assert!(report["points"].as_array().is_some_and(|points| points.iter().all(recovered)), "{report:#}");
    assert_eq!(report["kept_schemas"], serde_json::json!([]));

    let report = run_drill(&database, &["crash-points", "--saga", "demo", "--jobs", "2", "--keep"]);
    let schema = report["kept_schemas"][0].as_str().expect("a name");
    assert_eq!(schemas(&database), schema, "those of the runs are gone");
    assert_eq!(database.sql(&format!("SELECT count(*) FROM {schema}.sec")), "1");
    database.sql(&format!("DROP SCHEMA {schema} CASCADE"));
    std::fs::remove_dir_all(report["kept"].as_str().expect("a directory")).expect("it is there");
}

#[test]
fn crash_points_cleans_up_when_it_is_interrupted() {
    let database = Server::shared().database();
    with_something_precious(&database);
    let url = database.url();
    let arguments = ["drill", "crash-points", "--saga", "project-create", "--db-url", &url];
    let env = TestEnv::new();
    let mut drill = env.command(&arguments).spawn().expect("the program runs");
    // A template, and the first schema that a run has.
    let deadline = Instant::now() + Duration::from_secs(60);
    while schemas(&database).lines().count() < 2 {
        assert!(Instant::now() < deadline, "the drill makes no schemas");
        std::thread::sleep(Duration::from_millis(10));
    }
    rustix::process::kill_process(Pid::from_child(&drill), Signal::INT).expect("it runs");
    assert_eq!(drill.wait().expect("a child").code(), Some(130));
    is_as_it_was(&database);
}

#[test]
fn databases_that_cannot_be_drilled_are_refused() {
    let database = Server::shared().database();
    let env = TestEnv::new().with("SAGACTL_DB_URL", &database.url());
    for more in [&[][..], &["--db-url", "sqlite:here.db"]] {
        let run = env.run(&[&["drill", "failover"], more].concat());
        assert_eq!(run.code, 2, "{run}");
        assert!(run.stderr.contains("needs a database that coordinators can share"), "{run}");
        assert!(run.stderr.contains("--db-url postgresql://"), "{run}");
    }
    let run = env.run(&["drill", "crash-points", "--db-url", "sqlite:here.db"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("no use for a SQLite file"), "{run}");
    for drill in ["failover", "crash-points"] {
        let run = env.run(&["drill", drill, "--db-url", &database.guarded_url("guessed")]);
        assert_eq!(run.code, 3, "{run}");
        assert!(run.stderr.contains("password authentication failed"), "{run}");
        assert!(!run.stderr.contains("guessed"), "{run}");
    }
    assert_eq!(schemas(&database), "");
}
