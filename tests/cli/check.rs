//! `check`: real coordinators that are well, real ones whose database somebody has meddled with, recorded databases and
//! recorded answers.

use crate::support::coordinator::Coordinator;
use crate::support::databases::Recorded;
use crate::support::server::{Reply, Server};
use crate::support::{Run, TestEnv, fixture_json, poll_until, steady};
use serde_json::{Value, json};

/// The report, which must be one whatever the exit code.
fn report(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
}

/// Checks and answers exit code and report.
fn check(env: &TestEnv, more: &[&str]) -> (i32, Value) {
    let run = env.run(&[&["check", "-o", "json"], more].concat());
    (run.code, report(&run))
}

/// The invariants with this verdict.
fn with_verdict(report: &Value, verdict: &str) -> Vec<String> {
    let invariants = report["invariants"].as_array().expect("a list");
    invariants
        .iter()
        .filter(|judged| judged["verdict"] == verdict)
        .map(|judged| judged["id"].as_str().expect("an id").to_owned())
        .collect()
}

/// The problem that one invariant has with one saga.
fn problem_of<'r>(report: &'r Value, id: &str, saga: &str) -> &'r Value {
    let invariants = report["invariants"].as_array().expect("a list");
    let judged = invariants.iter().find(|judged| judged["id"] == id).expect("it was asked for");
    let evidence = judged["evidence"].as_array().expect("a list");
    let problem = evidence.iter().find(|problem| problem["saga_id"] == saga);
    let problem = problem.unwrap_or_else(|| panic!("{id} says nothing of saga {saga}: {judged}"));
    assert!(problem["next"].as_str().is_some_and(|next| !next.is_empty()), "{problem}");
    problem
}

/// What is wrong by one invariant with one saga.
fn told_of(report: &Value, id: &str, saga: &str) -> String {
    problem_of(report, id, saga)["text"].as_str().expect("text").to_owned()
}

/// A coordinator with some projects.
struct Lab {
    env: TestEnv,
    coordinator: Coordinator,
}

impl Lab {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(arguments: &[&str]) -> Self {
        let env = TestEnv::new();
        let coordinator = Coordinator::start(&env, &env.path().join("data"), arguments);
        Self { env, coordinator }
    }

    fn with_projects(count: u32) -> Self {
        let lab = Self::new();
        let count = count.to_string();
        let blast = ["blast", "--count", &count, "--concurrency", "2", "--quiet", "--record", "record.jsonl"];
        let client = lab.client();
        let run = client.run(&blast);
        assert_eq!(run.code, 0, "{run}");
        std::fs::copy(client.path().join("record.jsonl"), lab.record()).expect("a copy");
        lab
    }

    fn client(&self) -> TestEnv {
        self.coordinator.env()
    }

    fn record(&self) -> String {
        self.env.path().join("record.jsonl").to_str().expect("text").to_owned()
    }

    /// Its check, with its database named so that it works while the coordinator is down.
    fn check(&self, more: &[&str]) -> (i32, Value) {
        let db_url = ["--db-url", &self.coordinator.ready.db_url];
        check(&self.client(), &[&db_url[..], more].concat())
    }

    /// The oldest saga that made a project.
    fn project_saga(&self) -> String {
        let oldest =
            "SELECT id FROM saga WHERE name = 'project-create' AND saga_state = 'done' ORDER BY id LIMIT 1";
        self.coordinator.database().query_row(oldest, [], |row| row.get(0)).expect("a saga")
    }

    /// Makes a saga that waits, and sees to it that it does: one that has still something to write would end the coordinator
    /// once somebody has meddled with its owner.
    fn demo_saga(&self) -> String {
        let created = self.client().run(&["demo-saga", "create", "-o", "json"]).stdout;
        let created: Value = serde_json::from_str(&created).expect("JSON");
        let id = created["saga_id"].as_str().expect("an id").to_owned();
        let waits = "SELECT count(*) FROM saga_node_event WHERE saga_id = ?1 AND node_id = 0 AND event_type = 'started'";
        poll_until("the saga waits", || {
            let started: i64 =
                self.coordinator.database().query_row(waits, [&id], |row| row.get(0)).expect("a count");
            (started == 1).then_some(())
        });
        id
    }

    fn meddle(&self, sql: &str, saga: &str) {
        let changed = self.coordinator.database().execute(sql, [saga]).expect("it can be changed");
        assert!(changed > 0, "{sql}");
    }
}

#[test]
fn all_is_well_under_load() {
    let lab = Lab::new();
    let waiting = lab.demo_saga();
    let client = lab.client();
    let mut load = client
        .command(&["blast", "--concurrency", "8", "--rate", "30", "--quiet", "--ignore-errors"])
        .spawn()
        .expect("the program starts");
    for _ in 0..20 {
        assert_eq!(client.run(&["activate", "recovery", "--no-wait"]).code, 0);
        let (code, report) = lab.check(&[]);
        // A machine that is too busy to answer in time makes something n/a, and nothing wrong.
        assert_eq!((code, &report["verdict"]), (0, &json!("ok")), "{report:#}");
    }
    load.kill().expect("it can be killed");
    load.wait().expect("it has ended");
    let (code, report) = lab.check(&["--saga", &waiting]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(with_verdict(&report, "ok"), ["I1", "I3", "I4", "I5", "I8", "I9", "I10", "I11"]);
}

#[test]
fn a_crash_is_told_until_it_is_over() {
    let mut lab = Lab::with_projects(3);
    let demo = lab.demo_saga();
    lab.coordinator.kill();
    let history = lab.env.path().join("history.json");
    let history = history.to_str().expect("text");
    let (code, report) = lab.check(&["--history", history]);
    assert_eq!((code, with_verdict(&report, "fail")), (1, vec!["I4".to_owned()]), "{report:#}");
    assert!(told_of(&report, "I4", &demo).contains("does not answer"));
    assert_eq!(with_verdict(&report, "na"), ["I1", "I2", "I6", "I7", "I10", "I12"]);
    // A pass is nothing that a database knows of.
    let (code, na) = {
        let run = lab.client().run(&["check", "--only", "i7", "--db-url", &lab.coordinator.ready.db_url]);
        (run.code, run.stdout)
    };
    assert_eq!(code, 3, "{na}");

    let env = lab.env;
    lab.coordinator.restart(&env);
    let lab = Lab { env, coordinator: lab.coordinator };
    let (code, report) = lab.check(&["--wait", "20s", "--history", history]);
    assert_eq!(code, 0, "{report:#}");
    let past = &report["history"]["problems"];
    assert_eq!(past.as_array().map(Vec::len), Some(1), "{past}");
    assert_eq!((&past[0]["id"], &past[0]["saga_id"]), (&json!("I4"), &json!(demo)));
    assert!(past[0]["began"].is_string() && past[0]["ended"].is_string(), "{past}");
}

#[test]
fn an_event_that_was_deleted() {
    let lab = Lab::with_projects(3);
    let saga = lab.project_saga();
    lab.meddle(
        "DELETE FROM saga_node_event WHERE saga_id = ?1 AND node_id = 3 AND event_type = 'succeeded'",
        &saga,
    );
    let (code, report) = lab.check(&[]);
    assert_eq!((code, with_verdict(&report, "fail")), (1, vec!["I3".to_owned()]), "{report:#}");
    assert!(told_of(&report, "I3", &saga).contains("is running"), "{report:#}");
    let ids = lab.client().run(&["check", "-o", "ids"]);
    assert_eq!((ids.code, ids.stdout.trim()), (1, saga.as_str()));
    assert_eq!(lab.check(&["--only", "I8,I11"]).0, 0, "nobody asked for I3");
}

#[test]
fn an_event_that_was_doubled_with_other_data() {
    let mut lab = Lab::with_projects(2);
    let saga = lab.project_saga();
    lab.coordinator.kill();
    // The key of the table refuses that, so the table must lose it first.
    let without_key = "CREATE TABLE copy AS SELECT * FROM saga_node_event;
         DROP TABLE saga_node_event;
         ALTER TABLE copy RENAME TO saga_node_event;";
    lab.coordinator.database().execute_batch(without_key).expect("a table without a key");
    lab.meddle(
        "INSERT INTO saga_node_event (saga_id, node_id, event_type, data, event_time, creator)
         SELECT saga_id, node_id, event_type, '\"other\"', event_time, creator FROM saga_node_event
         WHERE saga_id = ?1 AND node_id = 3 AND event_type = 'succeeded'",
        &saga,
    );
    let (code, report) = lab.check(&[]);
    assert_eq!((code, with_verdict(&report, "fail")), (1, vec!["I3".to_owned()]), "{report:#}");
    assert!(told_of(&report, "I3", &saga).contains("more than one event \"succeeded\""), "{report:#}");
}

#[test]
fn an_end_of_the_other_kind() {
    let lab = Lab::with_projects(2);
    let saga = lab.project_saga();
    lab.meddle(
        "INSERT INTO saga_node_event (saga_id, node_id, event_type, data, event_time, creator)
         SELECT saga_id, node_id, 'failed', '\"InjectedError\"', event_time, creator FROM saga_node_event
         WHERE saga_id = ?1 AND node_id = 3 AND event_type = 'succeeded'",
        &saga,
    );
    let (code, report) = lab.check(&["--only", "I3"]);
    assert_eq!(code, 1);
    assert!(told_of(&report, "I3", &saga).contains("has succeeded and failed"), "{report:#}");
}

#[test]
fn a_state_that_was_flipped() {
    let lab = Lab::with_projects(1);
    let saga = lab.demo_saga();
    lab.meddle("UPDATE saga SET saga_state = 'done' WHERE id = ?1", &saga);
    let (code, report) = lab.check(&[]);
    assert_eq!(
        (code, with_verdict(&report, "fail")),
        (1, vec!["I2".to_owned(), "I3".to_owned()]),
        "{report:#}"
    );
    assert!(told_of(&report, "I3", &saga).contains("the state is done, but the log"), "{report:#}");
    assert!(told_of(&report, "I2", &saga).contains("runs it, but the database says that it is done"));
}

#[test]
fn an_owner_that_nobody_knows() {
    let lab = Lab::with_projects(1);
    let saga = lab.demo_saga();
    let stranger = "65a11c18-7f59-41ac-b9e7-680627f99699";
    lab.meddle(&format!("UPDATE saga SET current_sec = '{stranger}' WHERE id = ?1"), &saga);
    let (code, report) = lab.check(&[]);
    assert_eq!(code, 1);
    assert_eq!(with_verdict(&report, "fail"), ["I2", "I4"], "{report:#}");
    assert!(told_of(&report, "I4", &saga).contains(stranger), "{report:#}");
    assert!(told_of(&report, "I2", &saga).contains("it belongs to"), "{report:#}");
    let next = problem_of(&report, "I4", &saga)["next"].as_str().expect("text");
    assert!(next.contains(&format!("sagactl sagas reassign --saga {saga} --to SEC -w")), "{next}");
}

#[test]
fn a_dag_that_was_cut_short() {
    let lab = Lab::with_projects(2);
    let saga = lab.project_saga();
    lab.meddle("UPDATE saga SET saga_dag = substr(saga_dag, 1, length(saga_dag) / 2) WHERE id = ?1", &saga);
    let (code, report) = lab.check(&[]);
    assert_eq!((code, with_verdict(&report, "fail")), (1, vec!["I3".to_owned()]), "{report:#}");
    assert!(told_of(&report, "I3", &saga).contains("the DAG is broken"), "{report:#}");
}

#[test]
fn a_project_that_vanished_and_one_that_was_deleted_in_order() {
    let lab = Lab::with_projects(3);
    let saga = lab.project_saga();
    let record = lab.record();
    let (code, report) = lab.check(&["--client", &record]);
    assert_eq!((code, with_verdict(&report, "na")), (0, vec![]), "{report:#}");
    // What restoring an old copy does.
    let database = lab.coordinator.database();
    database.execute_batch("PRAGMA foreign_keys = off").expect("rules off");
    let name: String = database
        .query_row(
            "DELETE FROM project WHERE id = (SELECT json_extract(data, '$.id') FROM saga_node_event
             WHERE saga_id = ?1 AND node_id = 0 AND event_type = 'succeeded') RETURNING name",
            [&saga],
            |row| row.get(0),
        )
        .expect("it was there");
    let (code, report) = lab.check(&["--client", &record]);
    assert_eq!(
        (code, with_verdict(&report, "fail")),
        (1, vec!["I9".to_owned(), "I12".to_owned()]),
        "{report:#}"
    );
    assert!(told_of(&report, "I9", &saga).contains("is not there, and nobody deleted it"), "{report:#}");
    assert!(report.to_string().contains(&format!("1 acknowledged and not on record: {name}")), "{report:#}");

    let lab = Lab::with_projects(2);
    let clean = lab.client().run(&["blast", "clean", "-w", "--yes"]);
    assert_eq!(clean.code, 0, "{clean}");
    let (code, report) = lab.check(&[]);
    assert_eq!(code, 0, "{report:#}");
}

#[test]
fn a_part_of_what_was_made_is_missing() {
    let lab = Lab::with_projects(1);
    let saga = lab.project_saga();
    lab.coordinator.database().execute_batch("DELETE FROM vpc_dns_record").expect("deleted");
    let (code, report) = lab.check(&["--saga", &saga]);
    assert_eq!((code, with_verdict(&report, "fail")), (1, vec!["I9".to_owned()]), "{report:#}");
    assert!(told_of(&report, "I9", &saga).contains("lacks its DNS record"), "{report:#}");
}

#[test]
fn an_action_that_the_new_version_does_not_know() {
    let mut lab = Lab::new();
    let saga = lab.demo_saga();
    lab.coordinator.kill();
    lab.meddle(
        "UPDATE saga SET saga_dag = replace(saga_dag, 'demo.demo_wait', 'demo.gone') WHERE id = ?1",
        &saga,
    );
    let env = lab.env;
    lab.coordinator.restart(&env);
    let lab = Lab { env, coordinator: lab.coordinator };
    let report = poll_until("the first pass has failed", || {
        let (code, report) = lab.check(&[]);
        (code == 1).then_some(report)
    });
    assert_eq!(with_verdict(&report, "fail"), ["I1", "I7", "I10"], "{report:#}");
    assert!(told_of(&report, "I10", &saga).contains("unknown action \"demo.gone\""), "{report:#}");
}

#[test]
fn a_saga_that_got_stuck_and_one_that_idles() {
    let lab = Lab::with(&["--strict"]);
    let database = lab.coordinator.database();
    let strike =
        "CREATE TRIGGER strike BEFORE INSERT ON vpc_dns_record BEGIN SELECT RAISE(ABORT, 'strike'); END;
         CREATE TRIGGER sit_in BEFORE DELETE ON vpc_router BEGIN SELECT RAISE(ABORT, 'routers stay'); END;";
    database.execute_batch(strike).expect("triggers");
    let create = ["blast", "--count", "1", "--concurrency", "1", "--ignore-errors", "--quiet"];
    lab.client().run(&create);
    let newest = "SELECT id FROM saga WHERE name = 'project-create'";
    let stuck: String = database.query_row(newest, [], |row| row.get(0)).expect("a saga");
    let report = poll_until("it is stuck", || {
        let (code, report) = lab.check(&["--only", "I8"]);
        (code == 1).then_some(report)
    });
    assert!(told_of(&report, "I8", &stuck).contains("vpc/system_router failed"), "{report:#}");
    let idle = lab.demo_saga();
    let (code, report) = lab.check(&["--max-idle", "1ms", "--only", "I5,I4"]);
    assert_eq!((code, with_verdict(&report, "fail")), (1, vec!["I5".to_owned()]), "{report:#}");
    assert!(told_of(&report, "I5", &idle).contains("at node 0 demo_wait (limit 1ms)"), "{report:#}");
}

/// Any age is young enough, so that recorded databases do not grow old.
fn recorded(url: &str, env: &TestEnv, name: &str) {
    let nobody = "http://127.0.0.1:1";
    let run = env.run(&["check", "--db-url", url, "--url", nobody, "--max-idle", "9999years"]);
    assert!(matches!(run.code, 0 | 1), "{run}");
    let text = run.to_string().replace(url, "DB");
    insta::assert_snapshot!(name, text);
}

#[test]
fn recorded_databases_in_sqlite() {
    for database in Recorded::ALL {
        let env = TestEnv::new();
        let url = database.in_sqlite(&env);
        recorded(
            &url.replace(env.path().to_str().expect("text"), "."),
            &env,
            &format!("{}_sqlite", database.name()),
        );
    }
}

#[test]
fn recorded_databases_in_postgresql_tell_the_same() {
    for database in Recorded::ALL {
        let Some(in_postgres) = database.in_postgres() else { continue };
        let env = TestEnv::new();
        let in_sqlite = database.in_sqlite(&env);
        let nobody = ["--url", "http://127.0.0.1:1", "--all"];
        let (_, mut one) = check(&env, &[&["--db-url", &in_sqlite], &nobody[..]].concat());
        let (_, mut other) = check(&env, &[&["--db-url", &in_postgres.url()], &nobody[..]].concat());
        for report in [&mut one, &mut other] {
            report["time"] = Value::Null;
            report["looked_at"]["database"] = Value::Null;
        }
        // Whether a loopback address is here or on the server's machine is known of a file alone.
        assert_eq!(one["invariants"], other["invariants"], "{}", database.name());
    }
}

/// A Nexus that tells this of its recovery and knows nothing else.
fn nexus(task: &str) -> Server {
    let mut task = fixture_json(task);
    // As if it were of this moment: what is told must not depend on when the test runs.
    for time in ["/last/details/start_time", "/current/details/start_time"] {
        if let Some(time) = task.pointer_mut(time) {
            *time = json!(sagactl::wire::time::now());
        }
    }
    Server::start(move |request, _| match request.path.split('?').next().unwrap_or_default() {
        "/bgtasks/view/saga_recovery" => Reply::json(200, task.to_string()),
        "/sagas" => Reply::json(200, json!({"items": [], "next_page": null}).to_string()),
        _ => Reply::no_route(),
    })
}

#[test]
fn recorded_reports_of_recovery() {
    let verdicts = |task: &str| {
        let server = nexus(task);
        let run = TestEnv::at(&server).run(&["check", "--only", "I6,I7", "-o", "json"]);
        let report = report(&run);
        let told = |index: usize| {
            let judged = &report["invariants"][index];
            let evidence = judged["evidence"].as_array().expect("a list");
            let texts = evidence.iter().map(|problem| &problem["text"]).chain([&judged["reason"]]);
            let word = |field: &str| judged[field].as_str().expect("a word").to_owned();
            let mut lines = format!("\n  {} {}", word("id"), word("verdict"));
            for text in texts.filter_map(Value::as_str) {
                lines.push_str(&format!("\n    {}", steady(text)));
            }
            lines
        };
        format!("{}{}{}", run.code, told(0), told(1))
    };
    let all: Vec<String> = [
        "nexus/task-2024.json",
        "nexus/task-2026.json",
        "nexus/task-running.json",
        "nexus/task-never.json",
        "nexus/task-failed-pass.json",
        "nexus/task-error.json",
        "nexus/task-newer.json",
        "nexus/task-unknown-shape.json",
        "nexus/task-wrong-report.json",
        "nexus/task-wrong-type.json",
        "coordinator/task.json",
    ]
    .iter()
    .map(|task| format!("{task}: {}", verdicts(task)))
    .collect();
    insta::assert_snapshot!("recorded_reports", all.join("\n"));
}

#[test]
fn wrong_usage_has_its_own_words() {
    let env = TestEnv::new();
    let url = Recorded::Sagactl.in_sqlite(&env);
    for (arguments, words) in [
        (&["--only", "I13"][..], "invariants are I1 to I12"),
        (&["--saga", "ffffffff"], "unknown saga"),
        (&["--max-idle", "soon"], "durations look like"),
        (&["--history", "/"], "the history cannot be used"),
        (&["--client", "nothing.jsonl"], "the record cannot be used"),
    ] {
        let run = env.run(&[&["check", "--db-url", &url], arguments].concat());
        assert_eq!(run.code, 2, "{run}");
        assert!(run.stderr.contains(words), "{run}");
    }
    let run = env.run(&["check", "--db-url", "sqlite:nothing.db"]);
    assert_eq!(run.code, 2, "{run}");
}
