//! Reading somebody else's database, whatever state it was left in, without a trace.

use super::{open, unusable};
use crate::store::error::StoreError;
use crate::store::sqlite::SqliteStore;
use crate::store::tests::{count_events, created, started, write};
use crate::store::{SharedStore, Store, Until, Write};
use crate::wire::ids::{SagaId, SecId};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;
use tempfile::TempDir;

fn scratch() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let path = directory.path().join("sagas.db");
    (directory, path)
}

fn visit(path: &Path) -> SqliteStore {
    SqliteStore::open_read_only(path).expect("a database to read")
}

/// Names, lengths and times of all files of a directory.
fn trace(directory: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    let entries = std::fs::read_dir(directory).expect("the directory");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let metadata = entry.metadata().expect("it is there");
            let modified = metadata.modified().expect("file systems know it");
            (entry.file_name().to_string_lossy().into_owned(), (metadata.len(), modified))
        })
        .collect()
}

/// Copies the database with its log, but not the log's index, while nothing is being written. Another process does it,
/// because closing a file drops the locks that this process has on it.
fn copy_with_log(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let name = |path: &Path| format!("{}{suffix}", path.display());
        let status = Command::new("cp").arg(name(from)).arg(name(to)).status().expect("cp is everywhere");
        assert!(status.success());
    }
}

async fn with_events(store: &SharedStore, events: u32) -> SagaId {
    let (owner, id) = created(store, SecId::random()).await;
    for node in 0..events {
        write(store, started(owner, id, node)).await.expect("the owner's event");
    }
    id
}

/// A database that nobody has open, with everything moved out of its log.
async fn at_rest(path: &Path, events: u32) -> SagaId {
    // Somewhere else, since its files are still being closed when this is done.
    let (_elsewhere, running) = scratch();
    let store = open(&running);
    let id = with_events(&store, events).await;
    copy_with_log(&running, path);
    let connection = rusqlite::Connection::open(path).expect("SQLite's own");
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("nobody else is there");
    drop(connection);
    assert!(!path.with_extension("db-wal").exists(), "the last to close removes the log");
    id
}

#[tokio::test]
async fn reads_along_with_a_coordinator() {
    let (_directory, path) = scratch();
    let store = open(&path);
    let visitor = visit(&path);
    for events in 1..4 {
        let id = with_events(&store, events).await;
        assert_eq!(
            count_events(&visitor, id).await,
            i64::from(events),
            "what is written while it is open is seen"
        );
    }
}

#[tokio::test]
async fn leaves_no_trace_on_a_database_at_rest() {
    let (directory, path) = scratch();
    let id = at_rest(&path, 3).await;
    let before = trace(directory.path());
    let visitor = visit(&path);
    assert_eq!(count_events(&visitor, id).await, 3);
    assert_eq!(trace(directory.path()), before);
    drop(visitor);
    assert_eq!(trace(directory.path()), before);
}

#[tokio::test]
async fn notices_a_coordinator_that_starts() {
    let (_directory, path) = scratch();
    let id = at_rest(&path, 3).await;
    let visitor = visit(&path);
    assert_eq!(count_events(&visitor, id).await, 3);
    let store = open(&path);
    let later = with_events(&store, 2).await;
    assert_eq!(count_events(&visitor, later).await, 2);
    assert_eq!(count_events(&visitor, id).await, 3);
}

#[tokio::test]
async fn reads_what_a_killed_coordinator_left_in_its_log() {
    let (directory, path) = scratch();
    let store = open(&path);
    let id = with_events(&store, 5).await;
    let left = directory.path().join("left.db");
    copy_with_log(&path, &left);
    let database = std::fs::read(&left).expect("the copy");
    let log = std::fs::read(left.with_extension("db-wal")).expect("its log");
    assert!(!log.is_empty());
    let visitor = visit(&left);
    assert_eq!(count_events(&visitor, id).await, 5);
    drop(visitor);
    assert_eq!(std::fs::read(&left).expect("the copy"), database);
    assert_eq!(std::fs::read(left.with_extension("db-wal")).expect("its log"), log);
}

#[tokio::test]
async fn follows_the_name_to_another_file() {
    let (directory, path) = scratch();
    let first = at_rest(&path, 1).await;
    let visitor = visit(&path);
    assert_eq!(count_events(&visitor, first).await, 1);
    let other = directory.path().join("other.db");
    let second = at_rest(&other, 2).await;
    std::fs::rename(&other, &path).expect("the same directory");
    assert_eq!(count_events(&visitor, second).await, 2);
    assert_eq!(count_events(&visitor, first).await, 0);
    std::fs::remove_file(&path).expect("it is there");
    let gone = visitor.read(crate::store::sql::Statement::new("SELECT 1", vec![])).await;
    assert_eq!(unusable(gone), format!("cannot open database {}: there is no such file", path.display()));
}

#[tokio::test]
async fn reads_through_a_link() {
    let (directory, path) = scratch();
    let store = open(&path);
    let id = with_events(&store, 2).await;
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    assert_eq!(count_events(&visit(&link), id).await, 2);
}

#[tokio::test]
async fn writes_are_refused() {
    let (_directory, path) = scratch();
    let id = at_rest(&path, 1).await;
    let store: SharedStore = Arc::new(visit(&path));
    let expected = format!("database {} was opened for reading only", path.display());
    assert_eq!(unusable(store.write(Write::all(vec![]), Until::Durable).await), expected);
    let sneaky = crate::store::sql::Statement::new("DELETE FROM saga RETURNING id", vec![]);
    store.read(sneaky).await.expect_err("a read writes nothing");
    assert_eq!(count_events(&*store, id).await, 1);
}

#[tokio::test]
async fn odd_names_are_names() {
    let (directory, path) = scratch();
    let id = at_rest(&path, 2).await;
    let odd = directory.path().join("50% of #1? file:x.db");
    std::fs::rename(&path, &odd).expect("the same directory");
    assert_eq!(count_events(&visit(&odd), id).await, 2);
}

#[test]
fn what_is_no_database_is_told_apart() {
    let (directory, path) = scratch();
    let shown = directory.path().display();
    let missing = SqliteStore::open_read_only(&path);
    assert_eq!(unusable(missing), format!("cannot open database {shown}/sagas.db: there is no such file"));
    assert!(!path.exists(), "nothing was created");
    let nowhere = SqliteStore::open_read_only(&directory.path().join("no/sagas.db"));
    assert_eq!(unusable(nowhere), format!("cannot open database {shown}/no/sagas.db: there is no such file"));
    let folder = SqliteStore::open_read_only(directory.path());
    assert_eq!(unusable(folder), format!("cannot open database {shown}: it is a directory"));

    std::fs::write(&path, "neither this").expect("a file");
    let short = SqliteStore::open_read_only(&path);
    assert_eq!(
        unusable(short),
        format!("cannot read database {shown}/sagas.db: it is not a SQLite database")
    );
    std::fs::write(&path, "nor this".repeat(1000)).expect("a file");
    let long = SqliteStore::open_read_only(&path);
    assert_eq!(unusable(long), format!("cannot read database {shown}/sagas.db: it is not a SQLite database"));
    std::fs::write(&path, "").expect("a file");
    let empty = SqliteStore::open_read_only(&path);
    assert!(matches!(empty, Err(StoreError::WrongSchema(text)) if text.contains("sagas.db is empty")));
}
