//! `--url` more than once: each coordinator's answer with its source, and one that does not answer hides no other.

use crate::postgres::Server as Postgres;
use crate::support::coordinator::Coordinator;
use crate::support::server::{Server, closed_port};
use crate::support::{Run, TestEnv, fixture, poll_until, steady};
use serde_json::{Value, json};

fn json_of(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
}

#[test]
fn tasks_of_several_are_listed_with_their_source() {
    let nexus = Server::nexus(&fixture("nexus/task-2026.json"));
    let other = Server::nexus(&fixture("nexus/task-2026.json"));
    let gone = closed_port();
    let env = TestEnv::new();
    let urls = ["--url", &nexus.url(), "--url", &other.url()];
    let run = env.run(&[&["tasks", "list", "--columns", "coordinator,task"], &urls[..]].concat());
    assert_eq!(run.code, 0, "{run}");
    let lines: Vec<Vec<&str>> = run.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["COORDINATOR", "TASK"]);
    let names = ["dns_config_internal", "region_replacement", "saga_recovery"];
    for (server, lines) in [&nexus, &other].into_iter().zip(lines[1..].chunks(3)) {
        assert_eq!(lines, names.map(|name| [server.url(), name.to_owned()]));
    }
    let run = env.run(&[&["tasks", "list", "-o", "json"], &urls[..], &["--url", &gone]].concat());
    assert_eq!(run.code, 3, "{run}");
    let listed = json_of(&run);
    let sources: Vec<&Value> =
        listed.as_array().expect("a list").iter().map(|task| &task["coordinator"]).collect();
    assert_eq!(sources.len(), 6);
    assert!(sources[..3].iter().all(|source| **source == nexus.url()), "{run}");
    assert!(sources[3..].iter().all(|source| **source == other.url()), "{run}");
    assert!(run.stderr.contains("error: 1 of 3 coordinators did not answer as they should"), "{run}");
    assert!(run.stderr.contains(&format!("caused by: {gone}: ")), "{run}");
    // The same one twice is one, and has no column for its source.
    let run = env.run(&["tasks", "list", "--url", &nexus.url(), "--url", &nexus.url()]);
    assert!(run.code == 0 && run.stdout.starts_with("TASK "), "{run}");
}

#[test]
fn commands_about_one_coordinator_pick_none_of_several() {
    let env = TestEnv::new();
    for command in [
        &["sagas", "list"][..],
        &["why", "x"],
        &["tasks", "show"],
        &["status", "--watch"],
        &["activate", "recovery"],
        &["secs", "list"],
    ] {
        let run =
            env.run(&[command, &["--url", "http://127.0.0.1:1", "--url", "http://127.0.0.1:2"]].concat());
        assert_eq!(run.code, 2, "{run}");
        assert!(
            run.stderr.starts_with("error: --url was given more than once, and this command is about one"),
            "{run}"
        );
    }
}

#[test]
fn coordinators_of_one_database_are_looked_at_together() {
    let database = Postgres::shared().database();
    let env = TestEnv::new().with("SAGACTL_DB_URL", &database.url());
    let start = |name: &str| Coordinator::start(&env, &env.path().join(name), &["--db-url", &database.url()]);
    let (one, other) = (start("one"), start("other"));
    let ids = [&one, &other].map(|coordinator| coordinator.ready.sec_id.to_string());
    let urls = ["--url", &one.ready.internal_url, "--url", &other.ready.internal_url];
    let with_urls = |command: &[&str]| env.run(&[command, &urls[..]].concat());
    poll_until("both are registered", || (database.sql("SELECT count(*) FROM sec") == "2").then_some(()));

    let statuses = json_of(&with_urls(&["status", "-o", "json"]));
    let secs: Vec<&Value> =
        statuses.as_array().expect("a list").iter().map(|status| &status["coordinator"]["sec_id"]).collect();
    assert_eq!(secs, [&json!(ids[0]), &json!(ids[1])]);
    let run = with_urls(&["status"]);
    assert!(run.code == 0 && run.stdout.matches("coordinator: SEC ").count() == 2, "{run}");
    let gone = closed_port();
    let run = env.run(&["status", "--url", &gone, "--url", &other.ready.internal_url]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stdout.contains(&format!("coordinator: SEC {}", ids[1])), "the other is shown: {run}");

    // A SEC whose registered address leads nowhere from here, and one that is in no registry of this database.
    database.sql(&format!("UPDATE sec SET internal_address = '{gone}' WHERE id = '{}'", ids[1]));
    let ping = |run: &Run| -> Vec<bool> {
        let listed = json_of(run);
        let of = |id: &String| {
            listed.as_array().expect("a list").iter().find(|sec| sec["sec_id"] == **id).cloned()
        };
        ids.iter().map(|id| of(id).expect("listed")["ping"]["answered"] == true).collect()
    };
    assert_eq!(ping(&env.run(&["secs", "list", "--ping", "-o", "json"])), [true, false]);
    let stranger = Coordinator::start(&env, &env.path().join("stranger"), &[]);
    let run = env.run(
        &[&["secs", "list", "--ping", "-o", "json"], &urls[..], &["--url", &stranger.ready.internal_url]]
            .concat(),
    );
    assert_eq!(ping(&run), [true, true], "{run}");
    assert!(
        run.stderr.contains(&format!("SEC {} answers, which is not in this registry", stranger.ready.sec_id)),
        "{run}"
    );

    // Each once, although the registry and the command line both name them.
    let status = json_of(&with_urls(&["quiesce", "status", "-o", "json"]));
    assert_eq!((&status["total"]["secs"], &status["total"]["running"]), (&json!(2), &json!(2)), "{status}");
    let run = with_urls(&["quiesce", "start", "--wait", "-w", "-y"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(
        steady(&run.stdout).ends_with("in all: 2 SECs: 0 running, 0 draining, 2 quiesced; 0 sagas pending\n"),
        "{run}"
    );
}
