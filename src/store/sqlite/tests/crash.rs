//! A process that is killed leaves a prefix of what it handed over, with all of what was acknowledged in it.
//!
//! The test program runs itself as a second process that writes until it is killed.

use super::{open, stopping};
use crate::store::sagas::{Ownership, load_log};
use crate::store::sqlite::SqliteStore;
use crate::store::tests::ownership::not_ours;
use crate::store::tests::{created, started};
use crate::store::{SharedStore, Until};
use crate::wire::ids::{SagaId, SecId};
use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Where the second process finds its database; without it there is no second process.
const DATABASE: &str = "SAGACTL_TEST_KILLED_DATABASE";

/// What the second process does: events 0, 1, 2, … of one saga, most of them unwaited-for. Tells the saga's id, then each
/// number that was acknowledged as durable.
#[tokio::test]
async fn second_process_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(DATABASE).map(PathBuf::from) else { return };
    let (options, _reasons) = stopping();
    let store: SharedStore = Arc::new(SqliteStore::open(&path, options).expect("a database"));
    let (owner, id) = created(&store, SecId::random()).await;
    let tell = |what: &dyn std::fmt::Display| {
        let mut out = std::io::stdout().lock();
        // When the first process does not listen any more it is about to kill this one.
        let _ = writeln!(out, "\n{what}").and_then(|()| out.flush());
    };
    tell(&format_args!("saga {id} {}", owner.sec));
    for node in 0.. {
        if node % 7 == 6 {
            store.write(started(owner, id, node), Until::Durable).await.expect("the owner's event");
            tell(&format_args!("durable {node}"));
        } else {
            store.write_unwaited(started(owner, id, node));
        }
    }
}

#[tokio::test]
async fn a_killed_process_leaves_a_prefix_with_all_that_was_acknowledged() {
    for acknowledgements in [1, 40, 300] {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let path = directory.path().join("sagas.db");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "store::sqlite::tests::crash::second_process_writes_until_it_is_killed"])
            .args(["--nocapture", "--test-threads=1"])
            .env(DATABASE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("this program runs");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut held: Option<(SagaId, Ownership)> = None;
        let mut last = None;
        let mut heard = 0;
        for line in lines {
            let line = line.expect("text");
            let mut words = line.split(' ');
            match (words.next(), words.next(), words.next()) {
                (Some("saga"), Some(id), Some(sec)) => {
                    let owner = Ownership { sec: sec.parse().expect("a SEC's id"), generation: 1 };
                    held = Some((id.parse().expect("a saga's id"), owner));
                }
                (Some("durable"), Some(node), None) => {
                    last = Some(node.parse::<u32>().expect("a number"));
                    heard += 1;
                    if heard == acknowledgements {
                        child.kill().expect("it runs");
                    }
                }
                _ => {}
            }
        }
        child.wait().expect("it is our child");
        let (id, owner) = held.expect("the saga's id came first");
        let last = last.expect("something was acknowledged");
        assert!(heard >= acknowledgements, "it was not killed too early");

        let store = open(&path);
        let mut nodes: Vec<u32> = load_log(&*store, id)
            .await
            .expect("it is readable")
            .iter()
            .map(|event| event.node_id.0)
            .collect();
        nodes.sort_unstable();
        let prefix: Vec<u32> = (0..).take(nodes.len()).collect();
        assert_eq!(nodes, prefix, "no event without all before it");
        assert!(nodes.len() > last as usize, "acknowledged {last}, found {}", nodes.len());
        // And it goes on from there.
        let next = started(owner, id, u32::try_from(nodes.len()).expect("a node"));
        store.write(next, Until::Durable).await.expect("the next event");
    }
}

#[tokio::test]
async fn an_event_of_a_saga_that_is_anothers_ends_the_process_though_nobody_waits_for_it() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let path = dir.path().join("db");
    let (options, reasons) = stopping();
    let store: SharedStore = Arc::new(SqliteStore::open(&path, options).expect("a database"));
    let (owner, id) = created(&store, SecId::random()).await;
    store.write_unwaited(started(Ownership { generation: 9, ..owner }, id, 0));
    let late = store.write(started(owner, id, 1), Until::Durable);
    let reason =
        tokio::task::spawn_blocking(move || reasons.recv()).await.expect("no panic").expect("a reason");
    assert!(reason.ends_with(&format!("saga {id}: {}", not_ours())), "{reason}");
    assert!(futures::FutureExt::now_or_never(late).is_none());
    let reader = SqliteStore::open_read_only(&path).expect("it is there");
    assert!(load_log(&reader, id).await.expect("it is readable").is_empty());
}
