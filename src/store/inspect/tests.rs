//! Files that are fine, foreign, old, damaged or no databases at all; and pages, in both kinds of databases.

mod pages;

use super::error::InspectError;
use super::saga::{SecLookup, SecTable};
use super::source::Origin;
use super::{Asker, Inspector, OpenOptions};
use crate::wire::field::Field;
use crate::wire::ids::SagaId;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ID: &str = "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001";

fn file(sql: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let path = directory.path().join("t.db");
    let connection = rusqlite::Connection::open(&path).expect("a new file");
    connection.execute_batch(sql).expect("the SQL of this test");
    (directory, path)
}

async fn open(path: &Path) -> Inspector {
    Inspector::open_file(path, &OpenOptions::default()).await.expect("a database of sagas")
}

async fn refused(path: &Path) -> InspectError {
    Inspector::open_file(path, &OpenOptions::default()).await.err().expect("no database of sagas")
}

fn id() -> SagaId {
    ID.parse().expect("an id")
}

/// As a Nexus had it before schema 279: no columns that say why a saga was abandoned, no table of owners. And without any
/// constraint, so that a row may hold what it likes.
const OLD_AND_LAX: &str = "
    CREATE TABLE db_metadata (singleton, version, target_version);
    INSERT INTO db_metadata VALUES (1, '200.0.0', NULL);
    CREATE TABLE saga (id TEXT PRIMARY KEY, creator, time_created, name, saga_dag, saga_state, current_sec,
        adopt_generation, adopt_time);
    CREATE TABLE saga_node_event (saga_id TEXT, node_id, event_type, data, event_time, creator);";

#[tokio::test]
async fn columns_that_an_older_schema_lacks_are_told_from_null() {
    let (_directory, path) = file(&format!(
        "{OLD_AND_LAX} INSERT INTO saga VALUES ('{ID}', '{ID}', '2024-07-12 18:33:34.62+00', 'demo', '{{}}', \
         'running', NULL, 1, 'soon');"
    ));
    let inspector = open(&path).await;
    let source = inspector.describe();
    assert_eq!(source.origin, Origin::Nexus { version: "200.0.0".to_owned(), target_version: None });
    assert_eq!(
        source.missing(),
        [
            "column saga.abandon_time",
            "column saga.abandon_reason",
            "column saga.abandon_comment",
            "table sec or db_metadata_nexus"
        ]
    );
    let records = inspector.load_saga(id()).await.expect("readable").expect("it is there");
    let saga = records.saga.expect("its row");
    assert_eq!(saga.abandon_reason, Field::NoColumn);
    assert_eq!(saga.current_sec, Field::Null);
    assert_eq!(saga.name, Field::Value("demo".to_owned()));
    assert!(matches!(saga.adopt_time, Field::Unreadable { raw, .. } if raw == "soon"));
    assert_eq!(records.dag, Field::Value("{}".to_owned()));
    assert!(records.events.is_empty());
    let sec = inspector.load_sec(ID.parse().expect("an id")).await.expect("readable");
    assert_eq!(sec, SecLookup::NoTable);
}

#[tokio::test]
async fn one_bad_event_hides_no_other() {
    let (_directory, path) = file(&format!(
        "{OLD_AND_LAX}
         INSERT INTO saga_node_event VALUES ('{ID}', 0, 'started', NULL, '2024-07-12T18:33:34Z', '{ID}');
         INSERT INTO saga_node_event VALUES ('{ID}', 0, 'succeeded', 'null', '2024-07-12T18:33:35Z', '{ID}');
         INSERT INTO saga_node_event VALUES ('{ID}', 'seven', x'ff00', x'ff', 1.5, 'nobody');
         INSERT INTO saga_node_event VALUES ('{ID}', NULL, NULL, NULL, NULL, NULL);
         INSERT INTO saga_node_event VALUES ('{ID}', 99999999999, 'paused', '1', '2024-07-12T18:33:36Z', '{ID}');"
    ));
    let inspector = open(&path).await;
    let records = inspector.load_saga(id()).await.expect("readable").expect("its events are there");
    assert_eq!(records.saga, None);
    assert_eq!(records.dag, Field::NoColumn);
    let seen: Vec<_> =
        records.events.iter().map(|event| (event.node_id, event.event_type.as_str())).collect();
    assert_eq!(
        seen,
        [(-1, "(none)"), (0, "started"), (0, "succeeded"), (99_999_999_999, "paused"), (-1, "\u{fffd}\0")]
    );
    assert_eq!(records.events[1].data, Field::Null);
    assert_eq!(records.events[2].data, Field::Value("null".to_owned()), "the JSON value null is no NULL");
    let bad = &records.events[4];
    assert!(matches!(bad.data, Field::Unreadable { .. }));
    assert!(matches!(bad.time, Field::Unreadable { .. }));
    assert!(matches!(bad.creator, Field::Unreadable { .. }));
}

#[tokio::test]
async fn ids_are_found_by_how_they_begin() {
    let (_directory, path) = file(&format!(
        "{OLD_AND_LAX}
         INSERT INTO saga (id) VALUES ('{ID}'), ('0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002'), \
         ('1b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0002');
         INSERT INTO saga_node_event (saga_id, node_id, event_type) VALUES \
         ('0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0003', 0, 'started'), ('{ID}', 0, 'started'), ('{ID}', 1, 'started');"
    ));
    let inspector = open(&path).await;
    let found = |prefix: &'static str, limit| {
        let inspector = inspector.clone();
        async move {
            let ids = inspector.find_by_prefix(prefix, limit).await.expect("readable");
            ids.iter().map(|id| id.to_string()[34..].to_owned()).collect::<Vec<_>>().join(" ")
        }
    };
    assert_eq!(found("0B6C", 10).await, "01 02 03");
    assert_eq!(found("0b6c3c1e1f38", 2).await, "01 02");
    assert_eq!(found("1", 10).await, "02");
    assert_eq!(found("2", 10).await, "");
    let wrong = inspector.find_by_prefix("project", 1).await;
    assert!(matches!(wrong, Err(InspectError::BadQuestion(_))));
}

#[tokio::test]
async fn owners_are_looked_up_where_there_are_any() {
    let (_directory, path) = file(&format!(
        "{OLD_AND_LAX} CREATE TABLE db_metadata_nexus (nexus_id TEXT PRIMARY KEY, last_drained_blueprint_id, state);
         INSERT INTO db_metadata_nexus VALUES ('{ID}', NULL, 'quiesced');"
    ));
    let inspector = open(&path).await;
    let SecLookup::Row(sec) = inspector.load_sec(ID.parse().expect("an id")).await.expect("readable") else {
        panic!("it has a row");
    };
    assert_eq!((sec.table, sec.state), (SecTable::Nexus, Field::Value("quiesced".to_owned())));
    assert_eq!(sec.time_heartbeat, Field::NoColumn);
    let other = "1b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001".parse().expect("an id");
    assert_eq!(inspector.load_sec(other).await.expect("readable"), SecLookup::NoRow(SecTable::Nexus));
}

#[tokio::test]
async fn what_is_no_database_of_sagas_is_told_apart() {
    let (directory, path) = file("CREATE TABLE accounts (id TEXT);");
    assert!(
        matches!(refused(&path).await, InspectError::WrongSchema(text) if text.contains("without sagas"))
    );
    let missing = directory.path().join("missing.db");
    assert!(
        matches!(refused(&missing).await, InspectError::Unusable(text) if text.ends_with("there is no such file"))
    );
    let text = directory.path().join("text");
    std::fs::write(&text, "this is not a database ".repeat(100)).expect("a file");
    assert!(
        matches!(refused(&text).await, InspectError::Unusable(text) if text.ends_with("not a SQLite database"))
    );
}

#[tokio::test]
async fn a_moment_lasts_until_something_is_written() {
    let (directory, path) = file(OLD_AND_LAX);
    let options = OpenOptions { asker: Asker::OnItsOwnThread, ..OpenOptions::default() };
    let inspector = Inspector::open_file(&path, &options).await.expect("a database of sagas");
    let moment = || inspector.moment().expect("readable").expect("known");
    let change = |connection: &rusqlite::Connection| {
        connection.execute("INSERT INTO saga (id) VALUES (hex(randomblob(16)))", []).expect("inserted");
    };
    let copy = directory.path().join("copy.db");
    std::fs::copy(&path, &copy).expect("copied");
    let mut seen = vec![moment()];
    let mut has_changed = || {
        let now = moment();
        let is_new = !seen.contains(&now);
        seen.push(now);
        assert_eq!(moment(), now, "nothing was written meanwhile");
        is_new
    };
    assert!(!has_changed());
    // By one who stays and keeps a log, and by another file in its place.
    let writer = rusqlite::Connection::open(&path).expect("the file");
    writer.pragma_update(None, "journal_mode", "wal").expect("a log");
    assert!(has_changed());
    for _ in 0..3 {
        change(&writer);
        assert!(has_changed());
    }
    drop(writer);
    std::fs::rename(&copy, &path).expect("renamed");
    assert!(has_changed());
}

#[tokio::test]
async fn who_asks_little_very_often_is_heard_of_by_others() {
    let (_directory, path) = file(OLD_AND_LAX);
    for asker in [Asker::Busy, Asker::OnItsOwnThread] {
        let options = OpenOptions { asker, ..OpenOptions::default() };
        let inspector = Inspector::open_file(&path, &options).await.expect("a database of sagas");
        let endless = async {
            loop {
                inspector.load_saga(id()).await.expect("readable");
            }
        };
        assert!(tokio::time::timeout(std::time::Duration::from_millis(100), endless).await.is_err());
    }
}

#[tokio::test]
async fn a_question_that_takes_too_long_is_stopped() {
    let (_directory, path) = file(OLD_AND_LAX);
    for asker in [Asker::Busy, Asker::OnItsOwnThread] {
        let statement_timeout = std::time::Duration::from_millis(250);
        let options = OpenOptions { statement_timeout, asker, ..OpenOptions::default() };
        let inspector = Inspector::open_file(&path, &options).await.expect("a database of sagas");
        let endless = inspector
            .query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n");
        assert!(matches!(inspector.ask(endless).await, Err(InspectError::TimedOut { .. })));
        // It was really stopped: the file is free for the next question. On a busy machine that one may run out of time as
        // well, so it is asked again; with the first one still at work it would never be answered.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        let answer = loop {
            match inspector.load_saga(id()).await {
                Err(InspectError::TimedOut { .. }) if std::time::Instant::now() < deadline => {}
                answer => break answer,
            }
        };
        assert_eq!(answer.expect("readable"), None);
    }
}

#[tokio::test]
async fn the_worst_of_a_log_is_what_its_totals_say() {
    let saga = |last: usize| format!("{}{last}", &ID[..35]);
    let mut rows = String::new();
    // NULL, a word that nobody knows, and a blob that spells a word.
    let logs: [&[&str]; 7] = [
        &[],
        &["'started'", "'succeeded'"],
        &["'started'", "'failed'", "'undo_started'"],
        &["'undo_failed'", "'failed'"],
        &["NULL", "'paused'"],
        &["x'6661696c6564'"],
        &["'failed'", "'failed'", "NULL", "x'756e646f5f6661696c6564'"],
    ];
    for (last, log) in logs.iter().enumerate() {
        for event_type in *log {
            rows += &format!(
                "INSERT INTO saga_node_event (saga_id, event_type) VALUES ('{}', {event_type});",
                saga(last)
            );
        }
    }
    let (_directory, path) = file(&format!("{OLD_AND_LAX} {rows}"));
    let inspector = open(&path).await;
    let ids: Vec<SagaId> = (0..logs.len()).map(|last| saga(last).parse().expect("an id")).collect();
    let worst = inspector.load_worst(&ids).await.expect("readable");
    let totals = inspector.load_log_totals(&ids).await.expect("readable");
    let of_totals = totals.iter().map(|(id, totals)| (*id, totals.worst()));
    assert_eq!(worst, of_totals.collect());
    let of = |last: usize| worst.get(&ids[last]).copied();
    use crate::saga_log::summary::Worst::{Failed, NothingFailed, UndoFailed};
    assert_eq!(
        [0, 1, 2, 3, 4, 5, 6].map(of),
        [
            None,
            Some(NothingFailed),
            Some(Failed),
            Some(UndoFailed),
            Some(NothingFailed),
            Some(Failed),
            Some(UndoFailed)
        ]
    );
}
