//! One queue: in order, together, and each write for itself.

use super::{count_events, created, event, moment, refused, sql, started, write};
use crate::store::error::{Rule, StoreError};
use crate::store::sagas::{NOT_OURS, Ownership, heartbeat, load_log, load_saga, record_event, update_state};
use crate::store::sql::Statement;
use crate::store::{SharedStore, Until, Write};
use crate::wire::ids::{SagaId, SecId};
use crate::wire::sagas::CachedState;
use std::sync::Arc;

const RENAME: &str = "UPDATE sec SET internal_address = $1 WHERE id = $2";

async fn address_of(store: &SharedStore, sec: SecId) -> String {
    let row = Statement::new("SELECT internal_address FROM sec WHERE id = $1", vec![sec.into()]);
    store.read(row).await.expect("it is readable")[0].text(0).expect("text").to_owned()
}

async fn registered(store: &SharedStore) -> SecId {
    let sec = SecId::random();
    write(store, heartbeat(sec, "0", moment(0), moment(0))).await.expect("a new SEC");
    sec
}

pub(crate) async fn statements_are_applied_together_or_not_at_all(store: &SharedStore) {
    let sec = registered(store).await;
    let (owner, id) = created(store, sec).await;
    let rename = |to: &str| Statement::new(RENAME, vec![to.into(), sec.into()]);
    let nobody = || Statement::new(RENAME, vec!["x".into(), SecId::random().into()]);
    let duplicate = || {
        Statement::new(
            "INSERT INTO idempotency_key (key, request_digest, saga_id, time_created) \
                           VALUES ('k', 'd', $1, $2)",
            vec![id.into(), moment(0).into()],
        )
    };

    // Refused by a constraint, by a count; in the middle and at the end.
    let refusals = [
        (vec![rename("1"), duplicate(), duplicate()], Rule::Unique),
        (vec![rename("1"), nobody().changing_one("nobody"), rename("2")], Rule::RowCount),
        (vec![duplicate(), rename("1"), nobody().changing_one("nobody")], Rule::RowCount),
    ];
    for (statements, rule) in refusals {
        assert_eq!(refused(store, Write::all(statements)).await.rule, rule);
        assert_eq!(address_of(store, sec).await, "0");
    }
    // What was undone is not in the way, and what came after a refusal is not touched by it.
    let event = started(owner, id, 0).statements;
    let all = Write::all([vec![rename("1"), duplicate()], event].concat());
    assert_eq!(write(store, all).await.expect("no rule is broken").rows, [1, 1, 1]);
    assert_eq!(address_of(store, sec).await, "1");
    assert_eq!(count_events(&**store, id).await, 1);
}

pub(crate) async fn rows_are_counted_per_statement(store: &SharedStore) {
    for _ in 0..3 {
        registered(store).await;
    }
    let everybody =
        Statement::new("UPDATE sec SET internal_address = $1 WHERE internal_address = '0'", vec!["x".into()]);
    let nobody = Statement::new("DELETE FROM sec WHERE state = 'expunged'", vec![]);
    let applied = write(store, Write::all(vec![nobody, everybody])).await.expect("no rule is broken");
    assert_eq!(applied.rows, [0, 3]);
    assert_eq!(write(store, Write::all(vec![])).await.expect("nothing to refuse").rows, [0; 0]);
}

pub(crate) async fn writes_happen_in_the_order_of_their_calls(store: &SharedStore) {
    let sec = registered(store).await;
    // Each step is possible only right after the one before it.
    let step = |from: u32| {
        Write::one(
            Statement::new(
                "UPDATE sec SET internal_address = $1 WHERE id = $2 AND internal_address = $3",
                vec![(from + 1).to_string().into(), sec.into(), from.to_string().into()],
            )
            .changing_one("out of order"),
        )
    };
    let handed_over: Vec<_> = (0..500)
        .map(|from| store.write(step(from), if from % 3 == 0 { Until::Applied } else { Until::Durable }))
        .collect();
    // Asked for last to first, and some not at all.
    for (from, outcome) in handed_over.into_iter().enumerate().rev().filter(|(from, _)| from % 7 != 0) {
        outcome.await.unwrap_or_else(|error| panic!("step {from}: {error}"));
    }
    assert_eq!(address_of(store, sec).await, "500");
}

pub(crate) async fn a_dropped_future_takes_nothing_back(store: &SharedStore) {
    let sec = registered(store).await;
    drop(store.write(sql(RENAME, vec!["1".into(), sec.into()]), Until::Durable));
    // Durable implies that all before it is.
    write(store, Write::all(vec![])).await.expect("nothing to refuse");
    assert_eq!(address_of(store, sec).await, "1");
}

pub(crate) async fn an_applied_write_tells_its_outcome(store: &SharedStore) {
    let (owner, id) = created(store, SecId::random()).await;
    let applied = store.write(started(owner, id, 0), Until::Applied).await;
    assert_eq!(applied.expect("a new event").rows, [1]);
    let stranger = Ownership { generation: 9, ..owner };
    let refused = store.write(started(stranger, id, 1), Until::Applied).await;
    assert!(matches!(refused, Err(StoreError::Refused(refusal)) if refusal.what == NOT_OURS));
}

/// An event that no log can hold, because its type is too long.
fn impossible(owner: Ownership, id: SagaId, node: u32) -> Write {
    record_event(owner, event(id, node, &"x".repeat(32), None))
}

pub(crate) async fn a_refused_unwaited_write_derails_its_lane_only(store: &SharedStore) {
    let (owner, derailed) = created(store, SecId::random()).await;
    let (_, other) = created(store, owner.sec).await;
    store.write_unwaited(started(owner, derailed, 0));
    store.write_unwaited(impossible(owner, derailed, 1));
    store.write_unwaited(started(owner, derailed, 2));
    store.write_unwaited(started(owner, other, 2));
    for until in [Until::Applied, Until::Durable] {
        let late = store.write(update_state(owner, derailed, CachedState::Done), until).await;
        let Err(StoreError::Derailed(refusal)) = late else {
            panic!("expected a derailed lane, got {late:?}")
        };
        assert_eq!(refusal.rule, Rule::Check);
    }
    store.write_unwaited(started(owner, derailed, 3));
    write(store, update_state(owner, other, CachedState::Done)).await.expect("another lane");

    let log = load_log(&**store, derailed).await.expect("it is readable");
    assert_eq!(log.iter().map(|event| event.node_id.0).collect::<Vec<_>>(), [0]);
    let state = load_saga(&**store, derailed).await.expect("it is readable").expect("it is there").state;
    assert_eq!(state, CachedState::Running);
    assert_eq!(count_events(&**store, other).await, 1);
}

pub(crate) async fn a_refused_waited_write_derails_nothing(store: &SharedStore) {
    let (owner, id) = created(store, SecId::random()).await;
    let stranger = Ownership { generation: 9, ..owner };
    for until in [Until::Applied, Until::Durable] {
        store.write(started(stranger, id, 0), until).await.expect_err("not its owner");
    }
    store.write_unwaited(started(owner, id, 1));
    write(store, started(owner, id, 2)).await.expect("the lane is as before");
    assert_eq!(count_events(&**store, id).await, 2);
}

pub(crate) async fn a_closed_lane_starts_afresh(store: &SharedStore) {
    let (owner, id) = created(store, SecId::random()).await;
    store.write_unwaited(impossible(owner, id, 0));
    store.write_unwaited(started(owner, id, 1));
    store.close_lane(id);
    store.write_unwaited(started(owner, id, 2));
    write(store, started(owner, id, 3)).await.expect("the lane was forgotten");
    let log = load_log(&**store, id).await.expect("it is readable");
    assert_eq!(log.iter().map(|event| event.node_id.0).collect::<Vec<_>>(), [2, 3]);
}

pub(crate) async fn reads_see_a_prefix_while_writes_go_on(store: &SharedStore) {
    const EVENTS: u32 = 3000;
    let (owner, id) = created(store, SecId::random()).await;
    let write = |node| record_event(owner, event(id, node, "succeeded", Some("[1, 2, 3]")));
    for node in 0..EVENTS - 1 {
        store.write_unwaited(write(node));
    }
    let mut last = store.write(write(EVENTS - 1), Until::Durable);
    let mut seen = 0;
    loop {
        // Whether the writes are over is asked before the read, so that the last read sees all of them.
        let over = futures::poll!(&mut last);
        let rows = store
            .read(Statement::new(
                "SELECT count(*), max(node_id) FROM saga_node_event WHERE saga_id = $1",
                vec![id.into()],
            ))
            .await
            .expect("reads do not wait for writes");
        let count = rows[0].int(0).expect("a count");
        let highest = rows[0].opt(1, crate::store::sql::Row::int).expect("a number");
        assert_eq!(count, highest.map_or(0, |highest| highest + 1), "a prefix, without gaps");
        assert!(count >= seen, "what was read once is durable");
        seen = count;
        if let std::task::Poll::Ready(outcome) = over {
            outcome.expect("the owner's event");
            break;
        }
    }
    assert_eq!(seen, i64::from(EVENTS));
}

pub(crate) async fn many_can_write_and_read_at_once(store: &SharedStore) {
    let sec = SecId::random();
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let (owner, id) = created(&store, sec).await;
                for node in 0..10 {
                    write(&store, started(owner, id, node)).await.expect("the owner's event");
                    assert_eq!(
                        count_events(&*store, id).await,
                        i64::from(node) + 1,
                        "acknowledged is readable"
                    );
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}
