//! The vocabulary of the simulated coordinator: properties, mistakes, and what a saga is made of.

use crate::wire::sagas::CachedState;

/// What must hold, whatever happens in whatever order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Property {
    /// The buckets of a plan are disjoint and complete, and the counts of a pass add up.
    P1,
    /// No saga is run twice side by side: none is resumed that was created here, or resumed here before.
    P2,
    /// What is kept as maybe done is known, and was absent from the listing.
    P3,
    /// A saga is let go only when the database said, after its creation was confirmed, that it is not an unfinished saga of
    /// ours, and never while it runs or is being created.
    P4,
    /// The totals account for every saga that is known, and never decrease.
    P5,
    /// Passes without a change in between change nothing from the second on.
    P6,
    /// When all sagas have finished, two passes leave nothing behind.
    P7,
    /// A candidate that nobody runs is tried in every pass that lists it.
    P8,
    /// Nothing finished or abandoned is resumed, and what is abandoned says why.
    P9,
    /// Every intact saga comes to rest with a log that one run without crashes could have written.
    P11,
    /// Everything that runs or is being created is known (the reason why P2 holds), and nothing else stays known (or it
    /// would be skipped for ever).
    Known,
}

/// A property that did not hold.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    pub(super) property: Property,
    #[expect(dead_code, reason = "read by Debug, which is how a failing test shows it")]
    pub(super) what: String,
}

/// What every verb returns.
pub(super) type Checked<T = ()> = Result<T, Violation>;

/// A plausible mistake in how recovery is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mutation {
    /// Announcements are drained before the candidates are listed. The types forbid it; what is announced after the wrong
    /// moment is held back until the drain, which comes to the same.
    DrainBeforeListing,
    /// A creation is announced when its insert has been acknowledged.
    AnnounceAfterInsert,
    /// A saga is let go of when the engine tells that it has finished.
    DropOnCompletion,
    /// A creation is announced before the insert only, as in Nexus: it counts as confirmed at once.
    AnnounceOnce,
    /// Ambiguous sagas are taken for finished without asking.
    SettleWithoutAsking,
    /// A pass begins (notes how far the announcements have come) only after its candidates were listed.
    BeginAfterListing,
}

/// Whether a saga can be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Intact,
    /// Nothing that concerns it works at present.
    Flaky,
    /// Its log makes no sense.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Us,
    SomebodyElse,
}

/// An entry in the log of a saga, whose nodes form a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Started(u8),
    Succeeded(u8),
    Failed(u8),
    UndoStarted(u8),
    UndoFinished(u8),
}

/// What an engine writes next, or `None` at the end.
pub(super) fn next_event(log: &[Event], nodes: u8, fails: bool) -> Option<Event> {
    let has = |event| log.contains(&event);
    if log.iter().any(|event| matches!(event, Event::Failed(_))) {
        let node = (0..nodes).rev().find(|&n| has(Event::Succeeded(n)) && !has(Event::UndoFinished(n)))?;
        return Some(if has(Event::UndoStarted(node)) {
            Event::UndoFinished(node)
        } else {
            Event::UndoStarted(node)
        });
    }
    let node = (0..nodes).find(|&n| !has(Event::Succeeded(n)))?;
    Some(match (has(Event::Started(node)), fails) {
        (false, _) => Event::Started(node),
        (true, false) => Event::Succeeded(node),
        (true, true) => Event::Failed(node),
    })
}

/// A row of table `saga`, with its log.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) owner: Owner,
    pub(super) generation: u32,
    pub(super) state: CachedState,
    pub(super) abandoned_because: Option<String>,
    pub(super) health: Health,
    pub(super) nodes: u8,
    pub(super) log: Vec<Event>,
}

impl Row {
    pub(super) fn is_unfinished(&self) -> bool {
        matches!(self.state, CachedState::Running | CachedState::Unwinding)
    }

    pub(super) fn is_candidate(&self) -> bool {
        self.owner == Owner::Us && self.is_unfinished()
    }

    pub(super) fn is_complete(&self) -> bool {
        next_event(&self.log, self.nodes, false).is_none()
    }
}

/// A creation that has begun and of whose insert the creator has not heard.
#[derive(Debug)]
pub(super) struct Creation {
    pub(super) inserted: bool,
}

/// A saga in the engine.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) log: Vec<Event>,
    pub(super) generation: u32,
    pub(super) phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// The write that makes it `done` was handed over ...
    HandedOver,
    /// ... and has been applied, and the engine has not heard back.
    Applied,
    AtRest,
}

/// What becomes of an insert that its creator gives up on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PendingInsert {
    /// It was refused.
    Refused,
    /// It may be applied later.
    MayLand,
}
