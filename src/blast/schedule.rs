//! When the next request may start, and when there is none any more. Pure: times come in as arguments.

use std::time::Duration;

/// What ends a blast, besides somebody who stops it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests in all.
    pub count: Option<u64>,
    /// Time from the first request on.
    pub duration: Option<Duration>,
    /// Failures and doubts after which no more requests start; `Some(1)` stops at the first.
    pub max_failures: Option<u64>,
}

/// What somebody outside wants of a blast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// Go on.
    No,
    /// Start no more requests, and wait for those in flight.
    Drain,
    /// Wait for nothing.
    Now,
}

/// Why no more requests start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As many as asked for have started.
    Count,
    /// The time is over.
    Duration,
    /// Too much went wrong.
    Failures,
    /// Somebody stopped it.
    Stopped,
}

impl Limits {
    /// Why no request may start now, if there is a reason.
    pub fn end(&self, started: u64, bad: u64, elapsed: Duration, stop: Stop) -> Option<End> {
        if stop > Stop::No {
            Some(End::Stopped)
        } else if self.max_failures.is_some_and(|most| bad >= most) {
            Some(End::Failures)
        } else if self.count.is_some_and(|count| started >= count) {
            Some(End::Count)
        } else if self.duration.is_some_and(|duration| elapsed >= duration) {
            Some(End::Duration)
        } else {
            None
        }
    }
}

/// How long a worker waits after its `failures`th connection failure in a row, so that a server that is away is asked
/// again soon, but not in a busy loop.
pub fn reconnect_delay(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_millis(500);
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_ends_the_run() {
        let none = Limits::default();
        let second = Duration::from_secs(1);
        assert_eq!(none.end(u64::MAX, u64::MAX, Duration::MAX, Stop::No), None);
        assert_eq!(none.end(0, 0, Duration::ZERO, Stop::Drain), Some(End::Stopped));
        let count = Limits { count: Some(3), ..none };
        assert_eq!(count.end(2, 0, second, Stop::No), None);
        assert_eq!(count.end(3, 0, second, Stop::No), Some(End::Count));
        let duration = Limits { duration: Some(second), ..none };
        assert_eq!(duration.end(9, 0, second / 2, Stop::No), None);
        assert_eq!(duration.end(9, 0, second, Stop::No), Some(End::Duration));
        let first_failure = Limits { max_failures: Some(1), ..none };
        assert_eq!(first_failure.end(9, 1, second, Stop::No), Some(End::Failures));
    }

    #[test]
    fn delays_grow_and_stay_bounded() {
        let delays: Vec<_> = (1..20).map(reconnect_delay).collect();
        assert!(delays.is_sorted());
        assert_eq!(delays[0], Duration::from_millis(10));
        assert_eq!(delays[18], Duration::from_millis(500));
    }
}
