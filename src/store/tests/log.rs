//! A saga's log holds what happened, once.

use super::{created, event, moment, refused, started, write};
use crate::store::error::{Refusal, Rule};
use crate::store::sagas::{Event, NOT_OURS, Ownership, load_log, record_event};
use crate::store::{SharedStore, Until};
use crate::wire::ids::{NodeId, SagaId, SecId};

pub(crate) async fn events_read_back(store: &SharedStore) {
    let (owner, id) = created(store, SecId::random()).await;
    let largest = u32::MAX;
    for (node, event_type, data) in [
        (3, "started", None),
        (3, "failed", Some(r#""InjectedError""#)),
        (largest, "started", None),
        (0, "succeeded", Some("17")),
    ] {
        let recorded =
            record_event(owner, Event { time: moment(node.into()), ..event(id, node, event_type, data) });
        assert_eq!(write(store, recorded).await.expect("a new event").rows, [1]);
    }
    // Another saga's events stay its own.
    let (_, other) = created(store, owner.sec).await;
    write(store, started(owner, other, 3)).await.expect("the same node of another saga");

    let mut log = load_log(&**store, id).await.expect("it is readable");
    log.sort_by(|a, b| (a.node_id, &a.event_type).cmp(&(b.node_id, &b.event_type)));
    let expected = [
        (0, "succeeded", Some("17")),
        (3, "failed", Some(r#""InjectedError""#)),
        (3, "started", None),
        (largest, "started", None),
    ]
    .map(|(node, event_type, data)| Event {
        saga_id: id,
        node_id: NodeId(node),
        event_type: event_type.to_owned(),
        data: data.map(str::to_owned),
        time: moment(node.into()),
        creator: owner.sec,
    });
    assert_eq!(log, expected);
}

pub(crate) async fn sql_null_and_json_null_are_kept_apart(store: &SharedStore) {
    let (owner, id) = created(store, SecId::random()).await;
    write(store, record_event(owner, event(id, 1, "succeeded", Some("null")))).await.expect("JSON null");
    write(store, record_event(owner, event(id, 2, "succeeded", None))).await.expect("SQL NULL");
    let log = load_log(&**store, id).await.expect("it is readable");
    let data: Vec<_> = log.iter().map(|event| event.data.as_deref()).collect();
    assert_eq!(data, [Some("null"), None]);
}

pub(crate) async fn recording_an_event_again_changes_nothing(store: &SharedStore) {
    let (owner, id) = created(store, SecId::random()).await;
    for data in [None, Some(r#"{"a":1}"#)] {
        let first = Event { time: moment(1), ..event(id, 5, "succeeded", data) };
        let first = Event { node_id: NodeId(u32::from(data.is_some())), ..first };
        let again = Event { time: moment(2), ..first.clone() };
        write(store, record_event(owner, first)).await.expect("a new event");
        assert_eq!(write(store, record_event(owner, again)).await.expect("the same event").rows, [1]);
    }
    let log = load_log(&**store, id).await.expect("it is readable");
    assert_eq!(log.len(), 2);
    for event in log {
        assert_eq!(event.time, moment(1), "the first stands");
    }
}

pub(crate) async fn the_same_event_with_other_data_is_refused(store: &SharedStore) {
    let (owner, id) = created(store, SecId::random()).await;
    let versions = [Some("1"), Some("2"), Some("null"), None];
    for (node, &first) in (0..).zip(&versions) {
        write(store, record_event(owner, event(id, node, "succeeded", first))).await.expect("a new event");
        for &other in versions.iter().filter(|&&other| other != first) {
            let refusal = refused(store, record_event(owner, event(id, node, "succeeded", other))).await;
            assert_eq!(refusal, Refusal { rule: Rule::RowCount, what: NOT_OURS.to_owned() });
        }
    }
    let log = load_log(&**store, id).await.expect("it is readable");
    let data: Vec<_> = log.iter().map(|event| event.data.as_deref()).collect();
    assert_eq!(data, versions);
}

pub(crate) async fn events_that_are_there_already_harm_no_others(store: &SharedStore) {
    let sec = SecId::random();
    let mut sagas = Vec::new();
    for _ in 0..20 {
        sagas.push(created(store, sec).await);
    }
    let done = |(owner, id), data| record_event(owner, event(id, 0, "succeeded", Some(data)));
    write(store, done(sagas[7], "1")).await.expect("a new event");
    write(store, done(sagas[13], "2")).await.expect("a new event");
    // All at once, so that they are carried out together.
    let outcomes = sagas.iter().map(|&saga| store.write(done(saga, "1"), Until::Durable));
    let outcomes = futures::future::join_all(outcomes.collect::<Vec<_>>()).await;
    for (number, (outcome, (_, id))) in outcomes.iter().zip(&sagas).enumerate() {
        assert_eq!(outcome.is_ok(), number != 13, "{outcome:?}");
        let log = load_log(&**store, *id).await.expect("it is readable");
        let expected = if number == 13 { "2" } else { "1" };
        assert_eq!(log.iter().map(|event| event.data.as_deref()).collect::<Vec<_>>(), [Some(expected)]);
    }
}

pub(crate) async fn event_types_of_a_newer_writer_are_kept(store: &SharedStore) {
    let (owner, id) = created(store, SecId::random()).await;
    let longest = "x".repeat(31);
    write(store, record_event(owner, event(id, 0, &longest, None))).await.expect("just fits");
    let log = load_log(&**store, id).await.expect("it is readable");
    assert_eq!(log[0].event_type, longest);
    assert_eq!(
        refused(store, record_event(owner, event(id, 0, &"x".repeat(32), None))).await.rule,
        Rule::Check
    );
}

pub(crate) async fn an_event_needs_its_saga(store: &SharedStore) {
    let owner = Ownership { sec: SecId::random(), generation: 1 };
    let refusal = refused(store, started(owner, SagaId::random(), 0)).await;
    assert_eq!(refusal, Refusal { rule: Rule::RowCount, what: NOT_OURS.to_owned() });
}
