//! `sagactl status`.

use crate::support::server::{Reply, Server, closed_port};
use crate::support::{TestEnv, fixture, fixture_json, poll_until, steady};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An older coordinator of ours.
fn coordinator() -> Server {
    Server::coordinator(fixture_json("coordinator/info.json"), Reply::no_route)
}

#[test]
fn our_coordinator_tells_everything() {
    insta::assert_snapshot!(TestEnv::at(&coordinator()).run(&["status"]), @r#"
    coordinator: SEC 65a11c18-7f59-41ac-b9e7-680627f99600 at http://127.0.0.1:PORT, version 0.1.0, pid 4711, up …
      store: sqlite:/nonexistent/sagactl.db
      state: healthy, ready, NOT recovered; 29 sagas in flight, 17 of them taken up by recovery

    task: "saga_recovery"
      configured period: every 10m
      currently executing: no
      last completed activation: iter 7, triggered by a periodic timer firing
        started at 2026-11-02T09:15:22.640Z (… ago) and ran for 81ms
        since coordinator started:
            sagas recovered:           11
            sagas recovery errors:     12
            sagas observed started:  1300
            sagas inferred finished:   14
            missing from SEC:           2
            bad state in SEC:           3
        last pass:
            found sagas:  15 (in-progress, assigned to this coordinator)
            recovered:     4 (successfully)
            failed:        5
            skipped:       6 (already running)
            removed:       8 (newly finished)
        recent passes (2):
          ITER  TRIGGER  START                        TOOK  FOUND  RECOVERED  FAILED  SKIPPED  REMOVED  RESULT
             7  timer    2026-11-02T09:15:22.640Z     81ms     15          4       5        6        8  completed
             6  signal   2026-11-02T09:05:22.500Z  30s 1ms      -          -       -        -        -  FAILED: listing sagas: no connection to the database
        recently recovered sagas (2):
          TIME                      SAGA_ID                               NAME            STATE_NOW
          2026-11-02T09:15:22.709Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002  project-create  ?
          2026-11-02T09:15:22.701Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001  demo            ?
        recent sagas recovery failures (2):
          TIME                      SAGA_ID                               KIND       MESSAGE
          2026-11-02T09:15:22.719Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0008  transient  Service Unavailable: no connection
          2026-11-02T09:15:22.718Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0009  permanent  Internal Error: failed to resume saga: deserialize failed: expected value at line 1 column 1
    note: nothing is known from the database: cannot open database /nonexistent/sagactl.db: there is no such file
    = 0
    "#);
}

#[test]
fn both_vintages_of_a_nexus_are_read() {
    let run = |fixture_name: &str| TestEnv::at(&Server::nexus(&fixture(fixture_name))).run(&["status"]);
    insta::assert_snapshot!(run("nexus/task-2026.json"), @r#"
    coordinator: at http://127.0.0.1:PORT

    task: "saga_recovery"
      configured period: every 10m
      currently executing: no
      last completed activation: iter 7, triggered by a periodic timer firing
        started at 2026-11-02T09:15:22.640Z (… ago) and ran for 81ms
        since coordinator started:
            sagas recovered:           11
            sagas recovery errors:     12
            sagas observed started:  1300
            sagas inferred finished:   14
            missing from SEC:           2
            bad state in SEC:           3
        last pass:
            found sagas:  15 (in-progress, assigned to this coordinator)
            recovered:     4 (successfully)
            failed:        5
            skipped:       6 (already running)
            removed:       8 (newly finished)
        recently recovered sagas (2):
          TIME                      SAGA_ID                               NAME  STATE_NOW
          2026-11-02T09:15:22.709Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002  ?     ?
          2026-11-02T09:15:22.701Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001  ?     ?
        recent sagas recovery failures (2):
          TIME                      SAGA_ID                               KIND       MESSAGE
          2026-11-02T09:15:22.719Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0008  transient  Service Unavailable: no connection
          2026-11-02T09:15:22.718Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0009  permanent  Internal Error: failed to resume saga: deserialize failed: expected value at line 1 column 1
    note: the coordinator does not say who it is (it has no GET /info)
    note: the coordinator keeps no history of passes
    note: nothing is known from the database: no database; --db-url names one
    = 0
    "#);
    insta::assert_snapshot!(run("nexus/task-2024.json"), @r#"
    coordinator: at http://127.0.0.1:PORT

    task: "saga_recovery"
      configured period: every 10m
      currently executing: no
      last completed activation: iter 7, triggered by a periodic timer firing
        started at 2026-11-02T09:15:22.640Z (… ago) and ran for 81ms
        since coordinator started:
            sagas recovered:           11
            sagas recovery errors:     12
            sagas observed started:  1300
            sagas inferred finished:   14
            missing from SEC:           2
            bad state in SEC:           3
        last pass:
            found sagas:  15 (in-progress, assigned to this coordinator)
            recovered:     4 (successfully)
            failed:        5
            skipped:       6 (already running)
            removed:       8 (newly finished)
        recently recovered sagas (2):
          TIME                      SAGA_ID                               NAME  STATE_NOW
          2026-11-02T09:15:22.709Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002  ?     ?
          2026-11-02T09:15:22.701Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001  ?     ?
        recent sagas recovery failures (2):
          TIME                      SAGA_ID                               KIND  MESSAGE
          2026-11-02T09:15:22.719Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0008  ?     Service Unavailable: no connection
          2026-11-02T09:15:22.718Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0009  ?     Internal Error: failed to resume saga: deserialize failed: expected value at line 1 column 1
    note: the coordinator does not say who it is (it has no GET /info)
    note: the coordinator keeps no history of passes
    note: nothing is known from the database: no database; --db-url names one
    = 0
    "#);
}

#[test]
fn an_activation_under_way_and_one_that_never_was() {
    let block = |fixture_name: &str| {
        let run = TestEnv::at(&Server::nexus(&fixture(fixture_name))).run(&["status"]);
        assert_eq!(run.code, 0);
        steady(&run.stdout).lines().skip(2).take(6).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(block("nexus/task-running.json"), @r#"
    task: "saga_recovery"
      configured period: every 10m
      currently executing: iter 9, triggered by an explicit signal
        started at 2026-11-02T09:20:01.118Z, running for …
      last completed activation: iter 7, triggered by a periodic timer firing
        started at 2026-11-02T09:15:22.640Z (… ago) and ran for 81ms
    "#);
    insta::assert_snapshot!(block("nexus/task-never.json"), @r#"
    task: "saga_recovery"
      configured period: every 10m
      currently executing: no
      last completed activation: never
    note: the coordinator does not say who it is (it has no GET /info)
    note: nothing is known from the database: no database; --db-url names one
    "#);
}

#[test]
fn a_failed_pass_and_a_task_that_reports_an_error_are_answers() {
    for (name, line) in [
        (
            "nexus/task-failed-pass.json",
            "    last pass FAILED: listing sagas: no connection to the database\n",
        ),
        ("nexus/task-error.json", "    last activation FAILED: no connection to the database\n"),
    ] {
        let run = TestEnv::at(&Server::nexus(&fixture(name))).run(&["status"]);
        assert_eq!((run.code, run.stdout.contains(line)), (0, true), "{run}");
    }
}

#[test]
fn fields_that_nobody_knows_stay_in_the_details() {
    let run = TestEnv::at(&Server::nexus(&fixture("nexus/task-newer.json"))).run(&["status", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    let status: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(status["details"]["ntotal_adopted"], 22);
    assert_eq!(status["details"]["last_pass"]["Success"]["nadopted"], 23);
    assert_eq!(status["last_pass"]["found"], 15);
}

#[test]
fn a_report_of_an_unknown_shape_is_shown_as_it_came() {
    let server = Server::nexus(&fixture("nexus/task-unknown-shape.json"));
    let run = TestEnv::at(&server).run(&["status"]);
    insta::assert_snapshot!(run, @r#"
    coordinator: at http://127.0.0.1:PORT

    task: "saga_recovery"
      configured period: every 10m
      currently executing: no
      last completed activation: iter 7, triggered by a periodic timer firing
        started at 2026-11-02T09:15:22.640Z (… ago) and ran for 81ms
        details:
            {
              "note": "\u001b[2Jhello",
              "passes": {
                "bad": 1,
                "ok": 17
              }
            }
    note: the coordinator does not say who it is (it has no GET /info)
    note: the recovery report is of a shape that this version does not know: it has no field "last_pass"
    note: nothing is known from the database: no database; --db-url names one
    = 0
    "#);
}

#[test]
fn a_wrong_type_is_named_with_its_place() {
    let run = |name: &str| {
        let server = Server::nexus(&fixture(name));
        TestEnv::at(&server).run(&["status"])
    };
    insta::assert_snapshot!(run("nexus/task-wrong-type.json"), @r#"
    ! error: cannot make sense of the answer from http://127.0.0.1:PORT
    ! caused by: fetching background task "saga_recovery": unexpected JSON at last.details.iteration: invalid type: string "seven", expected u64
    ! hint: a coordinator of another version perhaps; curl shows the whole answer
    = 5
    "#);
    // What could be read is shown all the same.
    let run = run("nexus/task-wrong-report.json");
    assert!(
        run.stdout.contains("  last completed activation: iter 7, triggered by a periodic timer firing\n")
    );
    assert!(run.stdout.contains("\"nfound\": \"fifteen\""), "{run}");
    assert_eq!(run.code, 5);
    assert!(run.stderr.contains(
        "error: cannot read the recovery report\ncaused by: unexpected JSON at \
         last.details.details.last_pass.Success.nfound: invalid type: string \"fifteen\", expected u64\n"
    ));
}

#[test]
fn ids_are_the_recovered_sagas() {
    insta::assert_snapshot!(TestEnv::at(&coordinator()).run(&["status", "-o", "ids"]), @"
    0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002
    0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001
    = 0
    ");
}

#[test]
fn json_has_every_documented_field_and_one_line_per_document_on_request() {
    let server = coordinator();
    let env = TestEnv::at(&server);
    let status: Value = serde_json::from_str(&env.run(&["status", "-o", "json"]).stdout).unwrap();
    let fields: Vec<&str> = status.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        [
            "coordinator",
            "database",
            "details",
            "failed_sagas",
            "last_pass",
            "notes",
            "recent_passes",
            "recent_recoveries",
            "recovery_failures",
            "sagas",
            "since_start",
            "task"
        ]
    );
    assert_eq!(status["since_start"]["recovered"], 11);
    assert_eq!(status["since_start"]["recovery_errors"], 12);
    assert_eq!(status["details"], fixture_json("coordinator/task.json")["last"]["details"]["details"]);
    assert_eq!(status["failed_sagas"], Value::Null);

    let lines = env.run(&["-o", "jsonl", "status"]).stdout;
    assert_eq!(lines.lines().count(), 1);
    assert_eq!(serde_json::from_str::<Value>(&lines).unwrap()["recent_passes"], status["recent_passes"]);
}

#[test]
fn the_database_says_what_became_of_the_recovered() {
    let server = coordinator();
    let env = TestEnv::at(&server);
    let path = env.path().join("sagas.db");
    make_database(&path);
    let run = env.run(&["status", "--db-url", &format!("sqlite:{}", path.display())]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run}");
    let rows: Vec<&str> =
        run.stdout.lines().skip_while(|line| !line.contains("recently recovered")).skip(1).take(3).collect();
    insta::assert_snapshot!(rows.join("\n"), @"
    TIME                      SAGA_ID                               NAME                  STATE_NOW
    2026-11-02T09:15:22.709Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002  project-create        ?
    2026-11-02T09:15:22.701Z  0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001  demo-of-the-database  running
    ");
    assert!(!run.stdout.contains("note: "), "{run}");
}

/// A database that knows one of the two sagas of the fixture.
fn make_database(path: &std::path::Path) {
    use sagactl::store::sqlite::{OpenOptions, SqliteStore};
    use sagactl::store::{Store as _, Until, sagas};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = SqliteStore::open(path, OpenOptions::new(Arc::new(|reason| panic!("{reason}")))).unwrap();
    let saga = sagas::NewSaga {
        id: "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001".parse().unwrap(),
        creator: "65a11c18-7f59-41ac-b9e7-680627f99600".parse().unwrap(),
        time_created: "2026-11-02T09:00:00Z".parse().unwrap(),
        name: "demo-of-the-database".to_owned(),
        dag: "{}".to_owned(),
        idempotency: None,
    };
    runtime.block_on(store.write(sagas::create(saga), Until::Durable)).unwrap();
}

#[test]
fn a_database_out_of_reach_takes_nothing_away_from_the_rest() {
    let server = coordinator();
    let env = TestEnv::at(&server);
    for (arguments, reason) in [
        (&["status"][..], "cannot open database /nonexistent/sagactl.db: there is no such file"),
        (&["status", "--db-url", "sqlite:none.db"], "cannot open database none.db: there is no such file"),
        (
            &["status", "--db-url", "postgresql://root:s3cret@127.0.0.1:1/omicron"],
            "cannot connect to postgresql://root@127.0.0.1:1/omicron: error connecting to server: Connection refused",
        ),
    ] {
        let run = env.run(arguments);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run}");
        let note = format!("note: nothing is known from the database: {reason}");
        assert!(run.stdout.contains(&note), "{run}");
    }
}

#[test]
fn rows_are_limited_on_request() {
    let server = coordinator();
    let env = TestEnv::at(&server);
    let run = env.run(&["status", "--limit", "1"]);
    assert_eq!(run.stdout.matches("(newest 1 of 2; --limit shows more):").count(), 3, "{run}");
    assert_eq!(env.run(&["status", "--limit", "0"]).stdout.matches("(2):").count(), 3);
}

#[test]
fn a_narrow_width_cuts_messages_only() {
    let server = coordinator();
    let run = TestEnv::at(&server).with("COLUMNS", "100").run(&["status"]);
    let failure = run.stdout.lines().find(|line| line.contains("permanent")).unwrap();
    assert_eq!(failure.chars().count(), 100, "{failure}");
    assert!(failure.ends_with('…'));
}

#[test]
fn colours_come_when_asked_for_and_not_otherwise() {
    let server = coordinator();
    let coloured = |env: TestEnv, arguments: &[&str]| env.run(arguments).stdout.contains('\u{1b}');
    assert!(!coloured(TestEnv::at(&server), &["status"]));
    assert!(coloured(TestEnv::at(&server), &["status", "--color", "always"]));
    assert!(coloured(TestEnv::at(&server).with("NO_COLOR", "1"), &["status", "--color=always"]));
    assert!(!coloured(
        TestEnv::at(&server).with_config("[contexts.default]\ncolor = \"always\"\n").with("NO_COLOR", "1"),
        &["status"]
    ));
    assert!(coloured(
        TestEnv::at(&server).with_config("[contexts.default]\ncolor = \"always\"\n"),
        &["status"]
    ));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let server = coordinator();
    let env = TestEnv::at(&server);
    let mut child = env.command(&["status", "--watch=1ms"]).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("coordinator: SEC "), "{first}");
    // The reader is gone now, as with `| head -1`.
    let status = poll_until("the watcher ends", || child.try_wait().unwrap());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn watching_survives_a_lost_connection_and_says_so() {
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let server = Server::start(move |request, _| match request.path.as_str() {
        _ if is_down.load(Ordering::SeqCst) => Reply::Close,
        "/bgtasks/view/saga_recovery" => Reply::fixture(200, "nexus/task-2026.json"),
        _ => Reply::no_route(),
    });
    let env = TestEnv::at(&server).with("SAGACTL_NO_RETRY", "1");
    let mut child = env.command(&["status", "--watch=5ms", "-o", "jsonl"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    lines.next().unwrap().unwrap();

    down.store(true, Ordering::SeqCst);
    let lost = steady(&notes.next().unwrap().unwrap());
    assert!(
        lost.starts_with("note: no answer: no answer from the coordinator at http://127.0.0.1:PORT: "),
        "{lost}"
    );
    assert!(lost.ends_with("; still trying"), "{lost}");

    down.store(false, Ordering::SeqCst);
    let back = notes.next().unwrap().unwrap();
    assert!(back.starts_with("note: answers again, after "), "{back}");
    serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();

    interrupt(&child);
    let status = poll_until("the watcher ends", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
}

/// Presses ^C.
fn interrupt(child: &std::process::Child) {
    let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

#[test]
fn watching_a_table_separates_the_looks() {
    let server = coordinator();
    let env = TestEnv::at(&server);
    let mut child = env.command(&["status", "--watch=1ms"]).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let text: Vec<String> = lines.map(Result::unwrap).take(80).collect();
    let second = text.iter().skip(1).position(|line| line.starts_with("coordinator: ")).unwrap() + 1;
    assert_eq!(text[second - 1], "");
    poll_until("the watcher ends", || child.try_wait().unwrap());
}

#[test]
fn watching_goes_with_some_formats_only() {
    let env = TestEnv::new().with("SAGACTL_URL", &closed_port());
    for format in ["json", "ids"] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(env.run(&["status", "--watch", "-o", format]), @"
            ! error: --watch goes with the output formats table and jsonl
            = 2
            ");
        }
    }
    insta::assert_snapshot!(env.run(&["status", "--watch=0s"]), @"
    ! error: invalid value '0s' for '--watch[=<INTERVAL>]': must be more than zero
    ! 
    ! For more information, try '--help'.
    = 2
    ");
}

#[test]
fn a_coordinator_without_saga_recovery_is_an_error() {
    let server = Server::start(|request, _| match request.path.as_str() {
        "/bgtasks/view/saga_recovery" => Reply::fixture(404, "nexus/error-unknown-task.json"),
        _ => Reply::no_route(),
    });
    insta::assert_snapshot!(TestEnv::at(&server).run(&["status"]), @r#"
    ! error: the coordinator at http://127.0.0.1:PORT has no background task "saga_recovery"
    ! hint: `sagactl tasks list` shows what it has; is it a coordinator of sagas?
    = 2
    "#);
}
