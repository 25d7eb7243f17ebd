//! What the database adds to a look at a coordinator.
//!
//! One function per question, each bounded in rows, and all of them together in time, so that more sections of `status` are one
//! function and one field more. No answer is a reason in words: a database out of reach takes nothing away from what the
//! API says.

use super::sagas::count::{Counting, Group, Key};
use super::sagas::filter::Filter;
use super::sagas::list::{Detail, Listing, Request};
use super::sagas::{FREE_SCAN, SagasError};
use crate::saga_log::record::SagaRecord;
use crate::store::inspect::Inspector;
use crate::wire::ids::SagaId;
use crate::wire::overview::{ListedSaga, SagaStanding};
use crate::wire::part::Part;
use crate::wire::sagas::Outcome;
use crate::wire::time::Time;
use serde::Serialize;
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// What has become of sagas, by id.
pub type SagaNames = BTreeMap<SagaId, SagaStanding>;

/// Longest wait for what a database says: `status` is asked when things are bad, and half an answer in time is better than a
/// whole one too late.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Failed sagas that are looked up.
pub const FAILED_SAGAS: u64 = 20;

/// Newest sagas that are counted. Their logs have to be summed up for the outcomes, which is what most of the time goes
/// into.
pub const NEWEST_SAGAS: u64 = 100;

/// Most unfinished sagas that are counted.
pub const UNFINISHED_SAGAS: u64 = 20_000;

/// Everything that is asked for one `status`.
#[derive(Clone, Debug, PartialEq)]
pub struct DatabaseView {
    /// Which database, in words.
    pub source: String,
    /// The sagas that recovery took up.
    pub names: Part<SagaNames>,
    /// Sagas that failed, latest failure first.
    pub failed_sagas: Part<Vec<ListedSaga>>,
    /// Sagas by kind.
    pub sagas: Part<SagaCounts>,
}

/// How many sagas there are of which kind, as far as that is had in no time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SagaCounts {
    /// Which database, in words.
    pub source: String,
    /// Those that are neither done nor abandoned, by name and state.
    pub unfinished: Counted,
    /// The newest, by name, state and outcome.
    pub newest: Counted,
}

/// Groups, and whether they are all there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// Sagas in all groups together.
    pub counted: u64,
    /// Whether no saga was left out.
    pub complete: bool,
    /// The groups, the largest first.
    pub groups: Vec<Group>,
}

impl DatabaseView {
    /// Whether nothing is known.
    pub fn is_blank(&self) -> bool {
        !self.names.is_present() && !self.failed_sagas.is_present() && !self.sagas.is_present()
    }
}

/// Looks at the database for `status`: what became of these sagas, which failed, how many there are. What is not known within
/// `patience` is missing.
pub async fn look(
    inspector: &Inspector,
    recovered: &[SagaId],
    now: Time,
    patience: Duration,
) -> DatabaseView {
    let deadline = Instant::now() + patience;
    let (names, failed_sagas, sagas) = tokio::join!(
        in_time(deadline, patience, find_names(inspector, recovered)),
        in_time(deadline, patience, list_failed(inspector, now)),
        in_time(deadline, patience, count_sagas(inspector, now)),
    );
    DatabaseView { source: inspector.describe().to_string(), names, failed_sagas, sagas }
}

/// Names and present states of sagas.
async fn find_names(inspector: &Inspector, ids: &[SagaId]) -> Result<SagaNames, SagasError> {
    let sagas = inspector.load_sagas(ids).await?;
    let standing = |SagaRecord { id, name, state, current_sec, .. }| {
        (id, SagaStanding { saga_id: id, name, state, current_sec })
    };
    Ok(sagas.into_iter().map(standing).collect())
}

/// The sagas that failed last, whether everything could be undone or not.
async fn list_failed(inspector: &Inspector, now: Time) -> Result<Vec<ListedSaga>, SagasError> {
    let filter = Filter { outcomes: vec![Outcome::Failed, Outcome::Stuck], ..Filter::default() };
    let request = Request { filter, limit: Some(FAILED_SAGAS), may_scan: false, detail: Detail::Full };
    let mut listing = Listing::begin(inspector.clone(), request, now).await?;
    let mut failed = Vec::new();
    while let Some(more) = listing.next().await? {
        failed.extend(more);
    }
    Ok(failed)
}

async fn count_sagas(inspector: &Inspector, now: Time) -> Result<SagaCounts, SagasError> {
    let source = inspector.describe();
    if !source.has_time_index() && inspector.has_more_than(FREE_SCAN).await? {
        return Err(SagasError::NeedsScan { source_name: source.url.clone() });
    }
    let unfinished = Filter { unfinished: true, ..Filter::default() };
    let unfinished = count(inspector, unfinished, vec![Key::Name, Key::State], UNFINISHED_SAGAS, now).await?;
    let keys = vec![Key::Name, Key::State, Key::Outcome];
    let newest = count(inspector, Filter::default(), keys, NEWEST_SAGAS, now).await?;
    Ok(SagaCounts { source: source.to_string(), unfinished, newest })
}

async fn count(
    inspector: &Inspector,
    filter: Filter,
    keys: Vec<Key>,
    most: u64,
    now: Time,
) -> Result<Counted, SagasError> {
    let mut counting = Counting::begin(inspector.clone(), filter, keys, Some(most), now).await?;
    while counting.advance().await? {}
    let (counted, _) = counting.progress();
    Ok(Counted { counted, complete: !counting.coverage().is_cut, groups: counting.groups() })
}

async fn in_time<T>(
    deadline: Instant,
    patience: Duration,
    question: impl Future<Output = Result<T, SagasError>>,
) -> Part<T> {
    match tokio::time::timeout_at(deadline, question).await {
        Ok(Ok(answer)) => Part::Present(answer),
        Ok(Err(error)) => Part::Missing(format!("the database says: {error}")),
        Err(_) => Part::Missing(format!(
            "the database did not answer within {}",
            humantime::format_duration(patience)
        )),
    }
}
