//! `sagas slow`: which nodes take long, and where sagas wait between nodes.
//!
//! Every saga that is asked for is timed by its log; what is kept is a histogram for each node of each kind of saga, and the
//! longest of all. A node that has begun and not ended is timed up to now if its saga is unfinished, for that is what one
//! looks for first.

use super::SagasError;
use super::filter::{Filter, Verdict, is_unfinished};
use super::walk::{Candidate, Walk};
use crate::saga_log::node_names::NodeNames;
use crate::saga_log::record::SagaRecord;
use crate::saga_log::timing::{self, TimedEvent};
use crate::store::inspect::Inspector;
use crate::store::inspect::contents::EventTime;
use crate::store::inspect::error::InspectError;
use crate::wire::field::Field;
use crate::wire::ids::SagaId;
use crate::wire::time::Time;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Sagas that are timed at once.
const PAGE: u32 = 250;

/// Most nodes that are told apart, of all kinds of sagas together: some 60 KiB each. Kinds and nodes are part of a program.
const MOST_NODES: usize = 1_000;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Which sagas.
    pub filter: Filter,
    /// Most sagas, the newest where an index knows which these are; `None` for all.
    pub limit: Option<u64>,
    /// Only what took at least so long is listed one by one.
    pub over: Duration,
    /// Most of each that are listed one by one.
    pub most: usize,
}

/// Times of one node of one kind of saga.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeTimes {
    /// The kind of saga.
    pub name: String,
    /// The node.
    pub node: String,
    /// Whether it is the undo action.
    pub undo: bool,
    /// How often it ran to an end.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// Nine of ten.
    pub p90_ms: f64,
    /// Ninety-nine of a hundred.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// One node of one saga that took long.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SlowNode {
    /// How long.
    pub took_ms: f64,
    /// Whether it has ended.
    pub ended: bool,
    /// The saga.
    pub saga_id: SagaId,
    /// Its kind.
    pub name: String,
    /// The node.
    pub node: String,
    /// Whether it is the undo action.
    pub undo: bool,
    /// When it began.
    pub started: Time,
}

/// A time in which nothing of a saga ran.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LongGap {
    /// How long.
    pub took_ms: f64,
    /// The saga.
    pub saga_id: SagaId,
    /// Its kind.
    pub name: String,
    /// The node that had ended.
    pub after: String,
    /// The node that began then.
    pub before: String,
    /// When it began.
    pub from: Time,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Sagas that were timed.
    pub sagas: u64,
    /// Of these, sagas with times that cannot be read, which are timed without them.
    pub unreadable: u64,
    /// Whether there are, or may be, more than the limit allowed.
    pub is_cut: bool,
    /// Nodes by kind of saga, the slowest nine tenths first.
    pub nodes: Vec<NodeTimes>,
    /// The slowest, one by one.
    pub slowest: Vec<SlowNode>,
    /// The longest gaps, one by one.
    pub gaps: Vec<LongGap>,
}

/// A search for what is slow, on its way.
pub struct Timing {
    walk: Walk,
    request: Request,
    now: Time,
    left: Option<u64>,
    sagas: u64,
    unreadable: u64,
    nodes: BTreeMap<(String, String, bool), Times>,
    slowest: Longest<SlowNode>,
    gaps: Longest<LongGap>,
}

impl Timing {
    /// Begins to time.
    ///
    /// # Errors
    ///
    /// If what is asked for cannot be found out, or the database not be read.
    pub async fn begin(inspector: Inspector, request: Request, now: Time) -> Result<Self, SagasError> {
        Ok(Self {
            walk: Walk::begin(inspector, request.filter.clone(), now).await?,
            now,
            left: request.limit,
            sagas: 0,
            unreadable: 0,
            nodes: BTreeMap::new(),
            slowest: Longest::new(request.most),
            gaps: Longest::new(request.most),
            request,
        })
    }

    /// Times on; false at the end.
    ///
    /// # Errors
    ///
    /// If the database cannot be read on.
    pub async fn advance(&mut self) -> Result<bool, InspectError> {
        if self.left == Some(0) {
            return Ok(false);
        }
        let Some(mut candidates) = self.walk.next(PAGE).await? else { return Ok(false) };
        if let Some(left) = &mut self.left {
            candidates.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= candidates.len() as u64;
        }
        let ids: Vec<SagaId> = candidates.iter().map(|candidate| candidate.saga.id).collect();
        let inspector = self.walk.inspector();
        let dags = inspector.load_dags(&ids).await?;
        let mut events: HashMap<SagaId, Vec<EventTime>> = HashMap::new();
        for event in inspector.load_event_times(&ids).await? {
            events.entry(event.saga_id).or_default().push(event);
        }
        for Candidate { saga, .. } in &candidates {
            let names = match dags.get(&saga.id) {
                Some(Field::Value(dag)) => NodeNames::of_dag(dag),
                _ => NodeNames::default(),
            };
            self.time(saga, &names, events.get(&saga.id).map_or(&[][..], |events| events));
        }
        Ok(true)
    }

    fn time(&mut self, saga: &SagaRecord, names: &NodeNames, events: &[EventTime]) {
        self.sagas += 1;
        let readable: Vec<TimedEvent<'_>> = events
            .iter()
            .filter_map(|event| {
                let time = *event.time.value()?;
                Some(TimedEvent { node_id: event.node_id, event_type: &event.event_type, time })
            })
            .collect();
        self.unreadable += u64::from(readable.len() < events.len());
        let name = saga.name.value().cloned().unwrap_or_else(|| "?".to_owned());
        let is_unfinished = is_unfinished(saga) == Verdict::Yes;
        let runs = timing::runs(&readable);
        for run in &runs {
            let took = run.duration(self.now);
            if run.ended.is_some() {
                self.record(&name, names.name(run.node_id), run.is_undo, took);
            } else if !is_unfinished {
                // Whatever became of it, it does not run any more.
                continue;
            }
            if took >= self.request.over {
                self.slowest.offer(took, || SlowNode {
                    took_ms: millis(took),
                    ended: run.ended.is_some(),
                    saga_id: saga.id,
                    name: name.clone(),
                    node: names.name(run.node_id),
                    undo: run.is_undo,
                    started: run.started,
                });
            }
        }
        for gap in timing::gaps(&runs) {
            if gap.duration() >= self.request.over {
                self.gaps.offer(gap.duration(), || LongGap {
                    took_ms: millis(gap.duration()),
                    saga_id: saga.id,
                    name: name.clone(),
                    after: names.name(gap.after),
                    before: names.name(gap.before),
                    from: gap.from,
                });
            }
        }
    }

    fn record(&mut self, name: &str, node: String, is_undo: bool, took: Duration) {
        let key = (name.to_owned(), node, is_undo);
        if self.nodes.len() >= MOST_NODES && !self.nodes.contains_key(&key) {
            return;
        }
        self.nodes.entry(key).or_insert_with(Times::new).record(took);
    }

    /// Sagas that were timed, and rows that were looked at for it.
    pub fn progress(&self) -> (u64, u64) {
        (self.sagas, self.walk.scanned)
    }

    /// Whether names were asked for, and every saga was looked at, and none has one of them.
    pub fn no_such_name(&self) -> bool {
        self.walk.has_met_no_name()
    }

    /// What was found, once [`advance`](Self::advance) has come to its end.
    pub fn report(self) -> Report {
        let mut nodes: Vec<NodeTimes> = self
            .nodes
            .into_iter()
            .map(|((name, node, undo), times)| {
                let at = |quantile: f64| millis(times.at(quantile));
                NodeTimes {
                    name,
                    node,
                    undo,
                    count: times.histogram.len(),
                    p50_ms: at(0.5),
                    p90_ms: at(0.9),
                    p99_ms: at(0.99),
                    max_ms: millis(times.longest),
                }
            })
            .collect();
        nodes.sort_by(|a, b| b.p90_ms.total_cmp(&a.p90_ms));
        Report {
            sagas: self.sagas,
            unreadable: self.unreadable,
            is_cut: self.left == Some(0) && self.walk.has_more(),
            nodes,
            slowest: self.slowest.into_vec(),
            gaps: self.gaps.into_vec(),
        }
    }
}

/// How long one node took, each time.
struct Times {
    /// In microseconds, to three digits.
    histogram: Histogram<u32>,
    /// Exactly.
    longest: Duration,
}

impl Times {
    fn new() -> Self {
        Self { histogram: Histogram::new(3).expect("three digits are possible"), longest: Duration::ZERO }
    }

    fn record(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).min(LONGEST_MICROS);
        // It grows as it must, which cannot fail for what is bounded.
        let _ = self.histogram.record(micros);
        self.longest = self.longest.max(took);
    }

    /// The time that this part of all did not exceed. Histograms answer with the end of a bucket, which may lie beyond
    /// anything that happened.
    fn at(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.histogram.value_at_quantile(quantile)).min(self.longest)
    }
}

/// A month; what takes longer counts as this.
const LONGEST_MICROS: u64 = 31 * 24 * 3600 * 1_000_000;

fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// The longest of many, the longest first.
struct Longest<T> {
    most: usize,
    kept: Vec<(Reverse<Duration>, T)>,
}

impl<T> Longest<T> {
    fn new(most: usize) -> Self {
        Self { most, kept: Vec::new() }
    }

    fn offer(&mut self, duration: Duration, item: impl FnOnce() -> T) {
        let place = self.kept.partition_point(|(kept, _)| *kept <= Reverse(duration));
        if place < self.most {
            self.kept.insert(place, (Reverse(duration), item()));
            self.kept.truncate(self.most);
        }
    }

    fn into_vec(self) -> Vec<T> {
        self.kept.into_iter().map(|(_, item)| item).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_time_is_longer_than_what_happened() {
        let mut times = Times::new();
        times.record(Duration::from_millis(30_000));
        assert_eq!(times.at(0.5), Duration::from_secs(30));
        for millis in 1..=1000 {
            times.record(Duration::from_millis(millis));
        }
        let p90 = times.at(0.9).as_secs_f64();
        assert!((0.900..0.902).contains(&p90), "{p90}");
        times.record(Duration::MAX);
        assert_eq!(times.histogram.len(), 1002);
    }

    #[test]
    fn only_the_longest_are_kept_and_the_first_of_equals() {
        let mut longest = Longest::new(3);
        for (index, secs) in [2, 9, 4, 9, 1, 7].into_iter().enumerate() {
            longest.offer(Duration::from_secs(secs), || (secs, index));
        }
        assert_eq!(longest.into_vec(), [(9, 1), (9, 3), (7, 5)]);
    }
}
