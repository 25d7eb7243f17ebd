//! A process that is killed leaves a prefix of what it handed over, with all of what was acknowledged in it.
//!
//! The test program runs itself as a second process that writes until it is killed.

use super::{open, stopping};
use crate::store::sagas::{Ownership, load_log};
use crate::store::sqlite::SqliteStore;
use crate::store::tests::ownership::unwaited_writes_of_anothers_saga_end_the_process;
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
async fn what_nobody_waits_for_ends_the_process_too_if_its_saga_is_anothers() {
    let dir = tempfile::tempdir().expect("a scratch directory");
    unwaited_writes_of_anothers_saga_end_the_process(|| {
        let (options, reasons) = stopping();
        let path = dir.path().join(SagaId::random().to_string());
        (Arc::new(SqliteStore::open(&path, options).expect("a database")), reasons)
    })
    .await;
}
