//! The one task that writes.
//!
//! It takes what is waiting, carries it out inside one transaction, commits, and then tells those who wait. While one
//! commit is on its way the next batch gathers by itself. A batch costs two round trips, whatever its size: one for all of
//! its statements, and one for the commit once all answers are known to be good.
//!
//! # Refusals
//!
//! A statement that PostgreSQL refuses ends the whole transaction, everybody's writes with it. Savepoints around each write
//! would cost every batch for what few batches need. So a batch that does not go through is rolled back and carried out in
//! parts, in order, each in a transaction of its own: what comes before the write at fault, that write, and what comes
//! after it; or halves, if it is not known whose fault it is. (If a row is in the way that is there already, the whole is
//! tried once more, see [`Conflicts`].) A write that is alone in its transaction and is refused, is refused. What is in
//! the database is a prefix of what was handed over at every moment, as it has to be.
//!
//! # Whether a commit took place
//!
//! When a connection breaks after a COMMIT was sent, its answer is lost, and with it the knowledge whether everything or
//! nothing happened. Doing it again might do it twice; not doing it might lose it. So each transaction first writes its
//! number into the SEC's own row ([`Claim`]). A new session asks for that number with a lock on the row, which it is given
//! once the old transaction has ended, either way.
//!
//! # Who may write
//!
//! The same row fences the whole process. The number is written only where the SEC is active and its row still bears this
//! session's mark; that is a lock on the row until the commit. So once a SEC has been expunged (a change of its row, by
//! whatever means) none of its transactions commits any more, and the same after another process has started under its id.
//! Then this process ends.

use super::answers::{Executed, gather};
use super::dialect::Conflicts;
use super::link::{Epoch, Link};
use super::plan::{Planner, Step};
use super::session::{Purpose, STATEMENT_LIMIT, Session};
use super::trouble::{Trouble, classify};
use super::{Claim, Isolation};
use crate::store::error::{Refusal, Rule, StoreError};
use crate::store::queue::{Answer, Lanes, Message, Outcome};
use crate::store::{Applied, Lane, Write};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// Messages that one transaction takes at most. The statements of a full one take some tens of milliseconds, and the commit
/// a few; more would only keep the first of them waiting.
const BATCH: usize = 2048;

/// How much longer than the server's own limits an answer may take before the connection counts as broken.
const GRACE: Duration = Duration::from_secs(10);

/// How often a batch is tried whole while others are in the way, before it is tried in halves.
const PATIENCE: u32 = 3;

/// How often something has been in the way when it is more than the usual traffic, some seconds' worth.
const WORTH_A_WARNING: u32 = 30;

/// Longest pause before a batch is tried again because somebody was in the way.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Why writing is over.
pub(super) struct Hopeless(pub(super) String);

/// The end of the queue.
pub(super) struct Writer {
    pub(super) link: Arc<Link>,
    pub(super) session: Session,
    pub(super) claim: Option<Claim>,
    pub(super) isolation: Isolation,
    pub(super) queue: UnboundedReceiver<Message>,
    pub(super) log: slog::Logger,
    pub(super) planner: Planner,
    pub(super) lanes: Lanes,
}

/// One thing of a batch.
pub(super) enum Entry {
    /// A write, and who is told of it until that is done.
    Write(Write, Option<Answer>),
    CloseLane(Lane),
}

/// How an attempt to carry a part of a batch out ended, if not by [`Trouble`].
enum Attempt {
    /// With these outcomes of the part's writes, by their place in it.
    Committed(Vec<(usize, Outcome)>),
    /// With nothing, because this one was refused.
    Refused(usize, Refusal),
    /// With nothing, because one that is not known was refused, by this rule.
    Unclear(Rule),
    /// With a lost connection after the commit was sent; the outcomes if it took place.
    InDoubt(Vec<(usize, Outcome)>, String),
}

impl Writer {
    /// Writes until the queue is closed and empty. What it is at work on is in `batch`, so that those who wait are still
    /// waiting, and not told anything, when it is over.
    pub(super) async fn run(&mut self, batch: &mut Vec<Entry>) -> Result<(), Hopeless> {
        while let Some(first) = self.queue.recv().await {
            batch.clear();
            batch.push(Entry::from(first));
            while batch.len() < BATCH
                && let Ok(message) = self.queue.try_recv()
            {
                batch.push(Entry::from(message));
            }
            self.carry_out(batch).await?;
        }
        Ok(())
    }

    async fn carry_out(&mut self, batch: &mut [Entry]) -> Result<(), Hopeless> {
        // What is still to be done, the next part last.
        let everything = 0..batch.len();
        let mut parts = vec![everything];
        let mut times_in_the_way = 0_u32;
        let mut conflicts = Conflicts::Refused;
        while let Some(part) = parts.pop() {
            let Some(part) = self.up_to_a_closing(batch, part, &mut parts) else { continue };
            let (start, end) = (part.start, part.end);
            match self.attempt(&batch[part.clone()], conflicts).await {
                Ok(Attempt::Committed(outcomes)) => tell(&mut batch[part], outcomes),
                Ok(Attempt::Refused(place, refusal)) if part.len() == 1 => {
                    debug_assert_eq!(place, 0);
                    self.refuse(&mut batch[start], refusal)?;
                }
                Ok(Attempt::Refused(place, _)) => {
                    let at = start + place;
                    let around = [at + 1..end, at..at + 1, start..at];
                    parts.extend(around.into_iter().filter(|part| !part.is_empty()));
                }
                Ok(Attempt::Unclear(_)) if part.len() == 1 => {
                    return Err(Hopeless("what is wrong with a single write could not be told".to_owned()));
                }
                Ok(Attempt::Unclear(Rule::Unique)) if conflicts == Conflicts::Refused => {
                    conflicts = Conflicts::Resolved;
                    parts.push(part);
                }
                Ok(Attempt::Unclear(_)) => {
                    let middle = start + part.len() / 2;
                    parts.extend([middle..end, start..middle]);
                }
                Ok(Attempt::InDoubt(outcomes, why)) => match self.settle(&why).await? {
                    Doubt::Committed => tell(&mut batch[part], outcomes),
                    Doubt::NotCommitted => parts.push(part),
                    // Nobody would be told, and what comes after it would be written all the same.
                    Doubt::Remains if batch[part.clone()].iter().any(Entry::is_unwaited) => {
                        return Err(Hopeless(format!("whether it was committed is unknown: {why}")));
                    }
                    Doubt::Remains => {
                        let unknown =
                            StoreError::Unavailable(format!("whether it was committed is unknown: {why}"));
                        tell(
                            &mut batch[part],
                            outcomes.into_iter().map(|(at, _)| (at, Err(unknown.clone()))).collect(),
                        );
                    }
                },
                Err(Trouble::InTheWay(why)) => {
                    times_in_the_way += 1;
                    match times_in_the_way {
                        WORTH_A_WARNING => {
                            slog::warn!(self.log, "writing is held up; trying again and again"; "why" => why);
                        }
                        _ => slog::debug!(self.log, "somebody was in the way; trying again"; "why" => why),
                    }
                    self.start_afresh().await;
                    tokio::time::sleep(pause(times_in_the_way, rand::random())).await;
                    if times_in_the_way.is_multiple_of(PATIENCE) && part.len() > 1 {
                        // Less is less in the way of others.
                        let middle = start + part.len() / 2;
                        parts.extend([middle..end, start..middle]);
                    } else {
                        parts.push(part);
                    }
                }
                Err(Trouble::Lost(why)) => {
                    self.reconnect(&why).await;
                    parts.push(part);
                }
                Err(Trouble::Hopeless(why)) => return Err(Hopeless(why)),
                Err(Trouble::Refused(refusal)) => {
                    return Err(Hopeless(format!("a statement of the writer's own was refused: {refusal}")));
                }
            }
        }
        Ok(())
    }

    /// Closes a derailed lane if it is the next thing to do, else cuts the part off before that. Other lanes have nothing
    /// to be closed.
    fn up_to_a_closing(
        &mut self,
        batch: &[Entry],
        part: Range<usize>,
        parts: &mut Vec<Range<usize>>,
    ) -> Option<Range<usize>> {
        let closing = batch[part.clone()].iter().position(|entry| match entry {
            Entry::CloseLane(lane) => self.lanes.refusal_of(Some(*lane)).is_some(),
            Entry::Write(..) => false,
        });
        let at = match closing {
            None => return Some(part),
            Some(place) => part.start + place,
        };
        if at == part.start {
            if let Entry::CloseLane(lane) = batch[at] {
                self.lanes.close(lane);
            }
            parts.push(at + 1..part.end);
            return None;
        }
        parts.push(at..part.end);
        Some(part.start..at)
    }

    /// Tries to carry out and commit all of `part`.
    async fn attempt(&mut self, part: &[Entry], conflicts: Conflicts) -> Result<Attempt, Trouble> {
        let mut outcomes = Vec::with_capacity(part.len());
        let mut places = Vec::with_capacity(part.len());
        let mut writes = Vec::with_capacity(part.len());
        for (place, entry) in part.iter().enumerate() {
            let Entry::Write(write, _) = entry else { continue };
            match self.lanes.refusal_of(write.lane) {
                Some(refusal) => outcomes.push((place, Err(StoreError::Derailed(refusal.clone())))),
                None => {
                    places.push(place);
                    writes.push(write);
                }
            }
        }
        let steps = self.planner.plan(writes.iter().copied());
        let applied = |rows: Vec<Vec<u64>>| {
            places.iter().copied().zip(rows.into_iter().map(|rows| Ok(Applied { rows })))
        };
        if steps.is_empty() {
            outcomes.extend(applied(vec![Vec::new(); writes.len()]));
            return Ok(Attempt::Committed(outcomes));
        }
        let rows = match self.execute(&steps, writes.len(), conflicts).await? {
            Executed::Rows(rows) => rows,
            Executed::Refused(write, refusal) => return Ok(Attempt::Refused(places[write], refusal)),
            Executed::Unclear(rule) => return Ok(Attempt::Unclear(rule)),
        };
        outcomes.extend(applied(rows));
        match in_time(self.session.client().batch_execute("COMMIT")).await {
            Ok(()) => Ok(Attempt::Committed(outcomes)),
            Err(Trouble::Lost(why)) => Ok(Attempt::InDoubt(outcomes, why)),
            // A constraint that is checked at the end only; there are none, see `store::schema`.
            Err(trouble) => Err(trouble),
        }
    }

    /// Carries steps out in a new transaction and leaves it open if everything is as expected, else rolls it back.
    async fn execute(
        &mut self,
        steps: &[Step<'_>],
        writes: usize,
        conflicts: Conflicts,
    ) -> Result<Executed, Trouble> {
        let mark = self.claim.as_mut().map(Claim::next_mark);
        let mark = mark.as_ref().map(Step::of);
        let mut calls = Vec::with_capacity(steps.len() + 1);
        for step in mark.as_ref().into_iter().chain(steps) {
            calls.push(in_time(self.session.prepare_step(step, conflicts)).await?);
        }
        let answers = in_time(self.session.send_all(self.isolation.begin(), &calls)).await?;
        let mut answers = answers.into_iter();
        if mark.is_some() {
            let marked = answers.next().expect("an answer for each call");
            if marked.map_err(|error| classify(&error))? != 1 {
                self.roll_back().await?;
                return Err(Trouble::Hopeless(self.why_fenced().await?));
            }
        }
        let executed = gather(steps, answers, writes)?;
        if !matches!(executed, Executed::Rows(_)) {
            self.roll_back().await?;
        }
        Ok(executed)
    }

    async fn roll_back(&self) -> Result<(), Trouble> {
        in_time(self.session.client().batch_execute("ROLLBACK")).await
    }

    /// Why the SEC's row was not to be marked any more.
    async fn why_fenced(&self) -> Result<String, Trouble> {
        let Some(claim) = &self.claim else { return Ok("nobody is fenced without a claim".to_owned()) };
        in_time(claim.why_fenced(self.session.client())).await
    }

    /// Ends a transaction that is in nobody's interest any more.
    async fn start_afresh(&mut self) {
        if let Err(Trouble::Lost(why)) = self.roll_back().await {
            self.reconnect(&why).await;
        }
    }

    async fn reconnect(&mut self, why: &str) {
        let epoch: Epoch = self.session.epoch();
        self.link.lost(epoch, why);
        self.session = Session::reopen(&self.link, Purpose::Write).await;
    }

    /// Finds out, on a new session, whether the last transaction was committed.
    async fn settle(&mut self, why: &str) -> Result<Doubt, Hopeless> {
        self.reconnect(why).await;
        loop {
            let Some(claim) = &self.claim else { return Ok(Doubt::Remains) };
            let trouble = match in_time(claim.is_last_committed(self.session.client())).await {
                Ok(Some(true)) => return Ok(Doubt::Committed),
                Ok(Some(false)) => return Ok(Doubt::NotCommitted),
                // Somebody has taken the row over, so it does not say. Whoever that was will find out by recovery.
                Ok(None) => match self.why_fenced().await {
                    Ok(why) => return Err(Hopeless(why)),
                    Err(trouble) => trouble,
                },
                Err(trouble) => trouble,
            };
            self.wait_out(trouble).await?;
        }
    }

    async fn wait_out(&mut self, trouble: Trouble) -> Result<(), Hopeless> {
        match trouble {
            Trouble::InTheWay(_) => Ok(()),
            Trouble::Lost(why) => {
                self.reconnect(&why).await;
                Ok(())
            }
            Trouble::Hopeless(why) => Err(Hopeless(why)),
            Trouble::Refused(refusal) => Err(Hopeless(refusal.to_string())),
        }
    }

    /// A write is refused for good.
    fn refuse(&mut self, entry: &mut Entry, refusal: Refusal) -> Result<(), Hopeless> {
        let Entry::Write(_, answer) = entry else { return Ok(()) };
        match answer.take() {
            Some(Answer::Derail(lane)) => self.lanes.derail(lane, refusal, &self.log).map_err(Hopeless)?,
            Some(answer) => answer.tell(Err(StoreError::Refused(refusal))),
            None => {}
        }
        Ok(())
    }
}

/// What is known of a commit whose answer was lost.
enum Doubt {
    Committed,
    NotCommitted,
    /// It cannot be found out, because the writer has no row of its own.
    Remains,
}

/// Waits for an answer of the server's for as long as one may take.
async fn in_time<T>(answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Trouble> {
    let limit = STATEMENT_LIMIT + GRACE;
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(classify(&error)),
        Err(_) => Err(Trouble::Lost(format!("no answer within {}", humantime::format_duration(limit)))),
    }
}

fn tell(part: &mut [Entry], outcomes: Vec<(usize, Outcome)>) {
    for (place, outcome) in outcomes {
        if let Entry::Write(_, answer) = &mut part[place]
            && let Some(answer) = answer.take()
        {
            answer.tell(outcome);
        }
    }
}

impl Answer {
    /// Tells those who wait; nobody is there any more if their future was dropped.
    fn tell(self, outcome: Outcome) {
        match self {
            // Applied is told no sooner than durable: until the commit a write may have to be carried out again, and find
            // that somebody else was faster.
            Self::WhenDurable(waiting) | Self::WhenApplied(waiting) => drop(waiting.send(outcome)),
            Self::Derail(_) => {}
        }
    }
}

impl Entry {
    fn is_unwaited(&self) -> bool {
        matches!(self, Self::Write(_, Some(Answer::Derail(_))))
    }
}

impl From<Message> for Entry {
    fn from(message: Message) -> Self {
        match message {
            Message::Write { write, answer } => Self::Write(write, Some(answer)),
            Message::CloseLane(lane) => Self::CloseLane(lane),
        }
    }
}

/// The pause before a batch is tried again: doubling, bounded, and by chance, so that two who collided do not do so again.
fn pause(times: u32, chance: u8) -> Duration {
    let full = Duration::from_millis(1 << times.min(10)).min(LONGEST_PAUSE);
    full * u32::from(chance) / u32::from(u8::MAX)
}
