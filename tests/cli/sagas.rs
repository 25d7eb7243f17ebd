//! `sagas` and `status` on every recorded database, in SQLite and in PostgreSQL, and everything that can be asked wrong.

use crate::support::databases::Recorded;
use crate::support::server::{Reply, Server};
use crate::support::{TestEnv, read_all, wait};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// What is asked of every database. Nothing in here depends on the present time.
const QUESTIONS: [&str; 14] = [
    "sagas list",
    "sagas list -o jsonl",
    "sagas list --unfinished --columns saga_id,state,owner",
    "sagas list --failing",
    "sagas list --outcome stuck -o ids",
    "sagas list --orphaned -o ids",
    "sagas list --name demo* --state done -o ids",
    "sagas list --error-contains strike -o ids",
    "sagas count",
    "sagas count --by node,error -o jsonl --failing",
    "sagas count --by sec,reason -o jsonl",
    "sagas count --events",
    "sagas find web-2 -o ids",
    "sagas slow --state done --top 2",
];

/// What the tool says to all of [`QUESTIONS`] of a database, with its URL replaced.
fn answers(env: &TestEnv, url: &str) -> String {
    let mut all = String::new();
    for question in QUESTIONS {
        let mut arguments: Vec<&str> = question.split(' ').collect();
        arguments.extend(["--db-url", url]);
        writeln!(all, "$ sagactl {question}\n{}", env.run(&arguments)).expect("a string takes it all");
    }
    without_url(&all, env, url)
}

fn without_url(text: &str, env: &TestEnv, url: &str) -> String {
    let url = url.replace(env.path().to_str().expect("text"), "DIR");
    let text = text.replace(&"n".repeat(10_000), "n × 10,000");
    text.replace(&url, "URL").replace(&crate::support::steady(&url), "URL")
}

#[test]
fn every_command_reads_every_recorded_database() {
    for recorded in Recorded::ALL {
        let env = TestEnv::new();
        let answers = answers(&env, &recorded.in_sqlite(&env));
        insta::assert_snapshot!(format!("sagas-{}", recorded.name()), answers);
    }
}

#[test]
fn postgresql_and_sqlite_give_the_same_answers() {
    for recorded in Recorded::ALL {
        let Some(database) = recorded.in_postgres() else { continue };
        let env = TestEnv::new();
        let of_file = answers(&env, &recorded.in_sqlite(&env));
        similar(&of_file, &answers(&env, &database.url()), &recorded.name());
    }
}

/// Fails with the first line that differs.
fn similar(expected: &str, found: &str, what: &str) {
    let differs = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
    if let Some((expected, found)) = differs {
        panic!("{what}:\nexpected {expected}\n   found {found}");
    }
    assert_eq!(expected.lines().count(), found.lines().count(), "{what}");
}

#[test]
fn status_shows_what_every_database_knows() {
    let server = Server::start(|request, _| match request.path.as_str() {
        "/bgtasks/view/saga_recovery" => Reply::fixture(200, "coordinator/task.json"),
        _ => Reply::no_route(),
    });
    let mut all = String::new();
    for recorded in Recorded::ALL {
        let env = TestEnv::at(&server);
        let url = recorded.in_sqlite(&env);
        let run = env.run(&["status", "--db-url", &url]);
        let of_database = run.stdout.find("recently recovered").map_or("", |at| &run.stdout[at..]);
        let text = without_url(of_database, &env, &url);
        writeln!(all, "# {}\n{text}{}= {}\n", recorded.name(), run.stderr, run.code).expect("a string");
    }
    insta::assert_snapshot!("status-of-databases", all);
}

#[test]
fn what_is_asked_wrong_is_told_in_one_line() {
    let env = TestEnv::new();
    let url = Recorded::Sagactl.in_sqlite(&env);
    let nexus = Recorded::Nexus(294).in_sqlite(&env);
    let table: [(&[&str], &str); 14] = [
        (
            &["sagas", "list", "--state", "sleeping"],
            "invalid value 'sleeping' for '--state <STATE>': unknown saga state \"sleeping\"; known states: running, \
             unwinding, done, abandoned",
        ),
        (
            &["sagas", "list", "--outcome", "done"],
            "unknown outcome \"done\"; known outcomes: succeeded, failed, stuck, unknown",
        ),
        (
            &["sagas", "list", "--name", "demos"],
            "error: no saga is named \"demos\"; known names: demo, project-create\n",
        ),
        (
            &["sagas", "list", "--since", "2999-01-01"],
            "error: --since 2999-01-01T00:00:00Z is in the future\n",
        ),
        (&["sagas", "list", "--since", "1h", "--until", "2h"], "error: nothing is since "),
        (
            &["sagas", "list", "--columns", "id"],
            "error: unknown column \"id\"; known columns: created, saga_id, name, state, outcome, owner, progress, \
             last_event, failed_node, error, undo_error\n",
        ),
        (&["sagas", "list", "--sec", "me"], "invalid value 'me' for '--sec <UUID>'"),
        (
            &["sagas", "list", "--sec", "65a11c18-7f59-41ac-b9e7-680627f99999"],
            "error: unknown SEC 65a11c18-7f59-41ac-b9e7-680627f99999: sqlite:DIR/sagactl.db has neither a record of it \
             nor a saga of its\n",
        ),
        (
            &["sagas", "list", "--source", "api", "--name", "demo"],
            "error: a coordinator's memory can be filtered by --unfinished, --state running and --outcome only\n",
        ),
        (
            &["sagas", "count", "--by", "colour"],
            "known keys are name, state, outcome, node, error, sec, reason",
        ),
        (&["sagas", "count", "--by", "name,name"], "error: --by names name twice\n"),
        (
            &["sagas", "count", "-o", "ids"],
            "error: sagas count has no output format \"ids\"; it has table, json, jsonl\n",
        ),
        (&["sagas", "find", " "], "error: there is nothing to look for: the text is empty\n"),
        (
            &["sagas", "find", "x", "--since", "2999-01-01"],
            "error: --since 2999-01-01T00:00:00Z is in the future\n",
        ),
    ];
    for (arguments, expected) in table {
        let run = env.run(&[arguments, &["--db-url", &url]].concat());
        assert_eq!(run.code, 2, "{arguments:?}: {run}");
        assert!(run.stderr.contains(expected), "{arguments:?}: {run}");
    }
    // Without an index of names it takes a look at every saga to know.
    for command in ["list", "count", "slow"] {
        let run = env.run(&["sagas", command, "--name", "demos", "--db-url", &nexus]);
        assert_eq!(run.code, 2, "{run}");
        assert!(
            run.stderr.contains("error: no saga in sqlite:DIR/nexus-294.db is named \"demos\"\n"),
            "{run}"
        );
    }
}

#[test]
fn a_database_that_cannot_be_read_is_told_apart() {
    let env = TestEnv::new();
    std::fs::write(env.path().join("text.db"), "no database at all ".repeat(100)).expect("a file");
    let other = rusqlite::Connection::open(env.path().join("other.db")).expect("a file");
    other.execute_batch("CREATE TABLE accounts (id TEXT)").expect("it is SQL");
    for (url, code, expected) in [
        ("sqlite:none.db", 2, "error: cannot open database none.db: there is no such file\n"),
        ("sqlite:text.db", 2, "error: cannot read database DIR/text.db: it is not a SQLite database\n"),
        ("sqlite:.", 2, "error: cannot open database DIR: it is a directory\n"),
        (
            "sqlite:other.db",
            2,
            "error: sqlite:other.db is a database without sagas: it has neither a table saga nor a table saga_node_event\n",
        ),
        (
            "postgresql://root:s3cret@127.0.0.1:1/omicron",
            3,
            "error: cannot connect to postgresql://root@127.0.0.1:1/omicron: error connecting to server: Connection refused",
        ),
    ] {
        for command in [&["list"][..], &["count"], &["find", "x"], &["slow"]] {
            let run = env.run(&[&["sagas"], command, &["--db-url", url]].concat());
            assert_eq!(run.code, code, "{run}");
            assert!(run.stderr.contains(expected), "{run}");
            assert!(run.stdout.is_empty() && !run.stderr.contains("s3cret"), "{run}");
        }
    }
}

#[test]
fn nothing_is_scanned_silently() {
    let env = TestEnv::new();
    let url = Recorded::Nexus(294).in_sqlite(&env);
    let path = url.strip_prefix("sqlite:").expect("a file");
    let connection = rusqlite::Connection::open(path).expect("the fixture");
    connection
        .execute_batch(
            "INSERT INTO saga SELECT printf('0c6c3c1e-1f38-4c0f-8f6c-%012d', value), creator, time_created, name,
                 saga_dag, 'done', current_sec, 1, adopt_time, NULL, NULL, NULL
             FROM saga, (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 10001)
                 SELECT value FROM n) WHERE id LIKE '%0001'",
        )
        .expect("many sagas");
    let run = env.run(&["sagas", "list", "--db-url", &url]);
    insta::assert_snapshot!(run, @r#"
    ! error: listing these would read every saga
    ! caused by: sqlite:DIR/nexus-294.db has no index for this, and more than 10000 sagas
    ! hint: --unfinished uses an index that is there; --scan reads everything all the same
    = 2
    "#);
    let run = env.run(&["sagas", "list", "--unfinished", "--columns", "saga_id", "--db-url", &url]);
    assert_eq!((run.code, run.stdout.lines().count()), (0, 6), "{run}");
    assert!(!run.stderr.contains("scanned"), "{run}");
    let run = env.run(&["sagas", "list", "--scan", "--limit", "1", "-o", "ids", "--db-url", &url]);
    insta::assert_snapshot!(run, @r#"
    0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0012
    ! note: from sqlite:DIR/nexus-294.db (Nexus schema 294.0.0, being migrated to 295.0.0); the first 1, newest first; there may be more, --limit 0 lists all
    ! note: scanned all 10012 sagas: the database has no index for this
    = 0
    "#);
    let run = env.run(&["sagas", "count", "--by", "outcome", "-o", "jsonl", "--db-url", &url]);
    insta::assert_snapshot!(run, @r#"
    {"outcome":"unknown","count":10002}
    {"outcome":null,"count":7}
    {"outcome":"failed","count":1}
    {"outcome":"stuck","count":1}
    {"outcome":"succeeded","count":1}
    ! note: from sqlite:DIR/nexus-294.db (Nexus schema 294.0.0, being migrated to 295.0.0); counted 10012 sagas, scanned 10012 rows
    = 0
    "#);
}

#[test]
fn a_reader_that_has_seen_enough_ends_a_long_list_quietly() {
    let env = TestEnv::new();
    let url = Recorded::Sagactl.in_sqlite(&env);
    let path = url.strip_prefix("sqlite:").expect("a file");
    rusqlite::Connection::open(path)
        .expect("the fixture")
        .execute_batch(
            "INSERT INTO saga (id, creator, time_created, name, saga_state, adopt_generation, adopt_time, saga_dag)
             SELECT printf('0c6c3c1e-1f38-4c0f-8f6c-%012d', value), creator, time_created, name, 'done', 1, adopt_time, '{}'
             FROM (SELECT * FROM saga LIMIT 1),
                 (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 20000)
                 SELECT value FROM n)",
        )
        .expect("many sagas");
    for format in ["table", "json", "jsonl", "ids"] {
        let mut child = env
            .command(&["sagas", "list", "--limit", "0", "-o", format, "--db-url", &url])
            .spawn()
            .expect("the program starts");
        let mut first = [0; 16];
        std::io::Read::read_exact(&mut child.stdout.take().expect("a pipe"), &mut first)
            .expect("a beginning");
        let stderr = read_all(child.stderr.take().expect("a pipe"));
        let status = wait(&mut child, Instant::now() + Duration::from_secs(30), &["sagas list"]);
        assert_eq!((status.code(), stderr.join().expect("text").as_str()), (Some(0), ""), "{format}");
    }
}

#[test]
fn idle_counts_from_the_last_event() {
    let env = TestEnv::new();
    let url = Recorded::Sagactl.in_sqlite(&env);
    let path = url.strip_prefix("sqlite:").expect("a file");
    let connection = rusqlite::Connection::open(path).expect("the fixture");
    // Of two sagas of yesterday, one wrote its last event half an hour ago.
    connection
        .execute_batch(
            "UPDATE saga SET time_created = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 day') WHERE saga_state = 'running';
             UPDATE saga_node_event SET event_time = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 day');
             UPDATE saga_node_event SET event_time = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-30 minutes')
                 WHERE saga_id = '01a1fd9a-35da-7426-9bb9-16f42d427b33' AND event_type = 'succeeded'",
        )
        .expect("it is SQL");
    let idle = |duration: &str| {
        let run = env.run(&["sagas", "list", "--idle", duration, "-o", "ids", "--db-url", &url]);
        assert_eq!(run.code, 0, "{run}");
        run.stdout.lines().count()
    };
    assert_eq!((idle("20m"), idle("40m"), idle("25h")), (4, 3, 0));
    let run =
        env.run(&["sagas", "list", "--older-than", "2h", "--unfinished", "-o", "ids", "--db-url", &url]);
    assert_eq!(run.stdout.lines().count(), 4, "{run}");
}

#[test]
fn a_coordinators_memory_is_another_source() {
    let server = Server::start(|request, _| match request.path.split('?').next() {
        Some("/sagas") => Reply::json(
            200,
            r#"{"items": [
                {"id": "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001", "state": {"state": "running"}},
                {"id": "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002", "state": {"state": "succeeded"}},
                {"id": "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0003", "state": {"state": "stuck", "error_node_name": "boot",
                 "error_info": {"error": "action_failed", "source_error": {"message": "no sled"}},
                 "undo_error_node_name": "volume", "undo_source_error": "gone\u001b[2J"}}],
                "next_page": null}"#,
        ),
        _ => Reply::no_route(),
    });
    let env = TestEnv::at(&server);
    insta::assert_snapshot!(env.run(&["sagas", "list", "--source", "api"]), @r#"
    CREATED  SAGA_ID                               NAME  STATE    OUTCOME    OWNER  PROGRESS  LAST_EVENT
    ?        0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0003  ?     ?        stuck      ?             ?  ?
    ?        0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002  ?     ?        succeeded  ?             ?  ?
    ?        0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001  ?     running  -          ?             ?  ?
    ! note: from the memory of the coordinator at http://127.0.0.1:PORT; complete: 3 sagas. It holds what this process ran, and knows no names and times
    = 0
    "#);
    insta::assert_snapshot!(env.run(&["sagas", "list", "--source", "api", "--outcome", "stuck", "-o", "jsonl"]), @r#"
    {"saga_id":"0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0003","name":null,"state":null,"outcome":"stuck","current_sec":null,"created":null,"last_event":null,"nodes_done":null,"nodes_total":null,"failed_node":"boot","error":"no sled","undo_failed_node":"volume","undo_error":"gone\u001b[2J"}
    ! note: from the memory of the coordinator at http://127.0.0.1:PORT; complete: 1 saga. It holds what this process ran, and knows no names and times
    = 0
    "#);
}
