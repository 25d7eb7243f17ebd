//! The server goes away and comes back, or somebody is in the way.

use super::{calm, count, open, stopping};
use crate::scratch_postgres::Server;
use crate::store::error::StoreError;
use crate::store::postgres::{OnSessionLoss, OpenOptions};
use crate::store::tests::{count_events, created, last_words, started, write};
use crate::store::{SharedStore, Until, Write};
use crate::wire::ids::SecId;
use std::io::{BufRead, BufReader, Write as _};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longest wait for something that has to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Times that the server is crashed under load.
const CRASHES: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_of_the_server_under_load_lose_and_double_nothing() {
    let server = Server::start();
    let database = server.database();
    let store = open(&database, calm());
    let is_over = Arc::new(AtomicBool::new(false));
    let sagas: Vec<_> = (0..16)
        .map(|_| {
            let (store, is_over) = (Arc::clone(&store), Arc::clone(&is_over));
            tokio::spawn(async move {
                let (owner, id) = created(&store, SecId::random()).await;
                let mut node = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let applied = write(&store, started(owner, id, node)).await;
                    assert_eq!(applied.expect("it waits for the server").rows, [1]);
                    node += 1;
                }
                (id, node)
            })
        })
        .collect();
    let mut seen = 0;
    for _ in 0..CRASHES {
        // A crash is under load only if something was written since the last.
        seen = progress_beyond(&store, seen + 100).await;
        tokio::task::block_in_place(|| {
            server.crash();
            server.start_again();
        });
    }
    progress_beyond(&store, seen + 100).await;
    is_over.store(true, Ordering::Relaxed);
    for saga in sagas {
        let (id, acknowledged) = saga.await.expect("no panic");
        assert_eq!(count_events(&*store, id).await, i64::from(acknowledged));
    }
    drop(store);
    drop(database);
}

/// Waits until there are more events than that. Reads fail while the server is away.
async fn progress_beyond(store: &SharedStore, least: i64) -> i64 {
    let statement = || crate::store::sql::Statement::new("SELECT count(*) FROM saga_node_event", vec![]);
    let reached = async {
        loop {
            match store.read(statement()).await {
                Ok(rows) if rows[0].int(0).expect("a number") > least => {
                    return rows[0].int(0).expect("a number");
                }
                Ok(_) | Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("writing goes on")
}

#[tokio::test]
async fn a_process_that_is_to_exit_does_so_at_the_first_loss() {
    let server = Server::start();
    let database = server.database();
    let (options, reasons) = stopping(SecId::random());
    let store = open(&database, OpenOptions { on_session_loss: OnSessionLoss::Exit, ..options });
    let sec = SecId::random();
    created(&store, sec).await;
    server.crash();
    let unanswered = store.write(Write::all(vec![]), Until::Durable);
    let (owner, id) =
        (crate::store::sagas::Ownership { sec, generation: 1 }, crate::wire::ids::SagaId::random());
    let late = store.write(started(owner, id, 0), Until::Durable);
    let reason = last_words(reasons).await.expect("a reason");
    assert!(reason.starts_with("the session with database postgresql://sagactl@127.0.0.1:"), "{reason}");
    drop((unanswered, late));
    server.start_again();
}

#[tokio::test]
async fn who_holds_a_lock_is_waited_for() {
    let database = Server::shared().database();
    let store = open(&database, calm());
    let (owner, id) = created(&store, SecId::random()).await;
    // Somebody in PostgreSQL's shell, in the middle of a change of this saga.
    let mut shell = database.shell().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
    let mut input = shell.stdin.take().expect("piped");
    input.write_all(b"BEGIN; UPDATE saga SET name = 'x'; SELECT 'locked';\n").expect("it reads");
    let output = BufReader::new(shell.stdout.take().expect("piped"));
    let locked = output.lines().map_while(Result::ok).any(|line| line == "locked");
    assert!(locked);
    let event = store.write(started(owner, id, 0), Until::Durable);
    wait_for_a_lock(&store).await;
    input.write_all(b"ROLLBACK;\n").expect("it reads");
    drop(input);
    event.await.expect("its turn comes");
    assert_eq!(count_events(&*store, id).await, 1);
    assert_eq!(count(&*store, "SELECT count(*) FROM saga WHERE name = 'x'").await, 0);
    assert!(shell.wait().expect("a child").success());
}

/// Waits until somebody waits for a lock.
async fn wait_for_a_lock(store: &SharedStore) {
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    let seen = async {
        while count(&**store, waiting).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("the writer waits for the lock");
}
