//! `sagactl status` of a coordinator that tells what its database says, and what becomes of it when it does not.

use crate::postgres::Server as Postgres;
use crate::support::coordinator::Coordinator;
use crate::support::server::{Reply, Server};
use crate::support::{TestEnv, fixture_json, poll_until};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

fn coordinator(overview: impl Fn() -> Reply + Send + Sync + 'static) -> Server {
    Server::coordinator(fixture_json("coordinator/info.json"), overview)
}

fn status_json(env: &TestEnv, more: &[&str]) -> Value {
    let run = env.run(&[&["status", "-o", "json"], more].concat());
    assert_eq!(run.code, 0, "{run}");
    serde_json::from_str(&run.stdout).expect("JSON")
}

#[test]
fn one_answer_has_it_all() {
    let server = coordinator(|| Reply::fixture(200, "coordinator/overview.json"));
    let run = TestEnv::at(&server).run(&["status"]);
    // The database that it names is not there, so nobody but the coordinator can have asked it. The parts are asked for only
    // where it does not come at once.
    let asked = server.asked();
    assert_eq!(asked[0], "GET /overview");
    assert!(asked.len() == 1 || run.took > Duration::from_millis(100), "{asked:?}");
    let shown = crate::support::steady(&run.stdout);
    let (_, recovered) = shown.split_once("recently recovered").expect("a table");
    insta::assert_snapshot!(recovered.trim_start(), @r#"
    sagas (2):
          TIME                      SAGA_ID                               NAME            STATE_NOW
          2026-11-02T09:15:22.709Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002  project-create  done
          2026-11-02T09:15:22.701Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001  demo            running
        recent sagas recovery failures (2):
          TIME                      SAGA_ID                               KIND       MESSAGE
          2026-11-02T09:15:22.719Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0008  transient  Service Unavailable: no connection
          2026-11-02T09:15:22.718Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0009  permanent  Internal Error: failed to resume saga: deserialize failed: expected value at line 1 column 1

    database: sqlite:/nonexistent/sagactl.db (sagactl schema 3), as the coordinator sees it
        recently failed sagas (2):
          TIME                      SAGA_ID                               NAME        OUTCOME  FAILED_NODE      ERROR         UNDO_ERROR
          2026-11-02T09:14:00.250Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0021  vpc-create  stuck    subnet_create    no room       (not recorded)
          2026-11-02T09:13:00.250Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0022  ?�\x1b[2J   failed   firewall_create  told to fail  -
        unfinished sagas (30):
          NAME            STATE      COUNT
          project-create  running       29
          ?               unwinding      1
        newest 100 sagas:
          NAME            STATE    OUTCOME    COUNT
          project-create  done     succeeded     70
          project-create  running  -             29
          vpc-create      done     stuck          1
    "#);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run}");
}

#[test]
fn an_answer_that_comes_late_is_still_the_whole_answer() {
    let server = coordinator(|| {
        std::thread::sleep(Duration::from_millis(400));
        Reply::fixture(200, "coordinator/overview.json")
    });
    let status = status_json(&TestEnv::at(&server), &[]);
    assert_eq!((&status["database"]["seen_by"], &status["notes"]), (&json!("coordinator"), &json!([])));
    assert!(server.asked().contains(&"GET /info".to_owned()), "{:?}", server.asked());
}

#[test]
fn the_json_is_that_of_the_parts_and_what_the_database_says() {
    let whole = coordinator(|| Reply::fixture(200, "coordinator/overview.json"));
    let parts = coordinator(Reply::no_route);
    let mut whole = status_json(&TestEnv::at(&whole), &[]);
    let mut parts = status_json(&TestEnv::at(&parts), &[]);
    insta::assert_snapshot!(serde_json::to_string_pretty(&whole["failed_sagas"][1]).expect("JSON"), @r#"
    {
      "created": null,
      "current_sec": null,
      "error": "told to fail",
      "failed_node": "firewall_create",
      "last_event": "2026-11-02T09:13:00.250Z",
      "name": null,
      "nodes_done": 3,
      "nodes_total": null,
      "outcome": "failed",
      "saga_id": "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0022",
      "state": "done",
      "undo_error": null,
      "undo_failed_node": null,
      "unreadable": {
        "name": "�\u001b[2J"
      }
    }
    "#);
    assert_eq!(whole["sagas"]["newest"]["groups"][1]["outcome"], Value::Null);
    assert_eq!(whole["sagas"]["unfinished"]["groups"][1]["name"], "?");
    assert_eq!(whole["recent_recoveries"][0]["state"], "done");
    assert_eq!(whole["database"]["seen_by"], "coordinator");
    assert_eq!(
        (&whole["notes"], &parts["sagas"], &parts["database"]),
        (&json!([]), &Value::Null, &Value::Null)
    );
    for status in [&mut whole, &mut parts] {
        for field in ["failed_sagas", "sagas", "database", "notes"] {
            status[field].take();
        }
        for field in ["url", "uptime_secs"] {
            status["coordinator"][field].take();
        }
        for recovered in status["recent_recoveries"].as_array_mut().expect("recoveries") {
            for field in ["name", "state", "current_sec"] {
                recovered[field].take();
            }
        }
    }
    assert_eq!(whole, parts);
}

#[test]
fn fields_that_nobody_knows_stay_in_the_details() {
    let mut overview = fixture_json("coordinator/overview.json");
    overview["task"]["last"]["details"]["details"]["ntotal_adopted"] = json!(22);
    overview["weather"] = json!("fine");
    let server = coordinator(move || Reply::json(200, overview.to_string()));
    assert_eq!(status_json(&TestEnv::at(&server), &[])["details"]["ntotal_adopted"], 22);
}

#[test]
fn a_part_that_is_missing_takes_nothing_away_from_the_rest() {
    let overview = |change: fn(&mut Value)| {
        let mut overview = fixture_json("coordinator/overview.json");
        change(&mut overview["database"]);
        let run = TestEnv::at(&coordinator(move || Reply::json(200, overview.to_string()))).run(&["status"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run}");
        run.stdout
    };
    let shown =
        overview(|database| database["present"]["failed"] = json!({"missing": "no \u{1b}[31m index"}));
    assert!(shown.contains("note: which sagas failed is not known: no \\x1b[31m index\n"), "{shown}");
    assert!(shown.contains("unfinished sagas (30):"), "{shown}");
    // The tool has no better luck with the file that is named, so what the coordinator says stands.
    let shown = overview(|database| *database = json!({"missing": "it is on fire"}));
    assert!(shown.contains("note: nothing is known from the database: it is on fire\n"), "{shown}");
    assert!(shown.contains("sagas recovered:           11\n"), "{shown}");
}

#[test]
fn a_database_that_the_user_names_is_looked_at_without_anybody_between() {
    let server = coordinator(|| Reply::fixture(200, "coordinator/overview.json"));
    let env = TestEnv::at(&server);
    let run = env.run(&["status", "--db-url", "sqlite:none.db"]);
    assert!(
        run.stdout.contains("note: nothing is known from the database: cannot open database none.db"),
        "{run}"
    );
    assert!(!server.asked().contains(&"GET /overview".to_owned()), "{:?}", server.asked());
}

#[test]
fn without_an_overview_the_parts_are_asked_for_and_the_database_itself() {
    let env = TestEnv::new();
    let data_dir = env.path().join("data");
    // Its database is there after it has ended, and says whose it was.
    let mut real = Coordinator::start(&env, &data_dir, &[]);
    assert_eq!(real.env().run(&["demo-saga", "create"]).code, 0);
    real.kill();
    let db_url = real.ready.db_url.clone();
    let overviews: [fn() -> Reply; 5] = [
        Reply::no_route,
        || Reply::fixture(500, "nexus/error-internal.json"),
        || Reply::json(200, "{\"info\": {}}"),
        || {
            let mut overview = fixture_json("coordinator/overview.json");
            overview["database"]["present"]["failed"]["present"][0]["outcome"] = json!("postponed");
            Reply::json(200, overview.to_string())
        },
        || Reply::Hang,
    ];
    for (number, overview) in overviews.into_iter().enumerate() {
        let mut info = fixture_json("coordinator/info.json");
        info["db_url"] = json!(db_url);
        let server = Server::coordinator(info, overview);
        let run = TestEnv::at(&server).run(&["status", "--timeout", "10s"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{number}: {run}");
        assert!(run.stdout.contains(&format!("database: {db_url} (sagactl schema ")), "{number}: {run}");
        assert!(run.stdout.contains("unfinished sagas (1):"), "{number}: {run}");
        assert!(!run.stdout.contains("note: "), "{number}: {run}");
    }
}

#[test]
fn what_is_out_of_the_coordinators_reach_is_looked_at_from_here() {
    let env = TestEnv::new();
    let data_dir = env.path().join("data");
    let mut real = Coordinator::start(&env, &data_dir, &[]);
    real.kill();
    let mut overview = fixture_json("coordinator/overview.json");
    overview["info"]["db_url"] = json!(real.ready.db_url);
    overview["database"] = json!({"missing": "it has no descriptors left"});
    let status = status_json(&TestEnv::at(&coordinator(move || Reply::json(200, overview.to_string()))), &[]);
    assert_eq!(status["database"]["seen_by"], "sagactl");
    assert_eq!((&status["sagas"]["newest"]["counted"], &status["notes"]), (&json!(0), &json!([])));
}

/// What is different each time one looks.
fn still(mut status: Value) -> Value {
    status["coordinator"]["uptime_secs"].take();
    status["database"]["seen_by"].take();
    status
}

fn make_saga(coordinator: &Coordinator) -> String {
    let run = coordinator.env().run(&["demo-saga", "create", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    let saga: Value = serde_json::from_str(&run.stdout).expect("JSON");
    saga["saga_id"].as_str().expect("an id").to_owned()
}

/// One saga fails, one is recovered, one waits; and the coordinator tells of them what a look at its database sees.
fn tells_what_its_database_says(
    env: &TestEnv,
    mut coordinator: Coordinator,
    db_url: &str,
    more: &[&str],
) -> Coordinator {
    make_saga(&coordinator);
    let failing = make_saga(&coordinator);
    let there = coordinator.env();
    poll_until("it has begun to wait, and can be made to fail", || {
        let run = there.run(&["sagas", "inject-error", &failing, "--node", "demo_wait", "-w", "-y"]);
        (run.code == 0).then_some(())
    });
    poll_until("it has failed", || {
        (status_json(&there, &[])["failed_sagas"][0]["saga_id"] == *failing).then_some(())
    });
    coordinator.kill();
    coordinator.restart_with(env, more);
    make_saga(&coordinator);
    let told = poll_until("one saga has been recovered, and all is said", || {
        let told = status_json(&there, &[]);
        (told["recent_recoveries"][0]["state"] == "running" && told["notes"] == json!([])).then_some(told)
    });
    assert_eq!(told["database"]["seen_by"], "coordinator");
    assert_eq!(told["failed_sagas"][0]["error"], "injected error");
    assert_eq!(told["sagas"]["newest"]["counted"], 3);
    assert_eq!(told["sagas"]["unfinished"]["counted"], 2);
    poll_until("both ways of looking see the same", || {
        let itself = status_json(&there, &["--db-url", db_url]);
        (still(status_json(&there, &[])) == still(itself)).then_some(())
    });
    coordinator
}

#[test]
fn a_real_coordinator_tells_what_is_in_its_file() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let db_url = coordinator.ready.db_url.clone();
    let coordinator = tells_what_its_database_says(&env, coordinator, &db_url, &[]);

    let file = env.path().join("data/sagactl.db");
    let away = env.path().join("data/away.db");
    std::fs::rename(&file, &away).expect("renamed");
    let run = coordinator.env().run(&["status"]);
    assert!(run.stdout.contains("there is no such file\n"), "{run}");
    assert!(run.stdout.contains("sagas recovered:"), "{run}");
    std::fs::rename(&away, &file).expect("renamed");
    poll_until("all is said again", || {
        (status_json(&coordinator.env(), &[])["notes"] == json!([])).then_some(())
    });
}

#[test]
fn a_real_coordinator_tells_what_is_on_its_server() {
    let database = Postgres::shared().database();
    let url = database.url();
    let env = TestEnv::new();
    let more = ["--db-url", &url];
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &more);
    let coordinator = tells_what_its_database_says(&env, coordinator, &url, &more);

    // Somebody holds a table for a long time; what is in memory is told all the same.
    let mut holder =
        database.shell().stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("psql starts");
    let mut held = holder.stdin.take().expect("piped");
    writeln!(held, "BEGIN; LOCK TABLE saga;").expect("psql reads");
    poll_until("the table is held", || {
        let held = "SELECT count(*) FROM pg_locks JOIN pg_class ON pg_class.oid = relation
            JOIN pg_database d ON d.oid = database AND d.datname = current_database()
            WHERE relname = 'saga' AND mode = 'AccessExclusiveLock' AND granted";
        (database.sql(held) == "1").then_some(())
    });
    for _ in 0..2 {
        let run = coordinator.env().run(&["status", "-o", "json"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run}");
        let status: Value = serde_json::from_str(&run.stdout).expect("JSON");
        assert_eq!((&status["sagas"], &status["failed_sagas"]), (&Value::Null, &Value::Null), "{run}");
        assert_eq!(status["since_start"]["recovered"], 1);
        // Three seconds there, and as much here.
        assert!(run.took < Duration::from_secs(12), "{:?}", run.took);
    }
    drop(held);
    holder.wait().expect("psql ends");
    poll_until("all is said again", || {
        (status_json(&coordinator.env(), &[])["notes"] == json!([])).then_some(())
    });
}
