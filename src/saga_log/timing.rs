//! How long things took in one saga: each node's action and undo action, and the time between them in which nothing ran.
//!
//! All times are those of the writers' clocks. They are good enough to find what is slow, and decide nothing.

use crate::wire::time::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// An event without its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedEvent<'e> {
    /// The node.
    pub node_id: i64,
    /// What happened to it.
    pub event_type: &'e str,
    /// When.
    pub time: Time,
}

/// Something that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The node.
    pub node_id: i64,
    /// Whether it was its undo action.
    pub is_undo: bool,
    /// When it began.
    pub started: Time,
    /// When it ended; `None` if it has not.
    pub ended: Option<Time>,
}

/// A time in which nothing ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The node whose end it began with.
    pub after: i64,
    /// The node whose beginning it ended with.
    pub before: i64,
    /// When it began.
    pub from: Time,
    /// When it ended.
    pub to: Time,
}

impl Run {
    /// How long it took; if it has not ended, how long it has taken up to `now`. Nothing if clocks disagree.
    pub fn duration(&self, now: Time) -> Duration {
        between(self.started, self.ended.unwrap_or(now))
    }
}

impl Gap {
    /// How long it was.
    pub fn duration(&self) -> Duration {
        between(self.from, self.to)
    }
}

fn between(from: Time, to: Time) -> Duration {
    to.signed_duration_since(from).to_std().unwrap_or_default()
}

/// Everything that ran in a saga, by when it began. An end without a beginning is passed over.
pub fn runs(events: &[TimedEvent<'_>]) -> Vec<Run> {
    let mut began: BTreeMap<(i64, bool), (Option<Time>, Option<Time>)> = BTreeMap::new();
    for event in events {
        let (is_undo, is_start) = match event.event_type {
            "started" => (false, true),
            "succeeded" | "failed" => (false, false),
            "undo_started" => (true, true),
            "undo_finished" | "undo_failed" => (true, false),
            _ => continue,
        };
        let (started, ended) = began.entry((event.node_id, is_undo)).or_default();
        *(if is_start { started } else { ended }) = Some(event.time);
    }
    let mut runs: Vec<Run> = began
        .into_iter()
        .filter_map(|((node_id, is_undo), (started, ended))| {
            Some(Run { node_id, is_undo, started: started?, ended })
        })
        .collect();
    runs.sort_by_key(|run| (run.started, run.node_id));
    runs
}

/// The times in which nothing ran, oldest first, given what ran by when it began.
pub fn gaps(runs: &[Run]) -> Vec<Gap> {
    let mut gaps = Vec::new();
    // The end that reaches furthest of all that began before; `None` as soon as one has not ended.
    let mut busy_until: Option<(Time, i64)> = None;
    for (index, run) in runs.iter().enumerate() {
        if let Some((until, after)) = busy_until
            && run.started > until
        {
            gaps.push(Gap { after, before: run.node_id, from: until, to: run.started });
        }
        let Some(ended) = run.ended else { break };
        busy_until = match busy_until {
            Some(busy) if index > 0 && busy.0 >= ended => Some(busy),
            _ => Some((ended, run.node_id)),
        };
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Time {
        Time::from_timestamp_millis(millis).expect("a time")
    }

    fn event(node_id: i64, event_type: &str, millis: i64) -> TimedEvent<'_> {
        TimedEvent { node_id, event_type, time: at(millis) }
    }

    #[test]
    fn runs_and_gaps_of_a_saga_with_parallel_nodes() {
        // Nodes 1 and 2 overlap; then nothing for 50 ms; then the undo of 1; and 3 never ended.
        let events = [
            event(0, "started", 0),
            event(0, "succeeded", 1),
            event(2, "started", 2),
            event(1, "started", 1),
            event(1, "succeeded", 30),
            event(2, "failed", 10),
            event(1, "undo_started", 80),
            event(1, "undo_finished", 90),
            event(3, "started", 95),
            event(4, "succeeded", 99),
            event(5, "napped", 99),
        ];
        let runs = runs(&events);
        let took: Vec<_> = runs
            .iter()
            .map(|run| (run.node_id, run.is_undo, run.duration(at(1000)).as_millis(), run.ended.is_some()))
            .collect();
        assert_eq!(
            took,
            [
                (0, false, 1, true),
                (1, false, 29, true),
                (2, false, 8, true),
                (1, true, 10, true),
                (3, false, 905, false)
            ]
        );
        let gaps: Vec<_> =
            gaps(&runs).iter().map(|gap| (gap.after, gap.before, gap.duration().as_millis())).collect();
        assert_eq!(gaps, [(1, 1, 50), (1, 3, 5)]);
    }

    #[test]
    fn clocks_that_disagree_make_nothing_negative() {
        let runs = runs(&[event(0, "started", 100), event(0, "succeeded", 50), event(1, "started", 40)]);
        assert_eq!(runs.iter().map(|run| run.duration(at(0)).as_millis()).max(), Some(0));
        assert!(gaps(&runs).is_empty());
    }
}
