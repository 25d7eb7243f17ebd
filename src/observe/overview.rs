//! What a database says of sagas, as it travels from a coordinator that looked at it.

use super::database::{Counted, DatabaseView, SagaCounts, SagaNames};
use super::sagas::count::{Group, Key};
use crate::wire::overview as wire;

impl From<DatabaseView> for wire::DatabaseOverview {
    fn from(view: DatabaseView) -> Self {
        let DatabaseView { source, names, failed_sagas, sagas } = view;
        Self {
            source,
            recovered: names.map(|names| names.into_values().collect()),
            failed: failed_sagas,
            counts: sagas.map(wire::SagaCounts::from),
        }
    }
}

impl From<wire::DatabaseOverview> for DatabaseView {
    fn from(overview: wire::DatabaseOverview) -> Self {
        let wire::DatabaseOverview { source, recovered, failed, counts } = overview;
        Self {
            names: recovered
                .map(|sagas| SagaNames::from_iter(sagas.into_iter().map(|saga| (saga.saga_id, saga)))),
            failed_sagas: failed,
            sagas: counts.map(|counts| SagaCounts::of_source(&source, counts)),
            source,
        }
    }
}

impl SagaCounts {
    fn of_source(source: &str, counts: wire::SagaCounts) -> Self {
        let wire::SagaCounts { unfinished, newest } = counts;
        Self { source: source.to_owned(), unfinished: unfinished.into(), newest: newest.into() }
    }
}

impl From<SagaCounts> for wire::SagaCounts {
    fn from(counts: SagaCounts) -> Self {
        let SagaCounts { source: _, unfinished, newest } = counts;
        Self { unfinished: unfinished.into(), newest: newest.into() }
    }
}

impl From<Counted> for wire::CountedSagas {
    fn from(counted: Counted) -> Self {
        let Counted { counted, complete, groups } = counted;
        Self { counted, complete, groups: groups.into_iter().map(wire::SagaGroup::from).collect() }
    }
}

impl From<wire::CountedSagas> for Counted {
    fn from(counted: wire::CountedSagas) -> Self {
        let wire::CountedSagas { counted, complete, groups } = counted;
        Self { counted, complete, groups: groups.into_iter().map(Group::from).collect() }
    }
}

impl From<Group> for wire::SagaGroup {
    fn from(group: Group) -> Self {
        let Group { mut shared, count } = group;
        let mut take = |key| {
            let place = shared.iter().position(|(of, _)| *of == key)?;
            Some(shared.swap_remove(place).1)
        };
        Self {
            name: take(Key::Name).expect("sagas are counted by name here"),
            state: take(Key::State).expect("sagas are counted by state here"),
            outcome: take(Key::Outcome),
            count,
        }
    }
}

impl From<wire::SagaGroup> for Group {
    fn from(group: wire::SagaGroup) -> Self {
        let wire::SagaGroup { name, state, outcome, count } = group;
        let mut shared = vec![(Key::Name, name), (Key::State, state)];
        shared.extend(outcome.map(|outcome| (Key::Outcome, outcome)));
        Self { shared, count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::decode;
    use crate::wire::field::Field;
    use crate::wire::ids::{SagaId, SecId};
    use crate::wire::overview::{FailedNode, ListedSaga, SagaStanding, Shared};
    use crate::wire::part::Part;
    use crate::wire::sagas::Outcome;
    use crate::wire::time::Time;
    use proptest::option;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn field<T: Clone + std::fmt::Debug + 'static>(
        value: impl Strategy<Value = T> + 'static,
    ) -> impl Strategy<Value = Field<T>> {
        prop_oneof![
            value.prop_map(Field::Value),
            Just(Field::Null),
            Just(Field::NoColumn),
            (any::<String>(), any::<String>()).prop_map(|(raw, reason)| Field::Unreadable { raw, reason }),
        ]
    }

    fn part<T: std::fmt::Debug + 'static>(
        value: impl Strategy<Value = T> + 'static,
    ) -> impl Strategy<Value = Part<T>> {
        prop_oneof![value.prop_map(Part::Present), any::<String>().prop_map(Part::Missing)]
    }

    fn saga_id() -> impl Strategy<Value = SagaId> {
        any::<u128>().prop_map(|bits| SagaId::from_uuid(Uuid::from_u128(bits)))
    }

    fn sec_id() -> impl Strategy<Value = SecId> {
        any::<u128>().prop_map(|bits| SecId::from_uuid(Uuid::from_u128(bits)))
    }

    fn time() -> impl Strategy<Value = Time> {
        (-62_000_000_000_000_000_i64..250_000_000_000_000_000).prop_map(|micros| {
            Time::from_timestamp_micros(micros).expect("a time between the years 5 and 9892")
        })
    }

    fn names() -> impl Strategy<Value = SagaNames> {
        let standing = (saga_id(), field(any::<String>()), field(any::<String>()), field(sec_id()));
        let standing = standing.prop_map(|(saga_id, name, state, current_sec)| {
            (saga_id, SagaStanding { saga_id, name, state, current_sec })
        });
        prop::collection::btree_map(saga_id(), standing, 0..4)
            .prop_map(|sagas| SagaNames::from_iter(sagas.into_values()))
    }

    fn node() -> impl Strategy<Value = FailedNode> {
        (any::<String>(), option::of(any::<String>())).prop_map(|(node, error)| FailedNode { node, error })
    }

    fn saga() -> impl Strategy<Value = ListedSaga> {
        let what = (saga_id(), field(any::<String>()), field(any::<String>()), field(sec_id()));
        let outcome = option::of(prop::sample::select(&Outcome::ALL[..]));
        let times = (field(time()), field(time()));
        let nodes = (option::of(any::<u64>()), option::of(any::<u64>()));
        (what, outcome, times, nodes, option::of(node()), option::of(node())).prop_map(
            |(
                (saga_id, name, state, current_sec),
                outcome,
                (created, last_event),
                (nodes_done, nodes_total),
                failed,
                undo_failed,
            )| {
                ListedSaga {
                    saga_id,
                    name,
                    state,
                    outcome,
                    current_sec,
                    created,
                    last_event,
                    nodes_done,
                    nodes_total,
                    failed,
                    undo_failed,
                }
            },
        )
    }

    fn shared() -> impl Strategy<Value = Shared> {
        prop_oneof![
            any::<String>().prop_map(Shared::Known),
            Just(Shared::Absent),
            Just(Shared::Unknown),
            Just(Shared::Other)
        ]
    }

    fn counted(by_outcome: bool) -> impl Strategy<Value = Counted> {
        let group =
            (shared(), shared(), shared(), any::<u64>()).prop_map(move |(name, state, outcome, count)| {
                let mut shared = vec![(Key::Name, name), (Key::State, state)];
                shared.extend(by_outcome.then_some((Key::Outcome, outcome)));
                Group { shared, count }
            });
        (any::<u64>(), any::<bool>(), prop::collection::vec(group, 0..4))
            .prop_map(|(counted, complete, groups)| Counted { counted, complete, groups })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_travels_arrives(
            source in any::<String>(),
            names in part(names()),
            failed_sagas in part(prop::collection::vec(saga(), 0..3)),
            counts in part((counted(false), counted(true))),
        ) {
            let sagas =
                counts.map(|(unfinished, newest)| SagaCounts { source: source.clone(), unfinished, newest });
            let view = DatabaseView { source, names, failed_sagas, sagas };
            let json = serde_json::to_vec(&wire::DatabaseOverview::from(view.clone())).expect("JSON");
            let arrived: wire::DatabaseOverview = decode::from_bytes(&json).expect("what was sent");
            prop_assert_eq!(DatabaseView::from(arrived), view);
        }
    }
}
