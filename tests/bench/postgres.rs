//! PostgreSQL: what putting writes together gains over one statement per write on a pool, how two coordinators share a
//! database, and how long adopting takes. The server is a scratch one that syncs what it commits, on the same machine.

use crate::lab;
use crate::scratch::{Database, Server};
use crate::table::{Budget, Table};
use async_trait::async_trait;
use bytes::BytesMut;
use futures::future::{BoxFuture, FutureExt, Shared};
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
use tokio::runtime::Handle;
use tokio::sync::{Mutex, Semaphore};
use tokio_postgres::types::{IsNull, ToSql, Type};
use tokio_postgres::{Client, NoTls};

const LASTS: Duration = Duration::from_secs(4);

/// Connections of the pool that is compared with; more are no faster on two cores.
const POOL: usize = 16;

/// Sagas that change hands.
const ADOPTED: usize = 10_000;

/// What that may take: they are without an owner that long.
const ADOPTION_SECS: f64 = 5.0;

/// Measures them one after another, each on a database of its own.
pub(crate) fn run(table: &mut Table) {
    let server = Server::start_durable();
    let bench = Bench { server: &server };
    let noop: SharedStore = Arc::new(NoopStore);
    let limit = lab::create_projects(&lab::sec(&noop, SecId::random(), true).0, LASTS);
    table.add("sagas on a no-op store", limit, "sagas/s", None, Budget::None);

    let pool = || {
        bench.measure(|database| {
            // Makes the tables.
            drop(open(database, Isolation::default()));
            let pool: SharedStore = Arc::new(Pool::new(database));
            lab::create_projects(&lab::sec(&pool, SecId::random(), true).0, LASTS)
        })
    };
    let one = |isolation, always_strict| {
        bench.measure(|database| {
            let (store, sec) = open(database, isolation);
            lab::create_projects(&lab::sec(&store, sec, always_strict).0, LASTS)
        })
    };
    // In turns, for a machine that is slow for a while should be slow for all.
    let turns = || {
        [
            pool(),
            one(Isolation::Serializable, true),
            one(Isolation::Serializable, false),
            one(Isolation::ReadCommitted, true),
        ]
    };
    let [pooled, strict, own, read_committed] = lab::medians(turns, |measured| measured.rate);
    let what = "sagas, one statement per write on a pool";
    table.add(what, pooled.rate, "sagas/s", Some((limit, "no-op store")), Budget::None);
    table.add("  CPU per saga, coordinator and server", pooled.cpu_ms, "ms", None, Budget::None);

    for (what, measured, budget) in [
        ("sagas, PostgreSQL, strict", &strict, Budget::AtLeast(3.4)),
        ("sagas, PostgreSQL, own database", &own, Budget::AtLeast(3.4)),
        ("sagas, PostgreSQL, strict, READ COMMITTED", &read_committed, Budget::None),
    ] {
        table.add(what, measured.rate, "sagas/s", Some((pooled.rate, "one statement per write")), budget);
        table.add("  the same", measured.rate, "sagas/s", Some((limit, "no-op store")), Budget::None);
        let beside = Some((pooled.cpu_ms, "one statement per write"));
        table.add("  CPU per saga, coordinator and server", measured.cpu_ms, "ms", beside, Budget::None);
    }
    let pairs = [
        ("two coordinators together, strict", Isolation::Serializable, true, &strict, Budget::AtLeast(1.0)),
        ("two together, own database", Isolation::Serializable, false, &own, Budget::AtLeast(1.0)),
        ("the same, READ COMMITTED", Isolation::ReadCommitted, false, &own, Budget::None),
    ];
    for (what, isolation, always_strict, one, budget) in pairs {
        let both = bench.measure(|database| {
            let one = || {
                let (store, sec) = open(database, isolation);
                lab::create_projects(&lab::sec(&store, sec, always_strict).0, LASTS)
            };
            std::thread::scope(|scope| {
                let rates = [scope.spawn(one), scope.spawn(one)];
                rates.into_iter().map(|rate| rate.join().expect("no panic")).sum::<f64>()
            })
        });
        table.add(what, both.rate, "sagas/s", Some((one.rate, "one coordinator")), budget);
        let beside = Some((one.cpu_ms, "one coordinator"));
        table.add("  CPU per saga, coordinators and server", both.cpu_ms, "ms", beside, Budget::None);
    }
    table.add("adopting 10,000 sagas", adopt(&server), "s", None, Budget::FigureAtMost(ADOPTION_SECS));
}

/// A server to measure on.
struct Bench<'s> {
    server: &'s Server,
}

#[derive(Clone, Copy)]
struct Measured {
    /// Sagas per second.
    rate: f64,
    /// Of all processes that take part; unlike the rate it says much on a busy machine too.
    cpu_ms: f64,
}

impl Bench<'_> {
    /// Runs something that creates sagas for [`LASTS`] and answers how many per second.
    fn measure(&self, run: impl FnOnce(&Database<'_>) -> f64) -> Measured {
        let database = self.server.database();
        let before = self.cpu_ms();
        let rate = run(&database);
        let cpu_ms = (self.cpu_ms() - before) / (rate * LASTS.as_secs_f64());
        Measured { rate, cpu_ms }
    }

    /// CPU time so far of this process, of the server's, and of all that the server's process has started.
    fn cpu_ms(&self) -> f64 {
        let server = self.server.pid();
        let processes = std::fs::read_dir("/proc").expect("a Linux system").flatten().filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            // A name in parentheses, which may hold anything, stands before the fields that count.
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
            let parent: u32 = fields.get(1)?.parse().ok()?;
            let ticks = |range: std::ops::Range<usize>| -> u64 {
                fields[range].iter().filter_map(|field| field.parse::<u64>().ok()).sum()
            };
            match pid {
                _ if pid == std::process::id() || parent == server => Some(ticks(11..13)),
                // Of those that have ended, too.
                _ if pid == server => Some(ticks(11..15)),
                _ => None,
            }
        });
        processes.sum::<u64>() as f64 * 1000.0 / TICKS_PER_SEC
    }
}

/// What Linux counts CPU time in, on all architectures that matter here.
const TICKS_PER_SEC: f64 = 100.0;

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
        (open(&database, Isolation::default()), open(&database, Isolation::default()));
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

/// What most programs do: each write by itself, on whichever connection is free, a saga's one after another. Without
/// fences, which speaks for it.
struct Pool {
    runtime: Handle,
    connections: Arc<Vec<Mutex<Connection>>>,
    free: Arc<Semaphore>,
    /// The last write of each saga.
    last: std::sync::Mutex<HashMap<Lane, Written>>,
}

type Written = Shared<BoxFuture<'static, Applied>>;

struct Connection {
    client: Client,
    prepared: HashMap<&'static str, tokio_postgres::Statement>,
}

impl Pool {
    fn new(database: &Database<'_>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
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
        let handle = runtime.handle().clone();
        // It is dropped by the engine's own thread, where no runtime may end.
        std::mem::forget(runtime);
        Self {
            runtime: handle,
            connections: Arc::new(connections),
            free: Arc::new(Semaphore::new(POOL)),
            last: std::sync::Mutex::default(),
        }
    }

    fn begin(&self, write: Write) -> Written {
        let (connections, free) = (Arc::clone(&self.connections), Arc::clone(&self.free));
        let lane = write.lane.expect("sagas write in lanes");
        let mut last = self.last.lock().expect("no panic while it is held");
        let before = last.remove(&lane);
        let written = self.runtime.spawn(async move {
            if let Some(before) = before {
                before.await;
            }
            let _permit = free.acquire().await.expect("never closed");
            let mut connection = connections
                .iter()
                .find_map(|connection| connection.try_lock().ok())
                .expect("as many connections as permits");
            connection.carry_out(&write).await.expect("a write that nothing is in the way of")
        });
        let written = async move { written.await.expect("no panic") }.boxed().shared();
        last.insert(lane, written.clone());
        written
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
        self.begin(write).map(Ok).boxed()
    }

    fn write_unwaited(&self, write: Write) {
        drop(self.begin(write));
    }

    fn close_lane(&self, lane: Lane) {
        self.last.lock().expect("no panic while it is held").remove(&lane);
    }

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
