//! What recovery asks for.

use super::{created, moment, new_saga, write};
use crate::store::SharedStore;
use crate::store::sagas::{
    NewSaga, abandon_unrecoverable, create, find_summaries, find_unfinished_among, list_recovery_candidates,
    update_state,
};
use crate::wire::ids::{SagaId, SecId};
use crate::wire::sagas::CachedState;

/// One saga of `sec` in each state, then one of another SEC; in the order running, unwinding, done, abandoned, foreign.
async fn one_of_each(store: &SharedStore, sec: SecId) -> [SagaId; 5] {
    let (_, running) = created(store, sec).await;
    let (owner, unwinding) = created(store, sec).await;
    let (_, done) = created(store, sec).await;
    let (_, abandoned) = created(store, sec).await;
    let (_, foreign) = created(store, SecId::random()).await;
    for change in [
        update_state(owner, unwinding, CachedState::Unwinding),
        update_state(owner, done, CachedState::Done),
        abandon_unrecoverable(owner, abandoned, "why", moment(0)),
    ] {
        write(store, change).await.expect("the owner's change");
    }
    [running, unwinding, done, abandoned, foreign]
}

pub(crate) async fn candidates_are_the_unfinished_of_one_sec_in_order(store: &SharedStore) {
    let sec = SecId::random();
    let [running, unwinding, ..] = one_of_each(store, sec).await;
    let [later_running, later_unwinding, ..] = one_of_each(store, sec).await;
    let found = list_recovery_candidates(&**store, sec, None, 100).await.expect("it is readable");
    let mut expected = [running, unwinding, later_running, later_unwinding];
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(list_recovery_candidates(&**store, SecId::random(), None, 100).await.expect("no error"), []);
}

pub(crate) async fn candidates_come_in_pages(store: &SharedStore) {
    const PAGE: u32 = 4;
    for total in [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE] {
        let sec = SecId::random();
        let mut expected = Vec::new();
        for _ in 0..total {
            expected.push(created(store, sec).await.1);
        }
        expected.sort();
        let mut found = Vec::new();
        let mut pages = 0;
        loop {
            let page = list_recovery_candidates(&**store, sec, found.last().copied(), PAGE).await;
            let page = page.expect("it is readable");
            assert!(page.len() <= PAGE as usize);
            pages += 1;
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(found, expected);
        assert_eq!(pages, total.div_ceil(PAGE) + 1, "full pages, then an empty one");
    }
}

pub(crate) async fn unfinished_among_many_are_found(store: &SharedStore) {
    let sec = SecId::random();
    let [running, unwinding, done, abandoned, foreign] = one_of_each(store, sec).await;
    assert_eq!(find_unfinished_among(&**store, sec, &[]).await.expect("no error"), []);
    let asked = [foreign, unwinding, abandoned, SagaId::random(), done];
    assert_eq!(find_unfinished_among(&**store, sec, &asked).await.expect("it is readable"), [unwinding]);

    // More than one question's worth, with something to be found in the first and the last.
    let mut asked = vec![running];
    asked.extend((0..2500).map(|_| SagaId::random()));
    asked.push(unwinding);
    let mut found = find_unfinished_among(&**store, sec, &asked).await.expect("it is readable");
    found.sort();
    let mut expected = [running, unwinding];
    expected.sort();
    assert_eq!(found, expected);
}

pub(crate) async fn summaries_leave_out_what_is_not_there(store: &SharedStore) {
    let sec = SecId::random();
    let saga = NewSaga { time_created: moment(11), name: "demo".to_owned(), ..new_saga(sec) };
    write(store, create(saga.clone())).await.expect("a new saga");
    let found = find_summaries(&**store, &[SagaId::random(), saga.id]).await.expect("it is readable");
    let [summary] = found.try_into().expect("one of the two");
    assert_eq!(summary.id, saga.id);
    assert_eq!(summary.name, "demo");
    assert_eq!(summary.state, "running");
    assert_eq!(summary.current_sec, Some(sec));
    assert_eq!(summary.time_created, moment(11));
    assert_eq!(find_summaries(&**store, &[]).await.expect("no error"), []);
}
