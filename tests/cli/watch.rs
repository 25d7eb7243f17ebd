//! `watch` beside a real coordinator: what it tells through kills and restarts, its own included.

use crate::support::coordinator::Coordinator;
use crate::support::databases::Recorded;
use crate::support::{TestEnv, poll_until};
use rusqlite::Connection;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Stdio};

/// A watch that is killed with its owner.
struct Watch(Child);

impl Watch {
    fn start(env: &TestEnv, arguments: &[&str]) -> Self {
        let command = ["watch", "-o", "jsonl", "--interval", "20ms"];
        let child = env
            .command(&[&command[..], arguments].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("watch starts");
        Self(child)
    }

    fn kill(&mut self) {
        self.0.kill().expect("it can be killed");
        self.0.wait().expect("it can be waited for");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a hook wrote down, one event a line.
fn told(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("a hook is given JSON")).collect()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

fn sagas(database: &Connection, condition: &str) -> BTreeSet<String> {
    let mut question = database.prepare(&format!("SELECT id FROM saga WHERE {condition}")).expect("SQL");
    let rows = question.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("ids")
}

#[test]
fn what_the_hook_is_told_through_kills_of_the_watch_is_what_happened() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let env = coordinator.env();
    let (state, told_path) = (env.path().join("state"), env.path().join("told"));
    let exec = format!("cat >> {}", told_path.display());
    let arguments = ["--state-file", state.to_str().expect("text"), "--exec", &exec];
    let mut watch = Watch::start(&env, &arguments);
    poll_until("the watch has a beginning", || std::fs::read(&state).ok());
    let blast = ["blast", "--quiet", "--concurrency", "4", "--count", "60"];
    let mut load = env.command(&blast).stdout(Stdio::null()).spawn().expect("blast starts");
    let mut kills = 0;
    for goal in [5, 20, 35, 50, 65, 80] {
        poll_until("more is told", || (told(&told_path).len() >= goal).then_some(()));
        watch.kill();
        kills += 1;
        watch = Watch::start(&env, &arguments);
    }
    assert!(load.wait().expect("a child").success());
    let database = coordinator.database();
    let done = poll_until("all sagas are at rest", || {
        let done = sagas(&database, "saga_state = 'done'");
        (done.len() == 60).then_some(done)
    });
    poll_until("the last end is told", || {
        let told = told(&told_path);
        let finished: BTreeSet<_> =
            told.iter().filter(|event| event["event"] == "saga_finished").collect_ids();
        (finished == done).then_some(())
    });
    drop(watch);

    let told = told(&told_path);
    let mut numbers: BTreeMap<u64, &Value> = BTreeMap::new();
    let (mut last, mut repeated) = (0, 0);
    for event in &told {
        let seq = event["seq"].as_u64().expect("a number");
        if let Some(known) = numbers.insert(seq, event) {
            assert_eq!(known, event);
            // A hook outlives a killed watch and may end after its successor's.
            assert!(seq + 1 >= last, "only the last event before a kill is repeated, not {seq} after {last}");
            repeated += 1;
        }
        last = seq;
    }
    assert!(repeated <= kills, "{repeated} repeated for {kills} kills");
    assert!(numbers.keys().copied().eq(1..=numbers.len() as u64), "none is left out: {:?}", numbers.keys());
    for kind in ["saga_started", "saga_finished"] {
        let ids: Vec<_> = numbers
            .values()
            .filter(|event| event["event"] == kind)
            .map(|event| text(event, "saga_id"))
            .collect();
        assert_eq!(ids.len(), 60, "{kind}: each once");
        assert_eq!(ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>(), done, "{kind}");
    }
    assert!(told.iter().all(|event| event["event"] != "saga_finished" || event["outcome"] == "succeeded"));
}

trait CollectIds {
    fn collect_ids(self) -> BTreeSet<String>;
}

impl<'v, I: Iterator<Item = &'v Value>> CollectIds for I {
    fn collect_ids(self) -> BTreeSet<String> {
        self.map(|event| text(event, "saga_id").to_owned()).collect()
    }
}

#[test]
fn what_happens_to_the_coordinator_is_told_and_what_was_missed_is_told_afterwards() {
    let env = TestEnv::new();
    let mut coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let env = coordinator.env();
    let (state, told_path) = (env.path().join("state"), env.path().join("told"));
    let exec = format!("cat >> {}", told_path.display());
    let arguments = ["--state-file", state.to_str().expect("text"), "--exec", &exec];
    let mut watch = Watch::start(&env, &arguments);
    poll_until("the watch has a beginning", || std::fs::read(&state).ok());
    let wait_for =
        |kind: &str| poll_until(kind, || told(&told_path).into_iter().find(|event| event["event"] == kind));
    let created = env.run(&["demo-saga", "create", "-o", "json"]);
    let created: Value = serde_json::from_str(&created.stdout).expect("JSON");
    let started = wait_for("saga_started");
    assert_eq!((text(&started, "saga_id"), text(&started, "name")), (text(&created, "saga_id"), "demo"));
    coordinator.kill();
    let lost = wait_for("connection_lost");
    assert_eq!(text(&lost, "source"), "api");
    coordinator.restart(&env);
    let regained = wait_for("connection_regained");
    assert_eq!(text(&regained, "source"), "api");
    wait_for("sec_started");
    let recovered = wait_for("saga_recovered");
    assert_eq!(text(&recovered, "saga_id"), text(&created, "saga_id"));
    let pass = wait_for("pass_completed");
    assert_eq!((&pass["completed"], &pass["recovered"]), (&Value::Bool(true), &Value::from(1)));

    // What happens while nobody watches is told by the next watch, also with the coordinator down again.
    watch.kill();
    assert_eq!(env.run(&["demo-saga", "complete", text(&created, "demo_saga_id")]).code, 0);
    poll_until("it is done", || {
        (sagas(&coordinator.database(), "saga_state = 'done'").len() == 1).then_some(())
    });
    coordinator.kill();
    let once = ["watch", "--once", "-o", "jsonl", "--state-file", state.to_str().expect("text")];
    let run = env.run(&once);
    assert_eq!(run.code, 0, "{run}");
    let lines: Vec<Value> =
        run.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
    let finished = lines.iter().find(|event| event["event"] == "saga_finished").expect("its end");
    assert_eq!(
        (text(finished, "saga_id"), text(finished, "outcome")),
        (text(&created, "saga_id"), "succeeded")
    );
    assert!(lines.iter().any(|event| event["event"] == "connection_lost"), "{run}");
    assert_eq!(env.run(&once).stdout, "", "and only once");
}

#[test]
fn a_hook_that_fails_is_run_again_and_one_that_hangs_is_killed() {
    let env = TestEnv::new().with("SAGACTL_URL", &crate::support::server::closed_port());
    let attempts = env.path().join("attempts");
    // The first attempt fails, the second hangs, the third is good.
    let exec = format!(
        "echo $SAGACTL_EVENT >> {0}; case $(wc -l < {0}) in 1) exit 1;; 2) sleep 600;; esac",
        attempts.display()
    );
    let run = env.run(&["watch", "--once", "--exec", &exec, "--exec-timeout", "1s"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("connection lost"), "{run}");
    assert_eq!(run.stdout.lines().count(), 1, "told once, whatever the hook does: {run}");
    for words in
        ["event 1 is not accepted: ", "ended with exit status: 1", "took longer than 1s and was killed"]
    {
        assert!(run.stderr.contains(words), "{words:?} is missing: {run}");
    }
    assert_eq!(std::fs::read_to_string(&attempts).expect("a file"), "connection_lost\n".repeat(3));
}

#[test]
fn a_state_file_has_one_watch_at_a_time_and_must_be_one() {
    let env = TestEnv::new().with("SAGACTL_URL", &crate::support::server::closed_port());
    let state = env.path().join("state");
    let arguments = ["--state-file", state.to_str().expect("text")];
    let watch = Watch::start(&env, &arguments);
    poll_until("it has written something", || std::fs::read(&state).ok());
    let second = env.run(&["watch", "--once", arguments[0], arguments[1]]);
    assert_eq!(second.code, 2, "{second}");
    assert!(second.stderr.contains("is in use by another watch"), "{second}");
    drop(watch);
    std::fs::write(&state, "once upon a time\n").expect("written");
    let foreign = env.run(&["watch", "--once", arguments[0], arguments[1]]);
    assert_eq!(foreign.code, 2, "{foreign}");
    assert!(foreign.stderr.contains("is no state file of watch"), "{foreign}");
    assert_eq!(std::fs::read_to_string(&state).expect("a file"), "once upon a time\n", "and left as it is");
}

#[test]
fn a_database_that_comes_late_is_told_and_looked_at() {
    let env = TestEnv::new().with("SAGACTL_URL", &crate::support::server::closed_port());
    let elsewhere = TestEnv::new();
    let made = Recorded::Sagactl.in_sqlite(&elsewhere);
    let (told_path, late) = (env.path().join("told"), env.path().join("late.db"));
    let exec = format!("cat >> {}", told_path.display());
    let url = format!("sqlite:{}", late.display());
    let _watch = Watch::start(&env, &["--exec", &exec, "--db-url", &url]);
    let find = |kind: &'static str| {
        let told_path = &told_path;
        move || {
            told(told_path).into_iter().find(|event| event["event"] == kind && event["source"] == "database")
        }
    };
    let lost = poll_until("it is not there", find("connection_lost"));
    assert_eq!(text(&lost, "url"), url);
    // Copied, for the scratch directories need not share a file system, and then whole at once.
    let copy = env.path().join("copy.db");
    std::fs::copy(made.strip_prefix("sqlite:").expect("a file"), &copy).expect("copied");
    std::fs::rename(&copy, &late).expect("the same directory");
    let regained = poll_until("it is there", find("connection_regained"));
    assert_eq!(regained["lost"], lost["time"]);
    assert!(told(&told_path).iter().all(|event| event["event"] != "saga_started"), "old sagas are no news");
}

#[test]
fn every_kind_of_database_can_be_watched() {
    let env = TestEnv::new().with("SAGACTL_URL", &crate::support::server::closed_port());
    for recorded in Recorded::ALL {
        let in_postgres = recorded.in_postgres();
        let urls = [Some(recorded.in_sqlite(&env)), in_postgres.as_ref().map(|database| database.url())];
        for url in urls.into_iter().flatten() {
            let run = env.run(&["watch", "--once", "-o", "jsonl", "--db-url", &url]);
            assert_eq!(run.code, 0, "{}: {run}", recorded.name());
            let told: Vec<Value> =
                run.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect();
            assert_eq!(told.len(), 1, "{}: {run}", recorded.name());
            assert_eq!((text(&told[0], "event"), text(&told[0], "source")), ("connection_lost", "api"));
            assert!(run.stderr.contains("note: watching from now on: "), "{}: {run}", recorded.name());
        }
    }
}
