//! Numbers of a run: latencies, troubles by class, the rate of the last moments. Pure, and of a size that does not depend
//! on how long the run is.

use super::answer::{Class, Trouble};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Longest latency that is told from longer ones, in microseconds: an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// Digits of a latency that are kept.
const DIGITS: u8 = 3;

/// Latencies and troubles.
#[derive(Clone, Debug)]
pub struct Stats {
    latencies: Histogram<u64>,
    longest: Duration,
    troubles: BTreeMap<Class, ErrorCount>,
    first: Option<FirstFailure>,
}

/// The first request that did not go well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirstFailure {
    /// Name of what was to be made.
    pub name: String,
    /// What went wrong.
    pub error: String,
}

/// All troubles of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorCount {
    /// The class: `refused`, `status 500`, …
    pub class: String,
    /// How many.
    pub count: u64,
    /// The first of them, in words.
    pub example: String,
    /// Name of what that one was to make.
    pub name: String,
}

/// Latencies of what was done, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatencyMs {
    /// Half of the requests took at most this.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 99 %.
    pub p99: f64,
    /// 99.9 %.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

/// A part of the distribution of latencies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Band {
    /// Longest latency of this part.
    pub up_to_ms: f64,
    /// How many requests are in it.
    pub count: u64,
}

impl Stats {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            latencies: Histogram::new_with_bounds(1, LONGEST_MICROS, DIGITS)
                .expect("bounds and digits are within what a histogram takes"),
            longest: Duration::ZERO,
            troubles: BTreeMap::new(),
            first: None,
        }
    }

    /// A request was done, so long after it was meant to start.
    pub fn done(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(micros.max(1));
        self.longest = self.longest.max(latency);
    }

    /// A request was not done. Its name is only asked for if it becomes an example.
    pub fn trouble(&mut self, trouble: &Trouble, name: impl FnOnce() -> String) {
        let Trouble { class, message } = trouble;
        if let Some(troubles) = self.troubles.get_mut(class) {
            troubles.count += 1;
            return;
        }
        let name = name();
        // Giving up is the generator's own doing, not something that went wrong.
        if *class != Class::GivenUp {
            self.first.get_or_insert_with(|| FirstFailure { name: name.clone(), error: message.clone() });
        }
        let class_name = class.to_string();
        let first = ErrorCount { class: class_name, count: 1, example: message.clone(), name };
        self.troubles.insert(*class, first);
    }

    /// The very first trouble.
    pub fn first_failure(&self) -> Option<&FirstFailure> {
        self.first.as_ref()
    }

    /// Whether every trouble was of such a class.
    pub fn is_every_trouble(&self, holds: impl Fn(Class) -> bool) -> bool {
        self.troubles.keys().all(|class| holds(*class))
    }

    /// Troubles by class, the most frequent first.
    pub fn errors(&self) -> Vec<ErrorCount> {
        let mut errors: Vec<_> = self.troubles.values().cloned().collect();
        errors.sort_by_key(|error| std::cmp::Reverse(error.count));
        errors
    }

    /// How many requests the latencies are of.
    pub fn measured(&self) -> u64 {
        self.latencies.len()
    }

    /// A latency that this share of what was done did not exceed.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        // A histogram answers with the end of a range, which may lie behind the longest that ever was.
        (!self.latencies.is_empty())
            .then(|| Duration::from_micros(self.latencies.value_at_quantile(share)).min(self.longest))
    }

    /// The usual percentiles, if there was anything to measure.
    pub fn latency_ms(&self) -> Option<LatencyMs> {
        let at = |share| self.quantile(share).map(in_ms);
        Some(LatencyMs {
            p50: at(0.5)?,
            p90: at(0.9)?,
            p99: at(0.99)?,
            p999: at(0.999)?,
            max: in_ms(self.longest),
        })
    }

    /// The mean, if there was anything to measure.
    pub fn mean(&self) -> Option<Duration> {
        (!self.latencies.is_empty()).then(|| Duration::from_secs_f64(self.latencies.mean() / 1e6))
    }

    /// The distribution: bands each a tenth wider than the one before, without those at both ends that are empty.
    pub fn distribution(&self) -> Vec<Band> {
        if self.latencies.is_empty() {
            return Vec::new();
        }
        let (first_micros, ratio) = (self.latencies.min().max(10), 1.1);
        let mut bands: Vec<Band> = self
            .latencies
            .iter_log(first_micros, ratio)
            .map(|step| Band {
                up_to_ms: in_ms(Duration::from_micros(step.value_iterated_to())),
                count: step.count_since_last_iteration(),
            })
            .collect();
        while bands.last().is_some_and(|band| band.count == 0) {
            bands.pop();
        }
        bands
    }
}

/// A duration in milliseconds.
pub(super) fn in_ms(latency: Duration) -> f64 {
    latency.as_micros() as f64 / 1000.0
}

impl Default for Stats {
    fn default() -> Self {
        Self::new()
    }
}

/// Rate over the last moments, for people who watch.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    readings: VecDeque<(Duration, u64)>,
}

/// How far back a [`Meter`] looks.
const METER_WINDOW: Duration = Duration::from_secs(2);

impl Meter {
    /// Takes a reading and tells the rate per second over the window before it.
    pub fn rate(&mut self, now: Duration, done: u64) -> f64 {
        self.readings.push_back((now, done));
        // The oldest reading that is kept is the youngest one outside the window.
        while self.readings.get(1).is_some_and(|(at, _)| *at + METER_WINDOW <= now) {
            self.readings.pop_front();
        }
        // The run began with nothing done; until the window is full, it reaches back to there.
        let (since, before) = match self.readings.front() {
            Some(&(at, before)) if at + METER_WINDOW <= now => (at, before),
            _ => (Duration::ZERO, 0),
        };
        per_second(done - before, now.saturating_sub(since))
    }
}

/// So many in such a time, per second.
pub fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_done_has_no_latency() {
        let stats = Stats::new();
        assert_eq!((stats.latency_ms(), stats.quantile(0.5), stats.mean()), (None, None, None));
        assert_eq!(stats.distribution(), []);
    }

    #[test]
    fn percentiles_are_exact_to_three_digits() {
        let mut stats = Stats::new();
        for millis in 1..=1000 {
            stats.done(Duration::from_millis(millis));
        }
        let LatencyMs { p50, p90, p99, p999, max } = stats.latency_ms().expect("measured");
        for (got, wanted) in [(p50, 500.0), (p90, 900.0), (p99, 990.0), (p999, 999.0)] {
            assert!((got - wanted).abs() <= wanted / 1000.0, "{got} is not {wanted}");
        }
        assert_eq!(max, 1000.0);
    }

    #[test]
    fn extreme_latencies_are_kept_within_bounds() {
        let mut stats = Stats::new();
        stats.done(Duration::ZERO);
        assert_eq!(stats.latency_ms().expect("measured").p50, 0.0);
        stats.done(Duration::MAX);
        assert!(stats.latency_ms().expect("measured").p999 >= 3_600_000.0);
    }

    #[test]
    fn the_distribution_holds_every_latency_once() {
        let mut stats = Stats::new();
        for millis in (1..=50).chain([700]) {
            stats.done(Duration::from_millis(millis));
        }
        let bands = stats.distribution();
        assert_eq!(bands.iter().map(|band| band.count).sum::<u64>(), 51);
        assert!(bands.is_sorted_by(|one, next| one.up_to_ms < next.up_to_ms));
        let last = bands.last().expect("bands");
        assert!(last.count == 1 && last.up_to_ms >= 700.0, "{last:?}");
        assert!(bands.len() < 100, "{} bands", bands.len());
    }

    #[test]
    fn each_class_is_counted_with_its_first_example() {
        let mut stats = Stats::new();
        stats.trouble(&Trouble::new(Class::GivenUp, "stopped"), || "z".to_owned());
        stats.trouble(&Trouble::new(Class::Reset, "reset by peer"), || "a".to_owned());
        stats.trouble(&Trouble::new(Class::Status(500), "oops"), || "b".to_owned());
        stats.trouble(&Trouble::new(Class::Status(500), "again"), || panic!("there is an example already"));
        let error = |class: &str, count, example: &str, name: &str| ErrorCount {
            class: class.to_owned(),
            count,
            example: example.to_owned(),
            name: name.to_owned(),
        };
        assert_eq!(
            stats.errors(),
            [
                error("status 500", 2, "oops", "b"),
                error("reset", 1, "reset by peer", "a"),
                error("given up", 1, "stopped", "z")
            ]
        );
        let first = FirstFailure { name: "a".to_owned(), error: "reset by peer".to_owned() };
        assert_eq!(stats.first_failure(), Some(&first), "giving up is no failure");
    }

    #[test]
    fn a_meter_looks_back_only_so_far() {
        let mut meter = Meter::default();
        let secs = Duration::from_secs;
        assert_eq!(meter.rate(Duration::ZERO, 0), 0.0);
        assert_eq!(meter.rate(secs(1), 100), 100.0);
        assert_eq!(meter.rate(secs(2), 200), 100.0);
        assert_eq!(meter.rate(secs(3), 200), 50.0);
        assert_eq!(meter.rate(secs(4), 200), 0.0);
        assert_eq!(meter.rate(secs(10), 800), 100.0);
        assert!(meter.readings.len() <= 3);
    }
}
