//! `sagactl secs`: who executes sagas, and putting one out of service.

use crate::postgres::{Database, Server};
use crate::postgres_proxy::{Fault, Proxy};
use crate::support::coordinator::Coordinator;
use crate::support::{Run, TestEnv, poll_until};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

/// A coordinator called `name` on a database, with a data directory of its own.
fn coordinator(env: &TestEnv, name: &str, url: &str) -> Coordinator {
    Coordinator::start(env, &env.path().join(name), &["--db-url", url])
}

fn on(database: &Database<'_>) -> TestEnv {
    TestEnv::new().with("SAGACTL_DB_URL", &database.url())
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
}

fn id(coordinator: &Coordinator) -> String {
    coordinator.ready.sec_id.to_string()
}

/// The listing, once every coordinator has sent its first heartbeat.
fn listed(env: &TestEnv, arguments: &[&str], secs: usize) -> Vec<Value> {
    poll_until("all SECs are registered", || {
        let run = env.run(&[&["secs", "list", "-o", "json"], arguments].concat());
        assert_eq!(run.code, 0, "{run}");
        let listed = json(&run).as_array().expect("a list").clone();
        let addresses = listed.iter().filter(|sec| sec["internal_address"].is_string()).count();
        (addresses == secs).then_some(listed)
    })
}

fn status_of<'l>(listed: &'l [Value], id: &str) -> &'l Value {
    &listed.iter().find(|sec| sec["sec_id"] == id).expect("it is registered")["status"]
}

#[test]
fn lists_who_is_alive_and_what_each_has_unfinished() {
    let database = Server::shared().database();
    let env = on(&database);
    let (one, mut other) =
        (coordinator(&env, "one", &database.url()), coordinator(&env, "other", &database.url()));
    assert_eq!(other.env().run(&["demo-saga", "create"]).code, 0);
    let secs = listed(&env, &["--ping"], 2);
    assert_eq!(
        (status_of(&secs, &id(&one)), status_of(&secs, &id(&other))),
        (&"alive".into(), &"alive".into())
    );
    let busy = secs.iter().find(|sec| sec["sec_id"] == id(&other).as_str()).expect("registered");
    assert_eq!(busy["ping"]["answered"], true);
    assert_eq!(busy["ping"]["sagas_in_flight"], 1);
    assert_eq!(busy["unfinished"]["running"], 1);
    assert!(busy["unfinished"]["oldest"].is_string());

    // One that is gone is known by asking at once, and by its heartbeat only after a while.
    other.kill();
    let secs = listed(&env, &["--ping"], 2);
    assert_eq!(status_of(&secs, &id(&other)), "silent");
    assert_eq!(status_of(&secs, &id(&one)), "alive");
    assert_eq!(status_of(&listed(&env, &[], 2), &id(&one)), "alive");
    let ids = env.run(&["secs", "list", "-o", "ids"]);
    let mut expected = [id(&one), id(&other)];
    expected.sort();
    assert_eq!(ids.stdout.lines().collect::<Vec<_>>(), expected);
    let table = env.run(&["secs", "list", "--ping", "--columns", "sec,status,unfinished"]);
    let gone = table.stdout.lines().find(|line| line.starts_with(&id(&other))).expect("a row");
    assert!(gone.contains("no answer since 20") && gone.ends_with('1'), "{table}");
    // Without a named database, the coordinator's own is asked.
    let run = one.env().run(&["secs", "list", "-o", "ids"]);
    assert_eq!(run.stdout, ids.stdout);
    assert!(run.stderr.contains("note: using database postgresql://"), "{run}");
}

#[test]
fn expunging_needs_permission_and_consent_and_is_done_once() {
    let database = Server::shared().database();
    let env = on(&database);
    let mut gone = coordinator(&env, "gone", &database.url());
    assert_eq!(gone.env().run(&["demo-saga", "create"]).code, 0);
    listed(&env, &[], 1);
    gone.kill();
    let gone = id(&gone);
    let state = || database.sql("SELECT state FROM sec");

    let run = env.run(&["secs", "expunge", &gone]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.starts_with("error: secs expunge cannot be taken back, so it needs -w"), "{run}");
    let run = env.run(&["secs", "expunge", &gone, "-w"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains(&format!("plan: expunge SEC {gone}")), "{run}");
    assert!(run.stderr.contains("1 sagas (1 running, 0 unwinding)"), "{run}");
    assert!(run.stderr.contains("error: there is no terminal to ask for confirmation on"), "{run}");
    let run = env.run(&["secs", "expunge", &gone[..13], "--dry-run"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "dry run: nothing was done\n"), "{run}");
    assert!(run.stderr.contains("adopted by:  nobody for now"), "{run}");
    assert_eq!(state(), "active");

    let run = env.run(&["secs", "expunge", "0000", "-w", "-y"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains(&format!("error: unknown SEC \"0000\"; known SECs: {gone}")), "{run}");

    let run = env.run(&["secs", "expunge", &gone, "-w", "-y", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    let report = json(&run);
    assert_eq!((&report["outcome"], &report["was"]), (&"expunged".into(), &"silent".into()));
    assert_eq!((&report["unfinished"]["running"], &report["heirs"]), (&1.into(), &Value::Array(Vec::new())));
    assert_eq!(state(), "expunged");
    let run = env.run(&["secs", "expunge", &gone, "-w", "-y"]);
    assert_eq!((run.code, run.stdout), (0, format!("SEC {gone} is already expunged\n")));

    // It never comes back under this id, and says so.
    let data_dir = env.path().join("gone");
    let run = env.run(&[
        "coordinator",
        "run",
        "--data-dir",
        data_dir.to_str().expect("text"),
        "--db-url",
        &database.url(),
        "--internal",
        "127.0.0.1:0",
        "--external",
        "127.0.0.1:0",
    ]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains(&format!("caused by: SEC {gone} has been expunged")), "{run}");
}

#[test]
fn sqlite_has_a_registry_too() {
    let env = TestEnv::new();
    let data_dir = env.path().join("data");
    let mut first = Coordinator::start(&env, &data_dir, &[]);
    assert_eq!(first.env().run(&["demo-saga", "create"]).code, 0);
    let env = env.with("SAGACTL_DB_URL", &first.ready.db_url);
    assert_eq!(status_of(&listed(&env, &["--ping"], 1), &id(&first)), "alive");
    // Expunged while it runs, it ends at its next heartbeat; another id on the same file adopts.
    assert_eq!(env.run(&["secs", "expunge", &id(&first), "-w", "-y"]).code, 0);
    assert_eq!(first.wait_for_its_end(), Some(3));
    let heir = "11111111-2222-4333-8444-555555555555";
    let heir = Coordinator::start(&TestEnv::new(), &data_dir, &["--sec-id", heir]);
    poll_until("the saga is adopted", || {
        let sagas = json(&heir.env().run(&["status", "-o", "json"]));
        (sagas["coordinator"]["sagas_in_flight"] == 1).then_some(())
    });
}

#[test]
fn databases_that_are_not_there_are_named() {
    let env = TestEnv::new();
    let run = env.run(&["secs", "list", "--db-url", "sqlite:none.db"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("there is no such file"), "{run}");
    let run =
        env.run(&["secs", "expunge", "x", "-w", "-y", "--db-url", "postgresql://u:s3cret@127.0.0.1:1/x"]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains("Connection refused") && !run.stderr.contains("s3cret"), "{run}");
    assert!(!env.path().join("none.db").exists());
}

/// How often a task of a coordinator has run to its end.
fn completed(coordinator: &Coordinator, task: &str) -> i64 {
    let run = coordinator.env().run(&["tasks", "list", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    let tasks = json(&run);
    let task = tasks.as_array().expect("a list").iter().find(|known| known["name"] == task);
    task.expect("a task of every coordinator")["last"]["iteration"].as_i64().unwrap_or(0)
}

#[test]
fn idle_passes_write_nothing_and_a_heartbeat_one_row() {
    // A server of its own: what it counts is counted for all of its databases.
    let server = Server::start();
    let database = server.database();
    let env = on(&database);
    let coordinator = coordinator(&env, "idle", &database.url());
    // One that waits is found by every pass and left alone.
    assert_eq!(coordinator.env().run(&["demo-saga", "create"]).code, 0);
    listed(&env, &[], 1);

    // Every row with the transaction that wrote it, without those of the registry.
    let tables = database.sql(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace \
         AND relname <> 'sec' ORDER BY 1",
    );
    assert!(tables.lines().count() > 5, "{tables}");
    let rows = || {
        let of = |table: &str| {
            database.sql(&format!("SELECT '{table}', xmin, ctid, t::TEXT FROM {table} AS t ORDER BY ctid"))
        };
        tables.lines().map(of).filter(|rows| !rows.is_empty()).collect::<Vec<_>>()
    };
    // Only transactions that write something are given a number.
    let writing = || database.sql("SELECT txid_snapshot_xmax(txid_current_snapshot())");
    let registry =
        || database.sql("SELECT id, internal_address, state, time_started, writer_session FROM sec");
    let counted = || writing().parse::<i64>().expect("a number");
    let heartbeats = || completed(&coordinator, "sec_heartbeat");

    // The listing of tables and rows is done first, so that little time passes between the counts.
    let (rows_before, registry_before) = (rows(), registry());
    assert!(rows_before.iter().any(|rows| rows.starts_with("saga|")), "{rows_before:?}");
    let (beats_before, count_before) = (heartbeats(), counted());
    const PASSES: usize = 10;
    for _ in 0..PASSES {
        for task in ["recovery", "sec_adoption"] {
            let run = coordinator.env().run(&["activate", task]);
            assert_eq!(run.code, 0, "{run}");
        }
    }
    let (written, beats) = (counted() - count_before, heartbeats() - beats_before);
    // A heartbeat may have been under way at either count.
    assert!(
        (0..=beats + 1).contains(&written),
        "{written} transactions wrote something in {beats} heartbeats"
    );
    assert!(written < i64::try_from(PASSES).expect("a small number"), "{written} in {PASSES} passes");
    assert_eq!((rows(), registry()), (rows_before, registry_before));
}

#[test]
fn an_expunging_whose_answer_is_lost_is_found_out() {
    for (fault, code, told) in [
        (Fault::SwallowAnswer, 0, "note: applied (verified): the answer was lost, and it is there\n"),
        (Fault::SwallowCommit, 3, "error: not applied: "),
    ] {
        let server = Server::shared();
        let database = server.database();
        let env = on(&database);
        let mut gone = coordinator(&env, "gone", &database.url());
        listed(&env, &[], 1);
        gone.kill();
        let proxy = Proxy::start(server.port(), fault);
        proxy.fail_after(0);
        let env = TestEnv::new().with("SAGACTL_DB_URL", &proxy.lead(&database.url(), server.port()));
        let run = env.run(&["secs", "expunge", &id(&gone), "-w", "-y"]);
        assert!(proxy.has_failed(), "{run}");
        assert_eq!(run.code, code, "{fault:?}: {run}");
        assert!(run.stderr.contains(told), "{fault:?}: {run}");
        assert_eq!(run.stdout.contains("expunged SEC"), code == 0, "{run}");
        let state = if code == 0 { "expunged" } else { "active" };
        assert_eq!(database.sql("SELECT state FROM sec"), state, "{fault:?}");
    }
}

#[test]
fn an_expunging_that_is_still_under_way_is_told_as_such() {
    let database = Server::shared().database();
    let env = on(&database);
    let mut gone = coordinator(&env, "gone", &database.url());
    listed(&env, &[], 1);
    gone.kill();
    // Somebody holds the SEC's row for longer than the command may take.
    let mut holder =
        database.shell().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql starts");
    let mut words = holder.stdin.take().expect("its input");
    words.write_all(b"BEGIN;\nSELECT 'held' FROM sec FOR UPDATE;\n").expect("it reads");
    let mut answers = BufReader::new(holder.stdout.take().expect("its output")).lines();
    assert!(answers.any(|line| line.expect("text").contains("held")));
    // A quarter of it is for finding out, which on a busy machine may take a while.
    let run = env.run(&["secs", "expunge", &id(&gone), "-w", "-y", "--timeout", "8s"]);
    drop(words);
    holder.wait().expect("psql ends");
    assert_eq!(run.code, 4, "{run}");
    for line in [
        "error: applied or not, which is not known: timed out expunging SEC",
        "caused by: looking for it: it is not done, and may still be under way",
    ] {
        assert!(run.stderr.contains(line), "{run}");
    }
}
