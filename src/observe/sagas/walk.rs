//! Going through the sagas of a database by the index that serves best, keeping those that a filter wants.
//!
//! The choice of the way is made once, from what is wanted and which indexes there are ([`Way::choose`]), and told to the
//! user. Where no index serves, everything would have to be read: that is done unasked only where it is little.

use super::filter::{Filter, Verdict, is_unfinished};
use super::{Failures, SagasError};
use crate::saga_log::record::SagaRecord;
use crate::saga_log::summary::LogTotals;
use crate::store::inspect::Inspector;
use crate::store::inspect::error::InspectError;
use crate::store::inspect::listing::{Cursor, Order, Page, Span};
use crate::store::inspect::logs::FailureCursor;
use crate::store::inspect::saga::SecLookup;
use crate::store::inspect::source::Source;
use crate::wire::field::Field;
use crate::wire::ids::{SagaId, SecId};
use crate::wire::time::Time;
use std::collections::{HashMap, HashSet};

/// So many sagas are read without asking even if no index serves: it takes some tens of milliseconds.
pub const FREE_SCAN: u32 = 10_000;

/// Most names that are followed one by one; for more of them all sagas are gone through.
const MOST_NAMES: usize = 32;

/// Most names that are told apart. Kinds of sagas are part of a program; this many are something else.
const KNOWN_NAMES: usize = 1_000;

/// How the sagas are gone through.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Way {
    /// By an order of the database.
    Pages(Order),
    /// By their failures, newest first.
    Failures,
}

impl Way {
    /// The best way to what a filter wants; `names` are those that it wants, if they could be found out.
    fn choose(filter: &Filter, source: &Source, names: Option<&[String]>) -> Self {
        if filter.wants_unfinished_only() && source.has_unfinished_index() {
            return Self::Pages(Order::UnfinishedByOwner);
        }
        if filter.wants_failures_only() && source.has_failure_index() {
            return Self::Failures;
        }
        match names {
            Some(names) if names.len() <= MOST_NAMES => Self::Pages(Order::NewestFirstNamed(names.to_vec())),
            _ if source.has_time_index() => Self::Pages(Order::NewestFirst),
            _ => Self::Pages(Order::ById),
        }
    }

    /// Whether the sagas come newest first by themselves.
    pub(super) fn is_sorted(&self) -> bool {
        match self {
            Self::Pages(Order::NewestFirst | Order::NewestFirstNamed(_)) | Self::Failures => true,
            Self::Pages(Order::UnfinishedByOwner | Order::ById) => false,
        }
    }
}

/// A saga that passed the filter, with what had to be read for that.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) saga: SagaRecord,
    pub(super) totals: Option<LogTotals>,
}

/// A way and how far it has been gone.
pub(super) struct Walk {
    inspector: Inspector,
    filter: Filter,
    now: Time,
    way: Way,
    place: Place,
    owners: HashMap<SecId, bool>,
    /// Rows of sagas, or of failures, that were looked at.
    pub(super) scanned: u64,
    /// What stands where ids should be.
    pub(super) unreadable_ids: Vec<String>,
    /// Sagas of which could not be told whether they are wanted.
    pub(super) undecided: u64,
    has_met_name: bool,
}

enum Place {
    Sagas(Option<Cursor>),
    Failures(Option<FailureCursor>),
    End,
}

impl Walk {
    /// Finds the way; reads nothing much yet.
    pub(super) async fn begin(inspector: Inspector, filter: Filter, now: Time) -> Result<Self, SagasError> {
        let source = inspector.describe();
        if filter.orphaned && source.sec.is_none() && source.nexus.is_none() {
            return Err(SagasError::NoOwners { source_name: source.url.clone() });
        }
        let names = wanted_names(&inspector, &filter).await?;
        let way = Way::choose(&filter, source, names.as_deref());
        Ok(Self::new(inspector, filter, now, way))
    }

    fn new(inspector: Inspector, filter: Filter, now: Time, way: Way) -> Self {
        let place = match way {
            Way::Pages(_) => Place::Sagas(None),
            Way::Failures => Place::Failures(None),
        };
        Self {
            inspector,
            filter,
            now,
            way,
            place,
            owners: HashMap::new(),
            scanned: 0,
            unreadable_ids: Vec::new(),
            undecided: 0,
            has_met_name: false,
        }
    }

    pub(super) fn inspector(&self) -> &Inspector {
        &self.inspector
    }

    pub(super) fn way(&self) -> &Way {
        &self.way
    }

    /// Whether every saga there is is looked at, for want of an index.
    pub(super) fn goes_through_all(&self) -> bool {
        self.way == Way::Pages(Order::ById)
    }

    /// Whether names were asked for, and now that every saga was looked at none has one of these, wanted otherwise or not.
    pub(super) fn has_met_no_name(&self) -> bool {
        !self.filter.names.is_empty() && !self.has_met_name && self.goes_through_all() && !self.has_more()
    }

    /// Whether there may be more.
    pub(super) fn has_more(&self) -> bool {
        !matches!(self.place, Place::End)
    }

    /// What is wanted of the next `size` rows, perhaps nothing; `None` at the end.
    pub(super) async fn next(&mut self, size: u32) -> Result<Option<Vec<Candidate>>, InspectError> {
        let sagas = match std::mem::replace(&mut self.place, Place::End) {
            Place::End => return Ok(None),
            Place::Sagas(after) => self.next_sagas(after, size).await?,
            Place::Failures(after) => self.next_failed(after, size).await?,
        };
        self.choose(sagas).await.map(Some)
    }

    async fn next_sagas(
        &mut self,
        after: Option<Cursor>,
        size: u32,
    ) -> Result<Vec<SagaRecord>, InspectError> {
        let Way::Pages(order) = &self.way else { unreachable!("places are those of the way") };
        let span = Span { since: self.filter.since, until: self.filter.created_before(self.now) };
        let Page { sagas, unreadable_ids, scanned, next } =
            self.inspector.list_sagas(order, span, after.as_ref(), size).await?;
        self.scanned += scanned;
        self.unreadable_ids.extend(unreadable_ids);
        if let Some(next) = next {
            self.place = Place::Sagas(Some(next));
        }
        Ok(sagas)
    }

    /// Sagas in the order of their last failure: each is taken at that and passed over at earlier ones.
    async fn next_failed(
        &mut self,
        after: Option<FailureCursor>,
        size: u32,
    ) -> Result<Vec<SagaRecord>, InspectError> {
        let page = self.inspector.list_failures(after.as_ref(), size).await?;
        self.scanned += page.scanned;
        let mut met = HashSet::new();
        let ids: Vec<SagaId> =
            page.failures.iter().map(|failure| failure.saga_id).filter(|id| met.insert(*id)).collect();
        let all: Failures = self.inspector.load_failures(&ids).await?;
        let is_last = |failure: &&crate::store::inspect::logs::Failure| {
            all.get(&failure.saga_id)
                .and_then(|failures| failures.first())
                .is_none_or(|newest| newest.place == failure.place)
        };
        let order: Vec<SagaId> =
            page.failures.iter().filter(is_last).map(|failure| failure.saga_id).collect();
        let mut sagas: HashMap<SagaId, SagaRecord> =
            self.inspector.load_sagas(&order).await?.into_iter().map(|saga| (saga.id, saga)).collect();
        if let Some(next) = page.next {
            // A saga fails after it was created, so that whatever failed before the span was created before it.
            let is_before = |since: Time| {
                let last = page.failures.last().and_then(|failure| failure.time.value().copied());
                last.is_some_and(|last| last < since)
            };
            if !self.filter.since.is_some_and(is_before) {
                self.place = Place::Failures(Some(next));
            }
        }
        Ok(order.iter().filter_map(|id| sagas.remove(id)).collect())
    }

    async fn choose(&mut self, sagas: Vec<SagaRecord>) -> Result<Vec<Candidate>, InspectError> {
        let mut wanted = Vec::with_capacity(sagas.len());
        for saga in sagas {
            let mut verdict = self.filter.admits_row(&saga, self.now);
            self.has_met_name = self.has_met_name || self.filter.is_named_so(&saga);
            if self.filter.orphaned && verdict != Verdict::No {
                verdict = verdict.and(self.is_orphan(&saga).await?);
            }
            if self.keeps(verdict) {
                wanted.push(saga);
            }
        }
        let totals = match self.filter.needs_logs() {
            true => Some(self.inspector.load_log_totals(&ids(&wanted)).await?),
            false => None,
        };
        let errors = match &self.filter.error_contains {
            Some(_) => Some(self.inspector.load_failures(&ids(&wanted)).await?),
            None => None,
        };
        let mut chosen = Vec::with_capacity(wanted.len());
        for saga in wanted {
            let totals = totals.as_ref().map(|totals| totals.get(&saga.id).cloned().unwrap_or_default());
            let mut verdict = match &totals {
                Some(totals) => self.filter.admits_log(&saga, totals, self.now),
                None => Verdict::Yes,
            };
            if let Some(errors) = &errors {
                let errors = errors.get(&saga.id).into_iter().flatten().map(|failure| &failure.data);
                verdict = verdict.and(self.filter.admits_errors(errors));
            }
            if self.keeps(verdict) {
                chosen.push(Candidate { saga, totals });
            }
        }
        Ok(chosen)
    }

    fn keeps(&mut self, verdict: Verdict) -> bool {
        self.undecided += u64::from(verdict == Verdict::CannotTell);
        verdict == Verdict::Yes
    }

    /// Whether nobody who is still there owns a saga that is not finished.
    async fn is_orphan(&mut self, saga: &SagaRecord) -> Result<Verdict, InspectError> {
        let owner = match &saga.current_sec {
            Field::Value(owner) => *owner,
            Field::Null => return Ok(is_unfinished(saga)),
            Field::NoColumn | Field::Unreadable { .. } => return Ok(Verdict::CannotTell),
        };
        let is_gone = match self.owners.get(&owner) {
            Some(is_gone) => *is_gone,
            None => {
                let is_gone = is_gone(&self.inspector.load_sec(owner).await?);
                self.owners.insert(owner, is_gone);
                is_gone
            }
        };
        Ok(if is_gone { is_unfinished(saga) } else { Verdict::No })
    }
}

/// Whether a SEC will never run a saga again.
fn is_gone(sec: &SecLookup) -> bool {
    match sec {
        SecLookup::NoTable => false,
        SecLookup::NoRow(_) => true,
        SecLookup::Row(sec) => {
            sec.state.value().is_some_and(|state| matches!(state.as_str(), "expunged" | "quiesced"))
        }
    }
}

/// The names that a filter's patterns stand for, if that can be found out.
async fn wanted_names(inspector: &Inspector, filter: &Filter) -> Result<Option<Vec<String>>, SagasError> {
    if filter.names.is_empty() {
        return Ok(None);
    }
    let Some(known) = inspector.list_names(KNOWN_NAMES).await? else { return Ok(None) };
    let wanted: Vec<String> =
        known.iter().filter(|name| filter.names.iter().any(|glob| glob.matches(name))).cloned().collect();
    match (wanted.is_empty(), known.len() < KNOWN_NAMES) {
        (false, true) => Ok(Some(wanted)),
        (true, true) => {
            let asked: Vec<String> = filter.names.iter().map(|glob| format!("{:?}", glob.0)).collect();
            Err(SagasError::UnknownName { asked: asked.join(" or "), known })
        }
        // There are names that were not seen.
        (_, false) => Ok(None),
    }
}

pub(super) fn ids(sagas: &[SagaRecord]) -> Vec<SagaId> {
    sagas.iter().map(|saga| saga.id).collect()
}
