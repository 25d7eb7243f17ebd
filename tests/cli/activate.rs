//! `sagactl activate`, against a coordinator that can be steered.

use crate::support::server::{Reply, Request, Server};
use crate::support::{TestEnv, fixture, fixture_json};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A task that runs when it is asked to, and shows itself as a Nexus does.
struct Task {
    iteration: u64,
    /// How many looks an activation takes, from the request on.
    looks: u32,
    looks_left: u32,
    names_iteration: bool,
    last_pass: Value,
}

impl Task {
    fn new() -> Self {
        let last_pass =
            json!({"Success": {"nfound": 9, "nrecovered": 4, "nfailed": 0, "nskipped": 5, "nremoved": 2}});
        Self { iteration: 7, looks: 3, looks_left: 0, names_iteration: true, last_pass }
    }

    fn show(&mut self) -> Value {
        if self.looks_left > 0 {
            self.looks_left -= 1;
            if self.looks_left == 0 {
                self.iteration += 1;
            }
        }
        let mut task = fixture_json("nexus/task-2026.json");
        let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        task["last"]["details"]["iteration"] = json!(self.iteration);
        task["last"]["details"]["start_time"] = json!(now);
        task["last"]["details"]["details"]["last_pass"] = self.last_pass.clone();
        if self.looks_left > 0 {
            task["current"] = json!({"current_status": "running",
                "details": {"iteration": self.iteration + 1, "start_time": now, "reason": "signaled"}});
        }
        task
    }
}

fn serve(task: Task) -> Server {
    let task = Arc::new(Mutex::new(task));
    Server::start(move |request: &Request, _| {
        let mut task = task.lock().unwrap();
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/bgtasks/view/saga_recovery") => Reply::json(200, task.show().to_string()),
            ("GET", "/bgtasks") => Reply::fixture(200, "nexus/bgtasks.json"),
            ("GET", _) => Reply::fixture(404, "nexus/error-unknown-task.json"),
            ("POST", "/bgtasks/activate") => {
                let headers = match task.names_iteration {
                    true => vec![format!("x-sagactl-iterations: saga_recovery={}", task.iteration + 1)],
                    false => vec![],
                };
                task.looks_left = task.looks;
                Reply::Answer(204, headers, String::new())
            }
            _ => Reply::no_route(),
        }
    })
}

#[test]
fn the_pass_that_was_asked_for_is_shown() {
    let server = serve(Task::new());
    insta::assert_snapshot!(without_start(&TestEnv::at(&server).run(&["activate", "recovery"]).to_string()), @r#"
    task: "saga_recovery"
      configured period: every 10m
      currently executing: no
      last completed activation: iter 8, triggered by a periodic timer firing
        started at … and ran for 81ms
        since coordinator started:
            sagas recovered:           11
            sagas recovery errors:     12
            sagas observed started:  1300
            sagas inferred finished:   14
            missing from SEC:           2
            bad state in SEC:           3
        last pass:
            found sagas:   9 (in-progress, assigned to this coordinator)
            recovered:     4 (successfully)
            failed:        0
            skipped:       5 (already running)
            removed:       2 (newly finished)
    = 0
    "#);
    let activation = server.requests().into_iter().find(|request| request.method == "POST").unwrap();
    assert_eq!(activation.body, r#"{"bgtask_names":["saga_recovery"]}"#);
    assert!(activation.headers.contains(&"content-type: application/json".to_owned()), "{activation:?}");
}

/// The moment at which the activation began is that of the test.
fn without_start(text: &str) -> String {
    let mut text = text.to_owned();
    if let (Some(begin), Some(end)) = (text.find("started at "), text.find(" and ran for")) {
        text.replace_range(begin + 11..end, "…");
    }
    text
}

#[test]
fn a_nexus_does_not_say_which_iteration_and_is_understood() {
    let server = serve(Task { names_iteration: false, ..Task::new() });
    let run = TestEnv::at(&server).run(&["activate", "saga_recovery", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    let activated: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(activated[0]["name"], "saga_recovery");
    assert_eq!(activated[0]["requested_iteration"], Value::Null);
    assert_eq!(activated[0]["completed"], true);
    assert_eq!(activated[0]["task"]["last"]["iteration"], 8);
    assert_eq!(activated[0]["last_pass"]["removed"], 2);
}

#[test]
fn failures_in_the_pass_are_a_bad_answer() {
    for last_pass in [
        json!({"Success": {"nfound": 9, "nrecovered": 4, "nfailed": 1, "nskipped": 4, "nremoved": 2}}),
        json!({"Failed": {"message": "no database"}}),
    ] {
        let server = serve(Task { last_pass, ..Task::new() });
        let run = TestEnv::at(&server).run(&["activate", "recovery"]);
        assert_eq!((run.code, run.stderr.as_str()), (1, ""), "{run}");
    }
}

#[test]
fn not_waiting_asks_and_ends() {
    let server = serve(Task { looks: u32::MAX, ..Task::new() });
    let env = TestEnv::at(&server);
    insta::assert_snapshot!(env.run(&["activate", "recovery", "saga_recovery", "--no-wait"]), @"
    asked for saga_recovery: iter 8 will begin after this request
    = 0
    ");
    insta::assert_snapshot!(env.run(&["activate", "recovery", "--no-wait", "-o", "jsonl"]), @r#"
    {"name":"saga_recovery","requested_iteration":8,"completed":false}
    = 0
    "#);
}

#[test]
fn a_pass_that_does_not_end_is_not_waited_for_for_ever() {
    let server = serve(Task { looks: u32::MAX, ..Task::new() });
    let run = TestEnv::at(&server).run(&["activate", "recovery", "--timeout", "300ms"]);
    assert_eq!((run.code, run.stdout.as_str()), (4, ""), "{run}");
    assert!(run.took < Duration::from_secs(5), "{:?}", run.took);
    let text = crate::support::steady(&run.stderr);
    insta::assert_snapshot!(text, @r#"
    error: timed out waiting for task "saga_recovery" to complete iteration 8
    caused by: iteration 8 has been running for …
    hint: it was asked and will run; `sagactl status` shows it, --timeout waits longer
    "#);
}

#[test]
fn an_unknown_task_activates_nothing() {
    let server = serve(Task::new());
    insta::assert_snapshot!(TestEnv::at(&server).run(&["activate", "recovery", "recvoery"]), @r#"
    ! error: unknown task "recvoery"; known tasks: dns_config_internal, region_replacement, saga_recovery
    ! hint: did you mean "recovery"?
    = 2
    "#);
    assert!(server.asked().iter().all(|asked| !asked.starts_with("POST")), "{:?}", server.asked());
}

#[test]
fn other_tasks_show_what_they_report() {
    let looks = Arc::new(Mutex::new(41));
    let server = Server::start(move |request, _| match (request.method.as_str(), request.path.as_str()) {
        ("POST", _) => Reply::Answer(204, vec![], String::new()),
        ("GET", "/bgtasks/view/dns_config_internal") => {
            let mut task: Value = serde_json::from_str(&fixture("nexus/bgtasks.json")).unwrap();
            let mut task = task["dns_config_internal"].take();
            let mut iteration = looks.lock().unwrap();
            task["last"]["details"]["iteration"] = json!(*iteration);
            task["last"]["details"]["start_time"] = json!("2100-01-01T00:00:00Z");
            task["current"] = json!({"current_status": "idle"});
            *iteration += 1;
            Reply::json(200, task.to_string())
        }
        _ => Reply::no_route(),
    });
    let run = TestEnv::at(&server).run(&["activate", "dns_config_internal"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(
        run.stdout.ends_with("    details:\n        {\n          \"generation\": 5\n        }\n"),
        "{run}"
    );
}
