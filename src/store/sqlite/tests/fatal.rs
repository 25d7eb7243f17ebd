//! When nothing can be committed any more, the handler is told and nobody else.

use super::stopping;
use crate::store::sql::Statement;
use crate::store::sqlite::{OpenOptions, SqliteStore};
use crate::store::tests::{count_events, created, started};
use crate::store::{SharedStore, Until, Write};
use crate::wire::ids::SecId;
use futures::FutureExt;
use futures::future::join_all;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);

fn stopping_store(change: impl FnOnce(&mut OpenOptions)) -> (SharedStore, Receiver<String>, TempDir) {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let (mut options, reasons) = stopping();
    change(&mut options);
    let store = SqliteStore::open(&directory.path().join("sagas.db"), options).expect("a database");
    (Arc::new(store), reasons, directory)
}

#[tokio::test]
async fn a_full_disk_is_fatal_and_acknowledges_nobody() {
    let (store, reasons, directory) = stopping_store(|options| options.max_pages = Some(40));
    let (owner, id) = created(&store, SecId::random()).await;
    // All of these together are one or a few transactions, the last of which cannot be committed.
    let mut writes: Vec<_> =
        (0..5000).map(|node| store.write(started(owner, id, node), Until::Durable)).collect();
    let reason = tokio::task::spawn_blocking(move || reasons.recv_timeout(PATIENCE)).await;
    let reason = reason.expect("no panic").expect("the handler is called");
    let path = directory.path().join("sagas.db");
    let start = format!("cannot write to database {}: the disk is full", path.display());
    assert!(reason.starts_with(&start), "{reason}");

    // Unconstrained, because tokio would make a pause after some hundred answers look like no answer.
    let answer_of = |write| tokio::task::unconstrained(write).now_or_never();
    let acknowledged: Vec<_> = writes.iter_mut().filter_map(answer_of).collect();
    assert!(acknowledged.iter().all(Result::is_ok), "nobody is told of the end: {acknowledged:?}");
    let durable = count_events(&*store, id).await;
    assert!(durable < 5000, "there was no room for all");
    assert_eq!(
        i64::try_from(acknowledged.len()).expect("a count"),
        durable,
        "acknowledged is durable, and no more is"
    );
    // Nor is anybody told who comes later.
    assert!(store.write(started(owner, id, 0), Until::Applied).now_or_never().is_none());
}

#[tokio::test]
async fn a_statement_that_is_not_sql_is_fatal_and_named() {
    let (store, reasons, _directory) = stopping_store(|_| ());
    let wrong = Write::one(Statement::new("INSERT INTO nowhere VALUES (1)", vec![]));
    assert!(store.write(wrong, Until::Applied).now_or_never().is_none());
    let reason = reasons.recv_timeout(PATIENCE).expect("the handler is called");
    assert!(reason.contains("no such table: nowhere"), "{reason}");
}

#[tokio::test]
async fn a_statement_that_names_one_row_and_changes_more_is_fatal() {
    let (store, reasons, _directory) = stopping_store(|_| ());
    let sec = SecId::random();
    join_all((0..2).map(|_| created(&store, sec))).await;
    let wide = Statement::new("UPDATE saga SET name = 'x' WHERE current_sec = $1", vec![sec.into()]);
    drop(store.write(Write::one(wide.changing_one("gone")), Until::Applied));
    let reason = reasons.recv_timeout(PATIENCE).expect("the handler is called");
    assert!(reason.contains("2 rows were changed by a statement that names one: UPDATE saga"), "{reason}");
}
