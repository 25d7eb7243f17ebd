//! Who may write what of a saga.

use super::{count_events, created, last_words, moment, refused, sql, started, write};
use crate::store::error::{Refusal, Rule};
use crate::store::sagas::{NOT_OURS, Ownership, abandon_unrecoverable, load_saga, update_state};
use crate::store::sql::{Statement, Value};
use crate::store::{Hold, SharedStore, Until, Write};
use crate::wire::ids::{SagaId, SecId};
use crate::wire::sagas::CachedState;
use futures::FutureExt;
use std::sync::mpsc::Receiver;

fn not_ours() -> Refusal {
    Refusal { rule: Rule::RowCount, what: NOT_OURS.to_owned() }
}

async fn state_of(store: &SharedStore, id: SagaId) -> CachedState {
    load_saga(&**store, id).await.expect("it is readable").expect("it is there").state
}

pub(crate) async fn only_the_owner_at_its_generation_writes(store: &SharedStore) {
    let (owner, id) = created(store, SecId::random()).await;
    let strangers = [
        Ownership { sec: SecId::random(), ..owner },
        Ownership { generation: 0, ..owner },
        Ownership { generation: 2, ..owner },
    ];
    for stranger in strangers {
        assert_eq!(refused(store, started(stranger, id, 0)).await, not_ours());
        assert_eq!(refused(store, update_state(stranger, id, CachedState::Done)).await, not_ours());
        let abandoned = write(store, abandon_unrecoverable(stranger, id, "no", moment(0))).await;
        assert_eq!(abandoned.expect("no error").rows, [0], "somebody else takes care of it");
    }
    assert_eq!(count_events(&**store, id).await, 0);
    assert_eq!(state_of(store, id).await, CachedState::Running);
}

pub(crate) async fn a_saga_that_moved_is_out_of_reach(store: &SharedStore) {
    let (before, id) = created(store, SecId::random()).await;
    write(store, started(before, id, 0)).await.expect("still the owner");
    let after = Ownership { sec: SecId::random(), generation: 2 };
    write(store, moved(id, after)).await.expect("an operator's change");
    // Not even what it has written itself may be written again.
    assert_eq!(refused(store, started(before, id, 0)).await, not_ours());
    assert_eq!(refused(store, started(before, id, 1)).await, not_ours());
    assert_eq!(refused(store, update_state(before, id, CachedState::Unwinding)).await, not_ours());
    // The new owner finds the same event there and may repeat it.
    write(store, started(after, id, 0)).await.expect("the same event");
    write(store, started(after, id, 1)).await.expect("the next event");
    write(store, update_state(after, id, CachedState::Unwinding)).await.expect("the new owner's state");
    let log = load_saga(&**store, id).await.expect("it is readable").expect("it is there").events;
    let writers: Vec<_> = log.iter().map(|event| event.creator).collect();
    assert_eq!(writers, [before.sec, after.sec]);
}

pub(crate) async fn a_saga_that_moves_is_out_of_reach_at_once(store: &SharedStore) {
    let (before, id) = created(store, SecId::random()).await;
    let after = Ownership { sec: SecId::random(), generation: 2 };
    let writes = [
        started(before, id, 0),
        started(before, id, 1),
        moved(id, after),
        started(before, id, 2),
        started(after, id, 3),
    ];
    // All at once, so that what was held before is fresh in the writer's memory.
    let outcomes: Vec<_> = writes.into_iter().map(|write| store.write(write, Until::Durable)).collect();
    let applied: Vec<bool> = futures::future::join_all(outcomes).await.iter().map(Result::is_ok).collect();
    assert_eq!(applied, [true, true, true, false, true]);
    assert_eq!(count_events(&**store, id).await, 3);
}

/// What an operator does to a saga.
pub(crate) fn moved(id: SagaId, to: Ownership) -> Write {
    sql(
        "UPDATE saga SET current_sec = $1, adopt_generation = $2 WHERE id = $3",
        vec![to.sec.into(), Value::Int(to.generation), id.into()],
    )
}

/// A row of a saga that needs it to be held.
fn held_effect(id: SagaId, key: &str, hold: Hold) -> Write {
    let insert =
        "INSERT INTO idempotency_key (key, request_digest, saga_id, time_created) VALUES ($1, 'd', $2, $3)";
    sql(insert, vec![key.into(), id.into(), moment(0).into()]).in_lane(id).held(Some(hold))
}

async fn keys_of(store: &SharedStore) -> Vec<String> {
    let keys = Statement::new("SELECT key FROM idempotency_key ORDER BY key", vec![]);
    let keys = store.read(keys).await.expect("it is readable");
    keys.iter().map(|row| row.text(0).expect("text").to_owned()).collect()
}

/// With stores that tell their reason where they would end the process.
pub(crate) async fn unwaited_writes_of_anothers_saga_end_the_process(
    open: impl Fn() -> (SharedStore, Receiver<String>),
) {
    let event = |owner: Ownership, id| started(Ownership { generation: 9, ..owner }, id, 0);
    let effect =
        |owner: Ownership, id| held_effect(id, "late", Hold { saga: id, sec: owner.sec, generation: 9 });
    let kinds: [&dyn Fn(Ownership, SagaId) -> Write; 2] = [&event, &effect];
    for of_anothers in kinds {
        let (store, reasons) = open();
        let (owner, id) = created(&store, SecId::random()).await;
        store.write_unwaited(of_anothers(owner, id));
        let late = store.write(started(owner, id, 1), Until::Durable);
        let reason = last_words(reasons).await.expect("a reason");
        assert!(reason.ends_with(&format!("saga {id}: {}", not_ours())), "{reason}");
        assert!(late.now_or_never().is_none(), "whoever waits is told nothing");
        assert_eq!(count_events(&*store, id).await, 0);
        assert!(keys_of(&store).await.is_empty());
    }
}

pub(crate) async fn effects_need_the_saga_to_be_held(store: &SharedStore) {
    let (owner, id) = created(store, SecId::random()).await;
    let hold = Hold { saga: id, sec: owner.sec, generation: owner.generation };
    let effect = |key, hold| held_effect(id, key, hold);
    assert_eq!(write(store, effect("one", hold)).await.expect("it is held").rows, [1]);
    let strangers = [
        Hold { sec: SecId::random(), ..hold },
        Hold { generation: 2, ..hold },
        Hold { saga: SagaId::random(), ..hold },
    ];
    for (stranger, key) in strangers.into_iter().zip(["two", "three", "four"]) {
        assert_eq!(refused(store, effect(key, stranger)).await, not_ours());
    }
    // Together in one batch.
    let after = [effect("five", strangers[0]), effect("six", hold), effect("seven", strangers[1])];
    let outcomes = after.map(|effect| store.write(effect, Until::Durable));
    let [five, six, seven] = futures::future::join_all(outcomes).await.try_into().expect("three outcomes");
    assert!(five.is_err() && seven.is_err());
    assert_eq!(six.expect("it is held").rows, [1]);
    assert_eq!(keys_of(store).await, ["one", "six"]);
}

pub(crate) async fn states_follow_the_owner(store: &SharedStore) {
    let (owner, id) = created(store, SecId::random()).await;
    for state in [CachedState::Unwinding, CachedState::Running, CachedState::Done, CachedState::Done] {
        let applied = write(store, update_state(owner, id, state)).await.expect("the owner's state");
        assert_eq!(applied.rows, [1]);
        assert_eq!(state_of(store, id).await, state);
    }
}

pub(crate) async fn an_abandoned_saga_stays_abandoned(store: &SharedStore) {
    let (owner, id) = created(store, SecId::random()).await;
    let applied = write(store, abandon_unrecoverable(owner, id, "bad DAG", moment(3))).await;
    assert_eq!(applied.expect("no error").rows, [1]);
    for state in [CachedState::Running, CachedState::Unwinding, CachedState::Done] {
        assert_eq!(refused(store, update_state(owner, id, state)).await, not_ours());
    }
    let again = write(store, abandon_unrecoverable(owner, id, "another reason", moment(4))).await;
    assert_eq!(again.expect("no error").rows, [0]);
    let metadata = Statement::new(
        "SELECT abandon_time, abandon_comment FROM saga WHERE id = $1 AND abandon_reason = 'unrecoverable'",
        vec![id.into()],
    );
    let rows = store.read(metadata).await.expect("it is readable");
    assert_eq!(rows[0].time(0).expect("a time"), moment(3));
    assert_eq!(rows[0].text(1).expect("a comment"), "bad DAG");
    assert_eq!(state_of(store, id).await, CachedState::Abandoned);
}

pub(crate) async fn only_unfinished_sagas_are_abandoned(store: &SharedStore) {
    let (owner, id) = created(store, SecId::random()).await;
    write(store, update_state(owner, id, CachedState::Done)).await.expect("the owner's state");
    let applied = write(store, abandon_unrecoverable(owner, id, "too late", moment(0))).await;
    assert_eq!(applied.expect("no error").rows, [0]);
    assert_eq!(state_of(store, id).await, CachedState::Done);

    let (owner, id) = created(store, SecId::random()).await;
    write(store, update_state(owner, id, CachedState::Unwinding)).await.expect("the owner's state");
    let applied = write(store, abandon_unrecoverable(owner, id, "while unwinding", moment(0))).await;
    assert_eq!(applied.expect("no error").rows, [1]);
}

pub(crate) async fn a_state_and_its_metadata_stand_or_fall_together(store: &SharedStore) {
    let (_, id) = created(store, SecId::random()).await;
    let table = [
        ("UPDATE saga SET saga_state = 'abandoned' WHERE id = $1", "abandoned_requires_metadata"),
        (
            "UPDATE saga SET saga_state = 'abandoned', abandon_reason = 'omdb', abandon_comment = 'x' WHERE id = $1",
            "abandoned_requires_metadata",
        ),
        ("UPDATE saga SET abandon_comment = 'x' WHERE id = $1", "not_abandoned_requires_no_metadata"),
    ];
    for (text, constraint) in table {
        let refusal = refused(store, sql(text, vec![id.into()])).await;
        assert_eq!(refusal, Refusal { rule: Rule::Check, what: constraint.to_owned() });
    }
}
