//! What is on record of a run: from the database where it can be read, else from the external API's list.

use super::list::{DEFAULT_PATIENCE, List};
use super::names::{Names, RequestId, request_after};
use super::target::Target;
use crate::client::operations::Operation;
use crate::reconcile::{self, Reconciliation, Seen};
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::sagas::find_summaries;
use crate::store::sql::Statement;
use crate::wire::ids::SagaId;
use serde::Serialize;
use std::collections::BTreeMap;

/// What is on record of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Requests whose project is there, in any order.
    Projects(Vec<RequestId>),
    /// Sagas that are there, of those that were asked for.
    Sagas(Vec<SagaId>),
}

impl Recorded {
    /// Holds requests against these records. `sagas` is what was seen of the sagas whose ids are known.
    pub fn reconcile(
        &self,
        names: &Names,
        requests: impl IntoIterator<Item = (RequestId, Seen)>,
        sagas: &[(SagaId, Seen)],
    ) -> Reconciliation {
        match self {
            Self::Projects(recorded) => {
                reconcile::reconcile(requests, recorded.clone(), |request| names.name(*request))
            }
            Self::Sagas(recorded) => {
                let mut found = reconcile::reconcile(
                    sagas.iter().copied().collect::<BTreeMap<_, _>>(),
                    recorded.clone(),
                    SagaId::to_string,
                );
                // What has no id was refused, never left, or was answered by nobody.
                let (mut refused, mut unknown) = (0, 0);
                for (_, seen) in requests {
                    match seen {
                        Seen::Failed | Seen::Unsent => refused += 1,
                        Seen::InDoubt => unknown += 1,
                        Seen::Acknowledged | Seen::Deleted | Seen::Gone => {}
                    }
                }
                found.failed_absent = found.failed_absent.map(|absent| absent + refused);
                found.in_doubt_unknown = Some(unknown);
                found
            }
        }
    }
}

/// Names per page of the database.
const PAGE: usize = 1000;

/// Projects whose names begin with `stem`, from the database. The index on names answers this alone.
///
/// # Errors
///
/// Why the database could not be asked.
pub async fn from_database(store: &dyn Store, stem: &str) -> Result<Recorded, String> {
    let mut recorded = Vec::new();
    let end = past(stem);
    let mut after = stem.to_owned();
    loop {
        let rows = store
            .read(Statement::new(
                "SELECT name FROM project WHERE name > $1 AND name < $2 ORDER BY name LIMIT 1000",
                vec![after.as_str().into(), end.as_str().into()],
            ))
            .await
            .map_err(|error| error.to_string())?;
        for row in &rows {
            let name = row.text(0).map_err(|error| error.to_string())?;
            recorded.extend(request_after(stem, name));
        }
        match rows.last() {
            Some(row) if rows.len() == PAGE => {
                row.text(0).map_err(|error| error.to_string())?.clone_into(&mut after)
            }
            _ => return Ok(Recorded::Projects(recorded)),
        }
    }
}

/// Names hold nothing above `z`, so this is past every name that begins so.
fn past(stem: &str) -> String {
    format!("{stem}~")
}

/// Which of these sagas the database has.
///
/// # Errors
///
/// Why the database could not be asked.
pub async fn sagas_from_database(store: &dyn Store, ids: &[SagaId]) -> Result<Recorded, String> {
    let found = find_summaries(store, ids).await.map_err(|error| error.to_string())?;
    Ok(Recorded::Sagas(found.into_iter().map(|saga| saga.id).collect()))
}

/// What became of the sagas that requests of a run made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SagaOutcomes {
    /// Came to rest with all their effects.
    pub succeeded: u64,
    /// Failed, and everything was undone.
    pub failed: u64,
    /// Failed, and an undo action failed as well.
    pub stuck: u64,
    /// Given up by an operator or by policy.
    pub abandoned: u64,
    /// Not at rest yet.
    pub unfinished: u64,
    /// A request's key is on record, and its saga is not.
    pub missing: u64,
}

/// What became of the sagas of requests whose keys begin with `stem`; `None` where keys are not kept.
///
/// # Errors
///
/// Why the database could not be asked.
pub async fn saga_outcomes(store: &dyn Store, stem: &str) -> Result<SagaOutcomes, StoreError> {
    let rows = store
        .read(Statement::new(
            "SELECT coalesce(CAST(saga.saga_state AS TEXT), 'missing') AS state, \
             CASE WHEN EXISTS (SELECT 1 FROM saga_node_event WHERE saga_node_event.saga_id = saga.id \
               AND saga_node_event.event_type = 'failed') THEN 1 ELSE 0 END AS failed, \
             CASE WHEN EXISTS (SELECT 1 FROM saga_node_event WHERE saga_node_event.saga_id = saga.id \
               AND saga_node_event.event_type = 'undo_failed') THEN 1 ELSE 0 END AS stuck, \
             count(*) AS sagas \
             FROM idempotency_key LEFT JOIN saga ON saga.id = idempotency_key.saga_id \
             WHERE idempotency_key.key > $1 AND idempotency_key.key < $2 GROUP BY 1, 2, 3",
            vec![stem.into(), past(stem).into()],
        ))
        .await?;
    let mut outcomes = SagaOutcomes::default();
    for row in &rows {
        let count = u64::try_from(row.int(3)?).unwrap_or_default();
        *match (row.text(0)?, row.int(1)? != 0, row.int(2)? != 0) {
            ("missing", ..) => &mut outcomes.missing,
            ("done", _, true) => &mut outcomes.stuck,
            ("done", true, false) => &mut outcomes.failed,
            ("done", false, false) => &mut outcomes.succeeded,
            ("abandoned", ..) => &mut outcomes.abandoned,
            _ => &mut outcomes.unfinished,
        } += count;
    }
    Ok(outcomes)
}

/// Projects whose names begin with `stem`, from the external API's list, which every server of this API offers.
///
/// # Errors
///
/// Why the list could not be had to its end.
pub async fn from_api(target: &Target, stem: &str) -> Result<Recorded, String> {
    let mut recorded = Vec::new();
    let mut list = List::new(target, DEFAULT_PATIENCE);
    list.each(Operation::ListProjects, &[], |item| recorded.extend(request_after(stem, &item.name))).await?;
    Ok(Recorded::Projects(recorded))
}

/// Names of projects beginning with `stem` that lack a part of what `project-create` makes: evidence of a saga that ended
/// without having done everything.
///
/// # Errors
///
/// Why the database could not be asked.
pub async fn incomplete_projects(store: &dyn Store, stem: &str) -> Result<Vec<String>, StoreError> {
    let rows = store
        .read(Statement::new(
            "SELECT name FROM project WHERE name > $1 AND name < $2 AND NOT (\
               EXISTS (SELECT 1 FROM project_quota WHERE project_quota.project_id = project.id) \
               AND EXISTS (SELECT 1 FROM vpc \
                 WHERE vpc.project_id = project.id AND vpc.name = 'default' AND vpc.time_ready IS NOT NULL \
                 AND EXISTS (SELECT 1 FROM vpc_router WHERE vpc_router.id = vpc.system_router_id) \
                 AND EXISTS (SELECT 1 FROM internet_gateway WHERE internet_gateway.vpc_id = vpc.id) \
                 AND EXISTS (SELECT 1 FROM vpc_dns_record WHERE vpc_dns_record.vpc_id = vpc.id) \
                 AND 3 = (SELECT count(*) FROM router_route WHERE router_route.vpc_router_id = vpc.system_router_id) \
                 AND 3 = (SELECT count(*) FROM vpc_firewall_rule WHERE vpc_firewall_rule.vpc_id = vpc.id) \
                 AND EXISTS (SELECT 1 FROM vpc_subnet WHERE vpc_subnet.vpc_id = vpc.id \
                   AND EXISTS (SELECT 1 FROM subnet_gateway WHERE subnet_gateway.subnet_id = vpc_subnet.id) \
                   AND 2 = (SELECT count(*) FROM subnet_address_pool \
                     WHERE subnet_address_pool.subnet_id = vpc_subnet.id)))) \
             ORDER BY name",
            vec![stem.into(), format!("{stem}~").into()],
        ))
        .await?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}
