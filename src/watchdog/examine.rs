//! Looks at a coordinator from all sides. Bounded in time; what cannot be had is not a finding unless it is the point.

use super::health::{ApiSigns, Examination, Heartbeat, Suspect};
use crate::client::Client;
use crate::observe::recovery::{PassResult, Recovery};
use crate::observe::sagas::SagasError;
use crate::observe::sagas::filter::Filter;
use crate::observe::sagas::list::{Detail, Listing, Request};
use crate::observe::status::{self, ApiPart, StatusError};
use crate::saga_log::Reading;
use crate::store::inspect::Inspector;
use crate::store::inspect::error::InspectError;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::info::Info;
use crate::wire::overview::ListedSaga;
use crate::wire::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

/// Most sagas that are named at once. If more are in trouble, it is not theirs.
const MOST_SAGAS: usize = 10;

/// Sagas that are named when the coordinator itself is not well.
const LAST_BUSY: usize = 3;

/// Asks the coordinator.
///
/// # Errors
///
/// If it does not answer as a coordinator does.
pub async fn examine_api(client: &Client) -> Result<(ApiSigns, Option<Info>), StatusError> {
    let ApiPart { task, info } = status::ask_api(client).await?;
    let recovery = Recovery::new(&task);
    let info = info.as_option().cloned();
    let last_pass = recovery.last_pass.as_ref();
    let has_failures = last_pass.and_then(|pass| pass.failed).is_some_and(|failed| failed > 0);
    let not_recovered: BTreeMap<SagaId, String> = recovery
        .recovery_failures
        .iter()
        .flatten()
        .filter(|_| has_failures)
        .map(|failure| (failure.saga_id, failure.message.clone()))
        .collect();
    let last_failure = last_pass
        .filter(|pass| pass.result == PassResult::Failed)
        .map(|pass| pass.message.clone().unwrap_or_else(|| "it does not say why".to_owned()))
        .or(recovery.task.error.clone());
    let last_ended = recovery.task.last.as_ref().map(|last| last.start_time + last.elapsed);
    let signs = ApiSigns {
        sec_id: info.as_ref().map(|info| info.sec_id),
        time_started: info.as_ref().map(|info| info.time_started),
        period: recovery.task.period,
        running_since: recovery.task.current.as_ref().map(|current| current.start_time),
        last_ended,
        last_failure,
        not_recovered,
    };
    Ok((signs, info))
}

/// Looks at a heartbeat file.
pub fn examine_heartbeat(path: &Path) -> Heartbeat {
    match std::fs::metadata(path).and_then(|metadata| metadata.modified()) {
        Ok(time) => Heartbeat::At(time.into()),
        Err(error) => Heartbeat::Missing(format!("{}: {error}", path.display())),
    }
}

/// Adds what the database says of the sagas of one SEC, or of all if nobody knows which it is.
///
/// # Errors
///
/// If the database cannot be read.
pub async fn examine_sagas(
    inspector: &Inspector,
    sec: Option<SecId>,
    max_idle: Duration,
    now: Time,
    examination: &mut Examination,
) -> Result<(), SagasError> {
    let idle = Filter { idle: Some(max_idle), ..owned_by(sec) };
    let mut suspects: BTreeMap<SagaId, ListedSaga> =
        list(inspector, idle, MOST_SAGAS, now).await?.into_iter().map(|saga| (saga.saga_id, saga)).collect();
    let not_recovered: BTreeSet<SagaId> = match &examination.api {
        Some(Ok(signs)) => signs.not_recovered.keys().copied().collect(),
        _ => BTreeSet::new(),
    };
    let is_well = matches!(&examination.api, None | Some(Ok(_)));
    if !not_recovered.is_empty() || !is_well {
        // The coordinator's list keeps what has been put right meanwhile; only what is unfinished still counts.
        let unfinished = list(inspector, owned_by(sec), 1_000, now).await?;
        if !is_well {
            let mut busy: Vec<&ListedSaga> = unfinished.iter().collect();
            busy.sort_by_key(|saga| std::cmp::Reverse(saga.last_event.value().copied()));
            for saga in busy.into_iter().take(LAST_BUSY) {
                examination.last_busy.push(suspect(inspector, saga).await?);
            }
        }
        let failed = unfinished.into_iter().filter(|saga| not_recovered.contains(&saga.saga_id));
        suspects.extend(failed.take(MOST_SAGAS).map(|saga| (saga.saga_id, saga)));
    }
    let mut sagas = Vec::new();
    for saga in suspects.values() {
        sagas.push(suspect(inspector, saga).await?);
    }
    examination.sagas = Some(sagas);
    Ok(())
}

fn owned_by(sec: Option<SecId>) -> Filter {
    Filter { unfinished: true, secs: sec.into_iter().collect(), ..Filter::default() }
}

async fn list(
    inspector: &Inspector,
    filter: Filter,
    most: usize,
    now: Time,
) -> Result<Vec<ListedSaga>, SagasError> {
    let request = Request { filter, limit: Some(most as u64), may_scan: false, detail: Detail::Full };
    let mut listing = Listing::begin(inspector.clone(), request, now).await?;
    let mut sagas = Vec::new();
    while let Some(more) = listing.next().await? {
        sagas.extend(more);
    }
    Ok(sagas)
}

/// A saga with the node that it is at, by its log.
async fn suspect(inspector: &Inspector, saga: &ListedSaga) -> Result<Suspect, InspectError> {
    let records = inspector.load_saga(saga.saga_id).await?;
    let node = records.as_ref().and_then(|records| {
        let reading = Reading::of(records);
        let step = reading.open.first().or(reading.next.first())?;
        Some(reading.node_ref(step.node).name)
    });
    Ok(Suspect {
        saga_id: saga.saga_id,
        name: saga.name.value().cloned(),
        node,
        last_event: saga.last_event.value().copied(),
    })
}
