//! How recovery hears of the sagas that this process creates.
//!
//! Whoever creates a saga holds an [`Announcer`] and announces twice: before the row is inserted, and again when the
//! insert's outcome is known. The announcements wait in a queue, in order and without loss, until recovery drains it. A
//! creation in between is a [`CreationInFlight`]. It cannot be forgotten: dropped by a panic or a cancelled future, it
//! announces that nobody will run its saga.
//!
//! The queue counts what passes through it, so that recovery can note a [`Mark`] before it lists candidates and tell later
//! which announcements came before that moment.

use crate::wire::ids::SagaId;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A backlog from which a pass is worth its while, see [`Announcer::wants_pass`].
///
/// Between passes the queue is the only part of recovery's memory that grows. An announcement takes 17 bytes and a saga
/// makes two, so this many are about 1.1 MB and 32,768 sagas. A pass costs milliseconds then, and at several thousand new
/// sagas a second there is one every few seconds: nothing to notice, while waiting for the period (ten minutes) would let
/// millions pile up, here and in the SEC's record of what has finished.
pub const BACKLOG_WORTH_A_PASS: usize = 1 << 16;

/// One step in the creation of a saga, or the end of a claim to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announcement {
    /// This process is about to insert the saga. It may run here from now on.
    Creating(SagaId),
    /// Its row is in the database for everybody to read, and this process runs it.
    Created(SagaId),
    /// This process does not run it and never will, unless recovery picks it up. Its creation failed, or nobody knows how
    /// it ended, or whoever ran it let go of it.
    Dropped(SagaId),
}

impl Announcement {
    /// The saga that it is about.
    pub(super) fn saga_id(self) -> SagaId {
        match self {
            Self::Creating(id) | Self::Created(id) | Self::Dropped(id) => id,
        }
    }
}

/// A point in the stream of announcements: how many there had been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark(u64);

/// What waits, and how many were taken out before it.
#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Announcement>,
    taken: u64,
}

#[derive(Clone, Debug, Default)]
struct SharedQueue(Arc<Mutex<Queue>>);

impl SharedQueue {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that is done under the lock can leave the queue half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, announcement: Announcement) {
        self.lock().waiting.push(announcement);
    }
}

/// Makes the two ends of a queue of announcements.
pub(super) fn announcements() -> (Announcer, Announcements) {
    let queue = SharedQueue::default();
    (Announcer { queue: queue.clone() }, Announcements { queue })
}

/// The sending end, for whoever creates sagas, on any thread. Clones feed the same queue.
#[derive(Clone, Debug)]
pub struct Announcer {
    queue: SharedQueue,
}

impl Announcer {
    /// Announces that a saga is about to be created. Must come before its insert is handed to the store.
    ///
    /// The id must be fresh. One that was announced before, or that recovery has picked up, breaks the bookkeeping and
    /// makes the next pass panic: a second attempt at a creation takes a second id.
    pub fn creating(&self, id: SagaId) -> CreationInFlight {
        self.queue.push(Announcement::Creating(id));
        CreationInFlight { id, queue: Some(self.queue.clone()) }
    }

    /// Lets go of a saga that this process had (created or recovered), whose run ended without bringing the saga to rest:
    /// the engine would not start it, or what it did was refused and counts for nothing. The next pass resumes it.
    ///
    /// Only for sagas that certainly do not run here any more, and never because one has *finished*: a candidate listed
    /// just before it finished would be taken for one that nobody runs.
    pub fn relinquish(&self, id: SagaId) {
        self.queue.push(Announcement::Dropped(id));
    }

    /// How many announcements wait for recovery.
    pub fn backlog(&self) -> usize {
        self.queue.lock().waiting.len()
    }

    /// Whether so many wait that recovery should be woken for them, see [`BACKLOG_WORTH_A_PASS`]. Only a hint: a pass means
    /// the same whenever it runs.
    pub fn wants_pass(&self) -> bool {
        self.backlog() >= BACKLOG_WORTH_A_PASS
    }
}

/// A saga whose creation has been announced and whose insert has not been heard of.
///
/// Recovery neither resumes the saga nor counts it as finished, however many passes go by. So this must come to an end:
/// by [`created`](Self::created) or [`dropped`](Self::dropped), or by being dropped, which counts as the latter.
#[derive(Debug)]
#[must_use = "a creation that is dropped at once tells recovery that nobody runs its saga"]
pub struct CreationInFlight {
    id: SagaId,
    /// Taken when the outcome is announced.
    queue: Option<SharedQueue>,
}

impl CreationInFlight {
    /// The saga's id.
    pub fn id(&self) -> SagaId {
        self.id
    }

    /// Announces that the saga exists and runs here.
    ///
    /// To be called once the insert is durable, so that every later read sees the row, and the engine has the saga. No
    /// point at which the caller can be cancelled may lie between handing the saga to the engine and this call; otherwise
    /// a running saga would be announced as dropped and resumed a second time.
    pub fn created(mut self) {
        self.resolve(Announcement::Created(self.id));
    }

    /// Announces that this process will not run the saga: its insert failed, or its outcome is not known, or the engine
    /// would not have it. If the row exists after all, or comes to exist later, recovery picks it up.
    pub fn dropped(mut self) {
        self.resolve(Announcement::Dropped(self.id));
    }

    fn resolve(&mut self, outcome: Announcement) {
        if let Some(queue) = self.queue.take() {
            queue.push(outcome);
        }
    }
}

impl Drop for CreationInFlight {
    fn drop(&mut self) {
        self.resolve(Announcement::Dropped(self.id));
    }
}

/// The receiving end. There is one, and recovery owns it.
#[derive(Debug)]
pub(super) struct Announcements {
    queue: SharedQueue,
}

/// Everything that was announced since the last time, in order.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) announcements: Vec<Announcement>,
    /// This many of them, counted from the first, were made before the mark.
    pub(super) before_mark: usize,
}

impl Announcements {
    /// Notes how far the stream has come.
    pub(super) fn mark(&self) -> Mark {
        let queue = self.queue.lock();
        Mark(queue.taken + queue.waiting.len() as u64)
    }

    /// Takes everything that has been announced, without waiting for more.
    pub(super) fn take(&mut self, mark: Mark) -> Heard {
        let mut queue = self.queue.lock();
        let announcements = mem::take(&mut queue.waiting);
        // What was marked may have been taken by an earlier call.
        let before_mark = mark.0.saturating_sub(queue.taken).min(announcements.len() as u64);
        queue.taken += announcements.len() as u64;
        Heard {
            announcements,
            before_mark: usize::try_from(before_mark).expect("not more than the length of a vector"),
        }
    }
}
