//! `sagactl quiesce`: coordinators that take no more sagas and finish those that they have.

use crate::postgres::Server as Postgres;
use crate::support::coordinator::Coordinator;
use crate::support::server::{Reply, Server, closed_port};
use crate::support::{Run, TestEnv, poll_until, steady};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

fn json_of(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
}

fn demo(env: &TestEnv) -> Value {
    let run = env.run(&["demo-saga", "create", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    json_of(&run)
}

fn complete(env: &TestEnv, demo: &Value) {
    let id = demo["demo_saga_id"].as_str().expect("an id");
    assert_eq!(env.run(&["demo-saga", "complete", id]).code, 0);
}

/// The whole answer to a request, as it is on the wire.
fn answer(url: &str, request: &str) -> String {
    let address = url.strip_prefix("http://").expect("a URL");
    let mut stream = TcpStream::connect(address).expect("it listens");
    let head =
        format!("{request} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    text
}

/// Everybody's state, in the order of the answer.
fn states(env: &TestEnv) -> Vec<String> {
    let status = json_of(&env.run(&["quiesce", "status", "-o", "json"]));
    let secs = status["secs"].as_array().expect("a list").iter();
    secs.map(|sec| sec["state"].as_str().expect("a word").to_owned()).collect()
}

/// How many coordinators are in a state. Those that do not answer are not waited for long.
fn total(env: &TestEnv, state: &str) -> u64 {
    let status = json_of(&env.run(&["quiesce", "status", "-o", "json", "--timeout", "2s"]));
    status["total"][state].as_u64().expect("a number")
}

#[test]
fn a_coordinator_that_quiesces_refuses_new_sagas_and_finishes_what_it_has() {
    let env = TestEnv::new();
    let mut coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let on = coordinator.env();
    let (first, second) = (demo(&on), demo(&on));
    // One that recovery took up counts like one that was created here.
    coordinator.kill();
    coordinator.restart(&env);
    poll_until("both are recovered", || {
        let why = json_of(&on.run(&["quiesce", "why", "-o", "json"]));
        (why[0]["blockers"].as_array().expect("a list").len() == 3).then_some(())
    });
    assert_eq!(states(&on), ["running"]);

    let run = on.run(&["quiesce", "start"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.starts_with("error: quiesce start cannot be taken back, so it needs -w"), "{run}");
    let run = on.run(&["quiesce", "start", "--dry-run"]);
    assert!(run.code == 0 && run.stdout.starts_with("dry run: nothing was done\n"), "{run}");
    assert!(run.stderr.contains(": has 2 sagas to finish\n"), "{run}");
    let run = on.run(&["quiesce", "start", "-w"]);
    assert!(run.code == 2 && run.stderr.contains("there is no terminal to ask"), "{run}");
    assert_eq!(states(&on), ["running"]);

    let run = on.run(&["quiesce", "start", "-w", "-y"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(
        run.stdout,
        "asked to quiesce\nin all: 1 SEC: 0 running, 1 draining, 0 quiesced; 2 sagas pending\n"
    );
    let run = on.run(&["quiesce", "start", "-w", "-y", "-o", "json"]);
    assert_eq!((run.code, &json_of(&run)["outcome"]), (0, &json!("already_started")), "{run}");
    let refused = answer(&coordinator.ready.internal_url, "POST /demo-saga").to_lowercase();
    assert!(refused.starts_with("http/1.1 503 "), "{refused}");
    assert!(
        refused.contains("\r\nretry-after: 10\r\n") && refused.contains("servicenotavailable"),
        "{refused}"
    );
    let run = on.run(&["demo-saga", "create", "--no-retry"]);
    assert_eq!(run.code, 3, "{run}");
    let status = json_of(&on.run(&["quiesce", "status", "-o", "json"]));
    assert_eq!(status["secs"][0]["refused"]["count"], 2);
    assert_eq!(status["secs"][0]["new_sagas_allowed"], "disallowed_quiesce");
    assert_eq!(status["total"]["sagas_pending"], 2);
    assert_eq!(json_of(&on.run(&["status", "-o", "json"]))["coordinator"]["ready"], false);

    let why = json_of(&on.run(&["quiesce", "why", "-o", "json"]));
    let blockers = why[0]["blockers"].as_array().expect("a list");
    let ids: Vec<&Value> = blockers.iter().map(|blocker| &blocker["saga_id"]).collect();
    assert!(ids.contains(&&first["saga_id"]) && ids.contains(&&second["saga_id"]) && ids.len() == 2, "{why}");
    for blocker in blockers {
        assert_eq!((&blocker["blocker"], &blocker["recovered"]), (&json!("saga"), &json!(true)));
        assert_eq!((&blocker["node"], &blocker["verdict"]), (&json!("demo_wait"), &json!("running")));
        assert!(blocker["age_secs"].is_i64() && blocker["name"] == "demo", "{blocker}");
    }
    let run = on.run(&["quiesce", "start", "--wait", "-w", "-y", "--timeout", "1s"]);
    assert_eq!(run.code, 4, "{run}");
    assert!(run.stderr.contains("error: not quiesced yet: 2 sagas are pending"), "{run}");

    complete(&on, &first);
    complete(&on, &second);
    let run = on.run(&["quiesce", "start", "--wait", "-w", "-y"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.ends_with("0 draining, 1 quiesced; 0 sagas pending\n"), "{run}");
    let run = on.run(&["quiesce", "why"]);
    assert!(run.stdout.ends_with(": quiesced\n  nothing: it has quiesced\n"), "{run}");
    assert!(coordinator.log().contains("quiesced: no sagas are left"), "{}", coordinator.log());

    // The next process takes sagas again.
    coordinator.kill();
    coordinator.restart(&env);
    assert_eq!(states(&on), ["running"]);
    demo(&on);
}

#[test]
fn all_coordinators_of_a_database_are_asked_and_the_silent_one_is_named() {
    let database = Postgres::shared().database();
    let env = TestEnv::new().with("SAGACTL_DB_URL", &database.url());
    let start = |name: &str| Coordinator::start(&env, &env.path().join(name), &["--db-url", &database.url()]);
    let (one, mut other) = (start("one"), start("other"));
    let waiting = demo(&other.env());
    let status = poll_until("both are registered", || {
        let run = one.env().run(&["quiesce", "status", "-o", "json"]);
        assert_eq!(run.code, 0, "{run}");
        let status = json_of(&run);
        (status["secs"].as_array().expect("a list").len() == 2).then_some(status)
    });
    assert_eq!(
        status["total"],
        json!({"secs": 2, "running": 2, "draining": 0, "quiesced": 0, "unknown": 0,
        "sagas_pending": 1})
    );
    // Nobody but the one that is named is asked to quiesce, unless all are.
    let run = one.env().run(&["quiesce", "start", "--wait", "-w", "-y"]);
    assert_eq!(run.code, 0, "{run}");
    let status = json_of(&env.run(&["quiesce", "status", "-o", "json"]));
    assert_eq!(
        (&status["total"]["running"], &status["total"]["quiesced"]),
        (&json!(1), &json!(1)),
        "{status}"
    );

    other.freeze();
    let run = env.run(&["quiesce", "why", "--timeout", "2s"]);
    assert_eq!(run.code, 3, "{run}");
    let id = other.ready.sec_id.to_string();
    assert!(run.stderr.contains(&format!("error: no answer from SEC {id} at http://")), "{run}");
    assert!(run.stdout.contains("  - it does not answer: ") && run.stdout.contains("quiesced"), "{run}");
    assert!(run.took < Duration::from_secs(20), "{:?}", run.took);
    let run = env.run(&["quiesce", "start", "--all", "-w", "-y", "--timeout", "2s"]);
    assert_eq!(run.code, 3, "nobody is overlooked: {run}");
    other.thaw();
    let run = env.run(&["quiesce", "start", "--all", "-w", "-y"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stdout.ends_with("in all: 2 SECs: 0 running, 1 draining, 1 quiesced; 1 sagas pending\n"),
        "{run}"
    );

    // One that has quiesced adopts nothing; another does.
    other.kill();
    assert_eq!(env.run(&["secs", "expunge", &id, "-w", "-y"]).code, 0);
    assert_eq!(one.env().run(&["activate", "sec_adoption"]).code, 0);
    let owner = || database.sql("SELECT current_sec, adopt_generation FROM saga");
    assert_eq!(owner(), format!("{id}|1"));
    let heir = start("heir");
    poll_until("it is adopted by the one that takes sagas", || {
        (owner() == format!("{}|2", heir.ready.sec_id)).then_some(())
    });
    poll_until("and recovered", || {
        let why =
            json_of(&heir.env().run(&["why", waiting["saga_id"].as_str().expect("an id"), "-o", "json"]));
        (why["verdict"] == "running").then_some(())
    });
}

#[test]
fn draining_a_fleet_goes_on_without_the_silent_one_and_asks_it_when_it_is_back() {
    let database = Postgres::shared().database();
    let env = TestEnv::new().with("SAGACTL_DB_URL", &database.url());
    let start = |name: &str| Coordinator::start(&env, &env.path().join(name), &["--db-url", &database.url()]);
    let (mut one, other) = (start("one"), start("other"));
    poll_until("both are registered", || (database.sql("SELECT count(*) FROM sec") == "2").then_some(()));
    other.freeze();
    let id = other.ready.sec_id.to_string();
    let run = env.run(&["quiesce", "start", "--all", "--wait", "--dry-run", "--timeout", "4s"]);
    assert!(run.stderr.contains(": does not answer; it is asked as soon as it does\n"), "{run}");
    assert_eq!(total(&env, "running"), 1, "a dry run asks nobody");

    // The time runs out: the one that answers has quiesced, of the other nobody knows.
    let drain = |timeout| ["quiesce", "start", "--all", "--wait", "-w", "-y", "--timeout", timeout];
    let run = env.run(&[&drain("8s")[..], &["-o", "json"]].concat());
    assert_eq!(run.code, 4, "{run}");
    let report = json_of(&run);
    assert_eq!(
        (&report["total"]["quiesced"], &report["total"]["unknown"], &report["total"]["draining"]),
        (&json!(1), &json!(1), &json!(0)),
        "{run}"
    );
    assert!(run.stderr.contains("not quiesced yet: 0 sagas are pending, and 1 of 2 do not answer"), "{run}");
    assert!(run.stderr.contains(&format!("caused by: no answer from SEC {id} at http://")), "{run}");
    assert!(run.stderr.contains(&format!("`sagactl secs expunge {id}` says so to the others")), "{run}");

    // Meanwhile the first one is stopped, as one does with a process that has quiesced; its successor must take sagas.
    let mut draining =
        env.command(&drain("60s")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut told = BufReader::new(draining.stderr.take().expect("piped")).lines();
    let waiting = format!("note: no answer from SEC {id} at ");
    assert!(told.any(|line| line.is_ok_and(|line| line.starts_with(&waiting))), "it tells whom it waits for");
    one.kill();
    one.restart_with(&env, &["--db-url", &database.url()]);
    other.thaw();
    assert!(draining.wait().expect("a child").success());
    let mut answer = String::new();
    draining.stdout.take().expect("piped").read_to_string(&mut answer).expect("text");
    assert!(answer.starts_with("asked to quiesce\nin all: 2 SECs: "), "{answer}");
    assert_eq!((total(&env, "running"), total(&env, "quiesced")), (1, 1));
}

#[test]
fn a_nexus_is_understood_and_one_that_cannot_quiesce_is_said_to() {
    let nexus = Server::start(|request, _| match request.path.as_str() {
        "/quiesce" => Reply::fixture(200, "nexus/quiesce-draining.json"),
        _ => Reply::no_route(),
    });
    let run = TestEnv::at(&nexus).run(&["quiesce", "why"]);
    assert_eq!(
        steady(&run.stdout),
        "SEC ? at http://127.0.0.1:PORT: draining sagas\n  not sagas: none is pending\n  \
         - database claim 583, held since 2026-11-02T09:12:44.000Z: stack backtrace: somewhere\n",
        "{run}"
    );
    assert_eq!(run.code, 0, "{run}");
    let run = TestEnv::at(&nexus).run(&["quiesce", "status", "-o", "json"]);
    assert_eq!(json_of(&run)["secs"][0]["details"]["sagas"]["new_field"], 7, "{run}");

    let old = Server::start(|_, _| Reply::no_route());
    let run = TestEnv::at(&old).run(&["quiesce", "status"]);
    assert!(run.code == 0 && run.stdout.contains("cannot quiesce"), "{run}");
    let run = TestEnv::at(&old).run(&["quiesce", "start", "-w", "-y"]);
    assert!(run.code == 2 && run.stderr.contains("cannot be asked to quiesce"), "{run}");
    let run = TestEnv::new().with("SAGACTL_URL", &closed_port()).run(&["quiesce", "status"]);
    assert!(run.code == 3 && run.stderr.contains("error: no answer from a coordinator at"), "{run}");
}
