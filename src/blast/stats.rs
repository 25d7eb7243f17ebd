//! Numbers of a blast: latencies in a histogram of constant size, errors by class with an example each. Pure.

use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest latency that is told apart, in microseconds: one hour.
const LONGEST_US: u64 = 3_600_000_000;

/// What kind of thing went wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorClass {
    /// No connection could be made, so the request never left.
    Refused,
    /// The connection ended after the request was sent and before the answer was complete.
    Cut,
    /// No answer in time.
    Timeout,
    /// The answer was no.
    Status(u16),
    /// The answer was yes, with a body that makes no sense.
    Body,
    /// The blast was stopped before the answer.
    GivenUp,
}

impl ErrorClass {
    /// The class in a word, for tables and JSON.
    pub fn name(&self) -> String {
        match self {
            Self::Refused => "refused".to_owned(),
            Self::Cut => "cut".to_owned(),
            Self::Timeout => "timeout".to_owned(),
            Self::Status(code) => format!("status {code}"),
            Self::Body => "body".to_owned(),
            Self::GivenUp => "given up".to_owned(),
        }
    }

    /// Whether the server may have done what was asked all the same.
    pub fn leaves_doubt(&self) -> bool {
        match self {
            Self::Refused | Self::Status(_) => false,
            Self::Cut | Self::Timeout | Self::Body | Self::GivenUp => true,
        }
    }
}

/// One class of errors in a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorCount {
    /// The class.
    pub class: String,
    /// How many.
    pub count: u64,
    /// The first one, in words.
    pub example: String,
}

/// Percentiles in milliseconds.
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

/// Latencies of acknowledged requests, and errors.
#[derive(Clone, Debug)]
pub struct Stats {
    latencies: Histogram<u64>,
    errors: BTreeMap<ErrorClass, (u64, String)>,
}

impl Default for Stats {
    fn default() -> Self {
        let latencies =
            Histogram::new_with_bounds(1, LONGEST_US, 3).expect("three digits from 1 are valid bounds");
        Self { latencies, errors: BTreeMap::new() }
    }
}

impl Stats {
    /// An acknowledged request.
    pub fn acknowledged(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(LONGEST_US);
        self.latencies.saturating_record(us.clamp(1, LONGEST_US));
    }

    /// A request that went wrong. The example is kept for the first of its class only.
    pub fn failed(&mut self, class: ErrorClass, example: &str) {
        let entry = self.errors.entry(class).or_insert_with(|| (0, example.to_owned()));
        entry.0 += 1;
    }

    /// Percentiles, if there was anything to measure.
    pub fn latency_ms(&self) -> Option<LatencyMs> {
        let at = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1000.0;
        (!self.latencies.is_empty()).then(|| LatencyMs {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.latencies.max() as f64 / 1000.0,
        })
    }

    /// Errors by class, most frequent first.
    pub fn errors(&self) -> Vec<ErrorCount> {
        let mut errors: Vec<_> = self
            .errors
            .iter()
            .map(|(class, (count, example))| ErrorCount {
                class: class.name(),
                count: *count,
                example: example.clone(),
            })
            .collect();
        errors.sort_by_key(|error| std::cmp::Reverse(error.count));
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_latencies() {
        let mut stats = Stats::default();
        assert_eq!(stats.latency_ms(), None, "nothing measured is no zero");
        for ms in 1..=1000 {
            stats.acknowledged(Duration::from_millis(ms));
        }
        let latency = stats.latency_ms().expect("measured");
        let near = |value: f64, expected: f64| (value - expected).abs() <= expected * 0.002;
        assert!(
            near(latency.p50, 500.0) && near(latency.p90, 900.0) && near(latency.p99, 990.0),
            "{latency:?}"
        );
        assert!(near(latency.max, 1000.0), "{latency:?}");
    }

    #[test]
    fn errors_are_counted_by_class_with_the_first_as_example() {
        let mut stats = Stats::default();
        stats.failed(ErrorClass::Cut, "first");
        stats.failed(ErrorClass::Status(503), "busy");
        stats.failed(ErrorClass::Status(503), "busy again");
        let errors = stats.errors();
        assert_eq!(
            (errors[0].class.as_str(), errors[0].count, errors[0].example.as_str()),
            ("status 503", 2, "busy")
        );
        assert_eq!((errors[1].class.as_str(), errors[1].count), ("cut", 1));
    }
}
