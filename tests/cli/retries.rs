//! Connections that break: at every byte of an exchange, in a third of all cases, in the worst moment of a change. What was
//! asked is answered all the same, or what became of it is found out.

use crate::fault_proxy::{Fault, FaultProxy};
use crate::support::coordinator::Coordinator;
use crate::support::server::{Reply, Server};
use crate::support::{Run, TestEnv, fixture};
use futures::stream::{self, StreamExt as _};
use sagactl::client::retry::RetryScope;
use sagactl::client::tls::Trust;
use sagactl::client::{Client, Config};
use sagactl::observe::found_out::{self, Certainty, ChangeError};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Exchanges that are broken at the same time.
const AT_ONCE: usize = 32;

fn start(env: &TestEnv) -> Coordinator {
    Coordinator::start(env, &env.path().join("data"), &[])
}

fn client(url: &str) -> Client {
    Client::new(Config {
        base: url.parse().expect("a URL"),
        trust: Trust::system(),
        token: None,
        budget: Duration::from_secs(20),
        retry: RetryScope::Idempotent,
        on_event: Arc::new(|_| {}),
    })
    .expect("a client")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Every place where an exchange of so many bytes can break: within the request, and within the answer. Only the first
/// request is broken.
fn cuts([request, answer]: [usize; 2]) -> Vec<Fault> {
    (0..=request).map(Fault::CutRequest).chain((0..answer).map(Fault::CutAnswer)).collect()
}

fn breaking_the_first(url: &str, fault: Fault) -> FaultProxy {
    FaultProxy::start(url, move |number, _| if number == 0 { fault } else { Fault::Pass })
}

#[test]
fn a_read_that_is_cut_at_any_byte_is_answered() {
    let env = TestEnv::new();
    let coordinator = start(&env);
    let url = coordinator.ready.internal_url.clone();
    runtime().block_on(async {
        let whole = breaking_the_first(&url, Fault::Pass);
        client(&whole.url()).fetch_info().await.expect("an answer");
        let cuts = cuts(whole.passed());
        assert!(cuts.len() > 300, "{}", cuts.len());
        stream::iter(cuts)
            .for_each_concurrent(AT_ONCE, |cut| {
                let url = &url;
                async move {
                    let proxy = breaking_the_first(url, cut);
                    let info = client(&proxy.url()).fetch_info().await;
                    assert!(matches!(info, Ok(Some(_))), "{cut:?}: {info:?}");
                    assert_eq!(proxy.requests(), 2, "{cut:?}: once more, and no more often");
                }
            })
            .await;
    });
}

#[test]
fn of_a_change_that_is_cut_at_any_byte_it_is_found_out_what_became() {
    let env = TestEnv::new();
    let coordinator = start(&env);
    let url = coordinator.ready.internal_url.clone();
    let (request, applied) = runtime().block_on(async {
        let whole = breaking_the_first(&url, Fault::Pass);
        found_out::create_demo_saga(&client(&whole.url())).await.expect("an answer");
        let [request, answer] = whole.passed();
        let ends: Vec<_> = stream::iter(cuts([request, answer]))
            .map(|cut| {
                let url = &url;
                async move {
                    let proxy = breaking_the_first(url, cut);
                    (cut, found_out::create_demo_saga(&client(&proxy.url())).await)
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut applied = 0;
        for (cut, end) in ends {
            match (cut, end) {
                // Only a request that has passed as a whole can have been carried out.
                (Fault::CutRequest(at), Ok((_, Certainty::Verified))) if at == request => applied += 1,
                (Fault::CutRequest(at), Err(ChangeError::NotApplied(_))) if at <= request => {}
                (Fault::CutAnswer(_), Ok((_, Certainty::Verified))) => applied += 1,
                (cut, end) => panic!("{cut:?}: {end:?}"),
            }
        }
        (request, applied)
    });
    assert!(request > 100, "{request}");
    let created: i64 = coordinator
        .database()
        .query_row("SELECT count(*) FROM saga WHERE name = 'demo'", [], |row| row.get(0))
        .expect("a count");
    // And the one that nothing happened to.
    assert_eq!(created, applied + 1, "what is told is what there is");
}

/// Runs a command through a proxy that does this to requests that begin so, and to no others.
fn run_with(url: &str, request: &'static str, fault: Fault, arguments: &[&str]) -> Run {
    let proxy =
        FaultProxy::start(url, move |_, line| if line.starts_with(request) { fault } else { Fault::Pass });
    TestEnv::new().with("SAGACTL_URL", &proxy.url()).run(arguments)
}

/// Nothing comes back of any answer, or nothing arrives.
const SWALLOWED: Fault = Fault::CutAnswer(0);
const NEVER_ARRIVES: Fault = Fault::CutRequest(10);
const VERIFIED: &str = "note: applied (verified): the answer was lost, and it is there\n";

#[test]
fn a_change_ends_in_applied_or_not_applied() {
    let env = TestEnv::new();
    let coordinator = start(&env);
    let url = &coordinator.ready.internal_url;
    let verified = |run: &Run| assert!(run.code == 0 && run.stderr.contains(VERIFIED), "{run}");
    let not_applied = |run: &Run| {
        assert!(run.code == 3 && run.stderr.contains("error: not applied: "), "{run}");
        assert!(run.stderr.contains("\ncaused by: "), "{run}");
    };

    let create = ["demo-saga", "create", "-o", "json"];
    not_applied(&run_with(url, "POST /demo-saga", NEVER_ARRIVES, &create));
    let created = run_with(url, "POST /demo-saga", SWALLOWED, &create);
    verified(&created);
    let created: Value = serde_json::from_str(&created.stdout).expect("JSON");
    let id = created["demo_saga_id"].as_str().expect("an id");

    let complete = ["demo-saga", "complete", id];
    not_applied(&run_with(url, "POST /demo-saga", NEVER_ARRIVES, &complete));
    verified(&run_with(url, "POST /demo-saga", SWALLOWED, &complete));

    let activate = ["activate", "recovery", "--no-retry", "-o", "json"];
    not_applied(&run_with(url, "POST /bgtasks/activate", NEVER_ARRIVES, &activate));
    let activated = run_with(url, "POST /bgtasks/activate", SWALLOWED, &activate);
    verified(&activated);
    let activated: Value = serde_json::from_str(&activated.stdout).expect("JSON");
    assert_eq!(activated[0]["completed"], true, "{activated}");

    let quiesce = ["quiesce", "start", "-w", "--yes", "--no-retry"];
    not_applied(&run_with(url, "POST /quiesce", NEVER_ARRIVES, &quiesce));
    verified(&run_with(url, "POST /quiesce", SWALLOWED, &quiesce));
}

#[test]
fn what_sinks_into_a_black_hole_ends_in_time() {
    let env = TestEnv::new();
    let coordinator = start(&env);
    let url = &coordinator.ready.internal_url;
    for hole in [Fault::HoldRequest, Fault::HoldAnswer] {
        for command in [&["status"][..], &["activate", "recovery"], &["tasks", "list"]] {
            let run = run_with(url, "", hole, &[command, &["--timeout", "500ms"]].concat());
            assert_eq!(run.code, 4, "{hole:?} {run}");
        }
    }
    // A change that alone sinks is looked for in the time that is left.
    // That is a quarter, so the whole has to be long enough for a busy machine.
    let create = ["demo-saga", "create", "--timeout", "12s"];
    let create = |hole| run_with(url, "POST", hole, &create);
    let (answer, request) = std::thread::scope(|scope| {
        let answer = scope.spawn(|| create(Fault::HoldAnswer));
        let request = create(Fault::HoldRequest);
        (answer.join().expect("a run"), request)
    });
    assert!(answer.code == 0 && answer.stderr.contains(VERIFIED), "{answer}");
    assert!(request.code == 4 && request.stderr.starts_with("error: not applied: "), "{request}");
}

#[test]
fn what_drips_arrives() {
    let env = TestEnv::new();
    let coordinator = start(&env);
    let drip = Fault::Drip(Duration::from_micros(100));
    let run = run_with(&coordinator.ready.internal_url, "", drip, &["status"]);
    assert_eq!(run.code, 0, "{run}");
}

/// Resets three of ten requests, chosen by a fixed rule that looks like chance.
fn resets_three_of_ten(number: usize, _: &str) -> Fault {
    let mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32;
    match mixed % 20 {
        0..3 => Fault::Reset,
        // The answer to some is lost, which is worse.
        3..6 => Fault::CutAnswer((mixed % 64) as usize),
        _ => Fault::Pass,
    }
}

#[test]
fn a_bad_network_makes_reads_slow_and_nothing_else() {
    let env = TestEnv::new();
    let coordinator = start(&env);
    let proxy = FaultProxy::start(&coordinator.ready.internal_url, resets_three_of_ten);
    let through = TestEnv::new().with("SAGACTL_URL", &proxy.url());
    let runs: Vec<Run> = (0..60).map(|_| through.run(&["status"])).collect();
    let bad: Vec<&Run> = runs.iter().filter(|run| run.code != 0).collect();
    // A status is one question of at most six attempts, and two more if that brings nothing: hardly one in a million fails.
    assert!(bad.len() <= 1, "{} of 60 failed: {}", bad.len(), bad[0]);
    assert!(proxy.requests() > 85, "{} requests: nothing was in the way", proxy.requests());
}

#[test]
fn a_blast_over_a_bad_network_loses_nothing_and_doubles_nothing() {
    let env = TestEnv::new();
    let coordinator = start(&env);
    let proxy = FaultProxy::start(&coordinator.ready.external_url, resets_three_of_ten);
    let through = coordinator.env().with("SAGACTL_EXTERNAL_URL", &proxy.url());
    let blast =
        ["blast", "--count", "500", "--concurrency", "16", "--ignore-errors", "--run-id", "r", "-o", "json"];
    let run = through.run(&[&blast[..], &["--quiet"]].concat());
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
    assert_eq!(report["started"], 500, "{run}");
    assert_eq!(report["reconciliation"]["verdict"], "consistent", "{run}");
    assert_eq!(report["reconciliation"]["lost_names"], serde_json::json!([]), "{run}");
    assert!(report["in_doubt"].as_u64().is_some_and(|count| count > 0), "nothing was in the way: {run}");
    let database = coordinator.database();
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("a count");
    let projects = count("SELECT count(*) FROM project WHERE name LIKE 'dummy-r-%'");
    let sagas = count("SELECT count(*) FROM saga WHERE name = 'project-create'");
    assert_eq!(projects, sagas, "one saga each");
    assert_eq!(count("SELECT count(DISTINCT name) FROM project WHERE name LIKE 'dummy-r-%'"), projects);
    let done = report["done"].as_i64().expect("a number");
    let doubt = report["in_doubt"].as_i64().expect("a number");
    assert!((done..=done + doubt).contains(&projects), "{done} done, {doubt} in doubt, {projects} there");

    // And all of it goes again, over the same network.
    let run = through.run(&["blast", "clean", "--run-id", "r", "-w", "--yes", "--quiet", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(count("SELECT count(*) FROM project WHERE name LIKE 'dummy-r-%'"), 0);
}

#[test]
fn retry_says_how_much_is_tried_again() {
    // Reads are answered as by a Nexus; every change is cut.
    let task = fixture("nexus/task-2026.json");
    let server = Server::start(move |request, _| match (request.method.as_str(), request.path.as_str()) {
        ("POST", _) => Reply::Close,
        (_, path) if path.starts_with("/bgtasks/view/") => Reply::json(200, task.clone()),
        _ => Reply::no_route(),
    });
    let changes = |flags: &[&str], command: &[&str]| {
        let before = server.requests().len();
        let run = TestEnv::at(&server).run(&[flags, command].concat());
        assert_eq!(run.code, 3, "{run}");
        server.requests()[before..].iter().filter(|request| request.method == "POST").count()
    };
    let (activate, create) = (["activate", "recovery"], ["demo-saga", "create"]);
    for (flags, of_activate, of_create) in [
        (&["--no-retry"][..], 1, 1),
        (&["--retry", "reads"], 1, 1),
        (&["--retry", "idempotent"], 6, 1),
        (&[], 6, 1),
        (&["--retry", "all"], 6, 6),
    ] {
        assert_eq!(changes(flags, &activate), of_activate, "{flags:?}");
        assert_eq!(changes(flags, &create), of_create, "{flags:?}");
    }
    let run = TestEnv::at(&server).run(&["--no-retry", "--retry", "all", "status"]);
    assert_eq!(run.code, 2, "{run}");
}

#[test]
fn what_a_nexus_does_not_tell_is_said_to_be_unknown() {
    let server = Server::start(|request, _| match request.method.as_str() {
        "POST" => Reply::Close,
        _ if request.path.starts_with("/sagas/") => Reply::fixture(404, "nexus/error-unknown-task.json"),
        _ => Reply::no_route(),
    });
    let run = TestEnv::at(&server).run(&["demo-saga", "create"]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.starts_with("error: applied or not, which is not known: "), "{run}");
    assert!(run.stderr.contains("this coordinator chooses ids itself"), "{run}");
}

#[test]
fn a_coordinator_that_goes_away_while_it_is_waited_for_is_told_of_once() {
    let mut task: Value = crate::support::fixture_json("nexus/task-2026.json");
    let newest = task["last"]["details"]["iteration"].as_u64().expect("it has run");
    let old = task.to_string();
    task["last"]["details"]["iteration"] = Value::from(newest + 1);
    task["last"]["details"]["start_time"] = Value::from("2099-01-01T00:00:00Z");
    let new = task.to_string();
    let server = Server::start(move |request, number| match request.method.as_str() {
        "POST" => Reply::Answer(204, vec![], String::new()),
        // One look before, one after; then it is away for longer than one look is patient.
        _ if number < 3 => Reply::json(200, old.clone()),
        _ if number < 14 => Reply::Close,
        _ => Reply::json(200, new.clone()),
    });
    let run = TestEnv::at(&server).run(&["activate", "recovery"]);
    assert_eq!(run.stderr.matches("connection lost, retrying").count(), 1, "{run}");
    assert!(run.stdout.contains("iter"), "{run}");
    assert!(run.code <= 1, "{run}");
    let run = TestEnv::at(&Server::start(|_, _| Reply::Close)).run(&["activate", "recovery", "--no-retry"]);
    assert_eq!(run.code, 3, "{run}");
}
