//! What goes through a queue of writes, whatever backend is at its end.

use super::error::{Refusal, StoreError};
use super::{Applied, Lane, Until, Write};
use std::collections::HashMap;
use tokio::sync::oneshot;

/// What came of a write.
pub(super) type Outcome = Result<Applied, StoreError>;

/// One thing handed over.
pub(super) enum Message {
    /// A write, and who is told of it.
    Write { write: Write, answer: Answer },
    /// The lane's saga has left the process.
    CloseLane(Lane),
}

/// Who is told of a write's outcome.
pub(super) enum Answer {
    WhenDurable(oneshot::Sender<Outcome>),
    WhenApplied(oneshot::Sender<Outcome>),
    /// Nobody waits; a refusal derails the lane.
    Derail(Lane),
}

impl Message {
    /// A write whose outcome is wanted, and where it will be told.
    pub(super) fn waited(write: Write, until: Until) -> (Self, oneshot::Receiver<Outcome>) {
        let (answer, outcome) = oneshot::channel();
        let answer = match until {
            Until::Durable => Answer::WhenDurable(answer),
            Until::Applied => Answer::WhenApplied(answer),
        };
        (Self::Write { write, answer }, outcome)
    }

    /// A write that nobody waits for.
    ///
    /// # Panics
    ///
    /// If it has no lane: there would be nobody to hear of a refusal, not now, and not by the writes that follow.
    pub(super) fn unwaited(write: Write) -> Self {
        let lane = write.lane.expect("a write that nobody waits for has a lane");
        Self::Write { write, answer: Answer::Derail(lane) }
    }
}

/// The derailed lanes; all others are not kept.
#[derive(Default)]
pub(super) struct Lanes {
    derailed: HashMap<Lane, Refusal>,
}

impl Lanes {
    /// Why a write of this lane is not applied any more, if so.
    pub(super) fn refusal_of(&self, lane: Option<Lane>) -> Option<&Refusal> {
        if self.derailed.is_empty() {
            return None;
        }
        self.derailed.get(&lane?)
    }

    /// Notes that a write of the lane was refused that nobody waited for.
    ///
    /// # Errors
    ///
    /// The last words of the process, if the saga is not this SEC's any more: it may be a while until somebody waits for a
    /// write of the saga, and a SEC that finds itself fenced stops at once.
    pub(super) fn derail(&mut self, lane: Lane, refusal: Refusal, log: &slog::Logger) -> Result<(), String> {
        if refusal.is_fence() {
            return Err(format!("saga {lane}: {refusal}"));
        }
        slog::warn!(log, "a write that nobody waits for was refused; the saga is derailed";
            "saga_id" => %lane, "refusal" => %refusal);
        self.derailed.insert(lane, refusal);
        Ok(())
    }

    /// Forgets a lane.
    pub(super) fn close(&mut self, lane: Lane) {
        self.derailed.remove(&lane);
    }
}
