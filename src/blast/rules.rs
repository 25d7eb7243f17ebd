//! What makes a run a failure, in the user's own words: `p99>2s`, `errors>1%`, `rate<500`. Pure.
//!
//! A rule says what must *not* be. What cannot be known, the latency of a run in which nothing was done for example, breaks
//! every rule about it: a rule that silently does not apply would be a success that nobody looked at.

use serde::Serialize;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    text: String,
    metric: Metric,
    comparison: Comparison,
    limit: f64,
}

/// What a rule is about. Latencies are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Metric {
    /// The latency that this share of requests did not exceed.
    Quantile(f64),
    Mean,
    /// Done per second.
    Rate,
    Done,
    Failed,
    InDoubt,
    /// Failed and in doubt.
    Errors,
    /// The same, of all that were started, in percent.
    ErrorPercent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Nothing is compared.
    #[error("a rule compares something with >, >=, < or <=, as in p99>2s")]
    NoComparison,
    /// Nothing that is measured.
    #[error(
        "nothing called {0:?} is measured; known are p50 and other percentiles, mean, max, rate, done, failed, \
         in_doubt and errors"
    )]
    Metric(String),
    /// Not a limit for what is compared with it.
    #[error("{limit:?} is no limit for {metric}: {wanted}")]
    Limit {
        /// What was given.
        limit: String,
        /// What it is for.
        metric: String,
        /// What would do.
        wanted: &'static str,
    },
}

/// What rules are held against.
pub(super) struct Measured<'m> {
    /// The latency that a share of requests did not exceed.
    pub(super) quantile: &'m dyn Fn(f64) -> Option<Duration>,
    pub(super) mean: Option<Duration>,
    pub(super) rate: f64,
    pub(super) started: u64,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) in_doubt: u64,
}

/// A rule, held against a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// The rule as it was given.
    pub rule: String,
    /// What was measured; latencies in milliseconds, shares in percent. Absent if there was nothing to measure.
    pub value: Option<f64>,
    /// Whether the run broke it.
    pub broken: bool,
}

impl Rule {
    /// Holds it against a run.
    pub(super) fn judge(&self, measured: &Measured<'_>) -> Judged {
        let value = self.metric.of(measured);
        let broken = value.is_none_or(|value| self.comparison.holds(value, self.limit));
        Judged { rule: self.text.clone(), value, broken }
    }
}

impl Metric {
    fn of(self, measured: &Measured<'_>) -> Option<f64> {
        let Measured { quantile, mean, rate, started, done, failed, in_doubt } = *measured;
        let ms = |latency: Duration| latency.as_secs_f64() * 1000.0;
        let errors = (failed + in_doubt) as f64;
        match self {
            Self::Quantile(share) => quantile(share).map(ms),
            Self::Mean => mean.map(ms),
            Self::Rate => Some(rate),
            Self::Done => Some(done as f64),
            Self::Failed => Some(failed as f64),
            Self::InDoubt => Some(in_doubt as f64),
            Self::Errors => Some(errors),
            Self::ErrorPercent => (started > 0).then(|| errors / started as f64 * 100.0),
        }
    }

    /// A percentile by its name: `p50`, `p99.9`, and `p999` for the same.
    fn percentile(name: &str) -> Option<Self> {
        let digits = name.strip_prefix('p')?;
        let percent = match digits.len() {
            _ if !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => return None,
            1 | 2 => digits.parse::<f64>().ok()?,
            _ if digits.contains('.') => digits.parse().ok()?,
            // The digits after the second are decimals: p999 is 99.9 %. Only such high ones are written so.
            _ if !digits.starts_with("99") => return None,
            _ => format!("{}.{}", &digits[..2], &digits[2..]).parse().ok()?,
        };
        (percent > 0.0 && percent < 100.0).then_some(Self::Quantile(percent / 100.0))
    }
}

impl Comparison {
    fn holds(self, value: f64, limit: f64) -> bool {
        match value.partial_cmp(&limit) {
            Some(Ordering::Greater) => matches!(self, Self::Above | Self::AtLeast),
            Some(Ordering::Equal) => matches!(self, Self::AtLeast | Self::AtMost),
            Some(Ordering::Less) => matches!(self, Self::Below | Self::AtMost),
            None => true,
        }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let at = text.find(['<', '>']).ok_or(RuleError::NoComparison)?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let (comparison, limit) = [
            (">=", Comparison::AtLeast),
            ("<=", Comparison::AtMost),
            (">", Comparison::Above),
            ("<", Comparison::Below),
        ]
        .into_iter()
        .find_map(|(sign, comparison)| Some((comparison, rest.strip_prefix(sign)?.trim())))
        .ok_or(RuleError::NoComparison)?;
        let (metric, limit) = match name {
            "mean" => (Metric::Mean, latency(name, limit)?),
            "max" => (Metric::Quantile(1.0), latency(name, limit)?),
            "rate" => (Metric::Rate, number(name, limit.strip_suffix("/s").unwrap_or(limit))?),
            "done" => (Metric::Done, number(name, limit)?),
            "failed" => (Metric::Failed, number(name, limit)?),
            "in_doubt" | "in-doubt" => (Metric::InDoubt, number(name, limit)?),
            "errors" => match limit.strip_suffix('%') {
                Some(percent) => (Metric::ErrorPercent, number(name, percent.trim())?),
                None => (Metric::Errors, number(name, limit)?),
            },
            name => match Metric::percentile(name) {
                Some(metric) => (metric, latency(name, limit)?),
                None => return Err(RuleError::Metric(name.to_owned())),
            },
        };
        Ok(Self { text: text.trim().to_owned(), metric, comparison, limit })
    }
}

fn latency(metric: &str, limit: &str) -> Result<f64, RuleError> {
    match humantime::parse_duration(limit) {
        Ok(duration) => Ok(duration.as_secs_f64() * 1000.0),
        Err(_) => Err(wrong(metric, limit, "a duration with its unit, for example 2s or 500ms")),
    }
}

fn number(metric: &str, limit: &str) -> Result<f64, RuleError> {
    match limit.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err(wrong(metric, limit, "a number, for example 100")),
    }
}

fn wrong(metric: &str, limit: &str, wanted: &'static str) -> RuleError {
    RuleError::Limit { limit: limit.to_owned(), metric: metric.to_owned(), wanted }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(rule: &str, anything_done: bool) -> Judged {
        let quantile = |share: f64| anything_done.then(|| Duration::from_secs_f64(share));
        let measured = Measured {
            quantile: &quantile,
            mean: anything_done.then_some(Duration::from_millis(400)),
            rate: 250.0,
            started: if anything_done { 1000 } else { 0 },
            done: 970,
            failed: 20,
            in_doubt: 10,
        };
        rule.parse::<Rule>().expect("a rule").judge(&measured)
    }

    #[test]
    fn a_rule_says_what_must_not_be() {
        for (rule, value, broken) in [
            ("p99>2s", 990.0, false),
            ("p99 > 900ms", 990.0, true),
            ("p50>=500ms", 500.0, true),
            ("p50>500ms", 500.0, false),
            ("p99.9>998ms", 999.0, true),
            ("p999>1s", 999.0, false),
            ("p5<1s", 50.0, true),
            ("max>1s", 1000.0, false),
            ("mean<=400ms", 400.0, true),
            ("rate<250", 250.0, false),
            ("rate<=250/s", 250.0, true),
            ("done<971", 970.0, true),
            ("failed>20", 20.0, false),
            ("in_doubt>=10", 10.0, true),
            ("errors>29", 30.0, true),
            ("errors>3%", 3.0, false),
            ("errors>2.9%", 3.0, true),
        ] {
            let judged = judge(rule, true);
            let measured = judged.value.expect("there was something to measure");
            assert!((measured - value).abs() < 1e-9, "{rule}: {measured}");
            assert_eq!((judged.broken, judged.rule.as_str()), (broken, rule), "{rule}");
        }
    }

    #[test]
    fn what_cannot_be_known_breaks_the_rule() {
        for rule in ["p99>2s", "p99<2s", "mean>1h", "max<1ms", "errors>50%"] {
            let judged = judge(rule, false);
            assert_eq!((judged.value, judged.broken), (None, true), "{rule}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_with_what_would_do() {
        for (text, words) in [
            ("p99", "as in p99>2s"),
            ("p99=2s", "as in p99>2s"),
            ("p99>2", "\"2\" is no limit for p99: a duration with its unit"),
            ("p99>fast", "a duration with its unit"),
            ("p0>1s", "nothing called \"p0\""),
            ("p100>1s", "p50 and other percentiles"),
            ("px>1s", "nothing called \"px\""),
            ("p>1s", "nothing called \"p\""),
            ("speed>1", "nothing called \"speed\""),
            ("rate<many", "\"many\" is no limit for rate: a number"),
            ("errors>-1", "a number"),
            ("errors>nan%", "a number"),
            (">2s", "nothing called \"\""),
        ] {
            let error = text.parse::<Rule>().expect_err("no rule").to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn fuzzed_rules_are_read_or_refused() {
        let seeds = ["p99.9>250ms", "error_rate >= 0.5%", "throughput<100/s", "max>1m 30s", "in_doubt>0"];
        crate::fuzz::fuzz_text(&seeds, |text, _| match text.parse::<Rule>() {
            Ok(rule) => {
                assert!(!rule.to_string().is_empty());
                let _ = (judge(text, true), judge(text, false));
            }
            Err(error) => assert!(!error.to_string().contains(char::is_control), "{error}"),
        });
    }
}
