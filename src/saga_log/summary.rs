//! What can be said of a saga from its log's totals alone, for listings that cannot afford whole logs.
//!
//! The state that is stored beside a saga does not tell how it ended: one that succeeded, one that was unwound and one whose
//! undo action failed all rest in `done`. Only the log tells them apart, and for that it need not be read in full. How many
//! events there are of each type is enough.
use crate::wire::field::Field;
use crate::wire::time::Time;
use serde::{Serialize, Serializer};

use crate::wire::sagas::Outcome;

/// How many events of each type a log has, and when the last was written.
#[derive(Clone, Debug, PartialEq)]
pub struct LogTotals {
    /// `started`
    pub started: u64,
    /// `succeeded`
    pub succeeded: u64,
    /// `failed`
    pub failed: u64,
    /// `undo_started`
    pub undo_started: u64,
    /// `undo_finished`
    pub undo_finished: u64,
    /// `undo_failed`
    pub undo_failed: u64,
    /// Of types that this program does not know.
    pub other: u64,
    /// The newest event's time, as far as the times can be read; NULL if there is no event.
    pub last_event: Field<Time>,
}

impl Default for LogTotals {
    fn default() -> Self {
        Self {
            started: 0,
            succeeded: 0,
            failed: 0,
            undo_started: 0,
            undo_finished: 0,
            undo_failed: 0,
            other: 0,
            last_event: Field::Null,
        }
    }
}

impl LogTotals {
    /// Adds events of one type, the newest of them written at `newest`.
    pub fn add(&mut self, event_type: &str, count: u64, newest: Field<Time>) {
        *match event_type {
            "started" => &mut self.started,
            "succeeded" => &mut self.succeeded,
            "failed" => &mut self.failed,
            "undo_started" => &mut self.undo_started,
            "undo_finished" => &mut self.undo_finished,
            "undo_failed" => &mut self.undo_failed,
            _ => &mut self.other,
        } += count;
        let is_newer = match (&self.last_event, &newest) {
            (Field::Value(known), Field::Value(newest)) => newest > known,
            (Field::Value(_), _) => false,
            (_, _) => true,
        };
        if is_newer {
            self.last_event = newest;
        }
    }

    /// All events.
    pub fn events(&self) -> u64 {
        self.started
            + self.succeeded
            + self.failed
            + self.undo_started
            + self.undo_finished
            + self.undo_failed
            + self.other
    }

    /// The worst of it.
    pub fn worst(&self) -> Worst {
        match self {
            Self { undo_failed: 1.., .. } => Worst::UndoFailed,
            Self { failed: 1.., .. } => Worst::Failed,
            _ if self.events() > 0 => Worst::NothingFailed,
            _ => Worst::NoEvent,
        }
    }
}

/// The worst that a log tells: all of it that the outcome depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worst {
    /// It tells nothing.
    #[default]
    NoEvent,
    /// No action failed.
    NothingFailed,
    /// An action failed.
    Failed,
    /// An undo action failed.
    UndoFailed,
}

impl Worst {
    /// Whether something failed, be it an action or an undo action.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::UndoFailed)
    }
}

/// Which events a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeShape([bool; 6]);

impl NodeShape {
    /// The types of events that there are, in the order in which a node has them.
    pub const EVENT_TYPES: [&str; 6] =
        ["started", "succeeded", "failed", "undo_started", "undo_finished", "undo_failed"];

    /// A shape, in the order of [`EVENT_TYPES`](Self::EVENT_TYPES).
    pub fn of(has: [bool; 6]) -> Self {
        Self(has)
    }

    /// Whether its action was begun and has no end.
    fn is_open(self) -> bool {
        let [started, succeeded, failed, ..] = self.0;
        started && !succeeded && !failed
    }

    /// Whether its undo action was begun and has no end.
    fn is_undo_open(self) -> bool {
        let [_, _, _, started, finished, failed] = self.0;
        started && !finished && !failed
    }
}

/// What must add up in every log, if nothing is lost and nothing was written twice: each begin has one end or is still open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// What was begun.
    pub begun: &'static str,
    /// How often.
    pub begun_count: u64,
    /// How it ended, and how often each; the last is that it has not.
    #[serde(serialize_with = "as_object")]
    pub ended: [(&'static str, u64); 3],
    /// Whether it adds up.
    pub holds: bool,
}

fn as_object<S: Serializer>(counts: &[(&'static str, u64); 3], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(counts.iter().copied())
}

/// The two identities, for actions and for undo actions, from how many nodes have which shape.
pub fn identities(shapes: &[(NodeShape, u64)]) -> [Identity; 2] {
    let count = |wanted: &dyn Fn(NodeShape) -> bool| {
        shapes.iter().filter(|(shape, _)| wanted(*shape)).map(|(_, nodes)| nodes).sum::<u64>()
    };
    let has = |index: usize| count(&|shape: NodeShape| shape.0[index]);
    let identity = |begun: &'static str, begun_count: u64, ended: [(&'static str, u64); 3]| {
        let all: u64 = ended.iter().map(|(_, nodes)| nodes).sum();
        Identity { begun, begun_count, ended, holds: begun_count == all }
    };
    [
        identity(
            "started",
            has(0),
            [("succeeded", has(1)), ("failed", has(2)), ("open", count(&NodeShape::is_open))],
        ),
        identity(
            "undo_started",
            has(3),
            [
                ("undo_finished", has(4)),
                ("undo_failed", has(5)),
                ("undo_open", count(&NodeShape::is_undo_open)),
            ],
        ),
    ]
}

/// The outcome of a saga, or `None` while it has none: it is not at rest, or it was abandoned on the way.
///
/// A failed undo action ends a saga even where its stored state does not say so yet: the two are written one after the
/// other, and a crash may come between.
pub fn outcome(state: &Field<String>, worst: Worst) -> Option<Outcome> {
    match (state.value().map(String::as_str), worst) {
        (Some("abandoned"), _) => None,
        (_, Worst::UndoFailed) => Some(Outcome::Stuck),
        (Some("done"), Worst::NoEvent) => Some(Outcome::Unknown),
        (Some("done"), Worst::Failed) => Some(Outcome::Failed),
        (Some("done"), Worst::NothingFailed) => Some(Outcome::Succeeded),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(events: &[(&str, u64)]) -> LogTotals {
        let mut totals = LogTotals::default();
        for (event_type, count) in events {
            totals.add(event_type, *count, Field::Null);
        }
        totals
    }

    #[test]
    fn the_log_tells_apart_what_all_rests_in_done() {
        let ran = [("started", 5), ("succeeded", 4)];
        let unwound =
            [("started", 5), ("succeeded", 4), ("failed", 1), ("undo_started", 4), ("undo_finished", 4)];
        let stuck =
            [("started", 5), ("succeeded", 4), ("failed", 1), ("undo_started", 1), ("undo_failed", 1)];
        let table = [
            ("done", &ran[..], Some(Outcome::Succeeded)),
            ("done", &unwound[..], Some(Outcome::Failed)),
            ("done", &stuck[..], Some(Outcome::Stuck)),
            ("done", &[][..], Some(Outcome::Unknown)),
            ("running", &ran[..], None),
            ("unwinding", &unwound[..], None),
            // The crash came between the event and the state.
            ("unwinding", &stuck[..], Some(Outcome::Stuck)),
            ("abandoned", &stuck[..], None),
            ("hibernating", &ran[..], None),
        ];
        for (state, events, expected) in table {
            let state = Field::Value(state.to_owned());
            assert_eq!(outcome(&state, totals(events).worst()), expected, "{state:?} {events:?}");
        }
        assert_eq!(outcome(&Field::NoColumn, totals(&stuck).worst()), Some(Outcome::Stuck));
        assert_eq!(outcome(&Field::Null, totals(&ran).worst()), None);
    }

    #[test]
    fn the_newest_readable_time_counts() {
        let at = |text: &str| Field::Value(text.parse::<Time>().expect("a time"));
        let mut totals = LogTotals::default();
        let broken = Field::Unreadable { raw: "soon".to_owned(), reason: "not a time".to_owned() };
        totals.add("started", 1, broken.clone());
        assert_eq!(totals.last_event, broken);
        totals.add("succeeded", 1, at("2026-11-02T09:15:22Z"));
        totals.add("undo_started", 1, at("2026-11-02T09:15:21Z"));
        totals.add("napped", 2, broken);
        assert_eq!(totals.last_event, at("2026-11-02T09:15:22Z"));
        assert_eq!((totals.events(), totals.other), (5, 2));
    }

    #[test]
    fn what_begins_ends_or_is_open() {
        let shape =
            |types: &[&str]| NodeShape::of(NodeShape::EVENT_TYPES.map(|known| types.contains(&known)));
        let mut shapes = vec![
            (shape(&["started", "succeeded"]), 7),
            (shape(&["started", "failed"]), 2),
            (shape(&["started"]), 3),
            (shape(&["started", "succeeded", "undo_started"]), 4),
            (shape(&["started", "succeeded", "undo_started", "undo_finished"]), 5),
            (shape(&["started", "succeeded", "undo_started", "undo_failed"]), 6),
        ];
        let [actions, undos] = identities(&shapes);
        assert_eq!((actions.begun_count, actions.holds), (27, true));
        assert_eq!(actions.ended, [("succeeded", 22), ("failed", 2), ("open", 3)]);
        assert_eq!((undos.begun_count, undos.holds), (15, true));
        assert_eq!(undos.ended, [("undo_finished", 5), ("undo_failed", 6), ("undo_open", 4)]);
        // An end without a beginning.
        shapes.push((shape(&["succeeded"]), 1));
        assert!(!identities(&shapes)[0].holds);
        // Two ends.
        shapes.pop();
        shapes.push((shape(&["started", "succeeded", "failed"]), 1));
        assert!(!identities(&shapes)[0].holds);
    }

    #[test]
    fn outcomes_are_words() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(outcome));
        }
        assert_eq!(
            "finished".parse::<Outcome>().expect_err("no such outcome").to_string(),
            "unknown outcome \"finished\"; known outcomes: succeeded, failed, stuck, unknown"
        );
    }
}
