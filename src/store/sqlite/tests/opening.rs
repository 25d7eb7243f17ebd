//! Opening for writing: files that are there, are not, are something else, or are in use.

use super::{open, stopping, unusable, wait_until};
use crate::store::Until;
use crate::store::error::StoreError;
use crate::store::sagas::Ownership;
use crate::store::schema::CURRENT_VERSION;
use crate::store::sqlite::{OpenOptions, SqliteStore};
use crate::store::tests::ownership::moved;
use crate::store::tests::{count_events, created, started, write};
use crate::wire::ids::SecId;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn try_open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, stopping().0)
}

#[tokio::test]
async fn a_saga_that_somebody_else_moves_is_out_of_reach_in_the_next_transaction() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let path = directory.path().join("sagas.db");
    let store = open(&path);
    let (owner, id) = created(&store, SecId::random()).await;
    write(&store, started(owner, id, 0)).await.expect("still the owner");
    let operator = open(&path);
    let after = Ownership { sec: SecId::random(), generation: 2 };
    write(&operator, moved(id, after)).await.expect("an operator's change");
    assert!(
        matches!(write(&store, started(owner, id, 1)).await, Err(StoreError::Refused(why)) if why.is_fence())
    );
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let path = directory.path().join("sagas.db");
    let sec = SecId::random();
    let mut ids = Vec::new();
    for round in 0..3 {
        let store = open(&path);
        for &id in &ids {
            assert_eq!(count_events(&*store, id).await, 1, "round {round}");
        }
        let (owner, id) = created(&store, sec).await;
        write(&store, started(owner, id, 0)).await.expect("the owner's event");
        ids.push(id);
    }
}

#[test]
fn commits_are_synced_and_go_to_a_log() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let path = directory.path().join("sagas.db");
    let mut connection = super::super::connection::open_writable(&path).expect("a new file");
    super::super::connection::prepare_for_writing(&connection, &path).expect("a new database");
    let pragma = |name: &str| -> String {
        connection
            .pragma_query_value(None, name, |row| row.get_ref(0).map(|value| format!("{value:?}")))
            .expect("a pragma of SQLite's")
    };
    assert_eq!(pragma("journal_mode"), format!("{:?}", rusqlite::types::ValueRef::Text(b"wal")));
    assert_eq!(pragma("synchronous"), "Integer(2)");
    assert_eq!(pragma("foreign_keys"), "Integer(1)");
    connection.transaction().expect("it can be written");
}

#[tokio::test]
async fn the_address_is_absolute() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let path = directory.path().join("odd name?#%41.db");
    let store = open(&path);
    assert_eq!(store.url(), format!("sqlite:{}", path.display()));
    assert_eq!(store.kind(), "sqlite");
    assert!(path.is_file());
}

#[test]
fn what_cannot_be_a_database_is_told_apart() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let at = |name: &str| directory.path().join(name);
    std::fs::write(
        at("text.db"),
        "This is a long text, and not a database, however long it is.\n".repeat(100),
    )
    .expect("a file");
    let shown = directory.path().display();
    let table = [
        ("", format!("cannot open database {shown}/: it is a directory")),
        (
            "no/such.db",
            format!("cannot open database {shown}/no/such.db: directory {shown}/no does not exist"),
        ),
        (
            "text.db/x.db",
            format!("cannot open database {shown}/text.db/x.db: {shown}/text.db is not a directory"),
        ),
        ("text.db", format!("cannot read database {shown}/text.db: it is not a SQLite database")),
    ];
    for (name, expected) in table {
        assert_eq!(unusable(try_open(&at(name))), expected);
    }
    let left = std::fs::read_dir(directory.path()).expect("the directory").count();
    assert_eq!(left, 1, "nothing was created");
}

#[test]
fn a_directory_without_permission_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("a scratch directory");
    let path = directory.path().join("sagas.db");
    let permit = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(directory.path(), permissions).expect("our own directory");
    };
    permit(0o500);
    // Permissions do not apply to the superuser, so there is nothing to be seen then.
    let applies = std::fs::write(directory.path().join("probe"), "").is_err();
    if applies {
        let text = unusable(try_open(&path));
        assert!(text.contains("no permission to create files in"), "{text}");
        assert!(text.contains(&*path.to_string_lossy()), "{text}");
    }
    permit(0o700);
}

#[test]
fn a_newer_or_foreign_database_is_left_as_it_was() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let newer = directory.path().join("newer.db");
    drop(open(&newer));
    let connection = Connection::open(&newer).expect("SQLite's own");
    connection.execute("UPDATE sagactl_schema SET version = version + 7", []).expect("a row");
    drop(connection);
    let version = CURRENT_VERSION + 7;
    let expected = format!(
        "database {} is at schema {version}, this program knows up to {CURRENT_VERSION}",
        newer.display()
    );

    let foreign = directory.path().join("foreign.db");
    let connection = Connection::open(&foreign).expect("SQLite's own");
    connection.execute_batch("CREATE TABLE accounts (id TEXT)").expect("it is SQL");
    drop(connection);
    let before = std::fs::read(&foreign).expect("the file");

    for opened in [try_open(&newer), SqliteStore::open_read_only(&newer)] {
        assert!(matches!(opened, Err(StoreError::WrongSchema(text)) if text == expected));
    }
    for opened in [try_open(&foreign), SqliteStore::open_read_only(&foreign)] {
        let Err(StoreError::WrongSchema(text)) = opened else { panic!("expected a wrong schema") };
        assert!(text.contains("foreign.db is not one of sagactl's"), "{text}");
    }
    assert_eq!(std::fs::read(&foreign).expect("the file"), before);
}

#[tokio::test]
async fn a_lock_held_by_somebody_else_is_waited_for_and_does_not_hold_up_reads() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let path = directory.path().join("sagas.db");
    let store = open(&path);
    let (owner, id) = created(&store, SecId::random()).await;
    let shell = Connection::open(&path).expect("SQLite's own");
    shell.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let mut waiting = store.write(started(owner, id, 0), Until::Applied);
    // Long enough for the writer to have met the lock; if it has not, the test shows less but does not fail.
    for _ in 0..20 {
        assert_eq!(count_events(&*store, id).await, 0);
        let soon = tokio::time::timeout(Duration::from_millis(5), &mut waiting).await;
        soon.expect_err("the lock is held");
    }
    shell.execute_batch("ROLLBACK").expect("a transaction");
    waiting.await.expect("the lock is free again");
}

#[tokio::test]
async fn everything_handed_over_is_written_before_the_writer_ends() {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let path = directory.path().join("sagas.db");
    // The writer drops its handler when it ends.
    let alive = Arc::new(());
    let watched = Arc::downgrade(&alive);
    let options = OpenOptions::new(Arc::new(move |reason| panic!("fatal: {reason} {alive:?}")));
    let store: crate::store::SharedStore = Arc::new(SqliteStore::open(&path, options).expect("a database"));
    let (owner, id) = created(&store, SecId::random()).await;
    for node in 0..5000 {
        store.write_unwaited(started(owner, id, node));
    }
    drop(store);
    wait_until("the writer has ended", || watched.upgrade().is_none());
    assert_eq!(count_events(&*open(&path), id).await, 5000);
}
