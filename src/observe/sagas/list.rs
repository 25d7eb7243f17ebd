//! `sagas list`: the newest sagas that a filter wants, page after page.
//!
//! Where an index hands the sagas out newest first, they are passed on as they come. Where it does not (the index of unfinished
//! sagas goes by owner), it is gone through once for the ids and times of what is wanted, of which the newest are kept, and
//! then these are loaded. So memory holds at most two words for each saga that is unfinished, and a page of rows.

use super::filter::Filter;
use super::walk::{Candidate, FREE_SCAN, Walk, Way};
use super::{Failures, SagasError};
use crate::saga_log::record::SagaRecord;
use crate::saga_log::summary::LogTotals;
use crate::store::inspect::Inspector;
use crate::store::inspect::error::InspectError;
use crate::wire::ids::SagaId;
use crate::wire::overview::ListedSaga;
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
    /// How much of each saga is shown.
    pub detail: Detail,
}

/// How much of each saga is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Its id, for which no log needs to be looked at unless the filter does.
    Id,
    /// Everything.
    Full,
}

/// A saga by when it was created, the newest least.
type Ranked = Reverse<(Option<Time>, SagaId)>;

/// A listing on its way.
pub struct Listing {
    walk: Walk,
    left: Option<u64>,
    /// Where sagas do not come newest first by themselves: the newest of what was met so far, the oldest on top, to be
    /// thrown out for a newer one.
    met: Option<BinaryHeap<Ranked>>,
    /// The same, all of the way gone, the oldest first, to be taken from the end.
    sorted: Option<Vec<SagaId>>,
    is_cut: bool,
    listed: u64,
    has_scanned_all: bool,
    detail: Detail,
    page: u32,
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
        let Request { filter, limit, may_scan, detail } = request;
        let walk = Walk::begin(inspector, filter, now).await?;
        let has_scanned_all = walk.goes_through_all();
        if has_scanned_all && !may_scan && walk.inspector().has_more_than(FREE_SCAN).await? {
            return Err(SagasError::NeedsScan { source_name: walk.inspector().describe().url.clone() });
        }
        // No more than is asked for, and then more and more if that brings too little.
        let page =
            limit.map_or(SCAN_PAGE, |limit| SCAN_PAGE.min(u32::try_from(limit.max(50)).unwrap_or(SCAN_PAGE)));
        let met = (!walk.way().is_sorted()).then(BinaryHeap::new);
        Ok(Self {
            walk,
            left: limit,
            met,
            sorted: None,
            is_cut: false,
            listed: 0,
            has_scanned_all,
            detail,
            page,
        })
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
        if let Some(met) = &mut self.met {
            match self.walk.next(SCAN_PAGE).await? {
                Some(candidates) => {
                    let most =
                        self.left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
                    for Candidate { saga, .. } in candidates {
                        met.push(Reverse((saga.time_created.value().copied(), saga.id)));
                        if met.len() > most {
                            met.pop();
                            self.is_cut = true;
                        }
                    }
                }
                None => {
                    let mut sorted: Vec<_> =
                        std::mem::take(met).into_iter().map(|Reverse(key)| key).collect();
                    sorted.sort_unstable();
                    self.sorted = Some(sorted.into_iter().map(|(_, id)| id).collect());
                    self.met = None;
                }
            }
            return Ok(Some(Vec::new()));
        }
        let mut candidates = match &mut self.sorted {
            Some(sorted) if sorted.is_empty() => return Ok(None),
            Some(sorted) => {
                let page = sorted.split_off(sorted.len().saturating_sub(SHOWN_PAGE));
                self.load(page).await?
            }
            None => {
                let size = self.page;
                self.page = SCAN_PAGE.min(size.saturating_mul(2));
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
        match self.detail {
            Detail::Id => Ok(Some(candidates.into_iter().map(bare).collect())),
            Detail::Full => describe(self.walk.inspector(), candidates).await.map(Some),
        }
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

    /// Loads the rows of a page of `sorted`, newest first.
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
}

/// A saga as its row alone shows it.
fn bare(candidate: Candidate) -> ListedSaga {
    let Candidate { saga, totals } = candidate;
    ListedSaga::new(saga, &totals.unwrap_or_default(), None, &[], None)
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
            page.iter().filter(|(_, totals)| totals.worst().is_failure()).map(|(saga, _)| saga.id).collect();
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
