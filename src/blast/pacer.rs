//! Wakes workers of an open loop when a request is meant to start.
//!
//! The runtime's own timers go off up to a millisecond late, which would be in every latency that counts from the intended
//! start. So a thread sleeps until the next start and hands out permits, one for each start that is due. When it has to
//! wake very often it takes several starts at once, because each time it wakes costs whoever has the processor some
//! microseconds: at a hundred thousand starts per second that was a fifth of what the machine could do.

use super::schedule::Plan;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Shortest sleep. It is what a permit may be late.
const SHORTEST_NAP: Duration = Duration::from_micros(100);

/// Time between two starts below which they come so fast that waking up costs more than being a little later does harm.
const FAST: Duration = Duration::from_micros(20);

/// Starts that are worth waking up for when they come that fast.
const STARTS_AT_ONCE: u32 = 32;

/// Sleep while there are more permits than workers: they are all busy, and what is due meanwhile is not late because of it.
const NAP_WHILE_BEHIND: Duration = Duration::from_millis(1);

/// Longest sleep, so that a run that has ended does not leave a thread behind for long.
const LONGEST_NAP: Duration = Duration::from_millis(50);

/// Hands out a permit for each start, when it is due.
#[derive(Debug)]
pub(super) struct Pacer {
    permits: Semaphore,
    workers: usize,
    ended: AtomicBool,
}

impl Pacer {
    /// Begins to hand out what the plan has, counted from `began`.
    pub(super) fn start(plan: Plan, began: Instant) -> std::io::Result<Arc<Self>> {
        let pacer = Arc::new(Self {
            permits: Semaphore::new(0),
            workers: plan.workers as usize,
            ended: AtomicBool::new(false),
        });
        let handed_out = Arc::clone(&pacer);
        thread::Builder::new()
            .name("blast-pacer".to_owned())
            .spawn(move || handed_out.hand_out(plan, began))?;
        Ok(pacer)
    }

    fn hand_out(&self, plan: Plan, began: Instant) {
        let mut starts = plan.starts().peekable();
        let (mut last, mut nap) = (Duration::ZERO, SHORTEST_NAP);
        while let Some(&next) = starts.peek() {
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            let now = began.elapsed();
            let wait = next.saturating_sub(now);
            if !wait.is_zero() {
                thread::sleep(wait.clamp(nap, LONGEST_NAP));
                continue;
            }
            let mut due: u32 = 0;
            while starts.next_if(|start| *start <= now).is_some() {
                due += 1;
            }
            self.permits.add_permits(due as usize);
            nap = shortest_nap((now - last) / due);
            last = now;
            if self.permits.available_permits() > self.workers {
                thread::sleep(NAP_WHILE_BEHIND);
            }
        }
        self.let_all_look();
    }

    /// Waits until a start is due.
    pub(super) async fn due(&self) {
        // Never closed, so there is always a permit in the end.
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
    }

    /// Nothing is due any more.
    pub(super) fn end(&self) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            self.let_all_look();
        }
    }

    /// One permit for each worker, which finds that there is nothing to claim.
    fn let_all_look(&self) {
        self.permits.add_permits(self.workers);
    }
}

/// The shortest sleep where there is so much time between two starts.
fn shortest_nap(pace: Duration) -> Duration {
    if pace < FAST { SHORTEST_NAP.max(pace * STARTS_AT_ONCE) } else { SHORTEST_NAP }
}

#[cfg(test)]
mod tests {
    use super::super::schedule::{Limits, Pacing};
    use super::*;

    #[test]
    fn only_where_starts_come_very_fast_are_many_taken_at_once() {
        let nap = |nanos| shortest_nap(Duration::from_nanos(nanos)).as_micros();
        // At a thousand, fifty thousand, a hundred thousand and a million per second.
        assert_eq!([1_000_000, 20_000, 10_000, 1_000].map(nap), [100, 100, 320, 100]);
    }

    #[tokio::test]
    async fn every_start_gets_a_permit_and_nobody_waits_for_ever() {
        let rate = "10000".parse().expect("a rate");
        let plan = Plan {
            pacing: Pacing::OpenLoop { rate },
            ramp: Duration::ZERO,
            workers: 3,
            limits: Limits { count: Some(50), ..Limits::default() },
        };
        let began = Instant::now();
        let pacer = Pacer::start(plan, began).expect("a thread");
        for _ in 0..50 {
            pacer.due().await;
        }
        assert!(began.elapsed() >= Duration::from_micros(4900), "none comes before its time");
        // One more for each worker, which finds that there is nothing to claim.
        for _ in 0..3 {
            pacer.due().await;
        }
    }
}
