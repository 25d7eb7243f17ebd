//! Changes as statements, in the words of each database.

use super::{AmendError, Change, Reassignment, Seen};
use crate::store::inspect::query::Query;
use crate::store::inspect::source::{Engine, Origin, Source};
use crate::store::schema::CURRENT_VERSION;
use crate::wire::ids::{SagaId, SecId};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Sagas per statement of a reassignment.
const CHUNK: usize = 1000;

/// The first schema of a Nexus that knows sagas to be abandoned.
const NEXUS_ABANDONED: u64 = 138;

/// Columns without which a saga cannot be told from one that has changed since.
const NEEDED: [&str; 4] = ["id", "saga_state", "current_sec", "adopt_generation"];

/// Columns that say how a saga was abandoned.
const METADATA: [&str; 3] = ["abandon_time", "abandon_reason", "abandon_comment"];

/// One statement of a transaction.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) query: Query,
    /// Whether it changes something, or only asks.
    pub(super) changes: bool,
    /// How many rows it must find or change; any other number ends the transaction.
    pub(super) expect: Option<u64>,
}

/// Whether and how a database can keep a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Everything about it.
    Full,
    /// That a saga is abandoned, but not when, why and what was said about it.
    StateOnly,
    /// It cannot, for this reason.
    None(String),
}

impl Capability {
    /// Whether a saga's row can be changed under the condition that it is as it was seen.
    pub fn to_change(source: &Source) -> Self {
        let Some(saga) = &source.saga else {
            return Self::None(format!("{} has no table saga", source.url));
        };
        // What keeps a coordinator from going on with a changed saga may be another thing there.
        if let Origin::Sagactl { version } = source.origin
            && version > CURRENT_VERSION
        {
            return Self::None(format!(
                "{source} is of a later program; this one changes nothing beyond schema {CURRENT_VERSION}"
            ));
        }
        match NEEDED.iter().find(|column| !saga.has(column)) {
            Some(column) => Self::None(format!(
                "{source} has no column saga.{column}, without which nobody can tell whether the saga has changed meanwhile"
            )),
            None => Self::Full,
        }
    }

    /// Whether sagas can be abandoned.
    pub fn to_abandon(source: &Source) -> Self {
        let Some(saga) = source.saga.as_ref().filter(|_| Self::to_change(source) == Self::Full) else {
            return Self::to_change(source);
        };
        match METADATA.iter().filter(|column| saga.has(column)).count() {
            3 => Self::Full,
            0 => match nexus_major(source) {
                Some(major) if major < NEXUS_ABANDONED => Self::None(format!(
                    "{source} knows no abandoned sagas; Nexus has them since schema {NEXUS_ABANDONED}"
                )),
                _ => Self::StateOnly,
            },
            _ => Self::None(format!(
                "{source} has only some of the columns that say how a saga was abandoned: is it being migrated?"
            )),
        }
    }

    /// Whether events can be added to logs.
    pub fn to_inject(source: &Source) -> Self {
        let needed = ["saga_id", "node_id", "event_type", "data", "event_time", "creator"];
        match &source.event {
            Some(event) if needed.iter().all(|column| event.has(column)) => Self::to_change(source),
            _ => Self::None(format!("{source} has no whole table saga_node_event")),
        }
    }

    /// Whether sagas can get another owner.
    pub fn to_reassign(source: &Source) -> Self {
        match &source.saga {
            Some(saga) if saga.has("adopt_time") => Self::to_change(source),
            Some(_) => Self::None(format!("{source} has no column saga.adopt_time")),
            None => Self::to_change(source),
        }
    }
}

/// The version of a Nexus's schema, as far as it matters.
fn nexus_major(source: &Source) -> Option<u64> {
    match &source.origin {
        Origin::Nexus { version, .. } => version.split('.').next()?.parse().ok(),
        Origin::Sagactl { .. } | Origin::Unnamed => None,
    }
}

/// Steps of a change to one saga.
pub(super) fn of_change(source: &Source, seen: &Seen, change: &Change) -> Result<Vec<Step>, AmendError> {
    let mut steps = vec![lock_as_seen(source, seen), count_log(source, seen)];
    match change {
        Change::Abandon { time, comment } => {
            let update = Query::new(source.engine, "UPDATE saga SET saga_state = 'abandoned'");
            let update = match Capability::to_abandon(source) {
                // In one statement, since constraints of the table hold state and metadata together.
                Capability::Full => update
                    .sql(", abandon_reason = 'omdb', abandon_time = ")
                    .time(*time)
                    .sql(", abandon_comment = ")
                    .text(comment.as_str()),
                Capability::StateOnly => update,
                Capability::None(reason) => return Err(AmendError::Refused(reason)),
            };
            let update = fence(source, update);
            steps.push(Step::changing(of_saga(update, seen.id), 1));
        }
        Change::InjectErrors { nodes, error, time, creator } => {
            if source.is_ours() {
                let update =
                    Query::new(source.engine, "UPDATE saga SET adopt_generation = adopt_generation + 1");
                steps.push(Step::changing(of_saga(update, seen.id), 1));
            }
            for node in nodes {
                let insert = Query::new(
                    source.engine,
                    "INSERT INTO saga_node_event (saga_id, node_id, event_type, data, event_time, creator) VALUES (",
                )
                .uuid(seen.id.as_uuid())
                .sql(", ")
                .int(*node)
                .sql(", 'failed', ")
                .json(error.as_str())
                .sql(", ")
                .time(*time)
                .sql(", ")
                .uuid(creator.as_uuid())
                .sql(")");
                steps.push(Step::changing(insert, 1));
            }
        }
    }
    Ok(steps)
}

/// Steps of a reassignment.
pub(super) fn of_reassignment(source: &Source, reassignment: &Reassignment) -> Vec<Step> {
    let Reassignment { to, time, sagas } = reassignment;
    let mut steps: Vec<Step> = in_service(source, *to).into_iter().collect();
    let mut alike: BTreeMap<(Option<SecId>, i64), Vec<Uuid>> = BTreeMap::new();
    for (id, owner, generation) in sagas {
        alike.entry((*owner, *generation)).or_default().push(id.as_uuid());
    }
    for ((owner, generation), mut ids) in alike {
        ids.sort();
        for ids in ids.chunks(CHUNK) {
            let update = Query::new(source.engine, "UPDATE saga SET current_sec = ")
                .uuid(to.as_uuid())
                .sql(", adopt_generation = adopt_generation + 1, adopt_time = ")
                .time(*time)
                // The first condition is that of the index on unfinished sagas, for whoever plans the statement.
                .sql(" WHERE saga_state <> 'done' AND saga_state IN ('running', 'unwinding') AND ");
            let update = owned_as_seen(update, owner, generation).sql(" AND ").among("id", ids);
            steps.push(Step { query: update, changes: true, expect: None });
        }
    }
    steps
}

/// Waits for whoever is changing the saga.
pub(super) fn of_settling(source: &Source, saga: SagaId) -> Vec<Step> {
    let query = of_saga(Query::new(source.engine, "SELECT 1 FROM saga"), saga);
    vec![Step { query: for_update(source, query), changes: false, expect: None }]
}

/// Finds out whether a SEC is in service, and keeps it from being expunged until the commit.
fn in_service(source: &Source, sec: SecId) -> Option<Step> {
    let sql = match (&source.sec, &source.nexus) {
        (Some(_), _) => "SELECT 1 FROM sec WHERE state = 'active' AND id = ",
        (None, Some(_)) => "SELECT 1 FROM db_metadata_nexus WHERE state = 'active' AND nexus_id = ",
        (None, None) => return None,
    };
    let query = Query::new(source.engine, sql).uuid(sec.as_uuid());
    let query = if source.engine == Engine::Sqlite { query } else { query.sql(" FOR SHARE") };
    Some(Step::asking(query))
}

fn lock_as_seen(source: &Source, seen: &Seen) -> Step {
    let query = of_saga(Query::new(source.engine, "SELECT 1 FROM saga"), seen.id).sql(" AND ");
    // As text: the column's own type may not know what was read from it years ago.
    let query = match source.engine {
        Engine::Sqlite => query.sql("saga_state = "),
        Engine::Postgresql | Engine::Cockroachdb => query.sql("saga_state::TEXT = "),
    };
    let query = query.text(seen.state.as_str()).sql(" AND ");
    Step::asking(for_update(source, owned_as_seen(query, seen.current_sec, seen.adopt_generation)))
}

fn count_log(source: &Source, seen: &Seen) -> Step {
    if source.event.is_none() {
        return Step { query: Query::new(source.engine, "SELECT 1"), changes: false, expect: None };
    }
    let query =
        Query::new(source.engine, "SELECT 1 WHERE (SELECT count(*) FROM saga_node_event WHERE saga_id = ")
            .uuid(seen.id.as_uuid())
            .sql(") = ")
            .int(i64::try_from(seen.events).unwrap_or(i64::MAX));
    Step::asking(query)
}

fn owned_as_seen(query: Query, owner: Option<SecId>, generation: i64) -> Query {
    let query = match owner {
        Some(owner) => query.sql("current_sec = ").uuid(owner.as_uuid()),
        None => query.sql("current_sec IS NULL"),
    };
    query.sql(" AND adopt_generation = ").int(generation)
}

fn of_saga(query: Query, saga: SagaId) -> Query {
    query.sql(" WHERE id = ").uuid(saga.as_uuid())
}

fn for_update(source: &Source, query: Query) -> Query {
    // A transaction that is going to write locks the whole file when it begins.
    if source.engine == Engine::Sqlite { query } else { query.sql(" FOR UPDATE") }
}

/// Keeps whoever has the saga in memory from writing to it, see the text of the module.
fn fence(source: &Source, update: Query) -> Query {
    if source.is_ours() { update.sql(", adopt_generation = adopt_generation + 1") } else { update }
}

impl Step {
    fn asking(query: Query) -> Self {
        Self { query, changes: false, expect: Some(1) }
    }

    fn changing(query: Query, rows: u64) -> Self {
        Self { query, changes: true, expect: Some(rows) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::inspect::source::Table;

    fn source(origin: Origin, without: &[&str]) -> Source {
        use crate::store::inspect::source::{EVENT_COLUMNS, SAGA_COLUMNS};
        let table = |columns: &[&str]| {
            let columns = columns.iter().filter(|column| !without.contains(column));
            Some(Table { columns: columns.map(|&column| column.to_owned()).collect(), indexes: Vec::new() })
        };
        Source {
            url: "postgresql://h/db".to_owned(),
            engine: Engine::Postgresql,
            origin,
            saga: table(&SAGA_COLUMNS),
            event: table(&EVENT_COLUMNS),
            sec: None,
            nexus: None,
        }
    }

    fn nexus(version: &str) -> Origin {
        Origin::Nexus { version: version.to_owned(), target_version: None }
    }

    fn abandoned_by(source: &Source) -> Vec<String> {
        let seen = Seen {
            id: SagaId::from_uuid(Uuid::nil()),
            state: "running".to_owned(),
            current_sec: None,
            adopt_generation: 7,
            events: 3,
        };
        let time = "2026-11-02T09:20:00Z".parse().expect("a time");
        let steps = of_change(source, &seen, &Change::Abandon { time, comment: "x".to_owned() });
        steps.expect("it can").iter().map(|step| step.query.text_of().to_owned()).collect()
    }

    #[test]
    fn eras_differ_in_what_can_be_written_down() {
        let table = [
            (source(nexus("137.0.0"), &METADATA), "none"),
            (source(nexus("138.0.0"), &METADATA), "state"),
            (source(nexus("278.4.1"), &METADATA), "state"),
            (source(nexus("279.0.0"), &[]), "full"),
            (source(nexus("279.0.0"), &["abandon_comment"]), "none"),
            (source(Origin::Sagactl { version: 3 }, &[]), "full"),
            (source(Origin::Sagactl { version: CURRENT_VERSION }, &[]), "full"),
            (source(Origin::Sagactl { version: CURRENT_VERSION + 1 }, &[]), "none"),
            (source(Origin::Unnamed, &METADATA), "state"),
            (source(Origin::Unnamed, &["adopt_generation"]), "none"),
        ];
        for (source, expected) in table {
            let found = match Capability::to_abandon(&source) {
                Capability::Full => "full",
                Capability::StateOnly => "state",
                Capability::None(_) => "none",
            };
            assert_eq!(found, expected, "{source:?}");
        }
    }

    #[test]
    fn state_and_metadata_are_written_by_one_statement() {
        let [lock, count, update] = &abandoned_by(&source(nexus("294.0.0"), &[]))[..] else {
            panic!("three steps")
        };
        assert_eq!(
            lock,
            "SELECT 1 FROM saga WHERE id = $1::TEXT::UUID AND saga_state::TEXT = $2::TEXT AND current_sec IS NULL \
             AND adopt_generation = $3::BIGINT FOR UPDATE"
        );
        assert!(count.contains("count(*) FROM saga_node_event"), "{count}");
        assert_eq!(
            update,
            "UPDATE saga SET saga_state = 'abandoned', abandon_reason = 'omdb', abandon_time = $1::TEXT::TIMESTAMPTZ, \
             abandon_comment = $2::TEXT WHERE id = $3::TEXT::UUID"
        );
    }

    #[test]
    fn only_our_own_coordinators_are_fenced_by_the_generation() {
        let raises = |origin| {
            abandoned_by(&source(origin, &[]))[2].contains("adopt_generation = adopt_generation + 1")
        };
        assert!(raises(Origin::Sagactl { version: 3 }));
        assert!(!raises(nexus("294.0.0")) && !raises(Origin::Unnamed));
    }
}
