//! Times and durations as they travel: RFC 3339 in UTC, durations as `{"secs", "nanos"}`.

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A point in time, always UTC.
pub type Time = DateTime<Utc>;

/// Writes a time the way the database keeps it: fixed width and microseconds, so that text order is time order.
pub fn to_stored(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The present moment, cut to the microseconds that the database keeps, so that what was stored equals what is read.
pub fn now() -> Time {
    let now = Utc::now();
    DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
}

/// A duration as people are told of it, without what is less than a millisecond.
pub fn in_millis(duration: Duration) -> Duration {
    Duration::from_millis(duration.as_millis().try_into().unwrap_or(u64::MAX))
}

/// A duration in the shape that Nexus's API uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WireDuration {
    /// Whole seconds.
    pub secs: u64,
    /// The rest, in nanoseconds, below one second.
    pub nanos: u32,
}

impl From<Duration> for WireDuration {
    fn from(duration: Duration) -> Self {
        Self { secs: duration.as_secs(), nanos: duration.subsec_nanos() }
    }
}

impl From<WireDuration> for Duration {
    fn from(wire: WireDuration) -> Self {
        // A server may send more than a second's worth of nanoseconds; `Duration::new` would panic on overflow.
        Duration::from_secs(wire.secs).saturating_add(Duration::from_nanos(u64::from(wire.nanos)))
    }
}
