//! `sagactl blast` against servers that behave, misbehave, or are not there.

mod clean;
mod files;
mod rules;

use crate::support::coordinator::Coordinator;
use crate::support::server::{Reply, Server, closed_port};
use crate::support::{TestEnv, poll_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

/// Some id of a project.
const ID: &str = "6a8a9a7e-34f5-4b3b-8c3a-0a4f2d1e7c55";

fn report(stdout: &str) -> Value {
    let report: Value = serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
    let number = |name: &str| report[name].as_u64().expect("a number");
    assert_eq!(number("started"), number("done") + number("failed") + number("in_doubt"), "{report}");
    report
}

fn against(server: &Server) -> TestEnv {
    TestEnv::new().with("SAGACTL_EXTERNAL_URL", &server.url()).with("SAGACTL_URL", &server.url())
}

#[test]
fn every_request_is_accounted_for() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let run = coordinator.env().run(&[
        "blast",
        "--count",
        "20",
        "--concurrency",
        "1",
        "--run-id",
        "r1",
        "-o",
        "json",
    ]);
    assert_eq!(run.code, 0, "{run}");
    let report = report(&run.stdout);
    assert_eq!((&report["started"], &report["done"]), (&20.into(), &20.into()));
    assert_eq!(report["run_id"], "r1");
    assert_eq!(report["reconciliation"]["acknowledged_recorded"], 20);
    let count = |stem: &str| -> i64 {
        let sql = "SELECT count(*) FROM project WHERE name LIKE ?1 || '%'";
        coordinator.database().query_row(sql, [stem], |row| row.get(0)).expect("a count")
    };
    assert_eq!(count("dummy-r1-"), 20);
    // The same run once more is made of the same names, and the server gives the first results for the same keys.
    let run =
        coordinator.env().run(&["blast", "--count", "20", "--concurrency", "1", "--run-id", "r1", "--quiet"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(count("dummy-r1-"), 20);
    assert!(run.stdout.contains("reconciliation with the records: consistent"), "{run}");
}

#[test]
fn an_acknowledged_project_that_is_gone_is_lost_and_named() {
    // A server that acknowledges everything and records nothing.
    let server = Server::start(|request, _| match request.method.as_str() {
        "POST" => {
            let body: Value = serde_json::from_str(&request.body).expect("JSON");
            Reply::json(201, format!(r#"{{"id":"{ID}","name":{}}}"#, body["name"]))
        }
        _ if request.path.starts_with("/v1/projects") => Reply::json(200, r#"{"items":[],"next_page":null}"#),
        _ => Reply::no_route(),
    });
    let run =
        against(&server).run(&["blast", "--count", "2", "--concurrency", "1", "--run-id", "r", "-o", "json"]);
    assert_eq!(run.code, 1, "{run}");
    let report = report(&run.stdout);
    assert_eq!(report["reconciliation"]["lost_names"], serde_json::json!(["dummy-r-0-0", "dummy-r-0-1"]));
}

#[test]
fn a_dead_server_is_no_success() {
    let url = closed_port();
    let env = TestEnv::new().with("SAGACTL_EXTERNAL_URL", &url).with("SAGACTL_URL", &url);
    let run = env.run(&["blast", "--ignore-errors", "--count", "5", "-o", "json"]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains("error: nothing could be sent\ncaused by: connecting to"), "{run}");
    let report = report(&run.stdout);
    assert_eq!((&report["done"], &report["failed"]), (&0.into(), &5.into()));
    assert_eq!(report["latency_ms"], Value::Null, "nothing measured is no zero");
    assert_eq!(report["reconciliation"]["verdict"], "not_checked");
    assert_eq!(report["reconciliation"]["lost"], Value::Null);
}

#[test]
fn the_first_failure_ends_it_unless_told_otherwise() {
    let server = Server::start(|request, _| match request.method.as_str() {
        "POST" => Reply::json(
            503,
            r#"{"request_id":"r","error_code":"ServiceNotAvailable","message":"Service Unavailable"}"#,
        ),
        _ => Reply::no_route(),
    });
    let run = against(&server).run(&["blast", "--concurrency", "1", "--run-id", "r", "--quiet"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr.contains("error: creating project dummy-r-0-0 failed\ncaused by: 503 Service Unavailable"),
        "{run}"
    );
    let run = against(&server).run(&[
        "blast",
        "--concurrency",
        "1",
        "--count",
        "3",
        "--ignore-errors",
        "-o",
        "json",
    ]);
    assert_eq!(run.code, 1, "nothing worked: {run}");
    let report = report(&run.stdout);
    assert_eq!(report["failed"], 3);
    assert_eq!(report["errors"][0]["class"], "status 503");
    assert_eq!(report["errors"][0]["count"], 3);
}

#[test]
fn a_yes_that_makes_no_sense_leaves_doubt() {
    let server = Server::start(|request, _| match request.method.as_str() {
        "POST" => Reply::json(201, r#"{"greeting":"hello"}"#),
        _ => Reply::no_route(),
    });
    let run = against(&server).run(&["blast", "--count", "2", "--ignore-errors", "-o", "json"]);
    assert_eq!(run.code, 1, "{run}");
    let report = report(&run.stdout);
    assert_eq!((&report["in_doubt"], &report["errors"][0]["class"]), (&2.into(), &"body".into()));
}

#[test]
fn an_interrupt_is_the_normal_end_of_an_unbounded_blast() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let child = coordinator
        .env()
        .command(&["blast", "--concurrency", "4", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("blast starts");
    let database = coordinator.database();
    poll_until("some projects are there", || {
        let count: i64 = database.query_row("SELECT count(*) FROM project", [], |row| row.get(0)).ok()?;
        (count > 5).then_some(())
    });
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("not zero");
    kill_process(pid, Signal::INT).expect("it can be signalled");
    let output = child.wait_with_output().expect("blast ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("note: at signal: started="), "{stderr}");
    assert!(stderr.contains("note: final: started="), "{stderr}");
    let report = report(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(report["in_doubt"], 0, "requests in flight were waited for");
}

#[test]
fn wrong_usage_is_refused_before_anything_is_sent() {
    let env = TestEnv::new();
    for (arguments, words) in [
        (&["--concurrency", "0"][..], "invalid value '0' for '--concurrency <N>'"),
        (&["--concurrency", "10001"], "--concurrency 10001 is more than the 10000 that one blast can do"),
        (&["--count", "0"], "invalid value '0' for '--count <N>'"),
        (&["--prefix", "Bad"], "a name must begin with an ASCII lowercase character"),
        (&["--run-id", "a_b"], "name contains invalid character: '_'"),
        (&["--max-failures", "3"], "--ignore-errors"),
        (&["--external-url", "ftp://x"], "scheme \"ftp\" is not supported"),
        (
            &["--external-url", "ftp://127.0.0.1:1"],
            "scheme \"ftp\" is not supported, only http and https are",
        ),
        (&["--external-url", "http://192.0.2.7"], "hint: --allow-remote makes load on other machines, too"),
        (&["--rate", "5", "--pause", "1s"], "cannot be used with '--pause <DURATION>'"),
        (&["--rate", "0"], "a rate is a number of requests per second above 0"),
        (&["--fail-if", "p99=2s"], "a rule compares something with"),
        (&["--fail-if", "speed>2"], "nothing called \"speed\" is measured"),
        (&["--path", "/v1/ping"], "--path is for --workload get"),
        (&["--workload", "get", "--path", "ping"], "\"ping\" is no path"),
        (&["--workload", "projects"], "possible values: project-create, project-cycle, demo-saga, get"),
        (&["--login", "main"], "a login looks like SILO/USER"),
        (&["--login", "main/alice"], "--password-file"),
        (&["--login", "main/alice", "--password-file", "none"], "reading password file none"),
        (&["--token-file", "none"], "reading token file none"),
        (&["--record", "none/record"], "the record of the run cannot be kept"),
        (&["--record", "/dev/full"], "caused by: No space left on device"),
        (&["--json-report", "none/report"], "cannot write the report none/report"),
        (&["--html-report", "."], "cannot write the report ."),
        (&["reconcile", "none"], "options of a run stand before a subcommand of blast"),
    ] {
        let run = env.run(&[&["blast", "--duration", "1s"], arguments].concat());
        assert_eq!(run.code, 2, "{arguments:?}: {run}");
        assert!(run.stderr.contains(words), "{arguments:?}: {run}");
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
    let secret = env.path().join("secret");
    std::fs::write(&secret, "s3cret").expect("written");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o640)).expect("set");
    let run = env.run(&["blast", "--token-file", "secret"]);
    assert_eq!((run.code, run.stderr.contains("can be read by others than its owner")), (2, true), "{run}");
}

#[test]
fn a_host_that_is_none_is_told_before_anything_else() {
    let run = TestEnv::new().run(&["blast", "--count", "1", "--external-url", "http://nowhere.invalid"]);
    assert_eq!(run.code, 3, "{run}");
    assert!(
        run.stderr.contains("error: there is nobody to make load on\ncaused by: looking up nowhere.invalid"),
        "{run}"
    );
}

#[test]
fn more_connections_than_descriptors_are_refused_with_the_limit() {
    let env = TestEnv::new();
    let blast = env!("CARGO_BIN_EXE_sagactl");
    let output = env
        .shell(&format!("ulimit -n 100 && exec {blast} blast --concurrency 90 --count 1"))
        .output()
        .expect("a shell");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("90 connections need 122 file descriptors, and this process may have 100 at most"),
        "{stderr}"
    );
}

#[test]
fn a_user_logs_in_once_and_the_session_is_in_every_request() {
    let server = Server::start(|request, _| match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/v1/login/main/local") if request.body.contains("\"username\":\"alice\"") => {
            let cookie = "set-cookie: session=abc123; Path=/; HttpOnly".to_owned();
            Reply::Answer(204, vec![cookie], String::new())
        }
        ("POST", "/v1/login/main/local") => {
            Reply::json(401, r#"{"message":"credentials missing or invalid"}"#)
        }
        _ if !request.headers.iter().any(|header| header == "cookie: session=abc123") => {
            Reply::json(401, "{}")
        }
        ("POST", _) => {
            let body: Value = serde_json::from_str(&request.body).expect("JSON");
            Reply::json(201, format!(r#"{{"id":"{ID}","name":{}}}"#, body["name"]))
        }
        _ => Reply::json(200, r#"{"items":[{"name":"dummy-r-0-0"}],"next_page":null}"#),
    });
    let env = against(&server);
    let password = env.path().join("password");
    std::fs::write(&password, "correct horse").expect("written");
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).expect("set");
    let blast = |user: &str| {
        env.run(&[
            "blast",
            "--count",
            "1",
            "--concurrency",
            "1",
            "--run-id",
            "r",
            "-o",
            "json",
            "--password-file",
            "password",
            "--login",
            user,
        ])
    };
    let run = blast("main/alice");
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(report(&run.stdout)["reconciliation"]["verdict"], "consistent");
    assert!(server.requests()[..].iter().any(|request| request.body.contains("correct horse")));
    let run = blast("main/mallory");
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains("error: cannot log in as main/mallory at"), "{run}");
    assert!(run.stderr.contains("credentials missing or invalid") && !run.stderr.contains("horse"), "{run}");
}

#[test]
fn every_workload_can_be_reconciled() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let env = coordinator.env();
    for (workload, class) in [("project-cycle", "deleted_absent"), ("demo-saga", "acknowledged_recorded")] {
        let arguments = ["blast", "--workload", workload, "--count", "6", "--record", "record", "-o", "json"];
        let run = env.run(&arguments);
        assert_eq!(run.code, 0, "{run}");
        let report = report(&run.stdout);
        assert_eq!(report["reconciliation"][class], 6, "{report}");
        let again = env.run(&["blast", "reconcile", "record", "-o", "json"]);
        assert_eq!(again.code, 0, "{again}");
        let again: Value = serde_json::from_str(&again.stdout).expect("JSON");
        assert_eq!(again["reconciliation"], report["reconciliation"], "{workload}");
    }
    let run = env.run(&["blast", "--workload", "get", "--count", "6", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(report(&run.stdout)["reconciliation"]["verdict"], "not_checked");
}

#[test]
fn a_coordinator_that_is_killed_and_started_again_under_load_loses_nothing() {
    let env = TestEnv::new();
    let mut coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let commands = coordinator.env();
    let child = commands
        .command(&[
            "blast",
            "--concurrency",
            "16",
            "--ignore-errors",
            "-o",
            "json",
            "--html-report",
            "page.html",
        ])
        .spawn()
        .expect("blast starts");
    let more_than = |projects: i64| {
        let database = coordinator.database();
        poll_until("projects are there", || {
            let count: i64 = database.query_row("SELECT count(*) FROM project", [], |row| row.get(0)).ok()?;
            (count > projects).then_some(count)
        })
    };
    let before = more_than(20);
    coordinator.kill();
    coordinator.restart(&env);
    let database = coordinator.database();
    poll_until("it goes on", || {
        let count: i64 = database.query_row("SELECT count(*) FROM project", [], |row| row.get(0)).ok()?;
        (count > before + 40).then_some(())
    });
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("not zero");
    kill_process(pid, Signal::INT).expect("it can be signalled");
    let output = child.wait_with_output().expect("blast ends");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report = report(&String::from_utf8_lossy(&output.stdout));
    let found = &report["reconciliation"];
    assert_eq!(
        (&found["verdict"], &found["lost"], &found["duplicates"]),
        (&"consistent".into(), &0.into(), &0.into())
    );
    let number = |value: &Value| value.as_i64().expect("a number");
    let projects: i64 =
        database.query_row("SELECT count(*) FROM project", [], |row| row.get(0)).expect("a count");
    let recorded = ["acknowledged_recorded", "failed_recorded", "in_doubt_recorded"];
    assert_eq!(recorded.iter().map(|class| number(&found[class])).sum::<i64>(), projects);
    assert_eq!(number(&report["sagas"]["succeeded"]), projects, "every row is a saga's");
    assert_eq!(report["recovery"]["restarts"], 1, "{report}");
    let status = commands.run(&["status", "-o", "json"]);
    let status: Value = serde_json::from_str(&status.stdout).expect("JSON");
    assert_eq!(report["recovery"]["recovered"], status["since_start"]["recovered"]);
    let page = std::fs::read_to_string(commands.path().join("page.html")).expect("a page");
    assert!(page.contains("coordinator restarted at"), "{page}");
}
