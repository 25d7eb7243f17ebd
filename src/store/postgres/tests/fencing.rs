//! Once a SEC is out of service, or somebody else writes under its id, nothing of it lands any more.

use super::{calm, count, open, stopping};
use crate::scratch_postgres::Server;
use crate::store::error::StoreError;
use crate::store::postgres::{OpenOptions, PostgresStore};
use crate::store::secs::{adopt_unfinished, expunge, list_secs};
use crate::store::sql::Statement;
use crate::store::tests::ownership::unwaited_writes_of_anothers_saga_end_the_process;
use crate::store::tests::{count_events, created, last_words, started, write};
use crate::store::{Hold, Store, Until, Write};
use crate::wire::ids::SecId;
use crate::wire::time::now;

async fn sec_of(store: &dyn Store) -> (SecId, crate::wire::time::Time) {
    let secs = list_secs(store).await.expect("a registry");
    let [sec] = &secs[..] else { panic!("one SEC, found {secs:?}") };
    (sec.id, sec.time_started)
}

#[tokio::test]
async fn an_expunged_sec_writes_nothing_and_ends() {
    let database = Server::shared().database();
    let (options, reasons) = stopping(SecId::random());
    let zombie = open(&database, options);
    let (sec, time_started) = sec_of(&*zombie).await;
    let (owner, id) = created(&zombie, sec).await;
    let operator = open(&database, calm());
    write(&operator, expunge(sec, time_started)).await.expect("it is active");

    // An event, an effect of its own saga, and what has nothing to do with sagas.
    let hold = Hold { saga: id, sec, generation: 1 };
    let key =
        "INSERT INTO idempotency_key (key, request_digest, saga_id, time_created) VALUES ($1, 'd', $2, $3)";
    let effect = Write::one(Statement::new(key, vec!["k".into(), id.into(), now().into()]));
    let late = [
        zombie.write(started(owner, id, 0), Until::Durable),
        zombie.write(effect.clone().in_lane(id).held(Some(hold)), Until::Durable),
        zombie.write(effect, Until::Durable),
    ];
    let reason = last_words(reasons).await.expect("a reason");
    assert!(reason.ends_with(&format!(": SEC {sec} has been expunged")), "{reason}");
    // Whoever waited still waits, as if the process had ended.
    for late in late {
        assert!(futures::FutureExt::now_or_never(late).is_none());
    }
    assert_eq!(count_events(&*operator, id).await, 0);
    assert_eq!(count(&*operator, "SELECT count(*) FROM idempotency_key").await, 0);
    // Nor does it come back.
    let (options, _reasons) = stopping(sec);
    match PostgresStore::open(&database.url(), options) {
        Err(StoreError::Unusable(text)) => assert_eq!(text, format!("SEC {sec} has been expunged")),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn what_nobody_waits_for_ends_the_process_too_if_its_saga_is_anothers() {
    let database = Server::shared().database();
    unwaited_writes_of_anothers_saga_end_the_process(|| {
        let (options, reasons) = stopping(SecId::random());
        (open(&database, options), reasons)
    })
    .await;
}

#[tokio::test]
async fn what_an_expunged_sec_was_about_to_commit_is_waited_for() {
    let database = Server::shared().database();
    let (options, reasons) = stopping(SecId::random());
    let store = open(&database, options);
    let (sec, time_started) = sec_of(&*store).await;
    let (owner, id) = created(&store, sec).await;
    // The operator's change and the event go for the same row; whoever is first, they do not mix.
    let operator = open(&database, calm());
    let event = store.write(started(owner, id, 0), Until::Durable);
    write(&operator, expunge(sec, time_started)).await.expect("it is active");
    let events = count_events(&*operator, id).await;
    // Its writer is done with the event when it has either ended for lack of work or stopped for good.
    drop(store);
    let ended = last_words(reasons).await;
    let is_acknowledged = match futures::FutureExt::now_or_never(event) {
        Some(Ok(_)) => true,
        Some(Err(error)) => panic!("nobody is told of a write that a SEC out of service left: {error}"),
        None => false,
    };
    assert_eq!((events, ended.is_err()), if is_acknowledged { (1, true) } else { (0, false) });
    // From here on it stays as it is.
    let adopter = operator;
    let applied =
        write(&adopter, adopt_unfinished(SecId::random(), sec, now(), 10)).await.expect("an adoption");
    assert_eq!(applied.rows, [1]);
    assert_eq!(count_events(&*adopter, id).await, events);
}

#[tokio::test]
async fn the_process_that_starts_later_writes_and_the_earlier_ends() {
    let database = Server::shared().database();
    let sec = SecId::random();
    let (options, reasons) = stopping(sec);
    let earlier = open(&database, options);
    let (owner, id) = created(&earlier, sec).await;
    let later = open(&database, OpenOptions { sec: Some(sec), ..calm() });
    write(&later, started(owner, id, 0)).await.expect("it has taken over");
    let late = earlier.write(started(owner, id, 1), Until::Durable);
    let reason = last_words(reasons).await.expect("a reason");
    assert!(reason.ends_with(&format!(": another process has started as SEC {sec}")), "{reason}");
    drop(late);
    write(&later, started(owner, id, 2)).await.expect("it goes on");
    assert_eq!(count_events(&*later, id).await, 2);
}

#[tokio::test]
async fn adopters_share_what_is_left_and_each_saga_moves_once() {
    let database = Server::shared().database();
    let (gone, adopters) = (open(&database, calm()), [open(&database, calm()), open(&database, calm())]);
    let secs = list_secs(&*gone).await.expect("a registry");
    let sec = secs[0].id;
    for _ in 0..50 {
        created(&gone, sec).await;
    }
    let heirs = [SecId::random(), SecId::random()];
    let adopt = |index: usize| {
        let (store, heir) = (adopters[index].clone(), heirs[index]);
        async move {
            let mut adopted = 0;
            loop {
                let rows =
                    write(&store, adopt_unfinished(heir, sec, now(), 7)).await.expect("an adoption").rows;
                if rows == [0] {
                    return adopted;
                }
                adopted += rows[0];
            }
        }
    };
    assert_eq!(adopt(0).await, 0, "it is still in service");
    let time_started = secs[0].time_started;
    write(&adopters[0], expunge(sec, time_started)).await.expect("it is active");
    let (one, other) = tokio::join!(adopt(0), adopt(1));
    assert_eq!(one + other, 50);
    assert_eq!(count(&*adopters[0], "SELECT count(*) FROM saga WHERE adopt_generation = 2").await, 50);
}
