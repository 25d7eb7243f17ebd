//! `sagas count`: how many sagas of each kind, and how many events of each type.
//!
//! Everything that a filter lets through is gone through once; what is kept is one number per group. Groups by error can be many,
//! since errors hold names and ids, so there is an end to them.

use super::filter::Filter;
use super::walk::{Candidate, Walk};
use super::{SagasError, failed_nodes};
use crate::saga_log::summary::{self, Identity, NodeShape};
use crate::store::inspect::Inspector;
use crate::store::inspect::error::InspectError;
use crate::wire::field::Field;
use crate::wire::ids::SagaId;
use crate::wire::overview::Shared;
use crate::wire::time::Time;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::collections::{BTreeMap, HashMap};

/// Sagas that are gone through at once.
const PAGE: u32 = 1_000;

/// Most groups that are told apart; what comes after them is counted together.
const MOST_GROUPS: usize = 10_000;

/// What sagas are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Kind.
    Name,
    /// State as stored.
    State,
    /// How it ended, from its log.
    Outcome,
    /// The node that failed first.
    Node,
    /// The error of that node.
    Error,
    /// Owner.
    Sec,
    /// Why it was abandoned.
    Reason,
}

impl Key {
    /// Every key.
    pub const ALL: [Self; 7] =
        [Self::Name, Self::State, Self::Outcome, Self::Node, Self::Error, Self::Sec, Self::Reason];

    /// Its name, on the command line and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::State => "state",
            Self::Outcome => "outcome",
            Self::Node => "node",
            Self::Error => "error",
            Self::Sec => "sec",
            Self::Reason => "reason",
        }
    }
}

/// Sagas that have something in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// By what, and what it is.
    pub shared: Vec<(Key, Shared)>,
    /// How many.
    pub count: u64,
}

/// A count on its way.
pub struct Counting {
    walk: Walk,
    keys: Vec<Key>,
    groups: HashMap<Vec<Shared>, u64>,
    counted: u64,
    left: Option<u64>,
}

/// Events of sagas, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventCounts {
    /// By type.
    pub events: BTreeMap<String, u64>,
    /// What must add up.
    pub identities: Vec<Identity>,
}

/// A count of events on its way.
pub struct CountingEvents {
    walk: Walk,
    types: BTreeMap<String, u64>,
    shapes: BTreeMap<NodeShape, u64>,
    counted: u64,
}

impl Counting {
    /// Begins to count; `newest` stops after so many sagas, newest first where an index knows which these are.
    ///
    /// # Errors
    ///
    /// If what is asked for cannot be found out, or the database not be read.
    pub async fn begin(
        inspector: Inspector,
        filter: Filter,
        keys: Vec<Key>,
        newest: Option<u64>,
        now: Time,
    ) -> Result<Self, SagasError> {
        // Counting is known to take its time, so nothing needs to be agreed to.
        let walk = Walk::begin(inspector, filter, now).await?;
        Ok(Self { walk, keys, groups: HashMap::new(), counted: 0, left: newest })
    }

    /// Counts on; false at the end.
    ///
    /// # Errors
    ///
    /// If the database cannot be read on.
    pub async fn advance(&mut self) -> Result<bool, InspectError> {
        if self.left == Some(0) {
            return Ok(false);
        }
        let size = self.left.map_or(PAGE, |left| PAGE.min(u32::try_from(left).unwrap_or(PAGE)));
        let Some(candidates) = self.walk.next(size).await? else { return Ok(false) };
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(candidates.len() as u64);
        }
        self.count(candidates).await?;
        Ok(true)
    }

    async fn count(&mut self, candidates: Vec<Candidate>) -> Result<(), InspectError> {
        let wants = |key| self.keys.contains(&key);
        let wants_failures = wants(Key::Node) || wants(Key::Error);
        let inspector = self.walk.inspector().clone();
        let mut worst = HashMap::new();
        if wants(Key::Outcome) || wants_failures {
            let unread: Vec<SagaId> = candidates
                .iter()
                .filter(|candidate| candidate.totals.is_none())
                .map(|candidate| candidate.saga.id)
                .collect();
            worst = inspector.load_worst(&unread).await?;
            worst.extend(
                candidates
                    .iter()
                    .filter_map(|candidate| Some((candidate.saga.id, candidate.totals.as_ref()?.worst()))),
            );
        }
        let failed: Vec<SagaId> =
            worst.iter().filter(|(_, worst)| worst.is_failure()).map(|(id, _)| *id).collect();
        let (failures, dags) = match wants_failures && !failed.is_empty() {
            true => (inspector.load_failures(&failed).await?, inspector.load_dags(&failed).await?),
            false => (HashMap::new(), HashMap::new()),
        };
        for Candidate { saga, .. } in candidates {
            let of_log = worst.get(&saga.id).copied().unwrap_or_default();
            let of_saga = failures.get(&saga.id).map_or(&[][..], |failures| failures);
            let (first, _) = failed_nodes(of_saga, dags.get(&saga.id));
            let shared = self
                .keys
                .iter()
                .map(|key| match key {
                    Key::Name => shared(&saga.name, Clone::clone),
                    Key::State => shared(&saga.state, Clone::clone),
                    Key::Outcome => match summary::outcome(&saga.state, of_log) {
                        None => Shared::Absent,
                        Some(outcome) => Shared::Known(outcome.to_string()),
                    },
                    Key::Node => {
                        first.as_ref().map_or(Shared::Absent, |first| Shared::Known(first.node.clone()))
                    }
                    Key::Error => match &first {
                        None => Shared::Absent,
                        Some(first) => first.error.clone().map_or(Shared::Unknown, Shared::Known),
                    },
                    Key::Sec => shared(&saga.current_sec, ToString::to_string),
                    Key::Reason => shared(&saga.abandon_reason, Clone::clone),
                })
                .collect::<Vec<_>>();
            self.add(shared);
        }
        Ok(())
    }

    fn add(&mut self, shared: Vec<Shared>) {
        self.counted += 1;
        let is_full = self.groups.len() >= MOST_GROUPS;
        let shared = match self.groups.contains_key(&shared) || !is_full {
            true => shared,
            false => vec![Shared::Other; self.keys.len()],
        };
        *self.groups.entry(shared).or_default() += 1;
    }

    /// Sagas that were counted, and rows that were looked at for it.
    pub fn progress(&self) -> (u64, u64) {
        (self.counted, self.walk.scanned)
    }

    /// What stopped it short, if anything did.
    pub fn coverage(&self) -> CountCoverage {
        CountCoverage {
            is_cut: self.left == Some(0) && self.walk.has_more(),
            groups_are_cut: self.groups.len() > MOST_GROUPS,
            unreadable_ids: self.walk.unreadable_ids.len() as u64,
            undecided: self.walk.undecided,
            no_such_name: self.walk.has_met_no_name(),
        }
    }

    /// The groups, the largest first.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = self
            .groups
            .iter()
            .map(|(shared, count)| Group {
                shared: self.keys.iter().copied().zip(shared.iter().cloned()).collect(),
                count: *count,
            })
            .collect();
        groups.sort_by(|a, b| {
            let key =
                |group: &Group| group.shared.iter().map(|(_, shared)| shared.clone()).collect::<Vec<_>>();
            b.count.cmp(&a.count).then_with(|| key(a).cmp(&key(b)))
        });
        groups
    }
}

/// What a count does not cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountCoverage {
    /// There were more sagas than were to be counted.
    pub is_cut: bool,
    /// There were more groups than are told apart.
    pub groups_are_cut: bool,
    /// Rows without a readable id, which are not counted.
    pub unreadable_ids: u64,
    /// Sagas of which could not be told whether they are meant, which are not counted.
    pub undecided: u64,
    /// Names were asked for, and no saga that was looked at has one of them.
    pub no_such_name: bool,
}

impl CountingEvents {
    /// Begins to count.
    ///
    /// # Errors
    ///
    /// If what is asked for cannot be found out, or the database not be read.
    pub async fn begin(inspector: Inspector, filter: Filter, now: Time) -> Result<Self, SagasError> {
        let walk = Walk::begin(inspector, filter, now).await?;
        Ok(Self { walk, types: BTreeMap::new(), shapes: BTreeMap::new(), counted: 0 })
    }

    /// Counts on; false at the end.
    ///
    /// # Errors
    ///
    /// If the database cannot be read on.
    pub async fn advance(&mut self) -> Result<bool, InspectError> {
        let Some(candidates) = self.walk.next(PAGE).await? else { return Ok(false) };
        self.counted += candidates.len() as u64;
        let ids: Vec<SagaId> = candidates.iter().map(|candidate| candidate.saga.id).collect();
        for (event_type, count) in self.walk.inspector().count_events(&ids).await? {
            *self.types.entry(event_type).or_default() += count;
        }
        for (shape, nodes) in self.walk.inspector().load_node_shapes(&ids).await? {
            *self.shapes.entry(shape).or_default() += nodes;
        }
        Ok(true)
    }

    /// Sagas that were counted, and rows that were looked at for it.
    pub fn progress(&self) -> (u64, u64) {
        (self.counted, self.walk.scanned)
    }

    /// What it does not cover.
    pub fn coverage(&self) -> CountCoverage {
        CountCoverage {
            unreadable_ids: self.walk.unreadable_ids.len() as u64,
            undecided: self.walk.undecided,
            no_such_name: self.walk.has_met_no_name(),
            ..CountCoverage::default()
        }
    }

    /// The numbers.
    pub fn counts(&self) -> EventCounts {
        let shapes: Vec<_> = self.shapes.iter().map(|(shape, nodes)| (*shape, *nodes)).collect();
        EventCounts { events: self.types.clone(), identities: summary::identities(&shapes).into() }
    }
}

fn shared<T>(field: &Field<T>, show: impl FnOnce(&T) -> String) -> Shared {
    match field {
        Field::Value(value) => Shared::Known(show(value)),
        Field::Null => Shared::Absent,
        Field::NoColumn | Field::Unreadable { .. } => Shared::Unknown,
    }
}

impl Serialize for Group {
    /// What is known is text, what is absent null, what nobody knows `?`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.shared.len() + 1))?;
        for (key, shared) in &self.shared {
            let value = match shared {
                Shared::Known(text) => Some(text.as_str()),
                Shared::Absent => None,
                Shared::Unknown => Some("?"),
                Shared::Other => Some("(other)"),
            };
            map.serialize_entry(key.as_str(), &value)?;
        }
        map.serialize_entry("count", &self.count)?;
        map.end()
    }
}
