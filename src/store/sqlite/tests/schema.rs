//! The schema on SQLite: its checks, and that questions are answered by the indexes meant for them.

use super::super::connection::{open_writable, prepare_for_writing};
use super::super::migrate::migrate;
use crate::store::schema::MIGRATIONS;
use rusqlite::Connection;
use tempfile::TempDir;

fn database() -> (Connection, TempDir) {
    let directory = tempfile::tempdir().expect("a scratch directory");
    let path = directory.path().join("sagas.db");
    let mut connection = open_writable(&path).expect("a new file");
    prepare_for_writing(&connection, &path).expect("a new database");
    let log = slog::Logger::root(slog::Discard, slog::o!());
    migrate(&mut connection, &path, MIGRATIONS, &log).expect("the schema");
    (connection, directory)
}

#[test]
fn enums_know_their_values() {
    let (connection, _directory) = database();
    let saga = "INSERT INTO saga (id, creator, time_created, name, saga_dag, saga_state, adopt_generation, adopt_time, \
                abandon_time, abandon_reason, abandon_comment) VALUES ('s', 'c', 't', 'n', '{}', ";
    let sec =
        "INSERT INTO sec (id, internal_address, state, time_started, time_heartbeat) VALUES ('i', 'a', ";
    let table = [
        (format!("{saga}'stuck', 1, 't', NULL, NULL, NULL)"), "saga_state_known"),
        (format!("{saga}'abandoned', 1, 't', 't', 'bored', 'c')"), "abandon_reason_known"),
        (format!("{saga}'abandoned', 1, 't', 't', 'omdb', NULL)"), "abandoned_requires_metadata"),
        (format!("{saga}'running', 1, 't', 't', NULL, NULL)"), "not_abandoned_requires_no_metadata"),
        (format!("{sec}'asleep', 't', 't')"), "sec_state_known"),
    ];
    for (sql, constraint) in table {
        let error = connection.execute(&sql, []).expect_err(constraint).to_string();
        assert!(error.contains(&format!("CHECK constraint failed: {constraint}")), "{error}");
    }
    for reason in ["omdb", "unrecoverable", "orphaned"] {
        let sql = format!("{saga}'abandoned', 1, 't', 't', '{reason}', 'c')")
            .replace("'s'", &format!("'{reason}'"));
        connection.execute(&sql, []).expect(reason);
    }
}

#[test]
fn questions_are_answered_by_their_indexes() {
    let (connection, _directory) = database();
    let unfinished = "SELECT id FROM saga WHERE saga_state <> 'done' AND saga_state IN ('running', 'unwinding') \
                      AND current_sec = $1";
    let table = [
        // Nothing but the index is read, whatever the size of the rows, and nothing is sorted.
        (
            format!("{unfinished} AND id > $2 ORDER BY id LIMIT $3"),
            vec!["SEARCH saga USING COVERING INDEX saga_recovery_candidates (current_sec=? AND id>?)"],
        ),
        (
            format!("{unfinished} AND id IN (SELECT value FROM json_each($2)) ORDER BY id"),
            vec![
                "SEARCH saga USING COVERING INDEX saga_recovery_candidates (current_sec=? AND id=? AND saga_state=?)",
                "LIST SUBQUERY 1",
                "SCAN json_each VIRTUAL TABLE INDEX 1:",
            ],
        ),
        (
            "SELECT node_id FROM saga_node_event WHERE saga_id = $1 ORDER BY node_id, event_type".to_owned(),
            vec!["SEARCH saga_node_event USING PRIMARY KEY (saga_id=?)"],
        ),
    ];
    for (sql, expected) in table {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("it is SQL");
        // The values are left unbound, which is no matter for the plan.
        let steps: Vec<String> =
            plan.raw_query().mapped(|row| row.get(3)).collect::<Result<_, _>>().expect("a plan");
        assert_eq!(steps, expected, "{sql}");
    }
}
