//! One look at a coordinator and its database. Bounded in time; what cannot be had is a reason in words.

use super::memory::{Memory, OVERLAP};
use super::sighting::{ApiView, DatabaseView, PassView, SagaView, SecView};
use crate::client::Client;
use crate::observe::recovery::{PassResult, Recovery};
use crate::observe::sagas::FREE_SCAN;
use crate::observe::status::{self, ApiPart, StatusError};
use crate::store::inspect::Inspector;
use crate::store::inspect::error::InspectError;
use crate::store::inspect::listing::{Order, Span};
use crate::wire::ids::SagaId;
use crate::wire::info::Info;
use crate::wire::time::Time;

/// Rows that are read at once.
const PAGE: u32 = 1_000;

/// Why the database shows nothing.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It cannot be read.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// It would have to be read as a whole each time.
    #[error("{0} has no index of unfinished sagas, and more than {FREE_SCAN} sagas")]
    NoIndex(String),
}

/// Asks the coordinator for its reports.
///
/// # Errors
///
/// If it does not answer, or has no recovery to report on.
pub async fn look_at_api(client: &Client) -> Result<(ApiView, Option<Info>), StatusError> {
    let ApiPart { task, info } = status::ask_api(client).await?;
    let info = info.as_option().cloned();
    Ok((view(Recovery::new(&task), info.as_ref()), info))
}

fn view(recovery: Recovery, info: Option<&Info>) -> ApiView {
    let Recovery {
        task, since_start, last_pass, recent_passes, recent_recoveries, recovery_failures, ..
    } = recovery;
    let pass = |iteration, reason, time_started, end: crate::observe::recovery::LastPass| PassView {
        iteration,
        reason,
        time_started,
        completed: end.result == PassResult::Completed,
        found: end.found,
        recovered: end.recovered,
        failed: end.failed,
        message: end.message,
    };
    let passes = match (recent_passes, task.last, last_pass) {
        (Some(passes), ..) => {
            passes.into_iter().map(|one| pass(one.iteration, one.reason, one.time_started, one.end)).collect()
        }
        // A Nexus keeps the last one only.
        (None, Some(last), Some(end)) => vec![pass(last.iteration, last.reason, last.start_time, end)],
        _ => Vec::new(),
    };
    ApiView {
        sec_id: info.map(|info| info.sec_id),
        time_started: info.map(|info| info.time_started),
        passes,
        recoveries: recent_recoveries
            .unwrap_or_default()
            .into_iter()
            .map(|one| (one.time, one.saga_id, one.name))
            .collect(),
        failures: recovery_failures.unwrap_or_default(),
        recovered_in_all: since_start.map(|totals| totals.recovered),
    }
}

/// Reads what is new in the database, by what is remembered.
///
/// # Errors
///
/// If it cannot be read, or not at a bearable cost.
pub async fn look_at_database(
    inspector: &Inspector,
    memory: &Memory,
    now: Time,
) -> Result<DatabaseView, LookError> {
    let secs = inspector.list_secs().await?.map(|secs| {
        secs.iter()
            .map(|sec| SecView::new(sec.id, &sec.state, &sec.time_started, &sec.time_heartbeat))
            .collect()
    });
    let recent = match inspector.describe().has_time_index() {
        true => list_recent(inspector, memory, now).await?,
        false => Vec::new(),
    };
    let unfinished = list_unfinished(inspector).await?;
    let mut settled = Vec::new();
    for ids in memory.wanted(&recent, &unfinished).chunks(PAGE as usize) {
        settled.extend(settle(inspector, ids).await?);
    }
    Ok(DatabaseView { recent, unfinished, settled, secs })
}

async fn list_recent(
    inspector: &Inspector,
    memory: &Memory,
    now: Time,
) -> Result<Vec<SagaView>, InspectError> {
    let since = if memory.knows_the_database() {
        memory.since()
    } else {
        let page = inspector.list_sagas(&Order::NewestFirst, Span::default(), None, 1).await?;
        let newest = page.sagas.first().map(|saga| saga.time_created.value().copied().unwrap_or(now));
        newest.map(|newest| newest.min(now) - OVERLAP)
    };
    list(inspector, &Order::NewestFirst, Span { since, until: None }).await
}

async fn list_unfinished(inspector: &Inspector) -> Result<Vec<SagaView>, LookError> {
    let source = inspector.describe();
    if source.has_unfinished_index() {
        return Ok(list(inspector, &Order::UnfinishedByOwner, Span::default()).await?);
    }
    if inspector.has_more_than(FREE_SCAN).await? {
        return Err(LookError::NoIndex(source.url.clone()));
    }
    let mut all = list(inspector, &Order::ById, Span::default()).await?;
    all.retain(|saga| saga.ending.is_none());
    Ok(all)
}

async fn list(inspector: &Inspector, order: &Order, span: Span) -> Result<Vec<SagaView>, InspectError> {
    let mut sagas = Vec::new();
    let mut after = None;
    loop {
        let page = inspector.list_sagas(order, span, after.as_ref(), PAGE).await?;
        sagas.extend(page.sagas.iter().map(|row| SagaView::new(row, None)));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(sagas),
        }
    }
}

/// How sagas ended. The rows come first: a saga that is done has a log that is complete, so that what is read of it afterwards
/// tells its outcome.
async fn settle(inspector: &Inspector, ids: &[SagaId]) -> Result<Vec<SagaView>, InspectError> {
    let rows = inspector.load_sagas(ids).await?;
    let logs = inspector.load_log_totals(ids).await?;
    Ok(rows.iter().map(|row| SagaView::new(row, logs.get(&row.id))).collect())
}
