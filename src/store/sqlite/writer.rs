//! The one thread that writes.
//!
//! It takes what is waiting, applies it in order inside one transaction, commits, and only then tells those who wait for
//! durability. There is no timer that gathers a batch: while one commit is being synced the next batch gathers by itself,
//! so a lone writer waits for one sync and a crowd shares it.
//!
//! What ends the thread: all handles dropped (everything handed over before is committed first), or the fatal handler,
//! which does not come back.

use super::connection::cause;
use super::session::{Fatal, Session};
use crate::store::error::StoreError;
use crate::store::queue::{Answer, Lanes, Message, Outcome};
use crate::store::{FatalHandler, Lane, Until, Write};
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use tokio::sync::oneshot;

/// Messages that one transaction takes at most. At some 3 µs each a full one holds the first in it up for about 10 ms; a
/// larger one would no longer lower the cost per write, since the sync is well under a millisecond.
const BATCH: usize = 4096;

/// The way to the thread that writes; when the last is dropped the thread ends.
pub(super) struct Writer {
    queue: Sender<Message>,
}

impl Writer {
    /// Starts the thread on a connection that is ready to write.
    pub(super) fn start(
        connection: Connection,
        path: Arc<Path>,
        log: slog::Logger,
        on_fatal: FatalHandler,
    ) -> Result<Self, StoreError> {
        let (queue, messages) = mpsc::channel();
        thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                // Declared out here so that those who wait are still waiting, and not told anything, when the fatal handler
                // is called.
                let mut unanswered = Unanswered::default();
                let run = || run(&connection, &messages, &mut unanswered, &log);
                let reason = match catch_unwind(AssertUnwindSafe(run)) {
                    Ok(Ok(())) => return,
                    Ok(Err(Fatal::Sqlite { doing, error })) => {
                        format!("cannot {doing} database {}: {}", path.display(), cause(&path, &error))
                    }
                    Ok(Err(Fatal::Misbehaved(what))) => format!("database {}: {what}", path.display()),
                    Err(_) => format!("the writer of database {} panicked", path.display()),
                };
                match on_fatal(&reason) {}
            })
            .map_err(StoreError::no_thread)?;
        Ok(Self { queue })
    }

    /// Queues a write whose outcome is wanted.
    pub(super) fn hand_over(&self, write: Write, until: Until) -> oneshot::Receiver<Outcome> {
        let (message, outcome) = Message::waited(write, until);
        self.send(message);
        outcome
    }

    /// Queues a write that derails its lane if it is refused.
    pub(super) fn hand_over_unwaited(&self, write: Write) {
        self.send(Message::unwaited(write));
    }

    /// Queues forgetting a lane.
    pub(super) fn close_lane(&self, lane: Lane) {
        self.send(Message::CloseLane(lane));
    }

    fn send(&self, message: Message) {
        // It fails only when the thread is gone, which is after the fatal handler was called. Whoever waits learns it by
        // the loss of the other end.
        let _ = self.queue.send(message);
    }
}

/// Those who have handed over and not been told.
#[derive(Default)]
struct Unanswered {
    /// Whose write is being applied.
    current: Option<Answer>,
    /// Who is told after the commit, with what they are told.
    until_commit: Vec<(oneshot::Sender<Outcome>, Outcome)>,
}

fn run(
    connection: &Connection,
    messages: &Receiver<Message>,
    unanswered: &mut Unanswered,
    log: &slog::Logger,
) -> Result<(), Fatal> {
    let mut session = Session::new(connection, log)?;
    let mut lanes = Lanes::default();
    while let Ok(first) = messages.recv() {
        session.begin()?;
        for message in std::iter::once(first).chain(messages.try_iter().take(BATCH - 1)) {
            match message {
                Message::Write { write, answer } => {
                    unanswered.current = Some(answer);
                    let outcome = match lanes.refusal_of(write.lane) {
                        Some(refusal) => Err(StoreError::Derailed(refusal.clone())),
                        None => session.apply(&write)?.map_err(StoreError::Refused),
                    };
                    match unanswered.current.take() {
                        // A refusal waits for the commit too: it may rest on a row that is not durable yet.
                        Some(Answer::WhenDurable(answer)) => unanswered.until_commit.push((answer, outcome)),
                        // Nobody is there any more if the future was dropped.
                        Some(Answer::WhenApplied(answer)) => drop(answer.send(outcome)),
                        Some(Answer::Derail(lane)) => {
                            if let Err(StoreError::Refused(refusal)) = outcome {
                                lanes.derail(lane, refusal, log).map_err(Fatal::Misbehaved)?;
                            }
                        }
                        None => {}
                    }
                }
                Message::CloseLane(lane) => lanes.close(lane),
            }
        }
        session.commit()?;
        for (answer, outcome) in unanswered.until_commit.drain(..) {
            // As above.
            let _ = answer.send(outcome);
        }
    }
    Ok(())
}
