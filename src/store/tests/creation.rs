//! Sagas come into being, once each.

use super::{created, moment, new_saga, refused, write};
use crate::store::SharedStore;
use crate::store::error::Rule;
use crate::store::sagas::{IdempotencyKey, NewSaga, create, find_idempotency_key, load_saga};
use crate::wire::ids::{SagaId, SecId};
use crate::wire::sagas::CachedState;

pub(crate) async fn a_created_saga_reads_back(store: &SharedStore) {
    let creator = SecId::random();
    let saga = NewSaga { time_created: moment(7), ..new_saga(creator) };
    write(store, create(saga.clone())).await.expect("a new saga");
    let loaded = load_saga(&**store, saga.id).await.expect("it is readable").expect("it is there");
    assert_eq!(loaded.id, saga.id);
    assert_eq!(loaded.name, saga.name);
    assert_eq!(loaded.state, CachedState::Running);
    assert_eq!(loaded.current_sec, Some(creator));
    assert_eq!(loaded.generation, 1);
    assert_eq!(loaded.events, []);
    let dag: serde_json::Value = serde_json::from_str(&loaded.dag).expect("the DAG is JSON");
    assert_eq!(dag, serde_json::from_str::<serde_json::Value>(&saga.dag).expect("so was the original"));
}

pub(crate) async fn an_id_that_is_taken_is_refused(store: &SharedStore) {
    let saga = new_saga(SecId::random());
    write(store, create(saga.clone())).await.expect("a new saga");
    let again = NewSaga { name: "vpc-create".to_owned(), ..saga.clone() };
    assert_eq!(refused(store, create(again)).await.rule, Rule::Unique);
    let loaded = load_saga(&**store, saga.id).await.expect("it is readable").expect("it is there");
    assert_eq!(loaded.name, saga.name);
}

pub(crate) async fn a_saga_that_is_not_there_is_none(store: &SharedStore) {
    created(store, SecId::random()).await;
    assert_eq!(load_saga(&**store, SagaId::random()).await.expect("no error"), None);
    assert_eq!(find_idempotency_key(&**store, "no such key").await.expect("no error"), None);
}

pub(crate) async fn a_key_leads_to_its_saga(store: &SharedStore) {
    let idempotency = IdempotencyKey { key: "k '1'".to_owned(), request_digest: "d1".to_owned() };
    let saga = NewSaga { idempotency: Some(idempotency), ..new_saga(SecId::random()) };
    let applied = write(store, create(saga.clone())).await.expect("a new saga with a new key");
    assert_eq!(applied.rows, [1, 1]);
    let found = find_idempotency_key(&**store, "k '1'").await.expect("it is readable");
    assert_eq!(found, Some((saga.id, "d1".to_owned())));
}

pub(crate) async fn a_key_that_is_taken_refuses_the_whole_creation(store: &SharedStore) {
    let idempotency = Some(IdempotencyKey { key: "k".to_owned(), request_digest: "d1".to_owned() });
    let first = NewSaga { idempotency: idempotency.clone(), ..new_saga(SecId::random()) };
    let second = NewSaga { idempotency, ..new_saga(SecId::random()) };
    write(store, create(first.clone())).await.expect("a new key");
    assert_eq!(refused(store, create(second.clone())).await.rule, Rule::Unique);
    assert_eq!(load_saga(&**store, second.id).await.expect("no error"), None);
    let found = find_idempotency_key(&**store, "k").await.expect("it is readable");
    assert_eq!(found, Some((first.id, "d1".to_owned())));
}

pub(crate) async fn a_name_fits_its_column_or_is_refused(store: &SharedStore) {
    let named = |length| NewSaga { name: "ü".repeat(length), ..new_saga(SecId::random()) };
    write(store, create(named(128))).await.expect("just fits");
    assert_eq!(refused(store, create(named(129))).await.rule, Rule::Check);
}
