//! Runs a background task now, and knows when that has happened.
//!
//! What an operator wants is an activation that *began after* the request: one that was under way already may have looked
//! before whatever the operator has just done. Iterations are numbered from 1, and activations of one task never overlap.
//!
//! ```text
//!   look: newest iteration is n          (last completed, or the one under way)
//!   ask for an activation
//!     our coordinator answers: wait for iteration m      -> wait until m is completed
//!     a Nexus answers with nothing                       -> work it out:
//! ```
//!
//! On a Nexus the next activation, n+1, may have been begun by its timer between our look and the arrival of our request.
//! Then ours is n+2 if n+1 was still under way, and the same holds if it had just ended. So n+1 counts only if it began
//! when, by our clock, we had already asked. Clocks differ. If by that measure n+1 began too early and the task is idle, we
//! ask once more: n+2 then certainly begins after the first request, and one pass too many does no harm.
//!
//! A coordinator that restarts counts from 1 again and has forgotten the request. Its counter going back, or a task that
//! stays idle below the awaited number, is answered by asking again too.

use super::found_out::{Certainty, ChangeError, Finding, look_until_settled};
use crate::client::error::{CallError, Problem};
use crate::client::retry::RetryScope;
use crate::client::{Activation, Client, FetchedTask};
use crate::wire::bgtasks::{ActivationReason, BackgroundTask, CurrentStatus, LastResult};
use crate::wire::time::{self, Time};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// First wait between two looks: passes often take a few milliseconds.
const FIRST_WAIT: Duration = Duration::from_millis(1);
/// Longest wait between two looks: short enough that nobody notices it, long enough to cost the coordinator nothing.
const LONGEST_WAIT: Duration = Duration::from_millis(50);
/// Wait between two looks while the coordinator does not answer, beyond what each look tries by itself.
const OUTAGE_WAIT: Duration = Duration::from_millis(200);
/// How long a task may stay idle below the awaited iteration before the request counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// Which activation is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// This one or any later: it certainly begins after the request.
    Iteration(u64),
    /// The first that began after the request, to be told from others by number and time.
    After {
        /// The newest iteration that was known before the request.
        newest_before: u64,
        /// Our clock just before the request was sent.
        requested_at: Time,
    },
}

/// What a look at the task says about the awaited activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It has completed.
    Completed,
    /// It has not, but it will come.
    Wait,
    /// Nothing is under way, and what completed last may have begun too early.
    AskAgain,
}

/// The newest iteration that has at least begun; 0 if there is none.
fn newest_iteration(task: &BackgroundTask) -> u64 {
    let completed = match &task.last {
        LastResult::NeverCompleted => 0,
        LastResult::Completed(completed) => completed.iteration,
    };
    match &task.current {
        CurrentStatus::Idle => completed,
        CurrentStatus::Running(running) => completed.max(running.iteration),
    }
}

/// Says whether the awaited activation has completed. `newest_seen` is the newest iteration of earlier looks.
fn judge(awaited: Awaited, newest_seen: u64, task: &BackgroundTask) -> Verdict {
    if newest_iteration(task) < newest_seen {
        // It counts from the beginning again: another process.
        return Verdict::AskAgain;
    }
    let is_idle = matches!(task.current, CurrentStatus::Idle);
    let LastResult::Completed(last) = &task.last else { return Verdict::Wait };
    match awaited {
        Awaited::Iteration(iteration) if last.iteration >= iteration => Verdict::Completed,
        Awaited::Iteration(_) => Verdict::Wait,
        Awaited::After { newest_before, .. } if last.iteration <= newest_before => Verdict::Wait,
        Awaited::After { requested_at, .. } if last.start_time >= requested_at => Verdict::Completed,
        Awaited::After { .. } if is_idle => Verdict::AskAgain,
        Awaited::After { .. } => Verdict::Wait,
    }
}

/// How waiting ended.
#[derive(Clone, Debug)]
pub enum Waited {
    /// The task as it was once the awaited activation had completed.
    Completed(FetchedTask),
    /// The time ran out; the task as it was seen last, and the iteration that was awaited if it is known.
    TimedOut {
        /// The task as it was seen last.
        task: FetchedTask,
        /// The first iteration that would have done.
        awaited: Option<u64>,
    },
}

/// A task to be activated, with what was known of it before.
#[derive(Clone, Debug)]
pub struct Pending {
    name: String,
    task: FetchedTask,
    awaited: Awaited,
    newest_seen: u64,
}

/// A task that was named does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTask {
    /// The name that was given.
    pub name: String,
    /// All that there are.
    pub known: Vec<String>,
}

/// Why tasks could not be activated, or not be waited for.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    /// One of them does not exist; none was activated.
    #[error("unknown task {:?}", .0.name)]
    Unknown(UnknownTask),
    /// The coordinator did not answer as it should.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The request was lost, and is not known to have been carried out.
    #[error(transparent)]
    Lost(Box<ChangeError>),
}

impl From<ChangeError> for ActivateError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Call(error) => Self::Call(error),
            lost => Self::Lost(Box::new(lost)),
        }
    }
}

/// Tasks that were asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Each of them, to be waited for.
    pub pending: Vec<Pending>,
    /// How it is known that the request arrived.
    pub certainty: Certainty,
}

/// Asks for all of these tasks to be run; if one does not exist, none is.
///
/// # Errors
///
/// See [`ActivateError`]. Whether a request whose answer was lost arrived is found out from the iterations of the tasks.
pub async fn activate(client: &Client, names: &BTreeSet<String>) -> Result<Asked, ActivateError> {
    let mut before = Vec::new();
    for name in names {
        match client.fetch_task(name).await? {
            Some(task) => before.push((name.clone(), task)),
            None => return Err(ActivateError::Unknown(unknown(client, name).await?)),
        }
    }
    let requested_at = time::now();
    let (activation, certainty) = match client.activate_tasks(names).await {
        Ok(activation) => (activation, Certainty::Answered),
        Err(error) if error.is_in_doubt => {
            let certainty = look_whether_it_runs(client, &before, requested_at).await.settle(error)?;
            (Activation::default(), certainty)
        }
        Err(error) => return Err(error.into()),
    };
    let pending = before
        .into_iter()
        .map(|(name, task)| {
            let newest_seen = newest_iteration(&task.task);
            let awaited = awaited(&activation, &name, newest_seen, requested_at);
            Pending { name, task, awaited, newest_seen }
        })
        .collect();
    Ok(Asked { pending, certainty })
}

/// Looks whether a request whose answer was lost has arrived. All tasks were named in one request, so the first one tells.
async fn look_whether_it_runs(
    client: &Client,
    before: &[(String, FetchedTask)],
    requested_at: Time,
) -> Finding {
    let Some((name, before)) = before.first() else { return Finding::NotApplied };
    let newest_before = newest_iteration(&before.task);
    look_until_settled(client, async || {
        let task = client.fetch_task(name).await?;
        Ok(match task {
            Some(task) => find(newest_before, requested_at, &task.task),
            None => (Finding::Unknown("the task is gone".to_owned()), true),
        })
    })
    .await
}

/// What a look at a task says about a request that may have been lost, and whether that is final. Clocks of two machines
/// differ, so only an activation that was asked for and is newer than all that were known before counts.
fn find(newest_before: u64, requested_at: Time, task: &BackgroundTask) -> (Finding, bool) {
    let asked_for = |iteration: u64, reason: &ActivationReason| {
        iteration > newest_before && *reason == ActivationReason::Signaled
    };
    let under_way = match &task.current {
        CurrentStatus::Running(running) => Some((running.iteration, &running.reason)),
        CurrentStatus::Idle => None,
    };
    let completed = match &task.last {
        LastResult::Completed(last) => Some((last.iteration, &last.reason)),
        LastResult::NeverCompleted => None,
    };
    if [under_way, completed].into_iter().flatten().any(|(iteration, reason)| asked_for(iteration, reason)) {
        return (Finding::Applied, true);
    }
    if newest_iteration(task) < newest_before {
        return (Finding::Unknown(format!("the coordinator has started again since {requested_at}")), false);
    }
    match task.current {
        CurrentStatus::Idle => (Finding::NotApplied, false),
        // A request that comes meanwhile is kept until it ends, and shows only then.
        CurrentStatus::Running(_) => {
            (Finding::Unknown("an activation that began earlier is still under way".to_owned()), false)
        }
    }
}

/// The error for a name that the coordinator does not know.
pub async fn unknown(client: &Client, name: &str) -> Result<UnknownTask, CallError> {
    let known = client.list_tasks().await?.into_iter().map(|task| task.name).collect();
    Ok(UnknownTask { name: name.to_owned(), known })
}

fn awaited(activation: &Activation, name: &str, newest_before: u64, requested_at: Time) -> Awaited {
    match activation.iterations.as_ref().and_then(|iterations| iterations.get(name)) {
        Some(&iteration) => Awaited::Iteration(iteration),
        None => Awaited::After { newest_before, requested_at },
    }
}

impl Pending {
    /// The task's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The iteration that is awaited, if the coordinator named it.
    pub fn iteration(&self) -> Option<u64> {
        match self.awaited {
            Awaited::Iteration(iteration) => Some(iteration),
            Awaited::After { .. } => None,
        }
    }

    /// Waits until an activation that began after the request has completed, or the client's time is over.
    ///
    /// A coordinator that goes away meanwhile is waited for too, unless nothing may be tried twice. `on_outage` is told, once
    /// each time.
    ///
    /// # Errors
    ///
    /// See [`ActivateError`].
    pub async fn wait(
        mut self,
        client: &Client,
        mut on_outage: impl FnMut(&CallError),
    ) -> Result<Waited, ActivateError> {
        let mut is_away = false;
        let mut wait = FIRST_WAIT;
        let mut idle_since: Option<Instant> = None;
        loop {
            if Instant::now() + wait >= client.deadline() {
                return Ok(Waited::TimedOut { awaited: self.iteration(), task: self.task });
            }
            tokio::time::sleep(wait).await;
            wait = wait.mul_f64(1.5).min(LONGEST_WAIT);

            self.task = match client.fetch_task(&self.name).await {
                Ok(Some(task)) => task,
                Ok(None) => return Err(ActivateError::Unknown(unknown(client, &self.name).await?)),
                // The time ran out in the middle of a look. What was seen before is still worth telling.
                Err(CallError { problem: Problem::TimedOut { .. }, .. }) => {
                    return Ok(Waited::TimedOut { awaited: self.iteration(), task: self.task });
                }
                Err(error) if self.may_come_back(client, &error) => {
                    if !std::mem::replace(&mut is_away, true) {
                        on_outage(&error);
                    }
                    wait = OUTAGE_WAIT;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if std::mem::take(&mut is_away) {
                wait = FIRST_WAIT;
            }
            let mut verdict = judge(self.awaited, self.newest_seen, &self.task.task);
            self.newest_seen = newest_iteration(&self.task.task);
            match (&self.task.task.current, verdict) {
                (CurrentStatus::Idle, Verdict::Wait) => {
                    let since = *idle_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= LOST_AFTER {
                        verdict = Verdict::AskAgain;
                    }
                }
                _ => idle_since = None,
            }
            match verdict {
                Verdict::Completed => return Ok(Waited::Completed(self.task)),
                Verdict::Wait => {}
                Verdict::AskAgain => {
                    match self.ask_again(client).await {
                        Ok(()) => {}
                        // It shows at the next look that nothing is under way.
                        Err(error) if self.may_come_back(client, &error) => {}
                        Err(error) => return Err(error.into()),
                    }
                    idle_since = None;
                    wait = FIRST_WAIT;
                }
            }
        }
    }

    /// Whether a coordinator that did not answer is worth waiting for.
    fn may_come_back(&self, client: &Client, error: &CallError) -> bool {
        let is_away = match &error.problem {
            Problem::Unreachable { .. } | Problem::Lost { .. } => true,
            Problem::Status { status, .. } => status.is_server_error(),
            _ => false,
        };
        is_away && client.retry() != RetryScope::Nothing && Instant::now() + OUTAGE_WAIT < client.deadline()
    }

    /// Asks once more. What begins from now on begins after the first request too, whatever the clocks say.
    async fn ask_again(&mut self, client: &Client) -> Result<(), CallError> {
        let activation = client.activate_tasks(&BTreeSet::from([self.name.clone()])).await?;
        let next = Awaited::Iteration(self.newest_seen + 1);
        self.awaited = match awaited(&activation, &self.name, 0, Time::MIN_UTC) {
            Awaited::After { .. } => next,
            named => named,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bgtasks::{ActivationReason, CurrentStatusRunning, LastResultCompleted};
    use crate::wire::time::WireDuration;

    /// The second of some minute.
    fn second(second: u32) -> Time {
        format!("2026-11-02T09:20:{second:02}Z").parse().unwrap()
    }

    /// A task whose last activation and whose present one have these numbers and began in these seconds.
    fn task(last: Option<(u64, u32)>, current: Option<(u64, u32)>) -> BackgroundTask {
        let zero = WireDuration { secs: 0, nanos: 0 };
        BackgroundTask {
            name: "saga_recovery".to_owned(),
            description: String::new(),
            period: WireDuration { secs: 600, nanos: 0 },
            current: current.map_or(CurrentStatus::Idle, |(iteration, start)| {
                CurrentStatus::Running(CurrentStatusRunning {
                    start_time: second(start),
                    reason: ActivationReason::Signaled,
                    iteration,
                })
            }),
            last: last.map_or(LastResult::NeverCompleted, |(iteration, start)| {
                LastResult::Completed(LastResultCompleted {
                    iteration,
                    start_time: second(start),
                    reason: ActivationReason::Timeout,
                    elapsed: zero,
                    details: serde_json::Value::Null,
                })
            }),
        }
    }

    #[test]
    fn the_newest_iteration_may_be_under_way() {
        assert_eq!(newest_iteration(&task(None, None)), 0);
        assert_eq!(newest_iteration(&task(None, Some((1, 5)))), 1);
        assert_eq!(newest_iteration(&task(Some((7, 5)), None)), 7);
        assert_eq!(newest_iteration(&task(Some((7, 5)), Some((8, 6)))), 8);
    }

    #[test]
    fn an_iteration_that_the_coordinator_named_is_waited_for() {
        let awaited = Awaited::Iteration(8);
        for (last, current, verdict) in [
            (None, Some((1, 1)), Verdict::Wait),
            (Some((6, 1)), Some((7, 2)), Verdict::Wait),
            (Some((7, 2)), None, Verdict::Wait),
            (Some((7, 2)), Some((8, 3)), Verdict::Wait),
            (Some((8, 3)), None, Verdict::Completed),
            (Some((9, 4)), Some((10, 5)), Verdict::Completed),
        ] {
            assert_eq!(judge(awaited, 0, &task(last, current)), verdict, "{last:?} {current:?}");
        }
    }

    #[test]
    fn on_a_nexus_number_and_time_tell_what_began_after_the_request() {
        // 7 was under way or done when we looked; we asked in second 30.
        let awaited = Awaited::After { newest_before: 7, requested_at: second(30) };
        for (last, current, verdict, why) in [
            (Some((6, 1)), Some((7, 20)), Verdict::Wait, "7 is still under way"),
            (Some((7, 20)), None, Verdict::Wait, "the signal is about to be taken"),
            (Some((7, 20)), Some((8, 31)), Verdict::Wait, "ours is under way"),
            (Some((8, 31)), None, Verdict::Completed, "ours is done"),
            (Some((8, 30)), Some((9, 33)), Verdict::Completed, "ours is done, another one has begun"),
            (Some((8, 29)), Some((9, 33)), Verdict::Wait, "the timer took 8 before we asked; ours is 9"),
            (Some((9, 33)), None, Verdict::Completed, "and now it is done"),
            (Some((8, 29)), None, Verdict::AskAgain, "8 began before we asked, or their clock is behind"),
        ] {
            assert_eq!(judge(awaited, 7, &task(last, current)), verdict, "{why}");
        }
    }

    #[test]
    fn a_lost_request_shows_in_the_iterations() {
        let find = |last, current| find(7, second(30), &task(last, current));
        let unknown = |found: (Finding, bool)| matches!(found, (Finding::Unknown(_), false));
        assert_eq!(find(Some((7, 5)), None), (Finding::NotApplied, false));
        assert_eq!(find(Some((7, 5)), Some((8, 31))), (Finding::Applied, true));
        assert!(unknown(find(Some((6, 5)), Some((7, 20)))), "ours may be waiting behind it");
        assert!(unknown(find(None, None)), "another process");
        // An activation of the timer proves nothing, however new.
        let mut timer = task(Some((8, 31)), None);
        let LastResult::Completed(last) = &mut timer.last else { panic!("it has completed") };
        last.reason = ActivationReason::Signaled;
        assert_eq!(super::find(7, second(30), &timer), (Finding::Applied, true));
        let LastResult::Completed(last) = &mut timer.last else { panic!("it has completed") };
        last.reason = ActivationReason::Timeout;
        assert_eq!(super::find(7, second(30), &timer), (Finding::NotApplied, false));
    }

    #[test]
    fn a_counter_that_goes_back_means_another_process() {
        for awaited in [Awaited::Iteration(8), Awaited::After { newest_before: 7, requested_at: second(30) }]
        {
            assert_eq!(judge(awaited, 7, &task(Some((1, 40)), None)), Verdict::AskAgain);
            assert_eq!(judge(awaited, 7, &task(None, Some((1, 40)))), Verdict::AskAgain);
        }
    }
}
