//! Times and durations as people read them.

use super::{Look, TimeStyle};
use crate::wire::time::{Time, in_millis};
use chrono::SecondsFormat;
use std::time::Duration;

/// A moment to the millisecond: `2024-07-12T18:33:34.620Z`.
pub fn rfc3339_millis(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A moment to the second: `2024-07-12T18:33:34Z`.
pub fn rfc3339_secs(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A moment in a table: its age for people, else RFC 3339.
pub fn when(look: &Look, time: Time) -> String {
    match look.times {
        TimeStyle::Relative => age(look.now, time),
        TimeStyle::Rfc3339 => rfc3339_millis(time),
    }
}

/// How long ago a moment was: `4s ago`. A moment ahead of our clock reads `in 4s`, since clocks differ and hiding it would
/// be a lie.
pub fn age(now: Time, time: Time) -> String {
    let elapsed = now.signed_duration_since(time);
    match elapsed.to_std() {
        Ok(past) => format!("{} ago", coarse(past)),
        // Within a second is what clocks of one machine or of one well-kept network differ by.
        Err(_) if elapsed.num_milliseconds() > -1000 => "0s ago".to_owned(),
        Err(_) => format!("in {}", coarse((-elapsed).to_std().unwrap_or_default())),
    }
}

/// A duration to two units, at least seconds: `4s`, `2h 3m`, `5days 1h`.
pub fn coarse(duration: Duration) -> String {
    let secs = duration.as_secs();
    let kept = match secs {
        0..3_600 => secs,
        3_600..86_400 => secs - secs % 60,
        _ => secs - secs % 3_600,
    };
    humantime::format_duration(Duration::from_secs(kept)).to_string()
}

/// A duration that was measured: `412us`, `8ms`, `12s 345ms`.
pub fn measured(duration: Duration) -> String {
    let shown = match duration.as_nanos() {
        0..1_000_000 => Duration::from_micros(duration.as_micros().try_into().unwrap_or(u64::MAX)),
        1_000_000..60_000_000_000 => in_millis(duration),
        _ => return coarse(duration),
    };
    humantime::format_duration(shown).to_string()
}

/// A duration that was chosen, exactly: `10m`, `1m 30s`.
pub fn exact(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        text.parse().unwrap()
    }

    #[test]
    fn ages_are_short_and_honest_about_other_clocks() {
        let now = at("2026-11-02T09:20:00Z");
        for (time, expected) in [
            ("2026-11-02T09:19:56.001Z", "3s ago"),
            ("2026-11-02T09:20:00.900Z", "0s ago"),
            ("2026-11-02T09:20:07Z", "in 7s"),
            ("2026-11-02T07:17:01Z", "2h 2m ago"),
            ("2026-10-30T07:17:01Z", "3days 2h ago"),
        ] {
            assert_eq!(age(now, at(time)), expected, "{time}");
        }
    }

    #[test]
    fn measured_durations_have_three_digits_or_so() {
        for (nanos, expected) in [
            (0, "0s"),
            (412_999, "412us"),
            (81_000_417, "81ms"),
            (12_345_678_901, "12s 345ms"),
            (61_999_000_000, "1m 1s"),
        ] {
            assert_eq!(measured(Duration::from_nanos(nanos)), expected);
        }
        assert_eq!(exact(Duration::from_secs(600)), "10m");
    }
}
