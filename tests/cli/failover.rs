//! Several coordinators on one PostgreSQL: crashes of either side, takeover, and zombies, with the real program.

use crate::postgres::{Database, PASSWORD, Server};
use crate::postgres_proxy::{Fault, Proxy};
use crate::support::coordinator::Coordinator;
use crate::support::{TestEnv, poll_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::process::{Child, Stdio};

/// Crashes per test: enough to meet a batch in each of its phases.
const CRASHES: u64 = 20;

/// Sagas that come to their end between two crashes: few, so that many crashes take little time. The load never pauses.
const BETWEEN_CRASHES: u64 = 4;

fn coordinator(env: &TestEnv, name: &str, url: &str, more: &[&str]) -> Coordinator {
    Coordinator::start(env, &env.path().join(name), &[&["--db-url", url], more].concat())
}

/// Makes load until somebody ends it or it meets that many failures.
fn blast(env: &TestEnv, arguments: &[&str]) -> Child {
    load(env, &[&["--concurrency", "24"], arguments].concat())
}

/// The same, but little of it, so that what comes again and again takes no time: what burns the processor while a process or a
/// server starts only delays it.
fn light_blast(env: &TestEnv, arguments: &[&str]) -> Child {
    load(env, &[&["--concurrency", "8", "--pause", "20ms"], arguments].concat())
}

fn load(env: &TestEnv, arguments: &[&str]) -> Child {
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

fn number(database: &Database<'_>, sql: &str) -> u64 {
    database.sql(sql).parse().unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn done(database: &Database<'_>) -> u64 {
    number(database, "SELECT count(*) FROM saga WHERE saga_state = 'done'")
}

fn progress(database: &Database<'_>, more: u64) {
    let least = done(database) + more;
    poll_until("sagas come to their end", || (done(database) >= least).then_some(()));
}

fn all_at_rest(database: &Database<'_>) {
    let unfinished = "SELECT count(*) FROM saga WHERE saga_state <> 'done'";
    poll_until("every saga is at rest", || (number(database, unfinished) == 0).then_some(()));
}

/// Every project that is there is whole, each saga succeeded with its full log, and nothing was done twice.
fn everything_is_whole(database: &Database<'_>) {
    let none = [
        "SELECT count(*) FROM project WHERE id NOT IN (SELECT project_id FROM vpc WHERE time_ready IS NOT NULL)",
        "SELECT count(*) FROM saga WHERE name = 'project-create' AND (SELECT count(*) FROM saga_node_event \
         WHERE saga_id = saga.id AND event_type IN ('started', 'succeeded')) <> 44",
        "SELECT count(*) FROM saga_node_event WHERE event_type NOT IN ('started', 'succeeded')",
    ];
    for sql in none {
        assert_eq!(number(database, sql), 0, "{sql}");
    }
    let sagas = number(database, "SELECT count(*) FROM saga WHERE name = 'project-create'");
    for table in ["project", "vpc", "vpc_subnet", "vpc_dns_record"] {
        assert_eq!(number(database, &format!("SELECT count(*) FROM {table}")), sagas, "{table}");
    }
}

fn nothing_is_lost(report: &Value) {
    let reconciliation = &report["reconciliation"];
    for zero in ["lost", "duplicates"] {
        assert_eq!(reconciliation[zero], 0, "{report}");
    }
}

#[test]
fn the_database_crashes_under_load_and_sagas_go_on_in_the_same_process() {
    let server = Server::start();
    let database = server.database();
    let env = TestEnv::new();
    let mut coordinator = coordinator(&env, "data", &database.url(), &[]);
    let mut running = light_blast(&coordinator.env(), &["--seed", "1", "--max-failures", "1"]);
    for _ in 0..CRASHES {
        progress(&database, BETWEEN_CRASHES);
        server.crash();
        server.start_again();
    }
    progress(&database, BETWEEN_CRASHES);
    assert!(coordinator.is_running(), "{}", coordinator.log());
    assert!(running.try_wait().expect("a child").is_none(), "no request failed");
    // As a crash of the client: what it was not told is in doubt, and what it was told is there.
    running.kill().expect("it can be killed");
    running.wait().expect("it can be waited for");
    all_at_rest(&database);
    everything_is_whole(&database);
    assert!(coordinator.log().contains("the database is back; sagas go on"), "{}", coordinator.log());
    drop(coordinator);
}

/// Makes load by way of a proxy on which commits, or their answers, get lost in the middle of it.
fn commits_get_lost_under_load(fault: Fault) {
    let server = Server::shared();
    let database = server.database();
    let proxy = Proxy::start(server.port(), fault);
    let env = TestEnv::new();
    let mut coordinator = coordinator(&env, "data", &proxy.lead(&database.url(), server.port()), &[]);
    let mut running = blast(&coordinator.env(), &["--duration", "60s", "--max-failures", "1"]);
    for commits in [3, 7, 0] {
        progress(&database, 20);
        proxy.fail_after(commits);
        poll_until("a commit gets lost", || proxy.has_failed().then_some(()));
    }
    progress(&database, 20);
    assert!(coordinator.is_running(), "{}", coordinator.log());
    assert!(running.try_wait().expect("a child").is_none(), "no request failed");
    running.kill().expect("it can be killed");
    running.wait().expect("it can be waited for");
    all_at_rest(&database);
    everything_is_whole(&database);
}

#[test]
fn commits_that_never_arrive_are_made_again() {
    commits_get_lost_under_load(Fault::SwallowCommit);
}

#[test]
fn commits_whose_answers_get_lost_are_not_made_twice() {
    commits_get_lost_under_load(Fault::SwallowAnswer);
}

#[test]
fn coordinators_are_killed_under_load_and_the_next_process_goes_on() {
    let database = Server::shared().database();
    let env = TestEnv::new();
    let url = database.url();
    let mut coordinator = coordinator(&env, "data", &url, &[]);
    // One load over all of it: requests that meet a dead process fail or are made again, and the next ones go on.
    let running = light_blast(&coordinator.env(), &["--seed", "2"]);
    for _ in 0..CRASHES {
        progress(&database, BETWEEN_CRASHES);
        coordinator.kill();
        coordinator.restart_with(&env, &["--db-url", &url]);
    }
    progress(&database, BETWEEN_CRASHES);
    kill_process(Pid::from_child(&running), Signal::INT).expect("nobody has waited for it");
    let report = report(running);
    nothing_is_lost(&report);
    all_at_rest(&database);
    everything_is_whole(&database);
    let acknowledged = report["done"].as_u64().expect("a number");
    assert!(acknowledged >= CRASHES, "{report}");
    assert!(number(&database, "SELECT count(*) FROM project") >= acknowledged, "{report}");
}

#[test]
fn a_process_that_is_to_exit_with_its_session_does_and_the_next_goes_on() {
    let server = Server::start();
    let database = server.database();
    let env = TestEnv::new();
    let exit = ["--on-session-loss", "exit"];
    let mut first = coordinator(&env, "data", &database.url(), &exit);
    let running = blast(&first.env(), &["--duration", "60s", "--max-failures", "1"]);
    progress(&database, 30);
    server.crash();
    assert_eq!(first.wait_for_its_end(), Some(3));
    let log = first.log();
    let last = log.lines().last().expect("a last line");
    assert!(last.starts_with("error: coordinator stops: the session with database postgresql://"), "{log}");
    server.start_again();
    let report = report(running);
    let _second = coordinator(&env, "data", &database.url(), &exit);
    all_at_rest(&database);
    everything_is_whole(&database);
    let acknowledged = report["done"].as_u64().expect("a number");
    assert!(number(&database, "SELECT count(*) FROM project") >= acknowledged, "{report}");
}

#[test]
fn a_zombie_is_fenced_and_its_sagas_run_elsewhere() {
    let database = Server::shared().database();
    let env = TestEnv::new().with("SAGACTL_DB_URL", &database.url());
    let mut zombie = coordinator(&env, "zombie", &database.url(), &[]);
    let heir = coordinator(&env, "heir", &database.url(), &[]);
    let demo: Value = serde_json::from_str(&zombie.env().run(&["demo-saga", "create", "-o", "json"]).stdout)
        .expect("a demo saga");
    let running = blast(&zombie.env(), &["--duration", "60s", "--max-failures", "1"]);
    progress(&database, 40);
    zombie.freeze();
    let sec = zombie.ready.sec_id.to_string();
    let run = env.run(&["secs", "expunge", &sec, "-w", "-y", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    let expunged: Value = serde_json::from_str(&run.stdout).expect("a report");
    assert_eq!(expunged["was"], "silent", "it does not answer: {run}");
    assert_eq!(expunged["heirs"], serde_json::json!([heir.ready.sec_id.to_string()]));
    // What it left is adopted without anybody's doing, and goes on.
    let left = format!("SELECT count(*) FROM saga WHERE saga_state <> 'done' AND current_sec = '{sec}'");
    poll_until("its sagas are adopted", || (number(&database, &left) == 0).then_some(()));
    let adopted = number(&database, "SELECT count(*) FROM saga WHERE adopt_generation = 2");
    assert!((1..=25).contains(&adopted), "{adopted} sagas were in flight");
    let unfinished = "SELECT count(*) FROM saga WHERE saga_state <> 'done'";
    poll_until("all but the demo saga are at rest", || (number(&database, unfinished) == 1).then_some(()));
    let written = || database.sql("SELECT count(*), max(event_time) FROM saga_node_event");
    let before = written();

    zombie.thaw();
    assert_eq!(zombie.wait_for_its_end(), Some(3));
    let log = zombie.log();
    let last = log.lines().last().expect("a last line");
    assert!(last.starts_with("error: coordinator stops: "), "{log}");
    assert!(last.ends_with(&format!("SEC {sec} has been expunged")), "{log}");
    assert_eq!(written(), before, "nothing of it landed");
    let late = format!(
        "SELECT count(*) FROM saga_node_event JOIN saga ON saga.id = saga_id \
         WHERE adopt_generation = 2 AND saga_node_event.creator = '{sec}' AND event_time > adopt_time"
    );
    assert_eq!(number(&database, &late), 0, "no event of it is later than the adoption");
    nothing_is_lost(&report(running));

    let demo_id = demo["demo_saga_id"].as_str().expect("an id");
    poll_until("the demo saga waits at its new owner", || {
        (heir.env().run(&["demo-saga", "complete", demo_id]).code == 0).then_some(())
    });
    all_at_rest(&database);
    everything_is_whole(&database);
}

#[test]
fn two_coordinators_share_a_database_and_nobody_takes_over_from_the_silent() {
    let database = Server::shared().database();
    let env = TestEnv::new();
    let (mut one, other) =
        (coordinator(&env, "one", &database.url(), &[]), coordinator(&env, "other", &database.url(), &[]));
    let load = [&one, &other].map(|at| blast(&at.env(), &["--count", "60"]));
    for running in load {
        let report = report(running);
        assert_eq!(report["done"], 60, "{report}");
        assert_eq!(report["reconciliation"]["verdict"], "consistent", "{report}");
    }
    assert_eq!(database.sql("SELECT count(*), count(DISTINCT current_sec) FROM saga"), "120|2");
    assert_eq!(one.env().run(&["demo-saga", "create"]).code, 0);
    one.kill();
    let report = other.env().run(&["activate", "sec_adoption", "-o", "json"]);
    assert_eq!(report.code, 0, "{report}");
    assert!(report.stdout.contains("\"adopted\": 0"), "{report}");
    assert_eq!(database.sql("SELECT max(adopt_generation) FROM saga"), "1");
    everything_is_whole(&database);
}

#[test]
fn databases_that_cannot_be_used_are_refused_without_a_password() {
    let database = Server::shared().database();
    let env = TestEnv::new();
    let refused = |url: &str| {
        let ports = ["--internal", "127.0.0.1:0", "--external", "127.0.0.1:0"];
        let run =
            env.run(&[&["coordinator", "run", "--data-dir", "data", "--db-url", url], &ports[..]].concat());
        assert!(!run.stderr.contains(PASSWORD) && !run.stderr.contains("guessed"), "{run}");
        (run.code, run.stderr)
    };
    let (code, stderr) = refused(&database.guarded_url("guessed"));
    assert_eq!(code, 3, "{stderr}");
    assert!(stderr.contains("password authentication failed for user \"guarded\""), "{stderr}");

    // With the right one it starts, and does not tell it either.
    let at = database.guarded_url(PASSWORD);
    let mut started = coordinator(&env, "data", &at, &[]);
    started.kill();
    assert!(!started.log().contains(PASSWORD), "{}", started.log());
    assert!(!started.ready.db_url.contains(PASSWORD), "{}", started.ready.db_url);

    // The password may come from where PostgreSQL's own programs look for it.
    let without = database.guarded_url(PASSWORD).replace(&format!(":{PASSWORD}@"), "@");
    let listed =
        TestEnv::new().with("PGPASSWORD", PASSWORD).run(&["secs", "list", "-o", "ids", "--db-url", &without]);
    assert_eq!(
        (listed.code, listed.stdout.trim()),
        (0, &*started.ready.sec_id.to_string()),
        "{}",
        listed.stderr
    );

    database.sql("UPDATE sagactl_schema SET version = 999");
    let (code, stderr) = refused(&database.url());
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("is at schema 999, this program knows up to"), "{stderr}");
}
