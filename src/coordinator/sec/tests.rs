//! The SEC on a real SQLite database: what it promises of single sagas.

mod strict;

use super::*;
use crate::coordinator::recovery::Recovery;
use crate::coordinator::sagas::{Action, ActionFailure, Effect, Inputs, effect, step};
use crate::store::sagas::{Event, load_log, load_saga};
use crate::store::sql::{Statement, Value};
use crate::store::sqlite::{OpenOptions, SqliteStore};
use crate::store::tests::ownership::moved;
use crate::store::{Until, Write};
use crate::wire::ids::NodeId;
use crate::wire::sagas::TakesEffect;
use crate::wire::time::now;
use std::time::Duration;
use steno::{ActionContext, ActionError, DagBuilder, Node, SagaDag, SagaName};
use tokio::sync::{Notify, mpsc};

/// A SEC with its database, and what its fatal handler was told.
struct Bench {
    _dir: tempfile::TempDir,
    store: SharedStore,
    sagas: Sagas,
    fatal: mpsc::UnboundedReceiver<String>,
}

fn bench(registry: SagaRegistry, services: Arc<dyn Any + Send + Sync>) -> Bench {
    let dir = tempfile::tempdir().expect("a scratch directory");
    let (told, fatal) = mpsc::unbounded_channel();
    // Where a process would end, a test lets the thread that found out wait for ever.
    let on_fatal: FatalHandler = Arc::new(move |reason| {
        let _ = told.send(reason.to_owned());
        loop {
            std::thread::park();
        }
    });
    let store: SharedStore = Arc::new(
        SqliteStore::open(&dir.path().join("db"), OpenOptions::new(Arc::clone(&on_fatal)))
            .expect("a database"),
    );
    let (announcer, _recovery) = Recovery::new();
    let sagas = Sagas::start(SecConfig {
        sec_id: SecId::random(),
        store: Arc::clone(&store),
        registry: Arc::new(registry),
        faults: None,
        always_strict: false,
        announcer,
        recovery_waker: Waker::new(),
        services,
        on_fatal,
        log: slog::Logger::root(slog::Discard, slog::o!()),
    })
    .expect("an engine");
    Bench { _dir: dir, store, sagas, fatal }
}

/// A row that a test's effect makes, told apart by its key.
fn mark(key: String) -> Statement {
    Statement::new(
        "INSERT INTO idempotency_key (key, request_digest, saga_id, time_created) VALUES ($1, 'test', $2, $3)",
        vec![key.into(), Value::Uuid(uuid::Uuid::nil()), now().into()],
    )
}

fn unmark(key: String) -> Statement {
    Statement::new("DELETE FROM idempotency_key WHERE key = $1", vec![key.into()])
}

async fn marks(store: &SharedStore) -> Vec<String> {
    let rows = store
        .read(Statement::new("SELECT key FROM idempotency_key ORDER BY key", vec![]))
        .await
        .expect("reading marks");
    rows.iter().map(|row| row.text(0).expect("text").to_owned()).collect()
}

fn dag_of(saga_name: &str, actions: &[Action], params: serde_json::Value) -> SagaDag {
    let mut builder = DagBuilder::new(SagaName::new(saga_name));
    for action in actions {
        let name = action.registered_name();
        builder.append(Node::action(name, name, &*Arc::clone(action).for_engine()));
    }
    SagaDag::new(builder.build().expect("a chain"), params)
}

fn first(_: &Inputs<'_>) -> Result<Effect, ActionError> {
    Effect::new(vec![mark("first".to_owned())], "one")
}

fn undo_first(_: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![unmark("first".to_owned())])
}

/// Makes the mark that its parameter names; refused if it is there.
fn named(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    Effect::new(vec![mark(inputs.params()?)], "two")
}

fn undo_named(inputs: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![unmark(inputs.params()?)])
}

fn last(inputs: &Inputs<'_>) -> Result<Effect, ActionError> {
    let before: String = inputs.output("named")?;
    Effect::new(vec![mark("last".to_owned())], format!("{before}, three"))
}

fn undo_last(_: &Inputs<'_>) -> Result<Vec<Statement>, anyhow::Error> {
    Ok(vec![unmark("last".to_owned())])
}

/// Three effects in a row that are not waited for.
struct Marks;

impl SagaKind for Marks {
    const NAME: &'static str = "marks";
    const DURABILITY: Durability = Durability::OwnDatabase;
    type Params = String;

    fn actions() -> Vec<Action> {
        vec![
            effect("first", first, undo_first),
            effect("named", named, undo_named),
            effect("last", last, undo_last),
        ]
    }

    fn dag(params: &String) -> Result<SagaDag, anyhow::Error> {
        Ok(dag_of(Self::NAME, &Self::actions(), serde_json::json!(params)))
    }
}

#[tokio::test]
async fn an_unwaited_saga_is_durable_to_the_last_event_when_it_ends() {
    let bench = bench(SagaRegistry::new().with::<Marks>(), Arc::new(()));
    let id = SagaId::random();
    let running = bench.sagas.create::<Marks>(id, &"middle".to_owned(), None).await.expect("created");
    let SagaOutcome::Succeeded { output } = running.finished().await else { panic!("not succeeded") };
    assert_eq!(output, "two, three");
    assert_eq!(marks(&bench.store).await, ["first", "last", "middle"]);
    let log = load_log(&*bench.store, id).await.expect("a log");
    assert_eq!(log.len(), 2 * 5, "three nodes, start and end: started and succeeded each");
    let saga = load_saga(&*bench.store, id).await.expect("readable").expect("there");
    assert_eq!(saga.state, CachedState::Done);
}

#[tokio::test]
async fn a_refusal_that_nobody_waited_for_becomes_a_clean_failure_of_its_node() {
    let bench = bench(SagaRegistry::new().with::<Marks>(), Arc::new(()));
    bench.store.write(Write::one(mark("taken".to_owned())), Until::Durable).await.expect("a mark");
    let id = SagaId::random();
    let running = bench.sagas.create::<Marks>(id, &"taken".to_owned(), None).await.expect("created");
    let SagaOutcome::Failed { node, error } = running.finished().await else { panic!("not failed") };
    assert_eq!(node, "named");
    let ActionError::ActionFailed { source_error } = error else { panic!("{error:?}") };
    let failure: ActionFailure = serde_json::from_value(source_error).expect("ours");
    assert!(failure.to_string().contains("the database refused: not unique"), "{failure}");
    // What came before it was undone, and the mark that was in the way is still there: the failed node is not undone.
    assert_eq!(marks(&bench.store).await, ["taken"]);
    assert_eq!(bench.sagas.counts().total(), 0);
}

#[tokio::test]
async fn a_used_idempotency_key_creates_no_second_saga() {
    let bench = bench(SagaRegistry::new().with::<Marks>(), Arc::new(()));
    let key = || Some(IdempotencyKey { key: "k".to_owned(), request_digest: "d".to_owned() });
    let create = |name: &str| {
        let (sagas, params) = (bench.sagas.clone(), name.to_owned());
        async move { sagas.create::<Marks>(SagaId::random(), &params, key()).await }
    };
    create("a").await.expect("created").finished().await;
    assert!(matches!(create("b").await, Err(CreateError::KeyInUse)));
    assert_eq!(bench.sagas.counts().total(), 0, "nothing of it is left");
}

fn explodes(_: &Inputs<'_>) -> Result<Effect, ActionError> {
    panic!("kaboom")
}

struct Explodes;

impl SagaKind for Explodes {
    const NAME: &'static str = "explodes";
    const DURABILITY: Durability = Durability::OwnDatabase;
    type Params = ();

    fn actions() -> Vec<Action> {
        vec![effect("first", first, undo_first), effect("explodes", explodes, undo_first)]
    }

    fn dag((): &()) -> Result<SagaDag, anyhow::Error> {
        Ok(dag_of(Self::NAME, &Self::actions(), serde_json::Value::Null))
    }
}

#[tokio::test]
async fn a_panic_in_an_action_fails_its_saga_with_the_text_and_harms_no_other() {
    let bench = bench(SagaRegistry::new().with::<Explodes>().with::<Marks>(), Arc::new(()));
    let running = bench.sagas.create::<Explodes>(SagaId::random(), &(), None).await.expect("created");
    let SagaOutcome::Failed { node, error } = running.finished().await else { panic!("not failed") };
    assert_eq!(node, "explodes");
    assert!(format!("{error:?}").contains("action panicked: kaboom"), "{error:?}");
    assert!(marks(&bench.store).await.is_empty());
    let other = bench.sagas.create::<Marks>(SagaId::random(), &"x".to_owned(), None).await.expect("created");
    assert!(matches!(other.finished().await, SagaOutcome::Succeeded { .. }));
}

fn gate(context: &ActionContext<Engine>) -> BoxFuture<'_, Result<serde_json::Value, ActionError>> {
    async move {
        let gate: &Notify = context.user_data().service().expect("the test gave a gate");
        gate.notified().await;
        Ok(serde_json::Value::Null)
    }
    .boxed()
}

fn open_gate(_: &ActionContext<Engine>) -> BoxFuture<'_, Result<(), anyhow::Error>> {
    async { Ok(()) }.boxed()
}

/// Waits at a gate that the test holds.
struct Gated;

impl SagaKind for Gated {
    const NAME: &'static str = "gated";
    const DURABILITY: Durability = Durability::Strict;
    type Params = ();

    fn actions() -> Vec<Action> {
        vec![step("gate", gate, open_gate)]
    }

    fn dag((): &()) -> Result<SagaDag, anyhow::Error> {
        Ok(dag_of(Self::NAME, &Self::actions(), serde_json::Value::Null))
    }
}

/// An effect, the gate, another effect.
struct Between;

impl SagaKind for Between {
    const NAME: &'static str = "between";
    const DURABILITY: Durability = Durability::Strict;
    type Params = String;

    fn actions() -> Vec<Action> {
        vec![
            effect("first", first, undo_first),
            step("gate", gate, open_gate),
            effect("named", named, undo_named),
        ]
    }

    fn dag(params: &String) -> Result<SagaDag, anyhow::Error> {
        Ok(dag_of(Self::NAME, &Self::actions(), params.clone().into()))
    }
}

#[tokio::test]
async fn a_node_that_is_told_to_fail_does_so_at_once_or_when_its_turn_comes() {
    let bench = bench(SagaRegistry::new().with::<Between>(), Arc::new(Notify::new()));
    let sagas = &bench.sagas;
    for (node, effect, name) in [(1, TakesEffect::Now, "gate"), (2, TakesEffect::WhenItBegins, "named")] {
        let id = SagaId::random();
        let running = sagas.create::<Between>(id, &"x".to_owned(), None).await.expect("created");
        let at_the_gate = async {
            while load_log(&*bench.store, id).await.expect("a log").len() < 5 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), at_the_gate).await.expect("the gate is begun");
        let too_late = InjectError::TooLate("node 0 has succeeded already".to_owned());
        assert_eq!(sagas.inject_error(id, 0).await, Err(too_late));
        assert!(matches!(sagas.inject_error(id, 3).await, Err(InjectError::BadNode(_))), "no action");
        assert!(matches!(sagas.inject_error(id, 9).await, Err(InjectError::BadNode(_))), "no node");
        for _ in 0..2 {
            // The second time it is the same, unless the saga is over by then.
            let told = sagas.inject_error(id, node).await;
            let over = matches!(told, Err(InjectError::TooLate(_)));
            let is_now = effect == TakesEffect::Now;
            assert!(told == Ok(effect) || (is_now && (told == Ok(TakesEffect::Already) || over)), "{told:?}");
        }
        let open: &Notify = sagas.inner.services.downcast_ref().expect("the gate");
        if effect == TakesEffect::WhenItBegins {
            open.notify_one();
        }
        let ended = tokio::time::timeout(Duration::from_secs(60), running.finished()).await.expect("ended");
        let SagaOutcome::Failed { node, error: ActionError::InjectedError } = ended else {
            panic!("{ended:?}")
        };
        assert_eq!(node, name);
        assert!(marks(&bench.store).await.is_empty(), "what came before is undone");
        assert_eq!(
            sagas.inject_error(id, 1).await,
            Err(InjectError::TooLate("the saga has come to its end".to_owned()))
        );
    }
    assert_eq!(sagas.inject_error(SagaId::random(), 0).await, Err(InjectError::UnknownSaga));
}

#[tokio::test]
async fn a_saga_taken_away_while_it_runs_ends_the_process_before_anything_of_it_is_written() {
    let mut bench = bench(SagaRegistry::new().with::<Gated>(), Arc::new(Notify::new()));
    let id = SagaId::random();
    let running = bench.sagas.create::<Gated>(id, &(), None).await.expect("created");
    let logged = |wanted: usize| {
        let store = Arc::clone(&bench.store);
        async move {
            while load_log(&*store, id).await.expect("a log").len() < wanted {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    // Start node begun and done, gate begun.
    tokio::time::timeout(Duration::from_secs(10), logged(3)).await.expect("the saga reaches the gate");
    take_away(&bench, id).await;
    let gate: &Notify = bench.sagas.inner.services.downcast_ref().expect("the gate");
    gate.notify_one();
    let reason =
        tokio::time::timeout(Duration::from_secs(10), bench.fatal.recv()).await.expect("told").expect("told");
    assert!(reason.contains(crate::store::sagas::NOT_OURS), "{reason}");
    assert_eq!(load_log(&*bench.store, id).await.expect("a log").len(), 3, "no late write landed");
    drop(running);
}

/// Makes a saga another SEC's.
async fn take_away(bench: &Bench, id: SagaId) {
    let moved = moved(id, Ownership { sec: SecId::random(), generation: 2 });
    bench.store.write(moved, Until::Durable).await.expect("taken away");
}

/// A saga as a crashed coordinator would have left it, with this log.
async fn left_behind<K: SagaKind>(
    bench: &Bench,
    params: &K::Params,
    log: &[(u32, &str, Option<&str>)],
) -> SagaId {
    let id = SagaId::random();
    let sec = bench.sagas.sec_id();
    let create = crate::store::sagas::create(crate::store::sagas::NewSaga {
        id,
        creator: sec,
        time_created: now(),
        name: K::NAME.to_owned(),
        dag: serde_json::to_string(&K::dag(params).expect("a DAG")).expect("JSON"),
        idempotency: None,
    });
    bench.store.write(create, Until::Durable).await.expect("a row");
    for (node, event_type, data) in log {
        let event = Event {
            saga_id: id,
            node_id: NodeId(*node),
            event_type: (*event_type).to_owned(),
            data: data.map(str::to_owned),
            time: now(),
            creator: sec,
        };
        let write = crate::store::sagas::record_event(Ownership { sec, generation: 1 }, event);
        bench.store.write(write, Until::Durable).await.expect("an event");
    }
    id
}

/// The same of three marks, of which the first is made.
async fn left_by_a_crash(bench: &Bench) -> SagaId {
    bench.store.write(Write::one(mark("first".to_owned())), Until::Durable).await.expect("an effect");
    let log = [
        (3, "started", None),
        (3, "succeeded", Some("null")),
        (0, "started", None),
        (0, "succeeded", Some("\"one\"")),
    ];
    left_behind::<Marks>(bench, &"middle".to_owned(), &log).await
}

#[tokio::test]
async fn resuming_goes_on_where_the_log_ends_and_repeats_nothing_that_it_holds() {
    let bench = bench(SagaRegistry::new().with::<Marks>(), Arc::new(()));
    let id = left_by_a_crash(&bench).await;
    let saga = load_saga(&*bench.store, id).await.expect("readable").expect("there");
    let running = bench.sagas.resume(saga.clone()).await.expect("resumed");
    assert_eq!(bench.sagas.counts(), RosterCounts { created: 0, recovered: 1 });
    // Had `first` run again, its mark would have been refused.
    assert!(matches!(running.finished().await, SagaOutcome::Succeeded { .. }));
    assert_eq!(marks(&bench.store).await, ["first", "last", "middle"]);
    let done = load_saga(&*bench.store, id).await.expect("readable").expect("there");
    assert_eq!(bench.sagas.resume(done).await.err(), Some(FailureCause::NotUnfinished(CachedState::Done)));
}

#[tokio::test]
async fn what_cannot_be_resumed_says_why() {
    let bench = bench(SagaRegistry::new().with::<Marks>(), Arc::new(()));
    let id = left_by_a_crash(&bench).await;
    let good = load_saga(&*bench.store, id).await.expect("readable").expect("there");
    let cause_for = |change: &dyn Fn(&mut LoadedSaga)| {
        let mut saga = good.clone();
        change(&mut saga);
        let sagas = bench.sagas.clone();
        async move { sagas.resume(saga).await.err().expect("refused") }
    };
    let other = SecId::random();
    assert_eq!(
        cause_for(&|saga| saga.current_sec = Some(other)).await,
        FailureCause::OwnerChanged(Some(other))
    );
    assert!(matches!(cause_for(&|saga| saga.dag = "{".to_owned()).await, FailureCause::DagUnreadable(_)));
    assert!(matches!(cause_for(&|saga| saga.dag = "{}".to_owned()).await, FailureCause::DagUnreadable(_)));
    assert_eq!(
        cause_for(&|saga| saga.dag = saga.dag.replace("\"action_name\":\"last\"", "\"action_name\":\"lost\"")).await,
        FailureCause::UnknownAction { node: "last".to_owned(), action: "lost".to_owned() }
    );
    // The end of a node whose beginning is missing.
    let broken = cause_for(&|saga| saga.events.retain(|event| event.event_type != "started")).await;
    assert!(matches!(broken, FailureCause::LogIllegal(_)), "{broken:?}");
    let unreadable = cause_for(&|saga| saga.events[0].event_type = "exploded".to_owned()).await;
    assert!(unreadable.to_string().contains("unknown type"), "{unreadable}");
    assert_eq!(bench.sagas.counts().total(), 0, "nothing of them is left");
    // And none of these attempts was in the way of the real one.
    let running = bench.sagas.resume(good.clone()).await.expect("resumed");
    assert!(matches!(running.finished().await, SagaOutcome::Succeeded { .. }));
}
