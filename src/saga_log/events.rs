//! A log's events, sorted to the nodes that they are about.
//!
//! A node has at most one event of each type, whatever the number of attempts: the key of the table is (saga, node, type),
//! and an action that is run again after a crash writes no second `started`. So a node's events are six places, filled
//! or not, and their order in time is the order of the places.

use super::record::EventRecord;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// What happened to a node. The order is the one in which a node can have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// Its action was begun.
    Started,
    /// Its action succeeded; the data is its output.
    Succeeded,
    /// Its action failed; the data is the error.
    Failed,
    /// Its undo action was begun.
    UndoStarted,
    /// Its undo action succeeded.
    UndoFinished,
    /// Its undo action failed; the data is the error, or NULL in a Nexus's database.
    UndoFailed,
}

/// The text is not one of the types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownEventType;

/// How far a node has come, from its events alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeStatus {
    /// It has no events.
    NotRun,
    /// Its action was begun and has not ended.
    Running,
    /// Its action succeeded.
    Done,
    /// Its action failed.
    Failed,
    /// Its undo action was begun and has not ended.
    Undoing,
    /// Its undo action succeeded.
    Undone,
    /// Its undo action failed.
    UndoFailed,
}

/// The events of one node.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeLog<'r> {
    events: [Option<&'r EventRecord>; 6],
}

/// A log by nodes.
#[derive(Clone, Debug, Default)]
pub struct Log<'r> {
    nodes: BTreeMap<i64, NodeLog<'r>>,
    /// Events whose place was taken.
    pub duplicates: Vec<&'r EventRecord>,
    /// Events of types that nobody knows.
    pub unknown: Vec<&'r EventRecord>,
}

impl EventType {
    /// Every type, in order.
    pub const ALL: [Self; 6] = [
        Self::Started,
        Self::Succeeded,
        Self::Failed,
        Self::UndoStarted,
        Self::UndoFinished,
        Self::UndoFailed,
    ];

    /// The text in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::UndoStarted => "undo_started",
            Self::UndoFinished => "undo_finished",
            Self::UndoFailed => "undo_failed",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        Self::ALL.into_iter().find(|known| known.as_str() == text).ok_or(UnknownEventType)
    }
}

impl NodeStatus {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRun => "not run",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::UndoFailed => "undo failed",
        }
    }

    /// Whether an action or undo action is under way.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Undoing)
    }

    /// Whether the node stands in the way of undoing those before it no longer.
    pub const fn is_out_of_the_way(self) -> bool {
        matches!(self, Self::NotRun | Self::Failed | Self::Undone)
    }
}

impl fmt::Display for NodeStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'r> NodeLog<'r> {
    /// The event of a type.
    pub fn get(&self, event_type: EventType) -> Option<&'r EventRecord> {
        self.events[event_type as usize]
    }

    /// Whether there is one of a type.
    pub fn has(&self, event_type: EventType) -> bool {
        self.get(event_type).is_some()
    }

    /// All events, in the order of their types.
    pub fn events(&self) -> impl Iterator<Item = (EventType, &'r EventRecord)> + '_ {
        EventType::ALL.into_iter().filter_map(|event_type| Some((event_type, self.get(event_type)?)))
    }

    /// How the action ended, if it did.
    pub fn end(&self) -> Option<&'r EventRecord> {
        self.get(EventType::Failed).or(self.get(EventType::Succeeded))
    }

    /// How the undo action ended, if it did.
    pub fn undo_end(&self) -> Option<&'r EventRecord> {
        self.get(EventType::UndoFailed).or(self.get(EventType::UndoFinished))
    }

    /// How far it has come: the latest of its events by type.
    pub fn status(&self) -> NodeStatus {
        match EventType::ALL.into_iter().rev().find(|&event_type| self.has(event_type)) {
            None => NodeStatus::NotRun,
            Some(EventType::Started) => NodeStatus::Running,
            Some(EventType::Succeeded) => NodeStatus::Done,
            Some(EventType::Failed) => NodeStatus::Failed,
            Some(EventType::UndoStarted) => NodeStatus::Undoing,
            Some(EventType::UndoFinished) => NodeStatus::Undone,
            Some(EventType::UndoFailed) => NodeStatus::UndoFailed,
        }
    }
}

impl<'r> Log<'r> {
    /// Sorts events to their nodes. Of two of the same node and type the first counts.
    pub fn of(events: &'r [EventRecord]) -> Self {
        let mut log = Self::default();
        for event in events {
            let Ok(event_type) = event.event_type.parse::<EventType>() else {
                log.unknown.push(event);
                continue;
            };
            let place = &mut log.nodes.entry(event.node_id).or_default().events[event_type as usize];
            match place {
                None => *place = Some(event),
                Some(_) => log.duplicates.push(event),
            }
        }
        log
    }

    /// The events of a node, which may be none.
    pub fn node(&self, id: i64) -> NodeLog<'r> {
        self.nodes.get(&id).copied().unwrap_or_default()
    }

    /// Nodes that have events, by id.
    pub fn nodes(&self) -> impl Iterator<Item = (i64, &NodeLog<'r>)> {
        self.nodes.iter().map(|(&id, log)| (id, log))
    }

    /// Whether any node has an event of a type.
    pub fn has(&self, event_type: EventType) -> bool {
        self.nodes.values().any(|node| node.has(event_type))
    }
}
