//! Many writes in one transaction: the same as one after the other.

use super::{calm, open};
use crate::scratch_postgres::Server;
use crate::store::error::StoreError;
use crate::store::sagas::{IdempotencyKey, NewSaga, Ownership, create};
use crate::store::tests::{count_events, created, started};
use crate::store::{SharedStore, Until, Write};
use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::now;
use futures::future::join_all;

fn saga(creator: SecId, key: &str) -> NewSaga {
    NewSaga {
        id: SagaId::random(),
        creator,
        time_created: now(),
        name: "demo".to_owned(),
        dag: "{}".to_owned(),
        idempotency: Some(IdempotencyKey { key: key.to_owned(), request_digest: String::new() }),
    }
}

/// Hands everything over at once, so that it is one batch or two.
async fn all_at_once(store: &SharedStore, writes: Vec<Write>) -> Vec<Result<Vec<u64>, StoreError>> {
    let waiting: Vec<_> = writes.into_iter().map(|write| store.write(write, Until::Durable)).collect();
    join_all(waiting).await.into_iter().map(|outcome| outcome.map(|applied| applied.rows)).collect()
}

#[tokio::test]
async fn sagas_that_are_created_together_are_all_there() {
    let database = Server::shared().database();
    let store = open(&database, calm());
    let writes = (0..100).map(|number| create(saga(SecId::random(), &number.to_string()))).collect();
    for outcome in all_at_once(&store, writes).await {
        assert_eq!(outcome.expect("a new saga with a new key"), [1, 1]);
    }
    assert_eq!(
        database.sql("SELECT count(*), count(DISTINCT key) FROM saga JOIN idempotency_key ON id = saga_id"),
        "100|100"
    );
}

#[tokio::test]
async fn in_a_batch_each_refusal_finds_its_write_and_no_other() {
    let database = Server::shared().database();
    let store = open(&database, calm());
    let creator = SecId::random();
    // Every seventh takes the key of the one before it.
    let keys: Vec<String> =
        (0..60).map(|number| if number % 7 == 6 { number - 1 } else { number }.to_string()).collect();
    let writes = keys.iter().map(|key| create(saga(creator, key))).collect();
    for (number, outcome) in all_at_once(&store, writes).await.into_iter().enumerate() {
        match outcome {
            Ok(rows) => assert!(rows == [1, 1] && number % 7 != 6, "{number}"),
            Err(StoreError::Refused(why)) => {
                assert!(why.what.contains("idempotency_key") && number % 7 == 6, "{number}: {why}");
            }
            Err(other) => panic!("{number}: {other}"),
        }
    }
    assert_eq!(database.sql("SELECT count(*) FROM saga"), "52");
}

#[tokio::test]
async fn a_row_that_is_there_already_costs_one_more_attempt_and_no_search_for_it() {
    let database = Server::shared().database();
    let options = calm();
    let sec = options.sec.expect("it writes");
    let store = open(&database, options);
    let mut sagas = Vec::new();
    for _ in 0..64 {
        sagas.push(created(&store, SecId::random()).await);
    }
    let event = |&(owner, id): &(Ownership, SagaId)| started(owner, id, 0);
    all_at_once(&store, vec![event(&sagas[50])]).await;
    let attempts = || -> i64 {
        let number = database.sql(&format!("SELECT writer_batch FROM sec WHERE id = '{sec}'"));
        number.parse().expect("a number")
    };
    let before = attempts();
    for outcome in all_at_once(&store, sagas.iter().map(event).collect()).await {
        assert_eq!(outcome.expect("the same event, or a new one"), [1]);
    }
    // Two batches, perhaps three, and one more attempt; to search by halves would take a dozen.
    assert!((2..8).contains(&(attempts() - before)), "{}", attempts() - before);
}

#[tokio::test]
async fn a_saga_and_its_events_may_come_in_one_batch() {
    let database = Server::shared().database();
    let store = open(&database, calm());
    let creator = SecId::random();
    let owner = Ownership { sec: creator, generation: 1 };
    let sagas: Vec<NewSaga> = (0..20).map(|number| saga(creator, &number.to_string())).collect();
    let ids: Vec<SagaId> = sagas.iter().map(|saga| saga.id).collect();
    let mut writes = Vec::new();
    for saga in sagas {
        let id = saga.id;
        writes.push(create(saga));
        writes.extend((0..3).map(|node| started(owner, id, node)));
    }
    for outcome in all_at_once(&store, writes).await {
        outcome.expect("each saga is there before its events");
    }
    for id in ids {
        assert_eq!(count_events(&*store, id).await, 3);
    }
}

#[tokio::test]
async fn the_same_event_twice_in_one_batch_is_one_event() {
    let database = Server::shared().database();
    let store = open(&database, calm());
    let (owner, id) = created(&store, SecId::random()).await;
    let (stranger, other) = created(&store, SecId::random()).await;
    let twice = vec![started(owner, id, 0), started(stranger, other, 0), started(owner, id, 0)];
    for outcome in all_at_once(&store, twice).await {
        assert_eq!(outcome.expect("the same event"), [1]);
    }
    assert_eq!(count_events(&*store, id).await, 1);
}

#[tokio::test]
async fn nul_characters_are_refused_and_hold_up_nobody() {
    let database = Server::shared().database();
    let store = open(&database, calm());
    let (owner, id) = created(&store, SecId::random()).await;
    let key =
        "INSERT INTO idempotency_key (key, request_digest, saga_id, time_created) VALUES ($1, '', $2, $3)";
    let with_nul = crate::store::sql::Statement::new(key, vec!["a\0b".into(), id.into(), now().into()]);
    let outcomes = all_at_once(&store, vec![Write::one(with_nul), started(owner, id, 0)]).await;
    assert!(matches!(&outcomes[0], Err(StoreError::Refused(_))), "{:?}", outcomes[0]);
    assert!(outcomes[1].is_ok());
}
