//! `sagas list`: the newest sagas that a filter wants, page after page.
//!
//! Where an index hands the sagas out newest first, they are passed on as they come. Where it does not (the index of unfinished
//! sagas goes by owner), it is gone through once for the ids and times of what is wanted, of which the newest are kept, and
//! then these are loaded. So memory holds at most two words for each saga that is unfinished, and a page of rows.

use super::filter::Filter;
use super::walk::{Candidate, FREE_SCAN, Walk, Way};
use super::{Failures, ListedSaga, SagasError};
use crate::saga_log::record::SagaRecord;
use crate::saga_log::summary::LogTotals;
use crate::store::inspect::Inspector;
use crate::store::inspect::error::InspectError;
use crate::wire::ids::SagaId;
use crate::wire::time::Time;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Rows that are looked at at once when few of them may be wanted.
const SCAN_PAGE: u32 = 1_000;

/// Sagas that are loaded with everything that is shown of them at once.
const SHOWN_PAGE: usize = 250;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Which sagas.
    pub filter: Filter,
    /// Most of them that are listed; `None` lists all.
    pub limit: Option<u64>,
    /// Whether everything may be read where no index serves.
    pub may_scan: bool,
}

/// A listing on its way.
pub struct Listing {
    walk: Walk,
    now: Time,
    left: Option<u64>,
    sorted: Option<Vec<SagaId>>,
    is_cut: bool,
    listed: u64,
    has_scanned_all: bool,
}

/// What a listing that was read to its end covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Sagas that were listed.
    pub listed: u64,
    /// Rows that were looked at.
    pub scanned: u64,
    /// Whether there are, or may be, more than the limit allowed.
    pub is_cut: bool,
    /// Whether every saga was read, for want of an index.
    pub has_scanned_all: bool,
    /// Whether the order is that of failures instead of that of creation.
    pub is_by_failure: bool,
    /// Sagas of which could not be told whether they are wanted.
    pub undecided: u64,
    /// What stands where ids should be.
    pub unreadable_ids: Vec<String>,
    /// Whether every saga was read and none has a name that was asked for.
    pub no_such_name: bool,
}

impl Listing {
    /// Chooses the way; reads nothing much yet.
    ///
    /// # Errors
    ///
    /// Any [`SagasError`].
    pub async fn begin(inspector: Inspector, request: Request, now: Time) -> Result<Self, SagasError> {
        let Request { filter, limit, may_scan } = request;
        let walk = Walk::begin(inspector, filter, now).await?;
        let has_scanned_all = walk.goes_through_all();
        if has_scanned_all && !may_scan && walk.inspector().has_more_than(FREE_SCAN).await? {
            return Err(SagasError::NeedsScan { source_name: walk.inspector().describe().url.clone() });
        }
        Ok(Self { walk, now, left: limit, sorted: None, is_cut: false, listed: 0, has_scanned_all })
    }

    /// The next sagas, perhaps none of those looked at; `None` at the end.
    ///
    /// # Errors
    ///
    /// If the database cannot be read on.
    pub async fn next(&mut self) -> Result<Option<Vec<ListedSaga>>, InspectError> {
        if self.left == Some(0) {
            return Ok(None);
        }
        if !self.walk.way().is_sorted() && self.sorted.is_none() {
            self.sorted = Some(self.sort().await?);
        }
        let mut candidates = match &mut self.sorted {
            Some(sorted) if sorted.is_empty() => return Ok(None),
            Some(sorted) => {
                let page = sorted.split_off(sorted.len().saturating_sub(SHOWN_PAGE));
                self.load(page).await?
            }
            None => {
                // Not more than can be shown, unless most of it may not be wanted.
                let size = match (self.left, self.walk.selects_by_index()) {
                    (Some(left), true) => SCAN_PAGE.min(u32::try_from(left).unwrap_or(u32::MAX)),
                    _ => SCAN_PAGE,
                };
                match self.walk.next(size).await? {
                    None => return Ok(None),
                    Some(candidates) => candidates,
                }
            }
        };
        if let Some(left) = &mut self.left {
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            self.is_cut |= candidates.len() > most || (candidates.len() == most && self.walk.has_more());
            candidates.truncate(most);
            *left -= candidates.len() as u64;
        }
        self.listed += candidates.len() as u64;
        describe(self.walk.inspector(), candidates).await.map(Some)
    }

    /// Rows that were looked at so far.
    pub fn scanned(&self) -> u64 {
        self.walk.scanned
    }

    /// What was covered, once [`next`](Self::next) has come to its end.
    pub fn coverage(&self) -> Coverage {
        Coverage {
            listed: self.listed,
            scanned: self.walk.scanned,
            is_cut: self.is_cut,
            has_scanned_all: self.has_scanned_all,
            is_by_failure: *self.walk.way() == Way::Failures,
            undecided: self.walk.undecided,
            unreadable_ids: self.walk.unreadable_ids.clone(),
            no_such_name: self.walk.has_met_no_name(),
        }
    }

    /// Goes the whole way for the newest of what is wanted; the oldest of these comes first, to be taken from the end.
    async fn sort(&mut self) -> Result<Vec<SagaId>, InspectError> {
        let most = self.left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        // The oldest that is kept lies on top, to be thrown out for a newer one.
        let mut newest: BinaryHeap<Reverse<(Option<Time>, SagaId)>> = BinaryHeap::new();
        while let Some(candidates) = self.walk.next(SCAN_PAGE).await? {
            for Candidate { saga, .. } in candidates {
                newest.push(Reverse((saga.time_created.value().copied(), saga.id)));
                if newest.len() > most {
                    newest.pop();
                    self.is_cut = true;
                }
            }
        }
        let mut sorted: Vec<_> = newest.into_iter().map(|Reverse(key)| key).collect();
        sorted.sort_unstable();
        Ok(sorted.into_iter().map(|(_, id)| id).collect())
    }

    /// Loads the rows of a page of [`sort`](Self::sort), newest first.
    async fn load(&self, mut page: Vec<SagaId>) -> Result<Vec<Candidate>, InspectError> {
        page.reverse();
        // One row each, unless the database lacks the constraint that sees to it.
        let mut rows: HashMap<SagaId, Vec<SagaRecord>> = HashMap::new();
        for saga in self.walk.inspector().load_sagas(&page).await? {
            rows.entry(saga.id).or_default().push(saga);
        }
        let found = page.iter().filter_map(|id| rows.get_mut(id)?.pop());
        Ok(found.map(|saga| Candidate { saga, totals: None }).collect())
    }

    /// The moment that ages are counted from.
    pub fn now(&self) -> Time {
        self.now
    }
}

/// Adds what is shown of each saga beyond its row.
async fn describe(
    inspector: &Inspector,
    candidates: Vec<Candidate>,
) -> Result<Vec<ListedSaga>, InspectError> {
    let mut described = Vec::with_capacity(candidates.len());
    let mut candidates = candidates.into_iter().peekable();
    while candidates.peek().is_some() {
        let page: Vec<Candidate> = candidates.by_ref().take(SHOWN_PAGE).collect();
        let ids: Vec<SagaId> = page.iter().map(|candidate| candidate.saga.id).collect();
        let unread: Vec<SagaId> = page
            .iter()
            .filter(|candidate| candidate.totals.is_none())
            .map(|candidate| candidate.saga.id)
            .collect();
        let totals = inspector.load_log_totals(&unread).await?;
        let nodes = inspector.load_node_counts(&ids).await?;
        let page: Vec<(_, LogTotals)> = page
            .into_iter()
            .map(|Candidate { saga, totals: read }| {
                let totals = read.or_else(|| totals.get(&saga.id).cloned()).unwrap_or_default();
                (saga, totals)
            })
            .collect();
        let failed: Vec<SagaId> =
            page.iter().filter(|(_, totals)| totals.has_failure()).map(|(saga, _)| saga.id).collect();
        let failures: Failures = inspector.load_failures(&failed).await?;
        let dags = if failed.is_empty() { HashMap::new() } else { inspector.load_dags(&failed).await? };
        for (saga, totals) in page {
            let id = saga.id;
            let failures = failures.get(&id).map_or(&[][..], |failures| failures);
            described.push(ListedSaga::new(saga, &totals, nodes.get(&id).copied(), failures, dags.get(&id)));
        }
    }
    Ok(described)
}
