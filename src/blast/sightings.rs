//! What the coordinator went through while it was under load: its restarts, and its recovery passes.
//!
//! A coordinator tells who it is and what its last passes did, and forgets both when it dies. So it is asked now and then
//! while the load goes on, and what it says is put together here: [`Sightings`] is pure, [`Watch`] asks.

use crate::client::Client;
use crate::observe::recovery::{Pass, PassResult, Recovery, SinceStart};
use crate::wire::bgtasks::{ActivationReason, SAGA_RECOVERY};
use crate::wire::info::Info;
use crate::wire::time::Time;
use serde::Serialize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(500);

/// How long a look may take. One that is skipped costs nothing but detail.
const PATIENCE: Duration = Duration::from_secs(1);

/// Most passes that are kept, the last ones; constant activation makes hundreds a second.
const MOST_PASSES: usize = 1000;

/// What the coordinator went through, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Times that it was started again while it was watched.
    pub restarts: u64,
    /// Recovery passes that were seen.
    pub passes: u64,
    /// Sagas that recovery took up.
    pub recovered: u64,
    /// Attempts of recovery that failed.
    pub recovery_errors: u64,
}

/// A start of the coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Restart {
    /// When its new process started.
    pub time: Time,
    /// Id of that process.
    pub pid: u32,
}

/// A recovery pass.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PassSeen {
    /// When it began.
    pub time: Time,
    /// How long it took.
    pub duration_ms: f64,
    /// Its number since its coordinator started.
    pub iteration: u64,
    /// What caused it.
    pub reason: ActivationReason,
    /// How it ended.
    pub result: PassResult,
    /// Sagas that it recovered; absent unless it went through.
    pub recovered: Option<u64>,
    /// Sagas that it could not recover.
    pub failed: Option<u64>,
}

/// What was seen, look by look.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    /// The process that was seen last.
    process: Option<Process>,
    restarts: Vec<Restart>,
    passes: Vec<PassSeen>,
    passes_seen: u64,
    /// Of processes that have gone.
    recovered_before: u64,
    errors_before: u64,
}

/// One process of the coordinator, between its start and its end.
#[derive(Clone, Copy, Debug)]
struct Process {
    time_started: Time,
    /// Number of the last pass that was taken over.
    last_iteration: u64,
    /// Counters when it was first seen: what it did before that is no concern of the run.
    before: SinceStart,
    now: SinceStart,
}

const NOTHING: SinceStart = SinceStart {
    recovered: 0,
    recovery_errors: 0,
    observed_started: 0,
    inferred_finished: 0,
    missing_from_sec: 0,
    bad_state_in_sec: 0,
};

impl Sightings {
    /// Takes in what the coordinator says of itself and of its recovery.
    pub fn see(&mut self, info: &Info, recovery: &Recovery) {
        let now = recovery.since_start.unwrap_or(NOTHING);
        let process = match self.process {
            Some(process) if process.time_started == info.time_started => process,
            Some(gone) => {
                self.settle(gone);
                self.restarts.push(Restart { time: info.time_started, pid: info.pid });
                // It was started while somebody watched, so all that it did counts.
                Process { time_started: info.time_started, last_iteration: 0, before: NOTHING, now }
            }
            None => {
                let last_iteration =
                    recovery.recent_passes.iter().flatten().map(|pass| pass.iteration).max().unwrap_or(0);
                Process { time_started: info.time_started, last_iteration, before: now, now }
            }
        };
        let last_iteration = self.take_passes(recovery, process.last_iteration);
        self.process = Some(Process { last_iteration, now, ..process });
    }

    /// Takes over passes with later numbers; answers the last of them.
    fn take_passes(&mut self, recovery: &Recovery, mut last_iteration: u64) -> u64 {
        // They come with the newest first.
        for pass in recovery.recent_passes.iter().flatten().rev() {
            if pass.iteration > last_iteration {
                last_iteration = pass.iteration;
                self.passes_seen += 1;
                self.passes.push(PassSeen::of(pass));
            }
        }
        let too_many = self.passes.len().saturating_sub(MOST_PASSES);
        self.passes.drain(..too_many);
        last_iteration
    }

    fn settle(&mut self, gone: Process) {
        self.recovered_before += gone.now.recovered.saturating_sub(gone.before.recovered);
        self.errors_before += gone.now.recovery_errors.saturating_sub(gone.before.recovery_errors);
    }

    /// What it came to; absent if the coordinator was never seen.
    pub fn seen(&self) -> Option<Seen> {
        let process = self.process?;
        let mut sum = self.clone();
        sum.settle(process);
        Some(Seen {
            restarts: self.restarts.len() as u64,
            passes: self.passes_seen,
            recovered: sum.recovered_before,
            recovery_errors: sum.errors_before,
        })
    }

    /// Starts of the coordinator after the first, oldest first.
    pub fn restarts(&self) -> &[Restart] {
        &self.restarts
    }

    /// The last passes, oldest first.
    pub fn passes(&self) -> &[PassSeen] {
        &self.passes
    }
}

impl PassSeen {
    fn of(pass: &Pass) -> Self {
        let Pass { iteration, reason, time_started, duration_ms, end } = pass;
        Self {
            time: *time_started,
            duration_ms: *duration_ms,
            iteration: *iteration,
            reason: *reason,
            result: end.result,
            recovered: end.recovered,
            failed: end.failed,
        }
    }
}

/// Asks a coordinator now and then, until it is dropped.
pub struct Watch {
    client: Client,
    sightings: Arc<Mutex<Sightings>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Begins to ask.
    pub fn start(client: Client) -> Self {
        let sightings = Arc::default();
        let task = tokio::spawn(keep_looking(client.clone(), Arc::clone(&sightings)));
        Self { client, sightings, task }
    }

    /// Looks once more and tells what was seen.
    pub async fn finish(self) -> Sightings {
        self.task.abort();
        look(&self.client, &self.sightings).await;
        let sightings = lock(&self.sightings);
        sightings.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(sightings: &Mutex<Sightings>) -> MutexGuard<'_, Sightings> {
    sightings.lock().expect("taking in what was seen does not panic")
}

async fn keep_looking(client: Client, sightings: Arc<Mutex<Sightings>>) {
    loop {
        look(&client, &sightings).await;
        tokio::time::sleep(PERIOD).await;
    }
}

/// A coordinator that does not answer, or is older and does not say who it is, is simply not seen.
async fn look(client: &Client, sightings: &Mutex<Sightings>) {
    let client = client.with_fresh_budget().with_at_most(PATIENCE);
    let (info, task) = tokio::join!(client.fetch_info(), client.fetch_task(SAGA_RECOVERY));
    if let (Ok(Some(info)), Ok(Some(task))) = (info, task) {
        lock(sightings).see(&info, &Recovery::new(&task));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::FetchedTask;
    use crate::wire::ids::SecId;

    fn at(secs: i64) -> Time {
        Time::from_timestamp(1_800_000_000 + secs, 0).expect("a time")
    }

    fn info(started: i64) -> Info {
        Info {
            sec_id: SecId::random(),
            version: "1".to_owned(),
            pid: u32::try_from(started + 100).expect("a pid"),
            time_started: at(started),
            store: "sqlite".to_owned(),
            db_url: String::new(),
            internal_url: String::new(),
            external_url: String::new(),
            healthy: true,
            ready: true,
            recovered: true,
            sagas_recovering: 0,
            sagas_in_flight: 0,
        }
    }

    /// What a coordinator says that has recovered so many, after these passes.
    fn recovery(recovered: u64, passes: &[(u64, i64)]) -> Recovery {
        let passes: Vec<_> = passes
            .iter()
            .map(|(iteration, secs)| {
                serde_json::json!({
                    "iteration": iteration, "reason": "signaled", "time_started": at(*secs), "duration_ms": 1.5,
                    "result": {"Success": {"nfound": 3, "nrecovered": 2, "nfailed": 1, "nskipped": 0, "nremoved": 0}},
                })
            })
            .collect();
        let raw = serde_json::json!({
            "name": "saga_recovery", "description": "", "period": {"secs": 600, "nanos": 0},
            "current": {"current_status": "idle"},
            "last": {"last_result": "completed", "details": {
                "iteration": 1, "start_time": at(0), "reason": "signaled", "elapsed": {"secs": 0, "nanos": 1},
                "details": {
                    "recent_recoveries": [], "recent_failures": [], "last_pass": "NeverStarted",
                    "ntotal_recovered": recovered, "ntotal_failures": recovered / 10, "ntotal_started": 0,
                    "ntotal_finished": 0, "ntotal_sec_errors_missing": 0, "ntotal_sec_errors_bad_state": 0,
                    "recent_passes": passes,
                },
            }},
        });
        let task = serde_json::from_value(raw.clone()).expect("a task");
        Recovery::new(&FetchedTask { task, raw })
    }

    #[test]
    fn what_was_before_does_not_count_and_what_came_after_a_restart_does() {
        let mut sightings = Sightings::default();
        assert_eq!(sightings.seen(), None);
        sightings.see(&info(0), &recovery(40, &[(1, 1), (2, 2)]));
        sightings.see(&info(0), &recovery(50, &[(2, 2), (3, 5)]));
        sightings.see(&info(0), &recovery(50, &[(2, 2), (3, 5)]));
        sightings.see(&info(9), &recovery(30, &[(1, 10)]));
        assert_eq!(
            sightings.seen(),
            Some(Seen { restarts: 1, passes: 2, recovered: 10 + 30, recovery_errors: 1 + 3 })
        );
        assert_eq!(sightings.restarts(), [Restart { time: at(9), pid: 109 }]);
        let passes: Vec<_> = sightings.passes().iter().map(|pass| (pass.iteration, pass.time)).collect();
        assert_eq!(passes, [(3, at(5)), (1, at(10))]);
        assert_eq!(sightings.passes()[0].recovered, Some(2));
    }

    #[test]
    fn passes_are_kept_up_to_a_limit_and_counted_beyond() {
        let mut sightings = Sightings::default();
        sightings.see(&info(0), &recovery(0, &[]));
        for iteration in 1..=1100 {
            sightings.see(&info(0), &recovery(0, &[(iteration, 1)]));
        }
        assert_eq!(sightings.passes().len(), MOST_PASSES);
        assert_eq!(sightings.seen().map(|seen| seen.passes), Some(1100));
    }
}
