//! Pages hand out every row once and in order, also where rows share most of their key, and nothing can be changed.

use crate::scratch_postgres::{Database, Server};
use crate::store::inspect::error::InspectError;
use crate::store::inspect::listing::{Order, Span};
use crate::store::inspect::{Inspector, OpenOptions};
use crate::store::postgres::{self, PostgresStore};
use crate::store::sqlite::{self, SqliteStore};
use crate::wire::field::Field;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::Time;
use std::collections::BTreeSet;
use std::sync::Arc;
use tempfile::TempDir;

/// Few times, names and owners, so that pages end between rows that share them.
const SAGAS: u32 = 200;

fn rows() -> String {
    let mut sql = String::new();
    for number in 0..SAGAS {
        let time =
            format!("2026-11-02T09:00:0{}.{}Z", number % 3, ["5", "500001", "123456"][(number % 3) as usize]);
        let state = if number % 4 == 0 { "done" } else { "running" };
        let owner = match number % 5 {
            0 => "NULL".to_owned(),
            owner => format!("'65a11c18-7f59-41ac-b9e7-68062700000{owner}'"),
        };
        // The ids are in no order that has to do with the times.
        let id = format!("{:08x}-1f38-4c0f-8f6c-5e0f6f1a{number:04}", number.wrapping_mul(2_654_435_761));
        sql += &format!(
            "INSERT INTO saga (id, creator, time_created, name, saga_state, current_sec, adopt_generation, adopt_time, saga_dag)
             VALUES ('{id}', '{id}', '{time}', 'kind-{}', '{state}', {owner}, 1, '{time}', '{{}}');\n",
            number % 2
        );
        if number % 3 == 0 {
            for event_type in ["failed", "undo_failed"] {
                sql += &format!(
                    "INSERT INTO saga_node_event VALUES ('{id}', {}, '{event_type}', NULL, '{time}', '{id}');\n",
                    number % 2
                );
            }
        }
    }
    sql
}

/// A database of ours with [`rows`].
struct Scratch {
    is_file: bool,
    place: Place,
}

enum Place {
    File(TempDir),
    Server(Database<'static>),
}

impl Scratch {
    async fn both() -> [(Self, Inspector); 2] {
        let dir = tempfile::tempdir().expect("a scratch directory");
        let path = dir.path().join("t.db");
        drop(
            SqliteStore::open(&path, sqlite::OpenOptions::new(Arc::new(|why| panic!("{why}"))))
                .expect("a database"),
        );
        let database = Server::shared().database();
        let options = postgres::OpenOptions::new(SecId::random(), Arc::new(|why| panic!("{why}")));
        drop(PostgresStore::open(&database.url(), options).expect("a database"));
        let file = Inspector::open_file(&path, &OpenOptions::default()).await.expect("a database");
        // So few rows it would read and sort by itself, whatever indexes there are.
        let url = format!("{}?options=-c%20enable_seqscan%3Doff%20-c%20enable_sort%3Doff", database.url());
        let server = Inspector::open(&url, &OpenOptions::default()).await.expect("a database");
        let both = [
            (Self { is_file: true, place: Place::File(dir) }, file),
            (Self { is_file: false, place: Place::Server(database) }, server),
        ];
        for (scratch, _) in &both {
            scratch.add(&rows());
        }
        both
    }

    fn add(&self, sql: &str) {
        match &self.place {
            Place::File(dir) => {
                let connection = rusqlite::Connection::open(dir.path().join("t.db")).expect("the same");
                connection.execute_batch(sql).expect("it is SQL");
            }
            Place::Server(database) => {
                database.sql(sql);
            }
        }
    }

    /// A value where the database cannot tell its type.
    fn typed(&self, text: &str, of: &str) -> String {
        if self.is_file { format!("'{text}'") } else { format!("'{text}'::{of}") }
    }
}

async fn all(inspector: &Inspector, order: &Order, span: Span, size: u32) -> Vec<(Field<Time>, SagaId)> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = inspector.list_sagas(order, span, after.as_ref(), size).await.expect("readable");
        assert!(page.unreadable_ids.is_empty());
        found.extend(page.sagas.into_iter().map(|saga| (saga.time_created, saga.id)));
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

#[tokio::test]
async fn every_saga_is_handed_out_once_whatever_the_order_and_the_size_of_pages() {
    for (_scratch, inspector) in Scratch::both().await {
        let by_time = |found: &[(Field<Time>, SagaId)]| {
            found.is_sorted_by(|a, b| (a.0.value(), a.1) > (b.0.value(), b.1))
        };
        for size in [1, 7, 50, 1000] {
            let newest = all(&inspector, &Order::NewestFirst, Span::default(), size).await;
            assert_eq!(newest.len(), SAGAS as usize, "{size}");
            assert!(by_time(&newest));
            let names = Order::NewestFirstNamed(vec!["kind-0".to_owned(), "kind-1".to_owned()]);
            assert_eq!(all(&inspector, &names, Span::default(), size).await, newest);
            let one = Order::NewestFirstNamed(vec!["kind-1".to_owned()]);
            assert_eq!(all(&inspector, &one, Span::default(), size).await.len(), SAGAS as usize / 2);
            let ids: BTreeSet<SagaId> = newest.iter().map(|(_, id)| *id).collect();
            let by_id: Vec<SagaId> = all(&inspector, &Order::ById, Span::default(), size)
                .await
                .iter()
                .map(|(_, id)| *id)
                .collect();
            assert_eq!(by_id, ids.iter().copied().collect::<Vec<_>>());
            let unfinished = all(&inspector, &Order::UnfinishedByOwner, Span::default(), size).await;
            let distinct: BTreeSet<SagaId> = unfinished.iter().map(|(_, id)| *id).collect();
            assert_eq!((unfinished.len(), distinct.len()), (150, 150), "{size}");
        }
        let at = |text: &str| Some(text.parse().expect("a time"));
        let span =
            Span { since: at("2026-11-02T09:00:01.500001Z"), until: at("2026-11-02T09:00:02.123456Z") };
        let middle = all(&inspector, &Order::NewestFirst, span, 7).await;
        assert_eq!(middle.len(), 67, "the first moment belongs to a span and the last does not");
        assert_eq!(
            inspector.list_names(10).await.expect("readable").expect("an index"),
            ["kind-0", "kind-1"]
        );
        assert!(inspector.has_more_than(SAGAS - 1).await.expect("readable"));
        assert!(!inspector.has_more_than(SAGAS).await.expect("readable"));
    }
}

#[tokio::test]
async fn every_failure_is_handed_out_once_newest_first() {
    for (_scratch, inspector) in Scratch::both().await {
        for size in [1, 7, 1000] {
            let mut found = Vec::new();
            let mut after = None;
            loop {
                let page = inspector.list_failures(after.as_ref(), size).await.expect("readable");
                found.extend(page.failures);
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            assert_eq!(found.len(), 134, "{size}");
            assert!(found.is_sorted_by(|a, b| a.place > b.place));
        }
    }
}

#[tokio::test]
async fn nothing_can_be_changed() {
    for (scratch, inspector) in Scratch::both().await {
        let sneaky =
            inspector.query("DELETE FROM saga WHERE name = ").text("kind-0").sql(" RETURNING 'gone'");
        let refused = inspector.ask(sneaky).await;
        if scratch.is_file {
            assert!(matches!(refused, Err(InspectError::Unusable(_))), "{refused:?}");
        } else {
            assert!(matches!(refused, Err(InspectError::Nonsense { .. })), "{refused:?}");
        }
        assert!(inspector.has_more_than(SAGAS - 1).await.expect("readable"));
    }
}

#[tokio::test]
async fn pages_come_out_of_indexes_in_order() {
    for (scratch, inspector) in Scratch::both().await {
        let source = inspector.describe();
        let (saga, event) = (source.saga.as_ref().expect("a table"), source.event.as_ref().expect("a table"));
        let (name, span) = ("kind-0".to_owned(), Span::default());
        let after = inspector.list_sagas(&Order::NewestFirst, span, None, 3).await.expect("readable").next;
        let last = inspector.list_failures(None, 3).await.expect("readable").next;
        for query in [
            inspector.newest_first(saga, None, span, None, 50),
            inspector.newest_first(saga, None, span, after.as_ref(), 50),
            inspector.newest_first(saga, Some(&name), span, after.as_ref(), 50),
            inspector.newest_failures(event, None, 50),
            inspector.newest_failures(event, last.as_ref(), 50),
        ] {
            let explain = if scratch.is_file { "EXPLAIN QUERY PLAN " } else { "EXPLAIN " };
            let plan = inspector.ask(query.clone().after(explain)).await.expect("a plan");
            let plan: Vec<String> = plan
                .into_iter()
                .flat_map(|row| row.0)
                .filter_map(|cell| cell.as_text().map(str::to_owned))
                .collect();
            let plan = plan.join("\n");
            let sorts = ["Sort", "Seq Scan", "TEMP B-TREE", "SCAN saga\n"];
            assert!(!sorts.iter().any(|sign| plan.contains(sign)), "{}\n{plan}", query.text_of());
        }
    }
}

#[tokio::test]
async fn a_log_of_many_pages_is_whole() {
    for (scratch, inspector) in Scratch::both().await {
        const NODES: usize = 12_345;
        scratch.add(&format!(
            "INSERT INTO saga_node_event WITH RECURSIVE n (value) AS \
             (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < {NODES}) \
             SELECT {0}, value, 'started', NULL, {1}, {0} FROM n",
            scratch.typed("0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001", "UUID"),
            scratch.typed("2026-11-02T09:00:00Z", "TIMESTAMPTZ"),
        ));
        let id = "0b6c3c1e-1f38-4c0f-8f6c-5e0f6f1a0001".parse().expect("an id");
        let events = inspector.load_saga(id).await.expect("readable").expect("its events").events;
        let nodes: BTreeSet<i64> = events.iter().map(|event| event.node_id).collect();
        assert_eq!((events.len(), nodes.len()), (NODES, NODES));
    }
}
