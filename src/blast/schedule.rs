//! When the next request may start, and when there is to be none: pacing and ends as values. Pure; times come in as
//! durations since the run began.
//!
//! A worker first *claims* a slot, waits until the slot's intended start, and then *launches*. In between the run may end,
//! and then a claimed slot is simply never launched. So what counts as started is exactly what was launched.
//!
//! # Closed and open loop
//!
//! In a *closed loop* each worker starts its next request when the last one is over, so a slow server slows the
//! generator, and what the generator does not send in the meantime is in no percentile. In an *open loop* the starts are
//! fixed beforehand, one every 1/rate seconds, whatever the server does. A worker that comes late to its slot launches
//! at once, and the latency counts from the intended start, or waiting for a stalled server would be left out of the
//! numbers (coordinated omission). The number of workers bounds how many requests are under way.
//!
//! # Ramp and warm-up
//!
//! A *ramp* brings the load up evenly: in a closed loop worker after worker begins, in an open loop the rate rises from 0.
//! What starts during the *warm-up* is sent and accounted for like everything else, and left out of rate and latencies.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What decides when a request may start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pacing {
    /// A worker goes on when its last request is over.
    ClosedLoop {
        /// And after so long a pause.
        pause: Duration,
    },
    /// Starts are fixed beforehand.
    OpenLoop {
        /// So many in a second.
        rate: Rate,
    },
}

/// Requests per second, more than none.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// The moment of the start with this index, when the rate rises evenly from 0 during `ramp`.
    fn moment(self, ramp: Duration, index: u64) -> Duration {
        let (rate, ramp, index) = (self.0, ramp.as_secs_f64(), index as f64);
        // The area of a triangle: half of what the full rate would have started meanwhile.
        let started_on_ramp = rate * ramp / 2.0;
        let secs = if index < started_on_ramp {
            (2.0 * index * ramp / rate).sqrt()
        } else {
            ramp + (index - started_on_ramp) / rate
        };
        // Beyond the largest duration nothing will ever start anyway.
        Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX)
    }

    /// Requests per second.
    pub fn per_second(self) -> f64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim_end_matches("/s").parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Self(rate)),
            _ => Err("a rate is a number of requests per second above 0, for example 200 or 0.5"),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", self.0)
    }
}

/// When what is to start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// What decides when a request may start.
    pub pacing: Pacing,
    /// How long the load rises until it is whole.
    pub ramp: Duration,
    /// Workers, which is how many requests are under way at most.
    pub workers: u32,
    /// What ends the run by itself; its duration counts from the beginning.
    pub limits: Limits,
}

/// What ends a run by itself. A run without any limit goes on until it is interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// So many requests.
    pub count: Option<u64>,
    /// No request starts later than this.
    pub duration: Option<Duration>,
    /// As many failures and doubts; `Some(1)` stops at the first one, `None` goes on whatever happens.
    pub max_failures: Option<u64>,
}

/// Why no more requests were started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// As many as were asked for.
    Count,
    /// The time was over.
    Duration,
    /// Somebody interrupted it.
    Interrupted,
    /// More troubles than are tolerated.
    Failures,
    /// The record of it could not be written any more.
    Record,
}

impl End {
    /// Whether the run got as far as it was meant to.
    pub fn is_planned(self) -> bool {
        matches!(self, Self::Count | Self::Duration)
    }
}

/// Leave to start one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// When it is meant to start, since the run began.
    pub intended: Duration,
}

/// Hands out slots until the run ends.
#[derive(Clone, Debug)]
pub struct Schedule {
    plan: Plan,
    claimed: u64,
    troubles: u64,
    ended: Option<End>,
}

impl Schedule {
    /// A schedule of a run that begins.
    pub fn new(plan: Plan) -> Self {
        Self { plan, claimed: 0, troubles: 0, ended: None }
    }

    /// Leave for the next request of a worker whose last one was over at `previous_end`, or none any more.
    pub fn claim(&mut self, worker: u32, now: Duration, previous_end: Option<Duration>) -> Option<Slot> {
        self.end_if_due(now);
        if self.ended.is_some() || self.is_exhausted() {
            return None;
        }
        let intended = match (self.plan.pacing, previous_end) {
            (Pacing::ClosedLoop { .. }, None) => now.max(self.plan.first_start(worker)),
            (Pacing::ClosedLoop { pause }, Some(end)) => now.max(end.saturating_add(pause)),
            (Pacing::OpenLoop { rate }, _) => rate.moment(self.plan.ramp, self.claimed),
        };
        if self.plan.limits.duration.is_some_and(|duration| intended >= duration) {
            // The run itself goes on until then, for others.
            return None;
        }
        self.claimed += 1;
        Some(Slot { intended })
    }

    /// Whether a request whose slot was claimed may start now.
    pub fn launch(&mut self, now: Duration) -> bool {
        self.end_if_due(now);
        self.ended.is_none()
    }

    /// A request did not go well. True if that ends the run.
    pub fn trouble(&mut self) -> bool {
        self.troubles += 1;
        let too_many = self.plan.limits.max_failures.is_some_and(|most| self.troubles >= most);
        self.end(End::Failures, too_many)
    }

    /// Somebody wants it to end. True if that ends the run.
    pub fn interrupt(&mut self) -> bool {
        self.end(End::Interrupted, true)
    }

    /// The record cannot be written any more. True if that ends the run.
    pub fn record_failed(&mut self) -> bool {
        self.end(End::Record, true)
    }

    /// Whether nothing starts any more before its time.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// When nothing starts any more, whatever happens.
    pub fn latest_start(&self) -> Option<Duration> {
        self.plan.limits.duration
    }

    /// Why it ended. Of a run that has not, why it will.
    pub fn end_reason(&self) -> End {
        match self.ended {
            Some(end) => end,
            None if self.is_exhausted() => End::Count,
            None => End::Duration,
        }
    }

    fn is_exhausted(&self) -> bool {
        self.plan.limits.count.is_some_and(|count| self.claimed >= count)
    }

    fn end_if_due(&mut self, now: Duration) {
        let due = self.plan.limits.duration.is_some_and(|duration| now >= duration) && !self.is_exhausted();
        self.end(End::Duration, due);
    }

    /// The first reason stands.
    fn end(&mut self, end: End, due: bool) -> bool {
        let ends_it = due && self.ended.is_none();
        if ends_it {
            self.ended = Some(end);
        }
        ends_it
    }
}

impl Plan {
    /// When a worker of a closed loop begins.
    fn first_start(&self, worker: u32) -> Duration {
        self.ramp.mul_f64(f64::from(worker) / f64::from(self.workers.max(1)))
    }

    /// The intended starts of an open loop, one after the other; none in a closed loop.
    pub fn starts(self) -> impl Iterator<Item = Duration> {
        let rate = match self.pacing {
            Pacing::OpenLoop { rate } => Some(rate),
            Pacing::ClosedLoop { .. } => None,
        };
        let Limits { count, duration, .. } = self.limits;
        rate.into_iter().flat_map(move |rate| {
            (0..count.unwrap_or(u64::MAX))
                .map(move |index| rate.moment(self.ramp, index))
                .take_while(move |start| duration.is_none_or(|duration| *start < duration))
        })
    }
}

/// First wait of a worker whose connection broke or was refused.
const FIRST_BACKOFF: Duration = Duration::from_millis(10);

/// Longest wait. Short, because what comes back after a crash is what a blast wants to see; long enough that ten thousand
/// workers do not keep a machine busy with refusals.
const LONGEST_BACKOFF: Duration = Duration::from_millis(500);

/// How long a worker waits after so many connections in a row that broke or were refused, so that a dead server does not
/// make a busy loop. `jitter`, from 0 to 1, takes up to a half of it away, so that workers do not come back all at once.
pub fn backoff(in_a_row: u32, jitter: f64) -> Duration {
    if in_a_row == 0 {
        return Duration::ZERO;
    }
    let doubled = FIRST_BACKOFF.saturating_mul(1 << (in_a_row - 1).min(16));
    doubled.min(LONGEST_BACKOFF).mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLOSED: Pacing = Pacing::ClosedLoop { pause: Duration::ZERO };

    fn plan(pacing: Pacing, limits: Limits) -> Plan {
        Plan { pacing, ramp: Duration::ZERO, workers: 4, limits }
    }

    fn schedule(pacing: Pacing, limits: Limits) -> Schedule {
        Schedule::new(plan(pacing, limits))
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_count_is_kept_exactly() {
        let mut schedule = schedule(CLOSED, Limits { count: Some(2), ..Limits::default() });
        assert_eq!(schedule.claim(0, ms(3), None), Some(Slot { intended: ms(3) }));
        assert_eq!(schedule.claim(0, ms(4), None), Some(Slot { intended: ms(4) }));
        assert_eq!(schedule.claim(0, ms(5), Some(ms(5))), None);
        assert!(schedule.launch(ms(9)), "what was claimed may still start");
        assert_eq!(schedule.end_reason(), End::Count);
        assert!(!schedule.trouble(), "troubles are not limited here");
        assert!(schedule.interrupt());
        assert_eq!(schedule.end_reason(), End::Interrupted);
        assert!(!schedule.launch(ms(9)));
    }

    #[test]
    fn nothing_starts_after_the_duration() {
        let mut schedule = schedule(
            Pacing::ClosedLoop { pause: ms(30) },
            Limits { duration: Some(ms(100)), ..Limits::default() },
        );
        assert_eq!(schedule.claim(0, ms(0), None), Some(Slot { intended: ms(0) }));
        assert_eq!(schedule.claim(0, ms(50), Some(ms(50))), Some(Slot { intended: ms(80) }));
        assert_eq!(schedule.claim(0, ms(75), Some(ms(75))), None, "it would start at 105");
        assert!(schedule.launch(ms(99)), "but others may still start");
        assert!(!schedule.launch(ms(100)));
        assert_eq!(schedule.end_reason(), End::Duration);
    }

    #[test]
    fn the_first_failure_stops_it_unless_told_otherwise() {
        let limits = |max_failures| Limits { max_failures, ..Limits::default() };
        let mut strict = schedule(CLOSED, limits(Some(1)));
        assert!(strict.trouble());
        assert!(!strict.trouble(), "it ends once");
        assert_eq!((strict.claim(0, ms(1), None), strict.end_reason()), (None, End::Failures));
        assert!(!strict.interrupt(), "the first reason stands");
        assert_eq!(strict.end_reason(), End::Failures);

        let mut lenient = schedule(CLOSED, limits(Some(3)));
        assert_eq!([lenient.trouble(), lenient.trouble(), lenient.trouble()], [false, false, true]);

        let mut endless = schedule(CLOSED, limits(None));
        assert!((0..1000).all(|_| !endless.trouble()));
        assert!(endless.claim(0, ms(1), None).is_some());
    }

    #[test]
    fn an_open_loop_does_not_wait_for_anybody() {
        let rate = "200/s".parse().expect("some");
        let mut schedule = schedule(Pacing::OpenLoop { rate }, Limits::default());
        assert_eq!(schedule.claim(0, ms(0), None).expect("some").intended, ms(0));
        // Everybody was busy for a second; the slots of that second are still handed out, each with its own moment.
        for index in 1..=200 {
            assert_eq!(schedule.claim(0, ms(1000), Some(ms(1000))).expect("some").intended, ms(5 * index));
        }
        assert_eq!(schedule.claim(0, ms(1000), None).expect("some").intended, ms(1005));
    }

    #[test]
    fn a_ramp_brings_worker_after_worker() {
        let plan = Plan { ramp: ms(1000), ..plan(CLOSED, Limits::default()) };
        let mut schedule = Schedule::new(plan);
        for (worker, begins) in [(0, 0), (1, 250), (2, 500), (3, 750)] {
            assert_eq!(schedule.claim(worker, ms(0), None), Some(Slot { intended: ms(begins) }));
        }
        assert_eq!(
            schedule.claim(3, ms(800), Some(ms(800))),
            Some(Slot { intended: ms(800) }),
            "only the first"
        );
    }

    #[test]
    fn a_rate_rises_evenly_on_its_ramp_and_then_stays() {
        let rate = "100".parse().expect("a rate");
        let limits = Limits { duration: Some(ms(4000)), ..Limits::default() };
        let plan = Plan { ramp: ms(2000), ..plan(Pacing::OpenLoop { rate }, limits) };
        let starts: Vec<_> = plan.starts().collect();
        let within =
            |from: u64, to: u64| starts.iter().filter(|start| (ms(from)..ms(to)).contains(*start)).count();
        assert_eq!((within(0, 1000), within(1000, 2000)), (25, 75));
        assert_eq!((within(2000, 3000), within(3000, 4000)), (100, 100));
        assert!(starts.is_sorted());
        let mut schedule = Schedule::new(plan);
        let claimed: Vec<_> =
            std::iter::from_fn(|| schedule.claim(0, ms(0), None)).map(|slot| slot.intended).collect();
        assert_eq!(claimed, starts, "what a pacer waits for is what is claimed");
    }

    #[test]
    fn rates_are_positive_numbers() {
        for bad in ["0", "-1", "nan", "inf", "", "many"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad:?}");
        }
        assert_eq!("0.5".parse::<Rate>().expect("some").to_string(), "0.5/s");
        assert_eq!("1e-300".parse::<Rate>().expect("some").moment(Duration::ZERO, u64::MAX), Duration::MAX);
    }

    #[test]
    fn backing_off_doubles_up_to_a_limit() {
        let waits: Vec<_> = (0..9).map(|count| backoff(count, 0.0).as_millis()).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 320, 500, 500]);
        assert_eq!(backoff(u32::MAX, 0.0), LONGEST_BACKOFF);
        assert_eq!(backoff(3, 1.0), ms(20));
    }

    proptest! {
        /// Whatever happens in whatever order: never more claims than the count, nothing after the end, and an end stays.
        #[test]
        fn an_ended_schedule_stays_ended(
            count in proptest::option::of(0u64..20),
            duration in proptest::option::of(0u64..50),
            max_failures in proptest::option::of(1u64..5),
            steps in proptest::collection::vec(0u8..4, 0..80),
        ) {
            let limits = Limits { count, duration: duration.map(ms), max_failures };
            let mut schedule = schedule(CLOSED, limits);
            let (mut claims, mut troubles, mut interrupted) = (0u64, 0u64, false);
            let mut ended = None;
            for (now, step) in steps.into_iter().enumerate() {
                let now = ms(now as u64);
                match step {
                    0 => {
                        let claimed = schedule.claim(0, now, Some(now)).is_some();
                        claims += u64::from(claimed);
                        prop_assert!(!claimed || ended.is_none());
                    }
                    1 => { troubles += 1; schedule.trouble(); }
                    2 => {
                        let over = interrupted || max_failures.is_some_and(|most| troubles >= most);
                        prop_assert!(!(schedule.launch(now) && over));
                    }
                    _ if troubles > 2 => { interrupted = true; schedule.interrupt(); }
                    _ => {}
                }
                prop_assert!(count.is_none_or(|count| claims <= count));
                if let Some(end) = ended {
                    prop_assert_eq!(Some(end), schedule.ended);
                }
                ended = schedule.ended;
            }
        }
    }
}
