//! Drills on a database server: what they prove, and that they leave it as they found it.

use crate::postgres::{Database, Server};
use crate::support::TestEnv;
use serde_json::Value;

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

/// Runs a drill that must find nothing wrong and answers its report.
fn drill(database: &Database<'_>, arguments: &[&str]) -> Value {
    let url = database.url();
    let arguments = [&["drill"], arguments, &["--db-url", &url, "-o", "json"]].concat();
    // A drill is bounded by itself, by more than other commands are.
    let output = TestEnv::new().command(&arguments).output().expect("the program runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    assert_eq!(output.status.code(), Some(0), "{report:#}{stderr}");
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
fn databases_that_cannot_be_drilled_are_refused() {
    let database = Server::shared().database();
    let env = TestEnv::new().with("SAGACTL_DB_URL", &database.url());
    for more in [&[][..], &["--db-url", "sqlite:here.db"]] {
        let run = env.run(&[&["drill", "failover"], more].concat());
        assert_eq!(run.code, 2, "{run}");
        assert!(run.stderr.contains("needs a database that coordinators can share"), "{run}");
        assert!(run.stderr.contains("--db-url postgresql://"), "{run}");
    }
    let run = env.run(&["drill", "crash-points", "--db-url", &database.url()]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("no use for --db-url"), "{run}");
    let run = env.run(&["drill", "failover", "--db-url", &database.guarded_url("guessed")]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains("password authentication failed"), "{run}");
    assert!(!run.stderr.contains("guessed"), "{run}");
    assert_eq!(schemas(&database), "");
}
