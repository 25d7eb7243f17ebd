//! What the tests of all sagas share: a database with an engine, and the checks that every saga has to pass.

use super::{Creates, Durability, Engine, SagaContext, SagaKind, SagaRegistry, demo};
use super::{project_create, vpc_create, vpc_router_create};
use crate::scratch_postgres::Server;
use crate::store::domain::schema::TABLES;
use crate::store::postgres::{self, PostgresStore};
use crate::store::sql::{Row, Statement};
use crate::store::sqlite::{self, SqliteStore};
use crate::store::{FatalHandler, SharedStore, Until, Write};
use crate::wire::external::{Project, Router, Vpc};
use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::Time;
use newtype_uuid::GenericUuid;
use std::any::Any;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use steno::{ActionError, InMemorySecStore, RepeatInjected, SagaResult};
use uuid::Uuid;

/// All rows of all tables of the external API's objects, each table by its key.
pub(crate) type Contents = BTreeMap<&'static str, Vec<Row>>;

/// A database and an engine for sagas to run on.
pub(crate) struct TestBed {
    pub(crate) store: SharedStore,
    durability: Durability,
    _keep: Box<dyn Any>,
}

/// What sagas run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// What is done to a saga while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Each action and undo action runs once.
    Never,
    /// Each runs twice, as the one that was running when a coordinator crashed does.
    EachNode,
}

/// A point in time that is the same in every run.
pub(crate) fn moment() -> Time {
    Time::from_timestamp(1_700_000_000, 0).expect("a time in range")
}

/// A saga id that is the same in every run.
pub(crate) fn numbered_saga(number: u128) -> SagaId {
    SagaId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number))
}

impl TestBed {
    pub(crate) fn new(durability: Durability) -> Self {
        Self::on(Backend::Sqlite, durability)
    }

    fn on(backend: Backend, durability: Durability) -> Self {
        let on_fatal: FatalHandler = Arc::new(|why| panic!("the store gave up: {why}"));
        match backend {
            Backend::Sqlite => {
                let dir = tempfile::tempdir().expect("a temporary directory");
                let store =
                    SqliteStore::open(&dir.path().join("test.db"), sqlite::OpenOptions::new(on_fatal));
                Self { store: Arc::new(store.expect("a new database")), durability, _keep: Box::new(dir) }
            }
            Backend::Postgres => {
                let database = Server::shared().database();
                let options = postgres::OpenOptions::new(SecId::random(), on_fatal);
                let store = PostgresStore::open(&database.url(), options);
                Self {
                    store: Arc::new(store.expect("a new database")),
                    durability,
                    _keep: Box::new(database),
                }
            }
        }
    }

    /// Every row there is, once everything that was handed over is durable.
    pub(crate) async fn contents(&self) -> Contents {
        self.settle().await;
        let mut contents = Contents::new();
        for table in TABLES {
            let sql: &'static str = Box::leak(format!("SELECT * FROM {table}").into_boxed_str());
            let mut rows = self.store.read(Statement::new(sql, Vec::new())).await.expect("a table");
            rows.sort_by_key(|row| format!("{row:?}"));
            contents.insert(table, rows);
        }
        contents
    }

    /// Waits until all writes so far are durable.
    pub(crate) async fn settle(&self) {
        self.store.write(Write::all(Vec::new()), Until::Durable).await.expect("the store takes writes");
    }

    /// Runs a saga with an error injected into `fail`, if given, and asserts that none of its unwaited writes was refused.
    pub(crate) async fn run<K: SagaKind>(
        &self,
        saga: SagaId,
        params: &K::Params,
        fail: Option<&str>,
        repeat: Repeat,
    ) -> SagaResult {
        let log = slog::Logger::root(slog::Discard, slog::o!());
        let sec = steno::sec(log, Arc::new(InMemorySecStore::new()));
        let context = Arc::new(SagaContext {
            saga_id: saga,
            store: Arc::clone(&self.store),
            hold: None,
            durability: self.durability,
            demo_waits: Arc::new(demo::DemoWaits::default()),
            services: Arc::new(()),
            interrupts: super::Interrupts::default(),
            derailed: OnceLock::new(),
        });
        let id = steno::SagaId::from_untyped_uuid(saga.as_uuid());
        let dag = Arc::new(K::dag(params).expect("parameters of which a DAG can be made"));
        let registry = Arc::new(SagaRegistry::new().with::<K>().for_engine());
        let done = sec
            .saga_create::<Engine>(id, Arc::clone(&context), Arc::clone(&dag), registry)
            .await
            .expect("the saga can be created");
        for node in dag.get_nodes() {
            if repeat == Repeat::EachNode {
                let twice = NonZeroU32::new(2).expect("two");
                sec.saga_inject_repeat(id, node.index(), RepeatInjected { action: twice, undo: twice })
                    .await
                    .expect("the engine repeats nodes");
            }
            if Some(node.name().as_ref()) == fail {
                sec.saga_inject_error(id, node.index()).await.expect("the engine fails nodes");
            }
        }
        sec.saga_start(id).await.expect("the saga can be started");
        let result = done.await;
        sec.shutdown().await;
        self.settle().await;
        self.store.close_lane(saga);
        assert_eq!(context.why_derailed(), None, "a write of saga {saga} was refused that nobody waited for");
        result
    }

    /// Runs a saga that has to succeed, and answers what it made.
    pub(crate) async fn make<K: Creates>(&self, saga: SagaId, params: &K::Params) -> K::Object {
        let result = self.run::<K>(saga, params, None, Repeat::Never).await;
        result.kind.expect("the saga succeeds");
        K::made(saga, params)
    }

    /// Runs a saga that an action refuses to go on with, and answers which one and why.
    pub(crate) async fn refused<K: SagaKind>(
        &self,
        saga: SagaId,
        params: &K::Params,
    ) -> (String, super::ActionFailure) {
        let failed = self.run::<K>(saga, params, None, Repeat::Never).await.kind.expect_err("the saga fails");
        assert!(failed.undo_failure.is_none(), "and unwinds");
        let why = failed.error_source.convert().expect("an action's own failure");
        (failed.error_node_name.as_ref().to_owned(), why)
    }

    /// A project called `name`, made by saga `number`.
    pub(crate) async fn project(&self, number: u128, name: &str) -> Project {
        let params = project_create::Params {
            name: name.parse().expect("a name"),
            description: format!("project {number}"),
            time_created: moment(),
        };
        self.make::<project_create::ProjectCreate>(numbered_saga(number), &params).await
    }

    /// A VPC called `name` in a project, made by saga `number`.
    pub(crate) async fn vpc(&self, number: u128, project: &Project, name: &str) -> Vpc {
        let name: crate::wire::name::Name = name.parse().expect("a name");
        let params = vpc_create::Params {
            project_id: project.id,
            dns_name: name.clone(),
            name,
            description: format!("VPC {number}"),
            time_created: moment(),
            in_new_project: false,
        };
        self.make::<vpc_create::VpcCreate>(numbered_saga(number), &params).await
    }

    /// A router called `name` in a VPC, made by saga `number`.
    pub(crate) async fn router(&self, number: u128, vpc: &Vpc, name: &str) -> Router {
        let params = vpc_router_create::Params {
            vpc_id: vpc.id,
            name: name.parse().expect("a name"),
            description: format!("router {number}"),
            time_created: moment(),
        };
        self.make::<vpc_router_create::VpcRouterCreate>(numbered_saga(number), &params).await
    }
}

/// How many rows there are in a table.
pub(crate) fn count(contents: &Contents, table: &str) -> usize {
    contents.get(table).expect("a table of the external API's objects").len()
}

/// Checks what has to hold for every saga, on each backend, whether its writes are waited for or not:
///
/// - it succeeds, with the same rows when every action runs twice;
/// - when any one of its nodes fails, everything is as before, also when every action and undo action runs twice.
///
/// `prepare` brings a database into the state that the saga needs, always the same, and answers its parameters. Answers
/// the rows before and after a success.
pub(crate) async fn check_saga<K: SagaKind>(
    prepare: impl AsyncFn(&TestBed) -> K::Params,
) -> (Contents, Contents) {
    use Repeat::{EachNode, Never};
    let strict = check_with::<K>(Backend::Sqlite, Durability::Strict, &[Never, EachNode], &prepare).await;
    let unwaited = check_with::<K>(Backend::Sqlite, K::DURABILITY, &[Never, EachNode], &prepare).await;
    assert_eq!(strict, unwaited, "the same rows, whether writes are waited for or not");
    let elsewhere = check_with::<K>(Backend::Postgres, K::DURABILITY, &[EachNode], &prepare).await;
    assert_eq!((counts(&elsewhere.0), counts(&elsewhere.1)), (counts(&strict.0), counts(&strict.1)));
    strict
}

/// Rows per table: backends keep the same things in values of different types.
fn counts(contents: &Contents) -> BTreeMap<&'static str, usize> {
    contents.iter().map(|(table, rows)| (*table, rows.len())).collect()
}

async fn check_with<K: SagaKind>(
    backend: Backend,
    durability: Durability,
    repeats: &[Repeat],
    prepare: &impl AsyncFn(&TestBed) -> K::Params,
) -> (Contents, Contents) {
    let saga = numbered_saga(1_000_000);
    let bed = TestBed::on(backend, durability);
    let params = prepare(&bed).await;
    let before = bed.contents().await;
    let dag = K::dag(&params).expect("parameters of which a DAG can be made");
    for node in dag.get_nodes() {
        for &repeat in repeats {
            let name = node.name().as_ref();
            let result = bed.run::<K>(saga, &params, Some(name), repeat).await;
            let failed = result.kind.expect_err("an error was injected");
            assert_eq!(failed.error_node_name.as_ref(), name);
            assert!(matches!(failed.error_source, ActionError::InjectedError), "{name}: {failed:?}");
            assert!(failed.undo_failure.is_none(), "{name}: {failed:?}");
            assert_eq!(bed.contents().await, before, "after a failure at {name}, {repeat:?}");
        }
    }
    bed.run::<K>(saga, &params, None, Repeat::Never).await.kind.expect("the saga succeeds");
    let after = bed.contents().await;

    let repeated = TestBed::on(backend, durability);
    let params = prepare(&repeated).await;
    let result = repeated.run::<K>(saga, &params, None, Repeat::EachNode).await;
    result.kind.expect("the saga succeeds with every action run twice");
    assert_eq!(repeated.contents().await, after, "with every action run twice");
    (before, after)
}
