//! `sagactl sagas abandon`, `inject-error` and `reassign`: on real coordinators and on databases of every schema.

use crate::postgres::{Database, Server};
use crate::support::coordinator::Coordinator;
use crate::support::databases::Recorded;
use crate::support::{Run, TestEnv, poll_until, read_all, wait};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const GO: [&str; 2] = ["-w", "-y"];

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
}

/// A coordinator with one demo saga, which waits, and the saga's id.
fn with_demo(env: &TestEnv, name: &str, more: &[&str]) -> (Coordinator, String) {
    let coordinator = Coordinator::start(env, &env.path().join(name), more);
    let run = coordinator.env().run(&["demo-saga", "create", "-o", "json"]);
    let saga = json(&run)["saga_id"].as_str().expect("an id").to_owned();
    let on = TestEnv::new().with("SAGACTL_DB_URL", &coordinator.ready.db_url);
    poll_until("the demo saga waits in its action", || {
        (json(&on.run(&["why", &saga, "-o", "json"]))["node"] == "demo_wait").then_some(())
    });
    (coordinator, saga)
}

fn id(coordinator: &Coordinator) -> String {
    coordinator.ready.sec_id.to_string()
}

fn why(env: &TestEnv, saga: &str) -> Value {
    json(&env.run(&["why", saga, "-o", "json"]))
}

#[test]
fn abandoning_needs_a_dead_owner_permission_and_consent_and_is_done_once() {
    let env = TestEnv::new();
    let (mut coordinator, saga) = with_demo(&env, "data", &[]);
    let on = TestEnv::new().with("SAGACTL_DB_URL", &coordinator.ready.db_url);
    let state =
        |sql: &str| -> String { coordinator.database().query_row(sql, [], |row| row.get(0)).expect("a row") };
    let row = "SELECT saga_state || ' ' || adopt_generation || ' ' || coalesce(abandon_reason, '-') || ' ' || \
               coalesce(abandon_comment, '-') || ' ' || coalesce(abandon_time, '-') FROM saga";
    let untouched = state(row);
    let run = on.run(&[&["sagas", "abandon", &saga], &GO[..]].concat());
    assert_eq!(run.code, 2, "{run}");
    assert!(
        run.stderr.contains(&format!("caused by: its owner, SEC {}, is alive at", id(&coordinator))),
        "{run}"
    );
    let run = on.run(&["sagas", "abandon", &saga]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.starts_with("error: sagas abandon cannot be taken back, so it needs -w"), "{run}");

    coordinator.kill();
    let state =
        |sql: &str| -> String { coordinator.database().query_row(sql, [], |row| row.get(0)).expect("a row") };
    let run = on.run(&["sagas", "abandon", &saga, "--dry-run"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "dry run: nothing was done\n"), "{run}");
    assert!(run.stderr.contains(&format!("plan: abandon saga {saga} demo\n")), "{run}");
    assert!(run.stderr.contains("  cut off:     node 0 demo_wait\n"), "{run}");
    let run = on.run(&["sagas", "abandon", &saga, "-w"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("there is no terminal to ask for confirmation on"), "{run}");
    assert_eq!(state(row), untouched);

    let run =
        on.run(&[&["sagas", "abandon", &saga, "--comment", "ticket 7", "-o", "json"], &GO[..]].concat());
    assert_eq!(run.code, 0, "{run}");
    let report = json(&run);
    assert_eq!((&report["saga_id"], &report["outcome"]), (&saga.as_str().into(), &"done".into()));
    assert_eq!(report["plan"]["writes"]["comment"], "ticket 7");
    assert_eq!(report["plan"]["seen"]["adopt_generation"], 1);
    assert_eq!(report["plan"]["owner"]["liveness"], "dead");
    assert_eq!(report["plan"]["cut_off"][0]["name"], "demo_wait");
    let written = state(row);
    assert!(written.starts_with("abandoned 2 omdb ticket 7 20"), "{written}");
    let run = on.run(&[&["sagas", "abandon", &saga], &GO[..]].concat());
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.starts_with(&format!("saga {saga} demo: it is already abandoned since 20")), "{run}");
    assert!(run.stdout.ends_with(", for reason \"omdb\": ticket 7\n"), "{run}");
    assert_eq!(state(row), written, "the row is as it was");

    // Nobody takes it up again.
    coordinator.restart(&env);
    let env = coordinator.env();
    assert_eq!(env.run(&["activate", "recovery"]).code, 0);
    assert_eq!(json(&env.run(&["status", "-o", "json"]))["coordinator"]["sagas_in_flight"], 0);
    assert_eq!(why(&on, &saga)["verdict"], "abandoned");
    // What has come to its end is not given up.
    let run = on.run(&[&["sagas", "inject-error", &saga], &GO[..]].concat());
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("is abandoned: nothing will ever run it"), "{run}");
}

#[test]
fn a_saga_with_an_injected_error_unwinds_when_it_is_recovered() {
    let env = TestEnv::new();
    let (mut coordinator, saga) = with_demo(&env, "data", &[]);
    coordinator.kill();
    let on = TestEnv::new().with("SAGACTL_DB_URL", &coordinator.ready.db_url);
    let inject = |more: &[&str]| on.run(&[&["sagas", "inject-error", &saga], more, &GO[..]].concat());
    let run = inject(&["--node", "1"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("has succeeded, and only an action that was begun"), "{run}");
    assert!(run.stderr.contains("hint: under way is node 0 demo_wait\n"), "{run}");
    let run = inject(&["--node", "nonesuch"]);
    assert_eq!((run.code, run.stderr.contains("has no node \"nonesuch\"")), (2, true), "{run}");

    let run = inject(&["--node", "demo_wait", "--message", "nobody comes"]);
    assert_eq!((run.code, run.stdout), (0, format!("injected an error into saga {saga} demo\n")));
    assert!(run.stderr.contains("node 0 demo_wait will not be undone"), "{}", run.stderr);
    for again in [&["--node", "0"][..], &[]] {
        let run = inject(again);
        assert_eq!(run.code, 0, "{run}");
        assert!(run.stdout.ends_with("an error has already been injected into node 0 demo_wait\n"), "{run}");
    }
    coordinator.restart(&env);
    let told = poll_until("it has unwound", || {
        let told = why(&on, &saga);
        (told["verdict"] == "failed").then_some(told)
    });
    assert_eq!(told["failed"]["name"], "demo_wait");
    assert!(told["failed"]["error"].as_str().expect("an error").contains("nobody comes"), "{told}");
    let repeated = told["evidence"].as_array().expect("facts").iter();
    let repeated =
        repeated.filter(|fact| fact["text"].as_str().is_some_and(|text| text.contains("at least twice")));
    assert_eq!(repeated.count(), 0, "what an operator wrote is no second run: {told}");
}

#[test]
fn a_coordinator_that_runs_a_saga_which_is_changed_under_it_is_fenced() {
    let env = TestEnv::new();
    let (mut coordinator, saga) = with_demo(&env, "data", &[]);
    let on = TestEnv::new().with("SAGACTL_DB_URL", &coordinator.ready.db_url);
    let demo = json(&coordinator.env().run(&["demo-saga", "create", "-o", "json"]));
    let other = demo["demo_saga_id"].as_str().expect("an id").to_owned();
    let run = on.run(&[&["sagas", "inject-error", &saga, "--bypass-sec-check"], &GO[..]].concat());
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stderr.contains("is alive at http://127.0.0.1:"), "{run}");
    // The one that was left alone ends as it should, the other one's end is refused.
    assert_eq!(coordinator.env().run(&["demo-saga", "complete", &other]).code, 0);
    assert!(coordinator.is_running());
    let demo: String = coordinator
        .database()
        .query_row(
            "SELECT json_extract(saga_dag, '$.graph.nodes[1].Start.params.id') FROM saga WHERE id = ?1",
            [&saga],
            |row| row.get(0),
        )
        .expect("a demo saga's own id");
    let _ = coordinator.env().run(&["demo-saga", "complete", &demo]);
    assert_eq!(coordinator.wait_for_its_end(), Some(3));
    coordinator.restart(&env);
    poll_until("it has unwound", || (why(&on, &saga)["verdict"] == "failed").then_some(()));
}

#[test]
fn sagas_are_reassigned_once_and_run_by_their_new_owner() {
    let database = Server::shared().database();
    let env = TestEnv::new().with("SAGACTL_DB_URL", &database.url());
    let with_url = ["--db-url", &database.url()];
    let (mut old, saga) = with_demo(&env, "old", &with_url);
    let new = Coordinator::start(&env, &env.path().join("new"), &with_url);
    let (from, to) = (id(&old), id(&new));
    let reassign = |more: &[&str]| env.run(&[&["sagas", "reassign"], more, &GO[..]].concat());
    let refused = |more: &[&str], said: &str| {
        let run = reassign(more);
        assert_eq!(run.code, 2, "{run}");
        assert!(run.stderr.contains(said), "{said}: {run}");
    };
    poll_until("both are registered", || {
        let secs = json(&env.run(&["secs", "list", "-o", "json"]));
        (secs.as_array().expect("a list").iter().filter(|sec| sec["internal_address"].is_string()).count()
            == 2)
            .then_some(())
    });
    refused(&["--from", &from, "--to", &to], "is alive at");
    old.kill();
    let unknown = "99999999-9999-4999-8999-999999999999";
    refused(&["--from", &from, "--to", &from], "cannot take over from itself");
    refused(&["--from", &from, "--to", unknown], &format!("unknown SEC {unknown}: it is in no registry"));
    refused(
        &["--from", unknown, "--to", &to],
        &format!("unknown SEC {unknown}: it is in no registry and owns"),
    );
    refused(&["--from", "zz", "--to", &to], "unknown SEC \"zz\"; known SECs: ");
    refused(&["--from", &from, "--to", &to, "--saga", unknown], &format!("unknown saga \"{unknown}\""));
    database.sql(&format!(
        "INSERT INTO sec SELECT '{unknown}', '', 'expunged', time_started, time_heartbeat FROM sec LIMIT 1"
    ));
    refused(&["--from", &from, "--to", unknown], "has been expunged, so it runs nothing any more");

    let generation = || database.sql("SELECT adopt_generation, current_sec FROM saga");
    let run = env.run(&["sagas", "reassign", "--from", &from, "--to", &to, "--dry-run"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "dry run: nothing was done\n"), "{run}");
    assert!(run.stderr.contains(&format!("plan: reassign 1 saga to SEC {to}\n")), "{run}");
    assert!(run.stderr.contains(&format!("{saga} demo, running, generation 1 becomes 2")), "{run}");
    assert_eq!(generation(), format!("1|{from}"));

    let run = reassign(&["--from", &from, "--to", &to, "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    let report = json(&run);
    assert_eq!((&report["outcome"], &report["moved"]), (&"reassigned".into(), &1.into()));
    assert_eq!(report["sagas"][0]["fate"], "moved");
    assert_eq!(generation(), format!("2|{to}"));
    let run = reassign(&["--from", &from, "--to", &to]);
    assert_eq!((run.code, run.stdout), (0, format!("nothing to do: SEC {from} has no unfinished sagas\n")));
    let run = reassign(&["--from", &from, "--to", &to, "--saga", &saga, "-o", "json"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(json(&run)["sagas"][0]["fate"], "already_there");
    let message = json(&run)["sagas"][0]["message"].as_str().expect("words").to_owned();
    assert!(message.starts_with(&format!("already with SEC {to} since 20")), "{message}");
    assert_eq!(generation(), format!("2|{to}"));

    // No other command than the new owner's next pass.
    assert_eq!(new.env().run(&["activate", "recovery"]).code, 0);
    assert_eq!(why(&new.env(), &saga)["verdict"], "running");
    let mut back = Coordinator::start(&env, &env.path().join("old"), &with_url);
    assert_eq!(json(&back.env().run(&["status", "-o", "json"]))["coordinator"]["sagas_in_flight"], 0);
    back.kill();
}

/// Asks a database for one value.
type Ask<'a> = &'a dyn Fn(&str) -> String;

/// What the row of a saga holds after a change to it was tried, in words.
fn try_each_era(env: &TestEnv, url: &str, ask: Ask<'_>, saga: &str) -> String {
    let saga = format!("0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a00{saga}");
    let command = ["sagas", "abandon", &saga, "--bypass-sec-check", "--comment", "it's", "--db-url", url];
    let run = env.run(&[&command, &GO[..]].concat());
    let state = ask(&format!("SELECT saga_state FROM saga WHERE id = '{saga}'"));
    let generation = ask(&format!("SELECT adopt_generation FROM saga WHERE id = '{saga}'"));
    let said = run.stderr.lines().find(|line| line.contains("caused by") || line.contains("no columns"));
    let said = said.map_or(String::new(), |line| line.replace(url, "URL").trim().to_owned());
    format!("{} {state} {generation} {said}", run.code)
}

#[test]
fn every_era_of_nexus_keeps_what_it_can() {
    for schema in [137, 200, 294] {
        let env = TestEnv::new();
        let url = Recorded::Nexus(schema).in_sqlite(&env);
        let file = url.strip_prefix("sqlite:").expect("a file").to_owned();
        let in_file = |sql: &str| -> String {
            let connection = rusqlite::Connection::open(&file).expect("a file");
            connection
                .query_row(sql, [], |row| {
                    row.get::<_, rusqlite::types::Value>(0).map(|value| match value {
                        rusqlite::types::Value::Integer(number) => number.to_string(),
                        rusqlite::types::Value::Text(text) => text,
                        other => format!("{other:?}"),
                    })
                })
                .expect("a row")
        };
        let database = Recorded::Nexus(schema).in_postgres().expect("PostgreSQL");
        let on_server = |sql: &str| database.sql(sql);
        let server_url = database.url();
        let asks: [(&str, Ask<'_>); 2] = [(&url, &in_file), (&server_url, &on_server)];
        for (url, ask) in asks {
            let became = try_each_era(&env, url, ask, "05");
            let expected = match schema {
                137 => "2 running 1 caused by: ",
                200 => {
                    "0 abandoned 1 mind:        this database has no columns for when and why a saga was abandoned"
                }
                _ => "0 abandoned 1 ",
            };
            assert!(became.starts_with(expected), "{schema} {url}: {became}");
            if schema == 294 {
                let sql = "SELECT abandon_reason || ' ' || abandon_comment FROM saga WHERE abandon_comment = 'it''s'";
                let sql = if url.starts_with("sqlite") {
                    sql.to_owned()
                } else {
                    sql.replace("abandon_reason ", "abandon_reason::TEXT ")
                };
                assert_eq!(ask(&sql), "omdb it's");
            }
            // The event is one that a Nexus writes itself.
            let saga = "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0004";
            let inject =
                ["sagas", "inject-error", saga, "--bypass-sec-check", "--message", "x", "--db-url", url];
            let run = env.run(&[&inject, &GO[..]].concat());
            assert_eq!(run.code, 0, "{schema}: {run}");
            let error = ask(&format!(
                "SELECT data FROM saga_node_event WHERE saga_id = '{saga}' AND event_type = 'failed' \
                 AND creator = 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa'"
            ));
            let error: Value = serde_json::from_str(&error).expect("JSON");
            assert_eq!(error["ActionFailed"]["source_error"]["InternalError"]["internal_message"], "x");
            let told = json(&env.run(&["why", saga, "-o", "json", "--db-url", url]));
            assert_eq!(
                (&told["verdict"], &told["legal"]["verdict"]),
                (&"unwinding".into(), &"yes".into()),
                "{told}"
            );
            let target = "65a11c18-7f59-41ac-b9e7-680627f99601";
            let from = "65a11c18-7f59-41ac-b9e7-680627f99602";
            let reassign =
                ["sagas", "reassign", "--from", from, "--to", target, "--bypass-sec-check", "--db-url", url];
            let run = env.run(&[&reassign, &GO[..]].concat());
            assert_eq!(run.code, 0, "{schema}: {run}");
            let row = "SELECT adopt_generation FROM saga WHERE id = '0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0006' \
                       AND current_sec = '65a11c18-7f59-41ac-b9e7-680627f99601'";
            assert_eq!(ask(row), "3");
            if schema == 294 {
                let quiesced = [
                    "sagas",
                    "reassign",
                    "--from",
                    target,
                    "--to",
                    from,
                    "--bypass-sec-check",
                    "--db-url",
                    url,
                ];
                let run = env.run(&[&quiesced, &GO[..]].concat());
                assert_eq!((run.code, run.stderr.contains("is quiesced, not active")), (2, true), "{run}");
            }
        }
    }
}

#[test]
fn what_cannot_be_opened_or_is_of_a_later_program_is_not_changed() {
    let database = Recorded::Sagactl.in_postgres().expect("PostgreSQL");
    database.sql("DELETE FROM sec; DELETE FROM saga");
    let [a, b, saga] = orphan(&database);
    let env = TestEnv::new();
    let commands = [
        &["sagas", "abandon", &saga, "--bypass-sec-check"][..],
        &["sagas", "inject-error", &saga, "--bypass-sec-check"],
        &["sagas", "reassign", "--saga", &saga, "--to", &a, "--bypass-sec-check"],
        &["secs", "expunge", &b],
    ];
    let rows = || {
        database.sql("SELECT saga_state, current_sec, adopt_generation FROM saga; SELECT id, state FROM sec ORDER BY id")
    };
    let untouched = rows();
    let refused = |url: &str, code: i32, said: &str| {
        for command in commands {
            let run = env.run(&[command, &GO[..], &["--db-url", url]].concat());
            assert_eq!(run.code, code, "{command:?}: {run}");
            assert!(run.stderr.contains(said), "{command:?}: {run}");
            assert!(!run.stderr.contains("guessed") && !run.stdout.contains("guessed"), "{run}");
        }
        assert_eq!(rows(), untouched);
    };
    refused(&database.guarded_url("guessed"), 3, "password authentication failed for user \"guarded\"");
    database.sql("UPDATE sagactl_schema SET version = 999");
    refused(&database.url(), 2, "schema 999");
    // Looking is another matter.
    let run = env.run(&["sagas", "list", "-o", "ids", "--db-url", &database.url()]);
    assert_eq!((run.code, run.stdout.trim()), (0, &*saga), "{run}");
}

/// Both commands at the same moment; what each left behind.
fn at_once(env: &TestEnv, commands: [&[&str]; 2]) -> [Run; 2] {
    let began = Instant::now();
    let children = commands.map(|command| {
        let mut child = env.command(command).spawn().expect("it starts");
        let (out, err) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        (child, read_all(out), read_all(err), command)
    });
    children.map(|(mut child, out, err, command)| {
        let status = wait(&mut child, began + Duration::from_secs(30), command);
        Run {
            stdout: out.join().expect("text"),
            stderr: err.join().expect("text"),
            code: status.code().unwrap_or(-1),
            took: began.elapsed(),
        }
    })
}

/// A database with a saga of an owner that is gone, and two SECs that may have it.
fn orphan(database: &Database<'_>) -> [String; 3] {
    let [a, b, saga] = [
        "11111111-1111-4111-8111-111111111111",
        "22222222-2222-4222-8222-222222222222",
        "33333333-3333-4333-8333-333333333333",
    ];
    database.sql(&format!(
        "INSERT INTO sec VALUES ('{a}', '', 'active', now(), now(), NULL, NULL), ('{b}', '', 'active', now(), now(), NULL, NULL);
         INSERT INTO saga (id, creator, time_created, name, saga_dag, saga_state, current_sec, adopt_generation, adopt_time)
         VALUES ('{saga}', '{saga}', now(), 'demo', '{{}}', 'running', '{saga}', 1, now())"
    ));
    [a, b, saga].map(str::to_owned)
}

#[test]
fn of_two_operators_at_once_one_wins_and_the_other_is_told() {
    let database = Recorded::Sagactl.in_postgres().expect("PostgreSQL");
    let env = TestEnv::new().with("SAGACTL_DB_URL", &database.url());
    for _ in 0..4 {
        database.sql("DELETE FROM sec; DELETE FROM saga");
        let [a, b, saga] = orphan(&database);
        let to = |sec| {
            [["sagas", "reassign", "--saga", &saga, "--to", sec, "-o", "json"].to_vec(), GO.to_vec()].concat()
        };
        let abandon = [["sagas", "abandon", &saga, "-o", "json"].to_vec(), GO.to_vec()].concat();
        let runs = at_once(&env, [&to(&a), &to(&b)]);
        let row = database.sql("SELECT current_sec, adopt_generation FROM saga");
        let moved: Vec<Value> = runs.iter().filter(|run| run.code == 0).map(json).collect();
        let winner = moved.iter().filter(|report| report["moved"] == 1).count();
        // One after the other both may win, if the second came late enough to see the first one's result; but that asks
        // the new owner first, which is alive.
        assert_eq!(winner, 1, "{} {}", runs[0], runs[1]);
        assert!(row == format!("{a}|2") || row == format!("{b}|2"), "{row}");
        let loser = runs.iter().find(|run| run.code != 0).expect("one was told");
        assert_eq!(loser.code, 2, "{loser}");

        database.sql(&format!("UPDATE saga SET current_sec = '{saga}', adopt_generation = 1"));
        let [moved, abandoned] = at_once(&env, [&to(&a), &abandon]);
        let row = database.sql("SELECT saga_state, current_sec, adopt_generation FROM saga");
        match row.as_str() {
            row if row == format!("abandoned|{saga}|2") => {
                assert_eq!(abandoned.code, 0, "{abandoned}");
                // It came to rest: nothing is left to be moved.
                assert_eq!(json(&moved)["moved"], 0, "{moved}");
            }
            row if row == format!("running|{a}|2") => {
                assert_eq!((moved.code, abandoned.code), (0, 2), "{moved} {abandoned}");
            }
            row => panic!("{row}: {moved} {abandoned}"),
        }
        let twice = at_once(&env, [&abandon, &abandon]);
        if row.starts_with("abandoned") {
            assert_eq!((twice[0].code, twice[1].code), (0, 0), "{} {}", twice[0], twice[1]);
        }
    }
}

/// A way to the server that loses the answer to the first COMMIT: it gets there, and the connection ends.
fn loses_the_answer_to_commit(server: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let is_lost = Arc::new(AtomicBool::new(false));
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut upstream = TcpStream::connect(&server).expect("the server");
            let (mut from_server, mut to_client) =
                (upstream.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
            let (is_lost, cut) = (Arc::clone(&is_lost), Arc::new(AtomicBool::new(false)));
            let swallow = Arc::clone(&cut);
            std::thread::spawn(move || {
                let mut buffer = [0; 8192];
                while let Ok(count @ 1..) = from_server.read(&mut buffer) {
                    if swallow.load(Ordering::SeqCst) {
                        break;
                    }
                    if to_client.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
                let _ = to_client.shutdown(Shutdown::Both);
            });
            std::thread::spawn(move || {
                let mut buffer = [0; 8192];
                while let Ok(count @ 1..) = client.read(&mut buffer) {
                    let sent = &buffer[..count];
                    // With the end of the text: BEGIN names an isolation level with that word in it.
                    let is_commit = sent.windows(7).any(|words| words == b"COMMIT\0");
                    if is_commit && !is_lost.swap(true, Ordering::SeqCst) {
                        cut.store(true, Ordering::SeqCst);
                    }
                    if upstream.write_all(sent).is_err() {
                        break;
                    }
                }
                let _ = upstream.shutdown(Shutdown::Both);
            });
        }
    });
    port
}

#[test]
fn a_commit_whose_answer_is_lost_is_found_out_about() {
    let database = Recorded::Sagactl.in_postgres().expect("PostgreSQL");
    database.sql("DELETE FROM sec; DELETE FROM saga");
    let [to, _, saga] = orphan(&database);
    let url = database.url();
    let address =
        url.split(['@', '/']).find(|part| part.starts_with("127.0.0.1:")).expect("a port").to_owned();
    let through = |port: u16| url.replace(&address, &format!("127.0.0.1:{port}"));
    let lossy = through(loses_the_answer_to_commit(address.clone()));
    let env = TestEnv::new();
    let reassign = ["sagas", "reassign", "--saga", &saga, "--to", &to, "-o", "json", "--db-url", &lossy];
    let run = env.run(&[&reassign, &GO[..]].concat());
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(json(&run)["moved"], 1, "{run}");
    let row = || database.sql("SELECT saga_state, current_sec, adopt_generation FROM saga");
    assert_eq!(row(), format!("running|{to}|2"));

    let lossy = through(loses_the_answer_to_commit(address.clone()));
    let abandon = ["sagas", "abandon", &saga, "--bypass-sec-check", "-o", "json", "--db-url", &lossy];
    let run = env.run(&[&abandon, &GO[..]].concat());
    assert_eq!((run.code, &json(&run)["outcome"]), (0, &"done".into()), "{run}");
    assert_eq!(row(), format!("abandoned|{to}|3"));
}
