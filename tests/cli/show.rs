//! `sagactl sagas show`.

use crate::support::databases::Recorded;
use crate::support::{Run, TestEnv};
use crate::why::ids;
use serde_json::Value;
use std::fmt::Write as _;

/// A `project-create` of the recorded database of ours that succeeded, one that failed, one that is stuck.
const SUCCEEDED: &str = "01a1fd9a-3398";
const UNWOUND: &str = "01a1fd9a-35ee";
const STUCK: &str = "01a1fd9a-3721";

/// A recorded database in an environment of its own.
struct Shown {
    env: TestEnv,
    url: String,
}

impl Shown {
    fn of(recorded: Recorded, env: TestEnv) -> Self {
        let url = recorded.in_sqlite(&env);
        Self { env, url }
    }

    fn nexus() -> Self {
        Self::of(Recorded::Nexus(294), TestEnv::new())
    }

    fn show(&self, arguments: &[&str]) -> Run {
        self.env.run(&[&["sagas", "show", "--db-url", &self.url], arguments].concat())
    }
}

#[test]
fn nodes_fit_80_columns_and_use_200() {
    for width in ["80", "200"] {
        let shown = Shown::of(Recorded::Sagactl, TestEnv::new().with("COLUMNS", width));
        for id in [SUCCEEDED, UNWOUND, STUCK] {
            let run = shown.show(&[id]);
            assert_eq!(run.code, 0, "{run}");
            let widest = run.stdout.lines().map(|line| line.chars().count()).max().expect("lines");
            let most: usize = width.parse().expect("a number");
            // An id and what is said of it are not broken.
            assert!(widest <= most, "{widest} of {most}: {run}");
            insta::assert_snapshot!(format!("show-{id}-{width}"), run);
        }
    }
}

#[test]
fn sections_that_are_asked_for() {
    let shown = Shown::nexus();
    let run = shown.show(&["0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0003", "--events", "--gaps", "--errors"]);
    insta::assert_snapshot!("show-sections", run);
}

#[test]
fn what_a_saga_was_given_is_shown_only_if_asked_for() {
    let shown = Shown::nexus();
    for more in [
        &["--events"][..],
        &["-o", "json", "--events", "--gaps", "--errors"],
        &["--dag", "json"],
        &["--dag", "dot"],
    ] {
        let run = shown.show(&[&["0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001"], more].concat());
        assert_eq!(run.code, 0, "{run}");
        assert!(!run.stdout.contains("88eddf09"), "{run}");
    }
    for more in [&["--params"][..], &["--params", "-o", "json"], &["--params", "--dag", "json"]] {
        let run = shown.show(&[&["0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001"], more].concat());
        assert!(run.stdout.contains("88eddf09"), "{run}");
    }
}

#[test]
fn dags_for_graphviz_and_for_programs() {
    let shown = Shown::nexus();
    insta::assert_snapshot!(
        "show-dot",
        shown.show(&["0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002", "--dag", "dot"])
    );
    let run = shown.show(&["0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002", "--dag", "json"]);
    let dag: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(dag["graph"]["edge_property"], "directed");
    insta::assert_snapshot!(shown.show(&["0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0009", "--dag", "dot"]), @"
    ! error: saga 0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0009 has no DAG to show
    ! caused by: the DAG is JSON, but not a DAG: missing field `saga_name`
    ! hint: --params shows it as it is stored
    = 5
    ");
    insta::assert_snapshot!(shown.show(&["0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001", "--dag", "dot", "-o", "json"]), @"
    ! error: --dag dot is no JSON; leave out --output, or use --dag json
    = 2
    ");
}

#[test]
fn json_says_what_the_table_says() {
    let shown = Shown::of(Recorded::Sagactl, TestEnv::new());
    let run = shown.show(&[STUCK, "-o", "json", "--errors"]);
    let saga: Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!((&saga["verdict"], &saga["state"]), (&Value::from("stuck"), &Value::from("done")));
    let nodes = saga["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 22);
    let with = |status: &str| nodes.iter().filter(|node| node["status"] == status).count();
    assert_eq!(with("undo_failed"), 1);
    assert_eq!(with("failed"), 1);
    let stuck = nodes.iter().find(|node| node["status"] == "undo_failed").expect("a node");
    assert_eq!(saga["node"], stuck["name"]);
    assert!(stuck["undo_error"].is_string());
    assert_eq!(saga["errors"].as_array().map(Vec::len), Some(2));
    assert_eq!(saga["counts"]["not run"], with("not_run"));
}

/// Every saga of every recorded database can be shown, with everything. How long open actions have taken depends on the day.
#[test]
fn every_saga_of_every_recorded_database_is_shown() {
    for recorded in [Recorded::Nexus(137), Recorded::Nexus(294), Recorded::Damaged] {
        let env = TestEnv::new();
        let url = recorded.in_sqlite(&env);
        let path = url.strip_prefix("sqlite:").expect("a file");
        let database = rusqlite::Connection::open(path).expect("a database");
        let mut all = String::new();
        for id in ids(&database) {
            let run = env.run(&["sagas", "show", &id, "--db-url", &url, "--errors", "--events"]);
            assert_eq!(run.code, 0, "{run}");
            let text = run.to_string().replace(&"n".repeat(128), "n × 128");
            writeln!(all, "$ sagactl sagas show {id}\n{}", without_durations(&text)).expect("a string");
        }
        assert!(all.chars().all(|character| character == '\n' || !character.is_control()));
        insta::assert_snapshot!(format!("show-{}", recorded.name()), all);
    }
}

/// The text with single blanks, and `AGE…` for how long something that began at some time has taken so far.
fn without_durations(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let began = words.iter().position(|word| word.len() == 24 && word.ends_with('Z'));
        if let Some(began) = began
            && let Some(age) = words[began..].iter().position(|word| word.ends_with('…'))
            && words[0] != "saga"
        {
            words.splice(began + 1..=began + age, ["AGE…"]);
        }
        lines.push(words.join(" "));
    }
    lines.join("\n") + "\n"
}

#[test]
fn a_log_of_a_hundred_thousand_events_is_shown() {
    let env = TestEnv::new();
    let url = Recorded::Nexus(294).in_sqlite(&env);
    let database =
        rusqlite::Connection::open(url.strip_prefix("sqlite:").expect("a file")).expect("a database");
    let saga = "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001";
    let many = format!(
        "WITH RECURSIVE node(id) AS (SELECT 1000 UNION ALL SELECT id + 1 FROM node WHERE id < 50999)
         INSERT INTO saga_node_event (saga_id, node_id, event_type, data, event_time, creator)
         SELECT saga_id, node.id, event_type, data, event_time, creator FROM saga_node_event, node
         WHERE saga_id = '{saga}' AND node_id = 0"
    );
    assert_eq!(database.execute(&many, []).expect("rows"), 100_000);
    let run = env.run(&["sagas", "show", saga, "--db-url", &url]);
    assert_eq!(run.code, 0);
    assert!(run.stdout.lines().count() > 50_000);
    assert!(run.stdout.contains("there are events of node 1000, which is not in the DAG"));
}
