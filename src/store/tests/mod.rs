//! What every store does, whatever is underneath: one suite, run by each backend on a fresh database per test.
//!
//! A backend's tests say `behaviour_suite!(open a fresh one)` where the expression gives a [`Fixture`]. Refusals are
//! compared by their rule, since backends call the same thing by different names (a table's key, an index), except where
//! the schema names it.

pub(crate) mod creation;
pub(crate) mod log;
pub(crate) mod ownership;
pub(crate) mod queue;
pub(crate) mod recovery;
pub(crate) mod secs;

use super::error::{Refusal, StoreError};
use super::sagas::{Event, NewSaga, Ownership, create, record_event};
use super::sql::{Statement, Value};
use super::{Applied, SharedStore, Store, Until, Write};
use crate::wire::ids::{NodeId, SagaId, SecId};
use crate::wire::time::{Time, now};
use std::any::Any;
use std::sync::mpsc::{Receiver, RecvError};

/// A fresh store, with what has to live as long as it does.
pub(crate) struct Fixture {
    pub(crate) store: SharedStore,
    pub(crate) keep: Box<dyn Any + Send>,
}

/// Runs the suite on what an expression opens.
macro_rules! behaviour_suite {
    ($fixture:expr) => {
        behaviour_suite! { @tests $fixture;
            creation: [
                a_created_saga_reads_back,
                an_id_that_is_taken_is_refused,
                a_saga_that_is_not_there_is_none,
                a_key_leads_to_its_saga,
                a_key_that_is_taken_refuses_the_whole_creation,
                a_name_fits_its_column_or_is_refused,
            ],
            log: [
                events_read_back,
                sql_null_and_json_null_are_kept_apart,
                recording_an_event_again_changes_nothing,
                the_same_event_with_other_data_is_refused,
                events_that_are_there_already_harm_no_others,
                event_types_of_a_newer_writer_are_kept,
                an_event_needs_its_saga,
            ],
            ownership: [
                only_the_owner_at_its_generation_writes,
                a_saga_that_moved_is_out_of_reach,
                a_saga_that_moves_is_out_of_reach_at_once,
                effects_need_the_saga_to_be_held,
                states_follow_the_owner,
                an_abandoned_saga_stays_abandoned,
                only_unfinished_sagas_are_abandoned,
                a_state_and_its_metadata_stand_or_fall_together,
            ],
            recovery: [
                candidates_are_the_unfinished_of_one_sec_in_order,
                candidates_come_in_pages,
                unfinished_among_many_are_found,
                summaries_leave_out_what_is_not_there,
            ],
            queue: [
                statements_are_applied_together_or_not_at_all,
                rows_are_counted_per_statement,
                writes_happen_in_the_order_of_their_calls,
                a_dropped_future_takes_nothing_back,
                an_applied_write_tells_its_outcome,
                a_refused_unwaited_write_derails_its_lane_only,
                a_refused_waited_write_derails_nothing,
                a_closed_lane_starts_afresh,
                reads_see_a_prefix_while_writes_go_on,
                many_can_write_and_read_at_once,
            ],
            secs: [
                a_heartbeat_registers_and_freshens,
                an_expunged_sec_never_comes_back,
            ],
        }
    };
    (@tests $fixture:expr; $($module:ident: [$($name:ident),* $(,)?]),* $(,)?) => {
        $(mod $module {
            use super::*;
            $(#[tokio::test]
            async fn $name() {
                let fixture = $fixture;
                crate::store::tests::$module::$name(&fixture.store).await;
                drop(fixture.keep);
            })*
        })*
    };
}
pub(crate) use behaviour_suite;

/// A moment that the database can keep: whole microseconds.
fn moment(offset_micros: i64) -> Time {
    Time::from_timestamp_micros(1_793_870_400_000_000 + offset_micros).expect("a moment in 2026")
}

fn new_saga(creator: SecId) -> NewSaga {
    NewSaga {
        id: SagaId::random(),
        creator,
        time_created: now(),
        name: "project-create".to_owned(),
        dag: r#"{"saga_name":"project-create","graph":{}}"#.to_owned(),
        idempotency: None,
    }
}

/// Creates a saga and says who holds it.
pub(crate) async fn created(store: &SharedStore, creator: SecId) -> (Ownership, SagaId) {
    let saga = new_saga(creator);
    let id = saga.id;
    write(store, create(saga)).await.expect("a new saga");
    (Ownership { sec: creator, generation: 1 }, id)
}

fn event(saga_id: SagaId, node_id: u32, event_type: &str, data: Option<&str>) -> Event {
    Event {
        saga_id,
        node_id: NodeId(node_id),
        event_type: event_type.to_owned(),
        data: data.map(str::to_owned),
        time: now(),
        creator: SecId::from_uuid(uuid::Uuid::nil()),
    }
}

/// The write of a `started` event.
pub(crate) fn started(owner: Ownership, saga_id: SagaId, node_id: u32) -> Write {
    record_event(owner, event(saga_id, node_id, "started", None))
}

/// Writes, and waits until it is durable.
pub(crate) async fn write(store: &SharedStore, write: Write) -> Result<Applied, StoreError> {
    store.write(write, Until::Durable).await
}

async fn refused(store: &SharedStore, refused: Write) -> Refusal {
    match write(store, refused).await {
        Err(StoreError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// What a store gave as its reason when it would have ended the process; an error if it came to its end without one.
pub(crate) async fn last_words(reasons: Receiver<String>) -> Result<String, RecvError> {
    tokio::task::spawn_blocking(move || reasons.recv()).await.expect("no panic")
}

/// How many events a saga has, asked of the database.
pub(crate) async fn count_events(store: &dyn Store, id: SagaId) -> i64 {
    let count = Statement::new("SELECT count(*) FROM saga_node_event WHERE saga_id = $1", vec![id.into()]);
    store.read(count).await.expect("a count")[0].int(0).expect("a number")
}

fn sql(sql: &'static str, params: Vec<Value>) -> Write {
    Write::one(Statement::new(sql, params))
}
