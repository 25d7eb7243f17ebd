//! `watchdog` beside a real coordinator that is stopped in its tracks, killed, or poisoned by a saga.

use crate::support::coordinator::Coordinator;
use crate::support::{TestEnv, poll_until};
use rustix::process::{Pid, Signal, kill_process};
use sagactl::wire::info::ReadyFile;
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A watchdog that tells its steps into a file, killed with its owner.
struct Dog(Child);

impl Dog {
    fn start(env: &TestEnv, told: &Path, arguments: &[&str]) -> Self {
        let command =
            ["watchdog", "-o", "jsonl", "--interval", "50ms", "--settle", "200ms", "--timeout", "1s"];
        let told = std::fs::File::create(told).expect("a file");
        let child = env
            .command(&[&command[..], arguments].concat())
            .stdout(told)
            .stderr(Stdio::null())
            .spawn()
            .expect("the watchdog starts");
        Self(child)
    }
}

impl Drop for Dog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn steps(told: &Path) -> Vec<Value> {
    // The last line may be on its way.
    let text = std::fs::read_to_string(told).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn wait_for(told: &Path, step: &str) -> Value {
    poll_until(step, || steps(told).into_iter().find(|told| told["event"] == step))
}

/// A coordinator that somebody else started, killed with its owner.
struct Stray(Option<ReadyFile>);

impl Drop for Stray {
    fn drop(&mut self) {
        let pid = self.0.as_ref().and_then(|ready| Pid::from_raw(i32::try_from(ready.pid).ok()?));
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

#[test]
fn a_coordinator_that_hangs_is_flagged_restarted_and_verified() {
    let env = TestEnv::new();
    let data_dir = env.path().join("data");
    let coordinator = Coordinator::start(&env, &data_dir, &[]);
    let env = coordinator.env();
    assert_eq!(env.run(&["demo-saga", "create"]).code, 0);
    let (told, notified, ready) =
        (env.path().join("told"), env.path().join("notified"), env.path().join("ready"));
    let address = |url: &str| url.trim_start_matches("http://").to_owned();
    let restart = format!(
        "kill -9 {pid}; {program} coordinator run --data-dir {dir} --internal {internal} --external {external} \
         --ready-file {ready} < /dev/null > /dev/null 2>&1 & while ! [ -e {ready} ]; do sleep 0.05; done",
        pid = coordinator.ready.pid,
        program = env!("CARGO_BIN_EXE_sagactl"),
        dir = data_dir.display(),
        internal = address(&coordinator.ready.internal_url),
        external = address(&coordinator.ready.external_url),
        ready = ready.display(),
    );
    let notify = format!("cat >> {}", notified.display());
    let state = env.path().join("state");
    let arguments =
        ["--restart-cmd", &restart, "--notify", &notify, "--verify-within", "20s", "--state-file"];
    let dog = Dog::start(&env, &told, &[&arguments[..], &[state.to_str().expect("text")]].concat());
    poll_until("it has seen the coordinator well", || std::fs::read(&state).ok());
    coordinator.freeze();
    let flagged = wait_for(&told, "flagged");
    assert_eq!(flagged["problem"]["kind"], "api_silent");
    assert_eq!(flagged["problem"]["sagas"][0]["node"], "demo_wait", "what it was busy with: {flagged}");
    let remedied = wait_for(&told, "remedied");
    let _stray = Stray(serde_json::from_slice(&std::fs::read(&ready).expect("it was restarted")).ok());
    assert_eq!((&remedied["remedy"], &remedied["error"]), (&Value::from("restart"), &Value::Null));
    assert_eq!(wait_for(&told, "verified")["remedy"], "restart");
    poll_until("whoever is to be notified is told the same", || {
        (steps(&notified) == steps(&told)).then_some(())
    });
    drop(dog);
    assert_eq!(env.run(&["status"]).code, 0);
}

#[test]
fn a_poison_saga_ends_the_remedies_and_is_named() {
    let env = TestEnv::new();
    let data_dir = env.path().join("data");
    let mut coordinator = Coordinator::start(&env, &data_dir, &[]);
    let created = coordinator.env().run(&["demo-saga", "create", "-o", "json"]);
    let created: Value = serde_json::from_str(&created.stdout).expect("JSON");
    coordinator.kill();
    let broken = "UPDATE saga SET saga_dag = replace(saga_dag, 'demo.demo_wait', 'demo.gone')";
    assert_eq!(coordinator.database().execute(broken, []).expect("changed"), 1);
    let coordinator = Coordinator::start(&env, &data_dir, &[]);
    let env = coordinator.env();
    let (told, restarts, state) =
        (env.path().join("told"), env.path().join("restarts"), env.path().join("state"));
    let restart = format!("echo restarted >> {}", restarts.display());
    let state = state.to_str().expect("text");
    let quick = ["--verify-within", "300ms", "--backoff", "100ms", "--max-remedies", "3"];
    let arguments = ["--restart-cmd", &restart, "--state-file", state];
    let dog = Dog::start(&env, &told, &[&quick[..], &arguments[..]].concat());
    let escalated = wait_for(&told, "escalated");
    assert_eq!(
        (&escalated["reason"], &escalated["attempts"]),
        (&Value::from("no_progress"), &Value::from(3))
    );
    let poison = escalated["poison"].as_array().expect("a list");
    assert_eq!(poison.len(), 1, "{escalated}");
    assert_eq!((&poison[0]["saga_id"], &poison[0]["node"]), (&created["saga_id"], &Value::from("demo_wait")));
    let problem = &escalated["problems"][0];
    assert_eq!(problem["kind"], "saga_not_recovered");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("demo.gone")), "{problem}");
    let remedies: Vec<_> = steps(&told)
        .iter()
        .filter(|step| step["event"] == "remedied")
        .map(|step| step["remedy"].as_str().expect("a word").to_owned())
        .collect();
    assert_eq!(remedies, ["activate", "restart", "restart"]);
    drop(dog);
    // It is not forgotten: another start with the same state file does nothing more.
    let once = ["watchdog", "--once", "--restart-cmd", &restart, "--state-file", state, "-o", "json"];
    let run = env.run(&once);
    assert_eq!(run.code, 1, "{run}");
    let report: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!((&report["healthy"], &report["escalated"]), (&Value::from(false), &Value::from(true)));
    assert_eq!(std::fs::read_to_string(&restarts).expect("a file").lines().count(), 2);
    // Put right, all is well again.
    let mended = "UPDATE saga SET saga_dag = replace(saga_dag, 'demo.gone', 'demo.demo_wait')";
    assert_eq!(coordinator.database().execute(mended, []).expect("changed"), 1);
    assert_eq!(env.run(&["activate", "recovery"]).code, 0);
    let run = env.run(&["watchdog", "--once", "--state-file", state]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("cleared") && run.stdout.ends_with("healthy\n"), "{run}");
}

#[test]
fn the_one_who_notices_and_the_one_who_acts_can_be_two() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let env = coordinator.env();
    let (told, findings) = (env.path().join("told"), env.path().join("findings"));
    let findings = findings.to_str().expect("text");
    let monitor = Dog::start(&env, &told, &["--monitor-only", "--state-file", findings]);
    let restart = format!("kill -CONT {}", coordinator.ready.pid);
    let act = ["watchdog", "--once", "--interval", "50ms", "--act-on", findings, "--restart-cmd", &restart];
    poll_until("the monitor has looked", || std::fs::read(findings).ok());
    let run = env.run(&act);
    assert_eq!((run.code, run.stdout.as_str()), (0, "healthy\n"), "{run}");
    coordinator.freeze();
    wait_for(&told, "flagged");
    let run = env.run(&act);
    assert_eq!(run.code, 0, "{run}");
    for words in ["flagged", "restarting, attempt 1", "cleared", "healthy"] {
        assert!(run.stdout.contains(words), "{words:?} is missing: {run}");
    }
    assert!(steps(&told).iter().all(|step| step["event"] != "remedied"), "the monitor acts on nothing");
    // With the monitor gone nobody knows what is wrong, and nothing is done.
    drop(monitor);
    let run = poll_until("its findings are old", || {
        let run = env.run(&[&act[..], &["--max-beat", "100ms"]].concat());
        (run.code == 3).then_some(run)
    });
    assert!(run.stderr.starts_with("error: no fresh findings in DIR/findings\n"), "{run}");
}

#[test]
fn both_sides_have_a_heartbeat() {
    let env = TestEnv::new();
    let theirs = env.path().join("theirs");
    let flag = ["--heartbeat-file", theirs.to_str().expect("text")];
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &flag);
    let env = coordinator.env();
    let beat = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let first = poll_until("the first beat", || beat(&theirs));
    let (told, ours) = (env.path().join("told"), env.path().join("ours"));
    let arguments = [
        "--heartbeat-file",
        ours.to_str().expect("text"),
        "--coordinator-heartbeat",
        flag[1],
        "--max-beat",
        "8s",
    ];
    let _dog = Dog::start(&env, &told, &arguments);
    let own = poll_until("the watchdog's first beat", || beat(&ours));
    poll_until("the watchdog's next beat", || beat(&ours).filter(|beat| *beat > own));
    poll_until("the coordinator's next beat", || beat(&theirs).filter(|beat| *beat > first));
    assert!(steps(&told).is_empty(), "nothing is wrong");
    coordinator.freeze();
    poll_until("the beat is missed", || {
        steps(&told).into_iter().find(|step| step["problem"]["kind"] == "heartbeat_stale")
    });
    coordinator.thaw();
    poll_until("the beat is back", || {
        let is_it = |step: &Value| step["event"] == "cleared" && step["problem"]["kind"] == "heartbeat_stale";
        steps(&told).into_iter().find(is_it)
    });
}

#[test]
fn every_command_ends_in_its_time_beside_a_coordinator_that_hangs() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let env = coordinator.env();
    let created = env.run(&["demo-saga", "create", "-o", "json"]);
    let created: Value = serde_json::from_str(&created.stdout).expect("JSON");
    let (saga, demo) = (&created["saga_id"], &created["demo_saga_id"]);
    let (saga, demo) = (saga.as_str().expect("an id"), demo.as_str().expect("an id"));
    coordinator.freeze();
    for command in [
        &["status"][..],
        &["activate", "recovery"],
        &["activate", "recovery", "--no-wait"],
        &["tasks", "list"],
        &["tasks", "show", "saga_recovery"],
        &["sagas", "list", "--source", "api"],
        &["demo-saga", "create"],
        &["demo-saga", "complete", demo],
    ] {
        let run = env.run(&[command, &["--timeout", "500ms"]].concat());
        assert!(matches!(run.code, 3 | 4), "{command:?}: {run}");
    }
    // What the database knows is told all the same.
    for command in [
        &["why", saga][..],
        &["sagas", "show", saga],
        &["sagas", "list"],
        &["sagas", "count", "--by", "state"],
        &["secs", "list", "--ping"],
    ] {
        let run = env.run(&[command, &["--timeout", "5s", "--db-url", &coordinator.ready.db_url]].concat());
        assert_eq!(run.code, 0, "{command:?}: {run}");
    }
}

#[test]
fn wrong_usage_is_refused() {
    let env = TestEnv::new();
    for (arguments, error) in [
        (&["--monitor-only"][..], "error: the following required arguments were not provided:"),
        (&["--act-on", "f", "--state-file", "f"], "error: --act-on and --state-file are the same file"),
        (&["-o", "json"], "error: watchdog has no output format \"json\"; it has table, jsonl"),
    ] {
        let run = env.run(&[&["watchdog"], arguments].concat());
        assert_eq!(run.code, 2, "{run}");
        assert_eq!(run.stderr.lines().next(), Some(error));
    }
    std::fs::write(env.path().join("foreign"), "7").expect("written");
    let run = env.run(&["watchdog", "--once", "--state-file", "foreign"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.starts_with("error: cannot use state file foreign\n"), "{run}");
}

/// The units of `docs/systemd`, with this program in place of the installed one, where systemd is there to be asked.
#[test]
fn the_systemd_units_are_in_order() {
    let env = TestEnv::new();
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/systemd");
    let mut copies = Vec::new();
    for entry in std::fs::read_dir(units).expect("they are there") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let copy = env.path().join(path.file_name().expect("a name"));
        assert!(text.contains("/usr/local/bin/sagactl "), "{}", path.display());
        let text = text.replace("/usr/local/bin/sagactl ", concat!(env!("CARGO_BIN_EXE_sagactl"), " "));
        // Whoever is to run it need not exist here.
        std::fs::write(&copy, text.replace("User=sagactl\n", "")).expect("written");
        copies.push(copy);
    }
    assert_eq!(copies.len(), 4);
    let Ok(checked) = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&copies).output()
    else {
        return;
    };
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.is_empty(), "{said}");
}
