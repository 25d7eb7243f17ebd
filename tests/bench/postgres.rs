//! PostgreSQL: what putting writes together gains over one statement per write on a pool, how two coordinators share a
//! database, and how long adopting takes. The server is a scratch one that syncs what it commits, on the same machine.

use crate::lab;
use crate::scratch::{Database, Server};
use crate::table::{Budget, Table};
use async_trait::async_trait;
use bytes::BytesMut;
use futures::future::{BoxFuture, FutureExt};
use sagactl::store::error::StoreError;
use sagactl::store::noop::NoopStore;
use sagactl::store::postgres::{Isolation, OpenOptions, PostgresStore};
use sagactl::store::sagas::{NewSaga, create};
use sagactl::store::secs::{adopt_unfinished, expunge, list_secs};
use sagactl::store::sql::{Row, Statement, Value};
use sagactl::store::{Applied, Lane, SharedStore, Store, Until, Write};
use sagactl::wire::ids::{SagaId, SecId};
use sagactl::wire::time::now;
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Semaphore};
use tokio_postgres::types::{IsNull, ToSql, Type};
use tokio_postgres::{Client, NoTls};

const LASTS: Duration = Duration::from_secs(5);

/// Connections of the pool that is compared with; more are no faster on two cores.
const POOL: usize = 16;

/// Sagas that change hands.
const ADOPTED: usize = 10_000;

/// Measures them one after another, each on a database of its own.
pub(crate) fn run(table: &mut Table) {
    let server = Server::start_durable();
    let noop: SharedStore = Arc::new(NoopStore);
    let limit = lab::create_projects(&lab::sec(&noop, SecId::random(), true).0, LASTS);
    table.add("sagas on a no-op store", limit, "sagas/s", None, Budget::None);

    let pooled = {
        let database = server.database();
        // Makes the tables.
        drop(open(&database, Isolation::ReadCommitted));
        lab::create_projects(
            &lab::sec(&(Arc::new(Pool::new(&database)) as SharedStore), SecId::random(), true).0,
            LASTS,
        )
    };
    table.add(
        "sagas, one statement per write on a pool",
        pooled,
        "sagas/s",
        Some((limit, "no-op store")),
        Budget::None,
    );

    let measure = |isolation, always_strict| {
        let database = server.database();
        let (store, sec) = open(&database, isolation);
        lab::create_projects(&lab::sec(&store, sec, always_strict).0, LASTS)
    };
    let of_pool = Some((pooled, "one statement per write"));
    let strict = measure(Isolation::ReadCommitted, true);
    table.add("sagas, PostgreSQL, strict", strict, "sagas/s", of_pool, Budget::AtLeast(3.4));
    let own = measure(Isolation::ReadCommitted, false);
    table.add("sagas, PostgreSQL, own database", own, "sagas/s", of_pool, Budget::AtLeast(3.4));
    let serializable = measure(Isolation::Serializable, true);
    table.add("sagas, PostgreSQL, strict, serializable", serializable, "sagas/s", of_pool, Budget::None);

    for (what, isolation, one, budget) in [
        ("two coordinators together, strict", Isolation::ReadCommitted, strict, Budget::AtLeast(1.0)),
        ("the same, serializable", Isolation::Serializable, serializable, Budget::None),
    ] {
        let database = server.database();
        let both = std::thread::scope(|scope| {
            let one = || {
                let (store, sec) = open(&database, isolation);
                lab::create_projects(&lab::sec(&store, sec, true).0, LASTS)
            };
            let rates = [scope.spawn(one), scope.spawn(one)];
            rates.into_iter().map(|rate| rate.join().expect("no panic")).sum::<f64>()
        });
        table.add(what, both, "sagas/s", Some((one, "one coordinator")), budget);
    }
    table.add("adopting 10,000 sagas", adopt(&server), "s", None, Budget::None);
}

fn open(database: &Database<'_>, isolation: Isolation) -> (SharedStore, SecId) {
    let sec = SecId::random();
    let options = OpenOptions { isolation, ..OpenOptions::new(sec, lab::on_fatal()) };
    (Arc::new(PostgresStore::open(&database.url(), options).expect("a database")), sec)
}

/// Seconds until all sagas of an expunged SEC are another's.
fn adopt(server: &Server) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let database = server.database();
    let ((gone, from), (store, to)) =
        (open(&database, Isolation::ReadCommitted), open(&database, Isolation::ReadCommitted));
    runtime.block_on(async {
        let saga = || NewSaga {
            id: SagaId::random(),
            creator: from,
            time_created: now(),
            name: "project-create".to_owned(),
            dag: format!("{{\"padding\": {:?}}}", "x".repeat(6000)),
            idempotency: None,
        };
        let created: Vec<_> = (0..ADOPTED).map(|_| gone.write(create(saga()), Until::Durable)).collect();
        for created in created {
            created.await.expect("a new saga");
        }
        let secs = list_secs(&*store).await.expect("a registry");
        let sec = secs.iter().find(|sec| sec.id == from).expect("it is registered");
        store.write(expunge(from, sec.time_started), Until::Durable).await.expect("it is active");
        let began = Instant::now();
        let mut adopted = 0;
        while adopted < ADOPTED as u64 {
            let write = adopt_unfinished(to, from, now(), 1000);
            adopted += store.write(write, Until::Durable).await.expect("an adoption").rows[0];
        }
        began.elapsed().as_secs_f64()
    })
}

/// What most programs do: each write by itself, on whichever connection is free.
struct Pool {
    runtime: tokio::runtime::Runtime,
    connections: Arc<Vec<Mutex<Connection>>>,
    free: Arc<Semaphore>,
}

struct Connection {
    client: Client,
    prepared: HashMap<&'static str, tokio_postgres::Statement>,
}

impl Pool {
    fn new(database: &Database<'_>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let connections = runtime.block_on(async {
            let mut connections = Vec::new();
            for _ in 0..POOL {
                let (client, connection) =
                    tokio_postgres::connect(&database.url(), NoTls).await.expect("a connection");
                tokio::spawn(connection);
                connections.push(Mutex::new(Connection { client, prepared: HashMap::new() }));
            }
            connections
        });
        Self { runtime, connections: Arc::new(connections), free: Arc::new(Semaphore::new(POOL)) }
    }
}

impl Connection {
    async fn carry_out(&mut self, write: &Write) -> Result<Applied, tokio_postgres::Error> {
        let several = write.statements.len() > 1;
        let mut rows = Vec::new();
        if several {
            self.client.batch_execute("BEGIN").await?;
        }
        for statement in &write.statements {
            let prepared = match self.prepared.get(statement.sql) {
                Some(prepared) => prepared.clone(),
                None => {
                    let prepared = self.client.prepare(statement.sql).await?;
                    self.prepared.insert(statement.sql, prepared.clone());
                    prepared
                }
            };
            rows.push(self.client.execute_raw(&prepared, statement.params.iter().map(Parameter)).await?);
        }
        if several {
            self.client.batch_execute("COMMIT").await?;
        }
        Ok(Applied { rows })
    }
}

#[async_trait]
impl Store for Pool {
    fn write(&self, write: Write, _: Until) -> BoxFuture<'static, Result<Applied, StoreError>> {
        let (connections, free) = (Arc::clone(&self.connections), Arc::clone(&self.free));
        let written = self.runtime.spawn(async move {
            let _permit = free.acquire().await.expect("never closed");
            let mut connection = connections
                .iter()
                .find_map(|connection| connection.try_lock().ok())
                .expect("as many connections as permits");
            connection.carry_out(&write).await.expect("a write that nothing is in the way of")
        });
        async move { Ok(written.await.expect("no panic")) }.boxed()
    }

    fn write_unwaited(&self, _: Write) {
        unreachable!("strict sagas wait for each write")
    }

    fn close_lane(&self, _: Lane) {}

    async fn read(&self, _: Statement) -> Result<Vec<Row>, StoreError> {
        unreachable!("creating projects reads nothing")
    }

    fn kind(&self) -> &'static str {
        "postgresql"
    }

    fn url(&self) -> String {
        "a pool".to_owned()
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pool")
    }
}

#[derive(Debug)]
struct Parameter<'v>(&'v Value);

impl ToSql for Parameter<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::Int(number) => return number.to_sql(ty, out),
            Value::Text(text) => return text.to_sql(ty, out),
            Value::Static(text) => return text.to_sql(ty, out),
            Value::Uuid(uuid) => out.extend_from_slice(uuid.as_bytes()),
            Value::Time(time) => {
                let since_2000 = time.timestamp_micros() - 946_684_800_000_000;
                out.extend_from_slice(&since_2000.to_be_bytes());
            }
            Value::Json(text) => {
                out.extend_from_slice(&[1]);
                out.extend_from_slice(text.as_bytes());
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(ty, out)
    }
}
