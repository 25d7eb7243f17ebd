//! The workers: each with a connection of its own and one request under way at most, all with one ledger.
//!
//! A worker goes round like this:
//!
//! ```text
//!   rest, if its connections keep breaking
//!   claim a slot ── none left: end
//!   wait for the slot's intended start
//!   launch ── the run has ended meanwhile: end
//!   connect if need be, send, wait for the answer
//!   enter what became of it
//! ```
//!
//! In an open loop the wait comes first: a pacer wakes as many workers as there are starts due, and these claim the slots.
//!
//! Everything between launch and entry may be cut off at any moment by dropping the worker: what was launched and not
//! entered is exactly what the ledger has as under way.

use super::after;
use super::answer::{
    Class, Outcome, Trouble, judge_created, judge_cut, judge_demo_saga, judge_no_content, judge_read,
};
use super::connection::{Alarm, Answer, Connection, Exchanged, Outgoing};
use super::journal::{Entry, Recorder};
use super::ledger::Ledger;
use super::names::{Names, RequestId};
use super::pacer::Pacer;
use super::random::Random;
use super::schedule::{Schedule, Slot, backoff};
use super::series::Series;
use super::stats::Stats;
use super::target::Target;
use super::workload::Workload;
use crate::reconcile::Seen;
use crate::wire::ids::SagaId;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Largest answer to a creation that is taken. A project is some hundred bytes.
const LARGEST_ANSWER: usize = 1024 * 1024;

/// What the workers of a run have in common.
pub(super) struct Common {
    pub(super) target: Target,
    pub(super) workload: Workload,
    /// The read that is sent again and again, if the workload reads.
    pub(super) read: Option<Outgoing>,
    pub(super) names: Names,
    pub(super) request_timeout: Duration,
    pub(super) warm_up: Duration,
    pub(super) seed: Option<u64>,
    pub(super) began: Instant,
    pub(super) pacer: Option<Arc<Pacer>>,
    pub(super) books: Arc<Books>,
}

/// What is written down about a run, by all workers and whoever wants to know how far it is.
pub(super) struct Books {
    state: Mutex<State>,
    /// True once nothing more is to be started before its time: whoever waits for something else should look.
    pub(super) draining: watch::Sender<bool>,
}

/// What changes with each request.
pub(super) struct State {
    pub(super) schedule: Schedule,
    pub(super) ledger: Ledger,
    pub(super) stats: Stats,
    pub(super) series: Series,
    /// Sagas that were made, where answers tell.
    pub(super) sagas: Vec<(SagaId, Seen)>,
    pub(super) recorder: Option<Recorder>,
}

/// A request that was launched.
pub(super) struct Launched {
    id: RequestId,
    intended: Duration,
    began: Instant,
}

/// What a worker has claimed.
enum Claimed {
    Nothing,
    Later(Slot),
    Launched(Launched),
}

/// What became of one.
struct Ended {
    outcome: Outcome,
    seen: Seen,
    trouble: Option<Trouble>,
    saga: Option<SagaId>,
}

impl Ended {
    fn done(seen: Seen) -> Self {
        Self { outcome: Outcome::Done, seen, trouble: None, saga: None }
    }

    /// Trouble in the first step: what is known of the request is what the trouble tells.
    fn in_trouble(trouble: Trouble) -> Self {
        Self {
            outcome: trouble.class.outcome(),
            seen: trouble.class.seen(),
            trouble: Some(trouble),
            saga: None,
        }
    }
}

impl Books {
    pub(super) fn new(state: State) -> Self {
        Self { state: Mutex::new(state), draining: watch::Sender::new(false) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the state, or the whole run does")
    }

    /// Ends the run on somebody's wish.
    pub(super) fn interrupt(&self) {
        self.state().schedule.interrupt();
        self.draining.send_replace(true);
    }
}

impl Common {
    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Claims the next slot, and launches its request at once if its time has come.
    fn claim(&self, worker: u32, previous_end: Option<Duration>) -> Claimed {
        let mut state = self.books.state();
        let now = Instant::now();
        let Some(slot) = state.schedule.claim(worker, now - self.began, previous_end) else {
            return Claimed::Nothing;
        };
        if slot.intended > now - self.began {
            return Claimed::Later(slot);
        }
        Claimed::Launched(Launched { id: state.ledger.start(worker), intended: slot.intended, began: now })
    }

    /// Launches the request of a slot whose time has come, unless the run has ended meanwhile.
    fn launch(&self, worker: u32, slot: Slot) -> Option<Launched> {
        let mut state = self.books.state();
        let now = Instant::now();
        if !state.schedule.launch(now - self.began) {
            return None;
        }
        Some(Launched { id: state.ledger.start(worker), intended: slot.intended, began: now })
    }

    /// Enters what became of a request and tells when it was over.
    fn enter(&self, launched: &Launched, result: Ended) -> Duration {
        let Ended { outcome, seen, trouble, saga } = result;
        let mut state = self.books.state();
        let ended = self.elapsed();
        let latency = ended.saturating_sub(launched.intended);
        state.ledger.finish(launched.id, outcome, seen);
        state.series.ended(ended, outcome, latency);
        if outcome == Outcome::Done && launched.intended >= self.warm_up {
            state.stats.done(latency);
        }
        if let Some(saga) = saga {
            state.sagas.push((saga, seen));
        }
        let mut ends_run = false;
        if let Some(trouble) = &trouble {
            state.stats.trouble(trouble, || self.names.name(launched.id));
            ends_run |= state.schedule.trouble();
        }
        if let Some(recorder) = &state.recorder {
            recorder.record(Entry {
                request: launched.id,
                intended: launched.intended,
                started: launched.began - self.began,
                ended,
                outcome,
                seen,
                trouble: trouble.map(|trouble| (trouble.class.to_string(), trouble.message)),
                saga,
            });
            if recorder.has_failed() {
                ends_run |= state.schedule.record_failed();
            }
        }
        drop(state);
        if ends_run {
            self.books.draining.send_replace(true);
        }
        ended
    }
}

/// One worker's connection, and how it goes with it.
struct Conversation<'c> {
    common: &'c Common,
    connection: Option<Connection>,
    alarm: Alarm,
    /// Connections in a row that broke or were refused.
    broken_in_a_row: u32,
}

/// Makes requests until there are no more to make.
pub(super) async fn work(common: Arc<Common>, worker: u32) {
    let mut draining = common.books.draining.subscribe();
    let mut talk =
        Conversation { common: &common, connection: None, alarm: Alarm::new(), broken_in_a_row: 0 };
    let mut random = Random::of_worker(common.seed, worker);
    let mut previous_end = None;
    loop {
        if talk.broken_in_a_row > 0 {
            let rest = backoff(talk.broken_in_a_row, random.fraction());
            wait_until(&common, &mut draining, common.elapsed() + rest).await;
        }
        if let Some(pacer) = &common.pacer {
            pacer.due().await;
        }
        let launched = match common.claim(worker, previous_end) {
            Claimed::Nothing => return,
            Claimed::Launched(launched) => launched,
            Claimed::Later(slot) => {
                wait_until(&common, &mut draining, slot.intended).await;
                let Some(launched) = common.launch(worker, slot) else { return };
                launched
            }
        };
        let result = talk.perform(&launched).await;
        previous_end = Some(common.enter(&launched, result));
    }
}

/// Waits for a moment of the run, or until there is nothing to wait for any more.
async fn wait_until(common: &Common, draining: &mut watch::Receiver<bool>, moment: Duration) {
    let latest = common.books.state().schedule.latest_start().unwrap_or(Duration::MAX);
    let wake = sleep_until(after(common.began, moment.min(latest)));
    tokio::select! {
        () = wake => {}
        _ = draining.wait_for(|draining| *draining) => {}
    }
}

impl Conversation<'_> {
    async fn perform(&mut self, launched: &Launched) -> Ended {
        let deadline = after(launched.began, self.common.request_timeout);
        let ended = match &self.common.workload {
            Workload::ProjectCreate => self.create(launched, deadline).await,
            Workload::ProjectCycle => self.cycle(launched, deadline).await,
            Workload::DemoSaga => self.demo_saga(deadline).await,
            Workload::Get { .. } => self.read(deadline).await,
        };
        match &ended.trouble {
            Some(trouble) if trouble.class.is_of_the_connection() => self.broken_in_a_row += 1,
            _ => self.broken_in_a_row = 0,
        }
        ended
    }

    async fn create(&mut self, launched: &Launched, deadline: Instant) -> Ended {
        let name = self.common.names.name(launched.id);
        match self.create_project(&name, deadline).await {
            Ok(()) => Ended::done(Seen::Acknowledged),
            Err(trouble) => Ended::in_trouble(trouble),
        }
    }

    async fn create_project(&mut self, name: &str, deadline: Instant) -> Result<(), Trouble> {
        let answer = self.ask(|target| target.create_project(name), deadline).await?;
        judge_created(answer.status, &answer.body, name)
    }

    async fn cycle(&mut self, launched: &Launched, deadline: Instant) -> Ended {
        let name = self.common.names.name(launched.id);
        if let Err(trouble) = self.create_project(&name, deadline).await {
            return Ended::in_trouble(trouble);
        }
        let answer = self.ask(|target| target.delete_project(&name), deadline).await;
        let Err(trouble) = answer.and_then(|answer| judge_no_content(answer.status, &answer.body)) else {
            return Ended::done(Seen::Deleted);
        };
        let (outcome, seen) = match (trouble.class, trouble.class.seen()) {
            // It was made, and is not there to be deleted.
            (Class::Status(404), _) => (Outcome::Failed, Seen::Gone),
            // Still there, as acknowledged.
            (_, Seen::Unsent) => (Outcome::Failed, Seen::Acknowledged),
            // Even a clear no may come from a saga that did its work and then failed.
            _ => (Outcome::InDoubt, Seen::InDoubt),
        };
        Ended { outcome, seen, trouble: Some(trouble), saga: None }
    }

    async fn demo_saga(&mut self, deadline: Instant) -> Ended {
        let answer = self.ask(Target::create_demo_saga, deadline).await;
        let made = match answer.and_then(|answer| judge_demo_saga(answer.status, &answer.body)) {
            Ok(made) => made,
            Err(trouble) => return Ended::in_trouble(trouble),
        };
        let answer = self.ask(|target| target.complete_demo_saga(made.demo_saga_id), deadline).await;
        let trouble = answer.and_then(|answer| judge_no_content(answer.status, &answer.body)).err();
        // Whatever became of the completion, the saga was acknowledged and must be on record.
        Ended {
            outcome: trouble.as_ref().map_or(Outcome::Done, |trouble| trouble.class.outcome()),
            seen: Seen::Acknowledged,
            trouble,
            saga: Some(made.saga_id),
        }
    }

    async fn read(&mut self, deadline: Instant) -> Ended {
        let read = self.common.read.clone().unwrap_or_default();
        let answer = self.ask(|_| read.clone(), deadline).await;
        match answer.and_then(|answer| judge_read(answer.status, &answer.body)) {
            Ok(()) => Ended::done(Seen::Acknowledged),
            Err(trouble) => Ended::in_trouble(trouble),
        }
    }

    /// Sends a request, if need be on a second connection, and waits for the whole answer.
    async fn ask(
        &mut self,
        request: impl Fn(&Target) -> Outgoing,
        deadline: Instant,
    ) -> Result<Answer, Trouble> {
        let kept = self.connection.take().filter(Connection::is_open);
        if let Some(connection) = kept {
            match self.exchange(connection, request(&self.common.target), deadline).await {
                // Servers close connections between two requests as they please. The request has not left, so it may
                // leave on another one, once.
                Exchanged::Unsent(_) => {}
                exchanged => return answer_of(exchanged),
            }
        }
        let connection = Connection::open(&self.common.target, deadline).await?;
        answer_of(self.exchange(connection, request(&self.common.target), deadline).await)
    }

    /// The connection stays only if it brought a whole answer.
    async fn exchange(
        &mut self,
        mut connection: Connection,
        request: Outgoing,
        deadline: Instant,
    ) -> Exchanged {
        let exchanged = connection.exchange(request, LARGEST_ANSWER, deadline, &mut self.alarm).await;
        if let Exchanged::Answer(_) = exchanged {
            self.connection = Some(connection);
        }
        exchanged
    }
}

fn answer_of(exchanged: Exchanged) -> Result<Answer, Trouble> {
    match exchanged {
        Exchanged::Answer(answer) => Ok(answer),
        Exchanged::Cut(status, trouble) => Err(judge_cut(status, trouble)),
        Exchanged::Lost(trouble) | Exchanged::Unsent(trouble) => Err(trouble),
    }
}
