//! A history of millions of sagas, made up but in realistic proportions.
//!
//! Most sagas are old, done and of the small kind, without their logs, so that filling takes minutes and not hours. One in
//! fifty, the newest twenty thousand and all that are unfinished have the whole log of a `project-create`; of these, one in a
//! hundred failed and was unwound. A thousand are unfinished, spread over the whole time.

use futures::SinkExt;
use sagactl::store::postgres::{self, PostgresStore};
use sagactl::store::sqlite::{OpenOptions, SqliteStore};
use sagactl::wire::ids::{SagaId, SecId};
use sagactl::wire::time::{Time, now, to_stored};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

/// As many as a large rack has had in some years.
pub(crate) const SAGAS: u64 = 5_000_000;

const UNFINISHED: u64 = 1_000;
const NEWEST: u64 = 20_000;
const ONE_IN: u64 = 50;
const NODES: usize = 22;

/// What there is to ask for.
pub(crate) struct Filled {
    /// How many sagas there are.
    pub(crate) sagas: u64,
    /// One that has its whole log.
    pub(crate) with_log: SagaId,
}

struct Saga {
    id: SagaId,
    name: &'static str,
    state: &'static str,
    created: Time,
    has_log: bool,
    has_failed: bool,
}

/// The saga of this number, the oldest first; one a second, so that the newest is of now.
fn saga(number: u64, all: u64, end: Time) -> Saga {
    let created = end - Duration::from_secs(all - number);
    let millis = u64::try_from(created.timestamp_millis()).expect("after 1970");
    // Like the ids that a coordinator makes, but for its random half.
    let id = Uuid::new_v7(uuid::Timestamp::from_unix_time(
        millis / 1000,
        ((millis % 1000) * 1_000_000) as u32,
        0,
        0,
    ));
    let is_unfinished = number.is_multiple_of((all / UNFINISHED).max(1));
    let has_log = is_unfinished || number.is_multiple_of(ONE_IN) || number + NEWEST >= all;
    let names = ["demo", "disk-create", "instance-start", "project-delete", "snapshot-create", "vpc-create"];
    let name = if has_log { "project-create" } else { names[(number % 6) as usize] };
    let name = if has_log && number % 7 == 3 { "vpc-create" } else { name };
    Saga {
        id: SagaId::from_uuid(id),
        name,
        state: if is_unfinished { "running" } else { "done" },
        created,
        has_log,
        has_failed: has_log && !is_unfinished && number % 100 == 50,
    }
}

fn dag(saga: &Saga) -> String {
    let nodes = if saga.has_log { NODES - 2 } else { 1 };
    let mut dag =
        format!("{{\"saga_name\":\"{}\",\"start_node\":{nodes},\"end_node\":{},", saga.name, nodes + 1);
    dag.push_str("\"graph\":{\"nodes\":[");
    for node in 0..nodes {
        write!(
            dag,
            "{{\"Action\":{{\"name\":\"node_{node}\",\"label\":\"Node{node}\",\"action_name\":\"{}.node_{node}\"}}}},",
            saga.name
        )
        .expect("a string takes it all");
    }
    write!(dag, "{{\"Start\":{{\"params\":{{\"project\":\"{}\"}}}}}},\"End\"],\"edges\":[", saga.id)
        .expect("a string takes it all");
    for node in 0..nodes {
        let from = if node == 0 { nodes } else { node - 1 };
        write!(dag, "[{from},{node},null],").expect("a string takes it all");
    }
    write!(dag, "[{},{},null]],\"node_holes\":[],\"edge_property\":\"directed\"}}}}", nodes - 1, nodes + 1)
        .expect("a string takes it all");
    dag
}

/// Events as (node, type, data, time).
fn log(saga: &Saga) -> Vec<(usize, &'static str, Option<String>, Time)> {
    let mut events = Vec::new();
    if !saga.has_log {
        return events;
    }
    let mut time = saga.created;
    let mut add = |node, event_type, data: Option<String>| {
        time += Duration::from_micros(400);
        events.push((node, event_type, data, time));
    };
    let ends_at = if saga.state == "running" {
        9
    } else if saga.has_failed {
        12
    } else {
        NODES
    };
    let start = NODES - 2;
    let order = std::iter::once(start).chain(0..start).chain([NODES - 1]);
    let mut done = Vec::new();
    for (place, node) in order.enumerate() {
        if place > ends_at {
            break;
        }
        add(node, "started", None);
        if place == ends_at {
            if saga.has_failed {
                add(
                    node,
                    "failed",
                    Some(r#"{"ActionFailed":{"source_error":{"message":"no room left"}}}"#.to_owned()),
                );
            }
            break;
        }
        add(node, "succeeded", Some(format!("{{\"id\":\"{}\",\"node\":{node}}}", saga.id)));
        done.push(node);
    }
    if saga.has_failed {
        for node in done.into_iter().rev() {
            add(node, "undo_started", None);
            add(node, "undo_finished", None);
        }
    }
    events
}

/// Fills a new file.
pub(crate) fn sqlite(path: &Path, sagas: u64) -> Filled {
    drop(SqliteStore::open(path, OpenOptions::new(crate::lab::on_fatal())).expect("a database"));
    let mut connection = rusqlite::Connection::open(path).expect("the same database");
    // Nothing here has to survive anything.
    connection.pragma_update(None, "synchronous", "OFF").expect("a pragma");
    connection.pragma_update(None, "cache_size", -1_000_000).expect("a pragma");
    let (owner, end) = (SecId::random(), now());
    let mut with_log = SagaId::random();
    for chunk in chunks(sagas) {
        let transaction = connection.transaction().expect("a transaction");
        {
            let mut into_saga = transaction
                .prepare_cached(
                    "INSERT INTO saga (id, creator, time_created, name, saga_state, current_sec, adopt_generation, \
                     adopt_time, saga_dag) VALUES (?1, ?2, ?3, ?4, ?5, ?2, 1, ?3, ?6)",
                )
                .expect("it is SQL");
            let mut into_log = transaction
                .prepare_cached("INSERT INTO saga_node_event VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
                .expect("it is SQL");
            for number in chunk {
                let saga = saga(number, sagas, end);
                let (id, owner) = (saga.id.to_string(), owner.to_string());
                let created = to_stored(saga.created);
                into_saga.execute((&id, &owner, &created, saga.name, saga.state, dag(&saga))).expect("a row");
                for (node, event_type, data, time) in log(&saga) {
                    into_log
                        .execute((&id, node as u32, event_type, data, to_stored(time), &owner))
                        .expect("an event");
                }
                if saga.has_log && saga.state == "done" {
                    with_log = saga.id;
                }
            }
        }
        transaction.commit().expect("room on the disk");
    }
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("nobody else is there");
    Filled { sagas, with_log }
}

/// Fills an empty database on a server.
pub(crate) fn postgresql(url: &str, sagas: u64) -> Filled {
    let owner = SecId::random();
    let options = postgres::OpenOptions::new(owner, crate::lab::on_fatal());
    drop(PostgresStore::open(url, options).expect("a database"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("a session");
        tokio::spawn(connection);
        client.batch_execute("SET synchronous_commit = off").await.expect("a setting");
        let end = now();
        let mut with_log = SagaId::random();
        for chunk in chunks(sagas) {
            let (mut rows, mut events) = (String::new(), String::new());
            for number in chunk {
                let saga = saga(number, sagas, end);
                let (id, created) = (saga.id, to_stored(saga.created));
                let (name, state) = (saga.name, saga.state);
                writeln!(rows, "{id}\t{owner}\t{created}\t{name}\t{state}\t{owner}\t1\t{created}\t{}", dag(&saga))
                    .expect("a string takes it all");
                for (node, event_type, data, time) in log(&saga) {
                    let data = data.unwrap_or_else(|| "\\N".to_owned());
                    writeln!(events, "{id}\t{node}\t{event_type}\t{data}\t{}\t{owner}", to_stored(time))
                        .expect("a string takes it all");
                }
                if saga.has_log && saga.state == "done" {
                    with_log = saga.id;
                }
            }
            copy(
                &client,
                "COPY saga (id, creator, time_created, name, saga_state, current_sec, adopt_generation, adopt_time, \
                 saga_dag) FROM STDIN",
                rows,
            )
            .await;
            copy(&client, "COPY saga_node_event FROM STDIN", events).await;
        }
        client.batch_execute("ANALYZE saga; ANALYZE saga_node_event").await.expect("statistics");
        Filled { sagas, with_log }
    })
}

async fn copy(client: &tokio_postgres::Client, sql: &str, rows: String) {
    let sink = client.copy_in::<_, bytes::Bytes>(sql).await.expect("it is SQL");
    let mut sink = std::pin::pin!(sink);
    sink.send(rows.into()).await.expect("a connection");
    sink.close().await.expect("rows that the tables take");
}

fn chunks(all: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    const CHUNK: u64 = 20_000;
    (0..all.div_ceil(CHUNK)).map(move |chunk| chunk * CHUNK..((chunk + 1) * CHUNK).min(all))
}
