//! `sagactl tasks`.

use crate::support::TestEnv;
use crate::support::server::{Reply, Server};
use crate::support::{fixture, fixture_json};
use serde_json::Value;

fn nexus() -> Server {
    Server::nexus(&fixture("nexus/task-2026.json"))
}

#[test]
fn a_list_has_one_line_per_task() {
    insta::assert_snapshot!(TestEnv::at(&nexus()).run(&["tasks", "list"]), @"
    TASK                 PERIOD  LAST_ITER  LAST_START                LAST_TOOK  LAST_TRIGGER  NOW_ITER  NOW_START                 NOW_TRIGGER  DESCRIPTION
    dns_config_internal      1m         41  2026-11-02T09:19:05.250Z   1s 250ms  signal              42  2026-11-02T09:20:05.500Z  dependency   watches internal DNS data stored in the database
    region_replacement      30s          -  -                                 -  -                    -  -                         -            looks for disks to replace
    saga_recovery           10m          7  2026-11-02T09:15:22.640Z       81ms  timer                -  -                         -            resumes this coordinator's unfinished sagas
    = 0
    ");
}

#[test]
fn columns_can_be_chosen() {
    let server = nexus();
    let env = TestEnv::at(&server);
    insta::assert_snapshot!(env.run(&["tasks", "list", "--columns", "last-iter,TASK"]), @"
    LAST_ITER  TASK
           41  dns_config_internal
            -  region_replacement
            7  saga_recovery
    = 0
    ");
    insta::assert_snapshot!(env.run(&["tasks", "list", "--columns", "tusk"]), @r#"
    ! error: unknown column "tusk"; known columns: coordinator, task, period, last_iter, last_start, last_took, last_trigger, now_iter, now_start, now_trigger, description
    = 2
    "#);
}

#[test]
fn other_formats() {
    let server = nexus();
    let env = TestEnv::at(&server);
    insta::assert_snapshot!(env.run(&["tasks", "list", "-o", "ids"]), @"
    dns_config_internal
    region_replacement
    saga_recovery
    = 0
    ");
    let array: Vec<Value> = serde_json::from_str(&env.run(&["tasks", "list", "-o", "json"]).stdout).unwrap();
    let lines = env.run(&["tasks", "list", "-o", "jsonl"]).stdout;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(array, lines);
    insta::assert_snapshot!(serde_json::to_string_pretty(&array[0]).unwrap(), @r#"
    {
      "current": {
        "iteration": 42,
        "reason": "dependency",
        "start_time": "2026-11-02T09:20:05.500Z"
      },
      "description": "watches internal DNS data stored in the database",
      "details": {
        "generation": 5
      },
      "error": null,
      "last": {
        "elapsed_ms": 1250.0,
        "iteration": 41,
        "reason": "signaled",
        "start_time": "2026-11-02T09:19:05.250Z"
      },
      "name": "dns_config_internal",
      "period_secs": 60
    }
    "#);
    assert_eq!(array[2]["details"], fixture_json("nexus/task-2026.json")["last"]["details"]["details"]);
}

#[test]
fn a_task_that_cannot_be_read_hides_no_other() {
    let server = Server::start(|_, _| Reply::fixture(200, "nexus/bgtasks-one-bad.json"));
    insta::assert_snapshot!(TestEnv::at(&server).run(&["tasks", "list", "--columns", "task,period"]), @r#"
    TASK                 PERIOD
    dns_config_internal      1m
    region_replacement        ?
    saga_recovery           10m
    ! error: cannot read task "region_replacement"
    ! caused by: unexpected JSON at period: invalid type: string "30s", expected struct WireDuration
    = 5
    "#);
}

#[test]
fn tasks_are_shown_in_full() {
    let server = nexus();
    let env = TestEnv::at(&server);
    let one = env.run(&["tasks", "show", "recovery"]);
    assert!(one.stdout.starts_with("task: \"saga_recovery\"\n") && one.code == 0, "{one}");
    let all = env.run(&["tasks", "show"]);
    assert!(all.stdout.contains(&one.stdout), "{all}");
    let others = all.stdout.split("task: \"saga_recovery\"").next().unwrap();
    insta::assert_snapshot!(crate::support::steady(others), @r#"
    task: "dns_config_internal"
      configured period: every 1m
      currently executing: iter 42, triggered by a dependent task completing
        started at 2026-11-02T09:20:05.500Z, running for …
      last completed activation: iter 41, triggered by an explicit signal
        started at 2026-11-02T09:19:05.250Z (… ago) and ran for 1s 250ms
        details:
            {
              "generation": 5
            }

    task: "region_replacement"
      configured period: every 30s
      currently executing: no
      last completed activation: never
    "#);
}

#[test]
fn an_unknown_task_is_an_error_that_names_the_known_ones() {
    let server = nexus();
    let env = TestEnv::at(&server);
    insta::assert_snapshot!(env.run(&["tasks", "show", "saga_recvoery"]), @r#"
    ! error: unknown task "saga_recvoery"; known tasks: dns_config_internal, region_replacement, saga_recovery
    ! hint: did you mean "saga_recovery"?
    = 2
    "#);
    insta::assert_snapshot!(env.run(&["tasks", "show", "x\u{1b}[2J"]), @r#"
    ! error: unknown task "x\u{1b}[2J"; known tasks: dns_config_internal, region_replacement, saga_recovery
    = 2
    "#);
}

#[test]
fn a_name_of_a_megabyte_makes_no_line_that_long_and_is_whole_in_json() {
    let name = "n".repeat(1_000_000);
    let mut task = fixture_json("nexus/task-running.json");
    task["name"] = name.as_str().into();
    task["description"] = "d".repeat(1_000_000).into();
    let mut odd = task.clone();
    odd["period"] = "?".into();
    let tasks = serde_json::json!({ &name: task, format!("{name}-odd"): odd, "saga_recovery": fixture_json("nexus/task-2026.json") });
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/bgtasks" => Reply::json(200, tasks.to_string()),
        _ => Reply::fixture(404, "nexus/error-unknown-task.json"),
    });
    let env = TestEnv::at(&server);
    for command in [&["tasks", "list"][..], &["tasks", "show"], &["tasks", "list", "--columns", "task"]] {
        let run = env.run(command);
        assert_eq!(run.code, 5, "one of them cannot be read");
        let longest = run.stdout.lines().chain(run.stderr.lines()).map(str::len).max().expect("lines");
        assert!((200..6_000).contains(&longest), "{command:?}: a line of {longest} bytes");
        assert!(
            run.stdout.contains(&format!("{}…", "n".repeat(256))) && run.stdout.contains("saga_recovery")
        );
    }
    let run = env.run(&["tasks", "list", "-o", "json"]);
    let listed: Vec<Value> = serde_json::from_str(&run.stdout).expect("JSON");
    assert!(listed.iter().any(|task| task["name"] == name.as_str()), "whole");
    let run = env.run(&["tasks", "show", "nonesuch"]);
    assert_eq!(run.code, 2, "{} bytes", run.stderr.len());
    assert!(run.stderr.len() < 6_000, "{} bytes", run.stderr.len());
}
