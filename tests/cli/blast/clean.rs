//! `sagactl blast clean`: leaves nothing of a run, and everything else.

use crate::support::TestEnv;
use crate::support::coordinator::Coordinator;
use crate::support::server::{Reply, Server};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Mutex;

fn names(coordinator: &Coordinator) -> Vec<String> {
    let database = coordinator.database();
    let mut rows = database.prepare("SELECT name FROM project ORDER BY name").expect("SQL");
    let names = rows.query_map([], |row| row.get(0)).expect("rows");
    names.collect::<Result<_, _>>().expect("names")
}

fn answer(run: &crate::support::Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
}

#[test]
fn nothing_of_the_run_stays_and_everything_else_does() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &[]);
    let env = coordinator.env();
    for (run, count) in [("r1", "7"), ("r2", "3")] {
        let blast = ["blast", "--concurrency", "1", "--quiet", "--run-id", run, "--count", count];
        assert_eq!(env.run(&blast).code, 0);
    }
    // Somebody else's, with names that look like ours.
    let foreign = ["dummy-production", "dummy-r1-9-9"];
    let blast = ["blast", "--concurrency", "1", "--quiet", "--count", "1", "--prefix", "x-", "--run-id", "y"];
    assert_eq!(env.run(&blast).code, 0);
    let database = coordinator.database();
    let description = "UPDATE project SET name = ?1, description = 'mine' WHERE name = 'x-y-0-0'";
    database.execute(description, [foreign[1]]).expect("renamed");

    let run = env.run(&["blast", "clean", "--run-id", "r1"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{run}");
    assert!(run.stderr.contains("needs -w"), "{run}");
    let run = env.run(&["blast", "clean", "--run-id", "r1", "-w"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("7 projects will be deleted"), "the plan comes before the question: {run}");
    assert!(run.stderr.contains("there is no terminal to ask for confirmation on"), "{run}");
    let run = env.run(&["blast", "clean", "--run-id", "r1", "--dry-run", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!((&answer(&run)["planned"], &answer(&run)["dry_run"]), (&7.into(), &true.into()));
    assert_eq!(names(&coordinator).len(), 11, "nothing has happened yet");

    let run = env.run(&["blast", "clean", "--run-id", "r1", "-w", "--yes", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    let cleaned = answer(&run);
    assert_eq!((&cleaned["deleted"], &cleaned["remaining"]), (&7.into(), &0.into()));
    assert_eq!(cleaned["skipped"][0]["name"], foreign[1], "{cleaned}");
    assert_eq!(names(&coordinator), ["dummy-r1-9-9", "dummy-r2-0-0", "dummy-r2-0-1", "dummy-r2-0-2"]);
    let parts: i64 = database
        .query_row("SELECT count(*) FROM vpc WHERE project_id NOT IN (SELECT id FROM project)", [], |row| {
            row.get(0)
        })
        .expect("a count");
    assert_eq!(parts, 0, "what was in them went with them");
    let sagas: i64 = database
        .query_row(
            "SELECT count(*) FROM saga WHERE name = 'project-delete' AND saga_state = 'done'",
            [],
            |row| row.get(0),
        )
        .expect("a count");
    assert_eq!(sagas, 7, "by real sagas");
    // Once more, it is already so.
    let run = env.run(&["blast", "clean", "--run-id", "r1", "-wy"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.starts_with("nothing of run r1"), "{run}");
}

/// A server that refuses to delete what is not empty, as a Nexus does, and answers the first deletion of all with 503.
fn nexus_like() -> Server {
    let there: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::from(["project", "vpc", "subnet"]));
    Server::start(move |request, before| {
        let mut there = there.lock().expect("nobody panics here");
        let list = |name: &str, here: bool| {
            let items = if here {
                vec![json!({"name": name, "description": "made by sagactl blast"})]
            } else {
                vec![]
            };
            Reply::json(200, json!({"items": items, "next_page": null}).to_string())
        };
        let mut delete = |what, holds: &[&str]| {
            if holds.iter().any(|inside| there.contains(inside)) {
                return Reply::json(400, r#"{"message":"it is not empty"}"#);
            }
            there.remove(what);
            Reply::Answer(204, Vec::new(), String::new())
        };
        let path = request.path.split('?').next().unwrap_or_default();
        match (request.method.as_str(), path) {
            ("DELETE", _) if before == 1 => Reply::json(503, "{}"),
            ("DELETE", "/v1/projects/dummy-r-0-0") => delete("project", &["vpc"]),
            ("DELETE", "/v1/vpcs/default") => delete("vpc", &["subnet"]),
            ("DELETE", "/v1/vpc-subnets/default") => delete("subnet", &[]),
            ("GET", "/v1/projects") => list("dummy-r-0-0", there.contains("project")),
            ("GET", "/v1/vpcs") => list("default", there.contains("vpc")),
            ("GET", "/v1/vpc-subnets") => list("default", there.contains("subnet")),
            _ => Reply::no_route(),
        }
    })
}

#[test]
fn dependents_go_first_where_a_server_insists_on_it() {
    let server = nexus_like();
    let env = TestEnv::new().with("SAGACTL_EXTERNAL_URL", &server.url());
    let run = env.run(&["blast", "clean", "-w", "-y", "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!((&answer(&run)["deleted"], &answer(&run)["remaining"]), (&1.into(), &0.into()));
    let deletions: Vec<_> = server.asked().into_iter().filter(|asked| asked.starts_with("DELETE")).collect();
    assert_eq!(
        deletions,
        [
            "DELETE /v1/projects/dummy-r-0-0",
            "DELETE /v1/projects/dummy-r-0-0",
            "DELETE /v1/vpc-subnets/default?project=dummy-r-0-0&vpc=default",
            "DELETE /v1/vpcs/default?project=dummy-r-0-0",
            "DELETE /v1/projects/dummy-r-0-0",
        ]
    );
}

#[test]
fn what_cannot_be_deleted_is_named_and_the_rest_goes() {
    let server = Server::start(|request, before| match request.method.as_str() {
        "DELETE" if request.path.ends_with("-1") => Reply::json(403, r#"{"message":"not yours"}"#),
        "DELETE" => Reply::Answer(204, Vec::new(), String::new()),
        _ => {
            let names = if before == 0 { vec!["dummy-r-0-0", "dummy-r-0-1"] } else { vec!["dummy-r-0-1"] };
            let items: Vec<_> = names
                .iter()
                .map(|name| json!({"name": name, "description": "made by sagactl blast"}))
                .collect();
            Reply::json(200, json!({"items": items, "next_page": null}).to_string())
        }
    });
    let run = TestEnv::new()
        .with("SAGACTL_EXTERNAL_URL", &server.url())
        .run(&["blast", "clean", "-wy", "-o", "json"]);
    assert_eq!(run.code, 1, "{run}");
    let cleaned = answer(&run);
    assert_eq!(
        (&cleaned["deleted"], &cleaned["failed"], &cleaned["remaining"]),
        (&1.into(), &1.into(), &1.into())
    );
    assert_eq!(cleaned["failures"][0]["name"], "dummy-r-0-1");
    assert!(cleaned["failures"][0]["reason"].as_str().is_some_and(|reason| reason.contains("not yours")));
}

#[test]
fn nobody_there_is_no_success() {
    let url = crate::support::server::closed_port();
    let run = TestEnv::new().with("SAGACTL_EXTERNAL_URL", &url).run(&["blast", "clean", "-wy"]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains("error: what is there cannot be listed\ncaused by: connecting to"), "{run}");
}
