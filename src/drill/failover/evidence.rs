//! What the database of a failover drill says about who did what: owners and generations, what a SEC has written, and
//! whether effects add up.

use crate::drill::lab::{DrillError, Records};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::sql::{Row, Statement};
use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::Time;
use std::collections::BTreeMap;

/// How a saga that changed hands is owned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    /// Who made it, and was its first owner.
    pub creator: SecId,
    /// Whose it is.
    pub owner: Option<SecId>,
    /// How often it has been given an owner.
    pub generation: i64,
}

/// All sagas that ever changed hands.
pub(super) type Adoptions = BTreeMap<SagaId, Owned>;

/// Everything that a SEC has written, as numbers that only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// Sagas that it made.
    pub sagas: i64,
    /// Events that it recorded.
    pub events: i64,
}

/// How many rows of each table a project has, as `project-create` makes it.
const PARTS: [(&str, i64); 9] = [
    ("project_quota", 1),
    ("vpc", 1),
    ("internet_gateway", 1),
    ("vpc_dns_record", 1),
    ("router_route", 3),
    ("vpc_firewall_rule", 3),
    ("vpc_subnet", 1),
    ("subnet_gateway", 1),
    ("subnet_address_pool", 2),
];

/// Reads the sagas that changed hands.
pub(super) async fn adoptions(records: &Records) -> Result<Adoptions, DrillError> {
    let sql = "SELECT id, creator, current_sec, adopt_generation FROM saga WHERE adopt_generation > 1";
    let rows = records.store().read(Statement::new(sql, Vec::new())).await?;
    rows.iter()
        .map(|row| {
            let owned = Owned {
                creator: SecId::from_uuid(row.uuid(1)?),
                owner: row.opt(2, Row::uuid)?.map(SecId::from_uuid),
                generation: row.int(3)?,
            };
            Ok((SagaId::from_uuid(row.uuid(0)?), owned))
        })
        .collect::<Result<_, StoreError>>()
        .map_err(DrillError::Store)
}

/// Counts what a SEC has written.
pub(super) async fn written_by(records: &Records, sec: SecId) -> Result<Written, DrillError> {
    let sql = "SELECT (SELECT count(*) FROM saga WHERE creator = $1), \
               (SELECT count(*) FROM saga_node_event WHERE creator = $1)";
    let row = one(records.store(), Statement::new(sql, vec![sec.into()])).await?;
    Ok(Written { sagas: row.int(0)?, events: row.int(1)? })
}

/// Counts events of a SEC that bear a later time than this.
pub(super) async fn events_after(records: &Records, sec: SecId, time: Time) -> Result<u64, DrillError> {
    let sql = "SELECT count(*) FROM saga_node_event WHERE creator = $1 AND event_time > $2";
    count(records.store(), Statement::new(sql, vec![sec.into(), time.into()])).await
}

/// Counts unfinished sagas of one owner.
pub(super) async fn unfinished_of(records: &Records, sec: SecId) -> Result<u64, DrillError> {
    let sql = "SELECT count(*) FROM saga WHERE saga_state <> 'done' AND current_sec = $1";
    count(records.store(), Statement::new(sql, vec![sec.into()])).await
}

/// Counts unfinished sagas that have changed hands.
pub(super) async fn adopted_unfinished(records: &Records) -> Result<u64, DrillError> {
    let sql = "SELECT count(*) FROM saga WHERE saga_state <> 'done' AND adopt_generation > 1";
    count(records.store(), Statement::new(sql, Vec::new())).await
}

/// Which numbers of rows are not what sagas that succeeded account for: too many is an effect that happened twice or was
/// not undone, too few is one that is missing. To be asked when every saga is at rest.
pub(super) async fn unbalanced(records: &Records) -> Result<Vec<String>, DrillError> {
    let succeeded = "SELECT count(*) FROM saga WHERE name = 'project-create' AND NOT EXISTS (SELECT 1 FROM saga_node_event \
                     WHERE saga_id = saga.id AND event_type IN ('failed', 'undo_failed'))";
    let succeeded = signed(records.store(), Statement::new(succeeded, Vec::new())).await?;
    let projects = "SELECT count(*) FROM project";
    let projects = signed(records.store(), Statement::new(projects, Vec::new())).await?;
    let mut unbalanced = Vec::new();
    if projects != succeeded {
        unbalanced.push(format!("{projects} projects of {succeeded} sagas that succeeded"));
    }
    let row = one(records.store(), Statement::new(COUNT_PARTS, Vec::new())).await?;
    for (index, (table, each)) in PARTS.into_iter().enumerate() {
        let (rows, expected) = (row.int(index)?, each * projects);
        if rows != expected {
            unbalanced
                .push(format!("{rows} rows in table {table}, where {projects} projects have {expected}"));
        }
    }
    Ok(unbalanced)
}

/// In the order of [`PARTS`].
const COUNT_PARTS: &str = "SELECT (SELECT count(*) FROM project_quota), (SELECT count(*) FROM vpc), \
    (SELECT count(*) FROM internet_gateway), (SELECT count(*) FROM vpc_dns_record), (SELECT count(*) FROM router_route), \
    (SELECT count(*) FROM vpc_firewall_rule), (SELECT count(*) FROM vpc_subnet), (SELECT count(*) FROM subnet_gateway), \
    (SELECT count(*) FROM subnet_address_pool)";

async fn count(store: &dyn Store, statement: Statement) -> Result<u64, DrillError> {
    Ok(u64::try_from(signed(store, statement).await?).unwrap_or_default())
}

async fn signed(store: &dyn Store, statement: Statement) -> Result<i64, DrillError> {
    Ok(one(store, statement).await?.int(0)?)
}

async fn one(store: &dyn Store, statement: Statement) -> Result<Row, DrillError> {
    let mut rows = store.read(statement).await?;
    Ok(rows.pop().expect("an aggregate without groups has one row"))
}

/// What is wrong about who took what from whom in one cycle. Pure.
///
/// Only sagas of `victim` may have moved, each by one generation, and to one of `heirs`.
pub(super) fn judge_adoptions(
    before: &Adoptions,
    after: &Adoptions,
    victim: SecId,
    heirs: &[SecId],
) -> (Vec<SagaId>, Vec<String>) {
    let mut adopted = Vec::new();
    let mut problems = Vec::new();
    for (saga, now) in after {
        let (owner, generation) =
            before.get(saga).map_or((Some(now.creator), 1), |owned| (owned.owner, owned.generation));
        if now.generation == generation {
            continue;
        }
        adopted.push(*saga);
        if owner != Some(victim) {
            problems.push(format!("saga {saga} was taken from a SEC that is in service"));
        }
        if now.generation != generation + 1 {
            problems.push(format!("saga {saga} went from generation {generation} to {}", now.generation));
        }
        if now.owner.is_none_or(|owner| !heirs.contains(&owner)) {
            problems.push(format!("saga {saga} went to nobody who is in service"));
        }
    }
    (adopted, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(creator: SecId, owner: SecId, generation: i64) -> Owned {
        Owned { creator, owner: Some(owner), generation }
    }

    #[test]
    fn sagas_move_from_the_victim_to_an_heir_by_one_generation() {
        let [victim, heir, earlier] = [(); 3].map(|()| SecId::random());
        let [first, second, third] = [(); 3].map(|()| SagaId::random());
        let before = Adoptions::from([(second, owned(earlier, victim, 2)), (third, owned(earlier, heir, 2))]);
        let mut after = before.clone();
        after.insert(first, owned(victim, heir, 2));
        after.insert(second, owned(earlier, heir, 3));
        let mut expected = vec![first, second];
        expected.sort();
        assert_eq!(judge_adoptions(&before, &after, victim, &[heir]), (expected, Vec::new()));
    }

    #[test]
    fn every_other_way_to_move_is_wrong() {
        let [victim, heir, other] = [(); 3].map(|()| SecId::random());
        let wrong = [owned(other, heir, 2), owned(victim, heir, 3), owned(victim, victim, 2)];
        for owned in wrong {
            let after = Adoptions::from([(SagaId::random(), owned)]);
            let (adopted, problems) = judge_adoptions(&Adoptions::new(), &after, victim, &[heir, other]);
            assert_eq!((adopted.len(), problems.len()), (1, 1), "{owned:?}: {problems:?}");
        }
    }
}
