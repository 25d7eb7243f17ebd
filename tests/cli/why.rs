//! `sagactl why`: every verdict, of a real coordinator, of one that is played, and of recorded databases.

use crate::support::coordinator::Coordinator;
use crate::support::databases::Recorded;
use crate::support::server::{Reply, Server};
use crate::support::{TestEnv, fixture_json, poll_until, read_all};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::Mutex;

fn why(env: &TestEnv, id: &str, more: &[&str]) -> Value {
    let run = env.run(&[&["why", id, "-o", "json"], more].concat());
    assert_eq!(run.code, 0, "{run}");
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
}

fn says(why: &Value, about: &str, words: &str) -> bool {
    let evidence = why["evidence"].as_array().expect("a list");
    evidence.iter().any(|fact| fact["about"] == about && fact["text"].as_str().expect("text").contains(words))
}

#[test]
fn a_real_saga_through_a_kill_a_recovery_and_its_end() {
    let env = TestEnv::new();
    let data_dir = env.path().join("data");
    let mut coordinator = Coordinator::start(&env, &data_dir, &[]);
    let created = coordinator.env().run(&["demo-saga", "create", "-o", "json"]).stdout;
    let created: Value = serde_json::from_str(&created).expect("JSON");
    let id = created["saga_id"].as_str().expect("an id");
    let demo_id = created["demo_saga_id"].as_str().expect("an id");
    let sec_id = coordinator.ready.sec_id.to_string();

    let answer = poll_until("its action has begun", || {
        let answer = why(&coordinator.env(), id, &[]);
        (answer["verdict"] == "running").then_some(answer)
    });
    assert_eq!((&answer["node"], &answer["node_id"]), (&json!("demo_wait"), &json!(0)));
    assert_eq!((&answer["owner"]["sec_id"], &answer["owner"]["liveness"]), (&json!(sec_id), &json!("alive")));
    assert_eq!((&answer["name"], &answer["state"]), (&json!("demo"), &json!("running")));
    assert!(answer["since"].is_string());
    assert!(says(&answer, "memory", "runs it"), "{answer}");

    let db_url = coordinator.ready.db_url.clone();
    coordinator.kill();
    let answer = why(&env, id, &["--db-url", &db_url]);
    assert_eq!((&answer["verdict"], &answer["owner"]["liveness"]), (&json!("owner-dead"), &json!("dead")));
    assert!(says(&answer, "next", "runs again node 0 demo_wait"), "{answer}");

    let coordinator = Coordinator::start(&env, &data_dir, &[]);
    let env = coordinator.env();
    assert_eq!(env.run(&["activate", "recovery"]).code, 0);
    let answer = why(&env, id, &[]);
    assert_eq!(answer["verdict"], "running");
    assert!(says(&answer, "repeated", "at least for the second time"), "{answer}");
    assert_eq!(env.run(&["demo-saga", "complete", demo_id]).code, 0);
    let answer = poll_until("it has ended", || {
        let answer = why(&env, &id[..30], &[]);
        (answer["verdict"] == "succeeded").then_some(answer)
    });
    assert_eq!((&answer["node"], &answer["next"]), (&Value::Null, &json!([])));
}

#[test]
fn a_real_saga_that_cannot_be_recovered_and_one_that_is_given_up() {
    let env = TestEnv::new();
    let data_dir = env.path().join("data");
    let mut coordinator = Coordinator::start(&env, &data_dir, &[]);
    let created = coordinator.env().run(&["demo-saga", "create", "-o", "json"]).stdout;
    let created: Value = serde_json::from_str(&created).expect("JSON");
    let id = created["saga_id"].as_str().expect("an id");
    coordinator.kill();
    let broken = "UPDATE saga SET saga_dag = replace(saga_dag, 'demo.demo_wait', 'demo.gone') WHERE id = ?1";
    assert_eq!(coordinator.database().execute(broken, [id]).expect("changed"), 1);
    let mut coordinator = Coordinator::start(&env, &data_dir, &[]);
    assert_eq!(coordinator.env().run(&["activate", "recovery"]).code, 1);
    let answer = why(&coordinator.env(), id, &[]);
    assert_eq!(answer["verdict"], "unrecoverable");
    assert!(says(&answer, "recovery", "unknown action \"demo.gone\""), "{answer}");
    coordinator.kill();
    let coordinator = Coordinator::start(&env, &data_dir, &["--abandon-unrecoverable"]);
    let answer = poll_until("it is given up", || {
        let answer = why(&coordinator.env(), id, &[]);
        (answer["verdict"] == "abandoned").then_some(answer)
    });
    assert!(says(&answer, "state", "abandoned by the recovery of its owner"), "{answer}");
}

#[test]
fn a_real_owner_that_was_expunged() {
    let env = TestEnv::new();
    let data_dir = env.path().join("data");
    let mut coordinator = Coordinator::start(&env, &data_dir, &[]);
    let created = coordinator.env().run(&["demo-saga", "create", "-o", "json"]).stdout;
    let created: Value = serde_json::from_str(&created).expect("JSON");
    coordinator.kill();
    let expunged = coordinator.database().execute("UPDATE sec SET state = 'expunged'", []);
    assert_eq!(expunged.expect("changed"), 1);
    let id = created["saga_id"].as_str().expect("an id");
    let answer = why(&env, id, &["--db-url", &coordinator.ready.db_url]);
    assert_eq!((&answer["verdict"], &answer["owner"]["liveness"]), (&json!("owner-gone"), &json!("gone")));
}

#[test]
fn a_real_saga_that_is_unwound_and_one_that_gets_stuck() {
    let env = TestEnv::new();
    let coordinator = Coordinator::start(&env, &env.path().join("data"), &["--strict"]);
    let env = coordinator.env();
    let database = coordinator.database();
    let create = |trigger: &str| {
        database.execute_batch(trigger).expect("a trigger");
        let blast = ["blast", "--count", "1", "--concurrency", "1", "--ignore-errors", "--quiet"];
        env.run(&blast);
        let newest = "SELECT id FROM saga WHERE name = 'project-create' ORDER BY time_created DESC LIMIT 1";
        let id: String = database.query_row(newest, [], |row| row.get(0)).expect("a saga");
        poll_until("it is at rest", || {
            let answer = why(&env, &id, &[]);
            (answer["state"] == "done").then_some(answer)
        })
    };
    let failed = create(
        "CREATE TRIGGER strike BEFORE INSERT ON vpc_firewall_rule
         BEGIN SELECT RAISE(ABORT, 'the firewall is on strike'); END",
    );
    assert_eq!(
        (&failed["verdict"], &failed["node"]),
        (&json!("failed"), &json!("vpc/allow_internal_inbound"))
    );
    assert!(says(&failed, "failure", "the firewall is on strike"), "{failed}");
    let stuck = create(
        "CREATE TRIGGER sit_in BEFORE DELETE ON vpc_router BEGIN SELECT RAISE(ABORT, 'routers stay'); END",
    );
    assert_eq!((&stuck["verdict"], &stuck["node"]), (&json!("stuck"), &json!("vpc/system_router")));
    assert!(says(&stuck, "failure", "the firewall is on strike"), "{stuck}");
    assert!(says(&stuck, "failure", "routers stay"), "{stuck}");
    assert!(says(&stuck, "left", "not undone: node 0 project"), "{stuck}");
}

/// The unfinished demo saga of the recorded database of ours, and its owner.
const DEMO: &str = "01a1fd9a-35da-7426-9bb9-16f42d427b33";
const OWNER: &str = "01a1fd9a-334e-765a-a044-9ea1012a562a";

/// What a played owner says.
#[derive(Clone)]
struct Owner {
    /// The saga in its memory: `running`, `succeeded`; `None` if it has none.
    memory: Option<&'static str>,
    task: Value,
}

impl Owner {
    /// One whose last pass was long before anything in the recorded database.
    fn with(memory: Option<&'static str>) -> Self {
        let mut task = fixture_json("coordinator/task.json");
        task["last"]["details"]["details"]["recent_failures"] = json!([]);
        task["last"]["details"]["details"]["recent_passes"] = json!([pass("2026-11-02T09:15:22.64Z")]);
        Self { memory, task }
    }

    fn report(&mut self) -> &mut Value {
        &mut self.task["last"]["details"]["details"]
    }

    fn start(self) -> Server {
        Server::start(move |request, _| match request.path.as_str() {
            "/info" => {
                let mut info = fixture_json("coordinator/info.json");
                info["sec_id"] = json!(OWNER);
                Reply::json(200, info.to_string())
            }
            "/bgtasks/view/saga_recovery" => Reply::json(200, self.task.to_string()),
            path if path.starts_with("/sagas/") => match self.memory {
                Some(state) => Reply::json(
                    200,
                    json!({"id": &path["/sagas/".len()..], "state": {"state": state}}).to_string(),
                ),
                None => Reply::fixture(404, "nexus/error-unknown-task.json"),
            },
            _ => Reply::no_route(),
        })
    }
}

fn pass(started: &str) -> Value {
    json!({"iteration": 3, "reason": "timeout", "time_started": started, "duration_ms": 1.5,
           "result": {"Success": {"nfound": 0, "nrecovered": 0, "nfailed": 0, "nskipped": 0, "nremoved": 0}}})
}

/// What `why` says of the recorded demo saga, with its owner at `server`, after some changes to the database.
fn played(server: &Server, sql: &str) -> Value {
    let env = TestEnv::new();
    let url = Recorded::Sagactl.in_sqlite(&env);
    let path = url.strip_prefix("sqlite:").expect("a file");
    let database = rusqlite::Connection::open(path).expect("a database");
    database.execute("UPDATE sec SET internal_address = ?1", [server.url()]).expect("changed");
    database.execute_batch(sql).expect("changed");
    why(&env, DEMO, &["--db-url", &url])
}

#[test]
fn what_a_living_owner_has_to_say_decides() {
    let verdict = |owner: Owner, sql: &str| played(&owner.start(), sql)["verdict"].clone();
    assert_eq!(verdict(Owner::with(Some("running")), ""), "running");
    let no_event = format!("DELETE FROM saga_node_event WHERE saga_id = '{DEMO}' AND node_id = 0");
    assert_eq!(verdict(Owner::with(Some("running")), &no_event), "between-nodes");
    let unwinding = format!(
        "INSERT INTO saga_node_event SELECT saga_id, 0, 'failed', '\"InjectedError\"', event_time, creator
             FROM saga_node_event WHERE saga_id = '{DEMO}' AND node_id = 0;
         INSERT INTO saga_node_event SELECT saga_id, 1, 'undo_started', NULL, event_time, creator
             FROM saga_node_event WHERE saga_id = '{DEMO}' AND node_id = 0 AND event_type = 'started'"
    );
    assert_eq!(verdict(Owner::with(Some("running")), &unwinding), "unwinding");
    let illegal = format!("UPDATE saga_node_event SET node_id = 2 WHERE saga_id = '{DEMO}' AND node_id = 0");
    assert_eq!(verdict(Owner::with(Some("running")), &illegal), "running", "it runs, whatever its log says");

    assert_eq!(verdict(Owner::with(None), ""), "waiting-for-recovery");
    assert_eq!(verdict(Owner::with(None), &illegal), "unrecoverable");
    let had_its_chance = || {
        let mut owner = Owner::with(None);
        owner.report()["recent_passes"] = json!([pass("2026-11-21T10:20:00Z")]);
        owner
    };
    assert_eq!(verdict(had_its_chance(), ""), "phantom");
    let mut failed = had_its_chance();
    failed.report()["recent_failures"] = json!([
        {"time": "2026-11-21T10:20:00Z", "saga_id": DEMO, "current_sec": OWNER, "kind": "transient", "message": "busy"},
        {"time": "2026-11-21T10:30:00Z", "saga_id": DEMO, "current_sec": OWNER, "kind": "transient", "message": "still busy"}
    ]);
    let answer = played(&failed.start(), "");
    assert_eq!(answer["verdict"], "retrying");
    assert_eq!((&answer["attempts"], &answer["last_error"]), (&json!(2), &json!("still busy")));
    assert!(answer["next_pass"].is_string());
}

#[test]
fn a_saga_that_ends_while_its_owner_is_asked_is_not_lost() {
    let env = TestEnv::new();
    let url = Recorded::Sagactl.in_sqlite(&env);
    let path = url.strip_prefix("sqlite:").expect("a file").to_owned();
    let to_finish = Mutex::new(Some(path.clone()));
    let owner = Owner::with(None);
    let server = Server::start(move |request, _| match request.path.as_str() {
        "/info" => {
            let mut info = fixture_json("coordinator/info.json");
            info["sec_id"] = json!(OWNER);
            Reply::json(200, info.to_string())
        }
        "/bgtasks/view/saga_recovery" => Reply::json(200, owner.task.to_string()),
        _ => {
            // It is over just now, and forgotten.
            if let Some(path) = to_finish.lock().expect("no panic").take() {
                let database = rusqlite::Connection::open(path).expect("a database");
                let finish = format!(
                    "INSERT INTO saga_node_event SELECT saga_id, 0, 'succeeded', 'null', event_time, creator
                         FROM saga_node_event WHERE saga_id = '{DEMO}' AND node_id = 0;
                     INSERT INTO saga_node_event SELECT saga_id, 2, event_type, data, event_time, creator
                         FROM saga_node_event WHERE saga_id = '{DEMO}' AND node_id = 0;
                     UPDATE saga SET saga_state = 'done' WHERE id = '{DEMO}'"
                );
                database.execute_batch(&finish).expect("changed");
            }
            Reply::fixture(404, "nexus/error-unknown-task.json")
        }
    });
    let database = rusqlite::Connection::open(&path).expect("a database");
    database.execute("UPDATE sec SET internal_address = ?1", [server.url()]).expect("changed");
    let answer = why(&env, DEMO, &["--db-url", &url]);
    assert_eq!(answer["verdict"], "succeeded", "{answer}");
}

#[test]
fn owners_that_hang_or_are_somebody_else() {
    let hanging = Server::start(|_, _| Reply::Hang);
    let answer = played(&hanging, "UPDATE sec SET time_heartbeat = '2026-11-01T00:00:00.000000Z'");
    // By the recorded database's clock it was silent before the saga was made; by ours it may be any time.
    assert!(["owner-dead", "running"].contains(&answer["verdict"].as_str().expect("a word")), "{answer}");
    assert!(says(&answer, "owner", "does not answer"), "{answer}");
    let other = Server::start(|request, _| match request.path.as_str() {
        "/info" => Reply::fixture(200, "coordinator/info.json"),
        _ => Reply::no_route(),
    });
    let answer = played(&other, "");
    assert_eq!(answer["verdict"], "owner-dead");
    assert!(says(&answer, "owner", "SEC 65a11c18-7f59-41ac-b9e7-680627f99600 answers at"), "{answer}");
}

#[test]
fn an_address_from_a_database_is_never_told_the_token() {
    let env = TestEnv::new();
    let token = env.path().join("token");
    std::fs::write(&token, "secret-token").expect("a file");
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("permissions");
    let url = Recorded::Sagactl.in_sqlite(&env);
    let server = Owner::with(Some("running")).start();
    let path = url.strip_prefix("sqlite:").expect("a file");
    let database = rusqlite::Connection::open(path).expect("a database");
    database.execute("UPDATE sec SET internal_address = ?1", [server.url()]).expect("changed");
    let token = token.to_str().expect("text");
    let told =
        || server.requests().iter().any(|request| request.headers.iter().any(|line| line.contains("secret")));
    assert_eq!(why(&env, DEMO, &["--db-url", &url, "--token-file", token])["verdict"], "running");
    assert!(!told(), "{:?}", server.requests());
    // The user's own choice is another matter.
    why(&env, DEMO, &["--db-url", &url, "--token-file", token, "--url", &server.url()]);
    assert!(told());
}

/// Every saga of every recorded database: its verdict, and everything behind it.
#[test]
fn every_saga_of_every_recorded_database_has_a_verdict() {
    for recorded in Recorded::ALL {
        let env = TestEnv::new();
        let url = recorded.in_sqlite(&env);
        let path = url.strip_prefix("sqlite:").expect("a file");
        let database = rusqlite::Connection::open(path).expect("a database");
        if recorded == Recorded::Sagactl {
            // Nobody listens there, on no machine.
            database.execute("UPDATE sec SET internal_address = 'http://127.0.0.1:9'", []).expect("changed");
        }
        let mut all = String::new();
        for id in ids(&database) {
            let run = env.run(&["why", &id, "--db-url", &url]);
            let text = run
                .to_string()
                .replace(&"n".repeat(128), "n × 128")
                .replace(env.path().to_str().expect("text"), "DIR");
            writeln!(all, "$ sagactl why {id}\n{text}").expect("a string");
        }
        assert!(all.chars().all(|character| character == '\n' || !character.is_control()));
        insta::assert_snapshot!(format!("why-{}", recorded.name()), all);
    }
}

/// Ids of all sagas, of those too that have only events.
pub(crate) fn ids(database: &rusqlite::Connection) -> Vec<String> {
    let sql = "SELECT id FROM saga WHERE length(id) = 36 UNION SELECT saga_id FROM saga_node_event WHERE length(saga_id) = 36
               ORDER BY 1";
    let mut statement = database.prepare(sql).expect("SQL");
    let rows = statement.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("text")
}

#[test]
fn ids_that_are_none_or_not_enough() {
    let env = TestEnv::new();
    let url = Recorded::Nexus(294).in_sqlite(&env);
    let run = |id: &str| env.run(&["why", id, "--db-url", &url]);
    insta::assert_snapshot!(run("0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a01"), @r#"
    ! error: unknown saga "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a01": sqlite:DIR/nexus-294.db has none of that id
    ! hint: `sagactl sagas list` lists the newest sagas
    = 2
    "#);
    insta::assert_snapshot!(run("0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0077"), @r#"
    ! error: unknown saga "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0077": sqlite:DIR/nexus-294.db has none of that id
    ! hint: if it is the id of a project or of something else, `sagactl sagas find '0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0077'` finds sagas that mention it
    = 2
    "#);
    insta::assert_snapshot!(run("0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a001"), @r#"
    ! error: "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a001" begins the ids of 3 sagas
    !   0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0010  demo  running  2026-11-02T09:09:00.000Z
    !   0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0011  (no row, only events)
    !   0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0012  snapshot-create  abandoned  2026-11-02T09:11:00.000Z
    ! hint: give more of the id
    = 2
    "#);
    insta::assert_snapshot!(run("my project\u{1b}"), @r#"
    ! error: "my project\\x1b" is neither a saga's id nor the beginning of one
    ! hint: `sagactl sagas find 'my project\x1b'` finds sagas that mention it
    = 2
    "#);
    insta::assert_snapshot!(env.run(&["why"]), @"
    ! error: the following required arguments were not provided:
    !   <SAGA>...
    ! 
    ! Usage: sagactl why <SAGA>...
    ! 
    ! For more information, try '--help'.
    = 2
    ");
}

#[test]
fn several_sagas_and_standard_input() {
    let env = TestEnv::new();
    let url = Recorded::Nexus(294).in_sqlite(&env);
    let (one, two) = ("0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001", "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0003");
    let run = env.run(&["why", one, two, "--db-url", &url, "-o", "json"]);
    let both: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let verdicts: Vec<_> =
        both.as_array().expect("a list").iter().map(|why| why["verdict"].clone()).collect();
    assert_eq!(verdicts, ["succeeded", "stuck"]);
    let mut child = env
        .command(&["why", "-", "--db-url", &url, "-o", "jsonl"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program starts");
    write!(child.stdin.take().expect("a pipe"), "{one}\n{two}\n").expect("written");
    let out = read_all(child.stdout.take().expect("a pipe")).join().expect("read");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(out.lines().count(), 2, "{out}");
    insta::assert_snapshot!(env.run(&["why", "-", "--db-url", &url]), @"
    ! error: there is no saga id on standard input
    = 2
    ");
}

#[test]
fn postgresql_and_sqlite_say_the_same() {
    for recorded in Recorded::ALL {
        let Some(database) = recorded.in_postgres() else { continue };
        let env = TestEnv::new();
        let url = recorded.in_sqlite(&env);
        let file =
            rusqlite::Connection::open(url.strip_prefix("sqlite:").expect("a file")).expect("a database");
        if recorded == Recorded::Sagactl {
            let nobody = "UPDATE sec SET internal_address = 'http://127.0.0.1:9'";
            file.execute(nobody, []).expect("changed");
            database.sql(nobody);
        }
        for id in ids(&file) {
            let verdict = |url: &str| {
                let why = why(&env, &id, &["--db-url", url]);
                (why["verdict"].clone(), why["node"].clone(), why["since"].clone(), why["evidence"].clone())
            };
            assert_eq!(verdict(&url), verdict(&database.url()), "{} {id}", recorded.name());
        }
    }
}
