//! What strict sagas wait for: nothing takes place before all that came before it is durable.

use super::*;
use crate::store::error::Rule;
use std::sync::Mutex;

/// What a step could see of its own saga in the database the moment it ran: a crash then would leave just that.
#[derive(Default)]
struct Sights(Mutex<Vec<Sight>>);

struct Sight {
    node: String,
    log: Vec<(u32, String)>,
    marks: Vec<String>,
}

async fn look(context: &ActionContext<Engine>, direction: &'static str) {
    let node = format!("{direction} {}", context.node_label());
    let context = context.user_data();
    let log = load_log(&*context.store, context.saga_id).await.expect("a log");
    let log = log.into_iter().map(|event| (event.node_id.0, event.event_type)).collect();
    let marks = marks(&context.store).await;
    let sights: &Sights = context.service().expect("the test gave them");
    sights.0.lock().expect("no panic while it is held").push(Sight { node, log, marks });
}

fn looks(context: &ActionContext<Engine>) -> BoxFuture<'_, Result<serde_json::Value, ActionError>> {
    look(context, "in").map(|()| Ok(serde_json::Value::Null)).boxed()
}

fn looks_back(context: &ActionContext<Engine>) -> BoxFuture<'_, Result<(), anyhow::Error>> {
    look(context, "undoing").map(Ok).boxed()
}

/// An effect, two steps that look, and an effect that is refused.
struct Looks;

impl SagaKind for Looks {
    const NAME: &'static str = "looks";
    const DURABILITY: Durability = Durability::Strict;
    type Params = String;

    fn actions() -> Vec<Action> {
        vec![
            effect("first", first, undo_first),
            step("looks", looks, looks_back),
            step("looks_again", looks, looks_back),
            effect("named", named, undo_named),
        ]
    }

    fn dag(params: &String) -> Result<SagaDag, anyhow::Error> {
        Ok(dag_of(Self::NAME, &Self::actions(), params.clone().into()))
    }
}

#[tokio::test]
async fn a_step_is_begun_when_all_that_came_before_it_is_durable() {
    let bench = bench(SagaRegistry::new().with::<Looks>(), Arc::new(Sights::default()));
    // The last effect asks for the mark that the first has made, and everything is undone.
    let saga = bench.sagas.create::<Looks>(SagaId::random(), &"first".to_owned(), None).await;
    let ended = saga.expect("created").finished().await;
    assert!(matches!(&ended, SagaOutcome::Failed { node, .. } if node == "named"), "{ended:?}");
    let sights: &Sights = bench.sagas.inner.services.downcast_ref().expect("the sights");
    let sights = sights.0.lock().expect("no panic while it is held");
    let order: Vec<_> = sights.iter().map(|sight| &*sight.node).collect();
    assert_eq!(order, ["in looks", "in looks_again", "undoing looks_again", "undoing looks"]);
    let expected = [
        vec![(0, "started"), (0, "succeeded"), (1, "started")],
        vec![(1, "started"), (1, "succeeded"), (2, "started")],
        vec![(2, "succeeded"), (3, "started"), (3, "failed"), (2, "undo_started")],
        vec![(2, "undo_started"), (2, "undo_finished"), (1, "undo_started")],
    ];
    for (sight, expected) in sights.iter().zip(expected) {
        for (node, event) in expected {
            let is_there = sight.log.iter().any(|(at, what)| (*at, &**what) == (node, event));
            assert!(is_there, "{}: {event} of node {node} is missing from {:?}", sight.node, sight.log);
        }
        assert_eq!(sight.marks, ["first"], "{}", sight.node);
    }
}

#[tokio::test]
async fn a_step_of_a_saga_that_was_taken_away_is_not_begun() {
    let mut bench = bench(SagaRegistry::new().with::<Looks>(), Arc::new(Sights::default()));
    // Begun, so that the engine has nothing to record before it begins the step again.
    let log = [
        (4, "started", None),
        (4, "succeeded", Some("null")),
        (0, "started", None),
        (0, "succeeded", Some("null")),
        (1, "started", None),
    ];
    let id = left_behind::<Looks>(&bench, &"x".to_owned(), &log).await;
    let loaded = load_saga(&*bench.store, id).await.expect("readable").expect("there");
    take_away(&bench, id).await;
    let _running = bench.sagas.resume(loaded).await.expect("it is ours as far as is known");
    let told = tokio::time::timeout(Duration::from_secs(60), bench.fatal.recv()).await.expect("in time");
    assert!(told.expect("a reason").contains(crate::store::sagas::NOT_OURS));
    let sights: &Sights = bench.sagas.inner.services.downcast_ref().expect("the sights");
    assert!(sights.0.lock().expect("no panic while it is held").is_empty(), "nothing ran");
}

fn derails(context: &ActionContext<Engine>) -> BoxFuture<'_, Result<serde_json::Value, ActionError>> {
    async move {
        context.user_data().derail(&Refusal { rule: Rule::Check, what: "a test".to_owned() });
        Ok(serde_json::Value::Null)
    }
    .boxed()
}

/// As if one of its events were refused for what is in it.
struct Derails;

impl SagaKind for Derails {
    const NAME: &'static str = "derails";
    const DURABILITY: Durability = Durability::Strict;
    type Params = ();

    fn actions() -> Vec<Action> {
        vec![step("derails", derails, looks_back)]
    }

    fn dag((): &()) -> Result<SagaDag, anyhow::Error> {
        Ok(dag_of(Self::NAME, &Self::actions(), serde_json::Value::Null))
    }
}

#[tokio::test]
async fn a_strict_saga_that_is_derailed_is_not_run_again_and_again() {
    let mut bench = bench(SagaRegistry::new().with::<Derails>(), Arc::new(()));
    let _running = bench.sagas.create::<Derails>(SagaId::random(), &(), None).await.expect("created");
    let told = tokio::time::timeout(Duration::from_secs(60), bench.fatal.recv()).await.expect("in time");
    let told = told.expect("a reason");
    assert!(told.contains("a write that was not waited for was refused"), "{told}");
    assert!(told.contains("a test"), "{told}");
}
