//! How a run went over time: what ended when, and how long it had taken. Pure, and of a size that does not depend on how
//! long the run is.
//!
//! A run is cut into slices of equal length. When there would be too many, neighbours are put together and the slices are
//! twice as long from then on, so a run of a day takes as much memory as one of a minute, and shows less detail.

use super::answer::Outcome;
use super::stats::in_ms;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// Length of a slice in the beginning.
const FIRST_WIDTH: Duration = Duration::from_millis(100);

/// Most slices that are kept: more detail than that is noise in a chart.
const MOST_SLICES: usize = 150;

/// Longest latency that a slice tells from longer ones, in microseconds: an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;

/// Requests over time.
#[derive(Clone, Debug)]
pub struct Series {
    width: Duration,
    slices: Vec<Slice>,
}

#[derive(Clone, Debug)]
struct Slice {
    done: u64,
    failed: u64,
    in_doubt: u64,
    /// One digit is enough for a line in a chart, and a hundredth of the memory.
    latencies: Histogram<u32>,
}

/// One slice of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Moment {
    /// When it begins, since the first request.
    pub at_secs: f64,
    /// How long it is.
    pub secs: f64,
    /// Requests acknowledged in it.
    pub done: u64,
    /// Requests that failed in it.
    pub failed: u64,
    /// Requests that ended in doubt in it.
    pub in_doubt: u64,
    /// Half of those done in it took at most this; absent if there were none.
    pub p50_ms: Option<f64>,
    /// 90 %.
    pub p90_ms: Option<f64>,
    /// 99 %.
    pub p99_ms: Option<f64>,
    /// The slowest.
    pub max_ms: Option<f64>,
}

impl Slice {
    fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LONGEST_MICROS, 1)
            .expect("bounds and digits are within what a histogram takes");
        Self { done: 0, failed: 0, in_doubt: 0, latencies }
    }

    fn absorb(&mut self, other: &Self) {
        self.done += other.done;
        self.failed += other.failed;
        self.in_doubt += other.in_doubt;
        self.latencies.add(&other.latencies).expect("all slices have the same bounds");
    }
}

impl Series {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { width: FIRST_WIDTH, slices: Vec::new() }
    }

    /// A request ended at this moment of the run, so long after it was meant to start.
    pub fn ended(&mut self, at: Duration, outcome: Outcome, latency: Duration) {
        let slice = self.slice(at);
        match outcome {
            Outcome::Done => {
                slice.done += 1;
                let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
                slice.latencies.saturating_record(micros.max(1));
            }
            Outcome::Failed => slice.failed += 1,
            Outcome::InDoubt => slice.in_doubt += 1,
        }
    }

    fn slice(&mut self, at: Duration) -> &mut Slice {
        let mut index = self.index(at);
        while index >= MOST_SLICES {
            self.widen();
            index = self.index(at);
        }
        while self.slices.len() <= index {
            self.slices.push(Slice::new());
        }
        &mut self.slices[index]
    }

    fn index(&self, at: Duration) -> usize {
        usize::try_from(at.as_nanos() / self.width.as_nanos()).unwrap_or(usize::MAX)
    }

    fn widen(&mut self) {
        self.width = self.width.saturating_mul(2);
        let halves = std::mem::take(&mut self.slices);
        let mut halves = halves.into_iter();
        while let Some(mut first) = halves.next() {
            if let Some(second) = halves.next() {
                first.absorb(&second);
            }
            self.slices.push(first);
        }
    }

    /// All slices, one after the other.
    pub fn moments(&self) -> Vec<Moment> {
        let width = self.width.as_secs_f64();
        let mut moments = Vec::with_capacity(self.slices.len());
        for (index, slice) in self.slices.iter().enumerate() {
            let at = |share| {
                let micros =
                    (!slice.latencies.is_empty()).then(|| slice.latencies.value_at_quantile(share))?;
                Some(in_ms(Duration::from_micros(micros)))
            };
            moments.push(Moment {
                at_secs: index as f64 * width,
                secs: width,
                done: slice.done,
                failed: slice.failed,
                in_doubt: slice.in_doubt,
                p50_ms: at(0.5),
                p90_ms: at(0.9),
                p99_ms: at(0.99),
                max_ms: at(1.0),
            });
        }
        moments
    }
}

impl Default for Series {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_ends_is_in_its_slice() {
        let mut series = Series::new();
        series.ended(50 * MS, Outcome::Done, 8 * MS);
        series.ended(250 * MS, Outcome::Failed, 9 * MS);
        series.ended(299 * MS, Outcome::InDoubt, 9 * MS);
        let moments = series.moments();
        let counts: Vec<_> =
            moments.iter().map(|moment| (moment.done, moment.failed, moment.in_doubt)).collect();
        assert_eq!(counts, [(1, 0, 0), (0, 0, 0), (0, 1, 1)]);
        assert_eq!((moments[2].at_secs, moments[2].secs), (0.2, 0.1));
        let p99 = moments[0].p99_ms.expect("one was done");
        assert!((7.5..9.0).contains(&p99), "{p99}");
        assert_eq!(moments[2].p99_ms, None, "nothing done has no latency");
    }

    proptest! {
        /// However long the run: nothing is lost, the size stays, and slices follow one another.
        #[test]
        fn a_long_run_takes_no_more_memory(
            ends in prop::collection::vec((0u64..100_000_000, 0u64..3), 1..300),
        ) {
            let mut series = Series::new();
            for (millis, what) in &ends {
                let outcome = [Outcome::Done, Outcome::Failed, Outcome::InDoubt][*what as usize];
                series.ended(Duration::from_millis(*millis), outcome, MS);
            }
            let moments = series.moments();
            prop_assert!(moments.len() <= MOST_SLICES);
            let total: u64 = moments.iter().map(|moment| moment.done + moment.failed + moment.in_doubt).sum();
            prop_assert_eq!(total, ends.len() as u64);
            for pair in moments.windows(2) {
                prop_assert!((pair[0].at_secs + pair[0].secs - pair[1].at_secs).abs() < 1e-6);
            }
        }
    }
}
